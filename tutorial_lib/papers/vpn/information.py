"""The bound of eqs. (9) to (17) on a task whose p(y|x) is known, and how near to it a base model comes."""

import torch
from torch import Tensor, nn

from ...models import mlp
from ...sweep import Sweep
from . import SLUG, bound

POSTERIOR, LOGISTIC, TRAINED = "Bayes' rule", "without noise", "trained on x + ε"
"""q(y|x, ε): the best one; p(y|x) evaluated at x + ε, which is best without noise; a network that sees x + ε alone."""


def task(points: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points x [X] from -2 to 2, p(x) [X], all alike, and p(y|x) [X, 2]: the logistic function of 2 x."""
    x = torch.linspace(-2, 2, points, dtype=torch.float64)
    one = torch.sigmoid(2 * x)
    return x, torch.full_like(x, 1 / points), torch.stack([1 - one, one], 1)


def trained(config: dict, x: Tensor, p_x: Tensor, p_y: Tensor, widths: Tensor, seed: int) -> nn.Module:
    """A small network fitted to draws of the task: eq. (17) with one draw of x, y and ε for each summand."""
    torch.manual_seed(seed)
    base = mlp(1, 2, (32, 32))[1:].double()  # without its Flatten: [..., 1] to [..., 2]
    optimiser = torch.optim.Adam(base.parameters(), lr=0.01)
    for _ in range(config["updates"]):
        i = torch.multinomial(p_x, config["batch_size"], replacement=True)
        y = torch.multinomial(p_y[i], 1)[:, 0]
        noisy = x[i] + widths[i, y] * torch.randn(len(i), dtype=torch.float64)
        loss = nn.functional.cross_entropy(base(noisy[:, None]), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return base.eval()


def bound_cell(config: dict, ratio: float, q: str, seed: int) -> list[dict]:
    """Entropies, information, the bound, its gap and its Monte Carlo estimate, in nats.

    The noise for label 1 is `ratio` times as wide as that for label 0, at one mean width. ``estimate`` is of
    ``config["n"]`` samples, and ``error`` its standard error.
    """
    x, p_x, p_y = task(config["points"])
    narrow = 2 * config["width"] / (1 + ratio)
    widths = torch.tensor([narrow, ratio * narrow], dtype=torch.float64).expand(len(x), 2)
    if q == POSTERIOR:
        log_q = bound.posterior(p_y, widths)
    elif q == LOGISTIC:
        log_q = bound.base_model(lambda z: torch.cat([torch.zeros_like(z), 2 * z], -1), x)
    else:
        log_q = bound.base_model(trained(config, x, p_x, p_y, widths, seed), x)
    estimate, error = bound.estimate(p_x, p_y, widths, log_q, config["n"], seed=seed)
    found = {
        "H(T)": bound.task_entropy(p_x, p_y),
        "H(T|E)": bound.conditional_entropy(p_x, p_y, widths),
        "I(T, E)": bound.information(p_x, p_y, widths),
        "bound": bound.lower_bound(p_x, p_y, widths, log_q),
        "gap": bound.gap(p_x, p_y, widths, log_q),
        "estimate": estimate,
        "error": error,
    }
    return [{"measure": measure, "value": value} for measure, value in found.items()]


_BOUND = {"points": 41, "width": 0.5, "batch_size": 256}
BOUND = Sweep(
    f"{SLUG}/bound",
    bound_cell,
    lambda config: [{"ratio": r, "q": q} for r in config["ratios"] for q in (POSTERIOR, LOGISTIC, TRAINED)],
    {
        "smoke": {"default": {**_BOUND, "seeds": 1, "ratios": [4.0], "updates": 20, "n": 100}},
        "desk": {
            "default": {**_BOUND, "seeds": 10, "ratios": [1.0, 2.0, 4.0, 16.0, 64.0], "updates": 2000, "n": 10_000}
        },
        "paper": {
            "default": {**_BOUND, "seeds": 10, "ratios": [1.0, 2.0, 4.0, 16.0, 64.0], "updates": 20_000, "n": 100_000}
        },
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
    subject="a task whose p(y|x) is known",
)  # fmt: skip
