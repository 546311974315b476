"""All the ways of training that this book knows, as one list: each with its five strengths, from weak to strong."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import measure
from ...inject import inject, injected
from ...models import mlp
from ...noise import ActivationNoise
from ...train import fit, l2, penalty
from ..dropout_augmentation.method import Dropout
from ..explicit_reg.method import add_noise, explicit_regulariser
from ..ninr.method import InputCorruption, add_nodes, corrupted
from ..vpn.method import Generator, dnn3, train_with_noise

NONE = "none"


@dataclass(frozen=True)
class Way:
    """A way of training: `prepare(model, x, strength)` changes the network; `penalty(strength, config)` is `fit`'s."""

    symbol: str
    strengths: tuple[float, ...]
    prepare: Callable[[nn.Sequential, Tensor, float], object] = lambda model, x, strength: None
    penalty: Callable[[float, dict], Callable | None] = lambda strength, config: None


def _layer(make: Callable[[float], nn.Module], *where) -> Callable:
    return lambda model, x, strength: inject(model, make(strength), *where)


def _explicit(strength: float, config: dict):
    return penalty(explicit_regulariser, strength, sample=config["penalised"])


_VARIANCES = (0.003, 0.01, 0.03, 0.1, 0.3)
_LEVELS = (0.1, 0.2, 0.3, 0.5, 0.7)
_NODES = (3.0, 10.0, 30.0, 100.0, 300.0)
LEARNED = "learned noise"
ACTIVATION = "activation noise"
WAYS: dict[str, Way] = {
    NONE: Way("", (0.0,)),
    "L2": Way("λ", (1e-5, 1e-4, 1e-3, 3e-3, 1e-2), penalty=lambda strength, config: l2(strength)),
    "dropout": Way("p", _LEVELS, _layer(Dropout)),
    "random dropout": Way("p", (0.2, 0.4, 0.6, 0.8, 0.95), _layer(lambda p: Dropout(p, "sample"))),
    ACTIVATION: Way("α", (0.1, 0.3, 0.5, 0.9, 1.5), _layer(lambda alpha: ActivationNoise("gaussian", alpha))),
    "Gaussian injections": Way("σ²", _VARIANCES, lambda model, x, variance: add_noise(model, variance)),
    "explicit regulariser": Way("σ²", _VARIANCES, penalty=_explicit),
    "noise node, first layer": Way("σ", _NODES, lambda model, x, sigma: add_nodes(model, x, sigma, "in")),
    "noise nodes, all layers": Way("σ", _NODES, lambda model, x, sigma: add_nodes(model, x, sigma, "full")),
    LEARNED: Way("C", (0.01, 0.03, 0.1, 0.3, 1.0)),
    "corrupted images": Way("σ", _LEVELS, _layer(InputCorruption, ["data"])),
}
"""The ways. L2: weight decay ½λ||W||². Dropout behind the hidden layers, and random dropout (a level for each sample).
Activation noise behind the hidden layers, of the same α at inference ("balanced"); it alone is noisy there. Gaussian
injections: σ² in the data and behind the hidden layers; the explicit regulariser is theirs, eq. (10). Noise nodes: at
the first layer, or at all. Learned noise: a generator with ||Σ|| < C, trained along. Corrupted images: eq. (8)
of NINR."""


def new_generator(config: dict, x: Tensor, bound: float) -> Generator:
    """The generator of learned noise for images like `x` [N, ...]: as wide as the network, ||Σ|| < `bound`."""
    pixels = x[0].numel()
    return Generator(dnn3(pixels, pixels, config["widths"][0]).to(x.device), gamma=0.01 / 10, bound=bound)


def train(config: dict, way: str, strength: float, x: Tensor, y: Tensor, seed: int) -> nn.Sequential:
    """The network of ``config["widths"]``, trained on `x` [N, ...], `y` [N] for ``config["updates"]`` updates.

    Weights depend on `seed` alone: all ways begin at one point. (Noise and batches come from one generator, so that the
    batches of two ways differ.)
    """
    torch.manual_seed(seed)
    model = mlp(x[0].numel(), int(y.max()) + 1, config["widths"]).to(x.device)
    batches = -(-len(x) // config["batch_size"])
    how = {"epochs": max(1, round(config["updates"] / batches)), "batch_size": config["batch_size"], "lr": config["lr"]}
    if way == LEARNED:
        train_with_noise(model, new_generator(config, x, strength), x, y, seed=seed, progress=False, **how)
    else:
        WAYS[way].prepare(model, x, strength)
        fit(model, x, y, penalty=WAYS[way].penalty(strength, config), seed=seed, progress=False, **how)
    return model


@contextlib.contextmanager
def quiet(model: nn.Module):
    """The network without its noise at inference, for a while."""
    layers = [layer for layer in injected(model).values() if isinstance(layer, ActivationNoise)]
    kept = [layer.enabled for layer in layers]
    try:
        for layer in layers:
            layer.enabled = False
        yield
    finally:
        for layer, enabled in zip(layers, kept, strict=True):
            layer.enabled = enabled


def chances(model: nn.Sequential, x: Tensor, n: int) -> Tensor:
    """Probabilities [N, C]: of a network that is noisy at inference, the mean over `n` passes."""
    noisy = any(isinstance(layer, ActivationNoise) and layer.alpha_inference > 0 for layer in injected(model).values())
    with torch.no_grad():
        return sum(model(x).softmax(1) for _ in range(n if noisy else 1)) / (n if noisy else 1)


def margins(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    """Distance of each image [B] to the border of its class, to first order; negative where it is on the wrong side.

    min over j ≠ y of (f_y - f_j) / ||∇_x (f_y - f_j)||, for the network without noise.

    >>> from collections import OrderedDict
    >>> net = nn.Sequential(OrderedDict(data=nn.Flatten(), out=nn.Linear(2, 2, bias=False)))
    >>> _ = net.out.weight.data.copy_(torch.eye(2))  # f = x: the border is the diagonal
    >>> margins(net, torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    tensor([0.7071])
    """
    with quiet(model):
        (rows,) = measure.jacobians(model, x, ["data"])
        with torch.no_grad():
            output = model(x)
    each = torch.arange(len(y))
    gaps = output[each, y][:, None] - output
    slopes = (rows[each, y][:, None] - rows).norm(dim=2).clamp_min(1e-12)  # a network that says the same everywhere
    return (gaps / slopes).scatter(1, y[:, None], torch.inf).amin(1)


NEEDS = {
    "clean": "clean (%)",
    "corrupted": "corrupted (%)",
    "attacked": "attacked (%)",
    "calibration": "calibration error",
    "margin": "margin",
    "flatness": "Hessian trace",
    "shifted": "shifted (%)",
}
LOWER = ("calibration", "flatness")
"""The needs of which less is better."""


def accuracy(config: dict, model: nn.Sequential, x: Tensor, y: Tensor, seed: int) -> float:
    """Accuracy in percent; of a network that is noisy at inference, by ``config["n"]`` passes, drawn with `seed`."""
    torch.manual_seed(seed)
    return 100 * (chances(model, x, config["n"]).argmax(1) == y).double().mean().item()


def measured(config: dict, model: nn.Sequential, x: Tensor, y: Tensor, seed: int) -> dict[str, float]:
    """What a network is worth on images `x` [N, ...] with labels `y`: a number for each of `NEEDS`, but for "shifted".

    ``corrupted``: the mean over ``config["levels"]`` of eq. (8) of NINR. ``attacked``: projected gradient descent by
    ``config["attack"]``, in the units of `x`, on a noisy network with the noise as it falls. ``calibration``: 15 bins.
    ``margin``, see `margins`, and ``flatness``, of the mean loss: of the first ``config["small"]`` images, for the
    network without its noise. A network that has diverged has none of them.
    """
    if not chances(model, x, 1).isfinite().all():
        return {}
    torch.manual_seed(seed)
    moved = measure.pgd(model, x, y, config["attack"], config["attack_steps"])
    few, labels = x[: config["small"]], y[: config["small"]]
    with quiet(model):
        trace = measure.hessian_trace(model, few, labels, probes=config["probes"], seed=seed)
    noisy = [accuracy(config, model, corrupted(x, level, seed), y, seed) for level in config["levels"]]
    return {
        "clean": accuracy(config, model, x, y, seed),
        "corrupted": sum(noisy) / len(noisy),
        "attacked": accuracy(config, model, moved, y, seed),
        "calibration": measure.calibration_error(chances(model, x, config["n"]), y),
        "margin": margins(model, few, labels).median().item(),
        "flatness": sum(trace.values()),
    }
