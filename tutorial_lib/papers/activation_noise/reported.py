"""The paper's own numbers, transcribed; a cell that is not legible is not there."""

from importlib.resources import files

import pandas as pd


def fig_3() -> pd.DataFrame:
    """Fig. 3: CIFAR-10, n = 1000; columns alpha_train, alpha_inference, accuracy (percent). 334 of 400 cells."""
    return _read("reported_fig3.csv")


def table_2() -> pd.DataFrame:
    """Tables 1 and 2: alpha_train, alpha_inference, n, dataset, accuracy and sem (percent; 10 runs).

    Table 1 is the part with the largest n of each pair.

    >>> t = table_2()
    >>> t.query("dataset == 'cifar-10' and alpha_train == 0.9 and alpha_inference == 0.9 and n == 10000")[
    ...     ["accuracy", "sem"]].values.tolist()
    [[65.88, 1.1]]
    """
    return _read("reported_table2.csv")


def table_1() -> pd.DataFrame:
    """Table 1: the rows of `table_2` with the largest n of each pair (10,000, or 1 without noise at inference)."""
    table = table_2()
    return table[table["n"] == table.groupby(["alpha_train", "alpha_inference"])["n"].transform("max")]


def table_3() -> dict[str, str]:
    """Table 3: the parameters of the seven distributions, as printed."""
    return {
        "gaussian": "μ = 0, σ = 1", "cauchy": "μ = 0, γ = 1", "t": "ν = 1", "uniform": "ω = 0",
        "lognormal": "μ = 0, σ = 1", "chi": "k = 1", "exponential": "λ = 1",
    }  # fmt: skip


def table_5() -> pd.DataFrame:
    """Table 5: architecture, alpha (balanced), dataset, accuracy and its error (percent), 102 numbers.

    The paper does not say what the errors are; elsewhere they are standard errors of the mean. It prints "RegNeXt" for
    the RegNetX of Table 4.

    >>> len(table_5())
    102
    """
    return _read("reported_table5.csv")


def _read(name: str) -> pd.DataFrame:
    with (files(__package__) / name).open() as file:
        return pd.read_csv(file)
