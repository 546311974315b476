"""The explorers of this chapter, from the shipped tables and the paper's, and the live panel for a running kernel."""

import numpy as np
import pandas as pd

from ...draw import decoded, halves, mean_and_sem, panels, pick
from ...explore import Explorer, explorer, live_panel, page_script
from ...noise import DISTRIBUTIONS, ActivationNoise
from .. import read_table, shipped
from . import SLUG, reported
from . import solved as model
from .figures import draw_alphas, draw_densities, draw_race, draw_samples, of_table_pairs
from .racing import border, looks

_KEYS = ["source", "dataset", "distribution", "n", "alpha_train", "alpha_inference"]
_NAMES = {
    "source": "source",
    "dataset": "data set",
    "distribution": "distribution",
    "n": "number of noise samples n",
    "alpha_train": "α at training",
    "alpha_inference": "α at inference",
    "accuracy": "accuracy (%)",
    "sem": "standard error",
    "seeds": "seeds",
}


_FIRST = "ours, images that race on"


def accuracies() -> pd.DataFrame:
    """Every shipped accuracy (mean over seeds) and every reported one, in one table; one budget a data set.

    Those of the first test images, which race on to a larger n, are a source of their own.
    """
    parts = []
    for t in shipped(f"{SLUG}/fig-3"):
        table = read_table(f"{SLUG}/fig-3", t["dataset"], t["budget"])
        sources = {"accuracy": f"ours ({t['budget']})"} | ({"first": _FIRST} if "first" in table else {})
        for column, source in sources.items():
            means = mean_and_sem(table.dropna(subset=column), _KEYS[2:], column).rename(columns={column: "accuracy"})
            parts.append(means.assign(source=source, dataset=t["dataset"]))
    fig_3 = reported.fig_3().assign(source="paper, Fig. 3", dataset="cifar-10", n=1000, seeds=float("nan"))
    table_2 = reported.table_2().assign(source="paper, Table 2", seeds=10)
    both = pd.concat([*parts, *(p.assign(distribution="gaussian") for p in (fig_3, table_2))], ignore_index=True)
    return both.round({"accuracy": 2, "sem": 2})[[*_KEYS, "accuracy", "sem", "seeds"]]


def _spread_noise_free(table: pd.DataFrame) -> pd.DataFrame:
    """Without noise at inference one sample says it all: repeat those rows at every n of their grid."""
    group = ["source", "dataset", "distribution"]
    counts = table.loc[table["alpha_inference"] > 0, [*group, "n"]].drop_duplicates()
    free = table[table["alpha_inference"] == 0]
    one = free[free["source"] != "paper, Fig. 3"].drop(columns="n").merge(counts, on=group)
    rest = table[(table["alpha_inference"] > 0) | (table["source"] == "paper, Fig. 3")]
    return pd.concat([rest, one], ignore_index=True)[table.columns]


def alphas() -> Explorer:
    """Accuracy over α at training and α at inference, by source, data set, distribution and n (Fig. 3, Table 2)."""
    desk = shipped(f"{SLUG}/fig-3")[0]
    return explorer(
        "heatmap",
        _spread_noise_free(accuracies().query("source != @_FIRST")),
        title="Accuracy over noise at training and at inference",
        controls=[
            {"column": "source", "label": "Source"},
            {"column": "dataset", "label": "Data set"},
            {"column": "distribution", "label": "Distribution"},
            {"column": "n", "label": "Samples n", "play": True},
            {"column": "alpha_train", "label": "α at training", "pick": True},
            {"column": "alpha_inference", "label": "α at inference", "pick": True},
        ],
        start={"source": f"ours ({desk['budget']})", "dataset": "cifar-10", "distribution": "gaussian", "n": 100,
               "alpha_train": 0.9, "alpha_inference": 0.9},
        x="alpha_train",
        y="alpha_inference",
        value="accuracy",
        error="sem",
        seeds="seeds",
        presets={"The paper's Table 2": {"source": "paper, Table 2", "n": 10_000}},
        names=_NAMES,
        readout="Trained at α = {alpha_train}, inference at α = {alpha_inference}: accuracy {accuracy} % "
        "(standard error {sem}; seeds: {seeds}).",
        note="hatched: no value; dot: balanced",
        picture=draw_alphas(read_table(f"{SLUG}/fig-3", desk["dataset"], desk["budget"]), desk["dataset"]),
    )  # fmt: skip


def samples() -> Explorer:
    """Accuracy over the number of samples n for any pair of α; ours and the paper's Table 2 together (Fig. 7).

    Ours of all test images, and of the first ones, which race on.
    """
    table = accuracies()
    table = table[(table["source"] != "paper, Fig. 3") & (table["alpha_inference"] > 0)]
    desk = shipped(f"{SLUG}/fig-3")[0]
    ours = of_table_pairs(read_table(f"{SLUG}/fig-3", desk["dataset"], desk["budget"]))
    return explorer(
        "lines",
        table,
        title="Accuracy over the number of noise samples",
        controls=[
            {"column": "dataset", "label": "Data set"},
            {"column": "distribution", "label": "Distribution"},
            {"column": "alpha_train", "label": "α at training"},
            {"column": "alpha_inference", "label": "α at inference"},
        ],
        start={"dataset": "cifar-10", "distribution": "gaussian", "alpha_train": 0.9, "alpha_inference": 0.9},
        x="n",
        value="accuracy",
        error="sem",
        seeds="seeds",
        series="source",
        names=_NAMES,
        symbol="n",
        log=True,
        picture=draw_samples(ours, desk["dataset"]),
    )


_MOMENTS = {
    "gaussian": "Symmetric, light tails.",
    "cauchy": "Symmetric; neither a mean nor a variance exists.",
    "uniform": "Symmetric, bounded.",
    "chi": "Never negative: its mean shifts every activation.",
    "lognormal": "Never negative, heavy tail on the right.",
    "t": "Symmetric, heavy tails; at ν = 1 it is the Cauchy distribution.",
    "exponential": "Never negative: its mean shifts every activation.",
}


def densities() -> Explorer:
    """The density of the normalised noise z̄ and a histogram of our draws, by distribution and parameter (Fig. 5)."""
    raw = read_table(f"{SLUG}/fig-5", "none", "desk")
    raw = raw[raw["seed"] == 0]
    parameters = raw["distribution"].map(lambda name: raw[raw["distribution"] == name]["parameter"].iloc[0])
    raw = raw.assign(noise=raw["distribution"] + " (" + parameters + ")")
    table = raw.melt(["noise", "value", "z"], ["density", "histogram"], var_name="curve", value_name="height").round(
        {"height": 4, "z": 3}
    )
    table["curve"] = table["curve"].map({"density": "exact density", "histogram": "histogram of our draws"})
    pairs = raw[["noise", "distribution", "value"]].drop_duplicates()
    return explorer(
        "lines",
        table,
        title="Densities of the normalised noise",
        controls=[
            {"column": "noise", "label": "Distribution (parameter)"},
            {"column": "value", "label": "Parameter", "play": True},
        ],
        start={"noise": pairs["noise"].iloc[0], "value": 1.0},
        x="z",
        value="height",
        series="curve",
        names={"noise": "distribution", "value": "parameter", "z": "normalised noise z̄", "height": "density",
               "curve": "curve"},
        notes={f"{p.noise}|{p.value:g}": _MOMENTS[p.distribution] for p in pairs.itertuples()},
        symbol="z̄",
        digits=3,
        picture=draw_densities(raw, "none"),
    )  # fmt: skip


_STEPS = [n for n in looks(10_000) if n in (1, 5) or n >= 10]
"""The looks that are shown: before the tenth draw nobody is out."""


def _runs(table: pd.DataFrame) -> list[dict]:
    """The races of one network, an image each, as race.js takes them.

    A look is n, the classes that were drawn, and their least mean energy; `numbers` are, look by look and class by
    class, how far the mean energy lies above the least one, and the standard error of that.
    """
    runs = []
    for _, part in pick(table, seed=0).groupby("x"):
        energies = pick(part, measure="energy")
        energies = energies[energies["n"].isin(_STEPS)]
        seen = [
            [int(n), "".join(f"{k:g}" for k in look["y"]), round(look["value"].min(), 4)]
            for n, look in energies.groupby("n")
        ]
        gaps = energies["value"] - energies.groupby("n")["value"].transform("min")
        numbers = np.column_stack([gaps, energies["error"]])[np.argsort(energies["n"], kind="stable")]
        runs.append({"looks": seen, "numbers": halves(numbers)})
    return runs


def race() -> Explorer:
    """Races that were measured, look by look: the image, its mean energies, and the classes that are left."""
    tables = {t["dataset"]: read_table(f"{SLUG}/race", t["dataset"], t["budget"]) for t in shipped(f"{SLUG}/race")}
    runs = {
        name: {f"{alpha:g}": _runs(part) for alpha, part in table.groupby("alpha")} for name, table in tables.items()
    }
    rows = {name: pick(table, measure="image", seed=0).drop_duplicates("x") for name, table in tables.items()}
    images = {
        name: [{"image": r.text, "side": len(decoded(r.text)), "label": int(r.value)} for r in part.itertuples()]
        for name, part in rows.items()
    }
    first = "cifar-10" if "cifar-10" in runs else next(iter(runs))
    alphas_ = [float(alpha) for alpha in runs[first]]
    borders = {n: round(border(4.0, n), 3) for n in _STEPS if n >= 10}
    return explorer(
        "lines",
        None,
        title="How many draws did each image need?",
        controls=[
            {"column": "dataset", "label": "Data set", "values": sorted(runs, key=lambda name: name != first)},
            {"column": "alpha", "label": "α, balanced", "values": alphas_},
            {"column": "image", "label": "Image", "values": list(range(1, 11))},
            {"column": "n", "label": "Draws n", "values": _STEPS, "play": True},
        ],
        start={"dataset": first, "alpha": 0.9, "image": 1, "n": 10},
        presets={"Start": {"n": 1}, "End": {"n": 10_000}},
        x="x",
        value="value",
        error="error",
        series="series",
        panels=[
            {"own": True},
            {"name": "energies", "x": "draws n", "y": "energies drawn (thousands)", "mark": "n", "log": True},
        ],
        names={"panel": "of", "series": "way", "x": "draws, or class", "value": "value", "error": "standard error"},
        symbol="n",
        log=True,
        digits=3,
        compute=page_script(__package__, "race.js", {"runs": runs, "images": images, "n": 10_000, "border": borders}),
        picture=draw_race(tables[first], first),
    )  # fmt: skip


_TURNED = "turned at random"
_NOISES = [round(0.1 * i, 1) for i in range(17)]


def solved_model() -> Explorer:
    """The solved model, computed in the page: accuracy over α at training and at inference, by the classes' spectra."""
    axes, factors, normals = model.draws()
    data = {"classes": model.CLASSES, "dimension": model.DIMENSION, "images": model.IMAGES, "turned": _TURNED,
            "axes": halves(axes), "factors": halves(factors), "normals": halves(normals)}  # fmt: skip
    return explorer(
        "heatmap",
        None,
        title="The solved model",
        controls=[
            {"column": "alpha", "label": "α at training", "values": _NOISES, "pick": True, "play": True},
            {"column": "beta", "label": "α at inference", "values": _NOISES, "pick": True},
            {"column": "decay", "label": "Decay of the spectra", "values": [0.0, 0.5, 1.0, 1.5, 2.0, 3.0]},
            {"column": "unlike", "label": "How unlike they are", "values": [0.0, 0.5, 1.0, 2.0]},
            {"column": "axes", "label": "Axes of the classes", "values": [_TURNED, "shared by all"]},
        ],
        start={"alpha": 0.5, "beta": 0.5, "decay": 1.5, "unlike": 1.0, "axes": _TURNED},
        presets={
            "The figure": {"decay": 1.5, "unlike": 1.0, "axes": _TURNED},
            "Same axes": {"decay": 1.5, "unlike": 1.0, "axes": "shared by all"},
            "Same spectra": {"decay": 1.5, "unlike": 0.0, "axes": _TURNED},
            "Flat spectra": {"decay": 0.0, "unlike": 1.0, "axes": _TURNED},
        },
        x="alpha",
        y="beta",
        value="accuracy",
        ring="ring",
        names={"alpha": "α at training", "beta": "α at inference", "accuracy": "accuracy (%)", "ring": "best in row"},
        readout="Trained at α = {alpha}, inference at α = {beta}: accuracy {accuracy} %, with infinitely many draws.",
        note="dot: balanced; ring: the best training for this inference",
        compute=page_script(__package__, "solved.js", data),
        picture=_draw_solved(),
    )  # fmt: skip


def _draw_solved():
    """The explorer's picture, for pages without scripts: the whole plane, as it begins."""
    figure, (axis,) = panels(1, columns=1)
    axes, factors, normals = model.draws()
    spectrum = model.spectra(factors, 1.5)
    square, labels = model.squares(axes, normals, spectrum)
    plane = [[model.accuracy(square, labels, spectrum, alpha, beta) for alpha in _NOISES] for beta in _NOISES]
    image = axis.imshow(plane, cmap="cividis", vmin=0, vmax=100, origin="lower", extent=(-0.05, 1.65, -0.05, 1.65))
    axis.set(xlabel="α at training", ylabel="α at inference")
    figure.colorbar(image, ax=axis, label="accuracy (%)")
    return figure


EXPLORERS = (alphas, samples, race, densities, solved_model)


def live():
    """A panel that trains and infers for real on the digits: α, distribution, n and epochs (see `live_panel`).

    Networks are kept, so that a change of α at inference or of n does not train again.
    """
    import torch
    from matplotlib.figure import Figure

    from ...data import load_data
    from .method import accuracy_over_n, train_autoencoders

    data, networks = load_data("digits", test=100), {}

    def compute(train, test, distribution, n, epochs, say):
        key = (distribution, train, epochs)
        if key not in networks:
            say("training …")
            networks[key] = train_autoencoders(
                data.x_train, data.y_train, ActivationNoise(distribution, train), epochs=epochs, batch_size=32,
                progress=False,
            )  # fmt: skip
        torch.manual_seed(0)
        accuracy, _ = accuracy_over_n(networks[key], data.x_test, data.y_test, test, n)
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axis = figure.subplots()
        axis.plot(range(1, len(accuracy) + 1), accuracy, "o-", ms=3)
        axis.set(xlabel="number of noise samples n", ylabel="accuracy (%)", ylim=(0, 102))
        return figure, f"{accuracy[-1]:.1f} % with {len(accuracy)} samples on 100 test digits"

    controls = {
        "α at training": (0.5, (0, 2, 0.1)),
        "α at inference": (0.5, (0, 2, 0.1)),
        "distribution": ("gaussian", list(DISTRIBUTIONS)),
        "samples n": (20, (1, 100, 1)),
        "epochs": (10, (1, 50, 1)),
    }
    return live_panel(controls, "Train and infer", compute)
