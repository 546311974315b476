"""What is measured for "Noise Injection Node Regularization": settings, grids, one cell of each."""

import copy
import math
from functools import partial

import numpy as np
import torch
from torch import nn

from ...data import load_data
from ...inject import inject, injected
from ...measure import fgsm, pgd
from ...models import VGG, blocknet, mlp
from ...sweep import Sweep, check_network
from ...train import evaluate, fit
from . import SLUG, method

NONE, L2, DROPOUT, CDT, IN, FULL = "none", "L2", "dropout", "CDT", "in-NINR", "full-NINR"
"""The kinds of training: unregularised, weight decay, dropout, corrupted data, one node, a node before every layer."""
LONG = "none, all epochs"
"""Our control: unregularised, and not stopped at the training accuracy at which the others stop."""
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
        kinds = [(kind, 0.0) for kind in (NONE, LONG, L2, DROPOUT) if kind in config["kinds"]]
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


def _sizes(config: dict) -> list[dict]:
    """Each size of the CNN, with and without batch normalisation and node."""
    kinds = [(NONE, 0.0), (LONG, 0.0), *((IN, sigma) for sigma in SIGMAS["cnn", IN])]
    return [
        {"size": size, "norm": norm, "kind": kind, "sigma": sigma}
        for size in config["sizes"] for norm in (True, False) for kind, sigma in kinds
    ]  # fmt: skip


def build(network: str, x: torch.Tensor, classes: int, config: dict) -> nn.Sequential:
    """The network "fc" (3x1024, or ``config["widths"]``), "cnn" (App. A) or "vgg" (App. D) for images like `x`."""
    if network == "fc":
        model = mlp(x[0].numel(), classes, config["widths"])
    elif network == "cnn":
        model = blocknet(x.shape[1], x.shape[2], classes, **config["cnn"])
    else:
        model = blocknet(x.shape[1], x.shape[2], classes, **VGG)
    return method.initialise(model).to(x.device)


def check(config: dict, data) -> None:
    """`ValueError` where one of the networks cannot take the images."""
    for network in config["networks"]:
        check_network(lambda x, n=network: build(n, x, 10, config), data)


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


def trained(
    config: dict, data, network: str, kind: str, sigma: float, seed: int, distribution="gaussian", optimizer="sgd"
) -> tuple[nn.Sequential, list[dict]]:
    """A network trained on `data`, with its epochs, phase, and accuracies on corrupted images as rows.

    `seed` draws the weights, the batches and the noise. `sigma` is σ_noise of CDT and the paper's σ_ε of NINR
    (`sigma_for` carries it over; ``sigma used`` rows have the result).
    """
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
        stop_at=None if kind == LONG else config["stop_at"], callback=lambda *_: norms.append(node_norm(model)),
        progress=False,
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
    return model, rows


def training_cell(
    config: dict, network: str, kind: str, sigma: float, distribution: str, optimizer: str, seed: int
) -> list[dict]:
    """Train one network; measure its accuracy on corrupted, attacked and foreign images, and tell its phase.

    `seed` draws the images, too; see `trained`.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    model, rows = trained(config, data, network, kind, sigma, seed, distribution, optimizer)
    if distribution == "gaussian" and optimizer == "sgd":
        x_test, y_test = method.standardise(data.x_train, data.x_test)[1], data.y_test
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


def batch_norm_cell(config: dict, size: str, norm: bool, kind: str, sigma: float, seed: int) -> list[dict]:
    """Train a CNN with or without batch normalisation; ask what the normalisation does to noise.

    ``noise to signal`` rows, at one σ_noise of the images: the mean square that the noise adds over the variance of the
    clean activations, summed over channels, before and behind each normalisation (without one: behind the activation).
    Where there is one, accuracies with it changed in the trained network: ``clean statistics`` of the whole training
    set, ``own statistics`` of the corrupted images, and a quarter of the channels of each layer ``muted``: those of
    least variance, or as many at random.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    shape = {**config["sizes"][size], "norm": norm}
    model, rows = trained({**config, "cnn": shape}, data, "cnn", kind, sigma, seed)
    x_train, x = method.standardise(data.x_train, data.x_test)
    noisy = method.corrupted(x, config["looked_at"], seed)
    for layer in range(1, len(shape["blocks"]) + 1):
        for place, name in (("before", f"act{layer}"), ("behind", f"norm{layer}" if norm else f"act{layer}")):
            value = _noise_to_signal(model[: list(model._modules).index(name) + 1], x, noisy)
            rows.append({"measure": "noise to signal", "layer": layer, "text": place, "value": value})
    if norm:
        for name, changed in _changed_norms(model, x_train, seed).items():
            for level in config["levels"]:
                value = evaluate(changed, method.corrupted(x, level, seed), data.y_test)
                rows.append({"measure": name, "x": level, "value": value})
    return rows


@torch.no_grad()
def _noise_to_signal(front: nn.Module, x: torch.Tensor, noisy: torch.Tensor) -> float:
    """Σ_c E(noisy - clean)² / Σ_c Var(clean) of what `front` makes of images and of noisy ones, [N, C, H, W]."""
    clean, noisy, over = front(x), front(noisy), (0, 2, 3)
    return ((noisy - clean).square().mean(over).sum() / clean.var(over).sum()).item()


def _changed_norms(model: nn.Module, x: torch.Tensor, seed: int) -> dict[str, nn.Module]:
    """Copies of a network in which the batch normalisation is another; see `batch_norm_cell`. `x`: clean images."""
    copies = {
        name: copy.deepcopy(model) for name in ("clean statistics", "own statistics", "quiet muted", "some muted")
    }
    generator = torch.Generator().manual_seed(seed)
    for name, changed in copies.items():
        norms = [layer for layer in changed.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in norms:
            quarter = layer.num_features // 4
            if name == "clean statistics":
                layer.reset_running_stats()
                layer.momentum = None  # the plain mean over all that passes
                layer.train()
            elif name == "own statistics":
                layer.running_mean = layer.running_var = None
            else:
                order = layer.running_var.argsort().cpu()
                chosen = order if name == "quiet muted" else torch.randperm(len(order), generator=generator)
                layer.weight.data[chosen[:quarter]] = 0
        if name == "clean statistics":
            with torch.no_grad():
                changed(x)
            changed.eval()
    return copies


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
_ALL = [NONE, LONG, L2, DROPOUT, IN, FULL]
_MORE = {kind: {n: s for (n, k), s in BETWEEN.items() if k == kind} for kind in (IN, FULL)}
_COMMON = {
    "batch_size": 128, "widths": [1024] * 3, "cnn": {"dense": 2048}, "stop_at": 98, "levels": _LEVELS,
    "deltas": [0.05, 0.1, 0.2, 0.3, 0.5], "attacked": 1000, "steps": 10, "networks": ["fc", "cnn"], "kinds": _ALL,
    "cdt": [0.2, 0.4], "more": {}, "distributions": [], "optimizers": [],
}  # fmt: skip
_SMOKE = {
    **_COMMON, "seeds": 1, "data": {"train": 200, "test": 50}, "epochs": {"fc": 2, "cnn": 2, "vgg": 1},
    "batch_size": 64, "widths": [32] * 3, "cnn": {"dense": 32}, "levels": [0.0, 0.5], "deltas": [0.1], "attacked": 20,
    "steps": 2,
}  # fmt: skip
_DESK = {
    **_COMMON, "seeds": 10, "data": {"train": 2000, "test": 1000}, "epochs": {"fc": 60, "cnn": 40, "vgg": 25},
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
        "desk": {
            "default": {**_DESK, **_WHOLE},
            "digits": {"data": {"train": None, "test": None}},
            "mnist": {"seeds": 5},  # ten would take two core-hours more, of a chapter that has its share
        },
        "paper": {"default": {**_PAPER, **_WHOLE}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"},
    check=check,
)
_CNNS = {"App. A": {"blocks": [[16], [32]], "dense": 2048}, "small": {"blocks": [[8], [16]], "dense": 128}}
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
    check=check,
)
_NORM = {"kinds": [], "looked_at": 0.5}
BATCH_NORM = Sweep(
    f"{SLUG}/batch-norm",
    batch_norm_cell,
    _sizes,
    {
        "smoke": {"default": {**_SMOKE, **_NORM, "sizes": {"small": {"blocks": [[4], [8]], "dense": 32}}}},
        "desk": {"default": {**_DESK, **_NORM, "sizes": _CNNS}, "digits": {"data": {"train": None, "test": None}}},
        "paper": {"default": {**_PAPER, **_NORM, "sizes": _CNNS}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"},
    check=lambda config, data: [
        check_network(lambda x, cnn=cnn: build("cnn", x, 10, {"cnn": cnn}), data) for cnn in config["sizes"].values()
    ],
)
_COLOUR = {"networks": ["vgg"], "kinds": [NONE, IN], "deltas": []}
COLOUR = Sweep(
    f"{SLUG}/fig-9",
    training_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, **_COLOUR}},
        "desk": {"default": {**_DESK, **_COLOUR, "seeds": 5, "data": {"train": 1500, "test": 1000}}},
        "paper": {"default": {**_PAPER, **_COLOUR}},
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
    check=check,
)
