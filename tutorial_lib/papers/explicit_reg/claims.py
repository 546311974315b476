"""What "Explicit Regularisation in Gaussian Noise Injections" claims, and the rules that give the verdicts.

Its numbers stand only in pictures, so its sentences are quoted. Where it says that the regulariser reproduces the
noise, three things are asked. On average over training its curve keeps less than half of the baseline's distance from
the noise's, after subtracting what a second run with noise, of other draws, keeps. And it is nearer to the noise than
each of two other penalties, as strong as the noise by the validation loss.
"""

import pandas as pd

from ...claims import Claim, Finding, by_seed, margins
from ...draw import pick, with_columns
from ...verdicts import HOLDS, judge
from . import SLUG
from .figures import ratios, total_trace
from .probes import FREQUENCIES
from .sweeps import AGAIN, BASELINE, CONTROLS, INPUT, NOISE, REGULARISER, SMALL_VARIANCE, VARIANCE

NEGLIGIBLE = 10.0
"""Percent of what eq. (15) keeps, up to which we call what it drops negligible."""
CLOSE = 5.0
"""Percent by which E[ΔL] may differ from R, at our smallest σ, for the two to count as equal."""
AGREES = 2.0
"""Points of agreement between two networks' predictions that we call no loss: 20 of 1,000 images."""


def _distance(table: pd.DataFrame, one: str) -> pd.Series:
    """Mean over training of |one kind's curve - the noise's|, by seed."""
    curves = table.pivot_table(index=["seed", "x"], columns="kind", values="value")
    return (curves[one] - curves[NOISE]).abs().groupby("seed").mean()


def _missing(kinds) -> str | None:
    """Why a table cannot tell whether the regulariser reproduces the noise, if it has only these kinds of training."""
    lost = [kind for kind in (BASELINE, NOISE, REGULARISER, AGAIN, *CONTROLS) if kind not in set(kinds)]
    return f"the table has no networks trained with: {', '.join(lost)}" if lost else None


def follows(*keys: str, measure: str, **values):
    """A rule: see the module. In percent of the baseline's distance, less that of the second run with noise."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        table = pick(with_columns(table, "layer"), **values)
        table = total_trace(table) if measure == "hessian trace" else pick(table, measure=measure)
        table = table.dropna(subset="value")
        groups = table.groupby(list(keys), sort=False)
        if "operation" in keys:  # one baseline stands beside every noise
            base = table[table["kind"] == BASELINE]
            noises = table[table["kind"] != BASELINE].groupby(list(keys), sort=False)
            groups = [(name, pd.concat([base, part])) for name, part in noises]
        found, lost = {}, {}
        for name, part in groups:
            name = ", ".join(map(str, name))
            if why := _missing(part["kind"]):
                lost[name] = why
                continue
            away = {kind: _distance(part, kind) for kind in (BASELINE, REGULARISER, AGAIN, *CONTROLS)}
            room = away[BASELINE] - away[AGAIN]
            if judge(margins({name: room}))["verdict"] != HOLDS:
                lost[name] = "noise is not seen to move this curve further than other draws of it do"
                continue
            gap = away[REGULARISER] - away[AGAIN]
            found[f"{name}: half the baseline's distance"] = 100 * (room / 2 - gap) / room.mean()
            for control in CONTROLS:
                nearer = away[control] - away[REGULARISER]
                found[f"{name}: nearer than {control}"] = 100 * nearer / room.mean()
        return margins(found, lost)

    return rule


def _against(measure: str, rule):
    """A rule on `measure` of the large networks: `rule(means)`, by kind of training, gives named margins."""

    def of_table(table: pd.DataFrame) -> pd.DataFrame:
        found, lost = {}, {}
        for name, means in by_seed(pick(table, measure=measure), "kind", ["network", "activation"]).items():
            if why := _missing([*means, NOISE]):
                lost[name] = why
            else:
                found |= {f"{name}{label}": margin for label, margin in rule(means).items()}
        return margins(found, lost)

    return of_table


def nearer_outputs(means: pd.DataFrame) -> dict[str, pd.Series]:
    """By how many percent the regulariser's outputs lie nearer to the noise's than a control's, image by image."""
    return {f": nearer than {c}": 100 * (1 - means[REGULARISER] / means[c]) for c in CONTROLS}


def nearer_jacobians(table: pd.DataFrame) -> pd.DataFrame:
    """How much nearer the regulariser's ||J_k|| is to the noise's than a control's, in percent of the noise's."""
    norms = pick(with_columns(table, "layer"), measure="jacobian norm").astype({"layer": "Int64"})
    found, lost = {}, {}
    for name, means in by_seed(norms, "kind", ["network", "activation", "layer"]).items():
        if why := _missing(means):
            lost[name] = why
            continue
        off = {kind: (means[kind] - means[NOISE]).abs() / means[NOISE] for kind in (REGULARISER, *CONTROLS)}
        found |= {f"{name}: nearer than {c}": 100 * (off[c] - off[REGULARISER]) for c in CONTROLS}
    return margins(found, lost)


def smoother(*keys: str, variance: float):
    """A rule: by how many percent the Hessian trace, averaged over training, lies below the baseline's."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        traces = total_trace(table)
        base = by_seed(pick(traces, kind=BASELINE), "kind")[""]
        others = pick(traces, kind=[NOISE, REGULARISER], variance=variance)
        return margins(
            {
                ", ".join(filter(None, [kind, name])): 100 * (1 - means[kind] / base[BASELINE])
                for name, means in by_seed(others, "kind", keys).items()
                for kind in (NOISE, REGULARISER)
                if kind in means and len(base)
            }
        )

    return rule


def lower_frequencies(table: pd.DataFrame) -> pd.DataFrame:
    """Mean amplitude at the target's frequencies above 25 at the end of training: the baseline's less the other's."""
    table = pick(table, measure="amplitude", x=[k for k in FREQUENCIES if k > 25], variance=[0.0, VARIANCE])
    means = by_seed(table[table["step"] == table["step"].max()], "kind")[""]
    there = [kind for kind in (NOISE, REGULARISER) if {kind, BASELINE} <= set(means)]
    return margins({kind: means[BASELINE] - means[kind] for kind in there})


def slower_decay(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy lost to noise on the data (mean over σ > 0): with noise on the input alone, less the other kind's."""
    accuracy = with_columns(pick(table, measure="accuracy"), "sigma")
    lost = {}
    clean = by_seed(accuracy[accuracy["sigma"] == 0], "kind", ["network", "activation"])
    for name, noisy in by_seed(accuracy[accuracy["sigma"] > 0], "kind", ["network", "activation"]).items():
        if name in clean:
            decay = clean[name] - noisy
            there = [kind for kind in (NOISE, REGULARISER) if {kind, INPUT} <= set(clean[name]) & set(noisy)]
            lost |= {f"{kind}, {name}": decay[INPUT] - decay[kind] for kind in there}
    return margins(lost)


def difference(measure: str, pairs: list[tuple[str, str]], *keys: str, relative: bool = False, **values):
    """A rule: `measure` of each pair's first kind less that of its second, in percent of the first if `relative`."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found = {}
        for name, means in by_seed(pick(table, measure=measure, **values), "kind", keys).items():
            for one, other in (pair for pair in pairs if {*pair} <= set(means)):
                gap = means[one] - means[other]
                found[f"{one} - {other}, {name}"] = 100 * gap / means[one] if relative else gap
        return margins(found)

    return rule


def captures(table: pd.DataFrame) -> pd.DataFrame:
    """Fig. 6: the regulariser makes ||J_k|| smaller by at least half of what noise does in layers 0, 1; not in layer 2.

    In percent of the baseline's norm.
    """
    found = {}
    norms = pick(table, measure="jacobian norm").astype({"layer": int})
    for name, means in by_seed(norms, "kind", ["activation", "layer"]).items():
        if {BASELINE, NOISE, REGULARISER} <= set(means):
            more = 100 * ((means[BASELINE] + means[NOISE]) / 2 - means[REGULARISER]) / means[BASELINE]
            found[name] = -more if name.endswith("2") else more
    return margins(found)


def off_diagonal(kind: str):
    """A rule: the off-diagonal terms in percent of those that eq. (15) keeps."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        shares = pick(table, measure="off-diagonal share", kind=kind).astype({"layer": int})
        found = by_seed(shares, "kind", ["network", "activation", "layer"])
        return margins({name: means[kind] for name, means in found.items() if kind in means})

    return rule


def tends_to_one(factor: float, **values):
    """A rule: E[ΔL] / (factor · R) - 1 in percent, network by network with its error over draws.

    All layers noised, averaged over data, at the smallest σ.
    """

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        part = ratios(pick(table, layer="all", where="average over data", sigma=table["sigma"].min(), **values))
        names = part[["activation", "loss", "epochs", "seed"]].itertuples(index=False)
        return pd.DataFrame(
            {
                "setting": [f"{a}, {loss}, {epochs} epochs, seed {seed}" for a, loss, epochs, seed in names],
                "margin": 100 * (part["plain"] / factor - 1).to_numpy(),
                "sem": 100 * (part["plain_error"] / factor).to_numpy(),
                "freedom": float("inf"),
            }
        )

    return rule


IMAGES = ("digits", "mnist", "fashion-mnist", "cifar-10", "svhn")


def _claim(id, item, claim, text, rule, experiment, unit, kind="every", delta=0.0, datasets=None) -> Claim:
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=None, reported_text=text, reported_error="none",
        rule=rule, experiment=f"{SLUG}/{experiment}", unit=unit, kind=kind, delta=delta, datasets=datasets,
    )  # fmt: skip


_OURS = "not in the paper: our control"
_DISTANCE = "percent of the baseline's distance"
CLAIMS = [
    _claim(
        "same-loss-curve", "Figures 1(a), 7(a), 8", "The regulariser reproduces the noise's test loss along training",
        "The loss trajectory is quasi-identical to models trained with noise",
        follows("network", "activation", measure="test loss", network=["mlp", "conv"]), "control", _DISTANCE,
    ),
    _claim(
        "same-trajectory", "Figures 1(b), 7(b)", "The regulariser reproduces the noise's Hessian trace along training",
        "almost identical trajectories through the loss landscape",
        follows("operation", "variance", measure="hessian trace", variance=[0.0, VARIANCE]), "control", _DISTANCE,
    ),
    _claim(
        "same-trajectory-small-noise", "Figure 9", "So it does for small noise, additive and multiplicative",
        "is quasi identical for Exp Reg and Noise and is clearly distinct from Baseline",
        follows("operation", "variance", measure="hessian trace", variance=[0.0, SMALL_VARIANCE]), "control", _DISTANCE,
    ),
    _claim(
        "same-predictions", "Control",
        f"Image by image, regulariser and noise agree as often as two runs with noise, to {AGREES:g} points", _OURS,
        _against("agreement", lambda means: {"": means[REGULARISER] - means[AGAIN]}), "control", "points",
        "no worse", AGREES, IMAGES,
    ),
    _claim(
        "nearer-outputs", "Control", "Image by image, its outputs are nearer to the noise's than those of two controls",
        _OURS, _against("output distance", nearer_outputs), "control", "percent",
    ),
    _claim(
        "nearer-jacobians", "Control", "Layer by layer, its ||J_k|| is nearer to the noise's than that of two controls",
        _OURS, nearer_jacobians, "control", "percent", datasets=IMAGES,
    ),
    _claim(
        "smoother-trajectory", "Figures 1(b), 7(b)",
        "Noise and regulariser have a smaller Hessian trace than the baseline",
        "smoother trajectories (smaller Hessian trace) than models trained without regularisation",
        smoother(variance=VARIANCE), "control", "percent",
    ),
    _claim(
        "smoother-trajectory-small-noise", "Figure 9", "So do they with small noise, but on CIFAR-10",
        "smoother trajectories (lower trace) through the loss landscape, except for CIFAR10",
        smoother("operation", variance=SMALL_VARIANCE), "fig-9", "percent",
        datasets=("digits", "svhn", "diabetes", "boston"),
    ),
    _claim(
        "lower-frequencies", "Figure 2", "Noise and regulariser leave out the high frequencies",
        "these models learn a function with low-frequency components", lower_frequencies, "fig-2", "amplitude",
    ),
    _claim(
        "slower-decay", "Figures 3(a), 10",
        "Noise in all layers, and the regulariser, lose less accuracy to noisy data than noise on the input alone",
        "Noise All Layers and Exp Reg models have a slower decay of accuracy", slower_decay, "fig-10", "points",
    ),
    _claim(
        "larger-margins", "Section 5.1", "Noise in all layers gives larger margins (eq. 19) than on the input alone",
        "larger classification margins than solely noising data",
        difference("margin bound", [(NOISE, INPUT)], "network", "activation"), "fig-10", "distance",
    ),
    _claim(
        "smaller-input-jacobian", "Figures 3(b), 10",
        "Noise in all layers gives a smaller ||J_0|| than on the input alone",
        "experience a larger penalisation on the norm of J_0",
        difference("jacobian norm", [(INPUT, NOISE)], "network", "activation", relative=True, layer=0),
        "fig-10", "percent",
    ),
    _claim(
        "accuracy-traded", "Figure 10", "Noise in all layers costs accuracy on clean data",
        "accuracy for σ = 0 is lower for the model trained with noise on all layers",
        difference("accuracy", [(BASELINE, NOISE)], "network", "activation", sigma=0), "fig-10", "points",
    ),
    _claim(
        "smaller-jacobians", "Figure 6", "Noise makes the Jacobians of every layer smaller than the baseline's",
        "networks with much smaller norms of the Jacobian",
        difference("jacobian norm", [(BASELINE, NOISE)], "activation", "layer", relative=True), "fig-6", "percent",
    ),
    _claim(
        "captures-early-layers", "Figure 6", "The regulariser captures that in layers 0 and 1, but not in layer 2",
        "captures much of this effect in earlier layers (layers 0 and 1)", captures, "fig-6", "percent",
    ),
    _claim(
        "better-calibration", "Figures 4, 11", "Noise and regulariser lower the expected calibration error",
        "Noise and Exp Reg models are better calibrated with a lower ECE relative to baselines",
        difference("calibration error", [(BASELINE, NOISE), (BASELINE, REGULARISER)], "network", sigma=0),
        "fig-11", "points",
    ),
    _claim(
        "greater-entropy", "Figures 4, 11", "Noise and regulariser raise the entropy of predictions",
        "Noise and Exp Reg models have a greater entropy of predictions",
        difference("mean entropy", [(NOISE, BASELINE), (REGULARISER, BASELINE)], "network"), "fig-11", "nats",
    ),
    _claim(
        "off-diagonals-negligible", "Figure 5",
        f"Without regularisation, what eq. (15) drops is under {NEGLIGIBLE:g} % of what it keeps",
        "the off-diagonal elements of J_kᵀJ_k are negligible for smaller networks", off_diagonal(BASELINE), "fig-5",
        "percent", "equal", NEGLIGIBLE,
    ),
    _claim(
        "off-diagonals-stay-negligible", "Section 3",
        f"Trained on eq. (15), too, what it drops is under {NEGLIGIBLE:g} % of what it keeps",
        "Ignoring these off-diagonal terms",
        off_diagonal(REGULARISER), "fig-5", "percent", "equal", NEGLIGIBLE,
    ),
    _claim(
        "theorem-1", "Theorem 1", f"As σ → 0, E[ΔL] is R of eq. (10), within {CLOSE:g} %",
        "higher order terms in E_L that disappear in the limit of small variance noise", tends_to_one(1.0), "theorem-1",
        "percent", "theorem", CLOSE,
    ),
    _claim(
        "equation-12", "Equation 12",
        f"As σ → 0, E[ΔL] of the squared error is eq. (12), within {CLOSE:g} %",
        "For this loss, the Hessians in Theorem 1 are simply the identity matrix",
        tends_to_one(0.5, loss="squared error"), "theorem-1", "percent", "theorem", CLOSE,
    ),
]  # fmt: skip
"""This paper's claims, each on a measured table."""

FINDINGS = [
    Finding(
        "smoother-trajectory", "cifar-10", "holds",
        "Noise in every layer leads through a flatter landscape, and so does the penalty made from it: on average over "
        "both, the trace of the Hessian is {mean} % smaller.", headline=True,
    ),
    Finding(
        "better-calibration", "cifar-10", "holds",
        "Both make a network less sure of itself: the gap between confidence and accuracy closes by {mean} points.",
    ),
    Finding(
        "same-trajectory", "cifar-10", "holds",
        "The penalty follows the noise on its way through the landscape, and more closely than two other penalties, as "
        "strong, do.",
    ),
    Finding(
        "same-loss-curve", "cifar-10", "not decided",
        "It follows the noise's loss curve, too. Whether any nearer than weight decay and another penalty do, made as "
        "strong, is not decided.",
    ),
    Finding(
        "theorem-1", "digits", "contradicted",
        "The theorem behind the penalty drops a term of the same order as the one it keeps. In many small networks it "
        "shows, at the least noise that we tried.", headline=True,
    ),
]  # fmt: skip
"""The chapter's answer, in five lines."""
