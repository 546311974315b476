"""What is measured for "Activation Noise for EBM Classification": settings, grids, one cell of each."""

import numpy as np
import torch

from ...data import load_data
from ...noise import DISTRIBUTIONS, density, sample
from ...sweep import Sweep
from . import SLUG
from .method import accuracy_over_n, train_autoencoders

TWENTY = [round(0.1 * i, 1) for i in range(20)]
"""The α of Fig. 3, at training and at inference."""


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


def accuracy_cell(config: dict, distribution: str, alpha_train: float, seed: int) -> list[dict]:
    """Train K autoencoders once; measure accuracy at every α at inference and every number of samples n.

    `seed` draws the training and test images, the weights and the noise. ``error`` is the mean squared error, per
    pixel and channel, of the test images under their own class's noisy network (at n samples); ``mean_image_error``
    that of the class's mean training image.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    x, y = data.x_test, data.y_test
    model = train_autoencoders(
        data.x_train, data.y_train, alpha=alpha_train, distribution=distribution,
        epochs=config["epochs"], batch_size=config["batch_size"], loss=config.get("loss", "mse"), seed=seed,
        progress=False,
    )  # fmt: skip
    means = torch.stack([data.x_train[data.y_train == k].mean(0) for k in range(len(model.networks))])
    baseline = (means[y] - x).square().mean().item()
    rows = []
    for alpha in config["alpha_inference"]:
        torch.manual_seed(seed)
        accuracy, own = accuracy_over_n(model, x, y, alpha, config["n"])
        rows += [
            {
                "alpha_inference": alpha,
                "n": n,
                "accuracy": accuracy[n - 1].item(),
                "error": own[n - 1].item() / x[0].numel(),
                "mean_image_error": baseline,
            }
            for n in (counts(config["n"]) if alpha > 0 else [1])
        ]
    return rows


def check(config: dict, data) -> None:
    """`ValueError` where an autoencoder does not give back images of the size that it gets."""
    images = data.x_train[:1]
    size = 8  # three convolutions of stride 2
    if any(side % size or not side for side in images.shape[2:]):
        raise ValueError(f"images of {images.shape[2]}x{images.shape[3]} pixels: expected multiples of {size}")


EIGHT = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.2, 1.5]
ACCURACY = Sweep(
    f"{SLUG}/fig-3",
    accuracy_cell,
    _alphas,
    {
        "smoke": {
            "default": {
                "seeds": 1, "data": {"size": 8, "train": 200, "test": 40}, "epochs": 2, "batch_size": 16,
                "alpha_train": {"gaussian": [0.0, 0.9]}, "alpha_inference": [0.0, 0.9], "n": 10,
            },
        },
        "desk": {
            "default": {
                "seeds": 3, "data": {"size": 32, "train": 4000, "test": 100}, "epochs": 20, "batch_size": 32,
                "alpha_train": {"gaussian": [0.0, 0.5, 0.9, 1.5]}, "alpha_inference": [0.0, 0.5, 0.9, 1.5], "n": 100,
            },
            # with the squared error, training is slow on gray images and stands still where they are mostly black
            "digits": {
                "data": {"size": 8, "train": None, "test": 100}, "epochs": 50, "loss": "bce",
                "alpha_train": {
                    "gaussian": [0.0, 0.5, 0.9, 1.5],
                    **{name: [0.9] for name in DISTRIBUTIONS if name != "gaussian"},
                },
            },
            "mnist": {"epochs": 10, "batch_size": 16, "loss": "bce", "n": 30},
            "cifar-10": {
                "data": {"size": 32, "train": 10000, "test": 128}, "epochs": 15, "alpha_inference": EIGHT,
            },
        },
        "paper": {
            "default": {
                "seeds": 10, "data": {"size": 32}, "epochs": 100, "batch_size": 256,
                "alpha_train": {"gaussian": TWENTY}, "alpha_inference": TWENTY, "n": 10000,
            },
        },
    },
    {"smoke": "digits", "desk": "digits", "paper": "cifar-10"},
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
