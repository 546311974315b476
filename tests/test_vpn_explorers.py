"""Explorers of "Variational Positive-incentive Noise": what is shipped; the page computes what Python computes.

The pages are written here, so that no built book is needed; Chromium is, with every outside request blocked.
"""

import csv
import re

import numpy as np
import pandas as pd
import pytest
import torch
from test_book import CHROMIUM, Page, browser, control  # noqa: F401

from tutorial_lib import evaluate, fit
from tutorial_lib.data import load_data
from tutorial_lib.draw import pick
from tutorial_lib.errors import InputError
from tutorial_lib.papers import read_table
from tutorial_lib.papers.vpn import bound, explorers, page
from tutorial_lib.papers.vpn.explorers import base_log_q, bound_explorer, mean_answer, paint, sum_log_q
from tutorial_lib.papers.vpn.method import train_with_noise
from tutorial_lib.sweep import RESULTS

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test the explorers")
PAINT, BOUND = "Paint noise on a digit", "What noise tells of the label"


# --- what is shipped


def test_what_ships_is_what_the_module_describes():
    found, data = page.shipped(), load_data("digits")
    assert found.about["settings"] == page.SETTINGS and found.about["command"] == page.COMMAND and found.about["date"]
    assert found.about["dataset"]["sha256"] == data.sha256 and set(found.bases) == set(page.SETTINGS["gamma"])
    inner = page.SETTINGS["base"]
    base = 64 * inner[0] + inner[0] + inner[0] * inner[1] + inner[1] + 10 * inner[1] + 10
    for name in found.bases:
        assert found.bases[name].shape == (base,) and found.bases[name].dtype == np.float16
        assert found.generators[name].shape == (64 * 32 + 32 + 32 * 32 + 32 + 32 * 64 + 64,)
        accuracy = evaluate(page.networks(name, found)[0], data.x_test, data.y_test)
        assert accuracy == pytest.approx(found.about["test accuracy without noise (%)"][name], abs=0.3)
    assert page.path_in(RESULTS).stat().st_size <= 60_000


def test_the_digits_are_the_first_and_the_hardest_of_each_class():
    """Looked for in another way, with the shipped base; sixteenths are exact in half precision."""
    found, data = page.shipped(), load_data("digits")
    with torch.no_grad():
        log_p = page.networks(page.AFTER, found)[0](data.x_test).log_softmax(1)
    of_label = log_p[torch.arange(len(log_p)), data.y_test].tolist()
    labels = data.y_test.tolist()
    for k, (at, label, kind) in enumerate(zip(found.about["images"], found.labels, found.kinds, strict=True)):
        others = [i for i, y in enumerate(labels) if y == label and i != labels.index(label)]
        expected = labels.index(label) if kind == "first" else min(others, key=lambda i: of_label[i])
        assert at == expected and label == k // 2 and kind == ("first", "hardest")[k % 2]
        assert torch.equal(torch.tensor(found.images[k].astype(np.float32)), data.x_test[at].flatten())


def test_the_shipped_base_is_what_the_command_trains():
    """To what another processor's last bits leave of it."""
    data, model = load_data("digits"), page.new_base()
    fit(model, data.x_train, data.y_train, epochs=40, batch_size=64, lr=0.001, seed=0, progress=False)
    trained = page.flat(model).astype(float)
    shipped = page.shipped().bases[page.AFTER].astype(float)
    assert np.corrcoef(trained, shipped)[0, 1] > 0.999 and abs(trained - shipped).mean() < 0.01


SMALL = {**page.SETTINGS, "epochs": 1}


def test_each_pair_is_trained_as_its_name_says():
    """At one epoch: the first base has not met the noise, the others have; the generators' settings are their own."""
    data = load_data("digits", train=200)
    plain = page.new_base()
    how = {"epochs": 1, "batch_size": 64, "lr": 0.001, "seed": 0, "progress": False}
    fit(plain, data.x_train, data.y_train, **how)
    base, noise = page.trained(page.AFTER, data, SMALL)
    assert np.array_equal(page.flat(base), page.flat(plain)) and noise.gamma == pytest.approx(0.001)
    assert all(torch.equal(w, w.half().float()) for w in [*base.parameters(), *noise.parameters()])
    fresh = page.new_generator(0.001)
    assert not np.array_equal(page.flat(noise), page.flat(fresh))
    train_with_noise(page.halved(plain), fresh, data.x_train, data.y_train, m=1, fixed=True, **how)
    assert np.array_equal(page.flat(noise), page.flat(fresh))
    for name, gamma in ((page.WITH, 0.001), (page.LOUD, 0.5)):
        both, fresh = page.new_base(), page.new_generator(gamma)
        train_with_noise(both, fresh, data.x_train, data.y_train, m=1, **how)
        base, noise = page.trained(name, data, SMALL)
        assert np.array_equal(page.flat(base), page.flat(both)) and np.array_equal(page.flat(noise), page.flat(fresh))
        assert noise.gamma == gamma and (noise.reading, noise.positive) == ("deviation", "abs")


def test_what_is_written_is_what_is_read(monkeypatch, tmp_path, capsys):
    made = page.make(SMALL)
    assert len(made.labels) == 20 and made.about["settings"] == SMALL
    monkeypatch.setattr(page, "make", lambda **_: made)
    assert page.main(["--out", str(tmp_path)]) == 0
    assert str(page.path_in(tmp_path)) in capsys.readouterr().out
    read = page.shipped(tmp_path)
    assert read.about == made.about and np.array_equal(read.images, made.images) and read.kinds == made.kinds
    base, _ = page.networks(page.LOUD, read)
    assert np.array_equal(page.flat(base), made.bases[page.LOUD])

    def refuse(**_):
        raise InputError("no data")

    monkeypatch.setattr(page, "make", refuse)
    assert page.main(["--out", str(tmp_path)]) == 2 and "no data" in capsys.readouterr().err


def test_explorers_are_small_and_have_a_picture():
    assert set(explorers.EXPLORERS) == {paint, bound_explorer, explorers.tables}
    for make in explorers.EXPLORERS:
        found = make().html
        assert len(found.encode()) <= 150_000 and '<img alt="' in found
        assert (
            "NETWORKS" not in found and "TASK" not in found and "http://" not in found.replace("http://www.w3.org", "")
        )


# --- in a browser


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    shown = "".join(make().html for make in explorers.EXPLORERS)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Explorers</title>'
    body = f'<main><h1>Explorers</h1><article class="bd-article">{shown}</article></main>'
    path = tmp_path_factory.mktemp("explorers") / "page.html"
    path.write_text(f'<!doctype html><html lang="en">{head}<body>{body}', encoding="utf-8")
    return str(path.with_suffix(""))


@pytest.fixture(scope="module")
def opened(browser, name):  # noqa: F811
    with Page(browser, name, viewport={"width": 1280, "height": 1000}) as page_:
        yield page_
        assert page_.errors == [] and page_.outside == []


def found_in(opened, title, reset=True):
    root = opened.page.locator(".tl-explorer", has=opened.page.get_by_role("group", name=f"{title}: controls"))
    root.wait_for(timeout=10_000)
    if reset:
        root.get_by_role("button", name="Reset").click()
    return root


def slide(root, column, position):
    set_to = "(e, at) => { e.value = at; e.dispatchEvent(new Event('input')); }"
    control(root, column).evaluate(set_to, position)


def rows_of(opened, root, tmp_path, columns) -> pd.DataFrame:
    """The file that an explorer gives away."""
    with opened.page.expect_download() as download:
        root.get_by_role("button", name="CSV").click()
    download.value.save_as(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file, strict=True)
    table = pd.DataFrame(rows).iloc[:, : len(columns)].set_axis(columns, axis=1)
    return table.astype(dict.fromkeys(columns[2:], float))


# --- noise painted on a digit

NOISE = """states => states.map(state => {
    const f = document.querySelector('.tl-noise').follow(state), list = v => Array.from(v);
    const plain = a => ({ ...a, p: list(a.p), pError: list(a.pError) });
    const each = (of, f) => Object.fromEntries(Object.entries(of).map(([k, v]) => [k, f(v)]));
    return { x: list(f.x), y: f.y, label: f.label, strengths: f.strengths, none: plain(f.none), now: each(f.now, plain),
      deviations: each(f.deviations, list), curves: each(f.curves, c => c.map(plain)),
      draws: state.draws ? f.draws.map(list) : [] };
})"""
KINDS = ("painted", "learned", "learned, spread evenly")


def painting(deviation) -> str:
    """A painting as a link keeps it: thousandths, two characters a pixel."""
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789~_"
    return "".join(signs[v // 64] + signs[v % 64] for v in (round(1000 * d) for d in deviation))


@pytest.fixture(scope="module")
def networks():
    found = page.shipped()
    pairs = {name: page.networks(name, found) for name in found.bases}
    return found, {name: (base.double(), noise.double()) for name, (base, noise) in pairs.items()}


@in_browser
def test_the_draws_are_standard_normal_and_always_the_same(opened, browser, name):  # noqa: F811
    (first,) = opened.page.evaluate(NOISE, [{"draws": True}])
    z = np.array(first["draws"])
    assert z.shape == (250, 64)
    assert abs(z.mean()) < 4 / 16000**0.5 and abs(z.std() - 1) < 4 / 32000**0.5
    assert (
        abs((z**4).mean() - 3) < 4 * (96 / 16000) ** 0.5
        and abs(np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]) < 0.032
    )
    with Page(browser, name) as again:
        assert again.page.evaluate(NOISE, [{"draws": True}])[0]["draws"] == first["draws"]


@in_browser
def test_the_page_answers_as_torch_does(opened, networks):
    shipped, pairs = networks
    rng = np.random.default_rng(0)
    own = np.round(rng.uniform(0, 1, 64) * (rng.uniform(size=64) < 0.3), 3)
    states = [
        {"digit": f"{shipped.labels[k]}, {shipped.kinds[k]}", "network": name, "label": label, "strength": strength,
         "painting": text, "scale": scale}
        for k, name, label, strength, text, scale in (
            (7, page.AFTER, "its own", 1, "", "as it is"), (0, page.AFTER, "9", 3, "around", "as it is"),
            (9, page.WITH, "4", 0.25, painting(own), "as it is"), (13, page.WITH, "0", 2, "everywhere", "as it is"),
            (3, page.LOUD, "its own", 1.5, "-", "as it is"),
            (18, page.LOUD, "7", 1, painting(own), "as painted"),
        )
    ]  # fmt: skip
    seen = opened.page.evaluate(NOISE, [{**s, "draws": True} for s in states])
    for state, f, k in zip(states, seen, (7, 0, 9, 13, 3, 18), strict=True):
        base, noise = pairs[state["network"]]
        x, y = torch.tensor(shipped.images[k].astype(np.float64)), int(shipped.labels[k])
        assert f["x"] == x.tolist() and f["y"] == y
        label = y if state["label"] == "its own" else int(state["label"])
        learned = noise.deviation(x[None], torch.tensor([label]))[0].detach()
        ink = x >= 0.25
        painted = {"": 0.3 * ink, "around": 0.3 * ~ink, "everywhere": 0.3 * torch.ones(64), "-": torch.zeros(64)}
        painted = painted.get(state["painting"], torch.tensor(own)).double()
        if state["scale"] != "as it is":
            learned = learned * painted.square().mean().sqrt() / learned.square().mean().sqrt()
        even = learned.square().mean().sqrt().expand(64)
        clean = base(x[None]).log_softmax(1)[0].detach()
        assert f["none"]["loss"] == pytest.approx(-clean[y].item(), abs=1e-9)
        assert f["none"]["p"] == pytest.approx(clean.exp().tolist(), abs=1e-9)
        draws = torch.tensor(f["draws"])
        for kind, deviation in zip(KINDS, (painted, learned, even), strict=True):
            assert f["deviations"][kind] == pytest.approx(deviation.tolist(), abs=1e-7)
            for strength, answer in zip(f["strengths"], f["curves"][kind], strict=True):
                p, p_error, loss, error = mean_answer(base, x, y, strength * deviation, draws)
                assert answer["loss"] == pytest.approx(loss, abs=1e-6)
                assert answer["lossError"] == pytest.approx(error, rel=1e-4, abs=1e-6)
                assert answer["p"] == pytest.approx(p.tolist(), abs=1e-6)
                assert answer["pError"] == pytest.approx(p_error.tolist(), rel=1e-4, abs=1e-6)
            assert f["now"][kind] == f["curves"][kind][f["strengths"].index(state["strength"])]


def test_errors_are_those_of_repeated_means(networks):
    """Over fresh draws the mean answer spreads as its standard error says, and has the mean of many draws."""
    shipped, pairs = networks
    base = pairs[page.AFTER][0]
    x, deviation = torch.tensor(shipped.images[7].astype(np.float64)), torch.full((64,), 0.3, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)

    def draw(n):
        return torch.randn(n, 64, dtype=torch.float64, generator=g)

    found = [mean_answer(base, x, 3, deviation, draw(250)) for _ in range(60)]
    losses, errors = (np.array([f[k] for f in found]) for k in (2, 3))
    assert losses.std() == pytest.approx(errors.mean(), rel=0.3)
    assert abs(losses.mean() - mean_answer(base, x, 3, deviation, draw(50_000))[2]) < 5 * errors.mean() / 60**0.5


@in_browser
def test_nothing_is_told_before_a_guess(opened, tmp_path):
    root = found_in(opened, PAINT)
    told = root.locator(".tl-readout")
    assert "Guess" in told.inner_text() and root.locator("[data-kind]").count() == 10
    columns = ["panel", "series", "x", "value", "error"]
    rows = rows_of(opened, root, tmp_path, columns)
    hidden = rows[rows["panel"] != "deviation of a pixel"]
    assert set(hidden["series"]) == {"no noise"}
    control(root, "guess").select_option("falls")
    (f,) = opened.page.evaluate(NOISE, [{}])
    by = f["now"]["painted"]["loss"] - f["none"]["loss"]
    error = f["now"]["painted"]["lossError"]
    right = "stays" if abs(by) <= max(2 * error, 1e-3) else "falls" if by < 0 else "rises"
    assert f"it {right}, {'as you guessed' if right == 'falls' else 'you guessed: falls'}" in told.inner_text()
    control(root, "guess").select_option(right)
    assert "as you guessed" in told.inner_text()
    drawn = root.locator("[data-kind=painted]").evaluate_all("els => els.map(e => Number(e.dataset.p))")
    assert drawn == f["now"]["painted"]["p"] and root.locator("[data-kind]").count() == 40
    rows = rows_of(opened, root, tmp_path, columns)
    loss = rows[(rows["panel"] == "loss (nats) over strength") & (rows["series"] == "learned")]
    assert loss["x"].tolist() == f["strengths"]
    assert loss["value"].tolist() == pytest.approx([a["loss"] for a in f["curves"]["learned"]], abs=1e-5)
    assert loss["error"].tolist() == pytest.approx([a["lossError"] for a in f["curves"]["learned"]], abs=1e-5)
    root.locator("button[data-name=painted]").click()  # a series that is switched off is so everywhere
    assert root.locator("[data-kind=painted]").count() == 0 and root.locator("[data-series=painted]").count() == 0


def pixels(root) -> list[float]:
    return root.locator("[data-pixel]").evaluate_all("els => els.map(e => Number(e.dataset.deviation))")


def middle(root, pixel):
    box = root.locator(f"[data-pixel='{pixel}'] rect").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@in_browser
def test_the_mouse_paints_and_wipes(opened):
    root, mouse = found_in(opened, PAINT), opened.page.mouse
    root.get_by_role("button", name="Wipe").click()
    assert pixels(root) == [0] * 64
    root.locator("[data-pixel='9']").scroll_into_view_if_needed()
    mouse.move(*middle(root, 9))
    mouse.down()
    for pixel in (10, 11, 19):
        mouse.move(*middle(root, pixel), steps=3)
    mouse.up()
    assert [k for k, v in enumerate(pixels(root)) if v] == [9, 10, 11, 19] and set(pixels(root)) == {0, 0.3}
    slide(root, "brush", 6)  # another strength on what is painted; then the same again wipes
    mouse.click(*middle(root, 10))
    assert pixels(root)[10] == 1
    mouse.click(*middle(root, 10))
    assert pixels(root)[10] == 0 and pixels(root)[9] == 0.3


@in_browser
def test_painting_on_learned_noise_starts_from_it(opened):
    root = found_in(opened, PAINT)
    root.get_by_role("button", name="See the learned").click()
    before = pixels(root)
    (f,) = opened.page.evaluate(NOISE, [{}])
    assert before == f["deviations"]["learned"]
    root.locator("[data-pixel='0']").scroll_into_view_if_needed()
    opened.page.mouse.click(*middle(root, 0))
    after = pixels(root)
    assert control(root, "shown").input_value() == "painted" and after[0] == 0.3
    assert after[1:] == pytest.approx(before[1:], abs=5.1e-4)


@in_browser
def test_the_keyboard_paints_and_wipes(opened):
    root, keys = found_in(opened, PAINT), opened.page.keyboard
    root.get_by_role("button", name="Wipe").click()
    focused = "() => Number(document.activeElement.dataset.pixel)"
    root.locator("[data-pixel='27']").focus()
    for key, at in (
        *(("ArrowRight", 28), ("ArrowDown", 36), ("ArrowLeft", 35), ("ArrowUp", 27), ("End", 63), ("ArrowDown", 63)),
        *(("ArrowRight", 63), ("Home", 0), ("ArrowUp", 0), ("ArrowLeft", 0)),
    ):
        keys.press(key)
        assert opened.page.evaluate(focused) == at
        assert root.locator("[data-pixel][tabindex='0']").count() == 1
    keys.press("Space")
    assert pixels(root)[0] == 0.3 and opened.page.evaluate(focused) == 0
    assert root.locator("[data-pixel='0']").get_attribute("aria-pressed") == "true"
    keys.press("Enter")
    assert pixels(root) == [0] * 64
    keys.press("ArrowRight")
    keys.press("Space")
    keys.press("Delete")
    assert pixels(root) == [0] * 64 and opened.page.evaluate(focused) == 1
    keys.press("Tab")  # the pixels are one stop; the next is the draw
    sample = root.get_by_role("button", name=re.compile("Noisy draw 1 "))
    assert sample.evaluate("e => e === document.activeElement")
    keys.press("Enter")
    assert root.get_by_role("button", name=re.compile("Noisy draw 3 ")).evaluate("e => e === document.activeElement")
    keys.press("Tab")
    keys.press("ArrowDown")
    assert "class 4" in root.locator(".tl-noise").text_content()


@in_browser
def test_a_link_keeps_the_digit_the_guess_and_the_painting(browser, name):  # noqa: F811
    with Page(browser, name) as first:
        root = found_in(first, PAINT)
        assert "#" not in first.page.url
        control(root, "digit").select_option("8, hardest")
        control(root, "guess").select_option("rises")
        control(root, "network").select_option(page.LOUD)
        for pixel in (3, 40):
            root.locator(f"[data-pixel='{pixel}']").focus()
            first.page.keyboard.press("Space")
        before, address = (pixels(root), root.locator(".tl-readout").inner_text()), first.page.url
        assert "painting=" in address and first.errors == []
    with Page(browser, name) as second:
        second.page.goto(address)
        second.page.reload()
        root = found_in(second, PAINT, reset=False)
        assert (pixels(root), root.locator(".tl-readout").inner_text()) == before
        second.page.goto(re.sub("painting=[^&]*", "painting=!!", address))  # spoilt: nothing is painted
        assert second.errors == [] and pixels(root) == [0] * 64
        root.get_by_role("button", name="Reset").click()
        assert "#" not in second.page.url and 0.3 in pixels(root)


# --- the bound

FOLLOW = "states => states.map(state => document.querySelector('.tl-bound').follow(state))"
TASKS = {
    "": explorers._SLOPE, "0.0.0.0.0.100.100.100.100": [0] * 5 + [100] * 4, "50.50.50.50.50.50.50.50.50": [50] * 9,
    "0.30.100.7.50.93.20.1.99": [0, 30, 100, 7, 50, 93, 20, 1, 99], "100.100.100.100.100.100.100.100.100": [100] * 9,
}  # fmt: skip


SETTINGS = [(0.3, 3.16, 1.0), (0.3, 1.0, 1.0), (0.02, 31.6, 1.0), (3.0, 0.0316, 1.0), (0.5, 10.0, 2.0), (0.1, 0.1, 0.5)]


def quantities(task, width, ratio, growth):
    """By the module: H(T), H(T|E) and I, and a function that gives a q's bound and gap."""
    p = torch.tensor(TASKS[task], dtype=torch.float64) / 100
    p_x, p_y = torch.full((9,), 1 / 9, dtype=torch.float64), torch.stack([1 - p, p], 1)
    along = torch.tensor([width * growth**x for x in explorers.POINTS], dtype=torch.float64)
    widths = torch.stack([along, along * ratio], 1)
    models = {
        "bayes": bound.posterior(p_y, widths), "sum": sum_log_q(p, widths), "base": base_log_q(p),
        "deaf": lambda i, e: p_y[i].log()[:, None].expand(-1, e.shape[1], -1),
    }  # fmt: skip
    entropies = [f(p_x, p_y, widths) for f in (bound.conditional_entropy, bound.information)]

    def of(q):
        return [f(p_x, p_y, widths, models[q], 6001) for f in (bound.lower_bound, bound.gap)]

    return [bound.task_entropy(p_x, p_y), *entropies], of


@in_browser
@pytest.mark.parametrize("task", TASKS)
def test_the_page_computes_the_bound_as_python_does(opened, task):
    found_in(opened, BOUND)
    for width, ratio, growth in SETTINGS:
        entropies, of = quantities(task, width, ratio, growth)
        values = {q: of(q) for q in explorers._Q}
        setting = {"task": task, "width": width, "ratio": ratio, "growth": growth}
        seen = opened.page.evaluate(FOLLOW, [{**setting, "q": name} for name in explorers._Q.values()])
        for q, f in zip(values, seen, strict=True):
            found = [f["now"][k] for k in ("H", "given", "I", "bound", "gap")]
            assert found == pytest.approx([*entropies, *values[q]], abs=1e-4), (setting, q)
            assert f["now"]["I"] > -1e-6 and f["now"]["gap"] > -1e-4 and f["now"]["I"] <= f["now"]["H"] + 1e-6
            if q in ("bayes", "deaf"):
                assert f["price"] is None
            else:
                price = entropies[2] - values["sum"][0]
                assert f["price"] == pytest.approx(price, abs=1e-4)
                assert f["error"] == pytest.approx(values[q][1] - price, abs=2e-4)


def test_the_base_says_what_it_learned_and_the_best_on_the_sum_is_best():
    p = torch.tensor(explorers._SLOPE, dtype=torch.float64) / 100
    log_q, i = base_log_q(p), torch.arange(9)
    assert log_q(i, torch.zeros(9, 1))[:, 0, 1].exp().tolist() == pytest.approx(p.tolist())
    halfway = log_q(torch.tensor([0]), torch.tensor([[0.25, -7.0]]))[0, :, 1].exp()
    between = torch.logit(p[:2]).mean().sigmoid().item()
    assert halfway.tolist() == pytest.approx([between, 0.02])
    assert base_log_q(torch.zeros(9))(i, torch.zeros(9, 1))[0, 0, 1].exp().item() == pytest.approx(0.01)
    # the posterior given the sum, counted: label and noise drawn, x + ε in a bin
    widths, g = torch.tensor([[0.3, 0.9]]).expand(9, 2), torch.Generator().manual_seed(0)
    x = torch.randint(9, (2_000_000,), generator=g)
    y = (torch.rand(len(x), generator=g) < p[x]).long()
    z = torch.tensor(explorers.POINTS)[x] + widths[x, y] * torch.randn(len(x), generator=g)
    for at in (-3.0, -0.2, 0.9):
        near = (z - at).abs() < 0.02
        exact = sum_log_q(p, widths)(torch.tensor([4]), torch.tensor([[at]], dtype=torch.float64))[0, 0, 1].exp().item()
        share = y[near].double().mean().item()
        assert abs(share - exact) < 4.5 * (exact * (1 - exact) / near.sum().item()) ** 0.5 + 0.004


def handle(root, x):
    return root.locator(f"[data-x='{x:g}'][role=slider]")


def value(root, x) -> float:
    return float(handle(root, x).get_attribute("data-p"))


@in_browser
def test_handles_answer_mouse_and_keyboard(opened):
    root, keys, mouse = found_in(opened, BOUND), opened.page.keyboard, opened.page.mouse
    told = root.locator(".tl-readout")
    before = told.inner_text()
    circle = handle(root, 1).locator("circle").last
    circle.scroll_into_view_if_needed()
    box = circle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(x, y + 40, steps=4)
    moved = value(root, 1)
    assert moved < 0.75
    mouse.move(x, y + 900, steps=2)
    assert value(root, 1) == 0
    mouse.up()
    assert told.inner_text() != before and "task=" in opened.page.url
    handle(root, 1).focus()
    for key, expected in (("ArrowUp", 0.05), ("PageUp", 0.3), ("ArrowDown", 0.25), ("End", 1), ("Home", 0)):
        keys.press(key)
        assert value(root, 1) == pytest.approx(expected) and handle(root, 1).evaluate(
            "e => e === document.activeElement"
        )
    keys.press("ArrowLeft")
    assert handle(root, 0.5).evaluate("e => e === document.activeElement") and value(root, 0.5) == 0.73
    assert root.locator("[role=slider][tabindex='0']").count() == 1
    root.get_by_role("button", name="Slope").click()
    assert told.inner_text() == before and "task=" not in opened.page.url


@in_browser
def test_what_is_drawn_and_told_is_what_is_computed(opened, tmp_path):
    root = found_in(opened, BOUND)
    columns = ["panel", "series", "x", "value"]
    for q in explorers._Q.values():
        control(root, "q").select_option(q)
        ((f),) = opened.page.evaluate(FOLLOW, [{}])
        now, told = f["now"], root.locator(".tl-readout").inner_text().replace("−", "-")
        for words, key in (("H(T) = ", "H"), ("H(T|E) = ", "given"), ("I(T, E) = ", "I"), ("L + H(T) = ", "bound")):
            assert float(re.search(re.escape(words) + r"(-?[\d.]+\d)", told)[1]) == pytest.approx(now[key], abs=6e-5)
        bars = root.locator("[data-bar]").evaluate_all(
            "els => Object.fromEntries(els.map(e => [e.dataset.bar, +e.dataset.value]))"
        )
        assert bars["I"] + bars["given"] == pytest.approx(now["H"]) and bars["bound"] == pytest.approx(now["bound"])
        gap = bars["gap"] if "gap" in bars else bars["price"] + bars["error"]
        assert gap == pytest.approx(now["I"] - now["bound"])
        rows = rows_of(opened, root, tmp_path, columns)
        at = rows[(rows["x"] == 3.16) & rows["panel"].str.startswith("nats")].set_index("series")["value"]
        assert at["bound L + H(T)"] == pytest.approx(now["bound"], abs=1e-6) and at["I(T, E)"] == pytest.approx(
            now["I"], abs=1e-6
        )
    assert root.locator(".tl-legend button").count() == 4
    root.get_by_role("button", name="One-hot").click()
    assert "nothing to tell" in root.locator(".tl-readout").inner_text()
    root.get_by_role("button", name="Reset").click()
    root.get_by_role("button", name="Label-blind noise").click()
    assert "pure noise" in root.locator(".tl-readout").inner_text()
    assert "NaN" not in root.inner_html() and "Infinity" not in root.inner_html()


@in_browser
def test_a_link_keeps_the_task(browser, name):  # noqa: F811
    with Page(browser, name) as first:
        root = found_in(first, BOUND)
        handle(root, 0.5).focus()
        first.page.keyboard.press("End")
        slide(root, "ratio", 3)
        before, address = root.locator(".tl-readout").inner_text(), first.page.url
    with Page(browser, name) as second:
        second.page.goto(address)
        second.page.reload()
        root = found_in(second, BOUND, reset=False)
        assert root.locator(".tl-readout").inner_text() == before and value(root, 0.5) == 1
        second.page.goto(re.sub("task=[^&]*", "task=1.2.x", address))  # spoilt: the task is that of the start
        assert second.errors == [] and value(root, 0.5) == 0.73


# --- both


@in_browser
def test_they_fit_a_phone_and_answer_a_finger(browser, name):  # noqa: F811
    with Page(browser, name, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as phone:
        root = found_in(phone, PAINT)
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 391
        root.get_by_role("button", name="Wipe").click()
        pixel = root.locator("[data-pixel='35']")
        box = pixel.bounding_box()
        assert min(box["width"], box["height"]) >= 24
        pixel.tap()
        assert [k for k, v in enumerate(pixels(root)) if v] == [35]
        pixel.tap()
        assert pixels(root) == [0] * 64
        stroke(phone, [middle(root, k) for k in (17, 18, 19, 27)])
        assert [k for k, v in enumerate(pixels(root)) if v] == [17, 18, 19, 27]
        root = found_in(phone, BOUND)
        handle(root, 0).scroll_into_view_if_needed()
        box = handle(root, 0).locator("circle").last.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        stroke(phone, [(x, y), (x, y - 15), (x, y - 30)])
        assert 0.6 < value(root, 0) < 0.8
        before = [value(root, k) for k in explorers.POINTS]
        phone.page.touchscreen.tap(x, y + 30)  # beside the points: nothing
        assert [value(root, k) for k in explorers.POINTS] == before and phone.errors == []


def stroke(opened, points):
    """A finger put down at the first point, moved over the others and taken away."""
    session = opened.page.context.new_cdp_session(opened.page)
    for kind, (x, y) in zip(["touchStart", *["touchMove"] * (len(points) - 1)], points, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


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
    control(found_in(opened, PAINT), "guess").select_option("falls")
    found_in(opened, BOUND)
    found = Axe().run(opened.page).response["violations"]
    opened.page.evaluate(wear, looks["light"])
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found] == []


@in_browser
def test_a_redraw_leaves_nothing_behind(opened):
    for title, column in ((PAINT, "strength"), (BOUND, "ratio")):
        root = found_in(opened, title)
        count = root.locator("*").count()
        control(root, column).evaluate("e => { for (let k = 0; k < 4; k++) e.dispatchEvent(new Event('input')); }")
        assert root.locator("*").count() == count and root.locator(".tl-figure *").count() < 1500


@in_browser
def test_the_slider_plays(opened):
    root = found_in(opened, PAINT)
    before = control(root, "strength").get_attribute("aria-valuetext")
    root.get_by_role("button", name="Play: Strength").click()
    opened.page.wait_for_function(
        "before => document.querySelector('[data-control=strength]').getAttribute('aria-valuetext') !== before",
        arg=before,
    )
    root.get_by_role("button", name="Pause: Strength").click()


@in_browser
def test_without_scripts_there_is_a_picture(browser, name):  # noqa: F811
    with Page(browser, name, java_script_enabled=False) as plain:
        pictures = plain.page.locator(".tl-explorer img")
        assert pictures.count() == len(explorers.EXPLORERS) == 3
        for k in range(3):
            assert pictures.nth(k).is_visible() and pictures.nth(k).bounding_box()["width"] > 400


@in_browser
@pytest.mark.parametrize("title", [PAINT, BOUND])
def test_the_picture_to_take_away_shows_everything(opened, tmp_path, title):
    from PIL import Image

    root = found_in(opened, title)
    with opened.page.expect_download() as download:
        root.get_by_role("button", name="Save PNG").click()
    download.value.save_as(tmp_path / "picture.png")
    picture = Image.open(tmp_path / "picture.png").convert("RGB")
    figure = root.locator(".tl-figure").bounding_box()
    assert picture.width == pytest.approx(2 * figure["width"], abs=3) and len(picture.getcolors(1 << 20)) > 50


def test_the_panel_trains_what_its_controls_say(monkeypatch):
    """A control that nothing reads, or a training that is not the one that the legend names."""
    from test_live import parts

    from tutorial_lib.papers.vpn import method

    calls, train = [], method.train_with_noise

    def watched(base, noise, x, y, *, m, fixed, **how):
        shown = (noise.gamma, noise.reading, noise.bound) if isinstance(noise, method.Generator) else noise
        calls.append((len([*base.parameters()]), shown, m, fixed, how["epochs"]))
        return train(base, noise, x, y, m=m, fixed=fixed, **how)

    monkeypatch.setattr(method, "train_with_noise", watched)
    controls, message = parts(explorers.live())
    controls["epochs"].value, controls["base"].value = 2, "softmax regression"
    controls["γ"].value, controls["draws m"].value, controls["bound C (0: none)"].value = 0.1, 3, 0.25
    for _ in range(2):  # the same again: nothing to train
        controls["Train"].click()
    assert calls == [(2, (0.1, "deviation", 0.25), 3, False, 2)]
    assert "softmax regression, joint, Algorithm 1, γ = 0.1, m = 3, Σ < 0.25:" in message.value
    controls["training"].value, controls["Σ read as in"].value = "fixed base", "eq. (20)"
    controls["bound C (0: none)"].value = 0.0
    controls["Train"].click()
    controls["training"].value = "random"
    controls["Train"].click()
    controls["training"].value = "none"
    controls["Train"].click()
    assert calls[1:] == [(2, (0.1, "variance", None), 3, True, 2), (2, method.random_pixels, 3, False, 2)]
    assert "softmax regression, none:" in message.value and "300 digits" in message.value


# --- Tables 1 and 2


def test_gains_are_differences_seed_by_seed_and_the_papers_are_its_own():
    """Means of different seeds, an error of accuracies beside a gain, a table's baseline in the place of another's."""
    found = explorers.accuracies()
    keys = ["source", "dataset", "optimizer", "item", "test", "base", "noise"]
    assert not found.duplicated(keys).any() and (found.loc[found["noise"] == "none", "gain"] == 0).all()
    table = read_table("vpn/table-1", "digits", "desk")
    alone, learned = (
        pick(table, base="SR", optimizer="Adam", kind=kind, measure="accuracy").set_index("seed")["value"]
        for kind in ("none", "joint")
    )
    (row,) = pick(found, source="ours (desk)", dataset="digits", optimizer="Adam", item="1: trained jointly",
                  test="with noise", base="SR", noise="DNN3").to_dict("records")  # fmt: skip
    gains = [learned[seed] - alone[seed] for seed in range(5)]
    assert row["gain"] == pytest.approx(np.mean(gains), abs=0.006) and row["seeds"] == 5
    assert row["sem"] == pytest.approx(np.std(gains, ddof=1) / 5**0.5, abs=0.006)
    assert row["value"] == pytest.approx(learned.mean(), abs=0.006)
    theirs = pick(found, source="the paper", dataset="cifar-10", item="1: trained jointly", base="DNN3", noise="random")
    assert theirs["gain"].round(2).tolist() == [1.23] * 2 and theirs["sem"].isna().all()  # 48.15 and 46.92


@in_browser
def test_the_lowest_of_gains_is_the_darkest(opened):
    """Losses shown as nothing, with the colour of zero."""
    root = found_in(opened, "What noise gains, by base and noise")
    cells = root.locator("rect.tl-cell:not([data-value=''])")
    values = [float(v) for v in cells.evaluate_all("cells => cells.map(c => c.dataset.value)")]
    fills = cells.evaluate_all("cells => cells.map(c => c.getAttribute('fill'))")
    assert min(values) < 0 < max(values)
    lowest, highest = (fills[values.index(end(values))] for end in (min, max))
    assert lowest == "#00224e" and highest == "#fee838"  # the ends of cividis
    shown = root.locator(".tl-legend").inner_text().split("\n")
    assert shown[0].endswith(f": {min(values):.2f}") and shown[1] == f"{max(values):.2f}"
    assert "points over the base alone" in root.inner_text()
