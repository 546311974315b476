"""Which strength stands for a way of training: the rule, stated before anything was measured."""

import pandas as pd

from ...draw import pick
from .method import LOWER, NONE, WAYS


def chosen(table: pd.DataFrame, need: str) -> pd.DataFrame:
    """For each number of training images and each way: the strength that is best for a need on validation images.

    Best is the mean over seeds; of equals, the weaker one. A strength with which a run diverged comes last. For
    "shifted", which has no validation images, the need is "clean". Columns ``images``, ``way``, ``strength``.
    """
    rows = pick(table, part="validation", need="clean" if need == "shifted" else need)
    found = rows.groupby(["images", "way", "strength"], sort=False)["value"].agg(["mean", "size"]).reset_index()
    found["worth"] = (-found["mean"] if need in LOWER else found["mean"]).where(found["size"] == found["size"].max())
    order = found.sort_values("strength", kind="stable").sort_values("worth", ascending=False, kind="stable")
    return order.drop_duplicates(["images", "way"])[["images", "way", "strength"]].reset_index(drop=True)


def tuned(table: pd.DataFrame, need: str) -> pd.DataFrame:
    """The rows of `table` on test images that tell of a need, at the `chosen` strengths, in the order of `WAYS`."""
    rows = pick(table, part="test", need=need).merge(chosen(table, need), on=["images", "way", "strength"])
    rows["way"] = pd.Categorical(rows["way"], categories=list(WAYS), ordered=True)
    return rows.sort_values(["images", "way", "seed"]).astype({"way": str}).reset_index(drop=True)


def gains(table: pd.DataFrame, need: str) -> pd.DataFrame:
    """What a way is worth more than none for a need: rows seeds, columns (images, way); above zero is better."""
    rows = tuned(table, need)
    values = rows.pivot(index="seed", columns=["images", "way"], values="value")
    found = {
        (images, way): values[images, way] - values[images, NONE]
        for images, way in values
        if way != NONE and (images, NONE) in values
    }
    return pd.DataFrame(found) * (-1 if need in LOWER else 1)
