"""The page of races shows what was measured: who is left, gaps and what it took, against the shipped tables."""

import itertools
import re

import pytest
from scipy import stats
from test_book import CHROMIUM, Page, browser, control  # noqa: F401

from tutorial_lib.papers import read_table
from tutorial_lib.papers.activation_noise import explorers

CLASSES = 10


def of_run(dataset, alpha, image):
    table = read_table("activation-noise/race", dataset, "desk").query(
        f"alpha == {alpha} and seed == 0 and x == {image}"
    )
    energies = table[table["measure"] == "energy"]
    return energies, *(int(table.loc[table["measure"] == m, "value"].item()) for m in ("image", "said"))


@pytest.mark.parametrize("dataset", ["cifar-10", "digits"])
def test_a_shipped_race_is_one(dataset):
    """At each look all that draws has as many draws; a class that leaves stays away, and lay beyond the border."""
    for image in range(CLASSES):
        energies, _, said = of_run(dataset, 0.9, image)
        looks = [(n, look.set_index("y")) for n, look in energies.groupby("n")]
        assert looks[0][0] == 1 and len(looks[0][1]) == CLASSES
        for (n, now), (_, later) in itertools.pairwise(looks):
            assert set(later.index) <= set(now.index) and now["value"].idxmin() in later.index
            if n < 10:
                assert len(later) == CLASSES
                continue
            reach = stats.t.isf(stats.norm.sf(4), n - 1) * now["error"]
            above = now["value"] - now["value"].min() > reach
            assert not above[list(later.index)].any(), "a class beyond the border of the least one was drawn on"
        assert looks[-1][1]["value"].idxmin() == said


@pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test the explorers")
def test_the_page_tells_what_the_table_holds(browser, tmp_path):  # noqa: F811
    page = tmp_path / "page.html"
    page.write_text(f'<meta charset="utf-8"><body>{explorers.race().html}', encoding="utf-8")
    with Page(browser, page.with_suffix("")) as opened:
        root = opened.page.locator(".tl-explorer")

        def put(column, at):
            slider = "(e, at) => { e.value = at; e.dispatchEvent(new Event('input')); }"
            control(root, column).evaluate(slider, at)
            return float(control(root, column).get_attribute("aria-valuetext").replace(",", ""))

        runs = ("cifar-10", 0.9, 9), ("cifar-10", 0.9, 0), ("cifar-10", 0.5, 1), ("digits", 0.9, 8)
        for dataset, alpha, image in runs:  # settled at the last look, before it, not at all, and wrongly
            control(root, "dataset").select_option(dataset)
            assert put("image", image) == image + 1 and put("alpha", [0.5, 0.9, 1.5].index(alpha)) == alpha
            energies, label, said = of_run(dataset, alpha, image)
            for at in (0, 8, 20, int(control(root, "n").get_attribute("max"))):
                n = put("n", at)
                past = energies[energies["n"] <= n]
                now = past[past["n"] == past["n"].max()].set_index("y")
                marks = {
                    int(k): (float(gap), float(error))
                    for k, gap, error in root.locator("path[data-class]").evaluate_all(
                        "els => els.map(e => [e.dataset.class, e.dataset.gap, e.dataset.error])"
                    )
                }
                assert set(marks) == set(now.index)
                for k, (gap, error) in marks.items():
                    assert gap == pytest.approx(now.at[k, "value"] - now["value"].min(), rel=1e-3, abs=2e-4)
                    assert error == pytest.approx(now.at[k, "error"], rel=1e-3, abs=1e-6)
                assert root.locator("text[data-out]").count() == CLASSES - len(now)
                taken, told = past.groupby("y")["n"].max().sum(), root.locator(".tl-readout").inner_text()
                share = float(re.search(r"([\d.]+) % of the", told)[1])
                assert share == pytest.approx(100 * taken / (CLASSES * n), rel=0.06)
                reach = stats.t.isf(stats.norm.sf(4), max(now["n"].iloc[0], 2) - 1) * now["error"]
                over = (now["value"] - now["value"].min() > reach).sum() == len(now) - 1
                settled = energies["n"].max() <= n and (energies["n"].max() < 10_000 or over)
                assert told.startswith("Settled after" if settled else "After")
                if settled:
                    assert f"class {said}, " in told and (f"but it is class {label}" in told) == (said != label)
        assert opened.errors == [] and opened.outside == []
