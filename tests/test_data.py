"""Every way in for data, whole and broken, without a network: the tests write the files they read."""

import bz2
import dataclasses
import hashlib
import http.client
import io
import pickle
import random
import re
import zipfile
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from tutorial_lib import DataError, load_data
from tutorial_lib import data as module
from tutorial_lib.data import NAMES, SLIMS, TORCHVISION
from tutorial_lib.errors import InputError
from tutorial_lib.image_sets import IMAGE_SETS
from tutorial_lib.sweep import RESULTS, provenance

PARTS = ("x_train", "y_train", "x_test", "y_test")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any download fails at once, whether or not the machine has a network."""
    from tutorial_lib._torchvision import torchvision

    def refuse(*args, **kwargs):
        raise URLError("no network in tests")

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", refuse)
    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)


def arrays(shape=(6, 5), n_train=12, n_test=6, classes=3, seed=0):
    """Random uint8 images, the brightest pixel value always there, with labels in turn."""
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (n, *shape), dtype=np.uint8) for n in (n_train, n_test)]
    labels = [np.arange(n) % classes for n in (n_train, n_test)]
    return dict(zip(PARTS, (images[0], labels[0], images[1], labels[1]), strict=True))


def save(path, **content):
    np.savez(path, **content)
    return str(path)


def check(data, expected):
    """`data` holds exactly the images [N, H, W] or [N, H, W, C] and labels of `expected`, scaled to [0, 1]."""
    for part in ("train", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        truth = np.asarray(expected[f"x_{part}"])
        truth = truth[:, None] if truth.ndim == 3 else np.moveaxis(truth, 3, 1)
        truth = truth / 255 if truth.dtype == np.uint8 else truth
        assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
        np.testing.assert_allclose(x.numpy(), truth, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(y.numpy(), expected[f"y_{part}"])


# --- digits


def test_digits_are_scikit_learns_each_once():
    """Images lost, doubled, scaled by 255 instead of 16, or separated from their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    truth = sorted((*row, label) for row, label in zip(images / 16, labels, strict=True))
    data = load_data()
    x = torch.cat([data.x_train, data.x_test]).flatten(1).double().numpy()
    y = torch.cat([data.y_train, data.y_test]).numpy()
    assert data.x_test.shape == (360, 1, 8, 8)
    assert sorted((*row, label) for row, label in zip(x, y, strict=True)) == truth
    assert set(data.y_test.bincount().tolist()) <= {35, 36, 37}  # held out evenly


@pytest.mark.parametrize(
    ("name", "sweep"), [("digits", "activation-noise/fig-3"), ("diabetes", "explicit-reg/training")]
)
def test_the_embedded_sets_are_those_of_the_shipped_tables(name, sweep):
    """Another split, or another release of scikit-learn's data: no number of the book could be measured again."""
    known = provenance(RESULTS / sweep / f"{name}-desk.csv")["dataset"]
    data = load_data(name)
    assert (data.name, data.source, data.sha256) == (known["name"], known["source"], known["sha256"])


# --- the reader's own .npz


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (6, 5, 1)], ids=["gray", "colour", "one channel"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", ">f4"])
def test_npz_of_every_accepted_form(tmp_path, shape, kind):
    """Wrong channel order, scaling floats by 255, or a type or byte order that torch does not take."""
    content = arrays(shape)
    if kind != "uint8":
        content |= {key: (content[key] / 255).astype(kind) for key in ("x_train", "x_test")}
    data = load_data(save(tmp_path / "mine.npz", **content))
    check(data, content)
    assert data.x_train.min() >= 0 and data.x_train.max() <= 1
    assert data.name == "mine" and "mine.npz" in data.source


@pytest.mark.parametrize("kind", ["uint8", "int32", ">i8", "uint64"])
def test_npz_labels_of_every_integer_type(tmp_path, kind):
    """torch has no big-endian type; labels must come out as int64 whatever they were."""
    content = arrays()
    content |= {key: content[key].astype(kind) for key in ("y_train", "y_test")}
    check(load_data(save(tmp_path / "mine.npz", **content)), content)


def test_npz_with_a_test_set_alone(tmp_path):
    """Enough for measuring a trained network: the training part is empty, of the same image shape."""
    content = arrays()
    path = save(tmp_path / "mine.npz", x_test=content["x_test"], y_test=content["y_test"])
    data = load_data(path)
    check(data, content | {"x_train": content["x_test"][:0], "y_train": content["y_test"][:0]})
    assert load_data(path, size=4).x_test.shape == (6, 1, 4, 4)
    with pytest.raises(DataError, match="10 training images asked for, mine has none: add x_train and y_train"):
        load_data(path, train=10)


def replaced(**parts):
    return lambda path: save(path, **(arrays() | parts))


def without(*keys):
    return lambda path: save(path, **{key: value for key, value in arrays().items() if key not in keys})


def write(content):
    return lambda path: path.write_bytes(content)


def truncated(path):
    save(path, **arrays())
    path.write_bytes(path.read_bytes()[:700])


def unknown_compression(path):
    """One byte wrong: the compression method of the first member, in the directory at the end."""
    save(path, **arrays())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] = 99
    path.write_bytes(content)


def plain_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((4, 5, 5), np.uint8))


def declared(shape):
    """A file whose `x_train` says in its header that it has that shape; the data are those of 12 images."""

    def make(path):
        content = arrays()
        save(path, **{key: content[key] for key in PARTS[1:]})
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content["x_train"].tobytes()
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("x_train.npy", member)

    return make


X, Y = arrays()["x_train"], arrays()["y_train"]
BROKEN = {
    "missing file": (lambda path: None, ["no file", "x_train, y_train, x_test, y_test"]),
    "empty file": (write(b""), ["not a readable .npz", "truncated"]),
    "text": (write(b"label,pixel\n1,2\n"), ["not a readable .npz"]),
    "truncated file": (truncated, ["not a readable .npz", "truncated"]),
    "flipped byte": (unknown_compression, ["not a readable .npz"]),
    "array of np.save": (plain_array, ["not a readable .npz"]),
    "missing test": (without("x_test", "y_test"), ["lacks x_test, y_test"]),
    "missing labels": (without("y_train"), ["lacks y_train:"]),
    "missing images": (without("x_train"), ["lacks x_train:"]),
    "missing test labels": (without("y_test"), ["lacks y_test:"]),
    "flat images": (replaced(x_train=X.reshape(12, -1)), ["x_train", "(12, 30)", "[N, H, W]"]),
    "channels first": (replaced(x_test=np.zeros((6, 3, 8, 8), np.uint8)), ["x_test", "(6, 3, 8, 8)", "channels last"]),
    "float labels": (replaced(y_train=Y.astype(float)), ["y_train", "float64", "whole numbers"]),
    "one-hot labels": (replaced(y_train=np.eye(3, dtype=int)[Y]), ["y_train", "(12, 3)", "(12,)"]),
    "labels too few": (replaced(y_test=np.arange(5)), ["y_test", "(5,)", "(6,)"]),
    "negative label": (replaced(y_test=Y[:6] - 1), ["y_test", "label -1", "start at 0"]),
    "floats to 255": (replaced(x_train=X.astype(float)), ["x_train", "[0, 1]", "float64"]),
    "floats above 1": (replaced(x_train=X / 170), ["x_train", "[0, 1]", "from 0"]),
    "negative floats": (replaced(x_test=X[:6] / 255 - 0.5), ["x_test", "[0, 1]"]),
    "NaN": (replaced(x_test=X[:6] * np.nan), ["x_test", "[0, 1]"]),
    "one NaN": (replaced(x_test=np.where(X[:6] == X[0, 0, 0], np.nan, X[:6] / 255)), ["x_test", "NaN", "nan to nan"]),
    "infinite pixels": (replaced(x_test=np.full((6, 6, 5), np.inf)), ["x_test", "[0, 1]", "inf to inf"]),
    "complex images": (replaced(x_train=X * 1j), ["x_train", "complex128"]),
    "text for images": (replaced(x_train=X.astype(str)), ["x_train", "uint8", "<U3"]),
    "images of no height": (replaced(x_train=X[:, :0]), ["x_train", "(12, 0, 5)", "no pixels"]),
    "images of no width": (replaced(x_test=X[:6, :, :0]), ["x_test", "(6, 6, 0)", "no pixels"]),
    "no test images": (replaced(x_test=X[:0], y_test=Y[:0]), ["x_test is empty"]),
    "a scalar": (replaced(x_test=np.uint8(3)), ["x_test", "()", "[N, H, W]"]),
    "petabytes declared": (declared("(1000000000000000, 6, 5)"), ["not a readable .npz"]),
    "more than there is declared": (declared("(13, 6, 5)"), ["not a readable .npz"]),
    "a negative length declared": (declared("(-1, 6, 5)"), ["not a readable .npz"]),
    "code for a shape": (declared("(__import__('os').getpid(),)"), ["not a readable .npz"]),
    "int64 images": (replaced(x_train=X.astype(int)), ["x_train", "uint8", "int64"]),
    "other image shape": (replaced(x_test=np.zeros((6, 7, 5), np.uint8)), ["(6, 5)", "(7, 5)", "one shape"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_npz_is_refused_by_name(tmp_path, case):
    """Accepted, it would train on nonsense; refused by another error, the reader would not know what to mend."""
    make, words = BROKEN[case]
    make(tmp_path / "mine.npz")
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path / "mine.npz"))
    assert all(word in str(caught.value) for word in ["mine.npz", *words])


def test_pickled_objects_are_refused_without_running_them(tmp_path):
    """Unpickling a stranger's file runs a stranger's code."""

    class Bomb:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    np.savez(tmp_path / "mine.npz", **(arrays() | {"x_train": np.array([Bomb()], dtype=object)}))
    with pytest.raises(DataError, match=r"mine\.npz is not a readable"):
        load_data(str(tmp_path / "mine.npz"))
    assert not (tmp_path / "ran").exists()


def test_damaged_npz_is_refused_or_read_but_never_breaks(tmp_path):
    """One byte wrong anywhere (directory, header, data): zipfile and numpy have a dozen errors for it."""
    path = tmp_path / "mine.npz"
    save(path, **arrays())
    whole, draw = path.read_bytes(), random.Random(0)
    for at in draw.sample(range(len(whole)), 250):
        path.write_bytes(whole[:at] + bytes([draw.randrange(256)]) + whole[at + 1 :])
        try:
            assert load_data(str(path)).x_test.shape[0] == 6
        except DataError as error:
            assert "mine.npz" in str(error)


# --- labels and names of the reader's own sets


def test_labels_with_gaps_are_renumbered_in_ascending_order_and_said_so(tmp_path):
    """Labels 0, 1000, 2000 would make a network of 2,001 classes; the test part must keep the training part's."""
    content = arrays()
    own = {key: np.array([2000, 0, 1000])[content[key]].astype(np.int16) for key in ("y_train", "y_test")}
    data = load_data(save(tmp_path / "mine.npz", **content | own))
    check(data, content | {key: np.array([2, 0, 1])[content[key]] for key in own})
    assert data.source == "the file mine.npz, labels 0, 1000, 2000 renumbered to 0 … 2"
    half = load_data(str(tmp_path / "mine.npz"), train=6, test=3)
    assert half.y_train.bincount().tolist() == [2, 2, 2] and half.source == data.source
    # a class that the test part lacks must not shift the others
    part = own["y_test"] != 0
    few = content | own | {"x_test": content["x_test"][part], "y_test": own["y_test"][part]}
    assert sorted(set(load_data(save(tmp_path / "few.npz", **few)).y_test.tolist())) == [1, 2]


def test_many_renumbered_labels_are_told_in_short(tmp_path):
    """A thousand labels in the provenance would bury it."""
    content = arrays(n_train=8, n_test=8, classes=8)
    for key in ("y_train", "y_test"):
        content[key] = 3 * content[key] + 1
    data = load_data(save(tmp_path / "mine.npz", **content))
    assert data.source.endswith(", labels 1, 4, 7, … 22 renumbered to 0 … 7")
    assert data.y_test.tolist() == list(range(8))


def test_labels_without_gaps_are_left_and_nothing_is_said(tmp_path):
    content = arrays()
    data = load_data(save(tmp_path / "mine.npz", **content))
    check(data, content)
    assert data.source == "the file mine.npz"


def test_test_labels_unknown_to_training_are_refused(tmp_path):
    """No output of the network stands for them: they would count as errors, or break the loss."""
    content = arrays()
    content["y_test"] = np.array([0, 1, 7, 5, 2, 7])
    with pytest.raises(DataError, match=r"mine: y_test has 5, 7, which y_train lacks \(it has 0, 1, 2\)"):
        load_data(save(tmp_path / "mine.npz", **content))


def test_a_test_set_alone_keeps_its_labels(tmp_path):
    """They are those of a network that is there already: renumbered, they would be other classes."""
    x = arrays()["x_test"]
    data = load_data(save(tmp_path / "mine.npz", x_test=x, y_test=np.array([3, 8, 3, 8, 3, 8])))
    assert data.y_test.tolist() == [3, 8] * 3 and data.source == "the file mine.npz"


def test_labels_of_a_named_set_stay_what_they_are(tmp_path):
    """A part of MNIST's classes in `mnist.npz` are still those digits."""
    content = arrays()
    for key in ("y_train", "y_test"):
        content[key] = content[key] + 5
    save(tmp_path / "mnist.npz", **content)
    data = load_data("mnist", tmp_path)
    check(data, content)
    assert (data.name, data.source) == ("mnist", "the file mnist.npz")


@pytest.mark.parametrize("stem", ["digits", "mnist", "cifar-20", "diabetes", "MNIST", "none"])
def test_a_file_does_not_pass_for_a_named_set(tmp_path, stem):
    """Its tables would lie among those of the built-in set, or be read as them."""
    data = load_data(save(tmp_path / f"{stem}.npz", **arrays()))
    assert data.name == f"{stem}-{data.sha256[:8]}" and data.name.lower() not in NAMES
    for i in range(5):
        draw(tmp_path / stem / "a" / f"{i}.png", i)
    data = load_data(str(tmp_path / stem))
    assert data.name == f"{stem}-{data.sha256[:8]}"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my set.npz", "my-set"), ("Größe (2).npz", "Gr--e--2-"), ("a.b_c-1.npz", "a.b_c-1"), (".hidden.npz", "hidden"),
        ("mine-desk.npz", "mine-desk"), ("x" * 200 + ".npz", "x" * 100), ("digits.v2.npz", "digits.v2"),
    ],
)  # fmt: skip
def test_names_are_safe_file_names(tmp_path, file, name):
    """Tables are called after the data set: spaces, colons or slashes have no place there."""
    assert load_data(save(tmp_path / file, **arrays())).name == name


def test_a_name_with_nothing_safe_in_it_still_is_one(tmp_path):
    data = load_data(save(tmp_path / "数据.npz", **arrays()))
    assert data.name == f"own-{data.sha256[:8]}"


def test_a_folder_is_called_by_its_whole_name_however_it_is_reached(tmp_path, monkeypatch):
    """ "." has no name, and a folder has no suffix: "photos 1.5" is not "photos 1"."""
    for i in range(5):
        draw(tmp_path / "photos 1.5" / "a" / f"{i}.png", i)
    monkeypatch.chdir(tmp_path / "photos 1.5")
    for path in (".", "../photos 1.5", "a/.."):
        data = load_data(path)
        assert (data.name, data.source) == ("photos-1.5", "the image folder photos 1.5")


def test_digits_are_scikit_learns_whatever_lies_in_the_folder(tmp_path, monkeypatch):
    """The embedded set is the one that everybody has: a file of that name is another."""
    save(tmp_path / "digits.npz", **arrays())
    for i in range(5):
        draw(tmp_path / "digits" / "a" / f"{i}.png", i)
    monkeypatch.chdir(tmp_path)
    data = load_data("digits", tmp_path)
    assert (data.name, data.sha256) == ("digits", load_data().sha256)
    assert "scikit-learn" in data.source and len(data.x_test) == 360


# --- a folder of images


def draw(path, value, size=(6, 5)):
    """A picture of one colour: red = `value`, green 0, blue 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 255)).save(path)


def reds(x):
    return (x[:, 0, 0, 0] * 255).round().int().tolist()


def test_image_folder_with_a_split(tmp_path):
    """Classes are numbered in alphabetical order, images come in order of name; other files are passed over."""
    for i, (part, label, file) in enumerate(
        [("train", "cat", "1.png"), ("train", "cat", "2.png"), ("train", "ant", "1.png"),
         ("test", "cat", "1.png"), ("test", "ant", "1.PNG")]
    ):  # fmt: skip
        draw(tmp_path / part / label / file, 10 * i)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    data = load_data(str(tmp_path))
    assert data.x_train.shape == (3, 3, 5, 6)  # height 5, width 6
    assert (reds(data.x_train), data.y_train.tolist()) == ([20, 0, 10], [0, 1, 1])
    assert (reds(data.x_test), data.y_test.tolist()) == ([40, 30], [0, 1])
    assert (data.x_train[:, 1].max(), data.x_train[:, 2].min()) == (0, 1)
    assert tmp_path.name in data.source


def test_image_folder_without_a_split_holds_out_every_fifth(tmp_path):
    """An image in both parts would flatter the accuracy; one in neither is lost."""
    for i in range(10):
        draw(tmp_path / ("a" if i < 5 else "b") / f"{i}.png", i)
    data = load_data(str(tmp_path))
    assert reds(data.x_test) == [4, 9]
    assert reds(data.x_train) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert (data.y_test.tolist(), data.y_train.tolist()) == ([0, 1], [0] * 4 + [1] * 4)


def test_a_class_may_be_called_train(tmp_path):
    """Only `train` beside `test` is a split: pictures of trains and of dogs are two classes."""
    for i in range(10):
        draw(tmp_path / ("dog" if i < 5 else "train") / f"{i}.png", i)
    assert load_data(str(tmp_path)).y_train.tolist() == [0] * 4 + [1] * 4


def two_sizes(path):
    draw(path / "a" / "1.png", 1, (6, 5))
    draw(path / "b" / "1.png", 2, (9, 4))


def test_images_of_several_sizes_with_size(tmp_path):
    """Photographs differ in size: with size= they become one."""
    for part in ("train", "test"):
        two_sizes(tmp_path / part)
    data = load_data(str(tmp_path), size=8)
    assert data.x_train.shape == data.x_test.shape == (2, 3, 8, 8)
    assert reds(data.x_train) == [1, 2]


def five_sizes(path):
    for i in range(5):
        draw(path / "a" / f"{i}.png", 1, (6, 5 + i))


def differing_parts(path):
    draw(path / "train" / "a" / "1.png", 1, (6, 5))
    draw(path / "test" / "a" / "1.png", 1, (9, 4))


def broken_image(path):
    draw(path / "a" / "1.png", 1)
    (path / "a" / "2.png").write_bytes((path / "a" / "1.png").read_bytes()[:40])


def broken_header(path):
    (path / "a").mkdir()
    (path / "a" / "2.ppm").write_bytes(b"P6\n2x 2\n255\n")


def empty_class(path):
    draw(path / "a" / "1.png", 1)
    (path / "b").mkdir()


def class_missing_in_test(path):
    for name in ("train/a", "train/b", "test/a"):
        draw(path / name / "1.png", 1)


def class_missing_in_training(path):
    """Passed over, its images would be lost to the test without a word."""
    for name in ("train/a", "test/a", "test/b", "test/c"):
        draw(path / name / "1.png", 1)


def class_without_test_images(path):
    class_missing_in_test(path)
    (path / "test" / "b").mkdir()


def one_image(path):
    draw(path / "a" / "1.png", 1)


def class_held_out_whole(path):
    """The fifth image of all is the only one of its class: nothing to learn it from."""
    for i in range(5):
        draw(path / ("a" if i < 4 else "b") / f"{i}.png", i)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (two_sizes, ["several sizes", "(4, 9, 3)", "(5, 6, 3)", "size="]),
        (five_sizes, ["several sizes", "[(5, 6, 3), (6, 6, 3), (7, 6, 3)] …"]),
        (differing_parts, ["several sizes", "size="]),
        (broken_image, ["2.png", "not a readable image"]),
        (broken_header, ["2.ppm", "not a readable image"]),
        (empty_class, ["no images in", "/b", ".png"]),
        (class_missing_in_test, ["same classes", "lacks b:"]),
        (class_missing_in_training, ["same classes", "lacks b, c:"]),
        (class_without_test_images, ["no images in test/b"]),
        (one_image, ["too few images", "every fifth", "train and test"]),
        (class_held_out_whole, ["too few images", "every fifth", "train and test"]),
        (lambda path: None, ["no subfolders"]),
    ],
)
def test_broken_image_folder_is_refused_by_name(tmp_path, make, words):
    """A class without images, or images that do not fit together, must stop here and not in the network."""
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        load_data(str(tmp_path))
    assert all(word in str(caught.value) for word in words)


# --- torchvision's sets, from small files in their real formats


def write_idx(path, array):
    """The IDX format of MNIST: 0, 0, type 8 (unsigned byte), number of dimensions, sizes in big-endian, bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(folder, content, name="MNIST"):
    for part, prefix in (("train", "train"), ("test", "t10k")):
        write_idx(folder / name / "raw" / f"{prefix}-images-idx3-ubyte", content[f"x_{part}"])
        write_idx(folder / name / "raw" / f"{prefix}-labels-idx1-ubyte", content[f"y_{part}"])


def write_usps(folder, content):
    """libsvm text: labels from 1, values from -1 to 1."""
    for part, file in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        lines = [
            f"{y + 1} " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(x.ravel() / 127.5 - 1, start=1))
            for x, y in zip(content[f"x_{part}"], content[f"y_{part}"], strict=True)
        ]
        (folder / file).write_bytes(bz2.compress("\n".join(lines).encode()))


def write_pickle(path, content):
    """Pickle `content` and return the file's name and md5 sum, as torchvision's tables hold them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return [path.name, hashlib.md5(path.read_bytes()).hexdigest()]


def write_cifar(folder, content, monkeypatch, name):
    """The pickled batches of CIFAR (rows of 3072: red, green, blue), and their checksums in torchvision's tables."""
    from tutorial_lib._torchvision import torchvision

    ten = name == "cifar-10"
    kind = torchvision.datasets.CIFAR10 if ten else torchvision.datasets.CIFAR100
    folder = folder / kind.base_folder
    labels = "labels" if ten else "fine_labels"

    def batch(file, part, which):
        rows = np.moveaxis(content[f"x_{part}"][which], 3, 1).reshape(-1, 3072)
        return write_pickle(folder / file, {"data": rows, labels: content[f"y_{part}"][which].tolist()})

    half = slice(len(content["y_train"]) // 2), slice(len(content["y_train"]) // 2, None)
    train = [batch(f"data_batch_{i + 1}", "train", half[i]) for i in (0, 1)] if ten else [batch("train", "train", ...)]
    file, md5 = write_pickle(folder / kind.meta["filename"], {kind.meta["key"]: [str(i) for i in range(100)]})
    monkeypatch.setattr(kind, "train_list", train)
    monkeypatch.setattr(kind, "test_list", [batch("test_batch" if ten else "test", "test", ...)])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "filename": file, "md5": md5})


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_mnist_from_idx_files(tmp_path, name, folder):
    """Training and test exchanged, images transposed, or Fashion-MNIST read from MNIST's folder."""
    content = arrays((28, 28), classes=10)
    write_mnist(tmp_path, content, folder)
    data = load_data(name, tmp_path)
    check(data, content)
    assert (data.name, data.source) == (name, f"torchvision.datasets.{folder}")


def test_usps_from_libsvm_text(tmp_path):
    """Labels from 1 instead of 0, or values from -1 to 1 instead of 0 to 1."""
    content = arrays((16, 16), classes=10)
    write_usps(tmp_path, content)
    data = load_data("usps", tmp_path)
    np.testing.assert_array_equal(data.y_train.numpy(), content["y_train"])
    np.testing.assert_array_equal(data.y_test.numpy(), content["y_test"])
    # torchvision cuts to whole grey levels: at most one lost
    np.testing.assert_allclose(data.x_train[:, 0].numpy(), content["x_train"] / 255, atol=1.01 / 255)
    np.testing.assert_allclose(data.x_test[:, 0].numpy(), content["x_test"] / 255, atol=1.01 / 255)
    assert data.x_train.shape == (12, 1, 16, 16)


@pytest.mark.parametrize(("name", "classes"), [("cifar-10", 10), ("cifar-100", 100)])
def test_cifar_from_pickled_batches(tmp_path, monkeypatch, name, classes):
    """Colours or batches in the wrong order, or coarse labels instead of fine ones."""
    content = arrays((32, 32, 3), n_train=2 * classes, n_test=classes, classes=classes)
    write_cifar(tmp_path, content, monkeypatch, name)
    check(load_data(name, tmp_path), content)


def test_cifar_20_is_the_first_twenty_classes_of_cifar_100(tmp_path, monkeypatch):
    """Other classes, or images kept without their labels, would be another data set than the paper's."""
    content = arrays((32, 32, 3), n_train=200, n_test=100, classes=100)
    write_cifar(tmp_path, content, monkeypatch, "cifar-100")
    data = load_data("cifar-20", tmp_path)
    kept = {part: content[f"y_{part}"] < 20 for part in ("train", "test")}
    check(data, {key: value[kept[key[2:]]] for key, value in content.items()})
    assert sorted(set(data.y_train.tolist())) == list(range(20)) and len(data.y_train) == 40
    assert data.name == "cifar-20" and "first 20 classes" in data.source
    assert data.sha256 != load_data("cifar-100", tmp_path).sha256


def test_cifar_with_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    """A damaged download must not be read: the sum differs, the new download fails, the error says what to do."""
    content = arrays((32, 32, 3), n_train=20, n_test=10, classes=10)
    write_cifar(tmp_path, content, monkeypatch, "cifar-10")
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    batch.write_bytes(batch.read_bytes()[:-20] + bytes(20))
    with pytest.raises(DataError, match=r"cifar-10.*no network in tests.*cifar-10\.npz"):
        load_data("cifar-10", tmp_path)


def write_svhn(folder, content, monkeypatch):
    """MATLAB files with X [32, 32, 3, N] and y [N, 1], the digit 0 labelled 10, and their checksums in torchvision."""
    from tutorial_lib._torchvision import torchvision

    files = {}
    for part in ("train", "test"):
        file = folder / f"{part}_32x32.mat"
        labels = content[f"y_{part}"].astype(np.uint8)[:, None]
        savemat(file, {"X": np.moveaxis(content[f"x_{part}"], 0, 3), "y": np.where(labels == 0, 10, labels)})
        files[part] = [f"http://nowhere.test/{file.name}", file.name, hashlib.md5(file.read_bytes()).hexdigest()]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", files)


def test_svhn_from_matlab_files(tmp_path, monkeypatch):
    """Height and width or the colours exchanged, the training set twice, or the digit 0 as an eleventh class."""
    content = arrays((32, 32, 3), n_train=20, n_test=10, classes=10)
    write_svhn(tmp_path, content, monkeypatch)
    data = load_data("svhn", tmp_path)
    check(data, content)
    assert set(data.y_train.tolist()) == set(range(10))
    assert (data.name, data.source) == ("svhn", "torchvision.datasets.SVHN")
    half = load_data("svhn", tmp_path, size=16, train=10, test=5)
    assert half.x_train.shape == (10, 3, 16, 16) and half.y_train.bincount().tolist() == [1] * 10


def test_svhn_with_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    """As for CIFAR: a damaged file is not read, and the error says what to do."""
    write_svhn(tmp_path, arrays((32, 32, 3), n_train=20, n_test=10, classes=10), monkeypatch)
    file = tmp_path / "test_32x32.mat"
    file.write_bytes(file.read_bytes()[:-9] + bytes(9))
    with pytest.raises(DataError, match=r"svhn.*no network in tests.*svhn\.npz"):
        load_data("svhn", tmp_path)


# --- Tiny ImageNet, from a small folder in the format of its archive

IDS = ["n03", "n01", "n10", "n02"]
"""As in wnids.txt, which is in no order."""
TINY_VAL = ["n10", "n01", "n03", "n02", "n01", "n10", "n02", "n03", "n01", "n01", "n02"]
"""The ids of val_0.JPEG, val_1.JPEG, …: val_10.JPEG comes before val_2.JPEG by name, not in the annotations."""


def picture(i, size=(64, 64)):
    """A ramp that is neither symmetric nor grey, its red and its place in an order given by `i`; every third grey."""
    row, column = np.mgrid[: size[1], : size[0]]
    image = np.stack([np.full_like(row, 10 * i), 2 * row + 60, 255 - 3 * column], 2).astype(np.uint8)
    return Image.fromarray(image).convert("L" if i % 3 == 2 else "RGB")


def write_tiny(folder, train=3, size=(64, 64)):
    """tiny-imagenet-200/ with four classes and all that the archive has besides; what was drawn, and Pillow's reading.

    Both as `check` takes them: training images by rank of the id, then by name; test images as they are annotated.
    """
    path, drawn = folder / "tiny-imagenet-200", {key: [] for key in PARTS}
    read = {key: [] for key in PARTS}

    def add(part, file, i, wnid):
        image = picture(i, size)
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file, quality=95)
        for found, content in ((drawn, image), (read, Image.open(file))):
            found[f"x_{part}"].append(np.asarray(content.convert("RGB")))
            found[f"y_{part}"].append({"n01": 0, "n02": 1, "n03": 2, "n10": 3}[wnid])

    for rank, wnid in enumerate(["n01", "n02", "n03", "n10"]):
        for i in range(train):
            add("train", path / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", train * rank + i, wnid)
        (path / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
    for i, wnid in enumerate(TINY_VAL):
        add("test", path / "val" / "images" / f"val_{i}.JPEG", i + 12, wnid)
    lines = [f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62\n" for i, wnid in enumerate(TINY_VAL)]
    (path / "val" / "val_annotations.txt").write_text("".join(lines))
    (path / "wnids.txt").write_text("\n".join(IDS))
    (path / "words.txt").write_text("n01\tgoldfish\nn99\tnone of these\n")
    (path / "test" / "images").mkdir(parents=True)
    picture(25, size).save(path / "test" / "images" / "test_0.JPEG")
    return ({key: np.array(value) for key, value in found.items()} for found in (drawn, read))


def test_tiny_imagenet_from_the_folder_of_its_archive(tmp_path):
    """Labels in the order of wnids.txt, the unlabelled part read, grey images refused, or height and width exchanged.

    Pillow's own decoding is the truth of every pixel; what was drawn is that of contents, up to what JPEG loses.
    """
    drawn, read = write_tiny(tmp_path)
    data = load_data("tiny-imagenet", tmp_path)
    check(data, read)
    assert data.x_train.shape == (12, 3, 64, 64) and data.x_test.shape == (11, 3, 64, 64)
    for part in ("train", "test"):
        x = np.moveaxis(getattr(data, f"x_{part}").numpy(), 1, 3) * 255
        np.testing.assert_allclose(x, drawn[f"x_{part}"], atol=12)
        grey = [np.ptp(image, axis=2).max() == 0 for image in x]
        assert grey == [i % 3 == 2 for i in range(len(x))]
    assert data.y_train.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert data.y_test.tolist() == [3, 0, 2, 1, 0, 3, 1, 2, 0, 0, 1]
    assert data.name == "tiny-imagenet"
    assert data.source == "the folder tiny-imagenet-200, its val part as test (its own has no labels)"


def test_tiny_imagenet_is_one_set_as_a_folder_and_as_a_file(tmp_path):
    """Another checksum with size=, or pixels resized in another way: the same data would be taken for two sets.

    The file `tiny-imagenet.npz` comes first: it spares decoding 110,000 images.
    """
    write_tiny(tmp_path)
    folder = {size: load_data("tiny-imagenet", tmp_path, size=size) for size in (None, 16)}
    whole = {part: getattr(folder[None], part).numpy() for part in PARTS}
    for part in ("x_train", "x_test"):
        whole[part] = np.moveaxis((whole[part] * 255).round().astype(np.uint8), 1, 3)
    save(tmp_path / "tiny-imagenet.npz", **whole)
    for size, known in folder.items():
        data = load_data("tiny-imagenet", tmp_path, size=size)
        assert data.source == "the file tiny-imagenet.npz"
        assert data.sha256 == known.sha256 == folder[None].sha256
        for part in PARTS:
            assert torch.equal(getattr(data, part), getattr(known, part))


def test_tiny_imagenet_subsets_are_balanced(tmp_path):
    """A part of it is what most can afford: as many images of each class, and the whole set's checksum."""
    write_tiny(tmp_path)
    data = load_data("tiny-imagenet", tmp_path, train=8, test=4)
    assert data.y_train.bincount().tolist() == [2] * 4 and data.y_test.bincount().tolist() == [1] * 4
    assert data.sha256 == load_data("tiny-imagenet", tmp_path).sha256


def test_tiny_imagenet_of_several_sizes_with_size(tmp_path):
    """Copies that were cropped or scaled: with size= they become one, in both parts, and none is lost."""
    write_tiny(tmp_path)
    picture(0, (40, 30)).save(tmp_path / "tiny-imagenet-200/train/n01/images/n01_0.JPEG")
    data = load_data("tiny-imagenet", tmp_path, size=16)
    assert data.x_train.shape == (12, 3, 16, 16) and data.x_test.shape == (11, 3, 16, 16)
    assert (data.y_train.tolist(), len(data.y_test)) == ([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3, 11)
    assert [round(255 * red) // 5 for red in data.x_train[:2, 0].mean((1, 2)).tolist()] == [0, 2]  # red 0 and 10


ANNOTATIONS, VAL = "val/val_annotations.txt", "val/images"


def edited(file, old, new):
    """The text file with the first `old` replaced."""

    def make(path):
        text = (path / file).read_text()
        assert old in text
        (path / file).write_text(text.replace(old, new, 1))

    return make


def removed(*files):
    return lambda path: [(path / file).unlink() for file in files]


def other_size(*files):
    """The first of height 63, the next of 62, …"""
    return lambda path: [picture(0, (64, 63 - i)).save(path / file) for i, file in enumerate(files)]


def cut(file):
    return lambda path: (path / file).write_bytes((path / file).read_bytes()[:200])


BROKEN_TINY = {
    "no wnids.txt": (removed("wnids.txt"), ["no readable wnids.txt", "tiny-imagenet-200", "unpack"]),
    "wnids.txt is not text": (
        lambda path: (path / "wnids.txt").write_bytes(b"\xff\xfe\x00"), ["no readable wnids.txt", "unpack"],
    ),
    "wnids.txt is empty": (
        lambda path: (path / "wnids.txt").write_text("\n"), ["wnids.txt names no class", "an id a line", "unpack"],
    ),
    "a class without images": (
        removed(*(f"train/n02/images/n02_{i}.JPEG" for i in range(3))),
        ["no images in tiny-imagenet-200/train/n02/images", "put some there", ".jpeg"],
    ),
    "a class without a folder": (
        edited("wnids.txt", "n10", "n10\nn11"), ["no images in tiny-imagenet-200/train/n11/images"],
    ),
    "no annotations": (removed(ANNOTATIONS), ["no readable val_annotations.txt", "val'", "unpack"]),
    "no test images": (
        removed(*(f"{VAL}/val_{i}.JPEG" for i in range(11))), ["no images in tiny-imagenet-200/val/images"],
    ),
    "an unknown id": (
        edited(ANNOTATIONS, "n02", "n07"), ["val_annotations.txt has the id 'n07', which wnids.txt lacks", "unpack"],
    ),
    "a class too few in wnids.txt": (edited("wnids.txt", "n01\n", ""), ["the id 'n01', which wnids.txt lacks"]),
    "no tabs": (edited(ANNOTATIONS, "\tn10\t", " n10 "), ["the id '32', which", "a file name, a tab and an id"]),
    "a line of one word": (edited(ANNOTATIONS, "val_0.JPEG\tn10\t0\t32\t44\t62", "val_0.JPEG"), ["the id '', which"]),
    "an annotated image that is not there": (
        removed(f"{VAL}/val_3.JPEG"), ["name each image of val/images once", "not so for val_3.JPEG:", "unpack"],
    ),
    "an image without an annotation": (
        edited(ANNOTATIONS, "val_4.JPEG\tn01\t0\t32\t44\t62\n", ""), ["not so for val_4.JPEG:"],
    ),
    "an image annotated twice": (
        edited(ANNOTATIONS, "val_4.JPEG\tn01", "val_5.JPEG\tn01\nval_4.JPEG\tn01"), ["not so for val_5.JPEG:"],
    ),
    "annotations cut short": (
        lambda path: (path / ANNOTATIONS).write_text("val_0.JPEG\tn10\t0\t32\t44\t62\n"),
        ["not so for val_1.JPEG, val_10.JPEG, val_2.JPEG, … val_9.JPEG:"],
    ),
    "an unreadable training image": (cut("train/n10/images/n10_1.JPEG"), ["n10_1.JPEG is not a readable image"]),
    "an unreadable test image": (cut(f"{VAL}/val_7.JPEG"), ["val_7.JPEG is not a readable image", "replace"]),
    "a training image of another size": (
        other_size("train/n02/images/n02_2.JPEG"), ["several sizes", "[(63, 64, 3), (64, 64, 3)]", "size="],
    ),
    "images of four sizes": (
        other_size(*(f"{VAL}/val_{i}.JPEG" for i in range(3))), ["[(61, 64, 3), (62, 64, 3), (63, 64, 3)] …"],
    ),
    "a test image of another size": (other_size(f"{VAL}/val_10.JPEG"), ["several sizes", "(63, 64, 3)", "size="]),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_TINY)
def test_a_broken_tiny_imagenet_is_refused_by_name(tmp_path, case):
    """An archive half unpacked, or edited, would be measured with images missing or under other labels."""
    make, words = BROKEN_TINY[case]
    write_tiny(tmp_path)
    make(tmp_path / "tiny-imagenet-200")
    with pytest.raises(DataError) as caught:
        load_data("tiny-imagenet", tmp_path)
    assert [word for word in words if word not in str(caught.value)] == []


def test_tiny_imagenet_that_is_not_there(tmp_path):
    """There is no download: the reader must learn which archive goes where, and what it holds."""
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load_data("tiny-imagenet", tmp_path)
    words = [
        repr(str(tmp_path / "tiny-imagenet-200")), "no download", "tiny-imagenet-200.zip", "CS231n", "wnids.txt",
        "train/<id>/images", "val/images", "val/val_annotations.txt", "tiny-imagenet.npz", *PARTS,
    ]  # fmt: skip
    assert [word for word in words if word not in str(caught.value)] == []
    assert [file.name for file in tmp_path.iterdir()] == ["tiny-imagenet-200.zip"]


# --- tables of numbers, for regression


def rows(*arguments, **options):
    """The rows [n, features and target] of the training and of the test part before they are standardised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_standardised", lambda train, test: (train, test))
        data = load_data(*arguments, **options)
    return [torch.cat(pair, 1).numpy() for pair in ((data.x_train, data.y_train), (data.x_test, data.y_test))]


def check_standardised(data, train, test):
    """(z - mean) / deviation with those of the training part, by numpy; a column that never changes is 0."""
    mean, deviation = train.astype(float).mean(0), train.astype(float).std(0)
    deviation[deviation < 1e-6] = np.inf
    for part, raw in (("train", train), ("test", test)):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert (x.dtype, y.dtype, y.shape) == (torch.float32, torch.float32, (len(raw), 1))
        np.testing.assert_allclose(torch.cat([x, y], 1).numpy(), (raw - mean) / deviation, rtol=1e-4, atol=1e-5)


def each_once(parts, features, target):
    """All rows of the source, none twice: those of the test part are no others than those held out."""
    found, truth = np.concatenate(parts), np.column_stack([features, target]).astype(np.float32)
    assert sorted(map(tuple, found)) == sorted(map(tuple, truth))
    assert len({tuple(row) for row in truth}) == len(truth)


def test_diabetes_is_scikit_learns_standardised_each_row_once(tmp_path):
    """Rows lost or in both parts, targets of other rows, or test rows scaled by themselves."""
    from sklearn.datasets import load_diabetes

    data, parts = load_data("diabetes", tmp_path), rows("diabetes")
    each_once(parts, *load_diabetes(return_X_y=True))
    assert [part.shape for part in parts] == [(332, 11), (110, 11)]
    check_standardised(data, *parts)
    assert data.x_test.mean(0).abs().max() > 0.01  # the training part's mean was taken
    assert (data.name, data.source) == ("diabetes", "scikit-learn's load_diabetes, 110 rows held out")
    assert not list(tmp_path.iterdir())


def test_diabetes_subsets_are_seeded_rows_of_the_whole():
    """The first rows, features without their targets, test rows in training, or the whole set's mean."""
    whole, options = rows("diabetes"), {"train": 100, "test": 50, "seed": 1}
    parts = rows("diabetes", **options)
    for part, of, count in zip(parts, whole, (100, 50), strict=True):
        members = {tuple(row) for row in part}
        assert len(members) == len(part) == count and members < {tuple(row) for row in of}
        assert members != {tuple(row) for row in of[:count]}
    data = load_data("diabetes", **options)
    check_standardised(data, *parts)
    assert data.sha256 == load_data("diabetes").sha256
    assert torch.equal(load_data("diabetes", **options).x_train, data.x_train)
    assert not torch.equal(load_data("diabetes", train=100, test=50, seed=2).x_train, data.x_train)
    with pytest.raises(DataError, match=r"333 training rows asked for, diabetes has 332: .* 1 to 332 \(--train N"):
        load_data("diabetes", train=333)


@pytest.mark.parametrize("name", ["diabetes", "boston"])
def test_a_table_has_no_size(tmp_path, name):
    """Ignored, size= would be reported with results on which it had no effect."""
    with pytest.raises(DataError, match=rf"size = 8: {name} has no images"):
        load_data(name, tmp_path, size=8)
    assert not list(tmp_path.iterdir())


BOSTON_FILE = "boston_housing.npz"


def boston(monkeypatch, served=None):
    """A made-up file in the format of Keras's, its checksum in BOSTON; with `served` the network hands out that."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(506, 13)) * np.arange(1, 14) + 5
    x[:, 3] = 7.0  # a column that is constant
    table = {"x": x, "y": x @ rng.normal(size=13) + rng.normal(size=506)}
    file = io.BytesIO()
    np.savez(file, **table)
    content = file.getvalue()
    monkeypatch.setattr(module, "BOSTON", (f"http://nowhere.test/{BOSTON_FILE}", hashlib.sha256(content).hexdigest()))
    if served is not None:

        class Answer(io.BytesIO):
            def info(self):
                return type("Headers", (), {"get_all": lambda self, name: None})()

        monkeypatch.setattr(torch.hub, "urlopen", lambda request: Answer(content if served is True else served))
    return content, table


def test_boston_from_a_file_that_is_there(tmp_path, monkeypatch):
    """Read without a network; a column that never changes must become 0, not NaN."""
    content, table = boston(monkeypatch)
    (tmp_path / BOSTON_FILE).write_bytes(content)
    data, parts = load_data("boston", tmp_path), rows("boston", tmp_path)
    each_once(parts, table["x"], table["y"])
    assert [part.shape for part in parts] == [(404, 14), (102, 14)]
    check_standardised(data, *parts)
    assert not data.x_train[:, 3].any() and not data.x_test[:, 3].any()
    assert (data.name, data.source) == ("boston", f"Keras's {BOSTON_FILE}, 102 rows held out")


def test_boston_is_downloaded_once(tmp_path, monkeypatch, capsys):
    """Into a folder that is made for it, without a word; the next run must not need the network."""
    content, _ = boston(monkeypatch, served=True)
    folder = tmp_path / "new" / "data"
    first = load_data("boston", folder)
    assert capsys.readouterr() == ("", "")
    assert [file.name for file in folder.iterdir()] == [BOSTON_FILE]
    assert (folder / BOSTON_FILE).read_bytes() == content
    boston(monkeypatch, served=b"")
    assert torch.equal(load_data("boston", folder).x_train, first.x_train)


def test_boston_with_a_wrong_checksum_is_refused(tmp_path, monkeypatch):
    """A file of that name by another hand: named, with what to do, and left for the reader to look at."""
    content, _ = boston(monkeypatch)
    (tmp_path / BOSTON_FILE).write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=rf"boston: {BOSTON_FILE} is not the expected file.*delete it"):
        load_data("boston", tmp_path)
    assert (tmp_path / BOSTON_FILE).exists()


@pytest.mark.parametrize("served", [None, b"<html>moved</html>"], ids=["no network", "another file"])
def test_boston_that_cannot_be_downloaded(tmp_path, monkeypatch, served):
    """The reader learns where to put the file and what else to take; nothing half written is left for the next run."""
    boston(monkeypatch, served)
    with pytest.raises(DataError) as caught:
        load_data("boston", tmp_path)
    words = ["boston", f"http://nowhere.test/{BOSTON_FILE}", str(tmp_path), "diabetes"]
    assert all(word in str(caught.value) for word in [*words, "no network" if served is None else "hash"])
    assert not list(tmp_path.iterdir())


def test_bostons_address_and_checksum_are_those_of_keras():
    """A slip of the finger in 64 digits would refuse the right file; keras.datasets.boston_housing names both."""
    url, digest = module.BOSTON
    assert url == f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{BOSTON_FILE}"
    assert digest == "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def test_every_name_is_of_one_kind():
    """A set that is named twice, or not listed, would be loaded by another branch than its own."""
    kinds = {"digits", *TORCHVISION, *SLIMS, *IMAGE_SETS, "tiny-imagenet", "diabetes", "boston"}
    assert sorted(NAMES) == sorted(kinds)
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", [*TORCHVISION, *SLIMS])
def test_named_set_that_is_neither_there_nor_to_be_had(tmp_path, name):
    """Without a network the reader must learn where to put the file, not see a traceback of urllib."""
    base = "cifar-100" if name == "cifar-20" else name
    with pytest.raises(DataError, match=rf"(?s){base}: torchvision could neither read.*no network.*{base}\.npz"):
        load_data(name, tmp_path)


@pytest.mark.parametrize("file", ["MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/t10k-labels-idx1-ubyte"])
def test_a_truncated_idx_file_is_refused(tmp_path, file):
    """MNIST's unpacked files carry no checksum: a short one must still not pass."""
    write_mnist(tmp_path, arrays((28, 28)))
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="mnist: torchvision could neither"):
        load_data("mnist", tmp_path)


def test_a_truncated_usps_file_is_refused(tmp_path):
    """As above, for a compressed file."""
    write_usps(tmp_path, arrays((16, 16)))
    path = tmp_path / "usps.bz2"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="usps: torchvision could neither"):
        load_data("usps", tmp_path)


def test_named_npz_is_taken_before_torchvisions_files(tmp_path):
    """The reader's file would be ignored, or downloading be tried where none is needed."""
    write_mnist(tmp_path, arrays((28, 28), seed=1))
    content = arrays((28, 28), seed=2)
    save(tmp_path / "mnist.npz", **content)
    data = load_data("mnist", tmp_path)
    check(data, content)
    assert data.source == "the file mnist.npz"


def test_cifar_20_from_an_npz_of_either_name(tmp_path):
    """`cifar-100.npz` is cut to 20 classes; a `cifar-20.npz` comes first and is taken whole."""
    hundred = arrays((8, 8, 3), n_train=100, n_test=100, classes=100, seed=1)
    save(tmp_path / "cifar-100.npz", **hundred)
    check(load_data("cifar-20", tmp_path), {key: value[:20] for key, value in hundred.items()})
    twenty = arrays((8, 8, 3), n_train=40, n_test=20, classes=20, seed=2)
    save(tmp_path / "cifar-20.npz", **twenty)
    check(load_data("cifar-20", tmp_path), twenty)


def test_an_unknown_name_is_told_the_known_ones(tmp_path):
    """A typing mistake must not read as a broken download."""
    with pytest.raises(DataError) as caught:
        load_data("minst", tmp_path)
    assert all(name in str(caught.value) for name in ["'minst'", *NAMES, ".npz"])


# --- size, subsets, checksum


def test_resizing_averages_pixels_and_keeps_the_range(tmp_path):
    """Shrinking without antialiasing drops pixels: of eight columns to two, it would see only the four black ones.

    By hand: the triangle of half-width 4 around 1.5 weighs columns 0 to 5 by 5, 7, 7, 5, 3, 1 eighths; 0, 3, 4 are
    white, 13/28 of the weight. A constant picture must stay as it is.
    """
    content = arrays((8, 8))
    content["x_train"][0] = 200
    content["x_train"][1] = [255, 0, 0, 255, 255, 0, 0, 255]
    path = save(tmp_path / "mine.npz", **content)
    loaded = {size: load_data(path, size=size) for size in (2, 16)}
    for size, data in loaded.items():
        assert data.x_train.shape == (12, 1, size, size) and data.x_test.shape == (6, 1, size, size)
        assert data.x_train.dtype == torch.float32
        assert data.x_train.min() >= 0 and data.x_train.max() <= 1
        torch.testing.assert_close(data.x_train[0], torch.full((1, size, size), 200 / 255))
    torch.testing.assert_close(loaded[2].x_train[1], torch.full((1, 2, 2), 13 / 28))
    check(load_data(path, size=8), content)  # of that size already: untouched


def test_resizing_turns_a_rectangle_into_a_square(tmp_path):
    """Height and width exchanged, or one of them kept."""
    path = save(tmp_path / "mine.npz", **arrays((6, 5, 3)))
    assert load_data(path, size=6).x_train.shape == (12, 3, 6, 6)


def test_subsets_are_balanced_seeded_and_belong_together(tmp_path):
    """A lopsided subset biases the accuracy; an unseeded one cannot be reproduced; images must keep their labels."""
    content = arrays((4, 4), n_train=90, n_test=60, classes=3)
    content["y_train"] = np.repeat([0, 1, 2], [50, 30, 10])
    path = save(tmp_path / "mine.npz", **content)
    label_of = {x.tobytes(): y for x, y in zip(content["x_train"], content["y_train"], strict=True)}

    def subset(**options):
        data = load_data(path, **options)
        images = [(x * 255).round().byte().numpy().tobytes() for x in data.x_train[:, 0]]
        assert [label_of[image] for image in images] == data.y_train.tolist()
        assert len(set(images)) == len(images)
        return set(images), data

    chosen, data = subset(train=24, test=7, seed=0)
    assert data.y_train.bincount().tolist() == [8, 8, 8]
    assert sorted(data.y_test.bincount().tolist()) == [2, 2, 3]
    assert subset(train=24, seed=0)[0] == chosen
    assert subset(train=24, seed=1)[0] != chosen
    assert subset(train=12, seed=0)[0] < chosen  # a larger subset adds to a smaller one
    assert subset(train=50)[1].y_train.bincount().tolist() == [20, 20, 10]  # the small class runs out
    assert len(subset(train=90)[0]) == 90
    assert len(subset(train=1, test=1)[0]) == 1  # as little as there can be


@pytest.mark.parametrize("options", [{"train": 0}, {"train": 13}, {"test": 7}, {"test": -1}])
def test_a_subset_that_the_set_cannot_give_is_refused(tmp_path, options):
    """Fewer images than asked for, silently, would be reported as what was asked for."""
    (part, count), whole = next(iter(options.items())), {"train": 12, "test": 6}
    name, fewer = {"train": "training", "test": "test"}[part], "fewer, " if count > 0 else ""
    message = (
        f"{count} {name} images asked for, mine has {whole[part]}: ask for {fewer}1 to {whole[part]} "
        f"(--{part} N on the command line, {part}=N in Python)"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        load_data(save(tmp_path / "mine.npz", **arrays()), **options)


def test_one_image_too_many_is_refused_and_seed_0_is_taken_if_nothing_is_said(tmp_path):
    """Two of a set of one, and a default that the provenance does not name."""
    content = arrays(n_test=1)
    path = save(tmp_path / "mine.npz", **content)
    with pytest.raises(DataError, match="ask for fewer, 1 to 1"):
        load_data(path, test=2)
    assert torch.equal(load_data(path, train=5).x_train, load_data(path, train=5, seed=0).x_train)


@pytest.mark.parametrize("size", [0, -8])
@pytest.mark.parametrize("name", ["digits", "mine.npz"])
def test_a_size_below_one_is_refused(tmp_path, monkeypatch, name, size):
    """Zero would mean "as they are", silently."""
    save(tmp_path / "mine.npz", **arrays())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"size = {size}: .*--size S"):
        load_data(name, size=size)
    assert load_data(name, size=1).x_test.shape[2:] == (1, 1)


def test_a_folder_that_cannot_be_read_or_made_is_the_users_to_mend(tmp_path, monkeypatch):
    """Rights, or a file where the folder should be: a line, and no traceback."""

    def denied(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="boston"):
        load_data("boston", tmp_path / "file")
    monkeypatch.setattr(module.Path, "iterdir", denied)
    with pytest.raises(DataError, match=r"cannot read the folder .*Permission denied"):
        load_data(str(tmp_path))


def test_every_error_is_one_that_the_command_line_reports():
    """Another class would show a traceback there."""
    assert issubclass(DataError, InputError)


def test_checksum_is_that_of_the_content_alone(tmp_path):
    """It must follow from the arrays, not from how they are cut, resized, seeded or named; and notice one pixel."""
    content = arrays()
    path = save(tmp_path / "mine.npz", **content)
    truth = hashlib.sha256()
    for key in PARTS:
        truth.update(f"{content[key].dtype}{content[key].shape}".encode() + content[key].tobytes())
    assert load_data(path).sha256 == truth.hexdigest()
    assert load_data(path, size=4, train=5, test=3, seed=9).sha256 == truth.hexdigest()
    np.savez_compressed(tmp_path / "other.npz", **content)
    assert load_data(str(tmp_path / "other.npz")).sha256 == truth.hexdigest()
    for key in PARTS:
        changed = {name: value.copy() for name, value in content.items()}
        changed[key].flat[-1] ^= 2  # the label 2 becomes 0
        assert load_data(save(tmp_path / "changed.npz", **changed)).sha256 != truth.hexdigest(), key


def test_data_go_to_the_device_and_cannot_be_exchanged(tmp_path):
    """`device` unheeded would stop the first forward pass on an accelerator."""
    data = load_data(save(tmp_path / "mine.npz", **arrays()), device="meta")
    assert {getattr(data, part).device.type for part in PARTS} == {"meta"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.x_train = None


def test_a_column_constant_in_the_subset_does_not_explode():
    for seed in (2, 8, 9):
        data = load_data("diabetes", train=3, seed=seed)
        assert data.x_test.abs().max() < 100  # 1.4e16


def test_boston_broken_off(tmp_path, monkeypatch):
    def broken(request):
        raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(torch.hub, "urlopen", broken)
    with pytest.raises(DataError, match="boston"):
        load_data("boston", tmp_path)


def test_a_source_in_the_file_goes_into_the_provenance_and_changes_nothing_else(tmp_path):
    content = arrays()
    plain = load_data(save(tmp_path / "mine.npz", **content))
    told = load_data(save(tmp_path / "mine.npz", **content, source="decoded from JPEG copies"))
    assert told.source == "the file mine.npz, decoded from JPEG copies" and plain.source == "the file mine.npz"
    assert told.sha256 == plain.sha256
