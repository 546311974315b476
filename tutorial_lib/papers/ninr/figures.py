"""The figures and tables of "Noise Injection Node Regularization": views of its sweeps, and how they are drawn."""

import pandas as pd

from ...draw import OKABE_ITO, curves, mean_and_sem, panels, pick, seeds_of
from ...sweep import Experiment
from . import SLUG, method, reported
from .dynamics import DYNAMICS, EQUAL, PAPER_STRENGTHS, RANDOM, TOY, WIDE
from .pad import BARE, NODE, PAD, PLAIN
from .sweeps import BATCH_NORM, CDT, COLOUR, DROPOUT, FULL, IN, L2, LONG, NONE, SIGMAS, TRAINING, TRANSFER

NETWORKS = {"fc": "FC", "cnn": "CNN", "vgg": "VGG-style CNN"}
DECAY, CATAPULT = "decay", "catapult"


def label(network: str, kind: str, sigma: float) -> str:
    """What a kind of training is called in figures: with the paper's name of its phase where σ_ε is the paper's.

    >>> label("fc", IN, 231.6), label("fc", IN, 115.8), label("fc", CDT, 0.4)
    ('in-NINR, catapult', 'in-NINR, σ_ε = 115.8', 'CDT (0.4)')
    """
    if kind == CDT:
        return f"CDT ({sigma:g})"
    if kind not in (IN, FULL):
        return kind
    named = dict(zip(SIGMAS.get((network, kind), ()), (DECAY, CATAPULT), strict=False))
    return f"{kind}, {named[sigma]}" if sigma in named else f"{kind}, σ_ε = {sigma:g}"


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with a column ``label``; see `label`."""
    return table.assign(label=[label(*v) for v in table[["network", "kind", "sigma"]].itertuples(index=False)])


STYLES = {
    NONE: {"color": OKABE_ITO[0], "ls": "-", "marker": "o"},
    LONG: {"color": OKABE_ITO[0], "ls": ":", "marker": "."},
    L2: {"color": OKABE_ITO[2], "ls": "--", "marker": "v"},
    DROPOUT: {"color": OKABE_ITO[3], "ls": "-.", "marker": "^"},
    "CDT (0.2)": {"color": OKABE_ITO[7], "ls": ":", "marker": "x"},
    "CDT (0.4)": {"color": OKABE_ITO[7], "ls": "-", "marker": "x"},
    f"{IN}, {DECAY}": {"color": OKABE_ITO[1], "ls": "--", "marker": "s"},
    f"{IN}, {CATAPULT}": {"color": OKABE_ITO[5], "ls": "-", "marker": "s"},
    f"{FULL}, {DECAY}": {"color": OKABE_ITO[6], "ls": "--", "marker": "D"},
    f"{FULL}, {CATAPULT}": {"color": OKABE_ITO[4], "ls": "-", "marker": "D"},
}
"""The paper's kinds of training, with its names for the phases."""

_NOISE_AXIS, _ACCURACY = "σ_noise of the test images", {"ylabel": "accuracy (%)", "ylim": (0, 102)}


def _grid(table: pd.DataFrame, dataset: str, by: str, values, xlabel: str, names: dict, measure=None):
    """Panels of curves: a row a network, a column a value of `by`."""
    table = labelled(table)
    networks = [n for n in NETWORKS if n in set(table["network"])]
    figure, axes = panels(len(networks) * len(values), columns=len(values), height=3.1)
    for axis, (network, value) in zip(axes, [(n, v) for n in networks for v in values], strict=True):
        part = pick(table, network=network, **{by: value})
        curves(axis, part, STYLES, "label", xlabel=xlabel, title=f"{NETWORKS[network]}{names[value]}", **_ACCURACY)
    _legend(figure, axes[0])
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def _legend(figure, axis) -> None:
    """One legend for all panels, below them."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)


def draw_robustness(table: pd.DataFrame, dataset: str):
    """Figs. 2 and 9: accuracy over the corruption of the test images, by kind of training; a panel a network."""
    table = labelled(pick(table, measure="accuracy"))
    networks = [n for n in NETWORKS if n in set(table["network"])]
    figure, axes = panels(len(networks), columns=len(networks), height=4)
    for axis, network in zip(axes, networks, strict=True):
        title = f"{NETWORKS[network]}: {dataset}, {seeds_of(table)}"
        curves(axis, pick(table, network=network), STYLES, "label", xlabel=_NOISE_AXIS, title=title, **_ACCURACY)
    _legend(figure, axes[0])
    return figure


def draw_attacks(table: pd.DataFrame, dataset: str):
    """Fig. 6: accuracy over the size δ of FGSM and PGD attacks, by kind of training."""
    names = {"fgsm": ", FGSM", "pgd": ", PGD"}
    return _grid(
        pick(table, measure=list(names)), dataset, "measure", list(names), "δ, in deviations of the data", names
    )


def draw_distributions(table: pd.DataFrame, dataset: str):
    """Fig. 7: accuracy over corruption for three distributions of ε."""
    names = {d: f", {d}" for d in method.DRAWS}
    return _grid(pick(table, measure="accuracy"), dataset, "distribution", list(names), _NOISE_AXIS, names)


def draw_optimisers(table: pd.DataFrame, dataset: str):
    """Fig. 8: accuracy over corruption for three optimisers."""
    names = {"sgd": ", SGD", "rmsprop": ", RMSprop", "adam": ", Adam"}
    return _grid(pick(table, measure="accuracy"), dataset, "optimizer", list(names), _NOISE_AXIS, names)


def draw_dynamics(table: pd.DataFrame, dataset: str):
    """Fig. 3: norms, losses and accuracies over training at the paper's four strengths, and the phases we find."""
    rows = [
        ("norm, over its start", {"|W_NI|": (4, "-"), "|W(1)|": (5, "--")}),
        ("loss (nats)", {"noisy loss": (7, ":"), "training loss": (6, "-"), "test loss": (3, "--")}),
        ("accuracy (%)", {"training accuracy": (6, "-"), "test accuracy": (3, "--")}),
    ]
    figure, axes = panels(12, columns=4)
    figure.set_size_inches(10.5, 7.5)
    steps = table["x"].max()
    for column, (strength, theirs) in enumerate(PAPER_STRENGTHS.items()):
        part = pick(table, strength=strength)
        ours = "/".join(pick(part, measure="phase")["text"].unique())
        for (ylabel, lines), axis in zip(rows, axes[column::4], strict=True):
            for measure, (colour, ls) in lines.items():
                line = pick(part, measure=measure)
                if ylabel.startswith("norm"):
                    line = line.assign(value=line["value"] / line.groupby("seed")["value"].transform("first"))
                means = mean_and_sem(line, ["x"])
                axis.plot(means["x"] + 1, means["value"], color=OKABE_ITO[colour], ls=ls, label=measure)
            axis.set(xlabel="step + 1", ylabel=ylabel, xscale="log", xlim=(1, steps + 1))
            if ylabel.startswith("norm"):
                axis.set_title(f"η σ_ε²/d = {strength:g}\npaper: {theirs}; ours: {ours}", fontsize=9)
            low, high = axis.dataLim.intervaly
            axis.set_yscale("linear" if ylabel.startswith("acc") or high < 10 * low else "log")
            if column == 0:
                axis.legend(fontsize=7)
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def draw_toy(table: pd.DataFrame, dataset: str):
    """App. B: one run of each phase in discrete and in continuous time, and the critical σ_ε² over η."""
    paths = pick(table, measure=["trajectory", "flow"], model=EQUAL)
    figure, axes = panels(6, columns=3, height=2.9)
    lines = {"product": (0, "w(1) w(0)"), "w_ni": (5, "|w_NI|"), "loss": (2, "loss")}
    for axis, found in zip(axes, [p for p in method.PHASES if p in set(paths["text"])], strict=False):
        part = pick(paths, text=found)
        for series, (colour, name) in lines.items():
            for measure, ls in (("trajectory", "-"), ("flow", ":")):
                line = pick(part, measure=measure, series=series)
                axis.plot(line["x"] + 1, line["value"], color=OKABE_ITO[colour], ls=ls,
                          label=name + (", continuous time" if ls == ":" else ""))  # fmt: skip
        axis.set(xscale="log", yscale="log", ylim=(1e-4, 1e3), xlabel="step + 1", ylabel="value",
                 title=f"{found}: σ_ε² = {part['sigma2'].iloc[0]:.2g}")  # fmt: skip
    axes[0].legend(fontsize=6)
    critical = pick(table, measure="critical")
    for axis, data, name in ((axes[4], False, "noise alone (eq. 15)"), (axes[5], True, "with the data (eq. 13)")):
        part = pick(critical, data=data)
        for model, colour, marker in ((EQUAL, 4, "o"), (RANDOM, 1, "^"), (WIDE, 3, "s")):
            means = mean_and_sem(pick(part, model=model), ["eta"])
            axis.plot(means["eta"], means["value"], color=OKABE_ITO[colour], marker=marker, ms=4, label=model)
        paper = part.drop_duplicates("eta").sort_values("eta")
        axis.plot(paper["eta"], paper["paper"], color="0.4", ls="--", label="the paper: 2 d / η")
        axis.set(xscale="log", yscale="log", xlabel="learning rate η", ylabel="critical σ_ε²", title=name)
    axes[5].legend(fontsize=6)
    figure.suptitle(f"univariate model, w² = 1/d, η = {paths['eta'].iloc[0]:g}; critical noise: {seeds_of(critical)}")
    return figure


def draw_batch_norm(table: pd.DataFrame, dataset: str):
    """Accuracy over the corruption of the test images: plain networks and one node, with and without normalisation."""
    table = labelled(pick(table, measure="accuracy").assign(network="cnn"))
    sizes = list(table["size"].unique())
    figure, axes = panels(2 * len(sizes), columns=2, height=3.4)
    for axis, (size, norm) in zip(axes, [(s, n) for s in sizes for n in (True, False)], strict=True):
        title = f"{size}, {'with' if norm else 'no'} batch norm"
        curves(axis, pick(table, size=size, norm=norm), STYLES, "label", xlabel=_NOISE_AXIS, title=title, **_ACCURACY)
    _legend(figure, axes[0])
    figure.suptitle(f"CNN: {dataset}, {seeds_of(table)}")
    return figure


def draw_pad(table: pd.DataFrame, dataset: str):
    """Accuracy over the corruption of the test images: the three small networks for a page, mean over seeds."""
    figure, (axis,) = panels(1, columns=1, height=3.4)
    styles = {PLAIN: STYLES[NONE], NODE: STYLES[f"{IN}, {CATAPULT}"], BARE: STYLES["CDT (0.4)"]}
    curves(axis, pick(table, measure="accuracy"), styles, "network", xlabel=_NOISE_AXIS, **_ACCURACY)
    axis.legend(fontsize="small")
    figure.suptitle(f"{dataset}, {seeds_of(table)}")
    return figure


def _two_sd(table: pd.DataFrame, measure: str, item: str) -> pd.DataFrame:
    """Mean ± two standard deviations over seeds, ours beside the paper's: a row a kind of training."""
    ours = labelled(pick(table, measure=measure)).groupby(["network", "label"])["value"].agg(["mean", "std"])
    paper = pick(reported.tables(), item=item)
    paper = paper.assign(label=_reported_labels(paper)).set_index(["network", "label"])
    cells = [
        {"network": NETWORKS[network], "of": of, "label": name, "cell": f"{mean:.1f} ± {two:.1f}"}
        for of, found in (("ours", ours.assign(std=2 * ours["std"])), ("paper", paper[["value", "two_sd"]]))
        for (network, name), mean, two in found.itertuples()
    ]
    wide = (
        pd.DataFrame(cells).pivot(index="label", columns=["network", "of"], values="cell").fillna("").sort_index(axis=1)
    )
    return wide.loc[[name for name in STYLES if name in wide.index]].rename_axis(index=None, columns=[None, None])


def _reported_labels(paper: pd.DataFrame) -> list[str]:
    """The labels of rows of the paper's tables, as `label` makes them."""
    named = paper[["kind", "label"]].fillna("").itertuples(index=False)
    return [f"CDT ({v})" if kind == CDT else f"{kind}, {v}" if v else kind for kind, v in named]


def draw_table_1(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 1: accuracy on USPS of networks trained on MNIST (percent, mean ± 2 deviations over seeds)."""
    return _two_sd(table, "target accuracy", "table-1")


def draw_table_2(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 2: accuracy on clean test images (percent, mean ± 2 deviations over seeds)."""
    return _two_sd(table, "accuracy", "table-2")


def draw_table_3(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 3: σ_ε by optimiser and network, the paper's and as used here, with the phase that we find."""
    paper = pick(reported.tables(), item="table-3")
    keys = ["optimizer", "network", "label"]
    table = labelled(pick(table, optimizer=list(paper["optimizer"].unique())))
    used = pick(table, measure="sigma used").groupby(keys, sort=False)["value"].first()
    phases = pick(table, measure="phase").groupby(keys)["text"].agg(lambda found: "/".join(sorted(set(found))))
    paper = paper.assign(label=_reported_labels(paper)).set_index(keys)
    theirs = [
        f"{value:g}" + " (inferred)" * inferred
        for value, inferred in zip(paper["value"], paper["inferred"], strict=True)
    ]
    found = pd.DataFrame({"paper": pd.Series(theirs, paper.index), "used": used.round(2), "phase": phases})
    return found.loc[paper.index].rename(NETWORKS, level="network")


def _rows(measures: list[str], **values):
    return lambda table: pick(table, measure=measures, **values)


def _as_in_the_paper(table: pd.DataFrame) -> pd.Series:
    """Whether a row's σ_ε is the paper's (or its training is not NINR)."""
    named = {(n, k, s) for (n, k), both in SIGMAS.items() for s in both}
    kinds = table[["network", "kind", "sigma"]].itertuples(index=False)
    return pd.Series([k not in (IN, FULL) or (n, k, s) in named for n, k, s in kinds], index=table.index)


def _distributions(table: pd.DataFrame) -> pd.DataFrame:
    table = pick(table, optimizer="sgd", kind=[IN, FULL], measure=["accuracy", "phase"])
    return table[_as_in_the_paper(table)]


def _optimisers(*measures: str):
    def select(table: pd.DataFrame) -> pd.DataFrame:
        table = pick(table, distribution="gaussian", kind=[NONE, IN, FULL], measure=list(measures))
        return table[_as_in_the_paper(table)]

    return select


def _clean(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["measure"] != "accuracy") | (table["x"] == 0)]


_PLAIN = {"distribution": "gaussian", "optimizer": "sgd"}
_RUN = ["phase", "sigma used", "epochs", "training accuracy"]
_SETTING = "Fashion-MNIST; FC 3x1024 and CNN of App. A; SGD 0.05, batch 128; 500 epochs or 98 % training accuracy"
EXPERIMENTS = [
    Experiment(
        f"{SLUG}/fig-2", "Figure 2", "Accuracy on corrupted images, by kind of training", f"{_SETTING}; 10 runs",
        TRAINING, draw_robustness, _rows(["accuracy", "input curvature", *_RUN], **_PLAIN),
    ),
    Experiment(
        f"{SLUG}/fig-3", "Figure 3", "Norms, losses and accuracies along training in four phases",
        "Fashion-MNIST; one hidden layer of 1024; SGD 0.01, batch 1000; σ_ε² = 0, 0.1, 1, 1.8 times d_in / η", DYNAMICS,
        draw_dynamics,
    ),
    Experiment(
        f"{SLUG}/toy-model", "Appendix B", "The linear toy model: trajectories, phases, critical noise",
        "worked out, not measured, in the paper", TOY, draw_toy,
        lambda table: table[(table["measure"] != "phase") | (table["seed"] == 0)],
    ),
    Experiment(
        f"{SLUG}/fig-6", "Figure 6", "Accuracy under FGSM and PGD attacks",
        f"{_SETTING}; 10 runs; δ and PGD's steps are not given", TRAINING, draw_attacks,
        _rows(["fgsm", "pgd", "phase"], **_PLAIN),
    ),
    Experiment(
        f"{SLUG}/fig-7", "Figure 7", "Accuracy on corrupted images, by distribution of ε", f"{_SETTING}; 5 runs",
        TRAINING, draw_distributions, _distributions,
    ),
    Experiment(
        f"{SLUG}/fig-8", "Figure 8", "Accuracy on corrupted images under SGD, RMSprop and Adam",
        f"{_SETTING}, but for the optimisers of App. C.3; 5 runs", TRAINING, draw_optimisers,
        _optimisers("accuracy", "phase"),
    ),
    Experiment(
        f"{SLUG}/table-3", "Table 3", "σ_ε by optimiser and network", "App. C.3", TRAINING, draw_table_3,
        _optimisers("sigma used", "phase", "epochs"),
    ),
    Experiment(
        f"{SLUG}/fig-9", "Figure 9", "CIFAR-10: accuracy on corrupted images, by kind of training",
        "VGG-style network of App. D; SGD 0.05, batch 128; 500 epochs or 98 % training accuracy", COLOUR,
        draw_robustness, _rows(["accuracy", *_RUN]),
    ),
    Experiment(
        f"{SLUG}/batch-norm", "Control", "CNN with and without batch normalisation, node and longer training",
        "not measured in the paper", BATCH_NORM, draw_batch_norm,
    ),
    Experiment(
        f"{SLUG}/pad", "Start page", "Three small CNNs for the page on which a reader draws a digit",
        "not measured in the paper", PAD, draw_pad,
    ),
    Experiment(
        f"{SLUG}/table-1", "Table 1", "Domain shift: trained on MNIST, tested on USPS",
        "FC and CNN of Fig. 2, trained to 100 % training accuracy; 10 runs", TRANSFER, draw_table_1,
        _rows(["target accuracy", "accuracy", *_RUN]),
    ),
    Experiment(
        f"{SLUG}/table-2", "Table 2", "Accuracy on clean test images", f"{_SETTING}; 10 runs", TRAINING, draw_table_2,
        lambda table: _clean(pick(table[_as_in_the_paper(table)], measure=["accuracy", "phase"], **_PLAIN)),
    ),
]  # fmt: skip
"""The registered figures and tables of this paper; five are views of one sweep."""
