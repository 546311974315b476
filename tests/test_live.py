"""The live panel computes for real where a kernel runs."""

import pytest

widgets = pytest.importorskip("ipywidgets", reason="needs the extra tutorial-lib[live]")


def parts(panel):
    by_name = {w.description: w for w in panel.children if getattr(w, "description", "")}
    label = next(w for w in panel.children if type(w).__name__ == "Label")
    return by_name, label


def test_the_panel_trains_infers_and_keeps_its_networks(monkeypatch):
    from tutorial_lib.papers.activation_noise import explorers, method

    trained, train = [], method.train_autoencoders

    def counting(*arguments, **options):
        trained.append((options["alpha"], options["distribution"], options["epochs"]))
        return train(*arguments, widths=(4, 4, 4), **options)

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


def test_the_panel_says_which_extra_it_needs(monkeypatch):
    import sys

    from tutorial_lib.papers.activation_noise import explorers

    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ImportError, match=r"tutorial-lib\[live\]"):
        explorers.live()
