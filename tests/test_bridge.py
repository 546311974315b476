"""The bridge: every way of training is what its chapter says; strengths are chosen by validation images alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tutorial_lib import mlp
from tutorial_lib.data import held_out, load_data
from tutorial_lib.inject import injected
from tutorial_lib.measure import corrupt
from tutorial_lib.papers import claims as all_claims
from tutorial_lib.papers.bridge import choice, claims, figures, method
from tutorial_lib.papers.bridge.sweeps import ALL, BRIDGE, FEW, way_cell
from tutorial_lib.verdicts import judge

CONFIG = {**BRIDGE.config("smoke"), "folder": "data", "device": "cpu"}


def trained(way, strength=None, seed=0, **changed):
    data = load_data("digits")
    x, y = data.x_train[:100], data.y_train[:100]
    strength = method.WAYS[way].strengths[-1] if strength is None else strength
    return method.train({**CONFIG, **changed}, way, strength, x, y, seed)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("way", [w for w in method.WAYS if w != method.NONE])
def test_every_way_begins_at_the_same_weights_and_ends_elsewhere(way):
    """Else a comparison compares starts; or the way was never switched on."""
    start = [trained(w, updates=0, batch_size=100, lr=0.0) for w in (method.NONE, way)]
    layers = [[layer.weight for layer in model if isinstance(layer, nn.Linear)] for model in start]
    assert all(torch.equal(a, b) for a, b in zip(*layers, strict=True))
    plain, noisy = (trained(w) for w in (method.NONE, way))
    ends = [torch.cat([p.weight.flatten() for p in m if isinstance(p, nn.Linear)]) for m in (plain, noisy)]
    assert (ends[0] - ends[1]).abs().max() > 1e-4


def test_strengths_go_from_weak_to_strong():
    assert all(list(way.strengths) == sorted(way.strengths) for way in method.WAYS.values())
    assert {len(way.strengths) for name, way in method.WAYS.items() if name != method.NONE} == {5}


def test_only_activation_noise_is_noisy_at_inference():
    x = torch.randn(20, 1, 8, 8)
    for way in method.WAYS:
        model = trained(way)
        same = torch.equal(method.chances(model, x, 2), method.chances(model, x, 2))
        assert same == (way != method.ACTIVATION), way
        with method.quiet(model):
            assert torch.equal(model(x), model(x)), way
        assert all(getattr(layer, "enabled", True) for layer in injected(model).values())


def test_chances_are_means_of_probabilities():
    model = trained(method.ACTIVATION, 0.9)
    x = torch.randn(3, 1, 8, 8)
    torch.manual_seed(0)
    found = method.chances(model, x, 50)
    torch.manual_seed(0)
    with torch.no_grad():
        passes = torch.stack([model(x).softmax(1) for _ in range(50)])
    assert torch.allclose(found, passes.mean(0), atol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(3), atol=1e-5)


def test_margins_are_distances_to_the_border():
    """For a linear network the first order is exact: moving by the margin lands on the border."""
    torch.manual_seed(0)
    model = mlp(5, 4, ()).double()
    x = torch.randn(30, 5, dtype=torch.float64)
    y = model(x).argmax(1)
    found = method.margins(model, x, y)
    assert (found >= 0).all()
    directions = torch.randn(2000, 5, dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    for i in range(3):
        inside = x[i] + 0.999 * found[i] * directions
        assert (model(inside).argmax(1) == y[i]).all()
        w = model[-1].weight
        rows = w[y[i]] - w
        j = ((model(x[i : i + 1])[0, y[i]] - model(x[i : i + 1])[0]) / rows.norm(dim=1)).nan_to_num(torch.inf)
        j[y[i]] = torch.inf
        out = x[i] - 1.001 * found[i] * rows[j.argmin()] / rows[j.argmin()].norm()
        assert model(out[None]).argmax() != y[i]
    wrong = (y + 1) % 4
    assert (method.margins(model, x, wrong) <= 0).all()


def test_what_is_measured_is_in_its_range_and_repeats():
    model, data = trained("dropout"), load_data("digits")
    x, y = data.x_test[:60], data.y_test[:60]
    found = method.measured(CONFIG, model, x, y, 0)
    assert set(found) == set(method.NEEDS) - {"shifted"}
    assert found == method.measured(CONFIG, model, x, y, 0)
    assert all(0 <= found[need] <= 100 for need in ("clean", "corrupted", "attacked", "calibration"))
    assert found["attacked"] <= found["clean"]


def test_a_network_that_diverged_has_no_numbers():
    model = trained(method.NONE)
    with torch.no_grad():
        model.linear1.weight.fill_(torch.nan)
    assert method.measured(CONFIG, model, torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=int), 0) == {}


def test_validation_images_are_the_same_for_few_and_all_and_none_is_trained_on():
    data = load_data("digits", seed=0, train=300, test=60)
    left, x_valid, _ = held_out(data, CONFIG["validation"], 0)
    rows = {tuple(image.flatten().tolist()) for image in left.x_train}
    assert not any(tuple(image.flatten().tolist()) in rows for image in x_valid)
    few, everything = (way_cell({**CONFIG, "few": len(left.x_train)}, "none", 0.0, images, 0) for images in (FEW, ALL))
    assert few == everything, "few images that are all of them must give what all give"


def made(values: dict) -> pd.DataFrame:
    """A table from {(images, way, strength, part, need): values by seed}."""
    names = ["images", "way", "strength", "part", "need"]
    rows = [
        {**dict(zip(names, key, strict=True)), "seed": seed, "value": value}
        for key, series in values.items()
        for seed, value in enumerate(series)
    ]
    return pd.DataFrame(rows)


def both(way, strength, validation, test, need="clean", images=ALL):
    return {
        (images, way, strength, "validation", need): validation,
        (images, way, strength, "test", need): test,
    }


def test_the_choice_looks_at_validation_images_alone():
    table = made({
        **both("none", 0.0, [90, 90], [90, 90]),
        **both("dropout", 0.1, [92, 92], [80, 80]),
        **both("dropout", 0.5, [91, 91], [99, 99]),
    })  # fmt: skip
    found = choice.chosen(table, "clean").set_index("way")["strength"]
    assert found["dropout"] == 0.1
    assert choice.gains(table, "clean")[ALL, "dropout"].tolist() == [-10, -10]


def test_of_equals_the_weaker_is_chosen_and_less_is_better_for_some_needs():
    table = made({
        **both("dropout", 0.5, [3.0], [1.0], "calibration"), **both("dropout", 0.1, [3.0], [2.0], "calibration"),
        **both("dropout", 0.7, [4.0], [0.0], "calibration"), **both("none", 0.0, [9.0], [5.0], "calibration"),
    })  # fmt: skip
    assert choice.chosen(table, "calibration").set_index("way")["strength"]["dropout"] == 0.1
    assert choice.gains(table, "calibration")[ALL, "dropout"].tolist() == [3.0]


def test_a_strength_that_diverged_comes_last():
    table = made({**both("L2", 1.0, [99], [99]), **both("L2", 0.1, [50, 50], [50, 50])})
    assert choice.chosen(table, "clean")["strength"].tolist() == [0.1]


def test_shifted_images_are_met_with_the_choice_for_clean_ones():
    table = made({
        **both("none", 0.0, [9], [9]), **both("L2", 0.1, [8], [8]), **both("L2", 0.2, [7], [7]),
        (ALL, "none", 0.0, "test", "shifted"): [5], (ALL, "L2", 0.1, "test", "shifted"): [6],
        (ALL, "L2", 0.2, "test", "shifted"): [9],
    })  # fmt: skip
    assert choice.gains(table, "shifted")[ALL, "L2"].tolist() == [1]


def verdict(claim, table):
    return judge(claim.rule(table), claim.kind, claim.delta)["verdict"]


CLAIMS = {claim.id: claim for claim in claims.CLAIMS}


@pytest.mark.parametrize(
    ("gain", "expected"),
    [([5, 6, 5, 6, 5], "holds"), ([-5, -6, -5, -6, -5], "contradicted"), ([1, -1, 1, -1, 0], "not decided")],
)
def test_whether_a_way_helps(gain, expected):
    noise = np.array([90, 91, 92, 90, 91])
    table = made({**both("none", 0.0, noise, noise), **both("dropout", 0.1, noise + gain, noise + gain)})
    assert verdict(CLAIMS["every-way-helps-clean"], table) == expected
    better = made({
        **both("none", 0.0, noise, noise, "calibration"),
        **both("dropout", 0.1, noise - gain, noise - gain, "calibration"),
    })  # fmt: skip
    assert verdict(CLAIMS["every-way-helps-calibration"], better) == expected


@pytest.mark.parametrize(
    ("gap", "expected"),
    [([0.1, -0.1, 0.1, -0.1, 0.0], "holds"), ([2.0, 2.1, 2.0, 2.1, 2.0], "contradicted"),
     ([0.6, -0.6, 0.9, -0.8, 0.1], "not decided")],
)  # fmt: skip
def test_whether_two_ways_are_alike(gap, expected):
    """δ of clean accuracy is half a point: a gap of 0.1 is inside, one of 2 outside."""
    base = np.array([90.0, 91, 92, 90, 91])
    table = made({**both("dropout", 0.1, base, base), **both("random dropout", 0.2, base + gap, base + gap)})
    assert verdict(CLAIMS["random-dropout-is-dropout"], table) == expected


def test_claims_are_the_bridges_own_and_on_the_board():
    ids = [claim.id for claim in all_claims()]
    assert all(ids.count(claim.id) == 1 for claim in claims.CLAIMS)
    assert all(claim.paper == "bridge" and claim.reported is None for claim in claims.CLAIMS)


def test_figures_are_drawn_of_a_smoke_table():
    cells = [cell for cell in BRIDGE.cells(CONFIG) if cell["images"] == ALL and cell["way"] in ("none", "dropout")]
    rows = [{**cell, **row} for cell in cells for row in BRIDGE.cell(CONFIG, **cell)]
    table = pd.DataFrame(rows)
    assert len(figures.draw_needs(table, "digits")) == 2
    assert figures.draw_gains(table, "digits").axes and figures.draw_strengths(table, "digits").axes


def test_corruption_is_that_of_the_chapter_on_noise_nodes():
    """√(1 - σ²) x + σ δ, not x + σ δ: the spread of standardised images stays."""
    x = torch.randn(2000, 10, generator=torch.Generator().manual_seed(5))
    assert method.corrupted(x, 0.8, 0).std() == pytest.approx(1, abs=0.02)
    assert corrupt(x, 0.8, 0).std() > 1.2
