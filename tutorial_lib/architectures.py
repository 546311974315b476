"""The seventeen classifiers of "Activation Noise for EBM Classification", Table 4, for images of about 32x32 pixels.

The paper gives names only. Most networks are timm's (the extra ``architectures``), with the first halvings of the image
taken out, as is usual for small images: on 32x32 pixels the last feature map has 4x4, of a RegNet 8x8.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .errors import InputError


def architecture(name: str, classes: int = 10, channels: int = 3, narrow: bool = False) -> nn.Module:
    """A network of `ARCHITECTURES` for `classes` classes and images of `channels` channels.

    With `narrow` its layers have about a quarter of the channels: the same network, for a machine without a GPU (a
    RegNet, small as it is, stays as it is). Input [B, `channels`, H, W] with H and W multiples of 8; output logits
    [B, `classes`]. Raises `InputError` for an unknown name, and where timm is needed and missing.

    >>> architecture("VGG11", narrow=True)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown architecture {name!r}; choose from {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](classes, channels, narrow)


def _timm():
    from . import _torchvision  # noqa: F401  (before timm, which imports torchvision)

    try:
        import timm.models
    except ImportError as error:
        raise InputError('this network is timm\'s and needs the extra "architectures": pip install timm') from error
    return timm.models


def for_small_images(model: nn.Module, channels: int, halvings: int = 2) -> nn.Module:
    """Take the first `halvings` halvings of the image out of a network, in place; a 7x7 stem becomes 3x3.

    Convolutions that halve get stride 1, poolings that halve go. Which ones do, and when, a pass of one image shows.
    """
    side, sizes = 256, {}

    def watch(name):
        return lambda module, inputs, output: sizes.update({name: (inputs[0].shape[-1], output.shape[-1])})

    kinds = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
    hooks = [m.register_forward_hook(watch(n)) for n, m in model.named_modules() if isinstance(m, kinds)]
    with torch.no_grad():
        model.eval()(torch.zeros(1, channels, side, side))
    for hook in hooks:
        hook.remove()
    for name, (before, after) in sizes.items():
        module = model.get_submodule(name)
        early = after < before and before > side >> halvings
        if early and not isinstance(module, nn.Conv2d):
            model.set_submodule(name, nn.Identity())
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (7, 7) and before == side:
            model.set_submodule(name, nn.Conv2d(channels, module.out_channels, 3, padding=1, bias=False))
        elif early:
            module.stride = (1, 1)
    return model.train()


def _conv(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU())


def _vgg(*counts: int) -> Callable:
    """So many 3x3 convolutions before each of five poolings; batch norm, and one linear layer in place of three."""

    def make(classes, channels, narrow):
        layers, last = [], channels
        for count, filters in zip(counts, (64, 128, 256, 512, 512), strict=True):
            filters = filters // 4 if narrow else filters
            layers += [_conv(last if i == 0 else filters, filters) for i in range(count)]
            last = filters
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, classes))

    return make


def _widths(*full: int) -> Callable[[bool], tuple[int, ...]]:
    return lambda narrow: tuple(n // 4 for n in full) if narrow else full


def _resnet(block: str, *counts: int, **options) -> Callable:
    """ResNet and, with a `cardinality`, ResNeXt; one of three stages has no fourth."""
    widths = _widths(64, 128, 256, 512)

    def make(classes, channels, narrow):
        models = _timm()
        model = models.resnet.ResNet(
            getattr(models.resnet, block), counts, num_classes=classes, in_chans=channels,
            channels=widths(narrow)[: len(counts)], **({"stem_type": "deep", "stem_width": 8} if narrow else {}),
            **options,
        )  # fmt: skip
        if narrow:  # only with a deep stem timm lets it have fewer than 64 filters
            model.conv1 = nn.Conv2d(channels, 16, 7, 2, 3, bias=False)
        if len(counts) == 3:
            model.layer4 = nn.Identity()
        return for_small_images(model, channels)

    return make


def _preact(classes, channels, narrow):
    own = _timm().resnetv2
    model = own.ResNetV2(
        [2, 2, 2, 2], _widths(64, 128, 256, 512)(narrow), classes, channels, basic=True, bottle_ratio=1.0,
        stem_chs=16 if narrow else 64, conv_layer=own.create_conv2d, norm_layer=own.BatchNormAct2d,
    )  # fmt: skip
    return for_small_images(model, channels)


def _regnet(**options) -> Callable:
    def make(classes, channels, narrow):
        models = _timm()
        return for_small_images(
            models.regnet.RegNet(models.regnet.RegNetCfg(**options), channels, classes), channels, 3
        )

    return make


def _mobilenet(classes, channels, narrow):
    name = "mobilenetv2_035" if narrow else "mobilenetv2_100"
    return for_small_images(_timm().create_model(name, num_classes=classes, in_chans=channels), channels)


def _densenet(classes, channels, narrow):
    model = _timm().densenet.DenseNet(8 if narrow else 32, (6, 12, 24, 16), num_classes=classes, in_chans=channels)
    return for_small_images(model, channels)


def _dpn(classes, channels, narrow):
    own = {"small": True, "inc_sec": (4, 8, 6, 32), "k_r": 32, "groups": 8} if narrow else {}
    return for_small_images(_timm().dpn.DPN(num_classes=classes, in_chans=channels, **own), channels)


def _dla(classes, channels, narrow):
    models = _timm()
    model = models.dla.DLA(
        [1, 1, 1, 2, 2, 1], _widths(16, 32, 64, 128, 256, 512)(narrow), num_classes=classes, in_chans=channels,
        block=models.dla.DlaBasic,
    )  # fmt: skip
    return for_small_images(model, channels)


class _Residual(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, a: int, b: int, stride: int):
        super().__init__()
        self.first, self.second = _conv(a, b, 3, stride), _conv(b, b)[:2]
        same = a == b and stride == 1
        self.around = nn.Identity() if same else _conv(a, b, 1, stride)[:2]
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.first(x)) + self.around(x))


class _Aggregated(nn.Module):
    """Deep layer aggregation in its simple form: two blocks (or two such trees), one behind the other, and a root."""

    def __init__(self, a: int, b: int, levels: int, stride: int):
        super().__init__()
        make = _Residual if levels == 1 else lambda a, b, stride: _Aggregated(a, b, levels - 1, stride)
        self.left, self.right, self.root = make(a, b, stride), make(b, b, 1), _conv(2 * b, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        return self.root(torch.cat([left, self.right(left)], 1))


def _simple_dla(classes, channels, narrow):
    w = _widths(16, 32, 64, 128, 256, 512)(narrow)
    trees = [_Aggregated(w[i], w[i + 1], levels, 1 + (i > 1)) for i, levels in enumerate((1, 2, 2, 1), start=1)]
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(w[-1], classes)
    return nn.Sequential(_conv(channels, w[0]), _conv(w[0], w[0]), _conv(w[0], w[1]), *trees, *ends)


ARCHITECTURES: dict[str, Callable] = {
    "VGG11": _vgg(1, 1, 2, 2, 2),
    "VGG13": _vgg(2, 2, 2, 2, 2),
    "VGG16": _vgg(2, 2, 3, 3, 3),
    "VGG19": _vgg(2, 2, 4, 4, 4),
    "ResNet18": _resnet("BasicBlock", 2, 2, 2, 2),
    "ResNet50": _resnet("Bottleneck", 3, 4, 6, 3),
    "ResNet101": _resnet("Bottleneck", 3, 4, 23, 3),
    "RegNetX-200MF": _regnet(w0=24, wa=36.44, wm=2.49, group_size=8, depth=13),
    "RegNetX-400MF": _regnet(w0=24, wa=24.48, wm=2.54, group_size=16, depth=22),
    "MobileNetV2": _mobilenet,
    "ResNeXt29(32x4d)": _resnet("Bottleneck", 3, 3, 3, cardinality=32, base_width=4),
    "ResNeXt29(2x64d)": _resnet("Bottleneck", 3, 3, 3, cardinality=2, base_width=64),
    "SimpleDLA": _simple_dla,
    "DenseNet121": _densenet,
    "PreActResNet18": _preact,
    "DPN92": _dpn,
    "DLA": _dla,
}
"""Makers of the networks of Table 4, in its order: maker(classes, channels, narrow)."""
