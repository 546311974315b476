"""One wing a paper: a package here, found by itself; and `bridge`, which stands above them and may use them all.

A wing that cannot be used is named in a warning; one whose name begins with an underscore is in preparation, and left
alone.

A wing's `__init__.py` holds ``NUMBER`` (of its chapter), ``SLUG`` (as in the names of its experiments), ``TITLE`` and
``NOTE`` (what a reader of its scoreboard must know); its experiments and claims are `figures.EXPERIMENTS` and
`claims.CLAIMS`, and `claims.FINDINGS` what of them is said in plain words.
"""

import importlib
import math
import warnings
from pathlib import Path
from types import ModuleType

import pandas as pd

from .. import claims as verdicts
from .. import sweep
from ..claims import Claim, Finding
from ..draw import pick
from ..errors import InputError
from ..sweep import Experiment


def wings() -> list[ModuleType]:
    """The wings, in the order of their chapters.

    >>> [wing.SLUG for wing in wings()][:1]
    ['activation-noise']
    """
    found = []
    for folder in sorted(Path(__path__[0]).iterdir()):
        if folder.name.startswith(("_", ".")) or not any(folder.glob("*.py")):
            continue
        if not (folder / "__init__.py").exists():
            warnings.warn(f"papers/{folder.name} has no __init__.py: it is left out", stacklevel=2)
            continue
        try:
            wing = importlib.import_module(f"{__name__}.{folder.name}")
            _ = wing.NUMBER, wing.SLUG, wing.TITLE, wing.NOTE
            found.append(wing)
        except Exception as error:  # whatever a wing's code may raise
            _warn(folder.name, error)
    return sorted(found, key=lambda wing: wing.NUMBER)


def _warn(wing: str, error: Exception) -> None:
    warnings.warn(f"papers/{wing} is left out ({type(error).__name__}: {error})", stacklevel=3)


def _all(module: str, name: str, *chosen: ModuleType) -> list:
    """What the modules of this name list under `name`, in the `chosen` wings or in all."""
    found = []
    for wing in chosen or wings():
        try:
            found += getattr(importlib.import_module(f"{wing.__name__}.{module}"), name)
        except Exception as error:  # whatever a wing's code may raise
            _warn(f"{wing.__name__.rpartition('.')[2]}/{module}.py", error)
    return found


def experiments() -> dict[str, Experiment]:
    """Every registered experiment, by name."""
    return {experiment.name: experiment for experiment in _all("figures", "EXPERIMENTS")}


def views(experiment: Experiment) -> list[Experiment]:
    """The experiments that are views of the same sweep."""
    return [other for other in experiments().values() if other.sweep is experiment.sweep]


def claims() -> list[Claim]:
    """Every claim on the scoreboard."""
    return _all("claims", "CLAIMS")


def findings() -> dict[str, list[Finding]]:
    """What each wing says in plain words, by its slug."""
    return {wing.SLUG: _all("claims", "FINDINGS", wing) for wing in wings()}


def scoreboard(paper: str | None = None) -> list[dict]:
    """What the shipped tables say of every claim, or of those of one `paper` (a slug); see `tutorial_lib.claims`."""
    return verdicts.scoreboard([c for c in claims() if paper in (None, c.paper)], experiments())


def shipped(name: str) -> list[dict]:
    """The shipped tables that the experiment `name` is a view of: dataset, budget, rows, path."""
    return sweep.shipped(find(name))


def read_table(name: str, dataset: str, budget: str) -> pd.DataFrame:
    """The view of the experiment `name` of a shipped table; `InputError` if there is none.

    >>> read_table("activation-noise/fig-5", "none", "desk").columns[0]
    'distribution'
    """
    return sweep.read_table(find(name), dataset, budget)


def read_value(name: str, dataset: str, budget: str = "desk", column: str = "value", **where) -> float:
    """A number for a sentence: the mean of a `column` of a shipped table, over the rows that `where` names.

    `where` maps columns to a value, or to a list of values that are all averaged over. `InputError` where the sentence
    would say what the table does not: if a value of `where` is not in the rows, if one seed has more of them than
    another, or if the mean is not a number.

    >>> read_value("activation-noise/fig-5", "none", "desk", "seed", seed=0)
    0.0
    """
    table = read_table(name, dataset, budget)
    rows = pick(table, **where)
    lost = [
        f"{key} = {value!r}"
        for key, values in where.items()
        for value in (values if isinstance(values, list) else [values])
        if rows.empty or value not in set(rows[key])
    ]
    if lost:
        raise InputError(f"{name} ({dataset}, {budget}) has no rows with {', '.join(lost)} among those asked for")
    if (counts := rows.groupby("seed").size()).nunique() > 1:
        raise InputError(f"{name} ({dataset}, {budget}): {counts.to_dict()} rows by seed for {where}, not as many each")
    value = float(rows[column].mean())
    if not math.isfinite(value) or rows[column].isna().any():
        raise InputError(f"{name} ({dataset}, {budget}): {column} is not a number in all rows of {where}")
    return value


def find(name: str) -> Experiment:
    """The experiment `name`; `InputError` if there is none."""
    known = experiments()
    if name not in known:
        raise InputError(f"unknown experiment {name!r}; choose from {', '.join(known)}")
    return known[name]
