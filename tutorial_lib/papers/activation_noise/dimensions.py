"""Appendix F: is it the number of outputs that makes noise help autoencoders, and hurt classifiers?"""

from ...noise import ActivationNoise
from ...sweep import Sweep
from . import SLUG
from .classifiers import classified, train_classifier
from .others import raced
from .sweeps import DESK, PAPER, check, networks_of, trained


def dimension_cell(config: dict, network: str, outputs: int, alpha: float, seed: int) -> list[dict]:
    """Accuracy with balanced Gaussian noise, and without, of networks with few or many outputs.

    `network` "autoencoder": images of `outputs` by `outputs` pixels, and so many outputs a channel; one autoencoder a
    class, all classes. "classifier": one network for the first `outputs` classes.
    """
    noise = ActivationNoise("gaussian", alpha)
    if network == "autoencoder":
        data, model = trained({**config, "data": {**config["data"], "size": outputs}}, noise, seed)
        return raced(config, data, model, alpha > 0)
    data, model = train_classifier(config, config["architecture"], alpha, seed, classes=outputs)
    return classified(config, data, model, alpha)


def _points(config: dict) -> list[dict]:
    return [
        {"network": network, "outputs": outputs, "alpha": alpha}
        for network, some in config["outputs"].items()
        for outputs in some
        for alpha in config["alphas"]
    ]


_CLASSIFIER = {"architecture": "VGG11", "narrow": True, "alphas": [0.0, 0.5]}
_OUTPUTS = {"outputs": {"autoencoder": [8, 16, 32], "classifier": [2, 5, 10]}}
_DESK = {name: dict(networks_of(settings)) for name, settings in DESK.items()}
_DESK["default"] |= {"seeds": 5, "n": 100, **_CLASSIFIER, **_OUTPUTS}
DIMENSIONS = Sweep(
    f"{SLUG}/outputs",
    dimension_cell,
    _points,
    {
        "smoke": {
            "default": {
                "seeds": 1, "data": {"size": 8, "train": 200, "test": 40}, "epochs": 2, "batch_size": 16, "n": 5,
                **_CLASSIFIER, "outputs": {"autoencoder": [8, 16], "classifier": [2, 10]},
            }
        },
        "desk": _DESK,
        "paper": {
            "default": {**networks_of(PAPER), "seeds": 10, "n": 1000, **_CLASSIFIER, "narrow": False, **_OUTPUTS}
        },
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
    check=check,
)  # fmt: skip
