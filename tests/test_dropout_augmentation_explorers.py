"""Explorers of "Dropout as Data Augmentation": what is shipped, and that the page computes what Python computes.

The pages are written here, so that no built book is needed; Chromium is, with every outside request blocked.
"""

import base64
import csv
import re

import numpy as np
import pandas as pd
import pytest
import torch
from test_book import CHROMIUM, Page, browser, control  # noqa: F401

from tutorial_lib.data import load_data
from tutorial_lib.errors import InputError
from tutorial_lib.papers.dropout_augmentation import explorers, layers, page
from tutorial_lib.papers.dropout_augmentation.existence import (
    EXISTS,
    NONE,
    UNDECIDED,
    decide,
    nearest,
    smallest_violation,
)
from tutorial_lib.papers.dropout_augmentation.explorers import densities, x_star
from tutorial_lib.papers.dropout_augmentation.layers import PICTURES, autoencoder
from tutorial_lib.papers.dropout_augmentation.method import (
    back_project,
    dropped,
    equal_level,
    noise_variance,
)
from tutorial_lib.papers.dropout_augmentation.sweeps import DROPOUT
from tutorial_lib.sweep import RESULTS

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test the explorers")
COMPUTED = (x_star, densities)  # by the page itself
AT_START = ["3", 0, "descent at 50", 20]


# --- what is shipped


def test_the_layer_that_ships_is_the_one_that_the_module_describes():
    layer, data = page.shipped_layer(), load_data("digits")
    assert layer.weight.shape == (100, 64) and layer.bias.shape == (100,) and layer.images.shape == (10, 64)
    assert {array.dtype for array in (layer.weight, layer.bias, layer.images)} == {np.dtype(np.float16)}
    assert layer.about["seed"] == 0 and layer.about["scheme"] == DROPOUT and layer.about["date"]
    assert layer.about["command"] == page.COMMAND and layer.about["dataset"]["sha256"] == data.sha256
    config = PICTURES.config("desk", "digits")
    shaping = ("dataset", "p", "components", "momentum", "lr", "units", "epochs", "data")
    assert {k: layer.about["configuration"][k] for k in shaping} == {k: config[k] for k in shaping}
    assert page.path_in(RESULTS).stat().st_size <= 16_000
    # the first of each class, looked for in another way; sixteenths are exact in half precision
    labels = data.y_test.tolist()
    first = [labels.index(k) for k in range(10)]
    assert layer.labels.tolist() == list(range(10))
    assert torch.equal(torch.tensor(layer.images.astype(np.float32)), data.x_test[first].flatten(1))


def test_the_module_trains_as_the_sweep_does(monkeypatch, tmp_path, capsys):
    """At `smoke`: the encoder is that of the sweep's own cell, rounded; what is written is what is read."""
    config, seen, real = PICTURES.config("smoke"), [], layers.trained
    monkeypatch.setattr(layers, "trained", lambda *a, **k: seen.append(real(*a, **k)) or seen[-1])
    layers.pictures_cell({**config, "folder": "data", "device": "cpu"}, DROPOUT, 0)
    made = page.make(config)
    assert np.array_equal(made.weight, seen[0][0].weight.numpy().astype(np.float16))
    assert np.array_equal(made.bias, seen[0][0].bias.numpy().astype(np.float16))
    monkeypatch.setattr(page, "make", lambda *_: made)
    assert page.main(["--out", str(tmp_path)]) == 0
    assert str(page.path_in(tmp_path)) in capsys.readouterr().out
    read = page.shipped_layer(tmp_path)
    assert read.about == made.about and np.array_equal(read.images, made.images)

    def refuse(*_):
        raise InputError("no data")

    monkeypatch.setattr(page, "make", refuse)
    assert page.main(["--out", str(tmp_path)]) == 2 and "no data" in capsys.readouterr().err


def test_the_layer_is_the_one_of_the_shipped_pictures():
    """Where the sweep's table has been shipped: the weights of its most active features, in bytes."""
    table = RESULTS / PICTURES.name / "digits-desk.csv"
    if not table.exists():
        pytest.skip(f"no table {table} yet")
    rows = pd.read_csv(table)
    rows = rows[(rows["measure"] == "feature") & (rows["scheme"] == DROPOUT) & (rows["seed"] == 0)]
    layer = page.shipped_layer()
    weight = layer.weight.astype(np.float64)
    ours = np.round(255 * (0.5 + weight / np.abs(weight).max(1, keepdims=True) / 2))
    assert len(rows)
    for text in rows["text"]:
        shown = np.frombuffer(base64.b64decode(text), np.uint8).astype(float)
        assert np.abs(ours - shown).max(1).min() <= 2


def test_explorers_are_small_and_have_a_picture():
    assert {x_star, densities} < set(explorers.EXPLORERS)
    for make in COMPUTED:
        found = make().html
        assert len(found.encode()) <= 100_000 and '<img alt="' in found and "LAYER" not in found


# --- in a browser


def written(tmp_path, *makers) -> str:
    """A page as the book's, with these explorers; its name for `Page`."""
    shown = "".join(make().html for make in makers)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Explorers</title>'
    body = f'<main><h1>Explorers</h1><article class="bd-article">{shown}</article></main>'
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><html lang="en">{head}<body>{body}', encoding="utf-8")
    return str(path.with_suffix(""))


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    return written(tmp_path_factory.mktemp("explorers"), *COMPUTED)


@pytest.fixture(scope="module")
def opened(browser, name):  # noqa: F811
    with Page(browser, name, viewport={"width": 1280, "height": 800}) as page_:
        yield page_
        assert page_.errors == [] and page_.outside == []


def found_in(opened, title):
    root = opened.page.locator(".tl-explorer", has=opened.page.get_by_role("group", name=f"{title}: controls"))
    root.wait_for(timeout=10_000)
    return root


def star(opened):
    root = found_in(opened, "Switch a unit off and see which image would have done it")
    root.get_by_role("button", name="Reset").click()
    return root


FOLLOW = """states => states.map(state => {
    const f = document.querySelector('.tl-xstar').follow(state), list = v => Array.from(v);
    return { off: f.off, x: list(f.x), wanted: list(f.wanted), reached: list(f.reached), xStar: list(f.xStar),
      exact: { ...f.exact, x: list(f.exact.x) }, lefts: f.trail.map(s => s.left), end: list(f.trail[60].x),
      left: f.left, outside: list(f.outside) };
})"""


@pytest.fixture(scope="module")
def encoder():
    """The shipped layer as torch's, in double precision, and its digits."""
    layer = page.shipped_layer()
    model = autoencoder(64, 100).double().requires_grad_(False)
    model[0].weight.copy_(torch.tensor(layer.weight))
    model[0].bias.copy_(torch.tensor(layer.bias))
    return model, torch.tensor(layer.images, dtype=torch.float64)


def asked(encoder, states, seen):
    """Digits, activations and what is wanted, by torch, from the units that the page says are off."""
    model, images = encoder
    x = images[[int(state["digit"]) for state in states]]
    a = model[:2](x)
    scale = torch.tensor([[1 / (1 - s["p"]) if s["scale"].startswith("times") else 1.0] for s in states])
    return x, a, a * ~torch.tensor([f["off"] for f in seen]) * scale


@in_browser
def test_the_page_descends_as_torch_does(opened, encoder):
    states = [
        {"digit": str(d), "p": p, "draw": d + 1, "how": f"descent at {rate}", "steps": 60, "scale": scale}
        for d, (p, rate, scale) in enumerate(
            [(0, 100, ""), (0.1, 50, ""), (0.3, 100, ""), (0.5, 50, ""), (0.5, 100, "times 1/(1 − p)"), (0.9, 50, "")]
        )
    ]
    seen = opened.page.evaluate(FOLLOW, states)
    x, a, wanted = asked(encoder, states, seen)
    model = encoder[0]
    for i, (state, f) in enumerate(zip(states, seen, strict=True)):
        rate = float(state["how"].split()[-1])
        part, whole = wanted[i : i + 1], (a[i] - wanted[i]).norm()
        assert f["x"] == x[i].tolist() and f["wanted"] == pytest.approx(part[0].tolist(), abs=1e-12)
        for steps in (1, 7, 60):
            there = back_project(model, x[i : i + 1], [part], steps=steps, rates=[rate], mean_over="units")
            left = ((model[:2](there) - part).norm() / whole).item()
            assert f["lefts"][steps] == pytest.approx(left, abs=1e-6), (state, steps)
        assert f["end"] == pytest.approx(there[0].tolist(), abs=1e-6) == f["xStar"]
        assert f["lefts"][0] == pytest.approx(1) and f["left"] == f["lefts"][60]
        outside = ((there < -0.1).int() + (there > 1.1).int()).sum().item()
        assert sum(map(abs, f["outside"])) == outside


@in_browser
def test_the_page_decides_as_torch_does(opened, encoder):
    states = [
        {"digit": str(d), "p": p, "draw": 3 * d + 1, "scale": scale}
        for d in range(10) for p, scale in ((0, ""), (0.1, ""), (0.5, ""), (0.3, "times 1/(1 − p)"))
    ]  # fmt: skip
    states.append({"digit": "3", "p": 0.05, "draw": 9, "scale": ""})  # the search ends before it can say
    seen = opened.page.evaluate(FOLLOW, states)
    x, _, wanted = asked(encoder, states, seen)
    model = encoder[0]
    found, worst, bound = nearest(model[0].weight, model[0].bias, x, wanted)
    answers = decide(x, wanted, worst, bound)
    assert [f["exact"]["verdict"] for f in seen] == answers and {EXISTS, NONE, UNDECIDED} == set(answers)
    for i, f in enumerate(seen):
        assert f["exact"]["bound"] == pytest.approx(bound[i].item(), rel=1e-4)
        # where none exists, the lowest point is flat in some directions
        assert f["exact"]["x"] == pytest.approx(found[i].tolist(), abs=1e-5 if answers[i] == EXISTS else 1e-2)
        if answers[i] == EXISTS:
            assert f["left"] < 1e-5 and f["reached"] == pytest.approx(wanted[i].tolist(), abs=1e-5)
    # the linear program, which shares nothing with it, on one of each
    for answer in (EXISTS, NONE):
        low, high = smallest_violation(model[0].weight, model[0].bias, wanted[answers.index(answer)])
        assert high < 1e-6 if answer == EXISTS else low > 1e-6


@in_browser
def test_masks_are_drawn_at_p_and_grow_with_it(opened):
    levels = [0.05, 0.25, 0.5, 0.9]
    states = [{"p": p, "draw": draw} for draw in range(1, 31) for p in levels]
    off = np.array([f["off"] for f in opened.page.evaluate(FOLLOW, states)]).reshape(30, len(levels), 100)
    assert (off[:, 1:] >= off[:, :-1]).all()
    for share, p in zip(off.mean((0, 2)), levels, strict=True):
        assert abs(share - p) < 4 * (p * (1 - p) / 3000) ** 0.5
    assert len({row.tobytes() for row in off[:, 2]}) == 30
    assert abs(np.corrcoef(off[:, 2].astype(float).T) - np.eye(100)).mean() < 0.2  # units are drawn apart
    (one, none, own, spoilt) = opened.page.evaluate(
        FOLLOW, [{"units": ""}, {"units": "-"}, {"p": 0.5, "units": "1.~2.100"}, {"units": "0.101.x"}]
    )
    assert np.flatnonzero(one["off"]).tolist() == [np.argmax(one["reached"] if not any(one["off"]) else none["wanted"])]
    assert not any(none["off"]) and none["left"] == 0 and none["xStar"] == none["x"] and not any(spoilt["off"])
    assert own["off"][0] and not own["off"][1] and own["off"][99]


def unit(root, number):
    return root.locator(f"[data-unit='{number}']")


def off(root) -> list[int]:
    return root.locator("[data-off=true]").evaluate_all("els => els.map(e => Number(e.dataset.unit))")


@in_browser
def test_a_click_and_the_keyboard_switch_units(opened, encoder):
    root, keys = star(opened), opened.page.keyboard
    (first,) = off(root)
    a = encoder[0][:2](encoder[1][3])
    assert first == a.argmax().item() + 1
    other = a.topk(2).indices[1].item() + 1
    told = root.locator(".tl-readout")
    assert "1 of 56 active" in told.inner_text()
    unit(root, other).click()
    assert off(root) == sorted([first, other]) and unit(root, other).get_attribute("aria-pressed") == "true"
    assert "2 of 56 active" in told.inner_text()
    unit(root, first).click()
    assert off(root) == [other]
    focused = "() => Number(document.activeElement.dataset.unit)"
    unit(root, 45).focus()
    for key, at in (
        *(("ArrowRight", 46), ("ArrowDown", 56), ("ArrowLeft", 55), ("ArrowUp", 45), ("End", 100)),
        *(("ArrowDown", 100), ("ArrowRight", 100), ("Home", 1), ("ArrowUp", 1), ("ArrowLeft", 1)),
    ):
        keys.press(key)
        assert opened.page.evaluate(focused) == at
        assert root.locator("[data-unit][tabindex='0']").count() == 1
    keys.press("Space")
    assert off(root) == sorted([1, other]) and opened.page.evaluate(focused) == 1
    keys.press("Enter")
    assert off(root) == [other]
    keys.press("Tab")  # the units are one stop
    assert opened.page.evaluate(focused) != 2
    unit(root, 8).hover()
    assert "unit 8, its weights" in root.locator(".tl-xstar").text_content()
    mark = root.locator("[data-wanted]").first.bounding_box()  # the strongest of the units that are kept
    opened.page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + 20)
    assert f"unit {first}, its weights" in root.locator(".tl-xstar").text_content()


@in_browser
def test_what_is_drawn_is_what_is_computed(opened):
    root = star(opened)
    digit, p, how, steps = AT_START
    (f,) = opened.page.evaluate(FOLLOW, [{"digit": digit, "p": p, "how": how, "steps": steps}])
    dot = root.locator("[data-step]")
    assert float(dot.get_attribute("data-left")) == f["left"] and dot.get_attribute("data-step") == str(steps)
    assert f"{f['left']:.2f} of the change left" in root.locator(".tl-readout").inner_text()
    assert root.locator("[data-outside]").count() == sum(map(abs, f["outside"]))
    assert root.locator("[data-verdict]").get_attribute("data-verdict") == f["exact"]["verdict"] == NONE
    numbers = "(els, name) => els.map(e => Number(e.dataset[name]))"
    root.get_by_role("button", name="Half off").click()
    kept = root.locator("[data-wanted]").evaluate_all(numbers, "wanted")
    control(root, "scale").select_option("times 1/(1 − p)")
    doubled = root.locator("[data-wanted]").evaluate_all(numbers, "wanted")
    assert doubled == pytest.approx([2 * v for v in kept]) and max(kept) > 0.5
    control(root, "scale").select_option("as they are")
    control(root, "how").select_option("solved exactly")
    wanted = root.locator("[data-wanted]").evaluate_all(numbers, "wanted")
    reached = root.locator("[data-reached]").evaluate_all(numbers, "reached")
    assert len(wanted) == len(reached) == 56 and wanted == pytest.approx(reached, abs=1e-6)
    assert root.locator("[data-verdict]").get_attribute("data-verdict") == EXISTS
    assert root.locator("[data-step]").count() == 0
    root.get_by_role("button", name="None off").click()
    assert "x itself does it" in root.locator(".tl-readout").inner_text() and off(root) == []
    assert "NaN" not in root.inner_html()


@in_browser
def test_a_link_keeps_the_digit_the_mask_and_the_readers_own_switches(browser, name):  # noqa: F811
    with Page(browser, name) as first:
        root = star(first)
        assert "#" not in first.page.url
        control(root, "digit").select_option("7")
        root.get_by_role("button", name="Half off").click()
        for number in (1, 2, 3):
            unit(root, number).click()
        before, address = (off(root), root.locator(".tl-readout").inner_text()), first.page.url
        assert "units=" in address and first.errors == []
    with Page(browser, name) as second:
        second.page.goto(address)
        second.page.reload()
        root = found_in(second, "Switch a unit off and see which image would have done it")
        assert (off(root), root.locator(".tl-readout").inner_text()) == before
        root.get_by_role("button", name="Reset").click()
        assert "#" not in second.page.url and len(off(root)) == 1
        second.page.goto(re.sub("units=[^&]*", "units=!!", address))  # spoilt: nothing is the reader's own
        assert second.errors == [] and 30 < len(off(root)) < 70 and off(root) != before[0]


@in_browser
def test_a_redraw_leaves_nothing_behind_and_few_things_there(opened):
    root = star(opened)
    root.get_by_role("button", name="Half off").click()
    count = root.locator("*").count()
    control(root, "steps").evaluate("e => { for (let k = 0; k < 5; k++) e.dispatchEvent(new Event('input')); }")
    assert root.locator("*").count() == count and root.locator(".tl-figure *").count() < 1500
    assert root.locator(".tl-legend > *").count() == 0


@in_browser
def test_it_fits_a_laptop_and_a_phone_and_answers_a_finger(browser, name):  # noqa: F811
    with Page(browser, name, viewport={"width": 1280, "height": 800}) as wide:
        root = star(wide)
        top, end = root.bounding_box()["y"], root.locator(".tl-readout").bounding_box()
        assert end["y"] + end["height"] - top <= 760
    with Page(browser, name, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as phone:
        root = star(phone)
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 391
        box = unit(root, 12).bounding_box()
        assert min(box["width"], box["height"]) >= 24
        before = off(root)
        unit(root, 12).tap()
        assert off(root) == sorted([*before, 12]) and phone.errors == []


@in_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(opened, theme):
    from axe_playwright_python.sync_playwright import Axe

    wear = """([theme, paper, ink]) => {
        document.documentElement.dataset.theme = theme;
        Object.assign(document.body.style, { background: paper, color: ink });
    }"""
    looks = {"light": ["light", "#fff", "#000"], "dark": ["dark", "#14181e", "#eee"]}
    opened.page.evaluate(wear, looks[theme])
    root = star(opened)
    root.get_by_role("button", name="Half off").click()
    found = Axe().run(opened.page).response["violations"]
    opened.page.evaluate(wear, looks["light"])
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []


def rows_of(opened, root, tmp_path) -> pd.DataFrame:
    """The file that an explorer gives away."""
    with opened.page.expect_download() as download:
        root.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file, strict=True)
    table = pd.DataFrame(rows).iloc[:, :4].set_axis(["panel", "series", "x", "value"], axis=1)
    return table.astype({"x": float, "value": float})


@in_browser
@pytest.mark.parametrize(("n", "p"), [(10, 0.05), (100, 0.5), (500, 0.75), (1000, 0.9), (1000, 0.05)])
def test_densities_are_those_of_python(opened, tmp_path, n, p):
    root = found_in(opened, "How many units are dropped")
    for column, value in (("n", n), ("p", p)):
        stops = [10, 20, 50, 100, 200, 500, 1000] if column == "n" else [round(0.05 * k, 2) for k in range(1, 19)]
        control(root, column).evaluate(
            "(e, at) => { e.value = at; e.dispatchEvent(new Event('input')); }", stops.index(value)
        )
        assert float(control(root, column).get_attribute("aria-valuetext")) == value
    rows, q = rows_of(opened, root, tmp_path), equal_level(p)
    law = rows[rows["panel"] == "law"]
    plain, drawn, equal = (law[law["series"] == name] for name in law["series"].unique())
    assert drawn["series"].iloc[0] == "random dropout"
    for part, level, random in ((plain, p, False), (drawn, p, True), (equal, q, False)):
        assert part["x"].tolist() == pytest.approx((np.arange(n + 1) / n).tolist())
        exact = n * dropped(n, level, random)
        assert part["value"].to_numpy() == pytest.approx(exact, rel=1e-9, abs=1e-200)
        assert part["value"].sum() / n == pytest.approx(1)
    spread = rows[rows["panel"] == "variance"]
    for name, random in (("dropout", False), ("random dropout", True)):
        values = spread[spread["series"] == name]
        assert values["value"].tolist() == pytest.approx([noise_variance(v, random) for v in values["x"]])
    k = np.arange(n + 1)
    told = root.locator(".tl-readout").inner_text()
    for random, said in zip((False, True), re.findall(r"([\d.]+) ± ([\d.]+)", told), strict=True):
        weights = dropped(n, p, random)
        mean = (k * weights).sum()
        exact = mean, ((k - mean) ** 2 * weights).sum() ** 0.5
        assert [float(v) for v in said] == pytest.approx(exact, abs=0.0501)
    assert f"q = {q:.3f}" in told and f"{noise_variance(p):.3f} against {noise_variance(p, True):.3f}" in told
    assert root.locator("[data-mark]").get_attribute("data-mark") == f"{p:g}"


@in_browser
def test_the_papers_level_is_a_preset(opened):
    root = found_in(opened, "How many units are dropped")
    root.get_by_role("button", name="Reset").click()
    told = root.locator(".tl-readout").inner_text()
    control(root, "p").focus()
    opened.page.keyboard.press("End")
    assert root.locator(".tl-readout").inner_text() != told
    root.get_by_role("button", name="The paper's p = 0.5").click()
    assert root.locator(".tl-readout").inner_text() == told and "0.386" in told


@in_browser
def test_without_scripts_there_is_a_picture(browser, name):  # noqa: F811
    with Page(browser, name, java_script_enabled=False) as plain:
        pictures = plain.page.locator(".tl-explorer img")
        assert pictures.count() == 2
        for k in range(2):
            assert pictures.nth(k).is_visible() and pictures.nth(k).bounding_box()["width"] > 400


@in_browser
def test_the_picture_to_take_away_shows_everything(opened, tmp_path):
    from PIL import Image

    root = star(opened)
    with opened.page.expect_download() as download:
        root.get_by_role("button", name="Save PNG").click()
    download.value.save_as(tmp_path / "picture.png")
    picture = Image.open(tmp_path / "picture.png").convert("RGB")
    figure = root.locator(".tl-figure").bounding_box()
    assert picture.width == pytest.approx(2 * figure["width"], abs=3) and len(picture.getcolors(1 << 20)) > 50


def made_up_errors():
    rows = [("A", "none", 0.0, 0.0, 9.0), ("B", "none", 0.0, 0.0, 8.0)]
    rows += [
        ("A", "dropout", h, i, 10 * h + i) for h, i in ((0.25, 0.0), (0.5, 0.0), (0.5, 0.2), (0.2, 0.2), (0.0, 0.2))
    ]
    rows += [("A", "random dropout", 0.4, 0.4, 3.0), ("A", "x*", 0.5, 0.0, 7.0)]
    names = ["network", "kind", "hidden", "input", "value"]
    return pd.concat([pd.DataFrame(rows, columns=names).assign(seed=seed) for seed in (0, 1)], ignore_index=True)


def test_errors_stand_in_the_view_that_their_noise_belongs_to():
    """A point of another column of Fig. 6 on a line, or the networks without noise missing at level 0."""
    found = explorers.by_view(made_up_errors())
    lines = {
        (view, kind): list(zip(part["level"], part["value"], strict=True))
        for (view, kind), part in found.sort_values("level").groupby(["view", "kind"])
    }
    assert set(found["network"]) == {"A"} and (found["seeds"] == 2).all()
    assert lines["hidden layers", "dropout"] == [(0.0, 9.0), (0.25, 2.5), (0.5, 5.0)]
    assert lines["hidden layers", "x*"] == [(0.0, 9.0), (0.5, 7.0)]
    assert lines["hidden layers, 0.2 behind the input", "dropout"] == [(0.0, 0.2), (0.2, 2.2), (0.5, 5.2)]
    assert lines["input, 0.5 behind hidden layers", "dropout"] == [(0.0, 5.0), (0.2, 5.2)]
    assert lines["input and hidden layers", "dropout"] == [(0.0, 9.0), (0.2, 2.2)]
    assert lines["input and hidden layers", "random dropout"] == [(0.0, 9.0), (0.4, 3.0)]
    assert len(lines) == 6


def test_the_panel_trains_in_the_ways_of_the_sweep(monkeypatch):
    from test_live import parts

    from tutorial_lib.papers.dropout_augmentation import sweeps

    calls, equip = [], sweeps.equip
    monkeypatch.setattr(sweeps, "equip", lambda model, *rest: calls.append(rest) or equip(model, *rest))
    controls, message = parts(explorers.live())
    assert {"training", "level p", "noise behind", "network", "epochs"} <= set(controls)
    controls["epochs"].value, controls["network"].value = 2, "64-64"
    controls["noise behind"].value = "input and hidden layers"
    controls["Train"].click()
    controls["Train"].click()  # the same again: nothing to train
    assert calls == [("random dropout", 0.5, 0.5)] and "random dropout, p = 0.5, input too, 64-64:" in message.value
    controls["training"].value = "x*"
    controls["Train"].click()
    assert calls[1:] == [("x*", 0.5, 0.5)] and "x*, p = 0.5, 64-64:" in message.value
