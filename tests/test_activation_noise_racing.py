"""Racing at inference, against closed forms, the plain way, brute force over single draws, and simulated crossings."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tutorial_lib import ActivationNoise
from tutorial_lib.inject import set_noise
from tutorial_lib.papers.activation_noise.method import energies, energy, mean_energies, train_autoencoders
from tutorial_lib.papers.activation_noise.racing import (
    STAKES,
    State,
    certain,
    energies_of,
    largest_energy,
    limit,
    looks,
    practical,
    race,
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
    """In blocks of any size: gaps and deviations of paired differences, by hand."""
    e = torch.randn(23, 4, 3, dtype=torch.float64) * 3 + 100
    state, start = State(torch.arange(4), 0, torch.zeros(4, 3).double(), torch.zeros(4, 3, 3).double()), 0
    for m in (1, 2, 7, 13):
        state.add(e[start : start + m])
        start += m
    both = e[:, :, :, None] - e[:, :, None]
    assert torch.allclose(state.gaps(), both.mean(0)) and state.draws == 23
    assert torch.allclose(state.spread(), both.std(0), atol=1e-9)


def by_hand(e, rule, n, indifferent=0.0, bound=None, at=()):
    """The race of one image, by plain loops over its energies [n, K]: answers by look, draws a class, last ratio."""
    classes, said, ratio = e.shape[1], {}, math.nan
    left, used, done = list(range(classes)), [0] * classes, False

    def surely(j, k, t, slack):
        x = e[:t, j] - e[:t, k]
        if rule == "practical":
            border = stats.t.isf(stats.norm.sf(4.0), t - 1) * x.std(ddof=1) / math.sqrt(t) if t >= 10 else math.inf
            return x.mean() + slack > border
        wealth = [np.prod(1 + stake * (x + slack) / bound) for stake in STAKES]
        return np.mean(wealth) >= (classes - 1) / 0.05

    for t in sorted({*looks(n), *at}):
        if not done:
            for k in left:
                used[k] = t
            order = sorted(left, key=lambda k: e[:t, k].sum())
            x = e[:t, order[1]] - e[:t, order[0]]
            ratio = x.mean() / x.std(ddof=1) if t > 1 else math.nan
            best = order[0]
            left = [j for j in left if not any(surely(j, k, t, 0.0) for k in left if k != j)]
            done = all(surely(j, best, t, indifferent) for j in left if j != best)
        said[t] = best
    return said, used, ratio


@pytest.mark.parametrize("rule", ["practical", "certain"])
@pytest.mark.parametrize("indifferent", [0.0, 0.6])
def test_many_images_race_as_each_would_alone(rule, indifferent):
    """Answers at every look, draws and ratios of sixty images with their own winners and bounds, against plain loops.

    Images and classes leave at all times, so that an index mixed up between them shows; so do a sign, a factor of the
    bound, a class that is out and still counts, and a stake that is not reset.
    """
    g = np.random.default_rng(0)
    images, classes, n = 60, 4, 300
    bound = g.uniform(8, 30, images)
    means = 4 + g.normal(size=(images, classes)) * g.choice([0.1, 0.5, 2.0], (images, 1))
    e = np.clip(means + g.normal(size=(n, images, classes)), 0, bound[:, None])
    table = torch.from_numpy(e)

    def draw(k, index, draws):
        return table[draws.start : draws.stop, index, k]

    made = practical(indifferent=indifferent)
    if rule == "certain":
        made = certain(torch.from_numpy(bound), classes, 0.05, indifferent)
    found = race(draw, images, classes, n, made)
    expected = [by_hand(e[:, i], rule, n, indifferent, bound[i]) for i in range(images)]
    for step, said in found.at.items():
        assert said.tolist() == [alone[0][step] for alone in expected]
    assert found.draws.tolist() == [alone[1] for alone in expected]
    assert np.allclose(found.ratio.numpy(), [alone[2] for alone in expected], rtol=1e-6)
    assert found.draws.unique().numel() > 5 and (found.draws.amax(1) < n).any()
    assert indifferent or (found.draws.amax(1) == n).any()


@pytest.mark.parametrize("rule", ["practical", "certain"])
def test_images_with_an_n_of_their_own_race_as_each_would_alone(rule):
    """Answers, draws and ratios against plain loops over as many draws as each image may take, in any order of n.

    What lies beyond an image's n is no number, so that one draw too many is refused; an image that is stopped too
    early, or by its neighbour's n, has other draws and another answer; one that is through keeps its answer.
    """
    g = np.random.default_rng(1)
    images, classes, ns = 80, 4, np.array([1, 2, 9, 10, 33, 100, 300])
    n, bound = g.choice(ns, images), g.uniform(8, 30, images)
    n[:7] = ns[::-1]
    means = 4 + g.normal(size=(images, classes)) * g.choice([0.1, 0.5, 2.0], (images, 1))
    e = np.clip(means + g.normal(size=(300, images, classes)), 0, bound[:, None])
    for i in range(images):
        e[n[i] :, i] = math.nan
    table = torch.from_numpy(e)

    def draw(k, index, draws):
        return table[draws.start : draws.stop, index, k]

    made = practical() if rule == "practical" else certain(torch.from_numpy(bound), classes)
    found = race(draw, images, classes, torch.from_numpy(n), made, at=(1, 7, 210))
    steps = sorted({*looks(300), *ns.tolist(), 7, 210})
    assert list(found.at) == steps
    alone = [by_hand(e[:, i], rule, n[i], 0.0, bound[i], [t for t in steps if t <= n[i]]) for i in range(images)]
    for step, said in found.at.items():
        assert said.tolist() == [one[0][min(step, m)] for one, m in zip(alone, n, strict=True)]
    assert found.draws.tolist() == [one[1] for one in alone]
    assert np.allclose(found.ratio.numpy(), [one[2] for one in alone], rtol=1e-6, equal_nan=True)
    most = found.draws.amax(1).numpy()
    assert (most == n).any() and (most < n).any() and len(set(most)) > 7


@pytest.mark.parametrize("n", [300, torch.arange(60) * 5 + 1])
def test_with_labels_a_race_is_over_when_the_own_class_is_out(n):
    """Right and wrong at every look are those of the race without labels; draws end where that dropped the own class.

    An image that is stopped too early, by another's label, or not at all has other draws or is right where it was not.
    """
    means = torch.randn(60, 5, generator=torch.Generator().manual_seed(3)) * 0.3
    label = torch.arange(60) % 5
    plain, found = (race(gaussian(means), 60, 5, n, practical(), at=(7,), label=y) for y in (None, label))
    for step, said in plain.at.items():
        assert ((said == label) == (found.at[step] == label)).all()
    own = plain.draws[torch.arange(60), label]
    assert (found.draws == plain.draws.minimum(own[:, None])).all()
    assert (found.draws.sum(1) < plain.draws.sum(1)).any() and (found.draws.sum(1) == plain.draws.sum(1)).any()


def test_one_n_for_all_is_that_n_for_each():
    draw = gaussian(torch.randn(30, 4, generator=torch.Generator().manual_seed(2)))
    one, each = (race(draw, 30, 4, n, practical()) for n in (50, torch.full((30,), 50)))
    assert one.at.keys() == each.at.keys() and all((one.at[t] == each.at[t]).all() for t in one.at)
    assert (one.draws == each.draws).all() and torch.equal(one.ratio, each.ratio)
    assert len(one.draws.unique()) > 3


def test_nobody_leaves_without_a_rule():
    """Then the race is the plain way: the same predictions at every look, and every draw is taken."""
    means = torch.randn(30, 5, generator=torch.Generator().manual_seed(1)) * 0.3
    draw, never = gaussian(means), lambda s, e: (torch.zeros_like(s.gaps(), dtype=torch.bool),) * 2
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
    for gap in (0.25, 0.5):
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
    asked, all_ = (race(draw, 200, 2, 2000, practical(indifferent=d)) for d in (1.0, 0.0))
    assert asked.draws.double().mean() < 60 and all_.draws.double().mean() > 1500
    assert race(gaussian([[0.0, 9.0]] * 50), 50, 2, 500, practical(indifferent=0.1)).draws.max() == 10


def test_a_level_class_seldom_leaves_whenever_one_looks():
    """Skewed, bounded energies of equal means: the first class leaves in at most `risk` of the races, at any look.

    Almost sharp where the range is used: energies that are 0 or R. A border for one look errs more often.
    """
    images, n, risk = 2000, 1000, 0.2
    g = torch.Generator().manual_seed(0)
    values = (torch.rand(2, n, images, generator=g) < 0.3).double()

    def draw(k, index, draws):
        return values[k, draws.start : draws.stop][:, index]

    found = race(draw, images, 2, n, certain(torch.ones(images), 2, risk))
    left = (found.draws[:, 0] < n) & (found.at[n] == 1)
    assert stats.binomtest(int(left.sum()), images, risk, alternative="greater").pvalue > 1e-3
    assert left.double().mean() > risk / 4  # the sequence is no idle one
    once = race(draw, images, 2, n, practical(stats.norm.isf(risk)))
    assert ((once.draws[:, 0] < n) & (once.at[n] == 1)).double().mean() > risk


def test_errors_are_those_of_a_normal_law_with_few_draws_too():
    """At the first look, with ten draws, a level class leaves with the probability of k deviations, 2 P(Z > k).

    By the spread as found in ten draws it would be that of Student's t: 7.6 % for two errors, not 4.6 %.
    """
    draw = gaussian([[0.0, 0.0]] * 4000, 12)
    for errors in (1.0, 2.0):
        gone = (race(draw, 4000, 2, 12, practical(errors)).draws == 10).all(1).double().mean().item()
        assert gone == pytest.approx(2 * stats.norm.sf(errors), abs=0.02 if errors == 1 else 0.012)
    assert (race(draw, 4000, 2, 12, practical()).draws == 12).double().mean() > 0.999


def test_validity_costs_draws_where_the_range_is_large():
    """Of 1,000 spreads: at least R log((K - 1) / risk) / gap draws. With a range of a few it costs next to nothing."""
    wide, narrow = gaussian([[500.0, 503.0]] * 10, 20_000), gaussian([[5.0, 5.5]] * 200, 2000)
    sure, quick = (race(wide, 10, 2, 20_000, r) for r in (certain(torch.full((10,), 1000.0), 2), practical()))
    assert sure.draws.min() > 1000 * math.log(20) / 3 and quick.draws.max() < 100
    assert sure.draws.max() < 4000 and (sure.at[20_000] == 0).all() and (quick.at[20_000] == 0).all()
    sure, quick = (race(narrow, 200, 2, 2000, r) for r in (certain(torch.full((200,), 12.0), 2), practical()))
    assert 0.5 < sure.draws.double().mean() / quick.draws.double().mean() < 1.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: certain(torch.ones(2), 3, 0.0), "risk = 0.0: expected a probability above 0 and below 1"),
        (lambda: certain(torch.tensor([1.0, 0.0]), 3), "bound of 0: expected energies with a largest value above 0"),
        (lambda: race(gaussian([[0.5, 3.0]]), 1, 2, 5, certain(torch.ones(1), 2)), "is above its bound"),
        (lambda: race(gaussian([[0.0, 1.0]]), 1, 2, 0, practical()), "n = 0 noise samples: expected at least 1"),
        (
            lambda: race(gaussian([[0.0, 1.0]]), 1, 2, 5, practical(), at=(9,)),
            "at = \\(9,\\): expected numbers of draws",
        ),
        (lambda: race(gaussian([[0.0, math.nan]]), 1, 2, 5, practical()), "an energy is not a number"),
        (lambda: race(gaussian([[0.0, 1.0]]), 1, 2, 5, practical(), at=(0,)), "expected numbers of draws from 1 to 5"),
        (lambda: race(gaussian([[0.0, 1.0]] * 3), 3, 2, torch.tensor([5, 0, 9]), practical()), "n = 0 noise samples"),
        (lambda: race(gaussian([[0.0, 1.0]] * 2), 2, 2, torch.tensor([5, -1]), practical()), "n = -1 noise samples"),
        (
            lambda: race(gaussian([[0.0, 1.0]] * 2), 2, 2, torch.tensor([5, 8]), practical(), at=(6, 9)),
            "expected numbers of draws from 1 to 8",
        ),
        (
            lambda: race(gaussian([[0.0, 1.0]] * 2), 2, 2, 5, practical(), label=torch.tensor([0])),
            "label of shape \\(1,\\): expected one class for each of 2 images",
        ),
    ],
)
def test_bad_input_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_the_smallest_races():
    """No image, one class, one draw."""
    assert race(gaussian(torch.zeros(0, 3)), 0, 3, 5, practical()).draws.shape == (0, 3)
    one = race(gaussian(torch.zeros(2, 1)), 2, 1, 50, practical())
    assert (one.draws == 1).all() and (one.at[50] == 0).all()
    single = race(gaussian([[0.0, 9.0], [9.0, 0.0]]), 2, 2, 1, practical())
    assert single.at[1].tolist() == [0, 1] and single.ratio.isnan().all()


def test_as_many_n_as_images():
    """One number too few would otherwise be an image that races for as long as another one may."""
    with pytest.raises((ValueError, RuntimeError)):
        race(gaussian([[0.0, 1.0]] * 3), 3, 2, torch.tensor([5, 9]), practical())


def test_no_image_with_an_n_of_its_own():
    assert race(gaussian(torch.zeros(0, 3)), 0, 3, torch.zeros(0, dtype=torch.long), practical()).draws.shape == (0, 3)


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
    return train_autoencoders(x, y, ActivationNoise(alpha=0.5), epochs=1, batch_size=5, progress=False), x


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


def test_plain_draws_after_common_ones_are_independent_again(trained):
    """Else a batch that holds several draws of an image gives them all one noise."""
    model, x = trained
    set_noise(model, alpha_inference=0.5, common=False)
    energies_of(model, x, common=True)(0, torch.arange(4), range(3))
    assert (energies_of(model, x)(0, torch.arange(4), range(20)).std(0) > 0).all()


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
