"""What "Variational Positive-incentive Noise" claims, and the rules that give the verdicts.

Accuracies are in percent of test images; a margin is an accuracy less another, in points. Rules, settings and
thresholds were written before any of these tables was there. What was known: the accuracies of bases without noise,
by which optimiser and scenes were chosen; and what the theory pages prove.

"As the paper" means the optimiser that comes nearest to the paper's baselines; the second optimiser makes the
well-trained base. Kinds of training that are compared start from the same weights, meet the same batches and take as
many updates; the fixed base of Table 2 is that of the baseline.
"""

import pandas as pd

from ...claims import Claim, Finding, margins
from ...draw import pick
from . import SLUG, printed
from .information import BOUND, TRAINED
from .maps import SCENES
from .sweeps import AS_PAPER, BLIND, DNN3, EVEN, FIXED, FROZEN, JOINT, LONGER, NONE, RANDOM, SHUFFLED, WELL

SAME = 1.0
"""δ of "unnecessary", "similar" and of other sentences that say that two accuracies hardly differ, in points."""
LEARNED = 20.0
"""A base that knows less than this without noise, in percent, has not learned: twice the chance of ten labels."""
PAPER_GAMMA = 0.001
"""γ of section 4.1 for ten classes."""
WITH, WITHOUT = "accuracy", "accuracy, no noise"


def accuracies(table: pd.DataFrame, kind: str, measure: str, optimizer: str = AS_PAPER) -> pd.DataFrame:
    """Rows seeds, columns (base, generator)."""
    rows = pick(table, kind=kind, measure=measure, optimizer=optimizer)
    return rows.pivot_table(index="seed", columns=["base", "generator"], values="value")


def _baseline(table: pd.DataFrame, kind: str = NONE, optimizer: str = AS_PAPER) -> pd.DataFrame:
    """Rows seeds, a column a base: trained without a generator."""
    found = accuracies(table, kind, WITHOUT, optimizer)
    return found.droplevel("generator", axis=1) if len(found) else found


def gains(table: pd.DataFrame, kind: str, optimizer: str = AS_PAPER, over: str = NONE) -> pd.DataFrame:
    """Accuracy with noise after a kind of training, less that of the baseline: rows seeds, columns (base, generator).

    Of "random", which has no generator, and is tested without noise, a column (base, "none").
    """
    found = accuracies(table, kind, WITH, optimizer)
    baseline = _baseline(table, over, optimizer)
    return pd.DataFrame({column: found[column] - baseline[column[0]] for column in found if column[0] in baseline})


def _name(column: tuple[str, str]) -> str:
    return "{}, generator {}".format(*column)


def _named(found: pd.DataFrame) -> pd.DataFrame:
    return margins({_name(column): found[column] for column in found})


def promotes(kind: str, optimizer: str = AS_PAPER, over: str = NONE):
    """A rule: by how many points a base with a generator is better than without, by base and generator."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found, baseline = gains(table, kind, optimizer, over), _baseline(table, over, optimizer).mean()
        learned = [column for column in found if baseline[column[0]] >= LEARNED]
        lost = {_name(column): f"the base alone knows {baseline[column[0]]:.0f} % only" for column in found}
        named = {_name(column): found[column] for column in learned}
        return margins(named, {name: why for name, why in lost.items() if name not in named})

    return rule


def less(kind: str, other: str, measure: str = WITHOUT):
    """A rule: the accuracy after one kind of training less that after another, by base; each tested without noise."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        one, two = accuracies(table, kind, measure), accuracies(table, other, measure)
        return _named(pd.DataFrame({column: one[column] - two[column] for column in one if column in two}))

    return rule


def at_test(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy with noise at test (Algorithm 2) less that without, of joint training."""
    both = [accuracies(table, JOINT, measure) for measure in (WITH, WITHOUT)]
    return _named(both[0] - both[1]) if len(both[0]) else margins({})


def better_than(change: str):
    """A rule: on a fixed base, accuracy with the learned noise less that with noise of its strength, unlearned."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        one, two = accuracies(table, FIXED, WITH), accuracies(table, FIXED, f"accuracy, {change}")
        return _named(pd.DataFrame({column: one[column] - two[column] for column in one if column in two}))

    return rule


def _spread(found: pd.DataFrame, generator: str) -> pd.Series | None:
    """How unstable gains are: their deviation over bases, seed by seed."""
    own = found[[column for column in found if column[1] == generator]]
    return own.std(axis=1, ddof=1) if own.shape[1] > 1 else None


def steadier(kind: str, generator: str, than: str, other: str):
    """A rule: the deviation over bases of the gain by one way of training, less that by another ("stable").

    A way is a `kind` with a `generator`; a generator "deep" stands for a ResNet.
    """

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found = []
        for way, name in ((kind, generator), (than, other)):
            own = gains(table, way)
            deep = [column[1] for column in own if column[1].startswith("ResNet")]
            found.append(_spread(own, (deep or [""])[0] if name == "deep" else name))
        if any(f is None for f in found):
            return margins({})
        return margins({"over bases": found[1] - found[0]})

    return rule


def shrinks(table: pd.DataFrame) -> pd.DataFrame:
    """By how many percent the noise's variance shrank when a generator was trained on a fixed softmax regression."""
    start, end = (accuracies(table, FIXED, measure) for measure in ("strength, at the start", "strength"))
    ways = [column for column in end if column[0] == "SR" and column in start]
    return _named(pd.DataFrame({column: 100 * (1 - (end[column] / start[column]) ** 2) for column in ways}))


# ---- curves over epochs


def _curves(table: pd.DataFrame, measure: str) -> dict[str, pd.DataFrame]:
    """For each base: test accuracies, rows (seed, epoch), columns m."""
    return {
        base: part.pivot_table(index=["seed", "x"], columns="m", values="value")
        for base, part in pick(table, measure=measure).groupby("base", sort=False)
    }


def many_against_one(summary):
    """A rule: a summary of the test accuracies over epochs (a Series) with the largest m, less that with m = 1."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found = {}
        for base, curve in _curves(table, "accuracy").items():
            most = max(curve.columns)
            if most > 1 and 1 in curve:
                both = [curve[m].groupby("seed").agg(summary) for m in (most, 1)]
                found[f"{base}, m = {most:g}"] = both[0] - both[1]
        return margins(found)

    return rule


def at_the_end(curve: pd.Series) -> float:
    """The mean over the last tenth of the epochs."""
    return curve.iloc[-max(1, len(curve) // 10) :].mean()


def at_first(curve: pd.Series) -> float:
    """The mean over the first quarter of the epochs: higher where training converges faster."""
    return curve.iloc[: max(1, len(curve) // 4)].mean()


def steadiness(curve: pd.Series) -> float:
    """Less the mean change from epoch to epoch, over the second half of training."""
    return -curve.iloc[len(curve) // 2 :].diff().abs().mean()


def steady(table: pd.DataFrame) -> pd.DataFrame:
    """One point less the mean change of test accuracy from epoch to epoch: m = 1, the second half of training."""
    return margins(
        {
            base: SAME + curve[1].groupby("seed").agg(steadiness)
            for base, curve in _curves(table, "accuracy").items()
            if 1 in curve
        }
    )


# ---- labels, maps, the bound


def at_gamma(measure: str, weights: dict[str, float], border: float = 0.0):
    """A rule: a weighted sum of a table's measures at the paper's γ, above `border`."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        rows = pick(table, gamma=PAPER_GAMMA, measure=list(weights))
        found = rows.pivot_table(index="seed", columns="measure", values="value")
        complete = set(weights) <= set(found)
        return margins({measure: sum(w * found[m] for m, w in weights.items()) - border} if complete else {})

    return rule


def share(weights: dict[str, float]):
    """A rule: a weighted sum of shares in percent, or of correlations, by kind of training."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found = {}
        for kind, part in pick(table, measure=list(weights)).groupby("kind", sort=False):
            values = part.pivot_table(index="seed", columns="measure", values="value")
            if set(weights) <= set(values):
                found[kind] = sum(w * values[m] for m, w in weights.items())
        return margins(found)

    return rule


def below_information(table: pd.DataFrame) -> pd.DataFrame:
    """I(T, E) less the bound, less the mean KL divergence: nothing, by the theorem; in nats."""
    found = table.pivot_table(index=["ratio", "q", "seed"], columns="measure", values="value")
    if not {"I(T, E)", "bound", "gap"} <= set(found):
        return margins({})
    rest = (found["I(T, E)"] - found["bound"] - found["gap"]).reset_index(name="value")
    return margins(
        {f"{q}, ratio {r:g}": p.set_index("seed")["value"] for (r, q), p in rest.groupby(["ratio", "q"])}, exact=True
    )


def reached(table: pd.DataFrame) -> pd.DataFrame:
    """The bound that a base reaches which sees x + ε alone, above 0, in nats; at the widest ratio."""
    rows = pick(table, q=TRAINED, measure="bound")
    if rows.empty:
        return margins({})
    widest = rows["ratio"].max()
    return margins({f"ratio {widest:g}": pick(rows, ratio=widest).set_index("seed")["value"]})


def over_four(table: pd.DataFrame) -> pd.DataFrame:
    """The gain of ResNet34 with the generator ResNet18, less 4 points."""
    found = gains(table, JOINT)
    chosen = found[[column for column in found if column == ("ResNet34", "ResNet18")]] if len(found) else found
    return _named(chosen - 4)


def _claim(id, item, claim, text, rule, experiment, **options) -> Claim:
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=options.pop("reported", None), reported_text=text,
        reported_error="none", rule=rule, experiment=experiment and f"{SLUG}/{experiment}", **options,
    )  # fmt: skip


_ALWAYS = "The π-noise generator always promotes the base model no matter whether to train the base model with … or not"
_STABLE = "the augmentation by random Gaussian noise is unstable and the VPN generator is much more stable"
_BLURS = "the ideal π-noise should blur the background irrelevant to the main object"
CLAIMS = [
    _claim(
        "joint-promotes", "Table 1",
        "A base trained jointly with a generator is better than without; tested with noise",
        _ALWAYS, promotes(JOINT), "table-1", reported=printed.mean_of(printed.gains("table-1")),
    ),
    _claim(
        "fixed-promotes", "Table 2", "A generator trained on a fixed base makes it better", _ALWAYS, promotes(FIXED),
        "table-2", reported=printed.mean_of(printed.gains("table-2")),
    ),
    _claim(
        "printed-promotes", "Tables 1 to 3", "In the paper's own tables every generator promotes every base", _ALWAYS,
        printed.gains("table-1", "table-2", "table-3"), None,
    ),
    _claim(
        "well-trained-promotes", "Control", "A generator, jointly trained, promotes a well-trained base, too", _ALWAYS,
        promotes(JOINT, WELL), "table-1",
    ),
    _claim(
        "more-than-longer", "Control", "A joint generator does more than training twice as long without noise",
        _ALWAYS, promotes(JOINT, over=LONGER), "table-1",
    ),
    _claim(
        "random-less-stable", "Table 1", "What random noise gains varies more over bases than what a generator gains",
        _STABLE, steadier(JOINT, DNN3, RANDOM, "none"), "table-1",
        reported=printed.mean_of(printed.spread(("table-1", DNN3), ("table-1", "random"))),
    ),
    _claim(
        "printed-random", "Table 1", "In the paper's Table 1 random noise's gain varies more than the generator DNN3's",
        _STABLE, printed.spread(("table-1", DNN3), ("table-1", "random")), None,
    ),
    _claim(
        "dnn3-stabler", "Table 1", "What the generator DNN3 gains varies less over bases than what a ResNet gains",
        "DNN3 is more stable than ResNet-18", steadier(JOINT, DNN3, JOINT, "deep"), "table-1",
        reported=printed.mean_of(printed.spread(("table-1", DNN3), ("table-1", "ResNet18"))),
    ),
    _claim(
        "printed-dnn3", "Table 1", "In the paper's Table 1 the generator DNN3's gain varies less than ResNet18's",
        "DNN3 is more stable than ResNet-18", printed.spread(("table-1", DNN3), ("table-1", "ResNet18")), None,
    ),
    _claim(
        "fixed-stabler", "Table 2", "On fixed bases the generator DNN3's gain varies less than in joint training",
        "the accuracy improvement is even more stable compared with Table 1", steadier(FIXED, DNN3, JOINT, DNN3),
        "table-2", reported=printed.mean_of(printed.spread(("table-2", DNN3), ("table-1", DNN3))),
    ),
    _claim(
        "printed-fixed", "Table 2", "In the paper's tables the generator DNN3's gain varies less on fixed bases",
        "the accuracy improvement is even more stable compared with Table 1",
        printed.spread(("table-2", DNN3), ("table-1", DNN3)), None,
    ),
    _claim(
        "no-noise-at-test", "Table 1", f"Noise at test makes no difference of more than {SAME:g} point",
        "it seems not necessary to generate π-noise for unseen samples in the test phase", at_test, "table-1",
        kind="equal", delta=SAME, reported=printed.mean_of(printed.at_test),
    ),
    _claim(
        "printed-no-noise", "Tables 1 and 3", f"In the paper's tables noise at test makes at most {SAME:g} point",
        "it seems not necessary to generate π-noise for unseen samples in the test phase", printed.at_test, None,
        kind="equal", delta=SAME,
    ),
    _claim(
        "over-4", "Table 3", "On Tiny ImageNet the generator ResNet18 raises ResNet34's accuracy by over 4 points",
        "the accuracy increases by over 4% on Tiny ImageNet with h = ResNet-34 and G = ResNet-18", over_four, "table-3",
        datasets=("tiny-imagenet",), reported=0.47,
    ),
    _claim(
        "printed-4", "Table 3", "In the paper's Table 3 the generator ResNet18 raises ResNet34's by over 4 points",
        "the accuracy increases by over 4% on Tiny ImageNet with h = ResNet-34 and G = ResNet-18", printed.four, None,
    ),
    _claim(
        "m-same-end", "Figure 3", f"The largest m ends where m = 1 does, to {SAME:g} point",
        "The generator with different m for training achieves similar final accuracies", many_against_one(at_the_end),
        "fig-3", kind="equal", delta=SAME,
    ),
    _claim(
        "m-faster", "Figure 3",
        "With the largest m training converges faster than with m = 1 (first quarter of epochs)",
        "Larger m leads to faster convergence", many_against_one(at_first), "fig-3",
    ),
    _claim(
        "m-smoother", "Figure 2", "With the largest m test accuracy oscillates less than with m = 1",
        "The oscillation of the curves may be caused by the setting of m = 1", many_against_one(steadiness), "fig-3",
    ),
    _claim(
        "tiny-stable", "Figure 2", "On Tiny ImageNet accuracy changes by less than a point from epoch to epoch",
        "the training on Tiny ImageNet is more stable", steady, "fig-2", datasets=("tiny-imagenet",),
    ),
    _claim(
        "blurs-background", "Figure 4", "More of the learned noise lies on the background than of even noise", _BLURS,
        share({"background": 1, "background, area": -1}), "scenes",
    ),
    _claim(
        "looks-at-the-image", "Control", "More of it lies on the background than of the same maps on other images",
        _BLURS, share({"background": 1, "background, place": -1}), "scenes",
    ),
    _claim(
        "on-the-ink", "Figure 4", "On grey images more of the learned noise lies on the object than of even noise",
        "the π-noise can only enhance the pixels related to objects", share({"background": -1, "background, area": 1}),
        "fig-4", datasets=("digits", "mnist", "fashion-mnist"),
    ),
    _claim(
        "follows-the-derivative", "ours", "Learned noise is stronger where more of it would lower the expected loss",
        "not in the paper", share({"derivative": -1}), "scenes", unit="correlation",
    ),
    _claim(
        "sr-wants-none", "ours", "On a fixed softmax regression the learned noise shrinks", "not in the paper", shrinks,
        "table-2", unit="percent of the variance",
    ),
    _claim(
        "uses-its-label", "ours", "At the paper's γ the noise changes with its label by more than 5 percent",
        "Σ = f(x, y)", at_gamma("at the paper's γ", {"change": 1}, 5.0), "label", unit="percent",
    ),
    _claim(
        "agrees-with-argmax", "ours",
        "Algorithm 2 says what the plain argmax says, for all but a percent of the images",
        "y ← arg max q(y = Y | x, ε_Y)", at_gamma("at the paper's γ", {"agreement": 1}, 100.0), "label",
        kind="no worse", delta=1.0,
    ),
    _claim(
        "favours-no-class", "ours", "On pure noise Algorithm 2 favours no class more than the plain argmax does",
        "y ← arg max q(y = Y | x, ε_Y)",
        at_gamma("at the paper's γ", {"largest class, no noise": 1, "largest class": -1}), "label", kind="no worse",
        delta=5.0,
    ),
    _claim(
        "blind-as-good", "Control", f"A generator that is blind to labels does as well, to {SAME:g} point",
        "Σ = f(x, y)", less(BLIND, JOINT), "table-1", kind="equal", delta=SAME,
    ),
    _claim(
        "learned-over-even", "Control", "Training with learned noise beats the same strength spread evenly",
        "It verifies the effectiveness of the idea of learning Gaussian noise", less(FROZEN, EVEN), "table-1",
    ),
    _claim(
        "learned-over-shuffled", "Control", "Training with learned noise beats the same maps shuffled over images",
        "It verifies the effectiveness of the idea of learning Gaussian noise", less(FROZEN, SHUFFLED), "table-1",
    ),
    _claim(
        "fixed-over-even", "Control", "On a fixed base learned noise beats the same strength spread evenly, at test",
        "It verifies the effectiveness of the idea of learning Gaussian noise", better_than("even"), "table-2",
    ),
    _claim(
        "bound-and-gap", "Section 3.2", "The bound lies below I(T, E) by a mean KL divergence",
        "a variational lower bound of the mutual information", below_information, "bound", kind="theorem", delta=1e-4,
        unit="nats",
    ),
    _claim(
        "information-reached", "ours", "A base that sees x + ε alone gets information from noise that depends on y",
        "I(T, E) > 0", reached, "bound", unit="nats",
    ),
]  # fmt: skip
"""Every claim of this chapter on the scoreboard."""

FINDINGS = [
    Finding(
        "information-reached", BOUND.subject, "contradicted",
        "On a task that can be computed the bound loses what the theory says. There a network that sees an input plus "
        "its noise gained nothing of what the noise tells, even where that is nearly all.",
    ),
    Finding(
        "joint-promotes", "mnist", "contradicted",
        "A generator of noise that is trained along is said always to improve a classifier. On MNIST and CIFAR-10 some "
        "of ours make it worse, and none is shown to help. Where the noise begins weak, hardly anything changes.",
        headline=True,
    ),
    Finding(
        "printed-promotes", "the paper's tables", "mixed",
        "Nor is it always in the paper's own tables: a few gains are beyond counting error, most are not, and in some "
        "cells, each with a ResNet for a generator, the classifier is worse.", budget="reported",
    ),
    Finding(
        "looks-at-the-image", SCENES.subject, "not decided",
        "Does the noise find the background? On scenes whose objects are known it lies there no more than if each "
        "image had the map of another one, to a fraction of a point.",
    ),
    Finding(
        "no-noise-at-test", "digits", "not decided",
        "Noise at test can be left out where it is weak. Two of three bases that grew up with a ResNet's strong noise "
        "seem to need it, but five runs differ too much to be sure.",
    ),
]  # fmt: skip
"""This chapter's answer in five lines."""
