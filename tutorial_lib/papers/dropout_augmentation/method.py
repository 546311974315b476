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
    as `multipliers` does.

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
    `ValueError` for a p outside (0, 1).

    >>> dropped(2, 0.5).round(3).tolist()
    [0.25, 0.5, 0.25]
    >>> dropped(1, 0.5, random=True).round(3).tolist()
    [0.75, 0.25]
    """
    from scipy import special, stats

    if not 0 < p < 1:
        raise ValueError(f"noise level p = {p!r}: expected a probability of dropping between 0 and 1")
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

    With `masks` (one for each of them, [B, d_i], from `multipliers` or made by hand) each layer's activation is
    multiplied by its mask, and the next layer sees it so: f̃^(i)(x). Without, f^(i)(x). The model is read as in
    evaluation.
    """
    count = sum(isinstance(layer, nn.ReLU) for layer in model)
    if not count:
        raise ValueError("the model has no nn.ReLU among its layers: expected a Sequential with hidden ReLU layers")
    if masks is not None and len(masks) != count:
        raise ValueError(f"{len(masks)} masks for {count} hidden layers: expected one each")
    found = []
    with evaluating(model):
        for layer in model:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                x = x if masks is None else x * masks[len(found)]
                found.append(x)
                if len(found) == count:
                    return found


def back_project(
    model: nn.Sequential, x: Tensor, wanted: list[Tensor | None], *, steps: int = 20, rates=(300.0, 30.0),
    mean_over: str = "batch", batch: int = 100,
) -> Tensor:  # fmt: skip
    """Eqs. (5) and (8) as in section 5.2: x* [B, ...] by gradient descent from `x`, for each image apart.

    `wanted` holds f̃^(i)(x) for each hidden layer (`activations` with masks), or None for a layer that is left out: one
    layer alone gives x^(i)*, all of them one x* for the network. A step goes down the gradient of Σ_i rate_i E_i, with
    E_i the squared error of layer i. The paper leaves open what it is a mean over: units and a minibatch of `batch`
    images ("batch", our reading: the only one in which rates of 300 and 30 converge), "units", or nothing ("sum").

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> _ = net[0].weight.data.copy_(torch.eye(2)), net[0].bias.data.zero_()
    >>> wanted = [torch.tensor([[1.0, 0.0]])]
    >>> back_project(net, torch.ones(1, 2), wanted, steps=99, rates=[0.25], mean_over="sum").round()
    tensor([[1., 0.]])
    """
    if mean_over not in ("batch", "units", "sum"):
        raise ValueError(f"mean_over = {mean_over!r}: expected 'batch', 'units' or 'sum'")
    per = {"batch": lambda a: a[0].numel() * batch, "units": lambda a: a[0].numel(), "sum": lambda a: 1}[mean_over]
    x = x.detach()
    for _ in range(steps):
        x.requires_grad_()
        with torch.enable_grad():
            found = activations(model, x)
            _check_wanted(wanted, found)
            errors = [(a - t).square().sum() / per(a) for a, t in zip(found, wanted, strict=True) if t is not None]
            used = [rate for rate, t in zip(rates, wanted, strict=True) if t is not None]
            (gradient,) = torch.autograd.grad(sum(r * e for r, e in zip(used, errors, strict=True)), x)
        x = (x - gradient).detach()
    return x


def _check_wanted(wanted: list[Tensor | None], found: list[Tensor]) -> None:
    shapes = [None if t is None else tuple(t.shape) for t in wanted]
    if len(wanted) != len(found) or any(s not in (None, tuple(a.shape)) for s, a in zip(shapes, found, strict=True)):
        raise ValueError(
            f"wanted activations of {shapes}: expected {[tuple(a.shape) for a in found]}, or None for a layer"
        )
    if not any(s for s in shapes):
        raise ValueError("wanted activations for no layer: give them for at least one")


def solve(
    model: nn.Sequential, x: Tensor, wanted: list[Tensor | None], *, steps: int = 5, rates=(300.0, 30.0)
) -> Tensor:
    """The same minimum as `back_project`'s, in fewer passes: conjugate gradients, x* [B, ...].

    For each image apart. The length of a step is the one that the linearised network asks for (Gauss and Newton's), and
    quartered while the error would rise, twice at most; then the image stays where it is for this step. Directions are
    preconditioned by (½ WᵀW + μ)⁻¹, W the weights of the first linear layer, μ a twentieth of ½ WᵀW's mean diagonal:
    as if half of its units were active. A step takes three passes (forward, backward, and one forward derivative) where
    descent takes two. Arguments as there.
    """
    shape, count = x.shape, len(x)
    weight = next(layer for layer in model if isinstance(layer, nn.Linear)).weight.detach()
    half = weight.T @ weight / 2
    half.diagonal().add_(half.diagonal().mean() / 100)
    metric = torch.linalg.inv(half)
    factors = [math.sqrt(rate / t[0].numel()) if t is not None else None for rate, t in zip(rates, wanted, strict=True)]

    def residual(z):
        found = activations(model, z.reshape(shape))
        _check_wanted(wanted, found)
        return torch.cat(
            [(f * (a - t)).flatten(1) for f, a, t in zip(factors, found, wanted, strict=True) if t is not None], 1
        )

    def squares(r):
        return r.square().sum(1, keepdim=True)

    x = x.detach().reshape(count, -1)
    r, backward = torch.func.vjp(residual, x)
    direction = before = slope_before = None
    for _ in range(steps):
        (gradient,) = backward(r)
        downhill = -gradient @ metric
        slope = -(gradient * downhill).sum(1, keepdim=True)
        if direction is None:
            direction = downhill
        else:
            turn = -((gradient - before) * downhill).sum(1, keepdim=True) / slope_before.clamp_min(1e-30)
            direction = downhill + turn.clamp_min(0) * direction
            direction = torch.where((direction * gradient).sum(1, keepdim=True) < 0, direction, downhill)
        _, change = torch.func.jvp(residual, (x,), (direction,))
        length = -(gradient * direction).sum(1, keepdim=True) / squares(change).clamp_min(1e-30)
        for _ in range(3):
            new, back = torch.func.vjp(residual, x + length * direction)
            worse = squares(new) > squares(r)
            if not worse.any():
                break
            length = torch.where(worse, length / 4, length)
        else:
            length = torch.where(worse, 0.0, length)
            new, back = torch.func.vjp(residual, x + length * direction)
        x, r, backward = x + length * direction, new, back
        before, slope_before = gradient, slope
    return x.reshape(shape)
