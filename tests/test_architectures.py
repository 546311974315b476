"""The seventeen classifiers of Table 4: their sizes against published ones, their maps, and noise in them.

Expectations are the numbers of parameters that the networks' papers and torchvision or timm publish for ImageNet, and
counts by hand from the structures that the papers print.
"""

import functools
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tutorial_lib import ActivationNoise, architectures, inject, injected, remove, set_noise
from tutorial_lib.architectures import ARCHITECTURES, architecture, for_small_images
from tutorial_lib.errors import InputError
from tutorial_lib.inject import ACTIVATIONS

TABLE_4 = [
    "VGG11", "VGG13", "VGG16", "VGG19", "ResNet18", "ResNet50", "ResNet101", "RegNetX-200MF", "RegNetX-400MF",
    "MobileNetV2", "ResNeXt29(32x4d)", "ResNeXt29(2x64d)", "SimpleDLA", "DenseNet121", "PreActResNet18", "DPN92", "DLA",
]  # fmt: skip
OWN = {"VGG11", "VGG13", "VGG16", "VGG19", "SimpleDLA"}
"""Those that need no timm."""


def need_timm():
    import tutorial_lib._torchvision  # noqa: F401  (before timm)

    pytest.importorskip("timm", reason="NO TIMM: this network needs the extra tutorial-lib[architectures]")


def network(name, *args, **options):
    if name not in OWN:
        need_timm()
    torch.manual_seed(0)
    return architecture(name, *args, **options)


def count(model):
    return sum(p.numel() for p in model.parameters())


@functools.cache
def facts(name, narrow):
    """What a pass of a 32x32 image shows: layers in the order in which they are called, and the last map."""
    model = network(name, narrow=True) if narrow else network(name)  # the defaults: 10 classes, 3 channels, full width
    found = SimpleNamespace(parameters=count(model), convolutions=[], activations=0, maps=[])

    def watch(module, inputs, output):
        shape = tuple(inputs[0].shape[2:])
        if isinstance(module, nn.Conv2d) and shape != (1, 1):  # that is a linear layer
            found.convolutions.append((module.kernel_size, module.stride, module.groups > 1))
        elif isinstance(module, ACTIVATIONS):
            found.activations += 1
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            found.maps.append(shape)

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.AdaptiveAvgPool2d, *ACTIVATIONS)):
            module.register_forward_hook(watch)
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    return found


# --- sizes


def imagenet(total, features, stem):
    """Published numbers, with a head for 10 classes instead of 1000, and a stem of 3x3 instead of 7x7 (`stem` filters;
    0: it has 3x3 there, too).
    """
    return total - (features + 1) * (1000 - 10) - 3 * stem * (7 * 7 - 3 * 3)


def vgg(total, *counts):
    """Published numbers less the three linear layers and the convolutions' biases, and batch norm and a layer more."""
    filters = sum(n * f for n, f in zip(counts, (64, 128, 256, 512, 512), strict=True))
    return total - 123_642_856 - filters + 2 * filters + 512 * 10 + 10


def resnext(cardinality, width):
    """Three stages of three blocks (1x1, grouped 3x3, 1x1) that put out 256, 512 and 1024 channels."""
    total, a = 3 * 9 * 64 + 2 * 64, 64
    for stage in range(3):
        w, b = cardinality * width * 2**stage, 256 * 2**stage
        total += a * b + 2 * b  # the way around the first block
        for _ in range(3):
            total += a * w + 2 * w + 9 * w * w // cardinality + 2 * w + w * b + 2 * b
            a = b
    return total + 1024 * 10 + 10


def preact():
    """Batch norm before each convolution and before the head; ways around without it, where channels double."""
    total, a = 3 * 9 * 64, 64
    for b in (64, 128, 256, 512):
        total += a * b if a != b else 0
        for _ in range(2):
            total += 2 * a + 9 * a * b + 2 * b + 9 * b * b
            a = b
    return total + 2 * 512 + 512 * 10 + 10


def simple_dla():
    """Three convolutions, and trees of 1, 2, 2 and 1 levels of two blocks and a root."""

    def tree(a, b, levels):
        root = 2 * b * b + 2 * b
        if levels > 1:
            return tree(a, b, levels - 1) + tree(b, b, levels - 1) + root
        around = a * b + 2 * b if a != b else 0
        return 9 * a * b + 2 * b + around + 3 * (9 * b * b + 2 * b) + root

    trees = sum(tree(a, 2 * a, levels) for a, levels in ((32, 1), (64, 2), (128, 2), (256, 1)))
    return 27 * 16 + 2 * 16 + 9 * 16 * 16 + 2 * 16 + 9 * 16 * 32 + 2 * 32 + trees + 512 * 10 + 10


PARAMETERS = {
    "VGG11": vgg(132_863_336, 1, 1, 2, 2, 2), "VGG13": vgg(133_047_848, 2, 2, 2, 2, 2),
    "VGG16": vgg(138_357_544, 2, 2, 3, 3, 3), "VGG19": vgg(143_667_240, 2, 2, 4, 4, 4),
    "ResNet18": imagenet(11_689_512, 512, 64), "ResNet50": imagenet(25_557_032, 2048, 64),
    "ResNet101": imagenet(44_549_160, 2048, 64),
    "RegNetX-200MF": imagenet(2_684_792, 368, 0), "RegNetX-400MF": imagenet(5_157_512, 384, 0),
    "MobileNetV2": imagenet(3_504_872, 1280, 0), "DenseNet121": imagenet(7_978_856, 1024, 64),
    "DPN92": imagenet(37_668_392, 2688, 64), "DLA": imagenet(15_742_104, 512, 16),
    "ResNeXt29(32x4d)": resnext(32, 4), "ResNeXt29(2x64d)": resnext(2, 64),
    "PreActResNet18": preact(), "SimpleDLA": simple_dla(),
}  # fmt: skip


def test_the_names_are_those_of_table_4_in_its_order():
    """A network that the paper has not, or one under another name, which no number of the paper would be found for."""
    assert list(ARCHITECTURES) == TABLE_4 and set(PARAMETERS) == set(LAYERS) == set(TABLE_4)


@pytest.mark.parametrize("name", TABLE_4)
def test_full_networks_have_the_published_number_of_parameters(name):
    """Another depth, width, cardinality or expansion: another network under the name."""
    assert facts(name, False).parameters == PARAMETERS[name]


def test_the_resnext_family_is_that_of_its_paper():
    """Its Table 3 has 34.4 million parameters for 8x64d and 10 classes: the formula above and the maker, both."""
    need_timm()
    assert round(resnext(8, 64) / 1e6, 1) == 34.4
    model = architectures._resnet("Bottleneck", 3, 3, 3, cardinality=8, base_width=64)(10, 3, False)
    assert count(model) == resnext(8, 64)


# --- layers

LAYERS = {  # convolutions, activations when an image passes, side of the last map of a 32x32 image
    **{f"VGG{depth}": (depth - 3, depth - 3, 1) for depth in (11, 13, 16, 19)},
    "ResNet18": (17 + 3, 17, 4), "ResNet50": (49 + 4, 49, 4), "ResNet101": (100 + 4, 100, 4),
    "RegNetX-200MF": (1 + 3 * 13 + 4, 1 + 3 * 13, 8), "RegNetX-400MF": (1 + 3 * 22 + 4, 1 + 3 * 22, 8),
    "MobileNetV2": (1 + 2 + 3 * 16 + 1, 1 + 1 + 2 * 16 + 1, 4),
    "ResNeXt29(32x4d)": (28 + 3, 28, 8), "ResNeXt29(2x64d)": (28 + 3, 28, 8),
    "SimpleDLA": (3 + 2 * 12 + 8 + 4, 3 + 2 * 12 + 8, 4),  # blocks, roots, ways around
    "DenseNet121": (120, 121, 4), "PreActResNet18": (17 + 3, 17, 4),
    "DPN92": (1 + 3 * 30 + 4, 1 + 3 * 30 + 4 + 1, 4),
    "DLA": (3 + 2 * 12 + 6 + 4, 3 + 2 * 12 + 6, 4),
}  # fmt: skip


@pytest.mark.parametrize("narrow", [False, True], ids=["full", "narrow"])
@pytest.mark.parametrize("name", TABLE_4)
def test_layers_are_as_many_as_the_papers_have_and_small_images_are_halved_late(name, narrow):
    """A narrow network with other layers is another network; activations that are called as functions get no noise;
    a last map of one pixel leaves of a small image too little to tell classes apart.
    """
    found, (convolutions, activations, side) = facts(name, narrow), LAYERS[name]
    assert (len(found.convolutions), found.activations) == (convolutions, activations)
    assert found.maps == [(side, side)]


@pytest.mark.parametrize("name", TABLE_4)
def test_narrow_networks_are_the_same_with_fewer_channels(name):
    """Kernels, strides and groups one behind the other, as in the full network; under a quarter of the parameters."""
    full, narrow = facts(name, False), facts(name, True)
    regnet = name.startswith("RegNet")  # small as it is
    assert narrow.parameters == full.parameters if regnet else narrow.parameters < full.parameters / 4
    assert narrow.convolutions == full.convolutions


def without_zeros(model):
    """Scales of normalisation at random: some start at 0, and what is behind them would reach nothing."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


@pytest.mark.parametrize(("name", "classes"), [(name, 2 + 5 * (i % 2)) for i, name in enumerate(TABLE_4)])
def test_narrow_networks_take_small_gray_images_and_all_of_them_learns(name, classes):
    """Three channels or ten classes that stand fixed somewhere, sides that do not fit, or layers that nothing reaches.

    H and W are multiples of 8, not equal.
    """
    model = without_zeros(network(name, classes, 1, True))
    assert all(module.training for module in model.modules())
    logits = model(torch.rand(6, 1, 8, 16))
    assert logits.shape == (6, classes)
    nn.functional.cross_entropy(logits, torch.arange(6) % classes).backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0, key


# --- without the first halvings


class Halving(nn.Module):
    """Four halvings: a stem, a residual block, a pooling, and a block with a pooling on its way around."""

    def __init__(self, kernel=3):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, kernel, 2, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1))
        self.shortcut = nn.Conv2d(4, 6, 1, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.last = nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 6, 5, 2, 2, groups=2))
        self.around = nn.AvgPool2d(2)

    def forward(self, x):
        x = self.norm(self.stem(x))
        x = self.pool(self.branch(x) + self.shortcut(x))
        return self.last(x) + self.around(x)


LEVELS = [["stem"], ["branch.2", "shortcut"], ["pool"], ["last.1", "around"]]


def small(halvings, kernel=3):
    torch.manual_seed(0)
    model = Halving(kernel)
    for norm in (model.norm, model.last[0]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(1, 2)
        norm.num_batches_tracked += 5
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    options = {} if halvings is None else {"halvings": halvings}
    assert for_small_images(model, 2, **options) is model
    return model, before


@pytest.mark.parametrize("halvings", [0, 1, 2, 3, 4, None])
def test_the_first_halvings_go_and_nothing_else(halvings):
    """One too many or too few, a branch halved and its way around not, or layers that lose their stride, kernel or
    weights; statistics that have seen the empty image of the trial, or hooks and a mode that stay behind.
    """
    model, before = small(halvings)
    halvings = 2 if halvings is None else halvings
    for i, level in enumerate(LEVELS):
        for module in map(model.get_submodule, level):
            if level[-1] == "pool" or module is model.around:
                assert type(module) is (nn.Identity if i < halvings else type(Halving().get_submodule(level[-1])))
            else:
                assert module.stride == ((1, 1) if i < halvings else (2, 2)), level
    kernels = {"stem": 3, "branch.0": 3, "branch.2": 3, "shortcut": 1, "last.1": 5}
    assert all(model.get_submodule(name).kernel_size == (k, k) for name, k in kernels.items())
    assert model.last[1].groups == 2 and model.branch[0].stride == (1, 1)
    after = model.state_dict()
    assert [*after] == [*before] and all(torch.equal(after[key], before[key]) for key in before)
    assert all(m.training and not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert model(torch.rand(3, 2, 32, 48)).shape == (3, 6, 2 * 2**halvings, 3 * 2**halvings)


def test_a_stem_of_7x7_becomes_one_of_3x3():
    """As is usual for small images: with 7x7 most of an 8x8 image's neighbourhoods would be padding."""
    model, before = small(2, kernel=7)
    stem = model.stem
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((3, 3), (1, 1), (1, 1), None)
    assert stem.weight.shape == (4, 2, 3, 3) and stem.weight.requires_grad and stem.weight.std() > 0
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before if key != "stem.weight")
    assert all(m.training and not m._forward_hooks for m in model.modules())
    assert model(torch.rand(3, 2, 32, 32)).shape == (3, 6, 8, 8)


# --- noise


class Watched(ActivationNoise):
    """Noise that keeps, for each call: where, the least signal, the noise, and a way to what comes of it."""

    calls = []  # noqa: RUF012  (one list for all copies)

    def forward(self, s):
        way = torch.zeros_like(s, requires_grad=True)
        t = super().forward(s)
        Watched.calls.append((self.injected_at, s.detach().min().item(), (t - s).detach(), way))
        return t + way


@pytest.mark.parametrize("name", TABLE_4)
def test_noise_is_behind_every_activation_and_reaches_the_output(name):
    """An activation without noise, or noise in front of it; one call of two with noise, or with the same noise again;
    noise that a branch never used swallows.
    """
    model = without_zeros(network(name, 10, 1, True))
    names = inject(model, Watched(alpha=0.5))
    Watched.calls.clear()
    (model(torch.rand(4, 1, 8, 8)) * torch.randn(4, 10)).sum().backward()
    found = list(Watched.calls)
    Watched.calls.clear()
    assert len(found) == LAYERS[name][1] and {at for at, *_ in found} == set(names)
    first = {}
    for at, least, noise, way in found:
        assert least >= 0 or isinstance(model.get_submodule(at), nn.ELU), at
        assert noise.std().item() == pytest.approx(0.5, abs=0.2), at
        assert way.grad.abs().sum() > 0, at
        assert first.setdefault(at, noise) is noise or not torch.allclose(noise, first[at], atol=0.1), at
    assert (len(first) < len(found)) == (name == "DLA")  # timm's has one ReLU for two layers


@pytest.mark.parametrize("name", TABLE_4)
def test_alpha_changes_the_answer_and_can_be_taken_back(name):
    """Noise that does nothing at inference, is the same in every pass, or leaves something behind when it is gone."""
    model, x = without_zeros(network(name, 10, 1, True)).eval(), torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        clean = model(x)
        inject(model, ActivationNoise(alpha=0.5))
        one, other = model(x), model(x)
        assert not torch.allclose(one, clean, atol=1e-4) and not torch.allclose(one, other, atol=1e-4)
        set_noise(model, alpha_inference=0.0)
        torch.testing.assert_close(model(x), clean)
        assert remove(model) and not injected(model)
        torch.testing.assert_close(model(x), clean)


# --- errors


def test_an_unknown_name_is_refused_with_those_that_are_known():
    """A `KeyError` would be taken for a bug and shown with its traceback."""
    with pytest.raises(InputError) as caught:
        architecture("VGG12")
    assert "VGG12" in str(caught.value) and all(name in str(caught.value) for name in TABLE_4)


@pytest.mark.parametrize("name", TABLE_4)
def test_without_timm_the_message_says_what_to_install(name, monkeypatch):
    """An `ImportError` names timm at best, not the extra; and VGG and SimpleDLA must do without."""
    for module in [key for key in sys.modules if key.split(".")[0] == "timm"] + ["timm", "timm.models"]:
        monkeypatch.setitem(sys.modules, module, None)
    if name in OWN:
        assert architecture(name, narrow=True).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    else:
        with pytest.raises(InputError, match='needs the extra "architectures": pip install timm'):
            architecture(name, narrow=True)
