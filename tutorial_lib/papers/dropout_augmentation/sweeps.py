"""What is measured for "Dropout as Data Augmentation": training with noise and on x*, and units dropped."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from ...data import Data, held_out, load_data
from ...inject import inject
from ...models import mlp
from ...sweep import Sweep, check_network
from ...train import evaluate, fit
from . import SLUG
from .method import Dropout, activations, back_project, dropped, equal_level, left_over, multipliers, solve

NONE, DROPOUT, RANDOM, UNIT, EQUAL = "none", "dropout", "random dropout", "ρ a unit", "dropout, equal noise"
"""Training without noise; with eq. (9); with eq. (10). Controls: ρ drawn for every unit; dropout at `equal_level`."""
NOISES = {DROPOUT: "fixed", RANDOM: "sample", UNIT: "unit", EQUAL: "fixed"}
JOINT, SOLVED, EACH = "x*", "x*, better found", "x*, one a layer"
"""Epochs on x in turn with epochs on x*: found as in section 5.2, by our solver, or for one layer after the other."""
MOVED, OTHERS, DIMMED, SCALED = "moved at random", "moved as others", "dimmed", "x*, scaled masks"
"""Controls: x moved as far as x* in a random direction, or as another image was moved; x only made as much darker or
brighter as x* is, the part of x* that lies along x; x* of scaled masks."""
IMAGES = (JOINT, SOLVED, EACH, MOVED, OTHERS, DIMMED, SCALED)


def build(network: str, inputs: int, outputs: int = 10) -> nn.Sequential:
    """The fully connected network of section 5.2 named by its widths, as "2500-1250".

    >>> [layer.out_features for layer in build("20-10", 4) if isinstance(layer, nn.Linear)]
    [20, 10, 10]
    """
    return mlp(inputs, outputs, tuple(map(int, network.split("-"))))


def flattened(data: Data, components: int | None) -> tuple[Data, Callable[[Tensor], Tensor]]:
    """Images as rows of numbers [N, d], and the function that makes rows of pixels of them again.

    With `components`, the numbers are principal components, not whitened (section 5.2). Raises `ValueError` for more of
    them than there are training images or pixels.
    """
    x, x_test = data.x_train.flatten(1), data.x_test.flatten(1)
    if components is None:
        return replace(data, x_train=x, x_test=x_test), lambda rows: rows
    from sklearn.decomposition import PCA

    if components > min(x.shape):
        shape = f"{len(x)} images of {x.shape[1]} numbers"
        raise ValueError(f"{components} principal components of {shape}: expected at most as many as of either")
    pca = PCA(components, svd_solver="full").fit(x.cpu().numpy())
    x, x_test = (torch.as_tensor(pca.transform(t.cpu().numpy())).to(t) for t in (x, x_test))
    return replace(data, x_train=x, x_test=x_test), lambda rows: torch.as_tensor(
        pca.inverse_transform(rows.cpu().numpy())
    ).to(rows)


def prepared(config: dict, seed: int) -> tuple[Data, Callable[[Tensor], Tensor]]:
    """The data of a cell, `flattened`. The last ones are kept: a seed's cells share them."""
    own = config["data"].items()
    return _prepared(config["dataset"], config["folder"], config["device"], config["components"], seed, tuple(own))


@lru_cache(maxsize=1)
def _prepared(dataset, folder, device, components, seed, own):
    return flattened(load_data(dataset, folder, seed=seed, device=device, **dict(own)), components)


def augmented(model: nn.Sequential, x: Tensor, kind: str, p: float, turn: int, settings: dict) -> tuple[Tensor, Tensor]:
    """Images [N, d] made of `x` for one epoch of a kind of training, and the residuals [N, layers] that x* leave.

    x* answers the masks of dropout at `p`, drawn anew, eq. (4): unscaled, but for one of the controls. With one x* a
    layer, the epochs take the layers in `turn`. Residuals are `left_over`, layer by layer: those of the x*, also where
    a control takes nothing of it but the length of the move, another image's move, or the dimming.
    """
    found, left = [], []
    for part in x.split(settings["chunk"]):
        clean = activations(model, part)
        masks = [multipliers(a.shape, p, scaled=kind == SCALED, device=a.device, dtype=a.dtype) for a in clean]
        with torch.no_grad():
            wanted = activations(model, part, masks)
        asked = [t if kind != EACH or i == turn % len(wanted) else None for i, t in enumerate(wanted)]
        if kind == SOLVED:
            x_star = solve(model, part, asked, steps=settings["better"], rates=settings["rates"])
        else:
            x_star = back_project(model, part, asked, steps=settings["steps"], rates=settings["rates"])
        with torch.no_grad():
            reached = zip(activations(model, x_star), clean, wanted, strict=True)
            left.append(torch.stack([left_over(a, b, t) for a, b, t in reached], 1))
        found.append(x_star.detach())
    moved = torch.cat(found) - x
    if kind == MOVED:
        direction = torch.randn_like(x)
        moved = direction * (moved.norm(dim=1) / direction.norm(dim=1))[:, None]
    elif kind == OTHERS:
        moved = moved.roll(1, 0)  # images come in random order
    elif kind == DIMMED:
        moved = x * ((moved * x).sum(1) / x.square().sum(1).clamp_min(1e-12))[:, None]
    return x + moved, torch.cat(left)


def train(model: nn.Sequential, data: Data, kind: str, p: float, epochs: int, seed: int, settings: dict, after=None):
    """`epochs` epochs; with x*, every second one on images made by the network as it is then. Returns what they were
    like.

    `after(epoch)` runs behind each. The optimiser keeps its state over all of them.
    """
    optimiser = torch.optim.SGD(model.parameters(), lr=settings["lr"], momentum=settings["momentum"])
    about = []
    for epoch in range(1, epochs + 1):
        x = data.x_train
        if kind in IMAGES and epoch % 2 == 0:
            torch.manual_seed(1_000_003 * seed + epoch)
            model.eval()
            x, residuals = augmented(model, x, kind, p, epoch // 2, settings)
            moved = (x - data.x_train).norm(dim=1) / data.x_train.norm(dim=1).clamp_min(1e-12)
            about.append([moved.median().item(), *residuals.nanmedian(0).values.tolist()])
        fit(
            model, x, data.y_train, epochs=1, batch_size=settings["batch_size"], seed=1_000_003 * seed + epoch,
            optimizer=lambda *_, **__: optimiser, progress=False,
        )  # fmt: skip
        if after is not None:
            after(epoch)
    return about


def equip(model: nn.Sequential, kind: str, hidden: float, input: float) -> None:
    """Put the noise of a kind of training into `model`: `hidden` and `input` are its levels."""
    if kind in NOISES:
        level = equal_level if kind == EQUAL else float
        inject(model, Dropout(level(hidden), NOISES[kind]))
        inject(model, Dropout(level(input), NOISES[kind]), ["data"])


def training_cell(config: dict, network: str, kind: str, hidden: float, input: float, seed: int) -> list[dict]:
    """One training as in section 5.2: by validation first, then on all images; the mean error of the last epochs.

    `hidden` and `input` are the levels of noise behind the hidden layers and behind the input. The first phase is
    `epochs` long, and its best epoch on validation images is where the second one starts: `more` epochs on all
    training images. ``error`` is the mean of the errors in percent on test images after each of its `last` epochs. Of
    x*, ``moved`` is |x* - x| / |x| and ``residual`` what is left of the displacement of a layer (x: its number),
    medians over the images, means over all x* epochs.
    """
    data, _ = prepared(config, seed)
    left, x_valid, y_valid = held_out(data, config["validation"], seed)
    torch.manual_seed(seed)
    classes = int(data.y_train.max()) + 1
    model = build(network, data.x_train.shape[1], classes).to(data.x_train.device)
    equip(model, kind, hidden, input)
    best, errors = [np.inf, None], []

    def validate(epoch: int) -> None:
        error = 100 - evaluate(model, x_valid, y_valid)
        if error < best[0]:
            best[:] = error, {name: value.clone() for name, value in model.state_dict().items()}

    def test(epoch: int) -> None:
        if epoch > config["more"] - config["last"]:
            errors.append(100 - evaluate(model, data.x_test, data.y_test))

    about = train(model, left, kind, hidden, config["epochs"], seed, config, validate)
    model.load_state_dict(best[1])
    about += train(model, data, kind, hidden, config["more"], seed + 500_000, config, test)
    rows = [
        {"measure": "error", "value": float(np.mean(errors))},
        {"measure": "validation error", "value": best[0]},
        {"measure": "training error", "value": 100 - evaluate(model, data.x_train, data.y_train)},
    ]
    if about:
        moved, *residuals = np.mean(about, 0).tolist()
        rows.append({"measure": "moved", "value": moved})
        rows += [{"measure": "residual", "x": i, "value": r} for i, r in enumerate(residuals, start=1)]
    return rows


def _points(config: dict) -> list[dict]:
    """Fig. 4: dropout and x* at levels behind hidden layers; Fig. 6: its three columns; and the controls of both."""
    points = []

    def add(network, kind, hidden, input=0.0):
        point = {"network": network, "kind": kind, "hidden": hidden, "input": input}
        if point not in points:
            points.append(point)

    for network in dict.fromkeys(config["networks"] + config["wide"]):
        add(network, NONE, 0.0)
    for network in config["networks"]:
        for level in config["levels"]:
            add(network, DROPOUT, level)
            add(network, JOINT, level)
    for kind in [*config["controls"], DIMMED]:
        add(config["networks"][0], kind, config["levels"][-1])
    for network in config["wide"]:
        for level in config["grid"]:
            add(network, DROPOUT, 0.5, level)
            add(network, DROPOUT, level, 0.2)
        for level in config["ranges"]:
            for kind in (RANDOM, DROPOUT, EQUAL, UNIT):
                add(network, kind, level, level)
    return points


def check(config: dict, data: Data) -> None:
    """`ValueError` where there are more principal components than training images or pixels."""
    flattened(data, config["components"])
    check_network(lambda x: build(config["networks"][0], x[0].numel()), data)


_CONTROLS = [SOLVED, EACH, MOVED, OTHERS, SCALED]
_COMMON = {
    "components": None, "batch_size": 100, "lr": 0.05, "momentum": 0.9, "validation": 1 / 6, "chunk": 500,
    "steps": 20, "rates": [300.0, 30.0], "better": 3, "controls": _CONTROLS,
}  # fmt: skip
_TENTHS = [round(0.1 * i, 1) for i in range(8)]
_DESK = {
    **_COMMON, "seeds": 5, "epochs": 40, "more": 20, "last": 10,
    "levels": [0.25, 0.5], "grid": [0.0, 0.2, 0.4, 0.6], "ranges": [0.2, 0.4, 0.6, 0.8],
}  # fmt: skip
_QUARTER = {
    "networks": ["625-625", "625-312", "375-375", "375-188"], "wide": ["625-156", "625-312", "625-625"],
}  # fmt: skip
_FULL = {
    "networks": ["2500-2500", "2500-1250", "1500-1500", "1500-750"], "wide": ["2500-625", "2500-1250", "2500-2500"],
}  # fmt: skip
TRAINING = Sweep(
    f"{SLUG}/training",
    training_cell,
    _points,
    {
        "smoke": {
            "default": {
                **_COMMON, "seeds": 1, "data": {"train": 120, "test": 40}, "epochs": 2, "more": 2, "last": 1,
                "networks": ["32-16"], "wide": ["32-16"], "levels": [0.5], "grid": [0.2], "ranges": [0.4],
            }
        },
        "desk": {
            # a quarter of the paper's units on a quarter of its pixels: as many units an input as there
            "default": {**_DESK, **_QUARTER, "data": {"train": 2400, "test": 2000, "size": 14}},
            "digits": {
                "data": {}, "seeds": 10, "networks": ["204-204", "204-102", "122-122", "122-61"],
                "wide": ["204-51", "204-102", "204-204"],
            },
            "cifar-10": {"data": {"train": 6000, "test": 2000}, "components": 195, "lr": 0.02},
        },
        "paper": {
            "default": {
                **_COMMON, **_FULL, "seeds": 5, "data": {}, "epochs": 501, "more": 150, "last": 75,
                "levels": _TENTHS[1:], "grid": _TENTHS, "ranges": [*_TENTHS[1:], 0.8],
            },
            "cifar-10": {"components": 781, "lr": 0.02},
        },
    },
    {"smoke": "digits", "desk": "digits", "paper": "mnist"},
    check=check,
)  # fmt: skip


def dropped_cell(config: dict, scheme: str, p: float, seed: int) -> list[dict]:
    """Fig. 1: how many of a layer's units are dropped: the probability of each number, and how often it was drawn."""
    n, generator = config["units"], torch.Generator().manual_seed(seed)
    masks = multipliers((config["draws"], n), p, NOISES[scheme], scaled=False, generator=generator)
    counted = torch.bincount((n - masks.sum(1)).long(), minlength=n + 1) / config["draws"]
    exact = dropped(n, p, random=scheme == RANDOM)
    return [
        {"share": round(k / n, 6), "probability": float(a), "drawn": b}
        for k, (a, b) in enumerate(zip(exact, counted.tolist(), strict=True))
    ]


DROPPED = Sweep(
    f"{SLUG}/fig-1",
    dropped_cell,
    lambda config: [{"scheme": scheme, "p": p} for scheme in (DROPOUT, RANDOM) for p in config["p"]],
    {
        "smoke": {"default": {"seeds": 1, "units": 20, "draws": 1000, "p": [0.5]}},
        "desk": {"default": {"seeds": 10, "units": 100, "draws": 10_000, "p": [0.25, 0.5, 0.75]}},
        "paper": {"default": {"seeds": 10, "units": 1000, "draws": 100_000, "p": [0.25, 0.5, 0.75]}},
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
    subject="the number of units dropped",
)
