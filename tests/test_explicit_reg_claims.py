"""Claims of explicit regularisation: every rule gives every verdict on tables made for it."""

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.claims import judge
from tutorial_lib.papers.explicit_reg.claims import CLAIMS, follows
from tutorial_lib.papers.explicit_reg.figures import EXPERIMENTS
from tutorial_lib.papers.explicit_reg.sweeps import (
    BASELINE,
    FREQUENCIES,
    INPUT,
    NOISE,
    REGULARISER,
    SMALL,
    TRAINING,
    TWICE,
)

AGREE = {BASELINE: 1.0, INPUT: 0.9, NOISE: 0.5, REGULARISER: 0.5, TWICE: 0.5}
"""How bad each kind is where the paper is right: the regulariser is as good as the noise."""
OPPOSE = {BASELINE: 0.5, INPUT: 0.6, NOISE: 1.0, REGULARISER: 1.6, TWICE: 1.6}
"""The contrary: noise is worse than none, and the regulariser elsewhere."""
SELECT = {e.name: e.select for e in EXPERIMENTS}


def agree(**_):
    return AGREE


def oppose(**_):
    return OPPOSE


def mixed(network="mlp", activation="relu", operation="+", **_):
    """Half of the settings one way, half the other."""
    if network == SMALL:  # here one baseline stands beside all noises
        return {**AGREE, REGULARISER: 0.5 if operation == "+" else 1.6}
    return AGREE if (network, activation) in (("mlp", "relu"), ("conv", "elu")) else OPPOSE


def training(level, seeds=3, noise=0.01, regression=False):
    """The table of the training sweep from `level(setting)[kind]`, plus a little that differs by seed."""
    config = TRAINING.config("desk", "diabetes" if regression else "cifar-10")
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
        if cell["network"] == SMALL or regression:
            continue
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


def spectra(level, seeds=3):
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


def theorem(ratio, seeds=3):
    """E[ΔL] = ratio(activation) · R at the smallest σ, averaged over data; elsewhere nonsense."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"activation": a, "loss": loss, "epochs": 2, "layer": layer, "where": where, "sigma": sigma, "seed": seed,
             "regulariser": sigma**2, "curvature": 0.1 * sigma**2, "error": 1e-9,
             "change": sigma**2 * (ratio(a) + 0.001 * draw.standard_normal()
                                   if (layer, where, sigma) == ("all", "average over data", 0.01) else 9.0)}
            for seed in range(seeds) for a in ("relu", "elu") for loss in ("cross-entropy", "squared error")
            for layer in ("all", "data") for where in ("average over data", "one point") for sigma in (0.01, 0.1)
        ]
    )  # fmt: skip


def captured(per_layer, seeds=3):
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


def tables(claim, seeds=3):
    """A table that agrees with a claim, one that opposes it, and one that does half (None for a single setting)."""
    regression = claim.experiment.endswith("fig-7")
    if claim.id == "lower-frequencies":
        return [spectra(v, seeds) for v in (AGREE, OPPOSE, {**AGREE, REGULARISER: 1.6})]
    if claim.id == "captures-early-layers":
        good, bad = (lambda a, layer: 10.0 if layer == 2 else 5.5), (lambda a, layer: 5.5 if layer == 2 else 10.0)
        return [captured(v, seeds) for v in (good, bad, lambda a, k: good(a, k) if a == "elu" else bad(a, k))]
    if claim.experiment.endswith("theorem-1"):
        right = 0.5 if claim.id == "equation-12" else 1.0
        halves = (lambda a: right, lambda a: 2 * right, lambda a: right if a == "elu" else 0.5 * right)
        return [theorem(v, seeds) for v in halves]
    if claim.id == "smoother-trajectory":
        split = {**AGREE, REGULARISER: 1.6}
        return [SELECT[claim.experiment](training(v, seeds)) for v in (agree, oppose, lambda **_: split)]
    found = [SELECT[claim.experiment](training(v, seeds, regression=regression)) for v in (agree, oppose, mixed)]
    return [*found[:2], None] if claim.id in SINGLE else found


SINGLE = {"same-trajectory", "regression-loss-curve", "regression-trajectory"}
"""Claims about one network under one noise."""


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_every_rule_gives_every_verdict(claim):
    good, bad, half = tables(claim)
    assert judge(claim.rule(good))["verdict"] == "holds"
    assert judge(claim.rule(bad))["verdict"] == "contradicted"
    if half is not None:
        assert judge(claim.rule(half))["verdict"] == "holds in part"
    assert judge(claim.rule(tables(claim, seeds=1)[0]))["verdict"] == "not seen"  # one seed decides nothing


def test_following_is_relative_to_the_baseline():
    """A regulariser that goes 60 % of the way follows the noise, one that goes 40 % does not, one beyond it neither."""
    rule = follows("network", measure="test loss")
    for way, expected in ((0.6, 0.1), (0.4, -0.1), (1.0, 0.5), (1.6, -0.1)):
        rows = [
            {"network": "mlp", "kind": kind, "seed": seed, "x": x, "measure": "test loss", "value": value}
            for seed in (0, 1) for x in (1, 2)
            for kind, value in ((BASELINE, 3.0), (NOISE, 2.0), (REGULARISER, 3 - way))
        ]  # fmt: skip
        assert rule(pd.DataFrame(rows))["margin"].tolist() == pytest.approx([expected] * 2)


def test_distances_do_not_cancel_along_training():
    """A curve above the other first and below it later is as far away as its parts."""
    rows = [
        {"network": "mlp", "kind": kind, "seed": 0, "x": x, "measure": "test loss", "value": value}
        for x, regulariser in ((1, 1.0), (2, -1.0))
        for kind, value in ((BASELINE, 2.0), (NOISE, 0.0), (REGULARISER, regulariser))
    ]  # fmt: skip
    margin = follows("network", measure="test loss")(pd.DataFrame(rows))["margin"]
    assert margin.tolist() == pytest.approx([2.0 / 2 - 1.0])


def test_every_view_selects_what_its_claims_need():
    """The shipped views carry the rows: no claim falls silent because a figure left them out."""
    for regression in (False, True):
        table = training(agree, regression=regression)
        for claim in CLAIMS:
            experiment = next(e for e in EXPERIMENTS if e.name == claim.experiment)
            if experiment.sweep is TRAINING and experiment.suits("diabetes" if regression else "digits"):
                assert len(claim.rule(experiment.select(table))) >= 3, claim.id
