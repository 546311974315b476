"""A tiny sweep for the tests of `tutorial_lib.sweep`, and a way to run it as a process of its own."""

import os
import sys
import time
from pathlib import Path

import pandas as pd

from tutorial_lib.data import load_data
from tutorial_lib.sweep import Experiment, Sweep, run
from tutorial_lib.workers import process_pool


def cell(config, a, seed):
    """Deterministic rows; leaves a mark for every computation if asked to, and may take its time."""
    if marks := os.environ.get("TOY_MARKS"):
        with open(marks, "a") as file:
            file.write(f"{a} {seed} {os.getpid()}\n")
    time.sleep(config["pause"])
    return [{"b": b, "value": config["scale"] * (a + b / 7) + seed} for b in range(3)]


def grid(config):
    return [{"a": a} for a in range(config["points"])]


def draw(table, dataset):
    return pd.DataFrame({"mean": [table["value"].mean()]})


SETTINGS = {
    "smoke": {"default": {"seeds": 2, "points": 6, "scale": 1.0, "pause": 0.0}},
    "desk": {"default": {"seeds": 2, "points": 20, "scale": 1.0, "pause": 0.06}, "other": {"scale": 3.0}},
}
SWEEP = Sweep("toy/fig-1", cell, grid, SETTINGS, {"smoke": "none", "desk": "none"})
FIGURE = Experiment("toy/fig-1", "Figure 1", "A toy", "none", SWEEP, draw)
TABLE = Experiment("toy/table-1", "Table 1", "A view of it", "none", SWEEP, draw, lambda t: t[t["b"] == 0])
VIEWS = [FIGURE, TABLE]


def data_cell(config, a, seed):
    """The mean of the training images: one number a cell that the data decide."""
    cell(config, a, seed)
    data = load_data(config["dataset"], config["folder"], seed=seed, **config["data"])
    return [{"images": len(data.x_train), "value": data.x_train.mean().item()}]


DATA_SETTINGS = {"smoke": {"default": {"seeds": 1, "points": 2, "scale": 1.0, "pause": 0.0, "data": {"test": 5}}}}
DATA_SWEEP = Sweep("toy/data", data_cell, grid, DATA_SETTINGS)
DATA = Experiment("toy/data", "Table 2", "On images", "none", DATA_SWEEP, draw)


if __name__ == "__main__":
    out, workers = Path(sys.argv[1]), int(sys.argv[2])
    with process_pool(workers) as pool:
        executor = pool if workers > 1 else None
        run(TABLE, VIEWS, budget="desk", out=out, executor=executor, width=workers, progress=False)
