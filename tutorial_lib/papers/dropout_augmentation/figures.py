"""The figures of "Dropout as Data Augmentation": views of its sweeps, and how they are drawn."""

import numpy as np
import pandas as pd

from ...draw import OKABE_ITO, curves, decoded, mean_and_sem, panels, pick, seeds_of
from ...sweep import Experiment
from . import SLUG
from .cost import COST, KINDS
from .layers import (
    DESCENT,
    DROPPED_WEIGHTS,
    EXISTENCE,
    PICTURES,
    PLAIN,
    PROJECTION,
    RANDOM_WEIGHTS,
    SILENCED,
    SOLVER,
)
from .sweeps import (
    DIMMED,
    DROPOUT,
    DROPPED,
    EACH,
    EQUAL,
    IMAGES,
    JOINT,
    MOVED,
    NONE,
    OTHERS,
    RANDOM,
    SCALED,
    SOLVED,
    TRAINING,
    UNIT,
)

STYLES = {
    NONE: {"color": OKABE_ITO[0], "ls": ":", "marker": "o"},
    DROPOUT: {"color": OKABE_ITO[4], "ls": "-", "marker": "s"},
    RANDOM: {"color": OKABE_ITO[5], "ls": "-", "marker": "D"},
    EQUAL: {"color": OKABE_ITO[1], "ls": "--", "marker": "^"},
    UNIT: {"color": OKABE_ITO[2], "ls": "-.", "marker": "v"},
    JOINT: {"color": OKABE_ITO[3], "ls": "-", "marker": "P"},
    SOLVED: {"color": OKABE_ITO[6], "ls": "--", "marker": "X"},
    EACH: {"color": OKABE_ITO[1], "ls": "-.", "marker": "<"},
    MOVED: {"color": OKABE_ITO[2], "ls": ":", "marker": ">"},
    OTHERS: {"color": OKABE_ITO[7], "ls": ":", "marker": "*"},
    DIMMED: {"color": OKABE_ITO[4], "ls": ":", "marker": "h"},
    SCALED: {"color": OKABE_ITO[6], "ls": ":", "marker": "x"},
}
_NETWORKS = [
    {"color": OKABE_ITO[4], "marker": "o", "ls": "-"},
    {"color": OKABE_ITO[5], "marker": "s", "ls": "--"},
    {"color": OKABE_ITO[1], "marker": "D", "ls": "-."},
    {"color": OKABE_ITO[3], "marker": "^", "ls": ":"},
    {"color": OKABE_ITO[2], "marker": "v", "ls": "-"},
]


def by_network(table: pd.DataFrame) -> dict[str, dict]:
    """A line's look for each network of a table."""
    return dict(zip(table["network"].unique(), _NETWORKS, strict=False))


def with_none(table: pd.DataFrame, kind: str, level: str = "hidden") -> pd.DataFrame:
    """The rows of a kind of training, and those without noise as its level 0.

    >>> rows = pd.DataFrame({"kind": ["none", "dropout", "x*"], "hidden": [0.0, 0.5, 0.5]})
    >>> with_none(rows, "dropout")["hidden"].tolist()
    [0.0, 0.5]
    """
    return pick(table, kind=[NONE, kind]).sort_values(level)


def draw_dropped(table: pd.DataFrame, dataset: str):
    """Fig. 1: the share of a layer's units that is dropped: exact (lines) and drawn (dots)."""
    levels = sorted(table["p"].unique())
    figure, axes = panels(len(levels), columns=min(3, len(levels)))
    units = table["share"].nunique() - 1
    for axis, p in zip(axes, levels, strict=False):
        for scheme in (DROPOUT, RANDOM):
            part = pick(table, p=p, scheme=scheme)
            exact = part.drop_duplicates("share").sort_values("share")
            drawn = part.groupby("share")["drawn"].mean()
            style = STYLES[scheme]
            axis.plot(exact["share"], exact["probability"] * units, color=style["color"], label=scheme)
            axis.plot(drawn.index, drawn * units, ".", ms=3, color=style["color"], alpha=0.5)
        axis.set(title=f"p = {p:g}", xlabel="share of units dropped", ylabel="density")
    axes[0].legend(fontsize="x-small", title=f"{units} units", title_fontsize="x-small")
    return figure


def _show(axis, text: str, title: str = "") -> None:
    axis.imshow(decoded(text), cmap="gray", vmin=0, vmax=255)
    if title:
        axis.set_title(title, fontsize=7, pad=2)


def draw_images(scheme: str):
    """A drawing of Figs. 2 and 5: images, and x* of each under several masks; by descent, and well solved."""

    def draw(table: pd.DataFrame, dataset: str):
        from matplotlib.figure import Figure

        rows = pick(table, measure="image", scheme=scheme)
        images, draws = int(rows["x"].max()) + 1, int(rows["draw"].max()) + 1
        figure = Figure(figsize=(7, 0.82 * 2 * images * 7 / draws / 1.1 + 0.6), layout="constrained")
        for part, how in zip(figure.subfigures(2, 1), (DESCENT, SOLVER), strict=True):
            left = pick(table, measure="residual", scheme=scheme, how=how)["value"].mean()
            part.suptitle(f"{scheme}, {how}: {100 * left:.0f} % of the displacement left", fontsize=9)
            axes = part.subplots(images, draws, squeeze=False)
            for i in range(images):
                for k in range(draws):
                    axes[i, k].axis("off")
                    (row,) = pick(rows, how=how, x=i, draw=k).to_dict("records")
                    said = "x" if k == 0 else f"{100 * row['value']:.0f} %"
                    _show(axes[i, k], row["text"], said if i == 0 or k else "")
        return figure

    return draw


def draw_features(table: pd.DataFrame, dataset: str):
    """Fig. 3: an image, one of its most active features, x* without it, and the image with the feature removed."""
    from matplotlib.figure import Figure

    features = pick(table, measure="feature", scheme=DROPOUT)
    images = int(features["x"].max()) + 1
    figure = Figure(figsize=(7, 0.72 * images + 0.25), layout="constrained")
    axes = figure.subplots(images, 10, squeeze=False)
    originals = pick(table, measure="image", scheme=DROPOUT, how=DESCENT, draw=0)
    for i in range(images):
        for axis in axes[i]:
            axis.axis("off")
        _show(axes[i, 0], pick(originals, x=i)["text"].iloc[0], "x" if i == 0 else "")
        for k in range(3):
            kinds = (
                ("feature", "weights", "feature"),
                ("feature off", SOLVER, "x*"),
                ("feature off", SILENCED, "removed"),
            )
            for j, (measure, how, said) in enumerate(kinds):
                text = pick(table, measure=measure, how=how, scheme=DROPOUT, x=i, draw=k)["text"].iloc[0]
                _show(axes[i, 1 + 3 * k + j], text, said if i == 0 else "")
    return figure


def draw_training(table: pd.DataFrame, dataset: str):
    """Fig. 4: test error over the level of noise behind the hidden layers: dropout, x*; and the controls."""
    errors = pick(table, measure="error")
    figure, axes = panels(3, columns=3)
    looks = by_network(pick(errors, kind=JOINT))
    for axis, kind in zip(axes, (DROPOUT, JOINT), strict=False):
        part = pick(with_none(errors, kind), input=0.0)
        labels = {"title": kind, "xlabel": "level p behind hidden layers", "ylabel": "test error (%)"}
        curves(axis, part, looks, "network", "hidden", **labels)
    axes[0].legend(fontsize="x-small", title=f"{dataset}, {seeds_of(errors)}", title_fontsize="x-small")
    low = min(axis.get_ylim()[0] for axis in axes[:2])
    high = max(axis.get_ylim()[1] for axis in axes[:2])
    for axis in axes[:2]:
        axis.set_ylim(low, high)
    controls = controlled(errors)
    means = mean_and_sem(controls, ["kind"]).set_index("kind")
    means = means.reindex([kind for kind in STYLES if kind in means.index])
    for place, (kind, row) in enumerate(means.iterrows()):
        axes[2].errorbar(row["value"], place, xerr=row["sem"], capsize=3, **STYLES[kind])
    axes[2].set(yticks=range(len(means)), xlabel="test error (%)")
    axes[2].set_yticklabels(means.index, fontsize="x-small")
    axes[2].invert_yaxis()
    axes[2].grid(axis="x", alpha=0.3)
    axes[2].set_title(f"{controls['network'].iloc[0]}, p = {controls['hidden'].max():g}", fontsize="small")
    return figure


def controlled(errors: pd.DataFrame) -> pd.DataFrame:
    """The rows of the network and level of Fig. 4's controls: they, and none, dropout and x* there."""
    found = pick(errors, kind=[k for k in IMAGES if k != JOINT])
    if found.empty:
        found = pick(errors, kind=JOINT)
    network, level = found["network"].iloc[0], found["hidden"].max()
    rows = pick(errors, network=network, input=0.0)
    return rows[(rows["kind"] == NONE) | (rows["kind"].isin([DROPOUT, *IMAGES]) & (rows["hidden"] == level))]


def columns(errors: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, str]]:
    """The three columns of Fig. 6, by title: their rows and the column that holds the level."""
    wide = pick(errors, kind=RANDOM)["network"].unique()
    errors = errors[errors["network"].isin(wide)]
    zero = pick(errors, kind=NONE)
    plain = pick(errors, kind=DROPOUT)
    ranged = pick(errors, kind=RANDOM)
    return {
        "input noise (hidden 0.5)": (pick(plain, hidden=0.5), "input"),
        "hidden noise (input 0.2)": (pick(plain, input=0.2), "hidden"),
        "random dropout, both in [0, p]": (pd.concat([zero, ranged]), "hidden"),
    }


def same_level(errors: pd.DataFrame) -> pd.DataFrame:
    """Networks with the same p behind input and hidden layers, of every scheme, and those without noise."""
    wide = pick(errors, kind=RANDOM)["network"].unique()
    rows = errors[errors["network"].isin(wide) & (errors["hidden"] == errors["input"])]
    return pick(rows, kind=[NONE, DROPOUT, RANDOM, EQUAL, UNIT])


def draw_levels(table: pd.DataFrame, dataset: str):
    """Fig. 6: test error over input noise, hidden noise, and the range of random dropout; and our comparison."""
    errors = pick(table, measure="error")
    figure, axes = panels(4)
    looks = by_network(pick(errors, kind=RANDOM))
    for axis, (title, (part, level)) in zip(axes, columns(errors).items(), strict=False):
        curves(axis, part, looks, "network", level, title=title, xlabel="level p", ylabel="test error (%)")
    axes[0].legend(fontsize="x-small", title=f"{dataset}, {seeds_of(errors)}", title_fontsize="x-small")
    means = same_level(errors).groupby(["kind", "hidden", "seed"])["value"].mean().reset_index()
    for kind in (DROPOUT, RANDOM, EQUAL, UNIT):
        part = pick(means, kind=[NONE, kind]).assign(kind=kind)
        labels = {"title": "one p for input and hidden layers", "xlabel": "level p", "ylabel": "test error (%)"}
        curves(axes[3], part, {kind: STYLES[kind]}, "kind", "hidden", **labels)
    # dropout at a high level in all layers may not learn at all: then it leaves the picture, and its error is written
    others = means[means["kind"] != DROPOUT].groupby(["kind", "hidden"])["value"].mean().max()
    gone = pick(means, kind=DROPOUT).groupby("hidden")["value"].mean()
    gone = gone[gone > 2 * others]
    if len(gone):
        axes[3].set_ylim(0, 2 * others)
        said = ", ".join(f"{value:.0f} % at {level:g}" for level, value in gone.items())
        axes[3].set_title(f"one p for input and hidden layers\n(off the scale: dropout, {said})", fontsize="small")
    axes[3].legend(fontsize="x-small", loc="upper left")
    return figure


_WEIGHTS = {
    RANDOM_WEIGHTS: {"color": OKABE_ITO[0], "ls": "-", "marker": "o"},
    PLAIN: {"color": OKABE_ITO[4], "ls": "--", "marker": "s"},
    DROPPED_WEIGHTS: {"color": OKABE_ITO[5], "ls": "-.", "marker": "D"},
}


def draw_existence(table: pd.DataFrame, dataset: str):
    """Where exact x* exist: share of the images over units per input, by weights and level; the theorem's bound."""
    levels = sorted(table["p"].unique())
    figure, axes = panels(len(levels), columns=len(levels))
    for axis, p in zip(axes, levels, strict=True):
        part = pick(table, p=p, scaled=False)
        labels = {"title": f"p = {p:g}", "xlabel": "units per input", "ylabel": "x* exists (% of images)"}
        curves(axis, pick(part, measure="exists"), _WEIGHTS, "weights", "ratio", **labels)
        bound = pick(part, measure="bound", weights=RANDOM_WEIGHTS).groupby("ratio")["value"].mean()
        axis.plot(bound.index, bound, color="0.6", lw=1, label="bound, random")
        axis.set_ylim(-3, 103)
    axes[0].legend(fontsize="x-small", title=f"{dataset}, {seeds_of(table)}", title_fontsize="x-small")
    return figure


def draw_projection(table: pd.DataFrame, dataset: str):
    """What is left to be minimised after so many passes: the paper's descent, and ours."""
    part = pick(table, measure="objective", training=DROPOUT, scaled=False)
    names = {"both": "one x* for both layers", "layer 1": "x* for layer 1", "layer 2": "x* for layer 2"}
    figure, axes = panels(3, columns=3)
    readings = {
        "descent, mean over units and batch": pick(part, how=DESCENT, mean_over="batch"),
        "descent, mean over units": pick(part, how=DESCENT, mean_over="units"),
        "our solver": pick(part, how=SOLVER),
    }
    looks, highest, ticks = [STYLES[JOINT], STYLES[DROPOUT], STYLES[RANDOM]], 1.1, [2, 5, 10, 20, 50, 100]
    for axis, (asked, title) in zip(axes, names.items(), strict=True):
        for (name, rows), look in zip(readings.items(), looks, strict=True):
            rows = pick(rows, asked_of=asked).assign(how=name)
            # passes of one number of steps differ by a few from run to run: they share their mean
            rows = rows.assign(x=rows.groupby("steps")["x"].transform("mean"))
            if rows["value"].min() > highest:
                name = f"{name}: off the scale"
                rows = rows.assign(how=name)
            curves(axis, rows, {name: look}, "how", title=title, xlabel="passes", ylabel="squared error left (share)")
        axis.set(ylim=(0, highest), xscale="log")
        axis.set_xticks(ticks, map(str, ticks))
        axis.set_xticks([], minor=True)
    axes[0].legend(fontsize="x-small", title=f"{dataset}, {seeds_of(part)}", title_fontsize="x-small")
    return figure


def draw_cost(table: pd.DataFrame, dataset: str):
    """The time of an epoch of each kind of training, over that of an epoch without noise."""
    figure, (axis,) = panels(1, columns=1)
    figure.set_size_inches(6.8, 3.0)
    means = mean_and_sem(pick(table, measure="time"), ["network", "kind"])
    looks = by_network(table)
    for k, (network, look) in enumerate(looks.items()):
        rows = pick(means, network=network).set_index("kind").loc[list(KINDS)]
        up = np.arange(len(KINDS)) + 0.2 * (k - (len(looks) - 1) / 2)
        axis.errorbar(rows["value"], up, xerr=rows["sem"], label=network, **{**look, "ls": ""})
    axis.set(
        xscale="log", xlabel="time of an epoch (in epochs without noise)", yticks=range(len(KINDS)), yticklabels=KINDS
    )
    axis.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"], minor=False)
    axis.set_xticks([], minor=True)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize="x-small", title=f"{dataset}, {seeds_of(table)}", title_fontsize="x-small")
    return figure


_PAPER = "501 epochs on 50,000 images, the best by validation trained for 150 more on 60,000; error of the last 75"
EXPERIMENTS = [
    Experiment(f"{SLUG}/fig-1", "Figure 1", "Proportion of units dropped, by scheme", "p = 0.5", DROPPED, draw_dropped),
    Experiment(
        f"{SLUG}/fig-2", "Figure 2", "x* under dropout, in an autoencoder",
        "p = 0.4, 300 epochs, batches of 100; MNIST and CIFAR-10 (781 principal components); 10 steps at rate 100",
        PICTURES, draw_images(DROPOUT),
    ),
    Experiment(
        f"{SLUG}/fig-3", "Figure 3", "One feature shut off: x* beside the image without it",
        "the five most active features of an image, MNIST", PICTURES, draw_features,
    ),
    Experiment(
        f"{SLUG}/fig-4", "Figure 4", "Test error: dropout against training on x and x*",
        f"2500-2500, 2500-1250, 1500-1500, 1500-750 units; {_PAPER}; 20 steps at rates 300 and 30", TRAINING,
        draw_training,
    ),
    Experiment(
        f"{SLUG}/fig-5", "Figure 5", "x* under random dropout, in an autoencoder", "as Figure 2, with random levels",
        PICTURES, draw_images(RANDOM),
    ),
    Experiment(
        f"{SLUG}/fig-6", "Figure 6", "Test error over input noise, hidden noise, and the range of random dropout",
        f"2500-625, 2500-1250, 2500-2500 units; {_PAPER}", TRAINING, draw_levels,
    ),
    Experiment(
        f"{SLUG}/existence", "Section 3.1", "Where an exact x* exists", "not measured in the paper", EXISTENCE,
        draw_existence,
    ),
    Experiment(
        f"{SLUG}/projection", "Section 5.2", "Squared error left after so many passes, by way of finding x*",
        "20 steps at rates 300 and 30", PROJECTION, draw_projection,
    ),
    Experiment(
        f"{SLUG}/cost", "Section 5.3", "Time of an epoch by kind of training, over one without noise",
        "no additional computational cost", COST, draw_cost,
    ),
]  # fmt: skip
"""The registered figures of this paper, and three tables of ours."""
