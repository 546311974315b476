"""The command line: ``python -m tutorial_lib list | run | claims``.

Exit codes: 0 done, 2 bad input, 130 interrupted. Results go to standard output, in words or with ``--json`` as one
array; progress and messages go to standard error.
"""

import argparse
import contextlib
import json
import os
import sys
import warnings
from concurrent.futures.process import BrokenProcessPool

from .board import said
from .errors import InputError
from .papers import experiments, find, scoreboard, views
from .sweep import BUDGETS, run, shipped
from .workers import dask_cluster, process_pool


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tutorial_lib", description="Rerun the papers' figures and tables.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the experiments: every figure and table")
    listing.add_argument("--json", action="store_true", help="as one JSON array")
    runner = commands.add_parser("run", help="compute a figure or table; finished cells are kept")
    runner.add_argument("name", help="an experiment, as `list` names it: activation-noise/fig-3")
    runner.add_argument("--budget", default="smoke", choices=BUDGETS, help="how much to compute (default: smoke)")
    runner.add_argument("--dataset", help="a data set's name, or the path of an .npz file or image folder")
    runner.add_argument("--data", default="data", metavar="DIR", help="where data sets are, or go (default: ./data)")
    for part in ("train", "test"):
        text = f"how many {'training' if part == 'train' else 'test'} images (default: the budget's)"
        runner.add_argument(f"--{part}", type=int, metavar="N", help=text)
    runner.add_argument("--size", type=int, metavar="S", help="resize images to S x S pixels (default: the budget's)")
    runner.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    runner.add_argument("--seeds", type=int, metavar="N", help="seeds 0 … N-1 (default: the budget's)")
    workers = runner.add_mutually_exclusive_group()
    workers.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1, this one)")
    workers.add_argument("--dask", metavar="ADDR", help="address of a Dask scheduler, such as tcp://host:8786")
    runner.add_argument("--keep-cells", action="store_true", help="take over finished cells of other code, checked")
    runner.add_argument("--out", default="runs", metavar="DIR", help="where tables go (default: ./runs)")
    board = commands.add_parser("claims", help="the scoreboard: every claim with its verdict")
    board.add_argument("--json", action="store_true", help="as one JSON array")
    options = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        return _report({"list": _list, "run": _run, "claims": _claims}[options.command], options)


def _report(work, options) -> int:
    """The exit code of ``work(options)``; what the user can mend is said in a line."""
    try:
        return work(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print("error: a worker process died (out of memory?); finished cells are kept: run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _entry(experiment) -> dict:
    return {
        "name": experiment.name,
        "item": experiment.item,
        "title": experiment.title,
        "paper_settings": experiment.paper_settings,
        "budgets": {b: len(experiment.sweep.cells(experiment.config(b))) for b in experiment.sweep.settings},
        "results": [{k: t[k] for k in ("dataset", "budget", "rows")} for t in shipped(experiment)],
    }


def _list(options) -> int:
    entries = []
    for experiment in experiments().values():
        try:
            entries.append(_entry(experiment))
        except Exception as error:  # whatever a wing's code may raise
            warnings.warn(f"{experiment.name} is left out ({type(error).__name__}: {error})", stacklevel=1)
    if options.json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
    else:
        for entry in entries:
            tables = ", ".join(f"{t['dataset']}-{t['budget']}" for t in entry["results"]) or "none"
            print(f"{entry['name']:28} {entry['item']:9} {entry['title']} [shipped: {tables}]")
    return 0


def _run(options) -> int:
    experiment = find(options.name)
    _check_device(options.device)
    data = {key: getattr(options, key) for key in ("train", "test", "size") if getattr(options, key) is not None}
    with _executor(options) as (executor, width):
        paths = run(
            experiment,
            views(experiment),
            budget=options.budget,
            dataset=options.dataset,
            folder=options.data,
            data=data,
            device=options.device,
            seeds=options.seeds,
            out=options.out,
            executor=executor,
            width=width,
            keep_cells=options.keep_cells,
        )
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)
    return 0


@contextlib.contextmanager
def _executor(options):
    """Where the cells are computed, and how many are in flight."""
    if options.dask is not None:
        with dask_cluster(options.dask) as found:
            yield found
    elif options.workers != 1:
        with process_pool(options.workers) as pool:
            yield pool, options.workers
    else:
        yield None, 1


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: not usable here ({str(error).splitlines()[0]}); try cpu") from error


def _claims(options) -> int:
    entries = scoreboard()
    for entry in entries:
        if entry.get("problem"):
            print(f"warning: {entry['id']} on {entry['dataset']}: {entry['problem']}", file=sys.stderr)
    if options.json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
    else:
        for e in entries:
            print(f"{e['dataset']:18} {e['id']:32} {e['claim']} | {said(e)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
