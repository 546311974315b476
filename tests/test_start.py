"""The start page: how its networks were chosen, that the page runs them as torch does, and that a hand can use it."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_book import CHROMIUM, HTML, Page, browser, control, explorer  # noqa: F401
from torch import nn

from tutorial_lib.data import held_out, load_data
from tutorial_lib.errors import InputError
from tutorial_lib.models import blocknet
from tutorial_lib.papers.ninr import method, pad
from tutorial_lib.sweep import RESULTS
from tutorial_lib.train import evaluate

TABLE = RESULTS / pad.PAD.name / "mnist-desk.csv"
built = pytest.mark.skipif(
    CHROMIUM is None or not (HTML / "index.html").exists(), reason="NO BROWSER OR NO BOOK: see test_book.py"
)


def rebuilt(shipped: dict) -> nn.Sequential:
    """A shipped network as a torch module, its weights read by another hand than the page's."""
    import base64

    numbers = torch.tensor(np.frombuffer(base64.b64decode(shipped["weights"]), "<f2").astype(np.float32))
    steps = [step[0] for step in shipped["program"]]
    convolutions = [step for step in shipped["program"] if step[0] == "conv"]
    dense = next(step for step in shipped["program"] if step[0] == "linear")
    model = blocknet(
        1, 28, 10, [[step[1]] for step in convolutions], convolutions[0][3], dense=dense[1], norm="norm" in steps
    )
    at = 0
    for layer in model:
        for tensor in [*layer.parameters(), *(b for b in layer.buffers() if b.is_floating_point())]:
            tensor.data.copy_(numbers[at : at + tensor.numel()].view_as(tensor))
            at += tensor.numel()
    assert at == len(numbers)
    return model.eval()


def table_of(values: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {"network": name, "seed": seed, "measure": "validation accuracy", "value": value}
        for name, accuracies in values.items() for seed, value in enumerate(accuracies)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("accuracies", "seed"),
    [([5, 1, 4, 2, 3], 4), ([1, 2, 3, 4, 5], 2), ([3, 3, 3, 1, 9], 0), ([1, 3, 9, 3, 3], 1), ([4, 1, 2, 3], 2)],
)
def test_the_network_shown_is_the_median_of_its_seeds(accuracies, seed):
    assert pad.chosen(table_of({"a": accuracies, "b": [1, 2, 3]})) == {"a": seed, "b": 1}


def test_the_networks_that_ship_are_those_that_the_rule_chooses():
    table = pd.read_csv(TABLE)
    assert set(table["network"]) == set(pad.THREE) and table.groupby("network")["seed"].nunique().eq(5).all()
    with np.load(TABLE.with_suffix(".npz"), allow_pickle=False) as stored:
        seeds = {name: json.loads(str(stored[f"{name}: about"]))["seed"] for name in pad.THREE}
        about = json.loads(str(stored["about"]))
    # the median, counted here in another way
    valid = table[table["measure"] == "validation accuracy"].pivot(index="seed", columns="network", values="value")
    for name, seed in seeds.items():
        assert valid.loc[seed, name] == valid[name].median()
    assert about["command"] and about["dataset"]["sha256"] and about["commits"]
    assert TABLE.with_suffix(".npz").stat().st_size <= 300_000


def test_a_shipped_network_shows_the_curve_of_its_own_seed():
    table = pd.read_csv(TABLE)
    accuracy, seeds = table[table["measure"] == "accuracy"], pad.chosen(table)
    for network in pad.shipped_networks():
        own = accuracy[(accuracy["network"] == network["name"]) & (accuracy["seed"] == seeds[network["name"]])]
        assert network["accuracy"] == own.sort_values("x")["value"].tolist()
        assert network["levels"][0] == 0 and network["levels"][-1] == 1
        assert network["accuracy"][0] > 90 and network["accuracy"][-1] == pytest.approx(10, abs=4)
        assert sum(p.numel() for p in rebuilt(network).parameters()) == pytest.approx(20_000, rel=0.05)


def test_what_is_measured_is_what_is_shipped(monkeypatch):
    """Half precision before measuring, statistics of the training part alone, no image in both parts."""
    seen, fitted, real, train = [], [], pad.evaluate, pad.trained

    def watched(model, x, y):
        numbers = [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
        seen.append(all(torch.equal(t, t.half().to(t)) for t in numbers))
        return real(model, x, y)

    monkeypatch.setattr(pad, "evaluate", watched)
    monkeypatch.setattr(pad, "trained", lambda config, data, *rest: fitted.append(data) or train(config, data, *rest))
    config = {**pad.PAD.config("smoke"), "folder": "data", "device": "cpu"}
    model, (mean, deviation), rows = pad.make(config, pad.NODE, 0)
    assert len(seen) >= 3 and all(seen)
    data = load_data("digits", seed=0, **config["data"])
    left, x_valid, y_valid = held_out(data, 0.2, 0)
    assert torch.equal(fitted[0].x_train, left.x_train)
    assert len(left.x_train) == 160 and len(x_valid) == len(y_valid) == 40
    both = torch.cat([left.x_train, x_valid]).flatten(1)
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, data.x_train.flatten(1).tolist()))
    assert (mean, deviation) == pytest.approx((left.x_train.mean().item(), left.x_train.std(correction=0).item()))
    found = {(r["measure"], r.get("x")): r["value"] for r in rows}
    _, x_valid, x = method.standardise(left.x_train, x_valid, data.x_test)
    assert found["validation accuracy", None] == evaluate(model, x_valid, y_valid)
    x = method.corrupted(x, 0.5, 0)
    assert found["accuracy", 0.5] == pytest.approx(evaluate(model, x, data.y_test))


@pytest.mark.skipif(not Path("data/mnist.npz").exists(), reason="needs data/mnist.npz")
def test_the_shipped_weights_reach_the_accuracies_of_the_table():
    config = pad.PAD.config("desk")
    seeds = pad.chosen(pd.read_csv(TABLE))
    for network in pad.shipped_networks():
        seed = seeds[network["name"]]
        data = load_data("mnist", "data", seed=seed, **config["data"])
        x = (data.x_test - network["mean"]) / network["deviation"]
        for level in (0.0, 0.5, 0.8):
            found = evaluate(rebuilt(network), method.corrupted(x, level, seed), data.y_test)
            assert found == pytest.approx(network["accuracy"][network["levels"].index(level)], abs=0.2)


def test_all_three_are_trained_for_as_long():
    table = pd.read_csv(TABLE)
    assert table.loc[table["measure"] == "epochs", "value"].nunique() == 1


def test_a_program_tells_every_weight_once_and_refuses_what_the_page_cannot_run():
    model = blocknet(1, 12, 10, [[2], [3]], dense=4)
    steps, weights = pad.program(model)
    assert [step[0] for step in steps] == ["conv", "elu", "norm", "pool"] * 2 + ["linear", "relu", "linear"]
    running = sum(b.numel() for b in model.buffers() if b.is_floating_point())
    assert len(weights) == sum(p.numel() for p in model.parameters()) + running
    with pytest.raises(ValueError, match="cannot run a Tanh"):
        pad.program(nn.Sequential(nn.Tanh()))


def test_weights_without_a_table_or_of_another_run_are_refused(tmp_path, capsys):
    assert pad.main(["--out", str(tmp_path)]) == 2
    assert "first run python -m tutorial_lib run ninr/pad" in capsys.readouterr().err
    from tutorial_lib.__main__ import main

    out = tmp_path / "runs"
    assert main(["run", "ninr/pad", "--out", str(out)]) == 0
    folder = out / "ninr" / "pad"
    for ending in ("csv", "json"):
        (folder / f"digits-smoke.{ending}").rename(folder / f"mnist-desk.{ending}")
    path = pad.write_weights(out)
    assert path.exists() and path.suffix == ".npz"
    path.unlink()
    table = pd.read_csv(folder / "mnist-desk.csv")
    table.loc[table["measure"] == "validation accuracy", "value"] += 1
    table.to_csv(folder / "mnist-desk.csv", index=False)
    with pytest.raises(InputError, match="is not the one in"):
        pad.write_weights(out)
    assert not path.exists()


@pytest.fixture(scope="module")
def start(browser):  # noqa: F811
    with Page(browser, "book/intro", viewport={"width": 1280, "height": 900}) as opened:
        yield opened, explorer(opened, "Draw a digit and spoil it")


def pixels(count: int) -> np.ndarray:
    """Images of noise, of ink and of nothing."""
    rng = np.random.default_rng(0)
    images = rng.random((count, 28, 28), np.float32)
    images[0] = 0
    images[1, 5:22, 12:16] = 1
    return images


@built
@pytest.mark.parametrize("k", range(3))
def test_the_page_computes_what_torch_computes(start, k):
    opened, _ = start
    network = pad.shipped_networks()[k]
    images = pixels(5)
    x = torch.tensor(images)[:, None]
    noise = torch.randn(784, generator=torch.Generator().manual_seed(0))
    for sigma in (0.0, 0.7, 1.0):
        given = [k, images.reshape(5, -1).tolist(), sigma, noise.tolist()]
        run = "([k, all, sigma, noise]) => all.map(x => document.querySelector('.tl-pad').run(k, x, sigma, noise))"
        found = torch.tensor(opened.page.evaluate(run, given))
        standard = (x - network["mean"]) / network["deviation"]
        with torch.no_grad():
            expected = rebuilt(network)((1 - sigma**2) ** 0.5 * standard + sigma * noise.view(1, 1, 28, 28))
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4), (found - expected).abs().max()


def chances(root) -> dict[str, np.ndarray]:
    found = root.locator("[data-chance]").evaluate_all(
        "els => els.map(e => [e.dataset.network, Number(e.dataset.digit), Number(e.dataset.chance)])"
    )
    return {name: np.array([c for n, _, c in sorted(found) if n == name]) for name in pad.THREE}


@built
def test_every_ready_digit_is_read_and_its_chances_add_up(start):
    _, root = start
    for digit in range(10):
        control(root, "digit").select_option(str(digit))
        for name, found in chances(root).items():
            assert len(found) == 10 and found.sum() == pytest.approx(1), name
            assert found.argmax() == digit, name


@built
def test_corruption_follows_the_keyboard_and_is_marked_on_the_curve(start):
    opened, root = start
    root.get_by_role("button", name="Reset").click()
    before = chances(root)
    control(root, "sigma").focus()
    opened.page.keyboard.press("End")
    assert root.locator("[data-mark]").get_attribute("data-mark") == "1"
    noise = chances(root)
    assert all(abs(noise[name] - before[name]).max() > 0.1 for name in noise)
    control(root, "digit").select_option("8")  # where all is noise, what was drawn does not show
    assert all(found == pytest.approx(noise[name]) for name, found in chances(root).items())
    control(root, "noise").focus()
    opened.page.keyboard.press("ArrowRight")
    assert any(abs(found - noise[name]).max() > 0.01 for name, found in chances(root).items())
    dots = root.locator("circle[data-series]").evaluate_all(
        "els => els.map(e => [e.dataset.series, Number(e.dataset.x), Number(e.dataset.value)])"
    )
    shipped = {
        (n["name"], x): v for n in pad.shipped_networks() for x, v in zip(n["levels"], n["accuracy"], strict=True)
    }
    assert {(name, x): v for name, x, v in dots} == pytest.approx(shipped)


def stroke(opened, sheet, points):
    box = sheet.bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    opened.page.mouse.move(*at[0])
    opened.page.mouse.down()
    for x, y in at[1:]:
        opened.page.mouse.move(x, y, steps=8)
    opened.page.mouse.up()


@built
def test_a_hand_draws_corrects_and_starts_again(start):
    opened, root = start
    root.get_by_role("button", name="Reset").click()
    sheet = root.locator(".tl-paper")
    sheet.scroll_into_view_if_needed()
    stroke(opened, sheet, [(0.25, 0.2), (0.75, 0.2), (0.55, 0.5), (0.4, 0.85)])
    assert control(root, "digit").input_value() == "your own"
    assert {found.argmax() for found in chances(root).values()} == {7}
    one = chances(root)
    stroke(opened, sheet, [(0.35, 0.55), (0.7, 0.55)])  # a bar across
    assert sheet.locator("path").count() == 2
    assert any(abs(found - one[name]).max() > 1e-6 for name, found in chances(root).items())
    sheet.locator(".tl-clear rect").click()
    assert sheet.locator("path").count() == 0 and "Draw a digit" in root.locator(".tl-readout").inner_text()
    stroke(opened, sheet, [(0.9, 0.1), (0.9, 0.5)])  # a small 1 in a corner is centred and enlarged
    assert {found.argmax() for found in chances(root).values()} == {1}


@built
def test_a_finger_draws_without_moving_the_page(browser):  # noqa: F811
    with Page(browser, "book/intro", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True) as opened:
        root = explorer(opened, "Draw a digit and spoil it")
        sheet = root.locator(".tl-paper")
        assert sheet.evaluate("e => getComputedStyle(e).touchAction") == "none"
        sheet.scroll_into_view_if_needed()
        scrolled = opened.page.evaluate("scrollY")
        box = sheet.bounding_box()
        touch = opened.context.new_cdp_session(opened.page)
        at = [(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * (0.2 + 0.06 * k)) for k in range(11)]
        for kind, points in [("touchStart", at[:1]), *(("touchMove", [p]) for p in at[1:]), ("touchEnd", [])]:
            where = [{"x": x, "y": y} for x, y in points]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
        assert control(root, "digit").input_value() == "your own"
        assert {found.argmax() for found in chances(root).values()} == {1}
        assert opened.page.evaluate("scrollY") == scrolled


@built
def test_the_first_click_shows_what_the_text_says(start):
    """The preset, from the first digit: a draw like most, on which the plain network alone fails."""
    _, root = start
    root.get_by_role("button", name="Reset").click()
    root.get_by_role("button", name="Spoil it").click()
    digit = int(control(root, "digit").input_value())
    right = {name: found.argmax() == digit for name, found in chances(root).items()}
    assert right == {pad.PLAIN: False, pad.NODE: True, pad.BARE: True}


@built
def test_play_ends_where_the_reader_takes_over(start):
    opened, root = start
    root.get_by_role("button", name="Reset").click()
    for stop in ("Reset", "Spoil it"):
        root.get_by_role("button", name="Play: Corruption").click()
        opened.page.wait_for_function(
            "document.querySelector('[data-control=sigma]').getAttribute('aria-valuetext') === '0.05'"
        )
        root.get_by_role("button", name=stop).click()
        before = control(root, "sigma").get_attribute("aria-valuetext")
        opened.page.wait_for_timeout(1500)
        assert control(root, "sigma").get_attribute("aria-valuetext") == before
        root.get_by_role("button", name="Reset").click()


@built
def test_a_stroke_survives_a_slider_that_plays(start):
    """A redraw in the middle of a stroke neither loses it nor brings the ready digit back."""
    opened, root = start
    root.get_by_role("button", name="Reset").click()
    sheet = root.locator(".tl-paper")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    root.get_by_role("button", name="Play: Corruption").click()
    opened.page.mouse.move(box["x"] + 40, box["y"] + 30)
    opened.page.mouse.down()
    for k in range(20):
        opened.page.mouse.move(box["x"] + 40 + 5 * k, box["y"] + 30)
        opened.page.wait_for_timeout(100)
    assert float(control(root, "sigma").get_attribute("aria-valuetext")) >= 0.1  # it went on meanwhile
    opened.page.mouse.up()
    root.get_by_role("button", name="Pause: Corruption").click()
    assert opened.errors == [] and control(root, "digit").input_value() == "your own"
    (path,) = root.locator(".tl-paper path").all()
    assert path.get_attribute("d").count("L") == 20


@built
def test_a_link_keeps_a_drawing(browser):  # noqa: F811
    with Page(browser, "book/intro", viewport={"width": 1280, "height": 900}) as opened:
        root = explorer(opened, "Draw a digit and spoil it")
        sheet = root.locator(".tl-paper")
        stroke(opened, sheet, [(0.25, 0.2), (0.75, 0.2), (0.4, 0.85)])
        stroke(opened, sheet, [(0.35, 0.55), (0.7, 0.55)])
        before, address = chances(root), opened.page.url
        for text in ("!!", "A", ",,,", "AAA,B"):  # an address that somebody has spoilt shows an empty pad
            opened.page.goto(re.sub("drawing=[^&]*", f"drawing={text}", address))
            assert opened.errors == [] and root.locator(".tl-paper path").count() == 0
    with Page(browser, "book/intro", viewport={"width": 1280, "height": 900}) as opened:
        opened.page.goto(address)
        opened.page.reload()
        root = explorer(opened, "Draw a digit and spoil it")
        assert root.locator(".tl-paper path").count() == 2
        assert all(found == pytest.approx(before[name], abs=0.02) for name, found in chances(root).items())


@built
def test_a_link_opens_the_digit_and_its_corruption(browser):  # noqa: F811
    with Page(browser, "book/intro") as opened:
        root = explorer(opened, "Draw a digit and spoil it")
        control(root, "digit").select_option("5")
        root.get_by_role("button", name="Spoil it").click()
        before, address = chances(root), opened.page.url
    assert Path(address.partition("#")[0]).name == "intro.html"
    with Page(browser, "book/intro") as opened:
        opened.page.goto(address)
        opened.page.reload()
        root = explorer(opened, "Draw a digit and spoil it")
        assert control(root, "digit").input_value() == "5"
        assert all(found == pytest.approx(before[name]) for name, found in chances(root).items())
