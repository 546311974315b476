"""Three small CNNs for a page on which the reader draws a digit and corrupts it: trained, chosen by a rule, shipped.

The rule, fixed before anything was trained. Each network is trained with five seeds, all for the same number of epochs.
The one that is shown has the median accuracy on validation images without corruption (of several such, the first seed).
Weights are rounded to half precision before accuracies are measured, so that what is measured is what the page runs.
σ_ε = 30 lies between the paper's two for such networks; one trial, before the rule, had shown an effect. Commands:

    python -m tutorial_lib run ninr/pad --budget desk --dataset mnist     # accuracies of all of them
    python -m tutorial_lib.papers.ninr.pad                                # the chosen ones again, and their weights
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ...data import held_out, load_data
from ...draw import halves, pick
from ...errors import InputError
from ...shipping import command_line
from ...store import write_atomically
from ...sweep import RESULTS, Sweep, cells_of, check_network, difference, provenance
from ...train import evaluate
from . import SLUG, method
from .sweeps import IN, NONE, build, trained

PLAIN, NODE, BARE = "plain", "with a noise node", "plain, not normalised"
THREE = {PLAIN: (True, NONE, 0.0), NODE: (True, IN, 30.0), BARE: (False, NONE, 0.0)}
"""The networks: with batch normalisation or without it, kind of training, σ_ε (carried over by `sigma_for`)."""


def make(config: dict, name: str, seed: int) -> tuple[nn.Sequential, tuple[float, float], list[dict]]:
    """One network, trained and rounded; mean and deviation of its training images; what is measured of it."""
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    data, x_valid, y_valid = held_out(data, config["validation"], seed)
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


def program(model: nn.Sequential) -> tuple[list[list], np.ndarray]:
    """A network as the page runs it: a list of steps with their sizes, and the weights in the order of the steps.

    >>> steps, weights = program(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ELU(), nn.MaxPool2d(2)))
    >>> steps, weights.shape, weights.dtype
    ([['conv', 2, 1, 3], ['elu'], ['pool']], (20,), dtype('float16'))
    """
    steps, numbers = [], []
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            steps.append(["conv", layer.out_channels, layer.in_channels, layer.kernel_size[0]])
            numbers += [layer.weight, layer.bias]
        elif isinstance(layer, nn.Linear):
            steps.append(["linear", layer.out_features, layer.in_features])
            numbers += [layer.weight, layer.bias]
        elif isinstance(layer, nn.BatchNorm2d):
            steps.append(["norm", layer.num_features, layer.eps])
            numbers += [layer.weight, layer.bias, layer.running_mean, layer.running_var]
        elif isinstance(layer, nn.ELU | nn.ReLU | nn.MaxPool2d):
            steps.append([{nn.ELU: "elu", nn.ReLU: "relu", nn.MaxPool2d: "pool"}[type(layer)]])
        elif not isinstance(layer, nn.Identity | nn.Flatten):
            raise ValueError(f"the page cannot run a {type(layer).__name__}")
    return steps, np.concatenate([n.detach().numpy().ravel() for n in numbers]).astype("<f2")


def write_weights(out: str | Path, folder: str | Path = "data") -> Path:
    """Train the `chosen` of the table below `out` once more, and write their weights beside it.

    `InputError` if there is no table, or if a network trained anew is not the one that the table measured.
    """
    path = Path(out) / PAD.name / "mnist-desk.csv"
    if not path.exists():
        raise InputError(
            f"no table {path}: first run python -m tutorial_lib run {PAD.name} --budget desk --dataset mnist"
        )
    table, known, found = pd.read_csv(path), provenance(path), {}
    config = {**known["configuration"], "folder": str(folder), "device": "cpu"}
    for name, seed in chosen(table).items():
        print(f"training {name}, seed {seed}", file=sys.stderr)
        model, scale, rows = make(config, name, seed)
        ((_, measured),) = cells_of(table, [{"network": name, "seed": seed}])
        if changed := difference(measured, rows):
            raise InputError(f"{name}, seed {seed}, is not the one in {path}: {changed}. Run the sweep on this machine")
        steps, weights = program(model)
        found[name] = weights
        found[f"{name}: about"] = json.dumps({"seed": seed, "program": steps, "scale": scale})
    about = {
        "command": "python -m tutorial_lib.papers.ninr.pad",
        **{k: known[k] for k in ("dataset", "commits", "date")},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=json.dumps(about, ensure_ascii=False), **found)
    write_atomically(path.with_suffix(".npz"), buffer.getvalue())
    return path.with_suffix(".npz")


def shipped_networks(folder: Path = RESULTS) -> list[dict]:
    """The three networks that travel with the package, as the page takes them, with their own measured accuracies."""
    path = folder / PAD.name / "mnist-desk.csv"
    accuracy = pick(pd.read_csv(path), measure="accuracy")
    networks = []
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        for name in THREE:
            known = json.loads(str(stored[f"{name}: about"]))
            measured = pick(accuracy, network=name, seed=known["seed"])
            networks.append(
                {
                    "name": name, "program": known["program"], "size": 28,
                    "weights": halves(stored[name]),
                    "mean": known["scale"][0], "deviation": known["scale"][1],
                    "levels": measured["x"].tolist(), "accuracy": measured["value"].tolist(),
                }
            )  # fmt: skip
    return networks


def main(arguments: list[str] | None = None) -> int:
    """Write the weights; see the module."""
    return command_line("python -m tutorial_lib.papers.ninr.pad", write_weights, "runs", arguments)


if __name__ == "__main__":
    sys.exit(main())
