"""Data sets as tensors that live on the device: the embedded default, the usual ones, and the reader's own."""

import hashlib
import http.client
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import InputError

TORCHVISION = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "usps": "USPS",
    "cifar-10": "CIFAR10",
    "cifar-100": "CIFAR100",
    "svhn": "SVHN",
}
SLIMS = {"cifar-20": ("cifar-100", 20)}
TABLES = ("diabetes", "boston")
NAMES = ("digits", *TORCHVISION, *SLIMS, *TABLES)
BOSTON = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/boston_housing.npz",
    "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
)
"""Where Keras keeps the Boston house prices, and the file's SHA-256."""
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


class DataError(InputError):
    """Data that are missing, broken or of the wrong shape; the message says what to do."""


@dataclass(frozen=True)
class Data:
    """Images [N, C, H, W] as float32 in [0, 1] and labels [N] as int64, all on one device, with their origin.

    For regression: features [N, F] and targets [N, 1] as float32, of mean 0 and deviation 1 in the training part.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str
    source: str
    sha256: str
    """Checksum of the raw arrays (shapes, types and bytes), before any selection or resizing."""


def load_data(
    name: str = "digits",
    folder: str | Path = "data",
    *,
    size: int | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Data:
    """Load a data set onto `device`, resized to `size` x `size` pixels if given.

    `name` is ``digits`` (scikit-learn's 1,797 8x8 digits, always there), ``mnist``, ``fashion-mnist``, ``usps``,
    ``cifar-10``, ``cifar-100``, ``cifar-20`` (the first 20 classes of CIFAR-100), ``svhn``; for regression
    ``diabetes`` (scikit-learn's 442 patients, always there) or ``boston`` (506 house prices, downloaded; scikit-learn
    removed the set because one of its columns was made from race on the assumption that segregation raises prices);
    or a path: of an ``.npz`` file with ``x_train, y_train, x_test, y_test`` (images [N, H, W] or [N, H, W, C], uint8
    or floats in [0, 1]; a text ``source``, if there is one, goes into the provenance), or of a folder with one
    subfolder of images a class (inside ``train/`` and ``test/``, or without them: then every fifth image is held out).
    Any other named set is read from ``folder/<name>.npz`` if that file is there, else by torchvision, which downloads
    into `folder` what it misses and verifies checksums.

    `train` and `test` keep that many images, spread evenly over the classes and drawn with `seed` (of a regression set:
    that many rows). Raises `DataError`.

    >>> data = load_data("digits", train=100)
    >>> data.x_train.shape, data.x_test.shape
    (torch.Size([100, 1, 8, 8]), torch.Size([360, 1, 8, 8]))
    """
    folder, path = Path(folder), Path(name)
    if name in TABLES:
        if size is not None:
            raise DataError(f"size = {size}: {name} has no images; leave size out")
        arrays, source = _diabetes() if name == "diabetes" else _boston(folder)
    elif name in NAMES:
        base, classes = SLIMS.get(name, (name, None)) if not (folder / f"{name}.npz").exists() else (name, None)
        arrays, source = _named(base, folder)
        if classes:
            arrays = [a[y < classes] for a, y in zip(arrays, [arrays[1]] * 2 + [arrays[3]] * 2, strict=True)]
            source += f", its first {classes} classes"
    elif path.suffix == ".npz":
        arrays, source = _npz(path)
    elif path.is_dir():
        arrays, source = _image_folder(path, size), f"the image folder {path.name}"
    else:
        raise DataError(
            f"unknown data set {name!r}: choose from {', '.join(NAMES)}, or give the path of an .npz file or of a "
            "folder of images by class"
        )
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    x_train, y_train = _subset(arrays[0], arrays[1], train, seed, "training")
    x_test, y_test = _subset(arrays[2], arrays[3], test, seed, "test")
    if name in TABLES:
        features, targets = _standardised(x_train, x_test), _standardised(y_train[:, None], y_test[:, None])
        parts = [torch.tensor(a, dtype=torch.float32, device=device) for a in (*features, *targets)]
        return Data(parts[0], parts[2], parts[1], parts[3], name, source, digest.hexdigest())
    return Data(
        _images(x_train, size, device), torch.tensor(y_train.astype(np.int64), device=device),
        _images(x_test, size, device), torch.tensor(y_test.astype(np.int64), device=device),
        name if name in NAMES else path.stem, source, digest.hexdigest(),
    )  # fmt: skip


def _named(name: str, folder: Path):
    if name == "digits":
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype(np.float32).reshape(-1, 8, 8)
        x_train, x_test, y_train, y_test = train_test_split(
            images, labels, test_size=360, stratify=labels, random_state=0
        )
        return [x_train, y_train, x_test, y_test], "scikit-learn's load_digits, 360 images held out"
    if (file := folder / f"{name}.npz").exists():
        return _npz(file)
    return _torchvision(name, folder), f"torchvision.datasets.{TORCHVISION[name]}"


def _diabetes():
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(*load_diabetes(return_X_y=True), test_size=110, random_state=0)
    return [x_train, y_train, x_test, y_test], "scikit-learn's load_diabetes, 110 rows held out"


def _boston(folder: Path):
    from sklearn.model_selection import train_test_split

    url, expected = BOSTON
    file = folder / url.rpartition("/")[2]
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=expected, progress=False)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise DataError(
                f"boston: could not download {url} ({error}). Run again with a network, put the file {file.name} into "
                f"{str(folder)!r} yourself, or take the embedded set diabetes"
            ) from error
    if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
        raise DataError(f"boston: {file.name} is not the expected file (its SHA-256 differs): delete it and run again")
    with np.load(file, allow_pickle=False) as content:
        x_train, x_test, y_train, y_test = train_test_split(content["x"], content["y"], test_size=102, random_state=0)
    return [x_train, y_train, x_test, y_test], f"Keras's {file.name}, 102 rows held out"


def _standardised(train: np.ndarray, test: np.ndarray):
    """Both, scaled so that the training part's columns have mean 0 and deviation 1 (a constant one: 0)."""
    varies = np.ptp(train, axis=0) > 0
    mean, deviation = train.mean(0), np.where(varies, train.std(0), np.inf)
    return (train - mean) / deviation, (test - mean) / deviation


def _torchvision(name: str, folder: Path):
    from ._torchvision import torchvision

    splits = [{"split": part} if name == "svhn" else {"train": part == "train"} for part in ("train", "test")]
    try:
        parts = [getattr(torchvision.datasets, TORCHVISION[name])(folder, download=True, **s) for s in splits]
    except Exception as error:  # torchvision raises many kinds: OSError, RuntimeError, URLError, struct.error, …
        raise DataError(
            f"{name}: torchvision could neither read it in {str(folder)!r} nor download it ({error}). Delete broken "
            f"files there and run again with a network, or put a file {name}.npz with x_train, y_train, x_test, "
            "y_test there"
        ) from error
    if name == "svhn":
        return [a for part in parts for a in (part.data.transpose(0, 2, 3, 1), part.labels.astype(np.int64))]
    return [np.asarray(a) for part in parts for a in (part.data, part.targets)]


def _npz(path: Path):
    keys = ("x_train", "y_train", "x_test", "y_test")
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}: give the path of an .npz file with {', '.join(keys)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in keys if key in file.files}
            source = f"the file {path.name}" + (f", {file['source']}" if "source" in file.files else "")
    except (zipfile.BadZipFile, OSError, ValueError, TypeError, RuntimeError, EOFError, zipfile.zlib.error) as error:
        raise DataError(
            f"{path.name} is not a readable .npz file ({error}): it may be truncated; make or copy it again"
        ) from error
    if found.keys() == {"x_test", "y_test"}:  # a test set alone will do for measuring
        found["x_train"], found["y_train"] = found["x_test"][:0], found["y_test"][:0]
    missing = [key for key in keys if key not in found]
    if missing:
        raise DataError(f"{path.name} lacks {', '.join(missing)}: it must hold {', '.join(keys)}")
    for part in ("train", "test"):
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
            raise DataError(
                f"{path.name}: x_{part} has shape {x.shape}, expected [N, H, W] or [N, H, W, 1 or 3] (channels last)"
            )
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
            raise DataError(
                f"{path.name}: y_{part} has shape {y.shape} and type {y.dtype}, expected ({len(x)},) and whole numbers"
            )
        if x.dtype != np.uint8 and not (
            np.issubdtype(x.dtype, np.floating) and (x.size == 0 or (x.min() >= 0 and x.max() <= 1))
        ):
            raise DataError(f"{path.name}: x_{part} must be uint8, or floats in [0, 1]; it is {x.dtype}")
        if y.size and y.min() < 0:
            raise DataError(f"{path.name}: y_{part} has the label {y.min()}; labels start at 0")
    if found["x_train"].shape[1:] != found["x_test"].shape[1:]:
        raise DataError(
            f"{path.name}: training images are {found['x_train'].shape[1:]}, test images "
            f"{found['x_test'].shape[1:]}; make them one shape"
        )
    return [found[key] for key in keys], source


def _image_folder(path: Path, size: int | None):
    split = (path / "train").is_dir() and (path / "test").is_dir()
    roots = [path / "train", path / "test"] if split else [path]
    classes = sorted(p.name for p in roots[0].iterdir() if p.is_dir())
    if not classes:
        raise DataError(f"{path.name} has no subfolders: put the images of each class into a folder of its own")
    parts, shapes = [], set()
    for root in roots:
        images, labels = [], []
        for label, name in enumerate(classes):
            files = sorted(p for p in (root / name).glob("*") if p.suffix.lower() in _SUFFIXES)
            if not files:
                raise DataError(f"no images in {root.name}/{name}; image files end in {', '.join(sorted(_SUFFIXES))}")
            images += [_read_image(file, size) for file in files]
            labels += [label] * len(files)
        shapes |= {image.shape for image in images}
        if len(shapes) > 1:
            raise DataError(f"{path.name} holds images of several sizes, {sorted(shapes)[:3]} …: give size=")
        parts.append((np.stack(images), np.array(labels)))
    if split:
        return [*parts[0], *parts[1]]
    (x, y), held = parts[0], np.arange(len(parts[0][1])) % 5 == 4
    return [x[~held], y[~held], x[held], y[held]]


def _read_image(file: Path, size: int | None) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            image = image.convert("RGB")
            return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR) if size else image)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file.name} is not a readable image ({error}): replace or remove it") from error


def _subset(x: np.ndarray, y: np.ndarray, count: int | None, seed: int, part: str):
    if count is None:
        return x, y
    if not 1 <= count <= len(x):
        raise DataError(f"{count} {part} images asked for, the data set has {len(x)}: ask for 1 to {len(x)}")
    order = np.random.default_rng(seed).permutation(len(x))
    if not np.issubdtype(y.dtype, np.integer):
        return x[np.sort(order[:count])], y[np.sort(order[:count])]
    # the rank of every image within its class, in that order; taking the lowest ranks first balances the classes
    rank = np.empty(len(x), dtype=int)
    for label in np.unique(y):
        members = order[y[order] == label]
        rank[members] = np.arange(len(members))
    keep = np.sort(order[np.argsort(rank[order], kind="stable")][:count])
    return x[keep], y[keep]


def _images(x: np.ndarray, size: int | None, device) -> Tensor:
    images = torch.tensor(x if x.dtype == np.uint8 else x.astype(np.float32), device=device)  # in native byte order
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    images = images.float().div(255) if x.dtype == np.uint8 else images
    if size and images.shape[-2:] != (size, size) and len(images):
        images = torch.nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.clamp(0, 1).contiguous()
