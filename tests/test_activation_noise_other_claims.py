"""Claims of dropout, distributions, placement and loss: every rule by hand, and every verdict on tables made for it."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tutorial_lib.noise import DISTRIBUTIONS
from tutorial_lib.papers.activation_noise import others
from tutorial_lib.papers.activation_noise.claims import CLAIMS as WITH_TABLES
from tutorial_lib.papers.activation_noise.other_claims import (
    LAYERS,
    ONE_SIDED,
    OTHER_CLAIMS,
    PLACES,
    SYMMETRIC,
    best_of_the_others,
)
from tutorial_lib.verdicts import judge

CLAIMS = {claim.id: claim for claim in OTHER_CLAIMS}
CLAIMS_OF_PAPER = {claim.id: claim for claim in WITH_TABLES}
ALPHAS = (0.3, 0.9, 1.5)


def made(points, accuracy, seeds=8, noise=0.2, error=0.5, chance=0):
    """A table with a row at n = 1 (nonsense: it must not count) and one at n = 100, for each point and seed."""
    draw, rows = np.random.default_rng(chance), []
    for seed, point in itertools.product(range(seeds), points):
        value = accuracy(**point) + noise * draw.standard_normal()
        wrong = error(**point) if callable(error) else error
        free = 0 in (point.get("alpha"), point.get("strength"), point.get("alpha_inference"))
        free = free or point.get("inference") == "without"
        for n, shown in [(1, value)] if free else [(1, -50.0), (100, value)]:
            rows.append({**point, "seed": seed, "n": n, "accuracy": shown, "error": wrong, "mean_image_error": 1.0})
    return pd.DataFrame(rows)


def strengths(at=((0.0, 0.5, 0.9), (0.1, 0.5))):
    return [
        {"noise": noise, "strength": s, "inference": way}
        for noise, some in zip(("activation", "dropout"), at, strict=True)
        for s in some
        for way in ("as in training", "without")
    ]


def shapes():
    points = [{"distribution": "gaussian", "value": 1.0, "centred": False, "alpha": 0.0}]
    for name, (value,) in others.SHAPE_DEFAULTS.items():
        for centred in (False, True) if name in ONE_SIDED else (False,):
            points += [{"distribution": name, "value": value, "centred": centred, "alpha": a} for a in ALPHAS]
            points += [{"distribution": name, "value": 77.0, "centred": centred, "alpha": a} for a in ALPHAS]
    return points


def exchanges(kinds):
    return [{"training": a, "inference": b} for a in kinds for b in kinds]


def losses():
    return [{"loss": loss, "alpha": a} for loss in ("mse", "bce") for a in (0.0, 0.9)]


def classifiers():
    return [{"architecture": name, "alpha": a} for name in ("VGG11", "DLA") for a in (0.0, 0.5, 1.0)]


def unbalanced():
    return [
        {"alpha_train": a, "alpha_inference": b, "statistics": way}
        for a in (0.0, 0.5, 1.0)
        for b in (0.0, 0.5, 1.0)
        for way in ("of training", "anew")
    ]


def sizes():
    sides = {"autoencoder": (8, 16, 32), "classifier": (2, 10)}
    return [{"network": k, "outputs": o, "alpha": a} for k, some in sides.items() for o in some for a in (0.0, 0.5)]


def of_sizes(network, outputs, alpha):
    return 50 + outputs * alpha + (-20 if network == "classifier" else 3) * (alpha > 0)


def of_classifiers(alpha_train, alpha_inference, statistics):
    """Worse along the diagonal, worse off it, and most where inference is noisier."""
    harm = alpha_inference - alpha_train
    return 90 - 10 * alpha_train - (20 * harm if harm > 0 else -5 * harm)


def of_paper(distribution, value, centred, alpha):
    """All that the paper says of distributions: the peak between, Gaussian best, Cauchy earlier, one-sided worst."""
    if value == 77:
        return 99.0  # another parameter than that of Table 3: not compared
    if alpha == 0:
        return 20.0
    height = {"gaussian": 60, "uniform": 55, "t": 50, "cauchy": 50}.get(distribution, 20)
    if distribution in ("cauchy", "t"):
        return height + {0.3: 15, 0.9: 16, 1.5: -20}[alpha] - 12
    return height + {0.3: -5, 0.9: 10, 1.5: 0}[alpha] + 3 * centred


def swapped(value):
    return lambda **point: -value(**point)


def drops(noise, strength, inference):
    best = {"activation": 0.9, "dropout": 0.5}[noise]
    free = strength == 0 or inference == "without"
    return {"activation": 60, "dropout": 40}[noise] - 10 * abs(strength - best) - (5 if free else 0)


def own(training, inference):
    return 60.0 if training == inference else 40.0


def sided(training, inference):
    return 50.0 if training in SYMMETRIC and inference in ONE_SIDED else 30.0


def placed(training, inference):
    rank = {"all": 60, "odd": 50, "even": 50, "encoder": 40, "decoder": 40}
    return rank[training] if training == inference else 20.0


AGREEING = {
    "noise-over-dropout": (strengths(), drops),
    **dict.fromkeys(
        ("symmetric-over-one-sided", "symmetric-over-centred", "gaussian-is-best", "rise-and-fall", "wider-is-earlier"),
        (shapes(), of_paper),
    ),
    "centring-helps": (shapes(), of_paper),
    "same-distribution": (exchanges(DISTRIBUTIONS), own),
    "one-sided-at-training": (exchanges(DISTRIBUTIONS), sided),
    **dict.fromkeys(
        ("full-noise-is-best", "odd-and-even-next", "same-placement", "noise-where-none-was"),
        (exchanges(PLACES), placed),
    ),
    "cross-entropy": (losses(), lambda loss, alpha: 40.0),
    "similar-together": (
        exchanges(DISTRIBUTIONS),
        lambda training, inference: 50.0 if training in SYMMETRIC and inference in SYMMETRIC else 30.0,
    ),
    "late-layers-hurt-more": (
        exchanges(PLACES),
        lambda training, inference: 60 - 9 * (inference == "all" and training == "encoder"),
    ),
    "more-outputs": (sizes(), of_sizes),
    "classifiers-deteriorate": (classifiers(), lambda architecture, alpha: 90 - 10 * alpha),
    **dict.fromkeys(
        ("classifier-diagonal", "classifier-unbalanced", "classifier-asymmetry", "classifier-asymmetry-anew"),
        (unbalanced(), of_classifiers),
    ),
}


def verdict(id, table):
    claim = CLAIMS[id]
    return judge(claim.rule(table), claim.kind, claim.delta)["verdict"]


def test_every_claim_has_its_table_here_and_its_experiment():
    from tutorial_lib.papers.activation_noise.figures import EXPERIMENTS

    assert set(AGREEING) == set(CLAIMS)
    assert {claim.experiment for claim in OTHER_CLAIMS} <= {e.name for e in EXPERIMENTS}


@pytest.mark.parametrize("id", AGREEING)
def test_a_table_that_says_what_the_paper_says_holds(id):
    points, accuracy = AGREEING[id]
    assert verdict(id, made(points, accuracy)) == "holds"


@pytest.mark.parametrize("id", AGREEING)
def test_a_table_that_says_the_opposite_contradicts(id):
    points, accuracy = AGREEING[id]
    if id == "late-layers-hurt-more":
        opposite = lambda training, inference: 60 - 9 * (inference == "all" and training == "decoder")  # noqa: E731
    elif id == "cross-entropy":
        opposite = lambda loss, alpha: 40.0 + 9 * (loss == "bce")  # noqa: E731
    elif id == "noise-over-dropout":
        opposite = lambda noise, **rest: 100 * (noise == "dropout") + drops(noise, **rest)  # noqa: E731
    elif id == "rise-and-fall":  # a valley
        opposite = lambda distribution, value, centred, alpha: 20.0 if alpha in (0.3, 0.9) else 50.0  # noqa: E731
    else:
        opposite = swapped(accuracy) if "classifier" not in id else lambda **point: 150 - accuracy(**point)
    assert verdict(id, made(points, opposite)) == "contradicted"


@pytest.mark.parametrize("id", AGREEING)
def test_a_table_of_chance_decides_nothing(id):
    points, _ = AGREEING[id]
    assert verdict(id, made(points, lambda **point: 40.0, seeds=5, noise=6.0, chance=2)) == "not decided"


@pytest.mark.parametrize("id", [id for id in AGREEING if "classifier" not in id])
def test_networks_that_lose_to_the_mean_image_test_nothing(id):
    points, accuracy = AGREEING[id]
    assert verdict(id, made(points, accuracy, error=1.5)) == "not testable"


@pytest.mark.parametrize("id", [id for id in AGREEING if "classifier" in id])
def test_classifiers_that_learned_nothing_test_nothing(id):
    points, accuracy = AGREEING[id]
    assert verdict(id, made(points, lambda **point: accuracy(**point) - 75)) == "not testable"


@pytest.mark.parametrize("id", AGREEING)
def test_a_table_without_rows_is_not_measured(id):
    points, accuracy = AGREEING[id]
    table = made(points, accuracy)
    assert CLAIMS[id].rule(table[table["seed"] < 0]).empty


def test_the_best_setting_is_that_of_the_other_seeds():
    """Seed 0 is best at a by luck; over the others b is: its own luck must not choose for it."""
    accuracy = pd.DataFrame({"a": [90.0, 10.0, 10.0], "b": [20.0, 30.0, 40.0]})
    assert best_of_the_others(accuracy).tolist() == [20.0, 10.0, 10.0]


def by_setting(id, table):
    return CLAIMS[id].rule(table).groupby("setting")["margin"].mean().to_dict()


def test_margins_of_dropout_by_hand():
    """A strength whose networks lose to the mean image is no candidate; a way of inference is taken for itself."""

    def accuracy(noise, strength, inference):
        if strength == 0:
            return 99.0  # no noise at all is no strength of it
        return 10 * strength + {"activation": 50, "dropout": 20}[noise] + (7 if inference == "without" else 0)

    def error(noise, strength, inference):
        return 2.0 if noise == "activation" and strength == 0.9 else 0.5

    found = by_setting("noise-over-dropout", made(strengths(), accuracy, noise=0, error=error))
    assert found == {
        "over dropout at training only": pytest.approx(55 - 32),
        "over dropout at training and inference": pytest.approx(55 - 25),
    }


def test_margins_of_distributions_by_hand():
    """Means over the α at which both learned; α = 0 counts in none but the rise; a mean taken off is another noise."""
    table = made(shapes(), of_paper, noise=0)
    assert by_setting("gaussian-is-best", table)["over chi"] == pytest.approx(40)
    assert by_setting("centring-helps", table) == dict.fromkeys(ONE_SIDED, pytest.approx(3))
    assert by_setting("symmetric-over-centred", table)["uniform over chi"] == pytest.approx(32)
    assert by_setting("symmetric-over-one-sided", table)["uniform over chi"] == pytest.approx(35)
    ends = by_setting("rise-and-fall", table)
    assert ends["gaussian, rise"] == pytest.approx(50) and ends["gaussian, fall"] == pytest.approx(10)
    assert len(ends) == 14
    gaussian, cauchy = {0.3: 55, 1.5: 60}, {0.3: 53, 1.5: 18}
    expected = (gaussian[1.5] - cauchy[1.5]) - (gaussian[0.3] - cauchy[0.3])
    assert by_setting("wider-is-earlier", table) == {"Gaussian against Cauchy": pytest.approx(expected)}

    def error(distribution, value, centred, alpha):
        return 2.0 if distribution == "cauchy" and alpha == 1.5 else 0.5

    table = made(shapes(), of_paper, noise=0, error=error)
    small = [of_paper("gaussian", 1.0, False, a) - of_paper("cauchy", 1.0, False, a) for a in (0.3, 0.9)]
    assert by_setting("gaussian-is-best", table)["over cauchy"] == pytest.approx(np.mean(small))
    lost = CLAIMS["rise-and-fall"].rule(table)
    assert lost.loc[lost["why"].notna(), "setting"].tolist() == ["cauchy, fall"]
    assert CLAIMS["wider-is-earlier"].rule(table)["why"].tolist() == ["networks lose to the mean image"]


def test_margins_of_exchanges_by_hand():
    """Who was trained and who infers must not change places; networks are judged by the noise of their training."""

    def accuracy(training, inference):
        return 10.0 * PLACES.index(training) + PLACES.index(inference)

    def error(training, inference):
        return 2.0 if training != inference or training == "decoder" else 0.5

    table = made(exchanges(PLACES), accuracy, noise=0, error=error)
    found = by_setting("same-placement", table)
    assert found["odd, over all at inference"] == pytest.approx(1)
    assert found["odd, over encoder at inference"] == pytest.approx(-2)
    assert not any(name.startswith("decoder") and found[name] == found[name] for name in found)
    assert by_setting("full-noise-is-best", table)["all over odd"] == pytest.approx(-11)
    ranked = by_setting("odd-and-even-next", table)
    assert ranked["even over encoder"] == pytest.approx(-11) and len(ranked) == 4
    assert CLAIMS["late-layers-hurt-more"].rule(table)["why"].tolist() == ["its networks lose to the mean image"]
    own = {"encoder": 30.0, "decoder": 40.0}
    surprising = made(
        exchanges(PLACES),
        lambda training, inference: own.get(training, 50.0) if training == inference else 10.0,
        noise=0,
    )
    late = by_setting("late-layers-hurt-more", surprising)
    assert late == {"the decoder's noise, less the encoder's": pytest.approx((30 - 10) - (40 - 10))}
    further = by_setting("noise-where-none-was", table)
    assert set(further) == {f"{name}, over all at inference" for name in PLACES[1:]}
    pairs = made(exchanges(DISTRIBUTIONS), lambda training, inference: 50 - 9 * (inference in ONE_SIDED), noise=0)
    together = by_setting("similar-together", pairs)
    assert len(together) == 4 * 3 * 3 and list(together.values()) == pytest.approx([9] * 36)
    sides = by_setting("one-sided-at-training", made(exchanges(DISTRIBUTIONS), sided, noise=0))
    assert len(sides) == 12 and list(sides.values()) == pytest.approx([20] * 12)


def test_margins_of_outputs_by_hand():
    """What noise gains at the most outputs less at the fewest; a size between does not count, nor the level."""
    found = by_setting("more-outputs", made(sizes(), of_sizes, noise=0))
    assert found == {"autoencoders": pytest.approx(12), "classifiers": pytest.approx(4)}


def test_margins_of_classifiers_by_hand():
    """Steps of α of one architecture; the rows with new statistics of batch norm are not mixed with the others."""
    steps = by_setting(
        "classifiers-deteriorate", made(classifiers(), lambda architecture, alpha: 90 - alpha**2, noise=0)
    )
    assert steps["DLA, 0 over 0.5"] == pytest.approx(0.25) and steps["VGG11, 0.5 over 1"] == pytest.approx(0.75)
    assert len(steps) == 4

    def accuracy(alpha_train, alpha_inference, statistics):
        return 50 + 10 * alpha_train + alpha_inference - (30 if statistics == "anew" and alpha_inference > 0 else 0)

    table = made(unbalanced(), accuracy, noise=0)
    assert by_setting("classifier-diagonal", table)["(0.0, 0.0) over (0.5, 0.5)"] == pytest.approx(-5.5)
    off = by_setting("classifier-unbalanced", table)
    assert off["(0.5, 0.5) over (0.5, 1.0)"] == pytest.approx(-0.5) and len(off) == 6
    mirrored = by_setting("classifier-asymmetry", table)
    assert mirrored["(1.0, 0.0) over (0.0, 1.0)"] == pytest.approx(9) and len(mirrored) == 3
    assert by_setting("classifier-asymmetry-anew", table)["(1.0, 0.0) over (0.0, 1.0)"] == pytest.approx(39)


def test_the_papers_own_table_of_classifiers():
    """17 architectures, two data sets, two steps; one is no step at all, one goes up."""
    found = CLAIMS_OF_PAPER["text-classifiers-deteriorate"].rule().set_index("setting")["margin"]
    assert len(found) == 68
    assert found["MobileNetV2 on cifar-10, 0 over 0.5"] == 0
    assert found["PreActResNet18 on cifar-100, 0.5 over 1"] == pytest.approx(-0.15)
    assert (found > 0).sum() == 66 and found["VGG19 on cifar-100, 0.5 over 1"] == pytest.approx(1.25)
    assert found["VGG11 on cifar-10, 0 over 0.5"] == pytest.approx(0.20)


def test_layers_are_those_of_the_placements():
    from tutorial_lib import autoencoder
    from tutorial_lib.papers.activation_noise.method import placement

    hidden = placement(autoencoder(), "all")
    for name, layers in LAYERS.items():
        assert {hidden.index(site) + 1 for site in placement(autoencoder(), name)} == layers
