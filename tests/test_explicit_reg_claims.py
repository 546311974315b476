"""Claims of explicit regularisation: every rule gives every verdict on tables made for it."""

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.papers.explicit_reg.claims import CLAIMS, follows, tends_to_one
from tutorial_lib.papers.explicit_reg.figures import EXPERIMENTS
from tutorial_lib.papers.explicit_reg.probes import FREQUENCIES
from tutorial_lib.papers.explicit_reg.sweeps import (
    AGAIN,
    BASELINE,
    CONTROLS,
    GRADIENT,
    INPUT,
    L2,
    NOISE,
    REGULARISER,
    SMALL,
    TRAINING,
    TWICE,
    VARIANCE,
)
from tutorial_lib.verdicts import judge

SEEDS = 8
AGREE = {BASELINE: 1.0, INPUT: 0.9, NOISE: 0.5, REGULARISER: 0.5, TWICE: 0.5, AGAIN: 0.5, L2: 0.8, GRADIENT: 0.7}
"""How bad each kind is where the paper is right: the regulariser is as good as the noise, other penalties are not."""
OPPOSE = {BASELINE: 0.5, INPUT: 0.6, NOISE: 1.0, REGULARISER: 1.6, TWICE: 1.6, AGAIN: 1.0, L2: 0.9, GRADIENT: 0.8}
"""The contrary: noise is worse than none, and the regulariser elsewhere."""
SELECT = {e.name: e.select for e in EXPERIMENTS}
CLAIM = {c.id: c for c in CLAIMS}


def judged(claim, table):
    return judge(claim.rule(table), claim.kind, claim.delta)


def agree(**_):
    return AGREE


def oppose(**_):
    return OPPOSE


def mixed(network="mlp", activation="relu", operation="+", variance=0.0, **_):
    """Half of the settings one way, half the other."""
    if network == SMALL and variance == VARIANCE:  # near to the noise, but another penalty is nearer
        return {**AGREE, REGULARISER: 0.6, L2: 0.5}
    if network == SMALL:  # here one baseline stands beside all noises
        return {**AGREE, REGULARISER: 0.5 if operation == "+" else 1.6}
    return AGREE if (network, activation) in (("mlp", "relu"), ("conv", "elu")) else OPPOSE


EVERYWHERE = [f"{n}, {a}, {o}{v}" for n in ("mlp", "conv", SMALL) for a in ("relu", "elu")
              for o, v in (("+", 0.1), ("+", 0.01), ("×", 0.01))]  # fmt: skip
"""The controls are trained for every noise."""


def training(level, seeds=SEEDS, noise=0.01, regression=False):
    """The table of the training sweep from `level(setting)[kind]`, plus a little that differs by seed."""
    config = TRAINING.config("desk", "diabetes" if regression else "cifar-10") | {"strengths": EVERYWHERE}
    rows, draw = [], np.random.default_rng(0)
    for cell in TRAINING.cells(config, seeds):
        bad = level(**cell)
        worse, best = bad[cell["kind"]], bad is AGREE

        def add(measure, value, cell=cell, **more):
            rows.append({**cell, "measure": measure, "value": value + noise * draw.standard_normal(), **more})

        for epoch in (1, 40, 80):
            add("test loss", 2 * worse, x=epoch)
            if cell["network"] == SMALL:
                for layer in range(3):
                    add("hessian trace", 10 * worse, x=epoch, layer=layer)
        if cell["network"] == SMALL:
            continue
        if cell["kind"] != NOISE:  # the noise itself is what all are compared with
            add("output distance", 4.0 if cell["kind"] in CONTROLS else 3.0 if best else 6.0)
        if regression:
            continue
        if cell["kind"] != NOISE:
            add("agreement", 95.0 if best or cell["kind"] != REGULARISER else 85.0)
        clean = 85.0 if (cell["kind"] == BASELINE) == best else 80.0
        for sigma in (0.0, 0.5, 1.0):
            add("accuracy", clean if sigma == 0 else clean - 40 * worse, sigma=sigma)
            add("calibration error", 20 * worse, sigma=sigma)
        add("margin bound", 1 / worse)
        add("mean entropy", 2 - worse)
        for layer in range(3):
            add("off-diagonal share", 2.0 if best else 40.0, layer=layer)
            add("jacobian norm", 10 * worse, layer=layer)
    return pd.DataFrame(rows)


def spectra(level, seeds=SEEDS):
    draw, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        for kind, variance in ((BASELINE, 0.0), (NOISE, 0.1), (REGULARISER, 0.1), (NOISE, 1e-4), (REGULARISER, 1e-4)):
            # only the last step, the paper's σ² and the upper frequencies count
            for step, shown in ((0, 5.0), (10, 7.0), (4000, level[kind] if variance != 1e-4 else 99.0)):
                rows += [
                    {"kind": kind, "variance": variance, "seed": seed, "measure": "amplitude", "step": step, "x": k,
                     "value": (shown if k > 25 else 50.0) + 0.01 * draw.standard_normal()}
                    for k in FREQUENCIES if step or kind == BASELINE
                ]  # fmt: skip
    return pd.DataFrame(rows)


def theorem(ratio, seeds=SEEDS, error=0.001):
    """E[ΔL] = ratio(activation) · R at the smallest σ, averaged over data; elsewhere nonsense."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"activation": a, "loss": loss, "epochs": 2, "layer": layer, "where": where, "sigma": sigma, "seed": seed,
             "regulariser": sigma**2, "curvature": 0.1 * sigma**2, "error": error * sigma**2,
             "change": sigma**2 * (ratio(a) + 0.001 * draw.standard_normal()
                                   if (layer, where, sigma) == ("all", "average over data", 0.01) else 9.0)}
            for seed in range(seeds) for a in ("relu", "elu") for loss in ("cross-entropy", "squared error")
            for layer in ("all", "data") for where in ("average over data", "one point") for sigma in (0.01, 0.1)
        ]
    )  # fmt: skip


def captured(per_layer, seeds=SEEDS):
    """Jacobian norms: baseline 10, noise 5, and the regulariser's by activation and layer."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"network": "mlp", "activation": a, "kind": kind, "layer": float(layer), "seed": seed,
             "measure": "jacobian norm", "value": value + 0.01 * draw.standard_normal()}
            for seed in range(seeds) for a in ("relu", "elu") for layer in range(3)
            for kind, value in ((BASELINE, 10.0), (NOISE, 5.0), (REGULARISER, per_layer(a, layer)))
        ]
    )  # fmt: skip


def tables(claim, seeds=SEEDS):
    """A table that agrees with a claim, one that opposes it, and one that does half."""
    if claim.id == "lower-frequencies":
        return [spectra(v, seeds) for v in (AGREE, OPPOSE, {**AGREE, REGULARISER: 1.6})]
    if claim.id == "captures-early-layers":
        good, bad = (lambda a, layer: 10.0 if layer == 2 else 5.5), (lambda a, layer: 5.5 if layer == 2 else 10.0)
        return [captured(v, seeds) for v in (good, bad, lambda a, k: good(a, k) if a == "elu" else bad(a, k))]
    if claim.experiment.endswith("theorem-1"):
        right = 0.5 if claim.id == "equation-12" else 1.0
        halves = (lambda a: right, lambda a: 2 * right, lambda a: right if a == "elu" else 0.5 * right)
        return [theorem(v, seeds) for v in halves]
    worlds = (agree, oppose, mixed)
    if claim.id == "smoother-trajectory":
        worlds = (agree, oppose, lambda **_: {**AGREE, REGULARISER: 1.6})
    return [SELECT[claim.experiment](training(v, seeds)) for v in worlds]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_every_rule_gives_every_verdict(claim):
    good, bad, half = tables(claim)
    assert judged(claim, good)["verdict"] == "holds"
    assert judged(claim, bad)["verdict"] == "contradicted"
    assert judged(claim, half)["verdict"] == ("contradicted" if claim.kind == "theorem" else "mixed")
    if claim.kind != "theorem":  # each network has its error over draws: one may be enough
        found = judged(claim, tables(claim, seeds=1)[0])
        assert found["verdict"] == ("not testable" if claim.id.startswith("same-") and claim.kind == "every" else
                                    "not decided")  # fmt: skip


@pytest.mark.parametrize("id", ["same-loss-curve", "same-trajectory", "same-trajectory-small-noise", "nearer-outputs"])
def test_regression_is_judged_by_the_same_rules(id):
    """One network on a table of numbers, beside the regulariser of eq. (10), which is another kind."""
    claim = CLAIM[id]
    found = [judged(claim, SELECT[claim.experiment](training(v, regression=True))) for v in (agree, oppose)]
    assert [f["verdict"] for f in found] == ["holds", "contradicted"]
    assert len(found[0]["settings"]) == {"same-trajectory-small-noise": 6, "nearer-outputs": 2}.get(id, 3)


def test_claims_count_every_setting_that_they_name():
    """A rule that loses a network, a control or a layer on the way would still give verdicts."""
    table = training(agree)
    expected = {
        "same-loss-curve": 12, "same-trajectory": 3, "same-trajectory-small-noise": 6, "same-predictions": 4,
        "nearer-outputs": 8, "nearer-jacobians": 24, "smoother-trajectory": 2, "smoother-trajectory-small-noise": 4,
        "slower-decay": 8, "larger-margins": 4,
        "smaller-input-jacobian": 4, "accuracy-traded": 4, "smaller-jacobians": 6, "captures-early-layers": 6,
        "better-calibration": 4, "greater-entropy": 4, "off-diagonals-negligible": 12,
        "off-diagonals-stay-negligible": 12,
    }  # fmt: skip
    found = {id: CLAIM[id].rule(SELECT[CLAIM[id].experiment](table))["setting"].nunique() for id in expected}
    assert found == expected
    assert set(CLAIM) - set(expected) == {"lower-frequencies", "theorem-1", "equation-12"}


# --- following the noise


def curves(seeds=5, jitter=0.01, xs=(1, 2), **values):
    """Test losses of one network by kind (a number, or one for each x), nearly the same from every seed."""
    kinds = {BASELINE: 3.0, NOISE: 2.0, AGAIN: 2.1, REGULARISER: 2.0, L2: 2.5, GRADIENT: 2.3} | {
        {"base": BASELINE, "noise": NOISE, "again": AGAIN, "regulariser": REGULARISER, "l2": L2, "gradient": GRADIENT}[
            k
        ]: v
        for k, v in values.items()
    }
    return pd.DataFrame(
        [
            {"network": "mlp", "kind": kind, "seed": seed, "x": x, "measure": "test loss",
             "value": (value if isinstance(value, float) else value[k]) + jitter * seed * (kind == BASELINE)}
            for seed in range(seeds) for k, x in enumerate(xs) for kind, value in kinds.items() if value is not None
        ]
    )  # fmt: skip


RULE = follows("network", measure="test loss")
HALF, NEAR_L2, NEAR_GRADIENT = (f"mlp: {c}" for c in ("half the baseline's distance", "nearer than L2",
                                                     "nearer than input gradient"))  # fmt: skip


def test_following_is_relative_to_the_baseline_and_to_other_draws():
    """By hand: the baseline is 1 away, other draws 0.1, so 0.9 is to go; half of it, and less than the controls."""
    for regulariser, off in ((2.4, 0.4), (2.6, 0.6), (2.0, 0.0), (1.4, 0.6), (2.0 + 0.55, 0.55)):
        found = RULE(curves(regulariser=regulariser)).groupby("setting")["margin"].mean()
        expected = {HALF: 0.45 - (off - 0.1), NEAR_L2: 0.5 - off, NEAR_GRADIENT: 0.3 - off}
        assert found.to_dict() == pytest.approx({k: 100 * v / 0.9 for k, v in expected.items()}, abs=3)
    # in percent of the mean distance that is to go, and seed by seed
    rows = RULE(curves(jitter=0.1)).set_index(["setting", "seed"])["margin"]
    assert rows[HALF, 0] == pytest.approx(100 * (0.45 + 0.1) / 1.1) and rows[HALF, 4] > rows[HALF, 0]
    assert rows[HALF, 4] == pytest.approx(100 * (1.3 / 2 + 0.1) / 1.1)


def test_distances_do_not_cancel_along_training():
    """A curve above the other first and below it later is as far away as its parts."""
    found = RULE(curves(base=4.0, regulariser=(3.0, 1.0))).groupby("setting")["margin"].mean()
    assert found[HALF] == pytest.approx(100 * (1.9 / 2 - 0.9) / 1.9, abs=2)
    assert found[NEAR_L2] == pytest.approx(100 * (0.5 - 1.0) / 1.9, abs=2)
    found = RULE(curves(base=4.0, l2=(2.7, 1.3))).groupby("setting")["margin"].mean()
    assert found[NEAR_L2] == pytest.approx(100 * 0.7 / 1.9, abs=2)
    # nor do seeds
    table = curves(base=4.0)
    table.loc[(table["kind"] == REGULARISER), "value"] = 2.0 + (-1.0) ** table["seed"]
    assert RULE(table).groupby("setting")["margin"].mean()[NEAR_L2] == pytest.approx(100 * (0.5 - 1.0) / 1.9, abs=2)


@pytest.mark.parametrize("table", [curves(again=3.05), curves(base=2.05, again=2.3), curves(seeds=1)])
def test_where_noise_moves_nothing_there_is_nothing_to_follow(table):
    """Other draws lie as far apart as the baseline does, or one seed cannot tell."""
    found = judge(RULE(table))
    assert found["verdict"] == "not testable"
    assert found["why"] == "noise is not seen to move this curve further than other draws of it do"


@pytest.mark.parametrize(
    ("missing", "names"),
    [({"l2": None}, "L2"), ({"l2": None, "gradient": None, "again": None}, "noise, other draws, L2, input gradient"),
     ({"noise": None}, "noise"), ({"base": None}, "baseline")],
)  # fmt: skip
def test_a_table_without_the_controls_cannot_tell(missing, names):
    found = judge(RULE(curves(**missing)))
    assert (found["verdict"], found["why"]) == ("not testable", f"the table has no networks trained with: {names}")


@pytest.mark.parametrize("id", ["same-predictions", "nearer-outputs", "nearer-jacobians", "same-trajectory"])
def test_every_comparison_with_the_controls_names_what_is_missing(id):
    claim = CLAIM[id]
    table = SELECT[claim.experiment](training(agree))
    lacking = "L2" if claim.kind == "every" else AGAIN
    found = judged(claim, table[table["kind"] != lacking])
    assert (found["verdict"], found["why"]) == ("not testable", f"the table has no networks trained with: {lacking}")
    # one network that has it is enough to be tested
    found = judged(claim, table[(table["kind"] != lacking) | (table["network"] != "conv")])
    if id != "same-trajectory":
        assert found["verdict"] == "holds" and lacking in found["why"] and found["counts"]["not testable"] > 0


def likeness(measure, **values):
    """One network, three seeds."""
    kinds = {"base": BASELINE, "reg": REGULARISER, "again": AGAIN, "l2": L2, "gradient": GRADIENT, "noise": NOISE}
    return pd.DataFrame(
        [
            {"network": "mlp", "activation": "elu", "layer": layer, "kind": kinds[k], "seed": s, "measure": measure,
             "value": v}
            for s in range(3) for k, v in values.items() for layer in (0.0, 1.0)
        ]
    )  # fmt: skip


def means(id, table):
    return CLAIM[id].rule(table).groupby("setting")["margin"].mean().to_dict()


def test_likeness_by_hand():
    """Points of agreement lost to a second run with noise; outputs and Jacobians against each control."""
    found = means("same-predictions", likeness("agreement", base=70.0, reg=88.5, again=90.0, l2=80.0, gradient=85.0))
    assert found == {"mlp, elu": pytest.approx(-1.5)}
    found = means("nearer-outputs", likeness("output distance", base=9.0, reg=2.0, again=0.1, l2=4.0, gradient=1.6))
    assert found == {"mlp, elu: nearer than L2": pytest.approx(50),
                     "mlp, elu: nearer than input gradient": pytest.approx(-25)}  # fmt: skip
    norms = likeness("jacobian norm", base=9.0, reg=4.0, again=5.1, l2=8.0, gradient=4.5, noise=5.0)
    expected = {"nearer than L2": 100 * (3 - 1) / 5, "nearer than input gradient": 100 * (0.5 - 1) / 5}
    assert means("nearer-jacobians", norms) == pytest.approx(
        {f"mlp, elu, {k}: {c}": v for k in (0, 1) for c, v in expected.items()}
    )


def test_as_many_predictions_may_be_lost_as_the_claim_allows():
    """Two points of 1,000 images: 1.5 fewer is as often, 2.5 fewer is not, more is no matter."""
    claim, draw = CLAIM["same-predictions"], np.random.default_rng(0)
    for loss, verdict in ((1.5, "holds"), (2.5, "contradicted"), (-9.0, "holds")):
        table = likeness("agreement", base=70.0, reg=90.0 - loss, again=90.0, l2=80.0, gradient=85.0)
        table["value"] += 0.05 * draw.standard_normal(len(table))
        assert judged(claim, table)["verdict"] == verdict


# --- what eq. (15) drops, and Theorem 1


def shares(values, kind=BASELINE):
    return pd.DataFrame(
        [
            {"network": "conv", "activation": "elu", "kind": kind, "layer": 1.0, "seed": s, "value": v,
             "measure": "off-diagonal share"}
            for s, v in enumerate(values)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("id", "kind"), [("off-diagonals-negligible", BASELINE), ("off-diagonals-stay-negligible", REGULARISER)]
)
def test_what_is_dropped_may_have_either_sign(id, kind):
    """Minus 40 % is as much as 40 %; seeds that scatter by 12 about nothing drop nothing."""
    claim = CLAIM[id]
    for values, verdict in [
        ([-40.0, -41, -39, -40.5], "contradicted"), ([40.0, 41, 39, 40.5], "contradicted"),
        ([12.0, -12.0] * 6, "holds"), ([12.0, 12.1, 11.9, 12.0] * 3, "contradicted"), ([9.0, 8.9, 9.1, 9.0], "holds"),
        ([-9.0, -8.9, -9.1, -9.0], "holds"), ([30.0, -30.0] * 2, "not decided"),
    ]:  # fmt: skip
        assert judged(claim, shares(values, kind))["verdict"] == verdict
        other = NOISE if kind == BASELINE else BASELINE
        assert judged(claim, shares(values, other))["verdict"] == "not measured"


def test_each_network_is_a_test_of_the_theorem():
    """One network off by 10 % contradicts it, all others within 5 % and their mean too; errors over draws decide."""
    claim, table = CLAIM["theorem-1"], theorem(lambda a: 1.0)
    rows = claim.rule(table)
    assert len(rows) == 4 * SEEDS and rows["margin"].abs().max() < 1
    assert rows["sem"].tolist() == pytest.approx([0.1] * len(rows)) and np.isinf(rows["freedom"]).all()
    one = (table["seed"] == 3) & (table["activation"] == "relu") & (table["loss"] == "cross-entropy")
    off = table.assign(change=table["change"] * (1 + 0.1 * one))
    found = judged(claim, off)
    assert (found["verdict"], found["counts"]["holds"]) == ("contradicted", 4 * SEEDS - 1)
    assert found["decides"] == "relu, cross-entropy, 2 epochs, seed 3"
    assert found["measured"] == pytest.approx(10, abs=0.5)
    unsure = judged(claim, theorem(lambda a: 1.0, error=0.04))
    assert unsure["verdict"] == "not decided" and unsure["seeds_needed"] is None
    assert judged(claim, theorem(lambda a: 1.0, seeds=1))["verdict"] == "holds"


def test_half_of_equation_10_is_asked_of_squared_errors_alone():
    claim = CLAIM["equation-12"]
    rows = claim.rule(theorem(lambda a: 0.5, error=0.001))
    assert len(rows) == 2 * SEEDS and all("squared error" in name for name in rows["setting"])
    assert rows["sem"].tolist() == pytest.approx([0.2] * len(rows))  # an error of a half is twice that of the whole
    rows = tends_to_one(0.5)(theorem(lambda a: 0.51))
    assert rows["margin"].mean() == pytest.approx(2, abs=0.2)


def test_every_view_selects_what_its_claims_need():
    """The shipped views carry the rows: no claim falls silent because a figure left them out."""
    for regression in (False, True):
        table = training(agree, regression=regression)
        for claim in CLAIMS:
            experiment = next(e for e in EXPERIMENTS if e.name == claim.experiment)
            if regression and claim.id in ("same-predictions", "nearer-jacobians"):
                continue  # of classes, and of networks that were trained on images
            if experiment.sweep is TRAINING and experiment.suits("diabetes" if regression else "digits"):
                assert len(claim.rule(experiment.select(table))) >= 3, claim.id
