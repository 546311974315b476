"""What is measured for "Activation Noise for EBM Classification": cells on energies from a table, and on networks."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tutorial_lib import ActivationNoise, PerClass, inject, injected, load_data
from tutorial_lib.papers.activation_noise import sweeps
from tutorial_lib.papers.activation_noise.method import accuracy_over_n, energies, train_autoencoders

SMOKE = {**sweeps.ACCURACY.config("smoke"), "folder": "", "device": "cpu"}
SMOKE["data"] = {**SMOKE["data"], "test": 37}  # so that classes differ in size
FIRST, IMAGES = SMOKE["far"]["images"], SMOKE["data"]["test"]


def never(state, energies):
    return (torch.zeros_like(state.products, dtype=torch.bool),) * 2


def toy(classes=10):
    """Networks of which nothing is asked but that they know their α."""
    networks = [nn.Sequential(nn.ReLU()) for _ in range(classes)]
    for network in networks:
        inject(network, ActivationNoise("gaussian", 7.0))
    return PerClass(networks)


def noisy(alpha, draws=200):
    """Energies [draws, images, classes] that belong to this α at inference: level, so that the answer goes with n."""
    return 20 + np.random.default_rng(round(10 * alpha)).normal(size=(draws, IMAGES, 10))


@pytest.fixture
def cell(monkeypatch):
    """`accuracy_cell` on the digits, with energies from a table for each α; what it asked for is kept."""

    def go(table=noisy, alpha_train=0.9, seed=0, distribution="gaussian", **changed):
        seen = SimpleNamespace(trained=[], alphas=[], seeds=[])

        def trained(config, noise, seed):
            seen.trained.append((noise.distribution, noise.alpha, seed))
            return load_data("digits", seed=seed, **config["data"]), toy()

        def energies_of(model, x):
            (alpha,) = {layer.alpha_inference for layer in injected(model).values()}
            seen.alphas.append(float(alpha))
            seen.seeds.append(torch.initial_seed())
            assert len(x) in (15, IMAGES)  # those of the map, or all
            e = torch.from_numpy(table(float(alpha)))
            return lambda k, index, draws: e[draws.start : draws.stop, index, k]

        monkeypatch.setattr(sweeps, "trained", trained)
        monkeypatch.setattr(sweeps, "energies_of", energies_of)
        seen.rows = sweeps.accuracy_cell({**SMOKE, **changed}, distribution, alpha_train, seed)
        return seen

    return go


def right(e, n, y):
    """Eq. (9) by hand: is the class of the least mean of n energies the right one?"""
    return e[:n].mean(0).argmin(1) == y


def test_accuracies_are_those_of_the_means_at_every_n(cell, monkeypatch):
    """With a rule that drops no class: of all images up to n, of the first ones beyond, and the numbers belong to α.

    Energies that an image may not take are no numbers: taking them is refused.
    """
    monkeypatch.setattr(sweeps, "practical", lambda: never)

    def table(alpha):
        e = noisy(alpha)
        e[20:, :FIRST] = e[10:, FIRST:] = np.nan
        return e

    found = cell(table, seed=3, alpha_inference=[0.5, 0.9, 1.5])
    y = load_data("digits", seed=3, **SMOKE["data"]).y_test.numpy()
    assert found.alphas == [0.5, 0.9, 1.5] and found.trained == [("gaussian", 0.9, 3)] and found.seeds == [3] * 3
    assert [(r["alpha_inference"], r["n"]) for r in found.rows] == [
        (alpha, n) for alpha in (0.5, 0.9, 1.5) for n in (1, 2, 3, 5, 7, 10, 20)
    ]
    for row in found.rows:
        e, n = noisy(row["alpha_inference"]), row["n"]
        assert row["first"] == pytest.approx(100 * right(e, n, y)[:FIRST].mean(), rel=1e-6)
        assert ("accuracy" in row) == ("error" in row) == ("mean_image_error" in row) == (n <= 10)
        if n <= 10:
            assert row["accuracy"] == pytest.approx(100 * right(e, n, y).mean(), rel=1e-6)
    accuracies = [row["accuracy"] for row in found.rows if row["n"] <= 10]
    assert len(set(accuracies)) > 4 and min(accuracies) < 10 < max(accuracies)


def test_errors_are_those_of_the_own_class(cell):
    """Mean of ten energies of every image under its own class, a pixel; and of the class's mean training image."""
    found = cell(seed=2, alpha_inference=[0.9])
    data = load_data("digits", seed=2, **SMOKE["data"])
    e, x, y = noisy(0.9), data.x_test.numpy(), data.y_test.numpy()
    own = np.mean([e[i, j, y[j]] for i in range(10) for j in range(IMAGES)]) / 64
    means = [data.x_train.numpy()[data.y_train.numpy() == k].mean(0) for k in range(10)]
    mean_image = np.mean([((x[j] - means[y[j]]) ** 2).mean() for j in range(IMAGES)])
    for row in found.rows[:-1]:
        assert row["error"] == pytest.approx(own, rel=1e-5)
        assert row["mean_image_error"] == pytest.approx(mean_image, rel=1e-5)


def test_an_image_whose_class_is_out_is_drawn_no_more(cell):
    """Two classes tie in every image and would race to the end: only images of these do. What others may not take is
    no number, and refused; without labels they would take it. The ties go to the first class.
    """
    y = load_data("digits", **SMOKE["data"]).y_test.numpy()

    def table(alpha):
        e = np.tile(np.arange(10.0) + 3, (200, IMAGES, 1))
        e[:, :, 1] = 3
        e[10:, y > 1] = np.nan  # a race is over at the tenth draw, but for ties
        return e

    found = cell(table, n=30, far={"images": FIRST, "n": 100}, alpha_inference=[0.9])
    assert [r["n"] for r in found.rows] == [1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100]
    assert 0 < (y == 0).sum() < (y < 2).sum() < IMAGES
    for row in found.rows:
        assert row["first"] == pytest.approx(100 * (y[:FIRST] == 0).mean())
        assert ("accuracy" in row) == (row["n"] <= 30)
        if "accuracy" in row:
            assert row["accuracy"] == pytest.approx(100 * (y == 0).mean())


def test_only_pairs_of_the_tables_get_the_full_n_and_race_on(cell):
    """(0.9, 0.7) is a point of the map: as many images and draws as that has, and none beyond; without noise one draw
    of all images says it, in the tables or not.
    """
    found = cell(alpha_inference=[0.0, 0.7, 0.9], map={"images": 15, "n": 5})
    ns = {alpha: [r["n"] for r in found.rows if r["alpha_inference"] == alpha] for alpha in (0.0, 0.7, 0.9)}
    assert ns == {0.0: [1], 0.7: [1, 2, 3, 5], 0.9: [1, 2, 3, 5, 7, 10, 20]}
    y = load_data("digits", **SMOKE["data"]).y_test.numpy()
    for row in found.rows:
        assert (row["first"] is None) == (row["alpha_inference"] != 0.9)
        those = slice(15 if row["alpha_inference"] == 0.7 else None)
        if row["n"] <= 5:
            hits = right(noisy(row["alpha_inference"]), row["n"], y)[those]
            assert row["accuracy"] == pytest.approx(100 * hits.mean())
    still = cell(alpha_train=0.5, alpha_inference=[0.0]).rows  # a pair of the tables: one draw, all the same
    assert [(r["n"], r["first"]) for r in still] == [(1, None)]
    assert still[0]["accuracy"] == pytest.approx(100 * right(noisy(0.0), 1, y).mean())


def test_no_image_need_race_on(cell):
    found = cell(far={"images": 0, "n": 50}, alpha_inference=[0.9])
    assert [r["n"] for r in found.rows] == [1, 2, 3, 5, 7, 10]
    assert all(r["first"] is None and "accuracy" in r for r in found.rows)


def test_later_seeds_measure_the_main_pairs_only(cell):
    """The last seed with all pairs, the first without, and one that has nothing to measure and trains nothing."""
    five, alphas = SMOKE["all pairs"], [0.0, 0.5, 0.9, 1.5]
    assert cell(seed=five - 1, alpha_inference=alphas).alphas == alphas
    assert cell(seed=five, alpha_inference=alphas).alphas == [0.9]
    assert cell(seed=five, alpha_inference=alphas, alpha_train=0.0).alphas == [0.0]
    assert cell(seed=five, alpha_inference=alphas, **{"main pairs": [[0.9, 0.5], [0.5, 0.9]]}).alphas == [0.5]
    none = cell(seed=five, alpha_inference=alphas, alpha_train=1.5)
    assert none.rows == [] and none.trained == [] and none.alphas == []


def test_the_distribution_is_that_of_the_training(cell):
    assert cell(distribution="cauchy", alpha_inference=[0.9]).trained == [("cauchy", 0.9, 0)]


def test_counts_have_five_a_decade_and_the_last():
    assert sweeps.counts(1) == [1] and sweeps.counts(10) == [1, 2, 3, 5, 7, 10]
    assert sweeps.counts(1437)[-4:] == [500, 700, 1000, 1437] and len(sweeps.counts(10_000)) == 4 * 5 + 1


def test_pairs_of_the_tables_are_those_of_the_paper():
    from tutorial_lib.papers.activation_noise.reported import table_1

    paper = set(table_1()[["alpha_train", "alpha_inference"]].itertuples(index=False, name=None))
    assert set(sweeps.TABLE_PAIRS) == paper and len(sweeps.TABLE_PAIRS) == 12


# --- networks


def test_a_cell_is_what_the_method_says():
    """The real cell against `accuracy_over_n` and `energies` on networks that are trained by hand: no mixing up of α,
    n, images or classes on the way.

    Without noise to the digit. With it the draws are others: the error a pixel within 4.5 of its standard errors, which
    are below 1 %, and accuracies, which grow with n, within those of as many images.
    """
    config = {
        **SMOKE, "epochs": 8, "batch_size": 8, "loss": "bce", "data": {"size": 8, "train": 200, "test": 60},
        "alpha_inference": [0.0, 1.5], "far": {"images": 0, "n": 10},
    }  # fmt: skip
    rows = {(r["alpha_inference"], r["n"]): r for r in sweeps.accuracy_cell(config, "gaussian", 0.5, seed=1)}
    data = load_data("digits", seed=1, **config["data"])
    x, y, seen = data.x_test, data.y_test, {}
    options = {"epochs": 8, "batch_size": 8, "loss": "bce", "seed": 1, "progress": False}
    model = train_autoencoders(data.x_train, data.y_train, ActivationNoise(alpha=0.5), **options)
    accuracy, own = accuracy_over_n(model, x, y, 0.0, 1)
    assert rows[0.0, 1]["accuracy"] == pytest.approx(accuracy.item(), rel=1e-6)
    assert rows[0.0, 1]["error"] == pytest.approx(own.item() / 64, rel=1e-5)
    accuracy_over_n(model, x[:1], y[:1], 1.5, 1)  # sets the α
    draws = energies(model, x, 30).double()
    errors = draws[:, torch.arange(60), y] / 64
    se = (errors.var(0) * (1 / 10 + 1 / 30)).sum().sqrt().item() / 60
    assert se < 0.01 * errors.mean()
    assert rows[1.5, 10]["error"] == pytest.approx(errors.mean().item(), abs=4.5 * se)
    for n in (1, 2, 3, 5, 7, 10):
        blocks = draws[: 30 // n * n].view(-1, n, 60, 10).mean(1)
        p = (blocks.argmin(-1) == y).double().mean(0)
        se = (p * (1 - p)).sum().sqrt().item() / 60  # of one run; that of p itself is smaller
        assert rows[1.5, n]["accuracy"] / 100 == pytest.approx(p.mean().item(), abs=4.5 * se + 1 / 60)
        seen[n] = p.mean().item()
    assert seen[10] - seen[1] > 0.15  # a mix-up of n would show


@pytest.fixture
def kept(monkeypatch):
    """What `trained` gives back, and with which settings it was asked."""
    found, real = [], sweeps.trained

    def trained(config, noise, seed):
        point = (noise.distribution, noise.alpha, seed)
        found.append((copy.deepcopy(config), point, real(config, noise, seed)))
        return found[-1][-1]

    monkeypatch.setattr(sweeps, "trained", trained)
    return found


def test_more_training_is_more_training(kept):
    """A cell's networks are those that so many images and epochs make, to the last bit, and the rows are of balanced
    noise; all other settings are the sweep's, which stay what they were.
    """
    config = {**sweeps.TRAINING.config("smoke"), "folder": "", "device": "cpu"}
    before = copy.deepcopy(config)
    rows = sweeps.training_cell(config, alpha=0.9, train=70, epochs=3, seed=2)
    ((asked, point, (data, model)),) = kept
    assert config == before and point == ("gaussian", 0.9, 2)
    changed = {"data": {**config["data"], "train": 70}, "epochs": 3, "alpha_inference": [0.9]}
    assert asked == {**config, **changed}
    same = load_data("digits", seed=2, size=8, train=70, test=40)
    assert torch.equal(data.x_train, same.x_train)
    assert sorted(data.x_test.flatten(1).tolist()) == sorted(same.x_test.flatten(1).tolist())  # in an order of chance
    assert not torch.equal(data.y_test, same.y_test)
    pairs = {tuple(x): y for x, y in zip(same.x_test.flatten(1).tolist(), same.y_test.tolist(), strict=True)}
    assert all(pairs[tuple(x)] == y for x, y in zip(data.x_test.flatten(1).tolist(), data.y_test.tolist(), strict=True))
    options = {"epochs": 3, "batch_size": 16, "seed": 2, "progress": False}
    by_hand = train_autoencoders(same.x_train, same.y_train, ActivationNoise(alpha=0.9), **options)
    weights = [[p.detach() for p in m.parameters()] for m in (model, by_hand)]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert {r["alpha_inference"] for r in rows} == {0.9} and [r["n"] for r in rows] == [1, 2, 3, 5, 7, 10, 20]
    sweeps.training_cell(config, alpha=0.9, train=70, epochs=4, seed=2)
    assert not torch.equal(next(kept[1][-1][1].parameters()), weights[0][0])


def test_the_loss_and_the_batches_of_the_settings_reach_the_training(kept):
    """Without a loss it is the squared error; an unknown one is refused, and so it does arrive."""
    config = {**SMOKE, "epochs": 1}
    first, second, third = (
        next(sweeps.trained({**config, **more}, ActivationNoise(alpha=0.5), 0)[1].parameters()).detach()
        for more in ({}, {"loss": "mse"}, {"batch_size": 200})
    )
    assert torch.equal(first, second) and not torch.equal(first, third)
    with pytest.raises(ValueError, match="loss = 'other'"):
        sweeps.trained({**config, "loss": "other"}, ActivationNoise(alpha=0.5), 0)
    cauchy = next(sweeps.trained(config, ActivationNoise("cauchy", 0.5), 0)[1].parameters())
    assert not torch.equal(first, cauchy)


@pytest.mark.parametrize("budget", ["smoke", "desk", "paper"])
def test_every_alpha_meets_every_training(budget):
    config = sweeps.TRAINING.config(budget)
    points = sweeps.TRAINING.grid(config)
    assert len(points) == len(config["alphas"]) * len(config["trainings"])
    for alpha in config["alphas"]:
        assert [{k: p[k] for k in ("train", "epochs")} for p in points if p["alpha"] == alpha] == config["trainings"]
        assert config["seeds"] <= config["all pairs"] or [alpha, alpha] in config["main pairs"]


@pytest.mark.parametrize("sweep", [sweeps.ACCURACY, sweeps.TRAINING])
@pytest.mark.parametrize(("budget", "dataset"), [("smoke", None), ("desk", "digits"), ("desk", "mnist"),
                                                 ("desk", "cifar-10"), ("paper", None)])  # fmt: skip
def test_settings_give_tables_that_have_a_row_at_every_n_that_they_name(sweep, budget, dataset):
    """Else all test images are told of at a smaller n than is drawn: `counts` up to the first images' n must hold it.

    And the first images are fewer than all of them, and race on, not less far.
    """
    config = sweep.config(budget, dataset)
    steps = sweeps.counts(max(config["n"], config["far"]["n"] if config["far"]["images"] else 1))
    assert {config["n"], config["map"]["n"]} <= set(steps)
    assert config["far"]["n"] >= config["n"] >= config["map"]["n"]
    assert (config["data"].get("test") or 360) > config["far"]["images"]  # which are some of all
