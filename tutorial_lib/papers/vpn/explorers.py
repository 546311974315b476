"""The explorers of this chapter: noise painted on a digit and the bound, which the page computes; Tables 1 and 2."""

import numpy as np
import pandas as pd
import torch

from ...draw import OKABE_ITO, halves, in_order, mean_and_sem, panels, pick
from ...explore import Explorer, explorer, live_panel, page_script
from .. import read_table
from .. import shipped as shipped_tables
from . import SLUG, bound, reported
from .page import AFTER, LOUD, WITH, Shipped, networks, shipped
from .sweeps import (
    ALGORITHM_1,
    AS_PAPER,
    DNN3,
    EQ_20,
    FIXED,
    JOINT,
    NONE,
    RANDOM,
    RESNET10,
    RESNET18,
    RESNET34,
    SR,
    WELL,
)

_WORDS = {
    "painted": "painted", "learned": "learned", "even": "learned, spread evenly", "none": "no noise", "own": "its own",
    "waiting": "not yet", "as is": "as it is", "as painted": "as painted",
}  # fmt: skip


def paint() -> Explorer:
    """Noise painted on a digit, and learned noise for any label: what a small network says, computed in the page.

    The networks are those of `page.py`. Means are over 500 draws, 250 and their opposites, the same for all noises;
    errors are standard errors over the 250 pairs. What is measured shows once the reader has guessed.
    """
    found = shipped()
    settings = found.about["settings"]
    names = [f"{label}, {kind}" for label, kind in zip(found.labels, found.kinds, strict=True)]
    data = {
        "networks": {
            name: {"base": halves(found.bases[name]), "generator": halves(found.generators[name]), "gamma": gamma}
            for name, gamma in settings["gamma"].items()
        },
        "images": halves(found.images), "labels": found.labels.tolist(), "names": names, "inner": settings["base"],
        "width": settings["generator"], "words": _WORDS,
    }  # fmt: skip
    return explorer(
        "lines",
        None,
        title="Paint noise on a digit",
        controls=[
            {"column": "digit", "label": "Digit", "values": names},
            {"column": "guess", "label": "Your guess: the loss",
             "values": [_WORDS["waiting"], "falls", "rises", "stays"]},
            {"column": "shown", "label": "Noise on the digit",
             "values": [_WORDS[k] for k in ("painted", "learned", "even")]},
            {"column": "brush", "label": "Brush: deviation", "values": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]},
            {"column": "network", "label": "Network trained", "values": [AFTER, WITH, LOUD]},
            {"column": "label", "label": "Learned noise for label", "values": [_WORDS["own"], *map(str, range(10))]},
            {"column": "scale", "label": "Strength of learned", "values": [_WORDS["as is"], _WORDS["as painted"]]},
            {"column": "strength", "label": "Strength (factor)", "play": True,
             "values": [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0]},
        ],
        start={"digit": "3, hardest", "guess": _WORDS["waiting"], "shown": "painted", "brush": 0.3, "network": AFTER,
               "label": _WORDS["own"], "scale": _WORDS["as is"], "strength": 1.0},
        presets={
            "On the ink": {"shown": "painted", "painting": ""},
            "Off the ink": {"shown": "painted", "painting": "around"},
            "Everywhere": {"shown": "painted", "painting": "everywhere"},
            "Wipe": {"shown": "painted", "painting": "-"},
            "See the learned": {"shown": "learned"},
        },
        x="x",
        value="value",
        error="error",
        series="series",
        reference=_WORDS["none"],
        panels=[
            {"own": True},
            {"name": "loss (nats) over strength", "x": "strength (a factor on all noise)",
             "y": "mean loss of the true label (nats)", "mark": "strength"},
        ],
        names={"panel": "of", "series": "noise", "x": "strength, class or pixel", "value": "value",
               "error": "standard error"},
        symbol="strength",
        digits=3,
        kept="painting",
        compute=page_script(__package__, "paint.js", data),
        picture=_draw_paint(found),
    )  # fmt: skip


def mean_answer(base, x: torch.Tensor, y: int, deviation: torch.Tensor, draws: torch.Tensor):
    """The mean probabilities [K] and the mean loss of label `y` under noise on one image, with their standard errors.

    `x` and `deviation` are [d], `draws` [n, d] standard normal numbers, each taken with both signs. Errors are over
    the n pairs. Returns (p, its error, loss, its error).
    """
    noisy = x + deviation * torch.cat([draws, -draws])
    log_p = base(noisy).log_softmax(1).detach()
    values = torch.cat([log_p.exp(), -log_p[:, y : y + 1]], 1).view(2, len(draws), -1).mean(0)
    mean, error = values.mean(0), values.std(0) / len(draws) ** 0.5
    return mean[:-1], error[:-1], mean[-1].item(), error[-1].item()


def _draw_paint(found: Shipped):
    """The explorer's picture, for pages without scripts: a digit, learned noise, and the loss over the strength."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    base, noise = networks(AFTER, found)
    x = torch.tensor(found.images[7].astype(np.float32))  # "3, hardest"
    deviation = noise.deviation(x[None], torch.tensor([3]))[0].detach()
    draws = torch.randn(250, 64, generator=torch.Generator().manual_seed(0))
    even = deviation.square().mean().sqrt().expand(64)
    ink = 0.3 * (x >= 0.25)
    strengths = np.linspace(0, 3, 13)
    figure = Figure(figsize=(6.8, 2.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.6])
    for axis, values, title, top in ((left, x, "a 3", 1), (middle, deviation, "learned deviation", None)):
        axis.imshow(values.reshape(8, 8), cmap=colormaps["gray"].resampled(13), vmin=0, vmax=top)
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=10)
    for name, shape, colour, style in (
        ("on the ink", ink, OKABE_ITO[4], "-"), ("learned", deviation, OKABE_ITO[5], "--"),
        ("learned, spread evenly", even, OKABE_ITO[0], ":"),
    ):  # fmt: skip
        found_ = [mean_answer(base, x, 3, s * shape, draws)[2] for s in strengths]
        right.plot(strengths, found_, style, color=colour, label=name)
    right.set(xlabel="strength (a factor on all noise)", ylabel="mean loss (nats)", ylim=(0, None))
    right.legend(fontsize="x-small")
    return figure


POINTS = [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
"""The x of the task on a line, equally frequent."""
_SLOPE = [2, 5, 12, 27, 50, 73, 88, 95, 98]  # percent: 1 / (1 + exp(-2x)), rounded
_Q = {
    "bayes": "p(y|x, ε), Bayes", "sum": "p(y|x + ε), best", "base": "base at x + ε",
    "deaf": "p(y|x), deaf",
}  # fmt: skip
_LEAST = 0.01
"""How near to 0 and 1 the probabilities of the base come: a network is never sure."""


def base_log_q(p: torch.Tensor) -> bound.LogQ:
    """The base of `bound_explorer` as `bound` takes it: its logit is that of `p` [X] = p(y = 1|x), straight in between.

    At x + ε it says what it has learned without noise; beyond the ends, what it says there.
    """
    logits = torch.logit(p.double().clamp(_LEAST, 1 - _LEAST)).numpy()

    def log_q(i, epsilon):
        there = torch.tensor(POINTS, dtype=torch.float64)[i, None] + epsilon
        logit = torch.tensor(np.interp(there.numpy(), POINTS, logits))
        return torch.stack([-logit, logit], -1).sigmoid().log()

    return log_q


def sum_log_q(p: torch.Tensor, widths: torch.Tensor) -> bound.LogQ:
    """p(y|x + ε) for equally frequent `POINTS`, `p` [X] = p(y = 1|x) and `widths` [X, 2], as `bound` takes a q."""
    points = torch.tensor(POINTS, dtype=torch.float64)
    log_p, s = torch.stack([1 - p, p], 1).double().log(), widths.double()

    def log_q(i, epsilon):
        away = (points[i, None] + epsilon)[..., None, None] - points[:, None]  # [N, n, X, 1]
        return (log_p - (away / s).square() / 2 - s.log()).logsumexp(-2).log_softmax(-1)

    return log_q


def bound_explorer() -> Explorer:
    """A task on a line under the reader's hand, noise whose width tells the label, and entropies, bound and gap."""
    data = {"points": POINTS, "slope": _SLOPE, "least": _LEAST, "q": _Q}
    ratios = [float(f"{10 ** (k / 8):.3g}") for k in range(-12, 13)]
    return explorer(
        "lines",
        None,
        title="What noise tells of the label",
        controls=[
            {"column": "ratio", "label": "Width, label 1 / label 0", "values": ratios, "play": True},
            {"column": "width", "label": "Width s, label 0",
             "values": [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0], "play": True},
            {"column": "growth", "label": "Widths × per unit of x",
             "values": [0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0]},
            {"column": "q", "label": "q, the model", "values": list(_Q.values())},
        ],
        start={"ratio": 3.16, "width": 0.3, "growth": 1.0, "q": _Q["base"]},
        presets={
            "Slope": {"task": ""},
            "One-hot": {"task": "0.0.0.0.0.100.100.100.100"},
            "Noisy labels": {"task": "10.10.10.10.10.90.90.90.90"},
            "Coin toss": {"task": ".".join(["50"] * 9)},
            "Label-blind noise": {"ratio": 1.0},
        },
        x="x",
        value="value",
        series="series",
        reference="H(T)",
        panels=[
            {"own": True},
            {"name": "nats over the ratio of widths", "x": "width for label 1 / for label 0", "y": "nats",
             "mark": "ratio"},
        ],
        names={"panel": "of", "series": "what", "x": "ratio of widths, or x", "value": "value"},
        symbol="ratio",
        log=True,
        digits=4,
        kept="task",
        compute=page_script(__package__, "bound.js", data),
        picture=_draw_bound(),
    )  # fmt: skip


def _draw_bound():
    """The explorer's picture, for pages without scripts: the entropies and three bounds over the ratio of widths."""
    p = torch.tensor(_SLOPE, dtype=torch.float64) / 100
    p_x, p_y = torch.full((len(p),), 1 / len(p), dtype=torch.float64), torch.stack([1 - p, p], 1)
    ratios, entropy = np.geomspace(10**-1.5, 10**1.5, 31), bound.task_entropy(p_x, p_y)
    told, summed, base = [], [], []
    for ratio in ratios:
        widths = torch.tensor([[0.3, 0.3 * ratio]]).expand(len(p), 2)
        told.append(bound.information(p_x, p_y, widths, 801))
        for found, log_q in ((summed, sum_log_q(p, widths)), (base, base_log_q(p))):
            found.append(bound.lower_bound(p_x, p_y, widths, log_q, 801))
    figure, (axis,) = panels(1, columns=1)
    axis.axhline(entropy, color=OKABE_ITO[0], lw=1, label="H(T)")
    for values, name, colour, style in (
        (told, "I(T, E)", OKABE_ITO[4], "-"), (summed, "bound, best on the sum", OKABE_ITO[3], "-."),
        (base, "bound, the base", OKABE_ITO[5], "--"),
    ):  # fmt: skip
        axis.plot(ratios, values, style, color=colour, label=name)
    axis.set(xscale="log", xlabel="width for label 1 / for label 0", ylabel="nats", ylim=(-0.7, 0.6))
    axis.legend(fontsize="x-small")
    return figure


_JOINTLY, _AFTER = "1: trained jointly", "2: on a fixed base"
_NOISY, _CLEAN = "with noise", "without noise"
_PAPER = "the paper"


_BASES = [SR, DNN3, RESNET10, RESNET18, RESNET34]
_NOISES = [NONE, RANDOM, DNN3, f"{DNN3}, {EQ_20}", RESNET10, RESNET18]


def accuracies() -> pd.DataFrame:
    """Tables 1 and 2, ours and the paper's: a row a source, dataset, optimizer, item, test, base and noise.

    ``gain`` is what the accuracy has over the baseline, in points, with its standard error ``sem`` over ``seeds``: of
    differences seed by seed, which share weights and batches. ``value`` is the accuracy in percent. What has no
    generator stands for both ways of testing.
    """
    keys, parts = ["optimizer", "base"], []
    for t in shipped_tables(f"{SLUG}/table-1"):
        both = [read_table(f"{SLUG}/table-{k}", t["dataset"], t["budget"]) for k in (1, 2)]
        for table, item, kind in zip(both, (_JOINTLY, _AFTER), (JOINT, FIXED), strict=True):
            for measure, test in (("accuracy", _NOISY), ("accuracy, no noise", _CLEAN)):
                rows = pick(table, measure=measure, kind=[NONE, RANDOM, kind] if kind == JOINT else [NONE, kind])
                if kind == FIXED and test == _CLEAN:
                    continue  # the base itself
                rows = rows.assign(noise=rows["generator"].where(rows["kind"] == kind, rows["kind"]))
                alone = pick(rows, noise=NONE).set_index([*keys, "seed"])["value"].rename("alone")
                rows = rows.join(alone, on=[*keys, "seed"]).assign(
                    gain=lambda joined: joined["value"] - joined["alone"]
                )
                means = mean_and_sem(rows, [*keys, "noise"], "gain")
                means["value"] = rows.groupby([*keys, "noise"])["value"].mean().to_numpy()
                parts.append(means.assign(source=f"ours ({t['budget']})", dataset=t["dataset"], item=item, test=test))
    printed = pick(reported.tables(), item=["table-1", "table-2"]).rename(columns={"generator": "noise"})
    printed["item"] = printed["item"].map({"table-1": _JOINTLY, "table-2": _AFTER})
    learned = ~printed["noise"].isin([NONE, RANDOM])
    for noise_at_test, test in (("yes", _NOISY), ("no", _CLEAN)):
        rows = printed[~learned | (printed["noise_at_test"] == noise_at_test)]
        if test == _CLEAN:
            rows = rows[rows["item"] == _JOINTLY]
        parts.append(rows.assign(source=_PAPER, optimizer="not named", test=test, sem=np.nan, seeds=5))
    found = pd.concat(parts, ignore_index=True)
    keys = ["source", "dataset", "item", "test", *keys]
    alone = pick(found, source=_PAPER, noise=NONE).set_index(keys)["value"]
    theirs = found["source"] == _PAPER
    baseline = alone.loc[pd.MultiIndex.from_frame(found.loc[theirs, keys])].to_numpy()
    found.loc[theirs, "gain"] = found.loc[theirs, "value"] - baseline
    found = in_order(in_order(found, "noise", _NOISES), "base", _BASES)
    found = in_order(found, "optimizer", [AS_PAPER, WELL, "not named"])
    columns = ["source", "dataset", "optimizer", "item", "test", "base", "noise", "gain", "sem", "seeds", "value"]
    return found[columns].round({"value": 2, "sem": 2, "gain": 2})


def tables() -> Explorer:
    """Tables 1 and 2 as measured, ours and the paper's: gains by base and noise, by source, data and optimiser."""
    found = accuracies()
    first = {"source": found["source"].iloc[0], "dataset": "digits", "optimizer": AS_PAPER}
    first |= {"item": _JOINTLY, "test": _NOISY}
    return explorer(
        "heatmap",
        found,
        title="What noise gains, by base and noise",
        controls=[
            {"column": "source", "label": "Source"},
            {"column": "dataset", "label": "Data set"},
            {"column": "optimizer", "label": "Optimiser"},
            {"column": "item", "label": "Table"},
            {"column": "test", "label": "Tested"},
            {"column": "base", "label": "Base", "pick": True},
            {"column": "noise", "label": "Noise", "pick": True},
        ],
        start={**first, "base": DNN3, "noise": DNN3},
        x="base",
        y="noise",
        value="gain",
        error="sem",
        seeds="seeds",
        presets={
            f"The paper's Table {item[0]}": {"source": _PAPER, "dataset": "cifar-10", "item": item}
            for item in (_JOINTLY, _AFTER)
        },
        names={"source": "source", "dataset": "data set", "optimizer": "optimiser", "item": "table", "test": "tested",
               "base": "base", "noise": "noise", "value": "accuracy (%)", "sem": "standard error", "seeds": "seeds",
               "gain": "gain over the base alone (points)"},
        readout="Base {base}, noise {noise}: {gain} points over the base alone (standard error {sem}; seeds: {seeds}); "
        "accuracy {value} %.",
        note="hatched: no value",
        digits=2,
        picture=_draw_tables(pick(found, **{key: first[key] for key in ("source", "dataset", "item", "test")})),
    )  # fmt: skip


def _draw_tables(found: pd.DataFrame):
    """The explorer's picture, for pages without scripts: the gain of each noise, by base and optimiser."""
    figure, (axis,) = panels(1, columns=1)
    figure.set_size_inches(6.8, 3.4)
    rows = found[found["noise"] != NONE]
    names = list(dict.fromkeys(rows["noise"]))
    for k, ((base, optimizer), part) in enumerate(rows.groupby(["base", "optimizer"], sort=False)):
        up = np.array([names.index(noise) for noise in part["noise"]]) + 0.1 * (k - 2)
        axis.errorbar(
            part["gain"], up, xerr=part["sem"], fmt="osD^vP"[k % 6], ms=4, label=f"{base}, {optimizer}",
            color=OKABE_ITO[1 + k % 6],
        )  # fmt: skip
    axis.axvline(0, color="0.6", lw=1)
    axis.set(xlabel="gain over the base alone (points)", yticks=range(len(names)), yticklabels=names)
    axis.legend(fontsize="x-small")
    return figure


EXPLORERS = (paint, bound_explorer, tables)


def live():
    """A panel that trains for real on the digits: base, kind of training, γ, bound and m (see `live_panel`).

    It draws test accuracy and the noise's strength after each epoch, of all that was trained so far.
    """
    from matplotlib.figure import Figure

    from ...data import load_data
    from ...models import mlp
    from ...train import evaluate, fit
    from .method import Generator, random_pixels, softmax_regression, train_with_noise
    from .sweeps import READ

    data, known = load_data("digits", train=300), {}
    bases = {"softmax regression": lambda: softmax_regression(64, 10), "64-128-128-10": lambda: mlp(64, 10, (128, 128))}

    def compute(base, kind, read, gamma, top, m, epochs, say):
        label = f"{base}, {kind}"
        if kind in (JOINT, FIXED):
            label += f", {read}, γ = {gamma:g}, m = {m}" + (f", Σ < {top:g}" if top else "")
        key = (label, epochs)
        if key not in known:
            say("training …")
            torch.manual_seed(0)
            model = bases[base]()
            torch.manual_seed(1)
            noise = Generator(mlp(64, 64, (128, 128)), gamma, **READ[read], bound=top or None)
            curve, strength = [], []

            def after(*_):
                curve.append(evaluate(model, data.x_test, data.y_test))
                with torch.no_grad():
                    strength.append(noise.deviation(data.x_test, data.y_test).square().mean().sqrt().item())

            how = {"epochs": epochs, "batch_size": 16, "progress": False}
            if kind in (NONE, FIXED):
                fit(model, data.x_train, data.y_train, callback=after if kind == NONE else None, **how)
            if kind != NONE:
                train_with_noise(
                    model, random_pixels if kind == RANDOM else noise, data.x_train, data.y_train, m=m,
                    fixed=kind == FIXED, callback=after, **how,
                )  # fmt: skip
            known[key] = curve, strength if kind in (JOINT, FIXED) else []
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, _), (curve, strength) in known.items():
            left.plot(range(1, len(curve) + 1), curve, label=name)
            right.plot(range(1, len(strength) + 1), strength)
        left.set(xlabel="epoch", ylabel="accuracy without noise (%)")
        right.set(xlabel="epoch", ylabel="deviation of the noise")
        left.legend(fontsize="xx-small")
        return figure, f"{label}: {known[key][0][-1]:.1f} % after {epochs} epochs on 300 digits"

    controls = {
        "base": ("64-128-128-10", list(bases)),
        "training": (JOINT, [NONE, RANDOM, JOINT, FIXED]),
        "Σ read as in": (ALGORITHM_1, list(READ)),
        "γ": (0.001, [0.0, 0.001, 0.01, 0.1, 1.0]),
        "bound C (0: none)": (0.0, (0.0, 1.0, 0.05)),
        "draws m": (1, (1, 8, 1)),
        "epochs": (20, (2, 60, 2)),
    }
    return live_panel(controls, "Train", compute)
