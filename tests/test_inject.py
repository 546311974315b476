"""Noise goes where it is told to, does what the layer does, and comes out without a trace."""

import copy
import pickle

import pytest
import torch
from torch import nn

from tutorial_lib import ActivationNoise, autoencoder, inject, injected, remove, set_noise


class Add(nn.Module):
    """A noise layer without randomness, so that what it does to the output can be computed by hand."""

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, s):
        return s + self.amount


class Learned(nn.Module):
    """A noise layer with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, s):
        return s + self.scale * torch.randn_like(s)


class OneReluTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.relu(x) - 2)


class FunctionalOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return nn.functional.relu(self.linear(x))


def mlp(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).eval()


def resnet():
    from tutorial_lib._torchvision import torchvision

    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=10).eval()


MODELS = {
    "sequential": (mlp, (2, 3), ["1", "3"]),
    "autoencoder": (
        lambda: autoencoder(1, (2, 3, 4)).eval(),
        (2, 1, 8, 8),
        [f"{half}.act{i}" for half in ("encoder", "decoder") for i in (1, 2, 3)],
    ),
    "resnet18": (resnet, (2, 3, 32, 32), ["relu", *(f"layer{i}.{j}.relu" for i in (1, 2, 3, 4) for j in (0, 1))]),
    "one relu twice": (OneReluTwice, (2, 3), ["relu"]),
}


@pytest.mark.parametrize("case", MODELS)
def test_injection_changes_the_output_and_removal_leaves_no_trace(case):
    """Sites missed, a state dict altered, or a hook left behind: each would corrupt a reader's own network."""
    make, shape, expected = MODELS[case]
    model, x = make(), torch.randn(shape)
    with torch.inference_mode():
        before, state = model(x), copy.deepcopy(model.state_dict())
        assert inject(model, ActivationNoise(alpha=0.5)) == expected
        assert list(injected(model)) == expected
        assert not torch.equal(model(x), before)
        assert list(model.state_dict()) == list(state)
        assert remove(model) == expected
        assert injected(model) == {}
        assert torch.equal(model(x), before)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_layer_acts_on_the_output_of_each_site():
    """Noise before the activation, or on other modules, gives another number."""
    net, x = mlp(), torch.randn(5, 3)
    by_hand = net[4](net[3](net[2](net[1](net[0](x)) + 1)) + 1)
    inject(net, Add(1.0))
    assert torch.equal(net(x), by_hand)


def test_a_module_used_twice_is_noisy_twice():
    """Both passes through one nn.ReLU are activations of the network: relu(relu(x) + 1 - 2) + 1."""
    net, x = OneReluTwice(), torch.tensor([-1.0, 0.5, 3.0])
    inject(net, Add(1.0))
    assert torch.equal(net(x), torch.tensor([1.0, 1.0, 3.0]))


def test_the_two_passes_through_one_module_have_draws_of_their_own():
    """One draw used twice would be another noise: of twice the strength, were the module the identity."""
    net, seen = OneReluTwice(), []
    inject(net, ActivationNoise("exponential"))
    injected(net)["relu"].register_forward_hook(lambda module, inputs, output: seen.append(output - inputs[0]))
    net(torch.ones(1, 50))
    assert len(seen) == 2 and not torch.isclose(*seen).any()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("all", "encoder.act1 encoder.act2 encoder.act3 decoder.act1 decoder.act2 decoder.act3"),
        ("hidden", "encoder.act1 encoder.act2 encoder.act3 decoder.act1 decoder.act2"),
        ("odd", "encoder.act1 encoder.act3 decoder.act2"),
        ("even", "encoder.act2 decoder.act1 decoder.act3"),
        ("encoder", "encoder.act1 encoder.act2 encoder.act3"),
        ("decoder", "decoder.act1 decoder.act2 decoder.act3"),
        (["decoder.conv2", "encoder.act1"], "decoder.conv2 encoder.act1"),
        (("encoder.act1", "encoder.act1"), "encoder.act1"),
    ],
)
def test_where_picks_exactly_these_sites_of_the_autoencoder(where, expected):
    """The output, a layer counted twice or counting from 0 would answer another question about placement."""
    model = autoencoder(1, (2, 3, 4))
    assert inject(model, Add(1.0), where) == expected.split()
    assert sorted(injected(model)) == sorted(expected.split())
    assert sum(len(module._forward_hooks) for module in model.modules()) == len(expected.split())


def test_after_says_which_types_count():
    """Noise behind convolutions only, for networks that call functions for activations."""
    model = autoencoder(1, (2, 3))
    assert inject(model, Add(1.0), "encoder", after=(nn.Conv2d,)) == ["encoder.conv1", "encoder.conv2"]


def test_each_site_has_its_own_copy_in_the_mode_of_its_module():
    """A shared layer could not be set site by site; a layer in the wrong mode would use the wrong α."""
    net, layer = mlp(), ActivationNoise(alpha=1.0, alpha_inference=0.0)
    net[3].train()
    inject(net, layer)
    layers = injected(net)
    assert len({id(layer), *map(id, layers.values())}) == 3
    assert (layers["1"].training, layers["3"].training) == (False, True)
    net.train()
    assert all(each.training for each in layers.values())


def test_set_noise_acts_on_all_layers_or_on_the_named():
    """A strength that reached other layers, or none, would be measured as another setting."""
    net = mlp()
    inject(net, ActivationNoise(alpha=1.0))
    set_noise(net, alpha_inference=0.25, common=True)
    set_noise(net, ["3"], enabled=False, alpha=2)
    first, second = injected(net).values()
    assert (first.alpha, first.alpha_inference, first.common, first.enabled) == (1.0, 0.25, True, True)
    assert (second.alpha, second.alpha_inference, second.common, second.enabled) == (2.0, 0.25, True, False)


def test_switched_off_noise_is_the_network_itself():
    """`enabled` = False and α = 0 must give the clean output bit for bit."""
    net, x = mlp(), torch.randn(4, 3)
    clean = net(x)
    inject(net, ActivationNoise(alpha=1.0))
    set_noise(net, enabled=False)
    assert torch.equal(net(x), clean)
    set_noise(net, enabled=True, alpha_inference=0.0)
    assert torch.equal(net(x), clean)


def test_a_deep_copy_has_noise_of_its_own():
    """If the copy's hook still called the original's layer, changing one would change the other."""
    net, x = mlp(), torch.randn(4, 3)
    clean = net(x)
    inject(net, Add(1.0))
    twin = copy.deepcopy(net)
    set_noise(twin, amount=0.0)
    assert torch.equal(twin(x), clean)
    assert not torch.equal(net(x), clean)
    remove(twin)
    assert list(injected(net)) == ["1", "3"]


def test_weights_travel_between_noisy_and_clean_networks(tmp_path):
    """A checkpoint of a noisy network must load into the plain architecture, and the other way round."""
    noisy, x = mlp(seed=1), torch.randn(4, 3)
    clean_output = noisy(x)
    inject(noisy, ActivationNoise())
    torch.save(noisy.state_dict(), tmp_path / "weights.pt")
    plain = mlp(seed=2)
    assert not torch.equal(plain(x), clean_output)
    plain.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert torch.equal(plain(x), clean_output)
    noisy.load_state_dict(mlp(seed=2).state_dict())
    remove(noisy)
    assert torch.equal(noisy(x), mlp(seed=2)(x))


def test_a_learned_noise_layer_is_trained_saved_and_removed_with_the_model():
    """Parameters that the optimiser, `state_dict` or `.to` cannot see would never be learned."""
    net = mlp()
    plain = [name for name, _ in net.named_parameters()]
    inject(net, Learned())
    names = dict(net.named_parameters())
    added = {"1.injected_noise.scale", "3.injected_noise.scale"}
    assert set(names) == {*plain, *added} == set(net.state_dict())
    net(torch.randn(4, 3)).square().sum().backward()
    assert all(names[name].grad.abs() > 0 for name in added)
    assert net.double()(torch.randn(4, 3).double()).dtype == torch.float64
    remove(net)
    assert [name for name, _ in net.named_parameters()] == plain


def test_other_hooks_of_the_model_survive_removal():
    """`remove` takes out its own hook only."""
    net, seen = mlp(), []
    net[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    inject(net, Add(1.0))
    remove(net)
    net(torch.randn(2, 3))
    assert len(seen) == 1


def with_noise():
    net = mlp()
    inject(net, ActivationNoise())
    return net


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda: inject(FunctionalOnly(), Add(1.0)), ["no activation module", "where=", "after="]),
        (lambda: inject(mlp(), Add(1.0), "everywhere"), ["'everywhere'", "all", "hidden", "odd", "decoder"]),
        (lambda: inject(mlp(), Add(1.0), "encoder"), ["'encoder'", "none", "1, 3"]),
        (lambda: inject(nn.Sequential(nn.ReLU()), Add(1.0), "hidden"), ["'hidden'", "none"]),
        (lambda: inject(mlp(), Add(1.0), ["1", "9"]), ["'9'", "0, 1, 2, 3, 4"]),
        (lambda: inject(with_noise(), Add(1.0), ["0", "3"]), ["'3'", "already", "remove"]),
        (lambda: inject(autoencoder(1, (2, 3)), Add(1.0), ["encoder"]), ["'encoder'", "Sequential", "last layer"]),
        (lambda: set_noise(with_noise(), ["0"], enabled=False), ["'0'", "1, 3"]),
        (lambda: set_noise(mlp(), ["1"], enabled=False), ["'1'", "no module"]),
        (lambda: set_noise(mlp(), enabled=False), ["no noise", "inject"]),
        (lambda: set_noise(with_noise(), strength=1.0), ["ActivationNoise", "'strength'"]),
        (lambda: set_noise(with_noise(), alpha=-1.0), ["-1.0", "0 or more"]),
        (lambda: set_noise(with_noise(), alpha_inference=float("nan")), ["nan", "0 or more"]),
    ],
)
def test_errors_name_the_mistake_and_the_way_out(refuse, words):
    """Silence here would mean a network that the reader believes to be noisy and is not."""
    with pytest.raises(ValueError) as caught:
        refuse()
    assert all(word in str(caught.value) for word in words)


def test_a_refused_injection_leaves_the_model_as_it_was():
    """Half an injection would be hard to see and to undo."""
    net = mlp()
    inject(net, Add(1.0), ["3"])
    with pytest.raises(ValueError):
        inject(net, Add(1.0), "all")
    assert list(injected(net)) == ["3"]


# --- before a module: noise on its input


class TwoInputs(nn.Module):
    """Calls one submodule with two inputs by position, and one with a setting by name."""

    def __init__(self):
        super().__init__()
        self.both, self.scaled = nn.Bilinear(3, 3, 2), Scaled()

    def forward(self, x):
        return self.both(x, 2 * x) + self.scaled(x[:, :2], factor=3.0)


class Scaled(nn.Module):
    def forward(self, x, factor=1.0):
        return factor * x


class Strength(nn.Module):
    """Adds a number that is a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sigma", torch.tensor(1.0), persistent=False)
        self.register_buffer("offset", torch.tensor(0.0))

    def forward(self, s):
        return s + self.sigma + self.offset


def test_before_acts_on_the_input_of_each_site():
    """Behind the module, the noise would skip its weights, or its activation."""
    net, x = mlp(), torch.randn(5, 3)
    by_hand = net[4](net[3](net[2](net[1](net[0](x + 1)) + 1)))
    assert inject(net, Add(1.0), ["0", "2"], before=True) == ["0", "2"]
    assert torch.equal(net(x), by_hand)
    assert list(injected(net)) == ["0", "2"]
    assert not any(module._forward_hooks for module in net.modules())
    set_noise(net, ["0"], amount=0.0)
    assert torch.equal(net(x), net[4](net[3](nn.functional.linear(net[1](net[0](x)) + 1, net[2].weight, net[2].bias))))


def test_before_every_activation():
    """`where` means the same modules as for noise behind them."""
    net, x = mlp(), torch.randn(5, 3)
    by_hand = net[4]((net[2]((net[0](x) + 1).relu()) + 1).tanh())
    assert inject(net, Add(1.0), before=True) == ["1", "3"]
    assert torch.equal(net(x), by_hand)


def test_noise_before_and_behind_in_one_network():
    """Both kinds are found, set and removed together; other hooks stay."""
    net, x, seen = mlp(), torch.randn(5, 3), []
    clean, state = net(x), copy.deepcopy(net.state_dict())
    net[2].register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    by_hand = net[4](net[3](net[2](net[1](net[0](x)) + 2)) + 1)
    inject(net, Add(2.0), ["2"], before=True)
    inject(net, Add(1.0), ["3"])
    assert torch.equal(net(x), by_hand)
    assert list(injected(net)) == ["2", "3"] == remove(net)
    assert injected(net) == {} and list(net.state_dict()) == list(state)
    seen.clear()
    assert torch.equal(net(x), clean) and len(seen) == 1
    assert [len(m._forward_pre_hooks) for m in net] == [0, 0, 1, 0, 0] and not any(m._forward_hooks for m in net)
    inject(net, Add(2.0), ["2"], before=True)
    for before in (True, False):
        with pytest.raises(ValueError, match="'2' has noise already"):
            inject(net, Add(1.0), ["2"], before=before)


def test_before_a_module_of_several_inputs_the_first_is_noised():
    """The others, by position or by name, must arrive as they are."""
    net, x = TwoInputs(), torch.randn(4, 3)
    by_hand = net.both(x + 1, 2 * x) + net.scaled(x[:, :2] + 1, factor=3.0)
    inject(net, Add(1.0), ["both", "scaled"], before=True)
    assert torch.equal(net(x), by_hand)


def test_copies_and_weights_of_networks_with_noise_before_modules(tmp_path):
    """A copy's hook must call the copy's layer; a learned layer's weights are saved, and loaded into the same sites."""
    net, x = mlp(), torch.randn(4, 3)
    clean = net(x)
    inject(net, Learned(), ["0", "2"], before=True)
    twin = copy.deepcopy(net)
    set_twin = list(injected(twin).values())
    assert [a is b for a, b in zip(set_twin, injected(net).values(), strict=True)] == [False, False]
    for layer in set_twin:
        layer.scale.data.zero_()
    assert torch.equal(twin(x), clean) and not torch.equal(net(x), clean)
    torch.save(twin.state_dict(), tmp_path / "weights.pt")
    net.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert torch.equal(net(x), clean)
    assert {"0.injected_noise.scale", "2.injected_noise.scale"} <= set(net.state_dict())
    remove(twin)
    assert list(injected(net)) == ["0", "2"] and torch.equal(twin(x), clean)


def test_set_noise_sets_buffers_in_place():
    """A number in a buffer's place would no longer move with the model, or be stacked with others."""
    net, x = mlp().double(), torch.randn(4, 3).double()
    inject(net, Strength(), ["1", "3"])
    net.double()
    buffers = dict(net.named_buffers())
    set_noise(net, sigma=2)
    set_noise(net, ["3"], sigma=0.1, offset=-7.0)
    again = dict(net.named_buffers())
    assert all(again[name] is value for name, value in buffers.items()) and len(buffers) == 4
    assert [(n.sigma.item(), n.offset.item()) for n in injected(net).values()] == [(2.0, 0.0), (0.1, -7.0)]
    assert all(value.dtype == torch.float64 for value in again.values())
    by_hand = net[4](net[2](net[0](x).relu() + 2).tanh() + 0.1 - 7)
    torch.testing.assert_close(net(x), by_hand)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="0 or more"):
            set_noise(net, sigma=wrong)
    assert [n.sigma.item() for n in injected(net).values()] == [2.0, 0.1]


def test_set_noise_sets_parameters():
    """Resetting a learned strength is an attribute like the others."""
    net = mlp()
    inject(net, Learned())
    set_noise(net, scale=0.25)
    assert [layer.scale.item() for layer in injected(net).values()] == [0.25, 0.25]


# --- modules that noise cannot serve


class Attention(nn.Module):
    """Modules of every kind that returns or takes something else than tensors by position."""

    def __init__(self):
        super().__init__()
        self.rnn, self.attention = nn.LSTM(3, 3), nn.MultiheadAttention(3, 1)
        self.cell, self.gru = nn.LSTMCell(3, 3), nn.GRU(3, 3)
        self.many, self.named = nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.Tanh()})
        self.weights, self.names = nn.ParameterList([torch.zeros(1)]), nn.ParameterDict({"w": torch.zeros(1)})
        self.split, self.join, self.scaled = Split(), Join(), Scaled()

    def forward(self, x):
        x = self.attention(x, x, x)[0] + self.rnn(x)[0] + self.gru(x)[0]
        return self.scaled(x=self.join(self.split(x)))


class Split(nn.Module):
    def forward(self, x):
        return [x, -x]


class Join(nn.Module):
    def forward(self, parts):
        return torch.cat(parts)


@pytest.mark.parametrize(
    ("name", "before", "words"),
    [
        ("rnn", False, ["LSTM", "tuple", "expected a tensor"]),
        ("gru", False, ["GRU", "tuple", "expected a tensor"]),
        ("cell", False, ["LSTMCell", "tuple", "expected a tensor"]),
        ("attention", False, ["MultiheadAttention", "tuple", "expected a tensor"]),
        ("attention.out_proj", False, ["without calling it", "nothing"]),
        ("attention.out_proj", True, ["without calling it", "nothing"]),
        *[
            (name, before, ["container", "inside it"])
            for name in ("many", "named", "weights", "names")
            for before in (0, 1)
        ],
    ],
)
def test_modules_that_noise_cannot_serve_are_refused_by_name(name, before, words):
    """Later the error would come from inside torch, without the name; or never, and the network would not be noisy."""
    net = Attention()
    with pytest.raises(ValueError) as caught:
        inject(net, Add(1.0), ["many.0", name], before=bool(before))
    assert all(word in str(caught.value) for word in [repr(name), *words])
    assert not injected(net)


@pytest.mark.parametrize(
    ("name", "before", "words"),
    [
        ("split", False, ["behind 'split' (Split)", "output is a list", "expected a tensor"]),
        ("join", True, ["before 'join' (Join)", "first input is a list", "expected a tensor"]),
        ("scaled", True, ["before 'scaled' (Scaled)", "no input by position", "expected a tensor"]),
    ],
)
def test_what_only_the_call_shows_is_said_by_name(name, before, words):
    """A wing's network fails in the middle of a sweep: the error must say where, in a copy as well."""
    net, x = Attention(), torch.randn(2, 1, 3)
    clean = net(x)
    inject(net, Add(1.0), [name], before=before)
    for each in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        with pytest.raises(ValueError) as caught:
            each(x)
        assert all(word in str(caught.value) for word in words)
        remove(each)
        torch.testing.assert_close(each(x), clean)


def test_modules_with_other_outputs_are_served_before_and_with_keywords_behind():
    """What can be served must not be refused: an LSTM's input is a tensor, and so is the output of a keyword call."""
    net, x = Attention(), torch.randn(2, 1, 3)
    by_hand = net.attention(x + 1, x, x)[0] + net.rnn(x + 1)[0] + net.gru(x + 1)[0]
    inject(net, Add(1.0), ["rnn", "gru", "attention"], before=True)
    inject(net, Add(1.0), ["join", "scaled"])
    torch.testing.assert_close(net(x), torch.cat([by_hand, -by_hand]) + 2)


def test_dense_blocks_are_refused_and_their_layers_served():
    """DenseNet's blocks are dictionaries of layers that take lists: a noise layer inside would run as one of them."""
    from tutorial_lib._torchvision import torchvision

    net = torchvision.models.DenseNet(4, (2,), 8, num_classes=3).eval()
    for before in (True, False):
        with pytest.raises(ValueError, match=r"'features.denseblock1' is a _DenseBlock.*container"):
            inject(net, Add(1.0), ["features.denseblock1"], before=before)
    x = torch.randn(1, 3, 32, 32)
    clean = net(x)
    inject(net, Add(1.0), ["features.denseblock1.denselayer1"])
    assert not torch.allclose(net(x), clean)
    remove(net)
    inject(net, Add(1.0), ["features.denseblock1.denselayer1"], before=True)
    with pytest.raises(ValueError, match=r"before 'features.denseblock1.denselayer1' \(_DenseLayer\).*a list"):
        net(x)


def test_a_sequential_names_the_layer_to_take():
    """Its noise would run as one of its layers; before it, the last layer is the wrong advice."""
    for before, word in ((True, "first"), (False, "last")):
        with pytest.raises(ValueError, match=rf"'encoder' is a Sequential.*{word} layer"):
            inject(autoencoder(1, (2, 3)), Add(1.0), ["encoder"], before=before)


def test_networks_with_the_same_noise_have_equal_hooks():
    """Training many at once must tell noise before from noise behind, here from there, and the same from the same."""

    def marks(where, before):
        net = mlp()
        inject(net, Add(1.0), where, before=before)
        net = pickle.loads(pickle.dumps(net))
        return [(list(m._forward_hooks.values()), list(m._forward_pre_hooks.values())) for m in net.modules()]

    assert marks(["1"], True) == marks(["1"], True) and marks(["1"], False) == marks(["1"], False)
    assert marks(["1"], True) != marks(["1"], False) != marks(["3"], False)
