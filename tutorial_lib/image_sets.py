"""The image sets of "Activation Noise for EBM Classification" that lie as single files, slimmed to 20 classes.

Each function gives two parts, training and test, as lists of (file, label). The paper does not say which 20 classes it
keeps; these are the first.
"""

from pathlib import Path

CLASSES = 20
CUB = "CUB_200_2011"
"""The folder that the archive of Caltech-UCSD Birds-200-2011 unpacks to."""
Part = list[tuple[Path, int]]


def caltech(folder: Path) -> tuple[Part, Part]:
    """Caltech-101, its first 20 categories by name; every fifth image of each is held out, as there is no test part."""
    from ._torchvision import torchvision

    found = torchvision.datasets.Caltech101(folder, download=True)
    root, parts = Path(found.root) / "101_ObjectCategories", ([], [])
    for label, number in zip(found.y, found.index, strict=True):
        if label < CLASSES:
            parts[number % 5 == 0].append((root / found.categories[label] / f"image_{number:04d}.jpg", label))
    return parts


def flowers(folder: Path) -> tuple[Part, Part]:
    """Flowers-102, its first 20 classes; the parts train and val, ten images a class each, are for training."""
    from ._torchvision import torchvision

    splits = [torchvision.datasets.Flowers102(folder, split=name, download=True) for name in ("train", "val", "test")]
    parts = [list(zip(s._image_files, s._labels, strict=True)) for s in splits]
    first = [[(Path(file), int(label)) for file, label in part if label < CLASSES] for part in parts]
    return first[0] + first[1], first[2]


def birds(folder: Path) -> tuple[Part, Part]:
    """Caltech-UCSD Birds-200-2011, its first 20 classes, in its own two parts; the unpacked archive, no download."""
    root, columns = folder / CUB, []
    for name in ("images", "image_class_labels", "train_test_split"):
        lines = (root / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        columns.append(dict(line.split(maxsplit=1) for line in lines if line.strip()))
    files, labels, training = columns
    if not files.keys() == labels.keys() == training.keys():
        raise ValueError("images.txt, image_class_labels.txt and train_test_split.txt must name the same images")
    parts = ([], [])
    for key, file in files.items():
        if (label := int(labels[key]) - 1) < CLASSES:
            parts[int(training[key]) == 0].append((root / "images" / file, label))
    return parts


IMAGE_SETS = {
    "caltech-20": (caltech, "torchvision.datasets.Caltech101"),
    "flower-20": (flowers, "torchvision.datasets.Flowers102"),
    "cub-20": (birds, f"the folder {CUB}"),
}
"""name -> (reader, source)"""
