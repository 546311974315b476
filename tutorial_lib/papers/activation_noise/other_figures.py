"""How Figures 2, 4, 6 and 8 to 11 and Tables 3 to 5 are drawn: dropout, distributions, placement, classifiers."""

import numpy as np
import pandas as pd

from ...architectures import ARCHITECTURES
from ...draw import OKABE_ITO, mean_and_sem, panels, pick, seeds_of
from ...noise import DISTRIBUTIONS, density
from . import reported
from .drawing import beside, by_alpha, heatmap
from .others import ONE_SIDED, PLACES, SHAPE_DEFAULTS
from .sweeps import DENSITY_PARAMETERS

NOISE_STYLES = {
    ("activation", "as in training"): ("Gaussian noise, balanced", {"color": OKABE_ITO[4], "marker": "o"}),
    ("activation", "without"): ("Gaussian noise, at training only", {"color": OKABE_ITO[2], "marker": "o", "ls": "--"}),
    ("dropout", "as in training"): ("dropout, balanced", {"color": OKABE_ITO[5], "marker": "s"}),
    ("dropout", "without"): ("dropout, at training only", {"color": OKABE_ITO[1], "marker": "s", "ls": "--"}),
}


def _over(axis, table: pd.DataFrame, x: str, label: str | None = None, **style) -> None:
    """Mean accuracy over the column `x`, with a band of one standard error."""
    line = mean_and_sem(table, [x], "accuracy")
    axis.plot(line[x], line["accuracy"], label=label, ms=4, lw=1.5, **style)
    low, high = line["accuracy"] - line["sem"], line["accuracy"] + line["sem"]
    axis.fill_between(line[x], low, high, color=style["color"], alpha=0.2, lw=0)


def draw_dropout(table: pd.DataFrame, dataset: str):
    """Fig. 2: accuracy over α and over the dropout scalar c, balanced and with the noise at training only."""
    figure, axes = panels(2, height=3.6)
    table = table[table["n"] == table.groupby(["noise", "strength", "inference"])["n"].transform("max")]
    for axis, noise, name in zip(axes, ("activation", "dropout"), ("noise scalar α", "dropout scalar c"), strict=True):
        for inference in ("as in training", "without"):
            label, style = NOISE_STYLES[noise, inference]
            _over(axis, pick(table, noise=noise, inference=inference), "strength", label, **style)
        axis.set(xlabel=name, ylabel="accuracy (%)")
        axis.legend(frameon=False, fontsize=9)
    figure.suptitle(f"{dataset}, n = {table['n'].max()}, {seeds_of(table)}", fontsize=11)
    return figure


def with_noise_free(table: pd.DataFrame) -> pd.DataFrame:
    """Rows at the largest n; those without noise (α = 0) stand for every distribution and parameter."""
    last = table[table["n"] == table.groupby("alpha")["n"].transform("max")]
    free, noisy = last[last["alpha"] == 0], last[last["alpha"] > 0]
    kinds = noisy[["distribution", "value", "centred"]].drop_duplicates()
    return pd.concat([noisy, free.drop(columns=[*kinds]).merge(kinds, how="cross")], ignore_index=True)


_OF_SEVEN = {
    name: {"color": colour, "marker": mark, "ls": "--" if name in ONE_SIDED else "-"}
    for name, colour, mark in zip(DISTRIBUTIONS, OKABE_ITO, "os^Dv<>", strict=False)
}


def of_table_3(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of every distribution with its parameter of Table 3."""
    return pd.concat([pick(table, distribution=name, value=value) for name, value in SHAPE_DEFAULTS.items()])


def _default(table: pd.DataFrame, distribution: str) -> pd.DataFrame:
    """The rows of a distribution with the parameter of Table 3, as it is."""
    return pick(of_table_3(table), distribution=distribution, centred=False)


def draw_profiles(table: pd.DataFrame, dataset: str):
    """Fig. 4: the densities of the seven distributions, and accuracy over α with each (parameters of Table 3)."""
    figure, (left, right) = panels(2, height=3.8)
    z, table = np.linspace(-4, 4, 401), with_noise_free(table)
    for name, style in _OF_SEVEN.items():
        left.plot(z, density(name, z), color=style["color"], ls=style["ls"], lw=1.5)
        if len(rows := _default(table, name)):
            _over(right, rows, "alpha", name, **style)
    left.set(xlabel="normalised noise z̄", ylabel="density", ylim=(0, 1.05))
    right.set(xlabel="noise scalar α, balanced", ylabel="accuracy (%)")
    right.legend(frameon=False, fontsize=9)
    figure.suptitle(f"{dataset}, n = {table['n'].max()}, {seeds_of(table)}; dashed: on one side of zero", fontsize=11)
    return figure


def draw_shapes(table: pd.DataFrame, dataset: str):
    """Fig. 6: accuracy over α for each distribution and parameter; dashed where the mean of the noise is taken off."""
    table = with_noise_free(table)
    names = [name for name in DISTRIBUTIONS if name in set(table["distribution"])]
    figure, axes = panels(len(names) + 1, columns=2)
    for axis, name in zip(axes, names, strict=False):
        rows = pick(table, distribution=name)
        for (value, part), colour in zip(rows.groupby("value"), OKABE_ITO[1:], strict=False):
            label = f"{DENSITY_PARAMETERS[name][0]} = {value:.3g}"
            _over(axis, pick(part, centred=False), "alpha", label, color=colour, marker="o")
            if part["centred"].any():
                _over(axis, pick(part, centred=True), "alpha", color=colour, marker="o", mfc="none", ls="--")
        axis.set(title=name)
        axis.legend(frameon=False, fontsize=9)
    last = axes[len(names)]
    for name in names:
        if len(rows := _default(table, name)):
            _over(last, rows, "alpha", name, **_OF_SEVEN[name])
    last.set(title="parameters of Table 3")
    last.legend(frameon=False, fontsize=8, ncols=2)
    for axis in axes[: len(names) + 1]:
        axis.set(xlabel="noise scalar α, balanced", ylabel="accuracy (%)")
    figure.suptitle(
        f"{dataset}, n = {table['n'].max()}, {seeds_of(table)}; dashed, hollow: mean taken off", fontsize=11
    )
    return figure


def _exchanged(table: pd.DataFrame, dataset: str, what: str, order):
    from matplotlib.figure import Figure

    last = table[table["n"] == table["n"].max()]
    means = mean_and_sem(last, ["training", "inference"], "accuracy")
    for column in ("training", "inference"):
        means[column] = pd.Categorical(means[column], [name for name in order if name in set(means[column])])
    figure = Figure(figsize=(6.6, 5.4), layout="constrained")
    title = f"{dataset}, n = {table['n'].max()}, {seeds_of(table)}"
    heatmap(figure.subplots(), means, title, ("training", what), ("inference", what))
    return figure


def draw_exchange(table: pd.DataFrame, dataset: str):
    """Fig. 8: accuracy over the distribution at training and at inference."""
    return _exchanged(table, dataset, "distribution", DISTRIBUTIONS)


def draw_placement(table: pd.DataFrame, dataset: str):
    """Fig. 9: accuracy over the placement of noise at training and at inference."""
    return _exchanged(table, dataset, "noisy layers", PLACES)


def draw_parameters(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 3: the parameters of the distributions, ours beside the paper's, and accuracy with each at both ends."""
    balanced = table[(table["training"] == table["inference"]) & (table["n"] == table["n"].max())]
    means = mean_and_sem(balanced, ["training"], "accuracy").set_index("training")["accuracy"]
    printed = reported.table_3()
    rows = {
        name: {
            "ours": ", ".join(f"{key} = {value:.4g}" for key, value in DISTRIBUTIONS[name].items()),
            "paper": printed[name],
            f"accuracy, {dataset} (%)": f"{means[name]:.2f}" if name in means else "",
        }
        for name in DISTRIBUTIONS
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def draw_losses(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Accuracy at the largest n (mean ± standard error), by the loss of training; a column for each α."""
    return by_alpha(table[table["n"] == table.groupby("alpha")["n"].transform("max")], ["loss"])


def draw_classifiers(table: pd.DataFrame, dataset: str):
    """Fig. 10: accuracy of each classifier over balanced α, with a thin line for the paper's Table 5 (CIFAR-10)."""
    names = [name for name in ARCHITECTURES if name in set(table["architecture"])]
    table = table[table["n"] == table.groupby("alpha")["n"].transform("max")]
    printed = pick(reported.table_5(), dataset="cifar-10")
    figure, axes = panels(len(names), columns=3, height=2.5)
    for axis, name in zip(axes, names, strict=False):
        _over(axis, pick(table, architecture=name), "alpha", "ours", color=OKABE_ITO[4], marker="o")
        paper = pick(printed, architecture=name)
        axis.plot(paper["alpha"], paper["accuracy"], label="paper", color=OKABE_ITO[5], ls="--", lw=1)
        axis.set(title=name, xlabel="α, balanced", ylabel="accuracy (%)")
    axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"ours: {dataset}, n = {table['n'].max()}, {seeds_of(table)}; paper: cifar-10", fontsize=11)
    return figure


def draw_sizes(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 4: the seventeen classifiers, and how many parameters ours have, in millions."""
    sizes = table.groupby("architecture")["parameters"].first()
    rows = {name: f"{sizes[name]:.2f}" if name in sizes else "" for name in ARCHITECTURES}
    return pd.DataFrame({f"parameters, {dataset} (millions)": rows})


def draw_table_5(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 5: accuracy of each classifier (mean ± standard error), ours beside the paper's; index classifier and α."""
    table = table[table["n"] == table.groupby("alpha")["n"].transform("max")]
    both = beside(table, f"ours: {dataset}", reported.table_5(), [], ["architecture", "alpha"])
    return both.reindex(list(ARCHITECTURES), level="architecture")


def draw_unbalanced(table: pd.DataFrame, dataset: str):
    """Fig. 11: a classifier's accuracy over α at training and at inference; right with new statistics of batch norm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    last = table[table["n"] == table.groupby("alpha_inference")["n"].transform("max")]
    for axis, statistics in zip(figure.subplots(1, 2), ("of training", "anew"), strict=True):
        means = mean_and_sem(pick(last, statistics=statistics), ["alpha_train", "alpha_inference"], "accuracy")
        heatmap(axis, means, f"{dataset}, {seeds_of(table)}; statistics {statistics}")
    return figure


def draw_outputs(table: pd.DataFrame, dataset: str):
    """Appendix F: accuracy without noise and with it, over the side of the image or the number of classes."""
    figure, axes = panels(2, height=3.4)
    table = table[table["n"] == table.groupby("alpha")["n"].transform("max")]
    for axis, (network, what) in zip(
        axes, {"autoencoder": "side of the image (pixels)", "classifier": "classes"}.items(), strict=True
    ):
        for (alpha, part), colour in zip(pick(table, network=network).groupby("alpha"), OKABE_ITO[4:], strict=False):
            _over(axis, part, "outputs", f"α = {alpha:g}", color=colour, marker="o")
        axis.set(title=f"{network}s", xlabel=what, ylabel="accuracy (%)")
        axis.legend(frameon=False)
    figure.suptitle(f"{dataset}, {seeds_of(table)}", fontsize=11)
    return figure
