"""What the figures of this paper share."""

import numpy as np
import pandas as pd

from ...draw import mean_and_sem


def heatmap(axis, table: pd.DataFrame, title: str, x=("alpha_train", "α"), y=("alpha_inference", "α")) -> None:
    """Accuracy over what is at training (x: a column, its name for the reader) and at inference (y)."""
    import seaborn as sns
    from matplotlib.patches import Rectangle

    grid = table.pivot(index=y[0], columns=x[0], values="accuracy")
    axis.set_facecolor("0.9")
    small = grid.size > 100
    sns.heatmap(
        grid, ax=axis, cmap="cividis", annot=not small, fmt=".0f", vmin=0, cbar_kws={"label": "accuracy (%)"},
        linewidths=0 if small else 0.5,
    )  # fmt: skip
    for row, column in zip(*np.nonzero(grid.isna().to_numpy()), strict=True):
        axis.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch="///", edgecolor="0.6", linewidth=0))
    axis.set(title=title, xlabel=f"{x[1]} at training", ylabel=f"{y[1]} at inference")


_PAIR = ("alpha_train", "alpha_inference")


def beside(table: pd.DataFrame, label: str, paper: pd.DataFrame, keys: list[str], index=_PAIR) -> pd.DataFrame:
    """Mean ± standard error of ours, as text, beside the paper's columns; rows by `index` and `keys`."""
    keys = [*index, *keys]

    def text(data):
        return data.set_index(keys).apply(
            lambda r: f"{r['accuracy']:.2f}" + (f" ± {r['sem']:.2f}" if r["sem"] == r["sem"] else ""), axis=1
        )

    columns = {label: text(mean_and_sem(table.dropna(subset="accuracy"), keys, "accuracy"))}
    if "n" in keys and "first" in table:
        first = mean_and_sem(table.dropna(subset="first"), keys, "first").rename(columns={"first": "accuracy"})
        columns["its first test images"] = text(first)
    for name, part in paper.groupby("dataset", sort=False):
        columns[f"paper: {name}"] = text(part)
    return pd.DataFrame(columns).sort_index().fillna("")


def by_alpha(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Mean accuracy ± standard error, as text: rows by `keys`, a column for each α."""
    means = mean_and_sem(table, [*keys, "alpha"], "accuracy")
    means["text"] = [f"{r.accuracy:.2f}" + (f" ± {r.sem:.2f}" if r.sem == r.sem else "") for r in means.itertuples()]
    return means.pivot(index=keys, columns="alpha", values="text")
