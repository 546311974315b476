"""Appendix F: networks with few and many outputs, by hand; and how they are drawn."""

import pytest
import torch
from test_activation_noise_others import lines, rows_of

from tutorial_lib import injected, load_data
from tutorial_lib.papers.activation_noise import dimensions
from tutorial_lib.papers.activation_noise.other_figures import draw_outputs

CONFIG = {**dimensions.DIMENSIONS.config("smoke"), "folder": "", "device": "cpu"}


@pytest.fixture
def kept(monkeypatch):
    """What is trained, by either kind of training."""
    found = []

    def keeping(real):
        return lambda *args, **more: found.append(real(*args, **more)) or found[-1]

    for name in ("trained", "train_classifier"):
        monkeypatch.setattr(dimensions, name, keeping(getattr(dimensions, name)))
    return found


@pytest.mark.parametrize("side", [8, 16])
def test_an_autoencoder_has_as_many_outputs_as_the_image_has_pixels(kept, side):
    """An image of another size than asked for, another noise at inference than in training, or some classes alone."""
    rows = dimensions.dimension_cell(CONFIG, "autoencoder", side, 0.5, seed=1)
    ((data, model),) = kept
    assert data.x_test.shape[1:] == (1, side, side) and len(model.networks) == 10
    assert CONFIG["data"]["size"] == 8  # as it was
    layers = injected(model).values()
    assert {(layer.alpha, layer.alpha_inference) for layer in layers} == {(0.5, 0.5)}
    assert [row["n"] for row in rows] == [1, 2, 3, 5] and all(row["error"] > 0 for row in rows)


@pytest.mark.parametrize(("classes", "alpha"), [(2, 0.5), (10, 0.0)])
def test_a_classifier_knows_the_first_classes_alone(kept, classes, alpha):
    """One output too many, images of other classes in training or among those that are counted."""
    rows = dimensions.dimension_cell(CONFIG, "classifier", classes, alpha, seed=1)
    ((data, model),) = kept
    whole = load_data("digits", seed=1, **CONFIG["data"])
    for part in ("train", "test"):
        x, y = getattr(whole, f"x_{part}"), getattr(whole, f"y_{part}")
        assert getattr(data, f"y_{part}").tolist() == y[y < classes].tolist()
        assert torch.equal(getattr(data, f"x_{part}"), x[y < classes])  # the same images, picked
    assert model.eval()(data.x_test).shape[1] == classes
    assert [row["n"] for row in rows] == ([1, 2, 3, 5] if alpha else [1])
    right = {row["accuracy"] * len(data.y_test) / 100 for row in rows}
    assert all(abs(count - round(count)) < 1e-9 for count in right)  # of these images


def test_every_size_meets_every_noise():
    for budget in ("smoke", "desk", "paper"):
        for dataset in ("digits", "mnist", "cifar-10"):
            config = dimensions.DIMENSIONS.config(budget, dataset)
            points = {tuple(point.values()) for point in dimensions.DIMENSIONS.grid(config)}
            expected = {(k, o, a) for k, some in config["outputs"].items() for o in some for a in config["alphas"]}
            assert points == expected and 0.0 in config["alphas"] and len(config["alphas"]) == 2


def test_outputs_are_drawn_as_their_table_has_it():
    """Means over seeds at the largest n, a line for each α, autoencoders and classifiers apart."""
    table = rows_of(
        "network outputs alpha n",
        ("autoencoder", 8, 0.0, 1, [20, 22]), ("autoencoder", 8, 0.5, 1, [1, 1]), ("autoencoder", 8, 0.5, 10, [30, 34]),
        ("autoencoder", 32, 0.0, 1, [25, 25]), ("autoencoder", 32, 0.5, 10, [40, 44]),
        ("classifier", 2, 0.0, 1, [90, 94]), ("classifier", 2, 0.5, 10, [80, 82]),
    )  # fmt: skip
    left, right = draw_outputs(table, "made up").axes
    assert lines(left) == {"α = 0": ([8, 32], [21, 25]), "α = 0.5": ([8, 32], [32, 42])}
    assert lines(right) == {"α = 0": ([2], [92]), "α = 0.5": ([2], [81])}
    assert (left.get_xlabel(), right.get_xlabel()) == ("side of the image (pixels)", "classes")
