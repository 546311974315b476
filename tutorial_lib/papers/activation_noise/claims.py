"""What "Activation Noise for EBM Classification" claims, its numbers, and the rules that give the verdicts."""

import numpy as np
import pandas as pd

from ...claims import Claim, margins, welch
from . import SLUG, reported
from .figures import at_largest_n

BALANCED = [(0.5, 0.5), (0.9, 0.9), (1.5, 1.5)]
TEST_HEAVY = [(0.0, 0.5), (0.5, 0.9), (0.5, 1.5), (0.9, 1.5)]
NOISE_FREE = (0.0, 0.0)


def _accuracy(table: pd.DataFrame, n: int | None = None) -> pd.DataFrame:
    """Gaussian accuracies: rows seeds, columns (α at training, α at inference); at the largest n, or at `n`."""
    table = table[table["distribution"] == "gaussian"] if "distribution" in table else table
    rows = at_largest_n(table) if n is None else table[table["n"] == n]
    return rows.pivot(index="seed", columns=["alpha_train", "alpha_inference"], values="accuracy")


def difference(pairs):
    """A rule: for each (better, worse) of `pairs`, the accuracy of `better` less that of `worse`, at the largest n."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        a = _accuracy(table)
        there = [(better, worse) for better, worse in pairs if better in a and worse in a]
        return margins({f"{better} over {worse}": a[better] - a[worse] for better, worse in there})

    return rule


def growth(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at n = 100 (or the largest n below) less that at n = 1, for the balanced pairs."""
    last = table.loc[table["n"] <= 100, "n"].max()
    first, end = _accuracy(table, 1), _accuracy(table, last)
    return margins({str(pair): end[pair] - first[pair] for pair in BALANCED if pair in end and pair in first})


def logarithmic(table: pd.DataFrame) -> pd.DataFrame:
    """R² of accuracy on log n less R² of accuracy on n, for the balanced pairs."""
    table = table[table["distribution"] == "gaussian"] if "distribution" in table else table

    def r_squared(x, y):
        return np.corrcoef(x, y)[0, 1] ** 2 if np.ptp(y) > 0 else 0.0

    found = []
    for train, test in BALANCED:
        part = table[(table["alpha_train"] == train) & (table["alpha_inference"] == test)]
        for seed, line in part.groupby("seed"):
            n, accuracy = line["n"].to_numpy(float), line["accuracy"].to_numpy()
            margin = r_squared(np.log(n), accuracy) - r_squared(n, accuracy)
            found.append({"setting": f"({train}, {test})", "seed": seed, "margin": margin})
    return pd.DataFrame(found, columns=["setting", "seed", "margin"])


def relative_gain(table: pd.DataFrame) -> pd.DataFrame:
    """The gain of (0.9, 0.9) over no noise in percent of the latter, less the 200 percent that the paper names."""
    a = _accuracy(table)
    if (0.9, 0.9) not in a or NOISE_FREE not in a:
        return margins({})
    return margins({"(0.9, 0.9)": 100 * (a[(0.9, 0.9)] / a[NOISE_FREE] - 1) - 200})


def _paper() -> pd.DataFrame:
    """The paper's CIFAR-10 column of Table 2, in the shape of one of our tables."""
    return reported.table_2().query("dataset == 'cifar-10'").assign(seed=0)


_ROWS_OF_TABLE_1 = [((a, a), (a, b)) for a, b in [(0.5, 0.0), *TEST_HEAVY[1:3], (0.9, 0.5), TEST_HEAVY[3]]] + [
    ((1.5, 1.5), (1.5, 0.5)),
    ((1.5, 1.5), (1.5, 0.9)),
]
_MIRRORED = [((0.5, 0.0), (0.0, 0.5)), ((0.9, 0.5), (0.5, 0.9)), ((1.5, 0.5), (0.5, 1.5)), ((1.5, 0.9), (0.9, 1.5))]


def _measured(id, item, claim, text, rule, experiment=f"{SLUG}/fig-3", error="sem", **options) -> Claim:
    number = round(float(rule(_paper())["margin"].mean()), 4)
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=number, reported_text=text, reported_error=error,
        rule=rule, experiment=experiment, **options,
    )  # fmt: skip


# ---- the paper's text against its own tables: no training ----


def _compared(better: pd.DataFrame, worse: pd.DataFrame, label: str) -> pd.DataFrame:
    """Differences of two rows of Table 1, data set by data set, with their intervals."""
    both = better.merge(worse, on="dataset", suffixes=("_a", "_b"))
    return pd.DataFrame(
        [
            {"setting": f"{r.dataset}, {label}", **welch(r.accuracy_a, r.sem_a, r.accuracy_b, r.sem_b)}
            for r in both.itertuples()
        ]
    )


def _row(pair) -> pd.DataFrame:
    table = reported.table_1()
    return table[(table["alpha_train"] == pair[0]) & (table["alpha_inference"] == pair[1])]


def own_tables(pairs, datasets=None):
    """A rule on Table 1: the first pair's accuracy less the second's, on every data set (or on `datasets`)."""

    def rule() -> pd.DataFrame:
        found = pd.concat([_compared(_row(a), _row(b), f"{a} over {b}") for a, b in pairs], ignore_index=True)
        keep = found["setting"].map(lambda s: datasets is None or s.split(",")[0] in datasets)
        return found[keep]

    return rule


def doubled() -> pd.DataFrame:
    """(0.5, 0) "delivers about 100% higher accuracies" than (0, 0.5): the gain in percent less half of that, 50."""
    found = _compared(_row((0.5, 0.0)), _row((0.0, 0.5)), "(0.5, 0) over (0, 0.5)")
    base = _row((0.0, 0.5))["accuracy"].to_numpy()
    for column in ("margin", "low", "high"):
        found[column] = 100 * found[column].to_numpy() / base - 50
    return found


_OTHERS = [
    p for p in [NOISE_FREE, *TEST_HEAVY, (0.5, 0.0), (0.9, 0.5), (1.5, 0.5), (1.5, 0.9), *BALANCED] if p != (0.9, 0.9)
]


def _own(id, item, claim, text, rule, reported_number=None, unit="points") -> Claim:
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=reported_number, reported_text=text, reported_error="sem",
        rule=rule, unit=unit,
    )  # fmt: skip


CLAIMS = [
    _measured(
        "balanced-gain", "Table 1", "Balanced noise (0.9, 0.9) beats no noise",
        "the accuracy jumps from 20.48% to 65.88% for CIFAR-10", difference([((0.9, 0.9), NOISE_FREE)]),
    ),
    _measured(
        "gain-of-200-percent", "Section 4.3", "The gain of (0.9, 0.9) over no noise is 200% or more",
        "a considerable improvement in performance as high as 200%", relative_gain, unit="percent",
        datasets=("cifar-10",),
    ),
    _measured(
        "every-balanced-pair-gains", "Table 1", "Every balanced pair beats no noise",
        "contrasting balanced rows (0.5, 0.5), (0.9, 0.9), and (1.5, 1.5) with the rest",
        difference([(pair, NOISE_FREE) for pair in BALANCED]),
    ),
    _measured(
        "balanced-is-best", "Theorem 1, Table 1", "For each α at training, the same α at inference is best",
        "the performance is optimized when those two follow the same distributions", difference(_ROWS_OF_TABLE_1),
    ),
    _measured(
        "asymmetry", "Section 4.3", "Too much noise at inference hurts more than too much at training",
        "Too large a scalar α for noise during test has far more negative impact", difference(_MIRRORED),
    ),
    _measured(
        "worse-than-no-noise", "Section 4.3", "More noise at inference than at training is worse than no noise",
        "poorest performances even worse than (0.0, 0.0)", difference([(NOISE_FREE, pair) for pair in TEST_HEAVY]),
    ),
    _measured(
        "growth-with-n", "Figure 7, Table 2",
        "Accuracy grows with n for balanced noise (n = 1 to 100, or our largest n below)",
        "the accuracy rises almost logarithmically as the number of samples increases", growth,
    ),
    _measured(
        "logarithmic-growth", "Figure 7", "Accuracy is nearer to linear in log n than in n",
        "the accuracy rises almost logarithmically", logarithmic, unit="R²", error="none",
    ),
    _measured(
        "peak-at-0.9", "Table 1", "On the diagonal, α = 0.9 beats 0.5 and 1.5",
        "the performance on all datasets (except for CIFAR-20) peak at the noise scalars (0.9, 0.9)",
        difference([((0.9, 0.9), (0.5, 0.5)), ((0.9, 0.9), (1.5, 1.5))]),
    ),
    _own(
        "text-no-noise-beats-unbalanced", "Section 4.3", "No noise outperforms the rows with more noise at test",
        "even the row (0.0, 0.0) which enjoys no noise outperforms unbalanced rows",
        own_tables([(NOISE_FREE, pair) for pair in TEST_HEAVY]),
    ),
    _own(
        "text-twice-the-accuracy", "Section 4.3", "(0.5, 0) beats (0, 0.5) by about 100% (here: by over 50%)",
        "about 100% higher accuracies … This pattern, with no exception, repeats", doubled, 50.0, "percent above 50",
    ),
    _own(
        "text-theorem-1", "Theorem 1, Table 1", "Trained without noise, inference without noise is best",
        "the loss of the inference is minimized", own_tables([(NOISE_FREE, (0.0, 0.5))]),
    ),
    _own(
        "text-peak", "Table 1", "Accuracy peaks at (0.9, 0.9) on all data sets but CIFAR-20",
        "the performance on all datasets (except for CIFAR-20) peak at the noise scalars (0.9, 0.9)",
        own_tables([((0.9, 0.9), p) for p in _OTHERS], ("cifar-10", "caltech-20", "flower-20", "cub-20")),
    ),
]  # fmt: skip
"""This paper's claims: those that need training, then the paper's text against its own tables."""
