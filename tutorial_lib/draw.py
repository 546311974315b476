"""What every wing's tables and figures share."""

import base64
import io

import numpy as np
import pandas as pd

OKABE_ITO = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999"]
"""Eight colours that colour-blind readers can tell apart."""


def page_style() -> list[str]:
    """Set the look of the book's own figures; returns seven of the colours, black first.

    >>> page_style()[0]
    '#000000'
    """
    import matplotlib

    look = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110}
    matplotlib.rcParams.update(look)
    return OKABE_ITO[:7]


def mean_and_sem(table: pd.DataFrame, by: list[str], value: str = "value") -> pd.DataFrame:
    """Mean of the column `value` over seeds, its standard error ``sem`` (NaN for one seed), the number of seeds."""
    groups = table.groupby(by, dropna=False)[value]
    return groups.agg(**{value: "mean"}, sem="sem", seeds="size").reset_index()


def seeds_of(table: pd.DataFrame) -> str:
    """How many seeds a table holds, for a title.

    >>> seeds_of(pd.DataFrame({"seed": [0, 1, 1]}))
    '2 seeds'
    """
    count = table["seed"].nunique()
    return f"{count} seed{'s' * (count > 1)}"


def with_columns(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """`table` with these columns; one that it lacks holds nothing (empty columns are left out when tables are written).

    >>> with_columns(pd.DataFrame({"a": [1]}), "a", "b").to_dict("list")
    {'a': [1], 'b': [nan]}
    """
    return table.reindex(columns=[*table, *(column for column in columns if column not in table)])


def pick(table: pd.DataFrame, **values) -> pd.DataFrame:
    """The rows whose columns have these values (a list: one of them); of a column that is not there, none.

    >>> pick(pd.DataFrame({"a": [1, 2, 3]}), a=[1, 3])["a"].tolist()
    [1, 3]
    """
    table = with_columns(table, *values)
    for column, value in values.items():
        table = table[table[column].isin(value if isinstance(value, list) else [value])]
    return table


def in_order(table: pd.DataFrame, column: str, order: list) -> pd.DataFrame:
    """The rows whose `column` has one of the values of `order`, in that order: it gives explorers their colours.

    >>> in_order(pd.DataFrame({"a": [1, 2, 3, 1]}), "a", [3, 1])["a"].tolist()
    [3, 1, 1]
    """
    return pd.concat([table[table[column] == value] for value in order], ignore_index=True)


def panels(count: int, columns: int = 2, height: float = 2.9):
    """A figure with `count` axes, `columns` in a row, narrow enough to be read on a page."""
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(3.4 * columns, height * rows + 0.3), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.06)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes


def curves(axis, table: pd.DataFrame, styles: dict[str, dict], series: str, x: str = "x", **labels) -> None:
    """Mean over seeds of ``value`` over `x`, a line for each of `styles`, with a band of one standard error.

    `styles` maps values of the column `series` to line properties; `labels` go to ``axis.set``.
    """
    means = mean_and_sem(table, [series, x])
    for name, style in styles.items():
        line = means[means[series] == name]
        if len(line):
            axis.plot(line[x], line["value"], label=name, markevery=max(1, len(line) // 6), ms=4, lw=1.5, **style)
            axis.fill_between(line[x], line["value"] - line["sem"], line["value"] + line["sem"],
                              color=style["color"], alpha=0.2, lw=0)  # fmt: skip
    axis.set(**labels)


def packed(image) -> str:
    """An image of numbers in [0, 1], a tensor [C, H, W] or [H, W], as text for a table: its bytes in base 64.

    What lies outside is cut off.
    """
    return base64.b64encode((image.clamp(0, 1) * 255).round().byte().cpu().numpy().tobytes()).decode()


def decoded(text: str) -> np.ndarray:
    """A packed image as an array [H, W] or [H, W, 3] of bytes; it must be square.

    >>> decoded(base64.b64encode(bytes(range(4))).decode()).tolist()
    [[0, 1], [2, 3]]
    """
    values = np.frombuffer(base64.b64decode(text), np.uint8)
    channels = 1 if round(len(values) ** 0.5) ** 2 == len(values) else 3
    side = round((len(values) / channels) ** 0.5)
    return values.reshape(channels, side, side).transpose(1, 2, 0).squeeze()


def halves(array: np.ndarray) -> str:
    """Numbers as text for a page's script: half precision, little-endian, in base 64; its ``halves(text)`` reads them.

    >>> halves(np.array([1.0, -2.0]))
    'ADwAwA=='
    """
    return base64.b64encode(array.astype("<f2").tobytes()).decode()


def small_png(figure, width: int = 640, colours: int = 48) -> bytes:
    """A matplotlib Figure as a PNG of about `width` pixels and few colours: a third of the usual size."""
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(
        full, format="png", dpi=width / figure.get_figwidth(), bbox_inches="tight", metadata={"Software": None}
    )
    Image.open(full).convert("RGB").quantize(colours).save(small, format="png", optimize=True)
    return small.getvalue()
