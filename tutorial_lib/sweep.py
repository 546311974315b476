"""Experiments: a grid of cells x seeds becomes a tidy table, resumably, on any executor.

A `Sweep` says what is measured: its settings a budget, its grid, and the function that computes one cell. An
`Experiment` is one figure or table of a paper: a view of a sweep and the way it is drawn. `run` computes the missing
cells, keeps each in SQLite the moment it is done, and writes the table of every view with its provenance.
"""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import platform
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

BUDGETS = ("smoke", "desk", "paper")


@dataclass(frozen=True)
class Sweep:
    """What is measured. `cell(config, **point, seed)` returns rows (dicts); it must be a module-level function.

    `settings[budget]` holds the settings of a budget: ``default`` for any data set, and overrides by data set name.
    Three settings mean something to `run`: ``seeds`` (how many), ``data`` (keyword arguments of `load_data`; absent: no
    data set) and ``target`` (a second data set, to measure on). `datasets` names each budget's own data set.
    `grid(config)` lists the points of the grid.
    """

    name: str
    cell: Callable[..., list[dict]]
    grid: Callable[[dict], list[dict]]
    settings: dict[str, dict[str, dict]]
    datasets: dict[str, str] = field(default_factory=lambda: dict.fromkeys(BUDGETS, "digits"))

    def config(self, budget: str, dataset: str | None = None) -> dict:
        """The settings of `budget` on `dataset` (by default the budget's own)."""
        if budget not in self.settings:
            raise ValueError(f"unknown budget {budget!r}: choose from {', '.join(self.settings)}")
        dataset = dataset or self.datasets[budget]
        settings = self.settings[budget]
        merged = {**settings["default"], **settings.get(dataset, {})}
        return {"sweep": self.name, "budget": budget, "dataset": dataset, **merged}

    def cells(self, config: dict, seeds: int | None = None) -> list[dict]:
        """The points of the grid, for every seed 0 … seeds-1, seed by seed."""
        seeds = config["seeds"] if seeds is None else seeds
        return [{**point, "seed": seed} for seed in range(seeds) for point in self.grid(config)]


@dataclass(frozen=True)
class Experiment:
    """One figure or table of a paper: a view (`select`) of a sweep's table, and how it is drawn (`draw`)."""

    name: str
    item: str
    title: str
    paper_settings: str
    sweep: Sweep
    draw: Callable
    """`draw(table, dataset)` returns a matplotlib Figure, or a DataFrame for a table."""
    select: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table
    datasets: dict[str, str] | None = None
    """Each budget's data set, where it is not the sweep's."""
    suits: Callable[[str], bool] = lambda dataset: True
    """Whether there is something to show on a data set; views that a data set does not suit are left out."""

    def config(self, budget: str, dataset: str | None = None) -> dict:
        """The settings of `budget` on `dataset` (by default the budget's own)."""
        return self.sweep.config(budget, dataset or (self.datasets or {}).get(budget))


def run(
    experiment: Experiment,
    views: list[Experiment],
    *,
    budget: str = "smoke",
    dataset: str | None = None,
    folder: str | Path = "data",
    device: str = "cpu",
    seeds: int | None = None,
    out: str | Path = "runs",
    executor: Executor | None = None,
    width: int = 1,
    progress: bool = True,
) -> dict[str, Path]:
    """Compute what is missing of an experiment's sweep and write the tables of all its `views`; return their paths.

    Finished cells survive an interrupt or a killed process: the same call goes on where it stopped. `executor` is any
    `concurrent.futures.Executor` (None: this process); `width` cells are in flight at a time.
    Raises `DataError` or `ValueError` before anything is computed or written.
    """
    from .data import load_data

    sweep = experiment.sweep
    config = experiment.config(budget, dataset)
    if not experiment.suits(config["dataset"]):
        others = ", ".join(v.name for v in views if v.suits(config["dataset"])) or "none"
        raise ValueError(f"{experiment.name} has nothing to show on {config['dataset']}; what has: {others}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"seeds = {seeds}: expected at least 1")
    label, source, inputs = config["dataset"], {}, {}
    if "data" in config:
        data = load_data(config["dataset"], folder, size=config["data"].get("size"))
        label, source = data.name, {"source": data.source, "sha256": data.sha256}
        inputs["data_sha256"] = data.sha256
    if "target" in config:
        data = load_data(config["target"], folder)
        source["target"] = {"name": data.name, "source": data.source, "sha256": data.sha256}
        inputs["target_sha256"] = data.sha256
    cells = sweep.cells(config, seeds)
    identity = _digest({**config, "device": device, "data_sha256": None, **inputs})
    store = Store(Path(out) / sweep.name / f"{label}-{budget}.sqlite", identity)
    done = store.finished()
    missing = [cell for cell in cells if _digest(cell) not in done]
    task, code = _Task(sweep.cell, {**config, "folder": str(folder), "device": device}), _commit()
    for cell, (rows, seconds) in _progress(
        _complete(executor or InProcess(), task, missing, width), len(cells), len(cells) - len(missing), progress
    ):
        store.add(cell, rows, seconds, code)
    done = store.finished()
    results = [done[_digest(cell)] for cell in cells]
    table = pd.DataFrame([{**cell, **row} for cell, (rows, *_) in zip(cells, results, strict=True) for row in rows])
    provenance = {
        "configuration": config,
        "seeds": sorted({cell["seed"] for cell in cells}),
        "dataset": {"name": label, **source},
        "cells": len(cells),
        "cell_seconds": round(sum(seconds for _, seconds, _ in results), 1),
        "commits": sorted({code or "not in a checkout" for *_, code in results}),
        "device": _device_name(device),
        "versions": _versions(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    paths = {}
    for view in (v for v in views if v.suits(config["dataset"])):
        selected = view.select(table).dropna(axis=1, how="all").reset_index(drop=True)
        head = {
            "experiment": view.name,
            "command": command(view.name, budget, config["dataset"], len(provenance["seeds"]), device),
            "rows": len(selected),
        }
        path = paths[view.name] = Path(out) / view.name / f"{label}-{budget}.csv"
        _write_atomically(path, selected.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
        _write_atomically(
            path.with_suffix(".json"),
            (json.dumps({**head, **provenance}, indent=1, ensure_ascii=False) + "\n").encode(),
        )
        _write_drawing(view.draw(selected, label), path)
    return paths


RESULTS = Path(__file__).parent / "results"
"""The measured tables that travel with the package."""


def shipped(name: str) -> list[dict]:
    """The shipped tables of an experiment: dataset, budget, rows, path."""
    found = []
    for path in sorted((RESULTS / name).glob("*.csv")):
        dataset, _, budget = path.stem.rpartition("-")
        found.append({"dataset": dataset, "budget": budget, "rows": provenance(path)["rows"], "path": path})
    return found


def read_table(name: str, dataset: str, budget: str, folder: str | Path = RESULTS) -> pd.DataFrame:
    """A measured table; by default one that travels with the package. `ValueError` if there is none."""
    path = Path(folder) / name / f"{dataset}-{budget}.csv"
    if not path.exists():
        there = ", ".join(f"{t['dataset']}-{t['budget']}" for t in shipped(name)) or "none"
        raise ValueError(
            f"no table {dataset}-{budget} of {name}; shipped: {there}. Make it: {command(name, budget, dataset)}"
        )
    return pd.read_csv(path)


def provenance(path: Path) -> dict:
    """What is known of how the table at `path` came about."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


class Store:
    """Finished cells in an SQLite file, one transaction a cell; cells of another configuration stay apart."""

    def __init__(self, path: Path, identity: str):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.identity = path, identity
        with self._open() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS cells (identity TEXT, key TEXT, cell TEXT, rows TEXT, seconds REAL, "
                "code TEXT, PRIMARY KEY (identity, key))"
            )

    @contextlib.contextmanager
    def _open(self):
        try:
            db = sqlite3.connect(self.path, timeout=60)
            with contextlib.closing(db), db:
                yield db
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{self.path} is not a usable store of finished cells ({error}): move it away and run again"
            ) from error

    def add(self, cell: dict, rows: list[dict], seconds: float, code: str | None) -> None:
        """Keep a finished cell, with the commit that computed it; one that is there already stays as it is."""
        with self._open() as db:
            values = (self.identity, _digest(cell), json.dumps(cell), json.dumps(rows), seconds, code)
            db.execute("INSERT OR IGNORE INTO cells VALUES (?, ?, ?, ?, ?, ?)", values)

    def finished(self) -> dict[str, tuple[list[dict], float, str | None]]:
        """The finished cells of this configuration: digest of the cell -> (rows, seconds, commit)."""
        with self._open() as db:
            found = db.execute("SELECT key, rows, seconds, code FROM cells WHERE identity = ?", (self.identity,))
            return {key: (json.loads(rows), seconds, code) for key, rows, seconds, code in found}


@dataclass(frozen=True)
class _Task:
    """One cell's computation, timed; picklable."""

    cell: Callable
    config: dict

    def __call__(self, point: dict) -> tuple[list[dict], float]:
        started = time.perf_counter()
        rows = self.cell(self.config, **point)
        return json.loads(json.dumps(rows)), time.perf_counter() - started


class InProcess(Executor):
    """An executor that computes in the calling process, at once."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def process_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of `workers` fresh processes that share the cores and end when their parent does."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(threads,))


def _start_worker(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)

    def end_with_parent():
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _complete(executor: Executor, task: _Task, cells: list[dict], width: int) -> Iterator[tuple]:
    """Yield (cell, result) as they finish, with `width` in flight."""
    queue, running = iter(cells), {}
    try:
        while True:
            while len(running) < width and (cell := next(queue, None)) is not None:
                running[executor.submit(task, cell)] = cell
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def command(name: str, budget: str, dataset: str, seeds: int | None = None, device: str = "cpu") -> str:
    """The command line that makes a table."""
    where = "" if dataset in ("digits", "none") else f" --dataset {Path(dataset).name}"
    where += "" if dataset in ("digits", "none", "diabetes") else " --data DIR"
    count = "" if seeds is None else f" --seeds {seeds}"
    on = "" if device == "cpu" else f" --device {device}"
    return f"python -m tutorial_lib run {name} --budget {budget}{where}{count}{on}"


def t_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Student's t-interval of the mean of `values`; infinite for fewer than two.

    >>> [round(v, 3) for v in t_interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    from scipy.stats import t

    values = [float(v) for v in values]
    n = len(values)
    mean = sum(values) / n if n else math.nan
    if n < 2:
        return -math.inf, math.inf
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(t.ppf((1 + level) / 2, n - 1)) * deviation / math.sqrt(n)
    return mean - half, mean + half


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _progress(iterator, total: int, done: int, show: bool):
    if not show:
        return iterator
    from tqdm import tqdm

    return tqdm(iterator, total=total, initial=done, desc="cells", unit="cell")


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _write_drawing(drawing, table: Path) -> None:
    """A figure as .png beside its table, a drawn table as .txt."""
    if isinstance(drawing, pd.DataFrame):
        _write_atomically(table.with_suffix(".txt"), (drawing.to_string() + "\n").encode())
    else:
        picture = io.BytesIO()
        drawing.savefig(picture, format="png", dpi=150, bbox_inches="tight")
        _write_atomically(table.with_suffix(".png"), picture.getvalue())


def _versions() -> dict[str, str]:
    packages = ("tutorial-lib", "torch", "torchvision", "numpy", "scikit-learn", "scipy")
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _commit() -> str | None:
    """The commit of the checkout that this package lies in, with "-dirty" where it was changed; None elsewhere."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(here)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno", "--", "."], capture_output=True, text=True)
        return head + ("-dirty" if changed.stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"CPU, {os.cpu_count()} cores"
