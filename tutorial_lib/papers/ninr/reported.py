"""The paper's own numbers, transcribed."""

from importlib.resources import files

import pandas as pd


def tables() -> pd.DataFrame:
    """Tables 1 to 3: item, optimizer, network, kind, label, value, two_sd (percent; for Table 3 σ_ε), inferred.

    `label` is "decay" or "catapult" for NINR, σ_noise for CDT. `inferred` marks cells that are missing in the text we
    have and follow from its other cells (σ_ε ∝ η^(-1/2)). `two_sd` is ±, "2σ confidence intervals over 10 distinct
    runs", read as two standard deviations of a run, as the captions of figures 2 and 6 say; not two standard errors.

    >>> t = tables()
    >>> t[(t["item"] == "table-1") & (t["kind"] == "dropout")][["network", "value", "two_sd"]].values.tolist()
    [['fc', 87.5, 1.2], ['cnn', 83.8, 4.6]]
    """
    with (files(__package__) / "reported_tables.csv").open() as file:
        return pd.read_csv(file, keep_default_na=False, na_values=[""])
