"""The command line: ``python -m tutorial_lib list | run | claims``.

Exit codes: 0 done, 2 bad input, 130 interrupted. JSON goes to standard output, everything else to standard error.
"""

import argparse
import json
import sys
from concurrent.futures.process import BrokenProcessPool

from .claims import scoreboard
from .papers import claims, experiments, views
from .sweep import BUDGETS, process_pool, run, shipped


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tutorial_lib", description="Rerun the papers' figures and tables.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the experiments: every figure and table")
    listing.add_argument("--json", action="store_true", help="as one JSON array on standard output")
    runner = commands.add_parser("run", help="compute a figure or table; finished cells are kept")
    runner.add_argument("name", help="an experiment, as `list` names it: activation-noise/fig-3")
    runner.add_argument("--budget", default="smoke", choices=BUDGETS, help="how much to compute (default: smoke)")
    runner.add_argument("--dataset", help="a data set's name, or the path of an .npz file or image folder")
    runner.add_argument("--data", default="data", metavar="DIR", help="where data sets are, or go (default: ./data)")
    runner.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    runner.add_argument("--seeds", type=int, metavar="N", help="seeds 0 … N-1 (default: the budget's)")
    workers = runner.add_mutually_exclusive_group()
    workers.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1, this one)")
    workers.add_argument("--dask", metavar="ADDR", help="address of a Dask scheduler, such as tcp://host:8786")
    runner.add_argument("--out", default="runs", metavar="DIR", help="where tables go (default: ./runs)")
    board = commands.add_parser("claims", help="the scoreboard: every claim with its verdict")
    board.add_argument("--json", action="store_true", help="as one JSON array on standard output")
    options = parser.parse_args(argv)
    try:
        return {"list": _list, "run": _run, "claims": _claims}[options.command](options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print("error: a worker process died (out of memory?); finished cells are kept: run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: finished cells are kept; run the same command again to go on", file=sys.stderr)
        return 130


def _list(options) -> int:
    entries = [
        {
            "name": experiment.name,
            "item": experiment.item,
            "title": experiment.title,
            "paper_settings": experiment.paper_settings,
            "budgets": {b: len(experiment.sweep.cells(experiment.config(b))) for b in BUDGETS},
            "results": [{k: t[k] for k in ("dataset", "budget", "rows")} for t in shipped(experiment.name)],
        }
        for experiment in experiments().values()
    ]
    if options.json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
    else:
        for entry in entries:
            tables = ", ".join(f"{t['dataset']}-{t['budget']}" for t in entry["results"]) or "none"
            print(f"{entry['name']:28} {entry['item']:9} {entry['title']} [shipped: {tables}]", file=sys.stderr)
    return 0


def _run(options) -> int:
    known = experiments()
    if options.name not in known:
        raise ValueError(f"unknown experiment {options.name!r}; choose from {', '.join(known)}")
    if options.workers < 1:
        raise ValueError(f"--workers {options.workers}: expected at least 1")
    _check_device(options.device)
    executor, width = None, options.workers
    if options.dask:
        executor, width = _dask(options.dask)
    elif options.workers > 1:
        executor = process_pool(options.workers)
    experiment = known[options.name]
    try:
        paths = run(
            experiment,
            views(experiment),
            budget=options.budget,
            dataset=options.dataset,
            folder=options.data,
            device=options.device,
            seeds=options.seeds,
            out=options.out,
            executor=executor,
            width=width,
        )
    finally:
        if executor:
            executor.shutdown(wait=False, cancel_futures=True)
    for path in paths.values():
        print(f"wrote {path}", file=sys.stderr)
    return 0


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: not usable here ({str(error).splitlines()[0]}); try cpu") from error


def _dask(address: str):
    """A Dask cluster as an executor, and how many cells to keep in flight on it."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--dask needs the extra: pip install tutorial-lib[cluster]") from error
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"--dask {address}: no scheduler answers there ({error})") from error
    threads = sum(client.nthreads().values())
    return client.get_executor(), max(1, 2 * threads)


def _claims(options) -> int:
    entries = scoreboard(claims())
    if options.json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
    else:
        for e in entries:
            print(f"{e['verdict']:14} {e['dataset']:18} {e['id']:32} {e['claim']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
