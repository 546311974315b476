"""Experiments: a grid of cells x seeds becomes a tidy table, resumably, on any executor.

A `Sweep` says what is measured: its settings a budget, its grid, and the function that computes one cell. An
`Experiment` is one figure or table of a paper: a view of a sweep and the way it is drawn. `run` computes the missing
cells, keeps each the moment it is done, writes the sweep's table with its provenance, and draws every view.
"""

import contextlib
import functools
import importlib.metadata
import io
import json
import math
import platform
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from .data import NAMES, TABLES, Data, load_data
from .errors import InputError
from .fingerprint import fingerprint
from .store import Finished, Store, digest, write_atomically
from .workers import InProcess, device_name

BUDGETS = ("smoke", "desk", "paper")
PACKAGE = Path(__file__).resolve().parent
RESULTS = PACKAGE / "results"
"""The measured tables that travel with the package."""


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
    suits: Callable[[str], bool] = lambda dataset: dataset not in TABLES
    """Whether it can be measured on a data set; unless it says otherwise, on images only."""
    subject: str = "none"
    """What a reader is told that it was measured on, where there is no data set."""
    check: Callable[[dict, Data], None] = lambda config, data: None
    """`check(config, data)` raises `ValueError` where the data do not fit, before anything is computed."""

    def config(self, budget: str, dataset: str | None = None) -> dict:
        """The settings of `budget` on `dataset` (by default the budget's own)."""
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
    shows: Callable[[str], bool] = lambda dataset: True
    """Whether there is something to show on a data set that the sweep suits; else the view is left out."""

    def suits(self, dataset: str) -> bool:
        """Whether there is something to measure and to show on a data set."""
        return self.sweep.suits(dataset) and self.shows(dataset)

    def config(self, budget: str, dataset: str | None = None) -> dict:
        """The settings of `budget` on `dataset` (by default the budget's own)."""
        if budget not in self.sweep.settings:
            raise InputError(f"{self.name} has no budget {budget!r}: choose from {', '.join(self.sweep.settings)}")
        return self.sweep.config(budget, dataset or (self.datasets or {}).get(budget))

    def view(self, table: pd.DataFrame) -> pd.DataFrame:
        """Its part of the sweep's table, without columns that are empty there."""
        return self.select(table).dropna(axis=1, how="all").reset_index(drop=True)


def run(
    experiment: Experiment,
    views: list[Experiment],
    *,
    budget: str = "smoke",
    dataset: str | None = None,
    folder: str | Path = "data",
    data: dict | None = None,
    device: str = "cpu",
    seeds: int | None = None,
    out: str | Path = "runs",
    executor: Executor | None = None,
    width: int = 1,
    keep_cells: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Compute what is missing of an experiment's sweep; write its table, and draw all its `views`. Returns the paths.

    Finished cells survive an interrupt or a killed process: the same call goes on where it stopped. So do those of the
    table that travels with the package. Cells that other code computed are left alone; with `keep_cells` one for each
    point of the grid is computed again, and all are taken over if these agree. `data` overrides settings of
    ``config["data"]``: train, test, size. `executor` is any `concurrent.futures.Executor` (None: this process); `width`
    cells are in flight at a time. Raises `InputError`, before anything is computed or written where that can be known.
    """
    sweep = experiment.sweep
    config = experiment.config(budget, dataset)
    label, about, identity = _prepare(experiment, views, config, dataset, folder, data or {}, device)
    if seeds is not None and seeds < 1:
        raise InputError(f"seeds = {seeds}: expected at least 1")
    cells = sweep.cells(config, seeds)
    table_path = Path(out) / sweep.name / f"{label}-{budget}.csv"
    store = Store(table_path.with_suffix(".sqlite"), identity, fingerprint(sweep.cell))
    task = _Task(sweep.cell, {**config, "folder": str(folder), "device": device})
    revision = _commit(PACKAGE)

    def compute(some: list[dict], done: int = 0):
        return _progress(_complete(executor or InProcess(), task, some, width), done + len(some), done, progress)

    _take_over(store, _shipped_cells(store, sweep, label, budget, cells), cells, keep_cells, compute)
    done = store.finished()
    missing = [cell for cell in cells if digest(cell) not in done]
    for cell, (rows, seconds) in compute(missing, len(cells) - len(missing)):
        store.add(Finished(cell, rows, seconds, revision))
    done = store.finished()
    results = [done[digest(cell)] for cell in cells]
    table = pd.DataFrame([{**cell, **row} for cell, found in zip(cells, results, strict=True) for row in found.rows])
    count = cells[-1]["seed"] + 1
    known = {
        "sweep": sweep.name,
        "command": command(experiment.name, budget, dataset or config["dataset"], count, device, folder, data),
        "rows": len(table),
        "configuration": config,
        "seeds": list(range(count)),
        "dataset": {"name": label, **about},
        "cells": len(cells),
        "cell_seconds": round(sum(found.seconds for found in results), 1),
        "commits": sorted({found.commit or "not in a checkout" for found in results}),
        "identity": identity,
        "code": store.code,
        "device": device_name(device),
        "versions": _versions(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    write_atomically(table_path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    write_atomically(table_path.with_suffix(".json"), (json.dumps(known, indent=1, ensure_ascii=False) + "\n").encode())
    table = pd.read_csv(table_path)  # what is drawn is what was written
    shown = [view for view in views if view.suits(config["dataset"])]
    return [table_path, *(_write_drawing(view, view.draw(view.view(table), label), table_path) for view in shown)]


def _prepare(experiment, views, config: dict, dataset, folder, data: dict, device: str) -> tuple[str, dict, str]:
    """Label of the data, what is known of them, and the run's identity; all that can be found wrong is said here."""
    name, inputs = config["dataset"], {}
    if "data" not in config:
        if dataset not in (None, "none") or data:
            raise InputError(f"{experiment.name} uses no data: leave --dataset, --train, --test and --size out")
        label, about = "none", {}
    else:
        if not experiment.suits(name):
            others = [view.name for view in views if view.suits(name)]
            instead = f"; what has: {', '.join(others)}" if others else ""
            raise InputError(f"{experiment.name} has nothing to show on {name}{instead}")
        config["data"] = {**config["data"], **data}
        found = load_data(name, folder, **config["data"])  # as a cell will
        try:
            _check_classes(found)
            experiment.sweep.check(config, found)
        except ValueError as error:
            raise InputError(
                f"{found.name} does not suit {experiment.name}: {error} (--size S resizes images)"
            ) from error
        label, about = found.name, {"source": found.source, "sha256": found.sha256}
        inputs["data_sha256"] = found.sha256
    if "target" in config:
        found = load_data(config["target"], folder)
        about["target"] = {"name": found.name, "source": found.source, "sha256": found.sha256}
        inputs["target_sha256"] = found.sha256
    return label, about, identity_of(config, device, inputs)


def _check_classes(data: Data) -> None:
    """`ValueError` where a class has no training image: a selection was too small."""
    if not data.y_train.is_floating_point():
        there = set(data.y_train.tolist())
        if lost := set(range(max(there | set(data.y_test.tolist())) + 1)) - there:
            raise ValueError(f"none of the {len(data.y_train)} training images is of class {min(lost)}: take more")


def identity_of(config: dict, device: str, inputs: dict) -> str:
    """What two cells must share to stand in one table: the settings but the number of seeds, the device, the data.

    Data are known by their content (`inputs`: checksums), wherever they lie and whatever their file is called.
    """
    settings = {key: value for key, value in config.items() if key not in ("seeds", "dataset", "target")}
    return digest({**settings, "device": device, **inputs})


def _shipped_cells(store: Store, sweep: Sweep, label: str, budget: str, cells: list[dict]) -> dict[str, Finished]:
    """The cells of the table that travels with the package, if it is of this configuration.

    Where it was made by the same code they are finished cells, and kept as such; else they are returned.
    """
    path = RESULTS / sweep.name / f"{label}-{budget}.csv"
    if not path.exists() or (known := provenance(path)).get("identity") != store.identity:
        return {}
    seconds, commit = known["cell_seconds"] / known["cells"], ", ".join(known["commits"])
    found = {digest(cell): Finished(cell, rows, seconds, commit) for cell, rows in cells_of(_read(path), cells)}
    if known.get("code") != store.code:
        return found
    for done in found.values():
        store.add(done)
    return {}


def cells_of(table: pd.DataFrame, cells: list[dict]) -> Iterator[tuple[dict, list[dict]]]:
    """Those of `cells` that a table holds, each with its rows.

    >>> table = pd.DataFrame({"a": [1, 1, 2], "seed": 0, "v": [0.5, None, 2.0]})
    >>> list(cells_of(table, [{"a": 1.0, "seed": 0}, {"a": 3, "seed": 0}]))
    [({'a': 1.0, 'seed': 0}, [{'v': 0.5}, {}])]
    """
    keys = list(cells[0])
    if not {*keys} <= {*table.columns}:
        return
    groups = {tuple(map(_text, values)): part for values, part in table.groupby(keys, sort=False, dropna=False)}
    for cell in cells:
        part = groups.get(tuple(map(_text, cell.values())))
        if part is not None:
            yield cell, [_filled(row) for row in part.drop(columns=keys).to_dict("records")]


def _text(value) -> str:
    if value is None or value != value:
        return ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.6g}" if number else str(value)


def _filled(row: dict) -> dict:
    return {key: value for key, value in row.items() if value is not None and value == value}


CLOSE = 1e-3
"""By what part a number may differ when its cell is computed again: rounding on another processor can reach it, and a
change of method hardly stays under it."""


def _take_over(store: Store, shipped: dict[str, Finished], cells: list[dict], keep: bool, compute: Callable) -> None:
    """Finished cells of other code: said to be there, or, with `keep`, checked and made cells of this code.

    For each point of the grid, which the change may concern alone, the cell of one seed is computed again.
    """
    mine = store.finished()
    wanted = {digest(cell) for cell in cells} - {*mine}
    others = {key: done for key, done in {**shipped, **store.others()}.items() if key in wanted}
    points = {}
    for done in random.Random(0).sample([*others.values()], len(others)):
        points[digest({**done.cell, "seed": None})] = done
    if not others:
        return
    if not keep:
        print(
            f"{len(others)} finished cells of this configuration were computed by other code and are left alone; "
            f"--keep-cells takes them over if {len(points)} of them, computed again, agree",
            file=sys.stderr,
        )
        return
    old = {digest(done.cell): done.rows for done in points.values()}
    for cell, (rows, _) in compute([done.cell for done in points.values()]):
        if found := difference(old[digest(cell)], rows):
            raise InputError(
                f"--keep-cells: this code computes another cell {json.dumps(cell, ensure_ascii=False)}: {found}. Run "
                "without --keep-cells, so that all cells are computed anew"
            )
    for done in others.values():
        store.add(done)
    print(
        f"{len(points)} cells, one for each point of the grid, agree with what other code had computed: {len(others)} "
        "are taken over",
        file=sys.stderr,
    )


def difference(old: list[dict], new: list[dict]) -> str | None:
    """The first difference between a cell's rows and those computed again that rounding does not explain; None: none.

    >>> difference([{"kind": "a", "v": 1.0}], [{"kind": "a", "v": 1.0001}])
    >>> difference([{"v": 1.0}], [{"v": 1.1}])
    'v was 1.0 and is 1.1 (row 1)'
    """
    if len(old) != len(new):
        return f"{len(old)} rows were, {len(new)} are there"
    for k, (a, b) in enumerate(zip(map(_filled, old), map(_filled, new), strict=True), start=1):
        for name in {**a, **b}:
            one, other = a.get(name), b.get(name)
            numbers = all(isinstance(v, int | float) for v in (one, other))
            if not (math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-6) if numbers else one == other):
                return f"{name} was {one} and is {other} (row {k})"
    return None


def shipped(experiment: Experiment) -> list[dict]:
    """The shipped tables that an experiment is a view of: dataset, budget, rows, path."""
    found = []
    for path in sorted((RESULTS / experiment.sweep.name).glob("*.csv")):
        dataset, _, budget = path.stem.rpartition("-")
        if experiment.suits(dataset):
            found.append({"dataset": dataset, "budget": budget, "rows": provenance(path)["rows"], "path": path})
    return found


def read_table(experiment: Experiment, dataset: str, budget: str) -> pd.DataFrame:
    """An experiment's view of a shipped table. `InputError` if there is none."""
    path = RESULTS / experiment.sweep.name / f"{dataset}-{budget}.csv"
    if not path.exists():
        there = ", ".join(f"{t['dataset']}-{t['budget']}" for t in shipped(experiment)) or "none"
        raise InputError(
            f"no table {dataset}-{budget} of {experiment.name}; shipped: {there}. "
            f"Make it: {command(experiment.name, budget, dataset)}"
        )
    return experiment.view(_read(path))


def _read(path: Path) -> pd.DataFrame:
    return _read_once(path, path.stat().st_mtime_ns).copy()


@functools.lru_cache(maxsize=4)
def _read_once(path: Path, changed: int) -> pd.DataFrame:
    return pd.read_csv(path)


def provenance(path: Path) -> dict:
    """What is known of how the table at `path` came about."""
    file = path.with_suffix(".json")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"the provenance {file} cannot be read ({error}): make the table again") from error


@dataclass(frozen=True)
class _Task:
    """One cell's computation, timed; picklable."""

    cell: Callable
    config: dict

    def __call__(self, point: dict) -> tuple[list[dict], float]:
        started = time.perf_counter()
        rows = self.cell(self.config, **point)
        return plain_rows(rows, point), time.perf_counter() - started


def plain_rows(rows: list[dict], point: dict) -> list[dict]:
    """The rows of a cell with Python's own text and numbers in them; `TypeError` for anything else."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"the cell {point} gave {rows!r:.200}: expected a list of rows (dicts), at least one")
    return [{name: _plain(value, name, point) for name, value in row.items()} for row in rows]


def _plain(value, name: str, point: dict):
    if name in point:
        raise TypeError(f"the cell {point} gave a row with {name!r}, a setting of its own: give it another name")
    if getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        value = value.item()
    if value is not None and not isinstance(value, str | bool | int | float):
        raise TypeError(f"the cell {point} gave {name} = {value!r:.200}: expected a number, text or a truth value")
    return value


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


def command(
    name: str, budget: str, dataset: str, seeds: int | None = None, device: str = "cpu", folder: str | Path = "DIR",
    data: dict | None = None,
) -> str:  # fmt: skip
    """The command line that makes a table.

    >>> command("ninr/fig-2", "desk", "my set.npz", seeds=5, data={"test": 100})
    "python -m tutorial_lib run ninr/fig-2 --budget desk --dataset 'my set.npz' --test 100 --seeds 5"
    """
    words = ["python", "-m", "tutorial_lib", "run", name, "--budget", budget]
    words += [] if dataset in ("digits", "none") else ["--dataset", dataset]
    if dataset in NAMES and dataset not in ("digits", "diabetes") and str(folder) != "data":
        words += ["--data", str(folder)]
    for option, value in {**(data or {}), "seeds": seeds, "device": device if device != "cpu" else None}.items():
        words += [f"--{option}", str(value)] if value is not None else []
    return shlex.join(words)


def check_network(build: Callable, data: Data) -> None:
    """A `Sweep.check`: `ValueError` unless the network that ``build(images)`` returns takes one of the images."""
    import torch

    images = data.x_train[:1]
    shape = "x".join(map(str, images.shape[1:]))
    try:
        with torch.no_grad():
            build(images).eval()(images)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"the network does not take images of {shape}: {error}") from error


def _progress(iterator, total: int, done: int, show: bool):
    if not show:
        return iterator
    from tqdm import tqdm

    return tqdm(iterator, total=total, initial=done, desc="cells", unit="cell")


def _write_drawing(view: Experiment, drawing, table: Path) -> Path:
    """A figure as .png beside its table, a drawn table as .txt."""
    path = table.with_name(f"{table.stem}-{view.name.rpartition('/')[2]}")
    if isinstance(drawing, pd.DataFrame):
        path = path.with_name(path.name + ".txt")
        write_atomically(path, (drawing.to_string() + "\n").encode())
    elif not hasattr(drawing, "savefig"):
        raise TypeError(f"{view.name} is drawn as a {type(drawing).__name__}: expected a Figure or a DataFrame")
    else:
        path = path.with_name(path.name + ".png")
        picture = io.BytesIO()
        drawing.savefig(picture, format="png", dpi=150, bbox_inches="tight")
        write_atomically(path, picture.getvalue())
    return path


def _versions() -> dict[str, str]:
    packages = ("tutorial-lib", "torch", "torchvision", "numpy", "scikit-learn", "scipy")
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _commit(package: Path) -> str | None:
    """The commit of the checkout that a package lies in, "-dirty" if its files were changed or added; else None."""
    if not (package.parent / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(package)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True)
        return head + ("-dirty" if changed.stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
