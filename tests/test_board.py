"""The scoreboard's page: the right verdict in the right place, complete without a script."""

import math

import pytest
from bs4 import BeautifulSoup

from tutorial_lib import board as pages
from tutorial_lib.board import board, headlines, number, summary
from tutorial_lib.claims import Finding
from tutorial_lib.errors import InputError
from tutorial_lib.papers import findings, scoreboard, wings
from tutorial_lib.verdicts import KINDS, VERDICTS

COUNTS = {"holds": 1, "contradicted": 0, "not decided": 0, "not testable": 0}


def entry(**fields):
    setting = {"setting": "s", "verdict": "holds", "margin": 3.26, "interval": [1.0, 5.55], "p": 0.01}
    return {"id": "one", "paper": "ninr", "claim": "A beats B", "item": "Table 1", "unit": "points", "reported": 12.34,
            "reported_text": "A is better", "measured": 3.26, "interval": [1.0, 5.55], "mean": 4.0, "dataset": "digits",
            "budget": "desk", "seeds": 3, "verdict": "holds", "decides": "s", "counts": COUNTS, "why": None,
            "detectable": None, "seeds_needed": None, "no_seeds": None, "kind": "every", "delta": None,
            "settings": [setting], "command": "python -m tutorial_lib run ninr/fig-2", **fields}  # fmt: skip


def nothing(**fields):
    return entry(**{"measured": None, "interval": None, "mean": None, "verdict": "not measured", "settings": [],
                    "counts": dict.fromkeys(COUNTS, 0), "decides": None, "seeds": 0, **fields})  # fmt: skip


def soup(page):
    return BeautifulSoup(page.html, "html.parser")


def left(element):
    """Where a mark of the forest plot stands, in percent of the plot's width."""
    return float(element["style"].split("left:")[1].split("%")[0])


# --- the numbers


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (45.449, "points", "45.4"), (0.04, "points", "0.0"), (-0.26, "percent above 50", "-0.3"), (None, "points", "–"),
        (0.1234, "R²", "0.12"), (9.96, "nats", "10"), (10.0, "nats", "10.0"), (-10.04, "nats", "-10.0"),
        (9.94, "nats", "9.9"), (123.456, "epochs", "123.5"), (0.0, "nats", "0"),
    ],
)  # fmt: skip
def test_numbers_have_the_decimals_that_count(value, unit, text):
    """One decimal for points and percent and from 10 on, else two figures."""
    assert number(value, unit) == text


# --- at a glance


def test_the_summary_counts_each_papers_verdicts():
    entries = [entry(), entry(dataset="mnist", verdict="contradicted"), entry(id="two"), nothing(paper="explicit-reg")]
    page = soup(summary(entries))
    assert page.select_one(".tl-sum").text == (
        "4 verdicts on 3 claims of 2 chapters: 2 hold, 1 is contradicted, 1 is not measured."
    )
    bars = [bar["aria-label"] for bar in page.select(".tl-strip")]
    assert bars == ["2 hold, 1 is contradicted", "1 is not measured"]
    assert [a["href"] for a in page.select("a")] == ["#paper=ninr", "#paper=explicit-reg"]
    parts = page.select(".tl-strip")[0].select("i")
    assert [p["style"] for p in parts] == ["flex:2", "flex:1"] and [p["class"] for p in parts] == [["tl-v0"], ["tl-v2"]]
    assert [li.text.split(" ", 1)[1] for li in page.select(".tl-key li")] == list(VERDICTS)


def test_a_single_papers_summary_leads_nowhere():
    """In a lab there are no cards to filter."""
    page = soup(summary([entry()]))
    assert not page.select("a") and "1 verdict on 1 claim of the paper: 1 holds." in page.text


# --- in plain words


def test_findings_have_their_entries_numbers_and_lead_to_them(monkeypatch):
    words = "A is <better> by {measured}, {mean} on average; the paper says {reported}."
    monkeypatch.setattr(pages, "findings", lambda: {"ninr": [Finding("one", "mnist", "holds", words)]})
    page = soup(headlines([entry(), entry(dataset="mnist", measured=7.0, mean=8.04)]))
    assert "A is <better> by 7.0, 8.0 on average; the paper says 12.3." in page.select_one("li").text
    link = page.select_one("li a")
    assert link.text == "holds: Table 1, mnist" and link["href"] == "#ninr--one"
    assert soup(board([entry()])).select_one("article")["id"] == "ninr--one"


def test_words_written_for_another_verdict_are_refused(monkeypatch):
    """A changed table must not leave a sentence behind that it contradicts."""
    monkeypatch.setattr(pages, "findings", lambda: {"ninr": [Finding("one", "digits", "holds", "It holds.")]})
    assert "It holds." in headlines([entry()]).html
    with pytest.raises(
        InputError, match=r"one \(digits, desk\) was written for the verdict 'holds', which now is 'mixed'"
    ):
        headlines([entry(verdict="mixed")])
    for other in (entry(dataset="mnist"), entry(budget="paper"), entry(id="two")):
        with pytest.raises(InputError, match="which now is 'not there'"):
            headlines([other])
    with pytest.raises(InputError, match="verdict = 'hold': expected one of holds"):
        Finding("one", "digits", "hold", "It holds.")


def test_a_paper_has_all_its_findings_and_the_board_its_headlines(monkeypatch):
    said = [Finding("one", "digits", "holds", "First.", headline=True), Finding("two", "digits", "holds", "Second.")]
    monkeypatch.setattr(pages, "findings", lambda: {"ninr": said, "vpn": said})
    alone = [entry(), entry(id="two")]
    page = soup(headlines(alone, "../board.html"))
    assert [li.text.split(" ")[1] for li in page.select("li")] == ["First.", "Second."]
    assert "All 2 verdicts" in page.select("a")[-1].text and page.select("a")[-1]["href"] == "../board.html#paper=ninr"
    both = [*alone, entry(paper="vpn"), entry(id="two", paper="vpn", verdict="mixed")]
    page = soup(headlines(both, "../board.html"))
    assert [a["href"] for a in page.select("a")] == ["../board.html#ninr--one", "../board.html#vpn--one"]


def test_five_to_eight_findings_of_every_wing_are_as_the_tables_say():
    chosen = [f for said in findings().values() for f in said if f.headline]
    assert 5 <= len(chosen) <= 8
    page = soup(headlines(entries := scoreboard()))
    cards = {article["id"] for article in soup(board(entries)).select("article")}
    papers = {a["href"].removeprefix("#").split("--")[0] for a in page.select("a")}
    assert len(page.select("li")) == len(chosen) and papers == {wing.SLUG for wing in wings()}
    assert {a["href"].removeprefix("#") for a in page.select("a")} <= cards
    for paper, said in findings().items():
        page = soup(headlines(scoreboard(paper), "board.html"))
        assert len(page.select("li")) == len(said) == 5, "a chapter's answer has five lines"
        *links, last = [a["href"] for a in page.select("a")]
        assert {link.removeprefix("board.html#") for link in links} <= cards and last == f"board.html#paper={paper}"


# --- the cards


def test_a_card_a_claim_and_a_row_a_data_set():
    """Verdicts in another claim's card or another data set's row."""
    other = entry(id="two", claim="C < D", reported=None, unit="nats", measured=-0.01234, interval=[-0.5, 99.9])
    page = soup(board([entry(), entry(dataset="mnist", seeds=5, verdict="contradicted"), other]))
    first, second = page.select("article")
    assert (first.h4.text, second.h4.text) == ("A beats B", "C < D")
    rows = first.select("tr[data-data]")
    assert [(r["data-data"], r["data-verdict"]) for r in rows] == [("digits", "holds"), ("mnist", "contradicted")]
    assert [r.select_one(".tl-word").text for r in rows] == ["✓ holds", "✗ contradicted"]
    assert [r.th.small.text for r in rows] == ["desk, 3 seeds", "desk, 5 seeds"]
    assert "3.3 [1.0, 5.5]" in rows[0].text and "-0.012 [-0.5, 99.9]" in second.text
    assert (
        "the paper: 12.3" in first.select_one(".tl-meta").text and "the paper" not in second.select_one(".tl-meta").text
    )
    assert "The paper: “A is better”" in first.details.text


def test_every_verdict_is_told_by_word_sign_and_colour():
    page = soup(board([entry(id=word, verdict=word, no_seeds="none would") for word in VERDICTS]))
    for k, (card, word) in enumerate(zip(page.select("article"), VERDICTS, strict=True)):
        found = card.select_one("tr[data-data] .tl-word")
        assert found.i["class"] == [f"tl-v{k}"] and found.text.split(" ", 1)[1] == word
    assert len({found.text for found in page.select("tr[data-data] .tl-word i")}) == len(VERDICTS)


def test_what_could_not_be_tested_or_measured_has_a_reason_and_no_interval():
    lost = entry(verdict="not testable", why="too dark")
    broken = nothing(problem="KeyError: 'kind'")
    (first, second) = soup(board([lost, {**broken, "id": "two"}])).select("tr[data-data]")
    assert "too dark" in first.text and "[" not in first.text and not first.select(".tl-f i")
    assert "KeyError: 'kind'" in second.text and second["data-support"] == "" == first["data-support"]


def test_the_open_say_what_would_decide():
    open_ = entry(verdict="not decided", detectable=7.77, seeds_needed=12)
    text = soup(board([open_])).details.text
    assert "a distance of 7.8 from the border would have been seen; 12 seeds would decide" in text
    text = soup(board([entry(verdict="not decided", no_seeds="none would", why="runs diverged")])).details.text
    assert "none would; runs diverged" in text


def test_every_setting_stands_behind_its_entry():
    settings = [
        {"setting": "a", "verdict": "holds", "margin": 2.0, "interval": [1.0, 3.0], "p": 0.0},
        {"setting": "b <c>", "verdict": "contradicted", "margin": -2.0, "interval": [-3.0, -1.0], "p": 0.0},
        {"setting": "d", "verdict": "not testable", "why": "too dark"},
    ]
    counts = {"holds": 1, "contradicted": 1, "not decided": 0, "not testable": 1}
    e = entry(settings=settings, counts=counts, decides="b <c>", verdict="mixed", measured=-2.0, interval=[-3.0, -1.0])
    card = soup(board([e])).article
    assert "1 of 2 hold, 1 contradicted" in card.select_one("tr[data-data]").text
    assert "b <c>" in card.select_one("tr[data-data]").text
    rows = [[cell.text for cell in row.select("th, td")][:3] for row in card.select("details tbody tr")]
    assert rows == [["a", "✓ holds", "2.0 [1.0, 3.0]"], ["b <c>", "✗ contradicted", "-2.0 [-3.0, -1.0]"],
                    ["d", "⊘ not testable", "too dark"]]  # fmt: skip
    assert (
        "all 2 hold"
        in board(
            [entry(settings=settings[:2], counts={**counts, "holds": 2, "contradicted": 0, "not testable": 0})]
        ).html
    )


# --- the forest plot


def test_marks_stand_where_their_numbers_are():
    """From -4 to 6, with 4 % more on either side: zero at 4.4 of 10.8, the margin at 5.4, the paper's at 10.4."""
    page = soup(board([entry(measured=1.0, interval=[-4.0, 2.0], reported=6.0)]))
    picture = page.select_one(".tl-f")
    assert left(picture.s) == pytest.approx(100 * 4.4 / 10.8, abs=0.06)
    assert left(picture.b) == pytest.approx(100 * 5.4 / 10.8, abs=0.06)
    assert left(picture.u) == pytest.approx(100 * 10.4 / 10.8, abs=0.06)
    width = float(picture.i["style"].split("width:")[1].rstrip("%"))
    assert left(picture.i) == pytest.approx(100 * 0.4 / 10.8, abs=0.06) and width == pytest.approx(
        100 * 6 / 10.8, abs=0.2
    )
    assert [span.text for span in page.select(".tl-ends span")] == ["-4.4", "6.4"]


def test_marks_of_settings_stand_where_their_numbers_are():
    """Two settings of one entry, from -3 to 2 and 4 % more on either side; one without an end; δ = 1."""
    settings = [
        {"setting": "a", "verdict": "holds", "margin": -1.0, "interval": [-3.0, 1.0]},
        {"setting": "b", "verdict": "not decided", "margin": 2.0, "interval": [None, None]},
        {"setting": "c", "verdict": "not testable", "why": "too dark"},
    ]
    e = entry(settings=settings, kind="equal", delta=1.0, measured=0.0, interval=[-1.0, 1.0], reported=None)
    table = soup(board([e])).select_one("table.tl-set")

    def places(tag):
        return {k.strip("- "): float(v) for k, v in (part.split(":") for part in tag["style"].split(";"))}

    assert places(table) == pytest.approx({"z": 100 * 3.2 / 5.4, "d": 100 * 2.2 / 5.4, "e": 100 * 4.2 / 5.4}, abs=0.06)
    first, second, third = (row.select("td")[-1] for row in table.select("tbody tr"))
    assert places(first) == pytest.approx({"l": 100 * 0.2 / 5.4, "w": 400 / 5.4, "m": 100 * 2.2 / 5.4}, abs=0.06)
    assert places(second) == pytest.approx({"l": 0, "w": 100, "m": 100 * 5.2 / 5.4}, abs=0.06)
    assert not third.has_attr("style") and [row["class"] for row in table.select("tbody tr")] == [
        ["tl-s0"],
        ["tl-s3"],
        ["tl-s4"],
    ]


@pytest.mark.parametrize(
    ("kind", "borders"), [("every", []), ("no worse", [-2]), ("equal", [-2, 2]), ("theorem", [-2, 2])]
)
def test_borders_stand_at_delta(kind, borders):
    e = entry(kind=kind, delta=2.0 if borders else None, measured=0.0, interval=[-5.0, 5.0], reported=None)
    picture = soup(board([e])).select_one(".tl-f")
    assert [left(s) for s in picture.select("s.tl-d")] == pytest.approx(
        [50 + 100 * b / 10.8 for b in borders], abs=0.06
    )
    assert left(picture.select("s")[0]) == 50


def test_counts_are_read_against_one_half():
    e = entry(kind="count", unit="percent of runs", measured=80.0, interval=[44.4, 97.5], reported=None)
    page = soup(board([e]))
    picture, (low, high) = page.select_one(".tl-f"), (float(s.text) for s in page.select(".tl-ends span"))
    assert left(picture.s) == pytest.approx(100 * (50 - low) / (high - low), abs=0.3)


def test_endless_intervals_reach_the_ends():
    """One seed: nothing is excluded."""
    page = soup(board([entry(interval=[None, None]), entry(dataset="mnist", interval=[-1.0, 4.0])]))
    assert page.select_one(".tl-f i")["style"] == "left:0%;width:100%" and "3.3 [–, –]" in page.text


@pytest.mark.parametrize(
    ("fields", "support"),
    [
        ({}, 2.0), ({"measured": -4.0, "interval": [-6, -2]}, -2.0),
        ({"kind": "no worse", "delta": 2.0, "measured": -1.0, "interval": [-3, 1]}, 0.5),
        ({"kind": "equal", "delta": 3.0, "measured": -1.0, "interval": [-2, 0]}, 2.0),
        ({"kind": "equal", "delta": 3.0, "measured": 5.0, "interval": [3, 7]}, -1.0),
        ({"kind": "count", "measured": 70.0, "interval": [40, 80]}, 1.0),
    ],
)  # fmt: skip
def test_support_is_counted_from_the_border_in_half_widths(fields, support):
    """What the order goes by: it must not depend on a claim's unit, and agreement is no great difference."""
    e = entry(**{"measured": 4.0, "interval": [2, 6], **fields})
    assert float(soup(board([e])).select_one("tr[data-data]")["data-support"]) == pytest.approx(support)


# --- the whole


def test_the_page_of_all_claims_is_complete_and_lean():
    entries = scoreboard()
    page = soup(board(entries))
    rows = page.select("tr[data-data]")
    assert len(rows) == len(entries) and len(page.select("article")) == len({(e["paper"], e["id"]) for e in entries})
    for row, e in zip(rows, sorted(entries, key=lambda e: [w.SLUG for w in wings()].index(e["paper"])), strict=True):
        card = row.find_parent("article")
        assert card["id"] == f"{e['paper']}--{e['id']}" and card.find_parent("section")["data-paper"] == e["paper"]
        assert (row["data-data"], row["data-verdict"]) == (e["dataset"], e["verdict"]) and e["dataset"] != "none"
        assert row["data-support"] == "" or math.isfinite(float(row["data-support"]))
        assert e["command"] in card.details.text
        assert KINDS[e["kind"]].split("δ")[0] in card.select_one(".tl-meta").text
    settings = sum(len(e["settings"]) for e in entries if len(e["settings"]) > 1)
    assert len(page.select("details tbody tr")) == settings
    assert len(board(entries).html) < 600_000 and not page.select("img, [src], link")


def test_the_same_entries_give_the_same_page():
    """Random ids would change thousands of lines of a notebook that is executed again unchanged."""
    for page in (summary, board):
        assert page([entry()]).html == page([entry()]).html != page([entry(verdict="mixed")]).html
    assert "at 0x" not in repr(board([entry()])) and board([]).html.count("<article") == 0
