"""The rules of "Variational Positive-incentive Noise" on made-up tables that give each verdict, and its printed tables.

A table is made so that each setting has a margin that is known, among cells with numbers that have no say.
"""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.papers.vpn import reported
from tutorial_lib.papers.vpn.claims import CLAIMS, FINDINGS, SAME
from tutorial_lib.papers.vpn.figures import EXPERIMENTS
from tutorial_lib.papers.vpn.information import LOGISTIC, POSTERIOR, TRAINED
from tutorial_lib.papers.vpn.sweeps import (
    AS_PAPER,
    BLIND,
    DNN3,
    EVEN,
    FIXED,
    FROZEN,
    JOINT,
    LONGER,
    NONE,
    RANDOM,
    SHUFFLED,
    WELL,
)
from tutorial_lib.verdicts import judge

BY_ID = {claim.id: claim for claim in CLAIMS}
BASES, GENERATORS, EQ_20 = ("SR", "DNN3", "ResNet10"), (DNN3, "ResNet10", "DNN3, eq. (20)"), "DNN3, eq. (20)"
WITH, WITHOUT = "accuracy", "accuracy, no noise"
START, END = "strength, at the start", "strength"
SEEDS = range(6)


def frame(cells, columns):
    """A table of cells {(…, seed): value}, in no order that means something."""
    rows = [dict(zip((*columns, "seed", "value"), (*key, value), strict=True)) for key, value in cells.items()]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).reset_index(drop=True)


# --- tables of trainings: a cell is (base, optimizer, generator, kind, measure, seed)


def trainings(bases=BASES, generators=GENERATORS):
    """Every cell that a sweep has, with numbers of no meaning."""
    draw, cells = np.random.default_rng(0), {}
    for base, optimizer, seed in itertools.product(bases, (AS_PAPER, WELL), SEEDS):
        kinds = [("none", kind, (WITH, WITHOUT, "loss")) for kind in (NONE, LONGER, RANDOM)]
        for generator in generators if optimizer == AS_PAPER else [DNN3]:
            kinds.append((generator, JOINT, (WITH, WITHOUT, "loss", END)))
            more = ("accuracy, even", "accuracy, shuffled", START)
            kinds.append((generator, FIXED, (WITH, WITHOUT, "loss", END, *more)))
        if optimizer == AS_PAPER:
            kinds += [(DNN3, kind, (WITH, WITHOUT, "loss")) for kind in (FROZEN, EVEN, SHUFFLED)]
            kinds.append((DNN3, BLIND, (WITH, WITHOUT, "loss", END)))
        for generator, kind, measures in kinds:
            value = draw.uniform(20, 80)
            for measure in measures:
                quiet = kind not in (JOINT, FIXED, BLIND) and measure == WITHOUT  # tested without noise in both
                value = value if quiet else draw.uniform(20, 80)
                cells[base, optimizer, generator, kind, measure, seed] = value
    return cells


TRAINING = ("base", "optimizer", "generator", "kind", "measure")


def training(cells):
    return frame(cells, TRAINING)


def a_base_with_a_generator(kind, optimizer=AS_PAPER, over=NONE):
    """Margins are asked of every base with every generator: accuracy with noise over that of another training."""
    generators = GENERATORS if optimizer == AS_PAPER else (DNN3,)

    def made(margins):
        cells = trainings()
        for (base, generator), seed in itertools.product(itertools.product(BASES, generators), SEEDS):
            at = cells[base, optimizer, "none", over, WITHOUT, seed]
            name = f"{base}, generator {generator}"
            cells[base, optimizer, generator, kind, WITH, seed] = at + margins[name][seed]
        return training(cells)

    return [f"{b}, generator {g}" for b in BASES for g in generators], made


def one_less_another(one, other, generators=GENERATORS):
    """Margins are differences of two (kind, measure) of the same base and generator."""

    def made(margins):
        cells = trainings()
        for base, generator, seed in itertools.product(BASES, generators, SEEDS):
            at = cells[base, AS_PAPER, generator, *other, seed]
            cells[base, AS_PAPER, generator, *one, seed] = at + margins[f"{base}, generator {generator}"][seed]
        return training(cells)

    return [f"{b}, generator {g}" for b in BASES for g in generators], made


def spreads(one, other):
    """The margin is by how much the gains of `other` spread more over bases than those of `one`: (kind, generator)."""

    def made(margins):
        cells = trainings()
        for seed in SEEDS:
            (margin,) = (margins[name][seed] for name in margins)
            for (kind, generator), spread in ((one, 9.0), (other, 9.0 + margin)):
                for base, way in zip(BASES, (-1.0, 0.0, 1.0), strict=True):  # of deviation 1
                    at = cells[base, AS_PAPER, "none", NONE, WITHOUT, seed]
                    for measure in (WITH, WITHOUT) if kind == RANDOM else (WITH,):
                        cells[base, AS_PAPER, generator, kind, measure, seed] = at + 2 + spread * way
        return training(cells)

    return ["over bases"], made


def shrunk():
    def made(margins):
        cells = trainings()
        for generator, seed in itertools.product(GENERATORS, SEEDS):
            left = 1 - margins[f"SR, generator {generator}"][seed] / 100
            start = cells["SR", AS_PAPER, generator, FIXED, START, seed]
            cells["SR", AS_PAPER, generator, FIXED, END, seed] = start * math.sqrt(left)
        return training(cells)

    return [f"SR, generator {g}" for g in GENERATORS], made


def tiny():
    def made(margins):
        cells = trainings(("ResNet18", "ResNet34", "ResNet50"), (DNN3, "ResNet18"))
        for seed in SEEDS:
            at = cells["ResNet34", AS_PAPER, "none", NONE, WITHOUT, seed]
            gain = 4 + margins["ResNet34, generator ResNet18"][seed]
            cells["ResNet34", AS_PAPER, "ResNet18", JOINT, WITH, seed] = at + gain
        return training(cells)

    return ["ResNet34, generator ResNet18"], made


# --- curves: a cell is (base, m, measure, x, seed)
EPOCHS = 40


def curves(how, settings):
    """Test accuracies by epoch, for bases A and B and m = 0, 1, 4, 8; `how` puts the margin in."""

    def made(margins):
        draw, cells = np.random.default_rng(0), {}
        for base, m, seed in itertools.product("AB", (0, 1, 4, 8), SEEDS):
            for measure in ("accuracy", "training accuracy", "loss"):
                values = draw.uniform(0, 100, EPOCHS)
                for x in range(EPOCHS):
                    cells[base, m, measure, x + 1, seed] = values[x]
        for base, seed in itertools.product("AB", SEEDS):
            margin = next(margins[name][seed] for name in margins if name.startswith(base))
            both = [np.array([cells[base, m, "accuracy", x + 1, seed] for x in range(EPOCHS)]) for m in (1, 8)]
            for m, values in zip((1, 8), how(*both, margin), strict=True):
                for x in range(EPOCHS):
                    cells[base, m, "accuracy", x + 1, seed] = values[x]
        return frame(cells, ("base", "m", "measure", "x"))

    return settings, made


def shifted(part):
    """The largest m is better by the margin over a part of the epochs, and different elsewhere."""

    def how(one, most, margin):
        most[part] = one[part][::-1] + margin  # in another order: only the mean is asked for
        return one, most

    return how


def zigzag(one, most, margin):
    """In the second half m = 1 goes up and down by 30 points, the largest m by less, by the margin."""
    signs = np.resize([0.5, -0.5], EPOCHS // 2)
    one[EPOCHS // 2 :], most[EPOCHS // 2 :] = 50 + 30 * signs, 50 + (30 - margin) * signs
    return one, most


def calm(one, most, margin):
    """In the second half m = 1 climbs by a point an epoch, less the margin."""
    one[EPOCHS // 2 :] = 20 + (1 - margin) * np.arange(EPOCHS // 2)
    return one, most


# --- labels, maps, the bound


def at_gamma(name, put):
    """Tables over γ with numbers of no meaning but at γ = 0.001: there `put(margin, at)` says the measures."""

    def made(margins):
        draw, cells = np.random.default_rng(0), {}
        measures = ["change", "agreement", "accuracy", "largest class", "largest class, no noise", "follows"]
        for gamma, measure, seed in itertools.product((0.0, 0.001, 0.01, 1.0), measures, SEEDS):
            cells[gamma, measure, seed] = draw.uniform(10, 90)
        for seed in SEEDS:
            at = cells[0.001, "largest class, no noise", seed]
            cells |= {(0.001, m, seed): v for m, v in put(margins[name][seed], at).items()}
        return frame(cells, ("gamma", "measure"))

    return [name], made


def maps(put):
    """Tables of maps with numbers of no meaning, and pictures; `put(margin)` says the measures by kind."""

    def made(margins):
        draw, cells = np.random.default_rng(0), {}
        measures = ["background", "background, area", "background, place", "edges", "gradient", "derivative"]
        for kind, measure, seed in itertools.product((JOINT, FIXED), measures, SEEDS):
            cells[kind, measure, seed] = draw.uniform(10, 90)
        for kind, seed in itertools.product((JOINT, FIXED), SEEDS):
            cells |= {(kind, m, seed): v for m, v in put(margins[kind][seed]).items()}
        pictures = [{"kind": JOINT, "measure": "image", "seed": 0, "value": 1.0, "x": 0, "text": "AAAA"}]
        return pd.concat([frame(cells, ("kind", "measure")), pd.DataFrame(pictures)], ignore_index=True)

    return [JOINT, FIXED], made


def bounds(put, settings):
    def made(margins):
        draw, cells = np.random.default_rng(0), {}
        for ratio, q, seed in itertools.product((1.0, 4.0, 64.0), (POSTERIOR, LOGISTIC, TRAINED), SEEDS):
            found = {m: draw.uniform(0.1, 0.6) for m in ("H(T)", "H(T|E)", "I(T, E)", "estimate", "error", "gap")}
            found["bound"] = draw.uniform(0.1, 0.6)
            found |= put(margins, ratio, q, seed, found)
            cells |= {(ratio, q, m, seed): v for m, v in found.items()}
        return frame(cells, ("ratio", "q", "measure"))

    return settings, made


def _below(margins, ratio, q, seed, found):
    return {"bound": found["I(T, E)"] - found["gap"] - margins[f"{q}, ratio {ratio:g}"][seed]}


def _reached(margins, ratio, q, seed, found):
    return {"bound": margins["ratio 64"][seed]} if (ratio, q) == (64, TRAINED) else {}


GAMMA = "at the paper's γ"
MOST = ["A, m = 8", "B, m = 8"]
TABLES = {
    "joint-promotes": a_base_with_a_generator(JOINT),
    "fixed-promotes": a_base_with_a_generator(FIXED),
    "well-trained-promotes": a_base_with_a_generator(JOINT, WELL),
    "more-than-longer": a_base_with_a_generator(JOINT, over=LONGER),
    "random-less-stable": spreads((JOINT, DNN3), (RANDOM, "none")),
    "dnn3-stabler": spreads((JOINT, DNN3), (JOINT, "ResNet10")),
    "fixed-stabler": spreads((FIXED, DNN3), (JOINT, DNN3)),
    "no-noise-at-test": one_less_another((JOINT, WITH), (JOINT, WITHOUT)),
    "over-4": tiny(),
    "m-same-end": curves(shifted(slice(-4, None)), MOST),
    "m-faster": curves(shifted(slice(0, 10)), MOST),
    "m-smoother": curves(zigzag, MOST),
    "tiny-stable": curves(calm, ["A", "B"]),
    "blurs-background": maps(lambda d: {"background": 40 + d, "background, area": 40.0}),
    "looks-at-the-image": maps(lambda d: {"background": 40 + d, "background, place": 40.0}),
    "on-the-ink": maps(lambda d: {"background": 40 - d, "background, area": 40.0}),
    "follows-the-derivative": maps(lambda d: {"derivative": -d}),
    "sr-wants-none": shrunk(),
    "uses-its-label": at_gamma(GAMMA, lambda d, at: {"change": 5 + d}),
    "agrees-with-argmax": at_gamma(GAMMA, lambda d, at: {"agreement": 100 + d}),
    "favours-no-class": at_gamma(GAMMA, lambda d, at: {"largest class": at - d}),
    "blind-as-good": one_less_another((BLIND, WITHOUT), (JOINT, WITHOUT), (DNN3,)),
    "learned-over-even": one_less_another((FROZEN, WITHOUT), (EVEN, WITHOUT), (DNN3,)),
    "learned-over-shuffled": one_less_another((FROZEN, WITHOUT), (SHUFFLED, WITHOUT), (DNN3,)),
    "fixed-over-even": one_less_another((FIXED, WITH), (FIXED, "accuracy, even")),
    "bound-and-gap": bounds(
        _below, [f"{q}, ratio {r}" for q in (POSTERIOR, LOGISTIC, TRAINED) for r in (1, 4, 64)]
    ),
    "information-reached": bounds(_reached, ["ratio 64"]),
}  # fmt: skip
"""For each claim that is measured: its settings' names, and what makes a table of their margins by seed."""
each = pytest.mark.parametrize("id", TABLES)


def marginal(id, value, noise, names=None):
    """Margins by setting: `value` (of the k-th setting, or one for all), with noise that differs by seed."""
    draw = np.random.default_rng(1)
    names = TABLES[id][0]
    at = value if callable(value) else lambda k: value
    return {name: at(k) + noise * draw.normal(size=len(SEEDS)) for k, name in enumerate(names)}


def judged(id, table):
    claim = BY_ID[id]
    return judge(claim.rule(table), claim.kind, claim.delta)


def view(id, table):
    """What the claim's experiment shows of a table."""
    (experiment,) = (e for e in EXPERIMENTS if e.name == BY_ID[id].experiment)
    return experiment.view(table)


def test_every_claim_has_its_table_here_and_its_figure_there():
    """A claim that no table has been made for has a rule that nobody has tried."""
    assert set(TABLES) == {claim.id for claim in CLAIMS if claim.experiment} and len(BY_ID) == len(CLAIMS)
    names = {e.name for e in EXPERIMENTS}
    assert len(names) == len(EXPERIMENTS) and {c.experiment for c in CLAIMS if c.experiment} <= names
    assert all(c.paper == "vpn" and c.reported_error == "none" and c.claim and c.reported_text for c in CLAIMS)
    assert {f.id for f in FINDINGS} <= set(BY_ID)


@each
def test_a_rule_gives_back_the_margins_that_the_table_was_made_of(id):
    """Another sign, kind, measure, optimiser, γ or part of the epochs, or a setting more or less."""
    margins = marginal(id, lambda k: 0.3 * k - 1, 0.5)
    table = TABLES[id][1](margins)
    for shown in (table, view(id, table)):  # the view must hold all that the rule looks at
        found = BY_ID[id].rule(shown)
        assert set(found["setting"]) == set(margins) and len(found) == len(margins) * len(SEEDS)
        for row in found.itertuples():
            assert row.margin == pytest.approx(margins[row.setting][row.seed], abs=1e-6)


def border(id):
    """From which margin on the claim holds, and how far off it is seen."""
    claim = BY_ID[id]
    return {"every": 0.0, "no worse": -claim.delta, "equal": 0.0, "theorem": 0.0}[claim.kind], claim.delta or 1.0


@each
def test_every_verdict_that_a_rule_can_give(id):
    """A claim that nothing can contradict, or that holds on whatever is found, says nothing."""
    claim, (names, made) = BY_ID[id], TABLES[id]
    zero, scale = border(id)
    around = claim.kind in ("equal", "theorem")
    fine, wrong = (0.0 if around else zero + 0.6 * scale), (3 * scale if around else zero - 2 * scale)

    def verdict(value, noise):
        return judged(id, made(marginal(id, value, noise * scale)))

    good = verdict(fine, 0.05)
    assert good["verdict"] == "holds" and good["counts"]["holds"] == len(names)
    assert good["measured"] == pytest.approx(fine, abs=0.2 * scale)
    bad = verdict(wrong, 0.05)
    assert bad["verdict"] == "contradicted" and bad["counts"]["contradicted"] == len(names)
    if around:
        assert verdict(-wrong, 0.05)["verdict"] == "contradicted"
    assert verdict(scale if around else zero, 0.3)["verdict"] == "not decided"  # just at the border
    if len(names) > 1:
        both = verdict(lambda k: wrong if k == 1 else fine, 0.05)
        assert both["verdict"] == ("contradicted" if claim.kind == "theorem" else "mixed")
        assert both["decides"] == names[1] and both["counts"]["contradicted"] == 1


@each
def test_without_its_settings_a_claim_is_not_measured(id):
    """A rule that raises where rows or columns are missing silences its claim with a problem, not with a word."""
    claim, (_, made) = BY_ID[id], TABLES[id]
    table = made(marginal(id, 0.5, 0.1))
    table = table[table["seed"] < 2]
    whole = set(claim.rule(table)["setting"])
    lost = 0
    for column in [c for c in table if c not in ("seed", "value", "x", "text")]:
        for value in table[column].unique():
            parts = [table[table[column] != value], table[table[column] == value]]
            for part in parts if column in ("kind", "measure") else parts[:1]:
                part = part.dropna(axis=1, how="all").reset_index(drop=True)
                found = claim.rule(part)
                assert {"setting", "seed", "margin"} <= set(found)
                there = found.dropna(subset="margin")
                if there.empty:
                    assert judge(found, claim.kind, claim.delta)["verdict"] == "not measured"
                    lost += 1
                if "ratio" not in table and "m" not in table:  # there the widest, or the largest m, is another one
                    assert set(there["setting"]) <= whole
    assert lost > 0
    one = claim.rule(table[table["seed"] == 0].dropna(axis=1, how="all"))
    assert judge(one, claim.kind, claim.delta)["verdict"] in ("not decided", "not measured")


def test_single_settings_are_left_out_where_their_cells_are_missing():
    """A base without its baseline, or a generator without its accuracy, may not take the others along."""
    for id, drop in (
        ("joint-promotes", {"base": "DNN3", "kind": NONE}),
        ("no-noise-at-test", {"base": "DNN3", "kind": JOINT, "measure": WITHOUT}),
        ("fixed-over-even", {"base": "DNN3", "kind": FIXED, "measure": "accuracy, even"}),
        ("learned-over-even", {"base": "DNN3", "kind": EVEN}),
    ):
        table = TABLES[id][1](marginal(id, 1.0, 0.1))
        gone = np.logical_and.reduce([table[column] == value for column, value in drop.items()])
        found = BY_ID[id].rule(table[~gone]).dropna(subset="margin")
        assert set(found["setting"]) == {name for name in TABLES[id][0] if not name.startswith("DNN3, ")}


def test_one_base_has_no_spread():
    """The deviation over a single base is no number: nothing is said of stability."""
    for id in ("random-less-stable", "dnn3-stabler", "fixed-stabler"):
        table = TABLES[id][1](marginal(id, 1.0, 0.1))
        assert judged(id, table[table["base"] == "SR"])["verdict"] == "not measured"


def test_two_bases_have_a_spread():
    """As on MNIST and CIFAR-10 at a desk: gains that lie `d` apart deviate by d/√2."""
    for id in ("random-less-stable", "fixed-stabler"):
        table = TABLES[id][1](marginal(id, 1.0, 0.1))
        found = BY_ID[id].rule(table[table["base"] != "ResNet10"]).set_index("seed")["margin"]
        all_three = BY_ID[id].rule(table).set_index("seed")["margin"]  # of gains -d, 0 and d: d
        assert found[all_three.index].to_numpy() == pytest.approx(all_three / 2**0.5)


def test_two_draws_are_more_than_one():
    """The largest m of a table may be 2."""
    table = TABLES["m-faster"][1](marginal("m-faster", 2.0, 0.1))
    table = table[table["m"].isin([0, 1, 8])].assign(m=lambda t: t["m"].replace(8, 2))
    assert set(BY_ID["m-faster"].rule(table)["setting"]) == {"A, m = 2", "B, m = 2"}
    assert judged("m-faster", table)["verdict"] == "holds"


def test_the_deep_generator_is_whichever_resnet_there_is():
    """At full size it is ResNet18, at a desk ResNet10."""
    table = TABLES["dnn3-stabler"][1](marginal("dnn3-stabler", 2.0, 0.1))
    table["generator"] = table["generator"].replace("ResNet10", "ResNet18")
    assert judged("dnn3-stabler", table)["verdict"] == "holds"


def test_data_sets_that_a_sentence_is_about():
    """Fig. 2's stable curves and Table 3 are Tiny ImageNet's; ink is known on grey images alone."""
    limited = {claim.id: claim.datasets for claim in CLAIMS if claim.datasets}
    assert limited == {
        "over-4": ("tiny-imagenet",), "tiny-stable": ("tiny-imagenet",),
        "on-the-ink": ("digits", "mnist", "fashion-mnist"),
    }  # fmt: skip
    assert SAME == 1 and {c.delta for c in CLAIMS if c.kind == "equal"} == {SAME}


def test_a_theorem_holds_with_numbers_that_chance_has_no_part_in():
    """All seeds give one and the same margin there: exact, and not "runs that do not differ"."""
    table = TABLES["bound-and-gap"][1](marginal("bound-and-gap", 1e-7, 0.0))
    assert judged("bound-and-gap", table)["verdict"] == "holds"
    table = TABLES["bound-and-gap"][1](marginal("bound-and-gap", 1e-3, 0.0))
    assert judged("bound-and-gap", table)["verdict"] == "contradicted"


# --- the paper's own tables, typed from its text once more
TABLE_1 = """
Baseline            | 74.97 | 81.57 | 90.23 | 90.86 | 39.08 | 46.92 | 79.51 | 80.88
Random              | 71.82 | 79.45 | 91.21 | 91.61 | 39.06 | 48.15 | 76.39 | 77.06
DNN3                | 76.34 | 81.79 | 91.69 | 91.97 | 39.36 | 48.76 | 80.27 | 83.60
DNN3 (No Noise)     | 76.34 | 81.83 | 91.74 | 92.06 | 39.47 | 49.07 | 80.87 | 83.78
ResNet18            | 67.63 | 82.19 | 74.02 | 86.92 | 39.34 | 50.15 | 79.93 | 74.29
ResNet18 (No Noise) | 76.48 | 82.19 | 76.93 | 87.03 | 39.39 | 50.11 | 79.91 | 70.95
"""
TABLE_2 = """
Baseline     | 74.97 | 81.57 | 90.23 | 90.86 | 39.08 | 46.92 | 79.51 | 80.88
DNN3         | 75.08 | 81.86 | 90.44 | 90.92 | 39.14 | 47.30 | 80.19 | 82.11
ResNet18     | 75.06 | 81.74 | 90.42 | 90.81 | 39.15 | 47.35 | 80.49 | 82.56
"""
TABLE_3 = """
Baseline                | 28.20 | 29.73 | 34.03
Random                  | 32.18 | 32.30 | 35.21
DNN3                    | 33.81 | 33.65 | 35.92
DNN3 (No Noise)         | 34.13 | 33.88 | 36.62
ResNet18                | 33.05 | 34.20 | 34.64
ResNet18 (No Noise)     | 32.42 | 34.20 | 34.64
"""
SMALL = [(d, b) for d in ("fashion-mnist", "cifar-10") for b in ("SR", "DNN3", "ResNet18", "ResNet34")]
TINY = [("tiny-imagenet", b) for b in ("ResNet18", "ResNet34", "ResNet50")]


def typed():
    """{(item, data set, base, row's name): accuracy}."""
    cells = {}
    for item, text, columns in (("table-1", TABLE_1, SMALL), ("table-2", TABLE_2, SMALL), ("table-3", TABLE_3, TINY)):
        for line in text.strip().splitlines():
            name, *values = (part.strip() for part in line.split("|"))
            cells |= {(item, *c, name): float(v) for c, v in zip(columns, values, strict=True)}
    return cells


CELLS = typed()


def test_every_printed_number_is_the_papers():
    """A digit mistyped, a row or column exchanged, or a cell twice: the paper would be judged for it."""
    names = {("none", "no"): "Baseline", ("random", "no"): "Random"}
    table = reported.tables()
    found = {}
    for row in table.itertuples():
        after = "" if row.noise_at_test == "yes" else " (No Noise)"
        name = names.get((row.generator, row.noise_at_test), row.generator + after)
        found[row.item, row.dataset, row.base, name] = row.value
    assert len(table) == len(found) == 48 + 24 + 18 and found == CELLS


def gain(item, dataset, base, name):
    return CELLS[item, dataset, base, name] - CELLS[item, dataset, base, "Baseline"]


def error(*percents, count=10_000):
    """The error of a sum or difference of accuracies that are counted on `count` images each."""
    return math.sqrt(sum(p * (100 - p) / count for p in percents))


def test_the_printed_gains_and_their_counting_errors():
    """38 cells with a generator, less their baselines; "Random" is no generator, and "No Noise" no use of one."""
    claim = BY_ID["printed-promotes"]
    found = claim.rule().set_index("setting")
    wanted = {key: gain(*key) for key in CELLS if key[3] in ("DNN3", "ResNet18")}
    assert len(found) == len(wanted) == 16 + 16 + 6
    for (item, dataset, base, name), value in wanted.items():
        row = found.loc[f"{item}: {base} on {dataset}, generator {name}"]
        assert row["margin"] == pytest.approx(value)
        both = (CELLS[item, dataset, base, n] for n in (name, "Baseline"))
        assert row["sem"] == pytest.approx(error(*both))
    worse = sorted(value for value in wanted.values() if value < 0)
    assert len(worse) == 5 and worse[0] == pytest.approx(74.02 - 90.23)
    result = judge(found.reset_index(), claim.kind, claim.delta)
    assert result["verdict"] == "mixed" and result["measured"] == pytest.approx(74.02 - 90.23)
    bad = {s["setting"] for s in result["settings"] if s["verdict"] == "contradicted"}
    assert {f"table-1: {b} on fashion-mnist, generator ResNet18" for b in ("SR", "ResNet18", "ResNet34")} <= bad
    assert "table-1: ResNet34 on cifar-10, generator ResNet18" in bad and len(bad) == 4
    assert not any(s["setting"].startswith("table-2") and s["verdict"] == "contradicted" for s in result["settings"])


def spread(item, name):
    return np.std([gain(item, d, b, name) for d, b in SMALL], ddof=1)


@pytest.mark.parametrize(
    ("id", "one", "other"),
    [
        ("printed-random", ("table-1", "DNN3"), ("table-1", "Random")),
        ("printed-dnn3", ("table-1", "DNN3"), ("table-1", "ResNet18")),
        ("printed-fixed", ("table-2", "DNN3"), ("table-1", "DNN3")),
    ],
)
def test_printed_spreads(id, one, other):
    """Deviations over the eight columns of the gains, not of the accuracies; smaller is more stable."""
    claim = BY_ID[id]
    found = claim.rule()
    assert found["margin"].item() == pytest.approx(spread(*other) - spread(*one))
    assert found["sem"].item() == 0
    expected = "holds" if spread(*other) > spread(*one) else "contradicted"
    assert judge(found, claim.kind, claim.delta)["verdict"] == expected


def test_over_four_points_in_table_3():
    """34.20 - 29.73 = 4.47 of ResNet34 with ResNet18: half a point over four, and as large an error."""
    claim = BY_ID["printed-4"]
    found = claim.rule()
    assert found["margin"].item() == pytest.approx(34.20 - 29.73 - 4) and BY_ID["over-4"].reported == 0.47
    assert found["sem"].item() == pytest.approx(error(34.20, 29.73))
    result = judge(found, claim.kind, claim.delta)
    assert result["verdict"] == "not decided" and result["interval"][0] < 0 < result["interval"][1]


def test_printed_noise_at_test():
    """22 pairs with and without noise, of Tables 1 and 3; the errors of counting let one of them decide."""
    claim = BY_ID["printed-no-noise"]
    found = claim.rule().set_index("setting")
    pairs = {k: CELLS[k] - CELLS[*k[:3], f"{k[3]} (No Noise)"] for k in CELLS
             if k[3] in ("DNN3", "ResNet18") and k[0] != "table-2"}  # fmt: skip
    assert len(found) == len(pairs) == 16 + 6
    for (item, dataset, base, name), value in pairs.items():
        row = found.loc[f"{item}: {base} on {dataset}, generator {name}"]
        assert row["margin"] == pytest.approx(value)
        both = (CELLS[item, dataset, base, n] for n in (name, f"{name} (No Noise)"))
        assert row["sem"] == pytest.approx(error(*both))
    result = judge(found.reset_index(), claim.kind, claim.delta)
    assert result["decides"] == "table-1: SR on fashion-mnist, generator ResNet18"
    assert result["measured"] == pytest.approx(67.63 - 76.48) and result["verdict"] == "contradicted"
    assert (found["margin"].abs() > SAME).sum() == 3 and result["counts"]["contradicted"] == 3


def test_counting_errors_are_binomial():
    """10,000 test images in each set; certain at 0 and 100 %."""
    for dataset in ("fashion-mnist", "cifar-10", "tiny-imagenet"):
        assert reported.counting_error(90.0, dataset) == pytest.approx(0.3)
        assert reported.counting_error(100.0, dataset) == reported.counting_error(0.0, dataset) == 0
