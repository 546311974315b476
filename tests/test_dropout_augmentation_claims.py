"""The rules of "Dropout as Data Augmentation" on made-up tables: each verdict for the reason that it names."""

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.papers.dropout_augmentation.claims import CLAIMS
from tutorial_lib.papers.dropout_augmentation.layers import (
    DESCENT,
    DROPPED_WEIGHTS,
    PLAIN,
    RANDOM_WEIGHTS,
    SILENCED,
    SOLVER,
)
from tutorial_lib.papers.dropout_augmentation.sweeps import (
    DIMMED,
    DROPOUT,
    EACH,
    EQUAL,
    JOINT,
    MOVED,
    NONE,
    OTHERS,
    RANDOM,
    SOLVED,
    UNIT,
)
from tutorial_lib.verdicts import judge

BY_ID = {claim.id: claim for claim in CLAIMS}
NETS = ("A", "B")


def training(levels=(0.25, 0.5), noise=0.05, valid=None, **errors):
    """A table of test errors: those of each kind (by the name of its constant), the same at all networks and levels."""
    kinds = {"NONE": NONE, "DROPOUT": DROPOUT, "JOINT": JOINT, "SOLVED": SOLVED, "EACH": EACH, "MOVED": MOVED,
             "OTHERS": OTHERS, "DIMMED": DIMMED, "RANDOM": RANDOM, "EQUAL": EQUAL, "UNIT": UNIT}  # fmt: skip
    draw, rows = np.random.default_rng(0), []
    for seed in range(5):
        for network in NETS:
            common = draw.normal(0, 1)  # what a seed does to all of its networks falls out of differences
            for name, value in errors.items():
                noisy = name in ("RANDOM", "EQUAL", "UNIT")
                for level in (0.0,) if name == "NONE" else levels:
                    for input in (level,) if noisy else (0.0, level) if name == "DROPOUT" and level else (0.0,):
                        point = {"network": network, "kind": kinds[name], "hidden": level, "input": input, "seed": seed}
                        at = value(level) if callable(value) else value
                        rows.append({**point, "measure": "error", "value": at + common + draw.normal(0, noise)})
                        chosen = (valid or {}).get(name, lambda level, at=at: at)(level)
                        rows.append({**point, "measure": "validation error", "value": chosen})
    return pd.DataFrame(rows)


def verdict(id, table):
    claim = BY_ID[id]
    return judge(claim.rule(table), claim.kind, claim.delta)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"NONE": 8, "DROPOUT": 6, "JOINT": 6.1}, "holds"),
        ({"NONE": 8, "DROPOUT": 6, "JOINT": 5}, "holds"),
        ({"NONE": 8, "DROPOUT": 6, "JOINT": 7.5}, "contradicted"),
        ({"NONE": 8, "DROPOUT": 6, "JOINT": lambda p: 6.1 if p < 0.4 else 7.5}, "mixed"),
        ({"NONE": 8, "DROPOUT": 6, "JOINT": 6.5}, "not decided"),
        ({"NONE": 6, "DROPOUT": 6.5, "JOINT": 6.5}, "not testable"),
        ({"DROPOUT": 6, "JOINT": 6}, "not testable"),
        ({"NONE": 8, "DROPOUT": 6}, "not measured"),
    ],
)
def test_as_good_as_dropout_where_dropout_helps(errors, expected):
    """As good as something that does not help would be no merit; half a point is what "no significant drop" allows."""
    assert verdict("as-good-as-dropout", training(**errors))["verdict"] == expected


@pytest.mark.parametrize(
    ("id", "better", "worse"),
    [
        ("better-on-cifar", "JOINT", "DROPOUT"), ("better-than-a-push", "JOINT", "MOVED"),
        ("better-than-others", "JOINT", "OTHERS"), ("better-than-dimmed", "JOINT", "DIMMED"),
        ("better-found", "SOLVED", "JOINT"),
        ("x-star-helps", "JOINT", "NONE"),
        ("random-beats-dropout", "RANDOM", "DROPOUT"), ("random-beats-equal", "RANDOM", "EQUAL"),
        ("one-level-a-layer", "RANDOM", "UNIT"), ("random-beats-best", "RANDOM", "DROPOUT"),
    ],
)  # fmt: skip
def test_a_comparison_of_errors_has_the_right_sign(id, better, worse):
    """Errors are better when smaller: a sign the wrong way turns every verdict of the chapter round."""
    assert verdict(id, training(**{better: 5, worse: 6}))["verdict"] == "holds"
    assert verdict(id, training(**{better: 6, worse: 5}))["verdict"] == "contradicted"
    result = verdict(id, training(**{better: 5, worse: 6}))
    assert result["measured"] == pytest.approx(1, abs=0.15)
    assert verdict(id, training(**{better: 5, worse: 5}, noise=1.0))["verdict"] == "not decided"
    assert verdict(id, training(**{better: 5}))["verdict"] == "not measured"
    mixed = training(**{better: lambda p: 5 if p < 0.4 else 7, worse: 6})
    assert verdict(id, mixed)["verdict"] == ("holds" if id == "random-beats-best" else "mixed")


def test_random_dropout_is_compared_at_the_same_level_in_all_layers():
    """Dropout at p behind hidden layers alone is another network."""
    table = training(RANDOM=5, DROPOUT=6)
    assert set(BY_ID["random-beats-dropout"].rule(table)["setting"]) == {
        f"{n}, p = {p}" for n in NETS for p in (0.25, 0.5)
    }
    table.loc[(table["kind"] == DROPOUT) & (table["input"] == 0), "value"] = 0.0  # not to be looked at
    assert verdict("random-beats-dropout", table)["verdict"] == "holds"
    assert verdict("as-good-as-dropout", training(NONE=8, DROPOUT=6, JOINT=6))["counts"]["holds"] == 4


def test_one_x_star_for_all_may_not_be_worse_than_one_each():
    assert verdict("one-a-layer", training(JOINT=6.1, EACH=6))["verdict"] == "holds"
    assert verdict("one-a-layer", training(JOINT=7, EACH=6))["verdict"] == "contradicted"


def test_best_levels_are_chosen_by_validation_not_by_the_test():
    """Levels chosen on test images would favour the scheme with more levels."""
    errors = {"RANDOM": lambda p: 5 if p < 0.4 else 9, "DROPOUT": lambda p: 6 if p < 0.4 else 4}
    assert verdict("random-beats-best", training(**errors))["verdict"] == "contradicted"  # 4 against 5
    valid = {"DROPOUT": lambda p: 1.0 if p < 0.4 else 2.0}
    assert verdict("random-beats-best", training(valid=valid, **errors))["verdict"] == "holds"  # 6 against 5


def pictures(**values):
    """A table of pictures: by measure, the value at (scheme, how)."""
    draw = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {"scheme": scheme, "how": how, "measure": measure.replace("_", " "), "seed": seed,
             "value": value * (1 + 0.01 * draw.normal())}
            for measure, found in values.items()
            for (scheme, how), value in found.items()
            for seed in range(5)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "best", "expected"),
    [
        ("2500-625", 1.1, "holds"), ("2500-625", 1.3, "holds"), ("2500-625", 1.6, "contradicted"),
        ("625-156", 1.0, "not measured"),
    ],
)  # fmt: skip
def test_competitive_is_asked_of_networks_of_full_size_at_their_best_level(network, best, expected):
    """A small network says nothing of it; and the level is chosen by validation, not the best on the test."""
    rows = []
    for seed in range(5):
        for level, error, valid in ((0.2, best, 1.0), (0.4, 0.9, 1.1), (0.6, 3.0, 2.0)):
            point = {"network": network, "kind": RANDOM, "hidden": level, "input": level, "seed": seed}
            rows.append({**point, "measure": "error", "value": error + 0.01 * seed})
            rows.append({**point, "measure": "validation error", "value": valid})
    assert verdict("competitive", pd.DataFrame(rows))["verdict"] == expected


def test_diversity_is_the_spread_of_lengths_in_percent_of_the_other_schemes():
    both = {(s, how): v for how in (DESCENT, SOLVER) for s, v in ((RANDOM, 0.3), (DROPOUT, 0.2), (EQUAL, 0.4))}
    result = verdict("more-diverse", pictures(spread=both))
    assert result["verdict"] == "holds" and result["mean"] == pytest.approx(50, abs=3)
    assert verdict("more-diverse-equal", pictures(spread=both))["verdict"] == "contradicted"


def test_classes_are_held_against_the_clean_images_and_against_noise():
    ways = [(s, how) for s in (DROPOUT, RANDOM) for how in (DESCENT, SOLVER)]
    clean = {(s, "clean"): 98.0 for s in (DROPOUT, RANDOM)}
    table = pictures(**{"class": {**dict.fromkeys(ways, 97.0), **clean}, "class, moved": dict.fromkeys(ways, 80.0)})
    assert verdict("of-their-class", table)["verdict"] == "holds"
    assert verdict("not-just-noise", table)["verdict"] == "holds"
    lost = {**dict.fromkeys(ways, 70.0), (DROPOUT, DESCENT): 97.0, **clean}
    table = pictures(**{"class": lost, "class, moved": dict.fromkeys(ways, 80.0)})
    assert verdict("of-their-class", table)["verdict"] == verdict("not-just-noise", table)["verdict"] == "mixed"
    assert verdict("solved-of-their-class", table)["verdict"] == "contradicted"


def test_features_are_destroyed_where_others_change_less_than_by_removal():
    """Per what the feature loses: an x* that leaves it on, and so all others alone, shuts nothing off."""
    off = {(DROPOUT, how): 0.0 for how in (DESCENT, SOLVER, SILENCED)}
    others = {(DROPOUT, DESCENT): 0.2, (DROPOUT, SOLVER): 0.1, (DROPOUT, SILENCED): 0.8}
    result = verdict("destroyed-not-removed", pictures(**{"others": others, "own left": off}))
    assert result["verdict"] == "holds" and result["mean"] == pytest.approx(81, abs=3)
    swapped = {**others, (DROPOUT, SILENCED): 0.05}
    table = pictures(**{"others": swapped, "own left": off})
    assert verdict("destroyed-not-removed", table)["verdict"] == "contradicted"
    idle = {**off, (DROPOUT, DESCENT): 0.9}  # a tenth of the feature went, and the others changed by twice that
    result = verdict("destroyed-not-removed", pictures(**{"others": others, "own left": idle}))
    assert result["verdict"] == "mixed"


def existence(seeds=10, **measures):
    """A table of existence: by measure, a function of (weights, ratio, seed)."""
    return pd.DataFrame(
        [
            {
                "weights": w,
                "ratio": r,
                "p": 0.5,
                "scaled": False,
                "measure": m,
                "x": x,
                "seed": seed,
                "value": f(w, r, seed),
            }
            for m, f in measures.items()
            for w in (RANDOM_WEIGHTS, PLAIN, DROPPED_WEIGHTS)
            for r in (0.5, 1.0, 3.2)
            for x in ((1, 2) if m == "both" else (np.nan,))
            for seed in range(seeds)
        ]
    )


def test_existence_is_counted_by_networks():
    """Ten networks of ten are not certainty, but decide; the widths that are asked for, and no others."""
    table = existence(exists=lambda w, r, seed: 100.0 if r < 2 else 0.0)
    wide, narrow = verdict("x-star-exists", table), verdict("x-star-exists-narrow", table)
    assert wide["verdict"] == "contradicted" and narrow["verdict"] == "holds"
    assert len(wide["settings"]) == 3 and len(narrow["settings"]) == 6
    assert verdict("x-star-exists", existence(2, exists=lambda w, r, seed: 0.0))["verdict"] == "not decided"


def test_the_bound_is_held_against_what_is_found():
    draw = np.random.default_rng(0)
    table = existence(exists=lambda *_: 60 + draw.normal(), bound=lambda *_: 55 + draw.normal())
    assert verdict("existence-bound", table)["verdict"] == "holds"
    table = existence(exists=lambda *_: 40 + draw.normal(), bound=lambda *_: 55 + draw.normal())
    assert verdict("existence-bound", table)["verdict"] == "contradicted"


@pytest.mark.parametrize("bound", [2.0, 97.0])
def test_a_bound_that_says_nothing_is_no_evidence(bound):
    """Of nearly 0 it is met by everything, of nearly 100 there is no room above it: such settings have no spread."""
    draw = np.random.default_rng(0)
    table = existence(exists=lambda *_: 99 + 0.1 * draw.normal(), bound=lambda *_: bound + 0.1 * draw.normal())
    assert verdict("existence-bound", table)["verdict"] == "not measured"


def test_the_appendix_number_is_computed():
    """8.1: p = 0.5, 1000 units, 15 % of them active."""
    found = BY_ID["appendix-number"].rule()
    assert found["margin"].item() == pytest.approx(np.log10(0.5 ** (1000 * 0.15) / 1e-47), abs=1e-6)
    assert found["sem"].item() == 0 and found.attrs["runs"] == 1
    claim = BY_ID["appendix-number"]
    assert (
        judge(found, claim.kind, claim.delta)["verdict"] == "contradicted" and claim.delta < 1 < found["margin"].item()
    )


def test_one_for_all_asks_for_half_of_the_way_in_each_layer_of_the_widest_trained_networks():
    draw = np.random.default_rng(0)
    table = existence(both=lambda w, r, seed: (0.3 if r > 3 or w == RANDOM_WEIGHTS else 0.9) + 0.01 * draw.normal())
    result = verdict("one-for-all", table)
    assert (
        result["verdict"] == "holds" and result["mean"] == pytest.approx(20, abs=0.5) and len(result["settings"]) == 4
    )
    table = existence(both=lambda w, r, seed: (0.9 if r > 3 else 0.1) + 0.01 * draw.normal())
    assert verdict("one-for-all", table)["verdict"] == "contradicted"


def projection(solver):
    """Objectives after passes: descent at 0.4 after 40 passes; `solver` maps its passes to its objective."""
    draw, rows = np.random.default_rng(0), []
    for seed in range(10):
        common = {"network": "A", "training": DROPOUT, "asked_of": "both", "scaled": False, "measure": "objective"}
        rows.append(
            {**common, "how": DESCENT, "mean_over": "batch", "steps": 20, "x": 40.0, "value": 0.4, "seed": seed}
        )
        rows.append(
            {**common, "how": DESCENT, "mean_over": "units", "steps": 20, "x": 40.0, "value": 0.0, "seed": seed}
        )
        for k, (passes, value) in enumerate(solver.items(), start=1):
            point = {"how": SOLVER, "mean_over": "", "steps": k, "x": passes + draw.integers(2), "value": value}
            rows.append({**common, **point, "seed": seed})
    return pd.DataFrame(rows)


def test_passes_are_those_at_which_the_solver_first_leaves_no_more():
    """The reading of the rates that diverges, or the solver's last number of steps, would flatter it or not."""
    assert verdict("fewer-passes", projection({4.0: 0.3, 20.0: 0.1}))["verdict"] == "holds"
    assert verdict("fewer-passes", projection({4.0: 0.5, 20.0: 0.1}))["verdict"] == "contradicted"
    never = BY_ID["fewer-passes"].rule(projection({4.0: 0.5, 7.0: 0.45}))
    assert (never["margin"] == 0).all()


@pytest.mark.parametrize(
    ("random", "expected"), [(1.3, "holds"), (1.42, "holds"), (1.6, "contradicted"), (None, "not measured")]
)
def test_random_dropout_costs_what_dropout_costs(random, expected):
    """The ratio that counts is that to dropout, not to training without noise; a tenth more is allowed."""
    kinds = {NONE: 1.0, DROPOUT: 1.35} | ({RANDOM: random} if random else {})
    rows = [
        {"network": network, "kind": kind, "seed": seed, "measure": "time", "value": value + 0.002 * seed}
        for network in NETS for kind, value in kinds.items() for seed in range(5)
    ]  # fmt: skip
    assert verdict("no-extra-cost", pd.DataFrame(rows))["verdict"] == expected
