"""The figures and tables of "Activation Noise for EBM Classification": views of its sweeps, and how they are drawn."""

import numpy as np
import pandas as pd

from ...draw import OKABE_ITO, mean_and_sem, panels, pick, seeds_of, with_columns
from ...sweep import Experiment
from . import SLUG, reported
from .classifiers import CLASSIFIERS, UNBALANCED
from .cost import COST, PLAIN, RACES
from .dimensions import DIMENSIONS
from .drawing import beside, by_alpha, heatmap
from .other_figures import (
    draw_classifiers,
    draw_dropout,
    draw_exchange,
    draw_losses,
    draw_outputs,
    draw_parameters,
    draw_placement,
    draw_profiles,
    draw_shapes,
    draw_sizes,
    draw_table_5,
    draw_unbalanced,
)
from .others import DROPOUT, EXCHANGE, LOSSES, PLACEMENT, SHAPES
from .sweeps import ACCURACY, DENSITIES, TABLE_PAIRS, TRAINING


def at_largest_n(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the largest n at each α at inference: of all test images; 1 where inference is without noise.

    >>> table = {"alpha_inference": [0.0, 0.5, 0.5, 0.5], "n": [1, 1, 10, 20], "accuracy": [9, 9, 9, None]}
    >>> at_largest_n(pd.DataFrame(table))["n"].tolist()
    [1, 10]
    """
    table = table.dropna(subset="accuracy")
    return table[table["n"] == table.groupby("alpha_inference")["n"].transform("max")]


def at_common_n(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the largest n that every pair of α has, and those without noise at inference."""
    table = table.dropna(subset="accuracy")
    noisy = table["alpha_inference"] > 0
    pairs = [set(part["n"]) for _, part in table[noisy].groupby(["alpha_train", "alpha_inference"])]
    common = max(set.intersection(*pairs), default=0) if pairs else 0
    return table[~noisy | (table["n"] == common)]


def of_table_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The Gaussian rows whose (α at training, α at inference) is one of the twelve of Tables 1 and 2."""
    pairs = pd.MultiIndex.from_frame(table[["alpha_train", "alpha_inference"]])
    return table[pairs.isin(TABLE_PAIRS) & (table["distribution"] == "gaussian")]


def draw_energies(image, reconstructions, draws, counts=(1, 10, 100)):
    """An image, what each class's network makes of it, and how the mean of n of its energies spreads.

    `image` is [H, W], `reconstructions` [K, H, W], `draws` [R, K] energies. With every n of `counts` the draws are
    taken n at a time: the band holds nine in ten of the means, the darker one half of them, the line is their median.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 6.2), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 2.3])
    width = (len(reconstructions) + 1) // 2
    axes = above.subplot_mosaic([["image", "image", *range(width)], ["image", "image", *range(width, 2 * width)]])
    means = draws.mean(0)
    for name, axis in axes.items():
        axis.axis("off")
        if name == "image" or name < len(reconstructions):
            axis.imshow(image if name == "image" else reconstructions[name], cmap="gray", vmin=0, vmax=1)
            axis.set_title("the image" if name == "image" else name, fontsize=11)
    panels_ = below.subplots(1, len(counts), sharex=True, sharey=True)
    for axis, n in zip(panels_, counts, strict=True):
        groups = draws[: len(draws) // n * n].reshape(-1, n, draws.shape[1]).mean(1)
        low, first, middle, third, high = np.quantile(groups, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        for k in range(draws.shape[1]):
            colour = OKABE_ITO[5] if k == means.argmin() else OKABE_ITO[2]
            axis.fill_betweenx([k - 0.38, k + 0.38], low[k], high[k], color=colour, alpha=0.35, lw=0)
            axis.fill_betweenx([k - 0.38, k + 0.38], first[k], third[k], color=colour, alpha=0.8, lw=0)
            axis.plot([middle[k]] * 2, [k - 0.38, k + 0.38], color="0.1", lw=1.4)
        axis.axvline(means.min(), color="0.4", lw=0.8, ls=":")
        axis.set(title=f"n = {n}", xlabel="mean energy")
    panels_[0].set(ylabel="network of class", yticks=range(draws.shape[1]), ylim=(draws.shape[1] - 0.4, -0.6))
    return figure


def draw_alphas(table: pd.DataFrame, dataset: str):
    """Fig. 3: accuracy over α at training and at inference; ours (mean over seeds, largest n) beside the paper's."""
    from matplotlib.figure import Figure

    ours = at_common_n(table[table["distribution"] == "gaussian"])
    n = ours["n"].max()
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    means = mean_and_sem(ours, ["alpha_train", "alpha_inference"], "accuracy")
    heatmap(left, means, f"ours: {dataset}, n = {n}, {seeds_of(ours)}")
    heatmap(right, reported.fig_3(), "paper: cifar-10, n = 1000 (hatched: not legible)")
    return figure


def draw_samples(table: pd.DataFrame, dataset: str):
    """Fig. 7: accuracy over the number of samples n (mean and standard error over seeds), ours and Table 2.

    Ours of all test images, in hollow markers that of the first ones, which race on further.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    keys = ["alpha_train", "alpha_inference", "n"]
    ours = mean_and_sem(table.dropna(subset="accuracy"), keys, "accuracy")
    far = mean_and_sem(with_columns(table, "first").dropna(subset="first"), keys, "first")
    far = far[far["n"] >= ours["n"].max()]
    paper = reported.table_2().query("dataset == 'cifar-10'")
    for axis, data, title in zip(
        figure.subplots(1, 2, sharey=True), (ours, paper),
        (f"ours: {dataset}, {seeds_of(table)}", "paper: cifar-10, 10 seeds (Table 2)"), strict=True,
    ):  # fmt: skip
        noisy = data[data["alpha_inference"] > 0]
        for i, ((train, test), line) in enumerate(noisy.groupby(["alpha_train", "alpha_inference"])):
            style = {"color": OKABE_ITO[i % 8], "marker": "osD^vP*X<>"[i % 10], "ls": "-" if train == test else "--"}
            axis.errorbar(line["n"], line["accuracy"], line["sem"], label=f"({train}, {test})", capsize=2, **style)
            if data is ours:
                part = pick(far, alpha_train=train, alpha_inference=test)
                axis.errorbar(part["n"], part["first"], part["sem"], capsize=2, mfc="none", lw=0.8, **style)
        axis.set(xscale="log", xlabel="number of noise samples n", ylabel="accuracy (%)", title=title)
    axis.legend(title="(α training,\n α inference)", bbox_to_anchor=(1.02, 1), loc="upper left")
    return figure


def draw_table_1(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 1: mean ± standard error at our largest n beside the paper's at n = 10,000; index the pair of α."""
    return beside(table, f"ours: {dataset}, n = {table['n'].max()}", reported.table_1(), [])


def draw_table_2(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 2: mean ± standard error of ours beside the paper's columns; index the pair of α, and n.

    Of ours at the paper's n, and at n = 1 without noise; beside all test images the first ones, which race on further.
    """
    table = table[table["n"].isin([10**k for k in range(6)])]
    return beside(table, f"ours: {dataset}", reported.table_2(), ["n"])


def draw_training(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Accuracy at the largest n of all images (mean ± standard error) by the training; a column for each α."""
    table = table.dropna(subset="accuracy")
    return by_alpha(table[table["n"] == table.groupby("alpha")["n"].transform("max")], ["train", "epochs"])


def draw_cost(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """What each way of racing takes of the plain way's passes and time, in percent (means over seeds), by pair of α."""
    rows = table[table["measure"].isin(["passes", "passes, settled", "time"]) & (table["way"] != PLAIN)]
    keys = ["alpha_train", "alpha_inference"]
    means = rows.pivot_table(index=keys, columns=["way", "measure"], values="value", sort=False)
    return means.sort_index().map(
        lambda value: "" if value != value else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
    )


_STEPS = np.geomspace(0.01, 10, 10)
_BINS = np.concatenate([-_STEPS[::-1], _STEPS])
"""Borders for gap over spread: three a decade on both sides of zero."""


def draw_margins(table: pd.DataFrame, dataset: str):
    """Gap over spread m of test images with balanced noise, and the accuracy that it foretells: the mean of Φ(√n m).

    On the left a histogram; on the right that curve and, as points, what plain runs measured on these and other images.
    """
    from scipy import stats

    figure, (left, right) = panels(2, height=3.4)
    n = np.geomspace(1, 10_000, 60)
    plain = pick(table[table["alpha_train"] == table["alpha_inference"]], way=PLAIN)
    for (alpha, part), colour, mark in zip(
        plain.groupby("alpha_train"), np.array(OKABE_ITO)[[1, 4, 5]], "os^", strict=False
    ):
        found = pick(part, measure="margin")["value"].dropna().to_numpy()
        style = {"color": colour, "lw": 1.6}
        left.stairs(np.histogram(found.clip(-9.9, 9.9), _BINS)[0], _BINS, label=f"α = {alpha:g}", **style)
        right.plot(n, 100 * stats.norm.cdf(np.sqrt(n)[:, None] * found).mean(1), **style)
        right.plot("x", "value", mark, data=mean_and_sem(pick(part, measure="accuracy"), ["x"]), color=colour)
    left.axvline(0, color="0.4", lw=0.8, ls=":")
    left.set_xscale("symlog", linthresh=0.01, linscale=0.3)
    left.set(xlabel="gap over spread m (below 0: missed)", ylabel="test images")
    left.set_xticks([-1, -0.1, 0, 0.1, 1], ["−1", "−0.1", "0", "0.1", "1"])
    right.set(xscale="log", xlabel="number of noise samples n", ylabel="accuracy (%)")
    left.legend(frameon=False, title=f"{dataset}, balanced")
    return figure


def draw_race(table: pd.DataFrame, dataset: str):
    """For one image of each class: mean energies over the number of draws, of the classes that were still drawn."""
    alpha = sorted(table["alpha"].unique())[len(table["alpha"].unique()) // 2]
    table = pick(table, alpha=alpha, seed=0)
    images = sorted(pick(table, measure="image")["x"].unique())
    figure, axes = panels(len(images), columns=5)
    for axis, i in zip(axes[: len(images)], images, strict=True):
        part = pick(table, measure="energy", x=i)
        said = pick(table, measure="said", x=i)["value"].item()
        for k, line in part.groupby("y"):
            style = {"color": OKABE_ITO[5], "lw": 1.6} if k == said else {"color": OKABE_ITO[2], "lw": 1}
            axis.plot(line["n"], line["value"], **style)
        label = pick(table, measure="image", x=i)["value"].item()
        axis.set(xscale="log", xlabel="draws n", ylabel="mean energy", title=f"class {label:g}, said {said:g}")
    figure.suptitle(f"{dataset}, α = {alpha:g} at training and at inference")
    return figure


def draw_densities(table: pd.DataFrame, dataset: str):
    """Fig. 5: the density of each distribution for several parameters, over a histogram of our draws."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.6), layout="constrained")
    axes = figure.subplots(2, 4, sharex=True).ravel()
    for axis, (name, part) in zip(axes, table[table["seed"] == 0].groupby("distribution", sort=False), strict=False):
        for colour, ((parameter, value), line) in zip(
            (OKABE_ITO[1], OKABE_ITO[4], OKABE_ITO[3]), part.groupby(["parameter", "value"]), strict=True
        ):
            axis.stairs(line["histogram"], _edges(line["z"].to_numpy()), color=colour, alpha=0.35, fill=True)
            axis.plot(line["z"], line["density"], color=colour, label=f"{parameter} = {value:.3g}")
        axis.set(title=name, xlabel="normalised noise z̄", ylabel="density")
        axis.legend(fontsize="small")
    axes[-1].axis("off")
    return figure


def _edges(middles):
    half = (middles[1] - middles[0]) / 2
    return np.append(middles - half, middles[-1] + half)


_SETTING = (
    "CIFAR-10, -20, CalTech-20, Flower-20, CUB-20 at 32x32; one autoencoder a class (30-73-100, 4x4, stride 2); "
    "Gaussian noise; Adam 0.001, batch 256, 100 epochs; 10 runs"
)
_OF_CLASSIFIERS = "CIFAR-10 and -100; Adam 0.001, cosine annealing, 30 epochs; Gaussian noise at all layers; n = 1000"
EXPERIMENTS = [
    Experiment(
        f"{SLUG}/fig-3", "Figure 3", "Accuracy over α at training and α at inference", f"{_SETTING}; n = 1000",
        ACCURACY, draw_alphas,
    ),
    Experiment(
        f"{SLUG}/fig-7", "Figure 7", "Accuracy over the number of noise samples", f"{_SETTING}; n = 1 … 10,000",
        ACCURACY, draw_samples, of_table_pairs,
    ),
    Experiment(
        f"{SLUG}/table-1", "Table 1", "Accuracy of twelve pairs of α at the largest n", f"{_SETTING}; n = 10,000",
        ACCURACY, draw_table_1, lambda table: at_largest_n(of_table_pairs(table)),
    ),
    Experiment(
        f"{SLUG}/table-2", "Table 2", "Accuracy of twelve pairs of α at every n", f"{_SETTING}; n = 1 … 10,000",
        ACCURACY, draw_table_2, of_table_pairs,
    ),
    Experiment(
        f"{SLUG}/fig-5", "Figure 5", "Densities of the seven noise distributions", "values stand only in a picture",
        DENSITIES, draw_densities,
    ),
    Experiment(
        f"{SLUG}/fig-2", "Figure 2", "Activation noise against dropout, over α and c",
        "CIFAR-10 and -20, as Figure 3; n = 1000", DROPOUT, draw_dropout,
    ),
    Experiment(
        f"{SLUG}/fig-4", "Figure 4", "Densities of seven distributions, and accuracy over α with each",
        f"{_SETTING}; balanced", SHAPES, draw_profiles,
    ),
    Experiment(
        f"{SLUG}/fig-6", "Figure 6", "Accuracy over α with seven distributions, three parameters each",
        f"{_SETTING}; balanced", SHAPES, draw_shapes,
    ),
    Experiment(
        f"{SLUG}/fig-8", "Figure 8", "Accuracy over the distribution at training and at inference",
        f"{_SETTING}; α = 1", EXCHANGE, draw_exchange,
    ),
    Experiment(
        f"{SLUG}/table-3", "Table 3", "Parameters of the seven distributions", f"{_SETTING}; α = 1",
        EXCHANGE, draw_parameters,
    ),
    Experiment(
        f"{SLUG}/fig-9", "Figure 9", "Accuracy over the noisy layers at training and at inference",
        f"{_SETTING}; α = 1", PLACEMENT, draw_placement,
    ),
    Experiment(
        f"{SLUG}/fig-10", "Figure 10", "Accuracy of seventeen classifiers over balanced α", _OF_CLASSIFIERS,
        CLASSIFIERS, draw_classifiers,
    ),
    Experiment(
        f"{SLUG}/table-4", "Table 4", "The seventeen classifiers and their sizes", "names only", CLASSIFIERS,
        draw_sizes,
    ),
    Experiment(
        f"{SLUG}/table-5", "Table 5", "Accuracy of seventeen classifiers at three balanced α", _OF_CLASSIFIERS,
        CLASSIFIERS, draw_table_5, lambda table: table[table["alpha"].isin([0.0, 0.5, 1.0])],
    ),
    Experiment(
        f"{SLUG}/fig-11", "Figure 11", "A classifier's accuracy over α at training and α at inference",
        f"ResNet50; {_OF_CLASSIFIERS}", UNBALANCED, draw_unbalanced,
    ),
    Experiment(
        f"{SLUG}/outputs", "Appendix F", "Accuracy with noise and without, over the number of outputs",
        "not measured in the paper", DIMENSIONS, draw_outputs,
    ),
    Experiment(
        f"{SLUG}/loss", "Section 4.1", "Squared error against binary cross-entropy", _SETTING, LOSSES, draw_losses,
    ),
    Experiment(
        f"{SLUG}/training", "Section 4.3", "Accuracy without noise and with (0.9, 0.9), over the training", _SETTING,
        TRAINING, draw_training,
    ),
    Experiment(
        f"{SLUG}/cost", "Section 3.2", "Passes, time and answers of racing, over those of the plain way",
        "n = 10,000 draws for each image and class", COST, draw_cost,
    ),
    Experiment(
        f"{SLUG}/margins", "Section 3.2", "Gap over spread of test images, and the accuracy over n that it foretells",
        "n = 10,000 draws for each image and class", COST, draw_margins,
    ),
    Experiment(
        f"{SLUG}/race", "Section 3.2", "Mean energies over the number of draws, image by image, as classes drop out",
        "n = 10,000 draws for each image and class", RACES, draw_race,
    ),
]  # fmt: skip
"""The registered figures and tables of this paper."""
