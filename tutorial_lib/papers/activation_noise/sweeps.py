"""What is measured for "Activation Noise for EBM Classification": settings, grids, one cell of each."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ...data import Data, load_data
from ...inject import set_noise
from ...models import PerClass
from ...noise import DISTRIBUTIONS, ActivationNoise, density, sample
from ...sweep import Sweep
from . import SLUG
from .method import train_autoencoders
from .racing import Draw, energies_of, practical, race

TWENTY = [round(0.1 * i, 1) for i in range(20)]
"""The α of Fig. 3, at training and at inference."""
TABLE_PAIRS = [
    (0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5), (0.5, 0.9), (0.5, 1.5),
    (0.9, 0.5), (0.9, 0.9), (0.9, 1.5), (1.5, 0.5), (1.5, 0.9), (1.5, 1.5),
]  # fmt: skip
"""The (α at training, α at inference) of Tables 1 and 2."""


def counts(n: int) -> list[int]:
    """The numbers of samples to report: 1, 2, 3, 5, 7, 10, … up to `n`, and `n` itself.

    >>> counts(30)
    [1, 2, 3, 5, 7, 10, 20, 30]
    """
    steps = [d * 10**k for k in range(len(str(n))) for d in (1, 2, 3, 5, 7)]
    return sorted({s for s in steps if s < n} | {n})


def _alphas(config: dict) -> list[dict]:
    return [
        {"distribution": distribution, "alpha_train": alpha}
        for distribution, alphas in config["alpha_train"].items()
        for alpha in alphas
    ]


def trained(config: dict, noise: nn.Module, seed: int, where="hidden") -> tuple[Data, PerClass]:
    """The data of a cell, its test images in an order of chance, and the K autoencoders that were trained on it."""
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    order = torch.randperm(len(data.y_test), generator=torch.Generator().manual_seed(seed)).to(data.y_test.device)
    data = replace(data, x_test=data.x_test[order], y_test=data.y_test[order])
    return data, train_autoencoders(
        data.x_train, data.y_train, noise, where=where, epochs=config["epochs"],
        batch_size=config["batch_size"], loss=config.get("loss", "mse"), seed=seed, progress=False,
    )  # fmt: skip


def errors(data: Data, draw: Draw, images: int) -> dict:
    """Mean squared error, per pixel and channel, of the first test images under the own class, and of its mean image.

    ``error`` is the noisy networks', over ten draws; ``mean_image_error`` that of the class's mean training image.
    """
    x, y = data.x_test[:images], data.y_test[:images]
    classes = range(int(data.y_train.max()) + 1)
    means = torch.stack([data.x_train[data.y_train == k].mean(0) for k in classes])
    own = torch.cat([draw(k, (y == k).nonzero()[:, 0], range(10)).mean(0) for k in classes]).mean()
    return {"error": own.item() / x[0].numel(), "mean_image_error": (means[y] - x).square().mean().item()}


def accuracy_cell(config: dict, distribution: str, alpha_train: float, seed: int) -> list[dict]:
    """Train K autoencoders once; race at every α at inference, and tell the accuracy at every number of samples n.

    `seed` draws the training and test images, the weights and the noise. ``accuracy`` is the race's on all test images,
    up to n = ``config["n"]``; without noise at inference n is 1. For noisy pairs of α that are not in Tables 1 and 2 it
    is that of fewer images, up to fewer samples, as ``config["map"]`` says. For those that are, the first few images
    race on, as ``config["far"]`` says: ``first`` is their accuracy. An image is done when its own class is out.
    For ``error`` and ``mean_image_error`` see `errors`. From seed ``config["all pairs"]`` on, only the pairs of α of
    ``config["main pairs"]`` are measured.
    """
    pairs = [(alpha_train, alpha) for alpha in config["alpha_inference"]]
    pairs = [pair for pair in pairs if seed < config["all pairs"] or list(pair) in config["main pairs"]]
    if not pairs:
        return []
    data, model = trained(config, ActivationNoise(distribution, alpha_train), seed)
    rows = []
    for pair in pairs:
        torch.manual_seed(seed)
        set_noise(model, alpha_inference=pair[1])
        told, noisy = pair in TABLE_PAIRS, pair[1] > 0
        count, n = (config["map"]["images"], config["map"]["n"]) if noisy and not told else (None, config["n"])
        x, y = data.x_test[:count], data.y_test[:count]
        draw = energies_of(model, x)
        reconstruction = errors(data, draw, len(x))
        far = config["far"]["images"] if told and noisy else 0
        most = torch.full((len(x),), n if noisy else 1)
        most[:far] = config["far"]["n"]
        steps = sorted({n for stop in most.unique().tolist() for n in counts(stop)})
        found = race(draw, len(x), len(model.networks), most, practical(), at=tuple(steps), label=y.cpu())
        for n in steps:
            right, there = 100 * (found.at[n] == y.cpu()).double(), most >= n
            row = {"alpha_inference": pair[1], "n": n, "first": right[:far].mean().item() if far else None}
            if there.all():
                row |= {"accuracy": right.mean().item(), **reconstruction}
            rows.append(row)
    return rows


def check(config: dict, data) -> None:
    """`ValueError` where an autoencoder does not give back images of the size that it gets."""
    images = data.x_train[:1]
    size = 8  # three convolutions of stride 2
    if any(side % size or not side for side in images.shape[2:]):
        raise ValueError(f"images of {images.shape[2]}x{images.shape[3]} pixels: expected multiples of {size}")


EIGHT = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.2, 1.5]
_PAIRS = {"all pairs": 5, "main pairs": [[0.0, 0.0], [0.5, 0.5], [0.9, 0.9]]}
_SMOKE = {
    "seeds": 1, "data": {"size": 8, "train": 200, "test": 40}, "epochs": 2, "batch_size": 16, "n": 10,
    "map": {"images": 20, "n": 10}, "far": {"images": 10, "n": 20}, **_PAIRS,
}  # fmt: skip
_DESK = {
    "seeds": 5, "data": {"size": 32, "train": 4000, "test": 1000}, "epochs": 20, "batch_size": 32, "n": 1000,
    "map": {"images": 200, "n": 100}, "far": {"images": 200, "n": 10_000}, **_PAIRS,
}  # fmt: skip
_CIFAR = {"data": {"size": 32, "train": 10_000, "test": 1000}, "epochs": 15}
PAPER = {
    "seeds": 10, "data": {"size": 32}, "epochs": 100, "batch_size": 256, "n": 10_000,
    "map": {"images": 10_000, "n": 1000}, "far": {"images": 0, "n": 10_000}, **_PAIRS, "all pairs": 10,
}  # fmt: skip
_FOUR = {"alpha_train": {"gaussian": [0.0, 0.5, 0.9, 1.5]}, "alpha_inference": [0.0, 0.5, 0.9, 1.5]}
_SEVEN = {"alpha_train": {**_FOUR["alpha_train"], **{name: [0.9] for name in DISTRIBUTIONS if name != "gaussian"}}}


def networks_of(settings: dict) -> dict:
    """What of the settings of `ACCURACY` makes the networks."""
    return {name: value for name, value in settings.items() if name in ("data", "epochs", "batch_size", "loss")}


DESK = {
    "default": {**_DESK, **_FOUR},
    # with the squared error, training is slow on gray images and stands still where they are mostly black;
    # on the digits strong noise needs this many epochs before networks beat their class's mean image
    "digits": {"data": {"size": 8}, "epochs": 200, "loss": "bce", **_SEVEN},
    "mnist": {"epochs": 10, "batch_size": 16, "loss": "bce"},
    "cifar-10": {**_CIFAR, "seeds": 10, "alpha_inference": EIGHT},
}
"""Of Figure 3, and of what is measured beside it on the same networks."""


_FEW = {**_DESK, **_FOUR, "seeds": 3, "n": 100, "far": {"images": 0, "n": 100}}
_EARLIER = {
    "mnist": {
        **_FEW, **DESK["mnist"], "data": {"size": 32, "train": 4000, "test": 100}, "n": 30,
        "map": {"images": 100, "n": 30},
    },
}  # fmt: skip
"""The settings of the tables of Figure 3 that are shipped, until those of `DESK` are."""
ACCURACY = Sweep(
    f"{SLUG}/fig-3",
    accuracy_cell,
    _alphas,
    {
        "smoke": {"default": {**_SMOKE, "alpha_train": {"gaussian": [0.0, 0.9]}, "alpha_inference": [0.0, 0.9]}},
        "desk": {**DESK, **_EARLIER},
        "paper": {"default": {**PAPER, "alpha_train": {"gaussian": TWENTY}, "alpha_inference": TWENTY}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "cifar-10"},
    check=check,
)  # fmt: skip


def training_cell(config: dict, alpha: float, train: int, epochs: int, seed: int) -> list[dict]:
    """Accuracy with balanced noise after more training: `accuracy_cell` on so many images, for so many epochs."""
    config = {**config, "data": {**config["data"], "train": train}, "epochs": epochs, "alpha_inference": [alpha]}
    return accuracy_cell(config, "gaussian", alpha, seed)


def _trainings(config: dict) -> list[dict]:
    return [{"alpha": alpha, **training} for alpha in config["alphas"] for training in config["trainings"]]


_MORE = [{"train": 10_000, "epochs": 15}, {"train": 10_000, "epochs": 100}, {"train": 40_000, "epochs": 25}]
"""The training of `ACCURACY` on CIFAR-10; the paper's epochs; as many updates with four times as many images."""
TRAINING = Sweep(
    f"{SLUG}/training",
    training_cell,
    _trainings,
    {
        "smoke": {"default": {**_SMOKE, "alphas": [0.9], "trainings": [{"train": 100, "epochs": e} for e in (1, 2)]}},
        "desk": {
            "default": {**_DESK, **_CIFAR, "alphas": [0.0, 0.9], "trainings": _MORE},
            "digits": {
                "data": {"size": 8}, "loss": "bce",
                "trainings": [{"train": 1437, "epochs": e} for e in (50, 200, 800)],
            },
        },
        "paper": {
            "default": {
                **PAPER, "alphas": [0.0, 0.9], "trainings": [{"train": 50_000, "epochs": e} for e in (30, 100, 300)],
            }
        },
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
    check=check,
)  # fmt: skip


def _points(config: dict) -> list[dict]:
    return [
        {"distribution": name, "parameter": parameter, "value": value}
        for name, (parameter, values) in DENSITY_PARAMETERS.items()
        for value in values
    ]


DENSITY_PARAMETERS = {
    "gaussian": ("sigma", [0.5, 1.0, 2.0]),
    "cauchy": ("gamma", [0.5, 1.0, 2.0]),
    "uniform": ("omega", [1.0, 2.0, round(DISTRIBUTIONS["uniform"]["omega"], 6)]),
    "chi": ("k", [1.0, 2.0, 3.0]),
    "lognormal": ("sigma", [0.5, 1.0, 2.0]),
    "t": ("nu", [1.0, 3.0, 10.0]),
    "exponential": ("rate", [0.5, 1.0, 2.0]),
}
"""The parameter that Fig. 5 varies in each distribution, and our values of it (the paper's stand only in a picture)."""


def density_cell(config: dict, distribution: str, parameter: str, value: float, seed: int) -> list[dict]:
    """The exact density of z̄ on a grid, beside a histogram of `draws` draws of our sampler."""
    edges = np.linspace(-5, 5, config["bins"] + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    generator = torch.Generator().manual_seed(seed)
    z = sample(distribution, (config["draws"],), generator=generator, dtype=torch.float64, **{parameter: value})
    counted, _ = np.histogram(z.numpy(), edges)
    histogram = counted / (config["draws"] * np.diff(edges))
    exact = density(distribution, middles, **{parameter: value})
    return [
        {"z": round(float(a), 6), "density": float(b), "histogram": float(c)}
        for a, b, c in zip(middles, exact, histogram, strict=True)
    ]


DENSITIES = Sweep(
    f"{SLUG}/fig-5",
    density_cell,
    _points,
    {
        "smoke": {"default": {"seeds": 1, "bins": 50, "draws": 10_000}},
        "desk": {"default": {"seeds": 3, "bins": 81, "draws": 1_000_000}},
        "paper": {"default": {"seeds": 10, "bins": 201, "draws": 10_000_000}},
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
    subject="densities",
)
