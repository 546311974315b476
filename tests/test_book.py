"""The built book in a headless browser, with every outside request blocked. Needs `make build` and Chromium."""

import csv
import functools
import html
import importlib
import re
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tutorial_lib.explore import Explorer
from tutorial_lib.papers import wings

ROOT = Path(__file__).parent.parent
HTML = ROOT / "_build" / "html"
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test the built book"),
    pytest.mark.skipif(not (HTML / "index.html").exists(), reason="NO BOOK: run `make build` first"),
]


def toc_pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "book/_toc.yml").read_text())

    def walk(entry):
        if "file" in entry:
            yield entry["file"]
        for key in ("parts", "chapters", "sections"):
            for child in entry.get(key, []):
                yield from walk(child)

    return [toc["root"], *walk(toc)]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Page:
    """A page of the book, opened from file://, that remembers what it asked for and what it complained of."""

    def __init__(self, browser, name, **context):
        self.outside, self.errors, self.asked = [], [], []
        self.context = browser.new_context(**context)
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.goto((HTML / f"{name}.html").as_uri())
        self.page.wait_for_load_state("load")

    def _route(self, route):
        self.asked.append(route.request.url)
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


def typeset(opened):
    """All formulas, which wait to come into view; what looks after the wide ones has seen them."""
    opened.page.evaluate(
        """MathJax.startup.promise.then(() => MathJax.startup.document.lazyTypesetAll())
        .then(() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go))))"""
    )


@pytest.mark.parametrize("name", toc_pages())
def test_no_page_asks_for_anything_outside_or_logs_an_error(browser, name):
    with Page(browser, name) as opened:
        opened.page.wait_for_timeout(500)
        assert opened.outside == [] and opened.errors == []
        math = opened.page.locator("span.math, div.math").count()
        if math:
            typeset(opened)
            assert opened.page.locator("mjx-container").count() >= math
            assert opened.page.locator("mjx-merror").count() == 0


TIMES = runpy.run_path(str(ROOT / "book/page_times.py"))


@pytest.mark.parametrize("name", toc_pages())
def test_no_page_is_heavy(browser, name):
    """As a web server sends it, text compressed: at most 1.5 MB, without the search page's tools or MathJax's menu."""
    with Page(browser, name) as opened:
        opened.page.wait_for_timeout(500)
        files, sent = TIMES["weight"](opened.asked)
        assert 100 < sent < files and sent <= 1500
        assert not [url for url in opened.asked if re.search("searchindex|searchtools|ui/menu", url)]


def test_the_shipped_times_are_of_these_pages():
    """A page that is new or gone: run book/page_times.py again, on an idle machine."""
    times = pd.read_csv(TIMES["TABLE"])
    assert sorted(times["page"]) == sorted(toc_pages()) == sorted(TIMES["pages"]())
    assert times["kB as sent"].max() <= 1500
    assert times["s until it answers"].max() <= 2 and times["s, processor slowed 4 times"].max() <= 5


def test_the_search_shows_where_a_word_stands_without_a_server(browser):
    with Page(browser, "search") as opened:
        opened.page.goto(opened.page.url + "?q=catapult")
        found = opened.page.locator("#search-results li")
        opened.page.locator("#search-results li p.context").first.wait_for()
        told = {f.locator("a").first.inner_text(): f.locator("p.context").all_inner_texts() for f in found.all()}
        assert len(told) >= 4 and opened.outside == [] and opened.errors == []
        assert sum(any("catapult" in text.lower() for text in texts) for texts in told.values()) >= len(told) / 2
        assert not any("<" in text or "function" in text for texts in told.values() for text in texts)


@pytest.mark.parametrize("name", toc_pages())
@pytest.mark.parametrize("width", [360, 1100, 1280])
def test_no_page_is_wider_than_the_screen(browser, name, width):
    with Page(browser, name, viewport={"width": width, "height": 800}) as opened:
        opened.page.wait_for_timeout(300)
        # one pixel for rounding; what is wider must scroll inside itself
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width + 1


@pytest.mark.parametrize("name", toc_pages())
def test_every_picture_has_a_text_and_every_control_a_label(browser, name):
    with Page(browser, name) as opened:
        # Sphinx fills a missing text with the file's name, which tells nobody anything
        bare = (
            "els => els.filter(e => !/[a-z]+ [a-z]+ /.test(e.getAttribute('alt') || '')).map(e => e.src.slice(0, 99))"
        )
        assert opened.page.eval_on_selector_all("article img", bare) == []
        unlabelled = "els => els.filter(e => !e.labels.length && !e.ariaLabel).map(e => e.outerHTML)"
        assert opened.page.eval_on_selector_all("main select, main input[type=range]", unlabelled) == []


@pytest.mark.parametrize("name", toc_pages())
def test_no_figure_is_a_line_of_text(name):
    """Without `%matplotlib inline` a page shows the name of a figure in its place."""
    assert "&lt;Figure size" not in (HTML / f"{name}.html").read_text(encoding="utf-8")


def test_the_built_pages_link_to_no_address_but_the_projects_own():
    """A link to a repository that somebody else may own, or to the placeholder."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    for page in HTML.rglob("*.html"):
        links = re.findall(r'href="(https?://[^"]*)"', page.read_text(encoding="utf-8"))
        links = [link for link in links if re.search("github|colab|example[.](org|com|net)", link)]
        own = address.removeprefix("https://github.com/")
        assert all(f"/{own}" in link for link in links), f"{page.name} links to {links}"


BOARD = "notebooks/scoreboard"
WINGS = {wing.SLUG: wing for wing in wings()}
CHAPTERS = list(WINGS)


@functools.cache
def made(chapter: str) -> dict[str, Explorer]:
    """The explorers of a chapter's wing, by title; each has its picture's text as title."""
    wing = WINGS[chapter]
    made = [make() for make in importlib.import_module(f"{wing.__name__}.explorers").EXPLORERS]
    return {html.unescape(re.search('<img alt="([^"]*)"', explorer.html)[1]): explorer for explorer in made}


@functools.cache
def rooms() -> dict[str, list[str]]:
    """The titles of the explorers on every page of the book but the labs."""
    found = {}
    for name in toc_pages():
        if name.startswith("book/"):
            text = (HTML / f"{name}.html").read_text(encoding="utf-8")
            shown = re.findall('<div class="tl-explorer"[^>]*><img alt="([^"]*)"', text)
            found |= {name: [html.unescape(title) for title in shown]} if shown else {}
    return found


def page_of(title: str) -> str:
    """The page that shows the explorer whose title begins so."""
    (page,) = [name for name, shown in rooms().items() if any(t.startswith(title) for t in shown)]
    return page


def pages_of(chapter: str) -> dict[str, list[str]]:
    """The pages of a chapter that show explorers, with their titles."""
    return {name: shown for name, shown in rooms().items() if f"{name}/".startswith(f"book/{chapter}/")}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_shows_every_explorer_of_its_wing_once(browser, chapter):
    assert made(chapter), "a wing's explorers.py lists its explorers in EXPLORERS"
    pages = pages_of(chapter)
    assert sorted(title for shown in pages.values() for title in shown) == sorted(made(chapter))
    for page, shown in pages.items():
        with Page(browser, page) as opened:
            for title in shown:
                explorer(opened, title)
            assert opened.page.locator(".tl-explorer").count() == len(shown)


def explorer(opened, title):
    named = re.compile(f"^{re.escape(title)}")
    root = opened.page.locator(".tl-explorer", has=opened.page.get_by_role("group", name=named))
    root.wait_for(timeout=10_000)
    return root


def control(root, column):
    return root.locator(f"[data-control={column}]")


def choose(root, column, value):
    """Pick from a menu, which is disabled where there is nothing to choose."""
    menu = control(root, column)
    if menu.is_enabled():
        menu.select_option(value)
    assert menu.input_value() == value


def measured(**keys) -> pd.DataFrame:
    from tutorial_lib.papers.activation_noise.explorers import accuracies

    table = accuracies()
    for column, value in keys.items():
        table = table[table[column] == value]
    return table


def drawn_cells(root) -> dict:
    cells = root.locator("rect.tl-cell").evaluate_all(
        "els => els.map(e => [e.dataset.x, e.dataset.y, e.dataset.value])"
    )
    return {(float(x), float(y)): float(v) for x, y, v in cells if v != ""}


def test_the_heatmap_follows_the_keyboard_and_shows_the_table(browser):
    with Page(browser, page_of("Accuracy over noise at training")) as opened:
        root = explorer(opened, "Accuracy over noise at training")
        table = measured(source="ours (desk)", dataset="cifar-10", distribution="gaussian")
        expected = {
            (r.alpha_train, r.alpha_inference): r.accuracy
            for r in table.itertuples() if r.n == (100 if r.alpha_inference else 1)
        }  # fmt: skip
        assert drawn_cells(root) == pytest.approx(expected)
        slider = control(root, "n")
        slider.focus()
        opened.page.keyboard.press("Home")
        assert slider.get_attribute("aria-valuetext") == "1"
        expected = {(r.alpha_train, r.alpha_inference): r.accuracy for r in table[table["n"] == 1].itertuples()}
        assert drawn_cells(root) == pytest.approx(expected)
        control(root, "alpha_train").focus()
        opened.page.keyboard.press("Home")
        control(root, "alpha_inference").focus()
        opened.page.keyboard.press("Home")
        told = root.locator(".tl-readout").inner_text()
        assert f"accuracy {expected[0.0, 0.0]:.1f} %" in told and "Trained at α = 0," in told


def test_the_heatmap_switches_to_the_papers_grid_and_other_data(browser):
    with Page(browser, page_of("Accuracy over noise at training")) as opened:
        root = explorer(opened, "Accuracy over noise at training")
        control(root, "source").select_option("paper, Fig. 3")
        cells = drawn_cells(root)
        assert len(cells) == 334 and cells[0.0, 0.0] == 20.48
        assert root.locator("rect.tl-cell").count() == 400  # the other 66 are drawn as empty
        control(root, "source").select_option("ours (desk)")
        control(root, "dataset").select_option("digits")
        control(root, "distribution").select_option("cauchy")
        table = measured(source="ours (desk)", dataset="digits", distribution="cauchy")
        n = int(control(root, "n").get_attribute("aria-valuetext"))  # the paper's, where ours has it, too
        expected = {
            (r.alpha_train, r.alpha_inference): r.accuracy
            for r in table.itertuples() if r.n == (n if r.alpha_inference else 1)
        }  # fmt: skip
        assert len(expected) > 3
        assert drawn_cells(root) == pytest.approx(expected)


def test_the_heatmap_answers_a_touch(browser):
    with Page(
        browser,
        page_of("Accuracy over noise at training"),
        viewport={"width": 390, "height": 800},
        has_touch=True,
        is_mobile=True,
    ) as opened:
        root = explorer(opened, "Accuracy over noise at training")
        root.locator('rect.tl-cell[data-x="0"][data-y="0.1"]').tap()
        assert "Trained at α = 0, inference at α = 0.1" in root.locator(".tl-readout").inner_text()
        size = root.locator("svg text").first.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        scale = root.locator(".tl-figure svg[role=img]").evaluate(
            "e => e.getBoundingClientRect().width / e.viewBox.baseVal.width"
        )
        assert size * scale > 10, "text too small to read on a phone"


def test_accuracy_over_n_shows_ours_and_the_papers(browser):
    with Page(browser, page_of("Accuracy over the number")) as opened:
        root = explorer(opened, "Accuracy over the number")
        control(root, "alpha_train").focus()
        opened.page.keyboard.press("End")
        control(root, "alpha_inference").focus()
        opened.page.keyboard.press("End")
        chosen = [float(control(root, c).get_attribute("aria-valuetext")) for c in ("alpha_train", "alpha_inference")]
        assert chosen == [1.5, 1.5]
        dots = root.locator("circle[data-series]").evaluate_all(
            "els => els.map(e => [e.dataset.series, Number(e.dataset.x), Number(e.dataset.value)])"
        )
        table = measured(dataset="cifar-10", alpha_train=1.5, alpha_inference=1.5)
        table = table[table["source"] != "paper, Fig. 3"]
        expected = {(r.source, r.n): r.accuracy for r in table.itertuples()}
        assert {(s, n): v for s, n, v in dots} == pytest.approx(expected)
        assert {s for s, *_ in dots} == {"ours (desk)", "ours, images that race on", "paper, Table 2"}


def test_densities_follow_distribution_and_parameter(browser):
    with Page(browser, page_of("Densities")) as opened:
        root = explorer(opened, "Densities")
        path = root.locator("path[data-series='exact density']")
        before = path.get_attribute("d")
        control(root, "noise").select_option("cauchy (gamma)")
        assert "neither a mean nor a variance" in root.locator(".tl-readout").inner_text()
        middle = path.get_attribute("d")
        control(root, "value").focus()
        opened.page.keyboard.press("ArrowLeft")
        assert len({before, middle, path.get_attribute("d")}) == 3


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_redraw_draws_few_things_and_leaves_none_behind(browser, chapter):
    """What a redraw costs, in counts: a thousand elements take a slow phone a few hundredths of a second."""
    for page, shown in pages_of(chapter).items():
        with Page(browser, page) as opened:
            for title in shown:
                root = explorer(opened, title)
                controls = root.locator("input[type=range]:enabled, select:enabled")
                again = "input => { for (let k = 0; k < 5; k++) input.dispatchEvent(new Event('input')); }"
                before = root.locator("*").count()
                if controls.count():
                    controls.first.evaluate(again)
                assert root.locator("*").count() == before, f"{title}: a redraw of the same adds elements"
                assert root.locator(".tl-figure *").count() < 2000, title


def test_the_table_is_one_click_away(browser):
    with Page(browser, page_of("Accuracy over noise at training")) as opened:
        root = explorer(opened, "Accuracy over noise at training")
        root.locator("summary").click()
        rows = root.locator("tbody tr")
        rows.first.wait_for()
        assert rows.count() == root.locator("rect.tl-cell[data-value]:not([data-value=''])").count()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_scripts_there_is_a_picture(browser, chapter):
    for page, shown in pages_of(chapter).items():
        with Page(browser, page, java_script_enabled=False) as opened:
            pictures = opened.page.locator(".tl-explorer img")
            assert pictures.count() == len(shown)
            for k in range(len(shown)):
                assert pictures.nth(k).is_visible() and pictures.nth(k).bounding_box()["width"] > 200


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_dark_mode_keeps_explorers_readable(browser, chapter):
    """Contrast of the explorer's text against what is behind it, by the WCAG formula: at least 4.5 in both modes."""
    page, (*_, last) = list(pages_of(chapter).items())[-1]
    for scheme in ("light", "dark"):
        with Page(browser, page, color_scheme=scheme) as opened:
            root = explorer(opened, last)
            colours = root.locator(".tl-readout").evaluate(
                """e => { let back = e, colour;
                do { colour = getComputedStyle(back).backgroundColor; back = back.parentElement; }
                while (back && /, 0\\)$|transparent/.test(colour));
                return [getComputedStyle(e).color, colour]; }"""
            )
            assert contrast(*colours) > 4.5, (scheme, colours)


def contrast(a: str, b: str) -> float:
    def luminance(colour):
        parts = [float(v) / 255 for v in re.findall(r"[\d.]+", colour)[:3]]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_no_dead_sliders_in_the_static_pages():
    for page in HTML.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "application/vnd.jupyter.widget-view" not in text and "require.js" not in text, page.name


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_explorers_are_small(chapter):
    for title, explorer in made(chapter).items():
        assert len(explorer.html.encode()) <= 150_000, title


def explorers_of(opened) -> list:
    """Every explorer of a page."""
    found = opened.page.locator(".tl-explorer")
    return [found.nth(k) for k in range(found.count())]


def csv_of(opened, root, tmp_path) -> list[list[str]]:
    """The rows of the file that an explorer gives away."""
    if root.locator("details").get_attribute("open") is None:
        root.locator("summary").click()
    with opened.page.expect_download() as download:
        root.get_by_role("button", name="CSV").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, strict=True))


@pytest.mark.parametrize("name", toc_pages())
def test_every_explorers_csv_has_a_field_a_column_in_every_line(browser, name, tmp_path):
    """A name with a comma that is not quoted moves what follows into the wrong columns."""
    with Page(browser, name) as opened:
        for root in explorers_of(opened):
            head, *rows = csv_of(opened, root, tmp_path)
            assert rows and {len(row) for row in rows} == {len(head)}
            # the table below the controls shows some of these rows, with the numbers shortened
            shown = root.locator("tbody tr").evaluate_all("rows => rows.map(r => [...r.cells].map(c => c.textContent))")
            columns = root.locator("thead th").all_inner_texts()
            assert head[: len(columns)] == columns  # then, where the page computes, what the controls are set to
            words = [k for k in range(len(columns)) if any(re.search("[A-Za-z]{2}", row[k]) for row in rows)]
            picked = {tuple(row[k] for k in words) for row in rows}
            assert {tuple(row[k].replace("–", "") for k in words) for row in shown} <= picked


def test_the_csv_of_the_heatmap_is_its_table(browser, tmp_path):
    from tutorial_lib.papers.activation_noise.explorers import _NAMES as NAMES

    with Page(browser, page_of("Accuracy over noise at training")) as opened:
        root = explorer(opened, "Accuracy over noise at training")
        head, *rows = csv_of(opened, root, tmp_path)
    named = {name: column for column, name in NAMES.items()}
    file = pd.DataFrame(rows, columns=[named[name] for name in head])
    file = file.astype({"n": float, "alpha_train": float, "alpha_inference": float})
    file = file[file["alpha_inference"] > 0]  # the explorer repeats the rows without noise at every n
    table = measured()
    table = table[(table["alpha_inference"] > 0) & (table["source"] != "ours, images that race on")]
    keys = ["source", "dataset", "distribution", "n", "alpha_train", "alpha_inference"]
    both = table.merge(file, on=keys, how="outer", suffixes=("", "_file"), validate="one_to_one")
    assert len(both) == len(table) == len(file) and (both["source"] == "paper, Table 2").any()
    assert both["accuracy_file"].astype(float).to_numpy() == pytest.approx(both["accuracy"].to_numpy())


def test_a_csv_quotes_commas_quotes_and_new_lines(browser, tmp_path):
    from matplotlib.figure import Figure

    from tutorial_lib.explore import explorer as make

    names = ["plain", "a, b", 'say "so"', "two\nlines", "“curly”, µ"]
    table = pd.DataFrame({"x, in units": [1.5, 2.0], "v": [-1.0, 2.0]}).merge(
        pd.DataFrame({"name": names}), how="cross"
    )
    found = make("lines", table, title="Names", controls=[], start={}, x="x, in units", value="v", series="name",
                 names={"x, in units": 'x, "so"', "v": "v"}, picture=Figure())  # fmt: skip
    page = tmp_path / "page.html"
    page.write_text(f'<meta charset="utf-8"><body>{found.html}', encoding="utf-8")
    with Page(browser, BOARD) as opened:
        opened.page.goto(page.as_uri())
        head, *rows = csv_of(opened, explorers_of(opened)[0], tmp_path)
    assert head == ['x, "so"', "v", "name"]
    assert [(float(x), float(v), name) for x, v, name in rows] == list(table.itertuples(index=False, name=None))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_axis_of_an_explorer_has_a_label(browser, chapter):
    """A name that is looked up wrongly leaves the upright axis bare."""
    for page, shown in pages_of(chapter).items():
        with Page(browser, page) as opened:
            for root in explorers_of(opened):
                charts = root.locator(".tl-figure svg[role=img]")
                for k in range(charts.count()):
                    labels = charts.nth(k).locator("[data-axis]")
                    told = dict(labels.evaluate_all("els => els.map(e => [e.dataset.axis, e.textContent.trim()])"))
                    assert set(told) == {"x", "y"} and all(told.values()), (shown, told)


def test_the_upright_axis_is_named_after_what_is_drawn(browser):
    for title, label in (
        ("Accuracy over the number", "accuracy (%)"),
        ("Accuracy over noise at training", "α at inference"),
        ("Densities", "density"),
    ):
        with Page(browser, page_of(title)) as opened:
            assert explorer(opened, title).locator("[data-axis=y]").text_content() == label


@pytest.mark.parametrize("name", toc_pages())
def test_cells_of_printed_tables_stand_apart(browser, name):
    """Without room between columns, 95.1 ± 0.1 and 91.0 ± 1.0 read as one."""
    gaps = """tables => tables.flatMap(table => [...table.rows].flatMap(row => {
        const filled = [...row.cells].filter(cell => cell.textContent.trim() && cell.getClientRects().length);
        const boxes = filled.map(cell => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return range.getBoundingClientRect(); });
        return boxes.slice(1).map((box, k) => [box.left - boxes[k].right, row.textContent]);
      })).filter(([gap]) => gap < 6)"""
    with Page(browser, name, viewport={"width": 1280, "height": 800}) as opened:
        assert opened.page.eval_on_selector_all("div.cell_output table", gaps) == []


def drawn_dots(panel) -> dict:
    """(series, x) -> value of every dot that a chart shows."""
    dots = panel.locator("circle[data-series]").evaluate_all(
        "els => els.map(e => [e.dataset.series, Number(e.dataset.x), Number(e.dataset.value)])"
    )
    return {(name, x): value for name, x, value in dots}


def axis_labels(panel) -> list[str]:
    return panel.locator("text").all_inner_texts()


def test_theorem_1_shows_the_measured_ratios(browser):
    from tutorial_lib.draw import mean_and_sem, pick
    from tutorial_lib.papers import read_table
    from tutorial_lib.papers.explicit_reg.figures import ratios

    table = pick(ratios(read_table("explicit-reg/theorem-1", "digits", "desk")), where="average over data", epochs=2)
    with Page(browser, page_of("Two sides of Theorem 1")) as opened:
        root = explorer(opened, "Two sides of Theorem 1")
        for loss, activation, layer, name in (
            ("squared error", "ELU", "all layers", "all"),
            ("cross-entropy", "ReLU", "layer 1", "act1"),
        ):
            for column, value in (("loss", loss), ("activation", activation), ("layer", layer)):
                control(root, column).select_option(value)
            part = pick(table, loss=loss, activation=activation.lower(), layer=name)
            shown = drawn_dots(root.locator(".tl-figure svg[role=img]"))
            for column, side in (("plain", "R of eq. 10"), ("full", "R and the curvature term")):
                expected = {
                    (side, r.sigma): getattr(r, column) for r in mean_and_sem(part, ["sigma"], column).itertuples()
                }
                assert {k: v for k, v in shown.items() if k[0] == side} == pytest.approx(expected, abs=2e-3)
            assert any(side == "R of eq. 12" for side, _ in shown) == (loss == "squared error")


def test_the_spectrum_follows_the_time_slider_and_its_axes_stand_still(browser):
    with Page(browser, page_of("Spectrum and learned function")) as opened:
        root = explorer(opened, "Spectrum and learned function")
        panels = root.locator(".tl-figure svg[role=img]")
        assert panels.count() == 2

        def state():
            paths = [panels.nth(k).locator("path[data-series=baseline]").get_attribute("d") for k in (0, 1)]
            target = panels.nth(1).locator("path[data-series=target]").get_attribute("d")
            return paths, target, [axis_labels(panels.nth(k)) for k in (0, 1)]

        late, target, axes = state()
        control(root, "step").focus()
        opened.page.keyboard.press("Home")
        early, same_target, same_axes = state()
        assert early[0] != late[0] and early[1] != late[1] and target == same_target and axes == same_axes
        told = root.locator(".tl-readout").inner_text()
        assert "Mean amplitude at frequencies 30 to 50: baseline 0." in told
        noise = panels.nth(0).locator("path[data-series=noise]")
        weak = noise.get_attribute("d")
        control(root, "variance").focus()
        opened.page.keyboard.press("End")
        assert control(root, "variance").get_attribute("aria-valuetext") == "0.1"
        assert noise.get_attribute("d") != weak


def test_sigma_moves_the_reliability_diagram_along_the_sensitivity_curve(browser):
    from tutorial_lib.draw import mean_and_sem, pick
    from tutorial_lib.papers import read_table

    with Page(browser, page_of("Sensitivity and reliability"), viewport={"width": 1400, "height": 900}) as opened:
        root = explorer(opened, "Sensitivity and reliability")
        control(root, "dataset").select_option("digits")
        control(root, "network").select_option("conv")
        curve, diagram = (
            root.locator(".tl-figure svg[role=img]").nth(0),
            root.locator(".tl-figure svg[role=img]").nth(1),
        )
        left, right = curve.bounding_box(), diagram.bounding_box()
        assert abs(left["y"] - right["y"]) < 2 and left["x"] + left["width"] <= right["x"] + 1  # side by side
        table = pick(read_table("explicit-reg/fig-11", "digits", "desk"), network="conv", measure="accuracy")
        means = mean_and_sem(table, ["kind", "sigma"])
        expected = {(r.kind, r.sigma): r.value for r in means.itertuples()}
        assert drawn_dots(curve) == pytest.approx(expected, abs=0.051)
        before, stands = drawn_dots(diagram), drawn_dots(curve)
        slider = control(root, "sigma")
        slider.focus()
        opened.page.keyboard.press("End")
        assert drawn_dots(curve) == stands and drawn_dots(diagram) != before
        assert (
            curve.locator("[data-mark]").get_attribute("data-mark") == "1"
            and not diagram.locator("[data-mark]").count()
        )
        at_one = means[(means["kind"] == "noise") & (means["sigma"] == 1)]["value"].item()
        assert f"noise {at_one:.1f} %" in root.locator(".tl-readout").inner_text()


def test_panels_stand_below_each_other_on_a_phone(browser):
    with Page(browser, page_of("Sensitivity and reliability"), viewport={"width": 390, "height": 800}) as opened:
        panels = explorer(opened, "Sensitivity and reliability").locator(".tl-figure svg[role=img]")
        first, second = panels.nth(0).bounding_box(), panels.nth(1).bounding_box()
        assert second["y"] >= first["y"] + first["height"] - 1 and first["width"] > 250


def told_rows(root) -> pd.DataFrame:
    """The data table under an explorer, as the reader sees it."""
    if root.locator("details").get_attribute("open") is None:
        root.locator("summary").click()
    root.locator("tbody tr").first.wait_for()
    cells = root.locator("tbody tr").evaluate_all("rows => rows.map(r => [...r.cells].map(c => c.textContent))")
    return pd.DataFrame(cells, columns=root.locator("thead th").all_inner_texts())


def test_the_toy_model_in_the_page_is_the_one_in_the_package(browser):
    """Every run and every cell of the map of phases, computed by the page, against `descend` and `phase`."""
    import numpy as np

    from tutorial_lib.papers.ninr.explorers import _steps
    from tutorial_lib.papers.ninr.method import PHASES, descend, phase

    with Page(browser, page_of("The toy model")) as opened:
        root = explorer(opened, "The toy model")
        for w, sigma, eta, expected in (
            (0.0357, 5.012, 0.1, None),
            (1.0, 0.1, 0.01, None),
            (0.0357, 1000.0, 0.3162, 3),
        ):
            wanted = {"w": w, "sigma": sigma, "eta": eta, "batch": "infinite"}
            for name, value in wanted.items():
                if name == "batch":
                    control(root, name).select_option(value)
                    continue
                slider = control(root, name)
                slider.focus()
                opened.page.keyboard.press("Home")
                for _ in range(60):
                    if float(slider.get_attribute("aria-valuetext")) >= value * 0.999:
                        break
                    opened.page.keyboard.press("ArrowRight")
                assert float(slider.get_attribute("aria-valuetext")) == pytest.approx(value)
            steps = round(20 / eta)
            path = descend([w], [w], [w], eta=eta, sigma=sigma, steps=steps)
            found = phase(path["w_ni"], path["loss"])
            assert expected is None or found == "divergent"
            assert f"Phase: {found}." in root.locator(".tl-readout").inner_text()
            rows = told_rows(root)
            for series, key in (("|w_NI|", "w_ni"), ("|w(1)|", "w1"), ("loss", "loss")):
                line = rows[rows["of"] == series]
                index = line["step + 1"].astype(int).to_numpy() - 1
                assert line["value"].astype(float).to_numpy() == pytest.approx(path[key][index], rel=6e-2, abs=2e-12)
                assert len(line) > 10 or found == "divergent"
            codes = root.locator("image.tl-map").get_attribute("data-codes").split("|")
            assert [len(row) for row in codes] == [41] * 16
            for row, eta_row in zip(codes, _steps(0.01, 10**-0.5), strict=True):
                sigmas = np.array(_steps(0.1, 1000))
                paths = descend([w], [w], [w], eta=eta_row, sigma=sigmas, steps=round(20 / eta_row))
                ours = [phase(a, b) for a, b in zip(paths["w_ni"], paths["loss"], strict=True)]
                assert ours == [PHASES[int(code)] for code in row]


def test_a_click_on_the_map_moves_the_point_and_batch_noise_moves_the_run(browser):
    with Page(browser, page_of("The toy model")) as opened:
        root = explorer(opened, "The toy model")
        picture = root.locator("image.tl-map")
        box = picture.bounding_box()  # the sixth σ, the fourth η
        picture.click(position={"x": box["width"] * 5.5 / 41, "y": box["height"] * (1 - 3.5 / 16)})
        slider = control(root, "sigma")
        point = root.locator("circle.tl-point")
        assert float(slider.get_attribute("aria-valuetext")) == float(point.get_attribute("data-x")) == 0.3162
        calm = told_rows(root)
        control(root, "batch").select_option("10")
        noisy = told_rows(root)
        assert len(calm) == len(noisy) and (calm["value"] != noisy["value"]).sum() > 10
        control(root, "batch").select_option("infinite")
        assert told_rows(root).equals(calm)


def test_disturbed_images_shows_the_measured_accuracies(browser):
    from tutorial_lib.draw import mean_and_sem, pick
    from tutorial_lib.papers import read_table

    keys = {"optimizer": "sgd"}
    with Page(browser, page_of("Accuracy on disturbed images")) as opened:
        root = explorer(opened, "Accuracy on disturbed images")
        choose(root, "dataset", "mnist")
        choose(root, "network", "CNN")
        choose(root, "place", "every layer (full-NINR)")
        control(root, "sigma").focus()
        opened.page.keyboard.press("End")
        sigma = float(control(root, "sigma").get_attribute("aria-valuetext"))
        panels = root.locator(".tl-figure svg[role=img]")
        for panel, item, measure in ((0, "fig-2", "accuracy"), (1, "fig-6", "pgd")):
            table = pick(read_table(f"ninr/{item}", "mnist", "desk"), measure=measure, network="cnn", **keys)
            shown = drawn_dots(panels.nth(panel))
            assert {name for name, _ in shown} == {"none", "L2", "dropout", "CDT (0.4)", "NINR"}
            for name, kind, s in (("none", "none", 0.0), ("CDT (0.4)", "CDT", 0.4), ("NINR", "full-NINR", sigma)):
                means = mean_and_sem(pick(table, kind=kind, sigma=s), ["x"])
                expected = {(name, r.x): r.value for r in means.itertuples()}
                assert {k: v for k, v in shown.items() if k[0] == name} == pytest.approx(expected, abs=0.051)


def test_the_strength_slider_goes_through_the_phases(browser):
    from tutorial_lib.draw import pick
    from tutorial_lib.papers import read_table

    table = pick(read_table("ninr/fig-3", "mnist", "desk"), measure="phase")
    with Page(browser, page_of("Training with a noise injection node")) as opened:
        root = explorer(opened, "Training with a noise injection node")
        choose(root, "dataset", "mnist")
        slider = control(root, "strength")
        slider.focus()
        opened.page.keyboard.press("Home")
        drawn = set()
        for strength, rows in table.groupby("strength"):
            assert float(slider.get_attribute("aria-valuetext")) == pytest.approx(strength)
            told = root.locator(".tl-readout").inner_text()
            for name, count in rows["text"].value_counts().items():
                assert f"{count} {name}" in told
            drawn.add(root.locator("path[data-series='|W_NI|']").get_attribute("d"))
            opened.page.keyboard.press("ArrowRight")
        assert len(drawn) == table["strength"].nunique()


# --- the scoreboard


def cards(opened):
    """The claims that are to be seen, and their rows: (paper, data, verdict)."""
    rows = opened.page.locator(".tl-claim tr[data-data]:visible").evaluate_all(
        "rows => rows.map(r => [r.closest('section').dataset.paper, r.dataset.data, r.dataset.verdict])"
    )
    return [tuple(row) for row in rows]


def ask(opened, label, value):
    opened.page.get_by_label(label, exact=True).select_option(value)


def test_which_claims_hold_is_three_choices_away(browser):
    """And the address keeps the question: sent to someone, it opens with the same answer."""
    from tutorial_lib.papers import scoreboard

    entries = scoreboard()
    with Page(browser, BOARD) as opened:
        assert len(cards(opened)) == len(entries)
        for label, value in (("Paper", "ninr"), ("Verdict", "holds"), ("Data", "mnist")):
            ask(opened, label, value)
        wanted = [("ninr", "mnist", "holds")]
        there = [(e["paper"], e["dataset"], e["verdict"]) for e in entries]
        assert cards(opened) == wanted * there.count(wanted[0]) != []
        count = there.count(wanted[0])
        assert opened.page.locator("output").inner_text() == f"{count} of {len(entries)} verdicts: {count} holds"
        address = opened.page.url
        assert address.endswith("#paper=ninr&verdict=holds&data=mnist")
        opened.page.get_by_role("button", name="Show all").click()
        assert len(cards(opened)) == len(entries) and "#" not in opened.page.url
        opened.page.goto("about:blank")
        opened.page.goto(address)
        assert cards(opened) == wanted * there.count(wanted[0])
        ask(opened, "Data", "cifar-10")
        ask(opened, "Verdict", "mixed")
        if not cards(opened):
            assert "no such verdict" in opened.page.locator("output").inner_text()
        opened.page.goto("about:blank")
        opened.page.goto(address.split("#")[0] + "#paper=nobody&verdict=<b>")
        assert len(cards(opened)) == len(entries)  # what no menu offers asks for nothing


def test_claims_are_ordered_by_what_supports_them(browser):
    with Page(browser, BOARD) as opened:
        script = """articles => articles.map(a => [a.closest("section").dataset.paper, Math.max(
            ...[...a.querySelectorAll("tr[data-data]")].map(r => parseFloat(r.dataset.support)).filter(Number.isFinite)
            ), a.id])"""
        found = opened.page.locator(".tl-claim").evaluate_all(script)
        ask(opened, "Order", "for")
        ordered = opened.page.locator(".tl-claim").evaluate_all(script)
        assert ordered != found and sorted(map(str, ordered)) == sorted(map(str, found))
        for paper in {paper for paper, *_ in found}:
            values = [value for p, value, _ in ordered if p == paper and value is not None]
            assert values == sorted(values, reverse=True)
        ask(opened, "Order", "")
        assert opened.page.locator(".tl-claim").evaluate_all(script) == found


def test_a_finding_leads_to_its_claim_and_a_paper_to_its_claims(browser):
    with Page(browser, BOARD) as opened:
        ask(opened, "Verdict", "not testable")  # the claim may be hidden by then
        link = opened.page.locator(".tl-findings a").first
        target = link.get_attribute("href").removeprefix("#")
        link.click()
        card = opened.page.locator(f"[id='{target}']")
        opened.page.wait_for_function("id => document.getElementById(id).querySelector('details').open", arg=target)
        box = card.bounding_box()
        assert 0 <= box["y"] < opened.page.viewport_size["height"]
        opened.page.locator(".tl-strip").first.evaluate("e => e.previousElementSibling.querySelector('a').click()")
        opened.page.wait_for_function("() => location.hash.startsWith('#paper=')")
        assert len({paper for paper, *_ in cards(opened)}) == 1


def test_the_scoreboard_without_a_script_and_on_a_phone(browser):
    from tutorial_lib.papers import scoreboard

    with Page(browser, BOARD, java_script_enabled=False) as opened:
        assert opened.page.locator(".tl-claim tr[data-data]:visible").count() == len(scoreboard())
        assert not opened.page.locator(".tl-filter").is_visible()
    with Page(browser, BOARD, viewport={"width": 390, "height": 844}, color_scheme="dark") as opened:
        opened.page.locator(".tl-claim summary").first.click()
        edges = opened.page.locator(".tl-board").evaluate_all("e => e.map(x => x.scrollWidth - x.clientWidth)")
        assert max(edges) <= 0
        plots = opened.page.locator(".tl-claim td.tl-f:visible").evaluate_all("e => e.map(x => x.clientWidth)")
        assert min(plots) > 200  # a forest plot needs room


def test_no_code_stands_above_the_scoreboard(browser):
    with Page(browser, BOARD) as opened:
        assert opened.page.locator(".cell_input:visible").count() == 0
        folded = opened.page.locator("details.hide")
        assert folded.count() == 1 and folded.first.locator("pre").count()


# --- rooms


def chapter_pages(slug: str) -> list[str]:
    return [name for name in toc_pages() if name.startswith(f"book/{slug}/")]


FOLDERS = [slug for slug in WINGS if (ROOT / "book" / slug).is_dir()]


@pytest.mark.parametrize("slug", FOLDERS)
def test_a_chapter_is_a_folder_of_pages_to_finish(slug):
    """What a page is made of, in counts: a sitting is 8,000 words, and a phone typesets 300 formulas at ease."""
    from bs4 import BeautifulSoup

    pages = chapter_pages(slug)
    names = [name.rpartition("/")[2] for name in pages]
    assert names[0] == "index" and names[-2:] == ["measured", "exercises"] and "theory" in names
    number = WINGS[slug].NUMBER
    for k, name in enumerate(pages):
        page = BeautifulSoup((HTML / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        article = page.select_one("article.bd-article")
        assert article.h1.select_one(".section-number").text.strip() == (f"{number}." if k == 0 else f"{number}.{k}.")
        assert not article.select(":is(h2, h3, h4) .section-number")
        for hidden in article.select(
            "script, style, .cell_input, .tl-explorer, .check"
        ):  # questions are opened one by one
            hidden.decompose()
        assert len(article.select("span.math, div.math")) <= 300, name
        assert len(article.text.split()) <= 8000, name
    lab = BeautifulSoup((HTML / f"notebooks/{slug}.html").read_text(encoding="utf-8"), "html.parser")
    assert not lab.select("article :is(h2, h3) .section-number")


@pytest.mark.parametrize("slug", FOLDERS)
def test_the_old_page_leads_to_the_new_ones(browser, slug):
    with Page(browser, f"book/{slug}") as opened:
        opened.page.wait_for_url(f"**/book/{slug}/index.html")
        assert opened.errors == []


# --- explorers as instruments


def toolbar(root, name):
    return root.locator(".tl-tools").get_by_role("button", name=name)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_explorer_has_a_title_and_can_be_taken_away(browser, chapter, tmp_path):
    from PIL import Image

    for page, shown in pages_of(chapter).items():
        with Page(browser, page) as opened:
            for title in shown:
                root = explorer(opened, title)
                assert root.locator(".tl-head strong").inner_text() == title
                with opened.page.expect_download() as download:
                    toolbar(root, "Save PNG").click()
                download.value.save_as(tmp_path / "picture.png")
                picture = Image.open(tmp_path / "picture.png").convert("RGB")
                figure = root.locator(".tl-figure").bounding_box()
                assert picture.width == pytest.approx(2 * figure["width"], abs=3)
                assert picture.height > 2 * figure["height"] and len(picture.getcolors(1 << 20)) > 20, title


def test_a_link_opens_what_the_reader_saw(browser):
    """Two explorers on one page, a series switched off in one of them; nothing in the address at the start."""
    with Page(browser, page_of("Accuracy over the number")) as opened:
        samples, densities = (explorer(opened, t) for t in ("Accuracy over the number", "Densities"))
        assert "#" not in opened.page.url
        choose(samples, "dataset", "mnist")
        choose(densities, "noise", densities.locator("option").nth(2).inner_text())
        first = densities.locator(".tl-legend button").first
        name = first.get_attribute("data-name")
        first.click()
        noise = control(densities, "noise").input_value()
        address = opened.page.url
        opened.page.goto("about:blank")
        opened.page.goto(address)
        samples, densities = (explorer(opened, t) for t in ("Accuracy over the number", "Densities"))
        assert control(samples, "dataset").input_value() == "mnist"
        assert control(densities, "noise").input_value() == noise
        assert densities.locator(f"path[data-series='{name}']").count() == 0
        toolbar(densities, "Reset").click()
        assert densities.locator(f"path[data-series='{name}']").count() == 1 and "densities" not in opened.page.url
        toolbar(samples, "Reset").click()
        assert "#" not in opened.page.url


def test_an_address_that_asks_for_nonsense_shows_what_is_there(browser):
    with Page(browser, page_of("Spectrum and learned function")) as opened:
        start = opened.page.url
        opened.page.goto("about:blank")
        name = "spectrum-and-learned-function-along-training"
        opened.page.goto(f"{start}#{name}.variance=much&{name}.step=1e9&{name}.without=nobody&other.x=1")
        root = explorer(opened, "Spectrum and learned function")
        assert control(root, "variance").get_attribute("aria-valuetext") == "1e-4"
        slider = control(root, "step")
        assert slider.input_value() == slider.get_attribute("max") and opened.errors == []


def test_outside_the_book_the_address_is_left_alone(browser, tmp_path):
    """In JupyterLab and Colab it is not ours."""
    page = tmp_path / "page.html"
    found = made("explicit-reg")["Two sides of Theorem 1"]
    page.write_text(f'<meta charset="utf-8"><body>{found.html}', encoding="utf-8")
    with Page(browser, BOARD) as opened:
        opened.page.goto(page.as_uri() + "#here")
        (root,) = explorers_of(opened)
        assert toolbar(root, "Copy link").count() == 0
        choose(root, "activation", "ReLU")
        root.locator(".tl-legend button").first.click()
        assert opened.page.url.endswith("#here") and root.locator("[aria-pressed=false]").count() == 1


def test_the_crosshair_tells_values_errors_and_seeds(browser):
    with Page(browser, page_of("Two sides of Theorem 1")) as opened:
        root = explorer(opened, "Two sides of Theorem 1")
        chart = root.locator(".tl-figure svg[role=img]").first
        dots = chart.locator("circle[data-series]")
        dots.nth(3).scroll_into_view_if_needed()
        box = dots.nth(3).bounding_box()
        x = float(dots.nth(3).get_attribute("data-x"))
        opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
        told = chart.locator(".tl-tip text").all_text_contents()
        assert told[0].endswith(f" {x:g}") and "deviation" in told[0]
        at = {(n, float(v)) for n, a, v in dots.evaluate_all(
            "els => els.map(e => [e.dataset.series, e.dataset.x, e.dataset.value])") if float(a) == x}  # fmt: skip
        assert len(told) == 1 + len(at)
        for name, value in at:
            (line,) = [text for text in told if text.startswith(f"{name}: ")]
            assert f": {value:.2f} ± " in line and re.search(r"\(\d+ seeds\)$", line)
        opened.page.mouse.move(2, 2)
        assert chart.locator(".tl-tip, .tl-cross").count() == 0
        chart.focus()
        opened.page.keyboard.press("ArrowRight")
        first = chart.locator(".tl-tip text").first.text_content()
        opened.page.keyboard.press("ArrowRight")
        assert first != chart.locator(".tl-tip text").first.text_content()


def test_a_play_button_goes_to_the_last_stop(browser):
    with Page(browser, page_of("Sensitivity and reliability")) as opened:
        root = explorer(opened, "Sensitivity and reliability")
        slider, button = control(root, "sigma"), root.get_by_role("button", name="Play")
        slider.focus()
        opened.page.keyboard.press("End")
        button.click()  # from the end it begins anew
        assert slider.input_value() == "0"
        opened.page.wait_for_function("e => Number(e.value) > 1", arg=slider.element_handle())
        root.get_by_role("button", name="Pause").click()
        stands = slider.input_value()
        opened.page.wait_for_timeout(1300)
        assert slider.input_value() == stands
        last = slider.get_attribute("max")
        slider.evaluate("(e, at) => { e.value = at - 1; e.dispatchEvent(new Event('input')); }", int(last))
        button.click()
        root.get_by_role("button", name="Play").wait_for()  # it stops by itself
        opened.page.wait_for_function("([e, at]) => e.value === at", arg=[slider.element_handle(), last])


def test_presets_set_what_they_say(browser):
    with Page(browser, page_of("Accuracy on disturbed images")) as opened:
        root = explorer(opened, "Accuracy on disturbed images")
        toolbar(root, "FC, the paper's decay").click()
        assert control(root, "network").input_value() == "FC"
        assert control(root, "sigma").get_attribute("aria-valuetext") == "51.8"


def test_controls_stay_in_view_on_a_phone(browser):
    with Page(browser, page_of("Sensitivity and reliability"), viewport={"width": 390, "height": 800}) as opened:
        root = explorer(opened, "Sensitivity and reliability")
        last = root.locator(".tl-figure svg[role=img]").last
        last.evaluate("e => e.scrollIntoView({block: 'end'})")
        form, chart = root.locator(".tl-controls").bounding_box(), last.bounding_box()
        assert form["y"] >= 0 and form["y"] + form["height"] < chart["y"] + chart["height"] <= 801


def test_the_smoothed_loss_in_the_page_is_the_mean_over_the_noise(browser):
    """Against numerical integration; and the lowest mean loss never falls as the noise grows."""
    import numpy as np
    from scipy.integrate import quad

    data = [(-2.5, -1), (-1.2, -1), (-0.5, 1), (0.3, -1), (1, 1), (2, 1)]
    with Page(browser, page_of("A loss, smoothed")) as opened:
        root = explorer(opened, "A loss, smoothed")
        choose(root, "loss", "one logit")
        slider = control(root, "deviation")
        slider.focus()
        opened.page.keyboard.press("End")
        deviation = float(slider.get_attribute("aria-valuetext"))
        rows = told_rows(root)
        rows[["x", "loss"]] = rows[["x", "loss"]].astype(float)
        curve = rows[rows["panel"] == "loss"]
        for name, sigma in (("without", 0.0), ("with the node, on average", deviation)):
            line = curve[curve["training"] == name].set_index("x")["loss"]
            for bias in (-5.0, -0.3, 2.0):

                def loss(e, bias=bias, sigma=sigma):
                    return np.mean([np.logaddexp(0, -2 * y * (x + bias + sigma * e)) for x, y in data])

                exact = (
                    quad(lambda e: loss(e) * np.exp(-e * e / 2) / np.sqrt(2 * np.pi), -8, 8)[0] if sigma else loss(0)
                )
                assert line[bias] == pytest.approx(exact, rel=3e-3), (name, bias)
        for kind in ("one logit", "two valleys"):
            choose(root, "loss", kind)
            rows = told_rows(root)
            lowest = rows[rows["panel"] == "lowest"]["loss"].astype(float).to_numpy()
            assert len(lowest) == 31 and (np.diff(lowest) > -1e-5).all()


@pytest.mark.parametrize("name", toc_pages())
def test_every_picture_opens_in_full_size_and_no_slab_is_light_in_the_dark(browser, name):
    with Page(browser, name, color_scheme="dark") as opened:
        pictures = opened.page.locator("article img[src*='_images/']")
        for k in range(pictures.count()):
            assert pictures.nth(k).evaluate("e => e.closest('a').href.split('/').pop() === e.src.split('/').pop()")
        light = """els => els.filter(e => {
            const parts = getComputedStyle(e).backgroundColor.match(/[0-9.]+/g).map(Number);
            const bright = (parts[3] ?? 1) > 0.5 && (parts[0] + parts[1] + parts[2]) / 3 > 150;
            return bright && e.offsetWidth > 120 && e.offsetHeight > 60;
        }).map(e => e.className || e.tagName)"""
        assert opened.page.locator("article *").evaluate_all(light) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", toc_pages())
def test_no_page_breaks_a_rule_of_accessibility(browser, name, scheme):
    """By axe, which carries its own script: contrast, names, roles, headings, landmarks, tables."""
    from axe_playwright_python.sync_playwright import Axe

    with Page(browser, name, color_scheme=scheme) as opened:
        opened.page.wait_for_timeout(500)
        if opened.page.locator("span.math, div.math").count():
            typeset(opened)  # a heading of a table may be a formula
        found = Axe().run(opened.page).response["violations"]
        assert [(v["id"], len(v["nodes"]), v["nodes"][0]["html"][:200]) for v in found] == []


def test_a_wide_formula_says_that_there_is_more_and_scrolls_by_keys(browser):
    with Page(browser, "book/ninr/theory-4", viewport={"width": 390, "height": 800}) as opened:
        typeset(opened)
        wide = opened.page.locator("mjx-container.tl-more").first
        wide.wait_for(state="attached")
        wide.scroll_into_view_if_needed()
        wide.focus()
        for _ in range(60):
            opened.page.keyboard.press("ArrowRight")
        opened.page.wait_for_function("document.activeElement.scrollLeft > 0")
        wide.evaluate("e => e.scrollTo(e.scrollWidth, 0)")
        opened.page.wait_for_function("!document.activeElement.classList.contains('tl-more')")
