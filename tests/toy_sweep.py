"""A tiny sweep for the tests of `tutorial_lib.sweep`, and a way to run it as a process of its own."""

import os
import sys
import time
from pathlib import Path

import pandas as pd

from tutorial_lib.sweep import Experiment, Sweep, process_pool, run


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


if __name__ == "__main__":
    out, workers = Path(sys.argv[1]), int(sys.argv[2])
    executor = process_pool(workers) if workers > 1 else None
    run(TABLE, VIEWS, budget="desk", out=out, executor=executor, width=workers, progress=False)
