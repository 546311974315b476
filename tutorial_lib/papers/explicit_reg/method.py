"""The method of "Explicit Regularisation in Gaussian Noise Injections", equation by equation.

Gaussian noise in the data and in every hidden layer adds to the expected loss. To second order in the noise the added
term is a penalty on the Jacobians of the logits (eq. 10) and a term in their curvature, which the paper drops.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ... import measure
from ...inject import inject
from ...measure import deviation, grams, jacobians, noised
from ...noise import ActivationNoise
from ...train import l2 as l2  # a control
from ...train import penalty as penalty  # the regularisers' way into `fit`; callers find it here

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
    noise = ActivationNoise("gaussian", deviation(variance), alpha_inference=0.0, multiplicative=multiplicative)
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
    deviation(variance)
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
    deviation(variance)
    output, found = grams(model, x, _layers(model, layers), multiplicative, create_graph)
    p = output.softmax(1)
    return variance / 2 * sum((p * (1 - p) * gram.diagonal(dim1=1, dim2=2)).sum(1) for gram in found)


def input_gradient(
    model: nn.Module, x: Tensor, strength: float, loss: str = "cross-entropy", create_graph: bool = False
) -> Tensor:
    """½ λ ||∇_x L(x, ŷ)||² of every sample [B], λ = `strength`: a penalty on the gradient in the data alone; a control.

    ŷ is drawn anew from what the model predicts, with a density in proportion to exp(-L): a class of softmax(h), or
    N(h, ½) for eq. (11). Then the mean over ŷ is the data's term of eq. (10) at σ² = λ, for a single backward pass.
    (Its gradient in the weights is another: it holds ŷ fixed.)
    """
    _check_loss(loss)
    x = x.detach().requires_grad_()
    output = model(x)
    if loss == "squared error":
        drawn = output.detach() + torch.randn_like(output) / 2**0.5
    else:
        drawn = output.detach().softmax(1).multinomial(1)[:, 0]
    (gradient,) = torch.autograd.grad(LOSSES[loss](output, drawn).sum(), x, create_graph=create_graph)
    return strength / 2 * gradient.flatten(1).square().sum(1)


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
    deviation(variance)
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

    `tutorial_lib.measure.loss_change` for the paper's losses and, by default, all `noised_layers`.
    """
    _check_loss(loss)
    return measure.loss_change(model, x, y, variance, _layers(model, layers), LOSSES[loss], pairs, seed)


def accumulated_noise(model: nn.Module, x: Tensor, noises: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The noise that reaches the output, E_L, and Prop. 1's first order Σ_k J_k ε_k (eq. 9), each [B, C].

    `noises` holds ε_k, shaped like the output of the layer it is named after.
    """
    names = _layers(model, list(noises))
    with torch.no_grad():
        exact = noised(model, x, noises) - model(x)
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


def _split(model: nn.Sequential, x: Tensor, name: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """h_k behind the layer `name`, and the rest of the network as a function of it."""
    names = [child for child, _ in model.named_children()]
    place = names.index(name) + 1
    with torch.no_grad():
        hidden = model[:place](x)
    return hidden, model[place:]


def _check_loss(loss: str) -> None:
    if loss not in LOSSES:
        raise ValueError(f"loss = {loss!r}: expected one of {', '.join(LOSSES)}")
