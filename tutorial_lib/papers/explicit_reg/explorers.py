"""The explorers of this chapter, from the shipped tables, and the live panel for a running kernel."""

import pandas as pd

from ...draw import in_order, mean_and_sem, pick
from ...explore import Explorer, explorer, live_panel
from .. import read_table, shipped
from . import SLUG
from .figures import LAYER_NAMES, NAMES, draw_robustness, draw_spectra, draw_theorem, ratios
from .sweeps import ACTIVATIONS, BASELINE, INPUT, NOISE, RARE, REGULARISER, VARIANCE

_KINDS = [NOISE, REGULARISER, BASELINE, INPUT]  # the order gives each its colour in the page


def spectra() -> Explorer:
    """Fig. 2: the learned spectrum along training with the fitted function beside it, for noise and regulariser."""
    raw = read_table(f"{SLUG}/fig-2", "none", "desk")
    steps = sorted(raw.loc[raw["step"] > 0, "step"].unique().tolist())
    steps = steps[len(steps) % 2 :: 2][:-1] + steps[-1:]
    means = mean_and_sem(raw, ["measure", "kind", "variance", "step", "x"])
    target = means[means["step"] == 0].assign(kind="target", variance=None, step=None)
    means = pick(means, step=steps)
    means = pd.concat([in_order(means, "kind", _KINDS), target], ignore_index=True)
    means.loc[means["kind"] == BASELINE, "variance"] = None
    high = pick(means, measure="amplitude", x=[30, 35, 40, 45, 50])
    notes = {}
    for variance in sorted(raw.loc[raw["variance"] > 0, "variance"].unique()):
        shown = high[high["variance"].isna() | (high["variance"] == variance)]
        for step, rows in shown.groupby("step"):
            mean = rows.groupby("kind")["value"].mean()
            said = ", ".join(f"{kind} {mean[kind]:.2f}" for kind in (BASELINE, NOISE, REGULARISER))
            notes[f"{variance:g}|{step:g}"] = f"Mean amplitude at frequencies 30 to 50: {said} (target: 1)."
    table = means.assign(panel=means["measure"], value=means["value"].round(2))
    table.loc[table["panel"] == "function", "value"] = table["value"].round(1)
    return explorer(
        "lines",
        table[["panel", "kind", "variance", "step", "x", "value", "seeds"]],
        title="Spectrum and learned function along training",
        controls=[
            {"column": "variance", "label": "Variance σ² of the noise"},
            {"column": "step", "label": "Training step", "play": True},
        ],
        start={"variance": raw.loc[raw["variance"] > 0, "variance"].min(), "step": steps[-1]},
        presets={"The paper's σ²": {"variance": VARIANCE}},
        x="x",
        value="value",
        seeds="seeds",
        series="kind",
        panels=[
            {"name": "amplitude", "x": "frequency", "y": "amplitude (mean over seeds)"},
            {"name": "function", "x": "z", "y": "learned function (seed 0)"},
        ],
        names={
            "panel": "panel",
            "kind": "training",
            "variance": "σ²",
            "step": "step",
            "x": "x",
            "value": "value",
            "seeds": "seeds",
        },
        reference="target",
        notes=notes,
        symbol="x",
        digits=2,
        picture=draw_spectra(raw[raw["variance"] < VARIANCE], "none"),
    )


def theorem() -> Explorer:
    """Theorem 1: E[ΔL] over R, with and without the curvature term, over σ; by loss, activation and noised layer."""
    dataset = shipped(f"{SLUG}/theorem-1")[0]["dataset"]
    raw = read_table(f"{SLUG}/theorem-1", dataset, "desk")
    table = ratios(raw)
    table["layer"] = table["layer"].map({"all": "all layers", **dict(zip(LAYERS, LAYER_NAMES, strict=True))})
    table["activation"] = table["activation"].map(NAMES)
    table["half"] = 2 * table["plain"]
    keys, parts = ["loss", "activation", "epochs", "layer", "where", "sigma"], []
    for column, name in (("plain", "R of eq. 10"), ("full", "R and the curvature term"), ("half", "R of eq. 12")):
        source = table if column != "half" else pick(table, loss="squared error")
        parts.append(mean_and_sem(source, keys, column).rename(columns={column: "ratio"}).assign(side=name))
    means = pd.concat(parts, ignore_index=True).round({"ratio": 3, "sem": 3})
    return explorer(
        "lines",
        means[[*keys, "side", "ratio", "sem", "seeds"]],
        title="Two sides of Theorem 1",
        controls=[
            {"column": "loss", "label": "Loss"},
            {"column": "activation", "label": "Activation"},
            {"column": "epochs", "label": "Epochs of training", "play": True},
            {"column": "layer", "label": "Noised layer"},
            {"column": "where", "label": "Where"},
        ],
        start={"loss": "cross-entropy", "activation": "ELU", "epochs": 2, "layer": "all layers",
               "where": "average over data"},
        x="sigma",
        value="ratio",
        error="sem",
        seeds="seeds",
        presets={
            "ReLU, averaged": {"activation": "ReLU", "where": "average over data"},
            "ReLU, at one point": {"activation": "ReLU", "where": "one point"},
        },
        series="side",
        names={"loss": "loss", "activation": "activation", "epochs": "epochs of training",
               "layer": "noised layer", "where": "where",
               "sigma": "deviation σ of the noise", "ratio": "E[ΔL] divided by the right side", "sem": "standard error",
               "side": "right side", "seeds": "seeds"},
        symbol="σ",
        log=True,
        digits=2,
        picture=draw_theorem(raw, dataset),
    )  # fmt: skip


LAYERS = ["data", "act1", "act2"]


def robustness() -> Explorer:
    """Figs. 3, 4, 11: the sensitivity curve, and the reliability diagram on data with noise of the chosen σ (ELU)."""
    parts, notes, keys = [], {}, ["network", "kind", "sigma"]
    for t in shipped(f"{SLUG}/fig-11"):
        raw = read_table(f"{SLUG}/fig-11", t["dataset"], t["budget"])
        raw["network"] = raw["network"].map(NAMES)
        accuracy = mean_and_sem(pick(raw, measure="accuracy"), keys)
        errors = mean_and_sem(pick(raw, measure="calibration error"), keys)
        diagram = pick(raw, measure="reliability").groupby([*keys, "y"])[["x", "value", "share"]].mean().reset_index()
        diagram = diagram[diagram["share"] > RARE]
        diagram = diagram.assign(panel="reliability", x=100 * diagram["x"], value=100 * diagram["value"])
        curve = accuracy.assign(panel="sensitivity", x=accuracy["sigma"], sigma=None)
        parts += [part.assign(dataset=t["dataset"]) for part in (curve, diagram)]
        both = accuracy.merge(errors, on=keys, suffixes=("", "_error")).set_index("kind")
        for (network, sigma), rows in both.groupby(["network", "sigma"]):
            said = [f"{k} {rows.at[k, 'value']:.1f} % ({rows.at[k, 'value_error']:.1f} %)" for k in _KINDS]
            notes[f"{t['dataset']}|{network}|{sigma:g}"] = (
                f"Accuracy (calibration error) at σ = {sigma:g}: {', '.join(said)}."
            )
    ideal = pd.DataFrame({"panel": "reliability", "kind": "calibrated", "x": [0.0, 100.0], "value": [0.0, 100.0]})
    table = pd.concat(parts, ignore_index=True)
    table = pd.concat([in_order(table, "kind", _KINDS), ideal], ignore_index=True)
    first = shipped(f"{SLUG}/fig-3")[0]
    return explorer(
        "lines",
        table[["panel", "dataset", "network", "sigma", "kind", "x", "value", "sem", "seeds"]].round(1),
        title="Sensitivity and reliability",
        controls=[
            {"column": "dataset", "label": "Data set"},
            {"column": "network", "label": "Network (ELU)"},
            {"column": "sigma", "label": "Deviation σ of the noise on the data", "play": True},
        ],
        start={"dataset": first["dataset"], "network": "MLP", "sigma": 0.3},
        x="x",
        value="value",
        error="sem",
        seeds="seeds",
        series="kind",
        panels=[
            {"name": "sensitivity", "x": "deviation σ of the noise on the data", "y": "accuracy (%)", "mark": "sigma"},
            {"name": "reliability", "x": "confidence (%)", "y": "accuracy (%)"},
        ],
        names={"panel": "panel", "dataset": "data set", "network": "network", "sigma": "σ", "kind": "training",
               "x": "x", "value": "value", "sem": "standard error", "seeds": "seeds"},
        reference="calibrated",
        notes=notes,
        symbol="x",
        picture=draw_robustness(read_table(f"{SLUG}/fig-3", first["dataset"], first["budget"]), first["dataset"]),
    )  # fmt: skip


EXPLORERS = (theorem, spectra, robustness)


def live():
    """A panel that trains for real on the digits: kind of training, σ², activation, epochs (see `live_panel`).

    It draws the test loss along training and the sensitivity curve of every network that was trained so far.
    """
    import torch
    from matplotlib.figure import Figure

    from ...data import load_data
    from ...measure import corrupt
    from ...train import evaluate
    from .sweeps import build, train

    data, trained, sigmas = load_data("digits"), {}, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    config = {"batch_size": 64, "lr": 0.005, "optimizer": "sgd, momentum 0.9", "sample": 16}

    def compute(kind, variance, activation, epochs, say):
        name = f"{kind}, {activation}" + ("" if kind == BASELINE else f", σ² = {variance:g}")
        if (name, epochs) not in trained:
            say("training …")
            torch.manual_seed(0)
            model, losses = build("mlp", activation, data.x_train, 10), []

            def follow(epoch, _):
                model.eval()
                with torch.no_grad():
                    losses.append(torch.nn.functional.cross_entropy(model(data.x_test), data.y_test).item())
                model.train()

            train(model, data.x_train, data.y_train, kind, variance, "+", {**config, "epochs": epochs}, 0, follow)
            trained[name, epochs] = losses, [evaluate(model, corrupt(data.x_test, s), data.y_test) for s in sigmas]
        figure = Figure(figsize=(10, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (label, _), (losses, curve) in trained.items():
            left.plot(range(1, len(losses) + 1), losses, label=label)
            right.plot(sigmas, curve, "o-", ms=3)
        left.set(xlabel="epoch", ylabel="test loss (nats)", yscale="log")
        left.legend(fontsize="small")
        right.set(xlabel="deviation σ of the noise on the data", ylabel="accuracy (%)", ylim=(0, 102))
        losses, curve = trained[name, epochs]
        return figure, f"{name}: test loss {losses[-1]:.3f}, accuracy {curve[0]:.1f} %"

    controls = {
        "training": (NOISE, [BASELINE, INPUT, NOISE, REGULARISER]),
        "variance σ²": (0.1, (0.01, 0.5, 0.01)),
        "activation": ("elu", list(ACTIVATIONS)),
        "epochs": (20, (1, 80, 1)),
    }
    return live_panel(controls, "Train", compute)
