"""What an update costs with each way of training: over one without noise, side by side."""

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark import Timer

from ...data import load_data
from ...models import mlp
from ...sweep import Sweep
from ..ninr.method import standardise
from ..vpn.method import vpn_loss
from . import SLUG
from .method import LEARNED, NONE, WAYS, new_generator
from .sweeps import BRIDGE


def cost_cell(config: dict, seed: int) -> list[dict]:
    """The time of an update, with each way at its middle strength, over that of one without noise.

    The ways take turns, ``config["rounds"]`` times, in this process, on a CPU on one thread; values are medians over
    the rounds of the ratio within a round, so what else the machine does meets all ways alike.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    (x,) = standardise(data.x_train)
    x, y = x[: config["batch_size"]], data.y_train[: config["batch_size"]]

    def update(way: str):
        strength = WAYS[way].strengths[len(WAYS[way].strengths) // 2]
        torch.manual_seed(seed)
        model = mlp(x[0].numel(), int(data.y_train.max()) + 1, config["widths"]).to(x.device).train()
        WAYS[way].prepare(model, x, strength)
        penalty = WAYS[way].penalty(strength, config)
        generator = new_generator(config, x, strength).train() if way == LEARNED else None
        weights = [w for network in (model, generator) if network is not None for w in network.parameters()]
        optimiser = torch.optim.Adam(weights, lr=config["lr"])

        def step():
            loss = (
                nn.functional.cross_entropy(model(x), y)
                if generator is None
                else vpn_loss(model, x, y, generator(x, y))
            )
            if penalty is not None:
                loss = loss + penalty(model, x)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

        return step

    steps = {way: update(way) for way in WAYS}
    for step in steps.values():
        step()  # the first call of anything is slow
    timers = {way: Timer("step()", globals={"step": step}) for way, step in steps.items()}
    rounds = [
        {way: timer.timeit(config["calls"]).median for way, timer in timers.items()} for _ in range(config["rounds"])
    ]
    return [{"way": way, "value": float(np.median([one[way] / one[NONE] for one in rounds]))} for way in WAYS]


_DESK = {
    **BRIDGE.settings["desk"]["default"],
    "seeds": 5,
    "data": {"train": 2000, "test": 100},
    "calls": 20,
    "rounds": 15,
}
COST = Sweep(
    f"{SLUG}/cost",
    cost_cell,
    lambda config: [{}],
    {
        "smoke": {"default": {**BRIDGE.settings["smoke"]["default"], "calls": 2, "rounds": 2}},
        "desk": {"default": _DESK, "digits": {"data": {}}, "cifar-10": {"data": {**_DESK["data"], "size": 16}}},
        "paper": {"default": {**_DESK, "widths": BRIDGE.settings["paper"]["default"]["widths"]}},
    },
    {"smoke": "digits", "desk": "mnist", "paper": "mnist"},
    check=BRIDGE.check,
)  # fmt: skip
