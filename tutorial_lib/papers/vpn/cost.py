"""What learned noise costs: an update of Algorithm 1 over m, and Algorithm 2's |Y| passes, side by side."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark import Timer

from ...sweep import Sweep
from ...train import evaluating
from . import SLUG
from .method import predict, vpn_loss
from .sweeps import ALGORITHM_1, DNN3, check, new_base, new_generator, prepared

SHARED, EACH = "one pass of the generator", "a pass for each draw"
BATCH, LOOP = "as one batch", "one label after the other"


def cost_cell(config: dict, base: str, seed: int) -> list[dict]:
    """The time of an update over that of one without noise, and of Algorithm 2 over that of a plain prediction.

    ``update`` with m (x) draws an image, which share the generator's pass or have one each; ``prediction`` of the same
    number of images. The ways take turns, `rounds` times, in this process, on a CPU on one thread; values are medians
    over the rounds of the ratio within a round, so what else the machine does meets all ways alike.
    """
    data = prepared(config, seed)
    x, y = data.x_train[: config["batch_size"]], data.y_train[: config["batch_size"]]
    classes = int(data.y_train.max()) + 1
    model = new_base(config, data, base, seed)
    noise = new_generator(config, data, DNN3, ALGORITHM_1, seed)
    optimiser = torch.optim.Adam([*model.parameters(), *noise.parameters()])

    def update(loss: Callable) -> Callable:
        def step():
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()

        return step

    def loop():
        with torch.no_grad(), evaluating(model), evaluating(noise):
            for label in range(classes):
                model(x + noise(x, torch.full_like(y, label))[0]).log_softmax(1)

    ways = {("update", 0, "none"): update(lambda: nn.functional.cross_entropy(model(x), y))}
    for m in config["m"]:
        ways["update", m, SHARED] = update(lambda m=m: vpn_loss(model, x, y, noise(x, y, m)))
        ways["update", m, EACH] = update(lambda m=m: vpn_loss(model, x, y, torch.cat([noise(x, y) for _ in range(m)])))
    ways["prediction", 1, "none"] = lambda: predict(model, x)
    ways["prediction", classes, BATCH] = lambda: predict(model, x, noise, batch_size=classes * len(x))
    ways["prediction", classes, LOOP] = loop
    for way in ways.values():
        way()  # the first call of anything is slow
    timers = {name: Timer("way()", globals={"way": way}) for name, way in ways.items()}
    rounds = [
        {name: timer.timeit(config["calls"]).median for name, timer in timers.items()} for _ in range(config["rounds"])
    ]
    plain = {"update": ("update", 0, "none"), "prediction": ("prediction", 1, "none")}
    return [
        {
            "measure": measure, "x": count, "way": way,
            "value": float(np.median([taken[measure, count, way] / taken[plain[measure]] for taken in rounds])),
        }
        for measure, count, way in ways
    ]  # fmt: skip


_COST = {"batch_size": 256, "stems": ["3x3", "7x7"], "rounds": 9, "calls": 3}
COST = Sweep(
    f"{SLUG}/cost",
    cost_cell,
    lambda config: [{"base": base} for base in config["bases"]],
    {
        "smoke": {
            "default": {
                **_COST, "seeds": 1, "data": {"train": 100, "test": 20}, "batch_size": 20, "bases": ["SR"], "m": [1, 2],
                "rounds": 2, "calls": 1,
            }
        },
        "desk": {  # the batches of the digits' tables
            "default": {
                **_COST, "seeds": 10, "data": {}, "batch_size": 16, "bases": ["SR", "DNN3", "ResNet10"],
                "m": [1, 2, 4, 8], "rounds": 5,
            }
        },
        "paper": {
            "default": {**_COST, "seeds": 10, "data": {}, "bases": ["SR", "DNN3", "ResNet18"], "m": [1, 2, 4, 8, 16]}
        },
    },
    {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"},
    check=check,
)  # fmt: skip
