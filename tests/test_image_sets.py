"""Caltech-101, Flowers-102 and CUB-200-2011, slimmed to 20 classes: small folders in the formats of their archives."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from tutorial_lib import DataError, load_data
from tutorial_lib.image_sets import IMAGE_SETS


def draw(file, number, side=24):
    """An even picture whose red is its number; heights differ, as they do in these sets."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((side + number % 5, side, 3), (number, 80, 200 - number), np.uint8)
    Image.fromarray(pixels).save(file, quality=98)


def numbers(x):
    """What was drawn, read back from the images."""
    return (x[:, 0].flatten(1).mean(1) * 255).round().int().tolist()


def write_caltech(folder):
    """23 categories of 7 images, among them the one that is none; by name, capitals come first."""
    root, drawn = folder / "caltech101" / "101_ObjectCategories", {}
    names = sorted(["Faces", "BACKGROUND_Google", "Motorbikes", *(f"thing_{i:02d}" for i in range(20))])
    for k, name in enumerate(names):
        for i in range(1, 8):
            drawn[name, i] = (7 * k + i) % 251
            draw(root / name / f"image_{i:04d}.jpg", drawn[name, i])
    names.remove("BACKGROUND_Google")
    held = {False: [], True: []}
    for label, name in enumerate(names[:20]):
        for i in range(1, 8):
            held[i == 5].append((drawn[name, i], label))
    return held[False], held[True]


def write_flowers(folder, monkeypatch):
    """22 classes; the tables name images by number, and do not sort them; their checksums are those of these files."""
    from tutorial_lib._torchvision import torchvision

    root, g = folder / "flowers-102", np.random.default_rng(0)
    labels = g.permutation(np.repeat(np.arange(22), 5))
    for i in range(len(labels)):
        draw(root / "jpg" / f"image_{i + 1:05d}.jpg", i + 1)
    ids = {name: g.permutation(part) for name, part in zip(("trnid", "valid", "tstid"), split(labels), strict=True)}
    savemat(root / "imagelabels.mat", {"labels": labels[None] + 1})
    savemat(root / "setid.mat", {name: part[None] for name, part in ids.items()})
    sums = {key: hashlib.md5((root / f"{name}.mat").read_bytes()).hexdigest() for key, name in
            (("label", "imagelabels"), ("setid", "setid"))}  # fmt: skip
    known = {"image": ("102flowers.tgz", ""), "label": ("imagelabels.mat", sums["label"]),
             "setid": ("setid.mat", sums["setid"])}  # fmt: skip
    monkeypatch.setattr(torchvision.datasets.Flowers102, "_file_dict", known)
    rows = {name: [(int(i), int(labels[i - 1])) for i in part if labels[i - 1] < 20] for name, part in ids.items()}
    return rows["trnid"] + rows["valid"], rows["tstid"]


def split(labels):
    """Of every class one image for training, one for validation, three for testing; numbers from 1."""
    members = [np.flatnonzero(labels == k) + 1 for k in range(22)]
    return [np.concatenate([m[at] for m in members]) for at in (slice(1), slice(1, 2), slice(2, None))]


def write_birds(folder):
    """22 species; the three tables are in orders of their own; the last two species are none of ours."""
    root, lines, parts = (
        folder / "CUB_200_2011",
        {"images": [], "image_class_labels": [], "train_test_split": []},
        ([], []),
    )
    for i in range(66):
        label, training = i % 22, i % 3 != 1
        file = f"{label + 1:03d}.Bird_{label}/Bird_{i}.jpg"
        draw(root / "images" / file, i)
        lines["images"].append(f"{i + 1} {file}")
        lines["image_class_labels"].insert(0, f"{i + 1} {label + 1}")
        lines["train_test_split"].append(f"{i + 1} {int(training)}")
        if label < 20:
            parts[not training].append((i, label))
    for name, content in lines.items():
        (root / f"{name}.txt").write_text("\n".join(content) + "\n")
    return parts


def written(name, folder, monkeypatch):
    if name == "flower-20":
        return write_flowers(folder, monkeypatch)
    return {"caltech-20": write_caltech, "cub-20": write_birds}[name](folder)


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_images_and_labels_are_those_of_the_archive(name, tmp_path, monkeypatch):
    """A table read in another order than another, labels that start at 1, a class too many, or parts exchanged."""
    parts = written(name, tmp_path, monkeypatch)
    data = load_data(name, tmp_path, size=8)
    assert data.name == name and data.source == f"{IMAGE_SETS[name][1]}, its first 20 classes"
    for x, y, part in zip((data.x_train, data.x_test), (data.y_train, data.y_test), parts, strict=True):
        assert x.shape == (len(part), 3, 8, 8) and sorted(set(y.tolist())) == list(range(20))
        assert y.tolist() == [label for _, label in part]
        assert np.abs(np.subtract(numbers(x), [number for number, _ in part])).max() <= 4  # what JPEG loses


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_images_of_several_sizes_need_a_size(name, tmp_path, monkeypatch):
    written(name, tmp_path, monkeypatch)
    with pytest.raises(DataError, match=f"{name} holds images of several sizes.*give size="):
        load_data(name, tmp_path)


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_a_file_comes_first(name, tmp_path, monkeypatch):
    """The file of this name spares decoding the folder, and need not be cut to 20 classes."""
    written(name, tmp_path, monkeypatch)
    x, y = np.zeros((6, 8, 8, 3), np.uint8), np.arange(6) % 3
    np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert load_data(name, tmp_path).source == f"the file {name}.npz"


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_a_set_that_is_not_there_says_what_to_do(name, tmp_path):
    """Without a network, or an archive: no traceback, but where to put which file."""
    with pytest.raises(DataError) as caught:
        load_data(name, tmp_path)
    words = [name, str(tmp_path), f"{name}.npz", "x_train"]
    words += ["CUB_200_2011", "train_test_split.txt"] if name == "cub-20" else ["run again with a network"]
    assert all(word in str(caught.value) for word in words)


def test_tables_of_birds_that_do_not_fit_are_refused(tmp_path):
    write_birds(tmp_path)
    table = tmp_path / "CUB_200_2011" / "train_test_split.txt"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match="must name the same images"):
        load_data("cub-20", tmp_path)


def test_a_part_without_images_is_refused(tmp_path):
    write_birds(tmp_path)
    table = tmp_path / "CUB_200_2011" / "train_test_split.txt"
    table.write_text("".join(f"{line.split()[0]} 1\n" for line in table.read_text().splitlines()))
    with pytest.raises(DataError, match="cub-20: no test images of its first 20 classes"):
        load_data("cub-20", tmp_path)


def test_a_sweep_takes_such_a_set(tmp_path, monkeypatch):
    """The paper's data sets of section 4.3 run by their names."""
    from tutorial_lib.papers.activation_noise import sweeps

    write_birds(tmp_path)
    config = {**sweeps.ACCURACY.config("smoke", "cub-20"), "dataset": "cub-20", "folder": tmp_path, "device": "cpu"}
    config |= {"data": {"size": 8}, "far": {"images": 0, "n": 5}, "n": 5, "alpha_inference": [0.9]}
    torch.set_num_threads(1)
    rows = sweeps.accuracy_cell(config, "gaussian", 0.9, 0)
    assert [row["n"] for row in rows] == [1, 2, 3, 5]
