"""The papers' networks."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn


def autoencoder(channels: int = 3, widths=(30, 73, 100)) -> nn.Sequential:
    """The convolutional autoencoder of "Activation Noise for EBM Classification", section 4.1.

    Encoder: one 4x4 convolution (stride 2, padding 1) with ReLU for each of `widths`; the decoder mirrors it
    with transposed convolutions and ends in a sigmoid. Input and output are [B, `channels`, H, W] in [0, 1], H
    and W multiples of 2 ** len(widths). The paper leaves both activation functions open; ReLU and sigmoid are our
    reading.

    >>> autoencoder(1)(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 1, 32, 32])
    """
    down, up = [channels, *widths], [*reversed(widths), channels]

    def stack(conv, sizes, last):
        layers = OrderedDict()
        for i, (a, b) in enumerate(pairwise(sizes), start=1):
            layers[f"conv{i}"] = conv(a, b, kernel_size=4, stride=2, padding=1)
            layers[f"act{i}"] = nn.ReLU() if i < len(sizes) - 1 else last
        return nn.Sequential(layers)

    return nn.Sequential(
        OrderedDict(
            encoder=stack(nn.Conv2d, down, nn.ReLU()),
            decoder=stack(nn.ConvTranspose2d, up, nn.Sigmoid()),
        )
    ).to(memory_format=torch.channels_last)


def mlp(inputs: int, outputs: int, widths=(512, 512), activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """The multi-layer perceptron of "Explicit Regularisation in Gaussian Noise Injections", App. H: two layers of 512.

    Input [B, ...] of `inputs` numbers, output [B, `outputs`] (logits, or the regressed values). Its modules are
    ``data`` (flattens), ``linear1``, ``act1``, ..., and a last linear layer.

    >>> mlp(64, 10, (32, 32))(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    sizes = [inputs, *widths]
    layers = OrderedDict(data=nn.Flatten())
    for i, (a, b) in enumerate(pairwise(sizes), start=1):
        layers[f"linear{i}"], layers[f"act{i}"] = nn.Linear(a, b), activation()
    layers[f"linear{len(sizes)}"] = nn.Linear(sizes[-1], outputs)
    return nn.Sequential(layers)


def convnet(channels: int, size: int, outputs: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """The convolutional network of "Explicit Regularisation in Gaussian Noise Injections", App. H.

    32 and 128 filters, 4x4, stride 2, no padding, and a dense output. Input [B, `channels`, `size`, `size`], output
    [B, `outputs`]. Its modules are ``data`` (passes on), ``conv1``, ``act1``, ``conv2``, ``act2``, ``flatten``,
    ``linear3``. Raises `ValueError` where the image is too small for two such convolutions.

    >>> convnet(3, 32, 10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    last = ((size - 4) // 2 + 1 - 4) // 2 + 1
    if last < 1:
        raise ValueError(f"images of {size} pixels are too small for two 4x4 convolutions of stride 2: give 10 or more")
    return nn.Sequential(
        OrderedDict(
            data=nn.Identity(),
            conv1=nn.Conv2d(channels, 32, 4, stride=2),
            act1=activation(),
            conv2=nn.Conv2d(32, 128, 4, stride=2),
            act2=activation(),
            flatten=nn.Flatten(),
            linear3=nn.Linear(128 * last**2, outputs),
        )
    )


def blocknet(
    channels: int,
    size: int,
    outputs: int,
    blocks=((16,), (32,)),
    kernel: int = 2,
    padding: int = 0,
    dense: int = 2048,
    activation: type[nn.Module] = nn.ELU,
    dropout: tuple[float, ...] = (),
    norm: bool = True,
) -> nn.Sequential:
    """Blocks of convolutions, then a dense layer: the CNN of "Noise Injection Node Regularization", App. A.

    A block has, for each of its filter counts, a convolution, the activation and (if `norm`) batch normalisation; then
    max pooling 2x2 and, if `dropout` gives it a rate, dropout. Behind the blocks: a dense layer of `dense` ReLU units
    and a linear one. Input [B, `channels`, `size`, `size`], output [B, `outputs`]. App. A leaves the filter counts open
    (16 and 32 are our choice). Its modules are ``data``, ``conv1``, ``act1``, ``norm1``, …, ``pool1``, ``drop1``, …,
    ``flatten``, ``linear{L-1}``, ``act{L-1}``, ``linear{L}``. `VGG` holds the settings of the network of App. D. Raises
    `ValueError` where the image is too small.

    >>> blocknet(1, 28, 10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    >>> blocknet(3, 32, 10, **VGG)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    layers, last, k = OrderedDict(data=nn.Identity()), size, 0
    for b, filters in enumerate(blocks, start=1):
        for count in filters:
            k += 1
            layers[f"conv{k}"] = nn.Conv2d(channels, count, kernel, padding=padding)
            layers[f"act{k}"] = activation()
            if norm:
                layers[f"norm{k}"] = nn.BatchNorm2d(count)
            channels, last = count, last + 2 * padding - kernel + 1
        layers[f"pool{b}"], last = nn.MaxPool2d(2), last // 2
        if last < 1:
            raise ValueError(f"images of {size} pixels are too small for {len(blocks)} such blocks: give larger ones")
        if b <= len(dropout):
            layers[f"drop{b}"] = nn.Dropout(dropout[b - 1])
    layers["flatten"] = nn.Flatten()
    layers[f"linear{k + 1}"], layers[f"act{k + 1}"] = nn.Linear(channels * last**2, dense), nn.ReLU()
    layers[f"linear{k + 2}"] = nn.Linear(dense, outputs)
    return nn.Sequential(layers)


VGG = {
    "blocks": ((32, 32), (64, 64), (128, 128)), "kernel": 3, "padding": 1, "dense": 500, "activation": nn.ReLU,
    "dropout": (0.2, 0.3, 0.4),
}  # fmt: skip
"""The settings of `blocknet` for the VGG-style network of "Noise Injection Node Regularization", App. D."""


class PerClass(nn.Module):
    """K networks side by side, one a class, trained and run together.

    Input [B, K, ...], output [B, K, ...]: network k sees ``x[:, k]``. With `common_noise` every network meets the
    same random draws (common random numbers), so that differences between classes vary less.
    """

    def __init__(self, networks, common_noise: bool = False):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.common_noise = common_noise

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != len(self.networks):
            raise ValueError(
                f"input of shape {tuple(x.shape)}: expected [B, {len(self.networks)}, ...], a slice a class"
            )
        state = _rng_state(x.device)
        outputs = []
        for k, network in enumerate(self.networks):
            if self.common_noise:
                _set_rng_state(x.device, state)
            outputs.append(network(x[:, k]))
        return torch.stack(outputs, dim=1)


def _rng_state(device):
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_rng_state(device, state):
    torch.cuda.set_rng_state(state, device) if device.type == "cuda" else torch.set_rng_state(state)
