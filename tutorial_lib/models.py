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
