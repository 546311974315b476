"""Other noises than Gaussian noise behind every hidden layer: dropout, distributions, placement; and another loss."""

from ...data import Data
from ...inject import set_noise
from ...models import PerClass
from ...noise import DISTRIBUTIONS, ActivationNoise
from ...sweep import Sweep
from . import SLUG
from .method import CentredNoise, DropoutNoise, autoencoder, placement, renoise
from .racing import energies_of, practical, race
from .sweeps import DENSITY_PARAMETERS, DESK, PAPER, TWENTY, check, counts, errors, networks_of, trained

ONE_SIDED = ("chi", "lognormal", "exponential")
"""The distributions whose noise is never negative: they shift every activation by α times their mean."""
PLACES = ("all", "odd", "even", "encoder", "decoder")
"""The schemes of Appendix D, as `inject` calls them: n-full, n-odd, n-even, n-enc, n-dec."""


def raced(config: dict, data: Data, model: PerClass, noisy: bool = True) -> list[dict]:
    """Rows: accuracy on all test images at every number of draws up to ``config["n"]`` (without noise: at 1), errors.

    As in `accuracy_cell` images race, and are done when their own class is out.
    """
    x, y, n = data.x_test, data.y_test, config["n"] if noisy else 1
    draw, steps = energies_of(model, x), tuple(counts(n))
    reconstruction = errors(data, draw, len(x))
    found = race(draw, len(x), len(model.networks), n, practical(), at=steps, label=y.cpu())
    share = {n: (found.at[n] == y.cpu()).double().mean().item() for n in steps}
    return [{"n": n, "accuracy": 100 * share[n], **reconstruction} for n in steps]


def dropout_cell(config: dict, noise: str, strength: float, seed: int) -> list[dict]:
    """Train with Gaussian noise of α = `strength` or dropout of c = `strength`; infer as in training, and without."""
    layer = DropoutNoise(strength) if noise == "dropout" else ActivationNoise("gaussian", strength)
    data, model = trained(config, layer, seed)
    rows = []
    for inference, alpha in {"as in training": strength, "without": 0.0}.items():
        set_noise(model, alpha_inference=alpha)
        rows += [{"inference": inference, **row} for row in raced(config, data, model, alpha > 0)]
    return rows


def distribution_cell(config: dict, distribution: str, value: float, centred: bool, alpha: float, seed: int):
    """Balanced noise of a distribution, with this value of its parameter; with `centred` its mean is taken off."""
    parameter, _ = DENSITY_PARAMETERS[distribution]
    layer = CentredNoise if centred else ActivationNoise
    data, model = trained(config, layer(distribution, alpha, **{parameter: value}), seed)
    return raced(config, data, model, alpha > 0)


def exchange_cell(config: dict, training: str, seed: int) -> list[dict]:
    """Train with noise of one distribution, infer with each: all by the parameters of Table 3, at one α."""
    data, model = trained(config, ActivationNoise(training, config["alpha"]), seed)
    rows = []
    for inference in config["distributions"]:
        renoise(model, ActivationNoise(inference, config["alpha"]))
        rows += [{"inference": inference, **row} for row in raced(config, data, model)]
    return rows


def placement_cell(config: dict, training: str, seed: int) -> list[dict]:
    """Train with Gaussian noise at some of the layers (one of `PLACES`), infer with it at each of `PLACES`.

    The output is noisy only with ``config["output"]``; see `placement`.
    """
    noise = ActivationNoise("gaussian", config["alpha"])
    where = {name: placement(autoencoder(), name, config["output"]) for name in PLACES}
    data, model = trained(config, noise, seed, where[training])
    rows = []
    for inference in PLACES:
        renoise(model, noise, where[inference])
        rows += [{"inference": inference, **row} for row in raced(config, data, model)]
    return rows


def loss_cell(config: dict, loss: str, alpha: float, seed: int) -> list[dict]:
    """Balanced noise of strength `alpha`, trained with the squared error ("mse") or binary cross-entropy ("bce")."""
    data, model = trained({**config, "loss": loss}, ActivationNoise("gaussian", alpha), seed)
    return raced(config, data, model, alpha > 0)


def _strengths(config: dict) -> list[dict]:
    return [{"noise": noise, "strength": strength} for noise, all_ in config["strengths"].items() for strength in all_]


def _distributions(config: dict) -> list[dict]:
    """All values of each parameter; with that of Table 3 all α, and the one-sided three centred, too; no noise once."""
    points = [{"distribution": "gaussian", "value": 1.0, "centred": False, "alpha": 0.0}]
    for distribution, values in config["values"].items():
        for value in values:
            default = value in SHAPE_DEFAULTS[distribution]
            points += [
                {"distribution": distribution, "value": value, "centred": centred, "alpha": alpha}
                for centred in ((False, True) if default and distribution in ONE_SIDED else (False,))
                for alpha in config["alphas" if default else "other alphas"]
            ]
    return points


_SMOKE = {"seeds": 1, "data": {"size": 8, "train": 200, "test": 40}, "epochs": 2, "batch_size": 16, "n": 10}
_RACED = {"seeds": 5, "n": 100}
_DESK = {name: {**networks_of(settings), **_RACED} for name, settings in DESK.items()}
_PAPER = {**networks_of(PAPER), "seeds": 10, "n": 1000}
_TARGETS = {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"}
_VALUES = {name: [float(f"{v:.6g}") for v in values] for name, (_, values) in DENSITY_PARAMETERS.items()}
SHAPE_DEFAULTS = {
    name: [float(f"{DISTRIBUTIONS[name][parameter]:.6g}")] for name, (parameter, _) in DENSITY_PARAMETERS.items()
}
"""The parameter of Table 3 for each distribution, in a list of its own, with as many digits as tables keep."""


def _sweep(item: str, cell, grid, smoke: dict, desk: dict, paper: dict, cifar: dict | None = None) -> Sweep:
    """A sweep on the networks of Figure 3; `desk` is for two cores, and `cifar` for CIFAR-10 on two cores."""
    settings = {name: dict(own) for name, own in _DESK.items()}
    settings["default"] |= desk
    settings["cifar-10"] |= cifar or {}
    budgets = {"smoke": {"default": {**_SMOKE, **smoke}}, "desk": settings, "paper": {"default": {**_PAPER, **paper}}}
    return Sweep(f"{SLUG}/{item}", cell, grid, budgets, _TARGETS, check=check)


DROPOUT = _sweep(
    "fig-2", dropout_cell, _strengths,
    {"strengths": {"activation": [0.0, 0.9], "dropout": [0.5]}},
    {"strengths": {"activation": [0.0, 0.3, 0.6, 0.9, 1.2, 1.5], "dropout": [0.1, 0.2, 0.3, 0.5, 0.7]}},
    {"strengths": {"activation": TWENTY, "dropout": TWENTY[1:10]}},
    cifar={"strengths": {"activation": [0.0, 0.5, 0.9, 1.5], "dropout": [0.1, 0.3, 0.5, 0.7]}},
)  # fmt: skip
SHAPES = _sweep(
    "fig-6", distribution_cell, _distributions,
    {"values": {"gaussian": [1.0], "lognormal": [1.0, 2.0]}, "alphas": [0.9], "other alphas": [0.5]},
    # the parameters of the others only rescale α
    {"values": SHAPE_DEFAULTS | {name: _VALUES[name] for name in ("chi", "lognormal", "t")}, "alphas": [0.3, 0.9, 1.5],
     "other alphas": [0.9]},
    {"values": _VALUES, "alphas": TWENTY[1:], "other alphas": TWENTY[1:]},
    cifar={"values": SHAPE_DEFAULTS},
)  # fmt: skip
EXCHANGE = _sweep(
    "fig-8", exchange_cell, lambda config: [{"training": name} for name in config["distributions"]],
    {"alpha": 1.0, "distributions": ["gaussian", "lognormal"]},
    {"alpha": 1.0, "distributions": list(DISTRIBUTIONS)},
    {"alpha": 1.0, "distributions": list(DISTRIBUTIONS)},
)  # fmt: skip
PLACEMENT = _sweep(
    "fig-9", placement_cell, lambda config: [{"training": name} for name in config["placements"]],
    {"alpha": 1.0, "output": False, "placements": ["all", "even"]},
    {"alpha": 1.0, "output": False, "placements": list(PLACES)},
    {"alpha": 1.0, "output": False, "placements": list(PLACES)},
)  # fmt: skip
LOSSES = _sweep(
    "loss", loss_cell, lambda config: [{"loss": loss, "alpha": a} for loss in ("mse", "bce") for a in config["alphas"]],
    *[{"alphas": [0.0, 0.9]}] * 3,
)  # fmt: skip
