"""What is measured of a network: Jacobians, curvature, the effect of noise, spectra, calibration, and attacks."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .noise import check_alpha


def jacobians(model: nn.Module, x: Tensor, layers: list[str]) -> list[Tensor]:
    """The Jacobians J_k = ∂ output / ∂ h_k of every sample, h_k the outputs of the modules named in `layers`.

    "Explicit Regularisation in Gaussian Noise Injections", section 3. `x` is [B, ...], the model's output [B, C];
    returns for each layer [B, C, N_k]. One batched vector-Jacobian pass serves all layers. Raises `ValueError` for a
    layer that is not there, is never called, or is called more than once in the pass (which output would be meant?).

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    >>> torch.allclose(jacobians(net, torch.ones(3, 2), ["0"])[0][0], net[1].weight)
    True
    """
    output, hidden, _ = _activations(model, x, layers)
    return [rows.detach() for rows in _rows(output, hidden, create_graph=False)]


def grams(
    model: nn.Module, x: Tensor, layers: list[str], multiplicative: bool = False, create_graph: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The model's output [B, C] on `x` [B, ...], and G_k = J_k J_kᵀ [B, C, C] for each of `layers`.

    "Explicit Regularisation in Gaussian Noise Injections", App. C.4: the covariance of the outputs under unit noise in
    layer k. Its diagonal holds the squared row norms of J_k, its trace is ||J_k||_F². With `multiplicative` the noise
    scales with the activation (eq. 5): G_k = J_k diag(h_k²) J_kᵀ. With `create_graph` the results can be
    differentiated once more.

    All layers share one batched vector-Jacobian pass. Where, in an `nn.Sequential`, a linear layer with weights W comes
    right after the first of `layers`, J_0 = A W is not formed if it costs more than W Wᵀ: G_0 = A (W Wᵀ) Aᵀ.
    """
    output, hidden, linear = _activations(model, x, layers)
    wanted, weights = list(hidden), None
    with torch.set_grad_enabled(create_graph):
        if linear is not None and not multiplicative:
            module, after = linear
            if output.numel() > module.out_features < module.in_features:
                wanted[0], weights = after, module.weight @ module.weight.T
        found = []
        for k, rows in enumerate(_rows(output, wanted, create_graph)):
            if multiplicative:
                rows = rows * hidden[k].flatten(1)[:, None]
            left = rows @ weights if k == 0 and weights is not None else rows
            found.append(left @ rows.mT)
    return output if create_graph else output.detach(), found


def _activations(model: nn.Module, x: Tensor, layers: list[str]):
    """Output, the activations of `layers`, and the linear layer right after the first with its output, if any."""
    children = list(model._modules) if type(model).forward is nn.Sequential.forward else []
    after = children[children.index(layers[0]) + 1 :][:1] if layers and layers[0] in children else []
    after = [name for name in after if isinstance(model._modules[name], nn.Linear) and not _hooks(model._modules[name])]
    with torch.enable_grad():
        output, hidden = _hidden(model, x.detach().requires_grad_().clone(), layers, after)
    if output.ndim != 2:
        raise ValueError(f"the model's output has shape {tuple(output.shape)}: expected [batch, outputs]")
    flat = after and after[0] in hidden and hidden[after[0]].ndim == 2
    linear = (model._modules[after[0]], hidden[after[0]]) if flat else None
    return output, [hidden[name] for name in layers], linear


def _hooks(module: nn.Module) -> list[Callable]:
    return [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def _hidden(model: nn.Module, x: Tensor, layers: list[str], more: list[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
    """The output, and the activation behind each of `layers` by name; and of `more`, where they are called once."""
    known = dict(model.named_modules(remove_duplicate=False))
    unknown = [name for name in layers if name not in known]
    if unknown or not layers:
        raise ValueError(f"no module named {(unknown or [''])[0]!r}; the model has {', '.join(filter(None, known))}")
    kept = {name: [] for name in (*layers, *more)}

    def keep(name):
        def hook(module, inputs, output):
            kept[name].append(output)
            # passed on as a clone, so that a module that works in place leaves what is kept alone
            return output.clone() if isinstance(output, Tensor) else None

        return hook

    with _hooked(model, {name: keep(name) for name in kept}):
        output = model(x)
    for name in layers:
        if len(kept[name]) != 1:
            raise ValueError(f"module {name!r} is called {len(kept[name])} times in a pass: expected once")
        if not isinstance(kept[name][0], Tensor):
            raise ValueError(f"module {name!r} gives a {type(kept[name][0]).__name__}: expected one tensor")
    return output, {name: calls[0] for name, calls in kept.items() if len(calls) == 1}


@contextlib.contextmanager
def _hooked(model: nn.Module, hooks: dict[str, Callable]):
    """Forward hooks behind the named modules, for as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        for name, hook in hooks.items():
            stack.callback(model.get_submodule(name).register_forward_hook(hook).remove)
        yield


def _rows(output: Tensor, wanted: list[Tensor], create_graph: bool) -> list[Tensor]:
    """∂ output / ∂ wanted as [B, C, N] for each of `wanted`: one backward pass for the C unit vectors together."""
    count = output.shape[1]
    units = torch.eye(count, dtype=output.dtype, device=output.device)[:, None].expand(-1, len(output), -1)
    found = torch.autograd.grad(output, wanted, units, is_grads_batched=True, create_graph=create_graph)
    return [g.flatten(2).transpose(0, 1) for g in found]


def hessian_trace(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    probes: int | None = 32,
    seed: int = 0,
) -> dict[str, float]:
    """Trace of the Hessian of the mean loss in the weights, H_ij = ∂²L / ∂w_i ∂w_j, by module (their sum is Tr H).

    Hutchinson's estimator: for v with independent signs ±1, E[vᵀ H v] = Tr H, and the part of vᵀ(Hv) that belongs to a
    module estimates the trace of that module's own block. `probes` Hessian-vector products are averaged, drawn with
    `seed`; None: exact, one product a parameter (small networks). A frozen parameter is left out, one that the loss
    does not depend on counts 0, and one that several modules share counts once, for the first of them. The model is
    left as it was.

    >>> net = nn.Linear(2, 1, bias=False)  # L = mean (w·x - y)², so H = 2 mean x xᵀ, of trace 2 (1 + 4) = 10
    >>> hessian_trace(net, torch.tensor([[1.0, 2.0]]), torch.zeros(1, 1), nn.functional.mse_loss, probes=None)
    {'': 10.0}
    """
    if probes is not None and probes < 1:
        raise ValueError(f"probes = {probes}: expected at least 1, or None for the exact trace")
    names = [name for name, w in model.named_parameters() if w.requires_grad]
    weights = [model.get_parameter(name) for name in names]
    if not weights:
        raise ValueError("the model has no parameter that requires a gradient: there is no Hessian to take a trace of")
    with torch.enable_grad():
        gradient = torch.autograd.grad(loss(model(x), y), weights, create_graph=True, materialize_grads=True)
    curved = [k for k, g in enumerate(gradient) if g.requires_grad]  # the others are constant
    generator = torch.Generator(x.device).manual_seed(seed)

    def signs():
        for _ in range(probes):
            yield [torch.randint(0, 2, w.shape, generator=generator, device=x.device) * 2.0 - 1 for w in weights]

    def units():
        for k, w in enumerate(weights):
            for i in range(w.numel()):
                vectors = [torch.zeros(v.shape, device=x.device) for v in weights]
                vectors[k].view(-1)[i] = 1
                yield vectors

    total = torch.zeros(len(weights), dtype=torch.float64)
    for vectors in units() if probes is None else signs():
        vectors = [v.to(w.dtype) for v, w in zip(vectors, weights, strict=True)]
        if curved:
            some, along = ([values[k] for k in curved] for values in (gradient, vectors))
            product = torch.autograd.grad(some, weights, along, retain_graph=True, materialize_grads=True)
            total += torch.tensor([(v * p).sum() for v, p in zip(vectors, product, strict=True)])
    found = {}
    for name, value in zip(names, (total / (probes or 1)).tolist(), strict=True):
        module = name.rpartition(".")[0]
        found[module] = found.get(module, 0.0) + value
    return found


def deviation(variance: float) -> float:
    """σ of a variance σ²; `ValueError` unless that is finite and not negative."""
    if not 0 <= variance < float("inf"):
        raise ValueError(f"variance σ² = {variance!r}: expected a finite number, 0 or more")
    return variance**0.5


def noised(model: nn.Module, x: Tensor, noises: dict[str, Tensor]) -> Tensor:
    """The model's output on `x` [B, ...] with ε_k added behind the modules that `noises` names.

    ε_k has the shape of that module's output, or one that broadcasts to it.

    >>> net = nn.Sequential(nn.Identity(), nn.Flatten())
    >>> noised(net, torch.ones(1, 2), {"0": torch.tensor([[0.0, 3.0]])})
    tensor([[1., 4.]])
    """
    with _hooked(model, {n: lambda module, inputs, output, e=e: output + e for n, e in noises.items()}):
        return model(x)


def loss_change(
    model: nn.Module, x: Tensor, y: Tensor, variance: float, layers: list[str],
    loss: Callable[[Tensor, Tensor], Tensor], pairs: int = 1000, seed: int = 0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """E[ΔL], the mean growth of the loss under Gaussian noise, and its standard error, of every sample [B] each.

    Noise of `variance` σ² is added behind each of `layers`, by Monte Carlo over antithetic pairs ±ε: a pair's mean has
    no term of first order in ε, so that the standard error falls as fast as E[ΔL] itself. ``loss(output, y)`` gives a
    number a sample [B].

    >>> square = lambda h, y: (h - y).square().sum(1)  # E[ΔL] = σ² ||w||²
    >>> net = nn.Sequential(nn.Identity(), nn.Linear(2, 1))
    >>> change, error = loss_change(net, torch.ones(1, 2), torch.zeros(1, 1), 0.01, ["0"], square)
    >>> bool((change - 0.01 * net[1].weight.square().sum()).abs() < 5 * error)
    True
    """
    sigma = deviation(variance)
    if pairs < 2:
        raise ValueError(f"pairs = {pairs}: expected at least 2, for a standard error")
    generator = torch.Generator(x.device).manual_seed(seed)
    with torch.no_grad():
        output, hidden = _hidden(model, x, layers)
        clean = loss(output, y)
        if clean.shape != (len(x),):
            raise ValueError(f"the loss has shape {tuple(clean.shape)}: expected a number a sample, [{len(x)}]")
        total, squares = torch.zeros_like(clean), torch.zeros_like(clean)
        for _ in range(pairs):
            noises = {
                name: sigma * torch.randn(h.shape, generator=generator, dtype=h.dtype, device=h.device)
                for name, h in hidden.items()
            }
            signed = ({name: sign * e for name, e in noises.items()} for sign in (1, -1))
            both = [loss(noised(model, x, noise), y) - clean for noise in signed]
            change = (both[0] + both[1]) / 2
            total += change
            squares += change**2
    mean = total / pairs
    return mean, ((squares / pairs - mean**2).clamp(0) / (pairs - 1)).sqrt()


def spectrum(values: Tensor) -> Tensor:
    """Amplitudes of the frequencies 0 … N/2 of values [..., N] at z = 0, 1/N, …, (N-1)/N (discrete Fourier transform).

    A sine sin(2πkz + φ) has amplitude 1 at k (0 < k < N/2) and 0 elsewhere.

    >>> z = torch.arange(8) / 8
    >>> spectrum(torch.sin(2 * torch.pi * 2 * z)).round().abs()
    tensor([0., 0., 1., 0., 0.])
    """
    count = values.shape[-1]
    amplitudes = 2 * torch.fft.rfft(values).abs() / count
    amplitudes[..., 0] /= 2
    if count % 2 == 0:
        amplitudes[..., -1] /= 2
    return amplitudes


def corrupt(x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """`x` [N, ...] with Gaussian noise of deviation `sigma` added to every element, not clipped.

    The accuracy of a network on ``corrupt(x, sigma)`` over `sigma` is its sensitivity curve ("Explicit Regularisation
    in Gaussian Noise Injections", Fig. 3(a)). The same `seed` gives the same noise up to its scale.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x + check_alpha(sigma) * noise


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    delta: float,
    steps: int = 10,
    step: float | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> Tensor:
    """Projected gradient descent: `x` [B, ...] moved up the loss, no element by more than `delta`.

    "Noise Injection Node Regularization", App. C.1: `steps` times the step x + `step` sign(∇ₓ L) of eq. (17), each
    followed by the projection onto |x' - x| ≤ `delta`. `step` is 2.5 `delta` / `steps` unless given; the start is `x`
    itself; nothing is clipped to a range of pixels. The model is taken as it is (in evaluation mode, as a rule).
    """
    if steps < 1 or (step is not None and step <= 0):
        raise ValueError(f"steps = {steps}, step = {step}: expected at least 1, and a positive step")
    delta, x = check_alpha(delta), x.detach()
    step = 2.5 * delta / steps if step is None else step
    moved = x
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(model(moved), y)
        moved = moved.detach() + step * torch.autograd.grad(value, moved)[0].sign()
        moved = torch.clamp(moved, x - delta, x + delta)
    return moved


def fgsm(model: nn.Module, x: Tensor, y: Tensor, delta: float, loss=nn.functional.cross_entropy) -> Tensor:
    """Fast gradient sign method: x + δ sign(∇ₓ L) for `x` [B, ...] and targets `y` [B].

    "Noise Injection Node Regularization", eq. (17).

    >>> net = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(net.weight, -1.0)
    >>> fgsm(net, torch.zeros(1, 2), torch.ones(1, 1), 0.5, nn.functional.mse_loss)  # the loss grows with x
    tensor([[0.5000, 0.5000]])
    """
    return pgd(model, x, y, delta, steps=1, step=delta, loss=loss) if delta != 0 else x.detach()


def reliability(probabilities: Tensor, y: Tensor, bins: int = 15):
    """Reliability diagram: a DataFrame with ``confidence``, ``accuracy`` (0 to 1) and ``share`` of each filled bin.

    "Explicit Regularisation in Gaussian Noise Injections", eqs. (44)-(45). `probabilities` is [N, C], `y` [N]; the
    `bins` split the confidence, the largest probability, evenly from 0 to 1 (index ``bin``, from 0). Raises
    `ValueError` for probabilities that are not finite (as those of a diverged network) or not from 0 to 1.
    """
    import pandas as pd

    if bins < 1:
        raise ValueError(f"bins = {bins}: expected at least 1")
    if probabilities.ndim != 2 or y.ndim != 1:
        shapes = f"probabilities of shape {tuple(probabilities.shape)} and labels of shape {tuple(y.shape)}"
        raise ValueError(f"{shapes}: expected [N, C] and [N]")
    if len(y) != len(probabilities) or len(y) == 0:
        raise ValueError(f"{len(probabilities)} predictions and {len(y)} labels: expected as many, and at least one")
    unfit = {
        "not finite: a diverged network has no calibration": ~probabilities.isfinite(),
        "not from 0 to 1: expected probabilities, not logits": (probabilities < 0) | (probabilities > 1 + 1e-6),
    }
    for what, where in unfit.items():
        if count := int(where.any(1).sum()):
            raise ValueError(f"{count} of {len(y)} predictions hold numbers that are {what}")
    confidence, predicted = probabilities.double().max(1)
    table = pd.DataFrame(
        {
            "bin": np.clip(np.ceil(confidence.cpu().numpy() * bins) - 1, 0, bins - 1).astype(int),  # (a, b]
            "confidence": confidence.cpu().numpy(),
            "accuracy": (predicted == y).double().cpu().numpy(),
            "share": 1 / len(y),
        }
    )
    return table.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "share": "sum"})


def calibration_error(probabilities: Tensor, y: Tensor, bins: int = 15) -> float:
    """Expected calibration error in percent, the share-weighted |accuracy - confidence| over bins.

    "Explicit Regularisation in Gaussian Noise Injections", eq. (46); arguments as for `reliability`.

    >>> calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))
    25.0
    """
    table = reliability(probabilities, y, bins)
    return 100 * float((table["share"] * (table["accuracy"] - table["confidence"]).abs()).sum())


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy -Σ p log p of each prediction [N, C], in nats: 0 for certainty, log C for a guess."""
    return torch.special.entr(probabilities).sum(-1)
