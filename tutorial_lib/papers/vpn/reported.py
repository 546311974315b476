"""The paper's own numbers, transcribed."""

from importlib.resources import files

import pandas as pd

IMAGES = {"fashion-mnist": 10_000, "cifar-10": 10_000, "tiny-imagenet": 10_000}
"""Test images: of the first two what the sets have, of the third what section 4.1 says, 50 of each of 200 classes."""


def tables() -> pd.DataFrame:
    """Tables 1 to 3: item, dataset, base, generator, noise_at_test, value; accuracies in percent, without errors.

    `generator` is also "none" (the paper's Baseline) or "random". The accuracies are means over 5 runs (section 4.1).

    >>> t = tables()
    >>> t.query("item == 'table-1' and dataset == 'cifar-10' and generator == 'none'")["value"].tolist()
    [39.08, 46.92, 79.51, 80.88]
    """
    with (files(__package__) / "reported_tables.csv").open() as file:
        return pd.read_csv(file)


def counting_error(percent: float, dataset: str) -> float:
    """The standard error in points of an accuracy that is counted on a set's test images: √(p (1 - p) / N).

    The mean over runs on the same images has at most this error, and, where the runs miss different images, less.

    >>> round(counting_error(50.0, "cifar-10"), 3)
    0.5
    """
    return (percent * (100 - percent) / IMAGES[dataset]) ** 0.5
