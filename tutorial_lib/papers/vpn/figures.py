"""The figures and tables of "Variational Positive-incentive Noise": views of its sweeps, and how they are drawn."""

from functools import partial

import numpy as np
import pandas as pd

from ...draw import OKABE_ITO, curves, decoded, mean_and_sem, panels, pick, seeds_of
from ...sweep import Experiment
from . import SLUG, reported
from .cost import COST, EACH, SHARED
from .information import BOUND, LOGISTIC, POSTERIOR, TRAINED
from .maps import MAPS, SCENES
from .sweeps import (
    BASELINES,
    BLIND,
    CURVES,
    EVEN,
    FIXED,
    FROZEN,
    JOINT,
    LABEL,
    LONGER,
    NONE,
    RANDOM,
    SHUFFLED,
    TINY,
    TRAINING,
)

STYLES = {
    JOINT: {"color": OKABE_ITO[4], "ls": "-", "marker": "s"},
    FIXED: {"color": OKABE_ITO[5], "ls": "-", "marker": "D"},
}

WITH, WITHOUT = "accuracy", "accuracy, no noise"


def of_kinds(*kinds: str):
    """A view: the rows of these kinds of training."""
    return lambda table: pick(table, kind=list(kinds))


def _cell(values: pd.Series) -> str:
    sem = f" ± {values.sem():.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{sem}"


def draw_table(table: pd.DataFrame, dataset: str, item: str, kind: str) -> pd.DataFrame:
    """A table of accuracies in percent (± standard error): a row for each noise, a column for each base, as the paper.

    With a second optimiser its columns follow. The paper's own numbers stand beside ours where it has the data set.
    """
    several = table["optimizer"].nunique() > 1
    columns: dict[str, dict[str, str]] = {}

    def put(base: str, optimizer: str, row: str, values: pd.Series) -> None:
        name = f"{base} ({optimizer})" if several else base
        columns.setdefault(name, {})[row] = _cell(values)

    for (base, optimizer, generator), part in table.groupby(["base", "optimizer", "generator"], sort=False):
        if generator == "none":
            for name, said in ((NONE, "Baseline"), (LONGER, "Baseline, twice as long"), (RANDOM, "Random")):
                found = pick(part, kind=name, measure=WITHOUT)
                if len(found):
                    put(base, optimizer, said, found["value"])
            continue
        for measure, said in ((WITH, generator), (WITHOUT, f"{generator} (No Noise)")):
            if kind == JOINT or measure == WITH:
                put(base, optimizer, said, pick(part, kind=kind, measure=measure)["value"])
    paper = pick(reported.tables(), item=item, dataset=dataset)
    names = {"none": "Baseline", "random": "Random"}
    for row in paper.itertuples():
        after = " (No Noise)" if row.generator not in names and row.noise_at_test == "no" else ""
        columns.setdefault(f"{row.base}, paper", {})[names.get(row.generator, row.generator) + after] = (
            f"{row.value:.2f}"
        )
    return pd.DataFrame(columns).fillna("")


_CURVES = {
    0: {"color": OKABE_ITO[0], "ls": ":"},
    1: {"color": OKABE_ITO[4], "ls": "-"},
    2: {"color": OKABE_ITO[2], "ls": "--"},
    4: {"color": OKABE_ITO[1], "ls": "-."},
    8: {"color": OKABE_ITO[5], "ls": "-"},
    16: {"color": OKABE_ITO[6], "ls": "-"},
}


def draw_curves(table: pd.DataFrame, dataset: str):
    """Figs. 2 and 3: loss, training and test accuracy by epoch, without noise and with m draws an image."""
    figure, axes = panels(3)
    base = ", ".join(table["base"].unique())
    styles = {name_of_m(m): style for m, style in _CURVES.items() if m in set(table["m"])}
    named = table.assign(m=table["m"].map(name_of_m))
    kinds = (
        ("loss", "loss that is trained on (nats)"),
        ("training accuracy", "training accuracy (%)"),
        ("accuracy", "test accuracy (%)"),
    )
    for axis, (measure, label) in zip(axes[:3], kinds, strict=True):
        curves(axis, pick(named, measure=measure), styles, "m", xlabel="epoch", ylabel=label)
    axes[0].legend(fontsize="x-small", title=f"{base} on {dataset}, {seeds_of(table)}", title_fontsize="x-small")
    return figure


def name_of_m(m: int) -> str:
    """A curve's name: without noise (m = 0), or with m draws.

    >>> name_of_m(0), name_of_m(4)
    ('no noise', 'm = 4')
    """
    return f"m = {m:g}" if m else "no noise"


def draw_maps(table: pd.DataFrame, dataset: str):
    """Fig. 4: an image a class, the noise's variance, the noisy image; of joint training and on a fixed base."""
    from matplotlib.figure import Figure

    kinds = [kind for kind in (JOINT, FIXED) if kind in set(table["kind"])]
    count = int(pick(table, measure="image")["x"].max()) + 1
    figure = Figure(figsize=(7, 7 / count * 0.8 * 3 * len(kinds) + 0.4), layout="constrained")
    for part, kind in zip(np.atleast_1d(figure.subfigures(len(kinds), 1)), kinds, strict=True):
        part.suptitle(f"{kind}; under each map the largest deviation of the noise", fontsize=8)
        axes = part.subplots(3, count, squeeze=False)
        for k in range(count):
            for axis, measure in zip(axes[:, k], ("image", "variance", "noisy"), strict=True):
                (row,) = pick(table, kind=kind, measure=measure, x=k).to_dict("records")
                shown = decoded(row["text"])
                if measure == "variance":
                    shown = shown.mean(-1) if shown.ndim == 3 else shown
                    axis.set_xlabel(f"{row['value']:.2g}", fontsize=6, labelpad=1)
                axis.imshow(shown, cmap="inferno" if measure == "variance" else "gray", vmin=0, vmax=255)
                axis.set(xticks=[], yticks=[])
                if k == 0:
                    axis.set_ylabel(measure, fontsize=7)
    return figure


_SHARES = {
    "background": "learned noise",
    "background, place": "the same maps on other images",
    "background, area": "even",
}


def draw_scenes(table: pd.DataFrame, dataset: str):
    """The share of the noise that lies on the background, against chance; and what the noise's map resembles."""
    kinds = [kind for kind in (JOINT, FIXED) if kind in set(table["kind"])]
    figure, axes = panels(2)
    bars = {"edges": "the image's edges", "gradient": "|gradient| of the loss", "derivative": "∂E[loss]/∂Σ"}
    for axis, names, label in (
        (axes[0], _SHARES, "noise on the background (% of its variance)"),
        (axes[1], bars, "correlation over pixels"),
    ):
        for k, kind in enumerate(kinds):
            means = mean_and_sem(pick(table, kind=kind, measure=list(names)), ["measure"]).set_index("measure")
            means = means.reindex([name for name in names if name in means.index])
            where = np.arange(len(means)) + 0.2 * (k - (len(kinds) - 1) / 2)
            axis.errorbar(means["value"], where, xerr=means["sem"], capsize=3, label=kind, **{**STYLES[kind], "ls": ""})
            axis.set_yticks(range(len(means)), [names[name] for name in means.index], fontsize="x-small")
        axis.set(xlabel=label, ylim=(len(names) - 0.5, -0.5))
        axis.grid(axis="x", alpha=0.3)
    axes[1].axvline(0, color="0.6", lw=1)
    axes[0].legend(fontsize="x-small", title=seeds_of(table), title_fontsize="x-small", loc="lower right")
    return figure


_QS = {
    POSTERIOR: {"color": OKABE_ITO[0], "ls": "-", "marker": "o"},
    TRAINED: {"color": OKABE_ITO[4], "ls": "-.", "marker": "s"},
    LOGISTIC: {"color": OKABE_ITO[5], "ls": "--", "marker": "D"},
}


def draw_bound(table: pd.DataFrame, dataset: str):
    """I(T, E) and its bound by base model; the gap; each over the ratio of the labels' widths of noise."""
    figure, axes = panels(2)
    curves(axes[0], pick(table, measure="bound"), _QS, "q", "ratio", xlabel="width for label 1 / width for label 0",
           ylabel="nats", title="bound by q, and I(T, E)", xscale="log")  # fmt: skip
    exact = pick(table, measure="I(T, E)").groupby("ratio")["value"].mean()
    entropy = pick(table, measure="H(T)")["value"].mean()
    axes[0].plot(exact.index, exact, color="0.6", lw=4, alpha=0.5, label="I(T, E)", zorder=0)
    axes[0].axhline(entropy, color="0.6", lw=1, ls=":")
    axes[0].annotate("H(T)", (1, entropy), fontsize=8, va="bottom")
    axes[0].legend(fontsize="x-small", title=seeds_of(table), title_fontsize="x-small", loc="center right")
    curves(axes[1], pick(table, measure="gap"), _QS, "q", "ratio", xlabel="width for label 1 / width for label 0",
           ylabel="nats", title="gap: a mean KL divergence", xscale="log")  # fmt: skip
    return figure


_LABELS = {
    "change of the noise over labels (%)": {"change": "change"},
    "test accuracy (%)": {
        "accuracy": "Algorithm 2", "accuracy, no noise": "no noise", "accuracy, own label": "noise for the right label",
    },
    "agrees with the plain argmax (%)": {
        "agreement": "Algorithm 2", "agreement, one noise": "noise for label 0, always",
    },
    "says a certain wrong label (%)": {
        "follows": "noise for this label", "follows, chance": "noise for another wrong one",
    },
}  # fmt: skip


def draw_label(table: pd.DataFrame, dataset: str):
    """How much the noise depends on the label, and what Algorithm 2 makes of it, over γ."""
    figure, axes = panels(4)
    looks = [
        {"color": OKABE_ITO[4], "ls": "-", "marker": "s"},
        {"color": OKABE_ITO[0], "ls": ":", "marker": "o"},
        {"color": OKABE_ITO[5], "ls": "--", "marker": "D"},
    ]
    least = table.loc[table["gamma"] > 0, "gamma"].min()
    for axis, (label, names) in zip(axes, _LABELS.items(), strict=True):
        rows = pick(table, measure=list(names))
        styles = dict(zip(names.values(), looks, strict=False))
        curves(axis, rows.assign(name=rows["measure"].map(names)), styles, "name", "gamma", xlabel="γ", ylabel=label)
        axis.set_xscale("symlog", linthresh=least)
        if len(names) > 1:
            axis.legend(fontsize="x-small")
    axes[0].set_title(f"{dataset}, {seeds_of(table)}", fontsize="small")
    return figure


def draw_baselines(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Test accuracy in percent without noise by optimiser, and the paper's."""
    rows = pick(table, measure="accuracy")
    found = {
        base: {optimizer: _cell(values["value"]) for optimizer, values in part.groupby("optimizer", sort=False)}
        for base, part in rows.groupby("base", sort=False)
    }
    paper = pick(reported.tables(), item="table-1", dataset=dataset, generator="none")
    for row in paper.itertuples():
        found.setdefault(row.base, {})["the paper"] = f"{row.value:.2f}"
    return pd.DataFrame(found).fillna("")


def draw_cost(table: pd.DataFrame, dataset: str):
    """The time of an update over m, and of Algorithm 2, over that without noise."""
    figure, (axis,) = panels(1, columns=1)
    figure.set_size_inches(6.8, 3.2)
    looks = {SHARED: "-", EACH: "--"}
    for k, base in enumerate(table["base"].unique()):
        for way, ls in looks.items():
            part = pick(table, base=base, measure="update", way=way)
            style = {way: {"color": OKABE_ITO[(4, 5, 3)[k]], "ls": ls, "marker": "osD"[k]}}
            curves(axis, part.assign(way=f"{base}: {way}"), {f"{base}: {way}": style[way]}, "way",
                   xlabel="draws an image, m", ylabel="time of an update\n(in updates without noise)")  # fmt: skip
    axis.set(yscale="log", xscale="log")
    counts = sorted(pick(table, measure="update", way=SHARED)["x"].unique())
    axis.set_xticks(counts, [f"{m:g}" for m in counts])
    axis.set_xticks([], minor=True)
    axis.legend(fontsize="x-small", title=f"{dataset}, {seeds_of(table)}", title_fontsize="x-small",
                loc="center left", bbox_to_anchor=(1, 0.5))  # fmt: skip
    return figure


_COMMON = "40 epochs, batches of 256, learning rate 0.001, γ = 0.01/|Y|, m = 1, 5 runs; the optimiser is not named"
_JOINT = of_kinds(NONE, LONGER, RANDOM, JOINT, BLIND, FROZEN, EVEN, SHUFFLED)
EXPERIMENTS = [
    Experiment(
        f"{SLUG}/table-1", "Table 1", "Test accuracy of bases that are trained jointly with a generator",
        f"SR, DNN3, ResNet18, ResNet34 on Fashion-MNIST and CIFAR-10; {_COMMON}", TRAINING,
        partial(draw_table, item="table-1", kind=JOINT), _JOINT,
    ),
    Experiment(
        f"{SLUG}/table-2", "Table 2", "Test accuracy of fixed bases with a generator that is trained after them",
        f"SR, DNN3, ResNet18, ResNet34 on Fashion-MNIST and CIFAR-10; {_COMMON}", TRAINING,
        partial(draw_table, item="table-2", kind=FIXED), of_kinds(NONE, JOINT, FIXED),
    ),
    Experiment(
        f"{SLUG}/table-3", "Table 3", "Test accuracy on Tiny ImageNet, base and generator trained jointly",
        f"ResNet18, ResNet34, ResNet50 on Tiny ImageNet, batches of 128; {_COMMON}", TINY,
        partial(draw_table, item="table-3", kind=JOINT), _JOINT,
    ),
    Experiment(
        f"{SLUG}/fig-2", "Figure 2", "Convergence with a generator and without", f"ResNet18, generator DNN3; {_COMMON}",
        CURVES, draw_curves, select=lambda table: pick(table, m=[0, 1]),
    ),
    Experiment(
        f"{SLUG}/fig-3", "Figure 3", "Convergence by the number m of draws an image",
        f"ResNet18, generator DNN3; {_COMMON}, but m", CURVES, draw_curves, select=lambda table: table[table["m"] > 0],
    ),
    Experiment(
        f"{SLUG}/fig-4", "Figure 4", "Images, the variance of the noise that was learned for them, and noisy images",
        "not said which base and generator", MAPS, draw_maps,
    ),
    Experiment(
        f"{SLUG}/scenes", "Section 4.3", "Where the noise lies, on scenes whose objects are known",
        "not measured in the paper", SCENES, draw_scenes,
    ),
    Experiment(
        f"{SLUG}/bound", "Section 3.2", "Mutual information, its bound and the gap, where p(y|x) is known",
        "not measured in the paper", BOUND, draw_bound,
    ),
    Experiment(
        f"{SLUG}/label", "Section 4.1", "What the noise tells of its label, and what Algorithm 2 makes of it, over γ",
        "γ = 0.01/|Y|", LABEL, draw_label,
    ),
    Experiment(
        f"{SLUG}/baselines", "Table 1, Baseline", "Test accuracy without noise, by optimiser", _COMMON, BASELINES,
        draw_baselines,
    ),
    Experiment(
        f"{SLUG}/cost", "Section 4.2", "Time of an update over m, and of Algorithm 2's |Y| passes",
        "larger m leads to faster convergence; m = 1 when the computing resources are limited", COST, draw_cost,
    ),
]  # fmt: skip
"""Every figure and table of this chapter that has a result."""
