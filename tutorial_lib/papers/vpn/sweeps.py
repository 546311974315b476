"""What is measured for "Variational Positive-incentive Noise": bases without noise, with random and learned noise."""

import copy
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from ...data import Data, load_data
from ...sweep import Sweep, check_network
from ...train import evaluate, evaluating, fit
from . import SLUG
from .method import (
    Generator,
    dnn3,
    even,
    frozen,
    predict,
    random_pixels,
    resnet,
    shuffled,
    softmax_regression,
    train_with_noise,
)

SR, DNN3 = "SR", "DNN3"
RESNET10, RESNET18, RESNET34, RESNET50 = "ResNet10", "ResNet18", "ResNet34", "ResNet50"
"""Networks by the paper's names; ResNet10, one block a stage, is ours, for machines without a GPU."""
ALGORITHM_1, EQ_20 = "Algorithm 1", "eq. (20)"
READ = {
    ALGORITHM_1: {"reading": "deviation", "positive": "abs"},
    EQ_20: {"reading": "variance", "positive": "softplus"},
}
"""Σ as a deviation, of which the sign does not matter, or as a variance, kept positive by softplus."""
SGD, MOMENTUM, ADAM = "SGD", "SGD, momentum 0.9", "Adam"
OPTIMISERS = {
    SGD: partial(torch.optim.SGD, fused=True),
    MOMENTUM: partial(torch.optim.SGD, momentum=0.9, fused=True),
    ADAM: partial(torch.optim.Adam, fused=True),
}
"""The paper names none. Fused, a step is one pass over the weights: with small batches most of the time goes there."""
AS_PAPER, WELL = MOMENTUM, ADAM
"""The one that comes nearest to the paper's baselines of SR and DNN3 on CIFAR-10 (`BASELINES`: 40.0 and 47.8 %, there
39.08 and 46.92 %; without momentum DNN3 stays at 32 %), and one that trains well. Settled before any noise."""

NONE, LONGER, RANDOM = "none", "none, twice as long", "random"
JOINT, FIXED = "joint", "fixed base"
"""Algorithm 1 with both networks trained (Table 1), and with the generator alone, on the base of `NONE` (Table 2)."""
BLIND, FROZEN, EVEN, SHUFFLED = "joint, blind", "from the start", "from the start, even", "from the start, shuffled"
"""Controls: γ = 0; and a new base with the noise of the generator that was trained jointly with another one, as it is,
spread evenly over each image's pixels, or each image with that of another one. The three are of one strength."""


def build(network: str, shape: torch.Size, outputs: int, stem: str = "3x3") -> nn.Module:
    """The network of section 4.1 with a name of the paper's, for images of `shape` (C, H, W).

    >>> build("DNN3", torch.Size([1, 8, 8]), 10)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    if network == SR:
        return softmax_regression(shape.numel(), outputs)
    if network == DNN3:
        return dnn3(shape.numel(), outputs)
    return resnet(network.lower(), shape[0], outputs, stem)


def new_generator(
    config: dict, data: Data, network: str, read: str, seed: int, gamma: float | None = None
) -> Generator:
    """The untrained generator of a seed for the images of `data`; γ = 0.01 / |Y| (section 4.1) unless given."""
    torch.manual_seed(1_000_003 + seed)
    shape, classes = data.x_train.shape[1:], int(data.y_train.max()) + 1
    f = build(network, shape, shape.numel(), config["stems"][1])
    return Generator(f, 0.01 / classes if gamma is None else gamma, **READ[read]).to(data.x_train.device)


def prepared(config: dict, seed: int) -> Data:
    """The data of a cell. The last ones are kept: a seed's cells share them."""
    return _prepared(config["dataset"], config["folder"], config["device"], seed, tuple(config["data"].items()))


@lru_cache(maxsize=1)
def _prepared(dataset, folder, device, seed, own) -> Data:
    return load_data(dataset, folder, seed=seed, device=device, **dict(own))


def epochs_of(config: dict, base: str) -> int:
    """How many epochs a base is trained for; ResNets have a number of their own."""
    return config["deep epochs" if base.startswith("ResNet") else "epochs"]


def new_base(config: dict, data: Data, base: str, seed: int) -> nn.Module:
    """The untrained base of a seed, the same for every kind of training."""
    torch.manual_seed(seed)
    classes = int(data.y_train.max()) + 1
    return build(base, data.x_train.shape[1:], classes, config["stems"][0]).to(data.x_train.device)


def train(config: dict, data: Data, base: nn.Module, noise, epochs: int, optimizer: str, seed: int, **options):
    """Train `base` with `noise` (None: without), in place; the losses of the epochs."""
    how = {
        "epochs": epochs, "batch_size": config["batch_size"], "optimizer": OPTIMISERS[optimizer], "lr": config["lr"],
        "seed": seed, "progress": False, **options,
    }  # fmt: skip
    if noise is None:
        return fit(base, data.x_train, data.y_train, **how)
    return train_with_noise(base, noise, data.x_train, data.y_train, **how)


def accuracy(base: nn.Module, data: Data, noise=None, seed: int = 0) -> float:
    """Test accuracy in percent by Algorithm 2, or, without `noise`, by the plain argmax."""
    torch.manual_seed(3_000_017 + seed)
    return 100 * (predict(base, data.x_test, noise) == data.y_test).double().mean().item()


def strength(noise: Generator, data: Data) -> float:
    """The noise's deviation: the root of its mean variance over test images (with their labels) and pixels."""
    with torch.no_grad(), evaluating(noise):
        parts = zip(data.x_test.split(512), data.y_test.split(512), strict=True)
        return torch.cat([noise.deviation(x, y).square().flatten(1) for x, y in parts]).mean().sqrt().item()


def settled(noise: Generator, data: Data, batch_size: int) -> Generator:
    """A copy in evaluation mode, whose batch normalisation knows the means and variances of the training images.

    An untrained network's running averages are those of no data: its noise in evaluation is not what training meets.
    """
    noise = copy.deepcopy(noise).train()
    for layer in noise.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches
    with torch.no_grad():
        for x, y in zip(data.x_train.split(batch_size), data.y_train.split(batch_size), strict=True):
            noise.deviation(x, y)
    return noise.eval()


def loss_of(base: nn.Module, x: Tensor, y: Tensor) -> float:
    """The mean cross-entropy without noise, in nats."""
    with torch.no_grad(), evaluating(base):
        parts = zip(x.split(1024), y.split(1024), strict=True)
        return sum(nn.functional.cross_entropy(base(a), b, reduction="sum").item() for a, b in parts) / len(x)


def training_cell(config: dict, base: str, optimizer: str, generator: str, seed: int) -> list[dict]:
    """One base with one generator (or "none"), in all the kinds of training that go with it.

    Of each kind ``accuracy`` is measured with noise (Algorithm 2) and ``accuracy, no noise`` without, in percent of
    test images; ``loss`` on training images without noise, in nats; and ``strength``, the deviation of the noise. On a
    fixed base there are also ``strength, at the start``, before training, and the accuracy with noise of the same
    strength that is not learned: ``accuracy, even`` and ``accuracy, shuffled`` (with the map of another image *and*
    label, since Algorithm 2's copies are one batch).
    A generator is DNN3 or a ResNet, read as Algorithm 1 has it, or as it says behind a comma.
    """
    data, rows, epochs = prepared(config, seed), [], epochs_of(config, base)
    fresh = partial(new_base, config, data, base, seed)
    learn = partial(train, config, data, epochs=epochs, optimizer=optimizer)

    def tell(kind: str, model: nn.Module, noise=None) -> None:
        found = {"accuracy": accuracy(model, data, noise, seed), "accuracy, no noise": accuracy(model, data)}
        found["loss"] = loss_of(model, data.x_train, data.y_train)
        if isinstance(noise, Generator):
            found["strength"] = strength(noise, data)
        rows.extend({"kind": kind, "measure": measure, "value": value} for measure, value in found.items())

    model = fresh()
    learn(model, None, seed=seed)
    if generator == "none":
        tell(NONE, model)
        learn(model, None, seed=seed + 500_000)
        tell(LONGER, model)
        model = fresh()
        learn(model, random_pixels, seed=seed)
        tell(RANDOM, model)
        return rows

    network, _, read = generator.partition(", ")
    made = partial(new_generator, config, data, network, read or ALGORITHM_1, seed)
    noise = made()
    start = settled(noise, data, config["batch_size"])
    rows.append({"kind": FIXED, "measure": "strength, at the start", "value": strength(start, data)})
    learn(model, noise, seed=seed, fixed=True)
    tell(FIXED, model, noise)
    for change in (even, shuffled):
        found = accuracy(model, data, change(noise), seed)
        rows.append({"kind": FIXED, "measure": f"accuracy, {change.__name__}", "value": found})
    model, noise = fresh(), made()
    learn(model, noise, seed=seed)
    tell(JOINT, model, noise)
    if generator == DNN3 and optimizer == config["optimizers"][0]:
        for kind, change in ((FROZEN, frozen), (EVEN, even), (SHUFFLED, shuffled)):
            model = fresh()
            learn(model, change(noise), seed=seed)
            tell(kind, model)
        model, noise = fresh(), made(gamma=0.0)
        learn(model, noise, seed=seed)
        tell(BLIND, model, noise)
    return rows


def _points(config: dict) -> list[dict]:
    """Tables 1 and 2, by base and generator; with the first optimiser, every generator; else none and DNN3."""
    points = []
    for base in config["bases"]:
        for optimizer in config["optimizers"]:
            first = optimizer == config["optimizers"][0]
            own = config["generators"] if first else [DNN3]
            points += [{"base": base, "optimizer": optimizer, "generator": g} for g in ("none", *own)]
    return points


def check(config: dict, data: Data) -> None:
    """`ValueError` where the networks do not fit the images."""
    for base in config["bases"]:
        check_network(lambda x, base=base: build(base, x.shape[1:], 2, config["stems"][0]), data)
    for network in config.get("generators", [DNN3]):
        network = network.partition(", ")[0]
        check_network(lambda x, network=network: build(network, x.shape[1:], 2, config["stems"][1]), data)


def baseline_cell(config: dict, base: str, optimizer: str, seed: int) -> list[dict]:
    """A base without noise: test and training accuracy in percent after its last epoch."""
    data = prepared(config, seed)
    model = new_base(config, data, base, seed)
    train(config, data, model, None, epochs_of(config, base), optimizer, seed)
    return [
        {"measure": "accuracy", "value": accuracy(model, data)},
        {"measure": "training accuracy", "value": evaluate(model, data.x_train, data.y_train)},
    ]


_PAPER = {"batch_size": 256, "lr": 0.001, "epochs": 40, "deep epochs": 40, "stems": ["3x3", "7x7"]}
BASELINES = Sweep(
    f"{SLUG}/baselines",
    baseline_cell,
    lambda config: [{"base": base, "optimizer": o} for base in config["bases"] for o in OPTIMISERS],
    {
        "smoke": {
            "default": {
                **_PAPER, "seeds": 1, "data": {"train": 200, "test": 50}, "epochs": 1, "deep epochs": 1, "bases": [SR],
            }
        },
        # all images at full size: the paper's setting, of which only the optimiser is open
        "desk": {"default": {**_PAPER, "seeds": 2, "data": {}, "bases": [SR, DNN3]}},
        "paper": {"default": {**_PAPER, "seeds": 5, "data": {}, "bases": [SR, DNN3, RESNET18, RESNET34]}},
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
    check=check,
)  # fmt: skip


def curves_cell(config: dict, base: str, m: int, seed: int) -> list[dict]:
    """Figs. 2 and 3: what training is like, epoch by epoch (x), with `m` draws an image; m = 0 is without noise.

    ``loss`` is what is trained on: the mean of eq. (17) over the epoch. ``training accuracy`` and ``accuracy`` are
    without noise, on training and test images, in percent.
    """
    data, rows = prepared(config, seed), []
    model = new_base(config, data, base, seed)
    noise = new_generator(config, data, DNN3, ALGORITHM_1, seed) if m else None

    def tell(epoch: int, loss: float) -> None:
        with evaluating(model):
            found = {
                "loss": loss,
                "training accuracy": evaluate(model, data.x_train, data.y_train),
                "accuracy": evaluate(model, data.x_test, data.y_test),
            }
        rows.extend({"measure": measure, "x": epoch, "value": value} for measure, value in found.items())

    options = {"m": m} if m else {}
    train(config, data, model, noise, epochs_of(config, base), config["optimizer"], seed, callback=tell, **options)
    return rows


def label_cell(config: dict, gamma: float, seed: int) -> list[dict]:
    """What of the label gets into the noise, and what Algorithm 2 then measures; joint training with this γ.

    On test images, in percent of them: ``accuracy`` (Algorithm 2), ``accuracy, no noise``, and ``accuracy, own label``
    with the noise made for the true one; ``agreement`` of Algorithm 2's label with the plain argmax, and ``agreement,
    one noise`` of the argmax under a single noise, made for label 0. ``follows`` says how often the argmax is the wrong
    label that the noise was made for, and ``follows, chance`` how often it is that label when the noise was made for a
    third one. ``change`` is the noise's deviation's over labels, relative to its mean over labels, in percent. On
    images of uniform noise: the share of the most frequent label by Algorithm 2 (``largest class``) and by the plain
    argmax (``largest class, no noise``).
    """
    data = prepared(config, seed)
    model = new_base(config, data, config["bases"][0], seed)
    noise = new_generator(config, data, DNN3, ALGORITHM_1, seed, gamma)
    train(config, data, model, noise, epochs_of(config, config["bases"][0]), config["optimizer"], seed)
    x, y, classes = data.x_test, data.y_test, int(data.y_train.max()) + 1
    torch.manual_seed(seed)

    def share(said: Tensor, of: Tensor) -> float:
        return 100 * (said == of).double().mean().item()

    def under(labels: Tensor) -> Tensor:
        """The argmax with the noise that is made for `labels`."""
        with torch.no_grad():
            parts = zip(x.split(512), labels.split(512), strict=True)
            return torch.cat([model(part + noise(part, given)[0]).argmax(1) for part, given in parts])

    plain, asked = predict(model, x), predict(model, x, noise)
    wrong, third = ((y + step) % classes for step in (1, 2))
    nothing = torch.rand_like(x)
    counts = [torch.bincount(predict(model, nothing, n), minlength=classes).max().item() for n in (noise, None)]
    found = {
        "accuracy": share(asked, y),
        "accuracy, no noise": share(plain, y),
        "accuracy, own label": share(under(y), y),
        "agreement": share(asked, plain),
        "agreement, one noise": share(under(torch.zeros_like(y)), plain),
        "follows": share(under(wrong), wrong),
        "follows, chance": share(under(third), wrong),
        "change": 100 * change_with_label(noise, x[: config["looked at"]], classes),
        "largest class": 100 * counts[0] / len(x),
        "largest class, no noise": 100 * counts[1] / len(x),
        "strength": strength(noise, data),
    }
    return [{"measure": measure, "value": value} for measure, value in found.items()]


def change_with_label(noise: Generator, x: Tensor, classes: int) -> float:
    """The deviation's change over labels: its root mean square about the mean over labels, over that mean's own."""
    with torch.no_grad():
        every = torch.stack([noise.deviation(x, torch.full((len(x),), k, device=x.device)) for k in range(classes)])
    mean = every.mean(0)
    return ((every - mean).square().mean().sqrt() / mean.square().mean().sqrt().clamp_min(1e-12)).item()


_DESK = {
    **_PAPER, "seeds": 5, "data": {"train": 2000, "test": 2000, "size": 14}, "batch_size": 20, "optimizer": AS_PAPER,
}  # fmt: skip
"""A twenty-fifth of the paper's training images in batches a thirteenth as large: 100 updates an epoch, there 196."""
_DIGITS = {"data": {}, "batch_size": 16, "deep epochs": 10}
_CIFAR = {"data": {"train": 2000, "test": 2000, "size": 16}}
_SMOKE = {
    **_PAPER, "seeds": 1, "data": {"train": 60, "test": 30}, "epochs": 1, "deep epochs": 1, "optimizer": AS_PAPER,
}  # fmt: skip
_FULL = {**_PAPER, "seeds": 5, "data": {}, "optimizer": AS_PAPER}
_SETS = {"smoke": "digits", "desk": "digits", "paper": "fashion-mnist"}
_DNN3_EQ_20 = f"{DNN3}, {EQ_20}"
TRAINING = Sweep(
    f"{SLUG}/training",
    training_cell,
    _points,
    {
        "smoke": {
            "default": {
                **_SMOKE, "bases": [SR], "optimizers": [AS_PAPER, WELL], "generators": [DNN3, RESNET10, _DNN3_EQ_20],
            }
        },
        "desk": {
            "default": {
                **_DESK, "bases": [SR, DNN3], "optimizers": [AS_PAPER, WELL], "generators": [DNN3, _DNN3_EQ_20],
            },
            # networks of convolutions where images are small: the chapter's time on two cores is limited
            "digits": {
                **_DIGITS, "bases": [SR, DNN3, RESNET10], "generators": [DNN3, RESNET10, _DNN3_EQ_20],
            },
            "cifar-10": _CIFAR,
        },
        "paper": {
            "default": {
                **_FULL, "bases": [SR, DNN3, RESNET18, RESNET34], "optimizers": [AS_PAPER, WELL],
                "generators": [DNN3, RESNET18, _DNN3_EQ_20],
            }
        },
    },
    _SETS,
    check=check,
)  # fmt: skip
TINY = Sweep(
    f"{SLUG}/table-3",
    training_cell,
    _points,
    {
        "smoke": {"default": {**_SMOKE, "bases": [SR], "optimizers": [AS_PAPER], "generators": [DNN3]}},
        "desk": {
            "default": {
                **_DESK, "data": {"train": 10_000, "test": 2000, "size": 32}, "batch_size": 50, "deep epochs": 20,
                "stems": ["7x7", "7x7"], "bases": [RESNET10], "optimizers": [AS_PAPER], "generators": [DNN3, RESNET10],
            }
        },
        "paper": {
            "default": {
                **_FULL, "batch_size": 128, "bases": [RESNET18, RESNET34, RESNET50], "optimizers": [AS_PAPER],
                "generators": [DNN3, RESNET18],
            }
        },
    },
    {"smoke": "digits", "desk": "tiny-imagenet", "paper": "tiny-imagenet"},
    check=check,
)  # fmt: skip
CURVES = Sweep(
    f"{SLUG}/curves",
    curves_cell,
    lambda config: [{"base": base, "m": m} for base in config["bases"] for m in config["m"]],
    {
        "smoke": {"default": {**_SMOKE, "bases": [SR], "m": [0, 1, 2]}},
        "desk": {
            "default": {**_DESK, "bases": [DNN3], "m": [0, 1, 4]},
            "digits": {**_DIGITS},
            "cifar-10": _CIFAR,
        },
        "paper": {
            "default": {**_FULL, "bases": [RESNET18], "m": [0, 1, 2, 4, 8]},
            "tiny-imagenet": {"batch_size": 128},
        },
    },
    _SETS,
    check=check,
)  # fmt: skip
LABEL = Sweep(
    f"{SLUG}/label",
    label_cell,
    lambda config: [{"gamma": gamma} for gamma in config["gammas"]],
    {
        "smoke": {"default": {**_SMOKE, "bases": [SR], "gammas": [0.001, 1.0], "looked at": 10}},
        "desk": {
            "default": {
                **_DESK, "bases": [DNN3], "gammas": [0.0, 0.001, 0.01, 0.1, 1.0], "looked at": 200,
            },
            "digits": {**_DIGITS},
            "cifar-10": _CIFAR,
        },
        "paper": {
            "default": {
                **_FULL, "bases": [DNN3], "gammas": [0.0, 0.001, 0.01, 0.1, 1.0], "looked at": 1000,
            }
        },
    },
    _SETS,
    check=check,
)  # fmt: skip
