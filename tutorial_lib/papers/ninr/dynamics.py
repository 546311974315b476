"""What is measured for "Noise Injection Node Regularization" along training: Fig. 3's phases, and the toy model."""

import math

import numpy as np
import torch
from torch import nn

from ...data import load_data
from ...models import mlp
from ...sweep import Sweep
from ...train import evaluate, fit
from . import SLUG, method
from .sweeps import _followed, _phase, node_norm

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
                "seeds": 10, "data": {"train": 4000, "test": 1000}, "widths": [1024], "lr": 0.01, "batch_size": 1000,
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
        "desk": {"default": {**_TOY, "seeds": 10}},
        "paper": {"default": {**_TOY, "seeds": 10}},
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
    subject="toy model",
)  # fmt: skip
