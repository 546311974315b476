"""What is measured for "Variational Positive-incentive Noise": bases without noise, with random and learned noise."""

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

SR, DNN3, RESNET10, RESNET18, RESNET34 = "SR", "DNN3", "ResNet10", "ResNet18", "ResNet34"
"""Networks by the paper's names; ResNet10, one block a stage, is ours, for machines without a GPU."""
ALGORITHM_1, EQ_20 = "Algorithm 1", "eq. (20)"
READ = {
    ALGORITHM_1: {"reading": "deviation", "positive": "abs"},
    EQ_20: {"reading": "variance", "positive": "softplus"},
}
"""Σ as a deviation, of which the sign does not matter, or as a variance, kept positive by softplus."""
SGD, MOMENTUM, ADAM = "SGD", "SGD, momentum 0.9", "Adam"
OPTIMISERS = {SGD: torch.optim.SGD, MOMENTUM: partial(torch.optim.SGD, momentum=0.9), ADAM: torch.optim.Adam}
"""The paper names none."""

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
    torch.manual_seed(seed)
    return 100 * (predict(base, data.x_test, noise) == data.y_test).double().mean().item()


def strength(noise: Generator, data: Data) -> float:
    """The noise's deviation: the root of its mean variance over test images (with their labels) and pixels."""
    with torch.no_grad():
        parts = zip(data.x_test.split(512), data.y_test.split(512), strict=True)
        return torch.cat([noise.deviation(x, y).square().flatten(1) for x, y in parts]).mean().sqrt().item()


def loss_of(base: nn.Module, x: Tensor, y: Tensor) -> float:
    """The mean cross-entropy without noise, in nats."""
    with torch.no_grad(), evaluating(base):
        parts = zip(x.split(1024), y.split(1024), strict=True)
        return sum(nn.functional.cross_entropy(base(a), b, reduction="sum").item() for a, b in parts) / len(x)


def training_cell(config: dict, base: str, optimizer: str, generator: str, seed: int) -> list[dict]:
    """One base with one generator (or "none"), in all the kinds of training that go with it.

    Of each kind ``accuracy`` is measured with noise (Algorithm 2) and ``accuracy, no noise`` without, in percent of
    test images; ``loss`` on training images without noise, in nats; and ``strength``, the deviation of the noise.
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
