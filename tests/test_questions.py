"""The questions at the end of the pages: as many as promised, one right answer each, a reason for every answer."""

import re
from pathlib import Path

import pytest
from test_book import HTML, Page, browser, toc_pages  # noqa: F401
from test_start import built

ROOT = Path(__file__).parent.parent
WITHOUT = {"book/references", "book/colophon", "book/teach"}
"""Pages that nobody studies."""
PAGES = [name for name in toc_pages() if name.startswith("book/") and name not in WITHOUT]
QUESTION = re.compile(r":::::\{admonition\} (.*?)\n:class: check\n(.*?)\n:::::\n", re.DOTALL)
ANSWER = re.compile(
    r"::::\{dropdown\} (.*?)\n:class-container: check-(right|wrong)\n\*\*(Right|No)\.\*\* (.*?)\n::::", re.DOTALL
)


def questions(name: str) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8") + "\n"
    return [(title, ANSWER.findall(body)) for title, body in QUESTION.findall(text)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_ends_with_three_questions_of_one_right_answer(name):
    found = questions(name)
    assert len(found) == 3
    for title, answers in found:
        assert len(answers) in (3, 4), title
        assert [kind for _, kind, _, _ in answers].count("right") == 1, title
        for option, kind, said, reason in answers:
            assert (kind == "right") == (said == "Right"), f"{title}: {option}"
            assert len(reason.split()) >= 6, f"{title}: {option} has no reason"
            assert len(option) < 300


def test_the_right_answer_is_not_given_away():
    """By its place, or by its length: a reader who always takes the longest would pass without reading."""
    every = [answers for name in PAGES for _, answers in questions(name)]
    places = [[kind for _, kind, _, _ in answers].index("right") for answers in every]
    assert all(0.15 < places.count(k) / len(places) < 0.5 for k in range(3))
    longest = [max(answers, key=lambda a: len(a[0]))[1] == "right" for answers in every]
    assert sum(longest) / len(longest) < 0.4


@built
def test_answers_open_by_keyboard_and_are_closed_before(browser):  # noqa: F811
    name = PAGES[1]
    with Page(browser, name) as opened:
        answers = opened.page.locator(".admonition.check details")
        assert answers.count() == sum(len(a) for _, a in questions(name))
        assert not opened.page.locator(".admonition.check details[open]").count(), "the reasons are shown at once"
        summary = answers.nth(0).locator("summary")
        summary.focus()
        opened.page.keyboard.press("Enter")
        assert answers.nth(0).get_attribute("open") is not None
        assert re.match(r"(Right|No)\.", answers.nth(0).locator(".sd-summary-content").inner_text().strip())


@built
def test_questions_are_set_as_questions():
    """A fence that is not closed, or a role that is not known, would show as text."""
    for name in PAGES:
        text = (HTML / f"{name}.html").read_text(encoding="utf-8")
        assert ":class-container:" not in text and "::::" not in text, name
