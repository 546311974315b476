"""Jacobians, curvature, spectra and calibration against autograd's own derivatives, scipy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.autograd import functional

from tutorial_lib import convnet, measure, mlp
from tutorial_lib.measure import (
    calibration_error,
    corrupt,
    deviation,
    entropy,
    fgsm,
    grams,
    hessian_trace,
    jacobians,
    loss_change,
    noised,
    pgd,
    reliability,
    spectrum,
)

ACTIVATIONS = [nn.ReLU, nn.ELU, nn.Tanh]
MLP, CONV = ["data", "act1", "act2"], ["data", "conv1", "act1", "act2"]
mse, cross_entropy = nn.functional.mse_loss, nn.functional.cross_entropy


def inputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small_mlp(*sizes, activation=nn.ELU, seed=0):
    """An `mlp` in float64 of inputs, hidden widths, outputs."""
    torch.manual_seed(seed)
    return mlp(sizes[0], sizes[-1], sizes[1:-1], activation).double()


def networks(activation):
    """Both of the paper's networks, small inputs for them, and the names of the layers that are compared."""
    torch.manual_seed(0)
    dense = mlp(12, 3, (7, 5), activation).double()
    return [
        (dense, inputs(4, 3, 2, 2), MLP),
        (convnet(1, 10, 3, activation).double(), inputs(2, 1, 10, 10), CONV),
    ]


def brute_jacobians(model, x, name):
    """∂ output / ∂ h behind `name` of every sample [B, C, N], and h [B, N]: the network cut in two, by autograd."""
    place = [child for child, _ in model.named_children()].index(name) + 1
    found = []
    for sample in x.split(1):
        h = model[:place](sample).detach()
        found.append(functional.jacobian(lambda h: model[place:](h)[0], h).flatten(1))
    return torch.stack(found), model[:place](x).detach().flatten(1)


def close(found, truth, tolerance=1e-10):
    torch.testing.assert_close(found, truth, rtol=tolerance, atol=tolerance)


# --- Jacobians and J Jᵀ


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jacobians_are_autograds_layer_by_layer(activation):
    """Wrong layer, sample, order of the layers, or outputs and neurons exchanged."""
    for model, x, layers in networks(activation):
        order = layers[::-1]
        for found, name in zip(jacobians(model, x, order), order, strict=True):
            close(found, brute_jacobians(model, x, name)[0])
            assert not found.requires_grad


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_grams_are_products_of_autograds_jacobians(activation, multiplicative):
    """G = J Jᵀ (not Jᵀ J, not its diagonal), or J diag(h²) Jᵀ for noise that scales with h."""
    for model, x, layers in networks(activation):
        output, found = grams(model, x, layers, multiplicative)
        close(output, model(x).detach())
        for gram, name in zip(found, layers, strict=True):
            rows, h = brute_jacobians(model, x, name)
            truth = torch.stack(
                [j @ torch.diag(v**2 if multiplicative else v**0) @ j.T for j, v in zip(rows, h, strict=True)]
            )
            close(gram, truth)
            assert truth.abs().max() > 1e-3  # or nothing was compared
        assert not output.requires_grad and not any(gram.requires_grad for gram in found)


@pytest.fixture
def formed(monkeypatch):
    """The shapes of the tensors by which `grams` differentiates."""
    seen, rows = [], measure._rows

    def spy(output, wanted, create_graph):
        seen.append([tuple(t.shape) for t in wanted])
        return rows(output, wanted, create_graph)

    monkeypatch.setattr(measure, "_rows", spy)
    return seen


@pytest.mark.parametrize(
    ("sizes", "batch", "layers", "cut"),
    [
        ((9, 4, 3), 3, ["data"], True),  # 9 rows A against the 4 of W
        ((9, 4, 3), 2, ["data"], True),
        ((9, 4, 3), 1, ["data"], False),  # 3 rows: W Wᵀ would cost more
        ((9, 4, 2), 2, ["data"], False),  # just as much
        ((9, 9, 3), 5, ["data"], False),  # nothing to gain in a square layer
        ((4, 9, 3), 5, ["data"], False),  # nor in a widening one
        ((9, 4, 3), 3, ["data", "act1"], True),
        ((3, 8, 4, 3), 3, ["act1", "data", "act2"], True),  # the first of the list, not of the network
        ((9, 3, 4), 3, ["act1", "data"], False),
    ],
)
def test_grams_with_and_without_the_short_cut(formed, sizes, batch, layers, cut):
    """A (W Wᵀ) Aᵀ must equal J Jᵀ, be taken where it saves work, and never with multiplicative noise."""
    model, x = small_mlp(*sizes), inputs(batch, sizes[0])
    for multiplicative in (False, True):
        _, found = grams(model, x, layers, multiplicative)
        for gram, name in zip(found, layers, strict=True):
            rows, h = brute_jacobians(model, x, name)
            rows = rows * h[:, None] if multiplicative else rows
            close(gram, rows @ rows.mT)
    place = list(dict(model.named_children())).index(layers[0]) + 1
    h = model[:place](x)
    assert [shapes[0] for shapes in formed] == [model[place](h).shape if cut else h.shape, h.shape]


class TwoHeads(nn.Module):
    """tanh(A h) + tanh(B h): the first layer feeds two linear layers."""

    def __init__(self):
        super().__init__()
        self.data, self.a, self.b = nn.Identity(), nn.Linear(9, 2), nn.Linear(9, 2)

    def forward(self, x):
        h = self.data(x)
        return self.a(h).tanh() + self.b(h).tanh()


def test_a_layer_that_feeds_two_linear_layers_is_not_cut_short():
    """W Wᵀ of one of the two would lose the other's share."""
    torch.manual_seed(0)
    model, x = TwoHeads().double(), inputs(4, 9)
    rows = torch.stack([functional.jacobian(model, sample) for sample in x])
    close(jacobians(model, x, ["data"])[0], rows)
    close(grams(model, x, ["data"])[1][0], rows @ rows.mT)


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("sizes", [(5, 3, 2), (2, 4, 3, 2)], ids=["short cut", "none"])
def test_gradients_through_grams_are_finite_differences(sizes, multiplicative):
    """Trained on detached Jacobians, or without the change of h or of W Wᵀ, the regulariser would be another."""
    model, x = small_mlp(*sizes), inputs(3, sizes[0])
    layers = MLP[: len(sizes) - 1]
    weights = [inputs(3, 2, seed=1), *(inputs(3, 2, 2, seed=2 + k) for k in range(len(layers)))]

    def value(create_graph=False):
        output, found = grams(model, x, layers, multiplicative, create_graph)
        return sum((a * b).sum() for a, b in zip(weights, [output, *found], strict=True))

    gradients = torch.autograd.grad(value(create_graph=True), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        flat, truth = parameter.data.view(-1), torch.empty_like(gradient).view(-1)
        for i in range(flat.numel()):
            here, ends = flat[i].item(), []
            for step in (1e-5, -1e-5):
                flat[i] = here + step
                ends.append(value().item())
            flat[i], truth[i] = here, (ends[0] - ends[1]) / 2e-5
        close(gradient.view(-1), truth, 1e-7)
        assert truth.abs().max() > 1e-3


@pytest.mark.parametrize("function", [jacobians, grams])
def test_layers_that_are_not_there_are_named_with_those_that_are(function):
    """A typing mistake must not read as a KeyError, nor an empty list return nothing to add up."""
    model = small_mlp(3, 4, 2)
    with pytest.raises(ValueError, match=r"'act7'.*data, linear1, act1, linear2"):
        function(model, inputs(2, 3), ["data", "act7"])
    with pytest.raises(ValueError, match=r"the model has data, linear1"):
        function(model, inputs(2, 3), [])


@pytest.mark.parametrize("function", [jacobians, grams])
def test_an_output_that_is_no_vector_is_refused(function):
    """An autoencoder's image would be taken for classes by its first axis, its channels."""
    with pytest.raises(ValueError, match=r"\(2, 128, 1, 1\).*\[batch, outputs\]"):
        function(convnet(1, 10, 3)[:5].double(), inputs(2, 1, 10, 10), ["data"])


class Plain(nn.Sequential):
    """A Sequential whose second layer does not get the first one's output alone."""

    def forward(self, x):
        h = self[0](x)
        return self[1](h) + h[:, :2]


def masked(module, inputs):
    return inputs[0] * torch.tensor([1.0, 0.0] * 4 + [1.0], dtype=torch.float64)


def scaled(module, inputs, output):
    return 3 * output


def unlike_its_weights():
    """Networks in which ∂ (what comes after) / ∂ h is not the next layer's W, though W is narrower than h."""
    torch.manual_seed(0)
    before, behind = (nn.Sequential(nn.Identity(), nn.Linear(9, 2)).double() for _ in range(2))
    before[1].register_forward_pre_hook(masked)
    behind[1].register_forward_hook(scaled)
    narrow = nn.Linear(9, 2).double()
    wide = nn.Linear(2, 9).double()
    again = nn.Sequential(nn.Identity(), narrow, wide, narrow)
    return {"skip": Plain(nn.Identity(), nn.Linear(9, 2)).double(), "pre-hook": before, "hook": behind, "again": again}


@pytest.mark.parametrize("kind", unlike_its_weights())
def test_no_short_cut_where_the_next_layer_is_more_than_its_weights(kind):
    """W Wᵀ would be that of another network: with its noise or mask left out, a sum forgotten, or a later call."""
    model, x = unlike_its_weights()[kind], inputs(4, 9)
    rows = torch.stack([functional.jacobian(lambda v: model(v[None])[0], sample) for sample in x])
    close(jacobians(model, x, ["0"])[0], rows)
    close(grams(model, x, ["0"])[1][0], rows @ rows.mT)


IN_PLACE = {
    "ReLU": lambda inplace: nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace), nn.Linear(6, 3)),
    "ELU, twice": lambda inplace: nn.Sequential(
        nn.Linear(5, 6), nn.ELU(0.5, inplace), nn.Hardtanh(-0.2, 0.7, inplace), nn.Linear(6, 3)
    ),
    "first": lambda inplace: nn.Sequential(nn.LeakyReLU(0.1, inplace), nn.Linear(5, 3)),
    "of a linear layer's output": lambda inplace: nn.Sequential(
        nn.Identity(), nn.Linear(5, 2), nn.ELU(2.0, inplace), nn.Linear(2, 3)
    ),
}


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("kind", IN_PLACE)
def test_jacobians_before_a_layer_that_works_in_place(kind, multiplicative):
    """∂ / ∂ ReLU(h) in place of ∂ / ∂ h, or h itself overwritten: against the twin that works out of place."""
    models = []
    for inplace in (True, False):
        torch.manual_seed(0)
        models.append(IN_PLACE[kind](inplace).double())
    x = inputs(8, 5)
    kept = x.clone()
    names = [name for name, _ in models[0].named_children()]
    found, (output, gram) = jacobians(models[0], x, names), grams(models[0], x, names, multiplicative)
    assert torch.equal(x, kept)
    close(output, models[1](x).detach())
    for name, rows, product in zip(names, found, gram, strict=True):
        truth, h = brute_jacobians(models[1], x, name)
        close(rows, truth)
        truth = truth * h[:, None] if multiplicative else truth
        close(product, truth @ truth.mT)


def test_jacobians_in_a_resnet():
    """Its ReLUs work in place and its blocks add in place, behind the very layers that one would look at."""
    from tutorial_lib._torchvision import torchvision

    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=3).double().eval()
    twin, x = torchvision.models.resnet18(num_classes=3).double().eval(), inputs(2, 3, 32, 32)
    twin.load_state_dict(model.state_dict())
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    for name in ("layer4.1.bn1", "layer4.1.bn2"):
        hidden = {}
        with measure._hooked(
            twin, {name: lambda module, inputs, output, hidden=hidden: hidden.update(h=output.clone())}
        ):
            twin(x)

        def rest(h, name=name):
            with measure._hooked(twin, {name: lambda module, inputs, output: h.clone()}):
                return twin(x)

        whole = functional.jacobian(rest, hidden["h"].detach())  # [2, 3, 2, ...]: of each output by each sample
        truth = torch.stack([whole[b, :, b].flatten(1) for b in range(2)])
        close(jacobians(model, x, [name])[0], truth)
        close(grams(model, x, [name])[1][0], truth @ truth.mT)
        assert truth.abs().max() > 1e-3


class Odd(nn.Module):
    """A layer that is called twice, one that is never called, and one that gives two tensors."""

    def __init__(self):
        super().__init__()
        self.twice, self.never, self.pair = nn.Linear(3, 3), nn.Linear(3, 3), nn.LSTM(3, 3)

    def forward(self, x):
        return self.pair(self.twice(self.twice(x).tanh()))[0]


@pytest.mark.parametrize("function", [jacobians, grams])
@pytest.mark.parametrize(
    ("name", "words"), [("never", "called 0 times"), ("twice", "called 2 times"), ("pair", "gives a tuple")]
)
def test_a_layer_without_one_output_is_refused(function, name, words):
    """A KeyError for the one; of the other, the last call alone would be measured and noise enters at both."""
    with pytest.raises(ValueError, match=rf"module '{name}' .*{words}.*expected"):
        function(Odd().double(), inputs(2, 3), [name])


@pytest.mark.parametrize("function", [jacobians, grams])
def test_a_module_under_two_names_is_one_that_is_called_twice(function):
    """Its second name is known, too, and the layer behind it is found."""
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(3, 2)).double()
    with pytest.raises(ValueError, match="module '2' is called 2 times"):
        function(model, inputs(2, 3), ["2"])
    rows = torch.stack([functional.jacobian(lambda h: model[2:](h[None])[0], h) for h in model[:2](inputs(2, 3))])
    found = function(model, inputs(2, 3), ["1"])
    close(found[0] if function is jacobians else found[1][0], rows if function is jacobians else rows @ rows.mT)


def hooks(model):
    return [hook for module in model.modules() for hook in module._forward_hooks.values()]


@pytest.mark.parametrize("function", [jacobians, grams])
def test_no_hook_is_left_behind(function):
    """Left on, it would keep the activations of every later pass alive; the reader's own hooks must stay."""
    model, x = small_mlp(3, 4, 2), inputs(2, 3)
    mine = model.act1.register_forward_hook(lambda module, inputs, output: None)
    kept = hooks(model)
    function(model, x, ["data", "act1"])
    assert hooks(model) == kept
    for wrong, layers in ((inputs(2, 5), ["data"]), (x, ["data", "nowhere"])):  # one error in the pass, one before
        with pytest.raises((RuntimeError, ValueError)):
            function(model, wrong, layers)
        assert hooks(model) == kept
    with pytest.raises(ValueError):
        function(model[:3].append(nn.Unflatten(1, (2, 2))), x, ["data"])  # and one after
    assert hooks(model) == kept
    mine.remove()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("function", [jacobians, grams])
def test_measuring_leaves_model_and_data_as_they_were(function, training):
    """A mode switched, gradients accumulated, or data that ask for gradients would change the training that follows."""
    model, x = small_mlp(3, 4, 2).train(training), inputs(2, 3)
    model.linear1.bias.grad = torch.ones(4, dtype=torch.float64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    truth = brute_jacobians(model, x, "act1")[0]
    with torch.no_grad():  # evaluation usually runs so
        found = function(model, x, ["act1"])[-1]
        assert not torch.is_grad_enabled()
    close(found[0] if function is grams else found, truth @ truth.mT if function is grams else truth)
    assert [module.training for module in model.modules()] == [training] * 5
    assert [p.grad is None for p in model.parameters()] == [True, False, True, True]
    assert torch.equal(model.linear1.bias.grad, torch.ones(4)) and not x.requires_grad and x.grad is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_jacobians_of_a_frozen_network():
    """A trained network whose weights need no gradient still has Jacobians."""
    model, x = small_mlp(3, 4, 2), inputs(2, 3)
    close(jacobians(model.requires_grad_(False), x, ["data"])[0], brute_jacobians(model, x, "data")[0])


# --- the Hessian in the weights


def convolutional():
    """A network with weights of four dimensions, small enough for the whole Hessian."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ELU(), nn.Flatten(), nn.Linear(8, 3)).double()


CURVED = {
    "mlp": (lambda: small_mlp(3, 4, 3, 3), inputs(6, 3)),
    "relu": (lambda: small_mlp(3, 4, 3, 3, activation=nn.ReLU), inputs(6, 3)),
    "conv": (convolutional, inputs(6, 1, 4, 4)),
}
LOSSES = {
    "squared error": (mse, inputs(6, 3, seed=5)),
    "cross-entropy": (cross_entropy, torch.tensor([0, 1, 2, 2, 0, 1])),
}


def whole_hessian(model, x, y, loss):
    """The Hessian in all weights by autograd, and the module that each row belongs to."""
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    weights = tuple(model.get_parameter(name).detach() for name in names)

    def value(*weights):
        return loss(torch.func.functional_call(model, dict(zip(names, weights, strict=True)), x), y)

    blocks = functional.hessian(value, weights)
    rows = [torch.cat([b.reshape(w.numel(), -1) for b in row], 1) for row, w in zip(blocks, weights, strict=True)]
    owners = [name.rpartition(".")[0] for name, w in zip(names, weights, strict=True) for _ in range(w.numel())]
    return torch.cat(rows), np.array(owners)


def block_traces(hessian, owners):
    return {owner: hessian.diagonal()[torch.tensor(owners == owner)].sum().item() for owner in dict.fromkeys(owners)}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", CURVED)
def test_exact_trace_is_autograds_by_module(network, loss):
    """A missed parameter, a trace under another module's name, or a Gauss-Newton part alone."""
    make, x = CURVED[network]
    model, (function, y) = make(), LOSSES[loss]
    hessian, owners = whole_hessian(model, x, y, function)
    truth = block_traces(hessian, owners)
    found = hessian_trace(model, x, y, function, probes=None)
    assert list(found) == list(truth)
    assert found == pytest.approx(truth, rel=1e-9)
    assert sum(found.values()) == pytest.approx(hessian.trace().item(), rel=1e-9)
    if loss == "cross-entropy":
        assert hessian_trace(model, x, y, probes=None) == found  # the default


def test_frozen_parameters_have_no_part_in_the_trace():
    """Fine-tuning moves only some weights: the others' curvature is not on their way."""
    model, x, y = small_mlp(3, 4, 3), inputs(6, 3), LOSSES["cross-entropy"][1]
    model.linear1.weight.requires_grad_(False)
    model.linear2.requires_grad_(False)
    truth = block_traces(*whole_hessian(model, x, y, cross_entropy))
    assert list(truth) == ["linear1"]
    assert hessian_trace(model, x, y, probes=None) == pytest.approx(truth, rel=1e-9)


class Tied(nn.Module):
    """One weight in two layers, a layer that the loss does not depend on, and one in which it is linear."""

    def __init__(self):
        super().__init__()
        self.idle, self.one, self.two = nn.Linear(2, 2), nn.Linear(3, 3), nn.Linear(3, 3)
        self.shift = nn.Parameter(inputs(3))
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x).tanh()) + self.shift


def test_tied_and_unused_parameters_in_the_trace():
    """An error of torch's for the unused one; a shared weight counted twice, or with half of its gradient."""
    torch.manual_seed(0)
    model, x, y = Tied().double(), inputs(6, 3), LOSSES["cross-entropy"][1]
    truth = block_traces(*whole_hessian(model, x, y, cross_entropy))
    assert truth["idle"] == 0 and list(truth) == ["", "idle", "one", "two"]
    found = hessian_trace(model, x, y, probes=None)
    assert found == pytest.approx(truth, rel=1e-9) and found["idle"] == 0
    assert hessian_trace(model, x, y, probes=3)["idle"] == 0


def test_the_trace_of_a_loss_without_curvature_is_0():
    """A linear loss has a constant gradient, which torch refuses to differentiate."""
    model, x, y = nn.Sequential(nn.Linear(3, 2)).double(), inputs(4, 3), inputs(4, 2)
    for probes in (None, 3):
        assert hessian_trace(model, x, y, linear_loss, probes) == {"0": 0.0}


def test_a_frozen_network_has_no_trace():
    """Nothing can be differentiated: say so, rather than an error of unpacking."""
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        hessian_trace(small_mlp(3, 4, 3).requires_grad_(False), inputs(6, 3), LOSSES["cross-entropy"][1])


def test_the_trace_does_not_depend_on_how_the_weights_are_laid_out():
    """The convolutional autoencoder's weights are channels_last; a view of them as a vector does not exist."""
    model, x, (function, y) = nn.Conv2d(2, 3, 2).double(), inputs(6, 2, 2, 2), LOSSES["squared error"]
    model = nn.Sequential(model, nn.Flatten())
    truth = hessian_trace(model, x, y, function, probes=None)
    assert hessian_trace(model.to(memory_format=torch.channels_last), x, y, function, None) == pytest.approx(truth)
    assert truth == pytest.approx(block_traces(*whole_hessian(model, x, y, function)), rel=1e-9)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_hutchinsons_estimate_is_unbiased_with_the_variance_of_signs(network):
    """Sums instead of means, one vector for all weights, or normal numbers in place of signs.

    By hand for signs v: the part of vᵀ(Hv) in the block B has the variance 2 Σ H_ij² over i ≠ j in B, plus Σ H_ij² over
    i in B, j outside. (Normal v would add the diagonal.)
    """
    make, x = CURVED[network]
    model, (function, y) = make(), LOSSES["squared error"]
    hessian, owners = whole_hessian(model, x, y, function)
    truth = block_traces(hessian, owners)
    draws = [hessian_trace(model, x, y, function, probes=1, seed=seed) for seed in range(500)]
    several = hessian_trace(model, x, y, function, probes=400, seed=1000)
    squares = hessian.square().numpy() * (1 - np.eye(len(owners)))
    for owner, exact in truth.items():
        mine = owners == owner
        variance = 2 * squares[np.ix_(mine, mine)].sum() + squares[np.ix_(mine, ~mine)].sum()
        values = np.array([draw[owner] for draw in draws])
        assert abs(values.mean() - exact) < 4.5 * (variance / 500) ** 0.5
        assert abs(several[owner] - exact) < 4.5 * (variance / 400) ** 0.5
        assert values.var() == pytest.approx(variance, rel=0.3)
    total = sum(truth.values())
    error = (2 * squares.sum() / 500) ** 0.5
    assert abs(np.mean([sum(draw.values()) for draw in draws]) - total) < 4.5 * error
    assert 0.25 * total > 4.5 * error  # or a wrong factor would pass


class Scale(nn.Module):
    """w * x, element by element: no two weights meet, the Hessian is diagonal."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(inputs(4))

    def forward(self, x):
        return self.weight * x


@pytest.mark.parametrize("seed", range(3))
def test_one_probe_is_exact_for_a_diagonal_hessian(seed):
    """Signs have v² = 1: any other draw would scatter. L = mean (w x - y)²: Tr H = 2 Σ x² / (6 · 4)."""
    x = inputs(6, 4)
    found = hessian_trace(Scale(), x, inputs(6, 4, seed=1), mse, probes=1, seed=seed)
    assert found == pytest.approx({"": 2 * x.square().sum().item() / 24}, rel=1e-12)


def test_the_seed_decides_the_probes_and_nothing_else_moves():
    """Irreproducible traces, a changed training, or random numbers taken from the training's."""
    model, x, y = small_mlp(3, 4, 3).train(), inputs(6, 3), LOSSES["cross-entropy"][1]
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    with torch.no_grad():
        first = hessian_trace(model, x, y, probes=3, seed=1)
        assert hessian_trace(model, x, y, probes=3, seed=1) == first
        assert hessian_trace(model, x, y, probes=3, seed=2) != first
        assert hessian_trace(model, x, y) == hessian_trace(model, x, y, cross_entropy, 32, 0)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("probes", [0, -2])
def test_no_probes_are_refused(probes):
    """A mean over nothing."""
    with pytest.raises(ValueError, match=rf"probes = {probes}.*at least 1, or None"):
        hessian_trace(small_mlp(3, 4, 3), inputs(6, 3), LOSSES["cross-entropy"][1], probes=probes)


# --- noise in the layers


def summed_squares(h, y):
    return (y - h).square().sum(1)


def chain(n=1):
    """A linear network with noise in two places, one input n times, and σ^-2 Cov of its output from its weights."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Identity(), nn.Linear(3, 4), nn.Linear(4, 2)).double()
    first, last = model[1].weight.detach(), model[2].weight.detach()
    return model, inputs(1, 3).expand(n, -1), inputs(1, 2, seed=1).expand(n, -1), [last @ first, last]


def test_noise_is_added_behind_the_layers_that_are_named():
    """By hand: W2 (W1 (x + ε0) + b1 + ε1) + b2; subtracted, in another layer, or left there, it would be another."""
    model, x, _, (both, last) = chain(5)
    noises = {"1": inputs(5, 4, seed=2), "0": inputs(5, 3, seed=3)}
    clean = model(x)
    close(noised(model, x, noises), clean + noises["0"] @ both.T + noises["1"] @ last.T)
    close(noised(model, x, {"1": noises["1"]}), clean + noises["1"] @ last.T)
    close(model(x), clean)
    assert hooks(model) == []


def test_loss_change_of_a_linear_network_is_the_trace():
    """E ||Σ J_k ε_k||² = σ² Σ ||J_k||_F² at any σ, and the variance of a pair is 2 σ⁴ ||Σ J_k J_kᵀ||_F².

    The thousand copies of one input are so many estimates of one number, for the spread and the standard error.
    """
    model, x, y, rows = chain(1000)
    covariance = sum(j @ j.T for j in rows)
    for sigma in (0.01, 3.0):
        change, error = loss_change(model, x, y, sigma**2, ["0", "1"], summed_squares, pairs=100)
        truth = sigma**2 * covariance.trace().item()
        assert abs(change.mean().item() - truth) < 4 * change.std().item() / 1000**0.5 < 0.02 * truth
        expected = sigma**2 * (2 * covariance.square().sum().item() / 100) ** 0.5
        assert error.mean().item() == pytest.approx(expected, rel=0.05)
        assert change.std().item() == pytest.approx(expected, rel=0.1)
    change, _ = loss_change(model, x, y, 0.25, ["1"], summed_squares, pairs=100)
    truth = 0.25 * rows[1].square().sum().item()
    assert abs(change.mean().item() - truth) < 4 * change.std().item() / 1000**0.5 < 0.02 * truth
    assert not change.requires_grad and change.shape == (1000,) and hooks(model) == []


def test_standard_error_of_a_few_pairs_is_unbiased():
    """Divided by n instead of n - 1, the variance of three pairs would be a third too small, of two pairs a half."""
    model, x, y, rows = chain(20_000)
    for pairs in (2, 3):
        _, error = loss_change(model, x, y, 0.25, ["0"], summed_squares, pairs)
        truth = 0.25**2 * 2 * (rows[0] @ rows[0].T).square().sum().item() / pairs
        assert error.square().mean().item() == pytest.approx(truth, rel=0.1)


def test_loss_change_by_hand_from_its_own_draws():
    """A pair is ε and -ε: the mean of its two losses less the clean one, for a loss with a fourth order, too."""
    model, x, y, _ = chain(3)
    quartic = lambda h, y: (h - y).pow(4).sum(1)  # noqa: E731
    mean, error = loss_change(model, x, y, 0.49, ["0"], quartic, pairs=4, seed=5)
    generator, changes = torch.Generator().manual_seed(5), []
    for _ in range(4):
        e = 0.7 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        ends = [quartic(model(x + sign * e), y) - quartic(model(x), y) for sign in (1, -1)]
        changes.append((ends[0] + ends[1]) / 2)
    changes = torch.stack(changes).detach()
    close(mean, changes.mean(0))
    close(error, changes.std(0) / 2)
    state = torch.get_rng_state()
    again = loss_change(model, x, y, 0.49, ["0"], quartic, pairs=4, seed=5)
    assert torch.equal(again[0], mean) and torch.equal(again[1], error)
    assert not torch.equal(loss_change(model, x, y, 0.49, ["0"], quartic, pairs=4)[0], mean)
    assert torch.equal(torch.get_rng_state(), state)
    seeded = loss_change(model, x, y, 0.49, ["0"], quartic, pairs=4, seed=0)[0]
    assert torch.equal(loss_change(model, x, y, 0.49, ["0"], quartic, pairs=4)[0], seeded)


def test_impossible_changes_of_the_loss_are_refused():
    """A complex deviation, an error of one pair, a loss of the batch, or a layer that gets no noise."""
    model, x, y, _ = chain(3)
    for variance in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"variance σ² = {variance!r}: .*0 or more"):
            loss_change(model, x, y, variance, ["0"], summed_squares)
    with pytest.raises(ValueError, match="pairs = 1: expected at least 2"):
        loss_change(model, x, y, 0.1, ["0"], summed_squares, pairs=1)
    with pytest.raises(ValueError, match=r"loss has shape \(\): expected a number a sample, \[3\]"):
        loss_change(model, x, y, 0.1, ["0"], mse)
    with pytest.raises(ValueError, match="no module named '7'; the model has 0, 1, 2"):
        loss_change(model, x, y, 0.1, ["7"], summed_squares)
    with pytest.raises(ValueError, match="module 'never' is called 0 times"):
        loss_change(Odd().double(), x, y, 0.1, ["never"], summed_squares)
    assert deviation(0) == 0 and deviation(0.25) == 0.5
    still, error = loss_change(model, x, y, 0.0, ["0"], summed_squares, pairs=2)
    assert not still.any() and not error.any()


# --- spectrum


@pytest.mark.parametrize("count", [8, 9, 200, 201])
def test_a_sinusoid_has_amplitude_1_at_its_frequency(count):
    """Off by one frequency, by the factor 2 of the two halves, or by the length; whatever the phase."""
    z = torch.arange(count, dtype=torch.float64) / count
    frequencies = torch.arange(1, (count + 1) // 2).double()
    phases = inputs(len(frequencies), 1)
    found = spectrum(torch.sin(2 * torch.pi * frequencies[:, None] * z + phases))  # a batch of all of them
    truth = torch.zeros(len(frequencies), count // 2 + 1, dtype=torch.float64)
    truth[torch.arange(len(frequencies)), frequencies.long()] = 1
    close(found, truth)


def test_constant_and_nyquist_are_not_doubled():
    """They have no second half: a constant c has amplitude |c| at 0, c (-1)^n amplitude |c| at N/2."""
    signs = torch.tensor([1.0, -1.0] * 5, dtype=torch.float64)
    close(spectrum(-3 + 2 * signs), torch.tensor([3.0, 0, 0, 0, 0, 2], dtype=torch.float64))
    close(spectrum(torch.full((7,), -3.0, dtype=torch.float64)), torch.tensor([3.0, 0, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize("count", [1, 2, 11, 12])
def test_any_signal_is_the_sum_of_its_parts(count):
    """Parseval, and each amplitude by a loop over the points: mean f² = a_0² + ½ Σ a_k² + a_{N/2}² (even N)."""
    f = inputs(count, seed=count)
    found = spectrum(f)
    once = [k == 0 or 2 * k == count for k in range(count // 2 + 1)]
    for k, single in enumerate(once):
        wave = sum(f[n].item() * np.exp(-2j * np.pi * k * n / count) for n in range(count))
        assert found[k].item() == pytest.approx((1 if single else 2) * abs(wave) / count, rel=1e-9)
    power = sum((a**2 if single else a**2 / 2) for a, single in zip(found.tolist(), once, strict=True))
    assert power == pytest.approx(f.square().mean().item(), rel=1e-9)


# --- noisy data


def test_corrupted_data_differ_by_normal_noise_of_the_given_deviation():
    """σ² instead of σ, clipping to [0, 1], or noise shared between images."""
    x = torch.rand(100, 1, 10, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = x.clone()
    noise = corrupt(x, 0.3, seed=1) - x
    assert noise.dtype == torch.float64 and torch.equal(x, before)
    assert stats.kstest(noise.flatten().numpy(), stats.norm(0, 0.3).cdf).pvalue > 1e-3
    assert noise.unique().numel() > 19_990
    alone = corrupt(torch.zeros_like(x), 1.0)
    assert (alone != alone.float()).any()  # drawn with all the digits of the data
    assert torch.equal(corrupt(x, 0), x)
    assert corrupt(x.float(), 0.3).dtype == torch.float32


def test_corruption_follows_from_the_seed_alone():
    """The sensitivity curves of two networks must meet the same noise, scaled with σ, and leave torch's seed alone."""
    x = inputs(50, 4)
    torch.manual_seed(0)
    state, one = torch.get_rng_state(), corrupt(x, 0.5, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(corrupt(x, 0.5, seed=3), one)
    close(corrupt(x, 2.0, seed=3) - x, 4 * (one - x))
    assert not torch.equal(corrupt(x, 0.5, seed=4), one)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf")])
def test_impossible_noise_is_refused(sigma):
    """NaN would turn every prediction into the first class."""
    with pytest.raises(ValueError, match=rf"{sigma!r}.*0 or more"):
        corrupt(torch.zeros(2), sigma)


# --- attacks


def trained(loss, seed=0):
    """A small network that has learned, its data and targets, in float64."""
    model, x = small_mlp(4, 16, 16, 3, activation=nn.Tanh, seed=seed), inputs(60, 4, seed=seed)
    y = (3 * x[:, :3] + x[:, 1:].sin()).argmax(1) if loss is cross_entropy else x[:, :3].sin()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    optimiser.zero_grad()
    return model.eval(), x, y


def linear_loss(output, target):
    return (output * target).sum()


@pytest.mark.parametrize("attack", [fgsm, pgd, lambda *args, **options: pgd(*args, steps=3, step=7.0, **options)])
def test_an_attack_on_a_linear_loss_gains_delta_times_the_1_norm(attack):
    """Down instead of up, the gradient for its sign, or a step that δ does not bound: exactly δ ||∇L||₁ is the most."""
    torch.manual_seed(0)
    model, x, y = nn.Linear(6, 2).double(), inputs(5, 6), inputs(5, 2, seed=1)
    gradient = y @ model.weight
    moved = attack(model, x, y, 0.3, loss=linear_loss)
    close(moved, x + 0.3 * gradient.sign())
    gain = linear_loss(model(moved), y) - linear_loss(model(x), y)
    assert gain.item() == pytest.approx(0.3 * gradient.abs().sum().item(), rel=1e-9)
    assert moved.dtype == torch.float64 and not moved.requires_grad


def hand_pgd(model, x, y, delta, steps, step, loss):
    """App. C.1 in numpy, but for the gradient."""
    now = x.numpy().copy()
    for _ in range(steps):
        point = torch.tensor(now, requires_grad=True)
        gradient = functional.jacobian(lambda v: loss(model(v), y), point).numpy()
        now = now + step * np.sign(gradient)
        now = np.minimum(np.maximum(now, x.numpy() - delta), x.numpy() + delta)
    return torch.tensor(now)


@pytest.mark.parametrize("loss", [cross_entropy, mse])
def test_attacks_are_eq_17_and_its_iteration(loss):
    """The projection left out, around the last point instead of x, or the default step other than 2.5 δ / steps."""
    model, x, y = trained(loss)
    gradient = functional.jacobian(lambda v: loss(model(v), y), x)
    close(fgsm(model, x, y, 0.2, loss), x + 0.2 * gradient.sign())
    close(fgsm(model, x, y, 0.2, loss), pgd(model, x, y, 0.2, steps=1, step=0.2, loss=loss))
    close(fgsm(model, x, y, 0.2, loss), pgd(model, x, y, 0.2, steps=1, loss=loss))  # 2.5 δ, cut to δ
    for steps, step in ((10, None), (4, None), (7, 0.03), (20, 0.5)):
        found = pgd(model, x, y, 0.4, steps=steps, step=step, loss=loss)
        close(found, hand_pgd(model, x, y, 0.4, steps, 2.5 * 0.4 / steps if step is None else step, loss))
    close(pgd(model, x, y, 0.4, loss=loss), hand_pgd(model, x, y, 0.4, 10, 0.1, loss))
    close(pgd(model, x, y, 0.4, steps=3, step=0.1, loss=loss), hand_pgd(model, x, y, 0.4, 3, 0.1, loss))


@pytest.mark.parametrize("step", [None, 0.01, 50.0])
def test_no_element_moves_further_than_delta(step):
    """The strength of the attack is the axis of the figure."""
    model, x, y = trained(cross_entropy)
    for delta in (0.0, 0.05, 1.0):
        moved = pgd(model, x, y, delta, step=step)
        assert (moved - x).abs().max() <= delta * (1 + 1e-9)
        if step != 0.01 and delta:
            assert (moved - x).abs().max() == pytest.approx(delta)


@pytest.mark.parametrize("seed", range(3))
def test_iterated_steps_find_more_than_one(seed):
    """On a trained network PGD's loss is at least FGSM's, and both grow with δ; else Fig. 6 is upside down."""
    model, x, y = trained(cross_entropy, seed)
    last = cross_entropy(model(x), y).item()
    for delta in (0.1, 0.3, 0.6):
        one, many = (cross_entropy(model(f(model, x, y, delta)), y).item() for f in (fgsm, pgd))
        assert last < one <= many
        last = one


@pytest.mark.parametrize("attack", [fgsm, pgd])
@pytest.mark.parametrize("training", [False, True])
def test_an_attack_leaves_model_and_data_as_they_were(attack, training):
    """Gradients left in the weights would join the next training step; data moved in place would be the next test's."""
    model, x, y = trained(cross_entropy)
    model.train(training)
    model.linear1.bias.grad = torch.ones(16, dtype=torch.float64)
    before, kept = {name: value.clone() for name, value in model.state_dict().items()}, x.clone()
    truth = attack(model, x, y, 0.3)
    with torch.no_grad():
        assert torch.equal(attack(model, x, y, 0.3), truth)
        assert not torch.is_grad_enabled()
    assert all(module.training == training for module in model.modules())
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["linear1.bias"]
    assert torch.equal(model.linear1.bias.grad, torch.ones(16).double())
    assert torch.equal(x, kept) and not x.requires_grad and x.grad is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(attack(model, x, y, 0.0), x)
    single = attack(model.float(), x.float(), y, 0.3)
    assert single.dtype == torch.float32 and ((single - truth).abs() < 1e-5).float().mean() > 0.95


@pytest.mark.parametrize(
    "refuse",
    [
        lambda *args: fgsm(*args, -0.1),
        lambda *args: pgd(*args, -0.1),
        lambda *args: pgd(*args, float("nan")),
        lambda *args: pgd(*args, float("inf")),
        lambda *args: pgd(*args, 0.1, steps=0),
        lambda *args: pgd(*args, 0.1, steps=-1),
        lambda *args: pgd(*args, 0.1, step=0.0),
        lambda *args: pgd(*args, 0.1, step=-0.1),
    ],
)
def test_impossible_attacks_are_refused(refuse):
    """A negative δ or step would help the network, no steps would flatter it."""
    with pytest.raises(ValueError, match="expected"):
        refuse(nn.Linear(3, 2), torch.zeros(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "attack",
    [
        lambda *args: pgd(*args, -0.1, step=0.1),
        lambda *args: pgd(*args, float("nan"), step=0.1),
        lambda *args: fgsm(*args, float("nan")),
        lambda *args: fgsm(*args, float("inf")),
    ],
)
def test_impossible_strengths_are_refused_whatever_the_step(attack):
    """torch.clamp with bounds the wrong way round moves every element to x - δ, NaN makes all of them NaN."""
    with pytest.raises(ValueError, match="0 or more"):
        attack(nn.Linear(3, 2), torch.zeros(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_attacked_data_are_data_whatever_x_is(attack):
    """Else a graph through every attacked batch is kept alive, as it is not for other x."""
    x = torch.randn(2, 3, requires_grad=True)
    assert not attack(nn.Linear(3, 2), x, torch.tensor([0, 1]), 0.1).requires_grad


# --- calibration


def predictions(n, classes=4, sharpness=2.0, seed=0):
    """Probabilities [n, classes] in float64, and labels drawn from them: perfectly calibrated."""
    p = (sharpness * inputs(n, classes, seed=seed)).softmax(1)
    return p, torch.multinomial(p, 1, generator=torch.Generator().manual_seed(seed + 1))[:, 0]


def test_reliability_of_a_few_predictions_by_hand():
    """Confidence, accuracy and share exchanged, taken of the wrong class, or listed under the wrong bin."""
    p = torch.tensor([[0.9, 0.1, 0.0], [0.05, 0.95, 0.0], [0.3, 0.3, 0.36], [0.0, 0.45, 0.55], [0.1, 0.85, 0.05]])
    table = reliability(p.double(), torch.tensor([0, 0, 2, 2, 1]), bins=5)
    assert table.index.tolist() == [1, 2, 4]
    assert table["confidence"].tolist() == pytest.approx([0.36, 0.55, 0.9], rel=1e-6)
    assert table["accuracy"].tolist() == pytest.approx([1, 1, 2 / 3])
    assert table["share"].tolist() == pytest.approx([0.2, 0.2, 0.6])
    truth = 100 * (0.2 * 0.64 + 0.2 * 0.45 + 0.6 * (0.9 - 2 / 3))
    assert calibration_error(p, torch.tensor([0, 0, 2, 2, 1]), bins=5) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("bins", [1, 4, 10, 15])
def test_calibration_is_that_of_a_loop_over_bins(bins):
    """Eqs. (44)-(46) word by word: bins of equal width over [0, 1], weighted by the predictions in them."""
    p, y = predictions(300, sharpness=1.0)
    y[::3] = 0  # badly calibrated
    table, error = reliability(p, y, bins), 0.0
    rows = iter(table.iterrows())
    for m in range(bins):
        members = [i for i in range(300) if m / bins < max(p[i].tolist()) <= (m + 1) / bins]
        if not members:
            continue
        confidence = sum(max(p[i].tolist()) for i in members) / len(members)
        accuracy = sum(p[i].argmax() == y[i] for i in members).item() / len(members)
        error += len(members) / 300 * abs(accuracy - confidence)
        index, row = next(rows)
        assert index == m
        assert row.tolist() == pytest.approx([confidence, accuracy, len(members) / 300])
    assert next(rows, None) is None
    assert calibration_error(p, y, bins) == pytest.approx(100 * error)
    assert error > 0.02
    if bins == 15:
        assert calibration_error(p, y) == pytest.approx(100 * error)  # the default
        assert reliability(p, y).equals(table)


def test_reliability_is_scikit_learns_calibration_curve():
    """Two classes, the event "the prediction is right" with its confidence: the same curve by other hands."""
    from sklearn.calibration import calibration_curve

    p, y = predictions(500, classes=2)
    right = (p.argmax(1) == y).numpy()
    accuracy, confidence = calibration_curve(right, p.max(1).values.numpy(), n_bins=12)
    table = reliability(p, y, bins=12)
    np.testing.assert_allclose(table["accuracy"], accuracy, rtol=1e-12)
    np.testing.assert_allclose(table["confidence"], confidence, rtol=1e-12)
    assert len(accuracy) == 6


def test_calibration_error_of_calibrated_predictions_tends_to_0():
    """Labels drawn from the probabilities; the same labels with sharpened probabilities are overconfident."""
    errors = [calibration_error(*predictions(n, seed=n)) for n in (100, 10_000, 400_000)]
    assert errors[0] > 3 and errors[1] < errors[0] / 2 and errors[2] < 0.3
    p, y = predictions(10_000)
    assert calibration_error(p.pow(3) / p.pow(3).sum(1, keepdim=True), y) > 10


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    """Guo et al. (2017): (a, b]. Certainty would otherwise fall into a bin of its own, beyond the last."""
    confidence = torch.tensor([0.5, 0.5625, 0.625, 0.75, 0.875, 1.0])
    p = torch.stack([confidence, 1 - confidence], 1)
    labels = torch.zeros(6, dtype=torch.long)
    table = reliability(p, labels, bins=8)
    assert table.index.tolist() == [3, 4, 5, 6, 7]
    assert table["share"].tolist() == pytest.approx([1 / 6, 2 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert reliability(p, labels, bins=1).index.tolist() == [0]
    assert reliability(torch.zeros(1, 2), torch.tensor([0])).index.tolist() == [0]


@pytest.mark.parametrize("function", [reliability, calibration_error])
def test_predictions_without_labels_are_refused(function):
    """Broadcast, one label would be compared with every prediction; none would be divided by."""
    with pytest.raises(ValueError, match="3 predictions and 1 labels"):
        function(torch.eye(3), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"0 predictions.*at least one"):
        function(torch.zeros(0, 3), torch.zeros(0))


@pytest.mark.parametrize("function", [reliability, calibration_error])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "2 of 3 .*not finite.*diverged"),
        (float("inf"), "2 of 3 .*not finite"),
        (-0.01, "2 of 3 .*from 0 to 1"),
        (1.01, "2 of 3 .*from 0 to 1.*logits"),
    ],
)
def test_numbers_that_are_no_probabilities_are_refused(function, value, words):
    """A diverged network would be perfectly calibrated: in no bin at all, its error is 0."""
    p = torch.eye(3)
    p[0, 1] = p[2, 0] = p[2, 1] = value
    with pytest.raises(ValueError, match=words):
        function(p, torch.tensor([0, 1, 2]))
    p = torch.eye(3) * (1 + 1e-7)  # rounding is none of that
    assert reliability(p, torch.tensor([0, 1, 2])).index.tolist() == [14]


@pytest.mark.parametrize("function", [reliability, calibration_error])
@pytest.mark.parametrize("shapes", [((3, 3), (3, 1)), ((3,), (3,)), ((3, 1, 3), (3,))])
def test_shapes_that_are_no_predictions_are_refused(function, shapes):
    """Labels [N, 1] meet every prediction [N]."""
    p, y = torch.zeros(shapes[0]), torch.zeros(shapes[1])
    with pytest.raises(ValueError, match=r"expected \[N, C\] and \[N\]") as caught:
        function(p, y)
    assert all(str(shape) in str(caught.value) for shape in shapes)


def test_entropy_is_scipys_and_0_for_certainty():
    """0 log 0 must be 0, not NaN; in nats, not bits."""
    p = torch.cat([predictions(20)[0], torch.eye(4, dtype=torch.float64), torch.full((1, 4), 0.25).double()])
    close(entropy(p), torch.tensor(stats.entropy(p.numpy(), axis=1)))
    assert entropy(torch.eye(4)).tolist() == [0, 0, 0, 0]
    assert entropy(p)[-1].item() == pytest.approx(np.log(4))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.data, self.a, self.b = nn.Identity(), nn.Linear(9, 2), nn.Linear(2, 9)
        self.out = nn.Sequential(nn.Tanh(), nn.Linear(9, 2))

    def forward(self, x):
        h = self.data(x)
        return self.out(h + self.b(self.a(h).tanh()))


def test_grams_of_a_residual_network():
    torch.manual_seed(0)
    model, x = Residual().double(), torch.randn(4, 9).double()
    (rows,) = jacobians(model, x, ["data"])
    torch.testing.assert_close(grams(model, x, ["data"])[1][0], rows @ rows.mT)


def test_grams_with_a_linear_layer_on_more_than_two_dimensions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Identity(), nn.Linear(9, 2), nn.Flatten(), nn.Linear(8, 3)).double()
    x = torch.randn(5, 4, 9).double()
    (rows,) = jacobians(model, x, ["0"])
    torch.testing.assert_close(grams(model, x, ["0"])[1][0], rows @ rows.mT)


def test_grams_create_graph_under_no_grad():
    model = mlp(5, 2, (3,))
    with torch.no_grad():
        assert grams(model, torch.randn(3, 5), ["data"], create_graph=True)[1][0].requires_grad


@pytest.mark.parametrize("bins", [0, -1])
def test_no_bins(bins):
    with pytest.raises(ValueError, match="bins"):
        calibration_error(torch.eye(2), torch.tensor([0, 1]), bins)
