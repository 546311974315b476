"""Verdicts against tests of scipy and Holm's rule worked out anew, by simulation, and at their edges."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tutorial_lib import verdicts
from tutorial_lib.board import said
from tutorial_lib.claims import Claim, _plain, contrasts, margins
from tutorial_lib.errors import InputError
from tutorial_lib.verdicts import KINDS, VERDICTS, judge

BORDERED = ("equal", "theorem")
"""The kinds whose margins have a border on either side."""


def table(settings, **options):
    """Margins of settings, given as lists: seed k is the k-th."""
    return margins({name: pd.Series(values, dtype=float) for name, values in settings.items()}, **options)


def runs(mean, n=10, sd=1.0, seed=0):
    """`n` margins with exactly this mean and this standard deviation."""
    draw = np.random.default_rng(seed).standard_normal(n)
    return mean + sd * (draw - draw.mean()) / draw.std(ddof=1)


def verdict(settings, kind="every", delta=0.0, **options):
    return judge(table(settings, **options), kind, delta)["verdict"]


def single(found):
    return {s["setting"]: s["verdict"] for s in found["settings"]}


# --- the same, worked out anew


def p_values(values, kind, delta):
    """One-sided p-values for what is said and for its contrary, from scipy's own tests."""
    if kind == "count":
        had = int(sum(values))
        return [stats.binomtest(had, len(values), 0.5, alternative=side).pvalue for side in ("greater", "less")]

    def p(border, side):
        return stats.ttest_1samp(values, border, alternative=side).pvalue

    if kind in BORDERED:
        return [max(p(-delta, "greater"), p(delta, "less")), min(p(-delta, "less"), p(delta, "greater"))]
    border = -delta if kind == "no worse" else 0.0
    return [p(border, "greater"), p(border, "less")]


def holm(p):
    """Step down: the k-th smallest of m p-values times m - k + 1, never less than the one before, at most 1."""
    adjusted, least = [0.0] * len(p), 0.0
    for k, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, (len(p) - k) * p[place])
        adjusted[place] = min(1.0, least)
    return adjusted


def expected(settings, kind, delta):
    """The verdict, each setting's, and its Holm-adjusted p-values for and against."""
    alpha = 0.05 if kind in BORDERED else 0.025
    speaks, against = zip(*(p_values(v, kind, delta) for v in settings.values()), strict=True)
    for_, anti = holm(speaks), holm(against)
    if all(p <= alpha for p in speaks):
        told = ["holds"] * len(speaks)
    else:
        told = [
            "holds" if yes <= alpha else "contradicted" if no <= alpha else "not decided"
            for yes, no in zip(for_, anti, strict=True)
        ]
    found = dict(zip(settings, told, strict=True))
    if kind == "on average":
        yes, no = p_values(np.mean(list(settings.values()), axis=0), kind, delta)
        return "holds" if yes <= alpha else "contradicted" if no <= alpha else "not decided", found, for_, anti
    if "contradicted" in told:
        together = "mixed" if "holds" in told and kind != "theorem" else "contradicted"
    else:
        together = "holds" if set(told) == {"holds"} and all(p <= alpha for p in speaks) else "not decided"
    return together, found, for_, anti


def drawn(kind, case):
    """Settings of a few runs whose margins lie around the borders; of counts, runs that mostly agree."""
    draw = np.random.default_rng(case)
    count, n = draw.integers(1, 6), int(draw.integers(3, 11))
    means = draw.choice([-3, -2, 0, 1, 2, 3], count) if case % 3 else np.full(count, draw.choice([-2, -1, 0, 2]))
    if kind == "count":
        n += 4
        return {f"s{k}": (draw.random(n) < 1 / (1 + math.exp(-2 * m))).astype(float) for k, m in enumerate(means)}
    return {f"s{k}": m + draw.standard_normal(n) for k, m in enumerate(means)}


DELTA = {"no worse": 1.0, "equal": 1.5, "theorem": 1.5}
CASES = 45


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_are_those_of_the_tests_of_scipy_and_of_holms_rule(kind):
    """A wrong tail, level, border, correction or order of settings."""
    seen = set()
    for case in range(CASES):
        settings = drawn(kind, case)
        found = judge(table(settings), kind, DELTA.get(kind, 0.0))
        together, each, for_, anti = expected(settings, kind, DELTA.get(kind, 0.0))
        assert (found["verdict"], single(found)) == (together, each), case
        assert list(single(found)) == list(settings)
        assert found["counts"] == {
            **{word: list(each.values()).count(word) for word in ("holds", "contradicted", "not decided")},
            "not testable": 0,
        }
        if set(each.values()) != {"holds"}:
            shown = {"holds": for_, "contradicted": anti, "not decided": [min(p) for p in zip(for_, anti, strict=True)]}
            adjusted = [shown[word][k] for k, word in enumerate(each.values())]
            assert [s["p"] for s in found["settings"]] == pytest.approx(adjusted)
        seen.add(together)
    assert seen == {"holds", "contradicted", "not decided"} | (
        set() if kind in ("theorem", "on average") else {"mixed"}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_shown_is_the_one_that_decides(kind):
    """Beside "contradicted" an interval that spans the border, or beside "not decided" one that does not."""
    delta = DELTA.get(kind, 0.0)
    low, high = {"no worse": (-delta, math.inf), "count": (50, math.inf)}.get(kind, (0, math.inf))
    low, high = (-delta, delta) if kind in BORDERED else (low, high)  # what the claim allows
    for case in range(CASES):
        found = judge(table(drawn(kind, case)), kind, delta)
        a, b = found["interval"]
        assert a <= found["measured"] <= b
        inside, outside = low < a and b < high, b < low or a > high
        assert {"holds": inside, "not decided": not inside and not outside}.get(found["verdict"], outside), case
        assert found["mean"] == pytest.approx(np.mean([s["margin"] for s in found["settings"]]))


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_are_students_and_clopper_and_pearsons_and_simultaneous(kind):
    """Of m settings each leaves out α/m on either side; the one that holds with all others leaves out α."""
    alpha, delta = 0.05 if kind in BORDERED else 0.025, DELTA.get(kind, 0.0)
    for case in range(CASES):
        settings = drawn(kind, case)

        def interval(values, out):
            if kind == "count":
                found = stats.binomtest(int(sum(values)), len(values)).proportion_ci(1 - 2 * out, method="exact")
                return [100 * found.low, 100 * found.high]
            return list(stats.t.interval(1 - 2 * out, len(values) - 1, np.mean(values), stats.sem(values)))

        found, shown = judge(table(settings), kind, delta), 100 if kind == "count" else 1
        for setting in found["settings"]:
            values = settings[setting["setting"]]
            assert setting["margin"] == pytest.approx(shown * np.mean(values))
            assert setting["interval"] == pytest.approx(interval(values, alpha / len(settings)))
        if kind == "on average":
            values = np.mean(list(settings.values()), axis=0)
            assert found["decides"] == "mean of settings"
        else:
            p = {name: p_values(values, kind, delta) for name, values in settings.items()}
            clearest = found["verdict"] in ("mixed", "contradicted")
            weakest = min(p, key=lambda name: p[name][1]) if clearest else max(p, key=lambda name: p[name][0])
            values = settings[found["decides"]]  # two settings of counts may be as clear
            assert p_values(values, kind, delta)[int(clearest)] == p[weakest][int(clearest)]
        alone = found["verdict"] == "holds" or kind == "on average"
        assert found["interval"] == pytest.approx(interval(values, alpha if alone else alpha / len(settings)))
        assert found["measured"] == pytest.approx(shown * np.mean(values))


def test_holms_rule_is_that_of_statsmodels():
    """The adjusted p-values of settings that do not all hold."""
    from statsmodels.stats.multitest import multipletests

    settings = {f"s{k}": runs(mean, n=6, seed=k) for k, mean in enumerate((3.0, 2.0, -0.1, -1.4, -2.5))}
    p = np.array([p_values(v, "every", 0) for v in settings.values()])
    for_, anti = (multipletests(column, 0.025, "holm")[1] for column in p.T)
    found = judge(table(settings))
    assert list(single(found).values()) == ["holds", "holds", "not decided", "not decided", "contradicted"]
    assert found["verdict"] == "mixed"
    adjusted = [for_[0], for_[1], min(for_[2], anti[2]), min(for_[3], anti[3]), anti[4]]
    assert [s["p"] for s in found["settings"]] == pytest.approx(adjusted)
    assert p[3, 1] < 0.025 < anti[3]  # alone it would count as a counterexample
    assert list(holm(p[:, 0])) == pytest.approx(list(for_))


# --- each kind of sentence


GOOD, NONE, BAD = runs(3.0), runs(0.0, seed=1), runs(-3.0, seed=2)
YES, SOME, NO = np.ones(10), np.array([0, 1] * 5), np.zeros(10)


@pytest.mark.parametrize(
    ("kind", "good", "none", "bad"),
    [
        ("every", GOOD, NONE, BAD),
        ("on average", GOOD, NONE, BAD),
        ("no worse", runs(0.0), runs(-1.0, seed=1), runs(-3.0, seed=2)),
        ("equal", runs(0.0, sd=0.5), runs(1.0, seed=1), runs(-4.0, seed=2)),
        ("theorem", runs(0.0, sd=0.5), runs(1.0, seed=1), runs(4.0, seed=2)),
        ("count", YES, SOME, NO),
    ],
)
def test_every_kind_has_every_verdict(kind, good, none, bad):
    delta = {"no worse": 1.0, "equal": 1.0, "theorem": 1.0}.get(kind, 0.0)
    for settings, word in [
        ({"a": good}, "holds"), ({"a": good, "b": good}, "holds"), ({"a": bad, "b": bad}, "contradicted"),
        ({"a": none}, "not decided"), ({"a": none, "b": none}, "not decided"),
    ]:  # fmt: skip
        assert verdict(settings, kind, delta) == word
    some = {"on average": ("holds", "not decided", "contradicted"), "theorem": ("not decided", *["contradicted"] * 2)}
    expected = some.get(kind, ("not decided", "mixed", "contradicted"))
    halves = ({"a": good, "b": none}, {"a": good, "b": bad}, {"a": none, "b": bad})
    assert tuple(verdict(settings, kind, delta) for settings in halves) == expected
    assert judge(table({}), kind, delta)["verdict"] == "not measured"
    lost = table({}, not_testable={"a": "no baseline"})
    assert judge(lost, kind, delta)["verdict"] == "not testable"


def test_without_a_delta_nothing_but_equality_is_equal():
    """δ is zero if none is given, and settings stay in the order in which they come."""
    for kind, mean in (("equal", 0.5), ("theorem", -0.5), ("no worse", -0.5)):
        assert judge(table({"a": runs(mean, sd=0.1)}), kind)["verdict"] == "contradicted"
    found = judge(table({"z": GOOD, "a": NONE, "m": BAD}))
    assert list(single(found)) == ["z", "a", "m"]


def test_another_kind_is_refused():
    with pytest.raises(InputError, match="kind = 'all': expected one of every, on average, no worse, equal, theorem"):
        judge(table({"a": GOOD}), "all")


@pytest.mark.parametrize(
    ("kind", "delta"),
    [("all", 0.0), ("every", 1.0), ("on average", 1.0), ("count", 0.5), ("no worse", 0.0), ("equal", 0.0),
     ("theorem", 0.0), ("equal", -1.0)],
)  # fmt: skip
def test_a_claim_has_a_kind_and_a_delta_where_that_has_one(kind, delta):
    """A δ that is forgotten would ask for exact equality, one too many would do nothing."""
    told = {"id": "mine", "paper": "p", "item": "i", "claim": "c", "reported": None, "reported_text": "t",
            "reported_error": "none", "rule": lambda table: margins({})}  # fmt: skip
    with pytest.raises(InputError, match=r"mine: (kind|delta) = "):
        Claim(**told, kind=kind, delta=delta)
    for right in KINDS:
        Claim(**told, kind=right, delta=1.0 if right in DELTA else 0.0)


def test_all_that_hold_need_no_correction_and_one_that_does_not_is_enough():
    """Three settings of p = 0.02: together they hold, though none of them would by Holm's rule."""
    t = stats.t.isf(0.02, 9)
    near = {f"s{k}": runs(t / math.sqrt(10), seed=k) for k in range(3)}
    found = judge(table(near))
    assert found["verdict"] == "holds" and set(single(found).values()) == {"holds"}
    found = judge(table({**near, "weak": runs(0.1)}))
    assert (found["verdict"], found["decides"], found["measured"]) == ("not decided", "weak", pytest.approx(0.1))
    assert found["counts"] == {"holds": 0, "contradicted": 0, "not decided": 4, "not testable": 0}


def test_one_sided_at_the_level():
    """Just below and just above 2.5 %, of equality 5 %."""
    for p, word in ((0.0249, "holds"), (0.0251, "not decided")):
        shift = stats.t.isf(p, 9) / math.sqrt(10)
        assert verdict({"a": runs(shift)}) == verdict({"a": runs(shift - 2)}, "no worse", 2.0) == word
        assert verdict({"a": runs(shift)}, "on average") == word
        opposite = {"holds": "contradicted", "not decided": "not decided"}[word]
        assert verdict({"a": runs(-shift)}) == verdict({"a": runs(-shift - 2)}, "no worse", 2.0) == opposite
    for p, word, opposite in ((0.0499, "holds", "contradicted"), (0.0501, "not decided", "not decided")):
        shift = stats.t.isf(p, 9) / math.sqrt(10)
        for kind in BORDERED:
            for side in (1, -1):
                assert verdict({"a": runs(side * (5 - shift))}, kind, 5.0) == word
                assert verdict({"a": runs(side * (5 + shift))}, kind, 5.0) == opposite


def test_non_inferiority_asks_for_the_interval_above_minus_delta():
    """A loss that is sure, but smaller than δ, is no loss; one that may be larger is not decided."""
    slight = {"a": runs(-0.5, sd=0.1)}
    assert verdict(slight) == "contradicted" and verdict(slight, "no worse", 1.0) == "holds"
    assert verdict({"a": runs(-0.9, sd=0.5)}, "no worse", 1.0) == "not decided"
    assert verdict({"a": runs(9.0)}, "no worse", 1.0) == "holds"  # any gain is no loss
    assert verdict({"a": runs(-1.5, sd=0.1)}, "no worse", 1.0) == "contradicted"


def test_equality_is_signed():
    """Single runs scatter by 5 to either side, and their mean is sure to be 0: equal within 2."""
    scatter = {"a": np.tile([5.0, -5.0], 100)}
    assert verdict(scatter, "equal", 2.0) == "holds"
    assert verdict({"a": np.abs(scatter["a"]) - 2 + np.tile([0.1, -0.1], 100)}) == "holds"  # what sizes alone would say
    assert verdict({"a": np.tile([5.0, -5.0], 3)}, "equal", 2.0) == "not decided"
    for sign in (1, -1):
        assert verdict({"a": sign * (scatter["a"] + 4)}, "equal", 2.0) == "contradicted"
        assert verdict({"a": sign * (scatter["a"] + 2)}, "equal", 2.0) == "not decided"


def test_equality_is_contradicted_only_from_outside():
    """A difference that is sure, but smaller than δ, contradicts nothing."""
    assert verdict({"a": runs(1.5, sd=0.1)}, "equal", 2.0) == "holds"
    assert verdict({"a": runs(2.5, sd=3.0)}, "equal", 2.0) == "not decided"


def test_a_counterexample_is_shown_and_not_what_cannot_be_told():
    """A setting of one run speaks least of all for the claim, and not against it."""
    for few in ([1.0], [-1.0], [2.0, 2.0]):
        for settings in ({"few": few, "bad": BAD}, {"bad": BAD, "few": few}):
            found = judge(table(settings))
            assert (found["verdict"], found["decides"]) == ("contradicted", "bad")
    found = judge(table({"good": GOOD, "few": [1.0]}))
    assert (found["verdict"], found["decides"]) == ("not decided", "few")


def test_a_single_counterexample_contradicts_a_theorem():
    many = {f"network {k}": runs(0.0, sd=0.2, seed=k) for k in range(20)}
    assert verdict(many, "theorem", 1.0) == "holds"
    found = judge(table({**many, "that one": runs(2.0, sd=0.2)}), "theorem", 1.0)
    assert (found["verdict"], found["decides"], found["counts"]["holds"]) == ("contradicted", "that one", 20)
    assert verdict({**many, "that one": runs(2.0, sd=0.2)}, "equal", 1.0) == "mixed"


@pytest.mark.parametrize(("n", "word"), [(1, None), (3, None), (5, None), (6, "y"), (10, "y")])
def test_a_few_equal_outcomes_are_no_certainty(n, word):
    """Three heads in a row: two sides of ½³."""
    for outcomes, decided in ((np.ones(n), "holds"), (np.zeros(n), "contradicted")):
        found = judge(table({"a": outcomes}), "count")
        assert found["verdict"] == (decided if word else "not decided")
        assert found["measured"] == 100 * outcomes[0]
        edge = 0.025 ** (1 / n)  # Clopper and Pearson's bound where all agree
        assert found["interval"] == pytest.approx([100 * edge, 100] if outcomes[0] else [0, 100 - 100 * edge])


def test_what_is_said_on_average_is_the_mean_of_each_seed():
    """Settings of one seed share its luck; a setting against the mean does not matter."""
    wave = 3 * np.array([-1, 1, -1, 1, 0, 0, 0.5, -0.5])
    split = {"a": 1 + wave, "b": 1.2 - wave + 0.1 * runs(0.0, 8)}
    assert verdict(split) == "not decided" and verdict(split, "on average") == "holds"
    assert verdict({k: -v for k, v in split.items()}, "on average") == "contradicted"
    found = judge(table({"a": runs(5.0), "b": runs(-1.0, sd=0.1)}), "on average")
    assert found["verdict"] == "holds" and single(found) == {"a": "holds", "b": "contradicted"}
    # seeds that only one of the settings has are of no use for the mean
    uneven = {"a": pd.Series([1.0, 2, 3, 500], [0, 1, 2, 3]), "b": pd.Series([3.0, 2, 4, -90], [0, 1, 2, 9])}
    found = judge(margins(uneven), "on average")
    assert found["measured"] == pytest.approx(2.5)
    assert found["interval"] == pytest.approx(list(stats.t.interval(0.95, 2, 2.5, stats.sem([2, 2, 3.5]))))


# --- error of the first kind


@pytest.fixture
def few(monkeypatch):
    """Hundreds of tables need not be told how many seeds would decide them."""
    monkeypatch.setattr(verdicts, "MOST", 12)


def test_nothing_but_chance_is_seldom_taken_for_a_finding(few):
    """Eight settings without any effect: either side at most 2.5 % of the tables, and a claim of all never holds."""
    draw, tables = np.random.default_rng(0), 400
    counts = [judge(table(dict(enumerate(draw.standard_normal((8, 10))))))["counts"] for _ in range(tables)]
    for word in ("holds", "contradicted"):
        wrong = sum(c[word] > 0 for c in counts)
        assert 1 <= wrong <= 0.05 * tables  # 0.025 · 400 = 10 ± 3
    assert not any(c["holds"] == 8 for c in counts)


@pytest.mark.parametrize(
    ("kind", "delta", "mean", "wrong", "alpha"),
    [
        ("on average", 0.0, 0.0, "holds", 0.025), ("on average", 0.0, 0.0, "contradicted", 0.025),
        ("no worse", 1.0, -1.0, "holds", 0.025), ("no worse", 1.0, -1.0, "contradicted", 0.025),
        ("equal", 2.0, 2.0, "holds", 0.05), ("equal", 2.0, -2.0, "contradicted", 0.05),
    ],
)  # fmt: skip
def test_at_the_border_either_error_has_its_level(few, kind, delta, mean, wrong, alpha):
    draw, tables = np.random.default_rng(1), 200
    found = sum(verdict({"a": mean + draw.standard_normal(8)}, kind, delta) == wrong for _ in range(tables))
    assert stats.binomtest(found, tables, alpha).pvalue > 0.001


# --- what these seeds could have seen, and how many it takes


def simulated(mean, n, kind="every", delta=0.0, level=None, tables=20_000, sd=1.0):
    """How often n normal runs are found to be as the claim says, and how often against it, at this level."""
    alpha = level or (0.05 if kind in BORDERED else 0.025)
    draw = np.random.default_rng(0).normal(mean, sd, (tables, n))
    half = stats.t.isf(alpha, n - 1) * draw.std(1, ddof=1) / math.sqrt(n)
    low, high = draw.mean(1) - half, draw.mean(1) + half
    if kind in BORDERED:
        return ((low > -delta) & (high < delta)).mean(), ((low > delta) | (high < -delta)).mean()
    border = -delta if kind == "no worse" else 0.0
    return (low > border).mean(), (high < border).mean()


@pytest.mark.parametrize(
    ("kind", "delta", "mean", "against"),
    [
        ("every", 0.0, 0.5, False), ("every", 0.0, -0.4, True), ("on average", 0.0, 0.5, False),
        ("no worse", 1.0, -0.4, False), ("no worse", 1.0, -1.6, True),
        ("equal", 1.0, 0.0, False), ("equal", 1.0, 0.4, False), ("equal", 1.0, -0.7, False),
        ("theorem", 1.0, 0.0, False), ("equal", 1.0, 1.5, True), ("equal", 1.0, -1.5, True),
    ],
)  # fmt: skip
def test_so_many_seeds_have_a_power_of_80_percent(kind, delta, mean, against):
    """If margins are as measured, that many runs decide in four of five cases, and one run less in fewer."""
    found = judge(table({"a": runs(3 * mean, n=4, sd=3)}), kind, 3 * delta)
    assert found["verdict"] == "not decided"
    power = simulated(mean, found["seeds_needed"], kind, delta)[against]
    less = simulated(mean, found["seeds_needed"] - 1, kind, delta)[against]
    assert 0.79 < power < 0.87 and less < 0.81 and less < power


def test_the_smaller_the_effect_the_more_seeds_and_over_1000_none_is_named(monkeypatch):
    needed = [judge(table({"a": runs(mean, n=5)}))["seeds_needed"] for mean in (0.9, 0.5, 0.2, 0.1, 0.09, 0.08, 0.0)]
    assert needed[:5] == sorted(needed[:5]) and 900 < needed[4] <= 1000 and needed[5:] == [None, None]
    n, (power, most) = needed[0], (verdicts.POWER, verdicts.MOST)
    assert (power, most) == (0.8, 1000)  # as chapters say
    for most, named in ((n, n), (n - 1, None)):
        monkeypatch.setattr(verdicts, "MOST", most)
        assert judge(table({"a": runs(0.9, n=5)}))["seeds_needed"] == named
    monkeypatch.undo()
    # more runs than there are, always: these have not decided
    assert judge(table({"a": runs(1.2, n=5)}))["seeds_needed"] == 8
    strong = judge(table({"a": runs(1.5, n=4, seed=3)}))
    assert strong["verdict"] == "not decided" and strong["seeds_needed"] > 4


def test_a_counterexample_among_many_settings_needs_more():
    """Holm asks for 2.5 % over the number of settings, so the seeds must be as many as that takes."""
    settings = {"bad": runs(-0.6, n=5)} | {f"good {k}": runs(9.0, n=5, seed=k) for k in range(7)}
    found = judge(table(settings))
    assert found["verdict"] == "not decided" and found["counts"]["holds"] == 7
    power = simulated(-0.6, found["seeds_needed"], level=0.025 / 8)[1]
    assert 0.79 < power < 0.84 and simulated(-0.6, found["seeds_needed"] - 1, level=0.025 / 8)[1] < 0.81


def test_seeds_for_all_that_is_open_at_once():
    """A claim of every setting holds if each is seen to: the chance of that is 80 %, not that of one of them."""
    found = judge(table({f"s{k}": runs(0.5, n=5, seed=k) for k in range(4)}))
    n, one = found["seeds_needed"], judge(table({"a": runs(0.5, n=5)}))["seeds_needed"]
    assert n > one and 0.79 < simulated(0.5, n)[0] ** 4 < 0.84
    # what is decided already does not count
    assert judge(table({"a": runs(0.5, n=5), "b": runs(9.0, n=5)}))["seeds_needed"] == one


def test_a_huge_effect_in_few_runs_needs_few_more():
    """Two runs leave one degree of freedom: effects of twenty deviations are open, and 20 settings are many."""
    settings = {"a": runs(-20.0, n=2)} | {f"s{k}": runs(0.0, n=2, seed=k) for k in range(20)}
    assert single(judge(table(settings)))["a"] == "not decided"
    found = judge(table({"a": runs(-20.0, n=2)} | {f"s{k}": runs(1e4, n=2, seed=k) for k in range(20)}))
    assert found["verdict"] == "not decided" and found["decides"] == "a" and found["seeds_needed"] == 3


@pytest.mark.parametrize(("had", "n"), [(3, 3), (0, 5), (7, 10), (2, 7)])
def test_seeds_for_counts_have_their_power(had, n):
    """From the binomial distribution, term by term."""
    needed = judge(table({"a": np.arange(n) < had}), "count")["seeds_needed"]
    share = max(had, n - had) / n

    def power(m):
        most = [k for k in range(m + 1) if sum(math.comb(m, j) for j in range(k, m + 1)) / 2**m <= 0.025]
        return sum(math.comb(m, k) * share**k * (1 - share) ** (m - k) for k in most)

    assert power(needed) >= 0.8 and all(power(m) < 0.8 for m in range(n + 1, needed))


def test_counts_in_several_settings():
    """Five runs each, all in one and none in the other: six decide nothing, as two settings share the level."""
    few = {"a": np.ones(5), "b": np.zeros(5)}
    found = judge(table(few), "count")
    assert found["verdict"] == "not decided"
    n = found["seeds_needed"]
    assert verdict({"a": np.ones(n), "b": np.zeros(n)}, "count") == "mixed"
    assert verdict({"a": np.ones(n - 1), "b": np.zeros(n - 1)}, "count") == "not decided"
    assert found["no_seeds"] is None
    half = judge(table({"a": SOME}), "count")  # one half is no matter of seeds
    assert half["seeds_needed"] is None and "so near the border" in half["no_seeds"]


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_what_would_have_been_seen(n):
    """A margin that lies by `detectable` above the border is found in four of five cases."""
    for kind, delta, border in (("every", 0.0, 0.0), ("no worse", 2.0, -2.0), ("on average", 0.0, 0.0)):
        found = judge(table({"a": runs(border + 0.1, n=n, sd=3.0)}), kind, delta)
        assert found["verdict"] == "not decided"
        power = simulated(border + found["detectable"], n, kind, delta, sd=3.0)[0]
        assert power == pytest.approx(0.8, abs=0.015)
    found = judge(table({"a": runs(1.0, n=n, sd=3.0)}), "equal", 1.0)
    assert simulated(1 + found["detectable"], n, "equal", 1.0, sd=3.0)[1] == pytest.approx(0.8, abs=0.015)


def test_what_would_have_been_seen_of_reported_numbers():
    """Means with errors: Student's t with their degrees of freedom, or the normal distribution without any."""
    draw = np.random.default_rng(0)
    for freedom in (4.0, math.inf):
        rows = pd.DataFrame({"setting": ["a"], "margin": [0.5], "sem": [2.0], "freedom": [freedom]})
        found = judge(rows)
        chi = draw.chisquare(4, 50_000) / 4 if freedom == 4 else 1.0
        t = (found["detectable"] + 2 * draw.standard_normal(50_000)) / (2 * np.sqrt(chi))
        assert (t > stats.t.isf(0.025, freedom)).mean() == pytest.approx(0.8, abs=0.01)
        assert found["verdict"] == "not decided" and found["seeds_needed"] is None


def test_what_would_have_been_seen_of_counts():
    """In percent above one half, on a grid of whole percents, from the binomial distribution term by term."""

    def power(n, share):
        most = [k for k in range(n + 1) if sum(math.comb(n, j) for j in range(k, n + 1)) / 2**n <= 0.025]
        return sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in most)

    for n in (8, 10, 20):
        found = judge(table({"a": np.arange(n) % 2}), "count")["detectable"]
        assert power(n, 0.5 + found / 100) >= 0.8 > power(n, 0.49 + found / 100)
        assert found == pytest.approx(round(found))
    assert judge(table({"a": np.ones(5)}), "count")["detectable"] is None  # five runs never decide
    assert judge(table({"a": np.arange(6) % 2}), "count")["detectable"] == pytest.approx(47)  # 0.97⁶ = 0.83


@pytest.mark.parametrize("settings", [{"a": [1.0]}, {"a": [1.0] * 5}, {"a": [1.0], "b": [-3.0]}])
def test_runs_without_any_spread_decide_nothing_and_cannot_tell_what_would(settings):
    """One run, or equal ones: the deviation is not known, and is not zero."""
    for kind, delta in (("every", 0.0), ("no worse", 1.0), ("equal", 5.0), ("on average", 0.0)):
        found = judge(table(settings), kind, delta)
        assert found["verdict"] == "not decided" and found["interval"] == [-math.inf, math.inf]
        assert (found["detectable"], found["seeds_needed"]) == (None, None)
        assert {s["p"] for s in found["settings"]} == {1.0}
    assert verdict({"a": [0.0, 0.0, 0.0]}) == "not decided"
    assert verdict({"a": [0.1 + 0.2, 0.3, 0.3]}) == "not decided"  # equal up to rounding


def test_runs_in_which_chance_has_no_part_decide():
    """The same number from every seed, computed: the rule says that it is exact."""
    same, opposite = {"a": [2.0] * 3}, {"a": [-2.0] * 3}
    for kind in ("every", "on average"):
        assert verdict(same, kind, exact=True) == "holds" and verdict(opposite, kind, exact=True) == "contradicted"
    assert verdict(same, "equal", 1.0, exact=True) == verdict(opposite, "equal", 1.0, exact=True) == "contradicted"
    assert judge(table(same, exact=True))["interval"] == [2, 2]
    assert verdict({"a": [0.0] * 3}, exact=True) == "not decided"  # on the border
    assert verdict({"a": [0.5] * 3}, "equal", 1.0, exact=True) == "holds"
    assert verdict({"a": [1.0]}, exact=True) == "not decided"  # one run is no repetition
    assert verdict({"a": [1.0, -1.0, 0.0]}, exact=True) == "not decided"  # exact or not, these differ


# --- settings that cannot be tested, runs that diverged


def test_settings_that_cannot_be_tested_are_named_with_their_reason():
    lost = {"x": "no baseline", "y": "too dark", "z": "no baseline"}
    found = judge(table({"a": GOOD, "b": GOOD}, not_testable=lost))
    assert found["verdict"] == "holds" and found["counts"]["not testable"] == 3
    assert found["why"] == "x, z: no baseline; y: too dark"
    assert found["settings"][2:] == [{"setting": k, "verdict": "not testable", "why": w} for k, w in lost.items()]
    none = judge(table({}, not_testable=lost))
    assert (none["verdict"], none["why"], none["measured"]) == ("not testable", "x, z: no baseline; y: too dark", None)
    assert judge(table({}, not_testable={"x": "too dark", "y": "too dark"}))["why"] == "too dark"
    assert judge(table({"a": GOOD}, not_testable={"x": "too dark"}))["why"] == "x: too dark"
    assert judge(table({"a": GOOD}))["why"] is None
    # they share no level with those that can
    alone = judge(table({"a": runs(-0.9)}))
    assert alone["interval"] == judge(table({"a": runs(-0.9)}, not_testable=lost))["interval"]


def test_diverged_runs_are_not_the_whole_evidence():
    """Where all that decides are settings with diverged runs, nothing was tested; what is left is said."""
    found = judge(table({"a": BAD, "b": NONE}, diverged={"a": 3}))
    assert found["verdict"] == "not testable"
    assert (
        found["why"]
        == "all that decides are settings in which runs diverged (a: 3); without these settings: not decided"
    )
    assert found["counts"]["contradicted"] == 1 and found["interval"][1] < 0  # what was measured stays
    found = judge(table({"a": BAD}, diverged={"a": 1}))
    assert found["verdict"] == "not testable" and found["why"].endswith("without these settings: not measured")
    found = judge(table({"a": BAD}, diverged={"a": 1}, not_testable={"b": "too dark"}))
    assert found["verdict"] == "not testable" and found["why"].endswith("without these settings: not testable")
    found = judge(table({"a": GOOD, "b": BAD}, diverged={"a": 2, "b": 1}), "on average")
    assert found["verdict"] == "not decided"
    found = judge(table({"a": BAD, "b": BAD}, diverged={"a": 2, "b": 1}), "on average")
    assert found["verdict"] == "not testable" and "(a: 2, b: 1)" in found["why"]


def test_what_is_left_without_diverged_runs_is_said():
    for settings, kind, word, left in [
        ({"a": BAD, "b": GOOD}, "every", "mixed", "holds"),
        ({"a": BAD, "b": BAD}, "every", "contradicted", "contradicted"),
        ({"a": GOOD, "b": GOOD}, "every", "holds", "holds"),
        ({"a": GOOD, "b": BAD, "c": NONE}, "every", "mixed", "not decided"),
        ({"a": GOOD, "b": runs(-2.9, sd=0.5)}, "on average", "not decided", None),
        ({"a": 3 * GOOD, "b": runs(-2.9, sd=0.1)}, "on average", "holds", "contradicted"),
    ]:
        lost = ["a", "b"] if left == "not decided" else ["a"]
        found = judge(table(settings, diverged=dict.fromkeys(lost, 2)), kind)
        if left == "not decided":
            assert found["verdict"] == "not testable" and found["why"].endswith(f"without these settings: {left}")
            continue
        assert found["verdict"] == word
        assert found["why"] == (left and f"runs diverged (a: 2); without these settings: {left}")
    both = table({"a": BAD, "b": GOOD}, diverged={"a": 2}, not_testable={"c": "too dark"})
    assert judge(both)["why"] == "c: too dark; runs diverged (a: 2); without these settings: holds"
    # a count of 0, or a setting that is not there, is none
    assert judge(table({"a": BAD}, diverged={"a": 0, "gone": 3}))["verdict"] == "contradicted"


def test_what_is_left_of_exact_margins_is_exact():
    found = judge(table({"a": [1.0] * 3, "b": [1.0] * 3}, diverged={"a": 1}, exact=True))
    assert (found["verdict"], found["why"]) == ("holds", "runs diverged (a: 1); without these settings: holds")


def test_runs_without_a_number_are_left_out():
    found = judge(table({"a": [1.0, math.nan, 2.0, 1.5], "b": [math.nan] * 3}))
    assert single(found) == {"a": "holds"} and found["measured"] == 1.5
    assert judge(table({"a": [math.nan] * 3}))["verdict"] == "not measured"


# --- reported numbers


def test_differences_of_reported_means_are_welchs():
    draw = np.random.default_rng(3)
    for runs_ in (4, 10):
        (a, b), sd = draw.normal(5, 2, 2), draw.uniform(0.5, 3, 2)
        cells = {"a": (a, sd[0] / runs_**0.5), "b": (b, sd[1] / runs_**0.5)}
        rows = contrasts(cells, {"a over b": {"a": 1, "b": -1}}, runs_)
        found = stats.ttest_ind_from_stats(a, sd[0], runs_, b, sd[1], runs_, equal_var=False)
        row = rows.iloc[0]
        assert row["margin"] / row["sem"] == pytest.approx(found.statistic)
        assert 2 * stats.t.sf(abs(found.statistic), row["freedom"]) == pytest.approx(found.pvalue)
        shown = judge(rows)
        assert shown["settings"][0]["p"] == pytest.approx(found.pvalue / 2)
        sample = [m + s * runs(0, runs_, seed=k) for k, (m, s) in enumerate(zip((a, b), sd, strict=True))]
        truth = stats.ttest_ind(*sample, equal_var=False).confidence_interval(0.95)
        assert shown["interval"] == pytest.approx(list(truth)) and shown["measured"] == pytest.approx(a - b)


def test_a_multiple_of_a_mean_has_its_multiple_of_the_error():
    (row,) = contrasts({"a": (7.0, 0.3), "b": (4.0, 0.2)}, {"s": {"a": 1, "b": -1.5}}).to_dict("records")
    assert (row["margin"], row["sem"]) == pytest.approx((1.0, math.hypot(0.3, 0.3)))
    assert row["freedom"] == pytest.approx(18)  # equal parts of nine degrees each


def test_settings_that_share_a_baseline_have_the_variance_of_what_they_share():
    """Three settings against one baseline: errors of the mean are (1/9 Σ a² + b²)^½, as drawn numbers show."""
    names = ("x", "y", "z")
    cells = {"b": (10.0, 2.0), **{name: (11.0 + k, 1.0 + k) for k, name in enumerate(names)}}
    rows = contrasts(cells, {f"{name} over b": {name: 1, "b": -1} for name in names})
    found = judge(rows, "on average")
    error = math.sqrt((1 + 4 + 9) / 9 + 4)
    freedom = error**4 / ((1 + 16 + 81) / 81 / 9 + 16 / 9)
    half = stats.t.isf(0.025, freedom) * error
    assert found["measured"] == pytest.approx(2.0)
    assert found["interval"] == pytest.approx([2 - half, 2 + half])
    draw = np.random.default_rng(0).normal([c[0] for c in cells.values()], [c[1] for c in cells.values()], (50_000, 4))
    assert (draw[:, 1:] - draw[:, :1]).mean(1).std() == pytest.approx(error, rel=0.02)
    assert error > 1.3 * math.sqrt(sum(rows["sem"] ** 2)) / 3  # what independent settings would give
    assert math.isinf(judge(rows.assign(freedom=math.inf))["settings"][0]["interval"][0]) is False


def test_networks_with_errors_of_their_own_are_tested_by_the_normal_distribution():
    """Errors over many draws: no degrees of freedom to speak of."""
    rows = pd.DataFrame({"setting": ["a", "b"], "margin": [1.0, -3.0], "sem": [0.5, 1.0], "freedom": math.inf})
    found = judge(rows, "equal", 4.0)
    half = stats.norm.isf(0.05)
    assert found["verdict"] == "not decided" and found["decides"] == "b"
    assert [s["p"] for s in found["settings"]] == pytest.approx([2 * stats.norm.sf(6), stats.norm.sf(1)])
    assert judge(rows.iloc[:1], "equal", 4.0)["interval"] == pytest.approx([1 - half / 2, 1 + half / 2])


# --- in words and as JSON


def told(settings, kind="every", delta=0.0, unit="points", **options):
    return said(_plain({"unit": unit, **judge(table(settings, **options), kind, delta)}))


def test_each_verdict_in_a_line():
    assert told({}) == "not measured"
    assert told({}, not_testable={"a": "too dark", "b": "too dark"}) == "not testable: too dark"
    assert told({"a": runs(3.0)}) == "holds: 3.0 [2.3, 3.7]"
    assert told({"a": runs(-3.0)}, unit="nats") == "contradicted: -3 [-3.7, -2.3]"
    assert told({"a": runs(3.0), "b": runs(2.0)}) == "holds: all 2 hold; 2.0 [1.3, 2.7] (b)"
    assert told({"a": runs(3.0), "b": runs(-2.0)}) == "mixed: 1 of 2 hold, 1 contradicted; -2.0 [-2.8, -1.2] (b)"
    assert told({"a": runs(0.0, sd=9.0), "b": runs(-2.0)}) == (
        "contradicted: 0 of 2 hold, 1 contradicted; -2.0 [-2.8, -1.2] (b)"
    )
    assert told({"a": runs(3.0), "b": runs(2.0)}, "on average") == (
        "holds: all 2 hold; 2.5 [1.8, 3.2] (mean of settings)"
    )
    assert told({"a": YES, "b": NO}, "count", unit="percent") == (
        "mixed: 1 of 2 hold, 1 contradicted; 0.0 [0.0, 35.5] (b)"
    )
    assert told({"a": BAD}, diverged={"a": 2}) == (
        "not testable: all that decides are settings in which runs diverged (a: 2); "
        "without these settings: not measured"
    )
    assert told({"a": BAD, "b": runs(2.0)}, diverged={"a": 2}).endswith(
        "(a); runs diverged (a: 2); without these settings: holds"
    )


def test_what_is_not_decided_says_what_would_decide():
    found = judge(table({"a": runs(0.5, n=5), "b": runs(9.0, n=5)}))
    assert said({**found, "unit": "points"}) == (
        f"not decided: 1 of 2 hold, none contradicted; 0.5 [-1.1, 2.1] (a); a distance of {found['detectable']:.1f} "
        f"from the border would have been seen; {found['seeds_needed']} seeds would decide"
    )
    assert told({"a": runs(0.0)}).endswith("; a margin lies so near the border that it would take over 1,000 seeds")
    line = told({"a": runs(0.5)}, not_testable={"b": "too dark"})
    assert line.startswith("not decided: 0 of 1 hold, none contradicted; 0.5 [") and line.endswith("; b: too dark")


def test_nothing_is_said_of_seeds_where_nothing_is_known():
    """From one run, equal runs, or another's printed means: no seeds are too few or too many."""
    reported = judge(contrasts({"a": (2.0, 3.0), "b": (1.0, 4.0)}, {"s": {"a": 1, "b": -1}}))
    spread, printed = "tell nothing of the spread", "no seed adds to them"
    for line, why in (
        (told({"a": [1.0]}), spread),
        (told({"a": [2.0] * 4}), spread),
        (said(_plain({"unit": "points", **reported})), printed),
    ):
        assert line.startswith("not decided: ") and line.endswith(why)
    drawn = pd.DataFrame({"setting": ["a"], "margin": [0.1], "sem": [1.0], "freedom": [math.inf]})
    assert judge(drawn)["no_seeds"] == "more draws would decide"
    assert "would have been seen" in said(_plain({"unit": "points", **reported}))
    assert told({"a": [1.0]}).startswith("not decided: 1.0 [–, –]")


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_found_can_be_said_as_json(kind):
    for settings in ({}, {"a": [1.0]}, {"a": SOME, "b": YES}, {"a": GOOD, "b": BAD}, {"a": [0.0, 0.0]}):
        if kind == "count" and "b" in settings and settings["b"] is BAD:
            continue
        rows = table(settings, not_testable={"lost": "too dark"}, diverged={"a": 1})
        found = _plain(judge(rows, kind, 1.0 if kind in DELTA else 0.0))
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert found["verdict"] in VERDICTS and isinstance(said({"unit": "points", **found}), str)
    assert _plain(judge(table({"a": [1.0]})))["interval"] == [None, None]


def test_a_misspelled_cell_is_named():
    with pytest.raises(InputError, match="no cell c: expected some of a, b"):
        contrasts({"a": (1.0, 0.1), "b": (2.0, 0.1)}, {"s": {"a": 1, "c": -1}})
