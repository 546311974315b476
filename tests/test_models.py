"""The papers' networks, layer by layer as the papers print them, and the networks side by side."""

import copy

import pytest
import torch
from torch import nn

from tutorial_lib import ActivationNoise, PerClass, autoencoder, blocknet, convnet, inject, mlp, set_noise
from tutorial_lib.models import VGG


def layers(model):
    """Every layer of a network in its own words, by name."""
    return {name: repr(m) for name, m in model.named_modules() if not isinstance(m, nn.Sequential)}


def conv(a, b, kernel, transposed="", **options):
    options = {"kernel_size": (kernel, kernel), "stride": (1, 1), **options}
    return f"Conv{transposed}2d({a}, {b}, {', '.join(f'{key}={value}' for key, value in options.items())})"


def half(a, b, transposed=""):
    return conv(a, b, 4, transposed, stride=(2, 2), padding=(1, 1))


def linear(a, b):
    return f"Linear(in_features={a}, out_features={b}, bias=True)"


FLATTEN = "Flatten(start_dim=1, end_dim=-1)"
POOL = "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"


def norm(n):
    return f"BatchNorm2d({n}, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"


def vgg():
    """Six 3x3 convolutions that keep the size, three poolings with dropout 0.2, 0.3 and 0.4, 500 units."""
    found, k, channels = {"data": "Identity()"}, 0, 3
    for b, (filters, rate) in enumerate([(32, 0.2), (64, 0.3), (128, 0.4)], start=1):
        for _ in range(2):
            k += 1
            found[f"conv{k}"] = conv(channels, filters, 3, padding=(1, 1))
            found[f"act{k}"], found[f"norm{k}"], channels = "ReLU()", norm(filters), filters
        found[f"pool{b}"], found[f"drop{b}"] = POOL, f"Dropout(p={rate}, inplace=False)"
    return {
        **found, "flatten": FLATTEN, "linear7": linear(128 * 4 * 4, 500), "act7": "ReLU()", "linear8": linear(500, 10)
    }  # fmt: skip


PRINTED = {
    "the autoencoder": (
        autoencoder,
        {
            "encoder.conv1": half(3, 30), "encoder.act1": "ReLU()",
            "encoder.conv2": half(30, 73), "encoder.act2": "ReLU()",
            "encoder.conv3": half(73, 100), "encoder.act3": "ReLU()",
            "decoder.conv1": half(100, 73, "Transpose"), "decoder.act1": "ReLU()",
            "decoder.conv2": half(73, 30, "Transpose"), "decoder.act2": "ReLU()",
            "decoder.conv3": half(30, 3, "Transpose"), "decoder.act3": "Sigmoid()",
        },
    ),
    "another autoencoder": (
        lambda: autoencoder(1, (5,)),
        {
            "encoder.conv1": half(1, 5), "encoder.act1": "ReLU()",
            "decoder.conv1": half(5, 1, "Transpose"), "decoder.act1": "Sigmoid()",
        },
    ),
    "the perceptron": (
        lambda: mlp(3072, 10),
        {
            "data": FLATTEN, "linear1": linear(3072, 512), "act1": "ReLU()",
            "linear2": linear(512, 512), "act2": "ReLU()", "linear3": linear(512, 10),
        },
    ),
    "another perceptron": (
        lambda: mlp(4, 1, (3, 5, 2), nn.ELU),
        {
            "data": FLATTEN, "linear1": linear(4, 3), "act1": "ELU(alpha=1.0)", "linear2": linear(3, 5),
            "act2": "ELU(alpha=1.0)", "linear3": linear(5, 2), "act3": "ELU(alpha=1.0)", "linear4": linear(2, 1),
        },
    ),
    "the convolutional network": (
        lambda: convnet(3, 32, 10),
        {
            "data": "Identity()", "conv1": conv(3, 32, 4, stride=(2, 2)), "act1": "ReLU()",
            "conv2": conv(32, 128, 4, stride=(2, 2)), "act2": "ReLU()",
            "flatten": FLATTEN, "linear3": linear(128 * 6 * 6, 10),
        },
    ),
    "another convolutional network": (
        lambda: convnet(1, 13, 2, nn.ELU),
        {
            "data": "Identity()", "conv1": conv(1, 32, 4, stride=(2, 2)), "act1": "ELU(alpha=1.0)",
            "conv2": conv(32, 128, 4, stride=(2, 2)), "act2": "ELU(alpha=1.0)",
            "flatten": FLATTEN, "linear3": linear(128, 2),
        },
    ),
    "blocks": (
        lambda: blocknet(1, 28, 10),
        {
            "data": "Identity()",
            "conv1": conv(1, 16, 2), "act1": "ELU(alpha=1.0)", "norm1": norm(16), "pool1": POOL,
            "conv2": conv(16, 32, 2), "act2": "ELU(alpha=1.0)", "norm2": norm(32), "pool2": POOL,
            "flatten": FLATTEN, "linear3": linear(32 * 6 * 6, 2048), "act3": "ReLU()", "linear4": linear(2048, 10),
        },
    ),
    "a rate for one block of two": (
        lambda: blocknet(1, 8, 3, ((2,), (3,)), dense=6, dropout=(0.25,)),
        {
            "data": "Identity()", "conv1": conv(1, 2, 2), "act1": "ELU(alpha=1.0)", "norm1": norm(2), "pool1": POOL,
            "drop1": "Dropout(p=0.25, inplace=False)",
            "conv2": conv(2, 3, 2), "act2": "ELU(alpha=1.0)", "norm2": norm(3), "pool2": POOL,
            "flatten": FLATTEN, "linear3": linear(3, 6), "act3": "ReLU()", "linear4": linear(6, 3),
        },
    ),
    "blocks without normalisation": (
        lambda: blocknet(1, 8, 3, ((2, 4), (3,)), dense=6, dropout=(0.25,), norm=False),
        {
            "data": "Identity()", "conv1": conv(1, 2, 2), "act1": "ELU(alpha=1.0)", "conv2": conv(2, 4, 2),
            "act2": "ELU(alpha=1.0)", "pool1": POOL, "drop1": "Dropout(p=0.25, inplace=False)",
            "conv3": conv(4, 3, 2), "act3": "ELU(alpha=1.0)", "pool2": POOL,
            "flatten": FLATTEN, "linear4": linear(3, 6), "act4": "ReLU()", "linear5": linear(6, 3),
        },
    ),
    "VGG": (lambda: blocknet(3, 32, 10, **VGG), vgg()),
}  # fmt: skip


@pytest.mark.parametrize("case", PRINTED)
def test_the_layers_are_those_that_the_paper_prints(case):
    """Another kernel, width, activation or order is another network under the paper's name."""
    make, expected = PRINTED[case]
    assert list(layers(make()).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (autoencoder, (3, 32, 32), (3, 32, 32)),
        (lambda: autoencoder(2, (3, 4)), (2, 4, 12), (2, 4, 12)),
        (lambda: mlp(12, 5, (3,)), (3, 2, 2), (5,)),
        (lambda: convnet(1, 10, 3), (1, 10, 10), (3,)),
        (lambda: convnet(2, 28, 3), (2, 28, 28), (3,)),
        (lambda: blocknet(1, 7, 2), (1, 7, 7), (2,)),
        (lambda: blocknet(1, 28, 2), (1, 28, 28), (2,)),
        (lambda: blocknet(1, 9, 2, ((2, 3),), kernel=3, padding=2, dense=4), (1, 9, 9), (2,)),
        (lambda: blocknet(1, 8, 2, **VGG), (1, 8, 8), (2,)),
        (lambda: blocknet(3, 32, 2, **VGG), (3, 32, 32), (2,)),
    ],
)
def test_images_of_the_stated_size_pass_through(make, inputs, outputs):
    """The size behind the convolutions is counted by hand: off by one, the dense layer would not fit."""
    assert make()(torch.rand(2, *inputs)).shape == (2, *outputs)


@pytest.mark.parametrize(
    ("make", "size", "words"),
    [
        (lambda size: convnet(1, size, 2), 9, ["9 pixels", "10 or more"]),
        (lambda size: convnet(1, size, 2), 3, ["3 pixels", "10 or more"]),
        (lambda size: blocknet(1, size, 2), 6, ["6 pixels", "2 such blocks"]),
        (lambda size: blocknet(1, size, 2, **VGG), 7, ["7 pixels", "3 such blocks"]),
    ],
)
def test_images_too_small_are_refused_with_their_size(make, size, words):
    """The error would come from inside a convolution, in other words."""
    with pytest.raises(ValueError) as caught:
        make(size)
    assert all(word in str(caught.value) for word in words)


def test_the_autoencoder_lies_in_channels_last():
    """The layout of the weights decides that of every activation, and so the speed of the convolutions."""
    weights = [m.weight for m in autoencoder(3, (4, 5)).modules() if hasattr(m, "weight")]
    assert len(weights) == 4 and all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_only_what_is_asked_for_lies_between_the_convolutions():
    """The output recomputed from the weights: normalisation behind the activation, pooling, no dropout."""
    torch.manual_seed(0)
    model, x = blocknet(2, 10, 3, ((3, 4), (5,)), 3, 1, 6, nn.Tanh, (0.5, 0.5)).eval(), torch.randn(4, 2, 10, 10)
    h, k = x, 0
    for block in ((3, 4), (5,)):
        for _ in block:
            k += 1
            convolution, norm = model.get_submodule(f"conv{k}"), model.get_submodule(f"norm{k}")
            h = nn.functional.conv2d(h, convolution.weight, convolution.bias, padding=1).tanh()
            h = h / (1 + norm.eps) ** 0.5  # fresh statistics: mean 0, variance 1
        h = nn.functional.max_pool2d(h, 2)
    h = (h.flatten(1) @ model.linear4.weight.T + model.linear4.bias).relu()
    torch.testing.assert_close(model(x), h @ model.linear5.weight.T + model.linear5.bias)


# --- networks side by side


def side_by_side(common_noise):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    inject(network, ActivationNoise())
    return PerClass([network, copy.deepcopy(network)], common_noise).double()


@pytest.mark.parametrize("common_noise", [False, True])
def test_each_network_sees_its_slice_and_common_noise_is_the_same_for_all(common_noise):
    """The same picture to the same network twice: with common noise one answer, else two; and new draws every time."""
    model, x = side_by_side(common_noise), torch.randn(5, 1, 3).double().expand(5, 2, 3)
    assert model.common_noise is common_noise
    first, second = model(x), model(x)
    assert first.shape == (5, 2, 4)
    assert torch.isclose(first[:, 0], first[:, 1], rtol=1e-9).all() == common_noise
    assert not torch.isclose(first, second, rtol=1e-9).any()
    other = torch.randn(5, 2, 3).double()
    set_noise(model, enabled=False)
    clean = torch.stack([network(other[:, k]) for k, network in enumerate(model.networks)], 1)
    torch.testing.assert_close(model(other), clean)


def test_noise_is_independent_by_default():
    """Common random numbers are asked for, never met by chance."""
    assert PerClass([nn.Identity()]).common_noise is False


@pytest.mark.parametrize("shape", [(5,), (5, 1, 3), (5, 3, 3)])
def test_another_number_of_slices_is_refused(shape):
    """Classes without a network would be left out unseen."""
    with pytest.raises(ValueError, match=r"expected \[B, 2, \.\.\.\], a slice a class"):
        PerClass([nn.Identity(), nn.Identity()])(torch.zeros(shape))
    assert PerClass([nn.Identity(), nn.Identity()])(torch.zeros(5, 2)).shape == (5, 2)  # a number a class
