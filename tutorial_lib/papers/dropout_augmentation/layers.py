"""What is measured for "Dropout as Data Augmentation" beside training: pictures of x*, its existence, finding it."""

import torch
from torch import Tensor, nn

from ...data import Data
from ...draw import packed
from ...inject import inject, remove
from ...sweep import Sweep
from ...train import evaluate, fit
from . import SLUG
from .existence import EXISTS, UNDECIDED, chance, decide, nearest, smallest_violation
from .method import Dropout, activations, back_project, equal_level, left_over, multipliers, solve
from .sweeps import DROPOUT, EQUAL, NOISES, RANDOM, build, flattened, prepared
from .sweeps import NONE as WITHOUT

DESCENT, SLOW, SOLVER = "descent", "descent, rate over the batch", "solver"
"""How x* is found: as in the paper, with its rates read in two ways (see `back_project`), or by `solve`."""
SILENCED, SUBTRACTED = "silenced", "subtracted"
"""Ways to remove a feature: the smallest change of x that silences its unit; x less what the decoder makes of it."""
MARGIN = 0.1
"""A pixel is outside of the image range if it is outside of [0, 1] by more than this."""


def autoencoder(inputs: int, units: int) -> nn.Sequential:
    """Section 5.1: one hidden layer of `units` ReLU units and a linear output. The paper leaves the width open.

    >>> autoencoder(64, 100)(torch.zeros(2, 64)).shape
    torch.Size([2, 64])
    """
    return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, inputs))


def trained(model: nn.Sequential, x: Tensor, y: Tensor, noise: Dropout | None, config: dict, seed: int, **options):
    """`model`, trained by descent with momentum and `noise` behind its hidden layers, which is then taken out."""
    if noise is not None:
        inject(model, noise)
    fit(
        model, x, y, batch_size=100, lr=config["lr"], seed=seed, progress=False, epochs=config["epochs"], **options,
        optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=config["momentum"]),
    )  # fmt: skip
    remove(model)
    return model.requires_grad_(False)


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """A sum over an image's numbers, a mean over images."""
    return (output - target).square().sum(1).mean()


def found(how: str, model: nn.Sequential, x: Tensor, wanted: list[Tensor | None], config: dict) -> Tensor:
    """x* by `how`, from `x`."""
    rates = config["rates"]
    if how == SOLVER:
        return solve(model, x, wanted, steps=config["better"], rates=rates)
    mean_over = "batch" if how == SLOW else "units"
    return back_project(model, x, wanted, steps=config["steps"], rates=rates, mean_over=mean_over)


def _outside(pixels: Tensor) -> float:
    """The share of pixels outside of the image range, in percent."""
    return 100 * ((pixels < -MARGIN) | (pixels > 1 + MARGIN)).float().mean().item()


def pictures_cell(config: dict, scheme: str, seed: int) -> list[dict]:
    """Figs. 2, 3 and 5: an autoencoder trained with a scheme of noise, and x* of test images under masks of this
    scheme.

    For each way of finding x*: ``residual``, a median of `left_over`; ``length``, |x* - x| / |x|, and its
    ``spread``, the deviation over masks; in percent, the images whose class (``class``) is still recognised by a
    network that has seen training images only, and of images moved as far in a random direction (``class, moved``);
    pixels ``outside`` of the image range. For dropout, of the most active features: what is left of a feature (``own
    left``), and the change of all others' activations over that feature's own (``others``).
    """
    data, pixels = prepared(config, seed)
    p = equal_level(config["p"]) if scheme == EQUAL else config["p"]
    torch.manual_seed(seed)
    inputs = data.x_train.shape[1]
    model = autoencoder(inputs, config["units"]).to(data.x_train.device)
    trained(model, data.x_train, data.x_train, Dropout(p, NOISES[scheme]), config, seed, loss=squared_error)
    judge = build(config["judge"]["network"], inputs, int(data.y_train.max()) + 1).to(data.x_train.device)
    trained(judge, data.x_train, data.y_train, None, config["judge"], seed)
    torch.manual_seed(seed)
    x, y = data.x_test[: config["images"]], data.y_test[: config["images"]]
    repeated = x.repeat_interleave(config["draws"], 0)
    clean = activations(model, repeated)
    masks = [multipliers(a.shape, p, NOISES[scheme], scaled=False, device=a.device, dtype=a.dtype) for a in clean]
    wanted = activations(model, repeated, masks)
    rows = [{"measure": "class", "how": "clean", "value": evaluate(judge, x, y)}]
    for how in (DESCENT, SLOW, SOLVER):
        x_star = found(how, model, repeated, wanted, config)
        moved = x_star - repeated
        left = left_over(activations(model, x_star)[0], clean[0], wanted[0])
        length = (moved.norm(dim=1) / repeated.norm(dim=1)).reshape(len(x), -1)
        random = torch.randn_like(moved)
        random = repeated + random * (moved.norm(dim=1) / random.norm(dim=1))[:, None]
        labels = y.repeat_interleave(config["draws"])
        values = {
            "residual": left.nanmedian().item(), "length": length.mean().item(), "spread": length.std(1).mean().item(),
            "class": evaluate(judge, x_star, labels), "class, moved": evaluate(judge, random, labels),
            "outside": _outside(pixels(x_star)),
        }  # fmt: skip
        rows += [{"measure": measure, "how": how, "value": value} for measure, value in values.items()]
        if seed == 0:
            shown, dropped = pixels(x_star).reshape(len(x), config["draws"], -1), 1 - masks[0].mean(1)
            for i in range(config["shown"][0]):
                rows.append({"measure": "image", "how": how, "x": i, "draw": 0, "text": packed(pixels(x[i : i + 1]))})
                for k in range(config["shown"][1]):
                    share = dropped[i * config["draws"] + k].item()
                    row = {"measure": "image", "how": how, "x": i, "draw": k + 1, "value": share}
                    rows.append({**row, "text": packed(shown[i, k])})
    return rows + (_features(model, x, pixels, config, seed) if scheme == DROPOUT else [])


def _features(model: nn.Sequential, x: Tensor, pixels, config: dict, seed: int) -> list[dict]:
    """Fig. 3: the five most active features of each image, switched off one at a time, or removed from the image."""
    clean = activations(model, x)[0]
    strongest = clean.topk(5, 1).indices
    x, which = x.repeat_interleave(5, 0), strongest.reshape(-1)
    a = activations(model, x)[0]
    mask = torch.ones_like(a).scatter_(1, which[:, None], 0.0)
    own = a.gather(1, which[:, None])
    encoder, decoder = model[0].weight[which], model[2].weight.T[which]
    changed = {how: found(how, model, x, [a * mask], config) for how in (DESCENT, SOLVER)}
    changed[SILENCED] = x - own / encoder.square().sum(1, keepdim=True) * encoder
    changed[SUBTRACTED] = x - own * decoder
    rows = []
    for how, new in changed.items():
        b = activations(model, new)[0]
        left = b.gather(1, which[:, None]) / own
        others = ((b - a) * mask).norm(dim=1, keepdim=True) / own
        rows.append({"measure": "own left", "how": how, "value": left.median().item()})
        rows.append({"measure": "others", "how": how, "value": others.median().item()})
        if seed == 0:
            for i in range(config["shown"][0]):
                for k in range(5):
                    text = packed(pixels(new[5 * i + k][None])[0])
                    rows.append({"measure": "feature off", "how": how, "x": i, "draw": k, "text": text})
    if seed == 0:
        for i in range(config["shown"][0]):
            for k in range(5):
                weights = pixels(encoder[5 * i + k][None])[0] - pixels(torch.zeros_like(encoder[:1]))[0]
                text = packed(0.5 + weights / weights.abs().max() / 2)
                rows.append({"measure": "feature", "how": "weights", "x": i, "draw": k, "text": text})
    return rows


_JUDGE = {"network": "512-512", "epochs": 30, "lr": 0.05, "momentum": 0.9}
_PICTURES = {
    "p": 0.4, "components": None, "momentum": 0.7, "lr": 0.001, "steps": 10, "rates": [100.0], "better": 10,
    "judge": _JUDGE, "shown": [5, 7],
}  # fmt: skip
_COLOURS = {"components": 781, "lr": 0.0001, "momentum": 0.5}
PICTURES = Sweep(
    f"{SLUG}/pictures",
    pictures_cell,
    lambda config: [{"scheme": scheme} for scheme in (DROPOUT, RANDOM, EQUAL)],
    {
        "smoke": {
            "default": {
                **_PICTURES, "seeds": 1, "data": {"train": 200, "test": 40}, "epochs": 2, "units": 40, "images": 6,
                "draws": 7, "judge": {**_JUDGE, "network": "32", "epochs": 2},
            }
        },
        "desk": {
            "default": {
                **_PICTURES, "seeds": 5, "data": {"train": 5000, "test": 100}, "epochs": 60, "units": 1000,
                "images": 100, "draws": 20,
            },
            "digits": {"seeds": 10, "data": {}, "units": 100, "epochs": 300, "judge": {**_JUDGE, "network": "200-200"}},
            "cifar-10": _COLOURS,
        },
        "paper": {
            "default": {
                **_PICTURES, "seeds": 10, "data": {}, "epochs": 300, "units": 2500, "images": 1000, "draws": 100,
            },
            "cifar-10": _COLOURS,
        },
    },
    {"smoke": "digits", "desk": "digits", "paper": "mnist"},
    check=lambda config, data: flattened(data, config["components"]),
)  # fmt: skip

RANDOM_WEIGHTS, PLAIN, DROPPED_WEIGHTS = "random", "trained", "trained with dropout"


def _layer(config: dict, data: Data, weights: str, units: int, seed: int) -> nn.Sequential:
    """Two hidden layers of `units`, drawn from a Gaussian or trained."""
    torch.manual_seed(seed)
    model = build(f"{units}-{units}", data.x_train.shape[1], int(data.y_train.max()) + 1).to(data.x_train.device)
    if weights == RANDOM_WEIGHTS:
        for layer in (model.linear1, model.linear2):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
        return model.requires_grad_(False)
    noise = Dropout(0.5) if weights == DROPPED_WEIGHTS else None
    return trained(model, data.x_train, data.y_train, noise, config, seed)


def existence_cell(config: dict, weights: str, ratio: float, seed: int) -> list[dict]:
    """Whether an exact x* exists for the first hidden layer, of `ratio` times as many units as inputs, and where it is.

    For each level `p` of dropout, and for masks scaled or not, in percent of the images: ``exists``, ``none``,
    ``undecided``; ``bound``, the theorem's lower bound on the first for Gaussian weights; ``agrees``, of the images
    that were asked again by linear programming, those of the same answer. Of the x* nearest to x: ``distance``, |x* -
    x| / |x|, a median, and the share of pixels ``outside`` of the image range. For two layers, ``both`` is what the
    best x* of several starts leaves of the displacement of layer x, and ``second`` what the best x* for the second
    layer alone leaves there.
    """
    data, pixels = prepared(config, seed)
    model = _layer(config, data, weights, round(ratio * data.x_train.shape[1]), seed)
    torch.manual_seed(seed)
    x, rows = data.x_test[: config["images"]], []
    clean = activations(model, x)
    for p in config["p"]:
        for scaled in (False, True):
            masks = [multipliers(a.shape, p, scaled=scaled, device=a.device, dtype=a.dtype) for a in clean]
            wanted = activations(model, x, masks)
            where = {"p": p, "scaled": scaled}
            values = _one_layer(model.linear1, x, wanted[0], pixels, config["asked_again"])
            for name, asked in (("both", wanted), ("second", [None, wanted[1]])) if p in config["deep"] else ():
                left = _best_of_starts(model, x, clean, wanted, asked, config)
                rows += [
                    {**where, "measure": name, "x": i, "value": value}
                    for i, value in enumerate(left, start=1)
                    if asked[i - 1] is not None
                ]
            values["active"] = 100 * (clean[0] > 0).float().mean().item()
            rows += [{**where, "measure": measure, "value": value} for measure, value in values.items()]
    return rows


def _one_layer(layer: nn.Linear, x: Tensor, wanted: Tensor, pixels, again: int) -> dict[str, float]:
    x_star, worst, bound = nearest(layer.weight, layer.bias, x, wanted)
    answers = decide(x, wanted, worst, bound)
    values = {name: 100 * answers.count(name) / len(x) for name in (EXISTS, "none", UNDECIDED)}
    units, inputs = layer.weight.shape
    values["bound"] = 100 * sum(chance(units, inputs, int(k)) for k in (wanted > 0).sum(1)) / len(x)
    asked = [smallest_violation(layer.weight, layer.bias, t) for t in wanted[:again]]
    other = [EXISTS if high < 1e-6 else "none" if low > 1e-6 else UNDECIDED for low, high in asked]
    values["agrees"] = 100 * sum(a == b for a, b in zip(answers, other, strict=False)) / again
    there = [i for i, answer in enumerate(answers) if answer == EXISTS]
    if there:
        distance = (x_star[there] - x[there]).norm(dim=1) / x[there].norm(dim=1)
        values |= {"distance": distance.median().item(), "outside": _outside(pixels(x_star[there].to(x)))}
    return values


def _best_of_starts(model, x, clean, wanted, asked, config) -> list[float]:
    """What is left of each layer's displacement, medians over images, at the best x* of several starts of `solve`."""
    best = None
    for start in range(config["starts"]):
        x_star = solve(model, x.roll(start, 0), asked, steps=config["better"], rates=config["rates"])
        there = activations(model, x_star)
        losses = [
            rate * (a - t).square().mean(1)
            for rate, a, t in zip(config["rates"], there, asked, strict=True)
            if t is not None
        ]
        total = torch.stack(losses).sum(0)
        left = torch.stack([left_over(a, b, t) for a, b, t in zip(there, clean, wanted, strict=True)])
        if best is None:
            best = total, left
        else:
            best = torch.minimum(total, best[0]), torch.where(total < best[0], left, best[1])
    return best[1].nanmedian(1).values.tolist()


_SGD = {"lr": 0.05, "momentum": 0.9, "components": None, "rates": [300.0, 30.0]}
_RATIOS = [0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.2]
_EXISTENCE = {**_SGD, "better": 30, "starts": 3, "p": [0.2, 0.5, 0.8], "deep": [0.5], "epochs": 30, "ratios": _RATIOS}
EXISTENCE = Sweep(
    f"{SLUG}/existence",
    existence_cell,
    lambda config: [
        {"weights": weights, "ratio": ratio}
        for weights in (RANDOM_WEIGHTS, PLAIN, DROPPED_WEIGHTS)
        for ratio in config["ratios"]
    ],
    {
        "smoke": {
            "default": {
                **_EXISTENCE, "seeds": 1, "data": {"train": 120, "test": 10}, "images": 4, "asked_again": 2,
                "epochs": 2, "ratios": [0.5, 2.0], "better": 3,
            }
        },
        "desk": {
            "default": {
                **_EXISTENCE, "seeds": 10, "data": {"train": 2000, "test": 100, "size": 14}, "images": 20,
                "asked_again": 2,
            },
            "digits": {"data": {}, "images": 50, "asked_again": 5},
        },
        "paper": {"default": {**_EXISTENCE, "seeds": 5, "data": {}, "images": 100, "asked_again": 2}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "mnist"},
    check=lambda config, data: flattened(data, config["components"]),
)  # fmt: skip


def projection_cell(config: dict, network: str, training: str, seed: int) -> list[dict]:
    """How well x* is found after how many passes, by descent (each reading of its rates) and by our solver.

    ``x`` counts passes: forward, backward and forward derivatives, each as one. ``objective`` is the sum that is
    minimised over its value at x, ``residual 1`` and ``residual 2`` what is left of the layers' displacements:
    medians over the images, at most 1000.
    """
    data, _ = prepared(config, seed)
    torch.manual_seed(seed)
    model = build(network, data.x_train.shape[1], int(data.y_train.max()) + 1).to(data.x_train.device)
    trained(model, data.x_train, data.y_train, Dropout(0.5) if training == DROPOUT else None, config, seed)
    torch.manual_seed(seed)
    x = data.x_train[: config["images"]]
    clean, rows, calls = activations(model, x), [], []
    model.linear1.register_forward_hook(lambda *_: calls.append(1))
    for scaled in (False, True):
        masks = [multipliers(a.shape, 0.5, scaled=scaled, device=a.device, dtype=a.dtype) for a in clean]
        wanted = activations(model, x, masks)
        for asked_of, asked in (("both", wanted), ("layer 1", [wanted[0], None]), ("layer 2", [None, wanted[1]])):
            for how, mean_over, steps in [
                *((DESCENT, over, k) for over in ("batch", "units", "sum") for k in config["descents"]),
                *((SOLVER, "", k) for k in config["solves"]),
            ]:
                calls.clear()
                if how == DESCENT:
                    x_star = back_project(
                        model, x, asked, steps=steps, rates=config["rates"], mean_over=mean_over
                    ).nan_to_num(1e6, 1e6, -1e6)
                else:
                    x_star = solve(model, x, asked, steps=steps, rates=config["rates"])
                passes = len(calls) + steps * (1 if how == DESCENT else 2)
                there = activations(model, x_star)
                values = {
                    f"residual {i}": left_over(a, b, t)
                    for i, (a, b, t) in enumerate(zip(there, clean, wanted, strict=True), start=1)
                }
                terms = [
                    (rate * (a - t).square().mean(1), rate * (b - t).square().mean(1))
                    for rate, a, b, t in zip(config["rates"], there, clean, asked, strict=True)
                    if t is not None
                ]
                values["objective"] = sum(a for a, _ in terms) / sum(b for _, b in terms)
                point = {"scaled": scaled, "asked_of": asked_of, "how": how, "mean_over": mean_over, "steps": steps}
                rows += [
                    {**point, "x": passes, "measure": name, "value": min(1000.0, value.nanmedian().item())}
                    for name, value in values.items()
                ]
    return rows


_PROJECTION = {**_SGD, "epochs": 30, "descents": [1, 2, 5, 10, 20, 50], "solves": [1, 2, 3, 5, 10], "images": 100}
PROJECTION = Sweep(
    f"{SLUG}/projection",
    projection_cell,
    lambda config: [
        {"network": network, "training": training} for network in config["networks"] for training in (WITHOUT, DROPOUT)
    ],
    {
        "smoke": {
            "default": {
                **_PROJECTION, "seeds": 1, "data": {"train": 120, "test": 10}, "images": 8, "epochs": 2,
                "descents": [2], "solves": [1], "networks": ["32-16"],
            }
        },
        "desk": {
            "default": {
                **_PROJECTION, "seeds": 10, "data": {"train": 2000, "test": 10, "size": 14},
                "networks": ["625-625", "375-188"],
            },
            "digits": {"data": {}, "networks": ["204-204", "122-61"]},
            "cifar-10": {"data": {"train": 5000, "test": 10}, "components": 195, "lr": 0.02},
        },
        "paper": {"default": {**_PROJECTION, "seeds": 5, "data": {}, "networks": ["2500-2500", "1500-750"]}},
    },
    {"smoke": "digits", "desk": "digits", "paper": "mnist"},
    check=lambda config, data: flattened(data, config["components"]),
)  # fmt: skip
