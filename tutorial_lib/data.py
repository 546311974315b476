"""Data sets as tensors that live on the device: the embedded default, the usual ones, and the reader's own."""

import hashlib
import http.client
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import InputError
from .image_sets import CLASSES, CUB, IMAGE_SETS

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
NAMES = ("digits", *TORCHVISION, *SLIMS, *IMAGE_SETS, "tiny-imagenet", *TABLES)
TINY = "tiny-imagenet-200"
"""The folder that the archive of Tiny ImageNet unpacks to."""
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
    """The set's name; of the reader's own the name of the file or folder, as a safe file name and none of `NAMES`."""
    source: str
    sha256: str
    """Checksum of the raw arrays (shapes, types and bytes), before any selection, renumbering or resizing."""


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
    ``cifar-10``, ``cifar-100``, ``cifar-20`` (the first 20 classes of CIFAR-100), ``svhn``, ``caltech-20``,
    ``flower-20`` and ``cub-20`` (the first 20 classes of Caltech-101, Flowers-102 and CUB-200-2011; their images differ
    in size, so give `size`), ``tiny-imagenet`` (200 classes of 64x64 pixels; its validation part is the test part here,
    as its own has no labels); for regression ``diabetes`` (scikit-learn's 442 patients, always there) or ``boston``
    (506 house prices, downloaded; scikit-learn removed the set because one of its columns was made from race on the
    assumption that segregation raises prices);
    or a path: of an ``.npz`` file with ``x_train, y_train, x_test, y_test`` (images [N, H, W] or [N, H, W, C], uint8
    or floats in [0, 1]; a text ``source``, if there is one, goes into the provenance), or of a folder with one
    subfolder of images a class (inside ``train/`` and ``test/``, or without them: then every fifth image is held out).
    Own labels with gaps (0, 1000, 2000) become 0 … K-1, and `source` says so; a label of the test part that the
    training part lacks is refused. A file of ``x_test, y_test`` alone keeps its labels and has an empty training part.
    Any other named set is read from ``folder/<name>.npz`` if that file is there, else by torchvision, which downloads
    into `folder` what it misses and verifies checksums; ``tiny-imagenet`` and ``cub-20``, which it does not have, from
    the unpacked archives ``folder/tiny-imagenet-200`` and ``folder/CUB_200_2011``, without a download.

    `train` and `test` keep that many images, spread evenly over the classes and drawn with `seed` (of a regression set:
    that many rows). Raises `DataError`.

    >>> data = load_data("digits", train=100)
    >>> data.x_train.shape, data.x_test.shape
    (torch.Size([100, 1, 8, 8]), torch.Size([360, 1, 8, 8]))
    """
    if size is not None and size < 1:
        raise DataError(f"size = {size}: expected at least 1 pixel (--size S on the command line, size=S in Python)")
    arrays, label, source, sha256 = _read(name, Path(folder), size)
    x_train, y_train = _subset(arrays[0], arrays[1], train, seed, label, "train")
    x_test, y_test = _subset(arrays[2], arrays[3], test, seed, label, "test")
    if not np.issubdtype(y_train.dtype, np.integer):
        features, targets = _standardised(x_train, x_test), _standardised(y_train[:, None], y_test[:, None])
        parts = [torch.tensor(a, dtype=torch.float32, device=device) for a in (*features, *targets)]
        return Data(parts[0], parts[2], parts[1], parts[3], label, source, sha256)
    return Data(
        _images(x_train, size, device), torch.tensor(y_train.astype(np.int64), device=device),
        _images(x_test, size, device), torch.tensor(y_test.astype(np.int64), device=device),
        label, source, sha256,
    )  # fmt: skip


def _read(name: str, folder: Path, size: int | None):
    """The arrays x_train, y_train, x_test, y_test of a set as they are, its label, its source and a checksum of it.

    No fingerprint of a cell follows what this does: a run knows by the checksum what was read (`fingerprint.READ`).
    """
    path = Path(os.path.abspath(name))
    if name in TABLES:
        if size is not None:
            raise DataError(f"size = {size}: {name} has no images; leave size out")
        arrays, source = _diabetes() if name == "diabetes" else _boston(folder)
    elif name in NAMES:
        base, classes = SLIMS.get(name, (name, None)) if not (folder / f"{name}.npz").exists() else (name, None)
        arrays, source = _named(base, folder, size)
        if classes:
            arrays = [a[y < classes] for a, y in zip(arrays, [arrays[1]] * 2 + [arrays[3]] * 2, strict=True)]
            source += f", its first {classes} classes"
    elif path.suffix == ".npz":
        arrays, source = _npz(path)
    elif os.path.isdir(path):
        try:
            arrays, source = _image_folder(path, size), f"the image folder {path.name}"
        except OSError as error:
            raise DataError(f"cannot read the folder {str(name)!r} ({error}): see to its permissions") from error
    else:
        raise DataError(
            f"unknown data set {name!r}: choose from {', '.join(NAMES)}, or give the path of an .npz file or of a "
            "folder of images by class"
        )
    own = name not in NAMES
    if own:
        arrays, told = _renumbered(arrays, path.name.removesuffix(".npz"))
        source += told
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return arrays, _safe_name(path, digest.hexdigest()) if own else name, source, digest.hexdigest()


def held_out(data: Data, share: float, seed: int) -> tuple[Data, Tensor, Tensor]:
    """`data` less a random `share` of its training images, drawn with `seed`; these for validation, and their labels.

    >>> left, x, y = held_out(load_data("digits"), 0.2, seed=0)
    >>> len(left.x_train), x.shape, len(y)
    (1150, torch.Size([287, 1, 8, 8]), 287)
    """
    order = torch.randperm(len(data.x_train), generator=torch.Generator().manual_seed(seed)).to(data.x_train.device)
    held, kept = order.tensor_split([round(share * len(order))])
    left = replace(data, x_train=data.x_train[kept], y_train=data.y_train[kept])
    return left, data.x_train[held], data.y_train[held]


def _safe_name(path: Path, sha256: str) -> str:
    """What tables of the reader's own data are called: a safe file name that no named set has ("none": no data)."""
    stem = path.stem if path.suffix == ".npz" else path.name
    label = re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip(".-")[:100]
    return label if label and label.lower() not in (*NAMES, "none") else f"{label or 'own'}-{sha256[:8]}"


def _renumbered(arrays: list[np.ndarray], name: str):
    """Arrays whose labels are 0 … K-1, in ascending order of those that were there, and words on what was changed."""
    x_train, y_train, x_test, y_test = arrays
    labels = np.unique(y_train)
    if not len(labels):  # a test set alone: its labels are those of the network that it is to measure
        return arrays, ""
    if foreign := sorted(set(y_test.tolist()) - set(labels.tolist())):
        raise DataError(
            f"{name}: y_test has {_few(foreign)}, which y_train lacks (it has {_few(labels)}): leave those images "
            "out, or add some of their classes to the training part"
        )
    if labels[-1] == len(labels) - 1:
        return arrays, ""
    ranks = [np.searchsorted(labels, y) for y in (y_train, y_test)]
    return [x_train, ranks[0], x_test, ranks[1]], f", labels {_few(labels)} renumbered to 0 … {len(labels) - 1}"


def _few(values) -> str:
    """Numbers for a message, of many the first three and the last.

    >>> _few([0, 1000, 2000]), _few(range(0, 200, 2))
    ('0, 1000, 2000', '0, 2, 4, … 198')
    """
    text = [str(value) for value in values]
    return ", ".join(text if len(text) <= 5 else [*text[:3], f"… {text[-1]}"])


def _named(name: str, folder: Path, size: int | None):
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
    if name == "tiny-imagenet":
        return _tiny_imagenet(folder / TINY, size), f"the folder {TINY}, its val part as test (its own has no labels)"
    if name in IMAGE_SETS:
        return _image_set(name, folder, size), f"{IMAGE_SETS[name][1]}, its first {CLASSES} classes"
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
        try:
            folder.mkdir(parents=True, exist_ok=True)
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


def _image_set(name: str, folder: Path, size: int | None):
    try:
        parts = IMAGE_SETS[name][0](folder)
    except Exception as error:  # as in `_torchvision`
        how = (
            f"Unpack the archive of CUB-200-2011 so that {CUB} there holds images.txt, image_class_labels.txt, "
            "train_test_split.txt and images/<class>/*.jpg"
            if name == "cub-20"
            else "Delete broken files there and run again with a network"
        )
        raise DataError(
            f"{name}: could not read it in {str(folder)!r} ({error}). {how}, or put a file {name}.npz with x_train, "
            "y_train, x_test, y_test there"
        ) from error
    if empty := [part for part, found in zip(("training", "test"), parts, strict=True) if not found]:
        raise DataError(f"{name}: no {empty[0]} images of its first {CLASSES} classes in {str(folder)!r}")
    x_train, x_test = _stacked(name, [[file for file, _ in part] for part in parts], size)
    y_train, y_test = (np.array([label for _, label in part]) for part in parts)
    return [x_train, y_train, x_test, y_test]


def _npz(path: Path):
    keys = ("x_train", "y_train", "x_test", "y_test")
    if not os.path.isfile(path):
        raise DataError(f"no file {str(path)!r}: give the path of an .npz file with {', '.join(keys)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in keys if key in file.files}
            source = f"the file {path.name}" + (f", {file['source']}" if "source" in file.files else "")
    except Exception as error:  # numpy and zipfile raise many kinds: BadZipFile, OSError, MemoryError, zlib.error, …
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
        if 0 in x.shape[1:]:
            raise DataError(f"{path.name}: x_{part} has shape {x.shape}: images of no pixels")
        if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
            raise DataError(
                f"{path.name}: y_{part} has shape {y.shape} and type {y.dtype}, expected ({len(x)},) and whole numbers"
            )
        floats = np.issubdtype(x.dtype, np.floating)
        if x.dtype != np.uint8 and not (floats and ((x >= 0) & (x <= 1)).all()):
            what = f"{x.dtype} from {x.min()} to {x.max()}" if floats else x.dtype
            raise DataError(f"{path.name}: x_{part} must be uint8, or floats in [0, 1] without NaN; it is {what}")
        if y.size and y.min() < 0:
            raise DataError(f"{path.name}: y_{part} has the label {y.min()}; labels start at 0")
    if not len(found["x_test"]):
        raise DataError(f"{path.name}: x_test is empty: hold some images out for it")
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
    if odd := {p.name for p in roots[-1].iterdir() if p.is_dir()} ^ set(classes):
        raise DataError(
            f"{path.name}: train and test must have the same classes, one of them lacks {', '.join(sorted(odd))}: add "
            "a subfolder with images there, or remove the other"
        )
    parts, shapes = [], set()
    for root in roots:
        images, labels = [], []
        for label, name in enumerate(classes):
            files = _image_files(root, name)
            images += [_read_image(file, size) for file in files]
            labels += [label] * len(files)
        shapes |= {image.shape for image in images}
        if len(shapes) > 1:
            raise DataError(f"{path.name} holds images of several sizes, {sorted(shapes)[:3]} …: give size=")
        parts.append((np.stack(images), np.array(labels)))
    if split:
        return [*parts[0], *parts[1]]
    (x, y), held = parts[0], np.arange(len(parts[0][1])) % 5 == 4
    if not held.any() or len(set(y[~held])) < len(classes):
        raise DataError(
            f"{path.name} holds too few images to hold out every fifth (a class would be left without training images, "
            "or nothing to test on): add images, or make subfolders train and test yourself"
        )
    return [x[~held], y[~held], x[held], y[held]]


def _tiny_imagenet(path: Path, size: int | None):
    """The parts train and val of the archive; a label is the rank of its id among those of wnids.txt."""
    if not os.path.isdir(path):
        raise DataError(
            f"tiny-imagenet: no folder {str(path)!r}, and no download from here. Unpack {TINY}.zip, the archive of "
            "Tiny ImageNet (made for Stanford's course CS231n), so that this folder holds wnids.txt, "
            "train/<id>/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt; or put a file tiny-imagenet.npz "
            "with x_train, y_train, x_test, y_test beside it"
        )
    ids = {wnid: label for label, wnid in enumerate(sorted(set(_text(path / "wnids.txt").split())))}
    if not ids:
        raise DataError(f"tiny-imagenet: wnids.txt names no class, expected an id a line: unpack {TINY}.zip again")
    train = [(file, label) for wnid, label in ids.items() for file in _image_files(path, f"train/{wnid}/images")]
    (train, y_train), (test, y_test) = (zip(*part, strict=True) for part in (train, _annotated(path, ids)))
    x_train, x_test = _stacked("tiny-imagenet", [train, test], size)
    return [x_train, np.array(y_train), x_test, np.array(y_test)]


def _annotated(path: Path, ids: dict[str, int]) -> list[tuple[Path, int]]:
    """The images of the val part with their labels, in the order of its annotations: file name, id and four numbers."""
    lines = _text(path / "val" / "val_annotations.txt").splitlines()
    named = [[*line.split("\t"), ""][:2] for line in lines if line.strip()]
    if foreign := sorted({wnid for _, wnid in named} - ids.keys()):
        raise DataError(
            f"tiny-imagenet: val_annotations.txt has the id {_few(map(repr, foreign))}, which wnids.txt lacks: each "
            f"line must be a file name, a tab and an id of wnids.txt; unpack {TINY}.zip again"
        )
    there, wanted = Counter(p.name for p in _image_files(path, "val/images")), Counter(file for file, _ in named)
    if odd := sorted((there - wanted) + (wanted - there)):
        raise DataError(
            "tiny-imagenet: val_annotations.txt must name each image of val/images once, and no other; it is not so "
            f"for {_few(odd)}: unpack {TINY}.zip again"
        )
    return [(path / "val" / "images" / file, ids[wnid]) for file, wnid in named]


def _stacked(name: str, parts, size: int | None) -> list[np.ndarray]:
    """The images of each part as one array, as they are; if they differ in size, resized."""
    images = [[_read_image(file, None) for file in files] for files in parts]
    shapes = {image.shape for part in images for image in part}
    if len(shapes) > 1 and size is None:
        raise DataError(f"{name} holds images of several sizes, {sorted(shapes)[:3]} …: give size=")
    if len(shapes) > 1:
        images = [[_read_image(file, size) for file in files] for files in parts]
    return [np.stack(part) for part in images]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(
            f"tiny-imagenet: no readable {file.name} in {str(file.parent)!r} ({error}): unpack {TINY}.zip again"
        ) from error


def _image_files(root: Path, name: str) -> list[Path]:
    files = sorted(p for p in (root / name).glob("*") if p.suffix.lower() in _SUFFIXES)
    if not files:
        raise DataError(
            f"no images in {root.name}/{name}: put some there, whose names end in {', '.join(sorted(_SUFFIXES))}"
        )
    return files


def _read_image(file: Path, size: int | None) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            image = image.convert("RGB")
            return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR) if size else image)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file.name} is not a readable image ({error}): replace or remove it") from error


def _subset(x: np.ndarray, y: np.ndarray, count: int | None, seed: int, name: str, part: str):
    if count is None:
        return x, y
    rows = not np.issubdtype(y.dtype, np.integer)
    things = f"{'training' if part == 'train' else 'test'} {'rows' if rows else 'images'}"
    if not len(x):
        raise DataError(f"{count} {things} asked for, {name} has none: add x_{part} and y_{part} to its file")
    if not 1 <= count <= len(x):
        raise DataError(
            f"{count} {things} asked for, {name} has {len(x)}: ask for {'fewer, ' if count > 1 else ''}1 to {len(x)} "
            f"(--{part} N on the command line, {part}=N in Python)"
        )
    order = np.random.default_rng(seed).permutation(len(x))
    if rows:
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
