"""What is the own of "Dropout as Data Augmentation": random dropout, and noise projected back into the input.

Equation numbers are that paper's. p is the probability of *dropping* a unit, as in its eq. (9).
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from ...train import evaluating

LEVELS = ("fixed", "sample", "batch", "unit")
"""How the level ρ is drawn: not at all (ρ = p, dropout), or from U(0, p) for each of these."""


def multipliers(
    shape, p: float, level: str = "fixed", scaled: bool = True, *, device=None, dtype=None, generator=None
) -> Tensor:
    """Eqs. (9) and (10): the mask M, or M / (1 - ρ) if `scaled`, for activations of `shape` [B, ...].

    M is 0 with probability ρ, else 1. `level` says what ρ is: p itself ("fixed", dropout), or a draw from U(0, p) for
    each sample ("sample", random dropout as in eq. (10)), for the whole batch ("batch"), or for each unit of each
    sample ("unit"; then M alone is that of dropout at p/2). Raises `ValueError` for a p outside [0, 1) and an unknown
    level.

    >>> g = torch.Generator().manual_seed(0)
    >>> sorted(set(multipliers((4, 100), 0.5, generator=g).flatten().tolist()))
    [0.0, 2.0]
    >>> len(set(multipliers((4, 100), 0.5, "sample", generator=g).amax(1).tolist()))
    4
    """
    check_level(p, level)
    how = {"device": device, "dtype": dtype or torch.get_default_dtype()}
    ones = [1] * len(shape[1:])
    several = {"sample": (shape[0], *ones), "batch": (1, *ones), "unit": shape}
    rho = p if level == "fixed" else p * torch.rand(several[level], generator=generator, **how)
    kept = (torch.rand(shape, generator=generator, **how) >= rho).to(how["dtype"])
    return kept / (1 - rho) if scaled else kept


def check_level(p: float, level: str) -> None:
    """`ValueError` unless p is in [0, 1) and `level` is one of `LEVELS`."""
    if not 0 <= p < 1:
        raise ValueError(f"noise level p = {p!r}: expected a probability of dropping, at least 0 and under 1")
    if level not in LEVELS:
        raise ValueError(f"level = {level!r}: expected one of {', '.join(LEVELS)}")


class Dropout(nn.Module):
    """Dropout, eqs. (3) and (9), and random dropout, eq. (10), as a layer: see `multipliers` for `p` and `level`.

    With `scale` "training" activations are multiplied by M / (1 - ρ) in training, and left alone in evaluation. With
    "test" they are multiplied by M in training and by its mean in evaluation, 1 - p or, where ρ is drawn, 1 - p/2.
    Put it behind hidden layers, or behind the input, by `inject`. `p` may be changed at any time. Raises `ValueError`
    as `multipliers` does, when it is made and when it is called.

    >>> from tutorial_lib import inject, mlp
    >>> net = mlp(64, 10, (32, 32))
    >>> inject(net, Dropout(0.5, "sample")), inject(net, Dropout(0.2), ["data"])
    (['act1', 'act2'], ['data'])
    """

    def __init__(self, p: float = 0.5, level: str = "fixed", scale: str = "training"):
        super().__init__()
        check_level(p, level)
        if scale not in ("training", "test"):
            raise ValueError(f"scale = {scale!r}: expected 'training' (eqs. 9 and 10) or 'test' (eq. 3)")
        self.p, self.level, self.scale = p, level, scale

    def forward(self, a: Tensor) -> Tensor:
        check_level(self.p, self.level)
        if self.training and self.p > 0:
            return a * multipliers(
                a.shape, self.p, self.level, self.scale == "training", device=a.device, dtype=a.dtype
            )
        if self.scale == "test":
            return a * (1 - (self.p if self.level == "fixed" else self.p / 2))
        return a

    def extra_repr(self) -> str:
        return f"p={self.p}, level={self.level}, scaled in {self.scale}"


def dropped(n: int, p: float, random: bool = False) -> np.ndarray:
    """Fig. 1: the probabilities [n + 1] that k = 0, …, n of a layer's `n` units are dropped.

    Dropout: the binomial. Random dropout: its mean over ρ ~ U(0, p), which is I_p(k + 1, n - k + 1) / (p (n + 1))
    with the regularised incomplete beta function I; nearly constant below pn, and half of that at pn. Raises
    `ValueError` for a p outside (0, 1), and for fewer than one unit.

    >>> dropped(2, 0.5).round(3).tolist()
    [0.25, 0.5, 0.25]
    >>> dropped(1, 0.5, random=True).round(3).tolist()
    [0.75, 0.25]
    """
    from scipy import special, stats

    if not 0 < p < 1:
        raise ValueError(f"noise level p = {p!r}: expected a probability of dropping between 0 and 1")
    if n < 1 or n != int(n):
        raise ValueError(f"n = {n!r} units: expected a whole number, at least 1")
    k = np.arange(n + 1)
    return special.betainc(k + 1, n - k + 1, p) / (p * (n + 1)) if random else stats.binom(n, p).pmf(k)


def noise_variance(p: float, random: bool = False) -> float:
    """The variance of the scaled multiplier M / (1 - ρ), whose mean is 1: how noisy a scheme is.

    Dropout: p / (1 - p). Random dropout: the mean of ρ / (1 - ρ) over U(0, p), which is -1 - ln(1 - p) / p.

    >>> noise_variance(0.5), round(noise_variance(0.5, random=True), 3)
    (1.0, 0.386)
    """
    check_level(p, "fixed")
    if not random:
        return p / (1 - p)
    return p / 2 + p**2 / 3 if p < 1e-4 else -1 - math.log1p(-p) / p


def equal_level(p: float) -> float:
    """The level of dropout that is as noisy as random dropout up to `p`: q = 1 + p / ln(1 - p).

    >>> round(equal_level(0.5), 3)
    0.279
    """
    variance = noise_variance(p, random=True)
    return variance / (1 + variance)


def activations(model: nn.Sequential, x: Tensor, masks: list[Tensor] | None = None) -> list[Tensor]:
    """Eqs. (6) and (7): what the hidden ReLU layers of `model` give for `x` [B, ...], in their order, [B, d_i] each.

    With `masks` (one for each of them, of its shape, from `multipliers` or made by hand) each layer's activation is
    multiplied by its mask, and the next layer sees it so: f̃^(i)(x). Without, f^(i)(x). The model, an `nn.Sequential`
    with the ReLU layers among its own, is read as in evaluation. Raises `ValueError` where masks do not fit.
    """
    count = sum(isinstance(layer, nn.ReLU) for layer in model)
    if not count:
        raise ValueError("the model has no nn.ReLU among its own layers: expected a Sequential with hidden ReLU layers")
    if masks is not None and len(masks) != count:
        raise ValueError(f"{len(masks)} masks for {count} hidden layers: expected one each")
    found = []
    with evaluating(model):
        for layer in model:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                if masks is not None:
                    mask = masks[len(found)]
                    if not isinstance(mask, Tensor) or mask.shape != x.shape:
                        shape = tuple(mask.shape) if isinstance(mask, Tensor) else mask
                        raise ValueError(f"mask {len(found) + 1} of shape {shape}: expected {tuple(x.shape)}")
                    x = x * mask
                found.append(x)
                if len(found) == count:
                    return found


def left_over(reached: Tensor, clean: Tensor, wanted: Tensor) -> Tensor:
    """|f(x*) - f̃(x)| / |f(x) - f̃(x)| [B] of a layer: what x* leaves of the displacement by dropout.

    `reached`, `clean` and `wanted` are f(x*), f(x) and f̃(x), [B, d_i]. NaN where nothing was displaced.

    >>> left_over(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([0.5000])
    """
    return (reached - wanted).norm(dim=1) / (clean - wanted).norm(dim=1)


def residuals(model: nn.Sequential, x: Tensor, x_star: Tensor, wanted: list[Tensor]) -> Tensor:
    """What `x_star` leaves of each layer's displacement by dropout (see `left_over`), [B, layers].

    1 for an x* that is no better than `x` [B, ...], 0 for one that gives f̃^(i)(x), `wanted`, by itself.

    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    >>> _ = nn.init.eye_(model[0].weight); x = torch.tensor([[1.0, 2.0]])
    >>> residuals(model, x, torch.tensor([[1.0, 0.5]]), [torch.tensor([[1.0, 0.0]])]).detach()
    tensor([[0.2500]])
    """
    found = zip(activations(model, x_star), activations(model, x), wanted, strict=True)
    return torch.stack([left_over(a, b, t) for a, b, t in found], 1)


def back_project(
    model: nn.Sequential, x: Tensor, wanted: list[Tensor | None], *, steps: int = 20, rates=(300.0, 30.0),
    mean_over: str = "batch", batch: int = 100,
) -> Tensor:  # fmt: skip
    """Eqs. (5) and (8) as in section 5.2: x* [B, ...] by gradient descent from `x`, for each image apart.

    `wanted` holds f̃^(i)(x) for each hidden layer (`activations` with masks), or None for a layer that is left out: one
    layer alone gives x^(i)*, all of them one x* for the network. A step goes down the gradient of Σ_i rate_i E_i, with
    E_i the squared error of layer i. The paper leaves open what it is a mean over: units and a minibatch of `batch`
    images ("batch", our reading for rates of 300 and 30), "units", or nothing ("sum"). Raises `ValueError` where
    `wanted` or `rates` do not fit the layers.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> _ = net[0].weight.data.copy_(torch.eye(2)), net[0].bias.data.zero_()
    >>> wanted = [torch.tensor([[1.0, 0.0]])]
    >>> back_project(net, torch.ones(1, 2), wanted, steps=99, rates=[0.25], mean_over="sum").round()
    tensor([[1., 0.]])
    """
    if mean_over not in ("batch", "units", "sum"):
        raise ValueError(f"mean_over = {mean_over!r}: expected 'batch', 'units' or 'sum'")
    if steps < 0 or batch < 1:
        raise ValueError(f"steps = {steps}, batch = {batch}: expected at least 0 and 1")
    per = {"batch": lambda a: a[0].numel() * batch, "units": lambda a: a[0].numel(), "sum": lambda a: 1}[mean_over]
    x = x.detach()
    for _ in range(steps):
        x.requires_grad_()
        with torch.enable_grad():
            terms = _terms(activations(model, x), wanted, rates)
            loss = sum(rate / per(a) * (a - t).square().sum() for rate, a, t in terms)
            (gradient,) = torch.autograd.grad(loss, x)
        x = (x - gradient).detach()
    return x


def _terms(found: list[Tensor], wanted: list[Tensor | None], rates) -> list[tuple[float, Tensor, Tensor]]:
    """The rate, the activation and what is wanted of it, of each layer that is not left out."""
    if len(rates) != len(found) or any(rate < 0 for rate in rates):
        raise ValueError(f"rates = {list(rates)}: expected one for each of {len(found)} hidden layers, 0 or more")
    shapes = [None if t is None else tuple(t.shape) for t in wanted]
    if len(wanted) != len(found) or any(s not in (None, tuple(a.shape)) for s, a in zip(shapes, found, strict=True)):
        raise ValueError(
            f"wanted activations of {shapes}: expected {[tuple(a.shape) for a in found]}, or None for a layer"
        )
    if not any(shapes):
        raise ValueError("wanted activations for no layer: give them for at least one")
    return [(rate, a, t) for rate, a, t in zip(rates, found, wanted, strict=True) if t is not None]


@torch.no_grad()
def solve(
    model: nn.Sequential, x: Tensor, wanted: list[Tensor | None], *, steps: int = 5, rates=(300.0, 30.0)
) -> Tensor:
    """x* [B, ...] for the objective of `back_project`, in fewer passes: conjugate gradients, for each image apart.

    The objective is Σ_i rate_i E_i with E_i a mean over units. The length of a step is the one that the linearised
    network asks for (Gauss and Newton's), and quartered while the error would rise, twice at most; an image whose
    error would still rise stays where it is, and tries shorter steps straight downhill from then on. Directions are
    preconditioned by (½ WᵀW + μ)⁻¹, W the weights of the first linear layer and μ a hundredth of the mean of ½ WᵀW's
    diagonal: as if half of its units were active. A step takes three passes (forward, backward, a derivative forward)
    where descent takes two. Minima are local: two ways to them may end in two. Arguments and errors as there.
    """
    shape, count = x.shape, len(x)
    weight = next(layer for layer in model if isinstance(layer, nn.Linear)).weight
    half = weight.T @ weight / 2
    half.diagonal().add_(half.diagonal().mean() / 100)
    metric = torch.linalg.inv(half)

    def residual(z):
        terms = _terms(activations(model, z.reshape(shape)), wanted, rates)
        return torch.cat([math.sqrt(rate / a[0].numel()) * (a - t).flatten(1) for rate, a, t in terms], 1)

    def dot(a, b):
        return (a * b).sum(1, keepdim=True)

    x = x.detach().reshape(count, -1)
    r, backward = torch.func.vjp(residual, x)
    direction = before = slope = None
    reach = torch.ones_like(x[:, :1])
    for _ in range(steps):
        (gradient,) = backward(r)
        downhill = -gradient @ metric
        if direction is None:
            direction = downhill
        else:
            turn = -dot(gradient - before, downhill) / slope.clamp_min(1e-30)
            direction = downhill + turn.clamp_min(0) * direction
            direction = torch.where((dot(direction, gradient) < 0) & (reach == 1), direction, downhill)
        before, slope = gradient, -dot(gradient, downhill)
        _, change = torch.func.jvp(residual, (x,), (direction,))
        length = -reach * dot(gradient, direction) / dot(change, change).clamp_min(1e-30)
        for _ in range(3):
            new, back = torch.func.vjp(residual, x + length * direction)
            worse = dot(new, new) > dot(r, r)
            if not worse.any():
                break
            length = torch.where(worse, length / 4, length)
        else:
            length = torch.where(worse, 0.0, length)
            new, back = torch.func.vjp(residual, x + length * direction)
        reach = torch.where(length == 0, reach / 16, (4 * reach).clamp_max(1.0))
        x, r, backward = x + length * direction, new, back
    return x.reshape(shape)
