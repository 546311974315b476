"""Claims: every rule gives every verdict on tables made for it, and the paper's numbers are the paper's."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from tutorial_lib import claims as verdicts
from tutorial_lib.claims import judge, scoreboard
from tutorial_lib.papers import claims, experiments
from tutorial_lib.papers.activation_noise import reported
from tutorial_lib.papers.activation_noise.claims import BALANCED, CLAIMS
from tutorial_lib.papers.activation_noise.figures import TABLE_PAIRS
from tutorial_lib.papers.activation_noise.sweeps import counts

MEASURED = [claim for claim in CLAIMS if claim.experiment]
FIELDS = ("id", "paper", "item", "claim", "reported", "reported_text", "reported_error", "measured", "interval",
          "seeds", "dataset", "budget", "verdict", "command")  # fmt: skip


def table(accuracy, seeds=3, noise=0.3):
    """A table as the sweep makes it: accuracy(α training, α inference, n) plus a little that differs by seed."""
    draw = np.random.default_rng(0)
    rows = [
        {"distribution": "gaussian", "alpha_train": a, "alpha_inference": b, "n": n, "seed": seed,
         "accuracy": accuracy(a, b, n) + noise * draw.standard_normal()}
        for seed in range(seeds) for a, b in TABLE_PAIRS for n in ([1] if b == 0 else counts(100))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def agreeing(a, b, n):
    """All that the paper says at once: balanced best, peak at 0.9, logarithmic growth, asymmetry."""
    if (a, b) == (0.0, 0.0):
        return 20.0
    if a == b:
        return {0.5: 50.0, 0.9: 70.0, 1.5: 55.0}[a] + 3 * math.log(n)
    return 12.0 if b > a else 30.0


def opposing(a, b, n):
    """The contrary of it: no noise best, accuracy falls with n except for a last jump, test noise harmless."""
    if (a, b) == (0.0, 0.0):
        return 60.0
    if a == b:  # a straight fall in n: worse on every count
        return {0.5: 50.0, 0.9: 30.0, 1.5: 45.0}[a] - 0.1 * n
    return 70.0 if b > a else 55.0


def mixed(a, b, n):
    """Half of the settings one way, half the other."""
    if (a, b) == (0.0, 0.0):
        return 40.0
    if a == b:
        if a == 0.9:
            return 35.0 + 3 * math.log(n)
        return {0.5: 60.0, 1.5: 20.0}[a] - 0.1 * n
    return {(0.0, 0.5): 30.0, (0.5, 0.9): 70.0, (0.5, 1.5): 30.0, (0.9, 1.5): 70.0}.get((a, b), 45.0)


SINGLE = {"balanced-gain", "gain-of-200-percent"}


@pytest.mark.parametrize("claim", MEASURED, ids=lambda c: c.id)
def test_every_rule_gives_every_verdict(claim):
    assert judge(claim.rule(table(agreeing)))["verdict"] == "holds"
    assert judge(claim.rule(table(opposing)))["verdict"] == "contradicted"
    if claim.id not in SINGLE:
        assert judge(claim.rule(table(mixed)))["verdict"] == "holds in part"
    # nothing but noise between the settings, and one seed, decide nothing
    assert judge(claim.rule(table(agreeing, seeds=1)))["verdict"] == "not seen"


@pytest.mark.parametrize("claim", MEASURED, ids=lambda c: c.id)
def test_noise_alone_is_not_seen(claim):
    """Accuracies that differ by seed alone must not be taken for a finding (in most settings)."""

    def flat(a, b, n):
        base = 30.0 if claim.id != "gain-of-200-percent" else (30.0 if (a, b) == (0.0, 0.0) else 90.0)
        return base

    found = judge(claim.rule(table(flat, seeds=5, noise=3.0)))
    unsure = [s for s in found["settings"] if s["verdict"] == "not seen"]
    assert len(unsure) >= 0.6 * len(found["settings"])


def test_no_table_is_not_measured(monkeypatch):
    monkeypatch.setattr(verdicts, "shipped", lambda name: [])
    found = {e["verdict"] for e in scoreboard(MEASURED)}
    assert found == {"not measured"}


def test_a_verdict_is_a_t_interval_over_seeds():
    margins = pd.DataFrame({"setting": "s", "seed": [0, 1, 2], "margin": [0.5, 1.5, 1.0]})
    found = judge(margins)
    half = 4.302652729911275 * 0.5 / math.sqrt(3)  # t(0.975, 2 degrees of freedom)
    assert found["interval"] == pytest.approx([1 - half, 1 + half])
    assert found["verdict"] == "not seen" and found["measured"] == pytest.approx(1.0)


def test_none_holding_and_one_contradicted_is_contradicted():
    margins = pd.DataFrame(
        {"setting": ["a"] * 3 + ["b"] * 3, "seed": [0, 1, 2] * 2, "margin": [-5, -5.1, -4.9, -9, 9, 0]}
    )
    assert judge(margins)["verdict"] == "contradicted"


def test_settings_that_decide_only_together_hold_in_part():
    """Each setting's interval spans 0, their mean's does not: neither "holds" nor "not seen" would be true to it."""
    wave = [-2.0, 0.0, 2.0]
    margins = pd.DataFrame(
        {
            "setting": ["a"] * 3 + ["b"] * 3,
            "seed": [0, 1, 2] * 2,
            "margin": [1 + w for w in wave] + [1 - w for w in wave],
        }
    )
    found = judge(margins)
    assert {s["verdict"] for s in found["settings"]} == {"not seen"}
    assert found["interval"][0] > 0 and found["verdict"] == "holds in part"
    assert judge(margins.assign(margin=-margins["margin"]))["verdict"] == "contradicted"


def test_the_scoreboard_has_every_field_and_is_json():
    entries = scoreboard(claims())
    assert len({e["id"] for e in entries}) == len(claims()) >= 8
    for entry in entries:
        assert set(FIELDS) <= set(entry) and entry["verdict"] in verdicts.VERDICTS
        assert entry["reported_error"] in ("sem", "2sd", "none") and isinstance(entry["seeds"], int)
        assert entry["command"].startswith("python -m tutorial_lib ")
    json.dumps(entries, allow_nan=False)


def test_every_claim_names_a_registered_experiment():
    assert {c.experiment for c in claims()} - {None} <= set(experiments())


def test_reported_margins_follow_from_the_printed_tables():
    """By hand from Table 1 and 2, CIFAR-10: the margins that stand on the scoreboard as the paper's."""
    by_id = {claim.id: claim.reported for claim in CLAIMS}
    assert by_id["balanced-gain"] == pytest.approx(65.88 - 20.48)
    assert by_id["gain-of-200-percent"] == pytest.approx(100 * (65.88 / 20.48 - 1) - 200, abs=1e-3)
    assert by_id["peak-at-0.9"] == pytest.approx((65.88 - 58.72 + 65.88 - 59.23) / 2)
    assert by_id["growth-with-n"] == pytest.approx((42.75 - 23.25 + 53.02 - 25.25 + 43.98 - 31.53) / 3, abs=1e-3)
    asymmetry = (23.99 - 11.63) + (31.38 - 15.71) + (36.32 - 11.38) + (40.14 - 14.31)
    assert by_id["asymmetry"] == pytest.approx(asymmetry / 4)


def test_the_transcription():
    """Spot values from the paper's text, the count of legible cells, and Table 1 as the end of Table 2."""
    grid = reported.fig_3()
    assert len(grid) == 334 and not grid.duplicated(["alpha_train", "alpha_inference"]).any()
    value = grid.set_index(["alpha_train", "alpha_inference"])["accuracy"]
    assert (value[0.0, 0.0], value[0.0, 0.1], value[1.9, 0.0], value[1.9, 1.9]) == (20.48, 26.35, 30.58, 55.36)
    assert value[0.7, 0.8] == 52.27 and value[1.1, 1.2] == 55.03 and (0.9, 0.9) not in value.index
    assert sum((a, a) not in value.index for a in sorted(grid["alpha_train"].unique())) == 16
    printed = reported.table_2()
    assert len(printed) == 52 * 5 and len(reported.table_1()) == 12 * 5
    row = printed.set_index(["alpha_train", "alpha_inference", "n", "dataset"])
    assert tuple(row.loc[(1.5, 1.5, 1000, "caltech-20")]) == (26.37, 1.69)
    assert tuple(row.loc[(0.9, 0.5, 1, "cub-20")]) == (18.78, 2.00)
    assert tuple(row.loc[(0.5, 1.5, 10000, "cifar-20")]) == (9.64, 0.84)


def test_own_tables_against_a_hand_count():
    """The text says no noise beats four rows; in the means of Table 1 that is true in 6 of 20 places."""
    claim = next(c for c in CLAIMS if c.id == "text-no-noise-beats-unbalanced")
    margins = claim.rule()
    means = reported.table_1().set_index(["dataset", "alpha_train", "alpha_inference"])["accuracy"]
    by_hand = [
        means[d, 0.0, 0.0] - means[d, a, b]
        for a, b in [(0.0, 0.5), (0.5, 0.9), (0.5, 1.5), (0.9, 1.5)]
        for d in ("cifar-10", "cifar-20", "caltech-20", "flower-20", "cub-20")
    ]
    assert margins["margin"].tolist() == pytest.approx(by_hand) and sum(m > 0 for m in by_hand) == 6
    assert (margins["low"] < margins["margin"]).all() and (margins["margin"] < margins["high"]).all()


def test_welch_interval_against_scipy():
    """(0.9, 0.9) over (0, 0) on CIFAR-10 from means and SEMs of ten runs."""
    from scipy import stats

    from tutorial_lib.papers.activation_noise.claims import own_tables

    margins = own_tables([((0.9, 0.9), (0.0, 0.0))], ("cifar-10",))()
    draw = np.random.default_rng(0).standard_normal((2, 10))
    shaped = (draw - draw.mean(1, keepdims=True)) / draw.std(1, ddof=1, keepdims=True) * math.sqrt(10)
    a, b = 65.88 + 1.10 * shaped[0], 20.48 + 2.03 * shaped[1]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert tuple(margins[["low", "high"]].iloc[0]) == pytest.approx(tuple(expected), rel=1e-6)


def test_balanced_pairs_are_pairs_of_the_tables():
    assert set(BALANCED) <= set(TABLE_PAIRS)


def test_a_table_without_the_pairs_of_a_claim_measures_nothing():
    """A reader's run at a small budget lacks some α: no verdict, and no crash of the whole scoreboard."""
    point = {"distribution": "gaussian", "alpha_train": 0.3, "alpha_inference": 0.3}
    table = pd.DataFrame([{**point, "n": n, "seed": s, "accuracy": 50.0 + s} for n in (1, 10) for s in (0, 1)])
    for claim in CLAIMS:
        if claim.experiment:
            assert judge(claim.rule(table))["verdict"] == "not measured", claim.id
