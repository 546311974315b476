"""The figures and tables of "Noise Injection Node Regularization": settings, grids, cells, drawings."""

import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from ...data import load_data
from ...draw import OKABE_ITO, curves, mean_and_sem, panels, pick, seeds_of
from ...inject import inject, injected
from ...measure import fgsm, pgd
from ...models import VGG, blocknet, mlp
from ...sweep import Experiment, Sweep
from ...train import evaluate, fit
from . import method, reported

SLUG = "ninr"
NONE, L2, DROPOUT, CDT, IN, FULL = "none", "L2", "dropout", "CDT", "in-NINR", "full-NINR"
"""The kinds of training: unregularised, weight decay, dropout, corrupted data, one node, a node before every layer."""
WEIGHT_DECAY, DROPOUT_RATE, CONV_DECAY = 5e-4, 0.5, 1e-4
SIGMAS = {
    ("fc", IN): (51.8, 231.6), ("fc", FULL): (16.4, 51.8), ("cnn", IN): (2.8, 87.5), ("cnn", FULL): (0.9, 62.0),
    ("vgg", IN): (17.5, 55.4),
}  # fmt: skip
"""The paper's σ_ε for what it calls the decay and the catapult phase: Fig. 2, and Fig. 9 for the VGG-style network."""
BETWEEN = {("fc", IN): (16.4, 115.8), ("fc", FULL): (5.2,), ("cnn", IN): (15.7, 196.0), ("cnn", FULL): (7.5,)}
"""Further σ_ε, ours: below, between and above the paper's."""
OPTIMISERS = {
    "sgd": (torch.optim.SGD, {"fc": 0.05, "cnn": 0.05, "vgg": 0.05}),
    "rmsprop": (partial(torch.optim.RMSprop, alpha=0.9, eps=1e-7), {"fc": 0.0001, "cnn": 0.001}),
    "adam": (partial(torch.optim.Adam, betas=(0.9, 0.999), eps=1e-7), {"fc": 0.01, "cnn": 0.01}),
}
"""Each optimiser and its learning rates (section 3, App. C.3, App. D)."""
INPUTS = {"fc": 785, "cnn": 785, "vgg": 3073}
"""The d_in, node included, at which the paper states its σ_ε."""


def sigma_for(network: str, sigma: float, inputs: int, optimizer: str = "sgd") -> float:
    """The paper's σ_ε = `sigma` carried over to `inputs` numbers an image and to the optimiser's learning rate η.

    What counts is η σ_ε² / d_in: it stays the same, as it does in the paper's own Table 3.

    >>> sigma_for("fc", 51.8, 784), round(sigma_for("fc", 51.8, 784, "rmsprop"), 1)
    (51.8, 1158.3)
    """
    eta, usual = OPTIMISERS[optimizer][1][network], OPTIMISERS["sgd"][1][network]
    return sigma * math.sqrt((inputs + 1) / INPUTS[network] * usual / eta)


def _points(config: dict) -> list[dict]:
    """Network, kind of training and σ; then the paper's σ_ε with other distributions and other optimisers."""
    points = []
    for network in config["networks"]:
        kinds = [(kind, 0.0) for kind in (NONE, L2, DROPOUT) if kind in config["kinds"]]
        kinds += [(CDT, sigma) for sigma in config["cdt"]]
        ours = [(kind, s) for kind in (IN, FULL) for s in SIGMAS.get((network, kind), ()) if kind in config["kinds"]]
        more = [(kind, s) for kind, s_all in config["more"].items() for s in s_all.get(network, ())]
        head = {"network": network}
        plain = {"distribution": "gaussian", "optimizer": "sgd"}
        points += [{**head, "kind": kind, "sigma": s, **plain} for kind, s in kinds + sorted(ours + more)]
        points += [
            {**head, "kind": kind, "sigma": s, **plain, "distribution": d}
            for d in config["distributions"] for kind, s in ours
        ]  # fmt: skip
        points += [
            {**head, "kind": kind, "sigma": s, **plain, "optimizer": o}
            for o in config["optimizers"] for kind, s in [(NONE, 0.0), *ours]
        ]  # fmt: skip
    return points


def build(network: str, x: torch.Tensor, classes: int, config: dict) -> nn.Sequential:
    """The network "fc" (3x1024, or ``config["widths"]``), "cnn" (App. A) or "vgg" (App. D) for images like `x`."""
    if network == "fc":
        model = mlp(x[0].numel(), classes, config["widths"])
    elif network == "cnn":
        model = blocknet(x.shape[1], x.shape[2], classes, dense=config["dense"])
    else:
        model = blocknet(x.shape[1], x.shape[2], classes, **VGG)
    return method.initialise(model).to(x.device)


def equip(model: nn.Sequential, x: torch.Tensor, kind: str, sigma: float, distribution: str = "gaussian"):
    """Make `model` ready for a kind of training; return the penalty that goes with it, or None."""
    if kind in (IN, FULL):
        method.add_nodes(model, x, sigma, "in" if kind == IN else "full", distribution)
    elif kind == CDT:
        inject(model, method.InputCorruption(sigma), ["data"])
    elif kind == DROPOUT:  # behind every hidden layer: behind the pooling where there is one
        inject(model, nn.Dropout(DROPOUT_RATE), hidden_layers(model))
    return method.l2(WEIGHT_DECAY) if kind == L2 else None


def hidden_layers(model: nn.Sequential) -> list[str]:
    """Names of the last modules of the hidden layers: pooling where a block has it, else the activation."""
    pools = [name for name in model._modules if name.startswith("pool")]
    dense = [name for name in model._modules if name.startswith("act")]
    return [*pools, dense[-1]] if pools else dense


def training_cell(
    config: dict, network: str, kind: str, sigma: float, distribution: str, optimizer: str, seed: int
) -> list[dict]:
    """Train one network; measure its accuracy on corrupted, attacked and foreign images, and tell its phase.

    `seed` draws the images, the weights, the batches and the noise. `sigma` is σ_noise of CDT and the paper's σ_ε of
    NINR (`sigma_for` carries it over; ``sigma used`` rows have the result).
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    x_train, x_test = method.standardise(data.x_train, data.x_test)
    y_train, y_test = data.y_train, data.y_test
    classes = int(y_train.max()) + 1
    noisy = kind in (IN, FULL)
    used = sigma_for(network, sigma, x_train[0].numel(), optimizer) if noisy else sigma
    torch.manual_seed(seed)
    model = build(network, x_train, classes, config)
    penalty = equip(model, x_train, kind, used, distribution)
    if network == "vgg":  # App. D's own weight decay
        penalty = method.l2(CONV_DECAY, (nn.Conv2d,))
    norms, losses, loss = _followed(model)
    chosen, rates = OPTIMISERS[optimizer]
    history = fit(
        model, x_train, y_train, epochs=config["epochs"][network], batch_size=config["batch_size"], loss=loss,
        optimizer=chosen, lr=rates[network], penalty=penalty, seed=seed,
        stop_at=config["stop_at"], callback=lambda *_: norms.append(node_norm(model)), progress=False,
    )  # fmt: skip
    fitted = evaluate(model, x_train, y_train)
    rows = [
        {"measure": "epochs", "value": len(history)},
        {"measure": "training accuracy", "value": fitted},
        {"measure": "sigma used", "value": used},
    ]
    for level in config["levels"]:
        value = evaluate(model, method.corrupted(x_test, level, seed), y_test)
        rows.append({"measure": "accuracy", "x": level, "value": value})
    if noisy or kind == NONE:  # without a node: whether the rules call the network's own unrest a catapult
        rows.append(_phase(norms, losses, len(history), fitted, classes))
    if distribution == "gaussian" and optimizer == "sgd":
        x, y = x_test[: config["attacked"]], y_test[: config["attacked"]]
        for name, attack in (("fgsm", fgsm), ("pgd", partial(pgd, steps=config["steps"]))):
            for delta in config["deltas"]:
                rows.append({"measure": name, "x": delta, "value": evaluate(model, attack(model, x, y, delta), y)})
        curvature = method.input_curvature(model, x, y, seed=seed)
        if math.isfinite(curvature):
            rows.append({"measure": "input curvature", "value": curvature})
    if "target" in config:
        foreign = load_data(config["target"], config["folder"], device=config["device"])
        framed = method.digit_frame(foreign.x_test, size=data.x_test.shape[-1], box=round(data.x_test.shape[-1] / 1.4))
        x = method.standardise(data.x_train, framed)[1]
        rows.append({"measure": "target accuracy", "value": evaluate(model, x, foreign.y_test)})
    return rows


def _phase(norms: list[float], losses: list[float], epochs: int, accuracy: float, classes: int) -> dict:
    """The row that tells the phase, by the loss of every batch, the last epoch's mean standing for its end."""
    last = np.mean(losses[-(len(losses) // epochs) :])
    found = method.phase(norms, [*losses, last], accuracy, 100 / classes)
    return {"measure": "phase", "text": found, "value": method.PHASES.index(found)}


def _followed(model: nn.Module):
    """Lists that fill while `model` trains, the norm of W_NI and every batch's loss, and the loss that does it."""
    norms, losses = [node_norm(model)], []

    def loss(output, target):
        value = nn.functional.cross_entropy(output, target)
        losses.append(value.item())
        return value

    return norms, losses, loss


def node_norm(model: nn.Module) -> float:
    """|W_NI| of the network's first noise injection node; 0 without nodes."""
    nodes = [layer for layer in injected(model).values() if isinstance(layer, method.NoiseNode)]
    return nodes[0].weight.norm().item() if nodes else 0.0


_LEVELS = [round(0.1 * i, 1) for i in range(11)]
_ALL = [NONE, L2, DROPOUT, IN, FULL]
_MORE = {kind: {n: s for (n, k), s in BETWEEN.items() if k == kind} for kind in (IN, FULL)}
_COMMON = {
    "batch_size": 128, "widths": [1024] * 3, "dense": 2048, "stop_at": 98, "levels": _LEVELS,
    "deltas": [0.05, 0.1, 0.2, 0.3, 0.5], "attacked": 250, "steps": 10, "networks": ["fc", "cnn"], "kinds": _ALL,
    "cdt": [0.2, 0.4], "more": {}, "distributions": [], "optimizers": [],
}  # fmt: skip
_SMOKE = {
    **_COMMON, "seeds": 1, "data": {"train": 200, "test": 50}, "epochs": {"fc": 2, "cnn": 2, "vgg": 1},
    "batch_size": 64, "widths": [32] * 3, "dense": 32, "levels": [0.0, 0.5], "deltas": [0.1], "attacked": 20,
    "steps": 2,
}  # fmt: skip
_DESK = {
    **_COMMON, "seeds": 3, "data": {"train": 2000, "test": 1000}, "epochs": {"fc": 60, "cnn": 40, "vgg": 25},
    "steps": 7,
}  # fmt: skip
_PAPER = {
    **_COMMON, "seeds": 10, "data": {}, "epochs": {"fc": 500, "cnn": 500, "vgg": 500}, "attacked": 10_000,
}  # fmt: skip
_WHOLE = {"more": _MORE, "distributions": ["uniform", "double gaussian"], "optimizers": ["rmsprop", "adam"]}

TRAINING = Sweep(
    f"{SLUG}/training",
    training_cell,
    _points,
    {
        "smoke": {
            "default": {**_SMOKE, "distributions": ["uniform", "double gaussian"], "optimizers": ["rmsprop", "adam"]}
        },
        "desk": {"default": {**_DESK, **_WHOLE}, "digits": {"data": {"train": None, "test": None}}},
        "paper": {"default": {**_PAPER, **_WHOLE}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"},
)
_TRANSFER = {"cdt": [], "stop_at": 100, "levels": [0.0], "deltas": []}
TRANSFER = Sweep(
    f"{SLUG}/table-1",
    training_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, **_TRANSFER, "target": "digits"}},
        "desk": {"default": {**_DESK, **_TRANSFER, "target": "usps"}},
        "paper": {"default": {**_PAPER, **_TRANSFER, "target": "usps"}},
    },
    {"smoke": "digits", "desk": "mnist", "paper": "mnist"},
)
_COLOUR = {"networks": ["vgg"], "kinds": [NONE, IN], "deltas": []}
COLOUR = Sweep(
    f"{SLUG}/fig-9",
    training_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, **_COLOUR}},
        "desk": {"default": {**_DESK, **_COLOUR, "data": {"train": 1500, "test": 1000}}},
        "paper": {"default": {**_PAPER, **_COLOUR}},
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
)

PAPER_STRENGTHS = {0.0: "decoupled", 0.1: "decay", 1.0: "catapult", 1.8: "divergent"}
"""Fig. 3's η σ_ε² / d_in, and the phases that App. A names for them."""
STRENGTHS = [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.4, 1.8, 3.0]


def dynamics_cell(config: dict, strength: float, seed: int) -> list[dict]:
    """Train Fig. 3's network with one node of σ_ε² = `strength` · d_in / η; follow norms, losses and accuracies.

    ``noisy loss`` is each batch's loss with its noise, over the step; the rest is without noise, at the ends of epochs
    (step 0: as initialised). |W^(1)| is the norm of the weights behind the hidden layer.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    x_train, x_test = method.standardise(data.x_train, data.x_test)
    y_train, y_test = data.y_train, data.y_test
    classes, inputs = int(y_train.max()) + 1, x_train[0].numel()
    torch.manual_seed(seed)
    model = method.initialise(mlp(inputs, classes, config["widths"])).to(x_train.device)
    sigma = math.sqrt(strength * (inputs + 1) / config["lr"])
    method.add_nodes(model, x_train, sigma)
    norms, losses, loss = _followed(model)
    per_epoch, rows = -(-len(x_train) // config["batch_size"]), []
    when = {round(e) for e in np.geomspace(1, config["epochs"] + 1, config["checkpoints"]) - 1}

    def follow(epoch: int, _) -> None:
        if epoch:
            norms.append(node_norm(model))
        if epoch not in when:
            return
        model.eval()
        with torch.no_grad():
            output, trained = model(x_test), model(x_train)
        measures = {
            "|W_NI|": norms[-1],
            "|W(1)|": model.linear2.weight.norm().item(),
            "training loss": nn.functional.cross_entropy(trained, y_train).item(),
            "test loss": nn.functional.cross_entropy(output, y_test).item(),
            "training accuracy": 100 * (trained.argmax(1) == y_train).double().mean().item(),
            "test accuracy": 100 * (output.argmax(1) == y_test).double().mean().item(),
        }
        rows.extend({"measure": m, "x": epoch * per_epoch, "value": v} for m, v in measures.items() if math.isfinite(v))
        model.train()

    follow(0, None)
    fit(
        model, x_train, y_train, epochs=config["epochs"], batch_size=config["batch_size"], loss=loss,
        optimizer=torch.optim.SGD, lr=config["lr"], seed=seed, callback=follow, progress=False,
    )  # fmt: skip
    steps = {round(s) for s in np.geomspace(1, len(losses), 3 * config["checkpoints"]) - 1}
    rows += [{"measure": "noisy loss", "x": s, "value": losses[s]} for s in sorted(steps) if math.isfinite(losses[s])]
    rows.append(_phase(norms, losses, config["epochs"], evaluate(model, x_train, y_train), classes))
    rows.append({"measure": "sigma used", "value": sigma})
    return rows


DYNAMICS = Sweep(
    f"{SLUG}/fig-3",
    dynamics_cell,
    lambda config: [{"strength": s} for s in config["strengths"]],
    {
        "smoke": {
            "default": {
                "seeds": 1, "data": {"train": 200, "test": 50}, "widths": [64], "lr": 0.01, "batch_size": 100,
                "epochs": 4, "checkpoints": 4, "strengths": list(PAPER_STRENGTHS),
            },
        },
        "desk": {
            "default": {
                "seeds": 3, "data": {"train": 4000, "test": 1000}, "widths": [1024], "lr": 0.01, "batch_size": 1000,
                "epochs": 150, "checkpoints": 24, "strengths": STRENGTHS,
            },
            # fewer inputs: the same σ_ε are reached at larger strengths
            "digits": {
                "data": {}, "batch_size": 479,
                "strengths": [0.0, 0.01, 0.1, 0.3, 1.0, 1.8, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0],
            },
        },
        "paper": {
            "default": {
                "seeds": 10, "data": {}, "widths": [1024], "lr": 0.01, "batch_size": 1000, "epochs": 500,
                "checkpoints": 100, "strengths": STRENGTHS,
            },
        },
    },
    {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"},
)  # fmt: skip
EQUAL, RANDOM, WIDE = "univariate, w² = 1/d", "univariate, w ~ N(0, 1/d)", "hidden width d, w ~ N(0, 1/d)"
"""The toy model's starts: the paper's, one that draws its three weights, and a hidden layer of d units."""


def weights(model: str, d: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w^(0), w^(1), w_NI of the toy model at the start, each [1] or [d]."""
    rng = np.random.default_rng(seed)
    if model == EQUAL:
        return tuple(np.array([d**-0.5]) for _ in range(3))
    return tuple(rng.standard_normal((3, d if model == WIDE else 1)) * d**-0.5)


def toy_cell(config: dict, model: str, data: bool, eta: float, seed: int) -> list[dict]:
    """Gradient descent of the toy model over a range of σ_ε²: phases, and the least σ_ε² that makes the loss rise.

    Without `data` the noise is all there is (σ_x = 0, eq. 15); with it the network learns as well (eq. 13).

    ``critical`` rows: ``value`` is the measured one (the least in the range whose phase is catapult or divergent),
    ``paper`` 2 d / η, ``first`` the least at which a first step of the noise's part alone enlarges it. ``trajectory``
    rows, at the middle η and seed 0, follow one run of every phase; ``flow`` rows continuous time.
    """
    w0, w1, w_ni = weights(model, config["d"], seed)
    low, high, count = config["range"]  # of η σ_ε²
    strengths = np.geomspace(low, high, count)
    sigmas = np.sqrt(strengths / eta)
    steps = round(config["time"] / eta)
    path = method.descend(w0, w1, w_ni, eta=eta, sigma=sigmas, steps=steps, sigma_x=float(data))
    phases = np.array([method.phase(*pair) for pair in zip(path["w_ni"], path["loss"], strict=True)])
    grew = np.isin(phases, ["catapult", "divergent"])
    first = method.first_growth(w1, w_ni, eta)
    rows = [
        {"measure": "phase", "x": float(s**2), "text": str(found), "value": method.PHASES.index(found)}
        for s, found in zip(sigmas[:: config["every"]], phases[:: config["every"]], strict=True)
    ]
    if grew.any():
        value = float(sigmas[grew.argmax()] ** 2)
        paper = method.critical_noise(config["d"], eta)
        rows.append({"measure": "critical", "value": value, "paper": paper, "first": first})
    if data and eta == config["etas"][len(config["etas"]) // 2]:
        for found in method.PHASES:
            if (phases == found).any() and (seed == 0 or model != WIDE):
                k = int(np.flatnonzero(phases == found)[(phases == found).sum() // 2])
                run = {name: values[k] for name, values in path.items()}
                rows += _trajectory(config, (w0, w1, w_ni), eta, sigmas[k], run, found, seed == 0)
    return rows


def _trajectory(config: dict, start, eta: float, sigma: float, path: dict, found: str, follow: bool) -> list[dict]:
    """``growth``: the largest loss over the first (10⁶ at most), in discrete and continuous time; and the two runs."""
    count, head = len(path["loss"]), {"text": found, "sigma2": float(sigma**2)}
    smooth = method.flow(*start, sigma=sigma, times=eta * np.arange(count))
    rows = []
    for measure, run in (("trajectory", path), ("flow", smooth)):
        peak = np.nan_to_num(run["loss"], nan=np.inf).max()
        rows.append({**head, "measure": "growth", "series": measure, "value": float(min(peak / run["loss"][0], 1e6))})
    top = int(np.nan_to_num(path["loss"], nan=0, posinf=0).argmax())
    steps = {round(s) for s in np.geomspace(1, count, config["checkpoints"]) - 1} | {*range(top - 4, top + 5, 2)}
    steps = sorted(step for step in steps if 0 <= step < count)
    return rows + [
        {**head, "measure": measure, "series": name, "x": s, "value": float(run[name][s])}
        for measure, run in (("trajectory", path), ("flow", smooth))
        for name in run
        for s in steps
        if follow and np.isfinite(run[name][s]) and abs(run[name][s]) < 1e6
    ]


_TOY = {"d": 785, "etas": [0.01, 0.03, 0.1, 0.3], "range": [1e-3, 1e5, 401], "every": 10, "time": 20, "checkpoints": 50}
TOY = Sweep(
    f"{SLUG}/toy-model",
    toy_cell,
    lambda config: [
        {"model": m, "data": data, "eta": e}
        for m in (EQUAL, RANDOM, WIDE) for data in (True, False) for e in config["etas"]
    ],
    {
        "smoke": {"default": {**_TOY, "seeds": 1, "d": 25, "etas": [0.1], "range": [1e-2, 1e3, 26], "every": 5}},
        "desk": {"default": {**_TOY, "seeds": 5}},
        "paper": {"default": {**_TOY, "seeds": 10}},
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
)  # fmt: skip

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
    return _grid(table, dataset, "measure", list(names), "δ, in deviations of the data", names)


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
        _rows(["fgsm", "pgd"], **_PLAIN),
    ),
    Experiment(
        f"{SLUG}/fig-7", "Figure 7", "Accuracy on corrupted images, by distribution of ε", f"{_SETTING}; 5 runs",
        TRAINING, draw_distributions, _distributions,
    ),
    Experiment(
        f"{SLUG}/fig-8", "Figure 8", "Accuracy on corrupted images under SGD, RMSprop and Adam",
        f"{_SETTING}, but for the optimisers of App. C.3; 5 runs", TRAINING, draw_optimisers, _optimisers("accuracy"),
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
        f"{SLUG}/table-1", "Table 1", "Domain shift: trained on MNIST, tested on USPS",
        "FC and CNN of Fig. 2, trained to 100 % training accuracy; 10 runs", TRANSFER, draw_table_1,
        _rows(["target accuracy", "accuracy", *_RUN]),
    ),
    Experiment(
        f"{SLUG}/table-2", "Table 2", "Accuracy on clean test images", f"{_SETTING}; 10 runs", TRAINING, draw_table_2,
        lambda table: pick(table[_as_in_the_paper(table)], measure="accuracy", x=0.0, **_PLAIN),
    ),
]  # fmt: skip
"""The registered figures and tables of this paper; five are views of one sweep."""
