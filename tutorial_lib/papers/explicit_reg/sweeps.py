"""What is measured for "Explicit Regularisation in Gaussian Noise Injections": settings, grids, one cell of each."""

import json
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from ...data import load_data
from ...measure import calibration_error, corrupt, entropy, grams, hessian_trace, jacobians, reliability
from ...models import convnet, mlp
from ...sweep import Sweep, check_network
from ...train import evaluate, fit
from . import SLUG, method
from .method import add_noise, noised_layers

BASELINE, INPUT, NOISE, REGULARISER = "baseline", "noise on the input", "noise", "regulariser"
TWICE = "regulariser, eq. 10"
"""The kinds of training. The last exists for regression only, where eq. (10) is twice eq. (12)."""
AGAIN, L2, GRADIENT = "noise, other draws", "L2", "input gradient"
"""Our controls: the noise once more, and two penalties as strong as the noise (`matched`), blind to its layers."""
ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU}
SMALL = "mlp-32"
"""The two layers of 32 units whose Hessian trace the paper follows (Figs. 1, 7, 9)."""
VARIANCE, SMALL_VARIANCE = 0.1, 0.01


def _points(config: dict) -> list[dict]:
    """Network, activation and kind of training; the small network also with small and with multiplicative noise."""
    points = []
    for network, activations in config["networks"].items():
        for activation in activations:
            head = {"network": network, "activation": activation}
            points.append({**head, "kind": BASELINE, "operation": "+", "variance": 0.0})
            noises = [("+", VARIANCE)]
            if network == SMALL:
                noises += [("+", SMALL_VARIANCE), ("×", SMALL_VARIANCE)]
            for operation, variance in noises:
                kinds = [kind for kind in config["kinds"] if network != SMALL or kind != INPUT]
                if _setting(*head.values(), operation, variance) in config["strengths"]:
                    kinds += [L2, GRADIENT]
                points += [{**head, "kind": kind, "operation": operation, "variance": variance} for kind in kinds]
    return points


def _setting(network: str, activation: str, operation: str, variance: float) -> str:
    """How the strengths of the controls are filed.

    >>> _setting("mlp", "elu", "+", 0.1)
    'mlp, elu, +0.1'
    """
    return f"{network}, {activation}, {operation}{variance:g}"


def build(network: str, activation: str, x: torch.Tensor, outputs: int) -> nn.Sequential:
    """The network of App. H for inputs like `x`: "mlp" (2x512), "mlp-32" (2x32) or "conv"."""
    kind = ACTIVATIONS[activation]
    if network == "conv":
        return convnet(x.shape[1], x.shape[2], outputs, kind)
    return mlp(x[0].numel(), outputs, (32, 32) if network == SMALL else (512, 512), kind)


def check(config: dict, data) -> None:
    """`ValueError` where one of the networks cannot take the images."""
    for network, (activation, *_) in config["networks"].items():
        check_network(lambda x, n=network, a=activation: build(n, a, x, 10), data)


def train(
    model, x, y, kind: str, variance: float, operation: str, config: dict, seed: int, callback=None, strength: float = 0
) -> None:
    """Train `model` in one of the kinds: plain, with noise, with the explicit regulariser in place of it, or a control.

    `strength` is λ of the controls `L2` and `GRADIENT`. `AGAIN` meets other batches and draws than `NOISE`.
    """
    regression, multiplicative, extra = y.is_floating_point(), operation == "×", None
    loss = "squared error" if regression else "cross-entropy"
    if kind == L2:
        extra = method.l2(strength)
    elif kind == GRADIENT:
        extra = method.penalty(method.input_gradient, strength, config.get("sample"), loss=loss)
    elif kind in (INPUT, NOISE, AGAIN):
        add_noise(model, variance, multiplicative, ["data"] if kind == INPUT else None)
    elif kind != BASELINE:
        chosen, options = (method.regression_regulariser if regression else method.classification_regulariser), {}
        if kind == TWICE:
            chosen, options = method.explicit_regulariser, {"loss": loss}
        extra = method.penalty(chosen, variance, config.get("sample"), multiplicative=multiplicative, **options)
    fit(
        model, x, y, epochs=config["epochs"], batch_size=config["batch_size"], lr=config["lr"],
        loss=nn.functional.mse_loss if regression else nn.functional.cross_entropy, penalty=extra,
        seed=seed + OTHER if kind == AGAIN else seed,
        optimizer=OPTIMISERS[config["optimizer"]], callback=callback, progress=False,
    )  # fmt: skip


OTHER = 1000
"""What is added to a seed for other draws."""
OPTIMISERS = {
    "sgd": torch.optim.SGD,
    "sgd, momentum 0.9": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
}


def checkpoints(epochs: int, count: int) -> list[int]:
    """About `count` epochs, evenly from the first to the last.

    >>> checkpoints(10, 4)
    [1, 4, 7, 10]
    """
    return sorted({round(e) for e in np.linspace(1, epochs, min(count, epochs))})


def training_cell(
    config: dict, network: str, activation: str, kind: str, operation: str, variance: float, seed: int
) -> list[dict]:
    """Train one network; follow its test loss (the small one: its Hessian trace), then measure what it has become.

    What it predicts is compared image by image with a network trained with noise from the same start (`reference`).
    `seed` draws the images, the weights, the batches and the noise. Losses and all measures are without injected noise.
    The Hessian trace is that of the mean loss on 256 training images, by layer.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    x, y = data.x_test, data.y_test
    regression = y.is_floating_point()
    loss = nn.functional.mse_loss if regression else nn.functional.cross_entropy
    model = started(network, activation, data, seed)
    strength = config["strengths"][_setting(network, activation, operation, variance)][kind] if kind in CONTROLS else 0
    rows, when = [], checkpoints(config["epochs"], config["checkpoints"])

    def follow(epoch: int, _) -> None:
        if epoch not in when:
            return
        model.eval()
        with torch.no_grad():
            for measure, inputs, targets in (("test loss", x, y), ("training loss", data.x_train, data.y_train)):
                rows.append({"measure": measure, "x": epoch, "value": _mean_loss(model, inputs, targets, loss)})
        if network == SMALL:
            traces = hessian_trace(model, data.x_train[:256], data.y_train[:256], loss, config["probes"], seed)
            rows.extend(
                {"measure": "hessian trace", "layer": k, "x": epoch, "value": value}
                for k, value in enumerate(traces.values())
            )
        model.train()

    train(model, data.x_train, data.y_train, kind, variance, operation, config, seed, follow, strength)
    if kind in CONTROLS:
        rows.append({"measure": "strength", "value": strength})
    if network != SMALL and kind != NOISE:
        rows += _likeness(_outputs(model, x), reference(json.dumps(config), network, activation, seed), regression)
    if network != SMALL and not regression:
        if _outputs(model, x).isfinite().all():  # a run that diverged has none of these
            rows += _robustness(model, x, y, config["sigmas"], seed) + _geometry(model, x[: config["inspected"]], kind)
        rows.append({"measure": "training accuracy", "value": evaluate(model, data.x_train, data.y_train)})
    return rows


def started(network: str, activation: str, data, seed: int) -> nn.Sequential:
    """A network for `data` with its first weights, on the data's device."""
    torch.manual_seed(seed)
    outputs = 1 if data.y_train.is_floating_point() else int(data.y_train.max()) + 1
    return build(network, activation, data.x_train, outputs).to(data.x_train.device)


@lru_cache(maxsize=1)
def reference(settings: str, network: str, activation: str, seed: int) -> torch.Tensor:
    """Outputs on the test set of the network trained with noise of `VARIANCE`, the configuration given as JSON."""
    config = json.loads(settings)
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    model = started(network, activation, data, seed)
    train(model, data.x_train, data.y_train, NOISE, VARIANCE, "+", config, seed)
    return _outputs(model, data.x_test)


def _likeness(output: torch.Tensor, noise: torch.Tensor, regression: bool) -> list[dict]:
    """How like two networks' outputs [N, C] are, image by image.

    Percent of the images put into the same class, and the mean distance of their logits, less each image's mean (which
    no prediction depends on); for regression the mean distance.
    """
    if not output.isfinite().all():
        return []
    if regression:
        return [{"measure": "output distance", "value": (output - noise).abs().mean().item()}]
    gap = output - noise
    agreement = 100 * (output.argmax(1) == noise.argmax(1)).double().mean().item()
    distance = (gap - gap.mean(1, keepdim=True)).norm(dim=1).mean().item()
    return [{"measure": "agreement", "value": agreement}, {"measure": "output distance", "value": distance}]


@torch.no_grad()
def _outputs(model, x) -> torch.Tensor:
    return torch.cat([model(part) for part in x.split(2048)])


def _mean_loss(model, x, y, loss) -> float:
    parts = zip(x.split(2048), y.split(2048), strict=True)
    return sum(loss(model(a), b).item() * len(a) for a, b in parts) / len(x)


@torch.no_grad()
def _robustness(model, x, y, sigmas: list[float], seed: int) -> list[dict]:
    """Accuracy, calibration error and reliability on data with noise of deviation σ; entropy without."""
    rows = []
    for sigma in sigmas:
        p = _outputs(model, corrupt(x, sigma, seed)).softmax(1)
        accuracy = 100 * (p.argmax(1) == y).double().mean().item()
        rows.append({"measure": "accuracy", "sigma": sigma, "value": accuracy})
        rows.append({"measure": "calibration error", "sigma": sigma, "value": calibration_error(p, y, BINS)})
        rows += [
            {"measure": "reliability", "sigma": sigma, "y": b, "x": r.confidence, "value": r.accuracy, "share": r.share}
            for b, r in reliability(p, y, BINS).iterrows()
        ]
        if sigma == 0:
            rows += _density("entropy", entropy(p), np.linspace(0, np.log(p.shape[1]), 21))
            rows.append({"measure": "mean entropy", "value": entropy(p).mean().item()})
    rows.append({"measure": "margin bound", "value": method.margin_bound(model, x[:512]).median().item()})
    return rows


def _density(measure: str, values, edges) -> list[dict]:
    heights, _ = np.histogram(values.cpu().numpy(), edges, density=True)
    middles = (edges[:-1] + edges[1:]) / 2
    return [{"measure": measure, "x": a, "value": b} for a, b in zip(middles.tolist(), heights.tolist(), strict=True)]


BINS, RARE = 10, 0.005
"""Bins of confidence, and the share of the images up to which a bin is not drawn."""
LEVELS = [round(p, 4) for p in np.linspace(0.005, 0.995, 34)]
"""The quantiles that stand for the distribution of a Jacobian's elements."""


def _geometry(model, x, kind: str) -> list[dict]:
    """Norms and elements of each J_k, the size of the terms that eq. (15) drops, and the mean of J_k J_kᵀ."""
    rows, layers = [], noised_layers(model)
    output, found = grams(model, x, layers)
    hessian = method.output_hessian(output, "cross-entropy")
    for k, (gram, elements) in enumerate(zip(found, jacobians(model, x[:100], layers), strict=True)):
        every = (hessian * gram).sum((1, 2))
        kept = (hessian * gram).diagonal(dim1=1, dim2=2).sum(1)
        norm = gram.diagonal(dim1=1, dim2=2).sum(1).sqrt()
        share = 100 * ((every - kept).mean() / kept.mean()).item()
        rows.append({"measure": "jacobian norm", "layer": k, "value": norm.mean().item()})
        rows.append({"measure": "off-diagonal share", "layer": k, "value": share})
        quantiles = np.quantile(elements.cpu().numpy(), LEVELS)
        rows += [
            {"measure": "jacobian quantile", "layer": k, "x": p, "value": float(q)}
            for p, q in zip(LEVELS, quantiles, strict=True)
        ]
        if kind == BASELINE:
            rows += [
                {"measure": "gram", "layer": k, "x": i, "y": j, "value": gram[:, i, j].mean().item()}
                for i in range(gram.shape[1]) for j in range(gram.shape[1])
            ]  # fmt: skip
    return rows


CONTROLS = (L2, GRADIENT)
_KINDS = [INPUT, NOISE, REGULARISER, AGAIN]
_NETWORKS = {"mlp": ["relu", "elu"], "conv": ["relu", "elu"], SMALL: ["elu"]}
_REGRESSION = {"networks": {"mlp": ["elu"], SMALL: ["elu"]}, "kinds": [NOISE, REGULARISER, TWICE, AGAIN]}
_SIGMAS = [round(0.1 * i, 1) for i in range(11)]


def _with_regression(settings: dict, **regression) -> dict:
    return {"default": settings, **{name: {**_REGRESSION, **regression} for name in ("diabetes", "boston")}}


_SMOKE = {
    "seeds": 1, "data": {"size": 12, "train": 128, "test": 64}, "epochs": 2, "batch_size": 64, "lr": 0.01,
    "optimizer": "sgd, momentum 0.9", "sample": 4, "checkpoints": 2, "probes": 2, "sigmas": [0.0, 0.5],
    "inspected": 8, "networks": {"mlp": ["elu"], "conv": ["elu"], SMALL: ["elu"]}, "kinds": _KINDS,
}  # fmt: skip
# few images and momentum, so that the baseline fits its training set, as it does in the paper, within minutes
_DESK = {
    "seeds": 5, "data": {"train": 2000, "test": 1000}, "epochs": 80, "batch_size": 64, "lr": 0.005,
    "optimizer": "sgd, momentum 0.9", "sample": 16, "checkpoints": 20, "probes": 32, "sigmas": _SIGMAS,
    "inspected": 200, "networks": _NETWORKS, "kinds": _KINDS,
}  # fmt: skip
_PAPER = {
    "seeds": 10, "data": {}, "epochs": 500, "batch_size": 512, "lr": 0.001, "optimizer": "sgd", "sample": None,
    "checkpoints": 100, "probes": 100, "sigmas": _SIGMAS, "inspected": 1000, "networks": _NETWORKS, "kinds": _KINDS,
}  # fmt: skip
_DIGITS = {"data": {"size": 16}, "seeds": 10}
_TABLE = {"data": {}, "epochs": 200, "seeds": 10, "sample": None}
MATCHED = {
    "cifar-10": {
        "mlp, relu, +0.1": {L2: 0.008, GRADIENT: 0.14}, "mlp, elu, +0.1": {L2: 0.017, GRADIENT: 0.15},
        "conv, relu, +0.1": {L2: 0.0089, GRADIENT: 0.04}, "conv, elu, +0.1": {L2: 0.012, GRADIENT: 0.041},
        "mlp-32, elu, +0.1": {L2: 0.03, GRADIENT: 0.13}, "mlp-32, elu, +0.01": {L2: 0.00032, GRADIENT: 0.03},
        "mlp-32, elu, ×0.01": {L2: 0.0003, GRADIENT: 0.03},
    },
    "diabetes": {
        "mlp, elu, +0.1": {L2: 0.021, GRADIENT: 0.3}, "mlp-32, elu, +0.1": {L2: 0.019, GRADIENT: 0.1},
        "mlp-32, elu, +0.01": {L2: 0.012, GRADIENT: 0.1}, "mlp-32, elu, ×0.01": {L2: 0.0045, GRADIENT: 0.043},
    },
    "digits": {
        "conv, elu, +0.1": {L2: 0.003, GRADIENT: 0.03}, "conv, relu, +0.1": {L2: 0.003, GRADIENT: 0.03},
        "mlp, elu, +0.1": {L2: 0.0003, GRADIENT: 0.03}, "mlp, relu, +0.1": {L2: 0.0003, GRADIENT: 0.03},
        "mlp-32, elu, +0.1": {L2: 0.0003, GRADIENT: 0.03}, "mlp-32, elu, +0.01": {L2: 0.0003, GRADIENT: 0.03},
        "mlp-32, elu, ×0.01": {L2: 0.0003, GRADIENT: 0.03},
    },
}  # fmt: skip
"""The controls' strengths at `desk`, by data set: `matched` on the table of `STRENGTHS`. Elsewhere there are none, and
the table lacks the two controls."""


def _matched(settings: dict) -> dict:
    """Settings by data set, with what `MATCHED` has for it."""
    return {name: {**given, "strengths": MATCHED.get(name, {})} for name, given in settings.items()}


TRAINING = Sweep(
    f"{SLUG}/training",
    training_cell,
    _points,
    {
        "smoke": _with_regression({**_SMOKE, "strengths": {"mlp, elu, +0.1": {L2: 0.001, GRADIENT: 0.1}}}, data={}),
        "desk": _matched({**_with_regression(_DESK, **_TABLE), "digits": _DIGITS, "cifar-10": {}}),
        "paper": _with_regression({**_PAPER, "strengths": {}}),
    },
    {"smoke": "digits", "desk": "digits", "paper": "svhn"},
    suits=lambda dataset: True,
    check=check,
)


def _strengths(config: dict) -> list[dict]:
    """Each network with each noise, and with each control at each strength."""
    points = []
    for network, activations in config["networks"].items():
        noises = [("+", VARIANCE)] + ([("+", SMALL_VARIANCE), ("×", SMALL_VARIANCE)] if network == SMALL else [])
        runs = [(NOISE, *noise, 0.0) for noise in noises]
        runs += [(kind, "+", 0.0, strength) for kind in CONTROLS for strength in config["grid"][kind]]
        names = ("kind", "operation", "variance", "strength")
        points += [
            {"network": network, "activation": a, **dict(zip(names, run, strict=True))}
            for a in activations for run in runs
        ]  # fmt: skip
    return points


def strength_cell(
    config: dict, network: str, activation: str, kind: str, operation: str, variance: float, strength: float, seed: int
) -> list[dict]:
    """Train on one part of the training set; the loss on the other at the end, for `matched`.

    The seeds are not those of `training_cell`, so that other images and weights decide the strengths.
    """
    seed += OTHER
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    loss = nn.functional.mse_loss if data.y_train.is_floating_point() else nn.functional.cross_entropy
    order = torch.randperm(len(data.x_train), generator=torch.Generator().manual_seed(seed))
    out, kept = order.split([count := round(config["held_out"] * len(order)), len(order) - count])
    model = started(network, activation, data, seed)
    train(model, data.x_train[kept], data.y_train[kept], kind, variance, operation, config, seed, strength=strength)
    value = _mean_loss(model.eval(), data.x_train[out], data.y_train[out], loss)
    return [{"measure": "validation loss", "value": value}] if np.isfinite(value) else []


def matched(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The strength of each control, two figures of it, at which its validation loss is that of the noise.

    By the means over seeds. Where the loss crosses the noise's between two strengths, the least such crossing, by
    linear interpolation in log λ; else the strength whose loss is nearest.
    """
    found = {}
    means = table.groupby(["network", "activation", "kind", "operation", "variance", "strength"])["value"].mean()
    for network, activation, operation, variance, _ in means.xs(NOISE, level="kind").index:
        noise = means[network, activation, NOISE, operation, variance, 0.0]
        for kind in CONTROLS:
            gaps = means[network, activation, kind, "+", 0.0] - noise
            crossed = np.flatnonzero(np.diff(np.sign(gaps)))
            strength = gaps.abs().idxmin()
            if len(crossed):
                (a, before), (b, behind) = list(gaps.items())[crossed[0] : crossed[0] + 2]
                strength = a * (b / a) ** (before / (before - behind))
            found.setdefault(_setting(network, activation, operation, variance), {})[kind] = float(f"{strength:.2g}")
    return found


_TRIED = {
    "held_out": 0.25, "grid": {L2: [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1], GRADIENT: [0.03, 0.1, 0.3, 1.0, 3.0, 10.0]},
}  # fmt: skip
STRENGTHS = Sweep(
    f"{SLUG}/strengths",
    strength_cell,
    _strengths,
    {
        "smoke": _with_regression({**_SMOKE, **_TRIED, "grid": {L2: [0.001, 0.01], GRADIENT: [0.1, 1.0]}}, data={}),
        "desk": {
            **_with_regression({**_DESK, **_TRIED}, **{**_TABLE, "seeds": 5}),
            "digits": {**_DIGITS, "seeds": 5},
            # as many to train on as the networks that are compared have
            "cifar-10": {"data": {"train": 3000}, "held_out": 1 / 3, "seeds": 2},
        },
        "paper": _with_regression({**_PAPER, **_TRIED}),
    },
    {"smoke": "digits", "desk": "digits", "paper": "svhn"},
    suits=lambda dataset: True,
    check=check,
)
