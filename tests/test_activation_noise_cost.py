"""What racing saves and changes: a cell's rows counted by hand, on energies from a table; and its tables.

The reference is the race of one image by plain loops, `by_hand`, of the tests of racing.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from test_activation_noise_racing import by_hand
from torch import nn

from tutorial_lib import ActivationNoise, PerClass, inject, injected
from tutorial_lib.data import Data
from tutorial_lib.draw import decoded
from tutorial_lib.papers.activation_noise import cost
from tutorial_lib.papers.activation_noise.cost import (
    AGAIN,
    CERTAIN,
    COMMON,
    PLAIN,
    RACE,
    ZONE,
    cost_cell,
    margin,
    race_cell,
)
from tutorial_lib.papers.activation_noise.figures import (
    at_common_n,
    at_largest_n,
    draw_cost,
    draw_margins,
    draw_race,
    draw_training,
)
from tutorial_lib.papers.activation_noise.racing import looks, practical, race

CLASSES, IMAGES = 3, 16
CONFIG = {**cost.COST.config("smoke"), "n": 60, "short": 30, "images": 8, "raced": 14, "zone": 0.2}
CALLS = ("first", "second", "short", RACE, AGAIN, ZONE, COMMON, CERTAIN)
"""Who asks for energies, in this order, for each pair of α."""


def test_margins_are_gap_over_spread_of_the_best_wrong_class():
    """Of paired differences; the rival is that of the means, and below zero is what eq. (9) misses."""
    g = np.random.default_rng(0)
    e, y = g.normal(size=(50, 9, 4)) + g.normal(size=(9, 4)) + 5, g.integers(0, 4, 9)
    e[:, 0, :] += g.normal(size=(50, 1)) * 30  # shared by the classes: it cancels
    found = margin(torch.from_numpy(e), torch.from_numpy(y)).numpy()
    for i in range(9):
        rival = min((k for k in range(4) if k != y[i]), key=lambda k: e[:, i, k].mean())
        gap = e[:, i, rival] - e[:, i, y[i]]
        assert found[i] == pytest.approx(gap.mean() / gap.std(ddof=1))
    assert ((found < 0) == (e.mean(0).argmin(1) != y)).all() and 0 < (found < 0).sum() < 9


def toy():
    """Networks of which nothing is asked but that they know their α."""
    networks = [nn.Sequential(nn.ReLU()) for _ in range(CLASSES)]
    for network in networks:
        inject(network, ActivationNoise("gaussian", 7.0))
    return PerClass(networks)


def made_up(seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(IMAGES, 1, 8, 8, generator=g)
    y = torch.cat([torch.tensor([2, 1, 2]), torch.randint(0, CLASSES, (IMAGES - 3,), generator=g)])
    return Data(x[:0], y[:0], x, y, "made up", "", "")


def table(number, images, draws=400):
    """Energies [draws, images, classes]: whatever the number, the same means, with gaps from a tie to many spreads."""
    g = np.random.default_rng(100)
    gaps = g.permuted(np.tile([[0.0, 0.5, 12.0], [0.0, 0.0, 1.0], [0.0, 2.0, 9.0], [0.0, 14.0, 20.0]], (4, 1)), axis=1)
    return 4 + gaps[:images] + np.clip(np.random.default_rng(number).normal(size=(draws, images, CLASSES)), -3, 3)


@pytest.fixture
def cell(monkeypatch):
    """A cell on energies from tables, another one for each who asks; time is the number of energies drawn."""

    def go(alpha=0.9, seed=0, cell=cost_cell, energies=table, data=None, **changed):
        seen = SimpleNamespace(
            trained=[], tables=[], alphas=[], common=[], seeds=[], data=data or made_up(seed), drawn=0
        )

        def trained(config, noise, seed):
            seen.trained.append((noise.distribution, noise.alpha, seed))
            return seen.data, toy()

        def energies_of(model, x, batch_size=256, common=False):
            (here,) = {float(layer.alpha_inference) for layer in injected(model).values()}
            seen.seeds += [torch.initial_seed()] if here not in seen.alphas else []
            seen.alphas.append(here)
            seen.common.append(common)
            e = energies(len(seen.tables) + 1000 * seed, len(x))
            seen.tables.append(e)

            def draw(k, index, draws):
                seen.drawn += len(index) * len(draws)
                return torch.from_numpy(e)[draws.start : draws.stop, index, k]

            return draw

        monkeypatch.setattr(cost, "trained", trained)
        monkeypatch.setattr(cost, "energies_of", energies_of)
        monkeypatch.setattr(cost, "timer", lambda: seen.drawn)
        seen.rows = cell({**CONFIG, **changed}, alpha, seed)
        return seen

    return go


def one(rows, alpha, way, measure, **where):
    """The value of the one row that these words pick."""
    (row,) = [
        r for r in rows
        if (r["alpha_inference"], r["way"], r["measure"]) == (alpha, way, measure) and where.items() <= r.items()
    ]  # fmt: skip
    return row["value"]


def many(rows, alpha, way, measure):
    return [r["value"] for r in rows if (r["alpha_inference"], r["way"], r["measure"]) == (alpha, way, measure)]


PAIRS = [0.5, 0.9, 1.5]


@pytest.fixture
def measured(cell):
    """A cell with all pairs of α = 0.9, and for each its tables by who asked for them."""
    seen = cell(seed=1)
    assert seen.alphas == [alpha for alpha in PAIRS for _ in CALLS]
    asked = {alpha: dict(zip(CALLS, seen.tables[8 * i :][:8], strict=True)) for i, alpha in enumerate(PAIRS)}
    return seen, asked, seen.data.y_test.numpy()


def answers(e, n):
    return e[:n].mean(0).argmin(1)


def raced(way, asked, x):
    """By hand, image by image: (answers by look, draws a class, ratio) of a way's race."""
    e, n, short = asked[way], CONFIG["n"], CONFIG["short"]
    zone = CONFIG["zone"] * asked["first"][:n, : CONFIG["images"]].mean(0).min(1).mean()
    bounds = (np.maximum(x, 1 - x).astype(float) ** 2).sum((1, 2, 3))
    images = CONFIG["images"] if way == CERTAIN else CONFIG["raced"]
    rule = "certain" if way == CERTAIN else "practical"
    found = [by_hand(e[:n, i], rule, n, zone if way == ZONE else 0.0, bounds[i], (short,)) for i in range(images)]
    return [said for said, _, _ in found], np.array([used for _, used, _ in found]), [r for _, _, r in found]


def test_the_cell_trains_and_sets_what_it_is_asked_for(measured):
    """Each noisy pair of the tables of its α at training, from the seed; common draws for one way, and not after it."""
    seen, _, _ = measured
    assert seen.trained == [("gaussian", 0.9, 1)] and seen.seeds == [1] * 3
    assert seen.common == [call == COMMON for _ in PAIRS for call in CALLS]
    assert {r["alpha_inference"] for r in seen.rows} == set(PAIRS)


def test_plain_rows_are_counted_by_hand(measured):
    """Agreement of two plain runs, margins, accuracies, and the limit: twice the accuracy less that of the halves."""
    seen, asked, y = measured
    few, n = CONFIG["images"], CONFIG["n"]
    differ = 0
    for alpha in PAIRS:
        first, second, short = (asked[alpha][call] for call in ("first", "second", "short"))
        same = sum(answers(first, n)[:few] == answers(second, n)[:few])
        differ += few - same
        assert one(seen.rows, alpha, PLAIN, "agrees, plain", x=few) == same
        for i in range(few):
            rival = min((k for k in range(CLASSES) if k != y[i]), key=lambda k: first[:n, i, k].mean())
            gap = first[:n, i, rival] - first[:n, i, y[i]]
            assert one(seen.rows, alpha, PLAIN, "margin", x=i) == pytest.approx(gap.mean() / gap.std(ddof=1))
        assert len(many(seen.rows, alpha, PLAIN, "margin")) == few
        for e, images, draws in ((short, CONFIG["raced"], CONFIG["short"]), (first, few, n)):
            e, labels, half = e[:draws, :images], y[:images], draws // 2
            right = e.mean(0).argmin(1) == labels
            each = 2.0 * right - sum((part.mean(0).argmin(1) == labels) / 2 for part in (e[:half], e[half:]))
            assert one(seen.rows, alpha, PLAIN, "accuracy", x=draws) == pytest.approx(100 * right.mean())
            assert one(seen.rows, alpha, PLAIN, "limit", x=draws) == pytest.approx(100 * each.mean())
            error = 100 * each.std(ddof=1) / math.sqrt(images)
            assert one(seen.rows, alpha, PLAIN, "limit", x=draws, error=pytest.approx(error)) is not None
    assert differ and {r["measure"] for r in seen.rows if r["way"] == PLAIN} == {
        "agrees, plain", "margin", "limit", "accuracy",
    }  # fmt: skip


def test_races_are_counted_by_hand(measured):
    """Passes, settled images, answers and accuracies of every way, from races by plain loops; what is lost is what a
    second plain run would not have lost; where time is energies drawn, its share is that of the passes.
    """
    seen, asked, y = measured
    few, n, seldom = CONFIG["images"], CONFIG["n"], {}
    for alpha in PAIRS:
        first, second = (answers(asked[alpha][call], n)[:few] for call in ("first", "second"))
        answered = {}
        for way in CALLS[3:]:
            said, used, ratio = raced(way, asked[alpha], seen.data.x_test.numpy())
            final = answered[way] = np.array([s[n] for s in said])
            settled = used.max(1) < n
            expected = {
                "passes": 100 * used.mean() / n,
                "passes, settled": 100 * used[settled].mean() / n,
                "settled": 100 * settled.mean(),
                "time": 100 * used.mean() / n,
                "agrees": sum(final[:few] == first),
                "lost": sum((final[:few] != first) & (second == first)),
                "changed": 100 * np.mean(final != answered[RACE][: len(final)]),
            }
            for measure, value in expected.items():
                assert one(seen.rows, alpha, way, measure) == pytest.approx(value), (alpha, way, measure)
                seldom.setdefault((way, measure), set()).add(round(float(value), 6))
            assert all(r["x"] == few for r in seen.rows if r["measure"] in ("agrees", "lost"))
            for at in (CONFIG["short"], n):
                accuracy = 100 * np.mean(np.array([s[at] for s in said]) == y[: len(said)])
                assert one(seen.rows, alpha, way, "accuracy", x=at) == pytest.approx(accuracy)
            kept = [r for r, out in zip(ratio, settled, strict=True) if not out] if way == RACE else []
            assert many(seen.rows, alpha, way, "kept") == pytest.approx(kept, rel=1e-6)
            assert len(many(seen.rows, alpha, way, "accuracy")) == 2
    assert 0 < max(seldom[RACE, "settled"]) < 100 and max(seldom[CERTAIN, "settled"]) > 0
    assert max(seldom[ZONE, "settled"]) > max(seldom[RACE, "settled"]) and max(seldom[RACE, "changed"]) == 0
    assert max(seldom[AGAIN, "changed"]) > 0 and max(max(seldom[way, "lost"]) for way in CALLS[3:]) > 0


def test_what_never_happens_has_no_row(cell):
    """A cell whose images are all settled keeps no ratio; one whose images are level settles none, and says so."""
    gaps = np.array([0.0, 50.0, 60.0])
    e = 4 + np.zeros((60, IMAGES, CLASSES)) + np.random.default_rng(0).uniform(size=(60, IMAGES, CLASSES))
    for levels, settled in ((gaps, 100), (0 * gaps, 0)):
        rows = cell(alpha=0.0, seed=1, energies=lambda number, images, levels=levels: (e + levels)[:, :images] / 2).rows
        assert one(rows, 0.5, RACE, "settled") == settled
        assert len(many(rows, 0.5, RACE, "passes, settled")) == (settled == 100)
        assert len(many(rows, 0.5, RACE, "kept")) == (0 if settled else CONFIG["raced"])
        assert one(rows, 0.5, RACE, "passes") == pytest.approx(100 * (10 / 60 if settled else 1))


def test_there_may_be_fewer_images_than_asked_for(cell):
    rows = cell(alpha=0.0, images=50, raced=100, seed=1).rows
    assert (
        one(rows, 0.5, PLAIN, "agrees, plain", x=IMAGES) <= IMAGES and len(many(rows, 0.5, PLAIN, "margin")) == IMAGES
    )


def test_only_noisy_pairs_of_the_tables_are_raced(cell):
    for alpha, others in ((0.0, [0.5]), (0.5, [0.5, 0.9, 1.5]), (1.5, [0.5, 0.9, 1.5])):
        assert sorted(set(cell(alpha, seed=1).alphas)) == others
    assert cell(0.7).rows == []


def test_the_plain_way_draws_everything_in_order():
    """In blocks, the last of which is shorter: an energy that is drawn twice or left out shows."""
    e = torch.randn(2000, 5, 3)
    asked = []

    def draw(k, index, draws):
        asked.append((k, draws.start, draws.stop, index.tolist()))
        return e[draws.start : draws.stop, index, k]

    assert torch.equal(cost._all(draw, 4, 3, 1500), e[:1500, :4])
    assert asked == [(k, a, min(a + 640, 1500), [0, 1, 2, 3]) for a in (0, 640, 1280) for k in range(3)]
    assert torch.equal(cost._all(draw, 5, 2, 3), e[:3, :, :2])


# --- step by step


@pytest.fixture
def watched(cell):
    """A race that is told step by step: its rows, its energies, and the races of its images by hand."""
    seen = cell(alpha=0.5, seed=3, cell=race_cell)
    e, n = seen.tables[0][: CONFIG["n"]], CONFIG["n"]
    seen.alone, seen.e = [by_hand(e[:, i], "practical", n) for i in range(e.shape[1])], e
    return seen


def test_one_image_of_each_class_is_raced(watched):
    """With the noise of its training, from the seed: the first test image of each class, its label and its answer."""
    assert watched.trained == [("gaussian", 0.5, 3)] and watched.alphas == [0.5] and watched.seeds == [3]
    images, said = ([r for r in watched.rows if r["measure"] == m] for m in ("image", "said"))
    y = watched.data.y_test.tolist()
    assert [r["value"] for r in images] == [0, 1, 2] and watched.e.shape[1] == CLASSES
    for k, (row, answer) in enumerate(zip(images, said, strict=True)):
        assert row["x"] == answer["x"] == k and answer["value"] == watched.alone[k][0][CONFIG["n"]]
        pixels = watched.data.x_test[y.index(k), 0].numpy()
        assert np.abs(decoded(row["text"]) / 255 - pixels).max() < 1 / 500
    assert {r["measure"] for r in watched.rows} == {"image", "said", "energy"}


def test_a_class_may_lack_test_images(cell):
    """Rows say which label an image has, as they cannot tell by counting."""
    data = made_up(0)
    data = replace(data, y_test=torch.where(data.y_test == 1, 2, data.y_test))
    rows = cell(alpha=0.5, cell=race_cell, data=data).rows
    assert [(r["x"], r["value"]) for r in rows if r["measure"] == "image"] == [(0, 0), (1, 2)]
    assert {r["y"] for r in rows if r["measure"] == "energy"} == {0, 1, 2}


def test_energies_are_those_of_the_classes_that_are_left(watched):
    """A row for each class that drew, at each look, and none once the image is settled; the mean of all its draws."""
    found = {(r["x"], r["y"], r["n"]): r["value"] for r in watched.rows if r["measure"] == "energy"}
    assert len(found) == sum(r["measure"] == "energy" for r in watched.rows)
    expected = {
        (i, k, t): watched.e[:t, i, k].mean()
        for i, (_, used, _) in enumerate(watched.alone) for k in range(CLASSES) for t in looks(CONFIG["n"])
        if t <= used[k]
    }  # fmt: skip
    assert found == pytest.approx(expected)
    used = [used for _, used, _ in watched.alone]
    assert any(max(u) < CONFIG["n"] for u in used) and any(min(u) < max(u) == CONFIG["n"] for u in used)


def test_errors_are_those_of_the_gap_to_the_best_that_is_left(watched):
    """Of the mean paired difference, at every look from the second on, also when some classes are out."""
    for row in watched.rows:
        if row["measure"] == "energy" and row["n"] > 1:
            i, k, t = row["x"], row["y"], row["n"]
            left = [j for j in range(CLASSES) if watched.alone[i][1][j] >= t]
            best = min(left, key=lambda j: watched.e[:t, i, j].sum())
            gap = watched.e[:t, i, k] - watched.e[:t, i, best]
            assert row["error"] == pytest.approx(gap.std(ddof=1) / math.sqrt(t), abs=1e-6), (i, k, t)


def test_errors_before_a_class_leaves(watched):
    """At the looks at which all classes are left: the standard error of the paired difference to the least mean."""
    seen = 0
    for row in watched.rows:
        if row["measure"] == "energy" and 1 < row["n"] <= min(watched.alone[row["x"]][1]):
            e = watched.e[: row["n"], row["x"]]
            gap = e[:, row["y"]] - e[:, e.mean(0).argmin()]
            assert row["error"] == pytest.approx(gap.std(ddof=1) / math.sqrt(row["n"]), abs=1e-6)
            seen += row["error"] > 0
    assert seen > 20


def test_to_watch_a_race_does_not_change_it():
    """The watched rule answers what the rule does; it notes a look at each time, of the images that are left."""
    e, seen = torch.from_numpy(table(5, 12)), []

    def draw(k, index, draws):
        return e[draws.start : draws.stop, index, k]

    plain = race(draw, 12, 3, 60, practical())
    found = race(draw, 12, 3, 60, cost._watched(practical(), seen))
    assert all((plain.at[t] == found.at[t]).all() for t in plain.at) and (plain.draws == found.draws).all()
    assert [t for t, *_ in seen] == looks(60)
    assert [index.tolist() for _, index, *_ in seen] == [
        [i for i in range(12) if plain.draws[i].max() >= t] for t in looks(60)
    ]


# --- settings, tables and how they are drawn


@pytest.mark.parametrize("budget", ["smoke", "desk", "paper"])
@pytest.mark.parametrize("dataset", ["digits", "mnist", "cifar-10"])
def test_the_cost_is_that_of_the_networks_of_the_accuracies(budget, dataset):
    """The same data, training and loss, so that the same networks race; halves of the draws are halves."""
    from tutorial_lib.papers.activation_noise.sweeps import ACCURACY, DESK

    mine, other = cost.COST.config(budget, dataset), ACCURACY.config(budget, dataset)
    if budget == "desk":  # the shipped tables of the accuracies are older
        other = {**DESK["default"], **DESK[dataset]}
    for key in ("data", "epochs", "batch_size", "loss"):
        assert mine.get(key) == other.get(key), key
    assert set(mine["alphas"]) <= set(other["alpha_train"]["gaussian"]) | {1.5, 0.5}
    assert mine["images"] <= mine["raced"] and mine["short"] <= mine["n"]
    assert mine["n"] % 2 == mine["short"] % 2 == 0 and mine["seeds"] <= other["seeds"]
    race = {**cost.RACES.config(budget, dataset), "loss": mine.get("loss")}
    assert all(race.get(key) == mine.get(key) for key in ("data", "epochs", "batch_size", "loss"))


def accuracies(*cells):
    """Rows (α at training, α at inference, n of all images, n of the first) at n = 1, 10, 100, 1000 up to these."""
    return pd.DataFrame(
        [
            {"alpha_train": a, "alpha_inference": b, "n": n, "accuracy": 10 * a + b + n if n <= every else np.nan}
            for a, b, every, first in cells for n in (1, 10, 100, 1000) if n <= first
        ]
    )  # fmt: skip


def test_the_largest_n_is_one_of_all_images():
    """Rows beyond it, of the first images alone, have no accuracy; each α at inference has an n of its own."""
    table = accuracies(
        (0.0, 0.0, 1, 1), (0.9, 0.0, 1, 1), (0.9, 0.9, 100, 1000), (0.5, 0.9, 100, 100), (0.9, 0.5, 10, 10)
    )
    found = at_largest_n(table)
    assert found[["alpha_train", "alpha_inference", "n"]].to_numpy().tolist() == [
        [0.0, 0.0, 1], [0.9, 0.0, 1], [0.9, 0.9, 100], [0.5, 0.9, 100], [0.9, 0.5, 10],
    ]  # fmt: skip
    assert found["accuracy"].notna().all() and found.loc[2 + 2, "accuracy"] == 9 + 0.9 + 100


def test_the_common_n_is_one_that_all_pairs_have():
    """The least of their largest; pairs without noise at inference have one of their own; none of them is lost."""
    table = accuracies((0.0, 0.0, 1, 1), (0.9, 0.9, 100, 1000), (0.5, 0.9, 10, 10), (0.9, 0.5, 100, 100))
    found = at_common_n(table)
    assert found[["alpha_train", "alpha_inference", "n"]].to_numpy().tolist() == [
        [0.0, 0.0, 1], [0.9, 0.9, 10], [0.5, 0.9, 10], [0.9, 0.5, 10],
    ]  # fmt: skip
    only = at_common_n(accuracies((0.0, 0.0, 1, 1), (0.5, 0.0, 1, 1)))
    assert only["n"].tolist() == [1, 1]
    every = at_common_n(accuracies((0.9, 0.9, 100, 1000), (0.5, 0.9, 100, 1000)))
    assert every["n"].tolist() == [100, 100]


def test_the_table_of_trainings():
    """Mean ± standard error over seeds at the largest n of all images, a row a training; with one seed no error."""
    rows = [
        {"alpha": a, "train": train, "epochs": epochs, "seed": seed, "n": n, "accuracy": value}
        for a, train, epochs, seed, n, value in [
            (0.0, 100, 1, 0, 1, 10.0), (0.0, 100, 1, 1, 1, 14.0), (0.0, 100, 2, 0, 1, 20.0),
            (0.9, 100, 1, 0, 1, 1.0), (0.9, 100, 1, 0, 10, 30.0), (0.9, 100, 1, 0, 20, None),
            (0.9, 100, 1, 1, 1, 2.0), (0.9, 100, 1, 1, 10, 31.0), (0.9, 100, 1, 1, 20, None),
        ]
    ]  # fmt: skip
    drawn = draw_training(pd.DataFrame(rows), "made up")
    assert drawn.loc[(100, 1), 0.0] == "12.00 ± 2.00" and drawn.loc[(100, 1), 0.9] == "30.50 ± 0.50"
    assert drawn.loc[(100, 2), 0.0] == "20.00" and drawn.shape == (2, 2)


def costs(*rows):
    names = ("alpha_train", "alpha_inference", "seed", "way", "measure", "value")
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])


def test_the_table_of_costs():
    """Means over seeds of what the ways take, by pair; what a pair lacks is left empty; other measures stay out."""
    drawn = draw_cost(
        costs(
            (0.9, 0.9, 0, PLAIN, "accuracy", 70.0), (0.9, 0.9, 0, PLAIN, "time", 100.0),
            (0.9, 0.9, 0, RACE, "passes", 2.0), (0.9, 0.9, 1, RACE, "passes", 4.2),
            (0.9, 0.9, 0, RACE, "passes, settled", 0.123), (0.9, 0.9, 0, RACE, "agrees", 9.0),
            (0.9, 0.9, 0, CERTAIN, "time", 41.0), (0.5, 0.5, 0, RACE, "passes", 12.3),
        ),
        "made up",
    )  # fmt: skip
    assert list(drawn.index) == [(0.5, 0.5), (0.9, 0.9)]
    assert {c: drawn[c].tolist() for c in drawn} == {
        (RACE, "passes"): ["12", "3.1"], (RACE, "passes, settled"): ["", "0.12"], (CERTAIN, "time"): ["", "41"],
    }  # fmt: skip


def test_a_race_that_saves_nothing_is_told_in_plain_digits():
    drawn = draw_cost(costs((0.9, 0.9, 0, CERTAIN, "passes", 100.0), (0.9, 0.9, 0, CERTAIN, "time", 130.0)), "made up")
    assert not drawn.map(lambda text: "e" in text).any(axis=None)


def test_margins_foretell_accuracy():
    """The curve is the mean of Φ(√n m) over images and seeds; points are means of plain runs; counts are of images.

    Balanced pairs only, and no other way's rows; a margin beyond the axis is counted at its end.
    """
    rows = costs(
        (0.5, 0.5, 0, PLAIN, "margin", 0.1), (0.5, 0.5, 1, PLAIN, "margin", -0.02),
        (0.5, 0.5, 1, PLAIN, "margin", 30.0),
        (0.5, 0.9, 0, PLAIN, "margin", 5.0), (0.9, 0.9, 0, PLAIN, "margin", 0.001),
        (0.5, 0.5, 0, PLAIN, "accuracy", 40.0), (0.5, 0.5, 1, PLAIN, "accuracy", 50.0),
        (0.5, 0.5, 0, RACE, "accuracy", 99.0),
    ).assign(x=100)  # fmt: skip
    left, right = draw_margins(rows, "made up").axes
    curve, points, other = right.lines[:3]
    n = curve.get_xdata()
    assert n[0] == pytest.approx(1) and n[-1] == pytest.approx(10_000)
    expected = 100 * sum(norm.cdf(m * np.sqrt(n)) for m in (0.1, -0.02, 30)) / 3
    assert curve.get_ydata() == pytest.approx(expected)
    assert points.get_xdata().tolist() == [100] and points.get_ydata().tolist() == [45]
    assert other.get_ydata() == pytest.approx(100 * norm.cdf(0.001 * np.sqrt(n)))
    counts, borders, _ = left.patches[0].get_data()
    assert counts.sum() == 3 and counts[-1] == 1
    for value in (0.1001, -0.02):
        assert counts[np.searchsorted(borders, value) - 1] == 1
    assert [patch.get_label() for patch in left.patches] == ["α = 0.5", "α = 0.9"]


def steps(classes, images, alphas=(0.9,)):
    """Rows of races: image i has the label i, and class (i + 1) wins; its rivals are out after ten draws."""
    rows = []
    for alpha in alphas:
        for i in range(images):
            rows += [
                {"alpha": alpha, "seed": 0, "measure": "image", "x": i, "value": i},
                {"alpha": alpha, "seed": 0, "measure": "said", "x": i, "value": (i + 1) % classes},
            ]
            rows += [
                {
                    "alpha": alpha,
                    "seed": 0,
                    "measure": "energy",
                    "x": i,
                    "y": k,
                    "n": n,
                    "value": 100 * alpha + 10 * k + n,
                }
                for k in range(classes)
                for n in (1, 10, 20)
                if n <= 10 or k == (i + 1) % classes
            ]
    return pd.DataFrame(rows)  # fmt: skip


def test_a_race_is_drawn_as_its_table_has_it():
    """A panel an image, of the middle α: each class as long as it was drawn, the answer apart in colour."""
    figure = draw_race(steps(5, 5, (0.5, 0.9, 1.5)), "made up")
    assert len(figure.axes) == 5 and "α = 0.9" in figure.get_suptitle() and "made up" in figure.get_suptitle()
    for i, axis in enumerate(figure.axes):
        said = (i + 1) % 5
        lines = [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axis.lines]
        ns = [[1, 10, 20] if k == said else [1, 10] for k in range(5)]
        assert lines == [(n, [90 + 10 * k + m for m in n]) for k, n in enumerate(ns)]
        colours = [line.get_color() for line in axis.lines]
        assert colours.count(colours[said]) == 1 and len(set(colours)) == 2
        assert axis.get_title() == f"class {i}, said {said}"


def test_a_race_of_any_number_of_classes_is_drawn():
    assert len(draw_race(steps(3, 3), "made up").axes) >= 3
