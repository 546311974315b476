"""The networks that travel with the package beside measured tables: each is written by a command of its own."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from .errors import InputError


def command_line(
    command: str, write: Callable[[Path, str], Path], out: str | Path, arguments: list[str] | None = None
) -> int:
    """The command that calls ``write(out, data)``: 0 when done, 2 on bad input, of which standard error tells.

    `out` is the default of ``--out``; ``--data`` is where data sets are. One thread: on tensors this small, several
    wait for each other.
    """
    parser = argparse.ArgumentParser(prog=command, description=write.__doc__)
    parser.add_argument("--data", default="data", metavar="DIR", help="where data sets are (default: ./data)")
    parser.add_argument("--out", default=out, type=Path, help=f"the folder of results (default: {out})")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        print(f"wrote {write(options.out, options.data)}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
