"""The explorers of this chapter, computed in the page or from the shipped tables, and the live panel for a kernel."""

import numpy as np
import pandas as pd

from ...draw import in_order, mean_and_sem, panels, pick
from ...explore import Explorer, explorer, live_panel, page_script
from .. import read_table, shipped
from . import SLUG, method
from .dynamics import PAPER_STRENGTHS
from .figures import CATAPULT, DECAY, NETWORKS, draw_dynamics, draw_pad, draw_robustness, draw_toy
from .pad import shipped_networks
from .sweeps import CDT, DROPOUT, FULL, IN, L2, NONE, SIGMAS


def _steps(low: float, high: float, a_decade: int = 10) -> list[float]:
    """Values evenly spaced in their logarithm, four figures each."""
    count = round(np.log10(high / low) * a_decade)
    return [float(f"{v:.4g}") for v in np.geomspace(low, high, count + 1)]


def toy() -> Explorer:
    """App. B, computed in the page: σ_ε, η, the weights at the start and the batch; the run, its phase, the diagram."""
    return explorer(
        "lines",
        None,
        title="The toy model",
        controls=[
            {"column": "sigma", "label": "Deviation σ_ε of the noise", "values": _steps(0.1, 1000), "play": True},
            {"column": "eta", "label": "Learning rate η", "values": _steps(0.01, 10**-0.5)},
            {"column": "w", "label": "Weights at the start, w = 1/√d",
             "values": [float(f"{d**-0.5:.3g}") for d in (785, 300, 100, 30, 10, 3, 1)]},
            {"column": "batch", "label": "Batch size |B|", "values": ["infinite", "1000", "100", "10"]},
        ],
        start={"sigma": 6.31, "eta": 0.1, "w": 0.0357, "batch": "infinite"},
        presets={"The paper's critical noise": {"sigma": 125.9, "eta": 0.1, "w": 0.0357, "batch": "infinite"}},
        x="x",
        value="value",
        series="series",
        panels=[
            {"name": "weights", "x": "step + 1", "y": "weights", "log": True},
            {"name": "loss", "x": "step + 1", "y": "loss", "log": True},
            {"name": "phases", "x": "σ_ε", "y": "η", "map": True, "picks": ["sigma", "eta"]},
        ],
        names={"panel": "panel", "series": "of", "x": "step + 1", "value": "value"},
        symbol="step",
        log=True,
        digits=3,
        compute=page_script(__package__, "toy.js"),
        picture=draw_toy(read_table(f"{SLUG}/toy-model", "none", "desk"), "none"),
    )  # fmt: skip


_VALLEYS = [[-3.2, -1, 1], [-3.1, -1, 1], [-2.8, 1, 1.4], [1, -1, 1], [3, 1, 1]]
"""Input, target and weight of the samples whose loss has a narrow and a wide valley."""


def bias() -> Explorer:
    """A loss over one bias, computed in the page, and its mean under a node that shifts the bias by ε W_NI."""
    return explorer(
        "lines",
        None,
        title="A loss, smoothed by the node",
        controls=[
            {"column": "deviation", "label": "Deviation of the shift", "play": True,
             "values": [round(0.1 * k, 1) for k in range(31)]},
            {"column": "loss", "label": "Loss", "values": ["two valleys", "one logit"]},
        ],
        start={"deviation": 0.0, "loss": "two valleys"},
        x="x",
        value="value",
        series="series",
        panels=[
            {"name": "loss", "x": "bias b", "y": "loss"},
            {"name": "lowest", "x": "deviation σ_ε |W_NI|", "y": "lowest loss over b", "mark": "deviation"},
        ],
        presets={"Silent": {"deviation": 0.0}, "Strong": {"deviation": 1.5}},
        names={"panel": "panel", "series": "training", "x": "x", "value": "loss"},
        symbol="b",
        digits=3,
        compute=page_script(__package__, "bias.js", _VALLEYS),
        picture=_draw_bias(),
    )  # fmt: skip


def _draw_bias():
    """The explorer's picture, for pages without scripts: a loss with two valleys, and its mean under two deviations."""
    figure, (axis,) = panels(1, columns=1)
    data = np.array(_VALLEYS)
    biases, noise = np.linspace(-7, 7, 141), np.linspace(-4, 4, 161)
    weights = np.exp(-(noise**2) / 2) / np.exp(-(noise**2) / 2).sum()
    for deviation, style in ((0.0, ":"), (0.5, "-"), (1.5, "--")):
        h = data[:, 0] + (biases[:, None] + deviation * noise)[..., None]
        loss = np.average(((np.tanh(8 * h) - data[:, 1]) / 2) ** 2, axis=2, weights=data[:, 2]) @ weights
        axis.plot(biases, loss, style, label=f"deviation {deviation:g}")
    axis.set(xlabel="bias b", ylabel="mean loss", ylim=(0, None))
    axis.legend(fontsize="small")
    return figure


_SHOWN = ["NINR", NONE, L2, "CDT (0.4)", DROPOUT]  # the order gives each its colour in the page
_PLACES = {IN: "input (in-NINR)", FULL: "every layer (full-NINR)"}


def corruption() -> Explorer:
    """Figs. 2 and 6: accuracy on corrupted and on attacked images by kind of training, σ_ε of NINR as the control."""
    parts, notes = [], {}
    for t in shipped(f"{SLUG}/fig-2"):
        table = read_table(f"{SLUG}/fig-2", t["dataset"], t["budget"])
        attacked = read_table(f"{SLUG}/fig-6", t["dataset"], t["budget"])
        keys = ["network", "kind", "sigma", "x"]
        for panel, source, measure in (("corrupted", table, "accuracy"), ("attacked", attacked, "pgd")):
            rows = pick(source, measure=measure)
            rows = rows[(rows["kind"] != CDT) | (rows["sigma"] == 0.4)]
            parts.append(mean_and_sem(rows, keys).assign(panel=panel, dataset=t["dataset"]))
        notes |= _told(t["dataset"], table)
    table = pd.concat(parts, ignore_index=True)
    noisy = table["kind"].isin([IN, FULL])
    table["place"] = table["kind"].map(_PLACES)
    table["sigma"] = table["sigma"].where(noisy, None)
    table["training"] = table["kind"].mask(noisy, "NINR").replace({CDT: "CDT (0.4)"})
    table["network"] = table["network"].map(NETWORKS)
    table = in_order(table, "training", _SHOWN)
    first = shipped(f"{SLUG}/fig-2")[-1]
    return explorer(
        "lines",
        table[["panel", "dataset", "network", "place", "sigma", "training", "x", "value", "sem", "seeds"]].round(
            {"value": 1, "sem": 1}
        ),
        title="Accuracy on disturbed images",
        controls=[
            {"column": "dataset", "label": "Data set"},
            {"column": "network", "label": "Network"},
            {"column": "place", "label": "Noise injection nodes at"},
            {"column": "sigma", "label": "σ_ε (as stated for 28x28 pixels)", "play": True},
        ],
        start={"dataset": first["dataset"], "network": "CNN", "place": _PLACES[IN], "sigma": 87.5},
        x="x",
        value="value",
        error="sem",
        seeds="seeds",
        presets={
            "CNN, the paper's catapult": {"network": "CNN", "place": _PLACES[IN], "sigma": SIGMAS["cnn", IN][1]},
            "FC, the paper's decay": {"network": NETWORKS["fc"], "place": _PLACES[IN], "sigma": SIGMAS["fc", IN][0]},
        },
        series="training",
        panels=[
            {"name": "corrupted", "x": "σ_noise of the test images", "y": "accuracy (%)"},
            {"name": "attacked", "x": "δ of a PGD attack", "y": "accuracy (%)"},
        ],
        names={"panel": "panel", "dataset": "data set", "network": "network", "place": "nodes at", "sigma": "σ_ε",
               "training": "training", "x": "σ_noise or δ", "value": "accuracy (%)", "sem": "standard error",
               "seeds": "seeds"},
        notes=notes,
        symbol="x",
        picture=draw_robustness(read_table(f"{SLUG}/fig-2", first["dataset"], first["budget"]), first["dataset"]),
    )  # fmt: skip


def _told(dataset: str, table: pd.DataFrame) -> dict[str, str]:
    """The sentence under the curves, by data set, network, place and σ_ε."""
    accuracy = pick(table, measure="accuracy")
    means = accuracy[accuracy["x"].between(0.05, 0.95)].groupby(["network", "kind", "sigma"])["value"].mean()
    clean = accuracy[accuracy["x"] == 0].groupby(["network", "kind", "sigma"])["value"].mean()
    found = pick(table, measure="phase", kind=[IN, FULL]).groupby(["network", "kind", "sigma"])["text"].agg(list)
    told = {}
    for (network, kind, sigma), phases in found.items():
        named = dict(zip(SIGMAS[network, kind], (DECAY, CATAPULT), strict=True)).get(sigma)
        seen = ", ".join(f"{phases.count(p)} {p}" for p in method.PHASES if p in phases)
        base = network, NONE, 0.0
        told[f"{dataset}|{NETWORKS[network]}|{_PLACES[kind]}|{sigma:g}"] = (
            f"σ_ε = {sigma:g}{f' (the paper’s {named})' if named else ''}: of {len(phases)} runs {seen}. "
            f"Clean {clean[network, kind, sigma]:.1f} % (without NINR {clean[base]:.1f} %), "
            f"corrupted, on average, {means[network, kind, sigma]:.1f} % ({means[base]:.1f} %)."
        )
    return told


_MEASURES = {
    "|W_NI|": ("norms", "|W_NI|"), "|W(1)|": ("norms", "|W(1)|"), "noisy loss": ("loss", "training, noisy"),
    "training loss": ("loss", "training"), "test loss": ("loss", "test"),
    "training accuracy": ("accuracy", "training"), "test accuracy": ("accuracy", "test"),
}  # fmt: skip


def dynamics() -> Explorer:
    """Fig. 3: norms, loss and accuracy along training, the strength of the noise as the control across the phases."""
    parts, notes = [], {}
    for t in shipped(f"{SLUG}/fig-3"):
        table = read_table(f"{SLUG}/fig-3", t["dataset"], t["budget"])
        sigma = pick(table, measure="sigma used").groupby("strength")["value"].first()
        for strength, phases in pick(table, measure="phase").groupby("strength")["text"].agg(list).items():
            seen = ", ".join(f"{phases.count(p)} {p}" for p in method.PHASES if p in phases)
            theirs = f"; the paper: {PAPER_STRENGTHS[strength]}" if strength in PAPER_STRENGTHS else ""
            notes[f"{t['dataset']}|{strength:g}"] = (
                f"σ_ε = {sigma[strength]:.1f}: of {len(phases)} runs {seen}{theirs}."
            )
        means = pick(table, measure=list(_MEASURES)).groupby(["strength", "measure", "x"])["value"].mean().reset_index()
        parts.append(means.assign(dataset=t["dataset"]))
    table = pd.concat(parts, ignore_index=True)
    table["panel"] = [_MEASURES[m][0] for m in table["measure"]]
    table["of"] = [_MEASURES[m][1] for m in table["measure"]]
    table = table[table["value"] < 1e4].assign(x=table["x"] + 1)  # where a run diverges, its lines leave the panel
    table = in_order(table, "of", list(dict.fromkeys(name for _, name in _MEASURES.values())))
    table["value"] = [float(f"{v:.3g}") for v in table["value"]]
    first = shipped(f"{SLUG}/fig-3")[-1]
    return explorer(
        "lines",
        table[["panel", "dataset", "strength", "of", "x", "value"]],
        title="Training with a noise injection node",
        controls=[
            {"column": "dataset", "label": "Data set"},
            {"column": "strength", "label": "Strength η σ_ε² / d_in", "play": True},
        ],
        start={"dataset": first["dataset"], "strength": 1.0},
        presets={f"The paper's {phase}": {"strength": strength} for strength, phase in PAPER_STRENGTHS.items()},
        x="x",
        value="value",
        series="of",
        panels=[
            {"name": "norms", "x": "step + 1", "y": "norm (up to 10⁴)", "log": True},
            {"name": "loss", "x": "step + 1", "y": "loss (nats, up to 10⁴)", "log": True},
            {"name": "accuracy", "x": "step + 1", "y": "accuracy without noise (%)"},
        ],
        names={"panel": "panel", "dataset": "data set", "strength": "η σ_ε² / d_in", "of": "of", "x": "step + 1",
               "value": "mean over seeds"},
        notes=notes,
        symbol="step",
        log=True,
        digits=2,
        picture=draw_dynamics(read_table(f"{SLUG}/fig-3", first["dataset"], first["budget"]), first["dataset"]),
    )  # fmt: skip


def pad() -> Explorer:
    """Draw a digit, corrupt it by eq. (8), and see what three small CNNs say that run in the page; see `pad.py`."""
    networks = shipped_networks()
    return explorer(
        "lines",
        None,
        title="Draw a digit and spoil it",
        controls=[
            {"column": "sigma", "label": "Corruption σ", "values": [round(0.05 * k, 2) for k in range(21)],
             "play": True},
            {"column": "digit", "label": "Digit", "values": [*map(str, range(10)), "your own"]},
            {"column": "noise", "label": "Draw of the noise", "values": list(range(1, 31)), "play": True},
        ],
        start={"sigma": 0.0, "digit": "1", "noise": 1},
        x="x",
        value="value",
        series="series",
        panels=[
            {"own": True},
            {"name": "accuracy", "x": "corruption σ of the test images", "y": "accuracy (%)", "mark": "sigma"},
        ],
        presets={"Spoil it": {"sigma": 0.7}},
        names={"panel": "panel", "series": "network", "x": "σ, or digit", "value": "percent"},
        symbol="σ",
        kept="drawing",
        compute=page_script(__package__, "pad.js", networks),
        picture=draw_pad(read_table(f"{SLUG}/pad", "mnist", "desk"), "mnist"),
    )  # fmt: skip


EXPLORERS = (bias, toy, corruption, dynamics)  # and `pad`, on the start page


def live():
    """A panel that trains for real on the digits: kind of training, σ_ε, distribution, epochs (see `live_panel`).

    It draws |W_NI| along training, and accuracy on corrupted images of every network that was trained so far.
    """
    import torch
    from matplotlib.figure import Figure

    from ...data import load_data
    from ...models import mlp
    from ...train import evaluate, fit
    from .sweeps import equip, node_norm

    data, trained, levels = load_data("digits"), {}, [round(0.1 * i, 1) for i in range(11)]
    x, x_test = method.standardise(data.x_train, data.x_test)

    def compute(kind, sigma, distribution, epochs, say):
        noisy = kind in (IN, FULL)
        name = f"{kind}, σ_ε = {sigma:g}, {distribution}" if noisy else kind
        if (name, epochs) not in trained:
            say("training …")
            torch.manual_seed(0)
            model = method.initialise(mlp(64, 10, (256, 256)))
            penalty = equip(model, x, kind, sigma if noisy else 0.4, distribution)
            norms = [node_norm(model)]
            losses = fit(
                model, x, data.y_train, epochs=epochs, batch_size=64, lr=0.05, optimizer=torch.optim.SGD,
                penalty=penalty, callback=lambda *_: norms.append(node_norm(model)), progress=False,
            )  # fmt: skip
            curve = [evaluate(model, method.corrupted(x_test, s), data.y_test) for s in levels]
            trained[name, epochs] = norms, losses, curve
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (label, count), (norms, _, curve) in trained.items():
            left.plot(norms)
            right.plot(levels, curve, "o-", ms=3, label=f"{label}, {count} epochs")
        left.set(xlabel="epoch", ylabel="|W_NI|")
        right.set(xlabel="σ_noise of the test images", ylabel="accuracy (%)", ylim=(0, 102))
        right.legend(fontsize="x-small")
        norms, losses, curve = trained[name, epochs]
        return (
            figure,
            f"{name}: loss {losses[-1]:.3f}, |W_NI| {norms[0]:.2f} to {norms[-1]:.2f}, clean {curve[0]:.1f} %",
        )

    controls = {
        "training": (IN, [NONE, L2, DROPOUT, CDT, IN, FULL]),
        "σ_ε": (15.0, (0.0, 80.0, 1.0)),
        "distribution": ("gaussian", list(method.DRAWS)),
        "epochs": (20, (1, 100, 1)),
    }
    return live_panel(controls, "Train", compute)
