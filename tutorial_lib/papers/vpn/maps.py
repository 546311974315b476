"""Where on images the learned noise lies: on scenes whose objects are known, and on the ink of grey images (Fig. 4)."""

import copy
from functools import lru_cache

import torch
from torch import Tensor

from ...data import Data
from ...draw import packed
from ...sweep import Sweep
from . import SLUG
from .method import variance_derivative
from .scenes import background_share, correlation, edges, input_gradient, scenes
from .sweeps import (
    ADAM,
    ALGORITHM_1,
    DNN3,
    FIXED,
    JOINT,
    RESNET10,
    RESNET18,
    SR,
    accuracy,
    check,
    epochs_of,
    new_base,
    new_generator,
    prepared,
    train,
)

INK = 0.5
"""From this brightness on, a pixel of a grey image on black belongs to the object."""


@lru_cache(maxsize=1)
def _scenes(train: int, test: int, size: int, seed: int, device: str) -> tuple[Data, Tensor]:
    """Scenes as a data set, and the test images' masks."""
    x, y, masks = (t.to(device) for t in scenes(train + test, size, seed=seed))
    return Data(x[:train], y[:train], x[train:], y[train:], "scenes", "", ""), masks[train:]


def pictures(config: dict, seed: int) -> tuple[Data, Tensor | None]:
    """The images of a cell, and where on the test images their objects are; None where nobody knows."""
    if "data" not in config:
        return _scenes(config["train"], config["test"], config["size"], seed, config["device"])
    data = prepared(config, seed)
    return data, data.x_test[:, 0] >= INK if data.x_test.shape[1] == 1 else None


def maps_cell(config: dict, kind: str, seed: int) -> list[dict]:
    """Where the noise of a trained generator lies: on test images of which the label is given to it.

    ``background`` is the share of the noise's variance off the object, in percent, ``background, area`` that of noise
    that is even, and ``background, place`` that of the same noise on other images. Correlations over the pixels of an
    image, of the variance with ``edges``, with the length of the loss's ``gradient``, and with the ``derivative`` of
    the expected loss in the pixel's variance (of the first images), of which ``rewarded`` and ``punished`` are the
    shares in percent that are below and above zero by 3 standard errors. All are means over images. ``accuracy`` is the
    base's without noise in percent, ``strength`` the noise's deviation. Of the first seed also
    ``image``, ``variance`` (text: over its largest value) and ``noisy`` of one test image a class (x).
    """
    data, masks = pictures(config, seed)
    base = new_base(config, data, config["bases"][0], seed)
    noise = new_generator(config, data, DNN3, ALGORITHM_1, seed)
    epochs, optimizer = epochs_of(config, config["bases"][0]), config["optimizer"]
    if kind == FIXED:
        train(config, data, base, None, epochs, optimizer, seed)
    train(config, data, base, noise, epochs, optimizer, seed, fixed=kind == FIXED)
    x, y = data.x_test[: config["looked at"]], data.y_test[: config["looked at"]]
    with torch.no_grad():
        v = noise.deviation(x, y).square()
    few = slice(config["derived"])
    slopes, error = variance_derivative(
        copy.deepcopy(base).double(), x[few].double(), y[few], config["deviation"], config["pairs"], seed
    )
    found = {
        "accuracy": accuracy(base, data),
        "strength": v.mean().sqrt().item(),
        "edges": correlation(v, edges(x)).nanmean().item(),
        "gradient": correlation(v, input_gradient(base, x, y)).nanmean().item(),
        "derivative": correlation(v[few], slopes).nanmean().item(),
        "rewarded": 100 * (slopes < -3 * error).double().mean().item(),
        "punished": 100 * (slopes > 3 * error).double().mean().item(),
    }
    if masks is not None:
        masks = masks[: len(x)]
        there, area = background_share(v, masks)
        elsewhere, _ = background_share(v.roll(1, 0), masks)  # test images come in random order
        names = ("background", "background, area", "background, place")
        found |= {name: 100 * t.nanmean().item() for name, t in zip(names, (there, area, elsewhere), strict=True)}
    rows = [{"measure": measure, "value": value} for measure, value in found.items()]
    if seed == 0:
        torch.manual_seed(seed)
        first = [int((data.y_test == label).nonzero()[0]) for label in data.y_test.unique()[: config["shown"]]]
        with torch.no_grad():
            for k, (image, label) in enumerate(zip(data.x_test[first], data.y_test[first], strict=True)):
                s = noise.deviation(image[None], label[None])
                noisy = (image + torch.randn_like(s) * s)[0].clamp(0, 1)
                sent = {"image": image, "variance": (s.square() / s.square().max())[0], "noisy": noisy}
                top = {"value": s.max().item()}
                rows += [{"measure": name, "x": k, "text": packed(t), **top} for name, t in sent.items()]
    return rows


def _points(config: dict) -> list[dict]:
    return [{"kind": kind} for kind in (JOINT, FIXED)]


_MAPS = {
    "optimizer": ADAM, "batch_size": 20, "lr": 0.001, "epochs": 40, "deep epochs": 15, "stems": ["7x7", "7x7"],
    "shown": 5, "deviation": 0.1, "looked at": 500, "derived": 50, "pairs": 200, "seeds": 5,
}  # fmt: skip
_SMOKE = {
    **_MAPS, "seeds": 1, "epochs": 1, "deep epochs": 1, "looked at": 10, "derived": 2, "pairs": 2,
}  # fmt: skip
MAPS = Sweep(
    f"{SLUG}/fig-4",
    maps_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, "bases": [SR], "data": {"train": 60, "test": 30}}},
        "desk": {
            "default": {**_MAPS, "bases": [DNN3], "data": {"train": 2000, "test": 2000, "size": 14}},
            "digits": {"data": {}, "batch_size": 16},
            # the derivative takes most of a cell's time, and only the scenes' is a claim
            "cifar-10": {"data": {"train": 2000, "test": 2000, "size": 16}, "derived": 10},
        },
        "paper": {"default": {**_MAPS, "batch_size": 256, "bases": [RESNET18], "deep epochs": 40, "data": {}}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"},
    check=check,
)  # fmt: skip
_SCENES = {"train": 4000, "test": 1000, "size": 16, "bases": [RESNET10], "batch_size": 50}
SCENES = Sweep(
    f"{SLUG}/scenes",
    maps_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, "train": 60, "test": 20, "size": 16, "bases": [SR]}},
        # size, images and epochs were chosen with bases alone: this one knows 62 % of the test scenes, chance is 20 %
        "desk": {"default": {**_MAPS, **_SCENES}},
        "paper": {
            "default": {
                **_MAPS, **_SCENES, "train": 50_000, "test": 10_000, "size": 32, "bases": [RESNET18],
                "batch_size": 256, "deep epochs": 40,
            }
        },
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
    subject="scenes made by code",
)  # fmt: skip
