"""The controls of explicit regularisation: their strengths, how they are trained, and what they are compared by."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tutorial_lib import load_data, mlp
from tutorial_lib.papers import read_table
from tutorial_lib.papers.explicit_reg import method, sweeps
from tutorial_lib.papers.explicit_reg.figures import from_noise
from tutorial_lib.papers.explicit_reg.sweeps import (
    AGAIN,
    BASELINE,
    CONTROLS,
    GRADIENT,
    INPUT,
    L2,
    MATCHED,
    NOISE,
    OTHER,
    REGULARISER,
    SMALL,
    STRENGTHS,
    TRAINING,
    _likeness,
    matched,
    reference,
    strength_cell,
    train,
    training_cell,
)

CONFIG = {
    **TRAINING.config("smoke"), "folder": "data", "device": "cpu", "data": {"size": 10, "train": 60, "test": 40},
    "batch_size": 20, "sample": 3,
}  # fmt: skip


# --- strengths


def losses(noises, l2, gradient, network="mlp", activation="elu"):
    """A table of strengths: validation losses of noises by (operation, variance), of controls by strength."""
    rows = [(NOISE, o, v, 0.0, value) for (o, v), value in noises.items()]
    rows += [(kind, "+", 0.0, s, v) for kind, found in ((L2, l2), (GRADIENT, gradient)) for s, v in found.items()]
    names = ("kind", "operation", "variance", "strength", "value")
    return pd.DataFrame(
        [{"network": network, "activation": activation, **dict(zip(names, r, strict=True))} for r in rows]
    )


def one(l2, noise=1.0):
    """The strength found for L2 where the loss with noise is `noise`."""
    return matched(losses({("+", 0.1): noise}, l2, {0.1: noise}))["mlp, elu, +0.1"][L2]


def test_strengths_are_where_the_loss_crosses_that_of_the_noise():
    """Half way between 0.01 and 1 is 0.1, as strengths are multiplied; a third of the way is 0.046."""
    assert one({0.01: 0.5, 1.0: 1.5}) == one({0.01: 1.5, 1.0: 0.5}) == 0.1
    assert one({0.01: 0.8, 1.0: 1.4}) == pytest.approx(0.01 * 100 ** (1 / 3), abs=5e-4) == 0.046
    assert one({0.001: 3.0, 0.01: 2.0, 0.1: 1.25, 1.0: 0.25}) == pytest.approx(0.1 * 10**0.25, abs=5e-3) == 0.18
    # neither the order of the rows nor further crossings matter: the least is taken
    assert one({1.0: 1.5, 0.01: 0.5}) == 0.1
    assert one({0.01: 1.5, 1.0: 0.5, 10.0: 0.2, 100.0: 1.8}) == 0.1


def test_strengths_on_the_grid_and_beyond_it():
    assert one({0.01: 0.2, 0.1: 1.0, 1.0: 2.0}) == 0.1
    assert one({0.01: 1.0, 0.1: 1.2, 1.0: 2.0}) == 0.01
    # no crossing: the nearest, from below or above
    assert one({0.01: 1.9, 0.1: 1.3, 1.0: 1.4}) == 0.1
    assert one({0.01: 0.1, 0.1: 0.3, 1.0: 0.4}) == 1.0


def test_strengths_by_the_means_over_seeds():
    """Seeds that cross one by one elsewhere: their mean does at 0.1."""
    table = pd.concat([losses({("+", 0.1): 1.0 + d}, {0.01: 0.5 + 2 * d, 1.0: 1.5}, {0.1: 1.0}) for d in (-0.3, 0.3)])
    assert matched(table)["mlp, elu, +0.1"][L2] == 0.1


def test_strengths_for_every_noise_of_every_network():
    """One control stands beside all noises of its network; each noise has a strength of its own."""
    noises = {("+", 0.1): 1.5, ("+", 0.01): 0.5, ("×", 0.01): 1.0}
    falling, rising = {0.1: 1.5, 1.0: 1.0, 10.0: 0.5}, {0.03: 0.5, 0.3: 1.0, 3.0: 1.5}
    table = pd.concat(
        [losses(noises, falling, rising, SMALL), losses({("+", 0.1): 1.0}, rising, falling, "mlp", "relu")]
    )
    assert matched(table) == {
        f"{SMALL}, elu, +0.01": {L2: 10.0, GRADIENT: 0.03}, f"{SMALL}, elu, +0.1": {L2: 0.1, GRADIENT: 3.0},
        f"{SMALL}, elu, ×0.01": {L2: 1.0, GRADIENT: 0.3}, "mlp, relu, +0.1": {L2: 0.3, GRADIENT: 1.0},
    }  # fmt: skip


@pytest.mark.parametrize("dataset", sorted(MATCHED))
def test_the_strengths_that_are_used_are_those_of_the_shipped_table(dataset):
    """A table that is measured again, or a slip of the hand, would leave controls of another strength."""
    assert MATCHED[dataset] == matched(read_table("explicit-reg/strengths", dataset, "desk"))
    assert TRAINING.config("desk", dataset)["strengths"] == MATCHED[dataset]


def test_what_is_matched_is_what_the_comparison_looks_up():
    """A key of another spelling would leave the controls out of the table in silence."""
    config = STRENGTHS.config("desk", "digits")
    points = STRENGTHS.cells(config, 1)
    table = pd.DataFrame([{**p, "value": 1.0 + p["strength"]} for p in points])
    strengths = matched(table)
    compared = TRAINING.cells({**TRAINING.config("desk", "digits"), "strengths": strengths}, 1)
    noises = {(c["network"], c["activation"], c["operation"], c["variance"]) for c in compared if c["kind"] == NOISE}
    for kind in CONTROLS:
        cells = [c for c in compared if c["kind"] == kind]
        assert {(c["network"], c["activation"], c["operation"], c["variance"]) for c in cells} == noises
        assert len(cells) == len(noises) == len(strengths) == 7
    without = TRAINING.cells({**TRAINING.config("desk", "digits"), "strengths": {}}, 1)
    assert not {c["kind"] for c in without} & set(CONTROLS) and len(without) == len(compared) - 14
    only = TRAINING.cells({**TRAINING.config("desk", "digits"), "strengths": {"conv, relu, +0.1": strengths}}, 1)
    assert {(c["network"], c["activation"]) for c in only if c["kind"] in CONTROLS} == {("conv", "relu")}


def test_each_control_is_tried_at_each_strength_beside_each_noise():
    config = {"networks": {"mlp": ["relu", "elu"], SMALL: ["elu"]}, "grid": {L2: [0.1, 1.0], GRADIENT: [0.5]}}
    points = [tuple(c.values()) for c in STRENGTHS.grid(config)]
    tried = [(L2, "+", 0.0, 0.1), (L2, "+", 0.0, 1.0), (GRADIENT, "+", 0.0, 0.5)]
    large = [(NOISE, "+", 0.1, 0.0), *tried]
    small = [(NOISE, "+", 0.1, 0.0), (NOISE, "+", 0.01, 0.0), (NOISE, "×", 0.01, 0.0), *tried]
    assert points == [("mlp", a, *p) for a in ("relu", "elu") for p in large] + [(SMALL, "elu", *p) for p in small]


@pytest.fixture
def calls(monkeypatch):
    """What is trained on: the arguments of `fit`, which does nothing, and those of `load_data`."""
    found = []
    load = sweeps.load_data
    monkeypatch.setattr(
        sweeps, "fit", lambda model, x, y, **options: found.append({"model": model, "x": x, "y": y, **options})
    )
    monkeypatch.setattr(sweeps, "load_data", lambda *a, **o: found.append({"load": o["seed"]}) or load(*a, **o))
    return found


def rows_of(images, whole):
    """Which rows of `whole` these images are."""
    same = (images.flatten(1)[:, None] == whole.flatten(1)[None]).all(2)
    assert same.any(1).all()
    return same.float().argmax(1).tolist()


@pytest.mark.parametrize("dataset", ["digits", "diabetes"])
def test_the_loss_that_decides_is_on_images_that_were_not_trained_on(calls, dataset, monkeypatch):
    """Other images, weights and batches than in the comparison: all seeds are others."""
    config = {**STRENGTHS.config("smoke", dataset), "folder": "data", "device": "cpu", "held_out": 0.25}
    judged = []
    mean_loss = sweeps._mean_loss
    monkeypatch.setattr(
        sweeps, "_mean_loss", lambda model, x, y, loss: judged.append((model, x, y)) or mean_loss(model, x, y, loss)
    )
    (row,) = strength_cell(config, "mlp", "elu", L2, "+", 0.0, 0.01, seed=3)
    (loaded, fitted), (model, x, y) = calls, judged[0]
    assert loaded["load"] == fitted["seed"] == 3 + OTHER and STRENGTHS.config("desk", dataset)["seeds"] <= OTHER
    data = load_data(dataset, seed=3 + OTHER, **config["data"])
    trained, held = rows_of(fitted["x"], data.x_train), rows_of(x, data.x_train)
    assert len(held) == round(0.25 * len(data.x_train)) and len(trained) + len(held) == len(data.x_train)
    assert not set(trained) & set(held)
    assert torch.equal(fitted["y"], data.y_train[trained]) and torch.equal(y, data.y_train[held])
    assert fitted["model"] is model and not model.training
    loss = nn.functional.cross_entropy if dataset == "digits" else nn.functional.mse_loss
    expected = loss(model(data.x_train[held]), data.y_train[held]).item()
    assert row == {"measure": "validation loss", "value": pytest.approx(expected, rel=1e-5)}
    # the same images are held out of every training of a seed, and others of the next
    strength_cell(config, "conv" if dataset == "digits" else SMALL, "elu", NOISE, "+", 0.1, 0.0, seed=3)
    strength_cell(config, "mlp", "elu", L2, "+", 0.0, 0.01, seed=4)
    assert torch.equal(judged[1][1], x) and not torch.equal(judged[2][1], x)


def test_a_run_that_diverged_has_no_validation_loss(monkeypatch):
    def diverge(model, x, y, **options):
        for parameter in model.parameters():
            parameter.data.fill_(math.nan)

    monkeypatch.setattr(sweeps, "fit", diverge)
    config = {**STRENGTHS.config("smoke"), "folder": "data", "device": "cpu"}
    assert strength_cell(config, "mlp", "elu", L2, "+", 0.0, 0.01, seed=0) == []


# --- the kinds of training


def test_controls_are_trained_with_their_penalty_and_strength(calls):
    torch.manual_seed(0)
    model, x, y = mlp(6, 3, (5, 4), nn.ELU), torch.randn(8, 6), torch.arange(8) % 3
    train(model, x, y, L2, 0.0, "+", CONFIG, 7, strength=0.3)
    train(model, x, y, GRADIENT, 0.0, "+", {**CONFIG, "sample": None}, 7, strength=0.3)
    train(model, x, y.float()[:, None], GRADIENT, 0.0, "+", {**CONFIG, "sample": None}, 7, strength=0.3)
    weights = sum(m.weight.square().sum() for m in (model.linear1, model.linear2, model.linear3))
    assert calls[0]["penalty"](model, x).item() == pytest.approx(0.15 * weights.item(), rel=1e-5)
    for call, loss in ((calls[1], "cross-entropy"), (calls[2], "squared error")):
        torch.manual_seed(5)
        found = call["penalty"](model, x)
        torch.manual_seed(5)
        expected = method.input_gradient(model, x, 0.3, loss).mean()
        assert found.item() == pytest.approx(expected.item(), rel=1e-5) and found.requires_grad
    assert {call["seed"] for call in calls} == {7} and len(list(model.children())) == 6  # no noise was put in


def test_the_noise_once_more_meets_other_draws_from_the_same_start(calls):
    """The first weights are the cell's; batches and noise follow from `fit`'s seed."""
    x, y = torch.randn(8, 6), torch.arange(8) % 3
    for kind in (NOISE, AGAIN, BASELINE, INPUT, REGULARISER):
        train(mlp(6, 3, (5, 4)), x, y, kind, 0.1, "+", CONFIG, 7)
    assert [call["seed"] for call in calls] == [7, 7 + OTHER, 7, 7, 7]
    noisy = [call["model"].train()(x).equal(call["model"](x)) for call in calls]
    assert noisy == [False, False, True, False, True]
    for call in calls[:2]:  # in every layer, and as strong
        found = [m for m in call["model"].modules() if type(m).__name__ == "ActivationNoise"]
        assert [float(m.alpha) for m in found] == pytest.approx([0.1**0.5] * 3)


def test_cells_compare_with_a_network_trained_with_noise_from_the_same_start():
    """Outputs, image by image, of the same seed's training with noise; the noise itself is compared with nothing."""
    config = {**CONFIG, "strengths": {"mlp, elu, +0.1": {L2: 0.02, GRADIENT: 0.5}}}
    cell = {"network": "mlp", "activation": "elu", "operation": "+", "seed": 1}
    reference.cache_clear()
    found = {
        kind: training_cell(config, kind=kind, variance=v, **cell)
        for kind, v in ((BASELINE, 0.0), (NOISE, 0.1), (L2, 0.1))
    }
    told = {kind: {row["measure"]: row["value"] for row in rows} for kind, rows in found.items()}
    assert not {"agreement", "output distance", "strength"} & set(told[NOISE])
    assert told[L2]["strength"] == 0.02 and "strength" not in told[BASELINE]
    data = load_data("digits", seed=1, **config["data"])
    models = []
    for kind, seed in ((NOISE, 1), (BASELINE, 1), (AGAIN, 1), (NOISE, 2)):
        models.append(sweeps.started("mlp", "elu", data, 1))
        train(models[-1], data.x_train, data.y_train, kind, 0.1, "+", config, seed)
    noise, base, again, other = (model(data.x_test).detach() for model in models)
    torch.testing.assert_close(reference(json.dumps(config), "mlp", "elu", 1), noise)
    assert told[BASELINE]["agreement"] == pytest.approx(
        100 * (base.argmax(1) == noise.argmax(1)).double().mean().item()
    )
    assert told[BASELINE]["output distance"] == pytest.approx(_likeness(base, noise, False)[1]["value"], rel=1e-4)
    assert not torch.equal(again, noise) and not torch.equal(again, other)


# --- how like two networks are


def test_likeness_is_agreement_and_the_distance_of_logits():
    """By hand: two of three images alike; logits that all grow by the same are the same prediction."""
    noise = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    output = noise + torch.tensor([[3.0, 0.0, 0.0], [5.0, 5.0, 5.0], [0.0, 6.0, 0.0]])
    agreement, distance = _likeness(output, noise, False)
    assert agreement == {"measure": "agreement", "value": pytest.approx(200 / 3)}
    away = [math.sqrt(2**2 + 1 + 1), 0.0, math.sqrt(4**2 + 2 * 2**2)]
    assert distance == {"measure": "output distance", "value": pytest.approx(sum(away) / 3)}
    assert [row["value"] for row in _likeness(noise, noise, False)] == [100.0, 0.0]


def test_likeness_of_regressions_is_the_mean_distance():
    found = _likeness(torch.tensor([[1.0], [2.0], [-1.0]]), torch.tensor([[0.0], [4.0], [-1.0]]), True)
    assert found == [{"measure": "output distance", "value": 1.0}]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_network_that_diverged_is_like_nothing(bad):
    output = torch.zeros(3, 2)
    output[1, 0] = bad
    assert _likeness(output, torch.zeros(3, 2), False) == _likeness(output, torch.zeros(3, 2), True) == []


def test_smoke_covers_the_controls():
    """Where a cell of a control breaks, the quickest budget is to notice."""
    cells = TRAINING.cells(TRAINING.config("smoke"), 1)
    assert set(CONTROLS) | {AGAIN} <= {c["kind"] for c in cells}
    assert np.isfinite([s for v in TRAINING.config("smoke")["strengths"].values() for s in v.values()]).all()


# --- how far from the noise


def test_distance_from_the_noise_is_in_percent_of_the_baselines():
    """Curves point by point, Jacobian norms layer by layer in parts of the noise's, likeness as measured."""
    rows = []

    def row(kind, measure, value, seed=0, network="mlp", **more):
        variance = 0.0 if kind == BASELINE else more.pop("variance", 0.1)
        point = {"network": network, "activation": "elu", "kind": kind, "operation": "+", "variance": variance}
        rows.append({**point, "measure": measure, "seed": seed, "value": value, **more})

    for seed, far in ((0, 4.0), (1, 6.0)):  # the baseline's distances, 5 on average
        for x in (1, 2):
            row(NOISE, "test loss", 2.0 + x, seed, x=x)
            row(BASELINE, "test loss", 2.0 + x + far * (-1) ** x, seed, x=x)  # crosses: differences must not cancel
            row(REGULARISER, "test loss", 2.0 + x + x, seed, x=x)
        for kind, value in ((BASELINE, 70.0), (REGULARISER, 85.0), (AGAIN, 95.0)):
            row(kind, "agreement", value, seed)
        for kind, value in ((BASELINE, 2.0), (REGULARISER, 1.0)):
            row(kind, "output distance", value, seed)
        for layer, unit in ((0, 1.0), (1, 10.0)):
            for kind, value in ((NOISE, 1.0), (BASELINE, 3.0), (REGULARISER, 1.0 if layer else 2.0)):
                row(kind, "jacobian norm", value * unit, seed, layer=layer)
            for kind, value in ((NOISE, 5.0), (BASELINE, 9.0), (REGULARISER, 7.0 if layer else 3.0)):
                row(kind, "hessian trace", value, seed, SMALL, layer=layer, x=1)  # the parts cancel: Tr H is the same
            row(NOISE, "hessian trace", 1.0, seed, SMALL, layer=layer, x=1, variance=0.01)  # another noise: left out
    found = from_noise(pd.DataFrame(rows)).groupby(["measure", "kind"])["value"].agg(list)
    assert found["test loss", BASELINE] == [80.0, 120.0] and found["test loss", REGULARISER] == [30.0, 30.0]
    assert found["agreement", REGULARISER] == [50.0, 50.0]
    assert found["agreement", AGAIN] == [pytest.approx(100 * 5 / 30)] * 2
    assert found["output distance", REGULARISER] == [50.0, 50.0]
    assert found["jacobian norm", BASELINE] == [100.0, 100.0] and found["jacobian norm", REGULARISER] == [25.0, 25.0]
    assert found["hessian trace", REGULARISER] == [0.0, 0.0]
    assert not {(m, NOISE) for m in ("test loss", "jacobian norm", "hessian trace")} & set(found.index)
