"""What is measured for "Variational Positive-incentive Noise": kinds of training, and cells with known noise."""

import functools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from tutorial_lib import evaluate
from tutorial_lib.data import Data
from tutorial_lib.draw import decoded, pick
from tutorial_lib.papers.vpn import cost, information, maps, method, sweeps
from tutorial_lib.papers.vpn.method import Generator
from tutorial_lib.papers.vpn.scenes import scenes
from tutorial_lib.papers.vpn.sweeps import (
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
    SR,
)

FIRST = sweeps.TRAINING.config("smoke")["optimizers"][0]
EQ_20 = f"{DNN3}, {sweeps.EQ_20}"


def settings(sweep, budget="smoke", **changed):
    return {**sweep.config(budget), "folder": "data", "device": "cpu", **changed}


CONFIG = settings(sweeps.TRAINING, batch_size=7)


def grey(train=40, test=30, size=6, classes=3, channels=1, seed=0):
    """Images of which nothing is asked but that they differ; every class in turn."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(train + test, channels, size, size, generator=g)
    y = torch.arange(train + test) % classes
    return Data(x[:train], y[:train], x[train:], y[train:], "made up", "", "")


class ByLabel(nn.Module):
    """f_θ that gives Σ[y] to every pixel of `where`: it reads y off x + γ y, for γ is large."""

    def __init__(self, sizes, gamma, where=None):
        super().__init__()
        self.sizes, self.gamma, self.where = torch.as_tensor(sizes), gamma, where
        self.weight = nn.Parameter(torch.zeros(1))  # a generator has something to train

    def forward(self, x):
        label = (x[:, 0, 0, 0] / self.gamma).round().long()
        out = self.sizes[label].view(-1, 1, 1, 1).expand_as(x) + 0 * self.weight
        return (out if self.where is None else out * self.where).flatten(1)


def sized(sizes, where=None, gamma=100.0):
    return Generator(ByLabel(sizes, gamma, where), gamma, reading="deviation", positive="abs")


def found_in(rows):
    return {(row.get("kind"), row["measure"]): row["value"] for row in rows}


# --- kinds of training


def watched(monkeypatch):
    """Every call of `sweeps.train`: what it was given, and the base's weights before and after."""
    calls, real = [], sweeps.train

    def train(config, data, base, noise, epochs, optimizer, seed, **options):
        def state(network):
            return {k: v.clone() for k, v in network.state_dict().items()} if isinstance(network, nn.Module) else None

        call = SimpleNamespace(base=base, noise=noise, epochs=epochs, optimizer=optimizer, seed=seed, options=options,
                               start=state(base), generator=state(noise))  # fmt: skip
        calls.append(call)
        losses = real(config, data, base, noise, epochs, optimizer, seed, **options)
        call.end, call.generator_end = state(base), state(noise)
        return losses

    monkeypatch.setattr(sweeps, "train", train)
    return calls


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_bases_without_a_generator(monkeypatch):
    """A second start for the longer training, or noise from another start, would compare networks, not trainings."""
    calls = watched(monkeypatch)
    rows = sweeps.training_cell({**CONFIG, "epochs": 3}, SR, FIRST, "none", 4)
    none, longer, random = calls
    assert none.noise is None and longer.noise is None and random.noise is method.random_pixels
    assert longer.base is none.base and same(longer.start, none.end) and not same(longer.start, longer.end)
    assert random.base is not none.base and same(random.start, none.start) and not same(random.end, none.end)
    assert same(none.start, sweeps.new_base(CONFIG, sweeps.prepared(CONFIG, 4), SR, 4).state_dict())
    assert none.seed == random.seed == 4 and longer.seed != 4  # else it would meet the same batches twice
    assert {c.epochs for c in calls} == {3} and {c.optimizer for c in calls} == {FIRST}
    assert not any(c.options for c in calls)  # the defaults: m = 1, a tenth of the pixels
    assert [row["kind"] for row in rows] == [k for k in (NONE, LONGER, RANDOM) for _ in range(3)]
    numbers = found_in(rows)
    assert numbers[LONGER, "loss"] < numbers[NONE, "loss"]
    data = sweeps.prepared(CONFIG, 4)
    for kind, call in ((LONGER, longer), (RANDOM, random)):
        assert numbers[kind, "accuracy"] == numbers[kind, "accuracy, no noise"]
        assert numbers[kind, "accuracy"] == pytest.approx(evaluate(call.base, data.x_test, data.y_test))
        x, y = data.x_train.double(), data.y_train
        weight, bias = (call.end[k].double() for k in call.end)
        truth = nn.functional.cross_entropy(x.flatten(1) @ weight.T + bias, y).item()
        assert numbers[kind, "loss"] == pytest.approx(truth, rel=1e-5)


def test_a_generator_on_a_fixed_base_jointly_and_its_controls(monkeypatch):
    """Another start, seed or number of updates for one of the kinds, or a control with noise that still learns."""
    calls = watched(monkeypatch)
    config = {**CONFIG, "epochs": 2}
    sweeps.training_cell(config, SR, FIRST, "none", 1)
    alone = calls.pop(0)
    del calls[:]
    rows = sweeps.training_cell(config, SR, FIRST, DNN3, 1)
    none, fixed, joint, *controls, blind = calls
    assert same(none.start, alone.start) and same(none.end, alone.end)  # the base of Table 2 is the baseline
    assert fixed.base is none.base and fixed.options == {"fixed": True} and same(fixed.end, alone.end)
    assert not same(fixed.generator, fixed.generator_end)
    for call in (joint, blind):
        assert same(call.generator, fixed.generator) and not same(call.generator, call.generator_end)
    assert fixed.noise is not joint.noise and joint.noise.gamma == fixed.noise.gamma == 0.001 and blind.noise.gamma == 0
    for call in (joint, *controls, blind):
        assert same(call.start, alone.start) and not call.options and not same(call.end, alone.end)
    assert len({id(c.base) for c in (none, joint, *controls, blind)}) == 6
    assert {(c.seed, c.epochs, c.optimizer) for c in calls} == {(1, 2, FIRST)}
    data = sweeps.prepared(config, 1)
    x, y = data.x_train[:9], data.y_train[:9]
    joint.noise.load_state_dict(joint.generator_end)  # as it was after joint training
    s = joint.noise.deviation(x, y).detach()
    for call, change in zip(controls, (method.frozen, method.even, method.shuffled), strict=True):
        torch.manual_seed(5)
        got = call.noise(x, y)
        torch.manual_seed(5)
        assert torch.equal(got, change(joint.noise)(x, y)) and not got.requires_grad
    torch.manual_seed(5)
    z = controls[1].noise(x, y, 4000)[:, 0]
    assert z.std(0).min() > 0.9 * s[0].square().mean().sqrt() and z.std(0).max() < 1.1 * s[0].square().mean().sqrt()
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    assert kinds == [FIXED, JOINT, FROZEN, EVEN, SHUFFLED, BLIND]


def test_what_is_told_of_each_kind(monkeypatch):
    """A base on which a generator is trained later answers without noise as the baseline; strengths are the noise's."""
    calls = watched(monkeypatch)
    config = {**CONFIG, "epochs": 2}
    without = found_in(sweeps.training_cell(config, SR, FIRST, "none", 1))
    del calls[:]
    numbers = found_in(sweeps.training_cell(config, SR, FIRST, DNN3, 1))
    for measure in ("accuracy, no noise", "loss"):
        assert numbers[FIXED, measure] == without[NONE, measure]
    data = sweeps.prepared(config, 1)
    for kind, call in ((FIXED, calls[1]), (JOINT, calls[2]), (BLIND, calls[-1])):
        call.noise.load_state_dict(call.generator_end)
        call.base.load_state_dict(call.end)
        s = call.noise.deviation(data.x_test, data.y_test).double()
        assert numbers[kind, "strength"] == pytest.approx(s.square().mean().sqrt().item(), rel=1e-5)
        torch.manual_seed(3_000_017 + 1)
        asked = method.predict(call.base, data.x_test, call.noise)
        assert numbers[kind, "accuracy"] == pytest.approx(100 * (asked == data.y_test).double().mean().item())
        assert numbers[kind, "accuracy, no noise"] == pytest.approx(evaluate(call.base, data.x_test, data.y_test))
    fresh = sweeps.new_generator(config, data, DNN3, sweeps.ALGORITHM_1, 1)
    at_first = fresh.deviation(data.x_test, data.y_test).square().mean().sqrt().item()
    assert numbers[FIXED, "strength, at the start"] == pytest.approx(at_first, rel=1e-5)
    assert {"accuracy, even", "accuracy, shuffled"} <= {m for k, m in numbers if k == FIXED}
    for kind in (FROZEN, EVEN, SHUFFLED):
        assert {m for k, m in numbers if k == kind} == {"accuracy", "accuracy, no noise", "loss"}


@pytest.mark.parametrize(
    ("optimizer", "generator"), [(FIRST, EQ_20), (FIRST, "ResNet10"), ("other", DNN3)], ids=["eq 20", "ResNet", "other"]
)
def test_controls_go_with_one_generator_and_one_optimiser(optimizer, generator, monkeypatch):
    """Controls elsewhere are paid for and not looked at; a reading that is lost behind the comma is measured twice."""
    optimizer = CONFIG["optimizers"][1] if optimizer == "other" else optimizer
    calls = watched(monkeypatch)
    rows = sweeps.training_cell({**CONFIG, "batch_size": 30}, SR, optimizer, generator, 0)
    assert {row["kind"] for row in rows} == {FIXED, JOINT} and {c.optimizer for c in calls} == {optimizer}
    readings = {(c.noise.reading, c.noise.positive) for c in calls if c.noise is not None}
    assert readings == {("variance", "softplus") if generator == EQ_20 else ("deviation", "abs")}
    assert {type(c.noise.network).__name__ for c in calls if c.noise is not None} == {
        "ResNet" if generator == "ResNet10" else "Sequential"
    }


class Recorder(nn.Module):
    """A linear base that keeps what it was shown in training."""

    def __init__(self, inputs, outputs, seen):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen = nn.Linear(inputs, outputs), seen

    def forward(self, x):
        if self.training:
            self.seen.append(x.detach().clone())
        return self.layer(x.flatten(1))


def shown(monkeypatch, epochs):
    """What the bases of all kinds are shown, update by update, under noise too weak to see (but for "random")."""
    data, kinds = grey(), []

    def new_base(*_):
        kinds.append([])
        return Recorder(36, 3, kinds[-1])

    monkeypatch.setattr(sweeps, "prepared", lambda *_: data)
    monkeypatch.setattr(sweeps, "new_base", new_base)
    monkeypatch.setattr(sweeps, "new_generator", lambda *_, gamma=0.5: sized([0.0] * 3))
    config = {**CONFIG, "epochs": epochs}
    sweeps.training_cell(config, SR, FIRST, "none", 3)
    sweeps.training_cell(config, SR, FIRST, DNN3, 3)
    none, random, again, *noisy = kinds
    assert len(noisy) == 5 and len(none) == 2 * epochs * 6 and all(len(k) == epochs * 6 for k in (random, *noisy))
    for a, b in zip(none, again, strict=False):
        assert torch.equal(a, b)
    return data, none, random, noisy


def test_each_kind_meets_as_many_updates_and_in_the_first_epoch_the_same_batches(monkeypatch):
    """Images in another order, or more updates: a difference between kinds would be one between runs."""
    data, none, random, noisy = shown(monkeypatch, 1)
    for step in range(6):
        for kind in noisy:
            assert (kind[step] - none[step]).abs().max() < 1e-4
        moved = (random[step] - none[step]).abs() > 1e-4
        assert (moved.flatten(1).sum(1) == round(0.1 * 36)).all()  # "10% pixels … for every image"
    later = torch.cat(none[6:])  # LONGER: all images once more, in another order
    assert not torch.equal(later, torch.cat(none[:6]))
    assert {tuple(i.flatten().tolist()) for i in later} == {tuple(i.flatten().tolist()) for i in data.x_train}


def test_each_kind_meets_the_same_batches_in_later_epochs(monkeypatch):
    """The order of the batches is not the noise's: it may differ between kinds in no epoch."""
    _, none, _, noisy = shown(monkeypatch, 2)
    assert all((kind[step] - none[step]).abs().max() < 1e-4 for kind in noisy for step in range(12))


def test_random_noise_is_standard_normal_on_a_tenth_of_the_pixels(monkeypatch):
    """Section 4.1; noise of another deviation, or the same pixels in all images, is another baseline."""
    _, none, random, _ = shown(monkeypatch, 1)
    moves = torch.cat(random) - torch.cat(none[:6])
    on = moves.abs() > 1e-6
    assert stats.kstest(moves[on].numpy(), "norm").pvalue > 1e-3
    assert len({tuple(i.flatten().tolist()) for i in on}) > 30


def test_optimisers_are_what_they_are_called():
    """Momentum where none is named changes which baseline comes nearest to the paper's."""
    weight = [nn.Parameter(torch.zeros(1))]
    made = {name: make(weight, lr=0.1) for name, make in sweeps.OPTIMISERS.items()}
    kinds = {sweeps.SGD: torch.optim.SGD, sweeps.MOMENTUM: torch.optim.SGD, sweeps.ADAM: torch.optim.Adam}
    assert {name: type(o) for name, o in made.items()} == kinds
    assert made[sweeps.SGD].defaults["momentum"] == 0 and made[sweeps.MOMENTUM].defaults["momentum"] == 0.9
    assert all(o.defaults["weight_decay"] == 0 and o.defaults["lr"] == 0.1 for o in made.values())
    assert sweeps.AS_PAPER in made and sweeps.WELL in made and sweeps.AS_PAPER != sweeps.WELL


def test_training_takes_the_settings_it_is_given(monkeypatch):
    """A learning rate or batch size that is the function's default and not the configuration's."""
    given = {}
    monkeypatch.setattr(sweeps, "fit", lambda *a, **how: given.update(fit=(a, how)))
    monkeypatch.setattr(sweeps, "train_with_noise", lambda *a, **how: given.update(noise=(a, how)))
    data, config = grey(), {"batch_size": 11, "lr": 0.25}
    sweeps.train(config, data, "base", None, 3, sweeps.MOMENTUM, 9)
    sweeps.train(config, data, "base", "ε", 3, sweeps.ADAM, 9, m=4, fixed=True)
    common = {"epochs": 3, "batch_size": 11, "lr": 0.25, "seed": 9, "progress": False}
    (base, x, y), how = given["fit"]
    assert base == "base" and x is data.x_train and y is data.y_train
    assert how == {**common, "optimizer": sweeps.OPTIMISERS[sweeps.MOMENTUM]}
    (base, noise, x, y), how = given["noise"]
    assert (base, noise) == ("base", "ε") and x is data.x_train and y is data.y_train
    assert how == {**common, "optimizer": sweeps.OPTIMISERS[sweeps.ADAM], "m": 4, "fixed": True}


# --- what a cell begins with


def test_networks_by_name():
    """A base or a generator of another size or stem than its name says."""
    shape = torch.Size([2, 6, 6])
    (layer,) = [m for m in sweeps.build(SR, shape, 5).modules() if isinstance(m, nn.Linear)]
    assert layer.weight.shape == (5, 72)
    layers = [m.weight.shape for m in sweeps.build(DNN3, shape, 72).modules() if isinstance(m, nn.Linear)]
    assert layers == [(1024, 72), (1024, 1024), (72, 1024)]
    for name, blocks in (("ResNet10", [1] * 4), ("ResNet18", [2] * 4), ("ResNet34", [3, 4, 6, 3])):
        net = sweeps.build(name, shape, 5, "7x7")
        assert [len(s) for s in (net.layer1, net.layer2, net.layer3, net.layer4)] == blocks
        assert net.conv1.kernel_size == (7, 7) and net.fc.out_features == 5 and net.conv1.in_channels == 2
    data = grey(channels=2)
    config = {"stems": ["3x3", "7x7"]}
    assert sweeps.new_base(config, data, "ResNet10", 0).conv1.kernel_size == (3, 3)
    made = sweeps.new_generator(config, data, "ResNet10", sweeps.ALGORITHM_1, 0)
    assert made.network.conv1.kernel_size == (7, 7) and made.network.fc.out_features == 72
    epochs = {"epochs": 3, "deep epochs": 8}
    assert [sweeps.epochs_of(epochs, b) for b in (SR, DNN3, "ResNet10", "ResNet50")] == [3, 3, 8, 8]


def test_seeds_tell_bases_generators_and_images():
    """One base for all seeds would make an interval of nothing; a generator by the base's draws would know it."""
    data, config = grey(size=8), {"stems": ["3x3", "7x7"]}
    bases = [sweeps.new_base(config, data, DNN3, s) for s in (0, 0, 1)]
    made = [sweeps.new_generator(config, data, DNN3, sweeps.ALGORITHM_1, s).network for s in (0, 0, 1)]
    for nets in (bases, made):
        assert same(nets[0].state_dict(), nets[1].state_dict())
        assert not torch.equal(nets[0][1].weight, nets[2][1].weight)
    assert not any(torch.equal(b[1].weight, g[1].weight) for b in bases for g in made)
    one, again, two = (sweeps.prepared(CONFIG, s) for s in (0, 0, 1))
    assert one is again and not torch.equal(one.x_train, two.x_train)


def test_gamma_and_the_two_readings():
    """γ = 0.01 / |Y| unless given, also where 0 is given; Σ a deviation, or a variance, kept positive."""
    data, config = grey(), {"stems": ["3x3", "7x7"]}
    new = functools.partial(sweeps.new_generator, config, data, DNN3)
    assert new(sweeps.ALGORITHM_1, 0).gamma == pytest.approx(0.01 / 3)
    assert new(sweeps.ALGORITHM_1, 0, 0.0).gamma == 0 and new(sweeps.ALGORITHM_1, 0, 0.7).gamma == 0.7
    x, y = data.x_test, data.y_test
    for read, wanted in ((sweeps.ALGORITHM_1, torch.abs), (sweeps.EQ_20, lambda o: nn.functional.softplus(o).sqrt())):
        made = new(read, 0, 0.5)
        out = made.network(x + 0.5 * y.view(-1, 1, 1, 1)).view(x.shape)
        assert torch.allclose(made.deviation(x, y), wanted(out), atol=1e-5)


def test_every_budget_has_the_points_that_its_figures_need():
    """A missing baseline leaves claims untested; a point twice is paid twice; the paper's setting is the paper's."""
    every = [sweeps.TRAINING, sweeps.TINY, sweeps.CURVES, sweeps.LABEL, sweeps.BASELINES,
             maps.MAPS, maps.SCENES, information.BOUND, cost.COST]  # fmt: skip
    for sweep in every:
        for budget in ("smoke", "desk", "paper"):
            for dataset in (None, "digits", "cifar-10", "tiny-imagenet"):
                config = sweep.config(budget, dataset)
                points = [tuple(point.items()) for point in sweep.grid(config)]
                assert points and len(set(points)) == len(points)
                if budget == "desk" and sweep is not sweeps.BASELINES:
                    assert config["seeds"] >= 5 and config.get("data", config).get("test", 1000) >= 1000
    for sweep in (sweeps.TRAINING, sweeps.TINY):
        for budget in ("smoke", "desk", "paper"):
            for dataset in ("digits", "cifar-10"):
                config = sweep.config(budget, dataset)
                first, *others = config["optimizers"]
                assert first == sweeps.AS_PAPER and others == ([sweeps.WELL] if sweep is sweeps.TRAINING else [])
                points = {(p["base"], p["optimizer"], p["generator"]) for p in sweep.grid(config)}
                wanted = {(b, o, g) for b in config["bases"] for o in config["optimizers"] for g in ("none", DNN3)}
                assert points == wanted | {(b, first, g) for b in config["bases"] for g in config["generators"]}
                assert DNN3 in config["generators"]
    paper = sweeps.TRAINING.config("paper")
    assert paper["bases"] == [SR, DNN3, "ResNet18", "ResNet34"] and {DNN3, "ResNet18"} <= set(paper["generators"])
    tiny = sweeps.TINY.config("paper")
    assert tiny["bases"] == ["ResNet18", "ResNet34", "ResNet50"] and tiny["generators"] == [DNN3, "ResNet18"]
    for config in (paper, tiny, sweeps.CURVES.config("paper"), sweeps.LABEL.config("paper"),
                   sweeps.BASELINES.config("paper")):  # fmt: skip
        assert (config["epochs"], config["deep epochs"], config["lr"], config["seeds"]) == (40, 40, 0.001, 5)
        assert config["batch_size"] == (128 if config is tiny else 256) and config["data"] == {}
    assert sweeps.CURVES.config("paper", "tiny-imagenet")["batch_size"] == 128
    for budget in ("desk", "paper"):
        assert {0, 1} < set(sweeps.CURVES.config(budget)["m"]) and 0.001 in sweeps.LABEL.config(budget)["gammas"]
        assert len(sweeps.TRAINING.config(budget)["bases"]) > 1  # "stable" is said over bases
        assert any(g.startswith("ResNet") for g in sweeps.TRAINING.config(budget)["generators"])
    desk = sweeps.TRAINING.config("desk", "mnist")
    assert desk["data"]["train"] / desk["batch_size"] == 100
    points = sweeps.BASELINES.grid(sweeps.BASELINES.config("desk"))
    assert {(p["base"], p["optimizer"]) for p in points} == {(b, o) for b in (SR, DNN3) for o in sweeps.OPTIMISERS}
    assert [p["kind"] for p in maps.MAPS.grid(maps.MAPS.config("desk"))] == [JOINT, FIXED]
    bound = information.BOUND.grid(information.BOUND.config("desk"))
    assert {p["q"] for p in bound} == {information.POSTERIOR, information.LOGISTIC, information.TRAINED}
    assert 1.0 in {p["ratio"] for p in bound}


def test_images_that_do_not_fit_are_found_before_anything_is_computed():
    """Each base and each generator is tried, by the network's name without its reading."""
    data = grey()
    sweeps.check({**CONFIG, "generators": [DNN3, EQ_20]}, data)
    sweeps.check({"bases": [SR], "stems": ["3x3", "7x7"]}, data)
    flat = Data(data.x_train[:, 0], data.y_train, data.x_test[:, 0], data.y_test, "no channels", "", "")
    for wrong in ({"bases": ["ResNet10"]}, {"generators": ["ResNet10, read so"]}):
        with pytest.raises(ValueError, match="does not take images of 6x6"):
            sweeps.check({**CONFIG, "bases": [SR], "generators": [DNN3], **wrong}, flat)


# --- what is measured of noise


def test_strength_is_the_root_of_the_mean_variance_under_the_true_labels():
    """A mean of deviations, labels of other images, or a mean of batches of different sizes."""
    data, sizes = grey(test=700), [1.0, 10.0, 100.0]
    where = torch.ones(1, 6, 6)
    where[..., :2] = 0
    wanted = math.sqrt(4 / 6 * np.mean([sizes[y] ** 2 for y in data.y_test]))
    assert sweeps.strength(sized(sizes, where), data) == pytest.approx(wanted, rel=1e-4)
    data = Data(data.x_train, data.y_train, data.x_test[:520], torch.arange(520) // 512, "", "", "")
    wanted = math.sqrt((512 * 1 + 8 * 100) / 520)
    assert sweeps.strength(sized(sizes), data) == pytest.approx(wanted, rel=1e-4)


def test_looking_at_the_strength_leaves_the_generator_alone():
    """Test images that get into the generator's statistics; a start and an end that are read in two modes."""
    data, config = grey(size=8), {"stems": ["3x3", "7x7"]}
    made = sweeps.new_generator(config, data, "ResNet10", sweeps.ALGORITHM_1, 0)
    before = {k: v.clone() for k, v in made.state_dict().items()}
    found = sweeps.strength(made, data)
    assert same(before, made.state_dict())
    assert found == pytest.approx(sweeps.strength(made.eval(), data))


def test_the_start_of_a_generator_with_batch_normalisation_is_that_of_the_training_images():
    """Running averages of no data (mean 0, variance 1) would give the untrained noise a strength that training never
    sees; and whoever looks may not change what is trained afterwards."""
    data, config = grey(size=8), {"stems": ["3x3", "7x7"]}
    made = sweeps.new_generator(config, data, "ResNet10", sweeps.ALGORITHM_1, 0)
    before = {k: v.clone() for k, v in made.state_dict().items()}
    start = sweeps.settled(made, data, len(data.x_train))
    assert same(before, made.state_dict()) and made.training and not start.training
    first, known = made.network.conv1(data.x_train + made.gamma * data.y_train.view(-1, 1, 1, 1)), start.network.bn1
    assert torch.allclose(known.running_mean, first.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(known.running_var, first.var((0, 2, 3)), rtol=1e-4)
    plain = sweeps.new_generator(config, data, SR, sweeps.ALGORITHM_1, 0)
    assert sweeps.strength(sweeps.settled(plain, data, 5), data) == pytest.approx(sweeps.strength(plain, data))


def test_change_with_label_is_relative_to_the_mean_over_labels():
    """Deviations of 1, 2 and 6: mean 3, variance 14/3; a blind generator does not change at all."""
    data = grey()
    found = sweeps.change_with_label(sized([1.0, 2.0, 6.0]), data.x_test, 3)
    assert found == pytest.approx(math.sqrt(14 / 3) / 3, rel=1e-4)
    where = torch.linspace(0, 2, 36).view(1, 6, 6)  # the same factor at every pixel: the same relative change
    assert sweeps.change_with_label(sized([1.0, 2.0, 6.0], where), data.x_test, 3) == pytest.approx(found, rel=1e-4)
    assert sweeps.change_with_label(sized([2.0] * 3), data.x_test, 3) == pytest.approx(0, abs=1e-6)


def test_accuracy_is_that_of_algorithm_2_or_of_the_plain_argmax():
    """Against loops over images and labels: q(Y | x, ε_Y) under the noise for Y, the largest one wins."""
    data = grey(classes=4)
    torch.manual_seed(0)
    base = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))

    def noise(x, y, m=1):  # no draw, but tells image and label
        return (2 * torch.sin(9 * x * (1 + y.view(-1, 1, 1, 1))))[None]

    right = plain = 0
    for x, y in zip(data.x_test, data.y_test, strict=True):
        q = []
        for label in range(4):
            e = 2 * np.sin(9 * x.double().numpy() * (1 + label))
            logits = base[1].weight.detach().double().numpy() @ (x.double().numpy() + e).ravel()
            logits = logits + base[1].bias.detach().double().numpy()
            q.append(logits[label] - np.log(np.exp(logits).sum()))
        right += int(np.argmax(q)) == int(y)
        plain += int(base(x[None]).argmax()) == int(y)
    assert sweeps.accuracy(base, data, noise) == pytest.approx(100 * right / 30)
    assert sweeps.accuracy(base, data) == pytest.approx(100 * plain / 30) != sweeps.accuracy(base, data, noise)
    made = sized([3.0] * 4)
    assert sweeps.accuracy(base, data, made, seed=2) == sweeps.accuracy(base, data, made, seed=2)


# --- labels


class Reads(nn.Module):
    """A base that reads the label off the size of what it sees: class k at 10 · 4^k; surest where it is `sure`."""

    def __init__(self, classes, sure):
        super().__init__()
        self.centres, self.sure = math.log(10) + math.log(4) * torch.arange(classes), sure

    def forward(self, x):
        size = x.flatten(1).square().mean(1).sqrt().log()
        far = (size[:, None] - self.centres).square()
        return -far * torch.where(far.argmin(1) == self.sure, 20.0, 2.0)[:, None]


def label_row(monkeypatch, base, noise, **changed):
    data = grey(test=300, classes=5, size=12)
    trained = []
    monkeypatch.setattr(sweeps, "prepared", lambda *_: data)
    monkeypatch.setattr(sweeps, "new_base", lambda *_: base)
    monkeypatch.setattr(sweeps, "new_generator", lambda *a: trained.append(a[2:]) or noise)
    monkeypatch.setattr(sweeps, "train", lambda *a, **k: trained.append((a[2:], k)))
    config = settings(sweeps.LABEL, **changed)
    rows = sweeps.label_cell(config, 0.5, 6)
    made, ((given, with_noise, epochs, optimizer, seed), options) = trained
    assert made == (DNN3, sweeps.ALGORITHM_1, 6, 0.5) and not options
    assert given is base and with_noise is noise and (epochs, optimizer, seed) == (1, config["optimizer"], 6)
    return data, {row["measure"]: row["value"] for row in rows}


def test_a_base_that_reads_the_label_off_the_noise_follows_it(monkeypatch):
    """It says what the noise was made for: a label shifted by one, or the noise of another image, and it would not."""
    sizes = [10.0 * 4**k for k in range(5)]
    data, found = label_row(monkeypatch, Reads(5, sure=3), sized(sizes))
    share = 100 * torch.bincount(data.y_test).double() / 300
    assert found["accuracy, own label"] == found["follows"] == 100 and found["follows, chance"] == 0
    assert found["accuracy"] == pytest.approx(share[3].item())  # Algorithm 2 takes the surest label: always 3
    assert found["accuracy, no noise"] == pytest.approx(share[0].item())  # an image alone is small: label 0
    assert found["agreement"] == 0 and found["agreement, one noise"] == 100
    assert found["largest class"] == found["largest class, no noise"] == 100
    assert found["change"] == pytest.approx(100 * np.std(sizes) / np.mean(sizes), rel=1e-4)
    strength = math.sqrt(np.mean([sizes[y] ** 2 for y in data.y_test]))
    assert found["strength"] == pytest.approx(strength, rel=1e-4)


def test_a_base_that_ignores_noise_says_the_same_under_any(monkeypatch):
    """Algorithm 2 is then the plain argmax; and what is called chance is what the wrong label gets by itself."""
    where = torch.zeros(1, 12, 12)
    where[:, :, 6:] = 1  # noise on the right, and a base that looks to the left
    torch.manual_seed(0)
    layer = nn.Linear(72, 5, bias=False)
    layer.weight.data *= 3
    net = nn.Sequential(LeftHalf(), nn.Flatten(), layer)
    data, found = label_row(monkeypatch, net, sized([5.0, 6.0, 7.0, 8.0, 9.0], where))
    plain = net(data.x_test).argmax(1)
    assert found["agreement"] == found["agreement, one noise"] == 100
    own = 100 * (plain == data.y_test).double().mean().item()
    assert found["accuracy"] == found["accuracy, no noise"] == found["accuracy, own label"] == pytest.approx(own)
    wrong = 100 * (plain == (data.y_test + 1) % 5).double().mean().item()
    assert found["follows"] == found["follows, chance"] == pytest.approx(wrong)
    assert found["largest class"] == found["largest class, no noise"] and 20 <= found["largest class"] < 100


class LeftHalf(nn.Module):
    def forward(self, x):
        return x[..., : x.shape[-1] // 2]


def test_pure_noise_images_are_new_and_uniform(monkeypatch):
    """Test images in their place would have classes; what is asked is which class nothing looks like."""
    asked = []
    real = sweeps.predict
    monkeypatch.setattr(sweeps, "predict", lambda base, x, *rest: asked.append(x) or real(base, x, *rest))
    data, _ = label_row(monkeypatch, Reads(5, 3), sized([10.0] * 5))
    images = [x for x in asked if x is not data.x_test]
    assert len(images) == 2 and torch.equal(*images) and images[0].shape == data.x_test.shape
    assert stats.kstest(images[0].flatten()[::5].numpy(), "uniform").pvalue > 1e-3


# --- curves and baselines


def curve(monkeypatch, m, epochs=3, noise=None, **changed):
    """The data, the rows and the network of a cell of curves."""
    data, kept = grey(), []
    real_base = sweeps.new_base
    monkeypatch.setattr(sweeps, "prepared", lambda *_: data)
    monkeypatch.setattr(sweeps, "new_base", lambda *a: kept.append(real_base(*a)) or kept[-1])
    if noise is not None:
        monkeypatch.setattr(sweeps, "new_generator", lambda *_: noise)
    config = settings(sweeps.CURVES, epochs=epochs, batch_size=16, **changed)
    rows = pd.DataFrame(sweeps.curves_cell(config, SR, m, 0))
    return data, rows, kept[0]


@pytest.mark.parametrize("m", [0, 1, 3])
def test_curves_have_a_row_an_epoch_and_end_with_the_network_that_was_trained(m, monkeypatch):
    """Accuracies a step late, of the other part of the data, or under noise, and the last one is not the network's."""
    data, rows, net = curve(monkeypatch, m, lr=0.05)
    for measure in ("accuracy", "loss", "training accuracy"):
        assert pick(rows, measure=measure)["x"].tolist() == [1, 2, 3]
    assert rows["measure"].nunique() == 3
    last = rows[rows["x"] == 3].set_index("measure")["value"]
    assert last["accuracy"] == pytest.approx(evaluate(net, data.x_test, data.y_test))
    assert last["training accuracy"] == pytest.approx(evaluate(net, data.x_train, data.y_train))


def test_the_loss_of_curves_is_that_of_eq_17(monkeypatch):
    """With a learning rate of 0 it is the mean over draws of an untrained base's loss: without noise, or of N(0, 4)."""
    truth = {}
    for m, sigma in ((0, 0.0), (1, 2.0), (4, 2.0)):
        data, rows, net = curve(monkeypatch, m, epochs=40, noise=sized([2.0] * 3), lr=0.0)
        weight, bias = (p.detach().double().numpy() for p in net.parameters())
        x, y = data.x_train.double().flatten(1).numpy(), data.y_train.numpy()
        z = np.random.default_rng(0).normal(size=(4000, *x.shape)) * sigma
        logits = (x + z) @ weight.T + bias
        losses = np.log(np.exp(logits).sum(-1)) - logits[:, np.arange(len(y)), y]
        found = pick(rows, measure="loss")["value"]
        truth[m] = losses.mean()
        error = losses.std() / math.sqrt(40 * 40 * max(m, 1))
        assert found.mean() == pytest.approx(truth[m], abs=5 * error + 1e-5)
        assert found.std() < 1e-5 if m == 0 else found.std() < 3 * error * math.sqrt(40)
    assert truth[1] > truth[0] + 0.1  # Jensen: the difference can be seen


def test_curves_draw_m_and_use_the_configured_optimiser(monkeypatch):
    """m = 0 is plain training, also of the same start; m is the number of draws and not of passes or epochs."""
    calls = watched(monkeypatch)
    config = settings(sweeps.CURVES, optimizer=sweeps.SGD)
    for m in (0, 1, 2):
        sweeps.curves_cell(config, SR, m, 3)
    assert [c.noise is None for c in calls] == [True, False, False]
    assert [c.options.get("m") for c in calls] == [None, 1, 2] and {c.seed for c in calls} == {3}
    assert all(same(c.start, calls[0].start) for c in calls) and same(calls[1].generator, calls[2].generator)
    assert {c.optimizer for c in calls} == {sweeps.SGD}


def test_baselines_are_trained_without_noise(monkeypatch):
    """Accuracies of training and test images exchanged, or another optimiser than asked for."""
    calls = watched(monkeypatch)
    config = settings(sweeps.BASELINES, epochs=2, lr=0.05)
    numbers = {row["measure"]: row["value"] for row in sweeps.baseline_cell(config, SR, sweeps.SGD, 2)}
    ((call),) = calls
    data = sweeps.prepared(config, 2)
    assert call.noise is None and (call.optimizer, call.epochs, call.seed) == (sweeps.SGD, 2, 2) and not call.options
    assert numbers == {
        "accuracy": pytest.approx(evaluate(call.base, data.x_test, data.y_test)),
        "training accuracy": pytest.approx(evaluate(call.base, data.x_train, data.y_train)),
    }


# --- maps


class Where(nn.Module):
    """f_θ that lies where a function of the image says."""

    def __init__(self, rule):
        super().__init__()
        self.rule, self.weight = rule, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.rule(x).flatten(1) + 0 * self.weight


def placed(rule):
    return Generator(Where(rule), 0.0, reading="deviation", positive="abs")


def mapped(monkeypatch, noise, data=None, kind=JOINT, seed=1, sweep=maps.MAPS, **changed):
    calls = []
    if data is not None:
        monkeypatch.setattr(maps, "prepared", lambda *_: data)
    monkeypatch.setattr(maps, "new_generator", lambda *_: noise)
    monkeypatch.setattr(maps, "train", lambda *a, **k: calls.append((a[3], k)))
    config = settings(sweep, **changed)
    return calls, pd.DataFrame(maps.maps_cell(config, kind, seed))


def numbers_of(rows):
    return rows[rows["x"].isna()].set_index("measure")["value"] if "x" in rows else rows.set_index("measure")["value"]


@pytest.mark.parametrize("ink", [True, False])
def test_noise_on_the_ink_and_off_it(ink, monkeypatch):
    """All of it on the object, or all off it; chance and "other images" are counted pixel by pixel."""
    data = grey(test=12)
    noise = placed(lambda x: ((x > 0.5) == ink).float() * 3)
    _, rows = mapped(monkeypatch, noise, data, **{"looked at": 10})
    found = numbers_of(rows)
    bright = (data.x_test[:10, 0] > 0.5).numpy()
    assert found["background"] == pytest.approx(0 if ink else 100, abs=1e-4)
    assert found["background, area"] == pytest.approx(100 * np.mean(~bright))
    v = bright if ink else ~bright
    other = [100 * (v[k - 1] & ~bright[k]).sum() / v[k - 1].sum() for k in range(10)]  # the map of another image
    assert found["background, place"] == pytest.approx(np.mean(other), abs=1e-3)
    assert found["strength"] == pytest.approx(3 * math.sqrt(v.mean()), rel=1e-3)


def test_a_pixel_of_just_that_brightness_is_ink():
    """Digits come in sixteenths: 8/16 is there."""
    data, masks = maps.pictures(settings(maps.MAPS), 0)
    assert (data.x_test == maps.INK).any() and torch.equal(masks, data.x_test[:, 0] >= maps.INK)


def test_ink_is_known_on_grey_images_and_nothing_on_coloured_ones(monkeypatch):
    """A mask of a photograph's red channel would be called its object."""
    data, masks = maps.pictures(settings(maps.MAPS), 0)
    assert masks.shape == data.x_test[:, 0].shape and masks.dtype == torch.bool
    assert (masks[data.x_test[:, 0] > 0.51]).all() and not masks[data.x_test[:, 0] < 0.49].any()
    colour = grey(channels=3)
    monkeypatch.setattr(maps, "prepared", lambda *_: colour)
    assert maps.pictures(settings(maps.MAPS), 0) == (colour, None)
    _, rows = mapped(monkeypatch, placed(lambda x: torch.ones_like(x)), colour)
    assert not rows["measure"].str.startswith("background").any() and {"edges", "gradient"} <= set(rows["measure"])


def test_masks_are_those_of_the_test_scenes(monkeypatch):
    """Masks of training scenes, or of scenes of another seed, lie elsewhere; and seeds have scenes of their own."""
    config = settings(maps.SCENES)
    data, masks = maps.pictures(config, 5)
    x, y, truth = scenes(80, 16, seed=5)
    assert torch.equal(data.x_train, x[:60]) and torch.equal(data.x_test, x[60:]) and torch.equal(masks, truth[60:])
    assert torch.equal(data.y_train, y[:60]) and torch.equal(data.y_test, y[60:])
    assert not torch.equal(maps.pictures(config, 6)[0].x_test, data.x_test)
    _, rows = mapped(monkeypatch, placed(torch.ones_like), seed=5, sweep=maps.SCENES)
    found = numbers_of(rows)
    area = 100 * (~truth[60:70]).double().mean().item()
    assert found["background"] == found["background, area"] == pytest.approx(area, rel=1e-5)
    assert found["background, place"] == pytest.approx(area, rel=1e-5)  # even noise is even on any image


def test_joint_maps_are_trained_once_and_fixed_ones_after_their_base(monkeypatch):
    """A base that was not trained first would be no base; one that still learns would not be fixed."""
    for kind, expected in ((JOINT, [False]), (FIXED, [None, True])):
        noise = placed(torch.ones_like)
        calls, _ = mapped(monkeypatch, noise, kind=kind)
        assert [options.get("fixed") if given is noise else given for given, options in calls] == expected
        assert all(given in (None, noise) for given, _ in calls)


def test_what_the_maps_are_compared_with(monkeypatch):
    """Against edges by hand, and the gradient and curvature of a linear base in closed form."""
    data = grey(test=9)
    _, rows = mapped(monkeypatch, placed(lambda x: x.sqrt()), data, pairs=400, derived=4, **{"looked at": 9})
    found = numbers_of(rows)  # the variance is x itself
    config = settings(maps.MAPS)
    weight, bias = (p.detach().double().numpy() for p in sweeps.new_base(config, data, SR, 1).parameters())
    x, y = data.x_test.double().numpy(), data.y_test.numpy()
    logits = x.reshape(9, -1) @ weight.T + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = np.abs((p - np.eye(3)[y]) @ weight)
    curved = ((p @ weight**2) - (p @ weight) ** 2) / 2  # ½ wᵀ (diag p - p pᵀ) w of each pixel
    edge = np.sqrt(sum(d**2 for d in np.gradient(x[:, 0], axis=(1, 2))))

    def mean(other):
        return np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, other, strict=False)])

    assert found["edges"] == pytest.approx(mean(edge), abs=1e-3)
    assert found["gradient"] == pytest.approx(mean(slope), abs=1e-3)
    assert found["derivative"] == pytest.approx(mean(curved[:4]), abs=0.1)
    assert found["rewarded"] == 0 and found["punished"] > 50  # convex: no noise lowers a linear base's mean loss
    assert found["accuracy"] == pytest.approx(100 * np.mean(logits.argmax(1) == y))


def test_pictures_are_one_test_image_a_class_with_its_noise(monkeypatch):
    """The map of another image, a variance that is a deviation, or noise where there is none."""
    data = grey(test=12)
    torch.manual_seed(9)
    order = torch.randperm(12)
    data = Data(data.x_train, data.y_train, data.x_test[order], data.y_test[order], "", "", "")
    noise = placed(lambda x: 0.2 * x * (torch.arange(6) > 2))
    _, rows = mapped(monkeypatch, noise, data, seed=0, shown=2)
    shown = rows.dropna(subset="x")
    assert set(zip(shown["measure"], shown["x"], strict=True)) == {
        (m, k) for m in ("image", "variance", "noisy") for k in (0, 1)
    }
    for k in (0, 1):
        image = data.x_test[[int(y) for y in data.y_test].index(k), 0].numpy()
        text = {row["measure"]: decoded(row["text"]) / 255 for row in pick(shown, x=k).to_dict("records")}
        s = 0.2 * image * (np.arange(6) > 2)
        assert np.abs(text["image"] - image).max() < 0.0021
        assert np.abs(text["variance"] - (s / s.max()) ** 2).max() < 0.0021
        assert np.allclose(pick(shown, x=k)["value"], s.max(), rtol=1e-4)
        moved = text["noisy"] - text["image"]
        assert np.abs(moved[:, :3]).max() == 0 and 0.02 < moved[:, 3:].std() < 0.4
        assert text["noisy"].min() >= 0 and text["noisy"].max() <= 1
    _, rows = mapped(monkeypatch, noise, data, seed=1)
    assert "text" not in rows  # one seed's pictures are enough


@pytest.mark.parametrize("channels", [1, 3])
def test_packed_images_come_back_as_they_were(channels):
    """Channels first or last, rows and columns exchanged, or brightness cut instead of rounded."""
    image = torch.rand(channels, 7, 7, generator=torch.Generator().manual_seed(0))
    image[:, 0, 0], image[:, 0, 6] = 0, 1
    back = decoded(maps.packed(image))
    assert back.shape == ((7, 7) if channels == 1 else (7, 7, 3))
    wanted = (255 * image).permute(1, 2, 0).numpy().squeeze()
    assert np.abs(back - wanted).max() <= 0.5001 and back.dtype == np.uint8


# --- the bound


def bounded(ratio, q, seed=0, **changed):
    config = {**settings(information.BOUND, points=7, n=4000), **changed}
    return {row["measure"]: row["value"] for row in information.bound_cell(config, ratio, q, seed)}


ROWS = ["H(T)", "H(T|E)", "I(T, E)", "bound", "gap", "estimate", "error"]


@pytest.mark.parametrize("q", [information.POSTERIOR, information.LOGISTIC, information.TRAINED])
@pytest.mark.parametrize("ratio", [1.0, 4.0])
def test_the_bound_lies_below_the_information_by_the_gap(q, ratio):
    """And where both labels have noise of one width there is nothing to know: I = 0."""
    found = bounded(ratio, q)
    assert list(found) == ROWS
    assert found["I(T, E)"] - found["bound"] == pytest.approx(found["gap"], abs=1e-6)
    assert found["H(T)"] - found["H(T|E)"] == pytest.approx(found["I(T, E)"], abs=1e-12)
    x = np.linspace(-2, 2, 7)
    p = 1 / (1 + np.exp(-2 * x))
    assert found["H(T)"] == pytest.approx(np.mean(-p * np.log(p) - (1 - p) * np.log(1 - p)), abs=1e-9)
    assert 0 < found["error"] < 0.05 and abs(found["estimate"] - found["bound"]) < 4.5 * found["error"]
    if ratio == 1:
        assert found["I(T, E)"] == pytest.approx(0, abs=1e-9)
    else:
        assert 0.05 < found["I(T, E)"] < found["H(T)"]
    if q == information.POSTERIOR:
        assert found["gap"] == pytest.approx(0, abs=1e-9)
    else:
        assert found["gap"] > 0.01


def test_information_and_the_logistic_bound_by_another_quadrature():
    """scipy's, label by label: widths 0.2 and 0.8 of which the mean is 0.5, the wide one of label 1."""
    found = bounded(4.0, information.LOGISTIC)
    given = bound = 0.0
    for x in np.linspace(-2, 2, 7):
        one = 1 / (1 + np.exp(-2 * x))
        p, s = (1 - one, one), (0.2, 0.8)

        def density(y, e, p=p, s=s):
            return p[y] * stats.norm.pdf(e, 0, s[y])

        def log_posterior(e, y, density=density):
            return density(y, e) * np.log(density(y, e) / (density(0, e) + density(1, e)))

        def log_base(e, y, x=x, density=density):
            return -density(y, e) * np.logaddexp(0, (1 - 2 * y) * 2 * (x + e))

        for y in (0, 1):
            ends = (-7 * s[y], 7 * s[y])
            given += integrate.quad(log_posterior, *ends, args=(y,), limit=200, points=[0])[0] / 7
            bound += integrate.quad(log_base, *ends, args=(y,), limit=200, points=[0])[0] / 7
    assert found["H(T|E)"] == pytest.approx(-given, abs=1e-6)
    assert found["bound"] == pytest.approx(bound + found["H(T)"], abs=1e-6)


def test_a_network_that_sees_the_noisy_x_learns_and_is_one_of_its_seed():
    """Trained on x without noise, or with the widths of the labels exchanged, it would not beat the logistic one."""
    plain = bounded(16.0, information.LOGISTIC)["bound"]
    ours = [bounded(16.0, information.TRAINED, seed, updates=300)["bound"] for seed in (0, 0, 1)]
    assert ours[0] == ours[1] != ours[2] and min(ours) > plain + 0.02
    assert max(ours) < bounded(16.0, information.POSTERIOR)["I(T, E)"]
    estimates = [bounded(4.0, information.POSTERIOR, seed)["estimate"] for seed in range(30)]
    spread, said = np.std(estimates, ddof=1), bounded(4.0, information.POSTERIOR)["error"]
    assert 0.6 < spread / said < 1.5  # seeds draw anew, and the error is the standard error


# --- cost


class Counting(nn.Module):
    """A linear network that counts its passes, and the images in them, and in which mode it was."""

    def __init__(self, outputs):
        super().__init__()
        self.layer, self.passes = nn.Linear(36, outputs), []

    def forward(self, x):
        self.passes.append((len(x), self.training, torch.is_grad_enabled()))
        return self.layer(x.flatten(1))


def counted(monkeypatch, time=lambda base, made: sum(n for n, *_ in base), asked=None):
    """The rows where a way takes as long as `time` makes of the passes of the base and of the generator."""
    base, f, data = Counting(3), Counting(36), grey()
    log = []

    class Timer:
        def __init__(self, stmt, globals, **options):
            self.way = globals["way"]
            if asked is not None:
                asked.append(options)

        def timeit(self, calls):
            base.passes.clear()
            f.passes.clear()
            self.way()
            log.append(([*base.passes], [*f.passes]))
            return SimpleNamespace(median=float(time(base.passes, f.passes)))

    monkeypatch.setattr(cost, "Timer", Timer)
    monkeypatch.setattr(cost, "prepared", lambda *_: data)
    monkeypatch.setattr(cost, "new_base", lambda *_: base)
    monkeypatch.setattr(cost, "new_generator", lambda *_: Generator(f, 0.1))
    config = settings(cost.COST, m=[1, 3], rounds=3)
    return pd.DataFrame(cost.cost_cell(config, SR, 0)), log


def test_cost_tells_every_way_and_its_ratio_to_the_plain_one(monkeypatch):
    """A time over that of another measure, and of more images than the plain one has."""
    rows, _ = counted(monkeypatch)
    found = {(r.measure, r.x, r.way): r.value for r in rows.itertuples()}
    assert found == {
        ("update", 0, "none"): 1,
        **{("update", m, way): m for m in (1, 3) for way in (cost.SHARED, cost.EACH)},
        ("prediction", 1, "none"): 1,
        ("prediction", 3, cost.BATCH): pytest.approx(3.05, abs=0.05),  # one image more, to count the classes
        ("prediction", 3, cost.LOOP): 3,
    }


def test_ways_differ_in_the_generators_passes_and_in_nothing_else(monkeypatch):
    """One pass of the generator for all draws, or one each; Algorithm 2 in one batch, or label after label."""
    _, log = counted(monkeypatch)
    batch = 20
    counts = [([n for n, *_ in f], [n for n, *_ in b]) for b, f in log[:8]]
    update, share1, each1, share3, each3, plain, one_batch, loop = counts
    assert update == ([], [batch]) and share1 == each1 == ([batch], [batch])
    assert share3 == ([batch], [3 * batch]) and each3 == ([batch] * 3, [3 * batch])
    assert plain == ([], [batch]) and one_batch == ([3 * batch], [1, 3 * batch]) and loop == ([batch] * 3, [batch] * 3)
    assert all(grad for b, f in log[:5] for *_, grad in (*b, *f)) and len(log) == 3 * 8
    assert not any(grad for b, f in log[5:8] for *_, grad in (*b, *f))


def test_all_predictions_are_timed_in_evaluation_mode(monkeypatch):
    """Training mode normalises by the batch: other work, and it changes the networks."""
    _, log = counted(monkeypatch)
    assert not any(training for b, f in log[5:8] for _, training, _ in (*b, *f))


def test_the_median_over_rounds_is_of_ratios_within_a_round(monkeypatch):
    """What else the machine does in a round meets all ways of it: a ratio of medians would not know."""
    rounds = iter([1.0] * 8 + [100.0] * 8 + [7.0] * 8)
    rows, _ = counted(monkeypatch, lambda base, made: next(rounds) * sum(n for n, *_ in base))
    found = {(r.measure, r.x, r.way): r.value for r in rows.itertuples()}
    assert found["update", 3, cost.SHARED] == 3 and found["prediction", 3, cost.LOOP] == 3


def test_cost_is_timed_on_one_thread(monkeypatch):
    """A ratio on several threads is not that of one, which the docstring promises."""
    given = []
    counted(monkeypatch, asked=given)
    assert {options.get("num_threads", 1) for options in given} == {1}
