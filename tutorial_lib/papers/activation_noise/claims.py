"""What "Activation Noise for EBM Classification" claims, its numbers, and the rules that give the verdicts."""

import numpy as np
import pandas as pd

from ...claims import Claim, Finding, contrasts, margins
from . import SLUG, reported
from .cost import PLAIN, RACE
from .figures import at_largest_n
from .other_claims import printed_deterioration

BALANCED = [(0.5, 0.5), (0.9, 0.9), (1.5, 1.5)]
TEST_HEAVY = [(0.0, 0.5), (0.5, 0.9), (0.5, 1.5), (0.9, 1.5)]
NOISE_FREE = (0.0, 0.0)


def _gaussian(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["distribution"] == "gaussian"] if "distribution" in table else table


def _of_all(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with Gaussian noise that tell of all test images, and not of the first ones alone."""
    return _gaussian(table.dropna(subset="accuracy"))


def _accuracy(table: pd.DataFrame, n: int | None = None) -> pd.DataFrame:
    """Gaussian accuracies: rows seeds, columns (α at training, α at inference); at the largest n, or at `n`."""
    table = _of_all(table)
    rows = at_largest_n(table) if n is None else table[table["n"] == n]
    return rows.pivot(index="seed", columns=["alpha_train", "alpha_inference"], values="accuracy")


def untrained(table: pd.DataFrame) -> set[float]:
    """The α at training whose networks, in one of the seeds, reconstruct no better than their class's mean image."""
    if not {"error", "mean_image_error"} <= set(table):
        return set()
    rows = _of_all(at_largest_n(table))
    own = rows[rows["alpha_train"] == rows["alpha_inference"]]
    return set(own.loc[own["error"] >= own["mean_image_error"], "alpha_train"])


def _tested(found: dict[str, tuple[pd.Series, set]], table: pd.DataFrame) -> pd.DataFrame:
    """Margins of settings, each with the α at training that it rests on; those of untrained networks are left out."""
    bad = untrained(table)
    lost = {
        name: f"networks trained at α = {', '.join(f'{a:g}' for a in sorted(used & bad))} lose to the mean image"
        for name, (_, used) in found.items()
        if used & bad
    }
    return margins({name: series for name, (series, _) in found.items() if name not in lost}, lost)


def difference(pairs):
    """A rule: for each (better, worse) of `pairs`, the accuracy of `better` less that of `worse`, at the largest n."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        a = _accuracy(table)
        there = [(better, worse) for better, worse in pairs if better in a and worse in a]
        found = {f"{better} over {worse}": (a[better] - a[worse], {better[0], worse[0]}) for better, worse in there}
        return _tested(found, table)

    return rule


def growth(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at n = 100 (or the largest n below) less that at n = 1, for the balanced pairs."""
    last = table.loc[table["n"] <= 100, "n"].max()
    first, end = _accuracy(table, 1), _accuracy(table, last)
    there = [pair for pair in BALANCED if pair in end and pair in first]
    return _tested({str(pair): (end[pair] - first[pair], {pair[0]}) for pair in there}, table)


FAR = 10_000
"""The paper's largest number of samples."""


def far_growth(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at n = 10,000 less that at n = 100, for the balanced pairs, on the images that were raced as far."""
    rows = _gaussian(table.assign(first=table["accuracy"]) if "first" not in table else table)
    rows = rows[rows["n"].isin([100, FAR])].dropna(subset="first")
    a = rows.pivot_table(index="seed", columns=["alpha_train", "alpha_inference", "n"], values="first")
    there = [pair for pair in BALANCED if (*pair, 100) in a and (*pair, FAR) in a]
    return _tested({str(pair): (a[(*pair, FAR)] - a[(*pair, 100)], {pair[0]}) for pair in there}, table)


def more_training(table: pd.DataFrame) -> pd.DataFrame:
    """The gain of (0.9, 0.9) over no noise after each longer training, less that after the shortest one."""
    rows = _of_all(table)
    last = rows[rows["n"] == rows.groupby("alpha")["n"].transform("max")]
    a = last.pivot_table(index=["train", "epochs", "seed"], columns="alpha", values="accuracy")
    if not {0.0, 0.9} <= set(a):
        return margins({})
    gain = (a[0.9] - a[0.0]).unstack("seed")
    base = min(gain.index, key=lambda training: training[0] * training[1])
    return margins(
        {f"{train:,} images, {epochs} epochs": gain.loc[train, epochs] - gain.loc[base]
         for train, epochs in gain.index if (train, epochs) != base}
    )  # fmt: skip


def fewer_passes(measure: str, share: float):
    """A rule: `share` percent less what the race took of the plain way's passes, for each pair of α."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[(table["way"] == RACE) & (table["measure"] == measure)]
        pairs = rows.groupby(["alpha_train", "alpha_inference"])
        return margins({str(pair): share - part.set_index("seed")["value"] for pair, part in pairs})

    return rule


def race_agrees(table: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the race with a plain run less that of another plain run, in points, over all pairs of α."""
    same = table.pivot_table(index="seed", columns=["way", "measure"], values="value", aggfunc="sum")
    if (RACE, "agrees") not in same:
        return margins({})
    images = table[table["measure"] == "agrees, plain"].groupby("seed")["x"].sum()
    gap = 100 * (same[RACE, "agrees"] - same[PLAIN, "agrees, plain"]) / images
    return margins({"all pairs": gap})


CURVES = {"n": lambda n: n, "a curve that saturates, a - b/√n": lambda n: -1 / np.sqrt(n)}
"""What else accuracy could be linear in; the error of a mean over n draws falls as the last."""


def logarithmic(table: pd.DataFrame) -> pd.DataFrame:
    """R² of accuracy on log n less R² of accuracy on each of `CURVES`, for the balanced pairs."""

    def r_squared(x, y):
        return np.corrcoef(x, y)[0, 1] ** 2 if np.ptp(y) > 0 else 0.0

    found = {}
    for pair in BALANCED:
        part = _of_all(table)
        part = part[(part["alpha_train"] == pair[0]) & (part["alpha_inference"] == pair[1])]
        lines = {seed: (line["n"].to_numpy(float), line["accuracy"].to_numpy()) for seed, line in part.groupby("seed")}
        for name, curve in CURVES.items():
            gaps = {seed: r_squared(np.log(n), y) - r_squared(curve(n), y) for seed, (n, y) in lines.items()}
            if gaps:
                found[f"{pair}, than in {name}"] = pd.Series(gaps), {pair[0]}
    return _tested(found, table)


def relative_gain(table: pd.DataFrame) -> pd.DataFrame:
    """The gain of (0.9, 0.9) over no noise in percent of the latter, less the 200 percent that the paper names."""
    a = _accuracy(table)
    if (0.9, 0.9) not in a or NOISE_FREE not in a:
        return margins({})
    gain = 100 * (a[(0.9, 0.9)] / a[NOISE_FREE] - 1) - 200
    return _tested({"(0.9, 0.9)": (gain, {0.9, 0.0})}, table)


def _paper() -> pd.DataFrame:
    """The paper's CIFAR-10 column of Table 2, in the shape of one of our tables."""
    return reported.table_2().query("dataset == 'cifar-10'").assign(seed=0)


_ROWS_OF_TABLE_1 = [((a, a), (a, b)) for a, b in [(0.5, 0.0), *TEST_HEAVY[1:3], (0.9, 0.5), TEST_HEAVY[3]]] + [
    ((1.5, 1.5), (1.5, 0.5)),
    ((1.5, 1.5), (1.5, 0.9)),
]
_COLUMNS_OF_TABLE_1 = [
    (a, b) for a in [NOISE_FREE, *BALANCED] for b in [(0.5, 0.0), *TEST_HEAVY, (0.9, 0.5), (1.5, 0.5), (1.5, 0.9)]
    if a[1] == b[1]
]  # fmt: skip
"""Each balanced pair against every other α at training with the same α at inference."""
_MIRRORED = [((0.5, 0.0), (0.0, 0.5)), ((0.9, 0.5), (0.5, 0.9)), ((1.5, 0.5), (0.5, 1.5)), ((1.5, 0.9), (0.9, 1.5))]


def _measured(id, item, claim, text, rule, experiment=f"{SLUG}/fig-3", error="sem", **options) -> Claim:
    number = round(float(rule(_paper())["margin"].mean()), 4)
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=number, reported_text=text, reported_error=error,
        rule=rule, experiment=experiment, **options,
    )  # fmt: skip


def _ours(id, item, claim, rule, **options) -> Claim:
    return Claim(
        id=id, paper=SLUG, item="ours", claim=claim, reported=None, reported_text="not in the paper",
        reported_error="none", rule=rule, experiment=f"{SLUG}/{item}", **options,
    )  # fmt: skip


# ---- the paper's text against its own tables: no training ----


def own_tables(pairs, datasets=None, times: float = 1.0):
    """A rule on Table 1: the first pair's accuracy less `times` the second's, on every data set (or on `datasets`)."""

    def rule() -> pd.DataFrame:
        table = reported.table_1()
        kept = [name for name in table["dataset"].unique() if datasets is None or name in datasets]
        rows = table[table["dataset"].isin(kept)].itertuples()
        cells = {(r.dataset, (r.alpha_train, r.alpha_inference)): (r.accuracy, r.sem) for r in rows}
        return contrasts(cells, {f"{d}, {a} over {b}": {(d, a): 1, (d, b): -times} for a, b in pairs for d in kept})

    return rule


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
        "balanced-is-best", "Theorem 1, Table 1", "For each α > 0 at training, the same α at inference is best",
        "the performance is optimized when those two follow the same distributions", difference(_ROWS_OF_TABLE_1),
    ),
    _measured(
        "ridge", "Figure 3, Table 1", "The ridge: for each α at inference, the same α at training is best",
        "the performance is optimized when those two follow the same distributions", difference(_COLUMNS_OF_TABLE_1),
    ),
    _measured(
        "asymmetry", "Section 4.3", "Too much noise at inference hurts more than too much at training",
        "Too large a scalar α for noise during test has far more negative impact", difference(_MIRRORED),
        kind="on average",
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
        "growth-beyond-100", "Figure 7, Table 2", "Accuracy still grows from n = 100 to n = 10,000 for balanced noise",
        "the accuracy rises almost logarithmically as the number of samples increases", far_growth,
    ),
    _measured(
        "logarithmic-growth", "Figure 7", "Accuracy is nearer to linear in log n than in n or in a saturating curve",
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
        "about 100% higher accuracies … This pattern, with no exception, repeats",
        own_tables([((0.5, 0.0), (0.0, 0.5))], times=1.5), unit="points over 1.5 times",
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
    _own(
        "text-classifiers-deteriorate", "Table 5", "Each classifier gets worse from α = 0 to 0.5, and from 0.5 to 1",
        "the performances reliably deteriorate as we increase the scalar of the omnipresent … activation noise",
        printed_deterioration,
    ),
]  # fmt: skip
"""This paper's claims: those that need training, then the paper's text against its own tables."""

TO_COME = [
    _ours(
        "gain-with-training", "training", "More training raises the gain of (0.9, 0.9) over no noise", more_training,
    ),
    _ours(
        "racing-saves", "cost", "Racing to n = 10,000 takes 25 times fewer passes than the plain way",
        fewer_passes("passes", 4.0), unit="percent of the passes",
    ),
    _ours(
        "racing-saves-settled", "cost", "It takes 100 times fewer for the images that it settles before",
        fewer_passes("passes, settled", 1.0), unit="percent of the passes",
    ),
    _ours(
        "race-agrees", "cost", "It agrees with a plain run as another plain run does, to half a point", race_agrees,
        kind="no worse", delta=0.5,
    ),
]  # fmt: skip
"""Rules that are fixed, and wait for their tables to join the claims."""

FINDINGS = [
    Finding(
        "gain-of-200-percent", "cifar-10", "contradicted",
        "Noise at training and at inference is said to triple the accuracy of an energy-based classifier on CIFAR-10. "
        "Our small networks gain far less.", headline=True,
    ),
    Finding(
        "balanced-gain", "cifar-10", "holds",
        "They do gain: {measured} points on CIFAR-10, where the paper has {reported}.",
    ),
    Finding(
        "balanced-is-best", "cifar-10", "holds",
        "Networks that were trained with noise are most accurate with as much of it at inference: on CIFAR-10, at each "
        "strength.",
    ),
    Finding(
        "balanced-gain", "mnist", "contradicted",
        "On MNIST, where the method works without noise, balanced noise is no gain: it changes the accuracy by "
        "{measured} points.",
    ),
    Finding(
        "text-twice-the-accuracy", "the paper's tables", "contradicted",
        "Noise at training alone is said to be worth about twice the accuracy of noise at inference alone. The paper's "
        "own table says otherwise.", budget="reported",
    ),
]  # fmt: skip
"""The chapter's answer, in five lines."""
