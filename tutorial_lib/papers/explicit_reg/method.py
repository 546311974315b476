"""The method of "Explicit Regularisation in Gaussian Noise Injections", equation by equation.

Gaussian noise in the data and in every hidden layer adds to the expected loss. To second order in the noise the added
term is a penalty on the Jacobians of the logits (eq. 10) and a term in their curvature, which the paper drops.
"""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...inject import inject
from ...measure import grams
from ...noise import ActivationNoise

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared error": lambda h, y: (y - h).square().sum(1),
    "cross-entropy": lambda h, y: nn.functional.cross_entropy(h, y, reduction="none"),
}
"""The losses of single samples: eq. (11), summed over outputs (`y` [B, C] numbers), and eq. (13) (`y` [B] labels)."""


def noised_layers(model: nn.Module) -> list[str]:
    """The layers that get noise: the data and every hidden layer, not the final one (section 3).

    >>> from tutorial_lib import mlp
    >>> noised_layers(mlp(4, 2))
    ['data', 'act1', 'act2']
    """
    return [name for name, _ in model.named_children() if name == "data" or name.startswith("act")]


def add_noise(model: nn.Module, variance: float, multiplicative: bool = False, layers: list[str] | None = None):
    """Inject Gaussian noise of `variance` σ² in training, in place: additive (eq. 4) or multiplicative (eq. 5).

    Behind the modules named in `layers`, by default all of `noised_layers`. In evaluation mode the noise is silent.
    Returns the names.
    """
    noise = ActivationNoise("gaussian", _deviation(variance), alpha_inference=0.0, multiplicative=multiplicative)
    return inject(model, noise, noised_layers(model) if layers is None else layers)


def output_hessian(output: Tensor, loss: str) -> Tensor:
    """H_L = ∂²L / ∂h_L² [B, C, C] at the network's output [B, C].

    Cross-entropy: diag(p) - p pᵀ, eq. (14), whatever the label. Squared error of eq. (11): 2 I (the paper says I).
    """
    _check_loss(loss)
    if loss == "squared error":
        return 2 * torch.eye(output.shape[1], dtype=output.dtype, device=output.device).expand(len(output), -1, -1)
    p = output.softmax(1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


def explicit_regulariser(
    model: nn.Module, x: Tensor, variance: float, loss: str = "cross-entropy", layers: list[str] | None = None,
    multiplicative: bool = False, create_graph: bool = False,
) -> Tensor:  # fmt: skip
    """R(x) = ½ Σ_k σ² Tr(J_kᵀ H_L J_k) of every sample [B]: eq. (10), with the full H_L.

    `x` is [B, ...]; `layers` as in `add_noise`. With `create_graph` it can be trained on.
    """
    _deviation(variance)
    output, found = grams(model, x, _layers(model, layers), multiplicative, create_graph)
    hessian = output_hessian(output, loss)  # Tr(Jᵀ H J) = Σ_ij H_ij (J Jᵀ)_ij
    return variance / 2 * sum((hessian * gram).sum((1, 2)) for gram in found)


def regression_regulariser(
    model: nn.Module, x: Tensor, variance: float, layers: list[str] | None = None,
    multiplicative: bool = False, create_graph: bool = False,
) -> Tensor:  # fmt: skip
    """R(x) = ½ Σ_k σ² ||J_k||_F² of every sample [B]: eq. (12) as printed, half of eq. (10) for eq. (11)."""
    return explicit_regulariser(model, x, variance, "squared error", layers, multiplicative, create_graph) / 2


def classification_regulariser(
    model: nn.Module, x: Tensor, variance: float, layers: list[str] | None = None,
    multiplicative: bool = False, create_graph: bool = False,
) -> Tensor:  # fmt: skip
    """R(x) = ½ Σ_k σ² Σ_ij (diag(H_L)ᵀ J_k²)_ij of every sample [B]: eq. (15), the diagonal part of eq. (10).

    `explicit_regulariser` less this is the sum of the off-diagonal terms, eq. (30), which the paper drops.
    """
    _deviation(variance)
    output, found = grams(model, x, _layers(model, layers), multiplicative, create_graph)
    p = output.softmax(1)
    return variance / 2 * sum((p * (1 - p) * gram.diagonal(dim1=1, dim2=2)).sum(1) for gram in found)


def penalty(regulariser: Callable[..., Tensor], variance: float, sample: int | None = None, **options):
    """The batch mean of a `regulariser` as a function (model, x) -> number, to be trained on (`fit`'s ``penalty``).

    With `sample`, the mean over that many images drawn from the batch without replacement: its expectation is the mean
    over the batch, at a fraction of the cost. `options` go to the regulariser.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample = {sample}: expected at least 1 image, or None for the whole batch")

    def value(model: nn.Module, x: Tensor) -> Tensor:
        if sample is not None and sample < len(x):
            x = x[torch.randperm(len(x), device=x.device)[:sample]]
        return regulariser(model, x, variance, create_graph=True, **options).mean()

    return value


def curvature_term(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    variance: float,
    loss: str = "cross-entropy",
    layers: list[str] | None = None,
) -> Tensor:
    """½ Σ_k σ² ∇L · Δ_k h_L of every sample [B]: the term of order σ² that Theorem 1 drops.

    Δ_k is the Laplacian in the activations of layer k, computed exactly, a second derivative a neuron (small networks).
    `y` is [B] labels or [B, C] numbers.
    """
    _check_loss(loss)
    _deviation(variance)
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for name in _layers(model, layers):
        hidden, rest = _split(model, x, name)
        output = rest(hidden)
        slope = torch.func.grad(lambda h: LOSSES[loss](h, y).sum())(output)
        flat = hidden.flatten(1)

        def value(h, rest=rest, hidden=hidden, slope=slope):
            return (rest(h.view(hidden.shape)) * slope).sum()

        def second(unit, flat=flat, value=value):
            directions = unit.expand_as(flat)
            return (torch.func.jvp(torch.func.grad(value), (flat,), (directions,))[1] * directions).sum(1)

        units = torch.eye(flat.shape[1], dtype=x.dtype, device=x.device)
        total += variance / 2 * torch.func.vmap(second, chunk_size=64)(units).sum(0)
    return total.detach()


def loss_change(
    model: nn.Module, x: Tensor, y: Tensor, variance: float, loss: str = "cross-entropy", pairs: int = 1000,
    layers: list[str] | None = None, seed: int = 0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """E[ΔL] of eq. (8) and its standard error, of every sample [B] each, by Monte Carlo over antithetic pairs ±ε.

    A pair's mean has no term of first order in ε, so that the standard error falls as fast as E[ΔL] itself.
    """
    _check_loss(loss)
    if pairs < 2:
        raise ValueError(f"pairs = {pairs}: expected at least 2, for a standard error")
    sigma, names = _deviation(variance), _layers(model, layers)
    generator = torch.Generator(x.device).manual_seed(seed)
    with torch.no_grad():
        clean = LOSSES[loss](model(x), y)
        hidden = _hidden(model, x, names)
        total, squares = torch.zeros_like(clean), torch.zeros_like(clean)
        for _ in range(pairs):
            noises = {
                name: sigma * torch.randn(h.shape, generator=generator, dtype=h.dtype, device=h.device)
                for name, h in hidden.items()
            }
            both = [LOSSES[loss](_noised(model, x, noises, sign), y) - clean for sign in (1, -1)]
            change = (both[0] + both[1]) / 2
            total += change
            squares += change**2
    mean = total / pairs
    return mean, ((squares / pairs - mean**2).clamp(0) / (pairs - 1)).sqrt()


def accumulated_noise(model: nn.Module, x: Tensor, noises: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The noise that reaches the output, E_L, and Prop. 1's first order Σ_k J_k ε_k (eq. 9), each [B, C].

    `noises` holds ε_k, shaped like the output of the layer it is named after.
    """
    from ...measure import jacobians

    names = _layers(model, list(noises))
    with torch.no_grad():
        exact = _noised(model, x, noises) - model(x)
    rows = jacobians(model, x, names)
    return exact, sum((j @ noises[n].flatten(1)[..., None])[..., 0] for n, j in zip(names, rows, strict=True))


def margin_bound(model: nn.Module, x: Tensor) -> Tensor:
    """M(x) = (h^A - h^B) / (√2 ||J_0||_F), eq. (19), of every sample [B], in units of the data.

    A and B are the most and the second most probable class; to first order, no change of `x` shorter than M moves the
    prediction. A flat network (J_0 = 0) has no bound: infinity.
    """
    output, (gram,) = grams(model, x, noised_layers(model)[:1])
    top = output.topk(2, dim=1).values
    norm = gram.diagonal(dim1=1, dim2=2).sum(1).sqrt()
    return torch.where(norm > 0, (top[:, 0] - top[:, 1]) / (2**0.5 * norm), float("inf"))


def _layers(model: nn.Module, layers: list[str] | None) -> list[str]:
    """`layers`, by default all noised layers; `ValueError` if there are none or one is not in the model."""
    names = noised_layers(model) if layers is None else layers
    known = dict(model.named_modules())
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"no layer {unknown[0] if unknown else layers!r}; the model has {', '.join(filter(None, known))}"
        )
    return names


@contextlib.contextmanager
def _hooked(model: nn.Module, hooks: dict[str, Callable]):
    """Forward hooks behind the named modules, for as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        for name, hook in hooks.items():
            stack.callback(model.get_submodule(name).register_forward_hook(hook).remove)
        yield


def _noised(model: nn.Module, x: Tensor, noises: dict[str, Tensor], sign: int = 1) -> Tensor:
    """The output with sign · ε_k added behind the layers that `noises` names."""
    with _hooked(model, {n: lambda module, inputs, output, e=e: output + sign * e for n, e in noises.items()}):
        return model(x)


def _hidden(model: nn.Module, x: Tensor, names: list[str]) -> dict[str, Tensor]:
    """The activations h_k behind the named layers."""
    found = {}
    with _hooked(model, {n: lambda module, inputs, output, n=n: found.__setitem__(n, output) for n in names}):
        model(x)
    return found


def _split(model: nn.Sequential, x: Tensor, name: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """h_k behind the layer `name`, and the rest of the network as a function of it."""
    names = [child for child, _ in model.named_children()]
    place = names.index(name) + 1
    with torch.no_grad():
        hidden = model[:place](x)
    return hidden, model[place:]


def _deviation(variance: float) -> float:
    if not 0 <= variance < float("inf"):
        raise ValueError(f"variance σ² = {variance!r}: expected a finite number, 0 or more")
    return variance**0.5


def _check_loss(loss: str) -> None:
    if loss not in LOSSES:
        raise ValueError(f"loss = {loss!r}: expected one of {', '.join(LOSSES)}")
