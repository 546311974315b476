"""What the bridge measures: every way of training, at every strength, with few images and with all."""

from ...data import held_out, load_data
from ...models import mlp
from ...sweep import Sweep, check_network
from ..ninr.method import digit_frame, standardise
from . import SLUG
from .method import WAYS, accuracy, measured, train

FEW, ALL = "few", "all"


def way_cell(config: dict, way: str, strength: float, images: str, seed: int) -> list[dict]:
    """One network, and what it is worth for each need, on validation images and on test images.

    Validation images are held out first: they are the same for few training images and for all. ``shifted`` is the
    accuracy on the test images of ``config["target"]``, another data set with the same classes.
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    data, x_valid, y_valid = held_out(data, config["validation"], seed)
    count = config["few"] if images == FEW else len(data.x_train)
    x, x_valid, x_test = standardise(data.x_train[:count], x_valid, data.x_test)
    model = train(config, way, strength, x, data.y_train[:count], seed)
    worth = {
        "validation": measured(config, model, x_valid, y_valid, seed),
        "test": measured(config, model, x_test, data.y_test, seed),
    }
    if "target" in config and worth["test"]:
        foreign = load_data(config["target"], config["folder"], device=config["device"])
        _, there = standardise(data.x_train[:count], digit_frame(foreign.x_test))
        worth["test"]["shifted"] = accuracy(config, model, there, foreign.y_test, seed)
    return [{"part": part, "need": need, "value": v} for part, found in worth.items() for need, v in found.items()]


def _points(config: dict) -> list[dict]:
    return [
        {"images": images, "way": way, "strength": strength}
        for images in (FEW, ALL)
        for way, about in WAYS.items()
        for strength in about.strengths[: config["strengths"]]
    ]


_SMOKE = {
    "seeds": 1, "data": {"train": 300, "test": 60}, "validation": 0.2, "few": 100, "updates": 20, "batch_size": 20,
    "widths": [8, 8], "strengths": 2, "probes": 2, "n": 3, "small": 20, "attack_steps": 2,
}  # fmt: skip
_COMMON = {"lr": 0.001, "levels": [0.1, 0.3, 0.5, 0.7, 0.9], "penalised": 16}
_DESK = {
    "seeds": 10, "data": {"test": 2000}, "validation": 0.04, "few": 2000, "updates": 3000, "batch_size": 100,
    "widths": [128, 128], "strengths": 5, "probes": 16, "n": 30, "small": 200, "attack_steps": 5, "attack": 0.1,
}  # fmt: skip
BRIDGE = Sweep(
    f"{SLUG}/ways",
    way_cell,
    _points,
    {
        "smoke": {"default": {**_COMMON, **_SMOKE, "attack": 0.1}},
        "desk": {
            "default": {**_COMMON, **_DESK},
            "digits": {"data": {}, "validation": 0.25, "few": 300},
            "mnist": {"target": "usps"},
            "cifar-10": {"data": {"size": 16, "test": 2000}, "attack": 0.03},
        },
        "paper": {
            "default": {
                **_COMMON, **_DESK, "data": {}, "updates": 30_000, "widths": [512, 512], "n": 100, "small": 1000,
            },
            "mnist": {"target": "usps"},
            "cifar-10": {"attack": 0.03},
        },
    },
    {"smoke": "digits", "desk": "mnist", "paper": "mnist"},
    check=lambda config, data: check_network(lambda x: mlp(x[0].numel(), 10, config["widths"]), data),
)  # fmt: skip
