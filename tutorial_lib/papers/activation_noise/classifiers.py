"""Appendix E: activation noise in seventeen discriminative classifiers."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...architectures import ARCHITECTURES, architecture
from ...data import load_data
from ...inject import inject, set_noise
from ...noise import ActivationNoise
from ...sweep import Sweep
from ...train import fit
from . import SLUG
from .sweeps import check as check_sides
from .sweeps import counts

ARCHITECTURE = "ResNet50"
"""The network of Fig. 11."""


def cosine(epochs: int):
    """Adam whose rate falls to zero like a cosine: `fit`'s ``optimizer``, and the ``callback`` that lets it fall."""
    made = []

    def optimizer(parameters, lr):
        adam = torch.optim.Adam(parameters, lr=lr)
        made.append(torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(epochs, 1)))
        return adam

    return optimizer, lambda epoch, loss: made[0].step()


def train_classifier(config: dict, name: str, alpha: float, seed: int, classes: int | None = None):
    """The data, and a network of Table 4 that was trained on them with Gaussian noise behind all its activations.

    With `classes` of the data only the first so many classes.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    if classes is not None:
        train, test = data.y_train < classes, data.y_test < classes
        data = replace(
            data, x_train=data.x_train[train], y_train=data.y_train[train], x_test=data.x_test[test],
            y_test=data.y_test[test],
        )  # fmt: skip
    torch.manual_seed(seed)
    model = architecture(name, int(data.y_train.max()) + 1, data.x_train.shape[1], config["narrow"])
    inject(model, ActivationNoise("gaussian", alpha))
    optimizer, callback = cosine(config["epochs"])
    fit(
        model, data.x_train, data.y_train, epochs=config["epochs"], batch_size=config["batch_size"], seed=seed,
        optimizer=optimizer, callback=callback, progress=False,
    )  # fmt: skip
    return data, model


@torch.inference_mode()
def averaged(model: nn.Module, x: Tensor, n: int, batch_size: int = 500) -> dict[int, Tensor]:
    """Predictions [N] from the mean of n noisy passes, at every number of `counts` up to `n`.

    Appendix E averages n = 1000 samples and does not say of what; here it is the probabilities (the softmax).
    """
    model.eval()
    total, found, steps = 0.0, {}, set(counts(n))
    for i in range(1, n + 1):
        total = total + torch.cat([model(batch).double().softmax(1) for batch in x.split(batch_size)])
        if i in steps:
            found[i] = total.argmax(1)
    return found


@torch.no_grad()
def renormalise(model: nn.Module, x: Tensor, batch_size: int = 256) -> None:
    """Estimate the means and variances of batch norm anew, on inputs `x`, with the noise that inference has.

    Noise at inference that training did not have changes them: what this mends is not the noise's own harm.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches, which are of one size but for one image
        norm.training = True  # of itself alone: timm's hold an activation, whose noise is to stay that of inference
    for batch in x.tensor_split(-(-len(x) // batch_size)):
        model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def classified(config: dict, data, model: nn.Module, alpha: float) -> list[dict]:
    """Rows: accuracy at every number of noisy passes up to ``config["n"]``; without noise of one."""
    set_noise(model, alpha_inference=alpha)
    said = averaged(model, data.x_test, config["n"] if alpha > 0 else 1)
    return [{"n": n, "accuracy": 100 * (k == data.y_test).double().mean().item()} for n, k in said.items()]


def classifier_cell(config: dict, architecture: str, alpha: float, seed: int) -> list[dict]:
    """Accuracy with balanced noise behind all activations, at every number of passes; ``parameters`` in millions."""
    data, model = train_classifier(config, architecture, alpha, seed)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    return [{**row, "parameters": parameters} for row in classified(config, data, model, alpha)]


def unbalanced_cell(config: dict, alpha_train: float, seed: int) -> list[dict]:
    """Accuracy at every α at inference, with batch norm's ``statistics`` of training, or "anew": see `renormalise`."""
    data, model = train_classifier(config, config["architecture"], alpha_train, seed)
    rows, trained = [], {key: value.clone() for key, value in model.state_dict().items()}
    for alpha in config["alpha_inference"]:
        for statistics in ("of training", "anew"):
            model.load_state_dict(trained)
            if statistics == "anew":
                set_noise(model, alpha_inference=alpha)
                renormalise(model, data.x_train)
            point = {"alpha_inference": alpha, "statistics": statistics}
            rows += [{**point, **row} for row in classified(config, data, model, alpha)]
    return rows


def check(config: dict, data) -> None:
    """`ValueError` for images and batches that some of the networks cannot take."""
    check_sides(config, data)
    if len(data.x_train) % config["batch_size"] == 1:
        raise ValueError(
            f"{len(data.x_train)} training images in batches of {config['batch_size']}: the last would have one image, "
            "too few for batch norm; give --train one more or one less"
        )


def _points(config: dict) -> list[dict]:
    return [{"architecture": name, "alpha": a} for name in config["architectures"] for a in config["alphas"]]


_SMOKE = {
    "seeds": 1, "data": {"size": 8, "train": 64, "test": 40}, "epochs": 1, "batch_size": 32, "n": 3, "narrow": True,
}  # fmt: skip
_DESK = {"seeds": 5, "epochs": 20, "batch_size": 64, "n": 10, "narrow": True}
_DATA = {
    "default": {"data": {"size": 32, "train": 4000, "test": 1000}, "epochs": 10},
    "digits": {"data": {"size": 8}},
    "mnist": {"data": {"size": 16, "train": 4000, "test": 1000}, "epochs": 10},
}
_PAPER = {"seeds": 10, "data": {"size": 32}, "epochs": 30, "batch_size": 256, "n": 1000, "narrow": False}
_TARGETS = {"smoke": "digits", "desk": "digits", "paper": "cifar-10"}
_SMALL = ["VGG11", "ResNet18", "MobileNetV2"]


def _desk(default: dict, **digits) -> dict:
    settings = {name: {**_DESK, **default, **own} if name == "default" else dict(own) for name, own in _DATA.items()}
    settings["digits"] |= {"epochs": _DESK["epochs"], **digits}
    return settings


CLASSIFIERS = Sweep(
    f"{SLUG}/fig-10",
    classifier_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, "architectures": list(ARCHITECTURES), "alphas": [0.5]}},
        "desk": _desk(
            {"architectures": _SMALL, "alphas": [0.0, 0.25, 0.5, 0.75, 1.0]},
            architectures=list(ARCHITECTURES), alphas=[0.0, 0.5, 1.0],
        ),
        "paper": {
            "default": {
                **_PAPER, "architectures": list(ARCHITECTURES), "alphas": [round(0.1 * i, 1) for i in range(11)],
            }
        },
    },
    _TARGETS,
    check=check,
)  # fmt: skip
_GRID = {"alpha_train": [0.0, 0.25, 0.5, 0.75, 1.0], "alpha_inference": [0.0, 0.25, 0.5, 0.75, 1.0]}
UNBALANCED = Sweep(
    f"{SLUG}/fig-11",
    unbalanced_cell,
    lambda config: [{"alpha_train": alpha} for alpha in config["alpha_train"]],
    {
        "smoke": {"default": {**_SMOKE, "architecture": "ResNet18", "alpha_train": [0.0, 1.0],
                              "alpha_inference": [0.0, 1.0]}},
        "desk": _desk({"architecture": ARCHITECTURE, **_GRID}),
        "paper": {"default": {**_PAPER, "architecture": ARCHITECTURE,
                              **{key: [round(0.1 * i, 1) for i in range(11)] for key in _GRID}}},
    },
    _TARGETS,
    check=check,
)  # fmt: skip
