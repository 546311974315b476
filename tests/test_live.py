"""The live panel computes for real where a kernel runs."""

import importlib
import sys

import pytest

from tutorial_lib.papers import wings

widgets = pytest.importorskip("ipywidgets", reason="needs the extra tutorial-lib[live]")


def parts(panel):
    by_name = {w.description: w for w in panel.children if getattr(w, "description", "")}
    label = next(w for w in panel.children if type(w).__name__ == "Label")
    return by_name, label


def test_the_panel_trains_infers_and_keeps_its_networks(monkeypatch):
    from tutorial_lib.papers.activation_noise import explorers, method

    trained, train = [], method.train_autoencoders

    def counting(x, y, noise, **options):
        trained.append((noise.alpha, noise.distribution, options["epochs"]))
        return train(x, y, noise, widths=(4, 4, 4), **options)

    monkeypatch.setattr(method, "train_autoencoders", counting)
    controls, message = parts(explorers.live())
    assert {"α at training", "α at inference", "distribution", "samples n", "epochs"} <= set(controls)
    controls["epochs"].value, controls["samples n"].value = 1, 3
    controls["α at training"].value, controls["distribution"].value = 0.9, "uniform"
    button = controls["Train and infer"]
    button.click()
    assert trained == [(0.9, "uniform", 1)] and "% with 3 samples" in message.value
    controls["α at inference"].value = 0.0
    button.click()
    assert len(trained) == 1 and "% with 1 samples" in message.value  # no new training; no noise, one sample
    assert not button.disabled


def test_the_panel_of_explicit_regularisation_trains_and_keeps_its_networks(monkeypatch):
    from tutorial_lib.papers.explicit_reg import explorers, sweeps

    trained, train = [], sweeps.train

    def counting(model, x, y, kind, variance, *arguments):
        trained.append((kind, variance))
        return train(model, x[:64], y[:64], kind, variance, *arguments)

    monkeypatch.setattr(sweeps, "train", counting)
    controls, message = parts(explorers.live())
    assert {"training", "variance σ²", "activation", "epochs"} <= set(controls)
    controls["epochs"].value, controls["training"].value, controls["variance σ²"].value = 1, "regulariser", 0.2
    controls["Train"].click()
    controls["Train"].click()  # the same again: nothing to train
    assert trained == [("regulariser", 0.2)] and "regulariser, elu, σ² = 0.2: test loss" in message.value
    controls["training"].value = "baseline"
    controls["Train"].click()
    assert trained[1:] == [("baseline", 0.2)] and not controls["Train"].disabled


def test_the_panel_of_noise_injection_nodes_trains_and_keeps_its_networks(monkeypatch):
    from tutorial_lib.papers.ninr import explorers, sweeps

    equipped, equip = [], sweeps.equip

    def counting(model, x, *arguments):
        equipped.append(arguments)
        return equip(model, x, *arguments)

    monkeypatch.setattr(sweeps, "equip", counting)
    controls, message = parts(explorers.live())
    assert {"training", "σ_ε", "distribution", "epochs"} <= set(controls)
    controls["epochs"].value, controls["σ_ε"].value, controls["distribution"].value = 1, 20.0, "uniform"
    controls["Train"].click()
    controls["Train"].click()  # the same again: nothing to train
    assert equipped == [("in-NINR", 20.0, "uniform")] and "in-NINR, σ_ε = 20, uniform: loss" in message.value
    start, end = (float(v) for v in message.value.split("|W_NI| ")[1].split(",")[0].split(" to "))
    assert 0 < end < start
    controls["training"].value = "CDT"
    controls["Train"].click()
    assert equipped[1:] == [("CDT", 0.4, "uniform")] and not controls["Train"].disabled


PANELS = [m for m in (importlib.import_module(f"{wing.__name__}.explorers") for wing in wings()) if hasattr(m, "live")]


@pytest.mark.parametrize("explorers", PANELS, ids=lambda module: module.__name__.split(".")[-2])
def test_the_panel_says_what_it_needs(monkeypatch, explorers):
    """By its name on PyPI; the book's own package is not there, and anybody could take its name."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match="pip install ipywidgets"):
        explorers.live()
