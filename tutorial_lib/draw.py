"""What every wing's figures share."""

import pandas as pd

OKABE_ITO = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999"]
"""Eight colours that colour-blind readers can tell apart."""


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
