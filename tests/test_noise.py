"""The seven distributions against scipy, and the layer against equation (1)."""

import copy
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from tutorial_lib import autoencoder, convnet, fit, fit_many, inject
from tutorial_lib.noise import DISTRIBUTIONS, ActivationNoise, check_alpha, check_parameters, density, sample

TRUTH = [  # distribution, parameters, what scipy says it is
    ("gaussian", {}, stats.norm(0, 1)),
    ("gaussian", {"mu": -1, "sigma": 2}, stats.norm(-1, 2)),
    ("cauchy", {}, stats.cauchy(0, 1)),
    ("cauchy", {"z0": 2, "gamma": 0.5}, stats.cauchy(2, 0.5)),
    ("uniform", {}, stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    ("uniform", {"omega": 0.5}, stats.uniform(-0.25, 0.5)),
    ("chi", {}, stats.chi(1)),
    ("chi", {"k": 2.5}, stats.chi(2.5)),
    ("lognormal", {}, stats.lognorm(s=1)),
    ("lognormal", {"mu": 0.5, "sigma": 0.4}, stats.lognorm(s=0.4, scale=math.exp(0.5))),
    ("t", {}, stats.t(1)),
    ("t", {"nu": 4}, stats.t(4)),
    ("exponential", {}, stats.expon(0, 1)),
    ("exponential", {"rate": 3}, stats.expon(0, 1 / 3)),
]
each_case = pytest.mark.parametrize(("name", "parameters", "truth"), TRUTH)
each_name = pytest.mark.parametrize("name", DISTRIBUTIONS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def p_value(z, truth):
    return stats.kstest(z.double().numpy(), truth.cdf).pvalue


def test_every_distribution_is_covered_with_two_settings():
    """A distribution added without a row in TRUTH would go unchecked."""
    assert [name for name, _, _ in TRUTH] == [name for name in DISTRIBUTIONS for _ in range(2)]


@each_case
def test_draws_follow_scipys_distribution(name, parameters, truth):
    """A wrong sampler, scale, location or default fails; so does a scale wrong by 20%, or the test has no power."""
    z = sample(name, (20_000,), generator=generator(), **parameters)
    assert z.dtype == torch.float32
    assert p_value(z, truth) > 1e-3
    assert p_value(1.2 * z, truth) < 1e-3


@each_case
def test_density_is_that_of_the_draws(name, parameters, truth):
    """The curve drawn over the noise must belong to it: between deciles of the draws lies a tenth of its area."""
    z = sample(name, (200_000,), generator=generator(4), **parameters).double()
    for a, b in itertools.pairwise(z.quantile(torch.linspace(0.1, 0.9, 9).double()).tolist()):
        area, _ = integrate.quad(lambda v: density(name, v, **parameters), a, b)
        assert area == pytest.approx(0.1, abs=0.005)  # five standard errors are 0.0034


@each_name
def test_the_generator_alone_decides_the_draw(name):
    """Draws that ignore the generator could not be reproduced."""
    first = sample(name, (4, 5), generator=generator(1))
    torch.manual_seed(7)
    assert first.shape == (4, 5)
    assert torch.equal(first, sample(name, (4, 5), generator=generator(1)))
    assert not torch.equal(first, sample(name, (4, 5), generator=generator(2)))


@each_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_honoured_and_keeps_the_distribution(name, parameters, truth, dtype):
    """Noise of another type than the activation would promote it, or have no kernel (autocast works in bfloat16).

    200 draws: few enough for bfloat16's rounding to 8 bits to stay below the test's resolution.
    """
    z = sample(name, (200,), dtype=dtype, generator=generator(3), **parameters)
    assert z.dtype == dtype
    assert p_value(z, truth) > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("name", "parameters", "truth"),
    [*TRUTH[::2], ("chi", {"k": 50_001}, stats.chi(50_001)), ("t", {"nu": 1000.7}, stats.t(1000.7))],
)
def test_half_precision_is_the_exact_law_rounded_once(name, parameters, truth, dtype):
    """A rounded parameter or a quotient of rounded numbers makes some values too frequent and others too rare."""
    values = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).double()
    values = values[values.isfinite()].unique().numpy()  # every number of this type
    edges = (values[1:] + values[:-1]) / 2
    expected = 500_000 * np.diff(truth.cdf(edges), prepend=0, append=1)
    z = sample(name, (500_000,), dtype=dtype, generator=generator(5), **parameters).double().numpy()
    found = np.bincount(np.searchsorted(edges, z), minlength=len(values))
    often = expected >= 5
    found, expected = (np.append(v[often], v[~often].sum()) for v in (found, expected))
    assert stats.chisquare(found, expected, sum_check=False).pvalue > 1e-4


def test_tails_hold_to_one_in_a_hundred_thousand():
    """A tangent or logarithm of float32's coarse uniform numbers cuts the tails: rare noise is what breaks a training.

    By hand, once, over 10⁸ draws down to one in 10⁷: no count was further from its binomial law than chance explains.
    """
    for name, parameters, truth in TRUTH:
        z = sample(name, (4_000_000,), generator=generator(6), **parameters).double()
        assert z.isfinite().all()
        for share in (1e-3, 1e-4, 1e-5):
            for count in ((z > truth.isf(share)).sum(), (z < truth.ppf(share)).sum()):
                assert stats.binomtest(count.item(), len(z), share).pvalue > 1e-5


@pytest.mark.parametrize(
    ("name", "parameters", "farthest"),
    [
        ("cauchy", {"z0": 0, "gamma": 2}, 2 * 2**48 / math.pi),
        ("t", {}, 2**48 / math.pi),
        ("exponential", {"rate": 2}, 48 * math.log(2) / 2),
    ],
)
def test_the_least_uniform_number_gives_the_farthest_draw_and_no_infinite_one(monkeypatch, name, parameters, farthest):
    """The logarithm of 0 and 1/0 are infinite; a single uniform number would end the tails at 2²⁴/π and 24 ln 2."""

    def draws(whole, fraction):
        def randint(low, high, shape, generator, **how):
            return torch.full(shape, low if whole is None else whole, **how)

        monkeypatch.setattr(torch, "randint", randint)
        monkeypatch.setattr(torch, "rand", lambda shape, generator, **how: torch.full(shape, fraction, **how))
        return sample(name, 3, **parameters).tolist()

    assert draws(0.0, 0.0) == pytest.approx([farthest] * 3)
    if name != "exponential":  # the other tail, as far
        assert draws(-1.0, 1 - 2**-24) == pytest.approx([-farthest] * 3)
        assert draws(None, 0.5) == pytest.approx([0.0] * 3, abs=1e-6)  # the middle lies where the numbers are coarse


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_noise_needs_a_floating_point_type(dtype):
    """Rounded to whole numbers, most noise would be 0: the network would pass for a noisy one."""
    with pytest.raises(ValueError, match=rf"{dtype}.*torch.float32"):
        sample("gaussian", (2,), dtype=dtype)


def test_shape_may_be_one_number_and_dtype_the_default():
    """Drawn in float32 whatever the default, float64 networks would have noise of half the digits."""
    assert sample("chi", 3, k=2).shape == (3,) and sample("cauchy", torch.Size([2, 0])).shape == (2, 0)
    torch.set_default_dtype(torch.float64)
    try:
        assert all(sample(name, 2).dtype == torch.float64 for name in DISTRIBUTIONS)
    finally:
        torch.set_default_dtype(torch.float32)


@each_case
def test_device_is_honoured(name, parameters, truth):
    """Noise drawn on the CPU for an accelerator's activation would stop the forward pass."""
    assert sample(name, (2, 3), device="meta", **parameters).device.type == "meta"


def test_students_t_with_one_degree_of_freedom_is_never_infinite():
    """As a quotient of two normals it divides by 0 once in ten million draws: one such draw ends a training."""
    assert all(sample("t", (2_000_000,), generator=generator(seed)).isfinite().all() for seed in range(10))


@each_case
def test_layer_adds_alpha_times_the_noise(name, parameters, truth):
    """Eq. (1), t = s + α z̄: the residual (t - s)/α follows z̄, and depends on neither s nor α."""
    layer = ActivationNoise(name, alpha=0.3, **parameters)
    s = torch.randn(20_000, generator=generator(), dtype=torch.float64)
    torch.manual_seed(0)
    residual = (layer(s) - s) / 0.3
    assert p_value(residual, truth) > 1e-3
    torch.manual_seed(0)
    layer.alpha = 2.0
    torch.testing.assert_close(layer(torch.zeros_like(s)) / 2, residual, rtol=1e-9, atol=1e-12)


def test_every_element_and_every_call_gets_its_own_draw():
    """Noise shared between elements or calls would not average out."""
    layer, s = ActivationNoise(), torch.zeros(10, 10, dtype=torch.float64)
    assert torch.cat([layer(s), layer(s)]).unique().numel() == 200


def test_alpha_acts_in_training_and_alpha_inference_in_evaluation():
    """Swapped or shared strengths would measure another cell of the paper's Fig. 3."""
    layer, s = ActivationNoise(alpha=2.0, alpha_inference=0.5), torch.zeros(20_000)
    for mode, alpha in ((True, 2.0), (False, 0.5)):
        assert p_value(layer.train(mode)(s), stats.norm(0, alpha)) > 1e-3
    assert ActivationNoise(alpha=2.0).alpha_inference == 2.0
    assert ActivationNoise(alpha=2.0, alpha_inference=0).alpha_inference == 0.0


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("settings", [{"alpha": 0.0, "alpha_inference": 0.0}, {"enabled": False}])
def test_without_noise_the_input_passes_and_no_random_number_is_used(settings, mode):
    """A noiseless run must equal the plain network bit for bit, and leave the random state alone."""
    layer = ActivationNoise(alpha=1.0).train(mode)
    for key, value in settings.items():
        setattr(layer, key, value)
    s, state = torch.randn(5), torch.get_rng_state()
    assert torch.equal(layer(s), s)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_common_gives_every_image_the_same_noise(layout):
    """Common random numbers: one z per batch, of the size of one image, distributed as before."""
    s = torch.zeros(3, 5, 64, 64).to(memory_format=layout)
    z = ActivationNoise(common=True)(s)
    assert torch.equal(z[0], z[1]) and torch.equal(z[0], z[2])
    assert z[0].unique().numel() > 20_000
    assert p_value(z[0].flatten(), stats.norm) > 1e-3
    assert not torch.equal(*ActivationNoise()(s)[:2])


def test_gradient_passes_unchanged():
    """dt/ds = 1: noise that scaled or blocked the gradient would be another method."""
    s = torch.randn(3, 4, requires_grad=True)
    weight = torch.randn(3, 4)
    (ActivationNoise("cauchy", alpha=0.7)(s) * weight).sum().backward()
    assert torch.equal(s.grad, weight)


@pytest.mark.parametrize("common", [False, True])
def test_channels_last_input_keeps_its_layout(common):
    """A change of layout would slow every following convolution; a wrong one would write noise out of place."""
    s = torch.randn(2, 3, 50, 50).to(memory_format=torch.channels_last)
    t = ActivationNoise(alpha=0.5, common=common)(s)
    assert t.shape == s.shape
    assert t.is_contiguous(memory_format=torch.channels_last) and not t.is_contiguous()
    z = ((t - s) / 0.5)[: 1 if common else 2]
    assert p_value(z.flatten(), stats.norm) > 1e-3


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (1, 3, 0, 2)])
@pytest.mark.parametrize("common", [False, True])
def test_noise_is_drawn_in_the_order_of_memory(order, common):
    """In another order, the drawing or the sum would jump through memory; and a seed would mean other noise."""
    s = torch.zeros(2, 3, 4, 5).permute([order.index(i) for i in range(4)])  # s.permute(order) has no gaps
    torch.manual_seed(0)
    z = ActivationNoise("t", common=common)(s).permute(order)
    batch = order.index(0)
    torch.manual_seed(0)
    truth = sample("t", [1 if common and i == batch else n for i, n in enumerate((2, 3, 4, 5))])
    torch.testing.assert_close(z, truth.expand(2, 3, 4, 5))


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@each_case
def test_multiplicative_noise_scales_with_the_signal(name, parameters, truth, layout, common):
    """t = s + α s z̄: added unscaled, scaled by |s| or s², or laid out apart from the signal it belongs to."""
    s = torch.tensor([-3.0, 0.5, 2.0]).repeat(4000)[torch.randperm(12_000, generator=generator())].double()
    s = s.view(2, 3, 40, 50).to(memory_format=layout)
    layer = ActivationNoise(name, alpha=0.4, multiplicative=True, common=common, **parameters)
    torch.manual_seed(0)
    t = layer(s)
    assert t.shape == s.shape and t.is_contiguous(memory_format=layout)
    z = (t - s) / (0.4 * s)
    assert p_value(z[: 1 if common else 2].flatten(), truth) > 1e-3
    assert torch.allclose(z[0], z[1]) == common
    layer.multiplicative = False
    torch.manual_seed(0)
    torch.testing.assert_close((layer(s) - s) / 0.4, z)  # the same draw, added


def test_multiplicative_noise_has_the_variance_of_eq_5():
    """Variance α² s² (explicit regularisation, eq. 5) around the mean s, and none where the signal is zero."""
    s = torch.tensor([0.0, -2.0, 0.5], dtype=torch.float64)
    torch.manual_seed(0)
    t = ActivationNoise(alpha=0.3, multiplicative=True)(s.expand(40_000, 3))
    assert not t[:, 0].any()
    for i in (1, 2):
        deviation = 0.3 * abs(s[i].item())
        assert t[:, i].mean().item() == pytest.approx(s[i].item(), abs=4 * deviation / 200)
        assert t[:, i].var().item() == pytest.approx(deviation**2, rel=0.03)  # four standard errors


def test_gradient_of_multiplicative_noise_is_1_plus_the_noise():
    """dt/ds = 1 + α z̄: the draw scales what flows back as it scales what flows forth."""
    s = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    t = ActivationNoise(alpha=0.7, multiplicative=True)(s)
    t.sum().backward()
    torch.testing.assert_close(s.grad, (t / s).detach())


def test_multiplicative_noise_is_silent_where_alpha_is_zero():
    """In evaluation the explicit regulariser's networks run clean, on the same random numbers."""
    layer = ActivationNoise(alpha=1.0, alpha_inference=0.0, multiplicative=True)
    s, state = torch.randn(5), torch.get_rng_state()
    assert torch.equal(layer.eval()(s), s) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(layer.train()(s), s)
    assert not ActivationNoise().multiplicative


def test_input_of_a_view_is_left_alone():
    """A strided view (one class of [B, K, ...]) must neither be overwritten nor share noise between its elements."""
    s = torch.zeros(4, 1, 6).expand(4, 3, 6)[:, 1]
    z = ActivationNoise()(s)
    assert z.unique().numel() == 24
    assert not s.any()


# --- many networks at once


@each_case
@pytest.mark.parametrize("randomness", ["different", "same"])
@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("multiplicative", [False, True])
def test_vectorised_networks_draw_as_they_are_told(name, parameters, truth, randomness, common, multiplicative):
    """Under vmap each network's noise has its law; its draws are the others' or its own, as `randomness` says.

    Without a batching rule, torch would warn and go one network after another, or refuse.
    """
    s = torch.full((3, 2, 5, 30, 40), 0.5, dtype=torch.float64)
    layer = ActivationNoise(name, alpha=0.4, common=common, multiplicative=multiplicative, **parameters)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        z = (torch.func.vmap(layer, randomness=randomness)(s) - s) / (0.4 * s if multiplicative else 0.4)
    assert p_value(z[:1, : 1 if common else 2].flatten(), truth) > 1e-3
    assert p_value(z[: 1 if randomness == "same" else 3, :1].flatten(), truth) > 1e-3
    assert torch.allclose(z[0], z[1]) == torch.allclose(z[1], z[2]) == (randomness == "same")
    assert torch.allclose(z[:, 0], z[:, 1]) == common


@each_name
def test_convolutional_networks_with_noise_train_together_as_alone(name):
    """Their activations have gaps in memory under vmap: noise laid out by them would lie out of place, or raise."""
    x, y = torch.rand(6, 1, 16, 16, generator=generator()), torch.arange(6) % 3
    torch.manual_seed(0)
    nets = [convnet(1, 16, 3) for _ in range(2)]
    for net in nets:
        inject(net, ActivationNoise(name, alpha=0.1))
    options = {"epochs": 2, "batch_size": 4, "lr": 1e-2, "optimizer": torch.optim.SGD, "progress": False}
    alone = [fit(copy.deepcopy(net), x, y, seed=5, **options) for net in nets]
    own = fit_many(copy.deepcopy(nets), x, y, seeds=[5, 6], **options)
    assert np.isfinite(own).all() and own[0] != pytest.approx(alone[0], rel=1e-3)  # own noise
    np.testing.assert_allclose(fit_many(nets, x, y, seeds=5, **options), alone, rtol=1e-4)


@pytest.mark.parametrize("seeds", [0, [0, 1]])
def test_networks_in_channels_last_train_together(seeds):
    """Autoencoders are in that layout; under vmap it has strides of its own."""
    x = torch.rand(4, 2, 8, 8, generator=generator())
    nets = [autoencoder(2, (3, 4)) for _ in range(2)]
    for net in nets:
        inject(net, ActivationNoise("t", alpha=0.1))
    options = {"epochs": 2, "loss": torch.nn.functional.mse_loss, "progress": False}
    assert np.isfinite(fit_many(nets, x, x, seeds=seeds, **options)).all()


# --- what it says


def test_common_noise_needs_a_batch():
    """A single number has no first axis: torch would say "slice() cannot be applied to a 0-dim tensor"."""
    layer = ActivationNoise(common=True)
    with pytest.raises(ValueError, match=r"common.*\[B, \.\.\.\].*single number"):
        layer(torch.tensor(1.0))
    layer.alpha = 0.0
    assert layer(torch.tensor(1.0)) == 1
    assert ActivationNoise()(torch.tensor(1.0)).shape == ()
    torch.testing.assert_close(*ActivationNoise(common=True)(torch.zeros(2)))  # a vector is a batch of numbers
    assert ActivationNoise(common=True)(torch.zeros(0, 3)).shape == (0, 3)


def test_repr_shows_all_that_is_not_the_default():
    """A printed network must tell two kinds of noise apart."""
    assert repr(ActivationNoise(alpha=0.5)) == "ActivationNoise(gaussian, α=0.5 training, α=0.5 inference)"
    layer = ActivationNoise("chi", 1, 0, common=True, multiplicative=True, k=2.5)
    layer.enabled = False
    assert repr(layer) == (
        "ActivationNoise(chi, k=2.5, α=1.0 training, α=0.0 inference, common, multiplicative, switched off)"
    )
    assert (
        repr(ActivationNoise(mu=-1, sigma=1)) == "ActivationNoise(gaussian, mu=-1.0, α=1.0 training, α=1.0 inference)"
    )


@pytest.mark.parametrize(
    ("distribution", "parameters", "words"),
    [
        ("gauss", {}, ["'gauss'", *DISTRIBUTIONS]),
        ("gaussian", {"omega": 1}, ["gaussian", "'omega'", "mu", "sigma"]),
        ("gaussian", {"sigma": 0}, ["sigma = 0", "positive"]),
        ("uniform", {"omega": 0.0}, ["omega = 0.0", "positive"]),
        ("chi", {"k": -1}, ["k = -1", "positive"]),
        ("exponential", {"rate": math.inf}, ["rate = inf", "positive"]),
        ("cauchy", {"z0": math.nan}, ["z0 = nan", "finite"]),
    ],
)
def test_wrong_parameters_are_named_with_what_is_allowed(distribution, parameters, words):
    """Accepting them would sample something else, or nothing; both the layer and `sample` must refuse."""
    for refuse in (
        lambda: check_parameters(distribution, parameters),
        lambda: ActivationNoise(distribution, **parameters),
        lambda: sample(distribution, (1,), **parameters),
    ):
        with pytest.raises(ValueError) as caught:
            refuse()
        assert all(word in str(caught.value) for word in words)


def test_parameters_are_completed_from_the_defaults_and_may_be_negative_locations():
    """Refusing μ < 0, or changing the defaults in place, would break the following call."""
    assert check_parameters("cauchy", {"z0": -3}) == {"z0": -3.0, "gamma": 1.0}
    assert check_parameters("cauchy", {}) == {"z0": 0.0, "gamma": 1.0}


@pytest.mark.parametrize("alpha", [-0.1, math.nan, math.inf])
def test_wrong_alpha_is_named_with_what_is_allowed(alpha):
    """A negative or infinite strength is a typing mistake; NaN would turn every activation into NaN."""
    for refuse in (
        lambda: check_alpha(alpha),
        lambda: ActivationNoise(alpha=alpha),
        lambda: ActivationNoise(alpha_inference=alpha),
    ):
        with pytest.raises(ValueError, match=rf"{alpha!r}.*0 or more"):
            refuse()
