"""The figures of "Explicit Regularisation in Gaussian Noise Injections": views of its sweeps, and their drawings."""

import numpy as np
import pandas as pd

from ...data import TABLES
from ...draw import OKABE_ITO, curves, mean_and_sem, panels, pick, seeds_of, with_columns
from ...sweep import Experiment
from . import SLUG
from .probes import SPECTRA, THEOREM
from .sweeps import (
    AGAIN,
    BASELINE,
    CONTROLS,
    GRADIENT,
    INPUT,
    L2,
    NOISE,
    RARE,
    REGULARISER,
    SMALL,
    SMALL_VARIANCE,
    STRENGTHS,
    TRAINING,
    TWICE,
    VARIANCE,
)

STYLES = {
    BASELINE: {"color": OKABE_ITO[0], "ls": "-", "marker": "o"},
    INPUT: {"color": OKABE_ITO[3], "ls": "-.", "marker": "^"},
    NOISE: {"color": OKABE_ITO[4], "ls": "-", "marker": "s"},
    REGULARISER: {"color": OKABE_ITO[5], "ls": "--", "marker": "D"},
    TWICE: {"color": OKABE_ITO[6], "ls": ":", "marker": "v"},
    AGAIN: {"color": OKABE_ITO[4], "ls": ":", "marker": "*"},
    L2: {"color": OKABE_ITO[1], "ls": "-.", "marker": "x"},
    GRADIENT: {"color": OKABE_ITO[7], "ls": ":", "marker": "+"},
}
NAMES = {"relu": "ReLU", "elu": "ELU", "mlp": "MLP", "conv": "conv"}
LAYER_NAMES = ["data", "layer 1", "layer 2"]


def _curves(axis, table: pd.DataFrame, x: str = "x", **labels) -> None:
    """A line for each kind of training; a test loss that varies a lot on a logarithmic axis."""
    means = table.groupby(["kind", x])["value"].mean()
    wide = means.min() > 0 and means.max() > 5 * means.min() and labels["ylabel"] == "test loss"
    curves(axis, table, STYLES, "kind", x, **labels, yscale="log" if wide else "linear")


def total_trace(table: pd.DataFrame) -> pd.DataFrame:
    """Tr H at every checkpoint: the layers' parts added up."""
    keys = ["network", "activation", "kind", "operation", "variance", "seed", "x"]
    return pick(table, measure="hessian trace").groupby(keys)["value"].sum(min_count=1).reset_index()


def _densities(axis, table: pd.DataFrame, **labels) -> None:
    """Densities from quantiles (mean over seeds): the distribution function that they give, over even steps."""
    means = mean_and_sem(table, ["kind", "x"])
    edges = np.linspace(means["value"].min(), means["value"].max(), 61)
    for kind, style in STYLES.items():
        line = means[means["kind"] == kind]
        if len(line):
            below = np.interp(edges, line["value"], line["x"])
            density = np.diff(below) / np.diff(edges)
            axis.plot((edges[1:] + edges[:-1]) / 2, density, label=kind, **{**style, "marker": ""})
    axis.set(**labels)


def draw_loss_and_trace(table: pd.DataFrame, dataset: str):
    """Figs. 1 and 7: the test loss along training, and the Hessian trace of the small network."""
    figure, (left, right) = panels(2)
    big = pick(table, measure="test loss")
    big = big[big["network"] != SMALL]
    title = f"{NAMES[big['network'].iloc[0]]}, {NAMES[big['activation'].iloc[0]]}: {dataset}, {seeds_of(table)}"
    _curves(left, big, xlabel="epoch", ylabel="test loss", title=title)
    _curves(right, total_trace(table), xlabel="epoch", ylabel="Tr H of the training loss", title="2x32 units, ELU")
    left.legend(fontsize="small")
    return figure


def draw_losses(table: pd.DataFrame, dataset: str):
    """Fig. 8: the test loss along training, by network and activation."""
    groups = list(pick(table, measure="test loss").groupby(["network", "activation"], sort=False))
    figure, axes = panels(len(groups))
    for axis, ((network, activation), part) in zip(axes, groups, strict=False):
        _curves(axis, part, xlabel="epoch", ylabel="test loss", title=f"{NAMES[network]}, {NAMES[activation]}")
    axes[0].legend(fontsize="small")
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def draw_robustness(table: pd.DataFrame, dataset: str):
    """Figs. 3 and 10: accuracy over the noise on the data, and the elements of J_0, by network and activation."""
    groups = list(table.groupby(["network", "activation"], sort=False))
    figure, axes = panels(2 * len(groups))
    for (left, right), ((network, activation), part) in zip(axes.reshape(-1, 2), groups, strict=True):
        name = f"{NAMES[network]}, {NAMES[activation]}"
        _curves(left, pick(part, measure="accuracy"), "sigma", title=name,
                xlabel="deviation σ of the noise on the data", ylabel="accuracy (%)")  # fmt: skip
        _densities(right, pick(part, measure="jacobian quantile", layer=0), title=f"{name}: J_0",
                   xlabel="element of J_0", ylabel="density")  # fmt: skip
    axes[0].legend(fontsize="small")
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def draw_calibration(table: pd.DataFrame, dataset: str):
    """Figs. 4 and 11: reliability diagrams with the expected calibration error, and the entropy of predictions."""
    groups = list(table.groupby("network", sort=False))
    figure, axes = panels(2 * len(groups), height=3.4)
    for k, (network, part) in enumerate(groups):
        left, right = axes[2 * k], axes[2 * k + 1]
        errors = pick(part, measure="calibration error", sigma=0).groupby("kind")["value"].mean()
        diagram = pick(part, measure="reliability", sigma=0)
        means = diagram.groupby(["kind", "y"])[["x", "value", "share"]].mean().reset_index()
        means = means[means["share"] > RARE]
        entropies = mean_and_sem(pick(part, measure="entropy"), ["kind", "x"])
        left.plot([0, 1], [0, 1], color="0.5", ls=":", label="calibrated")
        for kind, style in STYLES.items():
            if kind in errors:
                line = means[means["kind"] == kind]
                left.plot(line["x"], line["value"], ms=4, label=f"{kind}: ECE {errors[kind]:.1f} %", **style)
                line = entropies[entropies["kind"] == kind]
                right.plot(line["x"], line["value"], **{**style, "marker": ""})
        left.set(xlabel="confidence", ylabel="accuracy", title=f"{NAMES[network]}, ELU: {dataset}, {seeds_of(table)}")
        right.set(xlabel="entropy of a prediction (nats)", ylabel="density", title=f"{NAMES[network]}, ELU")
        left.legend(fontsize="x-small")
    return figure


def draw_grams(table: pd.DataFrame, dataset: str):
    """Fig. 5: the mean of J_k J_kᵀ, outputs by outputs, of networks trained without regularisation."""
    groups = list(pick(table, measure="gram").groupby(["network", "activation", "layer"], sort=False))
    figure, axes = panels(len(groups), columns=3, height=2.8)
    for axis, ((network, activation, layer), part) in zip(axes, groups, strict=False):
        mean = part.pivot_table(index="x", columns="y", values="value").to_numpy()
        top = np.abs(mean).max()
        image = axis.imshow(mean, cmap="PuOr", vmin=-top, vmax=top)
        figure.colorbar(image, ax=axis, shrink=0.8)
        axis.set(
            title=f"{NAMES[network]}, {NAMES[activation]}: {LAYER_NAMES[int(layer)]}", xlabel="output", ylabel="output"
        )
    figure.suptitle(f"mean of J_k J_kᵀ: {dataset}, {seeds_of(table)}")
    return figure


def draw_jacobians(table: pd.DataFrame, dataset: str):
    """Fig. 6: the distribution of the Jacobians' elements, by layer."""
    groups = list(pick(table, measure="jacobian quantile").groupby(["network", "activation", "layer"], sort=False))
    figure, axes = panels(len(groups), columns=3)
    for axis, ((network, activation, layer), part) in zip(axes, groups, strict=False):
        name = f"{NAMES[network]}, {NAMES[activation]}: {LAYER_NAMES[int(layer)]}"
        _densities(axis, part, xlabel=f"element of J_{int(layer)}", ylabel="density", title=name)
    axes[0].legend(fontsize="small")
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def draw_small_noise(table: pd.DataFrame, dataset: str):
    """Fig. 9: the Hessian trace of the small network under small additive and multiplicative noise, and by layer."""
    baseline = pick(table, kind=BASELINE)
    additive, times = (pd.concat([baseline, pick(table, operation=o, variance=SMALL_VARIANCE)]) for o in "+×")
    figure, axes = panels(5)
    for axis, part, name in ((axes[0], additive, "additive"), (axes[1], times, "multiplicative")):
        _curves(axis, total_trace(part), xlabel="epoch", ylabel="Tr H of the training loss",
                title=f"{name}, σ² = {SMALL_VARIANCE}")  # fmt: skip
    for k in range(3):
        _curves(axes[k + 2], pick(additive, measure="hessian trace", layer=k), xlabel="epoch",
                ylabel="its part of Tr H", title=f"additive, weights of layer {k + 1}")  # fmt: skip
    axes[0].legend(fontsize="small")
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def draw_spectra(table: pd.DataFrame, dataset: str):
    """Fig. 2: the spectrum of the learned function along training, and at the end the function beside its target."""
    parts = [p for _, p in table[table["step"] > 0].groupby(["kind", "variance"], sort=False)]
    figure, axes = panels(2 * len(parts), height=2.5)
    target = pick(table, measure="function", step=0)
    for (left, right), part in zip(axes.reshape(-1, 2), parts, strict=True):
        means = mean_and_sem(pick(part, measure="amplitude"), ["step", "x"]).pivot(index="step", columns="x")["value"]
        image = left.imshow(means.clip(0, 1), aspect="auto", origin="lower", cmap="cividis", vmin=0, vmax=1,
                            extent=(-0.5, means.shape[1] - 0.5, -0.5, len(means) - 0.5))  # fmt: skip
        ticks = range(0, len(means), max(1, len(means) // 4))
        left.set_yticks(ticks, [f"{means.index[t]:g}" for t in ticks])
        kind, variance = part["kind"].iloc[0], part["variance"].iloc[0]
        name = kind + (f", σ² = {variance:g}" if variance else "")
        left.set(title=name, xlabel="frequency", ylabel="training step")
        figure.colorbar(image, ax=left, label="amplitude")
        last = pick(part, measure="function", step=part["step"].max())
        right.plot(target["x"], target["value"], color="0.6", lw=1, label="target")
        right.plot(last["x"], last["value"], color=STYLES[kind]["color"], label="learned")
        right.set(xlabel="z", ylabel="λ(z)", title=name)
    axes[1].legend(loc="upper right", fontsize="x-small")
    figure.suptitle(f"amplitudes clipped to [0, 1], mean over {seeds_of(table)}; functions of seed 0")
    return figure


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Theorem 1's ratios over σ: E[ΔL] over R, and over R with the curvature term, with standard errors."""
    full = table["regulariser"] + table["curvature"]
    return table.assign(
        plain=table["change"] / table["regulariser"], plain_error=table["error"] / table["regulariser"],
        full=table["change"] / full, full_error=table["error"] / full.abs(),
    )  # fmt: skip


def draw_theorem(table: pd.DataFrame, dataset: str):
    """Theorem 1: E[ΔL] over R of eq. (10), without and with the term that the paper drops, as σ → 0."""
    groups = list(ratios(pick(table, layer="all")).groupby(["epochs", "loss", "activation"]))
    figure, axes = panels(len(groups), columns=4, height=3)
    for axis, ((epochs, loss, activation), lines) in zip(axes, groups, strict=False):
        for where, marker in (("average over data", "o"), ("one point", "^")):
            for column, colour, name in (("plain", OKABE_ITO[5], "R alone"), ("full", OKABE_ITO[4], "with the term")):
                means = mean_and_sem(pick(lines, where=where), ["sigma"], column)
                axis.errorbar(means["sigma"], means[column], means["sem"], color=colour, marker=marker, ms=4, capsize=2,
                              ls="-" if marker == "o" else ":", label=f"{name}, {where}")  # fmt: skip
        axis.axhline(1, color="0.5", lw=1)
        axis.set(xscale="log", xlabel="deviation σ of the noise", ylabel="E[ΔL] / right side", ylim=(0, 2),
                 title=f"{loss}, {NAMES[activation]}, {epochs} epochs")  # fmt: skip
    axes[0].legend(fontsize="small")
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def draw_strengths(table: pd.DataFrame, dataset: str):
    """Validation loss over the strength of each control, and that of each noise: where they cross is what is taken."""
    nets = list(table.groupby(["network", "activation"], sort=False).groups)
    figure, axes = panels(len(nets), columns=min(3, len(nets)), height=3.1)
    for axis, (network, activation) in zip(axes, nets, strict=False):
        part = pick(table, network=network, activation=activation)
        title = f"{NAMES.get(network, network)}, {NAMES[activation]}"
        curves(
            axis, pick(part, kind=list(CONTROLS)), STYLES, "kind", "strength",
            xscale="log", yscale="log", xlabel="strength λ", ylabel="validation loss", title=title,
        )  # fmt: skip
        for k, ((operation, variance), noise) in enumerate(pick(part, kind=NOISE).groupby(["operation", "variance"])):
            label = f"noise, {operation}, σ² = {variance:g}"
            axis.axhline(noise["value"].mean(), color=OKABE_ITO[4], ls=("-", "--", ":")[k], label=label)
        axis.legend(fontsize=6)
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


MEASURED = {
    "test loss": "test loss along training", "hessian trace": "Hessian trace along training",
    "jacobian norm": "||J_k||, mean over layers", "agreement": "images classed otherwise",
    "output distance": "outputs, image by image",
}  # fmt: skip
"""Where an imitation would show, and how the panel that shows it is called."""


def from_noise(table: pd.DataFrame) -> pd.DataFrame:
    """How far from the noise (σ² = 0.1) each kind of training is, in percent of the baseline's mean distance.

    By measure, network and seed. Curves are compared point by point, Jacobian norms layer by layer in parts of the
    noise's; agreement and outputs are distances as they were measured.
    """
    table = with_columns(pick(table, variance=[0.0, VARIANCE], operation="+"), "x", "layer")
    table = pd.concat([table[table["measure"] != "hessian trace"], total_trace(table).assign(measure="hessian trace")])
    network, found = ["network", "activation"], []
    for measure, part in pick(table, measure=list(MEASURED)).fillna({"x": 0, "layer": 0}).groupby("measure"):
        wide = part.pivot_table(index=[*network, "seed", "x", "layer"], columns="kind", values="value", sort=False)
        if measure == "agreement":
            wide = 100 - wide
        elif measure != "output distance":
            unit = wide[NOISE] if measure == "jacobian norm" else 1
            wide = wide.sub(wide[NOISE], axis=0).abs().div(unit, axis=0).drop(columns=NOISE)
        wide = wide.groupby([*network, "seed"], sort=False).mean()
        wide = 100 * wide.div(wide[BASELINE].groupby(network).transform("mean"), axis=0)
        found.append(wide.stack().rename("value").reset_index().assign(measure=measure))
    return pd.concat(found, ignore_index=True)


def draw_control(table: pd.DataFrame, dataset: str):
    """How far from the noise each way of training is, by measure and network: the baseline is at 100 %."""
    means = mean_and_sem(from_noise(table), ["measure", "network", "activation", "kind"])
    measures = [measure for measure in MEASURED if measure in set(means["measure"])]
    figure, axes = panels(len(measures), height=2.6)
    for axis, measure in zip(axes, measures, strict=False):
        part = pick(means, measure=measure)
        nets = list(part.groupby(["network", "activation"], sort=False).groups)
        kinds = [kind for kind in STYLES if kind != BASELINE and kind in set(part["kind"])]
        for k, kind in enumerate(kinds):
            line = pick(part, kind=kind)
            there = zip(line["network"], line["activation"], strict=True)
            rows = [nets.index(net) + 0.12 * (k - (len(kinds) - 1) / 2) for net in there]
            axis.errorbar(line["value"], rows, xerr=line["sem"], label=kind, capsize=2, **{**STYLES[kind], "ls": ""})
        axis.axvline(100, color=STYLES[BASELINE]["color"], lw=1)
        names = [f"{NAMES.get(network, '2x32')}, {NAMES[activation]}" for network, activation in nets]
        axis.set_yticks(range(len(nets)), names)
        axis.set(title=MEASURED[measure], xlabel="% of the baseline's distance", ylim=(len(nets) - 0.5, -0.5))
        axis.set_xlim(left=0)
    handles = {label: h for a in axes for h, label in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize="small")
    figure.suptitle(f"distance from training with noise: {dataset}, {seeds_of(table)}")
    return figure


PAPERS = [BASELINE, INPUT, NOISE, REGULARISER, TWICE]
"""The kinds of training that stand in the paper's figures; the others are our controls."""


def _rows(measures: list[str], kind=PAPERS, **values):
    return lambda table: pick(table, measure=measures, kind=kind, **values)


def _loss_and_trace(table: pd.DataFrame, network: str, activation: str) -> pd.DataFrame:
    big = pick(table, measure="test loss", network=network, activation=activation)
    small = pick(table, measure="hessian trace", variance=[0.0, VARIANCE])
    return pick(pd.concat([big[big["kind"] != INPUT], small]), kind=PAPERS)


def _images(dataset: str) -> bool:
    return dataset not in TABLES


_TRAINED = "SGD, learning rate 0.001, batch 512 (App. H); epochs not given"
_SENSITIVE = ["accuracy", "jacobian quantile", "jacobian norm", "margin bound"]
_CALIBRATED = ["accuracy", "calibration error", "reliability", "entropy", "mean entropy"]
_LIKENESS = ["agreement", "output distance", "strength", "test loss", "hessian trace", "jacobian norm"]
_COMPARED = [BASELINE, NOISE, REGULARISER]
EXPERIMENTS = [
    Experiment(
        f"{SLUG}/fig-1", "Figure 1", "Test loss and Hessian trace along training",
        f"conv, SVHN, σ² = 0.1, ELU; {_TRAINED}", TRAINING, draw_loss_and_trace,
        lambda table: _loss_and_trace(table, "conv", "elu"), shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-2", "Figure 2", "Fourier spectra of networks that regress sums of sinusoids",
        "6 layers of 256 ReLU units, σ² = 0.1, 10 runs; App. H for the rest", SPECTRA, draw_spectra,
    ),
    Experiment(
        f"{SLUG}/fig-3", "Figure 3", "Sensitivity to noise on the data, and the elements of J_0",
        f"2x512 MLP, CIFAR-10, σ² = 0.1; {_TRAINED}", TRAINING, draw_robustness,
        _rows(_SENSITIVE, network="mlp", activation="elu"), shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-4", "Figure 4", "Reliability diagrams and the entropy of predictions",
        f"σ² = 0.1; {_TRAINED}", TRAINING, draw_calibration,
        _rows(_CALIBRATED, network="mlp", activation="elu"), shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-5", "Figure 5", "J_k J_kᵀ, outputs by outputs", f"MLP and conv, no regularisation; {_TRAINED}",
        TRAINING, draw_grams, _rows(["gram", "off-diagonal share"]), shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-6", "Figure 6", "Distributions of the Jacobians' elements by layer",
        f"2x512 MLP, SVHN and CIFAR-10, σ² = 0.1; {_TRAINED}", TRAINING, draw_jacobians,
        _rows(["jacobian quantile", "jacobian norm"], network="mlp", kind=_COMPARED), shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-7", "Figure 7", "Regression: test loss and Hessian trace along training",
        f"Boston house prices, σ² = 0.1, ELU; {_TRAINED}", TRAINING, draw_loss_and_trace,
        lambda table: _loss_and_trace(table, "mlp", "elu"),
        {"smoke": "diabetes", "desk": "diabetes", "paper": "boston"}, lambda dataset: not _images(dataset),
    ),
    Experiment(
        f"{SLUG}/fig-8", "Figure 8", "Test loss of convolutional networks and MLPs, ReLU and ELU",
        f"σ² = 0.1; {_TRAINED}", TRAINING, draw_losses,
        _rows(["test loss", "training loss", "training accuracy"], network=["mlp", "conv"], kind=_COMPARED),
        shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-9", "Figure 9", "Hessian trace under small additive and multiplicative noise, by layer",
        f"2x32 MLP; CIFAR-10, SVHN, Boston; its small σ² stands only in a picture (ours: {SMALL_VARIANCE})", TRAINING,
        draw_small_noise, _rows(["hessian trace"], variance=[0.0, SMALL_VARIANCE]),
    ),
    Experiment(
        f"{SLUG}/fig-10", "Figure 10", "Sensitivity and the elements of J_0, by network and activation",
        f"2x512 MLP, CIFAR-10 and SVHN, σ² = 0.1; {_TRAINED}", TRAINING, draw_robustness,
        _rows(_SENSITIVE, network=["mlp", "conv"]), shows=_images,
    ),
    Experiment(
        f"{SLUG}/fig-11", "Figure 11", "Reliability and entropy of MLPs and convolutional networks",
        f"SVHN and CIFAR-10, σ² = 0.1, ELU; {_TRAINED}", TRAINING, draw_calibration,
        _rows(_CALIBRATED, network=["mlp", "conv"], activation="elu"), shows=_images,
    ),
    Experiment(
        f"{SLUG}/strengths", "Control", "Validation loss over the strength of two other regularisers",
        "not measured in the paper", STRENGTHS, draw_strengths,
    ),
    Experiment(
        f"{SLUG}/control", "Control", "Noise against its regulariser and two others as strong, image by image",
        "not measured in the paper", TRAINING, draw_control,
        lambda table: pick(table, measure=_LIKENESS),
    ),
    Experiment(
        f"{SLUG}/theorem-1", "Theorem 1", "Both sides of Theorem 1 as the noise vanishes", "not measured in the paper",
        THEOREM, draw_theorem,
    ),
]  # fmt: skip
"""The registered figures of this paper; all but two are views of one sweep."""
