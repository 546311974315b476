"""Does an x* exist that gives a layer's activations under dropout exactly? For one ReLU layer this can be decided.

rect(W x* + b) = t, with t_j = m_j rect(W_j x + b_j), asks for W_j x* + b_j = t_j of the units that are active and kept
(t_j > 0), and for W_j x* + b_j <= 0 of all others. These are half-spaces and hyperplanes: their intersection is
convex, and both that it is not empty and that it is can be shown by numbers (equations are those of "Dropout as Data
Augmentation").
"""

import math

import numpy as np
import torch
from torch import Tensor


def violations(weight: Tensor, bias: Tensor, x: Tensor, wanted: Tensor) -> Tensor:
    """How far `x` [B, d] is from giving the `wanted` activations [B, N], unit by unit, [B, N].

    W_j x + b_j - t_j where t_j > 0 is wanted, else max(0, W_j x + b_j). All are 0 just where eq. (4) holds as an
    equality.
    """
    h = x @ weight.T + bias
    return torch.where(wanted > 0, h - wanted, h.clamp_min(0))


def nearest(weight: Tensor, bias: Tensor, x: Tensor, wanted: Tensor, decades=range(-2, -11, -2)):
    """The x* nearest to `x` [B, d] that gives the `wanted` activations [B, N] exactly, or a proof that none is near.

    Minimises ½ Σ_j v_j² + ½ ε |x* - x|² over x*, v the `violations`: convex, and quadratic in pieces, so that
    Newton's method ends after a few steps; ε falls from 10^-2 to 10^-10 (`decades`) times the mean square of the
    weights' columns. Computed in float64.

    Returns x* [B, d], the largest violation at x* [B], and a `bound` [B]: no exact x* lies nearer to `x` than that.
    For if one lies at the distance D, the minimum is at most ½ ε D²; and it is at least the value reached, less
    |gradient|² / 2ε, since the function is strongly convex. Where an x* exists, bound and distance meet; where none
    does, the bound grows without end as ε falls. (It is good to rounding: about 1e-5 of the distance at worst.)

    >>> W, b = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> x_star, worst, bound = nearest(W, b, torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 0.0]]))
    >>> (x_star.abs() + 1e-6).round(decimals=3).tolist(), bound.round(decimals=3).tolist()
    ([[3.0, 0.0]], [4.0])
    """
    weight, bias, x, wanted = (t.detach().double() for t in (weight, bias, x, wanted))
    if not len(decades):
        raise ValueError("no decades: expected at least one power of ten for ε")
    if (wanted < 0).any():
        raise ValueError(f"a wanted activation of {wanted.min().item():g}: a ReLU gives 0 or more")
    if wanted.shape != (len(x), len(weight)) or x.shape[1:] != weight.shape[1:] or not len(x):
        raise ValueError(
            f"x of shape {tuple(x.shape)} and wanted activations of shape {tuple(wanted.shape)} for weights of shape "
            f"{tuple(weight.shape)}: expected [B, d], [B, N] and [N, d]"
        )
    parts = [_nearest(weight, bias, x[i : i + 1], wanted[i : i + 1], decades) for i in range(len(x))]
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def _nearest(weight, bias, x, wanted, decades):
    scale = weight.square().sum() / weight.shape[1]

    def at(z):
        v = violations(weight, bias, z, wanted)
        return v, ((v.square().sum() + epsilon * (z - x).square().sum()) / 2).item()

    z = x
    for decade in decades:
        epsilon = scale * 10.0**decade
        for _ in range(200):
            v, value = at(z)
            gradient = v @ weight + epsilon * (z - x)
            rows = weight[((wanted > 0) | (v > 0))[0]]
            curvature = rows.T @ rows
            curvature.diagonal().add_(epsilon)
            step = -torch.cholesky_solve(gradient.T, torch.linalg.cholesky(curvature)).T
            fall, length = (gradient * step).sum().item(), 1.0
            while at(z + length * step)[1] > value + 1e-4 * length * fall + 1e-14 * value and length > 1e-9:
                length /= 2
            z = z + length * step
            if -fall <= 1e-18 * value or length * step.norm() <= 1e-15 * (1 + z.norm()):
                break
    v, value = at(z)
    gradient = v @ weight + epsilon * (z - x)
    lower = max(0.0, value - (gradient.square().sum() / (2 * epsilon)).item())
    return z, v.abs().amax(1), torch.full_like(v[:, 0], math.sqrt(2 * lower / epsilon))


EXISTS, NONE, UNDECIDED = "exists", "none", "undecided"


def decide(x: Tensor, wanted: Tensor, worst: Tensor, bound: Tensor, tolerance: float = 1e-6, far: float = 100.0):
    """What `nearest` shows of each image: "exists", "none" or "undecided", [B] as a list.

    "exists": the largest violation is at most `tolerance` times the largest activation that is wanted (or than 1, if
    that is larger). "none": no x* lies within `far` times |x| of x (or than 1); one farther away is not ruled out.
    Else "undecided".
    """
    exact = worst <= tolerance * wanted.double().amax(1).clamp_min(1)
    ruled_out = bound > far * x.double().norm(dim=1).clamp_min(1)
    return [EXISTS if e else NONE if r else UNDECIDED for e, r in zip(exact.tolist(), ruled_out.tolist(), strict=True)]


def smallest_violation(weight: Tensor, bias: Tensor, wanted: Tensor, radius: float = 1e4) -> tuple[float, float]:
    """By linear programming (scipy's HiGHS), for one image: bounds on the smallest possible largest violation.

    `wanted` is [N]. The program is: least s >= 0 such that |W_j x + b_j - t_j| <= s where t_j > 0, else
    W_j x + b_j <= s. It has always a solution. Its dual gives weights y >= 0 of the inequalities, of sum 1, with
    which no x is better than their weighted mean. Returns (lower, upper) in float64: `upper` is reached by the
    program's x, `lower` holds of every x with |x| <= `radius`. An x* exists if upper is 0, and none within the radius
    if lower is above 0.

    >>> W, b = torch.tensor([[1.0], [-1.0]]), torch.tensor([0.0, 0.0])
    >>> low, high = smallest_violation(W, b + 1, torch.tensor([0.0, 0.0]))
    >>> round(low, 6), round(high, 6)
    (1.0, 1.0)
    """
    from scipy.optimize import linprog

    weight, bias, wanted = (np.asarray(t.detach().double()) for t in (weight, bias, wanted))
    kept = wanted > 0
    left = np.vstack([weight, -weight[kept]])
    right = np.concatenate([wanted - bias, -(wanted - bias)[kept]])
    rows = np.hstack([left, -np.ones((len(left), 1))])
    cost = np.zeros(rows.shape[1])
    cost[-1] = 1
    found = linprog(cost, A_ub=rows, b_ub=right, bounds=[(None, None)] * weight.shape[1] + [(0, None)], method="highs")
    if found.status != 0:
        raise RuntimeError(f"the linear program was not solved: {found.message}")
    upper = max(0.0, float((left @ found.x[:-1] - right).max()))
    y = np.clip(-found.ineqlin.marginals, 0, None)
    if y.sum() == 0:
        return 0.0, upper
    y /= y.sum()
    return max(0.0, float(-y @ right - np.linalg.norm(left.T @ y) * radius)), upper


def cover(halfspaces: int, dimensions: int) -> float:
    """The probability that random half-spaces through 0 have a common interior (Cover, 1965).

    `halfspaces` of them, in `dimensions`, their normals independent and symmetric: that of at most n - 1 heads in m - 1
    tosses of a coin. One half at m = 2n; 1 without half-spaces. Raises `ValueError` for numbers that are not whole.

    >>> cover(3, 3), cover(6, 3), cover(1, 0)
    (1.0, 0.5, 0.0)
    """
    from scipy import stats

    if halfspaces < 0 or halfspaces != int(halfspaces) or dimensions != int(dimensions):
        counts = f"{halfspaces!r} half-spaces, {dimensions!r} dimensions"
        raise ValueError(f"{counts}: expected whole numbers, and no fewer half-spaces than 0")
    if dimensions < 1:
        return float(halfspaces == 0)
    return float(stats.binom(halfspaces - 1, 0.5).cdf(dimensions - 1)) if halfspaces else 1.0


def chance(units: int, inputs: int, kept: int) -> float:
    """A lower bound on the probability that x* exists, for weights drawn from a Gaussian: theorem of the chapter.

    `kept` of the `units` are active and not dropped. Along a direction in which the kept units do not change and all
    others fall, every wanted set of activations is reached; such a direction, orthogonal to x, exists with the
    probability of `cover` of the units - kept others in inputs - kept - 1 dimensions. Raises `ValueError` for more
    kept units than units.

    >>> chance(100, 100, 25) > 0.99, chance(200, 100, 50) < 0.01
    (True, True)
    """
    if not 0 <= kept <= units:
        raise ValueError(f"{kept} of {units} units kept: expected from 0 to all of them")
    return cover(units - kept, inputs - kept - 1) if inputs > kept + 1 else 0.0
