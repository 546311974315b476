"""What VPN maximises a bound of, exactly: tasks of finitely many x and y with p(y|x) known, and noise in one number.

Equations are those of "Variational Positive-incentive Noise". A task is `p_x` [X] = p(x) and `p_y` [X, K] = p(y|x).
The noise is p(ε|x, y) = N(0, s²), eq. (20), with a width s for each x and y, `widths` [X, K]. Entropies are in nats,
numbers float64. Many x on a line, `p_x` their share, stand for a continuous x.

A base model comes in as ``log_q(i, ε)``: for indices `i` [N] of x and noises ε [N, n], log q(y | x_i, ε), [N, n, K].
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

LogQ = Callable[[Tensor, Tensor], Tensor]


def base_model(base: nn.Module, points: Tensor) -> LogQ:
    """q(y | x, ε) = softmax(base(x + ε)), eq. (19), for `points` x [X] on a line; `base` takes [..., 1] to [..., K]."""
    return lambda i, epsilon: base((points[i, None] + epsilon)[..., None]).log_softmax(-1).detach()


def posterior(p_y: Tensor, widths: Tensor) -> LogQ:
    """p(y | x, ε) by Bayes' rule, p(y|x) p(ε|x, y) / Σ_y' p(y'|x) p(ε|x, y'): the best q, with which the gap is 0."""
    _check(p_y, widths)
    return lambda i, epsilon: _log_joint(p_y[i], widths[i], epsilon).log_softmax(-1)


def task_entropy(p_x: Tensor, p_y: Tensor) -> float:
    """H(T) = E_{x ~ p(x)} H(p(y|x)), eq. (4).

    >>> round(task_entropy(torch.tensor([0.5, 0.5]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])), 4)  # ½ log 2
    0.3466
    """
    p_x, p_y = _check_task(p_x, p_y)
    return float(p_x @ torch.special.entr(p_y).sum(1))


def conditional_entropy(p_x: Tensor, p_y: Tensor, widths: Tensor, count: int = 4001) -> float:
    """H(T|E) = -∫ p(x) p(y, ε|x) log p(y|x, ε) dy dε dx, eq. (9): over x ~ p(x), y ~ p(y|x), ε ~ p(ε|x, y).

    By quadrature with `count` points for each x.
    """
    return -_expected_log(p_x, p_y, widths, posterior(p_y, widths), count)


def information(p_x: Tensor, p_y: Tensor, widths: Tensor, count: int = 4001) -> float:
    """I(T, E) = H(T) - H(T|E), eqs. (5) to (9): what the noise tells about the label of an x that is known.

    0 where the widths of an x do not differ between its labels; H(T) in the limit where they tell the label for sure.

    >>> half, sure = torch.tensor([[0.5, 0.5]]), torch.tensor([[1e-9, 1.0]])
    >>> abs(information(torch.ones(1), half, torch.ones(1, 2))) < 1e-12
    True
    >>> round(information(torch.ones(1), half, sure) / math.log(2), 6)
    1.0
    """
    return task_entropy(p_x, p_y) - conditional_entropy(p_x, p_y, widths, count)


def lower_bound(p_x: Tensor, p_y: Tensor, widths: Tensor, log_q: LogQ, count: int = 4001) -> float:
    """The bound L + H(T) of I(T, E), eqs. (10) and (11), with L = E_{x, y ~ p(x, y)} E_{ε ~ p(ε|x, y)} log q(y|x, ε).

    L, eqs. (13) and (14), draws y first, then ε for that y: the label that is looked up in q is the one that the noise
    was made for. By quadrature with `count` points for each x, exponentially fast where q is smooth.
    """
    return _expected_log(p_x, p_y, widths, log_q, count) + task_entropy(p_x, p_y)


def gap(p_x: Tensor, p_y: Tensor, widths: Tensor, log_q: LogQ, count: int = 4001) -> float:
    """I(T, E) less the bound: E_{x ~ p(x)} E_{ε ~ p(ε|x)} KL(p(y|x, ε) || q(y|x, ε)), by an integral of its own.

    For I - (L + H(T)) = ∫ p(x) p(y, ε|x) (log p(y|x, ε) - log q(y|x, ε)) by eqs. (9) and (11), and p(y, ε|x) =
    p(ε|x) p(y|x, ε): inequality (12) is used once for each x and ε, and ε is from the *mixture* over labels, p(ε|x) =
    Σ_y p(y|x) p(ε|x, y).
    """
    p_x, p_y = _check_task(p_x, p_y)
    _check(p_y, widths)
    epsilon, weights = quadrature(widths, count)
    i = torch.arange(len(p_x))
    log_joint = _log_joint(p_y, widths, epsilon)
    log_p = log_joint.log_softmax(-1)
    kl = _times_log(log_p.exp(), log_p - log_q(i, epsilon)).sum(-1)
    return float(p_x @ (weights * log_joint.logsumexp(-1).exp() * kl).sum(1))


def estimate(
    p_x: Tensor, p_y: Tensor, widths: Tensor, log_q: LogQ, n: int, m: int = 1, seed: int = 0
) -> tuple[float, float]:
    """Monte Carlo of `lower_bound` and its standard error: H(T) less the loss of eq. (17), on `n` samples of `m` draws.

    (x_i, y_i) ~ p(x) p(y|x), ε_ij ~ p(ε | x_i, y_i), as eqs. (15) and (17) have it. H(T) is the exact one: from one
    label an image it is not to be had. Unbiased, though each x_i has one label: y_i is a draw of p(y|x_i). Where labels
    are not draws but, say, each x's most probable class, give them as `p_y`: they are another task, of H(T) = 0.
    """
    entropy = task_entropy(p_x, p_y)
    _check(p_y, widths)
    if n < 2 or m < 1:
        raise ValueError(f"n = {n} samples, m = {m} draws: expected at least 2, for a standard error, and 1")
    generator = torch.Generator().manual_seed(seed)
    i = torch.multinomial(p_x, n, replacement=True, generator=generator)
    y = torch.multinomial(p_y[i], 1, generator=generator)  # [n, 1]
    epsilon = widths[i].gather(1, y) * torch.randn(n, m, dtype=torch.float64, generator=generator)
    log_q = log_q(i, epsilon).gather(2, y[:, None].expand(-1, m, -1))[..., 0].mean(1).double()
    return float(log_q.mean()) + entropy, float(log_q.std() / math.sqrt(n))


def quadrature(widths: Tensor, count: int = 4001) -> tuple[Tensor, Tensor]:
    """Points ε and weights [X, `count`] each, for integrals over ε under Gaussians of all the `widths` [X, K] of an x.

    The trapezoidal rule in u, ε = s sinh u, with s the least width of that x, up to 12 times its largest: as dense
    around 0 as the narrowest Gaussian needs, and as far out as the widest.
    """
    least, largest = widths.double().aminmax(dim=1)
    end = torch.asinh(12 * largest / least)
    u = torch.linspace(-1, 1, count, dtype=torch.float64) * end[:, None]
    weights = least[:, None] * torch.cosh(u) * (2 * end[:, None] / (count - 1))
    return least[:, None] * torch.sinh(u), weights  # the ends, 12 deviations out, count nothing


def _log_joint(p_y: Tensor, widths: Tensor, epsilon: Tensor) -> Tensor:
    """log p(y, ε|x) = log p(y|x) + log N(ε; 0, s²), [N, n, K], for p_y and widths [N, K] and ε [N, n]."""
    s = widths.double()[:, None]
    return p_y.double().log()[:, None] - (epsilon[..., None] / s).square() / 2 - (s * math.sqrt(2 * math.pi)).log()


def _expected_log(p_x, p_y, widths, log_q, count) -> float:
    """∫ p(x) p(y, ε|x) log q(y|x, ε) dy dε dx, eq. (13)."""
    p_x, p_y = _check_task(p_x, p_y)
    _check(p_y, widths)
    epsilon, weights = quadrature(widths, count)
    joint = _log_joint(p_y, widths, epsilon).exp()
    return float(p_x @ (weights * _times_log(joint, log_q(torch.arange(len(p_x)), epsilon)).sum(-1)).sum(1))


def _times_log(p: Tensor, log: Tensor) -> Tensor:
    """p · log, and 0 where p = 0."""
    return torch.where(p > 0, p * log, 0.0)


def _check_task(p_x: Tensor, p_y: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64; `ValueError` unless they are probabilities [X] and [X, K]."""
    if p_x.ndim != 1 or p_y.ndim != 2 or len(p_x) != len(p_y):
        raise ValueError(f"p(x) and p(y|x) of shape {tuple(p_x.shape)} and {tuple(p_y.shape)}: expected [X] and [X, K]")
    for name, p in (("p(x)", p_x), ("p(y|x)", p_y)):
        if (p < 0).any() or ((p.sum(-1) - 1).abs() > 1e-6).any():
            raise ValueError(f"{name} = {p.tolist()}: expected probabilities that add up to 1, for each x")
    return p_x.double(), p_y.double()


def _check(p_y: Tensor, widths: Tensor) -> None:
    """`ValueError` unless there is a positive width for each x and y."""
    if widths.shape != p_y.shape or not ((widths > 0) & widths.isfinite()).all():
        raise ValueError(f"widths = {widths.tolist()}: expected a positive number for each x and y, {tuple(p_y.shape)}")
