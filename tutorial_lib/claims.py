"""What a paper claims, as rules that turn tables into margins, and the scoreboard of what became of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import InputError
from .sweep import Experiment, command, read_table, shipped
from .verdicts import KINDS, VERDICTS, judge


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of a paper, and the rule that turns a table into margins.

    `rule(table)` returns what `margins` makes: positive margins speak for the claim. A table may lack settings, or
    columns that would be empty: the rule leaves out what it cannot tell, and without any margin the claim is not
    measured. For a check of the paper's text against its own numbers, `experiment` is None and `rule()` returns what
    `contrasts` makes. `kind` says what is asked of the margins (`verdicts.KINDS`), `delta` its δ in `unit`. `reported`
    is the paper's number for the mean margin; `datasets` limits the data sets that the claim is about (None: any).
    Raises `InputError` for another kind, and for a δ where the kind has none, or none where it needs one.
    """

    id: str
    paper: str
    item: str
    claim: str
    reported: float | None
    reported_text: str
    reported_error: str
    rule: Callable[..., pd.DataFrame]
    experiment: str | None = None
    unit: str = "points"
    datasets: tuple[str, ...] | None = None
    kind: str = "every"
    delta: float = 0.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"{self.id}: kind = {self.kind!r}: expected one of {', '.join(KINDS)}")
        if (self.delta > 0) != (self.kind in ("no worse", "equal", "theorem")):
            raise InputError(f"{self.id}: delta = {self.delta!r} with kind {self.kind!r}: give δ > 0 where it has one")


@dataclass(frozen=True)
class Finding:
    """What an entry of the scoreboard says in plain words, written for one verdict: a line of its chapter's answer.

    `words` may hold the entry's numbers: {measured}, {mean}, {reported}. A `headline` stands on the scoreboard, too.
    Raises `InputError` for an unknown verdict.
    """

    id: str
    dataset: str
    verdict: str
    words: str
    headline: bool = False
    budget: str = "desk"

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise InputError(f"{self.id}: verdict = {self.verdict!r}: expected one of {', '.join(VERDICTS)}")


def margins(
    settings: dict[str, pd.Series],
    not_testable: dict[str, str] | None = None,
    diverged: dict[str, int] | None = None,
    exact: bool = False,
) -> pd.DataFrame:
    """What a rule returns, from a Series of margins (index: seeds) for each setting.

    `not_testable` names settings that have no margins and says why; `diverged` says how many runs of a setting did;
    `exact` that seeds which give the same margin do so because chance has no part in it.
    """
    parts = [pd.DataFrame({"setting": k, "seed": v.index, "margin": v.to_numpy()}) for k, v in settings.items()]
    parts += [pd.DataFrame({"setting": [k], "why": [why]}) for k, why in (not_testable or {}).items()]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    found = found.reindex(columns=["setting", "seed", "margin", *(["why"] if not_testable else [])])
    found.attrs["diverged"] = {name: count for name, count in (diverged or {}).items() if count}
    found.attrs["exact"] = exact
    return found


def by_seed(table: pd.DataFrame, series: str, keys: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """For each setting (values of the columns `keys`): mean ``value`` as rows seeds, columns the values of `series`.

    A setting is named by the values' text, joined by ", " ("" without `keys`): "relu, 0.1". Whole numbers read "1" in
    a column of integers and "1.0" in one of floats, which it is where other rows have no value there.

    >>> t = pd.DataFrame({"net": "fc", "kind": ["a", "b"], "seed": 0, "value": [1.0, 2.0]})
    >>> by_seed(t, "kind", ["net"])["fc"].to_dict("index")
    {0: {'a': 1.0, 'b': 2.0}}
    """
    groups = table.groupby(list(keys), sort=False) if keys else [((), table)]
    return {
        ", ".join(map(str, values)): part.pivot_table(index="seed", columns=series, values="value")
        for values, part in groups
    }


def contrasts(cells: dict, settings: dict[str, dict], runs: int = 10) -> pd.DataFrame:
    """Margins from reported numbers: for each setting a weighted sum of cells, each (mean, its standard error).

    `settings` maps names to weights of cells: {"a": 1, "b": -1} is a difference. Each mean is over `runs` runs, and the
    degrees of freedom are Welch's and Satterthwaite's. The mean over settings knows which cells they share. Numbers
    without an error are exact.

    >>> found = contrasts({"a": (2.0, 0.3), "b": (1.0, 0.4)}, {"a over b": {"a": 1, "b": -1}})
    >>> found.round(2).to_dict("records")
    [{'setting': 'a over b', 'margin': 1.0, 'sem': 0.5, 'freedom': 16.69}]
    """
    if unknown := {name for chosen in settings.values() for name in chosen} - set(cells):
        raise InputError(f"no cell {', '.join(map(str, unknown))}: expected some of {', '.join(map(str, cells))}")
    means, errors = np.array(list(cells.values()), float).T
    weights = np.array([[chosen.get(name, 0.0) for name in cells] for chosen in settings.values()], float)

    def summed(w):
        parts = (w * errors) ** 2
        variance = parts.sum(-1)
        freedom = variance**2 * (runs - 1) / np.where(variance > 0, (parts**2).sum(-1), 1.0)
        return {"margin": w @ means, "sem": variance**0.5, "freedom": np.where(variance > 0, freedom, 1.0)}

    found = pd.DataFrame({"setting": list(settings), **summed(weights)})
    found.attrs |= {"mean": {name: float(value) for name, value in summed(weights.mean(0)).items()}, "runs": runs}
    return found


def scoreboard(claims: list[Claim], experiments: dict[str, Experiment]) -> list[dict]:
    """One entry per claim and shipped table it speaks of; a claim without a table is `not measured`.

    So is one whose rule raises, or whose experiment is not among `experiments`: its entry has a ``problem``
    ("KeyError: 'kind'"), and the others go on.
    """
    entries = []
    for claim in claims:
        head = {
            "id": claim.id,
            "paper": claim.paper,
            "item": claim.item,
            "claim": claim.claim,
            "reported": claim.reported,
            "reported_text": claim.reported_text,
            "reported_error": claim.reported_error,
            "unit": claim.unit,
            "kind": claim.kind,
            "delta": claim.delta or None,
        }
        if claim.experiment is None:
            found = {"dataset": "the paper's tables", "budget": "reported", "command": "python -m tutorial_lib claims"}
            entries.append({**head, **found, "seeds": 0, **_judged(claim)})  # what is said with the numbers: how many
            continue
        experiment = experiments.get(claim.experiment)
        tables = [] if experiment is None else shipped(experiment)
        tables = [t for t in tables if claim.datasets is None or t["dataset"] in claim.datasets]
        for t in tables:
            table = read_table(experiment, t["dataset"], t["budget"])
            seeds = table["seed"].nunique()
            found = {
                "dataset": experiment.sweep.subject if t["dataset"] == "none" else t["dataset"],
                "budget": t["budget"],
                "command": command(claim.experiment, t["budget"], t["dataset"], seeds),
                "seeds": seeds,
            }
            entries.append({**head, **found, **_judged(claim, table)})
        if not tables:
            dataset = claim.datasets[0] if claim.datasets else "digits"
            found = {"dataset": dataset, "budget": "desk", "command": command(claim.experiment, "desk", dataset)}
            problem = {"problem": f"no experiment {claim.experiment}"} if experiment is None else {}
            entries.append({**head, **found, "seeds": 0, **judge(margins({})), **problem})
    return [_plain(entry) for entry in entries]


def _judged(claim: Claim, *table: pd.DataFrame) -> dict:
    try:
        found = claim.rule(*table)
        runs = {"seeds": found.attrs["runs"]} if "runs" in found.attrs else {}
        return {**judge(found, claim.kind, claim.delta), **runs}
    except Exception as error:  # a mistake in one wing must not silence the others
        return {**judge(margins({})), "problem": f"{type(error).__name__}: {error}"}


def _plain(value):
    """Numbers that JSON can say: infinities and NaN become None."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
