"""What we ask of our own bridge, and the rules that give the verdicts. They were fixed before its tables."""

import pandas as pd

from ...claims import Claim, Finding, margins
from . import SLUG
from .choice import gains, tuned
from .method import LOWER

SAME = {"clean": 0.5, "corrupted": 0.5, "attacked": 1.0, "calibration": 0.5}
"""δ, in points, under which two ways count as the same for a need: about the counting error of the test images."""
TWINS = [
    ("explicit regulariser", "Gaussian injections"),
    ("random dropout", "dropout"),
    ("noise nodes, all layers", "noise node, first layer"),
    ("corrupted images", "Gaussian injections"),
]
"""Pairs of ways whose terms of second order are alike (the theory page): where do they agree in what they do?"""


def helps(need: str):
    """A rule: what each way is worth more than none for a need, with few training images and with all."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        return margins({f"{way}, {images} images": series for (images, way), series in gains(table, need).items()})

    return rule


def alike(one: str, other: str):
    """A rule: the difference of two ways for each need of `SAME`, over that need's δ."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found = {}
        for need, delta in SAME.items():
            values = tuned(table, need).pivot(index="seed", columns=["images", "way"], values="value")
            for images in values.columns.unique("images"):
                if {(images, one), (images, other)} <= set(values):
                    gap = (values[images, one] - values[images, other]) / delta
                    found[f"{need}, {images} images"] = -gap if need in LOWER else gap
        return margins(found)

    return rule


_HELPS = {
    "clean": ("raises accuracy on clean images", "points"),
    "corrupted": ("raises accuracy on corrupted images", "points"),
    "attacked": ("raises accuracy under attack", "points"),
    "shifted": ("raises accuracy on another data set's images", "points"),
    "calibration": ("lowers the calibration error", "points"),
    "margin": ("widens the margin", "deviations of the images"),
}


def _ours(id: str, claim: str, rule, unit: str, **options) -> Claim:
    return Claim(
        id=id, paper=SLUG, item="ours", claim=claim, reported=None, reported_text="not in the paper",
        reported_error="none", rule=rule, experiment=f"{SLUG}/needs", unit=unit, **options,
    )  # fmt: skip


CLAIMS = [
    *(
        _ours(f"every-way-helps-{need}", f"Every way of training {says} over none", helps(need), unit)
        for need, (says, unit) in _HELPS.items()
    ),
    *(
        _ours(
            f"{one}-is-{other}".replace(",", "").replace(" ", "-"), f"{one[0].upper()}{one[1:]} does what {other} do",
            alike(one, other), "δ", kind="equal", delta=1.0,
        )
        for one, other in TWINS
    ),
]  # fmt: skip
FINDINGS = [
    Finding(
        "every-way-helps-corrupted", "digits", "not decided",
        "Against corrupted images it is noise on the images themselves that helps a small network of digits: training "
        "on corrupted ones, and Gaussian injections in all layers. Of most other ways it is not shown that they help.",
        headline=True,
    ),
    Finding(
        "every-way-helps-attacked", "digits", "mixed",
        "The same two help most against attacks. Noise nodes at all layers, trained on all images, make the network "
        "easier to attack.",
    ),
    Finding(
        "every-way-helps-margin", "digits", "not decided",
        "Dropout widens the margins, too, and has less to show for it in accuracy.",
    ),
    Finding(
        "explicit-regulariser-is-Gaussian-injections", "digits", "contradicted",
        "The penalty that stands for Gaussian injections to second order does not do what they do. At the strengths "
        "that help against corruption and attacks, it falls far behind.",
    ),
    Finding(
        "every-way-helps-clean", "digits", "not decided",
        "On clean images training on corrupted ones gains a point or two. Hardly any other way is shown to gain "
        "anything.",
    ),
]  # fmt: skip
"""The chapter's answer, in five lines."""
