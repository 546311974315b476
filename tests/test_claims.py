"""Claims: every rule gives every verdict on tables made for it, and the paper's numbers are the paper's."""

import dataclasses
import functools
import json
import math
import random

import numpy as np
import pandas as pd
import pytest

from tutorial_lib import claims as board_of
from tutorial_lib.board import board
from tutorial_lib.claims import Claim, by_seed, contrasts, margins
from tutorial_lib.papers import claims, experiments, read_table, shipped
from tutorial_lib.papers.activation_noise import reported
from tutorial_lib.papers.activation_noise.claims import BALANCED, CLAIMS, TO_COME, own_tables, untrained
from tutorial_lib.papers.activation_noise.figures import TABLE_PAIRS
from tutorial_lib.papers.activation_noise.sweeps import counts
from tutorial_lib.verdicts import VERDICTS, judge

FAR = "growth-beyond-100"
MEASURED = [claim for claim in CLAIMS if claim.experiment == "activation-noise/fig-3" and claim.id != FAR]
OTHERS = {claim.id: claim for claim in [*CLAIMS, *TO_COME] if claim.experiment and claim not in MEASURED}
FIELDS = ("id", "paper", "item", "claim", "reported", "reported_text", "reported_error", "measured", "interval",
          "seeds", "dataset", "budget", "verdict", "command")  # fmt: skip


def scoreboard(found):
    """The scoreboard of some claims; made-up ones speak of a made-up experiment."""
    return board_of.scoreboard(found, {**experiments(), "a-paper/table-1": "a-paper/table-1"})


def table(accuracy, seeds=8, noise=0.3):
    """A table as the sweep makes it: accuracy(α training, α inference, n) plus a little that differs by seed."""
    draw = np.random.default_rng(0)
    rows = [
        {"distribution": "gaussian", "alpha_train": a, "alpha_inference": b, "n": n, "seed": seed,
         "accuracy": accuracy(a, b, n) + noise * draw.standard_normal()}
        for seed in range(seeds) for a, b in TABLE_PAIRS for n in ([1] if b == 0 else counts(100))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def agreeing(a, b, n):
    """All that the paper says at once: the same α best in rows and columns, peak at 0.9, logarithmic growth."""
    if (a, b) == (0.0, 0.0):
        return 20.0
    if a == b:
        return {0.5: 50.0, 0.9: 70.0, 1.5: 55.0}[a] + 3 * math.log(n)
    return 12.0 if b > a else 16.0


def bowl(n):
    """A curve that ends lower than it starts, and is nearer to linear in n, and in 1/√n, than in log n."""
    every = np.array(counts(100), float)
    return (n - every.mean()) / every.std() + (n**-0.5 - (every**-0.5).mean()) / (every**-0.5).std()


def opposing(a, b, n):
    """The contrary of it: no noise best of the pairs, accuracy falls with n, test noise harmless."""
    if (a, b) == (0.0, 0.0):
        return 60.0
    if a == b:
        return {0.5: 40.0, 0.9: 20.0, 1.5: 35.0}[a] + 10 * bowl(n)
    return 70.0 if b > a else 65.0


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


def judged(claim, *table):
    return judge(claim.rule(*table), claim.kind, claim.delta)


@pytest.mark.parametrize("claim", MEASURED, ids=lambda c: c.id)
def test_every_rule_gives_every_verdict(claim):
    assert judged(claim, table(agreeing))["verdict"] == "holds"
    assert judged(claim, table(opposing))["verdict"] == "contradicted"
    if claim.id not in SINGLE and claim.kind == "every":
        assert judged(claim, table(mixed))["verdict"] == "mixed"
    found = judged(claim, table(agreeing, seeds=1))  # one seed decides nothing
    assert (found["verdict"], found["seeds_needed"]) == ("not decided", None)


@pytest.mark.parametrize("claim", MEASURED, ids=lambda c: c.id)
def test_noise_alone_decides_nothing(claim):
    """Accuracies that differ by seed alone must not be taken for a finding."""

    def flat(a, b, n):
        return 90.0 if claim.id == "gain-of-200-percent" and (a, b) != (0.0, 0.0) else 30.0

    found = judged(claim, table(flat, noise=1.0))
    assert found["verdict"] == "not decided" and found["counts"]["contradicted"] == 0


def of_seeds(rows, size, seeds=8):
    """Rows (a dict and its value) for each seed, the value with a little that differs by seed."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [{**row, "seed": s, name: at + size * draw.standard_normal()} for s in range(seeds) for row, name, at in rows]
    )


def far(growths, size=0.3, **more):
    """First images' accuracies at n = 100 and 10,000, and those of all images, which end at n = 1,000."""
    points = [(a, n, at) for a, growth in zip((0.5, 0.9, 1.5), growths, strict=True)
              for n, at in ((100, 40.0), (10_000, 40.0 + growth))]  # fmt: skip
    of_all = {100: 99.0, 10_000: None}
    rows = [
        ({"alpha_train": a, "alpha_inference": a, "n": n, "accuracy": of_all[n]}, "first", at) for a, n, at in points
    ]
    return of_seeds(rows, size, **more)


def gains(later, size=0.3, **more):
    """Accuracies of (0, 0) and (0.9, 0.9) at n = 10 and 1,000 after three trainings; the first gain is 5."""
    trainings = [(100, 10, 5.0), *((train, 40, gain) for train, gain in zip((100, 200), later, strict=True))]
    return of_seeds(
        [({"train": train, "epochs": epochs, "alpha": a, "n": n}, "accuracy", 20.0 + (gain if a and n == 1000 else 0))
         for train, epochs, gain in trainings for a, n in ((0.0, 1), (0.9, 10), (0.9, 1000))],
        size, **more,
    )  # fmt: skip


def passes(measure, shares, size=0.1, **more):
    other = {"passes": "passes, settled", "passes, settled": "passes"}[measure]
    where = [{"alpha_train": a, "alpha_inference": a, "way": "race"} for a in (0.5, 0.9)]
    rows = [({**at, "measure": measure}, "value", share) for at, share in zip(where, shares, strict=True)]
    rows += [({**at, "measure": other}, "value", 50.0) for at in where]
    rows += [({**where[0], "way": "race, common draws", "measure": measure}, "value", 50.0)]
    return of_seeds(rows, size, **more)


def agreement(points, size=0.1, **more):
    """Of 200 images of two pairs of α: how many the race has right beyond the second plain run's 190, in points."""
    at = [{"alpha_train": a, "alpha_inference": a, "x": 100} for a in (0.5, 0.9)]
    rows = [({**w, "way": "plain", "measure": "agrees, plain"}, "value", 95.0) for w in at]
    rows += [({**w, "way": "race", "measure": "agrees"}, "value", 95.0 + points) for w in at]
    rows += [({**w, "way": "race, again", "measure": "agrees"}, "value", 0.0) for w in at]
    return of_seeds(rows, size, **more)


@pytest.mark.parametrize(
    ("id", "made", "holds", "mixed", "contradicted", "flat"),
    [
        (FAR, far, (5, 6, 7), (5, 6, -7), (-5, 0, 0), (0, 0, 0)),
        ("gain-with-training", gains, (9, 12), (9, 2), (2, 5), (5, 5)),
        ("racing-saves", functools.partial(passes, "passes"), (3, 2), (3, 6), (6, 4), (4, 4)),
        ("racing-saves-settled", functools.partial(passes, "passes, settled"), (0.5, 0.1), (0.5, 3), (2, 1), (1, 1)),
        ("race-agrees", agreement, 0.0, None, -2.0, -0.5),
    ],
)
def test_the_other_rules_give_every_verdict(id, made, holds, mixed, contradicted, flat):
    claim = OTHERS[id]
    assert judged(claim, made(holds))["verdict"] == "holds"
    assert judged(claim, made(contradicted))["verdict"] == "contradicted"
    assert mixed is None or judged(claim, made(mixed))["verdict"] == "mixed"
    assert judged(claim, made(flat))["verdict"] == "not decided"
    assert judged(claim, made(holds, seeds=1))["verdict"] == "not decided"


def test_the_other_rules_measure_what_they_say():
    """Margins without chance, by hand: a wrong n, training, way or measure, or a share of another total, would show."""
    by_setting = lambda id, made: OTHERS[id].rule(made).groupby("setting")["margin"].first().to_dict()  # noqa: E731
    assert by_setting(FAR, far((5, 6, 7), size=0)) == {"(0.5, 0.5)": 5, "(0.9, 0.9)": 6, "(1.5, 1.5)": 7}
    both = [far((5, 6, 7), size=0).assign(distribution="gaussian"), far((0, -50, 0), size=0).assign(distribution="t")]
    assert by_setting(FAR, pd.concat(both)) == {"(0.5, 0.5)": 5, "(0.9, 0.9)": 6, "(1.5, 1.5)": 7}
    expected = {"100 images, 40 epochs": 4, "200 images, 40 epochs": 7}
    assert by_setting("gain-with-training", gains((9, 12), size=0)) == expected
    found = by_setting("racing-saves", passes("passes", (3, 2), size=0))
    assert found == {"(0.5, 0.5)": 1, "(0.9, 0.9)": 2}
    found = by_setting("racing-saves-settled", passes("passes, settled", (0.5, 2), size=0))
    assert found == {"(0.5, 0.5)": 0.5, "(0.9, 0.9)": -1}
    assert by_setting("race-agrees", agreement(-2.0, size=0)) == {"all pairs": -2}


def test_asymmetry_is_said_of_the_mean():
    """One mirrored pair the other way round leaves it as it is."""
    claim = next(c for c in CLAIMS if c.id == "asymmetry")

    def but_one(a, b, n):
        return {(0.0, 0.5): 20.0, (0.5, 0.9): 0.0}.get((a, b), agreeing(a, b, n))

    found = judged(claim, table(but_one))
    assert found["verdict"] == "holds" and found["counts"]["contradicted"] == 1
    assert found["measured"] == pytest.approx(((16 - 20) + 16 + 4 + 4) / 4, abs=0.2)


def test_the_ridge_runs_over_the_columns_and_balance_over_the_rows():
    """α at inference fixed, or α at training: a table that is best in every row need not be so in any column."""
    ridge, rows = (next(c for c in CLAIMS if c.id == i) for i in ("ridge", "balanced-is-best"))

    def by_training(a, b, n):  # networks trained with more noise are better at anything, and best at their own
        return 20 * a + (5.0 if a == b else 0.0)

    assert judged(rows, table(by_training))["verdict"] == "holds"
    found = judged(ridge, table(by_training))
    assert found["verdict"] == "mixed"
    margins = ridge.rule(table(by_training, noise=0.0)).groupby("setting")["margin"].first()
    assert margins.to_dict() == pytest.approx(
        {
            "(0.0, 0.0) over (0.5, 0.0)": -5, "(0.5, 0.5) over (0.0, 0.5)": 15, "(0.5, 0.5) over (0.9, 0.5)": -3,
            "(0.5, 0.5) over (1.5, 0.5)": -15, "(0.9, 0.9) over (0.5, 0.9)": 13, "(0.9, 0.9) over (1.5, 0.9)": -7,
            "(1.5, 1.5) over (0.5, 1.5)": 25, "(1.5, 1.5) over (0.9, 1.5)": 17,
        }
    )  # fmt: skip


def test_growth_that_saturates_is_not_logarithmic():
    """The error of a mean over n draws alone makes such a curve, nearer to log n than to n."""
    claim = next(c for c in CLAIMS if c.id == "logarithmic-growth")

    def saturating(a, b, n):
        return 50.0 - 20 / math.sqrt(n) if a == b and a else 30.0

    found = judged(claim, table(saturating))
    each = {s["setting"]: s["verdict"] for s in found["settings"]}
    assert found["verdict"] == "mixed" and len(each) == 6
    assert {v for k, v in each.items() if k.endswith("than in n")} == {"holds"}
    assert {v for k, v in each.items() if "saturates" in k} == {"contradicted"}


def with_errors(table, bad=()):
    """Reconstruction errors, below that of the mean image but for (α at training, α at inference, n, seed) in `bad`."""
    keys = table[["alpha_train", "alpha_inference", "n", "seed"]].itertuples(index=False)
    return table.assign(error=[0.3 if tuple(key) in bad else 0.1 for key in keys], mean_image_error=0.3)


def test_networks_that_lose_to_the_mean_image_are_not_tested():
    """They have learned nothing, and tell nothing of balance: one seed is enough to leave them out."""
    rows = table(agreeing)
    assert untrained(rows) == untrained(with_errors(rows)) == set()
    lost = with_errors(rows, {(0.9, 0.9, 100, 3)})
    assert untrained(lost) == {0.9}
    # too few draws, another strength at inference, or another distribution say nothing of the training
    assert untrained(with_errors(rows, {(0.9, 0.9, 10, 3), (0.9, 1.5, 100, 3)})) == set()
    other = lost.assign(distribution=np.where(lost["error"] > 0.2, "cauchy", "gaussian"))
    assert untrained(other) == set()
    gain, every, growth, curve = (
        next(c for c in CLAIMS if c.id == i)
        for i in ("balanced-gain", "every-balanced-pair-gains", "growth-with-n", "logarithmic-growth")
    )
    found = judged(gain, lost)
    why = "networks trained at α = 0.9 lose to the mean image"
    assert (found["verdict"], found["why"], found["measured"]) == ("not testable", why, None)
    for claim, left in ((every, 2), (growth, 2), (curve, 4)):
        found = judged(claim, lost)
        assert (found["verdict"], found["counts"]["holds"]) == ("holds", left) and why in found["why"]
    both = with_errors(rows, {(0.9, 0.9, 100, 3), (0.0, 0.0, 1, 0)})
    assert judged(gain, both)["why"] == "networks trained at α = 0, 0.9 lose to the mean image"
    assert judged(next(c for c in CLAIMS if c.id == "gain-of-200-percent"), both)["verdict"] == "not testable"


def test_no_table_is_not_measured(monkeypatch):
    monkeypatch.setattr(board_of, "shipped", lambda name: [])
    found = {e["verdict"] for e in scoreboard(MEASURED)}
    assert found == {"not measured"}


def test_the_scoreboard_has_every_field_and_is_json():
    entries = scoreboard(claims())
    assert len({e["id"] for e in entries}) == len(claims()) >= 8
    for entry in entries:
        assert set(FIELDS) <= set(entry) and entry["verdict"] in VERDICTS and "problem" not in entry
        assert entry["reported_error"] in ("sem", "2sd", "none") and isinstance(entry["seeds"], int)
        assert entry["command"].startswith("python -m tutorial_lib ")
    json.dumps(entries, allow_nan=False)


def test_every_claim_names_a_registered_experiment():
    assert {c.experiment for c in claims()} - {None} <= set(experiments())


def test_numbers_without_an_error_are_exact():
    """A number that the paper prints and anybody can compute has no spread: the difference alone decides."""
    found = contrasts({"a": (2.0, 0.0), "b": (1.0, 0.0), "c": (5.0, 1.0)}, {"a - b": {"a": 1, "b": -1}}, runs=1)
    assert judge(found)["verdict"] == "holds" and judge(found)["interval"] == [1, 1]
    assert judge(found, "equal", 0.5)["verdict"] == "contradicted" and judge(found, "equal", 2.0)["verdict"] == "holds"
    mixed = contrasts({"a": (2.0, 0.0), "c": (5.0, 1.0)}, {"c - a": {"c": 1, "a": -1}})
    assert mixed["sem"].item() == 1 and mixed["freedom"].item() == pytest.approx(9)


def test_reported_margins_follow_from_the_printed_tables():
    """By hand from Table 1 and 2, CIFAR-10: the margins that stand on the scoreboard as the paper's."""
    by_id = {claim.id: claim.reported for claim in CLAIMS}
    assert by_id["balanced-gain"] == pytest.approx(65.88 - 20.48)
    assert by_id["gain-of-200-percent"] == pytest.approx(100 * (65.88 / 20.48 - 1) - 200, abs=1e-3)
    assert by_id["peak-at-0.9"] == pytest.approx((65.88 - 58.72 + 65.88 - 59.23) / 2)
    assert by_id["growth-with-n"] == pytest.approx((42.75 - 23.25 + 53.02 - 25.25 + 43.98 - 31.53) / 3, abs=1e-3)
    asymmetry = (23.99 - 11.63) + (31.38 - 15.71) + (36.32 - 11.38) + (40.14 - 14.31)
    assert by_id["asymmetry"] == pytest.approx(asymmetry / 4)
    means = reported.table_1().query("dataset == 'cifar-10'").set_index(["alpha_train", "alpha_inference"])["accuracy"]
    columns = [means[b, b] - means[a, b] for a, b in TABLE_PAIRS if a != b]
    assert len(columns) == 8 and by_id["ridge"] == pytest.approx(sum(columns) / 8, abs=1e-3)


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
    assert (margins["sem"] > 0).all() and (margins["freedom"] > 9).all()


def test_own_tables_against_scipy():
    """(0.9, 0.9) over (0, 0) on CIFAR-10 from means and SEMs of ten runs."""
    from scipy import stats

    found = judge(own_tables([((0.9, 0.9), (0.0, 0.0))], ("cifar-10",))())
    draw = np.random.default_rng(0).standard_normal((2, 10))
    shaped = (draw - draw.mean(1, keepdims=True)) / draw.std(1, ddof=1, keepdims=True) * math.sqrt(10)
    a, b = 65.88 + 1.10 * shaped[0], 20.48 + 2.03 * shaped[1]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found["interval"] == pytest.approx(list(expected), rel=1e-6) and found["verdict"] == "holds"


def test_the_text_against_the_papers_own_tables():
    """By hand: how many differences of means each claim has, and their signs."""
    means = reported.table_1().set_index(["dataset", "alpha_train", "alpha_inference"])["accuracy"]
    found = {c.id: c.rule() for c in CLAIMS if c.experiment is None}
    twice = found["text-twice-the-accuracy"].set_index("setting")["margin"]
    assert len(twice) == 5 and len(found["text-theorem-1"]) == 5 and len(found["text-peak"]) == 4 * 11
    assert twice["flower-20, (0.5, 0.0) over (0.0, 0.5)"] == pytest.approx(
        means["flower-20", 0.5, 0.0] - 1.5 * means["flower-20", 0.0, 0.5]
    )
    peak = found["text-peak"].set_index("setting")["margin"]
    assert peak["cub-20, (0.9, 0.9) over (1.5, 1.5)"] == pytest.approx(
        means["cub-20", 0.9, 0.9] - means["cub-20", 1.5, 1.5]
    )
    assert not any("cifar-20" in name or "over (0.9, 0.9)" in name for name in peak.index)
    still = found["text-theorem-1"].set_index("setting")["margin"]
    assert still["cifar-10, (0.0, 0.0) over (0.0, 0.5)"] == pytest.approx(20.48 - means["cifar-10", 0.0, 0.5])


def test_balanced_pairs_are_pairs_of_the_tables():
    assert set(BALANCED) <= set(TABLE_PAIRS)


def test_a_table_without_the_pairs_of_a_claim_measures_nothing():
    """A reader's run at a small budget lacks some α: no verdict, and no crash of the whole scoreboard."""
    point = {"distribution": "gaussian", "alpha_train": 0.3, "alpha_inference": 0.3}
    table = pd.DataFrame([{**point, "n": n, "seed": s, "accuracy": 50.0 + s} for n in (1, 10) for s in (0, 1)])
    for claim in MEASURED:
        assert judged(claim, table)["verdict"] == "not measured", claim.id
    assert judged(OTHERS[FAR], table)["verdict"] == "not measured"
    few = pd.DataFrame([{"alpha": 0.9, "train": 10, "epochs": 1, "n": 10, "seed": 0, "accuracy": 50.0}])
    assert judged(OTHERS["gain-with-training"], few)["verdict"] == "not measured"
    few = pd.DataFrame([{"alpha_train": 0.9, "alpha_inference": 0.9, "way": "plain", "measure": "agrees, plain",
                         "x": 10, "seed": 0, "value": 9.0}])  # fmt: skip
    for id in ("racing-saves", "racing-saves-settled", "race-agrees"):
        assert judged(OTHERS[id], few)["verdict"] == "not measured", id


# --- the scoreboard


def claim(id="mine", rule=lambda table: margins({}), **fields):
    """A claim that is filled in where a test does not care."""
    told = {"paper": "a-paper", "item": "Table 1", "claim": "A beats B", "reported": None, "reported_text": "A wins",
            "reported_error": "none", "experiment": "a-paper/table-1"}  # fmt: skip
    return Claim(id=id, rule=rule, **told | fields)


def lines(*numbers, **columns):
    """One row a seed with these values."""
    return pd.DataFrame({"seed": range(len(numbers)), "value": numbers, **columns})


@pytest.fixture
def tables(monkeypatch):
    """What is shipped of a-paper/table-1: three seeds on digits, two on mnist."""
    there = {("digits", "desk"): lines(1.0, 1.1, 0.9), ("mnist", "paper"): lines(-1.0, -1.1)}
    listed = [{"dataset": d, "budget": b, "rows": len(t), "path": None} for (d, b), t in there.items()]
    monkeypatch.setattr(board_of, "shipped", lambda name: listed)
    monkeypatch.setattr(board_of, "read_table", lambda name, dataset, budget: there[dataset, budget])


def value(table):
    return margins({"all": table.set_index("seed")["value"]})


def test_fields_of_a_claim_are_given_by_name():
    """Eleven fields in a row: two of them exchanged would go unnoticed."""
    with pytest.raises(TypeError, match="positional"):
        Claim("id", "paper", "item", "claim", None, "text", "none", value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim().reported = 1.0


def test_an_entry_for_each_table_with_the_command_that_makes_it(tables):
    """Seeds, data sets or verdicts of another table would stand beside it."""
    first, second = scoreboard([claim(rule=value, reported=2.5, unit="percent")])
    assert (first["dataset"], first["budget"], first["seeds"], first["verdict"]) == ("digits", "desk", 3, "holds")
    assert (second["dataset"], second["budget"], second["seeds"]) == ("mnist", "paper", 2)
    assert second["measured"] == pytest.approx(-1.05) and first["measured"] == pytest.approx(1.0)
    assert first["command"] == "python -m tutorial_lib run a-paper/table-1 --budget desk --seeds 3"
    assert "--budget paper --dataset mnist" in second["command"] and "--seeds 2" in second["command"]
    told = {k: first[k] for k in FIELDS[:7]}
    assert told == {"id": "mine", "paper": "a-paper", "item": "Table 1", "claim": "A beats B", "reported": 2.5,
                    "reported_text": "A wins", "reported_error": "none"}  # fmt: skip
    assert first["unit"] == "percent" and "problem" not in first
    assert (first["kind"], first["delta"]) == ("every", None)


def test_a_claim_is_judged_as_the_sentence_that_it_is(tables):
    """Three runs about 1: equal to 0 within 2, and above 0."""
    for kind, delta, verdict in (("equal", 2.0, "holds"), ("equal", 0.5, "contradicted"), ("count", 0, "not decided")):
        (entry, _) = scoreboard([claim(rule=value, kind=kind, delta=delta)])
        assert (entry["verdict"], entry["kind"], entry["delta"]) == (verdict, kind, delta or None)


def test_a_claim_about_some_data_sets_speaks_of_no_others(tables):
    (entry,) = scoreboard([claim(rule=value, datasets=("mnist", "svhn"))])
    assert entry["dataset"] == "mnist"
    (entry,) = scoreboard([claim(rule=value, datasets=("svhn", "usps"))])  # no such table: how to make one
    assert (entry["dataset"], entry["budget"], entry["seeds"], entry["verdict"]) == ("svhn", "desk", 0, "not measured")
    assert entry["measured"] is None and entry["interval"] is None and entry["settings"] == []
    assert "--budget desk --dataset svhn" in entry["command"]


def test_without_any_table_the_embedded_set_is_proposed(monkeypatch):
    monkeypatch.setattr(board_of, "shipped", lambda name: [])
    (entry,) = scoreboard([claim()])
    assert (entry["dataset"], entry["seeds"]) == ("digits", 0)
    assert entry["command"] == "python -m tutorial_lib run a-paper/table-1 --budget desk"


def test_a_check_of_the_papers_own_tables_needs_no_run():
    def rule():
        return contrasts({"a": (3.0, 0.3), "b": (1.0, 0.4)}, {"a over b": {"a": 1, "b": -1}})

    (entry,) = scoreboard([claim(rule=rule, experiment=None)])
    assert (entry["dataset"], entry["budget"], entry["seeds"]) == ("the paper's tables", "reported", 10)
    assert (entry["verdict"], entry["measured"]) == ("holds", 2.0)
    assert entry["interval"] == pytest.approx([2 - 0.5 * 2.113, 2 + 0.5 * 2.113], abs=1e-3)  # t of 16.7 degrees
    assert entry["command"] == "python -m tutorial_lib claims"


def test_a_rule_that_raises_is_named_and_the_others_go_on(tables):
    """One mistake in one wing, and nobody sees any verdict."""

    def broken(*table):
        raise KeyError("kind")

    found = scoreboard([claim("a", broken), claim("b", value), claim("c", broken, experiment=None)])
    assert [e["id"] for e in found] == ["a", "a", "b", "b", "c"]
    for entry in (found[0], found[1], found[4]):
        assert (entry["verdict"], entry["problem"]) == ("not measured", "KeyError: 'kind'")
        assert (entry["measured"], entry["interval"], entry["settings"]) == (None, None, [])
    assert found[2]["verdict"] == "holds" and not any("problem" in e for e in found[2:4])
    json.dumps(found, allow_nan=False)
    board(found)


def test_a_rule_that_forgets_its_columns_is_named(tables):
    (entry, _) = scoreboard([claim(rule=lambda table: pd.DataFrame({"margin": [1.0]}))])
    assert entry["problem"] == "KeyError: 'setting'"


def test_a_claim_of_an_experiment_that_is_left_out_is_not_measured_and_says_why():
    """A wing whose figures cannot be read must not take the scoreboard with it."""
    (entry,) = scoreboard([claim(experiment="broken/fig-1")])
    assert entry["verdict"] == "not measured" and entry["problem"] == "no experiment broken/fig-1"


def test_infinite_bounds_become_null(monkeypatch):
    """JSON has no infinity: one seed has an interval without bounds."""
    monkeypatch.setattr(board_of, "shipped", lambda name: [{"dataset": "digits", "budget": "desk"}])
    monkeypatch.setattr(board_of, "read_table", lambda *name: lines(1.5))
    (entry,) = scoreboard([claim(rule=value)])
    assert (entry["interval"], entry["measured"], entry["seeds"]) == ([None, None], 1.5, 1)
    assert entry["settings"][0]["interval"] == [None, None] and entry["detectable"] is None
    json.dumps(entry, allow_nan=False)


# --- what rules are made of


def test_settings_are_named_by_their_text():
    """Rules look settings up by name: 1 and 1.0 are two, and a column with gaps holds floats."""
    rows = [{"net": n, "layer": k, "sigma": s, "kind": "a", "seed": 0, "value": 1.0}
            for n in ("fc", "cnn") for k in (1, 2) for s in (0.1, 1.0)]  # fmt: skip
    found = by_seed(pd.DataFrame(rows), "kind", ["net", "layer", "sigma"])
    assert list(found)[:3] == ["fc, 1, 0.1", "fc, 1, 1.0", "fc, 2, 0.1"] and len(found) == 8
    gap = pd.DataFrame([*rows, {**rows[0], "layer": None, "value": 9.0}])
    assert set(by_seed(gap, "kind", ["layer"])) == {"1.0", "2.0"}  # the row without a layer is in no setting


def test_margins_stand_one_below_the_other():
    """A row a setting and seed; rules that find nothing return the same columns."""
    found = margins({"b": pd.Series([1.0, 2.0], [0, 3]), "a": pd.Series([5.0], [3])})
    assert found.to_dict("list") == {"setting": ["b", "b", "a"], "seed": [0, 3, 3], "margin": [1.0, 2.0, 5.0]}
    assert found.index.tolist() == [0, 1, 2]
    assert margins({}).empty and list(margins({})) == list(found)
    assert found.attrs == {"diverged": {}, "exact": False}


def test_margins_carry_what_a_verdict_must_know():
    """What has no margins and why, how many runs diverged, and that chance has no part."""
    found = margins({"a": pd.Series([1.0, 2.0])}, {"b": "too dark"}, {"a": 2, "b": 0}, exact=True)
    assert found["setting"].tolist() == ["a", "a", "b"] and found["why"].tolist()[2] == "too dark"
    assert found["margin"].isna().tolist() == found["why"].notna().tolist() == [False, False, True]
    assert found.attrs == {"diverged": {"a": 2}, "exact": True}
    assert margins({}, {"b": "too dark"})[["setting", "why"]].to_dict("records") == [
        {"setting": "b", "why": "too dark"}
    ]
    assert list(margins({}, {})) == ["setting", "seed", "margin"]


def test_by_seed_averages_within_a_seed_alone():
    rows = [("a", 0, 1.0), ("a", 0, 3.0), ("a", 1, 5.0), ("b", 1, 7.0)]
    means = by_seed(pd.DataFrame(rows, columns=["kind", "seed", "value"]), "kind")[""]
    assert means["a"].to_dict() == {0: 2.0, 1: 5.0}
    assert math.isnan(means["b"][0]) and means["b"][1] == 7.0


# --- the contract of every rule in every wing


def partial(table):
    """Tables that lack something: every word of every text column, settings, all seeds but one, everything."""

    def kept(rows):
        rows = table[rows]
        return rows.dropna(axis=1, how="all") if len(rows) else rows  # as `run` writes it

    words = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    always = [kept(table["seed"] < 0), kept(table["seed"] == table["seed"].min())]
    always += [kept(table[c] != word) for c in words for word in table[c].dropna().unique()]
    draw, sometimes = random.Random(0), [(c, word, True) for c in words for word in table[c].dropna().unique()]
    for column in table.columns.drop(["seed", *words]):
        values = sorted(table[column].dropna().unique())
        few = values if len(values) <= 12 else [values[0], values[-1], *draw.sample(values[1:-1], 2)]
        sometimes += [(column, number, only) for number in few for only in (False, True)]
    chosen = draw.sample(sometimes, min(SAMPLED, len(sometimes)))
    return always + [kept((table[column] == value) == only) for column, value, only in chosen]


SAMPLED = 6
WINGS = [c for c in claims() if c.experiment]


@pytest.fixture(scope="module")
def partials():
    """Parts of the smallest shipped table of a claim's experiment, made once."""
    found = {}

    def get(claim):
        there = [t for t in shipped(claim.experiment) if claim.datasets is None or t["dataset"] in claim.datasets]
        if not there:
            pytest.skip("no table of it is shipped")
        least = min(there, key=lambda t: t["rows"])
        if claim.experiment not in found:
            found[claim.experiment] = partial(read_table(claim.experiment, least["dataset"], least["budget"]))
        return found[claim.experiment]

    return get


@pytest.mark.parametrize("claim", WINGS, ids=lambda c: f"{c.paper}-{c.id}")
def test_rules_leave_out_what_a_table_lacks(claim, partials):
    """A reader's smaller run lacks networks, kinds, levels or seeds: fewer settings, or none, and never a crash."""
    for table in partials(claim):
        found = claim.rule(table)
        assert list(found)[:3] in (["setting", "seed", "margin"], ["setting", "margin", "sem"])
        assert judge(found, claim.kind, claim.delta)["verdict"] in VERDICTS
        if table.empty:
            assert found.empty
