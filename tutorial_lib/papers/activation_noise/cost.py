"""What racing saves, and what it changes: against the plain way, on the same trained networks, side by side."""

import math

import torch
from torch import Tensor
from torch.utils.benchmark.utils.timer import timer  # waits for the GPU, if there is one

from ...draw import packed
from ...inject import set_noise
from ...models import PerClass
from ...noise import ActivationNoise
from ...sweep import Sweep
from . import SLUG
from .method import predict
from .racing import (
    Draw,
    Rule,
    State,
    certain,
    energies_of,
    largest_energy,
    limit,
    practical,
    race,
)
from .sweeps import ACCURACY, DESK, TABLE_PAIRS, check, networks_of, trained

PLAIN, RACE, AGAIN = "plain", "race", "race, again"
ZONE, COMMON, CERTAIN = "race, indifferent", "race, common draws", "race, always valid"


def _timed(job, *args) -> tuple:
    start = timer()
    return job(*args), timer() - start


def _all(draw: Draw, images: int, classes: int, n: int) -> Tensor:
    """The plain way: all energies [n, N, K], in blocks of draws that fill batches."""
    block = max(1, 2560 // images)
    index, starts = torch.arange(images), range(0, n, block)
    blocks = [torch.stack([draw(k, index, range(s, min(s + block, n))) for k in range(classes)], -1) for s in starts]
    return torch.cat(blocks).cpu()


def _watched(rule: Rule, seen: list) -> Rule:
    """A rule that also notes at each look: draws, the images that are left, mean energies, spreads of their gaps."""

    def watched(state: State, energies: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((state.draws, state.index, state.total / state.draws, state.spread()))
        return rule(state, energies)

    return watched


def margin(draws: Tensor, y: Tensor) -> Tensor:
    """Gap over spread [N] of energies [n, N, K]: the best wrong class's less the right one's; below zero: it is missed.

    >>> margin(torch.tensor([[[1.0, 2.0]], [[1.0, 4.0]]]), torch.tensor([0]))
    tensor([1.4142])
    """
    means = draws.mean(0).scatter(1, y[:, None], torch.inf)
    rival = predict(means)
    each = torch.arange(len(y))
    gaps = draws[:, each, rival] - draws[:, each, y]
    return gaps.mean(0) / gaps.std(0)


def cost_cell(config: dict, alpha_train: float, seed: int) -> list[dict]:
    """Passes, time and answers of racing over those of the plain way, for the noisy pairs of α of Tables 1 and 2.

    The ways, of which all but the plain one race: as the accuracies do it, and again, to tell chance; indifferent to
    ``config["zone"]`` of the mean least energy; with draws that all images and classes share; and by the rule that is
    valid at every n. ``passes`` and ``time`` are those of ``config["n"]`` draws in percent of the plain way's;
    ``passes, settled`` those of the images that were settled before, ``settled`` their share. Two plain runs, and the
    always valid race, meet ``config["images"]`` test images, the other races ``config["raced"]`` ones, and so does a
    third plain run of ``config["short"]`` draws. ``agrees`` and ``agrees, plain`` count the images (x of them) on which
    a way agrees with the first plain run, and the second plain run does; ``lost`` those on which only the latter does.
    ``changed`` is the share in percent of the first race's answers that a way changes. ``accuracy`` is that at n = x,
    and ``limit`` that at n = ∞ from x plain draws (of the first or the third run), with its ``error``. ``margin`` is
    gap over spread of image x, from the first plain run; ``kept`` the race's ratio of image x, which it did not settle.
    """
    data, model = trained(config, ActivationNoise("gaussian", alpha_train), seed)
    x, y, rows = data.x_test, data.y_test.cpu(), []
    for alpha in [b for a, b in TABLE_PAIRS if a == alpha_train and b > 0]:
        torch.manual_seed(seed)
        set_noise(model, alpha_inference=alpha)
        rows += [{"alpha_inference": alpha, **row} for row in _side_by_side(config, model, x, y)]
    return rows


def _side_by_side(config: dict, model: PerClass, x: Tensor, y: Tensor) -> list[dict]:
    classes, n, short = len(model.networks), config["n"], config["short"]
    few, many = min(config["images"], len(x)), min(config["raced"], len(x))
    rows = []

    def say(measure, value, way=PLAIN, **more):
        rows.append({"way": way, "measure": measure, "value": float(value), **more})

    draw = energies_of(model, x)
    _all(draw, few, classes, 20)  # the first calls of anything are slow
    first, took = _timed(_all, draw, few, classes, n)
    again = predict(_all(energies_of(model, x), few, classes, n).double().mean(0))
    answer = predict(first.double().mean(0))
    say("agrees, plain", (answer == again).sum(), x=few)
    for i, ratio in enumerate(margin(first.double(), y[:few])):
        say("margin", ratio, x=i)
    for draws, labels in ((_all(energies_of(model, x), many, classes, short), y[:many]), (first, y[:few])):
        half = len(draws) // 2
        right, *halves = (predict(part.double().mean(0)) == labels for part in (draws, draws[:half], draws[half:]))
        value, error = limit(right, torch.stack(halves))
        say("limit", value, x=len(draws), error=error)
        say("accuracy", 100 * right.double().mean(), x=len(draws))
    zone = config["zone"] * first.double().mean(0).amin(1).mean().item()
    ways = {
        RACE: (many, practical()), AGAIN: (many, practical()), ZONE: (many, practical(indifferent=zone)),
        COMMON: (many, practical()), CERTAIN: (few, certain(largest_energy(x[:few]).cpu().double(), classes)),
    }  # fmt: skip
    said = None
    for way, (images, rule) in ways.items():
        draw = energies_of(model, x, common=way == COMMON)
        found, spent = _timed(race, draw, images, classes, n, rule, (short, n))
        settled, said = found.draws.amax(1) < n, found.at[n] if said is None else said
        say("passes", 100 * found.draws.double().mean() / n, way)
        if settled.any():
            say("passes, settled", 100 * found.draws[settled].double().mean() / n, way)
        say("settled", 100 * settled.double().mean(), way)
        say("time", 100 * (spent / images) / (took / few), way)
        say("agrees", (found.at[n][:few] == answer).sum(), way, x=few)
        say("lost", ((found.at[n][:few] != answer) & (again == answer)).sum(), way, x=few)
        say("changed", 100 * (found.at[n] != said[:images]).double().mean(), way)
        for at in (short, n):
            say("accuracy", 100 * (found.at[at] == y[:images]).double().mean(), way, x=at)
        if way == RACE:
            for i in (~settled).nonzero()[:, 0].tolist():
                say("kept", found.ratio[i], way, x=i)
    return rows


def race_cell(config: dict, alpha: float, seed: int) -> list[dict]:
    """One race with balanced noise, step by step, for one test image of each class.

    ``image`` (x): the picture as text, as value its label; ``said``: the answer. ``energy`` of a class (y) after n
    draws: the mean, and the ``error`` of its gap to the least one, at each look for which the class was still drawn.
    """
    data, model = trained(config, ActivationNoise("gaussian", alpha), seed)
    x, y = data.x_test, data.y_test
    x = x[torch.stack([(y == k).nonzero()[0, 0] for k in y.unique()])]
    torch.manual_seed(seed)
    set_noise(model, alpha_inference=alpha)
    seen = []
    found = race(energies_of(model, x), len(x), len(model.networks), config["n"], _watched(practical(), seen))
    rows = []
    for i, (label, said, image) in enumerate(zip(y.unique(), found.at[config["n"]], x, strict=True)):
        rows.append({"measure": "image", "x": i, "value": label.item(), "text": packed(image)})
        rows.append({"measure": "said", "x": i, "value": said.item()})
    for n, index, means, spreads in seen:
        drawn = found.draws[index] >= n
        best = predict(torch.where(drawn, means, math.inf))
        for i, k in drawn.nonzero().tolist():
            energy = {"value": means[i, k].item(), "error": spreads[i, k, best[i]].item() / math.sqrt(n)}
            rows.append({"measure": "energy", "x": index[i].item(), "y": k, "n": n, **energy})
    return rows


def _points(config: dict) -> list[dict]:
    return [{"alpha_train": alpha} for alpha in config["alphas"]]


_COST = {"alphas": [0.0, 0.5, 0.9, 1.5], "zone": 0.001}
_FAR = {"n": 10_000, "short": 100}
COST = Sweep(
    f"{SLUG}/cost",
    cost_cell,
    _points,
    {
        "smoke": {
            "default": {
                **_COST, "seeds": 1, "data": {"size": 8, "train": 200, "test": 40}, "epochs": 2, "batch_size": 16,
                "alphas": [0.9], "n": 20, "short": 10, "images": 10, "raced": 20,
            }
        },
        "desk": {  # networks and images of the accuracies; a plain run of an image of 32x32 takes half a minute
            "default": {**_COST, **networks_of(DESK["default"]), **_FAR, "images": 2, "raced": 40, "seeds": 5},
            "digits": {**networks_of(DESK["digits"]), "images": 24, "raced": 120},
            "mnist": networks_of(DESK["mnist"]),
            "cifar-10": networks_of(DESK["cifar-10"]),
        },
        "paper": {
            "default": {
                **_COST, **networks_of(ACCURACY.settings["paper"]["default"]), **_FAR, "images": 200, "raced": 10_000,
                "seeds": 5,
            }
        },
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
    check=check,
)  # fmt: skip
RACES = Sweep(
    f"{SLUG}/race",
    race_cell,
    lambda config: [{"alpha": alpha} for alpha in config["alphas"]],
    {
        "smoke": {"default": {**COST.settings["smoke"]["default"], "n": 50}},
        "desk": {
            name: {**networks_of(settings), "seeds": 1, "alphas": [0.5, 0.9, 1.5], "n": 10_000}
            for name, settings in DESK.items()
        },
        "paper": {
            "default": {
                **networks_of(ACCURACY.settings["paper"]["default"]), "seeds": 1, "alphas": [0.5, 0.9, 1.5],
                "n": 10_000,
            }
        },
    },
    {"smoke": "digits", "desk": "cifar-10", "paper": "cifar-10"},
    check=check,
)  # fmt: skip
