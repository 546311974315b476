"""Objects on cluttered backgrounds with known masks, and where on them a learned noise lies.

Figure 4 of "Variational Positive-incentive Noise" shows on a few images that the noise blurs the background. Here the
background is known, pixel by pixel, and the label depends on the object alone.
"""

import math

import torch
from torch import Tensor, nn

from ...train import evaluating

SHAPES = ("disc", "square", "triangle", "ring", "cross")
"""The classes, in the order of their labels."""

CONTRAST = 0.3
"""How far the second colour of a texture is from the first, on the way to another random colour."""


def scenes(count: int, size: int = 32, clutter: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Images [N, 3, S, S] in [0, 1], labels [N] and the objects' masks [N, S, S] (true on the object), for N = `count`.

    An image has one object of `SHAPES`, whole, of random place, size and rotation, before a background with `clutter`
    bars and ellipses. Object, background and bars are coloured and textured (plain, stripes, checks, speckle) by the
    same draws, so that nothing but the shape of the object tells the label. The same `seed` gives the same scenes, of
    any `clutter`, and torch's global generator is left alone. Raises `ValueError` for a size under 16 pixels.

    >>> x, y, masks = scenes(4)
    >>> x.shape, y.shape, masks.shape, masks.dtype
    (torch.Size([4, 3, 32, 32]), torch.Size([4]), torch.Size([4, 32, 32]), torch.bool)
    """
    if count < 1 or size < 16 or clutter < 0:
        raise ValueError(f"count = {count}, size = {size}, clutter = {clutter}: expected at least 1, 16 pixels and 0")
    g = torch.Generator().manual_seed(seed)

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(count, *(shape or (1, 1)), generator=g)

    labels = torch.randint(len(SHAPES), (count,), generator=g)
    radius = uniform(0.28, 0.42)
    place = [radius + (1 - 2 * radius) * uniform(0, 1) for _ in range(2)]
    u, v = _frame(size, *place, uniform(0, 2 * math.pi))
    masks = _inside(u / radius, v / radius, labels)
    thing, image = (_texture(uniform, g, count, size) for _ in range(2))
    for _ in range(clutter):
        u, v = _frame(size, *(uniform(0, 1) for _ in range(2)), uniform(0, math.pi))
        length, breadth, bar = uniform(0.1, 0.35), uniform(0.02, 0.08), uniform(0, 1) < 0.5
        u, v = u / length, v / breadth
        inside = torch.where(bar, torch.maximum(u.abs(), v.abs()), u.hypot(v)) <= 1
        image = torch.where(inside[:, None], _texture(uniform, g, count, size), image)
    return torch.where(masks[:, None], thing, image), labels, masks


def _frame(size: int, across: Tensor, down: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels' coordinates [N, S, S], the image's side 1, from a centre and along axes that are turned."""
    line = (torch.arange(size) + 0.5) / size
    a, b = line - across, line[:, None] - down
    return a * angle.cos() + b * angle.sin(), b * angle.cos() - a * angle.sin()


def _inside(u: Tensor, v: Tensor, labels: Tensor) -> Tensor:
    """Which points [N, S, S] lie in each image's shape, whose farthest points are at distance 1 of the centre."""
    r, far, near = u.hypot(v), torch.maximum(u.abs(), v.abs()), torch.minimum(u.abs(), v.abs())
    corners = [u * math.cos(a) + v * math.sin(a) for a in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)]
    shapes = {
        "disc": r <= 1,
        "square": far <= math.sqrt(0.5),
        "triangle": torch.stack(corners).amax(0) <= 0.5,
        "ring": (r <= 1) & (r >= 0.6),
        "cross": (near <= 0.25) & (far <= math.sqrt(1 - 0.25**2)),
    }
    return torch.stack([shapes[name] for name in SHAPES], 1)[torch.arange(len(labels)), labels]


def _texture(uniform, g: torch.Generator, count: int, size: int) -> Tensor:
    """[N, 3, S, S]: two colours, mixed by stripes, checks, speckle or not at all."""
    u, v = _frame(size, uniform(0, 1), uniform(0, 1), uniform(0, math.pi))
    waves = uniform(2, 6)
    stripes, across = ((2 * math.pi * waves * w).sin() > 0 for w in (u, v))
    kinds = torch.stack([torch.zeros_like(stripes), stripes, stripes ^ across, uniform(0, 1, size, size) > 0.7], 1)
    kind = torch.randint(kinds.shape[1], (count,), generator=g)
    mix = kinds[torch.arange(count), kind][:, None]
    one, other = uniform(0, 1, 3, 1, 1), uniform(0, 1, 3, 1, 1)
    return torch.where(mix, one + CONTRAST * (other - one), one)


# ---- where the noise lies


def background_share(variances: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The share of each image's noise that lies on its background, and that of even noise; float64, [N] each.

    `variances` [N, S, S] or [N, C, S, S] are the noise's (a generator's ``deviation(x, y).square()``); `masks`
    [N, S, S] are true on the object. The second, chance, is the background's share of the area. But objects are whole,
    and so keep off the border: noise there beats chance without a look at the image. What the place alone gives, the
    maps of other images tell (``variances[torch.randperm(N)]``). NaN where all variances are 0. Raises `ValueError` for
    variances that are negative or of other shapes.

    >>> masks = torch.tensor([[[True, False], [False, False]]])
    >>> background_share(torch.tensor([[[2.0, 1.0], [1.0, 0.0]]]), masks)
    (tensor([0.5000], dtype=torch.float64), tensor([0.7500], dtype=torch.float64))
    """
    variances = _map(variances)
    if variances.shape != masks.shape:
        raise ValueError(f"variances of {tuple(variances.shape)} for masks of {tuple(masks.shape)}: expected as large")
    if (variances < 0).any():
        raise ValueError(f"a variance of {variances.min().item():g}: expected 0 or more")
    behind = ~masks.bool()
    on = (variances * behind).sum((1, 2))
    return on / variances.sum((1, 2)), behind.double().mean((1, 2))


def edges(x: Tensor) -> Tensor:
    """The length of the images' gradient by finite differences, over all channels: [N, C, S, S] to [N, S, S].

    Central differences inside, one-sided ones at the border, a pixel's distance 1.

    >>> edges(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor([[[1., 1.],
             [1., 1.]]])
    """
    return sum(d.square() for d in torch.gradient(x, dim=(2, 3))).sum(1).sqrt()


def input_gradient(base: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """|∂ loss / ∂ x| of each pixel, the length over its channels: [N, C, S, S] to [N, S, S]; cross-entropy."""
    x = x.detach().requires_grad_()
    with evaluating(base), torch.enable_grad():
        loss = nn.functional.cross_entropy(base(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0].square().sum(1).sqrt()


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of two maps [N, S, S] (or [N, C, S, S], summed over channels) over the pixels, [N].

    Such a map is a noise's variances, `edges`, `input_gradient`, masks, a derivative. NaN where one does not vary.

    >>> a = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
    >>> correlation(a, 5 - 2 * a).round(decimals=9).tolist()
    [-1.0]
    """
    one, other = _map(one), _map(other)
    if one.shape != other.shape:
        raise ValueError(f"maps of {tuple(one.shape)} and {tuple(other.shape)}: expected as large")
    one, other = (a.flatten(1) - a.flatten(1).mean(1, keepdim=True) for a in (one, other))
    return (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))


def _map(a: Tensor) -> Tensor:
    """A number a pixel, [N, S, S], in float64: channels are summed."""
    if a.ndim not in (3, 4):
        raise ValueError(f"a map of shape {tuple(a.shape)}: expected [N, S, S] or [N, C, S, S]")
    return a.double().sum(1) if a.ndim == 4 else a.double()
