"""Racing at inference, against closed forms, the plain way, brute force over single draws, and simulated crossings."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tutorial_lib.inject import set_noise
from tutorial_lib.papers.activation_noise.method import energies, energy, mean_energies, train_autoencoders
from tutorial_lib.papers.activation_noise.racing import (
    State,
    certain,
    energies_of,
    largest_energy,
    limit,
    looks,
    practical,
    race,
    stitched,
)


def gaussian(means, n=2000):
    """Draws of Gaussian energies with these means [N, K] and deviation 1: the same, whoever is asked for, and when."""
    means = torch.as_tensor(means, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    z = torch.randn(means.shape[1], n, len(means), dtype=torch.float64, generator=g)
    return lambda k, index, draws: means[index, k] + z[k, draws.start : draws.stop][:, index]


def everything(draw, images, classes, n):
    """The plain way: all draws [n, N, K]."""
    return torch.stack([draw(k, torch.arange(images), range(n)) for k in range(classes)], -1)


def test_sums_are_those_of_all_draws():
    """In blocks of any size: gaps, deviations of paired differences, and squares less earlier means, by hand."""
    e = torch.randn(23, 4, 3, dtype=torch.float64) * 3 + 100
    zero = torch.zeros(4, 3, 3, dtype=torch.float64)
    state, blocks = State(torch.arange(4), 0, zero[..., 0], zero, zero), (1, 2, 7, 13)
    expected, start = torch.zeros(4, 3, 3, dtype=torch.float64), 0
    for m in blocks:
        differences = e[start : start + m, :, :, None] - e[start : start + m, :, None]
        earlier = e[:start].mean(0) if start else torch.zeros(4, 3, dtype=torch.float64)
        expected += (differences - (earlier[:, :, None] - earlier[:, None])).square().sum(0)
        state.add(e[start : start + m])
        start += m
    both = e[:, :, :, None] - e[:, :, None]
    assert torch.allclose(state.gaps(), both.mean(0)) and state.draws == 23
    assert torch.allclose(state.spread(), both.std(0), atol=1e-9)
    assert torch.allclose(state.wander, expected)


def test_nobody_leaves_without_a_rule():
    """Then the race is the plain way: the same predictions at every look, and every draw is taken."""
    means = torch.randn(30, 5, generator=torch.Generator().manual_seed(1)) * 0.3
    draw, never = gaussian(means), lambda s: (s.gaps(), torch.full_like(s.gaps(), math.inf))
    found = race(draw, 30, 5, 40, never, at=(7, 33))
    plain = mean_energies(everything(draw, 30, 5, 40)).argmin(-1)
    assert (found.draws == 40).all() and set(found.at) == {*looks(40), 7, 33}
    for n, said in found.at.items():
        assert (said == plain[n - 1]).all()


def test_the_race_draws_where_it_is_not_settled():
    """Class 0 is clear of class 2, and level with class 1: class 2 leaves at the first look of the rule, they never."""
    found = race(gaussian([[0.0, 0.0, 50.0]] * 8), 8, 3, 100, practical(errors=6))
    assert (found.draws[:, :2] == 100).all() and (found.draws[:, 2] == 10).all()
    assert found.ratio.max() < 6 / math.sqrt(100)
    clear = race(gaussian([[5.0, 0.0, 9.0]] * 8), 8, 3, 100, practical())
    assert (clear.draws == 10).all() and (clear.at[100] == 1).all()
    assert clear.ratio.mean().item() == pytest.approx(5 / math.sqrt(2), rel=0.3)  # independent: deviations add up


def test_draws_fall_as_the_square_of_the_gap():
    """k standard errors of a paired difference of deviation √2 s resolve a gap d after about 2 (k s / d)² draws."""
    for gap in (0.5, 1.0):
        found = race(gaussian([[0.0, gap]] * 400, 10_000), 400, 2, 10_000, practical(4.0))
        mean = found.draws[:, 0].double().mean().item()
        assert 0.75 < mean / (2 * 16 / gap**2) < 1.35  # looks are a quarter apart; chance stops some early
        assert (found.at[10_000] == 0).double().mean() > 0.98


def test_common_draws_cancel():
    """What both classes share drops out of paired differences: the race is over at its first look."""

    def draw(k, index, draws):
        shared = [np.random.default_rng(number).normal(size=6) * 100 for number in draws]
        return torch.from_numpy(np.stack(shared))[:, index] + k

    found = race(draw, 6, 3, 1000, practical())
    assert (found.draws == 10).all() and (found.at[1000] == 0).all()


def test_an_indifferent_race_stops_at_ties():
    """Rivals that cannot be better by 1 end it; 2 (4 / 1)² = 32 draws tell that of level ones. Else they go on."""
    draw = gaussian([[0.0, 0.0]] * 200)
    asked, all_ = (race(draw, 200, 2, 2000, practical(), indifferent=d) for d in (1.0, 0.0))
    assert asked.draws.double().mean() < 60 and all_.draws.double().mean() > 1500
    assert race(gaussian([[0.0, 5.0]] * 50), 50, 2, 500, practical(), indifferent=0.1).draws.max() == 10


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_the_boundary_is_the_published_one(scale):
    """Howard et al. 2021, eq. (10) with η = 2, s = 1.4, m = c²: the numbers of their formula, typed in."""
    v = torch.tensor([0.0, 1.0, 100.0, 1e6], dtype=torch.float64)
    for alpha in (0.05, 1e-3):
        found = stitched(v, alpha, torch.tensor(scale, dtype=torch.float64))
        m = scale**2
        for value, u in zip(v.tolist(), found.tolist(), strict=True):
            value = max(value, m)
            ell = 1.4 * math.log(math.log2(value / m) + 1) + math.log(3.105472) + math.log(1 / alpha)  # ζ(1.4)
            k1, k2 = (2**0.25 + 2**-0.25) / math.sqrt(2), (math.sqrt(2) + 1) / 2
            assert u == pytest.approx(
                math.sqrt(k1**2 * value * ell + k2**2 * scale**2 * ell**2) + k2 * scale * ell, rel=1e-5
            )


def test_the_confidence_sequence_covers_at_all_times_at_once():
    """Skewed, bounded differences of equal means: a class that is level leaves in at most alpha of 2,000 races."""
    g = np.random.default_rng(0)
    images, n, alpha = 2000, 400, 0.2
    values = torch.from_numpy(g.beta(0.1, 0.4, size=(2, n, images)))  # of mean 0.2, in [0, 1]

    def draw(k, index, draws):
        return values[k, draws.start : draws.stop][:, index]

    found = race(draw, images, 2, n, certain(torch.ones(images), 2, alpha))
    left = (found.draws.min(1).values < n).sum().item()
    assert stats.binomtest(left, images, alpha, alternative="greater").pvalue > 1e-3
    # and with fifty looks a rule that is meant for one is wrong more often than that one look
    once = race(draw, images, 2, n, practical(stats.norm.isf(0.025)))
    assert (once.draws.min(1).values < n).double().mean() > 0.1


def test_validity_costs_draws():
    """The range of an energy stands in the sequence, the spread in the practical rule: here 200 to 1."""
    draw = gaussian([[100.0, 104.0]] * 10, 20_000)
    sure, quick = (race(draw, 10, 2, 20_000, r) for r in (certain(torch.full((10,), 200.0), 2), practical()))
    assert sure.draws.sum() > 20 * quick.draws.sum() and sure.draws.max() < 20_000
    assert (sure.at[20_000] == 0).all() and (quick.at[20_000] == 0).all()


def test_the_largest_energy_is_reached_at_a_corner():
    x = torch.rand(5, 2, 3, 3)
    corners = [torch.where(torch.rand_like(x) < 0.5, 0.0, 1.0) for _ in range(200)]
    found = largest_energy(x)
    assert all((energy(c, x) <= found + 1e-5).all() for c in corners)
    assert torch.allclose(energy((x < 0.5).float(), x), found)


@pytest.fixture(scope="module")
def trained():
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(40, 1, 8, 8, generator=g), torch.arange(40) % 4
    return train_autoencoders(x, y, alpha=0.5, epochs=1, batch_size=5, progress=False), x


def test_networks_race(trained):
    """Energies of the race have the law of `energies`: equal means and deviations, image by image, class by class."""
    model, x = trained
    set_noise(model, alpha_inference=0.5, common=False)
    torch.manual_seed(0)
    draw = energies_of(model, x, batch_size=32)
    mine = everything(draw, 8, 4, 200).double()
    plain = energies(model, x[:8], 200).double()
    error = ((mine.var(0) + plain.var(0)) / 200).sqrt()
    assert ((mine.mean(0) - plain.mean(0)).abs() < 4.5 * error).all()
    assert ((mine.std(0) / plain.std(0)).log().abs() < 0.35).all()
    assert (mine <= largest_energy(x[:8])[:, None] + 1e-4).all()


def test_common_draws_are_the_same_for_all_classes_whoever_is_left(trained):
    """The n-th draw is the same noise for each image and class, alone or in company; the generator is left alone."""
    model, x = trained
    set_noise(model, alpha_inference=0.5)
    torch.manual_seed(3)
    draw = energies_of(model, x, batch_size=5, common=True)
    state = torch.get_rng_state()
    whole = draw(1, torch.arange(12), range(6))
    assert torch.allclose(draw(1, torch.tensor([11, 4]), range(2, 6)), whole[2:, [11, 4]], rtol=1e-4)
    assert (torch.get_rng_state() == state).all() and not torch.allclose(whole[0], whole[1])
    twin = model.networks[2]
    model.networks[2] = model.networks[1]
    assert torch.allclose(draw(2, torch.arange(12), range(6)), whole, rtol=1e-4)
    model.networks[2] = twin
    set_noise(model, common=False)


@pytest.mark.parametrize("n", [0, -3])
def test_no_draws_are_refused(n):
    with pytest.raises(ValueError, match=f"n = {n} noise samples: expected at least 1"):
        race(gaussian([[0.0, 1.0]]), 1, 2, n, practical())


def test_the_limit_of_accuracy_is_found_from_few_draws():
    """Gaps over spreads r of density N(0.1, 0.2²): accuracy(n) = E Φ(√n r) = Φ(0.1/√(0.04 + 1/n)), the limit is Φ(1/2).

    With n = 200 the accuracy of plain means is low by many of its errors; the jackknife takes nearly all of that away.
    """
    images, n = 400_000, 200
    g = np.random.default_rng(0)
    r = g.normal(0.1, 0.2, images)
    halves = r + g.normal(size=(2, images)) / math.sqrt(n / 2)
    right = torch.from_numpy(halves.mean(0) > 0)
    found, error = limit(right, torch.from_numpy(halves > 0))
    truth, plain = 100 * stats.norm.cdf(0.5), 100 * right.double().mean().item()
    at = [stats.norm.cdf(0.1 / math.sqrt(0.04 + k / n)) for k in (1, 2)]
    assert plain == pytest.approx(100 * at[0], abs=0.3) and found == pytest.approx(200 * at[0] - 100 * at[1], abs=0.4)
    assert truth - plain > 5 * error and abs(found - truth) < (truth - plain) / 3
    spread = np.std([limit(right[i::40], torch.from_numpy(halves[:, i::40] > 0))[0] for i in range(40)])
    assert spread == pytest.approx(error * math.sqrt(40), rel=0.35)
