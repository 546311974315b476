"""Appendix E of "Activation Noise for EBM Classification": how its classifiers are trained, averaged and told of.

Expectations are the appendix, Tables 4 and 5, and closed forms; cells get networks and predictions from a table.
"""

import copy
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_activation_noise_others import rows_of
from torch import nn

from tutorial_lib import ActivationNoise, Data, inject, injected, load_data, set_noise
from tutorial_lib.architectures import ARCHITECTURES, architecture
from tutorial_lib.noise import sample
from tutorial_lib.papers.activation_noise import classifiers, figures, other_figures, reported
from tutorial_lib.papers.activation_noise.classifiers import averaged, cosine, renormalise, train_classifier
from tutorial_lib.sweep import plain_rows
from tutorial_lib.train import fit

# --- training


@pytest.mark.parametrize("epochs", [1, 4, 30])
def test_the_rate_falls_like_a_cosine(epochs):
    """Appendix E: Adam at 0.001 with the default momentum, and cosine annealing. A rate that stands, falls with every
    batch or for half of the epochs, or that is an epoch late.
    """
    rates, (optimizer, callback) = [], cosine(epochs)

    def watched(parameters, lr):
        adam = optimizer(parameters, lr=lr)
        assert type(adam) is torch.optim.Adam and adam.defaults["betas"] == (0.9, 0.999)
        assert not adam.defaults["weight_decay"] and not adam.defaults["amsgrad"]
        adam.register_step_pre_hook(lambda adam, *_: rates.append(adam.param_groups[0]["lr"]))
        return adam

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = {"epochs": epochs, "batch_size": 3, "optimizer": watched, "callback": callback, "progress": False}
        fit(nn.Linear(2, 2), torch.rand(6, 2), torch.tensor([0, 1] * 3), **options)
    expected = [0.001 / 2 * (1 + math.cos(math.pi * t / epochs)) for t in range(epochs) for _ in range(2)]
    assert rates == pytest.approx(expected, abs=1e-12)


def test_no_epochs_is_no_error():
    optimizer, callback = cosine(0)
    options = {"epochs": 0, "optimizer": optimizer, "callback": callback, "progress": False}
    assert fit(nn.Linear(2, 2), torch.rand(6, 2), torch.tensor([0, 1] * 3), **options) == []


@pytest.fixture
def colours(tmp_path):
    """Settings for a data set of three classes of images in colour, made up."""
    g, path = np.random.default_rng(0), tmp_path / "made-up.npz"
    arrays = {}
    for part, size in (("train", 60), ("test", 18)):
        arrays[f"y_{part}"] = np.arange(size) % 3
        arrays[f"x_{part}"] = g.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8)
    np.savez(path, **arrays)
    return {
        "dataset": str(path), "folder": "", "device": "cpu", "data": {"size": 8, "train": 42, "test": 12},
        "epochs": 3, "batch_size": 12, "narrow": True, "n": 3,
    }  # fmt: skip


def by_hand(config, name, alpha, seed):
    """A network of Table 4 as Appendix E trains it, in a loop of our own."""
    data = load_data(config["dataset"], seed=seed, **config["data"])
    torch.manual_seed(seed)
    model = architecture(name, 3, 3, config["narrow"])
    inject(model, ActivationNoise("gaussian", alpha))
    torch.manual_seed(seed)
    adam = torch.optim.Adam(model.train().parameters())
    for t in range(config["epochs"]):
        adam.param_groups[0]["lr"] = 0.001 / 2 * (1 + math.cos(math.pi * t / config["epochs"]))
        for batch in torch.randperm(len(data.x_train)).split(config["batch_size"]):
            adam.zero_grad()
            nn.functional.cross_entropy(model(data.x_train[batch]), data.y_train[batch]).backward()
            adam.step()
    return data, model.eval()


def same_weights(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.allclose(x.double(), y.double(), atol=1e-5) for x, y in pairs)


@pytest.mark.parametrize(("name", "alpha", "seed"), [("VGG11", 0.7, 2), ("SimpleDLA", 0.0, 0), ("VGG13", 0.3, 1)])
def test_a_classifier_is_trained_as_its_settings_say(colours, name, alpha, seed):
    """Another network, α, seed, loss or rate; ten classes or one channel where the data have three."""
    before = copy.deepcopy(colours)
    data, model = train_classifier(colours, name, alpha, seed)
    same, twin = by_hand(colours, name, alpha, seed)
    assert colours == before and len(data.x_train) == 42
    assert torch.equal(data.x_train, same.x_train) and torch.equal(data.y_test, same.y_test)
    assert same_weights(model, twin) and not model.training
    layers = injected(model)
    assert [*layers] == [*injected(twin)] and not any(layer.training for layer in layers.values())
    assert {(m.distribution, m.alpha, m.alpha_inference) for m in layers.values()} == {("gaussian", alpha, alpha)}
    for changed in ({"epochs": 2}, {"batch_size": 21}, {"data": {"size": 8, "train": 30}}):
        assert not same_weights(model, train_classifier({**colours, **changed}, name, alpha, seed)[1])
    assert not same_weights(model, train_classifier(colours, name, alpha, seed + 1)[1])
    assert not same_weights(model, train_classifier(colours, name, alpha + 0.5, seed)[1])


def test_wide_networks_are_the_papers(colours):
    """Of the quarter's size in spite of the settings, the paper's budget would not measure the paper's networks."""
    _, wide = train_classifier({**colours, "epochs": 0, "narrow": False}, "VGG11", 0.5, 0)
    assert wide[0][0].weight.shape[:2] == (64, 3) and wide[-1].weight.shape == (3, 512)


# --- averaging


class Scripted(nn.Module):
    """Logits from a table [passes, images, classes]: image i is the number i, and each of its passes comes once."""

    def __init__(self, table):
        super().__init__()
        self.table, self.passes = table, [0] * table.shape[1]

    def forward(self, x):
        assert not self.training and not torch.is_grad_enabled()
        rows = []
        for i in map(int, x[:, 0]):
            rows.append(self.table[self.passes[i], i])
            self.passes[i] += 1
        return torch.stack(rows)


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 7}, {"batch_size": 41}, {"batch_size": 100}])
def test_predictions_are_those_of_the_mean_probability_at_every_n(options):
    """Votes, mean logits, the last pass alone, a pass more or fewer, or images that are passed by at the end of a
    batch. The table is such that these would show.
    """
    table = torch.randn(20, 41, 4, generator=torch.Generator().manual_seed(0)) * 2
    model = Scripted(table).train()
    found = averaged(model, torch.arange(41.0)[:, None], 20, **options)
    assert list(found) == [1, 2, 3, 5, 7, 10, 20] and model.passes == [20] * 41
    p = np.exp(table.double().numpy())
    p /= p.sum(-1, keepdims=True)
    for n, predicted in found.items():
        assert predicted.dtype == torch.int64 and predicted.tolist() == p[:n].mean(0).argmax(1).tolist()
    votes = [np.bincount(v, minlength=4).argmax() for v in p.argmax(-1).T]
    for other in (votes, table.mean(0).argmax(1).tolist(), p[-1].argmax(1).tolist(), p[:19].mean(0).argmax(1).tolist()):
        assert other != found[20].tolist()


def noisy(alpha, hidden=8):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, 3))
    inject(model, ActivationNoise(alpha=alpha))
    return model


@pytest.mark.parametrize("batch_size", [16, 50, 500])
def test_passes_of_a_noisy_network_by_hand(batch_size):
    """Fresh draws for each pass and image, of the α of inference: with the same seed and batches the same answer."""
    model, x = noisy(7.0), torch.randn(50, 2)
    set_noise(model, alpha_inference=0.8)
    torch.manual_seed(4)
    found = averaged(model, x, 10, batch_size)
    torch.manual_seed(4)
    total = 0
    for n in range(1, 11):
        hidden = [(batch @ model[0].weight.T + model[0].bias).relu() for batch in x.split(batch_size)]
        noise = [h + 0.8 * sample("gaussian", h.shape) for h in hidden]
        total = total + torch.cat([(h @ model[2].weight.T + model[2].bias).softmax(1) for h in noise]).detach()
        if n in found:
            best = total.topk(2, 1).values
            clear = best[:, 0] - best[:, 1] > 1e-4  # ties may go either way by rounding
            assert clear.sum() > 40 and torch.equal(found[n][clear], total.argmax(1)[clear])
    assert list(found) == [1, 2, 3, 5, 7, 10]


def test_many_passes_say_what_the_exact_mean_says():
    """The limit: probabilities over one noisy number, integrated by quadrature. It is not the answer without noise."""
    model = nn.Sequential(nn.ReLU(), nn.Linear(1, 3))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[4.0], [0.0], [-4.0]]))
        model[1].bias.copy_(torch.tensor([-4.0, 0.8, 2.0]))
    inject(model, ActivationNoise(alpha=1.5))
    x = torch.linspace(0, 3, 300)[:, None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    s = x.numpy() + 1.5 * nodes
    logits = np.stack([4 * s - 4, 0 * s + 0.8, -4 * s + 2], -1)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    mean = np.einsum("xzk,z->xk", p / p.sum(-1, keepdims=True), weights / weights.sum())
    first, second = np.sort(mean, 1)[:, [-1, -2]].T
    n = 1000
    clear = first - second > 5 / math.sqrt(n)  # a difference of two probabilities has a deviation of 1 at most
    torch.manual_seed(0)
    many = averaged(model, x, n)[n].numpy()
    set_noise(model, alpha_inference=0.0)
    once = averaged(model, x, 1)
    assert clear.sum() > 150 and (many == mean.argmax(1))[clear].all()
    assert list(once) == [1] and torch.equal(once[1], model(x).argmax(1))
    assert (once[1].numpy() != mean.argmax(1))[clear].sum() > 10


# --- statistics of batch norm


def strange(model):
    """The network with scales, statistics and momenta of batch norm that it did not start with."""
    for norm in [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
        norm.running_mean.uniform_(5, 9)
        norm.running_var.uniform_(5, 9)
        norm.num_batches_tracked += 11
    return model


@pytest.mark.parametrize("batch_size", [24, 8, 6, 100])
@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_those_of_the_data_with_the_noise_of_inference(batch_size, training):
    """By brute force, layer by layer: means over all images, and torch's unbiased variances, of equal batches their
    mean. Left over from before, of the training's α, or of one batch; weights that move; a network left in training.
    """
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3), nn.Tanh(),
        nn.Flatten(), nn.Linear(3 * 16, 5), nn.BatchNorm1d(5),
    )  # fmt: skip
    inject(strange(model), ActivationNoise(alpha=5.0))
    set_noise(model, alpha_inference=0.6)
    x, weights = torch.randn(24, 2, 4, 4) + 0.5, [p.detach().clone() for p in model.parameters()]
    renormalise(model.train(training), 3 * x[:12] - 1, 5)  # which must be forgotten
    torch.manual_seed(3)
    renormalise(model.train(training), x, batch_size)
    assert not any(m.training for m in model.modules())
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))
    norms = [m for m in model if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(norm.track_running_stats for norm in norms)
    first, seen = [], {id(norm): [] for norm in norms}
    torch.manual_seed(3)
    with torch.no_grad():
        for s in x.split(batch_size):
            for layer in model:
                if id(layer) not in seen:
                    s = layer(s)  # with the noise of inference behind it
                    continue
                axes, flat = [0, *range(2, s.ndim)], s.transpose(0, 1).flatten(1)
                seen[id(layer)].append((flat.mean(1), flat.var(1, unbiased=True)))
                first += [flat] if layer is norms[0] else []
                mean, var = s.mean(axes, keepdim=True), s.var(axes, unbiased=False, keepdim=True)
                shape = mean.shape
                s = (s - mean) / (var + layer.eps).sqrt() * layer.weight.view(shape) + layer.bias.view(shape)
    for norm in norms:
        mean, var = (torch.stack(values).mean(0) for values in zip(*seen[id(norm)], strict=True))
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, var, rtol=1e-4, atol=1e-5)
    whole = torch.cat(first, 1)
    torch.testing.assert_close(norms[0].running_mean, whole.mean(1), rtol=1e-4, atol=1e-5)
    if batch_size >= 24:
        torch.testing.assert_close(norms[0].running_var, whole.var(1), rtol=1e-4, atol=1e-5)


FAMILIES = [
    "VGG11", "ResNet50", "RegNetX-200MF", "MobileNetV2", "ResNeXt29(2x64d)", "SimpleDLA", "DenseNet121",
    "PreActResNet18", "DPN92", "DLA",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_statistics_have_the_noise_of_inference_in_every_network(name):
    """Some of timm's networks have the activation inside of the normalisation: noise there must be that of inference,
    too, while the statistics are taken.
    """
    if name not in ("VGG11", "SimpleDLA"):
        import tutorial_lib._torchvision  # noqa: F401  (before timm)

        pytest.importorskip("timm", reason="NO TIMM: this network needs the extra tutorial-lib[architectures]")
    torch.manual_seed(0)
    model, x = architecture(name, 10, 1, True), torch.rand(16, 1, 8, 8)
    inject(model, ActivationNoise(alpha=1.0))

    def statistics(seed):
        torch.manual_seed(seed)
        renormalise(model, x)
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        return torch.cat([torch.cat([norm.running_mean, norm.running_var]) for norm in norms])

    set_noise(model, alpha=0.0, alpha_inference=0.0)
    clean = statistics(0)
    set_noise(model, alpha=1.0)
    torch.testing.assert_close(statistics(0), clean, rtol=1e-3, atol=1e-4)
    set_noise(model, alpha=0.0, alpha_inference=1.0)
    assert not torch.allclose(statistics(0), clean, rtol=0.05) and not torch.allclose(statistics(0), statistics(1))


def test_statistics_of_a_trained_network_change_little_and_with_new_noise_they_do():
    """What it measures must be the harm of the noise, not that of taking the statistics in another way."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 4))
    inject(model, ActivationNoise(alpha=0.0))
    x = torch.randn(512, 3)
    with torch.no_grad():
        for _ in range(20):
            for batch in torch.randperm(512).split(128):
                model.train()(x[batch])
        trained = model.eval()(x)
        renormalise(model, x)
        assert (model(x) - trained).std() < 0.05 * trained.std()
        set_noise(model, alpha_inference=2.0)
        renormalise(model, x)
        set_noise(model, alpha_inference=0.0)
        assert (model(x) - trained).std() > 0.3 * trained.std()


# --- cells

CONFIG = {"dataset": "made up", "n": 5, "architecture": "VGG16", "alpha_inference": [0.0, 0.5, 2.0]}


@pytest.fixture
def cell(monkeypatch):
    """A cell on a network that was not trained, with predictions from a table; what was asked for is kept."""

    def go(name, **point):
        torch.manual_seed(0)
        g = torch.Generator().manual_seed(1)
        x, y = torch.rand(3000, 4, generator=g) * 2 - 0.5, torch.arange(8) % 5
        seen = SimpleNamespace(trained=[], asked=[], y=y.tolist(), config=copy.deepcopy(CONFIG))
        seen.data = Data(x, torch.zeros(3000, dtype=torch.int64), x[:8] + 9, y, "made up", "", "")
        seen.model = strange(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 5)))  # 8 + 25 parameters
        seen.before = copy.deepcopy(seen.model.state_dict())

        def train_classifier(config, architecture, alpha, seed):
            seen.trained.append((copy.deepcopy(config), architecture, alpha, seed))
            inject(seen.model, ActivationNoise(alpha=alpha))
            return seen.data, seen.model.eval()

        def averaged(model, x, n, *args, **options):
            assert model is seen.model and x is seen.data.x_test and not any(m.training for m in model.modules())
            ((_, layer),) = injected(model).items()
            state = copy.deepcopy(model.state_dict())
            said = {k: (y + (torch.arange(8) < k + len(seen.asked))) % 5 for k in (1, 2, 3, 5) if k <= n}
            seen.asked.append(SimpleNamespace(n=n, alpha=layer.alpha_inference, state=state, said=said))
            return said

        monkeypatch.setattr(classifiers, "train_classifier", train_classifier)
        monkeypatch.setattr(classifiers, "averaged", averaged)
        seen.rows = getattr(classifiers, f"{name}_cell")(seen.config, **point)
        assert plain_rows(seen.rows, point) and seen.config == CONFIG
        return seen

    return go


def expected(asked, y):
    """Rows by hand: how many percent of what was said is right."""
    return [
        {"n": n, "accuracy": pytest.approx(100 * np.mean([a == b for a, b in zip(said.tolist(), y, strict=True)]))}
        for n, said in asked.said.items()
    ]


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_balanced_cell_counts_what_its_network_says(cell, alpha):
    """Another α at inference than at training, training images, more passes than one without noise, or parameters that
    are not counted in millions.
    """
    seen = cell("classifier", architecture="VGG19", alpha=alpha, seed=7)
    assert seen.trained == [(CONFIG, "VGG19", alpha, 7)]
    (asked,) = seen.asked
    assert (asked.alpha, asked.n) == (alpha, 5 if alpha else 1)
    assert all(torch.equal(value, seen.before[key]) for key, value in asked.state.items())
    assert seen.rows == [{**row, "parameters": pytest.approx(33e-6)} for row in expected(asked, seen.y)]
    assert len({row["accuracy"] for row in seen.rows}) == len(seen.rows) == (4 if alpha else 1)


def test_an_unbalanced_cell_measures_with_both_statistics(cell):
    """Rows "of training" behind new statistics must have the old ones again, to the last digit; new ones are of the
    training images, with the noise of their own row, and the weights stay. One training for all.
    """
    seen = cell("unbalanced", alpha_train=0.7, seed=3)
    assert seen.trained == [(CONFIG, "VGG16", 0.7, 3)]
    pairs = [(a, s) for a in (0.0, 0.5, 2.0) for s in ("of training", "anew")]
    assert [(asked.alpha, asked.n) for asked in seen.asked] == [(a, 5 if a else 1) for a, _ in pairs]
    assert seen.rows == [
        {"alpha_inference": alpha, "statistics": statistics, **row}
        for (alpha, statistics), asked in zip(pairs, seen.asked, strict=True)
        for row in expected(asked, seen.y)
    ]
    signal = seen.data.x_train.relu()
    for (alpha, statistics), asked in zip(pairs, seen.asked, strict=True):
        moved = {key for key, value in asked.state.items() if not torch.equal(value, seen.before[key])}
        if statistics == "of training":
            assert not moved
        else:
            assert {"1.running_mean", "1.running_var"} <= moved <= {key for key in seen.before if "1." in key}
            assert moved.isdisjoint({"1.weight", "1.bias"})
            error = 5 * math.sqrt((signal.var() + alpha**2) / 3000)
            assert asked.state["1.running_mean"] == pytest.approx(signal.mean(0), abs=error)
            assert asked.state["1.running_var"] == pytest.approx(signal.var(0) + alpha**2, rel=0.2)


def test_cells_on_networks_are_what_their_parts_say():
    """Really trained: what the network says, averaged by hand with the same draws; without noise to the digit, with
    the statistics of training and with new ones.
    """
    config = {**classifiers.UNBALANCED.config("smoke"), "folder": "", "device": "cpu", "architecture": "VGG11"}
    for alpha in (0.0, 0.5):
        rows = classifiers.classifier_cell(config, "VGG11", alpha, 0)
        data, model = train_classifier(config, "VGG11", alpha, 0)
        assert [row["n"] for row in rows] == ([1, 2, 3] if alpha else [1])
        total = 0
        for row in rows:
            with torch.no_grad():
                total = total + model(data.x_test).double().softmax(1)
            share = (total.argmax(1) == data.y_test).double().mean().item()
            assert row["accuracy"] == pytest.approx(100 * share, abs=2.6)  # 40 images; one may be a tie
            assert row["parameters"] == pytest.approx((579_098 - 2 * 9 * 16) / 1e6)  # one channel, not three
    rows = classifiers.unbalanced_cell({**config, "alpha_inference": [1.0, 0.0]}, 0.5, 0)
    found = {row["statistics"]: row["accuracy"] for row in rows if row["alpha_inference"] == 0}
    set_noise(model, alpha_inference=0.0)
    for statistics in ("of training", "anew"):
        with torch.no_grad():
            share = (model(data.x_test).argmax(1) == data.y_test).double().mean().item()
        assert found[statistics] == pytest.approx(100 * share, abs=2.6)
        renormalise(model, data.x_train)
    assert [(r["alpha_inference"], r["statistics"], r["n"]) for r in rows] == [
        *((1.0, s, n) for s in ("of training", "anew") for n in (1, 2, 3)), (0.0, "of training", 1), (0.0, "anew", 1),
    ]  # fmt: skip


# --- sweeps

SETTINGS = [("smoke", None), ("desk", None), ("desk", "mnist"), ("desk", "cifar-10"), ("paper", None)]
SIZES = {"fig-10": [17, 17 * 3, 3 * 5, 3 * 5, 17 * 11], "fig-11": [2, 5, 5, 5, 11]}
IMAGES = {"digits": 1437, "cifar-10": 50_000}
TRAINING = ("data", "epochs", "batch_size", "n", "narrow", "seeds")


@pytest.mark.parametrize(("i", "budget", "dataset"), [(i, *setting) for i, setting in enumerate(SETTINGS)])
def test_every_budget_has_its_grid_and_both_sweeps_the_same_training(i, budget, dataset):
    """A point that is lost or there twice, settings of one sweep in the other, Table 5 without its α, or images that a
    network does not take; the paper's epochs, passes, data set and network.
    """
    ten, eleven = (sweep.config(budget, dataset) for sweep in (classifiers.CLASSIFIERS, classifiers.UNBALANCED))
    for sweep, config in ((classifiers.CLASSIFIERS, ten), (classifiers.UNBALANCED, eleven)):
        points = [tuple(sorted(point.items())) for point in sweep.grid(config)]
        assert len(points) == len(set(points)) == SIZES[sweep.name.partition("/")[2]][i]
        assert len(sweep.cells(config)) == len(points) * config["seeds"]
    assert [ten[key] for key in TRAINING] == [eleven[key] for key in TRAINING]
    assert not {"architectures", "alphas"} & {*eleven} and not {"alpha_inference", "architecture"} & {*ten}
    points = classifiers.CLASSIFIERS.grid(ten)
    assert {(p["architecture"], p["alpha"]) for p in points} == {
        (name, a) for name in ten["architectures"] for a in ten["alphas"]
    }
    assert [p["alpha_train"] for p in classifiers.UNBALANCED.grid(eleven)] == eleven["alpha_train"]
    assert eleven["alpha_train"] == eleven["alpha_inference"] and 0 in eleven["alpha_train"]
    assert set(ten["architectures"]) <= set(ARCHITECTURES) and eleven["architecture"] in ARCHITECTURES
    assert ten["data"]["size"] % 8 == 0 and ten["narrow"] == (budget != "paper")
    images = ten["data"].get("train") or IMAGES[ten["dataset"]]
    assert images % ten["batch_size"] != 1 and images % 256 != 1  # one image alone cannot be normalised
    if budget != "smoke":
        assert {0.0, 0.5, 1.0} <= set(ten["alphas"]) and ten["seeds"] > 1 and eleven["architecture"] == "ResNet50"
    if budget == "paper":  # appendix E
        assert (ten["dataset"], ten["epochs"], ten["n"], ten["data"]) == ("cifar-10", 30, 1000, {"size": 32})
    elif dataset is None:
        assert ten["dataset"] == "digits" and ten["architectures"] == [*ARCHITECTURES]
    if budget == "desk":
        assert ten["epochs"] == (20 if dataset is None else 10) and ten["n"] == 10
        assert ten["data"] == {
            None: {"size": 8}, "mnist": {"size": 16, "train": 4000, "test": 1000},
            "cifar-10": {"size": 32, "train": 4000, "test": 1000},
        }[dataset]  # fmt: skip


# --- the paper's numbers


def test_table_5_is_the_papers():
    """A slip of the pen: cells of all rows, data sets and α beside the paper, and the sums of its columns."""
    table = reported.table_5()
    cells = {
        (row.architecture, row.alpha, row.dataset): (row.accuracy, row.sem) for row in table.itertuples(index=False)
    }
    assert len(table) == len(cells) == 17 * 3 * 2
    assert {key[0] for key in cells} == set(ARCHITECTURES)
    ten, hundred = "cifar-10", "cifar-100"
    printed = {
        ("VGG11", 0.0, ten): (91.21, 0.03), ("VGG11", 1.0, hundred): (69.92, 0.05),
        ("VGG13", 0.0, ten): (91.76, 0.08), ("VGG16", 0.5, ten): (92.39, 0.01), ("VGG19", 1.0, hundred): (70.64, 0.03),
        ("ResNet18", 0.5, hundred): (72.27, 0.05), ("ResNet50", 0.0, hundred): (73.06, 0.01),
        ("ResNet101", 1.0, ten): (93.17, 0.04), ("RegNetX-200MF", 0.0, ten): (94.24, 0.03),
        ("RegNetX-400MF", 1.0, hundred): (73.07, 0.04), ("MobileNetV2", 0.5, ten): (94.43, 0.02),
        ("ResNeXt29(32x4d)", 0.5, hundred): (73.83, 0.03), ("ResNeXt29(2x64d)", 0.0, ten): (94.82, 0.04),
        ("SimpleDLA", 1.0, hundred): (73.85, 0.06), ("DenseNet121", 0.0, hundred): (74.62, 0.04),
        ("PreActResNet18", 1.0, hundred): (74.66, 0.04), ("PreActResNet18", 0.5, hundred): (74.51, 0.05),
        ("DPN92", 1.0, ten): (94.75, 0.05), ("DLA", 0.0, ten): (95.47, 0.05), ("DLA", 1.0, hundred): (74.73, 0.02),
    }  # fmt: skip
    assert {key: cells[key] for key in printed} == printed
    sums = table.groupby(["alpha", "dataset"])[["accuracy", "sem"]].sum().round(2)
    assert {key: tuple(values) for key, values in zip(sums.index, sums.to_numpy().tolist(), strict=True)} == {
        (0.0, ten): (1597.09, 0.63), (0.0, hundred): (1248.21, 0.57), (0.5, ten): (1593.92, 0.74),
        (0.5, hundred): (1243.0, 0.75), (1.0, ten): (1588.62, 0.98), (1.0, hundred): (1237.17, 0.65),
    }  # fmt: skip


# --- figures


BALANCED = rows_of(
    "architecture alpha parameters n",
    ("DLA", 0.5, 0.9559, 10, [60, 64]), ("DLA", 0.5, 0.9559, 1, [1, 2]), ("DLA", 0.0, 0.9559, 1, [80, 90]),
    ("VGG11", 1.0, 12.3456, 10, [30, 31]), ("VGG11", 1.0, 12.3456, 1, [3, 3]), ("VGG11", 0.0, 12.3456, 1, [70, 74]),
    ("VGG11", 0.25, 12.3456, 10, [50, 56]), ("VGG11", 0.25, 12.3456, 3, [5, 5]),
)  # fmt: skip


def test_classifiers_are_drawn_as_their_table_has_it():
    """Means over seeds at the largest n, a panel a network in the order of Table 4, a band of one standard error; the
    paper's line is of CIFAR-10 and of the same network.
    """
    figure = other_figures.draw_classifiers(BALANCED, "made up")
    panels = {axis.get_title(): axis for axis in figure.axes if axis.axison}
    assert list(panels) == ["VGG11", "DLA"]
    lines = {
        name: {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines}
        for name, axis in panels.items()
    }
    assert lines == {
        "VGG11": {"ours": ([0, 0.25, 1], [72, 53, 30.5]), "paper": ([0, 0.5, 1], [91.21, 91.01, 90.72])},
        "DLA": {"ours": ([0, 0.5], [85, 62]), "paper": ([0, 0.5, 1], [95.47, 95.23, 95.0])},
    }
    points = panels["DLA"].collections[0].get_paths()[0].vertices
    band = {(x, points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max()) for x in points[:, 0]}
    assert band == {(0, 80, 90), (0.5, 60, 64)}
    assert all("α" in axis.get_xlabel() and "%" in axis.get_ylabel() for axis in panels.values())
    title = figure.get_suptitle()
    assert all(words in title for words in ("ours: made up", "n = 10", "2 seeds", "paper: cifar-10"))


def test_the_table_of_sizes():
    """Parameters in millions in the order of Table 4; of a network that was not measured, nothing."""
    found = other_figures.draw_sizes(BALANCED, "made up")
    assert list(found.index) == [*ARCHITECTURES] and found.shape == (17, 1)
    assert "made up" in found.columns[0] and "million" in found.columns[0]
    assert found[found.columns[0]].replace("", None).dropna().to_dict() == {"VGG11": "12.35", "DLA": "0.96"}


def test_table_5_is_drawn_beside_the_papers():
    """Mean ± standard error at the largest n; the paper's two data sets at the same network and α; nothing where one of
    them has no number.
    """
    found = other_figures.draw_table_5(BALANCED, "made up")
    ours, ten, hundred = found.columns
    assert "made up" in ours and "cifar-10" in ten and "cifar-100" in hundred
    assert found.index.is_unique and len(found) == 17 * 3 + 1
    assert found[ours].replace("", None).dropna().to_dict() == {
        ("DLA", 0.5): "62.00 ± 2.00", ("DLA", 0.0): "85.00 ± 5.00", ("VGG11", 1.0): "30.50 ± 0.50",
        ("VGG11", 0.0): "72.00 ± 2.00", ("VGG11", 0.25): "53.00 ± 3.00",
    }  # fmt: skip
    assert found.loc[("DLA", 0.5)].tolist() == ["62.00 ± 2.00", "95.23 ± 0.04", "75.00 ± 0.03"]
    assert found.loc[("VGG13", 1.0)].tolist() == ["", "91.23 ± 0.07", "70.45 ± 0.05"]
    assert found.loc[("VGG11", 0.25)].tolist() == ["53.00 ± 3.00", "", ""]
    one = other_figures.draw_table_5(BALANCED[BALANCED["seed"] == 0], "made up")
    assert one.loc[("DLA", 0.5), ours] == "60.00"


def test_the_unbalanced_maps_are_drawn_as_their_table_has_it():
    """Training across, inference down; left with the statistics of training and right with new ones, not mixed up;
    means over seeds at the largest n.
    """
    rows, means = [], {}
    for k, statistics in enumerate(("anew", "of training")):
        for i, train in enumerate((0.0, 0.5, 1.0)):
            for j, inference in enumerate((0.0, 0.5)):
                if (k, i, j) == (1, 2, 0):
                    continue
                means[statistics, train, inference] = value = 50 * k + 10 * i + 3 * j + 2
                rows += [(train, inference, statistics, 10 if inference else 1, [value - 1, value + 1])]
                rows += [(train, inference, statistics, 1, [0, 0])] if inference else []
    figure = other_figures.draw_unbalanced(rows_of("alpha_train alpha_inference statistics n", *rows[::-1]), "made up")
    axes = [axis for axis in figure.axes if axis.get_title()]
    for axis, statistics in zip(axes, ("of training", "anew"), strict=True):
        assert all(words in axis.get_title() for words in ("made up", "2 seeds", statistics))
        assert [float(t.get_text()) for t in axis.get_xticklabels()] == [0, 0.5, 1]
        assert [float(t.get_text()) for t in axis.get_yticklabels()] == [0, 0.5]
        grid = np.ma.filled(axis.collections[0].get_array(), np.nan).reshape(2, 3)
        wanted = [[means.get((statistics, a, b), np.nan) for a in (0.0, 0.5, 1.0)] for b in (0.0, 0.5)]
        assert grid == pytest.approx(np.array(wanted), nan_ok=True)
        assert "training" in axis.get_xlabel() and "inference" in axis.get_ylabel()


def test_the_items_are_views_of_their_sweeps():
    """Table 5 has three α, of the five or eleven that are measured."""
    items = {e.name.partition("/")[2]: e for e in figures.EXPERIMENTS}
    draw = {"fig-10": "classifiers", "table-4": "sizes", "table-5": "table_5", "fig-11": "unbalanced"}
    for name, suffix in draw.items():
        sweep = classifiers.UNBALANCED if name == "fig-11" else classifiers.CLASSIFIERS
        assert items[name].sweep is sweep and items[name].draw is getattr(other_figures, f"draw_{suffix}")
    assert set(items["table-5"].view(BALANCED)["alpha"]) == {0.0, 0.5, 1.0}
    assert len(items["fig-10"].view(BALANCED)) == len(BALANCED)


def test_every_image_counts_alike_in_new_statistics():
    """257 images make two batches of about one size: 256 of one kind and one of another must not count half each."""
    model = nn.Sequential(nn.BatchNorm1d(1))
    x = torch.zeros(257, 1)
    x[-1] = 1.0
    renormalise(model, x)
    assert model[0].running_mean.item() == pytest.approx(1 / 257, rel=0.01) and model[0].momentum == 0.1


def test_images_and_batches_that_do_not_fit_are_refused_before_anything_is_computed():
    data = load_data("digits", train=65)
    with pytest.raises(ValueError, match="65 training images in batches of 32: the last would have one image"):
        classifiers.CLASSIFIERS.check({"batch_size": 32}, data)
    classifiers.CLASSIFIERS.check({"batch_size": 33}, data)
    with pytest.raises(ValueError, match="images of 12x12 pixels: expected multiples of 8"):
        classifiers.UNBALANCED.check({"batch_size": 33}, load_data("digits", train=65, size=12))
