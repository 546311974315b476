"""The control on batch normalisation: what is trained, what noise does there, and what is changed afterwards."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tutorial_lib import blocknet, load_data
from tutorial_lib.papers.ninr.method import NoiseNode, add_nodes, standardise
from tutorial_lib.papers.ninr.sweeps import (
    BATCH_NORM,
    IN,
    LONG,
    NONE,
    SIGMAS,
    TRAINING,
    _changed_norms,
    _noise_to_signal,
    batch_norm_cell,
    trained,
)

QUARTERS = {"norm1": 2, "norm2": 3}
"""How many of the 8 and 12 channels are muted."""


def inputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(norm=True):
    """A small CNN in evaluation mode whose normalisations have statistics, weights and biases of their own."""
    torch.manual_seed(0)
    model = blocknet(1, 8, 3, ((8,), (12,)), dense=6, norm=norm).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_var, layer.weight.data, layer.bias.data, layer.running_mean):
                values.copy_(torch.rand(len(values)) + 0.5)
    return model


# --- noise to signal


def test_noise_to_signal_is_the_noise_over_the_variance_summed_over_channels():
    """Channels of gains 1 and 3 and deviations 1 and 2: (0.5² + 1.5²) over (1 + 36), for noise of 0.5."""
    x = inputs(400, 2, 6, 6) * torch.tensor([1.0, 2.0])[:, None, None] + torch.tensor([5.0, -7.0])[:, None, None]
    front = nn.Conv2d(2, 2, 1, bias=False)
    front.weight.data = torch.diag(torch.tensor([1.0, 3.0]))[:, :, None, None]
    found = _noise_to_signal(front, x, x + 0.5 * inputs(400, 2, 6, 6, seed=1))
    assert found == pytest.approx((0.25 + 9 * 0.25) / (1 + 36), rel=0.03)
    # exactly: a shift is noise as well, and an offset of the clean activations no signal
    signal = (x[:, 0].var() + 9 * x[:, 1].var()).item()
    assert _noise_to_signal(front, x, x + 0.5) == pytest.approx((0.25 + 9 * 0.25) / signal, rel=1e-5)
    assert _noise_to_signal(front, x, x) == 0.0 and isinstance(found, float)


def test_normalisation_divides_noise_and_signal_alike_channel_by_channel():
    """Two channels of the same noise, one quiet: behind the normalisation the quiet one's noise is all there is."""
    loud, quiet = torch.tensor([4.0, 0.01])
    x = inputs(500, 2, 4, 4) * torch.tensor([4.0, 0.01])[:, None, None]
    noisy = x + 0.1 * inputs(500, 2, 4, 4, seed=1)
    norm = nn.BatchNorm2d(2, eps=0).eval()
    norm.running_var = torch.tensor([16.0, 1e-4])
    assert _noise_to_signal(nn.Identity(), x, noisy) == pytest.approx(2 * 0.01 / (loud**2 + quiet**2).item(), rel=0.03)
    assert _noise_to_signal(norm, x, noisy) == pytest.approx((0.01 / 16 + 0.01 / 1e-4) / 2, rel=0.03)


# --- the trained network with another normalisation


def test_the_changed_networks_leave_the_original_alone():
    model, x = network(), inputs(30, 1, 8, 8)
    before, output = copy.deepcopy(model.state_dict()), model(x)
    copies = _changed_norms(model, x, seed=0)
    assert list(copies) == ["clean statistics", "own statistics", "quiet muted", "some muted"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(layer.momentum == 0.1 for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    assert torch.equal(model(x), output) and not any(layer.training for layer in model.modules())
    for name, changed in copies.items():
        assert not any(layer.training for layer in changed.modules()), name
        assert not torch.equal(changed(x), output), name
        assert torch.equal(changed(x), changed(x)), name
        for key, value in changed.named_parameters():  # only what is muted changes in what was learned
            assert torch.equal(value, before[key]) or ("muted" in name and key in ("norm1.weight", "norm2.weight")), key


def test_clean_statistics_are_those_of_all_clean_images():
    """Mean and variance of each layer's input, with the layers before it normalised anew."""
    model, x = network(), 3 * inputs(50, 1, 8, 8) + 1
    changed = _changed_norms(model, x, seed=0)["clean statistics"]
    for name in ("norm1", "norm2"):
        place = list(changed._modules).index(name)
        before, layer = changed[:place](x), changed[place]
        # the second layer saw the first normalise by the biased variance: n - 1 of n
        tolerance = {"rtol": 1e-5, "atol": 1e-6} if name == "norm1" else {"rtol": 1e-3, "atol": 1e-3}
        torch.testing.assert_close(layer.running_mean, before.mean((0, 2, 3)), **tolerance)
        torch.testing.assert_close(layer.running_var, before.var((0, 2, 3)), **tolerance)
    torch.testing.assert_close(changed(x[:3]), changed(x)[:3])  # fixed, not of the batch


def test_own_statistics_are_those_of_the_images_at_hand():
    """As in training mode; other images have others."""
    model, x = network(), inputs(30, 1, 8, 8)
    changed = _changed_norms(model, x, seed=0)["own statistics"]
    twin = copy.deepcopy(model)
    for layer in twin.modules():
        layer.train(isinstance(layer, nn.BatchNorm2d))
    for images in (x, 5 * inputs(40, 1, 8, 8, seed=1) + 2):
        torch.testing.assert_close(changed(images), twin(images))
    assert not torch.allclose(changed(x[:5]), changed(x)[:5])


@pytest.mark.parametrize("kind", ["quiet muted", "some muted"])
def test_muted_channels_are_constant(kind):
    """A quarter of the channels of each layer, whatever the image: their bias is all that is left."""
    model, x = network(), inputs(30, 1, 8, 8)
    changed = _changed_norms(model, x, seed=0)[kind]
    for name, count in QUARTERS.items():
        place = list(model._modules).index(name)
        found, layer = changed[: place + 1](x), model[place]
        still = (found.var((0, 2, 3)) < 1e-10).nonzero()[:, 0].tolist()
        assert len(still) == count == len(layer.bias) // 4
        torch.testing.assert_close(found[0, still, 0, 0], layer.bias[still])
        quietest = layer.running_var.argsort()[:count].sort().values.tolist()
        assert kind == "some muted" or still == quietest
        kept = [k for k in range(len(layer.bias)) if k not in still]
        assert torch.equal(changed[place].weight[kept], layer.weight[kept])


def test_some_channels_are_drawn_by_the_seed():
    model, x = network(), inputs(5, 1, 8, 8)

    def muted(seed, kind="some muted"):
        changed = _changed_norms(model, x, seed)[kind]
        return [(changed.get_submodule(name).weight == 0).nonzero()[:, 0].tolist() for name in QUARTERS]

    assert muted(1) == muted(1) and len({str(muted(seed)) for seed in range(8)}) > 4
    assert any(muted(seed) != muted(seed, "quiet muted") for seed in range(3))
    drawn = np.bincount([k for seed in range(60) for k in muted(seed)[0]], minlength=8)
    assert (drawn > 0).all()  # any channel may be drawn


# --- cells


CONFIG = {
    **BATCH_NORM.config("smoke"), "folder": "data", "device": "cpu", "levels": [0.0, 0.5], "batch_size": 20,
    "data": {"train": 80, "test": 40}, "epochs": {"cnn": 2}, "looked_at": 0.5,
    "sizes": {"small": {"blocks": [[4], [8]], "dense": 16}},
}  # fmt: skip
CHANGED = {"clean statistics", "own statistics", "quiet muted", "some muted"}


def test_each_size_is_trained_with_and_without_normalisation_and_node():
    cells = BATCH_NORM.cells(BATCH_NORM.config("desk", "digits"), 1)
    kinds = {(NONE, 0.0), (LONG, 0.0), *((IN, s) for s in SIGMAS["cnn", IN])}
    assert {(c["size"], c["norm"], c["kind"], c["sigma"]) for c in cells} == {
        (size, norm, *kind) for size in ("App. A", "small") for norm in (True, False) for kind in kinds
    }
    assert len(cells) == 16


@pytest.mark.parametrize("norm", [True, False])
def test_a_cell_measures_noise_before_and_behind_each_normalisation(norm):
    rows = batch_norm_cell(CONFIG, "small", norm, NONE, 0.0, seed=0)
    ratios = {(r["layer"], r["text"]): r["value"] for r in rows if r["measure"] == "noise to signal"}
    assert list(ratios) == [(k, place) for k in (1, 2) for place in ("before", "behind")]
    assert all(value > 0 for value in ratios.values())
    for layer in (1, 2):
        assert (ratios[layer, "before"] == ratios[layer, "behind"]) != norm
    changed = [r for r in rows if r["measure"] in CHANGED]
    assert {(r["measure"], r["x"]) for r in changed} == (
        {(m, x) for m in CHANGED for x in (0.0, 0.5)} if norm else set()
    )
    assert len(changed) == 8 * norm
    plain = {r["x"]: r["value"] for r in rows if r["measure"] == "accuracy"}
    assert set(plain) == {0.0, 0.5} and all(0 <= r["value"] <= 100 for r in changed)
    assert rows == batch_norm_cell(CONFIG, "small", norm, NONE, 0.0, seed=0)


def test_what_a_cell_measures_is_of_the_network_that_it_trained():
    """With a node, too: it is silent, and no part of the activations."""
    from tutorial_lib.papers.ninr import method

    sigma = SIGMAS["cnn", IN][0]
    rows = batch_norm_cell(CONFIG, "small", True, IN, sigma, seed=2)
    data = load_data("digits", seed=2, **CONFIG["data"])
    model, plain = trained({**CONFIG, "cnn": {**CONFIG["sizes"]["small"], "norm": True}}, data, "cnn", IN, sigma, 2)
    assert any(isinstance(m, NoiseNode) for m in model.modules()) and rows[: len(plain)] == plain
    x = standardise(data.x_train, data.x_test)[1]
    noisy = method.corrupted(x, 0.5, 2)
    ratios = {(r["layer"], r["text"]): r["value"] for r in rows if r["measure"] == "noise to signal"}

    def ratio(front):
        clean, other = front(x), front(noisy)
        return (((other - clean) ** 2).mean((0, 2, 3)).sum() / clean.var((0, 2, 3)).sum()).item()

    places = {(1, "before"): "act1", (1, "behind"): "norm1", (2, "before"): "act2", (2, "behind"): "norm2"}
    names = list(model._modules)
    with torch.no_grad():
        expected = {key: ratio(model[: names.index(name) + 1]) for key, name in places.items()}
    assert ratios == pytest.approx(expected, rel=1e-5)


def test_all_epochs_are_trained_only_in_the_control():
    """The others stop at a training accuracy that is reached at once; so many updates has the control alone."""
    data = load_data("digits", seed=0, train=80, test=20)
    config = {**CONFIG, "epochs": {"cnn": 3}, "stop_at": 1, "cnn": {**CONFIG["sizes"]["small"], "norm": True}}
    epochs = {}
    for kind, sigma in ((NONE, 0.0), (LONG, 0.0), (IN, 0.5)):
        rows = trained(config, data, "cnn", kind, sigma, 0)[1]
        epochs[kind] = next(r["value"] for r in rows if r["measure"] == "epochs")
        assert any(r["measure"] == "phase" for r in rows) == (kind != LONG)
    assert epochs == {NONE: 1, LONG: 3, IN: 1}


def test_the_control_differs_in_nothing_else():
    """Where neither stops early, both are one and the same training."""
    data = load_data("digits", seed=0, train=80, test=20)
    config = {**CONFIG, "stop_at": None, "cnn": {**CONFIG["sizes"]["small"], "norm": True}}
    one, other = (trained(config, data, "cnn", kind, 0.0, 0)[0] for kind in (NONE, LONG))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_control_is_in_the_main_sweep_once_a_network():
    for budget in ("smoke", "desk", "paper"):
        cells = TRAINING.cells(TRAINING.config(budget), 1)
        found = [(c["network"], c["distribution"], c["optimizer"]) for c in cells if c["kind"] == LONG]
        assert found == [("fc", "gaussian", "sgd"), ("cnn", "gaussian", "sgd")]


def test_images_that_are_too_small_are_refused_before_anything_is_trained():
    class Data:
        x_train = torch.zeros(4, 1, 6, 6)

    with pytest.raises(ValueError, match="6 pixels are too small for 2 such blocks"):
        BATCH_NORM.check(BATCH_NORM.config("desk", "digits"), Data)


def test_a_network_without_normalisation_takes_a_node():
    """The node stands before the first convolution; nothing else in such a network knows of it."""
    model, x = network(norm=False), inputs(6, 1, 8, 8)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    clean = model(x)
    add_nodes(model, x, 0.7)
    assert torch.equal(model.eval()(x), clean) and not torch.equal(model.train()(x), clean)
    assert _changed_norms(model, x, 0).keys() == CHANGED and clean.isfinite().all()
