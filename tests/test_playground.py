"""The playground as its reader has it: in the built book, by mouse, keyboard and finger, and by its address."""

import csv
from pathlib import Path

import pytest
from test_book import HTML, Page, browser  # noqa: F401
from test_start import built

from tutorial_lib.playground import playground, script

pytestmark = built
NAME = "book/playground"


@pytest.fixture
def opened(browser):  # noqa: F811
    with Page(browser, NAME, viewport={"width": 1280, "height": 900}) as page:
        yield page
        assert not page.errors and not page.outside


def inside(opened, expression: str):
    return opened.page.evaluate(f"document.querySelector('.tl-playground').playground.{expression}")


def setting(opened, name: str):
    return opened.page.locator(f"[data-setting='{name}']")


def table(opened) -> dict[str, list[str]]:
    rows = opened.page.locator(".tl-playground tbody tr:visible").all()
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}


def go_to(opened, address: str) -> None:
    """Another address of the same page, as a reader enters it."""
    opened.page.evaluate("hash => { location.hash = hash; }", address)
    opened.page.wait_for_timeout(50)


def test_play_trains_both_networks_until_pause(opened):
    before = table(opened)
    opened.page.get_by_role("button", name="Play").click()
    opened.page.wait_for_function(
        "Number(document.querySelector('.pg-count').textContent.replace(/[^0-9]/g, '')) > 200"
    )
    opened.page.get_by_role("button", name="Pause").click()
    steps = opened.page.locator(".pg-count").inner_text()
    after = table(opened)
    assert all(a != b for a, b in zip(before["loss on test points"], after["loss on test points"], strict=True))
    assert all(float(v.split()[0]) > 70 for v in after["accuracy on test points"])
    opened.page.wait_for_timeout(200)
    assert opened.page.locator(".pg-count").inner_text() == steps, "it went on after Pause"


def test_the_same_settings_train_the_same_networks(opened):
    """Else a teacher's link shows every student something else."""
    inside(opened, "run(100)")
    first = table(opened)
    opened.page.get_by_role("button", name="Start again").click()
    assert opened.page.locator(".pg-count").inner_text() == "step 0"
    inside(opened, "run(100)")
    assert table(opened) == first
    opened.page.get_by_role("button", name="Next seed").click()
    inside(opened, "run(100)")
    assert table(opened) != first


def test_without_noise_on_either_side_both_are_the_same_network(opened):
    """The same points, weights and batches: what differs comes from the noise alone."""
    setting(opened, "right").select_option("none")
    inside(opened, "run(150)")
    assert all(left == right for left, right in table(opened).values())
    setting(opened, "right").select_option("dropout")
    inside(opened, "run(150)")
    assert table(opened)["loss on test points"][0] != table(opened)["loss on test points"][1]


def test_everything_answers_the_keyboard(opened):
    page = opened.page
    for name in ("size", "layers", "rate"):
        slider, before = setting(opened, name), inside(opened, f"state.{name}")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert inside(opened, f"state.{name}") < before
    page.get_by_role("button", name="Play").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.pg-count').textContent !== 'step 0'")
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="Play").is_visible()
    steps = page.locator(".pg-count").inner_text()
    page.get_by_role("button", name="Step", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.locator(".pg-count").inner_text() != steps


def test_strengths_act_at_once_and_points_begin_anew(opened):
    inside(opened, "run(50)")
    setting(opened, "p").fill("2")
    assert inside(opened, "state.p") == 0.2
    assert opened.page.locator(".pg-count").inner_text() == "step 50"
    setting(opened, "data").select_option("spirals")
    assert opened.page.locator(".pg-count").inner_text() == "step 0"


def test_only_the_controls_that_matter_are_there(opened):
    assert setting(opened, "p").is_visible() and not setting(opened, "sigma").is_visible()
    setting(opened, "right").select_option("penalty")
    assert setting(opened, "sigma").is_visible() and not setting(opened, "p").is_visible()
    assert "phase of the noise node" not in table(opened)
    setting(opened, "left").select_option("node")
    assert setting(opened, "node").is_visible() and "phase of the noise node" in table(opened)


def test_the_address_holds_the_state(opened, browser):  # noqa: F811
    setting(opened, "right").select_option("node")
    setting(opened, "width").fill("1")
    setting(opened, "data").select_option("xor")
    address = opened.page.evaluate("location.hash")
    assert "playground.right=node" in address and "playground.left" not in address
    with Page(browser, NAME) as again:
        go_to(again, address)
        assert inside(again, "state") == inside(opened, "state")


def test_a_link_hides_controls_and_shows_them_again(opened):
    opened.page.locator("summary", has_text="A focused version").click()
    for name in ("layers", "width", "activation", "rate"):
        opened.page.locator(f"[data-hide='{name}']").check()
    address = opened.page.evaluate("location.hash")
    opened.page.get_by_role("button", name="Show all controls").click()
    assert setting(opened, "layers").is_visible()
    go_to(opened, address)
    assert not setting(opened, "layers").is_visible() and not setting(opened, "rate").is_visible()
    assert not opened.page.locator("[data-group='Network']").is_visible(), "an empty box stays behind"
    assert setting(opened, "data").is_visible()


def test_an_address_that_asks_for_nonsense_shows_what_is_there(opened):
    go_to(
        opened, "#playground.width=9.4&playground.data=stars&playground.rate=fast&playground.seed=&playground.hide=all"
    )
    assert inside(opened, "state.width") == 8
    assert (
        inside(opened, "state.data") == "moons"
        and inside(opened, "state.rate") == 0.1
        and inside(opened, "state.seed") == 0
    )
    assert setting(opened, "layers").is_visible()


def preset(opened, name: str, steps: int, **changed) -> list[dict]:
    """What is measured of both networks, left and right, after so many steps of a preset with some settings changed."""
    opened.page.locator(f"[data-preset='{name}']").click()
    assert opened.page.locator(".pg-see p").count() == 2
    for key, value in changed.items():
        values = opened.page.evaluate("name => document.querySelector(`[data-setting=${name}]`).max", key)
        for position in range(int(values) + 1):
            if inside(opened, f"state.{key}") == value:
                break
            setting(opened, key).fill(str(position))
    inside(opened, f"run({steps})")
    return inside(opened, "measured")


def test_dropout_as_augmentation_shows_what_it_says(opened):
    early = preset(opened, "Dropout as augmentation", 300)
    late = preset(opened, "Dropout as augmentation", 5000)
    assert late[0]["noisyLoss"] < 0.1 < late[1]["noisyLoss"]
    assert late[0]["testLoss"] > 1.5 * early[0]["testLoss"]
    assert late[1]["testLoss"] / early[1]["testLoss"] < 0.8 * late[0]["testLoss"] / early[0]["testLoss"]


def test_penalty_and_noise_agree_when_weak_and_part_when_strong(opened):
    def apart(sigma):
        left, right = preset(opened, "Penalty = noise?", 3000, sigma=sigma)
        return abs(left["testAccuracy"] - right["testAccuracy"]), abs(left["margin"] - right["margin"])

    weak, strong = apart(0.1), apart(0.7)
    assert weak[0] <= 1.5 and weak[1] < 0.06
    assert strong[0] > 2 * weak[0] or strong[1] > 2 * weak[1]


def test_the_catapult_throws_and_its_neighbours_do_what_is_said(opened):
    norms = {}
    for node, phase in ((20, "catapult"), (3, "decoupled"), (30, "catapult"), (100, "divergent")):
        left, right = preset(opened, "Catapult", 1500, node=node)
        assert right["phase"] == phase, node
        assert left["phase"] is None and not left["dead"]
        norms[node] = None if right["dead"] else right["norm"]
        if node == 20:
            assert right["testAccuracy"] > 80, "it does not recover"
    assert norms[20] < norms[3] / 1.5 and norms[100] is None
    assert table(opened)["accuracy on test points"][1] == "diverged"
    opened.page.get_by_role("button", name="Play").click()  # the other one trains on
    opened.page.wait_for_timeout(200)


def test_too_much_noise_spoils_the_training_and_not_only_the_answer(opened):
    plain, noisy = preset(opened, "Too much noise", 2000)
    _, steadier = preset(opened, "Too much noise", 2000, n=30)
    _, silent = preset(opened, "Too much noise", 2000, test=0)
    assert plain["testAccuracy"] > 95
    assert all(m["testAccuracy"] < 90 for m in (noisy, steadier, silent))


def test_learned_noise_goes_down(opened):
    before = preset(opened, "Learned noise", 0)[1]["norm"]
    after = preset(opened, "Learned noise", 4000)[1]["norm"]
    assert 0.7 < before < 1.3 and after < 0.2


def test_a_map_tells_its_probabilities_under_the_pointer_and_the_finger(browser):  # noqa: F811
    with Page(browser, NAME, viewport={"width": 390, "height": 800}, has_touch=True) as opened:
        inside(opened, "run(300)")
        opened.page.locator(".tl-playground canvas").nth(1).tap(position={"x": 20, "y": 20})
        told = opened.page.locator(".pg-told").inner_text()
        assert told.startswith("At (−2.") and "on the left" in told
        wide = opened.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
        bar = opened.page.locator(".pg-bar")
        opened.page.evaluate("document.querySelector('.pg-groups').scrollIntoView()")
        assert bar.bounding_box()["y"] < 800, "Play is out of reach while the reader changes something"


def test_what_is_taken_away_is_the_run(opened, tmp_path):
    opened.page.get_by_role("button", name="Play").click()
    opened.page.wait_for_function(
        "Number(document.querySelector('.pg-count').textContent.replace(/[^0-9]/g, '')) > 200"
    )
    opened.page.get_by_role("button", name="Pause").click()
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save the run as CSV").click()
    path = tmp_path / "run.csv"
    download.value.save_as(path)
    rows = list(csv.DictReader(path.open()))
    assert {row["side"] for row in rows} == {"left", "right"} and len(rows) > 4
    assert f"{float(rows[-2]['testLoss']):.3g}" == f"{float(table(opened)['loss on test points'][0]):.3g}"
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save PNG").click()
    download.value.save_as(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")


def test_the_maps_are_the_networks(opened):
    """A map that is flipped, or shifted, would show points of the wrong class inside the other's colour."""
    preset(opened, "Too much noise", 2000)
    found = opened.page.evaluate(
        """() => {
          const canvas = document.querySelector('.tl-playground canvas'), box = canvas.getBoundingClientRect();
          const told = [];
          for (const [x, y] of [[-2, 1.5], [2, -1.5]]) {
            const at = {clientX: box.left + (x + 3) / 6 * box.width, clientY: box.top + (3 - y) / 6 * box.height};
            canvas.dispatchEvent(new PointerEvent('pointermove', at));
            const pixel = canvas.getContext('2d').getImageData((x + 3) / 6 * 480, (3 - y) / 6 * 480, 1, 1).data;
            told.push([document.querySelector('.pg-told').textContent, [...pixel]]);
          }
          return told;
        }"""
    )
    (first, blue), (second, orange) = found
    assert "square is 0.0" in first and blue[2] > blue[0]
    assert "square is 1.0" in second or "square is 0.9" in second
    assert orange[0] > orange[2]


def test_it_is_small_and_whole(browser, tmp_path):  # noqa: F811
    html = playground().html
    assert len(html.encode()) <= 150_000 and "import " not in script()
    assert "http" not in html.replace("http://www.w3.org/2000/svg", ""), "it names an address"
    path = Path(tmp_path) / "alone.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'>{html}", encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator("canvas").count() == 2
    page.close()


def test_without_scripts_there_is_a_picture(browser):  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((HTML / f"{NAME}.html").as_uri())
    assert page.locator(".tl-playground img[alt*='dropout']").is_visible()
    context.close()


def test_long_runs_keep_little(opened):
    """Else an hour of play fills the memory of a phone."""
    inside(opened, "run(20000)")
    kept = opened.page.evaluate("document.querySelectorAll('.tl-playground svg path').length")
    lengths = (
        "[...document.querySelectorAll('.tl-playground svg path')].map(p => p.getAttribute('d').split(/[ML]/).length)"
    )
    points = max(opened.page.evaluate(lengths))
    assert kept < 20 and points <= 1001
