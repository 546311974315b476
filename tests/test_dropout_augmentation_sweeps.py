"""What is measured for "Dropout as Data Augmentation": the ways of training and their controls, and the cells."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tutorial_lib import evaluate, load_data
from tutorial_lib.data import Data
from tutorial_lib.draw import decoded, pick
from tutorial_lib.papers.dropout_augmentation import cost, layers, sweeps
from tutorial_lib.papers.dropout_augmentation.method import Dropout, activations, back_project
from tutorial_lib.papers.dropout_augmentation.sweeps import (
    DIMMED,
    EACH,
    IMAGES,
    JOINT,
    MOVED,
    NONE,
    OTHERS,
    SCALED,
    SOLVED,
)

SETTINGS = {"chunk": 3, "steps": 4, "rates": [300.0, 30.0], "better": 2, "lr": 0.05, "momentum": 0.9, "batch_size": 4}


def network(seed=0):
    torch.manual_seed(seed)
    return sweeps.build("9-7", 6, 3)


def images(count=8, seed=0):
    return torch.rand(count, 6, generator=torch.Generator().manual_seed(seed))


def made(kind, turn=0, x=None, p=0.5, **settings):
    """Images of a kind for one epoch, always from the same draws."""
    model = network()
    torch.manual_seed(3)
    return sweeps.augmented(model, images() if x is None else x, kind, p, turn, {**SETTINGS, **settings})


def residuals(model, x, x_star, wanted):
    found = zip(activations(model, x_star), activations(model, x), wanted, strict=True)
    return torch.stack([(a - t).norm(dim=1) / (b - t).norm(dim=1) for a, b, t in found], 1)


def drawn(model, x, scaled=False):
    """What the layers should give under the masks that `made` draws for its only chunk."""
    torch.manual_seed(3)
    clean = activations(model, x)
    masks = [(torch.rand(a.shape) >= 0.5).float() * (2.0 if scaled else 1.0) for a in clean]
    return activations(model, x, masks)


@pytest.mark.parametrize("kind", [JOINT, SCALED, SOLVED])
def test_x_star_answers_fresh_masks_of_dropout_as_in_section_5_2(kind):
    """Scaled where eq. (4) is not, or a mask for both layers, or steps and rates of another setting."""
    model, x = network(), images()
    found, left = made(kind, chunk=8)
    wanted = drawn(model, x, kind == SCALED)
    if kind != SOLVED:
        assert torch.allclose(found, back_project(model, x, wanted, steps=4, rates=[300.0, 30.0]), atol=1e-5)
    expected = residuals(model, x, found, wanted)
    defined = expected.isfinite()  # some masks spare all active units of so small a layer
    assert torch.allclose(left[defined], expected[defined], atol=1e-4) and defined.float().mean() > 0.7
    again, _ = sweeps.augmented(model, x, kind, 0.5, 0, {**SETTINGS, "chunk": 8})
    assert not torch.allclose(found, again)


def test_one_x_star_a_layer_takes_the_layers_in_turn():
    """The same layer every epoch, or both at once."""
    model, x = network(), images()
    wanted = drawn(model, x)
    for turn in range(4):
        asked = [t if i == turn % 2 else None for i, t in enumerate(wanted)]
        found, _ = made(EACH, turn, chunk=8)
        assert torch.allclose(found, back_project(model, x, asked, steps=4, rates=[300.0, 30.0]), atol=1e-5)


def test_controls_move_as_far_as_x_star_but_elsewhere():
    """A control of another length would show the strength of the push, not its direction."""
    x = images()
    joint, moved, others = (made(kind)[0] - x for kind in (JOINT, MOVED, OTHERS))
    assert torch.allclose(joint.norm(dim=1), moved.norm(dim=1), rtol=1e-4) and joint.norm(dim=1).median() > 0.1
    assert not torch.allclose(joint, moved, atol=1e-3)
    assert torch.allclose(others, joint.roll(1, 0), atol=1e-6)  # the displacement of another image, never its own


def test_a_dimmed_image_is_what_of_x_star_lies_along_x():
    """A least-squares fit of x* by c x, image by image: what is left is at right angles to x. And black stays black."""
    x = images()
    x[2] = 0
    star, dimmed = (made(kind, x=x)[0] for kind in (JOINT, DIMMED))
    assert ((dimmed - x).norm(dim=1) > 1e-3).sum() >= 4  # there is something to see
    for image, found, wanted in zip(x.double(), dimmed.double(), star.double(), strict=True):
        if image.any():
            c = torch.linalg.lstsq(image[:, None], wanted[:, None]).solution
            assert torch.allclose(found, image * c[0], atol=1e-5)
        else:
            assert not found.any()


def test_an_image_is_augmented_by_itself():
    """Chunks are for memory: they may not show in the result but through the draws."""
    p0 = [made(JOINT, p=0.0, chunk=chunk)[0] for chunk in (1, 3, 8)]
    assert all(torch.allclose(found, images()) for found in p0)  # nothing is dropped: x itself


@pytest.mark.parametrize("kind", [NONE, sweeps.DROPOUT, JOINT, MOVED])
def test_epochs_on_x_and_on_x_star_take_turns(kind, monkeypatch):
    """As many updates for all; x* made by the network as it is when its epoch begins; one optimiser throughout."""
    data = Data(images(12), torch.arange(12) % 3, images(4, 1), torch.arange(4) % 3, "made up", "", "")
    model, seen, states = network(), [], []
    real = sweeps.fit

    def watched(net, x, y, *, optimizer, **options):
        optimiser = optimizer(net.parameters(), lr=1.0)
        states.append((id(optimiser), options["epochs"], options["seed"]))
        seen.append((x.clone(), [p.clone() for p in net.parameters()]))
        return real(net, x, y, optimizer=optimizer, **options)

    monkeypatch.setattr(sweeps, "fit", watched)
    epochs = []
    about = sweeps.train(model, data, kind, 0.5, 5, 7, SETTINGS, epochs.append)
    assert epochs == [1, 2, 3, 4, 5] and len({i for i, _, _ in states}) == 1 and len({s for *_, s in states}) == 5
    assert all(count == 1 for _, count, _ in states)
    changed = [not torch.equal(x, data.x_train) for x, _ in seen]
    assert changed == [kind in IMAGES and epoch % 2 == 0 for epoch in epochs] and len(about) == sum(changed)
    if kind == JOINT:  # made anew, by the network of that moment
        for k in (1, 3):
            at = network()
            for p, value in zip(at.parameters(), seen[k][1], strict=True):
                p.data.copy_(value)
            torch.manual_seed(1_000_003 * 7 + k + 1)
            again, _ = sweeps.augmented(at.eval(), data.x_train, kind, 0.5, (k + 1) // 2, SETTINGS)
            assert torch.allclose(again, seen[k][0], atol=1e-5)


def test_principal_components_are_not_whitened_and_come_back():
    """Whitened components have all the variance 1; fitted on test images they would have seen them."""
    data = load_data("digits", train=200, test=50)
    flat, back = sweeps.flattened(data, 20)
    x = data.x_train.flatten(1)
    values = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)[:20]
    assert torch.allclose(flat.x_train.var(0), values, rtol=1e-3) and flat.x_test.shape == (50, 20)
    assert flat.x_train.mean(0).abs().max() < 1e-4 < flat.x_test.mean(0).abs().max()
    plain, same = sweeps.flattened(data, None)
    assert torch.equal(same(plain.x_test), data.x_test.flatten(1))
    full, back = sweeps.flattened(data, 60)
    assert torch.allclose(back(full.x_train), x, atol=0.05)
    with pytest.raises(ValueError, match="65 principal components of 200 images of 64 numbers"):
        sweeps.flattened(data, 65)


CONFIG = {**sweeps.TRAINING.config("smoke"), "folder": "data", "device": "cpu"}


def test_the_second_phase_starts_from_the_best_epoch_by_validation(monkeypatch):
    """Section 5.2: not from the last epoch; on all training images; the mean of the last epochs' errors."""
    calls, marks = [], iter([50.0, 90.0, 70.0])

    def train(model, data, kind, p, epochs, seed, settings, after):
        calls.append((len(data.x_train), epochs, [p.clone() for p in model.parameters()]))
        for epoch in range(1, epochs + 1):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(float(10 * len(calls) + epoch))
            after(epoch)
        return []

    tests = iter([10.0, 20.0, 40.0, 99.0])
    monkeypatch.setattr(sweeps, "train", train)
    monkeypatch.setattr(sweeps, "evaluate", lambda model, x, y: next(marks) if len(calls) == 1 else next(tests))
    config = {**CONFIG, "epochs": 3, "more": 4, "last": 3}
    rows = {row["measure"]: row["value"] for row in sweeps.training_cell(config, "32-16", NONE, 0.0, 0.0, 0)}
    assert [count for count, *_ in calls] == [100, 120] and [epochs for _, epochs, _ in calls] == [3, 4]
    assert all((p == 12).all() for p in calls[1][2])  # the second epoch had 90 %
    assert rows["validation error"] == 10 and rows["error"] == pytest.approx((90 + 80 + 60) / 3)


@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [
        (sweeps.DROPOUT, "fixed", (0.4, 0.2)), (sweeps.RANDOM, "sample", (0.4, 0.2)), (sweeps.UNIT, "unit", (0.4, 0.2)),
        (sweeps.EQUAL, "fixed", (1 + 0.4 / np.log(0.6), 1 + 0.2 / np.log(0.8))), (NONE, None, ()),
    ],
)  # fmt: skip
def test_each_kind_has_its_noise_behind_hidden_layers_and_input(kind, level, expected, monkeypatch):
    """Levels exchanged, or the control's level not that of equal variance."""
    from tutorial_lib import injected

    found = {}
    monkeypatch.setattr(sweeps, "train", lambda model, *rest: found.update(injected(model)) or rest[-1](1) or [])
    monkeypatch.setattr(sweeps, "evaluate", lambda *_: 50.0)
    sweeps.training_cell({**CONFIG, "more": 1, "last": 1}, "32-16", kind, 0.4, 0.2, 0)
    if not expected:
        assert not found
        return
    assert set(found) == {"act1", "act2", "data"} and {layer.level for layer in found.values()} == {level}
    assert found["act1"].p == found["act2"].p == pytest.approx(expected[0])
    assert found["data"].p == pytest.approx(expected[1])


def test_the_grid_holds_both_figures_once():
    """A missing baseline leaves claims untested; a point twice is paid twice."""
    for budget in ("smoke", "desk", "paper"):
        config = sweeps.TRAINING.config(budget)
        points = [tuple(point.values()) for point in sweeps.TRAINING.grid(config)]
        assert len(set(points)) == len(points)
        for network in {*config["networks"], *config["wide"]}:
            assert (network, NONE, 0.0, 0.0) in points
        for network in config["wide"]:
            for p in config["ranges"]:
                assert {(network, kind, p, p) for kind in sweeps.NOISES} <= set(points)
            assert {(network, sweeps.DROPOUT, 0.5, p) for p in config["grid"]} <= set(points)
            assert {(network, sweeps.DROPOUT, p, 0.2) for p in config["grid"]} <= set(points)
        for network in config["networks"]:
            for p in config["levels"]:
                assert {(network, kind, p, 0.0) for kind in (sweeps.DROPOUT, JOINT)} <= set(points)
    paper, desk = sweeps.TRAINING.config("paper", "mnist"), sweeps.TRAINING.config("desk", "mnist")
    assert paper["networks"] == ["2500-2500", "2500-1250", "1500-1500", "1500-750"]
    for mine, theirs in zip(desk["networks"], paper["networks"], strict=True):  # a quarter, on a quarter of the pixels
        for a, b in zip(mine.split("-"), theirs.split("-"), strict=True):
            assert int(a) == pytest.approx(int(b) / 4, abs=1)
    assert desk["data"]["size"] ** 2 == 28**2 / 4


def cell(sweep, **point):
    config = {**sweep.config("smoke"), "folder": "data", "device": "cpu"}
    return config, pd.DataFrame(sweep.cell(config, **point, seed=0))


def test_pictures_hold_images_and_numbers_that_agree():
    """A picture of another image, or a measure of another way of finding x*."""
    config, table = cell(layers.PICTURES, scheme=sweeps.DROPOUT)
    data = load_data("digits", **config["data"], seed=0)
    first = pick(table, measure="image", how=layers.DESCENT, x=0, draw=0)["text"].iloc[0]
    assert np.abs(decoded(first) / 255 - data.x_test[0, 0].numpy()).max() < 1 / 255
    numbers = table.set_index(["measure", "how"])["value"]
    assert numbers["residual", layers.SOLVER] < numbers["residual", layers.DESCENT] < 1
    assert numbers["own left", layers.SILENCED] == pytest.approx(0, abs=1e-5)
    assert (
        numbers["own left", layers.SOLVER] < 0.05
        and numbers["others", layers.SOLVER] < numbers["others", layers.SILENCED]
    )
    shares = pick(table, measure="image", how=layers.SOLVER)
    shares = shares[shares["draw"] > 0]["value"]
    assert shares.between(0, 1).all() and shares.mean() == pytest.approx(config["p"], abs=0.1)
    random = cell(layers.PICTURES, scheme=sweeps.RANDOM)[
        1
    ]  # some of its masks drop nothing: there is nothing left over
    assert pick(random, measure="residual")["value"].between(0, 2).all()
    equal = cell(layers.PICTURES, scheme=sweeps.EQUAL)[1]
    assert "feature" not in set(equal["measure"])
    assert pick(equal, measure="image").query("draw > 0")["value"].mean() < 0.35  # as noisy as random dropout up to 0.4


def test_existence_agrees_with_linear_programming_and_the_theorem():
    """Narrow layers reach everything, wide ones nothing; each answer is confirmed by another algorithm."""
    for ratio, share in ((0.5, 100), (2.0, 0)):
        _, table = cell(layers.EXISTENCE, weights=layers.RANDOM_WEIGHTS, ratio=ratio)
        half = pick(table, p=0.5, scaled=False)
        numbers = half[half["x"].isna()].set_index("measure")["value"]
        assert numbers["exists"] == share and numbers["exists"] + numbers["none"] + numbers["undecided"] == 100
        assert (pick(table, measure="agrees")["value"] == 100).all()
        assert ("distance" in numbers) == (share > 0)
        both = pick(half, measure="both")["value"]
        assert len(both) == 2 and (both < 1).all()
        assert pick(half, measure="second")["value"].item() <= both.iloc[1] + 1e-6


def test_passes_are_counted_as_they_are_made():
    """Two a step of descent; three a step of the solver, and a first one; more where steps are tried again."""
    config, table = cell(layers.PROJECTION, network="32-16", training=sweeps.DROPOUT)
    passes = table.groupby(["how", "mean_over", "steps"])["x"]
    assert set(pick(table, how=layers.DESCENT)["x"]) == {2.0 * k for k in config["descents"]}
    assert passes.min()[layers.SOLVER, "", 1] == 1 + 4 and passes.max()[layers.SOLVER, "", 1] <= 1 + 4 + 3
    own = pick(table, measure="objective")["value"]
    assert own.between(0, 1000).all()
    assert (pick(table, measure="objective", how=layers.SOLVER)["value"] <= 1 + 1e-6).all()


def test_an_autoencoder_that_denoises_is_left_without_noise():
    """Noise left in would be drawn again while x* is sought."""
    config = {**layers.PICTURES.config("smoke"), "folder": "data", "device": "cpu"}
    data, _ = sweeps.flattened(load_data("digits", train=100, test=10), None)
    torch.manual_seed(0)
    model = layers.autoencoder(64, 30)
    before = layers.squared_error(model(data.x_train), data.x_train).item()
    layers.trained(model, data.x_train, data.x_train, sweeps.Dropout(0.4), config, 0, loss=layers.squared_error)
    assert torch.equal(model(data.x_test), model.train()(data.x_test))
    assert layers.squared_error(model(data.x_train), data.x_train).item() < before
    assert not any(p.requires_grad for p in model.parameters())
    judge = sweeps.build("32", 64, 10)
    layers.trained(judge, data.x_train, data.y_train, None, {**layers._JUDGE, "epochs": 60}, 0)
    assert evaluate(judge, data.x_train, data.y_train) > 80 and isinstance(judge[-1], nn.Linear)


def test_an_epoch_is_timed_as_it_is_trained(monkeypatch):
    """Times are ratios within a round; only the two kinds of x* make images first, all train a network of their own."""
    made, trained = [], []
    monkeypatch.setattr(cost, "augmented", lambda model, x, kind, *_: (made.append(kind), (x, None))[1])
    monkeypatch.setattr(cost, "fit", lambda model, *_, **__: trained.append(model))
    config = {**cost.COST.config("smoke"), "folder": "data", "device": "cpu", "rounds": 3}
    rows = cost.cost_cell(config, "32-16", seed=0)
    assert [row["kind"] for row in rows] == list(cost.KINDS) and rows[0]["value"] == 1
    assert made[:2] == [sweeps.JOINT, sweeps.SOLVED] and {*made} == {*made[:2]}
    assert len({*trained}) == len(cost.KINDS) and len(trained) >= 4 * len(cost.KINDS)
    noisy = [any(isinstance(m, Dropout) for m in model.modules()) for model in trained[: len(cost.KINDS)]]
    assert noisy == [kind in sweeps.NOISES for kind in cost.KINDS]
