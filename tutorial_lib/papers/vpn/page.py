"""Small networks, their generators and twenty digits for a page on which the reader paints noise: trained and shipped.

All that follows was fixed before any noise was looked at. The base is 64-32-32-10 with ReLU, f_θ is 64-32-32-64 (DNN3
of section 4.1 with 32 for 1024). Everything is trained on scikit-learn's digits at seed 0, by Adam at the paper's
0.001, for the paper's 40 epochs, in batches of 64 instead of 256 (of 1,437 images). Σ is read as Algorithm 1 has it, as
a deviation, in absolute value; m = 1. Three pairs of networks:

- the base trained without noise, and then the generator on it (Table 2), with the paper's γ = 0.01 / |Y|;
- both trained together (Algorithm 1, Table 1), with the same γ;
- both trained together with γ = 0.5, a label 500 times as loud.

The digits are, of each class, the first test image, and of the others the one on which the base that was trained
without noise has the largest loss: there noise has something to gain, since no reward exceeds the loss. Weights are
rounded to half precision, those of a base before a generator is trained on it; digits, in sixteenths, are so already.
Command:

    python -m tutorial_lib.papers.vpn.page
"""

import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...data import Data, load_data
from ...models import mlp
from ...shipping import command_line
from ...store import write_atomically
from ...sweep import RESULTS
from ...train import evaluate, fit
from . import SLUG
from .method import Generator, dnn3, train_with_noise

COMMAND = f"python -m tutorial_lib.papers.{SLUG}.page"
AFTER, WITH, LOUD = "without noise", "with learned noise", "with it, γ = 0.5"
"""How a base was trained; in the first case its generator was trained after it."""
SETTINGS = {
    "dataset": "digits", "seed": 0, "base": [32, 32], "generator": 32, "epochs": 40, "batch_size": 64, "lr": 0.001,
    "optimizer": "Adam", "reading": "deviation", "positive": "abs", "m": 1,
    "gamma": {AFTER: 0.01 / 10, WITH: 0.01 / 10, LOUD: 0.5},
}  # fmt: skip


@dataclass(frozen=True)
class Shipped:
    """Weights of bases and generators by name (float16, layer by layer: the matrix row by row, the bias), and digits.

    `images` [20, 64] float16, `labels` [20], `kinds` [20]: "first" or "hardest"; `about`: where all of it comes from.
    """

    bases: dict[str, np.ndarray]
    generators: dict[str, np.ndarray]
    images: np.ndarray
    labels: np.ndarray
    kinds: list[str]
    about: dict


def new_base(settings: dict = SETTINGS) -> nn.Sequential:
    """The untrained base of the settings' seed: [B, 64] or [B, 1, 8, 8] to [B, 10] logits."""
    torch.manual_seed(settings["seed"])
    return mlp(64, 10, tuple(settings["base"]))


def new_generator(gamma: float, settings: dict = SETTINGS) -> Generator:
    """The untrained generator of the settings' seed."""
    torch.manual_seed(1_000_003 + settings["seed"])
    network = dnn3(64, 64, settings["generator"])
    return Generator(network, gamma, settings["reading"], settings["positive"])


def halved(model: nn.Module) -> nn.Module:
    """`model`, its weights rounded to half precision, in place."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half())
    return model


def flat(model: nn.Module) -> np.ndarray:
    """The weights of a network of linear layers in one row, float16, as the page takes them.

    >>> flat(nn.Linear(3, 2)).shape
    (8,)
    """
    return np.concatenate([w.detach().numpy().ravel() for w in model.parameters()]).astype("<f2")


def restored(model: nn.Module, weights: np.ndarray) -> nn.Module:
    """`model` with the `weights` that `flat` gave, in place."""
    torch.nn.utils.vector_to_parameters(torch.tensor(weights.astype(np.float32)), model.parameters())
    return model.eval()


def chosen(loss: Tensor, labels: Tensor) -> list[tuple[int, str]]:
    """Which test images are shown: of each class the first, and of the others that of the largest `loss` [N].

    >>> chosen(torch.tensor([9.0, 1.0, 2.0, 5.0, 3.0]), torch.tensor([1, 1, 1, 0, 0]))
    [(3, 'first'), (4, 'hardest'), (0, 'first'), (2, 'hardest')]
    """
    found = []
    for label in labels.unique():
        first, *others = (labels == label).nonzero()[:, 0].tolist()
        found += [(first, "first"), (max(others, key=lambda k: loss[k].item()), "hardest")]
    return found


def trained(name: str, data: Data, settings: dict = SETTINGS) -> tuple[nn.Sequential, Generator]:
    """The base and the generator called `name`, trained as the module says, both rounded."""
    base, noise = new_base(settings), new_generator(settings["gamma"][name], settings)
    how = {k: settings[k] for k in ("epochs", "batch_size", "lr", "seed")} | {"progress": False}
    if name == AFTER:
        fit(base, data.x_train, data.y_train, **how)
        halved(base)
    train_with_noise(base, noise, data.x_train, data.y_train, m=settings["m"], fixed=name == AFTER, **how)
    return halved(base), halved(noise)


def make(settings: dict = SETTINGS, folder: str | Path = "data") -> Shipped:
    """All that is shipped, made anew."""
    data = load_data(settings["dataset"], folder, seed=settings["seed"])
    pairs = {name: trained(name, data, settings) for name in settings["gamma"]}
    with torch.no_grad():
        loss = nn.functional.cross_entropy(pairs[AFTER][0](data.x_test), data.y_test, reduction="none")
    which = chosen(loss, data.y_test)
    about = {
        "command": COMMAND, "settings": settings, "images": [k for k, _ in which],
        "test accuracy without noise (%)": {n: evaluate(b, data.x_test, data.y_test) for n, (b, _) in pairs.items()},
        "dataset": {"name": data.name, "source": data.source, "sha256": data.sha256},
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }  # fmt: skip
    at = about["images"]
    return Shipped(
        {name: flat(base) for name, (base, _) in pairs.items()},
        {name: flat(noise) for name, (_, noise) in pairs.items()},
        data.x_test[at].flatten(1).numpy().astype("<f2"), data.y_test[at].numpy(), [kind for _, kind in which], about,
    )  # fmt: skip


def path_in(folder: Path) -> Path:
    """Where the networks lie below a folder of results."""
    return Path(folder) / SLUG / "page" / "digits.npz"


def write(out: Path = RESULTS, folder: str | Path = "data") -> Path:
    """Train the networks and write them, with the digits and what is to be known of both, below `out`."""
    made, buffer = make(folder=folder), io.BytesIO()
    arrays = {f"base: {name}": weights for name, weights in made.bases.items()}
    arrays |= {f"generator: {name}": weights for name, weights in made.generators.items()}
    about = json.dumps(made.about, ensure_ascii=False)
    np.savez_compressed(buffer, about=about, images=made.images, labels=made.labels, kinds=made.kinds, **arrays)
    write_atomically(path_in(out), buffer.getvalue())
    return path_in(out)


def shipped(folder: Path = RESULTS) -> Shipped:
    """What travels with the package.

    >>> found = shipped()
    >>> found.images.shape, len(found.bases), found.labels[:4].tolist(), found.kinds[:2]
    ((20, 64), 3, [0, 0, 1, 1], ['first', 'hardest'])
    """
    with np.load(path_in(folder), allow_pickle=False) as stored:
        parts = ({n.partition(": ")[2]: stored[n] for n in stored if n.startswith(k)} for k in ("base:", "generator:"))
        return Shipped(
            *parts, stored["images"], stored["labels"], stored["kinds"].tolist(), json.loads(str(stored["about"]))
        )


def networks(name: str, found: Shipped) -> tuple[nn.Sequential, Generator]:
    """The base and the generator called `name`, with the shipped weights."""
    base = restored(new_base(found.about["settings"]), found.bases[name])
    settings = found.about["settings"]
    return base, restored(new_generator(settings["gamma"][name], settings), found.generators[name])


def main(arguments: list[str] | None = None) -> int:
    """Write the networks; see the module."""
    return command_line(COMMAND, write, RESULTS, arguments)


if __name__ == "__main__":
    sys.exit(main())
