"""Verdicts: what a paper claims, and what the tables say of it."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from .sweep import Experiment, command, read_table, shipped

VERDICTS = ("holds", "holds in part", "not seen", "contradicted", "not measured")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of a paper, and the rule that turns a table into margins.

    `rule(table)` returns a DataFrame with columns ``setting``, ``seed``, ``margin``: positive margins speak for the
    claim. A table may lack settings, or columns that would be empty: the rule leaves out what it cannot tell, and
    without any margin the claim is not measured. For a check of the paper's text against its own tables, `experiment`
    is None and `rule()` returns ``setting``, ``margin``, ``low``, ``high``. `reported` is the paper's number for the
    mean margin, in `unit`; `datasets` limits the data sets that the claim is about (None: any).
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


def margins(settings: dict[str, pd.Series]) -> pd.DataFrame:
    """What a rule returns, from a Series of margins (index: seeds) for each setting."""
    parts = [pd.DataFrame({"setting": k, "seed": v.index, "margin": v.to_numpy()}) for k, v in settings.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["setting", "seed", "margin"])


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


def welch(a: float, sem_a: float, b: float, sem_b: float, runs: int = 10) -> dict:
    """The difference a - b of two reported means of `runs` runs each, with Welch's 95% interval: margin, low, high.

    >>> {k: round(v, 2) for k, v in welch(2.0, 0.3, 1.0, 0.4).items()}
    {'margin': 1.0, 'low': -0.06, 'high': 2.06}
    """
    from scipy.stats import t

    variance = sem_a**2 + sem_b**2
    freedom = variance**2 * (runs - 1) / (sem_a**4 + sem_b**4)
    half = float(t.ppf(0.975, freedom)) * math.sqrt(variance)
    return {"margin": a - b, "low": a - b - half, "high": a - b + half}


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


def judge(margins: pd.DataFrame) -> dict:
    """Verdict on margins, with the mean margin, its 95% interval over seeds, and the settings one by one.

    A setting `holds` where the interval of its margin lies above 0, is `contradicted` where it lies below, else
    `not seen`. Several settings `hold` if each of them does. Otherwise the claim `holds in part` if some setting
    holds, or if none alone decides and their mean holds; it is `contradicted` if some setting or the mean is; else it
    was `not seen`. Without any margin it was `not measured`.

    >>> judge(pd.DataFrame({"setting": "s", "seed": [0, 1, 2], "margin": [1.0, 1.1, 0.9]}))["verdict"]
    'holds'
    """
    if margins.empty:
        return {"measured": None, "interval": None, "verdict": "not measured", "settings": []}
    settings = []
    for setting, group in margins.groupby("setting", sort=False):
        if "seed" in margins:
            low, high = t_interval(group["margin"])
        else:
            low, high = group[["low", "high"]].iloc[0]
        decided = "holds" if low > 0 else "contradicted" if high < 0 else "not seen"
        settings.append(
            {"setting": setting, "margin": group["margin"].mean(), "low": low, "high": high, "verdict": decided}
        )
    measured = sum(s["margin"] for s in settings) / len(settings)
    if "seed" in margins:
        interval = t_interval(margins.groupby("seed")["margin"].mean())
    else:  # independent settings
        half = math.sqrt(sum(((s["high"] - s["low"]) / 2) ** 2 for s in settings)) / len(settings)
        interval = (measured - half, measured + half)
    found = {s["verdict"] for s in settings}
    if found == {"holds"}:
        verdict = "holds"
    elif "holds" in found or interval[0] > 0:
        verdict = "holds in part"
    else:
        verdict = "contradicted" if "contradicted" in found or interval[1] < 0 else "not seen"
    return {"measured": measured, "interval": list(interval), "verdict": verdict, "settings": settings}


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
        }
        if claim.experiment is None:
            found = {"dataset": "the paper's tables", "budget": "reported", "command": "python -m tutorial_lib claims"}
            entries.append({**head, **found, "seeds": 10, **_judged(claim.rule)})
            continue
        experiment = experiments.get(claim.experiment)
        tables = [] if experiment is None else shipped(experiment)
        tables = [t for t in tables if claim.datasets is None or t["dataset"] in claim.datasets]
        for t in tables:
            table = read_table(experiment, t["dataset"], t["budget"])
            seeds = table["seed"].nunique()
            found = {
                "dataset": t["dataset"],
                "budget": t["budget"],
                "command": command(claim.experiment, t["budget"], t["dataset"], seeds),
                "seeds": seeds,
            }
            entries.append({**head, **found, **_judged(claim.rule, table)})
        if not tables:
            dataset = claim.datasets[0] if claim.datasets else "digits"
            found = {"dataset": dataset, "budget": "desk", "command": command(claim.experiment, "desk", dataset)}
            problem = {"problem": f"no experiment {claim.experiment}"} if experiment is None else {}
            entries.append({**head, **found, "seeds": 0, **judge(margins({})), **problem})
    return [_plain(entry) for entry in entries]


def _judged(rule: Callable, *table: pd.DataFrame) -> dict:
    try:
        return judge(rule(*table))
    except Exception as error:  # a mistake in one wing must not silence the others
        return {**judge(margins({})), "problem": f"{type(error).__name__}: {error}"}


_COLOURS = {"holds": "#009E73", "holds in part": "#E69F00", "not seen": "#999999", "contradicted": "#D55E00"}


def board(entries: list[dict]):
    """Entries of the scoreboard as a table for reading (a pandas Styler): a row a claim, a column a measured table.

    A cell says the verdict, the mean margin (the claim ends with its unit) and its 95% interval; its left edge has the
    verdict's colour. The same board always has the same HTML.
    """
    from pandas.io.formats.style import Styler

    class Board(Styler):
        def __repr__(self) -> str:  # notebooks keep it beside the HTML; the default one holds an address
            return f"<board of {len(self.data)} claims>"

    rows = {}
    for e in entries:
        reported = _number(e["reported"], e["unit"])
        row = rows.setdefault(e["id"], {"claim": f"{e['claim']} ({e['item']}; {e['unit']})", "paper": reported})
        low, high = (_number(v, e["unit"]) for v in e["interval"] or (None, None))
        measured = "" if e["measured"] is None else f": {_number(e['measured'], e['unit'])} [{low}, {high}]"
        row[f"{e['dataset']} ({e['budget']}, {e['seeds']} seeds)"] = e["verdict"] + measured

    def edge(text):
        verdict = str(text).split(":")[0]
        return f"border-left: 6px solid {_COLOURS[verdict]}" if verdict in _COLOURS else ""

    cells = [
        {"selector": "th, td", "props": "text-align: left; vertical-align: top; padding: .35em .7em"},
        {"selector": "td:first-child", "props": "min-width: 14em"},
    ]
    table = pd.DataFrame(rows.values()).fillna("")
    if set(table.get("paper", ())) == {"–"}:  # the paper's numbers stand only in pictures
        table = table.drop(columns="paper")
    identity = hashlib.sha256(table.to_csv().encode()).hexdigest()[:8]
    return Board(table, uuid=identity, cell_ids=False).hide().map(edge).set_table_styles(cells)


def _number(value: float | None, unit: str) -> str:
    """One decimal for points and percent, else two figures that count."""
    if value is None:
        return "–"
    return f"{value:.1f}" if unit.startswith(("points", "percent")) or abs(value) >= 10 else f"{value:.2g}"


def _plain(value):
    """Numbers that JSON can say: infinities and NaN become None."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
