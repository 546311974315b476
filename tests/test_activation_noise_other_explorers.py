"""Explorers of the other noises on made-up tables: what they show is the mean over seeds of the right rows."""

import pytest
from test_activation_noise_other_claims import classifiers, drops, exchanges, made, of_paper, shapes, strengths

from tutorial_lib.noise import DISTRIBUTIONS
from tutorial_lib.papers.activation_noise import other_explorers, reported
from tutorial_lib.papers.activation_noise.others import ONE_SIDED, PLACES


def placed(training, inference):
    return 10.0 * len(training) + len(inference)


TABLES = {
    "fig-8": made(exchanges(DISTRIBUTIONS), placed, seeds=2, noise=0),
    "fig-9": made(exchanges(PLACES), placed, seeds=2, noise=0),
    "fig-2": made(strengths(), drops, seeds=2, noise=0),
    "fig-4": made(shapes(), of_paper, seeds=2, noise=0),
    "fig-10": made(classifiers(), lambda architecture, alpha: 90 - 10 * alpha, seeds=2, noise=0),
}


@pytest.fixture
def shown(monkeypatch):
    """The table that an explorer shows; it is made as well, as a page would make it."""

    def of(make):
        seen, real = [], other_explorers.explorer
        names = lambda item: [{"dataset": d, "budget": "desk"} for d in ("digits", "cifar-10")]  # noqa: E731
        monkeypatch.setattr(other_explorers, "shipped", names)
        monkeypatch.setattr(other_explorers, "read_table", lambda item, dataset, budget: TABLES[item.split("/")[1]])
        monkeypatch.setattr(
            other_explorers,
            "explorer",
            lambda kind, table, **more: seen.append((table, more)) or real(kind, table, **more),
        )
        page = make()
        table, more = seen[0]
        start = more["start"]
        assert all(control["column"] in start for control in more["controls"])
        assert {key: start[key] for key in start if key == "dataset"} in ({}, {"dataset": "cifar-10"})
        for key, value in start.items():
            assert value in set(table[key])
        assert "<script>" in page.html and set(table.get("seeds", [2]).dropna()) == {2}
        return table

    return of


def at(table, **values):
    for key, value in values.items():
        table = table[table[key] == value]
    return table["accuracy"].tolist()


def test_exchanges_show_who_trained_with_what(shown):
    """Distributions and placements apart; training and inference not exchanged; the nonsense at n = 1 stays there."""
    table = shown(other_explorers.exchanges)
    assert at(table, what="distribution", dataset="digits", n=100, training="chi", inference="t") == [31]
    assert at(table, what="noisy layers", dataset="cifar-10", n=100, training="odd", inference="decoder") == [37]
    assert len(table) == 2 * 2 * (49 + 25) and set(at(table, n=1)) == {-50}


def test_strengths_show_four_ways(shown):
    table = shown(other_explorers.strengths)
    assert len(set(table["way"])) == 4
    assert at(table, dataset="digits", way="dropout, balanced", strength=0.5) == [40]
    assert at(table, dataset="digits", way="Gaussian noise, at training only", strength=0.5) == [51]


def test_shapes_show_the_parameters_of_table_3_with_and_without_their_mean(shown):
    """No noise stands at α = 0 of each; another parameter (99 percent here) is not shown."""
    table = shown(other_explorers.shapes)
    assert at(table, dataset="digits", side="never negative", distribution="chi", alpha=0.9) == [30]
    assert at(table, dataset="digits", side="mean taken off", distribution="chi", alpha=0.9) == [33]
    assert set(table.loc[table["side"] == "mean taken off", "distribution"]) == set(ONE_SIDED)
    assert set(at(table, alpha=0)) == {20} and 99 not in set(table["accuracy"])
    assert len(table) == 2 * 10 * 4


def test_classifiers_show_ours_beside_the_paper(shown):
    table = shown(other_explorers.classifiers)
    assert at(table, architecture="DLA", source="ours: digits", alpha=0.5) == [85]
    assert at(table, architecture="DLA", source="paper: cifar-100", alpha=0.5) == [75.00]
    assert len(table) == 2 * 2 * 3 + len(reported.table_5())
