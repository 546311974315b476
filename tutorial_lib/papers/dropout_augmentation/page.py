"""A small layer and ten digits for a page on which the reader switches units off: trained, chosen by a rule, shipped.

The layer is the encoder of the autoencoder that the sweep of pictures trains on the digits with dropout, at `desk`,
seed 0: 64 pixels, 100 ReLU units. The digits are the first of each class among the test images. Weights are rounded
to half precision; digits, in sixteenths, are so already. Command:

    python -m tutorial_lib.papers.dropout_augmentation.page
"""

import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from ...data import load_data
from ...shipping import command_line
from ...store import write_atomically
from ...sweep import RESULTS
from .layers import PICTURES, autoencoder, squared_error, trained
from .method import Dropout
from .sweeps import DROPOUT, NOISES, flattened

SEED = 0
COMMAND = "python -m tutorial_lib.papers.dropout_augmentation.page"


@dataclass(frozen=True)
class Layer:
    """A layer of ReLU units, digits that it has not seen, and where both come from; numbers as float16 arrays."""

    weight: np.ndarray
    bias: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    about: dict


def first_of_each(labels: np.ndarray) -> np.ndarray:
    """Where each class comes first, in the order of the classes.

    >>> first_of_each(np.array([2, 0, 2, 1, 0])).tolist()
    [1, 3, 0]
    """
    return np.unique(labels, return_index=True)[1]


def make(config: dict, folder: str | Path = "data") -> Layer:
    """Train the autoencoder of `config` as `layers.pictures_cell` does for dropout; its encoder rounded, and digits."""
    data = load_data(config["dataset"], folder, seed=SEED, **config["data"])
    about = {
        "command": COMMAND, "configuration": config, "scheme": DROPOUT, "seed": SEED,
        "dataset": {"name": data.name, "source": data.source, "sha256": data.sha256},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }  # fmt: skip
    data, _ = flattened(data, config["components"])
    torch.manual_seed(SEED)
    model = autoencoder(data.x_train.shape[1], config["units"])
    noise = Dropout(config["p"], NOISES[DROPOUT])
    trained(model, data.x_train, data.x_train, noise, config, SEED, loss=squared_error)
    labels = data.y_test.numpy()
    chosen = first_of_each(labels)
    numbers = (model[0].weight, model[0].bias, data.x_test[chosen])
    return Layer(*(n.numpy().astype(np.float16) for n in numbers), labels[chosen], about)


def path_in(folder: Path) -> Path:
    """Where the layer lies below a folder of results."""
    return Path(folder) / PICTURES.name / "digits-desk.npz"


def write_layer(out: Path = RESULTS, folder: str | Path = "data") -> Path:
    """Train the layer and write it, with the digits and what is to be known of both, below `out`."""
    layer, buffer = make(PICTURES.config("desk", "digits"), folder), io.BytesIO()
    arrays = {name: getattr(layer, name) for name in ("weight", "bias", "images", "labels")}
    np.savez_compressed(buffer, about=json.dumps(layer.about, ensure_ascii=False), **arrays)
    write_atomically(path_in(out), buffer.getvalue())
    return path_in(out)


def shipped_layer(folder: Path = RESULTS) -> Layer:
    """The layer that travels with the package.

    >>> layer = shipped_layer()
    >>> layer.weight.shape, layer.images.shape, layer.labels.tolist()
    ((100, 64), (10, 64), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    with np.load(path_in(folder), allow_pickle=False) as stored:
        arrays = [stored[name] for name in ("weight", "bias", "images", "labels")]
        return Layer(*arrays, json.loads(str(stored["about"])))


def main(arguments: list[str] | None = None) -> int:
    """Write the layer; see the module."""
    return command_line(COMMAND, write_layer, RESULTS, arguments)


if __name__ == "__main__":
    sys.exit(main())
