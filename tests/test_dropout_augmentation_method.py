"""Dropout, its back-projection and the existence of x* against closed forms, quadrature, autograd, linear programs."""

import cProfile
import functools
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from tutorial_lib import fit, fit_many, inject, load_data, mlp
from tutorial_lib.papers.dropout_augmentation import existence, method
from tutorial_lib.papers.dropout_augmentation.existence import chance, cover, decide, nearest, smallest_violation
from tutorial_lib.papers.dropout_augmentation.method import Dropout, activations, back_project, multipliers, solve

P, K, B, N = 0.6, 600, 3, 12  # the draws: K batches of B samples of N units
RATES = (300.0, 30.0)
each_level = pytest.mark.parametrize("level", ["fixed", "sample", "batch", "unit"])
each_p = pytest.mark.parametrize("p", [0.01, 0.2, 0.5, 0.95])
each_draw = pytest.mark.parametrize("how", ["function", "hidden", "input", "vmap"])
each_finder = pytest.mark.parametrize("find", [back_project, solve])


def inputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(found, truth, tolerance=1e-10):
    torch.testing.assert_close(found, truth, rtol=tolerance, atol=tolerance)


# --- the laws
def over_levels(f, p):
    """The mean of f(ρ) over ρ ~ U(0, p), by quadrature."""
    return integrate.quad(f, 0, p, epsabs=1e-13, epsrel=1e-11)[0] / p


def law(n, p, random):
    """Of the number dropped of n units that share a level."""
    at = [lambda rho, k=k: stats.binom.pmf(k, n, rho) for k in range(n + 1)]
    return np.array([over_levels(f, p) if random else f(p) for f in at])


@each_p
@pytest.mark.parametrize("n", [1, 7, 40])
def test_fig_1_is_the_binomial_and_its_mean_over_levels(n, p):
    """A wrong argument of the incomplete beta function, k for n - k, or p for the probability of keeping."""
    assert method.dropped(n, p) == pytest.approx(law(n, p, False), rel=1e-9, abs=1e-300)
    assert method.dropped(n, p, random=True) == pytest.approx(law(n, p, True), rel=1e-7, abs=1e-12)
    assert method.dropped(150, 0.5)[0] == pytest.approx(7.006e-46, rel=1e-3)  # appendix 8.1 says 1e-47


@each_p
def test_noise_variance_and_the_equally_noisy_level(p):
    """Var(M / (1 - ρ)) = E[ρ / (1 - ρ)] by quadrature, and dropout at the equal level has just as much."""
    assert method.noise_variance(p) == pytest.approx(p / (1 - p), rel=1e-12)
    random, level = over_levels(lambda rho: rho / (1 - rho), p), method.equal_level(p)
    assert method.noise_variance(p, random=True) == pytest.approx(random, rel=1e-9)
    assert 0 < level < p and level / (1 - level) == pytest.approx(random, rel=1e-9)
    for small in (0.0, p * 1e-16, p * 1e-8):  # where the closed forms are 0 / 0, or lose their digits
        assert method.noise_variance(small, random=True) == pytest.approx(small / 2, rel=1e-7, abs=0)
        assert method.equal_level(small) == pytest.approx(small / 2, rel=1e-7, abs=0)


# --- draws: the function, the layer behind a hidden layer and behind the input, and under vmap
@functools.cache
def drawn(how, level, scaled):
    """[K, B, N] multipliers. The network is written as an identity: of ones it gives back what it multiplied by."""
    torch.manual_seed(3)
    ones, layer = torch.ones(K, B, N).double(), Dropout(P, level, "training" if scaled else "test").train()
    if how == "function":
        return torch.stack([multipliers((B, N), P, level, scaled, dtype=torch.float64) for _ in range(K)])
    if how == "vmap":
        return torch.vmap(layer, randomness="different")(ones)
    net = mlp(N, N, (N,)).double()
    for parameter in net.parameters():
        parameter.data = torch.eye(N).double() if parameter.ndim == 2 else torch.zeros(N).double()
    inject(net, layer, "all" if how == "hidden" else ["data"])
    return torch.stack([net.train()(one).detach() for one in ones])


@each_draw
@each_level
@pytest.mark.parametrize("scaled", [False, True])
def test_mean_variance_and_covariances_of_the_multipliers(how, level, scaled):
    """Scaled: mean 1, E[ρ / (1 - ρ)], uncorrelated. Unscaled: units that share a ρ have covariance Var ρ = p² / 12."""
    keep = 1 - P if level == "fixed" else 1 - P / 2
    d = drawn(how, level, scaled) - (1 if scaled else keep)
    noise = P / (1 - P) if level == "fixed" else over_levels(lambda rho: rho / (1 - rho), P)
    within, between = ((not scaled) * P**2 / 12 * (level in shared) for shared in (("sample", "batch"), ("batch",)))
    rows, square = d.sum(2), d.square().sum(2)
    pairs = (rows.square() - square).mean(1) / (N * (N - 1))
    samples = (rows.sum(1).square() - rows.square().sum(1)) / (B * (B - 1) * N**2)
    truths = 0, noise if scaled else keep * (1 - keep), within, between
    for found, truth in zip((d.mean((1, 2)), square.mean(1) / N, pairs, samples), truths, strict=True):
        assert abs(found.mean() - truth) < 4.5 * found.std() / K**0.5 + 1e-12
        assert not 0 < truth < 15 * found.std() / K**0.5


@each_draw
@each_level
def test_who_shares_a_level_and_how_many_are_dropped(how, level):
    """1 / (1 - ρ) of every unit kept shows its ρ: p, or uniform for each sample, batch, unit. Chi-square of Fig. 1."""
    assert set(drawn(how, level, False).unique().tolist()) == {0.0, 1.0}
    m = drawn(how, level, True)
    groups = m.reshape({"fixed": (1, -1), "sample": (-1, N), "batch": (K, B * N), "unit": (-1, 1)}[level])
    groups = groups[(groups > 0).any(1)]
    top, n = groups.amax(1), groups.shape[1]
    assert ((groups == 0) | ((groups - top[:, None]).abs() < 1e-12)).all()
    if level == "fixed":
        close(top, torch.tensor([1 / (1 - P)]).double())
    else:  # ρ of a group of n with a unit kept has a density of 1 - ρ^n
        assert len(top.unique()) > 0.999 * len(top)
        mass = np.polynomial.Polynomial([1, *[0] * (n - 1), -1]).integ()
        assert stats.kstest(1 - 1 / top.numpy(), lambda rho: mass(rho) / mass(P)).pvalue > 1e-5
    counts = np.bincount((m[:, : 1 if level == "batch" else B] == 0).sum(-1).flatten(), minlength=N + 1)
    expected = law(N, P / 2 if level == "unit" else P, level in ("sample", "batch")) * counts.sum()
    common = expected > 5
    assert ((counts - expected) ** 2 / expected)[common].sum() < stats.chi2.isf(1e-5, common.sum())


@each_level
def test_feature_maps_and_generators(level):
    """A ρ for each map or pixel would be another scheme; a draw beside the generator would move the training's."""
    state, g, options = torch.get_rng_state(), torch.Generator(), {"dtype": torch.float64}
    one, same, other = (multipliers((5, 3, 6, 6), 0.5, level, generator=g.manual_seed(s), **options) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other) and torch.equal(torch.get_rng_state(), state)
    assert one.shape == (5, 3, 6, 6) and one.dtype == torch.float64
    levels = [set(image[image > 0].tolist()) for image in one]
    assert all((len(values) > 1) == (level == "unit") for values in levels)
    assert len(set.union(*levels)) == {"fixed": 1, "sample": 5, "batch": 1, "unit": (one > 0).sum()}[level]


@each_level
def test_dropout_in_evaluation_and_at_another_level(level):
    """With "test" the mean of M, 1 - p or 1 - p/2, falls to evaluation; with "training" nothing; p can be changed."""
    x = inputs(40, 7).requires_grad_()
    for scale, factor in (("training", lambda p: 1), ("test", lambda p: 1 - p if level == "fixed" else 1 - p / 2)):
        layer = Dropout(P, level, scale).eval()
        close(layer(x), factor(P) * x)
        layer.p = 0.0
        close(layer.train()(x), x)
        layer.p = 0.1
        close(layer.eval()(x), factor(0.1) * x)
        (grad,) = torch.autograd.grad((out := layer.train()(x)).sum(), x)  # the multiplier
        close(out, x * grad)
        assert 1 <= grad.max() <= (1 / 0.9 + 1e-9 if scale == "training" else 1)


@each_level
def test_fit_many_draws_as_fit_does_and_for_each_network_apart(level):
    """With one seed each network ends where `fit` takes it; with seeds of their own equal networks part by noise."""
    x, y = inputs(12, 4).float(), torch.arange(12) % 2
    options = {"epochs": 3, "batch_size": 12, "lr": 0.05, "progress": False}
    torch.manual_seed(0)
    together, (alone, _), apart, silent = ([mlp(4, 2, (8,)) for _ in range(2)] for _ in range(4))
    for net in (*together, alone, *apart, *silent):
        net.load_state_dict(together[0].state_dict())
        inject(net, Dropout(0.0 if net in silent else 0.5, level))
    fit_many(together, x, y, seeds=7, **options)
    fit(alone, x, y, seed=7, **options)
    close(together[1](x), alone(x), 1e-4)
    fit_many(apart, x, y, seeds=[7, 8], **options)
    fit_many(silent, x, y, seeds=[7, 8], **options)
    close(silent[0](x), silent[1](x), 1e-4)
    assert (apart[0](x) - apart[1](x)).abs().max() > 1e-2


@pytest.mark.parametrize("p", [1.0, -0.1, 1.5, math.nan])
@pytest.mark.parametrize("call", [method.check_level, Dropout, functools.partial(multipliers, (2, 3))])
def test_an_impossible_level_is_named(call, p):
    with pytest.raises(ValueError, match=str(p)):
        call(p, "sample")
    with pytest.raises(ValueError, match="layer"):
        call(0.5, "layer")
    for level, random in itertools.product((p, 0.0), (False, True)):
        with pytest.raises(ValueError, match=str(level)):
            method.dropped(5, level, random)


@pytest.mark.parametrize("p", [1.0, -0.1, math.nan])
def test_a_level_changed_to_an_impossible_one_is_named_too(p):
    """`p` may be changed at any time: else a schedule that overshoots trains without noise, and nobody is told."""
    layer = Dropout(0.5).train()
    layer.p = p
    with pytest.raises(ValueError, match=str(p)):
        layer(torch.ones(2, 3))


# --- networks by hand
def network(*sizes, seed=0):
    """An `mlp` in float64 of inputs and hidden widths."""
    torch.manual_seed(seed)
    return mlp(sizes[0], 2, sizes[1:]).double()


def forward(net, x, masks):
    """Eq. (6) from the weights; eq. (7) with ones for masks."""
    out = []
    for k, mask in enumerate(masks, 1):
        linear = net.get_submodule(f"linear{k}")
        out.append(mask * torch.relu((out[-1] if out else x.flatten(1)) @ linear.weight.T + linear.bias))
    return out


def residuals(net, x, wanted, rates=RATES, mean_over="units", batch=1):
    """[B, Σ d_i], whose squares sum to Σ_i rate_i E_i of every image."""
    size = {"sum": lambda t: 1, "units": lambda t: t.shape[1], "batch": lambda t: t.shape[1] * batch}[mean_over]
    parts = zip(rates, forward(net, x, [1.0] * len(wanted)), wanted, strict=True)
    return torch.cat([(f - t) * (rate / size(t)) ** 0.5 for rate, f, t in parts if t is not None], 1)


def objective(*arguments):
    return residuals(*arguments).square().sum(1)


def drop(net, x, seed=0):
    """f̃^(i)(x) of masks that are drawn once."""
    g = torch.Generator().manual_seed(seed)
    masks = [multipliers(f.shape, 0.5, scaled=False, dtype=x.dtype, generator=g) for f in activations(net, x)]
    return [f.detach() for f in activations(net, x, masks)]


def parts(wanted):
    """For the whole network, and for each layer alone."""
    return [wanted] + [[t if k == i else None for k, t in enumerate(wanted)] for i in range(len(wanted))]


def of_image(wanted, i):
    return [None if t is None else t[i : i + 1] for t in wanted]


def test_masks_act_through_the_layers():
    """Eq. (6): the second layer sees the first one's mask, by hand and for one unit switched off."""
    net, x = network(4, 6, 5), inputs(3, 4)
    clean = activations(net, x)
    off = [torch.ones_like(clean[0]), torch.ones_like(clean[1])]
    off[0][0, clean[0][0].argmax()] = 0
    for masks in ([1 + inputs(3, 6, seed=1), 1 + inputs(3, 5, seed=2)], off):
        for found, truth in zip(activations(net, x, masks), forward(net, x, masks), strict=True):
            close(found, truth)
    changed = (activations(net, x, off)[1] - clean[1]).abs().amax(1)
    assert changed[0] > 1e-3 and (changed[1:] < 1e-12).all()
    close(clean[1], forward(net, x, [1.0, 1.0])[1])


@pytest.mark.parametrize("call", [activations, back_project, solve])
def test_what_does_not_fit_the_layers_is_refused(call):
    """Zipped to the shorter of two lists, a layer would silently go without its noise."""
    net, x = network(4, 6, 5), inputs(3, 4)
    with pytest.raises(ValueError):
        call(net, x, [torch.ones(3, 6).double()])
    with pytest.raises(ValueError, match="images"):
        back_project(net, x, drop(net, x), mean_over="images")


# --- back-projection and the solver
def descend(net, x, wanted, steps, rates, mean_over, batch):
    """Eqs. (5) and (8): of the sum over images each image's own gradient."""
    for _ in range(steps):
        x = x.detach().requires_grad_()
        x = x - torch.autograd.grad(objective(net, x, wanted, rates, mean_over, batch).sum(), x)[0]
    return x.detach()


@pytest.mark.parametrize("mean_over, rates", [("batch", (60.0, 9.0)), ("units", (1.5, 0.3)), ("sum", (0.2, 0.04))])
def test_each_step_is_the_gradient_of_each_image_apart(mean_over, rates):
    """The three readings of the squared error, with a batch of 50 that has nothing to do with the 4 images."""
    net, x = network(5, 7, 6), inputs(4, 5)
    for wanted, steps in itertools.product(parts(drop(net, x)), (1, 6)):
        found = back_project(net, x, wanted, steps=steps, rates=rates, mean_over=mean_over, batch=50)
        close(found, descend(net, x, wanted, steps, rates, mean_over, 50))
        assert (found - x).abs().max() > 1e-3
        image = x.reshape(4, 1, 5, 1)  # and the paper's setting is the default
        close(back_project(net, image, wanted), descend(net, x, wanted, 20, RATES, "batch", 100).view_as(image))
        close(solve(net, image, wanted), solve(net, x, wanted, steps=5, rates=RATES).view_as(image), 1e-7)


@each_finder
def test_an_image_does_not_depend_on_the_others(find):
    """A mean over the images given, or one step length for all, would tie them together; one at rest stays there."""
    net, x = network(5, 9, 8), inputs(6, 5)
    wanted = drop(net, x)
    for t, clean in zip(wanted, activations(net, x), strict=True):
        t[0] = clean[0]
    for part in parts(wanted):
        together = find(net, x, part)
        close(together[0], x[0], 1e-9)
        for i in range(1, 6):
            close(together[i : i + 1], find(net, x[i : i + 1], of_image(part, i)), 1e-7)
            assert (together[i] - x[i]).abs().max() > 1e-3


@each_finder
@pytest.mark.parametrize("training", [False, True])
def test_finding_x_star_leaves_no_trace(find, training):
    """All stays as it was; the network's own noise is off; and no graph leads from x* back through the search."""
    net, x = network(5, 9, 8), inputs(6, 5)
    wanted, kept = drop(net, x), x.clone()
    truth, logits, clean = find(net, x, wanted), net(x), [f.detach() for f in activations(net, x)]
    inject(net, Dropout(0.5)), inject(net, Dropout(0.5), ["data"])
    net.train(training)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    found = find(net, x, wanted)
    close(found, truth, 1e-9)
    with torch.no_grad():
        close(find(net, x, wanted), truth, 1e-9)
    assert all(torch.equal(f, t) for f, t in zip(activations(net, x), clean, strict=True))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, kept) and not x.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(module.training == training for module in net.modules())
    assert torch.allclose(net(x), logits) != training
    assert not found.requires_grad


@pytest.mark.parametrize("seed", range(3))
def test_solve_reaches_the_least_squares_minimum(seed):
    """All units active: scipy's least squares in float64 knows the minimum, of one layer, the other, and both."""
    net, x, rates = network(5, 12, 9, seed=seed), inputs(3, 5, seed=seed), (30.0, 70.0)
    net.linear1.bias.data += 3
    net.linear2.bias.data += 3
    masks = [1 + 0.02 * inputs(3, n, seed=seed + n) for n in (12, 9)]
    for wanted, i in itertools.product(parts([f.detach() for f in activations(net, x, masks)]), range(3)):
        own = of_image(wanted, i)
        error = lambda z, own=own: residuals(net, torch.tensor(z)[None], own, rates)[0].detach().numpy()  # noqa: E731
        best = optimize.least_squares(error, x[i].numpy(), xtol=1e-13, ftol=1e-13, gtol=1e-13)
        found = solve(net, x[i : i + 1], own, steps=50, rates=rates).detach()[0]
        assert np.square(error(found.numpy())).sum() == pytest.approx(2 * best.cost, rel=1e-6) and best.cost > 1e-6
        close(found, torch.tensor(best.x), 1e-4)


@pytest.mark.parametrize("name", ["trained", "random"])
def test_five_steps_do_as_well_as_twenty_of_descent_and_none_makes_an_image_worse(name):
    """For each layer and both; a step that overshoots where units switch is quartered, or not taken."""
    net, x = network(10, 60, 40), inputs(40, 10)
    if name == "trained":
        data, net = load_data("digits"), mlp(64, 10, (100, 80))
        fit(net, data.x_train, data.y_train, epochs=4, batch_size=64, progress=False)
        net, x = net.double(), data.x_test[:40].double()
    for wanted in parts(drop(net, x)):
        values = [objective(net, solve(net, x, wanted, steps=s), wanted).detach() for s in (0, 1, 2, 3, 5, 20)]
        for worse, better in itertools.pairwise(values):
            assert (better <= worse * (1 + 1e-9)).all()
        slow = objective(net, back_project(net, x, wanted), wanted).mean()
        assert values[4].mean() <= 1.001 * slow and values[4].mean() < 0.9 * values[0].mean()


# --- existence
def layer(units, d, seed, kept):
    """W, b, x of Gaussians, and t: the first `kept` of the active units are kept, at least one is dropped."""
    for s in itertools.count(1000 * seed):
        weight, bias, x = inputs(units, d, seed=s), 0.3 * inputs(units, seed=s + 500), inputs(1, d, seed=s + 700)
        t = torch.relu(x @ weight.T + bias)
        active = torch.nonzero(t[0]).flatten()
        if len(active) > kept:
            t[0, active[kept:]] = 0
            return weight, bias, x, t


def constraints(weight, bias, t):
    """Eq. (4) of one image [N], as `linprog` calls its parts."""
    w, b, t = weight.numpy(), bias.numpy(), t.numpy()
    on = t > 0
    return {"A_ub": w[~on], "b_ub": -b[~on], "A_eq": w[on], "b_eq": (t - b)[on]}


def feasible(weight, bias, t, goal=None, box=1e4):
    """A point that gives t exactly, or None, by a linear program of our own."""
    goal = [0] * weight.shape[1] if goal is None else goal
    found = optimize.linprog(goal, **constraints(weight, bias, t), bounds=(-box, box))
    assert found.status in (0, 2)
    return torch.tensor(found.x) if found.status == 0 else None


def projection(weight, bias, t, x):
    """The feasible point that is nearest to x, by Lawson and Hanson's least distance programming (from `nnls`)."""
    c = constraints(weight, bias, t)
    rows = np.vstack([-c["A_ub"], c["A_eq"], -c["A_eq"]])
    right = np.concatenate([-c["b_ub"], c["b_eq"], -c["b_eq"]]) - rows @ x.numpy()
    goal = np.eye(len(x) + 1)[-1]
    r = np.vstack([rows.T, right]) @ optimize.nnls(np.vstack([rows.T, right]), goal)[0] - goal
    return x - torch.tensor(r[:-1] / r[-1])


def test_nearest_is_the_projection_and_the_verdict_that_of_a_linear_program():
    """linprog says whether an x* exists, `nnls` which one is nearest, and no vertex, near or far, beats the bound."""
    seen, rng = [], np.random.default_rng(0)
    for (n, d, k), seed in itertools.product(((8, 5, 2), (12, 8, 3), (9, 4, 1), (6, 6, 0), (40, 20, 8)), range(5)):
        weight, bias, x, t = layer(n, d, seed, k)
        star, worst, bound = nearest(weight, bias, x, t)
        h = x @ weight.T + bias
        close(existence.violations(weight, bias, x, t), torch.where(t > 0, h - t, h.clamp(min=0)))
        assert worst.item() == pytest.approx(existence.violations(weight, bias, star, t).abs().max().item(), abs=1e-12)
        seen.append(feasible(weight, bias, t[0]) is not None)
        assert decide(x, t, worst, bound) == ["exists" if seen[-1] else "none"]
        if seen[-1]:
            truth = projection(weight, bias, t[0], x[0])
            assert existence.violations(weight, bias, truth[None], t).abs().max() < 1e-8 and worst < 1e-5
            close(star[0], truth, 1e-4)
            assert bound.item() == pytest.approx((truth - x[0]).norm().item(), rel=1e-4) and bound > 1e-2
            points = [feasible(weight, bias, t[0], rng.normal(size=d), box) for box in (4, 1e3)]
            for decades in ([-2], [-2, -6], range(-2, -11, -2)):
                bound = nearest(weight, bias, x, t, decades)[2].item()
                assert all(bound <= (p - x[0]).norm().item() + 1e-6 for p in (truth, *points) if p is not None)
    assert 5 <= sum(seen) <= 20


def test_nearest_where_the_geometry_is_known():
    """Corners and faces of the negative orthant, a line and a half-plane; images apart; float64, whatever comes in."""
    x = torch.tensor([[3.0, 4.0], [3.0, 4.0], [-3.0, 4.0], [-3.0, -1.0]])
    wanted = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    star, worst, bound = nearest(torch.eye(2), torch.zeros(2), x, wanted)
    close(star, torch.tensor([[3.0, 0], [0, 0], [-3, 0], [-3, -1]]).double(), 1e-6)
    close(bound, torch.tensor([4.0, 5, 4, 0]).double(), 1e-6)
    assert star.dtype == bound.dtype == torch.float64 and worst.max() < 1e-6
    rows, bias = torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.tensor([0.5, 0.0])  # x1 + x2 = 3 and x1 <= 0
    star, _, bound = nearest(rows, bias, torch.tensor([[1.0, 2.0]]), torch.tensor([[3.5, 0.0]]))
    close(star, torch.tensor([[0.0, 3.0]]).double(), 1e-6)
    assert bound.item() == pytest.approx(2**0.5, rel=1e-6)
    weight, bias, x, t = layer(
        20, 3, 0, 4
    )  # the kept units span the input: x alone will do, and only if none is dropped
    star, worst, bound = nearest(weight, bias, x, full := torch.relu(x @ weight.T + bias))
    close(star, x, 1e-9)
    assert worst < 1e-9 and bound < 1e-6 and decide(x, full, worst, bound) == ["exists"]
    bounds = [nearest(weight, bias, x, t, range(-2, last, -2))[2].item() for last in (-3, -7, -11)]
    assert [b / a for a, b in itertools.pairwise(bounds)] == pytest.approx([100, 100], rel=0.1)  # 1 / √ε


def test_newton_ends_soon_where_x_is_all_but_exact():
    """Nothing dropped, as is common at a small ρ, up to rounding: no more work than an ordinary image asks for."""
    weight, bias, x, t = layer(20, 10, 0, 5)
    profiles = cProfile.Profile(), cProfile.Profile()
    for profile, wanted in zip(profiles, (t, torch.relu(x @ weight.T + bias) * (1 + 2**-50)), strict=True):
        profile.runcall(nearest, weight, bias, x, wanted)
    ordinary, exact = (sum(entry.callcount for entry in profile.getstats()) for profile in profiles)
    assert exact < 20 * ordinary


def test_decide_weighs_violations_by_what_is_wanted_and_distances_by_x():
    """Both have a floor of 1; a proof needs the bound, and a point the violation: neither is not a verdict."""
    x, wanted = (torch.tensor([[a, b]] * 4 + [[a / 100, b / 100]] * 4) for a, b in ((3.0, 4.0), (50.0, 0.0)))
    worst = torch.tensor([4e-5, 6e-5, 6e-5, 1.0, 9e-7, 2e-6, 2e-6, 1.0])
    bound = torch.tensor([1.0, 499.0, 501.0, 1e9, 1.0, 99.0, 101.0, 1e9])
    assert decide(x, wanted, worst, bound) == ["exists", "undecided", "none", "none"] * 2
    assert decide(x, wanted, worst, bound, tolerance=1e-5, far=1e3)[:3] == ["exists"] * 3
    assert decide(x, wanted, worst, bound, tolerance=1e-9, far=10) == ["undecided", "none", "none", "none"] * 2


def least(weight, bias, t):
    """The smallest possible largest violation, by a linear program of our own in x and s."""
    c = constraints(weight, bias, t)
    rows = [np.hstack([a, -np.ones((len(a), 1))]) for a in (c["A_ub"], c["A_eq"], -c["A_eq"])]
    right, bounds = np.concatenate([c["b_ub"], c["b_eq"], -c["b_eq"]]), [(None, None)] * weight.shape[1] + [(0, None)]
    return optimize.linprog(np.eye(weight.shape[1] + 1)[-1], np.vstack(rows), right, bounds=bounds).fun


@pytest.mark.parametrize("n, d, k", [(8, 5, 2), (6, 6, 0), (20, 3, 4), (30, 4, 0)])
def test_smallest_violation_brackets_a_linear_program(n, d, k):
    """lower <= the truth <= upper, and close; in a small ball, where yᵀW is not quite 0, of points tried by hand."""
    for seed in range(4):
        weight, bias, _, t = layer(n, d, seed, k)
        (lower, upper), truth = smallest_violation(weight, bias, t[0]), least(weight, bias, t[0])
        assert lower - 1e-9 <= truth <= upper + 1e-9 and upper - lower < 1e-6
        assert (feasible(weight, bias, t[0]) is None) == (lower > 1e-7) == (truth > 1e-7)
        ball = 2 * torch.nn.functional.normalize(inputs(3000, d, seed=seed)) * inputs(3000, 1).sigmoid()
        reached = existence.violations(weight, bias, ball, t.expand(3000, -1)).abs().amax(1).min().item()
        assert smallest_violation(weight, bias, t[0], radius=2.0)[0] <= reached + 1e-9
    tiny = torch.tensor([[1e-9]]).double()  # flat for the solver, but 1 is missed by less and less as |x| grows
    assert all(smallest_violation(tiny, tiny[0] * 0, tiny[0] * 1e9, r)[0] <= 1 - 1e-9 * r + 1e-12 for r in (1e4, 1e7))


# --- how likely x* is
def test_cover_is_the_closed_sum():
    """At most n - 1 heads in m - 1 tosses: 2^-(m - 1) Σ_k<n C(m - 1, k); all of no half-spaces meet."""
    for m, n in itertools.product(range(1, 30), range(12)):
        assert cover(m, n) == pytest.approx(sum(math.comb(m - 1, k) for k in range(n)) / 2 ** (m - 1))
    assert chance(12, 8, 2) == cover(10, 5) and chance(10, 8, 3) == cover(7, 4)
    assert chance(40, 20, 19) == chance(40, 20, 20) == chance(40, 20, 30) == 0 < chance(40, 20, 18)
    assert cover(0, 3) == 1 and cover(4000, 2000) == pytest.approx(0.5)


@pytest.mark.parametrize("n, d, k", [(12, 8, 2), (10, 8, 3), (20, 12, 1)])
def test_chance_is_below_how_often_x_star_exists(n, d, k):
    """The theorem's directions, half-spaces through 0 that meet, are as frequent as Cover says, and x* no rarer."""
    directions, exists, tries, bound = 0, 0, 200, chance(n, d, k)
    for seed in range(tries):
        weight, bias, x, t = layer(n, d, seed, k)
        on = t[0] > 0
        free = np.linalg.svd(torch.cat([x, weight[on]]).numpy())[2][k + 1 :].T  # orthogonal to x and to kept units
        beyond = weight[~on] @ torch.tensor(free)
        directions += feasible(beyond, torch.ones(len(beyond)), torch.zeros(len(beyond)), box=1e6) is not None
        exists += feasible(weight, bias, t[0], box=1e6) is not None
    assert 0.1 < bound < 0.95 and exists >= directions
    assert stats.binomtest(directions, tries, bound).pvalue > 1e-4
    assert stats.binomtest(exists, tries, bound, "less").pvalue > 1e-4


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_bound_of_nearest_holds_before_it_has_converged(steps, monkeypatch):
    """The proof that no x* is near may not rest on Newton's method having ended: half ε times its square lies below the
    minimum that a general minimiser finds, and, this near to it, above nothing."""
    g = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(12, 6, generator=g).double(), 0.3 * torch.randn(12, generator=g).double()
    x = torch.rand(20, 6, generator=g).double()
    a = (x @ weight.T + bias).clamp_min(0)
    wanted = a * (torch.rand(a.shape, generator=g) < 0.5)
    epsilon = (weight.square().sum() / 6).item()  # of the decade 0
    lowest = []
    for image, t in zip(x.numpy(), wanted.numpy(), strict=True):

        def value(z, image=image, t=t):
            h = weight.numpy() @ z + bias.numpy()
            v = np.where(t > 0, h - t, h.clip(0))
            return (v @ v + epsilon * (z - image) @ (z - image)) / 2

        lowest.append(optimize.minimize(value, image, tol=1e-12).fun)
    monkeypatch.setattr(existence, "range", lambda most: range(steps if most == 200 else most), raising=False)
    z, _, bound = nearest(weight, bias, x, wanted, decades=(0,))
    reached, lowest = epsilon * bound.square() / 2, torch.tensor(lowest)
    assert (reached <= lowest + 1e-7).all() and (reached[lowest > 1e-3] > 0).double().mean() > 0.5
    v = existence.violations(weight, bias, z, wanted)
    value = (v.square().sum(1) + epsilon * (z - x).square().sum(1)) / 2
    slope = (v @ weight + epsilon * (z - x)).square().sum(1)
    if steps == 1:
        assert (slope > 1e-6).any()  # there is something that has not converged
    assert torch.allclose(reached, (value - slope / (2 * epsilon)).clamp_min(0), rtol=1e-9, atol=1e-12)
