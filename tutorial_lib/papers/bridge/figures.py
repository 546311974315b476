"""The bridge's tables and figures: views of its sweep, and how they are drawn."""

import pandas as pd

from ...draw import OKABE_ITO, mean_and_sem, panels, pick, seeds_of
from ...sweep import Experiment
from . import SLUG
from .choice import gains, tuned
from .cost import COST
from .method import LOWER, NEEDS, NONE, WAYS
from .sweeps import ALL, BRIDGE, FEW

IMAGES = {FEW: "few training images", ALL: "all training images"}


def draw_needs(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """A row a way and number of training images, a column a need: mean and standard error at the tuned strength."""
    columns = {}
    for need, title in NEEDS.items():
        for row in mean_and_sem(tuned(table, need), ["images", "way"]).itertuples():
            columns.setdefault(title, {})[row.images, row.way] = f"{row.value:.3g} ± {row.sem:.2g}"
    found = pd.DataFrame(columns)
    order = [(images, way) for images in IMAGES for way in WAYS if (images, way) in found.index]
    return found.loc[order].rename_axis(["training images", "way"]).reset_index()


def draw_gains(table: pd.DataFrame, dataset: str):
    """For each need a panel: what every way is worth more than none, with 95 % intervals."""
    from scipy import stats

    needs = [need for need in NEEDS if len(gains(table, need))]
    figure, axes = panels(len(needs), columns=2, height=3.2)
    for axis, need in zip(axes, needs, strict=False):
        worth = gains(table, need)
        ways = [way for way in WAYS if way != NONE][::-1]
        for k, (images, colour) in enumerate(zip(IMAGES, (OKABE_ITO[5], OKABE_ITO[4]), strict=True)):
            for place, way in enumerate(ways):
                if (images, way) not in worth:
                    continue
                series = worth[images, way]
                reach = stats.t.isf(0.025, max(len(series) - 1, 1)) * series.sem()
                axis.errorbar(series.mean(), place + 0.2 - 0.4 * k, xerr=reach, fmt="os"[k], ms=4, color=colour,
                              label=IMAGES[images] if place == 0 else None)  # fmt: skip
        axis.axvline(0, color="0.5", lw=1)
        less = ", less of it" if need in LOWER else ", more of it"
        axis.set(yticks=range(len(ways)), yticklabels=ways, title=NEEDS[need].partition(" (")[0] + less)
        axis.tick_params(axis="y", labelsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(f"{dataset}, {seeds_of(table)}: gain over no noise")
    return figure


def draw_strengths(table: pd.DataFrame, dataset: str):
    """For each way a panel: accuracy on clean and on corrupted images, and under attack, over its strengths."""
    shown = {
        "clean": (OKABE_ITO[0], "-", "o"),
        "corrupted": (OKABE_ITO[5], "--", "s"),
        "attacked": (OKABE_ITO[4], ":", "^"),
    }
    ways = [way for way in WAYS if way != NONE and way in set(table["way"])]
    figure, axes = panels(len(ways), columns=3, height=2.4)
    test = pick(table, part="test", images=ALL)
    for axis, way in zip(axes, ways, strict=False):
        for need, (colour, style, marker) in shown.items():
            line = mean_and_sem(pick(test, way=way, need=need), ["strength"])
            axis.errorbar(
                line["strength"], line["value"], line["sem"], color=colour, ls=style, marker=marker, ms=4, label=need
            )
            plain = pick(test, way=NONE, need=need)["value"].mean()
            axis.axhline(plain, color=colour, ls=style, lw=0.6)
        axis.set(title=way, xlabel=WAYS[way].symbol, xscale="log", ylabel="accuracy (%)")
        axis.title.set_size(10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(f"{dataset}, all training images, {seeds_of(table)}; thin: no noise")
    return figure


def draw_cost(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The time of an update over that of one without noise: mean over seeds, and the range of them."""
    found = table.groupby("way", sort=False)["value"].agg(["mean", "min", "max"])
    told = [f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high in found.itertuples(index=False)]
    return pd.DataFrame({"way": found.index, "time of an update, over that without noise": told})


EXPERIMENTS = [
    Experiment(
        f"{SLUG}/needs", "ours", "What each way of training is worth, tuned for each need",
        "no paper's: one network, as many updates and five strengths for every way", BRIDGE, draw_needs,
    ),
    Experiment(
        f"{SLUG}/gains", "ours", "Gain of each way of training over none, by need", "no paper's", BRIDGE, draw_gains,
    ),
    Experiment(
        f"{SLUG}/strengths", "ours", "Accuracy over the strength of each way of training", "no paper's", BRIDGE,
        draw_strengths,
    ),
    Experiment(
        f"{SLUG}/cost", "ours", "What an update costs with each way of training", "no paper's", COST, draw_cost,
    ),
]  # fmt: skip
