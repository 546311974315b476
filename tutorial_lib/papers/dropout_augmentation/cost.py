"""What an epoch costs: dropout, random dropout, and x* found in two ways, side by side."""

import copy
from functools import partial

import numpy as np
import torch
from torch.utils.benchmark import Timer

from ...data import Data
from ...sweep import Sweep
from ...train import fit
from . import SLUG
from .sweeps import DROPOUT, JOINT, NONE, RANDOM, SOLVED, augmented, build, check, equip, prepared

KINDS = (NONE, DROPOUT, RANDOM, JOINT, SOLVED)


def epoch(model: torch.nn.Sequential, data: Data, kind: str, config: dict) -> None:
    """An epoch of training: on all images, or, for the two kinds of x*, on what is made of them first."""
    x = data.x_train
    if kind in (JOINT, SOLVED):
        model.eval()
        x, _ = augmented(model, x, kind, config["p"], 0, config)
    fit(
        model, x, data.y_train, epochs=1, batch_size=config["batch_size"], lr=config["lr"], optimizer=torch.optim.SGD,
        progress=False,
    )  # fmt: skip


def cost_cell(config: dict, network: str, seed: int) -> list[dict]:
    """The time of an epoch of each kind of training over that of an epoch without noise.

    The kinds take turns, `rounds` times, in this process and on its threads; ``time`` is the median over the rounds of
    the ratio within a round, so what else the machine does meets all kinds alike.
    """
    data, _ = prepared(config, seed)
    torch.manual_seed(seed)
    plain = build(network, data.x_train.shape[1], int(data.y_train.max()) + 1).to(data.x_train.device)
    models = {kind: copy.deepcopy(plain) for kind in KINDS}
    for kind, model in models.items():
        equip(model, kind, config["p"], 0.0)
        epoch(model, data, kind, config)  # the first call of anything is slow
    timers = {
        kind: Timer("epoch()", globals={"epoch": partial(epoch, model, data, kind, config)})
        for kind, model in models.items()
    }
    rounds = [{kind: timer.timeit(1).median for kind, timer in timers.items()} for _ in range(config["rounds"])]
    return [
        {"measure": "time", "kind": kind, "value": float(np.median([taken[kind] / taken[NONE] for taken in rounds]))}
        for kind in KINDS
    ]


_COST = {
    "components": None, "batch_size": 100, "lr": 0.05, "chunk": 500, "steps": 20, "rates": [300.0, 30.0], "better": 3,
    "p": 0.5, "rounds": 15,
}  # fmt: skip
COST = Sweep(
    f"{SLUG}/cost",
    cost_cell,
    lambda config: [{"network": network} for network in config["networks"]],
    {
        "smoke": {
            "default": {**_COST, "seeds": 1, "data": {"train": 120, "test": 10}, "networks": ["32-16"], "rounds": 2}
        },
        "desk": {
            "default": {
                **_COST, "seeds": 5, "data": {"train": 2400, "test": 10, "size": 14},
                "networks": ["625-625", "375-188"], "rounds": 3,
            },
            "digits": {"data": {}, "seeds": 10, "networks": ["204-204", "122-61"], "rounds": 9},
        },
        "paper": {"default": {**_COST, "seeds": 10, "data": {}, "networks": ["2500-2500", "1500-750"], "rounds": 3}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "mnist"},
    check=check,
)  # fmt: skip
