"""What the paper claims of dropout, other distributions, other placements and another loss; rules before the tables.

A network that reconstructs its class no better than the class's mean image has learned nothing that noise could help or
hurt: settings that need such networks, in any seed, are not testable.
"""

from itertools import combinations, pairwise

import pandas as pd

from ...claims import Claim, contrasts, margins
from ...draw import pick
from ...noise import DISTRIBUTIONS
from . import SLUG, reported
from .other_figures import of_table_3
from .others import ONE_SIDED, PLACES

SYMMETRIC = tuple(name for name in DISTRIBUTIONS if name not in ONE_SIDED)
_KEYS = ["noise", "strength", "distribution", "value", "centred", "alpha", "training", "inference", "loss"]
"""The columns that say which noise, in the tables of `others`; each table has some of them."""


def _last(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at the largest n of each noise."""
    keys = [key for key in _KEYS if key in table]
    return table[table["n"] == table.groupby(keys)["n"].transform("max")]


def _by(table: pd.DataFrame, *columns: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies, rows seeds and columns the values of `columns`; likewise, how far errors are below a mean image's."""
    last = _last(table).assign(learned=lambda t: t["mean_image_error"] - t["error"])
    both = (last.pivot(index="seed", columns=list(columns), values=value) for value in ("accuracy", "learned"))
    return tuple(wide.sort_index(axis=1) for wide in both)


def _compared(pairs: dict[str, tuple], accuracy: pd.DataFrame, learned: pd.DataFrame, trained_as=lambda key: key):
    """Margins of each pair (better, worse) of columns that are there; `trained_as` names what shows learning."""
    found, lost = {}, {}
    for name, pair in pairs.items():
        if any(key not in accuracy for key in pair):
            continue
        if all((learned[trained_as(key)] > 0).all() for key in pair):
            found[name] = accuracy[pair[0]] - accuracy[pair[1]]
        else:
            lost[name] = "its networks lose to the mean image"
    return margins(found, lost)


# ---- Fig. 2: dropout


def best_of_the_others(accuracy: pd.DataFrame) -> pd.Series:
    """For each seed, the accuracy at the setting (column) that is best on average over the others."""
    others = {seed: accuracy.drop(index=seed).mean().idxmax() for seed in accuracy.index}
    return pd.Series({seed: accuracy.loc[seed, setting] for seed, setting in others.items()})


def against_dropout(table: pd.DataFrame) -> pd.DataFrame:
    """Balanced Gaussian noise less dropout, each at the strength above 0 that is best for the other seeds.

    Strengths whose networks lose to the mean image, in any seed, are no candidates.
    """
    accuracy, learned = _by(table[table["strength"] > 0], "noise", "inference", "strength")
    if len(accuracy) < 2:
        return margins({})
    best = {}
    for noise, way in sorted({key[:2] for key in accuracy}):
        of_it = accuracy[noise, way]
        candidates = of_it.loc[:, (learned[noise, way] > 0).all()]
        best[noise, way] = best_of_the_others(candidates) if len(candidates.columns) else None
    found, lost, ours = {}, {}, ("activation", "as in training")
    for name, way in {"at training only": "without", "at training and inference": "as in training"}.items():
        pair = [best[key] for key in (ours, ("dropout", way)) if key in best]
        if len(pair) == 2 and all(one is not None for one in pair):
            found[f"over dropout {name}"] = pair[0] - pair[1]
        elif len(pair) == 2:
            lost[f"over dropout {name}"] = "networks lose to the mean image at every strength"
    return margins(found, lost)


# ---- Figs. 4 and 6: distributions


def _shapes(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns (distribution, centred, α), with the parameters of Table 3; without noise as a Gaussian's α = 0."""
    return _by(of_table_3(table), "distribution", "centred", "alpha")


def _over_alphas(pairs: dict[str, tuple], table: pd.DataFrame) -> pd.DataFrame:
    """Margins of pairs of (distribution, centred), averaged over the α > 0 at which the networks of both learned."""
    accuracy, learned = _shapes(table)
    found, lost = {}, {}
    for name, (one, other) in pairs.items():
        both = [a for a in table.loc[table["alpha"] > 0, "alpha"].unique() if {(*one, a), (*other, a)} <= set(accuracy)]
        use = [a for a in sorted(both) if (learned[[(*one, a), (*other, a)]] > 0).all(axis=None)]
        if use:
            found[name] = sum(accuracy[(*one, a)] - accuracy[(*other, a)] for a in use) / len(use)
        elif both:
            lost[name] = "networks lose to the mean image at every α"
    return margins(found, lost)


def symmetric(centred: bool):
    """A rule: each symmetric distribution less each one-sided one, as it is or with its mean taken off."""
    pairs = {f"{s} over {a}": ((s, False), (a, centred)) for s in SYMMETRIC for a in ONE_SIDED}
    return lambda table: _over_alphas(pairs, table)


def centring(table: pd.DataFrame) -> pd.DataFrame:
    """Each one-sided distribution with its mean taken off, less the same as it is."""
    return _over_alphas({name: ((name, True), (name, False)) for name in ONE_SIDED}, table)


def gaussian_best(table: pd.DataFrame) -> pd.DataFrame:
    """Gaussian noise less each other distribution."""
    others = [name for name in DISTRIBUTIONS if name != "gaussian"]
    return _over_alphas({f"over {name}": (("gaussian", False), (name, False)) for name in others}, table)


def rise_and_fall(table: pd.DataFrame) -> pd.DataFrame:
    """For each distribution, accuracy at the best α between less that without noise, and less that at the largest α.

    The best is that of the other seeds.
    """
    accuracy, learned = _shapes(table)
    found, lost, free = {}, {}, ("gaussian", False, 0.0)
    for name in DISTRIBUTIONS:
        alphas = sorted(a for kind, centred, a in accuracy if kind == name and not centred and a > 0)
        if len(alphas) < 2 or free not in accuracy or len(accuracy) < 2:
            continue
        best = best_of_the_others(accuracy[[(name, False, a) for a in alphas[:-1]]])
        ends = {"rise": free, "fall": (name, False, alphas[-1])}
        for what, end in ends.items():
            if (learned[[end, *((name, False, a) for a in alphas[:-1])]] > 0).all(axis=None):
                found[f"{name}, {what}"] = best - accuracy[end]
            else:
                lost[f"{name}, {what}"] = "networks lose to the mean image"
    return margins(found, lost)


def wider_is_earlier(table: pd.DataFrame) -> pd.DataFrame:
    """How much more the Gaussian is ahead of Cauchy's noise at the largest α than at the smallest above 0."""
    accuracy, learned = _shapes(table)
    names = ("gaussian", "cauchy")
    alphas = [{a for kind, centred, a in accuracy if kind == name and not centred and a > 0} for name in names]
    both = sorted(set.intersection(*alphas))
    if len(both) < 2:
        return margins({})
    setting, ends = "Gaussian against Cauchy", (both[0], both[-1])
    if not (learned[[(name, False, a) for name in names for a in ends]] > 0).all(axis=None):
        return margins({}, {setting: "networks lose to the mean image"})
    small, large = (accuracy["gaussian", False, a] - accuracy["cauchy", False, a] for a in ends)
    return margins({setting: large - small})


# ---- Figs. 8 and 9: another noise at inference than at training


def _exchanges(pairs: dict[str, tuple[tuple, tuple]], table: pd.DataFrame) -> pd.DataFrame:
    """Margins of pairs of (training, inference); networks learned if they do with the noise of their training."""
    accuracy, learned = _by(table, "training", "inference")
    return _compared(pairs, accuracy, learned, lambda key: (key[0], key[0]))


def own_is_best(kinds):
    """A rule: for each noise at training, the same at inference less each other one."""
    pairs = {f"{one}, over {other} at inference": ((one, one), (one, other)) for one in kinds for other in kinds}
    pairs = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return lambda table: _exchanges(pairs, table)


def one_sided_training(table: pd.DataFrame) -> pd.DataFrame:
    """Symmetric noise at training and one-sided noise at inference, less the reverse, for each two distributions."""
    return _exchanges({f"{s}, {a}": ((s, a), (a, s)) for s in SYMMETRIC for a in ONE_SIDED}, table)


def similar_together(table: pd.DataFrame) -> pd.DataFrame:
    """Symmetric noise at training: another symmetric one at inference less a one-sided one, for each three of them."""
    kinds = [(s, other, a) for s in SYMMETRIC for other in SYMMETRIC if other != s for a in ONE_SIDED]
    return _exchanges({f"{s}: {other} over {a}": ((s, other), (s, a)) for s, other, a in kinds}, table)


def ranked(better, worse):
    """A rule: balanced noise at each placement of `better` less that at each of `worse`."""
    pairs = {f"{one} over {other}": ((one, one), (other, other)) for one in better for other in worse}
    return lambda table: _exchanges(pairs, table)


LAYERS = {"all": {1, 2, 3, 4, 5}, "odd": {1, 3, 5}, "even": {2, 4}, "encoder": {1, 2, 3}, "decoder": {4, 5}}
"""The noisy hidden layers of each placement, counted from 1."""


def surprised(table: pd.DataFrame) -> pd.DataFrame:
    """Inference as in training less inference with noise at these layers and at further ones."""
    pairs = {
        f"{one}, over {other} at inference": ((one, one), (one, other))
        for one in PLACES
        for other in PLACES
        if LAYERS[other] > LAYERS[one]
    }
    return _exchanges(pairs, table)


def late_or_early(table: pd.DataFrame) -> pd.DataFrame:
    """What noise at the decoder costs at inference where only the encoder had it in training, less the reverse."""
    parts = [surprised(table).query("setting == @name") for name in map("{}, over all at inference".format, PLACES[3:])]
    if any(part.empty for part in parts):
        return margins({})
    setting = "the decoder's noise, less the encoder's"
    if any(part["margin"].isna().any() for part in parts):
        return margins({}, {setting: "its networks lose to the mean image"})
    encoder, decoder = (part.set_index("seed")["margin"] for part in parts)
    return margins({setting: encoder - decoder})


# ---- section 4.1: the loss


def entropy_less_square(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of networks trained with binary cross-entropy less that of the squared error, at each α."""
    accuracy, learned = _by(table, "loss", "alpha")
    pairs = {f"α = {a:g}": (("bce", a), ("mse", a)) for a in sorted(table["alpha"].unique())}
    return _compared(pairs, accuracy, learned)


# ---- Appendix E: classifiers

LEARNED = 20.0
"""A classifier whose accuracy without noise is below this (percent), in any seed, has learned too little to be hurt."""


def deteriorating(table: pd.DataFrame) -> pd.DataFrame:
    """For each architecture, accuracy at each balanced α of Table 5 that is there, less that at the next one."""
    found, lost = {}, {}
    for name, part in table[table["n"] == table.groupby("alpha")["n"].transform("max")].groupby("architecture"):
        a = part.pivot(index="seed", columns="alpha", values="accuracy")
        for low, high in pairwise([alpha for alpha in (0.0, 0.5, 1.0) if alpha in a]):
            setting = f"{name}, {low:g} over {high:g}"
            if 0.0 in a and (a[0.0] > LEARNED).all():
                found[setting] = a[low] - a[high]
            else:
                lost[setting] = "the network without noise learned too little"
    return margins(found, lost)


def printed_deterioration() -> pd.DataFrame:
    """The same on the paper's Table 5, with its errors: 17 architectures, two data sets, two steps of α."""
    rows = reported.table_5().itertuples()
    cells = {(r.architecture, r.dataset, r.alpha): (r.accuracy, r.sem) for r in rows}
    kinds = dict.fromkeys((name, dataset) for name, dataset, _ in cells)
    steps = {
        f"{name} on {dataset}, {low:g} over {high:g}": {(name, dataset, low): 1, (name, dataset, high): -1}
        for name, dataset in kinds
        for low, high in ((0.0, 0.5), (0.5, 1.0))
    }
    return contrasts(cells, steps)


def _unbalanced(pairs, statistics: str = "of training"):
    """A rule: accuracy of one (α at training, α at inference) less that of another, for each of `pairs(alphas)`."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        rows = pick(table, statistics=statistics)
        rows = rows[rows["n"] == rows.groupby("alpha_inference")["n"].transform("max")]
        a = rows.pivot(index="seed", columns=["alpha_train", "alpha_inference"], values="accuracy")
        alphas = sorted(set(rows["alpha_train"]) & set(rows["alpha_inference"]))
        there = {f"{one} over {other}": (one, other) for one, other in pairs(alphas) if one in a and other in a}
        if (0.0, 0.0) not in a or not (a[0.0, 0.0] > LEARNED).all():
            return margins({}, dict.fromkeys(there, "the network without noise learned too little"))
        return margins({name: a[one] - a[other] for name, (one, other) in there.items()})

    return rule


def _down(alphas):
    return [((low, low), (high, high)) for low, high in pairwise(alphas)]


def _off(alphas):
    return [((a, a), (a, b)) for a in alphas for b in alphas if a != b]


def _mirrored(alphas):
    return [((high, low), (low, high)) for low, high in combinations(alphas, 2)]


# ---- Appendix F: the number of outputs


def more_outputs(table: pd.DataFrame) -> pd.DataFrame:
    """What noise gains with the most outputs less what it gains with the fewest: of autoencoders, of classifiers."""
    last = table[table["n"] == table.groupby("alpha")["n"].transform("max")]
    found, lost = {}, {}
    for network, part in last.groupby("network"):
        a = part.pivot(index="seed", columns=["outputs", "alpha"], values="accuracy")
        outputs, alphas = (sorted(part[key].unique()) for key in ("outputs", "alpha"))
        ends = [(size, alpha) for size in (outputs[0], outputs[-1]) for alpha in (alphas[0], alphas[-1])]
        if len(outputs) < 2 or len(alphas) < 2 or not set(ends) <= set(a):
            continue
        if "error" in part and (part["error"] >= part["mean_image_error"]).any():
            lost[f"{network}s"] = "networks lose to the mean image"
            continue
        few, many = (a[size, alphas[-1]] - a[size, alphas[0]] for size in (outputs[0], outputs[-1]))
        found[f"{network}s"] = many - few
    return margins(found, lost)


def _claim(id, item, claim, text, rule, experiment, **options) -> Claim:
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=None, reported_text=text, reported_error="none", rule=rule,
        experiment=f"{SLUG}/{experiment}", **options,
    )  # fmt: skip


_OURS = "not in the paper"
OTHER_CLAIMS = [
    _claim(
        "noise-over-dropout", "Figure 2", "Balanced noise beats dropout, each at its best strength",
        "we compare the performances of activation noise with dropout", against_dropout, "fig-2",
    ),
    _claim(
        "symmetric-over-one-sided", "Figure 4", "Each symmetric distribution beats each one-sided one",
        "adopting symmetric probability distributions … substantially outperforms asymmetric ones", symmetric(False),
        "fig-4",
    ),
    _claim(
        "symmetric-over-centred", "ours", "They still do when the mean of the one-sided noise is taken off", _OURS,
        symmetric(True), "fig-4",
    ),
    _claim("centring-helps", "ours", "One-sided noise is better with its mean taken off", _OURS, centring, "fig-4"),
    _claim(
        "gaussian-is-best", "Figure 6", "Gaussian noise beats each of the other six, on average over α",
        "the best noise distribution is also the most popular one: Gaussian distribution", gaussian_best, "fig-6",
    ),
    _claim(
        "rise-and-fall", "Figures 4 and 6", "With each distribution accuracy rises with α to a peak, then falls",
        "the performance rises up to a peak and then falls; this is valid for all the probability distributions",
        rise_and_fall, "fig-4",
    ),
    _claim(
        "wider-is-earlier", "Figure 4", "Cauchy noise gains earlier and falls earlier than Gaussian noise",
        "because the Gaussian distribution is thinner than the Cauchy, its pattern of rise and fall happens with a "
        "small delay", wider_is_earlier, "fig-4",
    ),
    _claim(
        "same-distribution", "Figure 8", "For each distribution at training, the same at inference is best",
        "the optimal performance during inference is acquired if we have the same noise distributions",
        own_is_best(DISTRIBUTIONS), "fig-8",
    ),
    _claim(
        "one-sided-at-training", "Figure 8", "Symmetric at training, one-sided at inference is better than the reverse",
        "if we use symmetric noise during training and asymmetric noise during inference the performance will not be "
        "as poor as otherwise", one_sided_training, "fig-8", kind="on average",
    ),
    _claim(
        "similar-together", "Figure 8", "A network trained with symmetric noise does better with another symmetric one",
        "the best results pertain to our four symmetric noise distributions", similar_together, "fig-8",
        kind="on average",
    ),
    _claim(
        "full-noise-is-best", "Figure 9", "Noise at all layers beats noise at some of them",
        "injecting noise to all layers yields higher performances than the alternatives",
        ranked(("all",), PLACES[1:]), "fig-9",
    ),
    _claim(
        "odd-and-even-next", "Figure 9", "Noise at odd or even layers beats noise in the encoder or decoder alone",
        "n-even and n-odd are at the next rank while n-enc and n-dec are the worse",
        ranked(("odd", "even"), ("encoder", "decoder")), "fig-9",
    ),
    _claim(
        "same-placement", "Corollary 1, Figure 9", "For each placement at training, the same at inference is best",
        "the noise injected to a specific layer during training and inference better to follow the same distribution",
        own_is_best(PLACES), "fig-9",
    ),
    _claim(
        "noise-where-none-was", "Figure 9", "Noise at inference at further layers than at training is worse",
        "not injecting noise during training for a specific layer while injecting noise during inference … "
        "significantly reduces the performance", surprised, "fig-9",
    ),
    _claim(
        "late-layers-hurt-more", "ours", "Surprising noise costs more behind the layers of training than before them",
        _OURS, late_or_early, "fig-9",
    ),
    _claim(
        "cross-entropy", "Section 4.1", "Binary cross-entropy and squared error give accuracies within 3 points",
        "binary cross-entropy (BCE) has also been tried and produced similar results", entropy_less_square, "loss",
        kind="equal", delta=3.0,
    ),
    _claim(
        "more-outputs", "Appendix F", "Noise gains more, or costs less, where there are more outputs",
        "when the output has fewer dimensions, as in the case of discriminative modeling, this problem is less "
        "pronounced", more_outputs, "outputs",
    ),
    _claim(
        "classifiers-deteriorate", "Table 5, Figure 10", "Each classifier gets worse from α = 0 to 0.5, and to 1",
        "the performances reliably deteriorate as we increase the scalar of the omnipresent … activation noise",
        deteriorating, "table-5",
    ),
    _claim(
        "classifier-diagonal", "Figure 11", "With balanced noise the classifier gets worse at each step of α",
        "the performance consistently deteriorates when moving from top-left entry (no noise) to bottom-right entry",
        _unbalanced(_down), "fig-11",
    ),
    _claim(
        "classifier-unbalanced", "Figure 11", "For each α at training, the same α at inference is best",
        "unbalanced noise worsens the performance", _unbalanced(_off), "fig-11",
    ),
    _claim(
        "classifier-asymmetry", "Figure 11", "Too much noise at inference hurts more than too much at training",
        "strong noise during inference with weak noise during training delivers noticeably worse performances",
        _unbalanced(_mirrored), "fig-11", kind="on average",
    ),
    _claim(
        "classifier-asymmetry-anew", "ours", "It still does once batch norm has the statistics of inference", _OURS,
        _unbalanced(_mirrored, "anew"), "fig-11", kind="on average",
    ),
]  # fmt: skip
"""Rules that are fixed, and wait for their tables to join the claims."""
