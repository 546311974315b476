"""Rules that hold the paper's sentences against its own printed tables; margins in points, with counting errors."""

import numpy as np
import pandas as pd

from ...claims import contrasts
from ...draw import pick
from . import reported


def _printed(item: str) -> dict:
    """The cells of a table, each with its counting error; a cell's key is all that names it."""
    table = pick(reported.tables(), item=item)
    keys = table[["dataset", "base", "generator", "noise_at_test"]].itertuples(index=False, name=None)
    error = [reported.counting_error(v, d) for v, d in zip(table["value"], table["dataset"], strict=True)]
    return dict(zip(keys, zip(table["value"], error, strict=True), strict=True))


def _contrasts(cells: dict, settings: dict[str, dict]) -> pd.DataFrame:
    """`contrasts` of printed cells: a counting error is known and not estimated, so its degrees of freedom are many."""
    found = contrasts(cells, settings, runs=min(reported.IMAGES.values()))
    found.attrs["runs"] = 5  # of the paper
    return found


def gains(*items: str):
    """A rule: accuracy with noise of a generator less the baseline, in every cell of the paper's tables."""

    def rule() -> pd.DataFrame:
        cells, settings = {}, {}
        for item in items:
            own = _printed(item)
            cells |= {(item, *key): value for key, value in own.items()}
            for dataset, base, generator, noise in own:
                if generator not in ("none", "random") and noise == "yes":
                    name = f"{item}: {base} on {dataset}, generator {generator}"
                    settings[name] = {
                        (item, dataset, base, generator, "yes"): 1, (item, dataset, base, "none", "no"): -1,
                    }  # fmt: skip
        return _contrasts(cells, settings)

    return rule


def spread(one: tuple[str, str], other: tuple[str, str]):
    """A rule: the deviation over bases and data sets of the printed gains by one way, less that by another: exact."""

    def over_cells(item: str, generator: str) -> float:
        cells = _printed(item)
        noise = "no" if generator == "random" else "yes"
        own = [
            v[0] - cells[d, b, "none", "no"][0] for (d, b, g, n), v in cells.items() if g == generator and n == noise
        ]
        return float(np.std(own, ddof=1))

    def rule() -> pd.DataFrame:
        cells = {"one": (over_cells(*one), 0.0), "other": (over_cells(*other), 0.0)}
        return _contrasts(cells, {"over bases and data sets": {"other": 1, "one": -1}})

    return rule


def four() -> pd.DataFrame:
    """Table 3: ResNet34 with the generator ResNet18, less its baseline, less 4."""
    cells = _printed("table-3")
    keys = [("tiny-imagenet", "ResNet34", g, n) for g, n in (("ResNet18", "yes"), ("none", "no"))]
    chosen = {key: cells[key] for key in keys} | {"four": (4.0, 0.0)}
    return _contrasts(chosen, {"ResNet34, generator ResNet18": {keys[0]: 1, keys[1]: -1, "four": -1}})


def at_test() -> pd.DataFrame:
    """The printed accuracies with noise at test less those without, of Tables 1 and 3."""
    cells, settings = {}, {}
    for item in ("table-1", "table-3"):
        own = _printed(item)
        cells |= {(item, *key): value for key, value in own.items()}
        for dataset, base, generator, noise in own:
            if noise == "yes":
                both = [(item, dataset, base, generator, n) for n in ("yes", "no")]
                settings[f"{item}: {base} on {dataset}, generator {generator}"] = {both[0]: 1, both[1]: -1}
    return _contrasts(cells, settings)


def mean_of(rule) -> float:
    """The paper's number: the mean of the margins that its own tables give."""
    return round(float(rule()["margin"].mean()), 2)
