"""Noise injection nodes against literal extra inputs, autograd's derivatives, scipy and closed forms."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats
from torch import nn
from torch.autograd import functional

from tutorial_lib import ActivationNoise, blocknet, convnet, fit, inject, injected, mlp, remove, set_noise
from tutorial_lib.models import VGG
from tutorial_lib.papers.ninr.method import (
    DRAWS,
    PHASES,
    InputCorruption,
    NoiseNode,
    add_nodes,
    corrupted,
    critical_noise,
    descend,
    digit_frame,
    expansion,
    first_growth,
    flow,
    initialise,
    input_curvature,
    l2,
    local_derivatives,
    phase,
    standardise,
)

LABELS = torch.tensor([2, 0, 1, 0, 1])
cross_entropy, mse = nn.functional.cross_entropy, nn.functional.mse_loss


def inputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(*sizes, activation=nn.Tanh, seed=0):
    """An `mlp` in float64 of inputs, hidden widths, outputs; its weights are doubled, for curvature."""
    torch.manual_seed(seed)
    model = mlp(sizes[0], sizes[-1], sizes[1:-1], activation).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def blocks(seed=0, activation=nn.ELU, dropout=(0.3, 0.3)):
    """A small `blocknet` in float64 whose batch normalisation has seen data."""
    torch.manual_seed(seed)
    model = blocknet(1, 8, 3, ((2,), (3,)), dense=6, activation=activation, dropout=dropout).double()
    for layer in (model.linear3, model.linear4):
        layer.weight.data *= 4  # for curvature
    model.train()(3 * inputs(20, 1, 8, 8, seed=9) + 1)
    return model.eval()


def noised(model, x, sigma=1.0, where="in", distribution="gaussian", seed=0):
    """The model with nodes, all of it in float64."""
    torch.manual_seed(seed)
    add_nodes(model, x, sigma, where, distribution)
    return model.to(x.dtype)


def close(found, truth, tolerance=1e-10):
    torch.testing.assert_close(found, truth, rtol=tolerance, atol=tolerance)


class Spy:
    """What the nodes of a model add, in each pass: noisy less clean values, by layer, seen from outside."""

    def __init__(self, model, sigma=1.0, where="in", distribution="gaussian", x=None):
        self.passes, self.clean = [], {}
        layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
        for name, module in layers.items():  # before the node is there: these see the clean values
            if isinstance(module, nn.Linear):
                module.register_forward_hook(lambda m, i, o, name=name: self.clean.update({name: o.detach()}))
            else:
                module.register_forward_pre_hook(lambda m, i, name=name: self.clean.update({name: i[0].detach()}))
        self.names = add_nodes(model, x, sigma, where, distribution)
        model.to(x.dtype)
        for name, module in layers.items():  # after it: the noisy ones
            if isinstance(module, nn.Linear):
                module.register_forward_hook(lambda m, i, o, name=name: self.keep(name, o))
            else:
                module.register_forward_hook(lambda m, i, o, name=name: self.keep(name, i[0]))
        self.layers, self.model = layers, model
        self.clean, self.passes = {}, []

    def keep(self, name, noisy):
        first = next(iter(self.layers))
        if name == first:
            self.passes.append({})
        self.passes[-1][name] = noisy.detach() - self.clean[name]

    def epsilon(self, name, which=-1):
        """ε [B], one a sample: what was added over W_NI, which must be the same for all units or pixels."""
        weight = self.model.get_submodule(name).injected_noise.weight.detach()
        ratio = (self.passes[which][name] / weight).flatten(1)
        big = weight.flatten().abs() > 1e-3
        close(ratio[:, big], ratio[:, big][:, :1].expand(-1, int(big.sum())), 1e-6)
        largest = weight.flatten().abs().argmax()
        return ratio[:, largest]


# --- the node


class Extended(nn.Module):
    """The paper's fcNINR, literally: every noised linear layer has one more input, which is fed ε."""

    def __init__(self, model, names):
        super().__init__()
        self.steps = nn.ModuleDict()
        for name, module in model.named_children():
            self.steps[name] = copy.deepcopy(module)
            if name in names:
                node = module.injected_noise
                wide = nn.Linear(module.in_features + 1, module.out_features, dtype=module.weight.dtype)
                wide.weight.data = torch.cat([module.weight.data, node.weight.data[:, None]], 1)
                wide.bias.data = module.bias.data.clone()
                self.steps[name] = wide

    def forward(self, x, epsilons):
        for name, step in self.steps.items():
            x = step(torch.cat([x, epsilons[name][:, None]], 1) if name in epsilons else x)
        return x


@pytest.mark.parametrize("where", ["in", "full"])
def test_the_dense_node_is_one_more_input_of_the_layer(where):
    """A node with ε per unit, before the bias only in part, or a W_NI without gradient would not be fcNINR."""
    model, x = network(6, 5, 4, 3), inputs(5, 6)
    spy = Spy(model, 1.7, where, x=x)
    names = ["linear1"] if where == "in" else ["linear1", "linear2", "linear3"]
    assert spy.names == names
    twin = Extended(model, names)
    output = model.train()(x)
    again = twin(x, {name: spy.epsilon(name) for name in names})
    close(output, again)
    cross_entropy(output, LABELS).backward()
    cross_entropy(again, LABELS).backward()
    for name in ("linear1", "linear2", "linear3"):
        module, wide = model.get_submodule(name), twin.steps[name]
        close(module.bias.grad, wide.bias.grad)
        close(module.weight.grad, wide.weight.grad[:, : module.in_features])
        if name in names:
            close(module.injected_noise.weight.grad, wide.weight.grad[:, -1])
            assert wide.weight.grad[:, -1].abs().min() > 0


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("where", ["in", "full"])
def test_training_with_nodes_is_training_of_the_wider_network(where, optimizer):
    """An optimiser that does not see W_NI, or one ε for all epochs, would train another network."""
    model, x, y = network(6, 5, 3), inputs(30, 6), torch.arange(30) % 3
    row = {tuple(a.tolist()): i for i, a in enumerate(x)}
    spy, batches = Spy(model, 2.0, where, x=x), []
    twin, start = Extended(model, spy.names), injected(model)["linear1"].weight.detach().clone()
    model.data.register_forward_hook(lambda m, i, o: batches.append([row[tuple(a.tolist())] for a in i[0]]))
    fixed = {name: [] for name in spy.names}
    model.register_forward_hook(lambda m, i, o: [fixed[name].append(spy.epsilon(name)) for name in spy.names] and None)
    fit(model, x, y, epochs=2, batch_size=12, optimizer=optimizer, lr=0.1, progress=False)
    assert [len(b) for b in batches] == [12, 12, 6] * 2
    optimiser = optimizer(twin.parameters(), lr=0.1)
    for k, batch in enumerate(batches):
        optimiser.zero_grad()
        cross_entropy(twin(x[batch], {name: fixed[name][k] for name in spy.names}), y[batch]).backward()
        optimiser.step()
    for name in ("linear1", "linear2"):
        module, wide = model.get_submodule(name), twin.steps[name].weight
        close(module.weight, wide[:, : module.in_features], 1e-7)
        if name in spy.names:
            close(module.injected_noise.weight, wide[:, -1], 1e-7)
    assert (injected(model)["linear1"].weight - start).abs().max() > 0.01
    every = torch.cat(fixed["linear1"])
    assert len(every.unique()) == len(every) == 60  # drawn anew for each sample and epoch


def feed(monkeypatch, draw):
    """Let nodes take `draw` (ε / σ, one a sample) in place of Gaussian numbers."""
    monkeypatch.setitem(DRAWS, "gaussian", lambda like: torch.as_tensor(draw, dtype=like.dtype))


def normal_quantiles(count):
    return torch.from_numpy(stats.norm.ppf((np.arange(count) + 0.5) / count))


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_a_dense_node_is_a_random_bias(activation, monkeypatch):
    """Independent ε a sample cost, on average, what the clean network does with one shift of the bias for all."""
    points, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(4))
    weights = weights / weights.sum()
    x, y, sigma = inputs(3, 4), LABELS[:3], 1.7
    model = noised(network(4, 6, 3, activation=activation), x, sigma).train()
    layer = model.linear1
    noisy = 0.0
    for which in itertools.product(range(4), repeat=3):
        feed(monkeypatch, points[list(which)])
        noisy += weights[list(which)].prod() * cross_entropy(model(x), y).detach()
    model.eval()
    clean, start = cross_entropy(model(x), y).detach(), layer.bias.detach().clone()
    smooth = 0.0
    for epsilon, weight in zip(sigma * points, weights, strict=True):
        layer.bias.data = start + epsilon * layer.injected_noise.weight.detach()
        smooth += weight * cross_entropy(model(x), y).detach()
    close(noisy, smooth)
    assert abs(noisy - clean) > 0.01


def test_batch_normalisation_takes_a_shared_shift_away_and_not_a_nodes(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double().train()
    x, y = inputs(5, 4), LABELS
    clean = cross_entropy(model(x), y)
    noised(model, x, sigma=2.0)
    feed(monkeypatch, np.ones(5))
    close(cross_entropy(model(x), y), clean)
    feed(monkeypatch, [1, -1, 1, 1, -1])
    assert abs(cross_entropy(model(x), y) - clean) > 0.01


def test_without_a_free_bias_a_node_can_lower_the_minimum(monkeypatch):
    """Inputs 0, target 1, v relu(w x): ½ without a node, ½ (1 - 1/π) with one."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).double()
    epsilon = normal_quantiles(20_000)
    x = torch.zeros(len(epsilon), 1, dtype=torch.float64)
    noised(model, x, sigma=5.0)
    model[0].injected_noise.weight.data.fill_(1 / 5)
    model[2].weight.data.fill_(math.sqrt(2 / math.pi))
    feed(monkeypatch, epsilon)
    assert mse(model.train()(x), x + 1).item() / 2 == pytest.approx((1 - 1 / math.pi) / 2, abs=1e-3)
    assert mse(model.eval()(x), x + 1).item() / 2 == 0.5


def test_a_pixelwise_node_can_lower_the_minimum(monkeypatch):
    """A black pixel and one of 0, 1, 2; targets c, c, 1 + c: c² without a node, c² (1 - 1/(3π - 2)) with it."""
    c, scale = 0.3, 1e6
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]], dtype=torch.float64)[:, None]
    target = torch.tensor([c, c, 1 + c], dtype=torch.float64)
    model = nn.Sequential(nn.Conv1d(1, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1, bias=False)).double()
    least = []  # whatever the filter and bias, up to a positive factor; the readout by least squares
    for k, b in itertools.product((-1.0, 0.0, 1.0), np.linspace(-3, 3, 601)):
        model[0].weight.data.fill_(k), model[0].bias.data.fill_(b)
        features = model[:3](x).detach()
        readout = torch.linalg.lstsq(features, target[:, None], driver="gelsd").solution
        least.append((features @ readout - target[:, None]).square().sum().item())
    assert min(least) == pytest.approx(c**2)
    epsilon = normal_quantiles(20_000)
    mean = c / (3 * math.pi - 2)  # of the offset that the noise makes
    noised(model, x, sigma=1.0)
    model[0].injected_noise.weight.data = torch.tensor([[scale, 0.0]], dtype=torch.float64)
    model[0].weight.data.fill_(1), model[0].bias.data.fill_(c - mean - 1)
    model[3].weight.data = torch.tensor([[math.sqrt(2 * math.pi) * mean / scale, 1.0]], dtype=torch.float64)
    feed(monkeypatch, epsilon.repeat(3))
    output = model.train()(x.repeat_interleave(len(epsilon), 0)).reshape(3, -1)
    found = (output - target[:, None]).square().mean(1).sum().item()
    assert found == pytest.approx(c**2 * (1 - 1 / (3 * math.pi - 2)), rel=1e-3)


@pytest.mark.parametrize("make", [blocks, lambda: convnet(1, 10, 3, nn.ELU).double()])
def test_the_convolutional_node_adds_a_mask_to_the_input(make):
    """Behind the convolution, W_NI per channel only, or ε drawn for every pixel: another regulariser than cNINR."""
    model = make()
    size = 8 if hasattr(model, "norm1") else 10
    x = inputs(5, 1, size, size)
    spy = Spy(model, 1.5, x=x)
    weight = model.conv1.injected_noise.weight
    assert spy.names == ["conv1"] and weight.shape == (1, size, size)
    for module in model.modules():
        module.training = isinstance(module, NoiseNode)  # the rest stands still
    output = model(x)
    epsilon = spy.epsilon("conv1")
    assert len(epsilon.unique()) == 5
    clean = copy.deepcopy(model)
    remove(clean)
    clean.eval()
    noise = weight.detach().clone().requires_grad_()
    again = clean(x + epsilon[:, None, None, None] * noise)
    close(output, again)
    cross_entropy(output, LABELS).backward()
    (truth,) = torch.autograd.grad(cross_entropy(again, LABELS), noise)
    close(weight.grad, truth)
    assert truth.abs().max() > 1e-4


@pytest.mark.parametrize("make", [lambda: network(6, 5, 4, 3), blocks])
def test_nodes_of_a_network_draw_independently_of_each_other_and_of_the_data(make):
    """One ε for all nodes would make R_2 mix layers; noise that scales with h would not be eq. (1)."""
    model = make()
    x = inputs(4000, *((1, 8, 8) if hasattr(model, "conv1") else (6,)))
    spy = Spy(model, 1.5, "full", x=x)
    with torch.no_grad():
        model.train()(x)
        model(x)
    draws = [spy.epsilon(name, k) for k in (0, 1) for name in spy.names]
    draws += [x.flatten(1)[:, 0], x.flatten(1)[:, 0].abs(), draws[0].roll(1)]
    correlations = np.corrcoef(torch.stack(draws))
    assert np.abs(correlations[: 2 * len(spy.names)] - np.eye(len(draws))[: 2 * len(spy.names)]).max() < 0.07


DISTRIBUTIONS = {
    "gaussian": (lambda sigma: stats.norm(0, sigma).cdf, 1.0),
    "uniform": (lambda sigma: stats.uniform(-sigma, 2 * sigma).cdf, 3**-0.5),
    "double gaussian": (
        lambda s: lambda v: (stats.norm(-s, 0.1 * s).cdf(v) + stats.norm(s, 0.1 * s).cdf(v)) / 2,
        1.01**0.5,
    ),
}


@pytest.mark.parametrize("sigma", [0.3, 51.8])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_epsilon_has_the_distribution_asked_for(name, sigma):
    """σ² for σ, U(0, σ), or peaks of unequal share: each phase's σ_ε would be another."""
    assert set(DRAWS) == set(DISTRIBUTIONS)
    node = NoiseNode((3,), sigma, name).double()
    node.weight.data = torch.tensor([1.0, -2.0, 0.5]).double()
    torch.manual_seed(0)
    with torch.no_grad():
        added = node(torch.zeros(20_000, 3).double())
    close(added, added[:, :1] * node.weight)
    epsilon, (cdf, deviation) = added[:, 0].numpy(), DISTRIBUTIONS[name]
    assert stats.kstest(epsilon, cdf(sigma)).pvalue > 1e-3
    assert stats.kstest(1.05 * epsilon, cdf(sigma)).pvalue < 1e-3
    assert epsilon.std() == pytest.approx(deviation * sigma, rel=0.02)
    assert abs(epsilon.mean()) < 4 * deviation * sigma / 20_000**0.5


@pytest.mark.parametrize("make", [lambda: network(6, 5, 4, 3), blocks])
@pytest.mark.parametrize("where", ["in", "full"])
def test_a_network_with_nodes_is_the_network_itself_at_evaluation(make, where):
    """Test accuracy is measured with ε = 0: weights, outputs, batch statistics and random numbers stay as they were."""
    model = make()
    x = inputs(5, *((1, 8, 8) if hasattr(model, "conv1") else (6,)))
    for training in (True, False):
        twin = copy.deepcopy(model)
        clean, state = model.eval()(x), copy.deepcopy(model.state_dict())
        names = add_nodes(twin.train(training), x, 100.0, where)
        assert all(module.training == training for module in twin.modules())
        generator = torch.get_rng_state()
        assert torch.equal(twin.eval()(x), clean)
        assert torch.equal(torch.get_rng_state(), generator)
        now = twin.state_dict()
        assert set(now) == {*state, *(f"{name}.injected_noise.weight" for name in names)}
        assert all(torch.equal(now[key], value) for key, value in state.items())
        assert all(parameter.grad is None for parameter in twin.parameters())
        noisy = twin.train()(x)
        twin.eval()
        assert not torch.allclose(noisy, clean, rtol=0.1)
        assert remove(twin) == [name for name, _ in twin.named_modules() if name in names]
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in twin.modules())


def test_without_noise_training_mode_changes_nothing():
    """σ_ε = 0 is the paper's first panel of Fig. 3: the plain network, W_NI without a gradient."""
    model, x = network(6, 5, 3), inputs(5, 6)
    clean = model(x)
    noised(model, x, 0.0, "full").train()
    assert torch.equal(model(x), clean)
    cross_entropy(model(x), LABELS).backward()
    assert all(not node.weight.grad.any() for node in injected(model).values())


def test_sigma_is_a_number_that_can_be_set_and_is_not_saved():
    """A σ_ε in the state dict would overwrite the reader's setting on loading; one that is no buffer stays behind."""
    model, x = network(6, 5, 4, 3), inputs(5, 6)
    noised(model, x, 2.0, "full")
    other = noised(network(6, 5, 4, 3, seed=1), x, 7.0, "full", seed=1)
    other.load_state_dict(model.state_dict())
    assert [node.sigma.item() for node in injected(other).values()] == [7.0] * 3
    close(other.train(False)(x), model.eval()(x))
    assert all(
        torch.equal(a.weight, b.weight) for a, b in zip(*(injected(m).values() for m in (model, other)), strict=True)
    )
    set_noise(other, sigma=0.5)
    set_noise(other, ["linear2"], sigma=3)
    assert [node.sigma.item() for node in injected(other).values()] == [0.5, 3.0, 0.5]
    assert "sigma" in dict(injected(other)["linear1"].named_buffers())
    set_noise(other, sigma=0.0)
    close(other.train()(x), other.eval()(x))
    with pytest.raises(ValueError, match="-1"):
        set_noise(other, sigma=-1.0)


def test_nodes_move_with_the_model():
    """A node left in float32 or a σ_ε of another type would stop, or round, the network it belongs to."""
    model = mlp(6, 3, (5,))
    add_nodes(model, torch.zeros(1, 6), 2.0, "full")
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        model.to(dtype)
        assert {t.dtype for node in injected(model).values() for t in (node.weight, node.sigma)} == {dtype}
        assert model.train()(torch.zeros(2, 6, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_nodes_have_the_type_of_their_network(dtype):
    """A bfloat16 network stops at its second layer; a float64 one gets W_NI and its updates in float32."""
    model = mlp(6, 3, (5,)).to(dtype)
    add_nodes(model, torch.zeros(1, 6, dtype=dtype), 2.0, "full")
    assert {node.weight.dtype for node in injected(model).values()} == {dtype}
    assert model.train()(torch.zeros(2, 6, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("make", "shape", "names", "shapes"),
    [
        (
            lambda: mlp(784, 10, (1024,) * 3),
            (1, 28, 28),
            [f"linear{k}" for k in (1, 2, 3, 4)],
            [(1024,)] * 3 + [(10,)],
        ),
        (
            lambda: blocknet(1, 28, 10),
            (1, 28, 28),
            ["conv1", "conv2", "linear3", "linear4"],
            [(1, 28, 28), (16, 13, 13), (2048,), (10,)],
        ),
        (
            lambda: blocknet(3, 32, 10, **VGG),
            (3, 32, 32),
            [*(f"conv{k}" for k in range(1, 7)), "linear7", "linear8"],
            [(3, 32, 32), (32, 32, 32), (32, 16, 16), (64, 16, 16), (64, 8, 8), (128, 8, 8), (500,), (10,)],
        ),
    ],
)
def test_nodes_stand_before_every_layer_or_the_first(make, shape, names, shapes):
    """Full-NINR leaves no layer out (§3.1: "every hidden layer including the input one"), in-NINR has one node."""
    model, x = make(), torch.zeros(3, *shape)
    assert add_nodes(model, x, 1.0, "full") == names
    nodes = injected(model)
    assert list(nodes) == names and [tuple(node.weight.shape) for node in nodes.values()] == shapes
    assert len({id(node) for node in nodes.values()}) == len(names)
    assert model.train()(torch.zeros(2, *shape)).shape == (2, 10)
    remove(model)
    assert add_nodes(model, x, 1.0) == names[:1] == list(injected(model))


def test_w_ni_has_the_variance_of_one_over_d():
    """1/d² or 1/√d for 1/d, a d without the node (784 for 785), or of the outputs: the start of every phase."""
    torch.manual_seed(0)
    wide, d3 = nn.Linear(784, 4096), nn.Linear(3, 40_000)
    add_nodes(wide, torch.zeros(1, 784), 1.0)
    add_nodes(d3, torch.zeros(1, 3), 1.0)
    pixels, conv = [], nn.Conv2d(2, 3, 1)
    for _ in range(1000):
        add_nodes(conv, torch.zeros(1, 2, 1, 1), 1.0)
        pixels.append(conv.injected_noise.weight.detach().flatten())
        remove(conv)
    cases = [(wide.injected_noise.weight, 785), (d3.injected_noise.weight, 4), (torch.cat(pixels), 3)]
    for weight, d in cases:
        weight = weight.detach().double().numpy()
        assert stats.kstest(weight, stats.norm(0, d**-0.5).cdf).pvalue > 1e-3
        assert 1e-3 < stats.chi2(len(weight)).cdf(d * (weight**2).sum()) < 1 - 1e-3
    # between 784 and 785 no test of this size could tell: the same draws, rescaled
    torch.manual_seed(5)
    unit = torch.randn(1024)
    torch.manual_seed(5)
    net = nn.Linear(784, 1024)
    torch.manual_seed(5)
    add_nodes(net, torch.zeros(1, 784), 1.0)
    torch.testing.assert_close(net.injected_noise.weight.detach(), unit / 785**0.5, rtol=1e-5, atol=0)


class Backwards(nn.Module):
    """Layers registered in another order than they are used, one never; functions for activations."""

    def __init__(self):
        super().__init__()
        self.last, self.unused = nn.Linear(12, 2), nn.Linear(3, 3)
        self.inner = nn.ModuleDict({"b": nn.Linear(12, 12), "a": nn.Conv2d(1, 3, 3)})

    def forward(self, x):
        h = nn.functional.relu(self.inner["a"](x)).flatten(1)
        h = torch.tanh(self.inner["b"](h))
        return self.last(torch.tanh(self.inner["b"](h)))


def test_any_network_that_uses_layers_can_have_nodes():
    """Not only Sequentials: layers in containers, functions between them, one used twice, one never."""
    model, x = Backwards().double(), inputs(3, 1, 4, 4)
    assert set(add_nodes(model, x, 1.0, "full")) == {"inner.a", "inner.b", "last"}
    found = {name: tuple(node.weight.shape) for name, node in injected(model.double()).items()}
    assert found == {"last": (2,), "inner.b": (12,), "inner.a": (1, 4, 4)}
    model.train()(x).square().sum().backward()
    assert all(node.weight.grad.abs().min() > 0 for node in injected(model).values())


def test_the_first_layer_is_the_first_in_use():
    """In order of registration the output layer would get the noise of in-NINR."""
    model, x = Backwards(), torch.randn(3, 1, 4, 4)
    assert add_nodes(model, x, 1.0) == ["inner.a"]
    model = Backwards()
    assert add_nodes(model, x, 1.0, "full") == ["inner.a", "inner.b", "last"]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Conv1d(2, 3, 2), (2, 5)), (nn.Conv3d(1, 2, 2), (1, 3, 4, 5)), (nn.Conv2d(4, 4, 3, groups=2), (4, 5, 6))],
)
def test_convolutions_of_other_dimensions(layer, shape):
    """W_NI broadcast along a wrong axis."""
    x = inputs(4, *shape)
    layer.double()
    spy_input = []
    noised(layer, x, 2.0)
    layer.register_forward_hook(lambda m, i, o: spy_input.append(i[0]))
    layer.train()(x)
    added, weight = spy_input[0].detach() - x, layer.injected_noise.weight.detach()
    assert weight.shape == shape
    epsilon = (added * weight).flatten(1).sum(1) / weight.square().sum()
    close(added, torch.einsum("b,...->b...", epsilon, weight))
    assert len(epsilon.unique()) == 4


@pytest.mark.parametrize("batch", [4, 5])
def test_a_linear_layer_on_sequences_has_one_epsilon_a_sample(batch):
    """With as many samples as places the samples' ε are taken for the places', in silence."""
    model, x = nn.Linear(3, 2), torch.zeros(batch, 4, 3)
    add_nodes(model, x, 1.0)
    added = (model.train()(x) - model.eval()(x)).detach()
    close(added, added[:, :1].expand_as(added), 1e-6)
    assert len(added[:, 0, 0].unique()) == batch


def with_nodes():
    model = mlp(6, 3, (5,))
    add_nodes(model, torch.zeros(1, 6), 1.0)
    return model


X6 = torch.zeros(1, 6)


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda: add_nodes(mlp(6, 3, (5,)), X6, 1.0, "all"), ["'all'", "'in'", "'full'"]),
        (lambda: add_nodes(nn.Sequential(nn.Flatten(), nn.ReLU()), X6, 1.0), ["no linear or convolutional layer"]),
        (lambda: add_nodes(mlp(6, 3, (5,)), X6, 1.0, distribution="cauchy"), ["'cauchy'", *DISTRIBUTIONS]),
        (lambda: add_nodes(with_nodes(), X6, 1.0), ["'linear1'", "already", "remove"]),
        (lambda: add_nodes(with_nodes(), X6, 1.0, "full"), ["'linear1'", "already", "remove"]),
        (lambda: add_nodes(mlp(6, 3, (5,)), X6, -1.0), ["-1.0", "0 or more"]),
        (lambda: NoiseNode((3,), math.nan), ["nan", "0 or more"]),
        (lambda: expansion(mlp(6, 3, (5,)), X6, LABELS[:1]), ["no noise injection node", "add_nodes"]),
        (lambda: corrupted(X6, 1.1), ["1.1", "0 to 1"]),
        (lambda: corrupted(X6, -0.1), ["-0.1", "0 to 1"]),
        (lambda: corrupted(X6, math.nan), ["nan", "0 to 1"]),
        (lambda: InputCorruption(1.5), ["1.5", "0 to 1"]),
        (lambda: phase([[1.0, 2.0]], [1.0]), ["(1, 2)", "one run"]),
        (lambda: phase([1.0], []), ["(0,)", "T ≥ 1"]),
        (lambda: phase([], [1.0]), ["(0,)", "T ≥ 1"]),
        (lambda: phase([1.0], [[1.0]]), ["(1, 1)", "one run"]),
    ],
)
def test_errors_name_the_mistake_and_the_way_out(refuse, words):
    """Silence here would be a network believed to be noisy, or an accuracy of other noise."""
    with pytest.raises(ValueError) as caught:
        refuse()
    assert all(word in str(caught.value) for word in words)


def test_refused_nodes_leave_no_trace():
    """Half of a full-NINR would be hard to see."""
    for refuse in (
        lambda m: add_nodes(m, X6, -1.0, "full"),
        lambda m: add_nodes(m, X6, 1.0, "everywhere"),
        lambda m: add_nodes(m, torch.zeros(1, 7), 1.0),
    ):
        model = mlp(6, 3, (5,)).train()
        with pytest.raises((ValueError, RuntimeError)):
            refuse(model)
        assert not injected(model) and model.training
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_noisy_layer_refuses_all_nodes_or_none():
    """As `inject` itself does: half an injection would be hard to see and to undo."""
    model = mlp(6, 3, (5,))
    inject(model, ActivationNoise(), ["linear2"])
    with pytest.raises(ValueError, match="already"):
        add_nodes(model, X6, 1.0, "full")
    assert list(injected(model)) == ["linear2"]


def frozen():
    """A network in training of which one batch normalisation was put into evaluation mode by its owner."""
    model = blocks().train()
    model.norm1.eval()
    return model, inputs(5, 1, 8, 8)


@pytest.mark.parametrize(
    "act",
    [
        lambda model, x: add_nodes(model, x, 1.0),
        lambda model, x: local_derivatives(model, x, LABELS, "linear3"),
        lambda model, x: input_curvature(model, x, LABELS),
    ],
)
def test_modes_are_left_module_by_module(act):
    """A frozen batch normalisation would start to learn, as it does not with `expansion`."""
    model, x = frozen()
    act(model, x)
    assert model.training and not model.norm1.training


# --- initialisation, data, corruption, weight decay


def test_weights_start_with_one_over_the_fan_in_and_biases_at_0():
    """He's 2/d, the fan-out, or d of a filter without its channels; batch normalisation and W_NI are left alone."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(8, 200, 3), nn.BatchNorm2d(200), nn.Conv2d(200, 100, 2, groups=4, bias=False), nn.Linear(50, 400)
    )
    model[1].weight.data.fill_(3.0)
    add_nodes(model[3], torch.zeros(1, 50), 1.0)
    noise = model[3].injected_noise.weight.detach().clone()
    assert initialise(model) is model
    for module, fan_in in ((model[0], 72), (model[2], 200), (model[3], 50)):
        w = module.weight.detach().flatten().double().numpy()
        assert stats.kstest(w, stats.norm(0, fan_in**-0.5).cdf).pvalue > 1e-3
        assert 1e-3 < stats.chi2(len(w)).cdf(fan_in * (w**2).sum()) < 1 - 1e-3
        assert module.bias is None or not module.bias.any()
    assert (model[1].weight == 3).all() and torch.equal(model[3].injected_noise.weight, noise)


def test_data_are_standardised_by_channel_with_the_numbers_of_the_training_set():
    """The test set's own mean, one deviation for all channels, N - 1, or the variance that is printed."""
    train = inputs(40, 3, 4, 5) * torch.tensor([1.0, 5, 0.1]).view(3, 1, 1) + torch.tensor([0.0, 7, -2]).view(3, 1, 1)
    test, flat = inputs(10, 3, 4, 5, seed=1), inputs(30, 4, seed=2)
    found, other, third = standardise(train, test, test[:2])
    for c in range(3):
        mean, deviation = train[:, c].numpy().mean(), train[:, c].numpy().std()
        close(found[:, c], (train[:, c] - mean) / deviation)
        close(other[:, c], (test[:, c] - mean) / deviation)
    close(third, other[:2])
    assert found.shape == train.shape and other.shape == test.shape
    close(standardise(flat)[0], torch.as_tensor(stats.zscore(flat.numpy())))


@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.0])
def test_corruption_is_eq_8(sigma):
    """1 - σ for √(1 - σ²) would darken the images; then variance 1 would not stay 1."""
    x = inputs(200, 1, 10, 10)
    found = corrupted(x, sigma, seed=3)
    noise = found - math.sqrt(1 - sigma**2) * x
    if sigma:
        assert stats.kstest(noise.flatten().numpy() / sigma, stats.norm.cdf).pvalue > 1e-3
        assert abs(np.corrcoef(noise.flatten(), x.flatten())[0, 1]) < 0.03
    else:
        assert torch.equal(found, x)
    assert found.var().item() == pytest.approx(x.var().item() * (1 - sigma**2) + sigma**2, rel=0.03)
    assert torch.equal(found, corrupted(x, sigma, seed=3))
    assert sigma == 0 or not torch.equal(found, corrupted(x, sigma, seed=4))
    zero = torch.zeros_like(x)  # the same δ at every σ
    close(corrupted(zero, sigma, seed=5), sigma * corrupted(zero, 1.0, seed=5))


def test_training_on_corrupted_data_is_eq_8_anew_in_every_pass():
    """Corrupted test data, the same δ in every epoch, or noise on an undiminished image."""
    layer, x = InputCorruption(0.4), inputs(200, 100)
    torch.manual_seed(0)
    first, second = layer(x), layer(x)
    for found in (first, second):
        unit = (found - math.sqrt(1 - 0.4**2) * x) / 0.4
        assert stats.kstest(unit.flatten().numpy(), stats.norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef((first - x * 0.84**0.5).flatten(), (second - x * 0.84**0.5).flatten())[0, 1]) < 0.03
    assert torch.equal(layer.eval()(x), x)
    model = mlp(100, 3, (4,)).double()
    assert inject(model, InputCorruption(0.4), ["data"]) == ["data"]
    add_nodes(model, x, 0.0)  # both together
    assert not torch.equal(model.train()(x), model(x)) and torch.equal(model.eval()(x), model(x))


def test_l2_is_weight_decay_of_the_weights():
    """λ for λ/2, biases or W_NI included: the gradient must be λ W, and SGD's weight_decay on the weights the same."""
    model, x, y = blocks(dropout=()).train(), inputs(20, 1, 8, 8), torch.arange(20) % 3
    noised(model, x, 0.5, "full").train()
    l2(0.3)(model, x).backward()
    weighted = {f"{n}.weight" for n in ("conv1", "conv2", "linear3", "linear4")}
    for name, parameter in model.named_parameters():
        if name in weighted:
            close(parameter.grad, 0.3 * parameter)
        else:
            assert parameter.grad is None, name
        parameter.grad = None

    def decayed(parameters, lr):
        named = dict(twin.named_parameters())
        groups = [
            {"params": [named[n] for n in sorted(weighted)], "weight_decay": 0.3},
            {"params": [p for n, p in named.items() if n not in weighted]},
        ]
        return torch.optim.SGD(groups, lr=lr)

    twin = copy.deepcopy(model)
    options = {"epochs": 2, "batch_size": 8, "lr": 0.05, "progress": False}
    fit(model, x, y, optimizer=torch.optim.SGD, penalty=l2(0.3), **options)
    fit(twin, x, y, optimizer=decayed, **options)
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        close(one, other, 1e-8)


# --- the expansion of the loss


LOSSES = {"cross-entropy": (cross_entropy, LABELS), "squared error": (mse, inputs(5, 3, seed=7))}


def sample_loss(loss, y):
    """The sample's own loss of its output [C]: the sum over outputs, for the squared error."""
    return lambda output: loss(output[None], y[None], reduction="sum")


def brute_local(model, x, y, name, loss):
    """g and H of eq. (5) sample by sample: the network cut in two, by autograd."""
    place = [child for child, _ in model.named_children()].index(name) + 1
    gradients, hessians = [], []
    for sample, target in zip(x.split(1), y, strict=True):
        z = model[:place](sample).detach()

        def rest(z, target=target):
            return sample_loss(loss, target)(model[place:](z)[0])

        gradients.append(torch.func.grad(rest)(z).flatten())
        hessians.append(torch.func.hessian(rest)(z).reshape(z.numel(), z.numel()))
    return torch.stack(gradients), torch.stack(hessians)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layer", ["data", "linear1", "act1", "linear2", "linear3"])
def test_local_derivatives_are_autograds(layer, loss):
    """Gradients of the mean (1/B), of another layer, or samples exchanged: all of eq. (4) would be off."""
    model, x = network(4, 6, 5, 3), inputs(5, 4)
    function, y = LOSSES[loss]
    g, h = local_derivatives(model, x, y, layer, function)
    truth = brute_local(model, x, y, layer, function)
    close(g, truth[0])
    close(h, truth[1])
    assert not g.requires_grad and not h.requires_grad
    assert truth[1].abs().max() > 1e-3


def test_local_derivatives_before_an_activation_in_place():
    """Those behind the ReLU would be taken for those at z, in silence."""
    model, x = network(4, 6, 3, activation=nn.ReLU), inputs(5, 4)
    truth = brute_local(model, x, LABELS, "linear1", cross_entropy)
    model.act1.inplace = True
    g, h = local_derivatives(model, x, LABELS, "linear1")
    close(g, truth[0])
    close(h, truth[1])


@pytest.mark.parametrize("layer", ["conv1", "norm1", "pool1", "linear3"])
def test_local_derivatives_of_convolutions_stand_at_evaluation(layer):
    """Batch statistics would couple the samples; dropout would draw; noise of a node would move the point."""
    model, x = blocks(), inputs(5, 1, 8, 8)
    truth = brute_local(model, x, LABELS, layer, cross_entropy)
    noised(model, x, 5.0, "full").train()
    state = copy.deepcopy(model.state_dict())
    g, h = local_derivatives(model, x, LABELS, layer)
    close(g, truth[0])
    close(h, truth[1])
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    hooks = len(model.get_submodule(layer)._forward_hooks)
    with pytest.raises(TypeError):
        local_derivatives(model, x, LABELS, layer, lambda output, target: output.sum())
    assert model.training and len(model.get_submodule(layer)._forward_hooks) == hooks


def test_the_local_hessian_of_a_piecewise_linear_network_is_positive_semi_definite():
    """Section 2.1 (Botev et al.): with ReLU and cross-entropy or squared error H = JᵀH_L J ≥ 0; not with tanh."""
    x = inputs(5, 4)
    for function, y in LOSSES.values():
        _, h = local_derivatives(network(4, 6, 5, 3, activation=nn.ReLU), x, y, "linear1", function)
        assert torch.linalg.eigvalsh(h).min() > -1e-10 and h.abs().max() > 1e-3
        _, h = local_derivatives(network(4, 6, 5, 3), x, y, "linear1", function)
        assert torch.linalg.eigvalsh(h).min() < -1e-3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_the_first_terms_are_eq_4(activation, loss):
    """R_2 without its ½, |ε| for ε, another draw: against W·⟨ε g⟩ and ½ W·⟨ε² H⟩W with the ε that were met."""
    model, x = network(4, 6, 5, 3, activation=activation), inputs(5, 4)
    function, y = LOSSES[loss]
    g, h = brute_local(model, x, y, "linear1", function)
    if function is mse:  # the mean over outputs too
        g, h = g / 3, h / 3
    spy = Spy(model, 1.5, x=x)
    terms, _ = expansion(model, x, y, 2, function, seed=4)
    epsilon, w = spy.epsilon("linear1"), model.linear1.injected_noise.weight.detach()
    assert terms[0] == pytest.approx((epsilon * (g @ w)).mean().item(), rel=1e-9)
    assert terms[1] == pytest.approx((epsilon**2 * torch.einsum("i,bij,j->b", w, h, w)).mean().item() / 2, rel=1e-9)
    assert min(map(abs, terms)) > 1e-4


def test_the_terms_of_a_convolution_are_derivatives_in_its_input():
    """cNINR: z is the image, and batch normalisation and dropout stand as at evaluation."""
    model, x = blocks(), inputs(5, 1, 8, 8)
    g, h = brute_local(model, x, LABELS, "data", cross_entropy)
    spy = Spy(model, 1.5, x=x)
    model.train()
    terms, change = expansion(model, x, LABELS, 2, seed=4)
    epsilon, w = spy.epsilon("conv1"), model.conv1.injected_noise.weight.detach().flatten()
    assert terms[0] == pytest.approx((epsilon * (g @ w)).mean().item(), rel=1e-9)
    assert terms[1] == pytest.approx((epsilon**2 * torch.einsum("i,bij,j->b", w, h, w)).mean().item() / 2, rel=1e-9)
    remove(model)
    model.eval()
    noisy = x + epsilon[:, None, None, None] * w.view(1, 8, 8)
    truth = (cross_entropy(model(noisy), LABELS) - cross_entropy(model(x), LABELS)).item()
    assert change == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("where", ["in", "full"])
@pytest.mark.parametrize("make", [lambda: network(4, 6, 5, 3), lambda: blocks(activation=nn.Tanh)])
def test_the_terms_add_up_to_the_change_of_the_loss(make, where):
    """Eq. (2): k! forgotten, or another draw of ε for the change, and the remainder would not vanish."""
    model = make()
    x = inputs(5, *((1, 8, 8) if hasattr(model, "conv1") else (4,)))
    noised(model, x, 1.0, where)
    rests = []
    for sigma in (0.02, 0.01):
        set_noise(model, sigma=sigma)
        terms, change = expansion(model, x, LABELS, 4)
        rests.append([abs(change - sum(terms[:k])) for k in range(5)])
    assert len(terms) == 4 and abs(change) > 1e-5
    for k, (large, small) in enumerate(zip(*rests, strict=True)):  # what is left out begins with order k + 1
        assert small < 1e-13 or large / small == pytest.approx(2 ** (k + 1), rel=0.35), k
    assert max(rests[0][2:]) < 1e-2 * rests[0][0] and rests[1][2] > 1e-11


def test_the_terms_of_nodes_everywhere_are_derivatives_of_the_wider_network():
    """Full-NINR: R_k mixes the nodes. The wider network, written out, with t ε for ε, by autograd four times."""
    model, x = network(4, 6, 5, 3), inputs(5, 4)
    spy = Spy(model, 0.7, "full", x=x)
    twin = Extended(model, spy.names)
    found, change = expansion(model, x, LABELS, 4, seed=2)
    epsilons = {name: spy.epsilon(name) for name in spy.names}

    def at(t):
        return cross_entropy(twin(x, {name: t * epsilon for name, epsilon in epsilons.items()}), LABELS)

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = at(t)
    for k, term in enumerate(found, start=1):
        (value,) = torch.autograd.grad(value, t, create_graph=True)
        assert term == pytest.approx(value.item() / math.factorial(k), rel=1e-8)
    assert change == pytest.approx((at(1.0) - at(0.0)).item(), rel=1e-9)


def linear_network(bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6, bias), nn.Linear(6, 5, bias), nn.Linear(5, 3, bias)).double()


@pytest.mark.parametrize("where", ["in", "full"])
def test_a_linear_network_with_squared_error_has_two_terms(where):
    """Section 2.1: R_k = 0 for k > 2, so R_1 + R_2 is all of the change, at any σ_ε; and R_2 ≥ 0."""
    x, (function, y) = inputs(5, 4), LOSSES["squared error"]
    for sigma in (0.1, 100.0):
        terms, change = expansion(noised(linear_network(), x, sigma, where), x, y, 2, function)
        assert change == pytest.approx(sum(terms), rel=1e-10)
        assert terms[1] > 0


@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU])
def test_terms_that_vanish_identically_are_0(activation):
    """The paper's own limiting case, R_k = 0 for k > 2, is an error instead."""
    x, (function, y) = inputs(5, 4), LOSSES["squared error"]
    model = noised(network(4, 6, 3, activation=activation), x, 0.1)
    terms, _ = expansion(model, x, y, 5, function)
    assert terms[2:] == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_the_expansion_depends_on_seed_and_strength_alone_and_leaves_no_trace():
    """A measurement inside training must not move the training; R_k is of order σ_ε^k."""
    model, x = frozen()
    noised(model, x, 0.5, "full")
    model.norm1.eval()
    model.conv1.weight.requires_grad_(False)
    modes, state = [m.training for m in model.modules()], copy.deepcopy(model.state_dict())
    generator = torch.get_rng_state()
    terms, change = expansion(model, x, LABELS, 3, seed=1)
    assert expansion(model, x, LABELS, 3, seed=1) == (terms, change)
    assert expansion(model, x, LABELS, 3, seed=2)[0] != terms
    assert expansion(model, x, LABELS, 0, seed=1) == ([], change)
    with pytest.raises(ZeroDivisionError):
        expansion(model, x, LABELS, loss=lambda *_: 1 / 0)
    assert torch.equal(torch.get_rng_state(), generator)
    assert modes == [m.training for m in model.modules()] and not model.norm1.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and not model.conv1.weight.requires_grad
    set_noise(model, sigma=1.0)
    double, _ = expansion(model, x, LABELS, 3, seed=1)
    assert double == pytest.approx([2 * terms[0], 4 * terms[1], 8 * terms[2]], rel=1e-9)


def test_only_nodes_are_expanded_not_other_noise():
    """Activation noise beside the nodes would be in the change and in no term."""
    model, x = network(4, 6, 5, 3), inputs(5, 4)
    terms, change = expansion(noised(model, x, 0.5), x, LABELS)
    inject(model, ActivationNoise(alpha_inference=0.0), ["act2"])
    inject(model, InputCorruption(0.5), ["data"])
    assert expansion(model.train(), x, LABELS) == (terms, change)
    remove(model)
    inject(model, ActivationNoise())
    with pytest.raises(ValueError, match="no noise injection node"):
        expansion(model, x, LABELS)


@pytest.mark.parametrize("measure", [expansion, lambda *args: local_derivatives(*args, "linear1")[1].sum().item()])
def test_derivatives_under_no_grad(measure):
    """Measurements are often made under no_grad; `input_curvature` and `hessian_trace` allow it."""
    model, x = network(4, 6, 5, 3), inputs(5, 4)
    truth = measure(noised(model, x, 0.5), x, LABELS)
    with torch.no_grad():
        assert measure(model, x, LABELS) == truth


def test_r_1_is_a_random_walk_and_r_2_a_penalty():
    """Section 2.1: ⟨ε g⟩² ~ σ² ⟨g²⟩ / B with mean 0, while R_2 tends to ½ σ² W⟨H⟩W, whatever B."""
    model, x, sigma = network(4, 6, 3), inputs(5, 4), 1.5
    g, h = brute_local(model, x, LABELS, "linear1", cross_entropy)
    noised(model, x, sigma)
    w = model.linear1.injected_noise.weight.detach()
    found = np.array([expansion(model, x, LABELS, 2, seed=seed)[0] for seed in range(500)])
    variance = sigma**2 * (g @ w).square().mean().item() / 5
    assert abs(found[:, 0].mean()) < 4 * (variance / 500) ** 0.5
    assert 1e-3 < stats.chi2(500).cdf((found[:, 0] ** 2).sum() / variance) < 1 - 1e-3
    parts = sigma**2 / 2 * torch.einsum("i,bij,j->b", w, h, w).detach().numpy()
    deviation = (2 * (parts**2).sum()) ** 0.5 / 5  # of ε²: variance 2
    assert abs(found[:, 1].mean() - parts.mean()) < 4 * deviation / 500**0.5
    assert abs(parts.mean()) > 8 * deviation / 500**0.5


@pytest.mark.parametrize("where", ["in", "full"])
def test_the_loss_knows_only_the_product_of_noise_and_weight(where):
    """Footnote 4: w_NI → λ w_NI, ε → ε/λ changes no term, but the gradient in w_NI is λ times smaller."""
    model, x = network(4, 6, 3), inputs(5, 4)
    noised(model, x, 2.0, where)
    terms = expansion(model, x, LABELS, 3, seed=1)
    gradients = []
    for factor in (1.0, 8.0):
        with torch.no_grad():
            for node in injected(model).values():
                node.weight.mul_(factor)
        set_noise(model, sigma=2.0 / factor)
        again = expansion(model, x, LABELS, 3, seed=1)
        assert again[0] == pytest.approx(terms[0], rel=1e-9) and again[1] == pytest.approx(terms[1], rel=1e-9)
        torch.manual_seed(0)
        loss = cross_entropy(model.train()(x), LABELS)
        gradients.append(torch.autograd.grad(loss, model.linear1.injected_noise.weight)[0])
    close(gradients[1], gradients[0] / 8)


def toy(w0, w1, w_ni, sigma, x):
    """Fig. 5: one input, one node, one hidden unit, one output, no bias."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    spy = Spy(model, sigma, x=x)
    for parameter, value in zip(
        (model[0].weight, model[1].weight, model[0].injected_noise.weight), (w0, w1, w_ni), strict=True
    ):
        parameter.data.fill_(value)
    return model, spy


def test_the_terms_of_the_toy_are_eq_12():
    """Exactly with the ε and x that were met, and with σ_x, σ_ε and Φ of a large batch."""
    w0, w1, w_ni, target, sigma, sigma_x = 0.7, -1.3, 0.4, 2.0, 3.0, 0.5
    x = sigma_x * inputs(100_000, 1)
    model, spy = toy(w0, w1, w_ni, sigma, x)
    terms, change = expansion(model, x, target * x, 2, lambda o, y: mse(o, y) / 2, seed=3)
    epsilon = spy.epsilon("0")
    g = w_ni * w1 * (w1 * w0 - target)
    assert terms[0] == pytest.approx(g * (epsilon * x[:, 0]).mean().item(), rel=1e-9)
    assert terms[1] == pytest.approx(0.5 * (w1 * w_ni) ** 2 * epsilon.square().mean().item(), rel=1e-9)
    assert change == pytest.approx(sum(terms), rel=1e-9)
    phi = terms[0] / (g * sigma_x * sigma / 100_000**0.5)
    assert abs(phi) < 4
    assert terms[1] == pytest.approx(0.5 * (w1 * w_ni * sigma) ** 2, rel=0.02)


def exact_trace(model, x, y, loss):
    h = functional.hessian(lambda v: loss(model(v), y), x).reshape(x.numel(), x.numel())
    return h.trace().item(), 2 * (h.square().sum() - h.diagonal().square().sum()).item()


@pytest.mark.parametrize("make", [lambda: network(4, 6, 5, 3), blocks])
def test_input_curvature_is_the_trace_of_the_input_hessian(make):
    """The sum over the batch for its mean, v that are not ±1 (another variance), or a curvature in the weights."""
    model = make()
    x = inputs(5, *((1, 8, 8) if hasattr(model, "conv1") else (4,)))
    truth, variance = exact_trace(model, x, LABELS, cross_entropy)
    if hasattr(model, "linear1"):  # eq. (7) as it is printed
        h = brute_local(model, x, LABELS, "linear1", cross_entropy)[1]
        w = model.linear1.weight
        assert torch.einsum("ia,bij,ja->b", w, h, w).mean().item() == pytest.approx(truth, rel=1e-9)
    noised(model, x, 3.0, "full").train()
    generator = torch.get_rng_state()
    with torch.no_grad():
        singles = np.array([input_curvature(model, x, LABELS, probes=1, seed=seed) for seed in range(300)])
    assert abs(singles.mean() - truth) < 4 * (variance / 300) ** 0.5 < 0.5 * abs(truth)
    assert singles.var() == pytest.approx(variance, rel=0.4)
    many = input_curvature(model, x, LABELS, probes=300, seed=0)
    assert abs(many - truth) < 4 * (variance / 300) ** 0.5
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert input_curvature(model, x, LABELS, seed=1) == input_curvature(model, x, LABELS, seed=1)
    assert input_curvature(model, x, LABELS, seed=1) != input_curvature(model, x, LABELS, seed=2)


def test_one_probe_is_exact_for_a_diagonal_hessian():
    """Signs have v² = 1, normal numbers have not; the mean over the batch and the outputs is the loss's."""
    x = inputs(7, 3)
    assert input_curvature(nn.Identity(), x, inputs(7, 3, seed=1), mse, probes=1) == pytest.approx(2.0, rel=1e-12)
    half = input_curvature(nn.Identity(), x.float(), x.float(), lambda o, y: mse(o, y, reduction="sum"), probes=3)
    assert half == pytest.approx(42.0, rel=1e-6)


def test_input_curvature_times_half_the_variance_is_the_cost_of_corrupted_inputs():
    """Eq. (7): E[L(x + δ)] - L(x) = ½ σ² Tr, to second order; exactly for a linear network with squared error."""
    model, x, y = linear_network(), inputs(5, 4), inputs(5, 3, seed=7)
    truth, _ = exact_trace(model, x, y, mse)
    found = input_curvature(model, x, y, mse, probes=3000)
    assert found == pytest.approx(truth, rel=0.03)
    delta, clean = 0.3 * inputs(20_000, 5, 4, seed=3), mse(model(x), y).item()
    pairs = (mse(model(x + delta), y.expand(20_000, 5, 3)) + mse(model(x - delta), y.expand(20_000, 5, 3))) / 2
    assert pairs.item() - clean == pytest.approx(0.3**2 / 2 * truth, rel=0.02)


@pytest.mark.parametrize("case", ["probes", "loss"])
def test_a_failing_curvature_says_why_and_restores_the_mode(case):
    """`hessian_trace` refuses 0 probes with a ValueError; a division by zero explains nothing."""
    model, x = network(4, 6, 3).train(), inputs(5, 4)
    if case == "probes":
        with pytest.raises(ValueError, match="probes"):
            input_curvature(model, x, LABELS, probes=0)
    else:
        with pytest.raises(ZeroDivisionError):
            input_curvature(model, x, LABELS, lambda *_: 1 / 0)
        assert model.training


# --- the linear toy


def eq_10(w0, w1, w_ni, sigma, sigma_x, target, cross):
    """The loss of eq. (10), `cross` = Φ / √B."""
    signal, noise = w1 @ w0 - target, w1 @ w_ni
    return 0.5 * (2 * noise * signal * sigma_x * sigma * cross + signal**2 * sigma_x**2 + noise**2 * sigma**2)


@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize("d", [1, 4])
def test_descent_is_gradient_descent_on_eq_10(d, batch):
    """A wrong sign or factor in one of the three updates, weights updated one after the other, Φ not /√B."""
    sigma, sigma_x, target, eta, steps = 1.7, 0.8, 1.5, 0.03, 40
    start = [0.5 * inputs(d, seed=k) for k in range(3)]
    found = descend(*start, eta=eta, sigma=sigma, steps=steps, batch=batch, sigma_x=sigma_x, target=target, seed=6)
    rng, weights = np.random.default_rng(6), [w.clone().requires_grad_() for w in start]
    for step in range(steps + 1):
        cross = 0.0 if batch is None else rng.standard_normal(1).item() / math.sqrt(batch)
        loss = eq_10(*weights, sigma, sigma_x, target, cross)
        w0, w1, w_ni = weights
        for name, value in (("product", w1 @ w0), ("w1", w1.norm()), ("w_ni", w_ni.norm()), ("loss", loss)):
            assert found[name][step] == pytest.approx(value.item(), rel=1e-10, abs=1e-14)
        gradients = torch.autograd.grad(loss, weights)
        weights = [(w - eta * g).detach().requires_grad_() for w, g in zip(weights, gradients, strict=True)]
    assert {value.shape for value in found.values()} == {(steps + 1,)} and set(found) == {
        "product",
        "w1",
        "w_ni",
        "loss",
    }
    assert all(value.dtype == np.float64 for value in found.values())


def test_eqs_13_and_15_literally():
    """The paper's univariate recursions, with the update of w^(0) that it leaves out; without the data, eq. (15)."""
    eta, sigma, sigma_x = 0.05, 2.0, 0.9
    for scale in (sigma_x, 0.0):
        w0, w1, n = 0.3, 0.6, -0.5
        found = descend([w0], [w1], [n], eta=eta, sigma=sigma, steps=30, sigma_x=scale)
        for step in range(31):
            assert found["w1"][step] == pytest.approx(abs(w1), rel=1e-12)
            assert found["w_ni"][step] == pytest.approx(abs(n), rel=1e-12)
            assert found["product"][step] == pytest.approx(w1 * w0, rel=1e-12)
            if scale:
                w0, w1, n = (
                    w0 - eta * (w1 * w0 - 1) * w1 * scale**2,
                    w1 * (1 - eta * sigma**2 * n**2) - eta * (w1 * w0 - 1) * w0 * scale**2,
                    n * (1 - eta * sigma**2 * w1**2),
                )
            else:
                w1, n = w1 * (1 - eta * sigma**2 * n**2), n * (1 - eta * sigma**2 * w1**2)


def test_descent_is_that_of_the_network_it_stands_for():
    """Eq. (9) with x and ε of exactly σ_x, σ_ε and no correlation: a wide linear network trained by torch's SGD."""
    d, b, sigma_x, sigma, target, eta = 3, 64, 0.7, 2.5, 1.2, 0.02
    raw = np.random.default_rng(0).standard_normal((b, 2))
    q = np.linalg.qr(raw)[0] * b**0.5  # columns of mean square 1, orthogonal
    data = torch.tensor(q * [sigma_x, sigma])
    y = target * data[:, :1]
    model = nn.Sequential(nn.Linear(2, d, bias=False), nn.Linear(d, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(inputs(d, 2))
        model[1].weight.copy_(inputs(1, d, seed=1))
    w0, w_ni = model[0].weight.detach().numpy().T.copy()
    w1 = model[1].weight.detach().numpy()[0].copy()
    found = descend(w0, w1, w_ni, eta=eta, sigma=sigma, steps=50, sigma_x=sigma_x, target=target)
    optimiser = torch.optim.SGD(model.parameters(), lr=eta)
    for step in range(51):
        loss = mse(model(data), y) / 2
        assert found["loss"][step] == pytest.approx(loss.item(), rel=1e-9, abs=1e-12)
        assert found["w_ni"][step] == pytest.approx(model[0].weight[:, 1].norm().item(), rel=1e-9, abs=1e-12)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert found["loss"][0] > 3 * found["loss"][-1]


def test_many_descents_at_once_are_each_of_them_alone():
    """η, σ_ε and starting weights of other shapes, broadcast along the wrong axis, would mix the runs."""
    start = [0.4 * inputs(4, 1, 3, seed=k).numpy() for k in range(3)]
    etas, sigmas = np.array([[0.01], [0.02], [0.03], [0.04]]), np.array([0.5, 3.0])
    options = {"steps": 12, "sigma_x": 0.6, "target": 0.8}
    found = descend(*start, eta=etas, sigma=sigmas, **options)
    assert found["loss"].shape == (4, 2, 13)
    for i in range(4):
        for j in range(2):
            alone = descend(*(w[i, 0] for w in start), eta=etas[i, 0], sigma=sigmas[j], **options)
            for name, value in alone.items():
                assert value == pytest.approx(found[name][i, j], rel=1e-12)
    noisy = descend(*start, eta=etas, sigma=sigmas, batch=4, **options)
    one = descend([0.1], [0.2], [0.3], eta=0.1, sigma=np.ones(5), steps=3, batch=4)["loss"]
    assert noisy["loss"].shape == (4, 2, 13) and one.shape == (5, 4)
    assert len(set(one[:, 0])) == 5  # a Φ for each run
    assert (found["product"][:, 0, 0] == found["product"][:, 1, 0]).all()


def test_what_batch_noise_adds_has_deviation_one_over_root_b():
    """Φ/√B: at the first step the loss differs by w1·w_NI (w1·w0 - M) σ_x σ_ε Φ/√B, Φ of unit variance."""
    clean = descend([0.5], [0.7], [0.3], eta=0.1, sigma=2.0, steps=0)["loss"][0]
    noisy = descend([0.5], [0.7], [0.3], eta=0.1, sigma=np.full(5000, 2.0), steps=0, batch=25)["loss"][:, 0]
    scale = 0.7 * 0.3 * (0.7 * 0.5 - 1) * 2.0 / 5
    assert stats.kstest((noisy - clean) / scale, stats.norm.cdf).pvalue > 1e-3


@pytest.mark.filterwarnings("error")
def test_a_descent_that_overflows_goes_on_in_silence():
    """The divergent phase is to be drawn, not to stop the page with an error or a warning."""
    found = descend([0.1], [0.9], [0.9], eta=0.1, sigma=[1.0, 100.0], steps=100)
    assert np.isfinite(found["loss"][0]).all() and not np.isfinite(found["loss"][1][-1])
    assert phase(found["w_ni"][1], found["loss"][1]) == "divergent"


def test_the_optimum_stays():
    """w1·w0 = M and w_NI = 0, the minimum of eq. (10), is a fixed point of both."""
    for d in (1, 2):
        w0, w1, n = np.full(d, 2.0), np.full(d, 1.5 / d), np.zeros(d)
        path = descend(w0, w1, n, eta=0.1, sigma=9.0, steps=5, target=3.0, batch=4)
        assert path["product"] == pytest.approx(np.full(6, 3.0)) and path["loss"] == pytest.approx(np.zeros(6))
        assert flow(w0, w1, n, sigma=9.0, times=[0, 5.0], target=3.0)["product"] == pytest.approx([3.0, 3.0])


@pytest.mark.parametrize("d", [1, 3])
def test_flow_is_the_limit_of_small_steps(d):
    """A factor of 2 in time, or a term left out; the limit is reached at first order, so two step sizes extrapolate."""
    start = [0.6 * inputs(d, seed=k).numpy() for k in range(3)]
    options = {"sigma": 1.6, "sigma_x": 0.8, "target": 1.3}
    times = np.linspace(0, 2, 9)
    found = flow(*start, times=times, **options)
    coarse, fine = (descend(*start, eta=2 / n, steps=n, **options) for n in (400, 800))
    for name, value in found.items():
        a, b = coarse[name][::50], fine[name][::100]
        assert value.shape == (9,)
        assert 2 * b - a == pytest.approx(value, rel=3e-5, abs=3e-6), name
        assert np.abs(b - value).max() < 0.6 * np.abs(a - value).max()


@pytest.mark.parametrize(("p", "q"), [(1.5, 0.4), (0.3, 2.0), (0.7, 0.7)])
def test_flow_without_data_is_the_logistic_curve(p, q):
    """Eq. (16): p - q is conserved and d(p)/dt = -2σ² p q, so q/p = (q/p)₀ exp(-2σ²(p - q) t)."""
    sigma, times = 1.4, np.linspace(0, 3, 13)
    found = flow([0.2], [p**0.5], [q**0.5], sigma=sigma, times=times, sigma_x=0.0)
    if p == q:
        truth_p = truth_q = p / (1 + 2 * sigma**2 * p * times)
    else:
        ratio = q / p * np.exp(-2 * sigma**2 * (p - q) * times)
        truth_p = (p - q) / (1 - ratio)
        truth_q = ratio * truth_p
    assert found["w1"] ** 2 == pytest.approx(truth_p, rel=1e-5)
    assert found["w_ni"] ** 2 == pytest.approx(truth_q, rel=1e-5, abs=1e-9)
    assert found["w1"] ** 2 - found["w_ni"] ** 2 == pytest.approx(np.full(13, p - q), abs=1e-6)
    assert found["loss"] == pytest.approx(sigma**2 * truth_p * truth_q / 2, rel=1e-4, abs=1e-9)
    assert found["product"] == pytest.approx(0.2 * found["w1"], rel=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 50.0, 2000.0])
@pytest.mark.parametrize("d", [1, 6])
def test_flow_never_diverges(d, sigma):
    """Eq. (14): the noise weight can only decay, at any σ_ε, where steps of any fixed size blow up."""
    start = [inputs(d, seed=k).numpy() / d**0.5 for k in range(3)]
    found = flow(*start, sigma=sigma, times=np.linspace(0, 5, 60))
    assert all(value.shape == (60,) and np.isfinite(value).all() for value in found.values())
    assert (np.diff(found["loss"]) <= 1e-6 * found["loss"][0] + 1e-9).all()
    if d == 1:
        assert (np.diff(found["w_ni"]) <= 1e-9).all()
    if sigma == 2000:
        assert not np.isfinite(descend(*start, eta=0.01, sigma=sigma, steps=60)["loss"][-1])


def test_flow_at_the_start_alone():
    """A slider at t = 0."""
    assert flow([0.1], [0.2], [0.3], sigma=1.0, times=[0.0])["w_ni"] == pytest.approx([0.3])


@pytest.mark.parametrize(
    ("norms", "losses", "options", "expected"),
    [
        ([1, 0.4, 0.2], [2, 1, 0.5], {}, "decay"),
        ([1, 1, 0.5], [2, 1, 0.5], {}, "decoupled"),  # exactly half is not under it
        ([1, 3, 0.499], [2, 1, 0.5], {}, "decay"),
        ([1, 0.1, 0.6], [2, 1, 0.5], {}, "decoupled"),  # it is the end that counts
        ([1, 1, 0.1], [2, 2.2, 0.5], {}, "decay"),  # exactly 1.1 times is not over it
        ([1, 1, 0.1], [2, 2.21, 0.5], {}, "catapult"),
        ([1, 1, 1], [2, 50, 2.2], {}, "catapult"),
        ([1, 1, 0.1], [2, 50, 2.21], {}, "divergent"),
        ([1, 1, 0.1], [2, 1, 3], {}, "divergent"),
        ([1, math.nan, 0.1], [2, 1, 0.5], {}, "divergent"),
        ([1, 0.5, math.inf], [2, 1, 0.5], {}, "divergent"),
        ([1, 0.5, 0.1], [2, math.inf, 0.5], {}, "divergent"),
        ([1, 0.5, 0.1], [2, 1, math.nan], {}, "divergent"),
        ([1, 0.4, 0.2], [2, 9, 0.5], {"accuracy": 0.149, "chance": 0.1}, "divergent"),  # before the catapult
        ([1, 0.4, 0.2], [2, 1, 0.5], {"accuracy": 14.9, "chance": 10}, "divergent"),
        ([1, 0.4, 0.2], [2, 1, 0.5], {"accuracy": 0.16, "chance": 0.1}, "decay"),
        ([1, 0.4, 0.2], [2, 1, 0.5], {"accuracy": 0.0, "chance": 0.1}, "divergent"),
        ([1, 0.4, 0.2], [2, 1, 0.5], {"accuracy": 3.0, "chance": 2.0}, "decay"),  # exactly 1.5 times
        ([1, 0.4, 0.2], [2, 50, 3], {"accuracy": 91.0, "chance": 10.0}, "catapult"),  # loud still, but it has learned
        ([1], [2], {}, "decoupled"),
        ([0, 0, 0], [2, 1, 0.5], {}, "decoupled"),
        ([1, 0.2], [5, 4, 3, 2, 1], {}, "decay"),
    ],
)
def test_phases_by_the_rules(norms, losses, options, expected):
    """Each rule, its threshold, and the order in which they apply."""
    assert phase(norms, losses, **options) == expected
    assert phase(torch.tensor(norms).double(), np.array(losses, dtype=float), **options) == expected


def test_the_toy_runs_through_all_four_phases():
    """From the smallest σ_ε to the largest: a rule that never or always applies would leave a phase out."""
    eta, edge = 0.05, first_growth([1.0], [0.1], 0.05)
    sigmas = np.sqrt(edge * np.array([1e-6, 0.05, 1.5, 4.0]))
    path = descend([0.1], [1.0], [0.1], eta=eta, sigma=sigmas, steps=400)
    assert [phase(path["w_ni"][k], path["loss"][k]) for k in range(4)] == list(PHASES)
    assert path["product"][:3, -1] == pytest.approx(1.0, abs=0.01)  # all but the last have learned


def test_the_univariate_toy_of_equal_weights_has_no_catapult():
    """Eq. (15) with |w1| = |w_NI|: a' = a (1 - a)², a = η σ² w²: under 2 it shrinks, over 2 it grows for ever."""
    eta, w = 0.1, 0.2
    for a, expected in ((0.5, "decay"), (1.99, "decay"), (2.01, "divergent"), (2.5, "divergent")):
        path = descend([0.0], [w], [w], eta=eta, sigma=(a / eta / w**2) ** 0.5, steps=3000, sigma_x=0.0)
        assert phase(path["w_ni"], path["loss"]) == expected, a


def one_step(w1, w_ni, s):
    """|w1·w_NI| after a step of eq. (15) over that before it, by vectors; s = η σ²."""
    c = w1 @ w_ni
    return abs((w1 - s * c * w_ni) @ (w_ni - s * c * w1)) / abs(c)


@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_first_growth_is_where_a_step_first_grows(d):
    """The other root, a factor of 2 or p q for p + q: against a scan of σ², refined by bisection."""
    rng, eta, kinds = np.random.default_rng(d), 0.05, set()
    for _ in range(40):
        w1, w_ni = rng.standard_normal((2, d)) * rng.uniform(0.2, 2, (2, 1))
        total = w1 @ w1 + w_ni @ w_ni
        grid = np.linspace(0.01, 12, 4000) / total
        ratios = np.array([one_step(w1, w_ni, s) for s in grid])
        k = int(np.argmax(ratios > 1))
        if not k:  # beyond the grid
            continue
        low, high = grid[k - 1], grid[k]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if one_step(w1, w_ni, middle) > 1 else (middle, high)
        found = first_growth(w1, w_ni, eta)
        if grid[k + 1] < grid[-1] and ratios[k + 1] < 1:
            continue  # the scan met the tip of a hump narrower than its grid
        assert found == pytest.approx(high / eta, rel=1e-5)
        kinds.add(total**2 > 8 * (w1 @ w_ni) ** 2)
        for factor, grows in ((0.999, False), (1.001, True)):
            path = descend(np.zeros(d), w1, w_ni, eta=eta, sigma=(factor * found) ** 0.5, steps=1, sigma_x=0.0)
            assert (path["loss"][1] > path["loss"][0]) == grows
    assert kinds == {True, False} if d < 4 else True in kinds


def test_first_growth_in_closed_form():
    """2/(η w²) for equal weights in one dimension; 2/(η (p + q)) for orthogonal vectors; none without weights."""
    assert first_growth([0.3], [-0.3], 0.1) == pytest.approx(2 / (0.1 * 0.09))
    assert first_growth([1.0, 1.0, 0.0], [1.0, -1.0, 2.0], 0.1) == pytest.approx(2 / (0.1 * 8))
    assert first_growth([0.0, 0.0], [3.0, 4.0], 0.5) == pytest.approx(2 / (0.5 * 25))
    assert first_growth([0.0], [0.0], 0.1) == math.inf
    assert isinstance(first_growth([1.0], [1.0], 0.1), float)


@pytest.mark.parametrize("scale", [1e6, 4321.0])
def test_first_growth_of_large_weights(scale):
    """0.0 for 2e-12 would say that any noise grows."""
    assert first_growth([scale], [scale], 1.0) == pytest.approx(2 / scale**2, rel=1e-9)


def test_critical_noise_is_the_papers_and_that_of_equal_weights():
    """2 d/η; Fig. 3's four strengths, 0 to 1.8 d/η, all lie under it, and Fig. 2's catapult (σ = 231.6) at 3.4 d/η."""
    assert critical_noise(785, 0.01) == pytest.approx(157_000)
    assert critical_noise(785, 0.01) > 1.8 * 785 / 0.01
    assert 231.6**2 / (critical_noise(785, 0.05) / 2) == pytest.approx(3.4, abs=0.05)
    for d, eta in ((785, 0.05), (4, 0.3)):
        assert critical_noise(d, eta) == pytest.approx(first_growth([d**-0.5], [d**-0.5], eta))


# --- MNIST's frame


def blob(height, width, seed=0):
    """A digit-like picture: bright strokes on black that reach all four edges of its box."""
    rng = np.random.default_rng(seed)
    picture = ndimage.gaussian_filter(rng.random((height, width)), 1.0)
    picture = np.where(picture > np.quantile(picture, 0.6), rng.uniform(0.3, 1, picture.shape), 0.0)
    picture[0, rng.integers(width)] = picture[-1, rng.integers(width)] = 0.9
    picture[rng.integers(height), 0] = picture[rng.integers(height), -1] = 0.8
    return picture


def placed(picture, height, width, top, left):
    image = torch.zeros(1, 1, height, width)
    image[0, 0, top : top + picture.shape[0], left : left + picture.shape[1]] = torch.as_tensor(picture).float()
    return image


def brute_frame(picture, box=20, size=28):
    """The same with Pillow's resampling and scipy's centre of mass."""
    scale = box / max(picture.shape)
    height, width = (max(1, round(side * scale)) for side in picture.shape)
    small = np.asarray(Image.fromarray(picture.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    out = np.zeros((size, size), dtype=np.float32)
    corner = [
        int(np.clip(round((size - 1) / 2 - centre), 0, size - side))
        for centre, side in zip(ndimage.center_of_mass(small), small.shape, strict=True)
    ]
    out[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = small
    return out


SHAPES = [(16, 16), (16, 9), (7, 13), (28, 20), (25, 25), (5, 1), (1, 6), (20, 14), (3, 40), (1, 50)]


@pytest.mark.parametrize("shape", SHAPES)
def test_digits_are_framed_as_pillow_and_scipy_do(shape):
    """A stretched digit, one cut off, sampled without smoothing, or centred by its box would be another domain."""
    picture = blob(*shape)
    image = placed(picture, shape[0] + 5, shape[1] + 3, 4, 1)
    framed = digit_frame(image)
    assert framed.shape == (1, 1, 28, 28) and framed.dtype == image.dtype
    np.testing.assert_allclose(framed[0, 0].numpy(), brute_frame(picture), atol=1e-4)
    rows, columns = (np.flatnonzero(framed[0, 0].any(axis).numpy()) for axis in (1, 0))
    box = (np.ptp(rows) + 1, np.ptp(columns) + 1)
    assert max(box) == 20
    assert box == tuple(max(1, round(20 * side / max(shape))) for side in shape)
    centre = ndimage.center_of_mass(framed[0, 0].numpy())
    for axis, (place, occupied) in enumerate(zip(centre, (rows, columns), strict=True)):
        assert abs(place - 13.5) <= 0.501 or occupied[0] == 0 or occupied[-1] == 27, axis


@pytest.mark.parametrize("height", [16, 50])
def test_a_digit_of_one_column_is_framed(height):
    """A thin 1 would have its first pixel's brightness throughout."""
    picture = blob(height, 1)
    framed = digit_frame(placed(picture, height, 16, 0, 7))[0, 0].numpy()
    np.testing.assert_allclose(framed, brute_frame(picture), atol=1e-4)


def test_a_framed_digit_stays_and_its_place_does_not_matter():
    """Framing is idempotent up to a pixel's shift of nothing, and knows the digit, not where it stood."""
    picture = blob(20, 15, seed=3)
    framed = digit_frame(placed(picture, 28, 28, 4, 6))
    close(digit_frame(framed), framed, 1e-5)
    for top, left in ((0, 0), (8, 13), (3, 1)):
        close(digit_frame(placed(picture, 28, 28, top, left)), framed, 1e-6)


def test_empty_images_single_pixels_and_batches():
    """No division by zero; one pixel becomes a square in the middle; each image is framed by itself."""
    empty, pixel = torch.zeros(1, 1, 16, 16), placed(np.array([[0.7]]), 16, 16, 2, 11)
    assert not digit_frame(empty).any() and digit_frame(empty).shape == (1, 1, 28, 28)
    square = torch.zeros(28, 28)
    square[4:24, 4:24] = 0.7
    close(digit_frame(pixel)[0, 0], square, 1e-6)
    pictures = torch.cat([empty, pixel, placed(blob(9, 6), 16, 16, 1, 5), placed(blob(16, 12), 16, 16, 0, 2)])
    before = pictures.clone()
    together = digit_frame(pictures)
    assert torch.equal(pictures, before)
    close(together, torch.cat([digit_frame(pictures[k : k + 1]) for k in range(4)]), 1e-6)
    assert together.min() >= 0 and together.max() <= 1
    assert digit_frame(pictures[:0]).shape == (0, 1, 28, 28)
    assert digit_frame(pixel, box=3, size=9)[0, 0].nonzero().min(0).values.tolist() == [3, 3]


def test_a_lopsided_digit_stays_within_the_image():
    """Mass at one end would push the other over the edge: the digit is kept whole."""
    for axis, flip in ((0, False), (0, True), (1, False), (1, True)):
        picture = np.full((20, 20), 0.02)
        (picture if axis == 0 else picture.T)[slice(-2, None) if flip else slice(0, 2)] = 1.0
        framed = digit_frame(placed(picture, 30, 30, 5, 5))[0, 0].numpy()
        np.testing.assert_allclose(framed, brute_frame(picture), atol=1e-5)
        assert framed.sum() == pytest.approx(picture.sum(), rel=1e-4)
        assert np.flatnonzero(framed.any(1 - axis))[-1 if not flip else 0] == (27 if not flip else 0)


# --- the networks of App. A and App. D


def test_blocknet_is_the_network_of_app_a():
    """Conv2D(2,2) → ELU → batch norm → max pool, twice; dense ReLU 2048; linear. Counted by hand."""
    model = blocknet(1, 28, 10)
    kinds = {name: type(module).__name__ for name, module in model.named_children()}
    assert kinds == {
        "data": "Identity",
        **{"conv1": "Conv2d", "act1": "ELU", "norm1": "BatchNorm2d", "pool1": "MaxPool2d"},
        **{"conv2": "Conv2d", "act2": "ELU", "norm2": "BatchNorm2d", "pool2": "MaxPool2d"},
        **{"flatten": "Flatten", "linear3": "Linear", "act3": "ReLU", "linear4": "Linear"},
    }
    assert list(kinds) == [
        "data",
        "conv1",
        "act1",
        "norm1",
        "pool1",
        "conv2",
        "act2",
        "norm2",
        "pool2",
        "flatten",
        "linear3",
        "act3",
        "linear4",
    ]
    assert model.conv1.kernel_size == (2, 2) and model.pool1.kernel_size == 2
    # 28 → 27 → 13 → 12 → 6
    counts = [1 * 4 * 16 + 16, 2 * 16, 16 * 4 * 32 + 32, 2 * 32, 32 * 6 * 6 * 2048 + 2048, 2048 * 10 + 10]
    assert sum(p.numel() for p in model.parameters()) == sum(counts) == 2_384_090
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_vgg_is_the_network_of_app_d():
    """Two 3x3 convolutions of 32, 64 and 128 filters a block, dropout 0.2, 0.3, 0.4, a dense layer of 500."""
    model, x = blocknet(3, 32, 10, **VGG), torch.randn(2, 3, 32, 32)
    names = []
    for b in (1, 2, 3):
        for k in (2 * b - 1, 2 * b):
            names += [f"conv{k}", f"act{k}", f"norm{k}"]
        names += [f"pool{b}", f"drop{b}"]
    assert [n for n, _ in model.named_children()] == ["data", *names, "flatten", "linear7", "act7", "linear8"]
    assert [model.get_submodule(f"drop{b}").p for b in (1, 2, 3)] == [0.2, 0.3, 0.4]
    assert all(isinstance(model.get_submodule(f"act{k}"), nn.ReLU) for k in range(1, 8))
    sizes = [3, 32, 32, 64, 64, 128, 128]
    counts = sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(sizes))
    assert sum(p.numel() for p in model.parameters()) == counts + 128 * 16 * 500 + 500 + 5010
    shapes = {}
    for name, module in model.named_children():
        module.register_forward_hook(lambda m, i, o, name=name: shapes.update({name: tuple(o.shape[1:])}))
    assert model(x).shape == (2, 10)
    assert [shapes[n] for n in ("conv2", "pool1", "conv4", "pool2", "conv6", "drop3", "linear7")] == [
        (32, 32, 32), (32, 16, 16), (64, 16, 16), (64, 8, 8), (128, 8, 8), (128, 4, 4), (500,),
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "smallest", "count"), [({}, 7, 2), (VGG, 8, 3)])
def test_the_smallest_images(options, smallest, count):
    """One pixel too strict or too lax: an error deep inside torch, or a layer without inputs."""
    assert blocknet(1, smallest, 2, **options)(torch.zeros(2, 1, smallest, smallest)).shape == (2, 2)
    for size in (smallest - 1, 2, 1):
        with pytest.raises(ValueError, match=rf"images of {size} pixels are too small for {count} such blocks"):
            blocknet(1, size, 2, **options)


def test_blocknets_dropout_is_for_the_blocks_that_have_a_rate():
    model = blocknet(1, 8, 3, ((2,), (3,)), dense=6, dropout=(0.25,))
    assert [n for n, m in model.named_modules() if isinstance(m, nn.Dropout)] == ["drop1"]
    assert [n for n, _ in model.named_children()].index("drop1") == 5
