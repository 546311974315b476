"""Explorers of dropout, distributions, placement and classifiers, from the shipped tables and the paper's."""

import pandas as pd

from ...draw import in_order, mean_and_sem
from ...explore import Explorer, explorer
from ...noise import DISTRIBUTIONS
from .. import read_table, shipped
from . import SLUG, reported
from .other_figures import (
    NOISE_STYLES,
    draw_classifiers,
    draw_dropout,
    draw_exchange,
    draw_profiles,
    of_table_3,
    with_noise_free,
)
from .others import ONE_SIDED, PLACES

_NAMES = {"dataset": "data set", "n": "number of noise samples n", "accuracy": "accuracy (%)", "sem": "standard error",
          "seeds": "seeds"}  # fmt: skip
_VALUES = {"value": "accuracy", "error": "sem", "seeds": "seeds"}


def _tables(item: str) -> dict[str, pd.DataFrame]:
    """The shipped tables of an experiment by data set, CIFAR-10 first."""
    found = {t["dataset"]: read_table(f"{SLUG}/{item}", t["dataset"], t["budget"]) for t in shipped(f"{SLUG}/{item}")}
    return dict(sorted(found.items(), key=lambda pair: pair[0] != "cifar-10"))


def _means(tables: dict[str, pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    parts = [mean_and_sem(table, keys, "accuracy").assign(dataset=name) for name, table in tables.items()]
    return pd.concat(parts, ignore_index=True).round({"accuracy": 2, "sem": 2})


def exchanges() -> Explorer:
    """Accuracy over the noise at training and at inference: its distribution (Fig. 8) or its layers (Fig. 9)."""
    kinds = {"distribution": ("fig-8", DISTRIBUTIONS), "noisy layers": ("fig-9", PLACES)}
    parts = []
    for what, (item, order) in kinds.items():
        means = _means(_tables(item), ["training", "inference", "n"])
        parts.append(in_order(in_order(means, "inference", list(order)), "training", list(order)).assign(what=what))
    table, first = pd.concat(parts, ignore_index=True), next(iter(_tables("fig-8")))
    return explorer(
        "heatmap",
        table[["what", "dataset", "n", "training", "inference", "accuracy", "sem", "seeds"]],
        title="Another noise at inference than at training",
        controls=[
            {"column": "what", "label": "What differs"},
            {"column": "dataset", "label": "Data set"},
            {"column": "n", "label": "Samples n", "play": True},
            {"column": "training", "label": "At training", "pick": True},
            {"column": "inference", "label": "At inference", "pick": True},
        ],
        start={"what": "distribution", "dataset": first, "n": int(table["n"].max()), "training": "gaussian",
               "inference": "gaussian"},
        x="training",
        y="inference",
        **_VALUES,
        names={**_NAMES, "what": "what differs", "training": "at training", "inference": "at inference"},
        readout="{training} at training, {inference} at inference: accuracy {accuracy} % (standard error {sem}; seeds: "
        "{seeds}).",
        note="hatched: no value",
        picture=draw_exchange(_tables("fig-8")[first], first),
    )  # fmt: skip


def strengths() -> Explorer:
    """Accuracy over the strength of Gaussian noise and of dropout, balanced and at training only (Fig. 2)."""
    tables = _tables("fig-2")
    last = {
        name: t[t["n"] == t.groupby(["noise", "strength", "inference"])["n"].transform("max")]
        for name, t in tables.items()
    }
    table = _means(last, ["noise", "inference", "strength"])
    table["way"] = [NOISE_STYLES[row.noise, row.inference][0] for row in table.itertuples()]
    return explorer(
        "lines",
        table[["dataset", "way", "strength", "accuracy", "sem", "seeds"]],
        title="Noise against dropout",
        controls=[{"column": "dataset", "label": "Data set"}],
        start={"dataset": next(iter(tables))},
        x="strength",
        **_VALUES,
        series="way",
        names={**_NAMES, "way": "noise", "strength": "α of the noise, or c of dropout"},
        symbol="α or c",
        picture=draw_dropout(*reversed(next(iter(tables.items())))),
    )


def shapes() -> Explorer:
    """Accuracy over balanced α with each distribution, as it is and with its mean taken off (Figs. 4 and 6)."""
    tables = {name: with_noise_free(of_table_3(table)) for name, table in _tables("fig-4").items()}
    table = _means(tables, ["distribution", "centred", "alpha"])
    order = sorted(DISTRIBUTIONS, key=ONE_SIDED.__contains__)  # those that are shown together have colours of their own
    table = in_order(table, "distribution", order)
    sides = table["distribution"].isin(ONE_SIDED).map({True: "never negative", False: "symmetric"})
    table["side"] = sides.where(~table["centred"], "mean taken off")
    return explorer(
        "lines",
        table[["dataset", "side", "distribution", "alpha", "accuracy", "sem", "seeds"]],
        title="Seven distributions",
        controls=[
            {"column": "dataset", "label": "Data set"},
            {"column": "side", "label": "Noise"},
        ],
        start={"dataset": next(iter(tables)), "side": "symmetric"},
        x="alpha",
        **_VALUES,
        series="distribution",
        names={**_NAMES, "side": "noise", "alpha": "noise scalar α, balanced"},
        symbol="α",
        picture=draw_profiles(*reversed(next(iter(_tables("fig-4").items())))),
    )


def classifiers() -> Explorer:
    """Accuracy of each classifier over balanced α, ours beside the paper's (Fig. 10, Table 5)."""
    tables = _tables("fig-10")
    ours = _means(
        {name: t[t["n"] == t.groupby("alpha")["n"].transform("max")] for name, t in tables.items()},
        ["architecture", "alpha"],
    ).assign(source=lambda t: "ours: " + t["dataset"])
    paper = reported.table_5().assign(source=lambda t: "paper: " + t["dataset"])
    table = pd.concat([ours, paper], ignore_index=True)
    first = ours["architecture"].iloc[0]
    return explorer(
        "lines",
        table[["architecture", "source", "alpha", "accuracy", "sem", "seeds"]],
        title="Seventeen classifiers",
        controls=[{"column": "architecture", "label": "Classifier"}],
        start={"architecture": first},
        x="alpha",
        **_VALUES,
        series="source",
        names={**_NAMES, "architecture": "classifier", "alpha": "noise scalar α, balanced", "source": "source"},
        symbol="α",
        picture=draw_classifiers(*reversed(next(iter(tables.items())))),
    )


OTHER_EXPLORERS = (exchanges, strengths, shapes, classifiers)
"""They wait for their tables to join the chapter's explorers."""
