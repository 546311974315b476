"""The explorers of this chapter: two that the page computes by itself, one of measured errors; and the live panel."""

import numpy as np
import pandas as pd
import torch

from ...draw import OKABE_ITO, halves, in_order, mean_and_sem, panels, pick
from ...explore import Explorer, explorer, live_panel, page_script
from ...train import evaluate
from .. import read_table, shipped
from . import SLUG
from .existence import EXISTS, decide, nearest
from .figures import STYLES, draw_levels
from .layers import MARGIN, PICTURES
from .method import dropped, equal_level, multipliers, noise_variance
from .page import Layer, shipped_layer
from .sweeps import DROPOUT, EQUAL, NONE, RANDOM, SOLVED

_STEPS = [*range(11), 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 55, 60]
_UNSCALED, _SCALED, _EXACT = "as they are", "times 1/(1 − p)", "solved exactly"


def x_star() -> Explorer:
    """Units of a small trained layer switched off, and the image that would have done it, found in the page."""
    layer, (rate,) = shipped_layer(), PICTURES.config("desk", "digits")["rates"]
    shipped = {name: halves(getattr(layer, name)) for name in ("weight", "bias", "images")}
    shipped |= {
        "labels": layer.labels.tolist(), "rate": rate, "margin": MARGIN, "exact": _EXACT, "scaled": _SCALED,
    }  # fmt: skip
    return explorer(
        "lines",
        None,
        title="Switch a unit off and see which image would have done it",
        controls=[
            {"column": "digit", "label": "Digit", "values": [*map(str, layer.labels)]},
            {"column": "p", "label": "Level p", "values": [round(0.05 * k, 2) for k in range(19)],
             "play": True},
            {"column": "draw", "label": "Draw", "values": list(range(1, 31)), "play": True},
            {"column": "scale", "label": "Kept units", "values": [_UNSCALED, _SCALED]},
            {"column": "how", "label": "x* is found by",
             "values": [f"descent at {rate:g}", f"descent at {rate / 2:g}", _EXACT]},
            {"column": "steps", "label": "Steps", "values": _STEPS, "play": True},
        ],
        start={"digit": "3", "p": 0.0, "draw": 1, "scale": _UNSCALED, "how": f"descent at {rate / 2:g}",
               "steps": 20},
        presets={
            "One off": {"p": 0.0, "units": ""},
            "Half off": {"p": 0.5, "units": ""},
            "None off": {"p": 0.0, "units": "-"},
        },
        x="x",
        value="value",
        series="series",
        panels=[{"own": True}],
        names={"panel": "of", "series": "at", "x": "unit, step or pixel", "value": "value"},
        kept="units",
        compute=page_script(__package__, "x_star.js", shipped),
        picture=_draw_x_star(layer),
    )  # fmt: skip


def _draw_x_star(layer: Layer):
    """The explorer's picture, for pages without scripts: x* for a digit with one unit off, and with half of them."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    signed, grey = colormaps["PiYG"].resampled(11), colormaps["gray"].resampled(13)  # a small file holds few colours
    weight, bias, images = (torch.tensor(a, dtype=torch.float64) for a in (layer.weight, layer.bias, layer.images))
    x = images[3:4].expand(2, -1)
    a = (x @ weight.T + bias).clamp_min(0)
    masks = multipliers(a.shape, 0.5, scaled=False, generator=torch.Generator().manual_seed(0), dtype=a.dtype)
    masks[0] = 1.0
    masks[0, a[0].argmax()] = 0.0
    found, worst, bound = nearest(weight, bias, x, a * masks)
    answers = decide(x, a * masks, worst, bound)
    far = (found - x).norm(dim=1) / x.norm(dim=1)
    figure = Figure(figsize=(6.8, 4.9), layout="constrained")
    rows = zip(figure.subplots(2, 3), ("strongest unit off", "half of the units off"), answers, far, found, strict=True)
    for axes, name, answer, distance, image in rows:
        exact = f"exact, {distance:.2f} |x| away" if answer == EXISTS else "closest (none is exact)"
        side = round(len(image) ** 0.5)
        for axis, values, title in zip(axes, (x[0], image, image - x[0]), ("x", f"x*: {exact}", "x* − x"), strict=True):
            look = {"cmap": signed, "vmin": -1} if title == "x* − x" else {"cmap": grey, "vmin": 0}
            shown = axis.imshow(values.reshape(side, side), vmax=1, **look)
            axis.set(xticks=[], yticks=[])
            axis.set_title(title, fontsize=10)
        figure.colorbar(shown, ax=axes[2], shrink=0.8)
        axes[0].set_ylabel(name)
    return figure


def densities() -> Explorer:
    """Fig. 1, computed in the page: how many units are dropped, and how noisy that is, over N and p."""
    return explorer(
        "lines",
        None,
        title="How many units are dropped",
        controls=[
            {"column": "p", "label": "Level p", "values": [round(0.05 * k, 2) for k in range(1, 19)], "play": True},
            {"column": "n", "label": "Units N", "values": [10, 20, 50, 100, 200, 500, 1000], "play": True},
        ],
        start={"p": 0.5, "n": 100},
        presets={"The paper's p = 0.5": {"p": 0.5, "n": 100}},
        x="x",
        value="value",
        series="series",
        panels=[
            {"name": "law", "x": "share of units dropped, k/N", "y": "probability times N"},
            {"name": "variance", "x": "level p", "y": "variance of the multiplier", "mark": "p"},
        ],
        names={"panel": "of", "series": "scheme", "x": "k/N, or p", "value": "probability times N, or variance"},
        digits=3,
        compute=page_script(__package__, "dropped.js"),
        picture=_draw_densities(),
    )  # fmt: skip


def _draw_densities():
    """The explorer's picture, for pages without scripts: Fig. 1, and the variances over p."""
    n, p, (left, right) = 100, 0.5, panels(2)[1]
    figure, share, q, levels = left.figure, np.arange(n + 1) / n, equal_level(p), np.linspace(0.05, 0.9, 50)
    for level, random, name, colour, style in (
        (p, False, "dropout", OKABE_ITO[4], "-"),
        (p, True, "random dropout", OKABE_ITO[5], "--"),
        (q, False, f"dropout at {q:.3f}", OKABE_ITO[0], ":"),
    ):
        left.plot(share, n * dropped(n, level, random), style, color=colour, label=name)
        if level == p:
            right.plot(levels, [noise_variance(v, random) for v in levels], style, color=colour)
    left.set(xlabel=f"share of {n} units dropped, p = {p}", ylabel="probability times N")
    left.legend(fontsize="small")
    right.set(xlabel="level p", ylabel="variance of the multiplier")
    return figure


VIEWS = {
    "hidden layers": (lambda rows: rows["input"] == 0, "hidden"),
    "hidden layers, 0.2 behind the input": (lambda rows: rows["input"] == 0.2, "hidden"),
    "input, 0.5 behind hidden layers": (lambda rows: rows["hidden"] == 0.5, "input"),
    "input and hidden layers": (lambda rows: rows["input"] == rows["hidden"], "hidden"),
}
"""Where the noise is that is varied: the rows of each view, and the column that holds the level."""


def by_view(errors: pd.DataFrame) -> pd.DataFrame:
    """Errors as the explorer takes them: a row a view, network, kind and level, networks without noise at level 0."""
    parts = []
    for view, (chosen, level) in VIEWS.items():
        rows = errors[chosen(errors) | (errors["kind"] == NONE)]
        noisy = rows[rows["kind"] != NONE]
        if "0." not in view:  # the networks without noise are level 0 of every kind there
            for kind in noisy["kind"].unique():
                zero = pick(rows, kind=NONE)
                zero = zero[zero["network"].isin(pick(noisy, kind=kind)["network"])]
                parts.append(zero.assign(view=view, kind=kind, level=0.0))
        else:
            noisy = rows[rows["kind"] == DROPOUT]
        parts.append(noisy.assign(view=view, level=noisy[level]))
    found = pd.concat(parts, ignore_index=True)
    return mean_and_sem(found, ["view", "network", "kind", "level"])


def errors() -> Explorer:
    """Figs. 4 and 6: test error over the level of noise, by scheme, by where the noise is, network and data."""
    names = [t["dataset"] for t in shipped(f"{SLUG}/fig-6") if t["budget"] == "desk"]
    names.sort(key=lambda name: (name == "digits", name != "mnist"))
    tables = {name: read_table(f"{SLUG}/fig-6", name, "desk") for name in names}
    parts = [by_view(pick(table, measure="error")).assign(dataset=name) for name, table in tables.items()]
    means = in_order(pd.concat(parts, ignore_index=True), "kind", list(STYLES)).round({"value": 2, "sem": 2})
    first = next(iter(tables))
    controls = pick(tables[first], kind=SOLVED)
    return explorer(
        "lines",
        means[["dataset", "view", "network", "kind", "level", "value", "sem", "seeds"]],
        title="Test error over the level of noise",
        controls=[
            {"column": "dataset", "label": "Data set"},
            {"column": "view", "label": "Noise behind"},
            {"column": "network", "label": "Network"},
        ],
        start={"dataset": first, "view": "hidden layers", "network": controls["network"].iloc[0]},
        x="level",
        value="value",
        error="sem",
        seeds="seeds",
        series="kind",
        presets={"Random dropout": {"view": "input and hidden layers"}, "Training on x*": {"view": "hidden layers"}},
        names={"dataset": "data set", "view": "noise behind", "network": "network", "kind": "training",
               "level": "level p", "value": "test error (%)", "sem": "standard error", "seeds": "seeds"},
        symbol="p",
        picture=draw_levels(tables[first], first),
    )  # fmt: skip


EXPLORERS = (x_star, densities, errors)


def live():
    """A panel that trains for real on the digits: scheme, level, where, epochs (see `live_panel`).

    It draws the test error after each epoch, of every network that was trained so far.
    """
    from matplotlib.figure import Figure

    from ...data import load_data
    from .sweeps import IMAGES, JOINT, SOLVED, TRAINING, UNIT, build, equip, flattened, train

    data, known = flattened(load_data("digits", train=300), None)[0], {}
    settings = TRAINING.config("desk", "digits")

    def compute(kind, level, place, widths, epochs, say):
        hidden, behind = (level, level if place == "input and hidden layers" else 0.0)
        name = (
            kind
            if kind == NONE
            else f"{kind}, p = {level:g}" + (", input too" if behind and kind not in IMAGES else "")
        )
        key = (name, widths, epochs)
        if key not in known:
            say("training …")
            torch.manual_seed(0)
            model, curve = build(widths, 64), []
            equip(model, kind, hidden, behind)
            train(
                model, data, kind, level, epochs, 0, settings,
                lambda _: curve.append(100 - evaluate(model, data.x_test, data.y_test)),
            )  # fmt: skip
            known[key] = curve
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        axis = figure.subplots()
        for (label, network, _), curve in known.items():
            axis.plot(range(1, len(curve) + 1), curve, label=f"{label} ({network})")
        axis.set(xlabel="epoch", ylabel="error on test digits (%)", ylim=(0, 30))
        axis.legend(fontsize="x-small")
        return figure, f"{name}, {widths}: {known[key][-1]:.1f} % after {epochs} epochs on 300 digits"

    controls = {
        "training": (RANDOM, [NONE, DROPOUT, RANDOM, EQUAL, UNIT, JOINT, SOLVED]),
        "level p": (0.5, (0.05, 0.9, 0.05)),
        "noise behind": ("hidden layers", ["hidden layers", "input and hidden layers"]),
        "network": ("128-128", ["64-64", "128-128", "204-204"]),
        "epochs": (20, (2, 60, 2)),
    }
    return live_panel(controls, "Train", compute)
