"""Claims of noise injection nodes: every rule gives every verdict on tables made for it."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.claims import judge
from tutorial_lib.papers.ninr.claims import CLAIMS, own_table
from tutorial_lib.papers.ninr.figures import EXPERIMENTS, label
from tutorial_lib.papers.ninr.sweeps import (
    CDT,
    COLOUR,
    DROPOUT,
    DYNAMICS,
    EQUAL,
    FULL,
    IN,
    NONE,
    PAPER_STRENGTHS,
    RANDOM,
    TRAINING,
    TRANSFER,
    WIDE,
)

SELECT = {e.name: e.select for e in EXPERIMENTS}
SWEEP = {e.name: e.sweep for e in EXPERIMENTS}
TRAINED = (TRAINING, TRANSFER, COLOUR)


def right(kind, name, optimizer="sgd", **_):
    """What is measured where the paper is right: clean, corrupted, attacked, foreign images, curvature, phase."""
    late = name.endswith("catapult")
    if kind in (IN, FULL):
        corrupted = (80.0 if kind == IN else 75.0) if late else 62.0
        return {
            "clean": 85.0 if late else 90.0, "corrupted": corrupted, "fgsm": 60.0, "pgd": 50.0,
            "target": 90.0 if late else 82.0, "curvature": 5.0, "phase": "catapult" if late else "decay",
            "epochs": 40.0 if late else 20.0,
        }  # fmt: skip
    base = {"clean": 90.0, "corrupted": 50.0, "fgsm": 40.0, "pgd": 20.0, "target": 80.0, "curvature": 10.0}
    if kind == DROPOUT:
        base |= {"fgsm": 70.0, "pgd": 30.0, "target": 84.0}
    if kind == CDT:
        base |= {"clean": 80.0, "corrupted": 60.0, "curvature": 5.0}
    return base


def wrong(kind, name, distribution="gaussian", **_):
    """The contrary of everything."""
    late = name.endswith("catapult")
    if kind in (IN, FULL):
        corrupted = (30.0 if kind == IN else 40.0) if late else 60.0
        corrupted -= 20.0 * (distribution != "gaussian")
        return {
            "clean": 95.0 if late else 80.0, "corrupted": corrupted, "fgsm": 30.0, "pgd": 10.0, "target": 70.0,
            "curvature": 20.0, "phase": "catapult" if late else "decay",
            "epochs": 20.0 if late else 40.0,
        }  # fmt: skip
    base = {"clean": 90.0, "corrupted": 70.0, "fgsm": 40.0, "pgd": 20.0, "target": 90.0, "curvature": 10.0}
    if kind == DROPOUT:
        base |= {"fgsm": 20.0, "target": 84.0}
    if kind == CDT:
        base |= {"clean": 97.0, "corrupted": 80.0, "curvature": 20.0}
    return base


def half(network, kind, **rest):
    """The fully connected network one way, the convolutional one the other."""
    return (right if network == "fc" else wrong)(kind, **rest)


def half_by_kind(kind, **rest):
    return (wrong if kind == FULL else right)(kind, **rest)


def training(sweep, level, seeds=3):
    """The table of a sweep from `level`, plus a little that differs by seed."""
    return _training(sweep.name, level, seeds).copy()


@cache
def _training(name, level, seeds):
    sweep = next(s for s in TRAINED if s.name == name)
    rows, draw = [], np.random.default_rng(0)
    for cell in sweep.cells(sweep.config("desk", "mnist"), seeds):
        drop = {"network"} if level in (right, wrong, half_by_kind) else set()
        told = {k: v for k, v in cell.items() if k not in drop | {"sigma", "seed"}}
        found = level(name=label(cell["network"], cell["kind"], cell["sigma"]), **told)

        def add(measure, value, cell=cell, **more):
            rows.append({**cell, "measure": measure, "value": value + 0.01 * draw.standard_normal(), **more})

        for x in np.round(np.linspace(0, 1, 11), 1):  # at 1 there is nothing to see: not to count
            noise = 1000.0 * (cell["kind"] == NONE)
            add("accuracy", found["clean"] if x == 0 else noise if x == 1 else found["corrupted"], x=x)
        for attack in ("fgsm", "pgd"):
            add(attack, found[attack], x=0.1)
        add("target accuracy", found["target"])
        add("input curvature", found["curvature"])
        if "phase" in found:
            add("phase", 0.0, text=found["phase"])
            add("epochs", found["epochs"])
    return pd.DataFrame(rows)


def phases(found, seeds=3):
    return pd.DataFrame(
        [
            {"strength": s, "seed": seed, "measure": "phase", "value": 0.0, "text": found(s, name)}
            for seed in range(seeds) for s, name in PAPER_STRENGTHS.items()
        ]
    )  # fmt: skip


def critical(factor, seeds=3):
    """Measured critical noise: `factor(eta)` times the paper's, in every model."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"model": model, "data": data, "eta": eta, "seed": seed, "measure": "critical", "paper": 2 / eta,
             "value": 2 / eta * factor(eta) * (1 + 0.01 * draw.standard_normal())}
            for seed in range(seeds) for model in (EQUAL, WIDE) for data in (True, False) for eta in (0.01, 0.1)
        ]
    )  # fmt: skip


def paths(growth, smooth, seeds=3):
    """Runs whose loss peaks at `growth(phase)` or, in continuous time, `smooth` times its start."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"model": model, "text": text, "seed": seed, "measure": "growth", "series": series,
             "value": value * (1 + 0.01 * draw.standard_normal())}
            for seed in range(seeds) for model in (EQUAL, RANDOM) for text in ("catapult", "divergent")
            for series, value in (("trajectory", growth(text)), ("flow", smooth))
        ]
    )  # fmt: skip


def tables(claim, seeds=3):
    """A table that agrees with a claim, one that opposes it, and one that does half (None for a single setting)."""
    sweep = SWEEP[claim.experiment]
    if sweep in TRAINED:
        split = half_by_kind if claim.id == "domain-shift-cnn" else half
        worlds = [right, wrong, None if claim.id == "cifar-10" else split]
        return [None if w is None else SELECT[claim.experiment](training(sweep, w, seeds)) for w in worlds]
    if sweep is DYNAMICS:
        agree, oppose = (lambda s, name: name), (lambda s, name: "none of these")
        return [phases(f, seeds) for f in (agree, oppose, lambda s, name: name if s < 0.5 else "decay")]
    if claim.id == "continuous-time-fails":
        grown = (lambda t: 50.0), (lambda t: 1.0), lambda t: 50.0 if t == "catapult" else 1.0
        return [paths(g, s, seeds) for g, s in zip(grown, (1.0, 3.0, 3.0), strict=True)]
    return [critical(f, seeds) for f in (lambda e: 1.1, lambda e: 0.01, lambda e: 1.1 if e == 0.1 else 0.01)]


MEASURED = [c for c in CLAIMS if c.experiment]


@pytest.mark.parametrize("claim", MEASURED, ids=lambda c: c.id)
def test_every_rule_gives_every_verdict(claim):
    agree, oppose, mixed = tables(claim)
    assert judge(claim.rule(agree))["verdict"] == "holds"
    assert judge(claim.rule(oppose))["verdict"] == "contradicted"
    if mixed is not None:
        assert judge(claim.rule(mixed))["verdict"] == "holds in part"
    assert judge(claim.rule(tables(claim, seeds=1)[0]))["verdict"] == "not seen"  # one seed decides nothing


def test_claims_count_every_setting_that_they_name():
    """A rule that loses a network, a kind or a level on the way would still give verdicts."""
    table = training(TRAINING, right)
    expected = {
        "more-robust": 8, "catapult-best": 4, "catapult-phase-best": 4, "catapult-slower": 4,
        "input-node-best": 2, "as-stable-as-cdt": 2,
        "clean-accuracy-kept": 4, "catapult-costs": 2, "cdt-costs": 4, "ninr-over-cdt": 4, "fgsm": 8, "fgsm-dropout": 2,
        "pgd": 8, "distribution": 12, "optimisers": 16, "smaller-curvature": 10,
    }  # fmt: skip
    found = {c.id: c.rule(SELECT[c.experiment](table))["setting"].nunique()
             for c in MEASURED if SWEEP[c.experiment] is TRAINING}  # fmt: skip
    assert found == expected


def test_margins_are_differences_of_means_over_the_levels():
    """NINR 62 … 80 under corruption against the best of the others, 50; clean images and pure noise do not count."""
    rule = next(c for c in CLAIMS if c.id == "more-robust").rule
    margins = rule(SELECT["ninr/fig-2"](training(TRAINING, right))).groupby("setting")["margin"].mean()
    assert margins["fc: in-NINR, decay"] == pytest.approx(12, abs=0.1)
    assert margins["cnn: full-NINR, catapult"] == pytest.approx(25, abs=0.1)


def test_phases_are_judged_as_found_and_not_by_name():
    """With the paper's names the wrong way round, the claim on found phases turns, the one on the paper's σ_ε stays."""
    table = SELECT["ninr/fig-2"](training(TRAINING, right))
    swapped = {"decay": "catapult", "catapult": "decoupled"}
    table["text"] = table["text"].map(swapped)
    named, found = (next(c for c in CLAIMS if c.id == i) for i in ("catapult-best", "catapult-phase-best"))
    assert judge(named.rule(table))["verdict"] == "holds"
    assert judge(found.rule(table))["verdict"] == "contradicted"


def test_without_both_phases_nothing_is_measured():
    """Where every run is a catapult there is nothing to compare, and no verdict."""
    table = SELECT["ninr/fig-2"](training(TRAINING, right)).replace({"text": {"decay": "catapult"}})
    claim = next(c for c in CLAIMS if c.id == "catapult-phase-best")
    assert judge(claim.rule(table))["verdict"] == "not measured"


def test_the_papers_own_tables():
    """By hand from Table 1: in-NINR (decay) is 0.2 under no regularisation for FC, its catapult 8.2 above for CNN."""
    shift = next(c for c in CLAIMS if c.id == "text-domain-shift").rule().set_index("setting")
    assert shift.at["fc: in-NINR decay over none", "margin"] == pytest.approx(-0.2)
    row = shift.loc["cnn: in-NINR catapult over none"]
    assert row["margin"] == pytest.approx(8.2)
    from scipy.stats import t, ttest_ind_from_stats

    # ± is two standard deviations: 88.5 ± 3.4 against 80.3 ± 4.8, ten runs each
    error = row["margin"] / ttest_ind_from_stats(88.5, 1.7, 10, 80.3, 2.4, 10, equal_var=False).statistic
    freedom = (1.7**2 + 2.4**2) ** 2 / ((1.7**4 + 2.4**4) / 9)
    assert [row["low"], row["high"]] == pytest.approx([8.2 + side * t.ppf(0.975, freedom) * error for side in (-1, 1)])
    rule = own_table("table-2", [("fc", (IN, "catapult"), (CDT, "0.2"))])
    assert rule()["margin"].tolist() == pytest.approx([-0.4])
    found = {c.id: judge(c.rule()) for c in CLAIMS if c.experiment is None}
    assert found["text-domain-shift"]["verdict"] == "holds in part"  # in-NINR (decay) of FC is below none
    assert len(found["text-clean-data"]["settings"]) == 6 and found["text-clean-data"]["measured"] > 0


def test_reported_numbers_are_the_papers():
    """The mean margins of the paper's tables, worked out by hand."""
    reported = {c.id: c.reported for c in CLAIMS if c.reported is not None}
    assert reported["cdt-costs"] == pytest.approx(((87.7 - 86.6) + (87.7 - 85.5) + (91.0 - 84.6) + (91.0 - 84.1)) / 4)
    assert reported["catapult-costs"] == pytest.approx(((87.7 - 86.2) + (91.0 - 89.0)) / 2)
    assert reported["clean-accuracy-kept"] == pytest.approx(((89.1 - 87.7) + (88.5 - 87.7)) / 4 + 1)
    assert reported["domain-shift-cnn"] == pytest.approx(((88.5 - 83.8) + (89.7 - 83.8)) / 2)
