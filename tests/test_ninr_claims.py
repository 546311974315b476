"""Claims of noise injection nodes: every rule gives every verdict on tables made for it."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.papers.ninr.claims import CLAIMS, own_table
from tutorial_lib.papers.ninr.dynamics import DYNAMICS, EQUAL, PAPER_STRENGTHS, RANDOM, WIDE
from tutorial_lib.papers.ninr.figures import EXPERIMENTS, label
from tutorial_lib.papers.ninr.sweeps import BATCH_NORM, CDT, COLOUR, DROPOUT, FULL, IN, LONG, NONE, TRAINING, TRANSFER
from tutorial_lib.verdicts import judge

SEEDS = 8
"""As many as it takes to decide by counts in four settings."""
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
    if kind == NONE:
        base |= {"phase": "decoupled", "epochs": 20.0}
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
    if kind == NONE:
        base |= {"phase": "decoupled", "epochs": 20.0}
    if kind == DROPOUT:
        base |= {"fgsm": 20.0, "target": 84.0}
    if kind == CDT:
        base |= {"clean": 97.0, "corrupted": 80.0, "curvature": 20.0}
    if kind == LONG:
        base |= {"corrupted": 85.0}
    return base


def half(network, kind, **rest):
    """The fully connected network one way, the convolutional one the other."""
    return (right if network == "fc" else wrong)(kind, **rest)


def half_by_kind(kind, **rest):
    return (wrong if kind == FULL else right)(kind, **rest)


def training(sweep, level, seeds=SEEDS):
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


def phases(found, seeds=SEEDS):
    return pd.DataFrame(
        [
            {"strength": s, "seed": seed, "measure": "phase", "value": 0.0, "text": found(s, name)}
            for seed in range(seeds) for s, name in PAPER_STRENGTHS.items()
        ]
    )  # fmt: skip


def critical(factor, seeds=SEEDS):
    """Measured critical noise: `factor(eta)` times the paper's, in every model."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"model": model, "data": data, "eta": eta, "seed": seed, "measure": "critical", "paper": 2 / eta,
             "value": 2 / eta * factor(eta) * (1 + 0.01 * draw.standard_normal())}
            for seed in range(seeds) for model in (EQUAL, WIDE) for data in (True, False) for eta in (0.01, 0.1)
        ]
    )  # fmt: skip


def paths(growth, smooth, seeds=SEEDS):
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


STRONG = max(s for s in (c["sigma"] for c in BATCH_NORM.cells(BATCH_NORM.config("desk", "digits"), 1)))
NORMED = {(NONE, 0, True): 48.0, (LONG, 0, True): 50.0, (NONE, 0, False): 65.0, (LONG, 0, False): 70.0,
          (IN, STRONG, True): 80.0, (IN, STRONG, False): 75.0}  # fmt: skip
"""Accuracy under corruption where normalisation hurts, and the node is more than its undoing."""
HARMLESS = {(LONG, 0, True): 85.0, (LONG, 0, False): 75.0, (IN, STRONG, True): 65.0, (IN, STRONG, False): 60.0}


def normed(sizes=("App. A", "small"), seeds=SEEDS):
    """The table of the control on batch normalisation: as `NORMED` for the sizes named, elsewhere the contrary."""
    draw, rows = np.random.default_rng(0), []
    for cell in BATCH_NORM.cells(BATCH_NORM.config("desk", "digits"), seeds):
        level, side = (NORMED, 1) if cell["size"] in sizes else (HARMLESS, -1)
        value = level.get((cell["kind"], cell["sigma"], cell["norm"]), 60.0)
        gains = {"quiet muted": 6.0 * side, "some muted": 0.0, "own statistics": 9.0 * side}
        for x in np.round(np.linspace(0, 1, 11), 1):
            odd = 1000.0 * (x in (0, 1)) * (1 if cell["norm"] else -1)  # clean images and pure noise do not count
            plain = value + odd + 0.1 * draw.standard_normal()
            rows.append({**cell, "measure": "accuracy", "x": x, "value": plain})
            for measure, gain in gains.items() if cell["norm"] else ():
                sign = 1 if cell["kind"] in (NONE, LONG) else -5  # of networks with a node nothing is said
                rows.append(
                    {**cell, "measure": measure, "x": x, "value": plain + sign * gain + 0.1 * draw.standard_normal()}
                )
        if cell["kind"] != LONG:
            rows.append({**cell, "measure": "phase", "text": "decay", "value": 1})
    return pd.DataFrame(rows)


def tables(claim, seeds=SEEDS):
    """A table that agrees with a claim, one that opposes it, and one that does half (None for a single setting)."""
    sweep = SWEEP[claim.experiment]
    if sweep in TRAINED:
        split = half_by_kind if claim.id == "domain-shift-cnn" else half
        worlds = [right, wrong, None if claim.id == "cifar-10" else split]
        return [None if w is None else SELECT[claim.experiment](training(sweep, w, seeds)) for w in worlds]
    if sweep is BATCH_NORM:
        return [normed(sizes, seeds) for sizes in (("App. A", "small"), (), ("small",))]
    if sweep is DYNAMICS:
        agree, oppose = (lambda s, name: name), (lambda s, name: "none of these")
        return [phases(f, seeds) for f in (agree, oppose, lambda s, name: name if s < 0.5 else "decay")]
    if claim.id == "continuous-time-fails":
        grown = (lambda t: 50.0), (lambda t: 1.0), lambda t: 50.0 if t == "catapult" else 1.0
        return [paths(g, s, seeds) for g, s in zip(grown, (1.0, 3.0, 3.0), strict=True)]
    return [critical(f, seeds) for f in (lambda e: 1.1, lambda e: 0.01, lambda e: 1.1 if e == 0.1 else 0.01)]


MEASURED = [c for c in CLAIMS if c.experiment]
CLAIM = {c.id: c for c in CLAIMS}


def judged(claim, table):
    return judge(claim.rule(table), claim.kind, claim.delta)


@pytest.mark.parametrize("claim", MEASURED, ids=lambda c: c.id)
def test_every_rule_gives_every_verdict(claim):
    agree, oppose, mixed = tables(claim)
    assert judged(claim, agree)["verdict"] == "holds"
    assert judged(claim, oppose)["verdict"] == "contradicted"
    if mixed is not None:
        assert judged(claim, mixed)["verdict"] == "mixed"
    assert judged(claim, tables(claim, seeds=1)[0])["verdict"] == "not decided"  # one seed decides nothing


def test_claims_count_every_setting_that_they_name():
    """A rule that loses a network, a kind or a level on the way would still give verdicts."""
    table = training(TRAINING, right)
    expected = {
        "more-robust": 8, "catapult-best": 4, "catapult-phase-best": 4, "catapult-slower": 4,
        "input-node-best": 2, "as-stable-as-cdt": 2,
        "clean-accuracy-kept": 4, "catapult-costs": 2, "cdt-costs": 4, "ninr-over-cdt": 4, "fgsm": 8, "fgsm-dropout": 2,
        "pgd": 8, "distribution": 12, "optimisers": 16, "smaller-curvature": 10,
        "as-many-updates": 4, "longer-is-no-gain": 2,
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
    assert judged(named, table)["verdict"] == "holds"
    assert judged(found, table)["verdict"] == "contradicted"


def test_without_both_phases_nothing_is_measured():
    """Where every run is a catapult there is nothing to compare, and no verdict."""
    table = SELECT["ninr/fig-2"](training(TRAINING, right)).replace({"text": {"decay": "catapult"}})
    assert judged(CLAIM["catapult-phase-best"], table)["verdict"] == "not measured"


# --- the controls


def test_a_longer_training_is_the_baseline_of_as_many_updates():
    """Against the network that stopped early NINR would gain; against one that trained on it does not."""
    table = SELECT["ninr/fig-2"](training(TRAINING, right))
    late = (table["kind"] == LONG) & (table["measure"] == "accuracy")
    on = table.assign(value=table["value"] + 40.0 * late)  # 90 under corruption
    assert judged(CLAIM["as-many-updates"], on)["verdict"] == "contradicted"
    assert judged(CLAIM["longer-is-no-gain"], on)["verdict"] == "contradicted"
    assert judged(CLAIM["more-robust"], on)["verdict"] == "holds"  # the paper's claim knows only the paper's kinds
    for change, verdict in ((1.5, "holds"), (-1.5, "holds"), (2.5, "contradicted"), (-2.5, "contradicted")):
        moved = table.assign(value=table["value"] + change * late)
        assert judged(CLAIM["longer-is-no-gain"], moved)["verdict"] == verdict


def test_margins_of_the_control_on_normalisation():
    """By hand: of which networks which accuracies are compared, over the corrupted images alone."""
    table = normed()
    expected = {
        "norm-hurts": {": none, all epochs without batch norm over none, all epochs with batch norm": 20.0},
        "node-beats-no-norm": {
            f": in-NINR ({STRONG:g}) with batch norm over none, all epochs without batch norm": 10.0
        },
        "node-without-norm": {
            f": in-NINR ({STRONG:g}) without batch norm over none, all epochs without batch norm": 5.0
        },
        "quiet-channels": {", none": 6.0, ", none, all epochs": 6.0},
        "own-statistics": {", none": 9.0, ", none, all epochs": 9.0},
    }
    for id, gains in expected.items():
        found = CLAIM[id].rule(table).groupby("setting")["margin"].mean().to_dict()
        assert found == pytest.approx({f"{n}{k}": v for n in ("App. A", "small") for k, v in gains.items()}, abs=0.2), (
            id
        )


def test_the_control_names_runs_with_a_node_that_diverged():
    table = normed()
    node = (table["kind"] == IN) & (table["sigma"] == STRONG) & (table["size"] == "small") & table["norm"]
    table.loc[node & (table["measure"] == "phase") & (table["seed"] < 3), "text"] = "divergent"
    for id, lost in (("node-beats-no-norm", 3), ("node-without-norm", 0), ("norm-hurts", 0)):
        found = judged(CLAIM[id], table)
        assert found["verdict"] == "holds" and ("diverged" in str(found["why"])) == bool(lost)
        assert lost == sum(CLAIM[id].rule(table).attrs["diverged"].values())
    table.loc[node & (table["measure"] == "accuracy"), "value"] = 10.0
    found = judged(CLAIM["node-beats-no-norm"], table)
    assert found["verdict"] == "mixed" and found["why"].endswith(": 3); without these settings: holds")


# --- runs that diverged


def diverged(table, label_, network="fc", count=3, **values):
    """The table in which `count` runs of a kind of training diverged, and all of them have learned nothing."""
    table = table.copy()
    rows = [label(*v) == label_ for v in table[["network", "kind", "sigma"]].itertuples(index=False)]
    rows = pd.Series(rows, table.index) & (table["network"] == network)
    for column, value in values.items():
        rows &= table[column] == value
    table.loc[rows & (table["measure"] == "phase") & (table["seed"] < count), "text"] = "divergent"
    table.loc[rows & table["measure"].isin(["accuracy", "fgsm", "pgd", "target accuracy"]), "value"] = 10.0
    return table


def test_diverged_runs_alone_contradict_nothing():
    """One kind of training that fell apart is a setting that its claims must say so of."""
    table = diverged(training(TRAINING, right), f"{IN}, catapult")
    for id, setting in [
        ("more-robust", "fc: in-NINR, catapult"), ("fgsm", "fc: in-NINR, catapult"),
        ("catapult-best", "fc: in-NINR, catapult over in-NINR, decay"),
        ("as-many-updates", "fc: in-NINR, catapult over none, all epochs"),
    ]:  # fmt: skip
        claim = CLAIM[id]
        found = judged(claim, SELECT[claim.experiment](table))
        assert found["verdict"] == "mixed" and found["decides"] == setting
        assert found["why"] == f"runs diverged ({setting}: 3); without these settings: holds"
    found = judged(CLAIM["input-node-best"], SELECT["ninr/fig-2"](diverged(table, f"{IN}, catapult", "cnn", 2)))
    assert found["verdict"] == "not testable" and "cnn: in-NINR, catapult: 2, fc: in-NINR, catapult: 3" in found["why"]
    assert judged(CLAIM["cdt-costs"], SELECT["ninr/table-2"](table))["why"] is None  # it is not about them


def test_diverged_runs_are_counted_on_both_sides_and_where_they_belong():
    """Of a pair both networks count; other optimisers, distributions and networks do not."""
    table = diverged(training(TRAINING, right), f"{IN}, decay", optimizer="sgd", distribution="gaussian")
    rows = CLAIM["catapult-best"].rule(SELECT["ninr/fig-2"](table))
    assert rows.attrs["diverged"] == {"fc: in-NINR, catapult over in-NINR, decay": 3}
    both = diverged(table, f"{IN}, catapult", count=2, optimizer="sgd", distribution="gaussian")
    rows = CLAIM["catapult-best"].rule(SELECT["ninr/fig-2"](both))
    assert rows.attrs["diverged"] == {"fc: in-NINR, catapult over in-NINR, decay": 5}
    assert CLAIM["optimisers"].rule(SELECT["ninr/fig-8"](both)).attrs["diverged"] == {}
    # its Gaussian runs stand behind both other distributions
    rows = CLAIM["distribution"].rule(SELECT["ninr/fig-7"](table))
    assert rows.attrs["diverged"] == {f"fc: in-NINR, decay, {d}": 3 for d in ("uniform", "double gaussian")}
    table = diverged(training(TRAINING, right), f"{FULL}, decay", "cnn", 4, distribution="uniform")
    rows = CLAIM["distribution"].rule(SELECT["ninr/fig-7"](table))
    assert rows.attrs["diverged"] == {"cnn: full-NINR, decay, uniform": 4}
    table = diverged(training(TRAINING, right), f"{FULL}, catapult", "cnn", 1, optimizer="adam")
    found = CLAIM["optimisers"].rule(SELECT["ninr/fig-8"](table))
    assert found.attrs["diverged"] == {"adam, cnn: full-NINR, catapult over none": 1}
    assert judge(found)["verdict"] == "mixed"
    table = diverged(training(TRANSFER, right), NONE, "cnn", 2)
    found = CLAIM["domain-shift"].rule(SELECT["ninr/table-1"](table))
    assert set(found.attrs["diverged"]) == {f"cnn: {kind}-NINR, {p} over none" for kind in ("in", "full")
                                            for p in ("decay", "catapult")}  # fmt: skip


@pytest.mark.parametrize("lost", [1, SEEDS])
def test_runs_without_a_curvature_are_named(lost):
    """A diverged network has no curvature: what the others have is not the evidence, nor is there none to miss."""
    table = SELECT["ninr/fig-2"](training(TRAINING, right))
    gone = (table["kind"] == CDT) & (table["sigma"] == 0.4) & (table["network"] == "fc") & (table["seed"] < lost)
    found = judged(CLAIM["smaller-curvature"], table[~(gone & (table["measure"] == "input curvature"))])
    assert found["verdict"] == "holds" and found["counts"] == {
        "holds": 9, "contradicted": 0, "not decided": 0, "not testable": 1
    }  # fmt: skip
    assert found["why"] == f"fc: CDT (0.4): {lost} of {SEEDS} runs diverged and have no curvature"


# --- counts, and the critical noise


def test_phases_are_counted_run_by_run():
    """Percent of the runs, with binomial intervals: five runs do not decide, eight do if all agree."""
    claim = CLAIM["four-phases"]
    found = judged(claim, phases(lambda s, name: name))
    assert (found["measured"], found["counts"]["holds"]) == (100, 4)
    assert found["interval"][0] == pytest.approx(100 * 0.025 ** (1 / 8))
    assert judged(claim, phases(lambda s, name: name, seeds=5))["verdict"] == "not decided"
    table = phases(lambda s, name: name)
    table.loc[(table["strength"] == 1.0) & (table["seed"] < 2), "text"] = "decay"
    found = judged(claim, table)
    assert (found["verdict"], found["decides"], found["measured"]) == ("not decided", "η σ_ε²/d = 1: catapult", 75)


@pytest.mark.parametrize("id", ["critical-noise", "critical-noise-with-data", "critical-noise-wide"])
def test_the_critical_noise_may_lie_on_either_side(id):
    """Within a factor of two: 1.9 times, or 1.9 times less; not 2.2 times, or 2.2 times less."""
    for factor, verdict in ((1.9, "holds"), (1 / 1.9, "holds"), (1.0, "holds"), (2.2, "contradicted"),
                            (1 / 2.2, "contradicted"), (100.0, "contradicted")):  # fmt: skip
        assert judged(CLAIM[id], critical(lambda eta, factor=factor: factor))["verdict"] == verdict
    rows = CLAIM[id].rule(critical(lambda eta: 4.0))
    assert rows["margin"].mean() == pytest.approx(2, abs=0.02)
    assert rows["setting"].nunique() == (4 if id == "critical-noise-wide" else 2)


def test_the_same_critical_noise_from_every_seed_is_no_accident():
    """Equal weights draw nothing: all seeds find the same, exactly."""
    table = critical(lambda eta: 1.5)
    table["value"] = 1.5 * table["paper"]
    found = judged(CLAIM["critical-noise"], table)
    assert found["verdict"] == "holds" and found["interval"] == pytest.approx([np.log2(1.5)] * 2)


# --- the paper's own tables


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
    assert (row["sem"], row["freedom"]) == pytest.approx((error, freedom))
    shown = next(s for s in judge(shift.reset_index())["settings"] if s["setting"].startswith("cnn: in-NINR catapult"))
    half = t.isf(0.025 / 8, freedom) * error  # one of eight
    assert shown["interval"] == pytest.approx([8.2 - half, 8.2 + half])
    rule = own_table("table-2", [("fc", (IN, "catapult"), (CDT, "0.2"))])
    assert rule()["margin"].tolist() == pytest.approx([-0.4])
    found = {c.id: judge(c.rule()) for c in CLAIMS if c.experiment is None}
    assert found["text-domain-shift"]["verdict"] == "not decided"  # in-NINR (decay) of FC is below none, slightly
    assert found["text-domain-shift"]["counts"]["holds"] == 3 and len(shift) == 8
    assert len(found["text-clean-data"]["settings"]) == 6 and found["text-clean-data"]["measured"] > 0


def test_reported_numbers_are_the_papers():
    """The mean margins of the paper's tables, worked out by hand."""
    reported = {c.id: c.reported for c in CLAIMS if c.reported is not None}
    assert reported["cdt-costs"] == pytest.approx(((87.7 - 86.6) + (87.7 - 85.5) + (91.0 - 84.6) + (91.0 - 84.1)) / 4)
    assert reported["catapult-costs"] == pytest.approx(((87.7 - 86.2) + (91.0 - 89.0)) / 2)
    assert reported["clean-accuracy-kept"] == pytest.approx(((89.1 - 87.7) + (88.5 - 87.7)) / 4)
    assert reported["domain-shift-cnn"] == pytest.approx(((88.5 - 83.8) + (89.7 - 83.8)) / 2)
