"""What "Explicit Regularisation in Gaussian Noise Injections" claims, and the rules that give the verdicts.

Its numbers stand only in pictures, so its sentences are quoted. "Quasi-identical" is read as: on average over training,
the two curves are less than half as far from each other as the noise's curve is from the baseline's.
"""

import pandas as pd

from ...claims import Claim, by_seed, margins
from ...draw import pick, with_columns
from . import SLUG
from .figures import ratios, total_trace
from .sweeps import BASELINE, FREQUENCIES, INPUT, NOISE, REGULARISER, VARIANCE

NEGLIGIBLE = 10.0
"""Percent of what eq. (15) keeps, up to which we call what it drops negligible."""
CLOSE = 5.0
"""Percent by which E[ΔL] may differ from R, at our smallest σ, for the two to count as equal."""


def _distance(table: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Mean over training of |one kind's curve - another's|, by seed."""
    curves = table.pivot_table(index=["seed", "x"], columns="kind", values="value")
    return (curves[one] - curves[other]).abs().groupby("seed").mean()


def follows(*keys: str, measure: str):
    """A rule: half the distance from baseline to noise, less the distance from regulariser to noise."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        table = total_trace(table) if measure == "hessian trace" else pick(table, measure=measure)
        table = table.dropna(subset="value")
        if "operation" in keys:  # one baseline stands beside every noise
            base = table[table["kind"] == BASELINE]
            noises = table[table["kind"] != BASELINE].groupby(list(keys), sort=False)
            groups = [(name, pd.concat([base, part])) for name, part in noises]
        else:
            groups = list(table.groupby(list(keys), sort=False))
        return margins(
            {
                ", ".join(map(str, name)): _distance(part, BASELINE, NOISE) / 2 - _distance(part, REGULARISER, NOISE)
                for name, part in groups
                if {BASELINE, NOISE, REGULARISER} <= set(part["kind"])
            }
        )

    return rule


def smoother(table: pd.DataFrame) -> pd.DataFrame:
    """By how many percent the Hessian trace, averaged over training, lies below the baseline's."""
    means = by_seed(total_trace(table), "kind")[""]
    there = [kind for kind in (NOISE, REGULARISER) if {kind, BASELINE} <= set(means)]
    return margins({kind: 100 * (1 - means[kind] / means[BASELINE]) for kind in there})


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
    """Fig. 6: the regulariser's ||J_k|| nearer to the noise's than halfway for layers 0 and 1, and not for layer 2."""
    found = {}
    norms = pick(table, measure="jacobian norm").astype({"layer": int})
    for name, means in by_seed(norms, "kind", ["activation", "layer"]).items():
        if not {BASELINE, NOISE, REGULARISER} <= set(means):
            continue
        half = (means[BASELINE] - means[NOISE]) / 2
        near = 100 * (half - (means[REGULARISER] - means[NOISE]).abs()) / means[BASELINE]
        found[name] = -near if name.endswith("2") else near
    return margins(found)


def negligible(kind: str):
    """A rule: `NEGLIGIBLE` percent less the size of the off-diagonal terms in percent of those that eq. (15) keeps."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        shares = pick(table, measure="off-diagonal share", kind=kind).astype({"layer": int})
        found = by_seed(shares, "kind", ["network", "activation", "layer"])
        return margins({name: NEGLIGIBLE - means[kind].abs() for name, means in found.items() if kind in means})

    return rule


def tends_to_one(factor: float, **values):
    """A rule: `CLOSE` less |E[ΔL] / (factor · R) - 1| in percent, all layers noised, data averaged, smallest σ."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        part = ratios(pick(table, layer="all", where="average over data", sigma=table["sigma"].min(), **values))
        return margins(
            {
                f"{a}, {loss}, {epochs} epochs": CLOSE - 100 * (rows.set_index("seed")["plain"] / factor - 1).abs()
                for (a, loss, epochs), rows in part.groupby(["activation", "loss", "epochs"], sort=False)
            }
        )

    return rule


def _claim(id, item, claim, text, rule, experiment, unit) -> Claim:
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=None, reported_text=text, reported_error="none",
        rule=rule, experiment=f"{SLUG}/{experiment}", unit=unit,
    )  # fmt: skip


CLAIMS = [
    _claim(
        "same-loss-curve", "Figures 1(a), 8", "The regulariser reproduces the noise's test loss along training",
        "The loss trajectory is quasi-identical to models trained with noise",
        follows("network", "activation", measure="test loss"), "fig-8", "nats",
    ),
    _claim(
        "same-trajectory", "Figure 1(b)", "The regulariser reproduces the noise's Hessian trace along training",
        "almost identical trajectories through the loss landscape",
        follows("operation", "variance", measure="hessian trace"), "fig-1", "trace",
    ),
    _claim(
        "same-trajectory-small-noise", "Figure 9", "So it does for small noise, additive and multiplicative",
        "is quasi identical for Exp Reg and Noise and is clearly distinct from Baseline",
        follows("operation", "variance", measure="hessian trace"), "fig-9", "trace",
    ),
    _claim(
        "smoother-trajectory", "Figure 1(b)", "Noise and regulariser have a smaller Hessian trace than the baseline",
        "smoother trajectories (smaller Hessian trace) than models trained without regularisation", smoother, "fig-1",
        "percent",
    ),
    _claim(
        "regression-loss-curve", "Figure 7(a)", "In regression too, the regulariser (eq. 12) follows the noise",
        "The test set loss is quasi-identical between Exp Reg and Noise runs",
        follows("network", "activation", measure="test loss"), "fig-7", "squared error",
    ),
    _claim(
        "regression-trajectory", "Figure 7(b)",
        "In regression too, it follows the noise's Hessian trace", "This also holds true for Tr(H)",
        follows("operation", "variance", measure="hessian trace"), "fig-7", "trace",
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
        "the off-diagonal elements of J_kᵀJ_k are negligible for smaller networks", negligible(BASELINE), "fig-5",
        "percent",
    ),
    _claim(
        "off-diagonals-stay-negligible", "Section 3",
        f"Trained on eq. (15), too, what it drops is under {NEGLIGIBLE:g} % of what it keeps",
        "Ignoring these off-diagonal terms",
        negligible(REGULARISER), "fig-5", "percent",
    ),
    _claim(
        "theorem-1", "Theorem 1", f"As σ → 0, E[ΔL] is R of eq. (10), within {CLOSE:g} %",
        "higher order terms in E_L that disappear in the limit of small variance noise", tends_to_one(1.0), "theorem-1",
        "percent",
    ),
    _claim(
        "equation-12", "Equation 12",
        f"As σ → 0, E[ΔL] of the squared error is eq. (12), within {CLOSE:g} %",
        "For this loss, the Hessians in Theorem 1 are simply the identity matrix",
        tends_to_one(0.5, loss="squared error"), "theorem-1", "percent",
    ),
]  # fmt: skip
"""This paper's claims, each on a measured table."""
