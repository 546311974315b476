"""Other noises of "Activation Noise for EBM Classification": layers, cells on energies from a table, networks, figures.

Expectations are eqs. (1) and (9), sections 3.1 and 4.4, appendices A, C and D and Table 3, written out by hand.
"""

import copy
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from scipy import stats
from torch import nn

from tutorial_lib import ActivationNoise, Data, PerClass, autoencoder, inject, injected, load_data, remove, set_noise
from tutorial_lib.papers.activation_noise import other_figures as figures
from tutorial_lib.papers.activation_noise import others, sweeps
from tutorial_lib.papers.activation_noise.figures import EXPERIMENTS
from tutorial_lib.papers.activation_noise.method import (
    CentredNoise,
    DropoutNoise,
    placement,
    renoise,
    train_autoencoders,
)
from tutorial_lib.papers.activation_noise.racing import energies_of
from tutorial_lib.sweep import Experiment, run

SITES = [f"{part}.act{i}" for part in ("encoder", "decoder") for i in (1, 2, 3)]
"""The six activations of the paper's autoencoder, first to last; the last one is the output."""
HIDDEN = SITES[:5]
PLACED = {  # Appendix D, counted from 1
    "all": [0, 1, 2, 3, 4, 5], "odd": [0, 2, 4], "even": [1, 3, 5], "encoder": [0, 1, 2], "decoder": [3, 4, 5],
}  # fmt: skip
TABLE_3 = {  # with a width that is noise: that of a unit variance
    "gaussian": {"mu": 0, "sigma": 1}, "cauchy": {"z0": 0, "gamma": 1}, "uniform": {"omega": pytest.approx(12**0.5)},
    "chi": {"k": 1}, "lognormal": {"mu": 0, "sigma": 1}, "t": {"nu": 1}, "exponential": {"rate": 1},
}  # fmt: skip
SHIFTED = {"chi", "lognormal", "exponential"}
CENTRED = [
    ("chi", {}, stats.chi(1)),
    ("chi", {"k": 3}, stats.chi(3)),
    ("chi", {"k": 2.5}, stats.chi(2.5)),
    ("lognormal", {}, stats.lognorm(1)),
    ("lognormal", {"mu": 0.3, "sigma": 0.5}, stats.lognorm(0.5, scale=np.exp(0.3))),
    ("exponential", {"rate": 2}, stats.expon(scale=0.5)),
]


def where_of(name, output):
    return [SITES[i] for i in PLACED[name] if output or i < 5]


def same_draws(*layers, s=None):
    """What each layer makes of the same signal with the same draws."""
    s = torch.zeros(2000, 100) if s is None else s
    found = []
    for layer in layers:
        torch.manual_seed(1)
        found.append(layer(s.clone()))
    return found


# --- layers


@pytest.mark.parametrize(("distribution", "parameters", "exact"), CENTRED)
def test_centred_noise_is_noise_less_its_mean(distribution, parameters, exact):
    """A mean of another distribution or parameter, not times α, times the α of the other mode, or taken off a noise
    that is switched off.
    """
    layer = CentredNoise(distribution, 1.3, alpha_inference=0.4, **parameters)
    plain = ActivationNoise(distribution, 1.3, alpha_inference=0.4, **parameters)
    assert layer.mean == pytest.approx(exact.mean(), rel=1e-9)
    signal = torch.linspace(-1, 1, 200_000).view(2000, 100)
    for alpha, mode in ((1.3, True), (0.4, False)):
        ours, noisy = same_draws(layer.train(mode), plain.train(mode), s=signal)
        assert torch.allclose(ours, noisy - alpha * exact.mean(), atol=1e-5)
        z = (ours - signal).double() / alpha
        assert abs(z.mean().item()) < 5 * exact.std() / len(z.flatten()) ** 0.5
        assert z.std().item() == pytest.approx(exact.std(), rel=0.05)
    off = CentredNoise(distribution, 0.0, alpha_inference=0.4, **parameters)
    assert torch.equal(off(signal), signal) and not torch.equal(off.eval()(signal), signal)
    layer.enabled = False
    assert torch.equal(layer(signal), signal)


def test_centred_noise_scales_with_the_signal_or_says_that_it_cannot():
    """With the `multiplicative` of its base class, t = s + α s z̄: the mean to take off is α s E z̄."""
    try:
        layer = CentredNoise("exponential", 0.5, multiplicative=True)
    except ValueError:
        return
    torch.manual_seed(0)
    assert layer(torch.full((200_000,), 3.0)).mean().item() == pytest.approx(3, abs=5 * 0.5 * 3 / 200_000**0.5)


def test_centred_noise_can_be_copied_and_set_in_a_network():
    """A copy must bring its mean along, and a new α at inference take off as much more."""
    network = nn.Sequential(nn.ReLU())
    inject(network, CentredNoise("chi", k=3))
    network = copy.deepcopy(network)
    found, noisy = same_draws(network, ActivationNoise("chi", k=3))
    assert torch.allclose(found, noisy - stats.chi(3).mean(), atol=1e-6)
    network.eval()
    set_noise(network, alpha_inference=0.2)
    found, noisy = same_draws(network, ActivationNoise("chi", 0.2, k=3))
    assert torch.allclose(found, noisy - 0.2 * stats.chi(3).mean(), atol=1e-6)


@pytest.mark.parametrize("distribution", ["gaussian", "cauchy", "uniform", "t", "other"])
def test_noise_around_zero_is_not_centred(distribution):
    """A Cauchy has no mean; the others' is zero already."""
    with pytest.raises(ValueError, match=distribution):
        CentredNoise(distribution)


@pytest.mark.parametrize(("c", "at_inference"), [(0.3, None), (0.5, 0.1), (0.2, 0.0), (0.0, 0.7)])
def test_dropout_drops_its_share_and_keeps_the_mean(c, at_inference):
    """Section 3.1: a share c at training and one of its own at inference (unless told: the same), else 1/(1 - c)."""
    layer = DropoutNoise(c) if at_inference is None else DropoutNoise(c, alpha_inference=at_inference)
    signal = torch.full((400, 500), 3.0)
    torch.manual_seed(0)
    for mode, p in ((True, c), (False, c if at_inference is None else at_inference)):
        t, error = layer.train(mode)(signal), (p * (1 - p) / signal.numel()) ** 0.5
        assert (t == 0).double().mean().item() == pytest.approx(p, abs=5 * error)
        assert torch.allclose(t[t != 0], torch.tensor(3 / (1 - p)))
        assert t.mean().item() == pytest.approx(3, abs=5 * 3 * error / (1 - p) + 1e-5)
    assert (signal == 3).all()


@pytest.mark.parametrize("c", [1.0, -0.1, 1.5, float("nan")])
def test_dropout_of_no_probability_is_refused(c):
    for options in ({"alpha": c}, {"alpha": 0.5, "alpha_inference": c}):
        with pytest.raises(ValueError, match="dropout scalar"):
            DropoutNoise(**options)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_a_deviation_only_rescales_alpha(sigma):
    """Appendix A: Gaussian noise with deviation σ and scalar α is that with deviation 1 and scalar σα."""
    s = torch.linspace(-1, 1, 5000).view(50, 100)
    for mode in (True, False):
        wide = ActivationNoise("gaussian", 0.7, alpha_inference=0.2, sigma=sigma).train(mode)
        scaled = ActivationNoise("gaussian", 0.7 * sigma, alpha_inference=0.2 * sigma).train(mode)
        found, expected = same_draws(wide, scaled, s=s)
        assert torch.allclose(found, expected, atol=1e-5) and not torch.allclose(found, s, atol=0.1)


# --- where noise is


@pytest.mark.parametrize("name", PLACED)
def test_the_schemes_of_appendix_d(name):
    """Counted from 0, an encoder that ends early, or an output that is noisy in some of the schemes only."""
    for output in (False, True):
        assert placement(autoencoder(), name, output) == where_of(name, output)
    assert placement(autoencoder(), name) == where_of(name, False)
    hidden, placed = autoencoder(), autoencoder()
    assert inject(hidden, ActivationNoise(), "hidden") == inject(placed, ActivationNoise(), placement(placed, "all"))


def toy(noise, where="hidden", classes=10, width=2):
    networks = [autoencoder(1, (width,) * 3) for _ in range(classes)]
    for network in networks:
        inject(network, noise, where)
    return PerClass(networks).train()


@pytest.mark.parametrize("where", ["hidden", "odd", ["decoder.act3"]])
def test_new_noise_takes_the_place_of_the_old(where):
    """A layer or a hook that stays, one object for all, a layer that is still in training, or weights that move."""

    class Counted(DropoutNoise):
        calls = 0

        def forward(self, s):
            Counted.calls += 1
            return super().forward(s)

    model = toy(CentredNoise("exponential", 5.0), "all", classes=3)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    renoise(model, ActivationNoise("uniform", 0.3), "even")
    assert renoise(model, Counted(0.25, alpha_inference=0.125), where) is model
    expected = {"hidden": HIDDEN, "odd": SITES[0::2]}.get(where, where) if isinstance(where, str) else where
    layers = injected(model)
    assert list(layers) == [f"networks.{k}.{site}" for k in range(3) for site in expected]
    assert all(type(layer) is Counted and layer.alpha_inference == 0.125 for layer in layers.values())
    assert len({id(layer) for layer in layers.values()}) == len(layers)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert [*weights] == [*model.state_dict()]
    model(torch.rand(2, 3, 1, 8, 8))
    assert Counted.calls == len(layers)


# --- energies for races


def test_dropout_races_and_shares_no_draws():
    """It has no `common`: plain draws must do without, also beside a layer that has it, and common ones be refused."""
    torch.manual_seed(0)
    model = toy(DropoutNoise(0.5), ["encoder.act1", "decoder.act1"], classes=2, width=8)
    for network in model.networks:
        inject(network, ActivationNoise(alpha=0.0, common=True), ["encoder.act2"])
    x, index = torch.rand(7, 1, 8, 8), torch.tensor([5, 0, 2])
    e = energies_of(model, x)(1, index, range(6))
    assert e.shape == (6, 3) and e.std(0).min() > 0 and not model.training
    assert not any(layer.common for layer in injected(model).values() if hasattr(layer, "common"))
    set_noise(model, alpha_inference=0.0)
    with torch.no_grad():
        clean = (model.networks[1](x) - x).square().sum((1, 2, 3))
    still = energies_of(model, x)(1, index, range(2))
    assert torch.allclose(still, clean[index].expand(2, 3), rtol=1e-4) and not torch.allclose(still, e[:2], rtol=1e-4)
    with pytest.raises(ValueError, match=r"DropoutNoise.*common"):
        energies_of(model, x, common=True)


def test_errors_are_those_of_the_first_images():
    """By hand, on images of two channels: ten draws under the own class (one that no image has among them), and the
    class's mean training image; of all images, of other draws, a class's mean of means, or a sum over channels.
    """
    g = np.random.default_rng(0)
    x, y = g.random((9, 2, 3, 4)), np.array([2, 0, 2, 2, 0, 1, 1, 0, 2])
    x_train, y_train = g.random((6, 2, 3, 4)), np.array([0, 1, 2, 2, 1, 1])
    e = 50 + g.normal(size=(12, 9, 3))
    tensors = map(torch.from_numpy, (x_train, y_train, x, y))
    found = sweeps.errors(
        Data(*tensors, "made up", "", ""),
        lambda k, index, draws: torch.from_numpy(e)[draws.start : draws.stop, index, k],
        5,
    )
    assert 1 not in y[:5]
    own = np.mean([e[d, i, y[i]] for d in range(10) for i in range(5)]) / 24
    mean_image = np.mean([(x_train[y_train == y[i]].mean(0) - x[i]) ** 2 for i in range(5)])
    assert found == {"error": pytest.approx(own, rel=1e-9), "mean_image_error": pytest.approx(mean_image, rel=1e-9)}


# --- cells, on energies from a table

CONFIG = {
    "dataset": "digits", "folder": "", "device": "cpu", "data": {"size": 8, "train": 200, "test": 37},
    "epochs": 2, "batch_size": 16, "n": 20,
}  # fmt: skip
NS = [1, 2, 3, 5, 7, 10, 20]


def never(state, energies):
    return (torch.zeros_like(state.products, dtype=torch.bool),) * 2


def level(call, y):
    """Energies [draws, images, classes], others at each call: the own class's is a little less."""
    e = 20 + np.random.default_rng(call).normal(size=(40, len(y), 10))
    e[:, range(len(y)), y] -= 0.3 + 0.1 * call
    return e


def told(layer):
    """A noise layer in words: its type and law."""
    return type(layer), getattr(layer, "distribution", None), getattr(layer, "parameters_of_noise", None)


def law(distribution, kind=ActivationNoise, **changed):
    return kind, distribution, {**TABLE_3[distribution], **changed}


DROPPED = (DropoutNoise, None, None)


@pytest.fixture
def cell(monkeypatch):
    """A cell with energies from a table, another one for each who asks; what it asked for is kept."""

    def go(name, table=level, seed=0, config=CONFIG, **point):
        seen = SimpleNamespace(inference=[], tables=[])

        def trained(config, noise, seed, where="hidden"):
            seen.config, seen.seed = copy.deepcopy(config), seed
            seen.data = load_data("digits", seed=seed, **config["data"])
            model = toy(noise, where).eval()
            seen.training = noises(model, "alpha")
            return seen.data, model

        def noises(model, alpha):
            first, *rest = [
                [(site, told(layer), float(getattr(layer, alpha))) for site, layer in injected(network).items()]
                for network in model.networks
            ]
            assert all(other == first for other in rest) and len(rest) == 9
            assert all(layer[1:] == first[0][1:] for layer in first)
            return *first[0][1:], [site for site, *_ in first]

        def energies_of(model, x, *args, **options):
            assert x is seen.data.x_test and not any(module.training for module in model.modules())
            assert not args and not options.get("common")
            seen.inference.append(noises(model, "alpha_inference"))
            e = table(len(seen.tables), seen.data.y_test.numpy())
            seen.tables.append(e)
            return lambda k, index, draws: torch.from_numpy(e)[draws.start : draws.stop, index, k]

        monkeypatch.setattr(others, "trained", trained)
        monkeypatch.setattr(others, "energies_of", energies_of)
        seen.rows = getattr(others, f"{name}_cell")(config, seed=seed, **point)
        return seen

    return go


def distribution_case(distribution, parameter, value, centred=False, alpha=0.7):
    point = {"distribution": distribution, "value": value, "centred": centred, "alpha": alpha}
    layer = law(distribution, CentredNoise if centred else ActivationNoise, **{parameter: value})
    return "distribution", point, {}, (layer, alpha, HIDDEN), [({}, layer, alpha, HIDDEN)]


def dropout_case(noise, strength):
    layer = {"dropout": DROPPED, "activation": law("gaussian")}[noise]
    inference = [
        ({"inference": "as in training"}, layer, strength, HIDDEN),
        ({"inference": "without"}, layer, 0.0, HIDDEN),
    ]
    return "dropout", {"noise": noise, "strength": strength}, {}, (layer, strength, HIDDEN), inference


def exchange_case(training, *names):
    inference = [({"inference": name}, law(name), 0.8, HIDDEN) for name in names]
    changed = {"alpha": 0.8, "distributions": list(names)}
    return "exchange", {"training": training}, changed, (law(training), 0.8, HIDDEN), inference


def placement_case(training, output):
    layer = law("gaussian")
    inference = [({"inference": name}, layer, 1.1, where_of(name, output)) for name in PLACED]
    changed = {"alpha": 1.1, "output": output, "placements": [training]}
    return "placement", {"training": training}, changed, (layer, 1.1, where_of(training, output)), inference


def loss_case(loss, alpha):
    layer = law("gaussian")
    return "loss", {"loss": loss, "alpha": alpha}, {}, (layer, alpha, HIDDEN), [({}, layer, alpha, HIDDEN)]


CASES = [
    *(dropout_case(*point) for point in (("activation", 0.9), ("activation", 0.0), ("dropout", 0.3))),
    distribution_case("gaussian", "sigma", 2.0), distribution_case("cauchy", "gamma", 0.5),
    distribution_case("uniform", "omega", 1.0), distribution_case("t", "nu", 3.0),
    *(distribution_case("chi", "k", 3.0, centred) for centred in (False, True)),
    *(distribution_case("lognormal", "sigma", 0.5, centred) for centred in (False, True)),
    *(distribution_case("exponential", "rate", 2.0, centred) for centred in (False, True)),
    distribution_case("gaussian", "sigma", 1.0, alpha=0.0),
    exchange_case("cauchy", "gaussian", "exponential", "cauchy"), exchange_case("lognormal", *TABLE_3),
    placement_case("all", False), placement_case("even", True), placement_case("decoder", False),
    loss_case("bce", 0.9), loss_case("mse", 0.9), loss_case("bce", 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "point", "changed", "training", "inference"),
    CASES,
    ids=["-".join(map(str, (case[0], *case[1].values(), case[2].get("output", "")))).strip("-") for case in CASES],
)
def test_a_cell_trains_once_and_counts_what_each_inference_says(
    cell, monkeypatch, name, point, changed, training, inference
):
    """Training or inference with other noise, at other layers, another α or seed; rows that are another inference's;
    a count of other images or n; noise-free networks that are drawn more than once.

    With a rule that drops no class. A cell must leave the settings of its sweep as they are.
    """
    monkeypatch.setattr(others, "practical", lambda: never)
    config = {**CONFIG, **changed}
    before = copy.deepcopy(config)
    seen = cell(name, seed=3, config=config, **point)
    assert config == before and seen.seed == 3
    assert seen.config == ({**before, "loss": point["loss"]} if name == "loss" else before)
    assert seen.training == training and seen.inference == [(layer, a, sites) for _, layer, a, sites in inference]
    y, x = seen.data.y_test.numpy(), seen.data.x_test.numpy()
    means = [seen.data.x_train.numpy()[seen.data.y_train.numpy() == k].mean(0) for k in range(10)]
    mean_image, expected = np.mean([((x[i] - means[y[i]]) ** 2).mean() for i in range(37)]), []
    for e, (label, _, alpha, _) in zip(seen.tables, inference, strict=True):
        own = np.mean([e[d, i, y[i]] for d in range(10) for i in range(37)]) / 64
        for n in NS if alpha else [1]:
            accuracy = 100 * (e[:n].mean(0).argmin(1) == y).mean()  # eq. (9)
            expected.append({**label, "n": n, "accuracy": accuracy, "error": own, "mean_image_error": mean_image})
    assert seen.rows == [
        {key: value if isinstance(value, str | int) else pytest.approx(value, rel=1e-5) for key, value in row.items()}
        for row in expected
    ]
    assert len({row["accuracy"] for row in expected}) >= min(len(expected), 4) or not any(a for _, _, a, _ in inference)


def test_an_image_whose_class_is_out_is_drawn_no_more(cell):
    """Classes 0 and 1 tie in every image, and race to the end for images of these only: what others may not take is no
    number. Ties go to the first class.
    """

    def table(call, y):
        e = np.tile(np.arange(10.0) + 3, (200, len(y), 1))
        e[:, :, 1] = 3
        e[10:, y > 1] = np.nan
        return e

    seen = cell("loss", table, config={**CONFIG, "n": 30}, loss="mse", alpha=0.5)
    y = seen.data.y_test.numpy()
    assert [row["n"] for row in seen.rows] == [1, 2, 3, 5, 7, 10, 20, 30] and 0 < (y == 0).sum() < (y < 2).sum()
    assert all(row["accuracy"] == pytest.approx(100 * (y == 0).mean()) for row in seen.rows)


# --- cells, on networks

REAL = {
    **CONFIG, "epochs": 15, "batch_size": 8, "loss": "bce", "n": 10, "data": {"size": 8, "train": 150, "test": 60},
}  # fmt: skip


SMALL = {"widths": (8, 12, 16), "lr": 0.01}
"""Networks of the same layers that learn something in a second."""


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(sweeps, "train_autoencoders", partial(train_autoencoders, **SMALL))


def add(alpha, z):
    return lambda s: s + alpha * z(s.shape)


def drop(c):
    return lambda s: s * (torch.rand(s.shape) >= c) / (1 - c)


def centred_chi(shape):
    return torch.randn(3, *shape).square().sum(0).sqrt() - stats.chi(3).mean()


def lognormal(shape):
    return torch.randn(shape).exp()


NETWORKS = {
    "distribution": (
        {"distribution": "chi", "value": 3.0, "centred": True, "alpha": 0.6}, {}, CentredNoise("chi", 0.6, k=3),
        HIDDEN, {None: (add(0.6, centred_chi), HIDDEN)},
    ),
    "dropout": (
        {"noise": "dropout", "strength": 0.3}, {}, DropoutNoise(0.3), HIDDEN,
        {"as in training": (drop(0.3), HIDDEN), "without": (drop(0.0), HIDDEN)},
    ),
    "exchange": (
        {"training": "gaussian"}, {"alpha": 0.6, "distributions": ["gaussian", "lognormal"]},
        ActivationNoise(alpha=0.6), HIDDEN,
        {"gaussian": (add(0.6, torch.randn), HIDDEN), "lognormal": (add(0.6, lognormal), HIDDEN)},
    ),
    "placement": (
        {"training": "encoder"}, {"alpha": 0.8, "output": True}, ActivationNoise(alpha=0.8), SITES[:3],
        {name: (add(0.8, torch.randn), where_of(name, True)) for name in PLACED},
    ),
}  # fmt: skip


def by_hand(network, x, noise, sites):
    """Energies (eq. 5) of a clean network with noise behind some activations, eq. (1), layer by layer."""
    s = x
    with torch.no_grad():
        for part in ("encoder", "decoder"):
            for name, module in getattr(network, part).named_children():
                s = module(s)
                if f"{part}.{name}" in sites:
                    s = noise(s)
    return (s - x).square().sum((1, 2, 3)).double()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cell_is_what_the_method_says(small, name):
    """The real cell against networks that are trained with the layer, and inferred layer by layer with draws of ours.

    Errors a pixel and accuracies within 4.5 of their standard errors; the former are precise to a few percent.
    """
    point, changed, layer, sites, inference = NETWORKS[name]
    config = {**REAL, **changed}
    rows = getattr(others, f"{name}_cell")(config, seed=1, **point)
    found = {(row.get("inference"), row["n"]): row for row in rows}
    data = load_data("digits", seed=1, **config["data"])
    x, y = data.x_test, data.y_test
    options = {"epochs": 15, "batch_size": 8, "loss": "bce", "seed": 1, "progress": False, **SMALL}
    model = train_autoencoders(data.x_train, data.y_train, layer, where=sites, **options)
    remove(model)
    for key, (noise, places) in inference.items():
        draws = torch.stack(
            [by_hand(net, x.repeat(30, 1, 1, 1), noise, places).view(30, 60) for net in model.networks], 2
        )
        own = draws[:, torch.arange(60), y] / 64
        se = (own.var(0) * (1 / 10 + 1 / 30)).sum().sqrt().item() / 60
        assert se < 0.03 * own.mean()
        last = 1 if key == "without" else 10
        assert {n for k, n in found if k == key} == ({1} if key == "without" else {1, 2, 3, 5, 7, 10})
        assert found[key, last]["error"] == pytest.approx(own.mean().item(), abs=4.5 * se + 1e-6)
        for n in {1, last}:
            right = (draws.view(30 // n, n, 60, 10).mean(1).argmin(-1) == y).double().mean(0)
            se = (right * (1 - right)).sum().sqrt().item() / 60
            assert found[key, n]["accuracy"] / 100 == pytest.approx(right.mean().item(), abs=4.5 * se + 1 / 60)


def test_the_loss_of_the_cell_trains_its_networks(small, monkeypatch):
    """Section 4.1, over the loss of the settings: networks of "bce" and of "mse" are those that these train."""
    kept, real = [], sweeps.trained
    monkeypatch.setattr(others, "trained", lambda *args, **more: kept.append(real(*args, **more)) or kept[-1])
    config = {**REAL, "epochs": 1, "data": {"size": 8, "train": 100, "test": 20}}
    options = {"epochs": 1, "batch_size": 8, "seed": 0, "progress": False, **SMALL}
    firsts = []
    for loss in ("mse", "bce"):
        others.loss_cell(config, loss, 0.9, seed=0)
        data, model = kept[-1]
        twin = train_autoencoders(data.x_train, data.y_train, ActivationNoise(alpha=0.9), loss=loss, **options)
        pairs = list(zip(model.parameters(), twin.parameters(), strict=True))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
        firsts.append(next(model.parameters()))
    assert not torch.allclose(*firsts, atol=1e-4)


# --- sweeps

SWEEPS = {sweep.name.partition("/")[2]: sweep for sweep in
          (others.DROPOUT, others.SHAPES, others.EXCHANGE, others.PLACEMENT, others.LOSSES)}  # fmt: skip
SETTINGS = [("smoke", None), ("desk", None), ("desk", "digits"), ("desk", "mnist"), ("desk", "svhn"), ("paper", None)]
"""One of each kind: a data set of the budget's own, with settings of its own, and without."""
SIZES = {  # cells a seed, in the order of SETTINGS: of 7 distributions 3 are centred, too; no noise once; other values
    "fig-2": [3, 4 + 4, 6 + 5, 6 + 5, 6 + 5, 20 + 9],
    "fig-6": [1 + 3 + 1, 1 + 3 * (4 + 6), *[1 + 3 * (4 + 6) + 6] * 3, 1 + 19 * (4 + 6 + 14)],
    "fig-8": [2, 7, 7, 7, 7, 7],
    "fig-9": [2, 5, 5, 5, 5, 5],
    "loss": [4] * 6,
}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_budget_has_its_grid_and_the_networks_of_figure_3(name):
    """A point that is there twice, or lost; networks, or an n, other than the paper's or those of Figure 3."""
    sweep = SWEEPS[name]
    assert sweep.check is sweeps.check  # the size of the images
    for (budget, dataset), size in zip(SETTINGS, SIZES[name], strict=True):
        config = sweep.config(budget, dataset)
        points = [tuple(sorted(point.items())) for point in sweep.grid(config)]
        assert len(points) == len(set(points)) == size, (budget, dataset)
        assert len(sweep.cells(config)) == size * config["seeds"]
        networks = {key: config.get(key, "mse") for key in ("data", "epochs", "batch_size", "loss")}
        if budget == "paper":  # section 4.3, Fig. 2
            assert networks == {"data": {"size": 32}, "epochs": 100, "batch_size": 256, "loss": "mse"}
            assert (config["seeds"], config["n"], config["dataset"]) == (10, 1000, "cifar-10")
        elif budget == "desk":
            ours = {"loss": "mse", **sweeps.DESK["default"], **sweeps.DESK.get(config["dataset"], {})}
            assert networks == {key: ours[key] for key in networks}
            assert config["seeds"] > 1 and config["n"] >= 100
        else:
            assert config["dataset"] == "digits" and config["seeds"] == 1
        if name in ("fig-8", "fig-9"):  # appendices C, D
            assert config["alpha"] == 1.0 and config.get("output") in (None, False)


@pytest.mark.parametrize(("budget", "dataset"), SETTINGS)
def test_the_grids_hold_what_the_paper_compares(budget, dataset):
    """Every α with every distribution, centred too where the mean is not zero, and no noise once (as Gaussian noise,
    untouched); other values of a parameter at some α; α and c of Fig. 2; both losses with and without noise.
    """
    config = others.SHAPES.config(budget, dataset)
    points = others.SHAPES.grid(config)
    free = [p for p in points if p["alpha"] == 0]
    assert free == [{"distribution": "gaussian", "value": 1.0, "centred": False, "alpha": 0.0}]
    expected = {(d, v, c, a) for d, values in config["values"].items() for v in values
                for a in config["alphas" if v in others.SHAPE_DEFAULTS[d] else "other alphas"]
                for c in ((False, True) if d in SHIFTED and v in others.SHAPE_DEFAULTS[d] else (False,))}  # fmt: skip
    if budget == "paper":
        assert config["other alphas"] == config["alphas"]
    assert {(p["distribution"], p["value"], p["centred"], p["alpha"]) for p in points if p["alpha"]} == expected
    if budget != "smoke":
        for name, values in config["values"].items():
            (parameter,) = {key for key in TABLE_3[name] if key not in ("mu", "z0")}
            default = TABLE_3[name][parameter]
            assert any(v == pytest.approx(getattr(default, "expected", default), abs=1e-3) for v in values)
        assert set(config["values"]) == set(TABLE_3)
        assert set(others.EXCHANGE.config(budget, dataset)["distributions"]) == set(TABLE_3)
        assert [p["training"] for p in others.PLACEMENT.grid(others.PLACEMENT.config(budget, dataset))] == [*PLACED]
    strengths = others.DROPOUT.grid(others.DROPOUT.config(budget, dataset))
    alphas, scalars = ([p["strength"] for p in strengths if p["noise"] == n] for n in ("activation", "dropout"))
    assert len(alphas) + len(scalars) == len(strengths) and alphas.count(0) == 1 and all(0 < c < 1 for c in scalars)
    if budget == "paper":
        assert np.allclose(alphas, np.arange(20) / 10) and np.allclose(scalars, np.arange(1, 10) / 10)
    losses = others.LOSSES.grid(others.LOSSES.config(budget, dataset))
    assert {(p["loss"], p["alpha"]) for p in losses} == {(loss, a) for loss in ("mse", "bce") for a in (0.0, 0.9)}


ITEMS = {e.name.partition("/")[2]: e for e in EXPERIMENTS}


def test_every_sweep_runs_and_every_item_is_drawn(small, tmp_path):
    """From settings to files with a small real sweep: rows that cannot be written, or views that cannot be drawn."""
    views = {
        "fig-2": {"fig-2": figures.draw_dropout}, "fig-9": {"fig-9": figures.draw_placement},
        "fig-6": {"fig-4": figures.draw_profiles, "fig-6": figures.draw_shapes},
        "fig-8": {"fig-8": figures.draw_exchange, "table-3": figures.draw_parameters},
        "loss": {"loss": figures.draw_losses},
    }  # fmt: skip
    for name, items in views.items():
        assert all(ITEMS[item].sweep is SWEEPS[name] and ITEMS[item].draw is draw for item, draw in items.items())
        data = {"train": 60, "test": 12}
        paths = run(ITEMS[name], [ITEMS[i] for i in items], data=data, out=tmp_path, progress=False)
        assert len(paths) == 1 + len(items) and all(path.stat().st_size for path in paths)
        table = pd.read_csv(paths[0])
        assert table["accuracy"].between(0, 100).all() and table["error"].notna().all()


def flat_cell(config, distribution, value, centred, alpha, seed):
    """In place of the cell of Figures 4 and 6: no networks."""
    return [{"n": 1 if alpha == 0 else 10, "accuracy": 10 + 50 * alpha + 2 * seed}]


def test_all_seven_are_drawn_from_a_table_that_was_written(tmp_path):
    """What is drawn is what was written, with six digits: the parameter of Table 3 must be found in it again, also the
    uniform's 2√3.
    """
    settings = {"smoke": {"default": {"seeds": 1, "values": others.SHAPE_DEFAULTS, "alphas": [0.9]}}}
    sweep = replace(others.SHAPES, name="made-up/fig-6", cell=flat_cell, settings=settings, datasets={"smoke": "none"})
    view = Experiment("made-up/fig-6", "", "", "", sweep, figures.draw_profiles)
    (path,) = run(view, [], out=tmp_path, progress=False)
    table = view.view(pd.read_csv(path))
    for figure in (figures.draw_profiles(table, "made up"), figures.draw_shapes(table, "made up")):
        axis = next(a for a in figure.axes[::-1] if a.axison)
        assert {label: y for label, (_, y) in lines(axis).items()} == {name: [10, 55] for name in TABLE_3}


# --- figures


def rows_of(names, *rows):
    """A table; the last column is of lists: the accuracies of seeds 0, 1, ..."""
    names = names.split()
    return pd.DataFrame([
        {**dict(zip(names, row, strict=False)), "seed": seed, "accuracy": float(value)}
        for row in rows for seed, value in enumerate(row[-1])
    ])  # fmt: skip


def lines(axis):
    """The curves of an axis by label: x and y."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines}


def bands(axis):
    """The bands of an axis: (x, low, high) at its ends."""
    found = []
    for band in axis.collections:
        points = band.get_paths()[0].vertices
        found += [(x, points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max()) for x in {*points[:, 0]}]
    return found


def says(figure, *words):
    assert all(word in figure.get_suptitle() for word in ("made up", *words)), figure.get_suptitle()


def test_dropout_is_drawn_as_its_table_has_it():
    """Means over seeds at the largest n, a point for each strength; α on the left, c on the right; a band of one
    standard error; balanced and at training only not mixed up.
    """
    table = rows_of(
        "noise strength inference n",
        ("dropout", 0.7, "as in training", 10, [30, 30]), ("dropout", 0.7, "without", 1, [5, 7]),
        ("activation", 0.9, "as in training", 1, [1, 2]), ("activation", 0.9, "as in training", 10, [50, 60]),
        ("activation", 0.9, "without", 1, [30, 34]),
        ("activation", 0.0, "as in training", 1, [10, 14]), ("activation", 0.0, "without", 1, [10, 14]),
        ("dropout", 0.5, "as in training", 1, [3, 3]), ("dropout", 0.5, "as in training", 10, [40, 44]),
        ("dropout", 0.5, "without", 1, [20, 22]),
    )  # fmt: skip
    figure = figures.draw_dropout(table, "made up")
    left, right = figure.axes
    assert lines(left) == {
        "Gaussian noise, balanced": ([0, 0.9], [12, 55]), "Gaussian noise, at training only": ([0, 0.9], [12, 32]),
    }  # fmt: skip
    assert lines(right) == {
        "dropout, balanced": ([0.5, 0.7], [42, 30]),
        "dropout, at training only": ([0.5, 0.7], [21, 6]),
    }
    assert sorted(bands(left)) == [(0, 10, 14), (0, 10, 14), (0.9, 30, 34), (0.9, 50, 60)]
    assert "α" in left.get_xlabel() and "c" in right.get_xlabel() and "%" in left.get_ylabel()
    says(figure, "n = 10", "2 seeds")


SHAPES = rows_of(
    "distribution value centred alpha n",
    ("gaussian", 1.0, False, 0.0, 1, [20, 24]),
    ("gaussian", 1.0, False, 0.9, 1, [1, 1]), ("gaussian", 1.0, False, 0.9, 10, [60, 62]),
    ("gaussian", 1.0, False, 0.3, 10, [40, 44]), ("chi", 1.0, False, 0.9, 10, [30, 34]),
    ("chi", 1.0, True, 0.9, 10, [50, 54]), ("chi", 1.0, True, 0.9, 1, [2, 2]), ("chi", 3.0, False, 0.9, 10, [8, 8]),
    ("chi", 3.0, True, 0.9, 10, [11, 13]), ("t", 3.0, False, 0.9, 10, [70, 70]), ("t", 1.0, False, 0.9, 10, [66, 68]),
)  # fmt: skip


def test_no_noise_stands_for_every_distribution():
    """At the largest n, which is 1 without noise: one point for each distribution, value, centred or not, and seed;
    none twice, and noisy ones as they are.
    """
    found = figures.with_noise_free(SHAPES)
    kinds = {("gaussian", 1.0, False), ("chi", 1.0, False), ("chi", 1.0, True), ("chi", 3.0, False), ("chi", 3.0, True),
             ("t", 3.0, False), ("t", 1.0, False)}  # fmt: skip
    expected = {(*kind, 0.0, 1, seed, [20.0, 24.0][seed]) for kind in kinds for seed in (0, 1)}
    columns = ["distribution", "value", "centred", "alpha", "n", "seed", "accuracy"]
    expected |= set(SHAPES[(SHAPES["n"] == 10)][columns].itertuples(index=False, name=None))
    assert len(found) == len(expected)
    assert set(found[columns].itertuples(index=False, name=None)) == expected


def test_profiles_are_drawn_as_their_table_has_it():
    """Densities of the seven with Table 3's parameters; accuracy with these, and with the mean where it is."""
    figure = figures.draw_profiles(SHAPES, "made up")
    left, right = figure.axes
    found = {"gaussian": ([0, 0.3, 0.9], [22, 42, 61]), "chi": ([0, 0.9], [22, 32]), "t": ([0, 0.9], [22, 67])}
    assert lines(right) == found
    exact = [stats.norm(), stats.cauchy(), stats.uniform(-(3**0.5), 12**0.5), stats.chi(1), stats.lognorm(1),
             stats.t(1), stats.expon()]  # fmt: skip
    for line, name, density in zip(left.lines, TABLE_3, exact, strict=True):
        assert line.get_ydata() == pytest.approx(density.pdf(line.get_xdata()), abs=1e-9)
        assert (line.get_linestyle() == "--") == (name in SHIFTED)
    colours = dict(zip(TABLE_3, (to_hex(line.get_color()) for line in left.lines), strict=True))
    assert len(set(colours.values())) == 7
    for line in right.lines:
        assert to_hex(line.get_color()) == colours[line.get_label()]
        assert (line.get_linestyle() == "--") == (line.get_label() in SHIFTED)
    says(figure, "n = 10", "2 seeds")


def test_shapes_are_drawn_as_their_table_has_it():
    """A panel a distribution, a line a value, dashed and hollow without the mean in the same colour; the last panel
    compares those of Table 3.
    """
    figure = figures.draw_shapes(SHAPES, "made up")
    panels = {axis.get_title(): axis for axis in figure.axes if axis.axison}
    assert list(panels) == ["gaussian", "chi", "t", "parameters of Table 3"]
    assert lines(panels["gaussian"]) == {"sigma = 1": ([0, 0.3, 0.9], [22, 42, 61])}
    assert lines(panels["t"]) == {"nu = 1": ([0, 0.9], [22, 67]), "nu = 3": ([0, 0.9], [22, 70])}
    chi = [
        (line.get_label(), line.get_linestyle(), line.get_markerfacecolor() == "none", line.get_ydata()[-1])
        for line in panels["chi"].lines
    ]
    assert [(dash, hollow, y) for _, dash, hollow, y in chi] == [
        ("-", False, 32), ("--", True, 52), ("-", False, 8), ("--", True, 12),
    ]  # fmt: skip
    assert [chi[0][0], chi[2][0]] == ["k = 1", "k = 3"] and len(panels["chi"].get_legend().get_texts()) == 2
    colours = [to_hex(line.get_color()) for line in panels["chi"].lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    last = panels["parameters of Table 3"]
    assert lines(last) == {
        "gaussian": ([0, 0.3, 0.9], [22, 42, 61]), "chi": ([0, 0.9], [22, 32]), "t": ([0, 0.9], [22, 67]),
    }  # fmt: skip
    assert all("α" in axis.get_xlabel() and "%" in axis.get_ylabel() for axis in panels.values())
    says(figure, "n = 10", "2 seeds", "mean taken off")


@pytest.mark.parametrize(
    ("draw", "what", "order", "training"),
    [
        (figures.draw_exchange, "distribution", [*TABLE_3], ["gaussian", "lognormal", "t"]),
        (figures.draw_placement, "noisy layers", [*PLACED], ["odd", "even", "decoder"]),
    ],
)
def test_exchanges_are_drawn_as_their_table_has_it(draw, what, order, training):
    """Training across, inference down, both in the paper's order and not in the alphabet's; means over seeds at the
    largest n; a pair that was not measured is no number.
    """
    pairs = {(a, b): 10 * i + j for i, a in enumerate(training) for j, b in enumerate(order) if (i, j) != (1, 2)}
    rows = [(a, b, n, [v + 1, v + 3] if n == 10 else [0, 0]) for (a, b), v in pairs.items() for n in (10, 1)]
    figure = draw(rows_of("training inference n", *rows[::-1]), "made up")
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.get_xticklabels()] == training
    assert [t.get_text() for t in axis.get_yticklabels()] == order
    grid = np.ma.filled(axis.collections[0].get_array(), np.nan).reshape(len(order), len(training))
    for i, a in enumerate(training):
        for j, b in enumerate(order):
            assert grid[j, i] == pytest.approx(pairs.get((a, b), np.nan) + 2, nan_ok=True)
    assert (axis.get_xlabel(), axis.get_ylabel()) == (f"{what} at training", f"{what} at inference")
    assert all(word in axis.get_title() for word in ("made up", "n = 10", "2 seeds"))


def test_the_table_of_parameters():
    """Table 3 as printed, ours beside it, and accuracy with the same distribution at both ends, at the largest n."""
    table = rows_of(
        "training inference n",
        ("chi", "chi", 10, [30, 31]), ("chi", "chi", 1, [1, 1]), ("chi", "gaussian", 10, [70, 70]),
        ("gaussian", "chi", 10, [80, 80]), ("gaussian", "gaussian", 10, [60, 64]),
    )  # fmt: skip
    found = figures.draw_parameters(table, "made up")
    ours, paper, accuracy = found.columns
    assert "made up" in accuracy and found[accuracy].replace("", None).dropna().to_dict() == {
        "gaussian": "62.00", "chi": "30.50",
    }  # fmt: skip
    assert found[paper].to_dict() == {
        "gaussian": "μ = 0, σ = 1", "cauchy": "μ = 0, γ = 1", "t": "ν = 1", "uniform": "ω = 0",
        "lognormal": "μ = 0, σ = 1", "chi": "k = 1", "exponential": "λ = 1",
    }  # fmt: skip
    assert found[ours].to_dict() == {
        "gaussian": "mu = 0, sigma = 1", "cauchy": "z0 = 0, gamma = 1", "uniform": "omega = 3.464", "chi": "k = 1",
        "lognormal": "mu = 0, sigma = 1", "t": "nu = 1", "exponential": "rate = 1",
    }  # fmt: skip


def test_the_table_of_losses():
    """Mean ± standard error at the largest n, which without noise is 1; with one seed no error."""
    table = rows_of(
        "loss alpha n",
        ("mse", 0.0, 1, [10, 14]), ("bce", 0.0, 1, [20]), ("mse", 0.9, 1, [1, 1]), ("mse", 0.9, 10, [30, 31]),
        ("bce", 0.9, 10, [40, 44]),
    )  # fmt: skip
    found = figures.draw_losses(table, "made up")
    assert found.shape == (2, 2) and {(loss, a): found.loc[loss, a] for loss in ("mse", "bce") for a in (0.0, 0.9)} == {
        ("mse", 0.0): "12.00 ± 2.00", ("bce", 0.0): "20.00", ("mse", 0.9): "30.50 ± 0.50", ("bce", 0.9): "42.00 ± 2.00",
    }  # fmt: skip
