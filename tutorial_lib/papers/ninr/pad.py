"""Three small CNNs for a page on which the reader draws a digit and corrupts it: trained, chosen by a rule, shipped.

The rule, fixed before anything was trained. Each network is trained with five seeds, all for the same number of epochs.
The one that is shown has the median accuracy on validation images without corruption (of several such, the first seed).
Weights are rounded to half precision before anything is measured: what is measured is what the page runs. Two commands:

    python -m tutorial_lib run ninr/pad --budget desk --dataset mnist     # accuracies of all of them
    python -m tutorial_lib.papers.ninr.pad                                # the chosen ones again, and their weights
"""

from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from ...data import Data, load_data
from ...draw import pick
from ...sweep import Sweep, check_network
from ...train import evaluate
from . import SLUG, method
from .sweeps import IN, NONE, build, trained

PLAIN, NODE, BARE = "plain", "with a noise node", "plain, not normalised"
THREE = {PLAIN: (True, NONE, 0.0), NODE: (True, IN, 30.0), BARE: (False, NONE, 0.0)}
"""The networks: with batch normalisation or without it, kind of training, σ_ε (carried over by `sigma_for`)."""


def make(config: dict, name: str, seed: int) -> tuple[nn.Sequential, tuple[float, float], list[dict]]:
    """One network, trained and rounded; mean and deviation of its training images; what is measured of it."""
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    data, x_valid, y_valid = _split(data, config["validation"], seed)
    norm, kind, sigma = THREE[name]
    settings = {**config, "cnn": {**config["cnn"], "norm": norm}, "levels": []}
    model, rows = trained(settings, data, "cnn", kind, sigma, seed)
    with torch.no_grad():
        for numbers in (*model.parameters(), *model.buffers()):
            numbers.copy_(numbers.half() if numbers.is_floating_point() else numbers)
    _, x_valid, x_test = method.standardise(data.x_train, x_valid, data.x_test)
    rows.append({"measure": "validation accuracy", "value": evaluate(model, x_valid, y_valid)})
    for level in config["levels"]:
        value = evaluate(model, method.corrupted(x_test, level, seed), data.y_test)
        rows.append({"measure": "accuracy", "x": level, "value": value})
    return model, (data.x_train.mean().item(), data.x_train.std(correction=0).item()), rows


def pad_cell(config: dict, network: str, seed: int) -> list[dict]:
    """Train one of `THREE`; its accuracy on validation images and on corrupted test images."""
    return make(config, network, seed)[2]


def _split(data: Data, share: float, seed: int) -> tuple[Data, torch.Tensor, torch.Tensor]:
    """`data` less a random `share` of its training images, and these with their labels."""
    order = torch.randperm(len(data.x_train), generator=torch.Generator().manual_seed(seed)).to(data.x_train.device)
    held, kept = order.tensor_split([round(share * len(order))])
    left = replace(data, x_train=data.x_train[kept], y_train=data.y_train[kept])
    return left, data.x_train[held], data.y_train[held]


def chosen(table: pd.DataFrame) -> dict[str, int]:
    """The seed of each network that is shown: the median accuracy on validation images, the lower of two.

    >>> rows = [("plain", seed, "validation accuracy", v) for seed, v in enumerate([97.0, 95.0, 96.0, 96.0, 98.0])]
    >>> chosen(pd.DataFrame(rows, columns=["network", "seed", "measure", "value"]))
    {'plain': 2}
    """
    found = pick(table, measure="validation accuracy").sort_values(["value", "seed"])
    middle = {name: part["value"].iloc[(len(part) - 1) // 2] for name, part in found.groupby("network")}
    return {name: int(pick(found, network=name, value=value)["seed"].iloc[0]) for name, value in middle.items()}


_COMMON = {"stop_at": None, "batch_size": 128, "validation": 0.2, "levels": [round(0.1 * i, 1) for i in range(11)]}
_SMALL = {"cnn": {"blocks": [[8], [16]], "dense": 32}, "seeds": 5}
PAD = Sweep(
    f"{SLUG}/pad",
    pad_cell,
    lambda config: [{"network": name} for name in THREE],
    {
        "smoke": {
            "default": {
                **_COMMON, "seeds": 1, "data": {"train": 200, "test": 50}, "epochs": {"cnn": 2}, "levels": [0.0, 0.5],
                "cnn": {"blocks": [[4], [8]], "dense": 16},
            }
        },
        "desk": {"default": {**_COMMON, **_SMALL, "data": {"train": 5000, "test": 2000}, "epochs": {"cnn": 40}}},
        "paper": {"default": {**_COMMON, **_SMALL, "data": {}, "epochs": {"cnn": 500}}},
    },
    {"smoke": "digits", "desk": "mnist", "paper": "mnist"},
    check=lambda config, data: check_network(lambda x: build("cnn", x, 10, config), data),
)  # fmt: skip
