"""The method of "Noise Injection Node Regularization for Robust Learning", equation by equation.

A noise injection node feeds random numbers ε through weights W_NI of its own, which are trained like all others. At
large σ_ε the noise drives the start of training; what the network does to get rid of it makes it robust.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ...inject import inject, injected
from ...measure import corrupt
from ...noise import check_alpha
from ...train import WEIGHTED, evaluating
from ...train import l2 as l2  # its weight decay; callers find it here

WIDTH = 0.1
"""Deviation of each of the two peaks of the double Gaussian, in units of σ_ε; the paper leaves it open."""


def _gaussian(like: Tensor) -> Tensor:
    return torch.randn_like(like)


def _uniform(like: Tensor) -> Tensor:
    return 2 * torch.rand_like(like) - 1


def _double_gaussian(like: Tensor) -> Tensor:
    return torch.sign(torch.rand_like(like) - 0.5) + WIDTH * torch.randn_like(like)


DRAWS: dict[str, Callable] = {"gaussian": _gaussian, "uniform": _uniform, "double gaussian": _double_gaussian}
"""ε / σ_ε: N(0, 1); U(-1, 1), of deviation 1/√3; App. C.2's two peaks at ±1, of equal share (ours, as is `WIDTH`)."""


class NoiseNode(nn.Module):
    """A noise injection node: h → h + ε W_NI with one ε for each sample of the batch (eq. 1; section 3.1).

    `weight` is W_NI, of shape `shape` (that of one sample of h), and trained with the network; ε is drawn anew in every
    forward pass, σ_ε = `sigma` (a buffer) times a draw of `distribution`, a key of `DRAWS`. In evaluation mode ε = 0.

    >>> NoiseNode((3,), sigma=100.0).eval()(torch.ones(2, 3))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """

    def __init__(self, shape, sigma: float, distribution: str = "gaussian"):
        super().__init__()
        if distribution not in DRAWS:
            raise ValueError(f"unknown noise distribution {distribution!r}: choose from {', '.join(DRAWS)}")
        self.distribution = distribution
        self.weight = nn.Parameter(torch.zeros(shape))
        self.register_buffer("sigma", torch.tensor(check_alpha(sigma), dtype=torch.float64), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        if not self.training:
            return h
        one = h.flatten(1)[:, 0].detach()  # a number a sample
        epsilon = self.sigma.to(h.dtype) * DRAWS[self.distribution](one)
        return h + epsilon.view(-1, *[1] * (h.ndim - 1)) * self.weight

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, σ_ε={self.sigma.item():g}, {self.distribution}"


def add_nodes(
    model: nn.Module, x: Tensor, sigma: float, where: str = "in", distribution: str = "gaussian"
) -> list[str]:
    """Give layers of `model` a noise injection node, in place; return their names. Section 3.1.

    `where` is "in" (in-NINR: the first linear or convolutional layer) or "full" (full-NINR: every one). For a linear
    layer the node is one more input, z → z + ε W_NI behind it; for a convolution the noise is added to its input, pixel
    by pixel and channel by channel. W_NI ~ N(0, 1/d), d the number of the layer's inputs, the node included. `x`, a
    batch of inputs, tells the shapes.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> add_nodes(net, torch.zeros(1, 4), sigma=2.0, where="full")
    ['0', '2']
    >>> net[0].injected_noise
    NoiseNode((3,), σ_ε=2, gaussian)
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, WEIGHTED)}
    if where not in ("in", "full"):
        raise ValueError(f"where = {where!r}: expected 'in' (before the first layer) or 'full' (before every layer)")
    if not layers:
        raise ValueError("the model has no linear or convolutional layer to put a node at")
    shapes = _input_shapes(model, x[:1], layers)
    names = list(shapes)[: 1 if where == "in" else None]
    taken = [name for name in names if name in injected(model)]
    if taken:
        raise ValueError(f"module {taken[0]!r} has noise already: call remove(model) first")
    for name in names:
        layer = layers[name]
        linear = isinstance(layer, nn.Linear)
        node = NoiseNode(layer.out_features if linear else shapes[name], sigma, distribution)
        inputs = layer.in_features if linear else math.prod(shapes[name])
        nn.init.normal_(node.weight, std=1 / math.sqrt(inputs + 1))
        inject(model, node.to(layer.weight), [name], before=not linear)
    return names


@torch.no_grad()
def _input_shapes(model: nn.Module, x: Tensor, layers: dict[str, nn.Module]) -> dict[str, torch.Size]:
    """The shape of one sample of each layer's input, by name, in the order in which the network uses them."""
    shapes = {}
    handles = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: shapes.update({name: inputs[0].shape[1:]}))
        for name, module in layers.items()
    ]
    try:
        with evaluating(model):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def initialise(model: nn.Module) -> nn.Module:
    """Draw W^(ℓ) ~ N(0, 1/d_ℓ), d_ℓ the number of inputs of a unit, and set b = 0 (App. A), in place."""
    for module in model.modules():
        if isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def standardise(train: Tensor, *others: Tensor) -> list[Tensor]:
    """`train` and `others` [N, C, ...], less the mean of `train` and over its deviation, by channel (section 3).

    The paper divides "by the variance"; we take the deviation to be meant. A channel that does not vary becomes 0.

    >>> standardise(torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[[5.0]]]))[1]
    tensor([[[3.]]])
    """
    axes = [0, *range(2, train.ndim)]
    mean, deviation = train.mean(axes, keepdim=True), train.std(axes, correction=0, keepdim=True)
    deviation = deviation.masked_fill(deviation == 0, torch.inf)
    return [(x - mean) / deviation for x in (train, *others)]


def corrupted(x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """Eq. (8): √(1 - σ²) x + σ δ with δ ~ N(0, 1) in every element; σ = `sigma` from 0 to 1.

    The same `seed` gives the same δ.
    """
    return corrupt(_shrunk(x, sigma), sigma, seed)


def _shrunk(x: Tensor, sigma: float) -> Tensor:
    if not 0 <= sigma <= 1:
        raise ValueError(f"σ_noise = {sigma!r}: expected 0 to 1 (eq. 8)")
    return math.sqrt(1 - sigma**2) * x


class InputCorruption(nn.Module):
    """Eq. (8) with fresh δ in training mode, nothing in evaluation mode: behind ``data``, corrupted-data training."""

    def __init__(self, sigma: float):
        super().__init__()
        _shrunk(torch.zeros(0), sigma)
        self.sigma = float(sigma)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(_shrunk(x, self.sigma), torch.randn_like(x), alpha=self.sigma) if self.training else x


# ---- the expansion of the loss, eqs. (1)-(7) ----


def expansion(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    order: int = 2,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    seed: int = 0,
) -> tuple[list[float], float]:
    """R_1 … R_order of eqs. (3)-(4) for one draw of ε, and the change of loss L(θ, W_NI) - L(θ) that they add up to.

    With t W_NI in place of W_NI the loss is a function of the one number t, and R_k is its k-th derivative at t = 0,
    over k!. `model` has nodes (`add_nodes`), `x` is [B, ...]; `loss` averages over the batch. Dropout, batch
    normalisation and the rest of the network stand as at evaluation; `seed` draws ε. Raises `ValueError` without nodes.
    """
    nodes = {name: layer for name, layer in injected(model).items() if isinstance(layer, NoiseNode)}
    if not nodes:
        raise ValueError("the model has no noise injection node: call add_nodes(model, x, sigma) first")
    weights = {f"{name}.injected_noise.weight": node.weight.detach() for name, node in nodes.items()}

    def noisy(t: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed)
            scaled = {key: t * weight for key, weight in weights.items()}
            return loss(torch.func.functional_call(model, scaled, (x,)), y)

    with evaluating(model), torch.enable_grad():
        for node in nodes.values():
            node.train()
        t = torch.zeros((), dtype=x.dtype, device=x.device, requires_grad=True)
        derivative, terms = noisy(t), []
        clean = derivative.item()
        for k in range(1, order + 1):
            if derivative.requires_grad:
                derivative = torch.autograd.grad(derivative, t, create_graph=True, materialize_grads=True)[0]
            else:  # a constant: all that follow are zero
                derivative = torch.zeros_like(t)
            terms.append(derivative.item() / math.factorial(k))
        change = noisy(torch.ones_like(t)).item() - clean
    return terms, change


def local_derivatives(
    model: nn.Module, x: Tensor, y: Tensor, layer: str, loss: Callable[..., Tensor] = nn.functional.cross_entropy
) -> tuple[Tensor, Tensor]:
    """The local gradient g [B, N] and local Hessian H [B, N, N] of eq. (5), exact, sample by sample.

    Derivatives of each sample's own loss in the output z of the module named `layer` (of N numbers a sample), for the
    model in evaluation mode. ``loss(output, y, reduction="sum")`` must add the samples' losses up.
    """
    if layer not in dict(model.named_modules()):
        raise ValueError(f"no module named {layer!r}; the model has {', '.join(dict(model.named_modules()))}")
    kept = {}

    def keep(module, inputs, output):
        kept.update(z=output)
        return output.clone()  # so that an activation that works in place leaves z alone

    handle = model.get_submodule(layer).register_forward_hook(keep)
    with evaluating(model), torch.enable_grad():
        try:
            value = loss(model(x.detach().requires_grad_()), y, reduction="sum")
        finally:
            handle.remove()
        z = kept["z"]
        (gradient,) = torch.autograd.grad(value, z, create_graph=True)
        flat = gradient.flatten(1)
        rows = [torch.autograd.grad(part.sum(), z, retain_graph=True)[0].flatten(1) for part in flat.unbind(1)]
    return flat.detach(), torch.stack(rows, 1)


def input_curvature(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    probes: int = 8,
    seed: int = 0,
) -> float:
    """Tr(W^(0)ᵀ⟨H_0⟩W^(0)) of eq. (7): the trace of the loss's Hessian in the input, averaged over the batch.

    Times σ_δ²/2 it is R_2 of inputs corrupted with deviation σ_δ. Hutchinson's estimator with `probes` draws of signs
    (see `hessian_trace`); the model in evaluation mode; `loss` averages over the batch.
    """
    if probes < 1:
        raise ValueError(f"probes = {probes}: expected at least 1")
    generator = torch.Generator(x.device).manual_seed(seed)
    inputs = x.detach().requires_grad_()
    total = 0.0
    with evaluating(model), torch.enable_grad():
        (gradient,) = torch.autograd.grad(loss(model(inputs), y), inputs, create_graph=True)
        for _ in range(probes):
            v = torch.randint(0, 2, x.shape, generator=generator, device=x.device).to(x.dtype) * 2 - 1
            total += (torch.autograd.grad(gradient, inputs, v, retain_graph=True)[0] * v).sum().item()
    return total / probes


# ---- the linear toy model, App. B ----


def descend(
    w0, w1, w_ni, *, eta, sigma, steps: int, batch: int | None = None, sigma_x: float = 1.0, target: float = 1.0,
    seed: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Gradient descent on the loss of eq. (10), step by step in closed form: eq. (13), and eq. (15) without the data.

    A linear network with one input x ~ N(0, σ_x²), one node, a hidden layer of width d and one output that is to be M x
    (M = `target`): `w0`, `w1` and `w_ni` are [..., d] and stand for w^(0), w^(1) and w_NI; d = 1 is the paper's
    univariate model. `eta` and `sigma` are numbers or [...]. Without `batch` it is infinite; with it, Φ/√batch of
    eq. (10) is drawn at every step (from `seed`). Returns, as [..., steps + 1] in float64: ``product`` (w1·w0),
    ``w1`` and ``w_ni`` (norms), and ``loss``. Where weights overflow, the rest is infinite or not a number.

    >>> path = descend([0.1], [0.1], [0.1], eta=0.1, sigma=1.0, steps=200)
    >>> path["product"][-1].round(3).item(), path["w_ni"][-1].item() < 0.01
    (1.0, True)
    """
    w0, w1, w_ni = np.broadcast_arrays(*(np.asarray(w, dtype=float) for w in (w0, w1, w_ni)))
    eta, sigma = (np.asarray(v, dtype=float)[..., None] for v in (eta, sigma))
    rng = np.random.default_rng(seed)
    found = {"product": [], "w1": [], "w_ni": [], "loss": []}
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps + 1):
            signal = (w1 * w0).sum(-1, keepdims=True) - target
            noise = (w1 * w_ni).sum(-1, keepdims=True)
            phi = 0.0 if batch is None else rng.standard_normal(np.broadcast(signal, eta, sigma).shape) / batch**0.5
            cross = sigma_x * sigma * phi
            value = ((signal * sigma_x) ** 2 + (noise * sigma) ** 2) / 2 + noise * signal * cross
            for name, now in (("product", signal + target), ("w1", _norm(w1)), ("w_ni", _norm(w_ni)), ("loss", value)):
                found[name].append(np.broadcast_to(now, value.shape)[..., 0])
            by_signal = signal * sigma_x**2 + noise * cross  # ∂L/∂(w1·w0)
            by_noise = noise * sigma**2 + signal * cross  # ∂L/∂(w1·w_NI)
            w0, w1, w_ni = (
                w0 - eta * by_signal * w1,
                w1 - eta * (by_signal * w0 + by_noise * w_ni),
                w_ni - eta * by_noise * w1,
            )
    return {name: np.stack(values, -1) for name, values in found.items()}


def _norm(w: np.ndarray) -> np.ndarray:
    return np.sqrt((w**2).sum(-1, keepdims=True))


def flow(w0, w1, w_ni, *, sigma: float, times, sigma_x: float = 1.0, target: float = 1.0) -> dict[str, np.ndarray]:
    """The same model in continuous time (eqs. 14 and 16, with the data): `descend` as η → 0, at t = η times the step.

    `w0`, `w1`, `w_ni` are [d], `times` [T] from 0 on; returns the same measures, each [T].
    """
    from scipy.integrate import solve_ivp

    start = np.concatenate([np.asarray(w, dtype=float) for w in (w0, w1, w_ni)])
    times = np.asarray(times, dtype=float)

    def derivative(_, state):
        a, b, n = state.reshape(3, -1)
        by_signal, by_noise = (b @ a - target) * sigma_x**2, (b @ n) * sigma**2
        return -np.concatenate([by_signal * b, by_signal * a + by_noise * n, by_noise * b])

    end = max(times.max(), 1e-12)  # of the integration; the solver wants a span
    solution = solve_ivp(derivative, (0, end), start, "LSODA", times, rtol=1e-8, atol=1e-12)
    if not solution.success:
        raise RuntimeError(f"the flow could not be integrated to t = {end}: {solution.message}")
    path = solution.y
    a, b, n = path.reshape(3, -1, path.shape[1])
    signal, noise = (b * a).sum(0) - target, (b * n).sum(0)
    return {
        "product": signal + target, "w1": np.linalg.norm(b, axis=0), "w_ni": np.linalg.norm(n, axis=0),
        "loss": ((signal * sigma_x) ** 2 + (noise * sigma) ** 2) / 2,
    }  # fmt: skip


PHASES = ("decoupled", "decay", "catapult", "divergent")
RISE, FALL, CHANCE = 1.1, 0.5, 1.5
"""The rules' thresholds: a loss that rises to 1.1 times its start, a norm that falls to half of it, an accuracy under
1.5 times chance."""


def phase(norms, losses, accuracy: float | None = None, chance: float | None = None) -> str:
    """The phase of a training run (section 2.2), from its trajectories alone: the norm of W_NI and the noisy loss.

    `norms` and `losses` are [T], each from before the first step to the end, and need not have the same T. By the first
    rule that applies:

    - divergent: something is not finite, or nothing was learned: the training `accuracy` ends under `CHANCE` times
      that of a guess (`chance`), or, where no accuracy is given, the loss ends above `RISE` times its start;
    - catapult: the loss exceeds `RISE` times its start on the way, and the network recovers (is not divergent);
    - decay: |W_NI| ends under `FALL` times its start;
    - decoupled: none of these.

    >>> phase([1, 0.4, 0.2], [2, 1, 0.5]), phase([1, 0.5, 0.4], [2, 7, 0.5]), phase([1, 1, 1], [2, 1, 0.5])
    ('decay', 'catapult', 'decoupled')
    """
    norms, losses = np.asarray(norms, dtype=float), np.asarray(losses, dtype=float)
    if norms.ndim != 1 or len(norms) == 0 or losses.ndim != 1 or len(losses) == 0:
        raise ValueError(f"norms {norms.shape} and losses {losses.shape}: expected one run, each [T] with T ≥ 1")
    if (accuracy is None) != (chance is None):
        raise ValueError(f"accuracy = {accuracy}, chance = {chance}: give both or neither")
    learned = losses[-1] <= RISE * losses[0] if accuracy is None else accuracy >= CHANCE * chance
    if not (np.isfinite(norms).all() and np.isfinite(losses).all() and learned):
        return "divergent"
    if losses.max() > RISE * losses[0]:
        return "catapult"
    return "decay" if norms[-1] < FALL * norms[0] else "decoupled"


def critical_noise(d: int, eta: float) -> float:
    """The σ_ε² at which the catapult phase is to begin, by the paper: 2 d / η (section 2.2, App. B).

    The text has σ_ε; its algebra, η σ_ε² w² < 2 with w² ~ 1/d, speaks of σ_ε².

    >>> critical_noise(785, 0.05)
    31400.0
    """
    return 2 * d / eta


def first_growth(w1, w_ni, eta: float) -> float:
    """The least σ_ε² at which a step of eq. (15) enlarges |w1·w_NI|, and with it the noise's part of the loss.

    For `w1` and `w_ni` [d], with p = |w1|², q = |w_NI|², c = w1·w_NI and s = η σ_ε², a step makes of c
    c (1 - s (p + q) + s² c²). Equal weights in the univariate model give 2 / (η w²), the paper's 2 d / η where
    w² = 1/d; orthogonal ones in a wide layer 2 / (η (p + q)).

    >>> round(first_growth([0.1], [0.1], eta=0.1), 6), critical_noise(100, 0.1)
    (2000.0, 2000.0)
    """
    w1, w_ni = np.asarray(w1, dtype=float), np.asarray(w_ni, dtype=float)
    total, c2 = (w1**2).sum() + (w_ni**2).sum(), (w1 * w_ni).sum() ** 2
    if total == 0:
        return math.inf
    inside = total**2 - 8 * c2
    # a negative one: the factor never falls below -1, and exceeds 1 from s = total / c² on
    return float((total / c2 if inside < 0 else 4 / (total + math.sqrt(inside))) / eta)


# ---- MNIST to USPS, section 3.2.2 ----


def digit_frame(images: Tensor, box: int = 20, size: int = 28) -> Tensor:
    """Digits [N, 1, H, W] (light on black) framed as MNIST's are: in a `box` x `box` square, centred by mass in `size`.

    The bounding box of what is not black is scaled, its aspect kept, until its longer side is `box` pixels, and
    placed so that the centre of mass is in the middle of `size` x `size` pixels (to the pixel, within the image).
    """
    if not 1 <= box <= size:
        raise ValueError(f"box = {box}, size = {size}: expected a box of 1 to {size} pixels")
    framed = images.new_zeros(len(images), 1, size, size)
    for image, out in zip(images[:, 0], framed[:, 0], strict=True):
        rows, columns = (image > 0).any(1).nonzero(), (image > 0).any(0).nonzero()
        if not len(rows):
            continue
        crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = box / max(crop.shape)
        shape = [max(1, round(side * scale)) for side in crop.shape]
        # a single column lies down for it: torch's antialiased resizing would repeat its first pixel
        crop = _resized(crop.T, shape[::-1]).T if crop.shape[1] == 1 else _resized(crop, shape)
        corner = []
        for axis, side in enumerate(shape):
            mass = crop.sum(1 - axis)
            centre = (mass * torch.arange(side, device=mass.device)).sum() / mass.sum()
            corner.append(min(max(round((size - 1) / 2 - centre.item()), 0), size - side))
        out[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]] = crop
    return framed


def _resized(image: Tensor, shape: list[int]) -> Tensor:
    return nn.functional.interpolate(image[None, None], shape, mode="bilinear", antialias=True)[0, 0].clamp(0, 1)
