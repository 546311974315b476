"""The bridge's explorer: the reader weighs the needs, and the ways of training are ranked for them."""

import numpy as np
from scipy import stats

from ...draw import halves, pick
from ...explore import Explorer, explorer, page_script
from .. import read_table, shipped
from . import SLUG
from .figures import IMAGES, draw_gains
from .method import LOWER, NONE, WAYS

WEIGHED = {
    "clean": "clean images",
    "corrupted": "corrupted images",
    "attacked": "attacked images",
    "shifted": "another data set",
    "calibration": "calibration",
    "margin": "margin",
}
"""The needs that a reader weighs. A unit is a point of accuracy, a point of calibration error, and a hundredth of the
plain network's margin."""
_EXPERIMENT = f"{SLUG}/needs"


def _gains(table, images: str) -> dict:
    """A table as the page takes it: gains over no noise of each way and strength, needs in the order of `WEIGHED`."""
    rows = pick(table, images=images)
    rows = rows.assign(value=rows["value"].where(~rows["need"].isin(LOWER), -rows["value"]))
    a = rows.pivot_table(index=["way", "strength"], columns=["part", "need", "seed"], values="value")
    plain = a.loc[(NONE, 0.0)]
    unit = {"margin": plain["test"]["margin"].mean() / 100}
    needs = [need for need in WEIGHED if ("test", need) in a.columns.droplevel("seed")]
    numbers, ways = [], []
    for way, about in WAYS.items():
        strengths = [s for s in about.strengths if (way, s) in a.index and a.loc[(way, s)].notna().all()]
        if strengths:
            ways.append([way, strengths])
        for strength in strengths:
            over = a.loc[(way, strength)] - plain
            for need in needs:
                chosen_by = over["validation", "clean" if need == "shifted" else need].mean()
                numbers += [v / unit.get(need, 1.0) for v in (chosen_by, *over["test", need])]
    packed = halves(np.array(numbers))
    return {"ways": ways, "needs": needs, "seeds": int(table["seed"].nunique()), "numbers": packed}


def needs() -> Explorer:
    """Which way of training for which need: the reader's weights, the ways ranked, with 95 % intervals over seeds."""
    tables = {t["dataset"]: read_table(_EXPERIMENT, t["dataset"], t["budget"]) for t in shipped(_EXPERIMENT)}
    found = {name: {images: _gains(table, images) for images in IMAGES} for name, table in tables.items()}
    first = "mnist" if "mnist" in found else next(iter(found))
    return explorer(
        "lines",
        None,
        title="Which noise for which need?",
        controls=[
            {"column": "dataset", "label": "Data set", "values": sorted(found, key=lambda name: name != first)},
            {"column": "images", "label": "Training images", "values": list(IMAGES)},
            *({"column": need, "label": f"Weight: {name}", "values": [0, 1, 2, 3]} for need, name in WEIGHED.items()),
        ],
        start={"dataset": first, "images": "all", **dict.fromkeys(WEIGHED, 0), "clean": 1, "corrupted": 1},
        presets={
            "Accuracy alone": {**dict.fromkeys(WEIGHED, 0), "clean": 1},
            "Robustness": {**dict.fromkeys(WEIGHED, 0), "corrupted": 1, "attacked": 1},
            "Honest chances": {**dict.fromkeys(WEIGHED, 0), "calibration": 1},
            "A bit of all": dict.fromkeys(WEIGHED, 1),
        },
        x="x",
        value="value",
        error="error",
        series="series",
        panels=[{"own": True}],
        names={"series": "way", "x": "rank", "value": "weighted gain", "error": "half of the interval",
               "strength": "strength"},
        digits=2,
        compute=page_script(__package__, "needs.js", {
            "tables": found,
            "symbols": {way: about.symbol for way, about in WAYS.items()},
            "student": {k: float(stats.t.isf(0.025, k)) for k in range(1, 30)},
        }),
        picture=draw_gains(tables[first], first),
    )  # fmt: skip


EXPLORERS = [needs]
