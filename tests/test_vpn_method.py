"""The generator, both algorithms, the bound and the curvature against loops, closed forms, quadrature and autograd."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import nn

from tutorial_lib import fit
from tutorial_lib._torchvision import torchvision
from tutorial_lib.papers.vpn import bound, method
from tutorial_lib.papers.vpn.method import Generator, hessian_diagonal, predict, scores, train_with_noise, vpn_loss

each_reading = pytest.mark.parametrize("reading", method.READINGS)
each_positive = pytest.mark.parametrize("positive", method.POSITIVE)
C, SHAPE = 4, (2, 3, 3)  # classes, and an image
double = functools.partial(torch.tensor, dtype=torch.float64)


def close(found, truth, tolerance=1e-10):
    found, truth = (torch.as_tensor(a, dtype=torch.float64) for a in (found, truth))
    torch.testing.assert_close(found, truth, rtol=tolerance, atol=tolerance)


def data(count=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(count, *SHAPE, generator=g, dtype=torch.float64)
    return x, torch.randint(C, (count,), generator=g)


def network(outputs, seed=0, activation=nn.Tanh, scale=1.0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(18, 8), activation(), nn.Linear(8, outputs)).double()
    for parameter in net.parameters():
        parameter.data *= scale
    return net


def generator(gamma=0.5, **options):
    return Generator(network(18, seed=1, scale=3.0), gamma, **options)


def batch_normed(outputs=C):
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, outputs)
    ).double()


def waves(x, y, m=1):
    """Noise that is no draw, and tells the image, the label and the number of the draw."""
    j = torch.arange(m, dtype=x.dtype).view(-1, *[1] * x.ndim)
    return torch.sin(50 * x * (1 + y.view(-1, *[1] * (x.ndim - 1))) + j)


# --- networks
def test_the_shallow_networks_have_the_papers_sizes():
    """d-1024-1024-|Y|, d-1024-1024-d, and for SR nothing but a linear map of the flattened image."""
    for outputs in (10, 18):
        layers = [layer for layer in method.dnn3(18, outputs).modules() if isinstance(layer, nn.Linear)]
        assert [(n.in_features, n.out_features) for n in layers] == [(18, 1024), (1024, 1024), (1024, outputs)]
    assert sum(isinstance(layer, nn.ReLU) for layer in method.dnn3(18, 18).modules()) == 2
    x, net = torch.randn(5, *SHAPE), method.softmax_regression(18, C)
    weight, bias = net.parameters()
    close(net(x), x.flatten(1) @ weight.T + bias, 1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_resnets_of_torchvision_by_name(name):
    """Another block or number of blocks, or a stem that is not torchvision's, and the weights would not fit."""
    ours = method.resnet(name, 3, 7, "7x7")
    theirs = getattr(torchvision.models, name)(num_classes=7)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 32, 32)
    close(ours.eval()(x), theirs.eval()(x), 1e-5)


@pytest.mark.parametrize("stem, kernel, smaller", [("3x3", 3, 1), ("7x7", 7, 4)])
def test_the_stem_says_at_what_size_the_stages_work(stem, kernel, smaller):
    """A pooling that stays with 3x3, or a stride: the first stage would see a smaller image."""
    seen, net = [], method.resnet("resnet10", 1, 5, stem)
    net.layer1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    assert net(torch.zeros(2, 1, 16, 16)).shape == (2, 5)
    assert seen[0] == (2, 64, 16 // smaller, 16 // smaller) and net.conv1.weight.shape == (64, 1, kernel, kernel)
    assert net.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * kernel**2)), rel=0.15)  # He, fan out
    assert [len(stage) for stage in (net.layer1, net.layer2, net.layer3, net.layer4)] == [1, 1, 1, 1]
    for wrong in (("resnet9", stem), ("resnet10", "5x5")):
        with pytest.raises(ValueError, match=r"choose from resnet10|expected one of 3x3, 7x7"):
            method.resnet(wrong[0], 1, 5, wrong[1])


def test_the_codes_start_is_near_zero():
    """Weights of N(0, 0.002²), no biases, and an output near 0; convolutions are not touched."""
    conv = nn.Conv2d(1, 1, 3)
    before, net = conv.weight.clone(), method.start_near_zero(nn.Sequential(method.dnn3(50, 50), conv))
    weights = torch.cat([w.flatten() for w in net[0].parameters() if w.ndim == 2])
    assert stats.kstest(weights[::7].detach(), stats.norm(0, 0.002).cdf).pvalue > 1e-4
    assert all((w == 0).all() for w in net[0].parameters() if w.ndim == 1) and torch.equal(conv.weight, before)
    assert net[0](torch.rand(3, 50)).abs().max() < 1e-3


# --- the generator
@each_positive
@pytest.mark.parametrize("limit", [None, 0.3])
def test_sigma_is_read_off_the_network_at_x_plus_gamma_y(positive, limit):
    """One image and one pixel at a time, in numpy: a label added twice, or to another image, or a bound that clips."""
    x, y = data()
    made = generator(positive=positive, bound=limit)
    found = made.sigma(x, y)
    (w1, b1, w2, b2) = (p.detach().numpy() for p in made.network.parameters())
    for i in range(len(x)):
        out = w2 @ np.tanh(w1 @ (x[i].numpy().ravel() + 0.5 * int(y[i])) + b1) + b2
        for j in range(18):
            s = (abs(out[j]) if positive == "abs" else math.log1p(math.exp(out[j]))) + 1e-6
            assert found[i].flatten()[j].item() == pytest.approx(s if limit is None else 1 / (1 / s + 1 / limit))


@each_positive
def test_the_two_readings_are_a_root_apart(positive):
    """σ² = Σ or σ = Σ, of the same network, and the reading may change after training."""
    x, y = data()
    made = generator(positive=positive, reading="deviation")
    sigma, plain = made.sigma(x, y), made.deviation(x, y)
    made.reading = "variance"
    close(plain, sigma)
    close(made.deviation(x, y) ** 2, sigma)
    assert ((plain - made.deviation(x, y)).abs() > 1e-3).any()


@each_reading
def test_noise_is_gaussian_with_that_deviation(reading):
    """Standardised by σ every draw is N(0, 1), and pixels, images and draws are independent of each other."""
    x, y = data(3)
    made = generator(reading=reading)
    assert made(x, y).shape == (1, *x.shape) == method.reparameterise(x).shape
    torch.manual_seed(2)
    z = (made(x, y, m=3000) / made.deviation(x, y)).detach().reshape(3000, -1).numpy()
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    assert min(stats.kstest(column, "norm").pvalue for column in z.T) > 1e-5
    between = np.corrcoef(np.hstack([z[:-1], z[1:]]).T)
    assert np.abs(between - np.eye(len(between))).max() < 5 / math.sqrt(3000)


def test_the_bound_holds_and_no_gradient_dies_at_it():
    """||Σ|| is its largest entry; far over the bound a clamp would hold Σ where it is for ever."""
    x, y = data()
    for scale in (1e-3, 1.0, 100.0, 1e6):
        made = Generator(network(18, scale=scale), 0.1, bound=0.2)
        sigma = made.sigma(x, y)
        assert max(torch.linalg.matrix_norm(torch.diag(s), 2).item() for s in sigma.flatten(1)) <= 0.2
        (grad,) = torch.autograd.grad(sigma.sum(), [made.network[-1].bias])
        assert (grad > 0).any()
    free, bounded = (Generator(method.start_near_zero(network(18)), 0.1, "variance", "abs", b) for b in (None, 10.0))
    bounded.network = free.network
    close(bounded.sigma(x, y), free.sigma(x, y), 1e-4)  # far under the bound it does nothing


@each_reading
def test_the_label_blind_generator_ignores_the_label(reading):
    """γ = 0 leaves no way for y into Σ; γ > 0 is one, or Algorithm 2 would compare equal noises."""
    x, y = data()
    blind, seeing = generator(0.0, reading=reading), generator(1e-3, reading=reading)
    assert torch.equal(blind.sigma(x, y), blind.sigma(x, (y + 1) % C))
    assert (seeing.sigma(x, y) != seeing.sigma(x, (y + 1) % C)).flatten(1).any(1).all()
    torch.manual_seed(0)
    one = blind(x, y, 3)
    torch.manual_seed(0)
    assert torch.equal(one, blind(x, y * 0, 3))


@each_reading
@each_positive
@pytest.mark.parametrize("limit", [None, 0.3])
def test_reparameterised_gradients_are_those_of_the_loss(reading, positive, limit):
    """Finite differences of eq. (17) with the same draws, in weights of both networks: a σ detached, or a lost γ y."""
    x, y = data(5)
    base, made = network(C, 3), generator(reading=reading, positive=positive, bound=limit)

    def loss():
        torch.manual_seed(4)
        return vpn_loss(base, x, y, made(x, y, 3))

    weights = [*base.parameters(), *made.parameters()]
    for weight, gradient in zip(weights, torch.autograd.grad(loss(), weights), strict=True):
        for k in (0, weight.numel() // 2, weight.numel() - 1):
            flat, values = weight.data.view(-1), []
            for step in (1e-6, -2e-6):
                flat[k] += step
                values.append(loss().item())
            flat[k] += 1e-6
            assert gradient.flatten()[k].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


@each_positive
def test_gradients_stay_finite_where_the_output_is_nought(positive):
    """√Σ at Σ = 0 has none, and 0 · ∞ would put NaN into every weight."""
    x, y = data()
    made = Generator(network(18, scale=0.0), 0.1, positive=positive)
    vpn_loss(network(C), x, y, made(x, y)).backward()
    assert all(w.grad.isfinite().all() for w in made.parameters())


def test_a_generator_refuses_what_does_not_fit():
    """Each setting out of range is named; labels that would broadcast over pixels, and outputs of other sizes, too."""
    x, y = data()
    for wrong, message in (
        ({"reading": "std"}, "expected one of variance, deviation"), ({"positive": "relu"}, "expected one of abs"),
        ({"bound": 0.0}, "bound = 0.0: expected a positive"), ({"bound": math.nan}, "bound = nan"),
        ({"gamma": math.inf}, "gamma = inf: expected a finite"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Generator(network(18), **{"gamma": 0.1, **wrong})
    with pytest.raises(ValueError, match=r"labels of shape \(6,\) for images of shape \(7, 2, 3, 3\)"):
        generator()(x, y[:6])
    with pytest.raises(ValueError, match=r"output has shape \(7, 9\).*\[7, 18\]"):
        Generator(network(9), 0.1)(x, y)
    with pytest.raises(ValueError, match=r"output has shape \(1, 9\).*\[1, 18\]"):
        Generator(network(9), 0.1)(x[:1], y[:1])
    with pytest.raises(ValueError, match="m = 0 draws"):
        generator()(x, y, 0)
    assert "gamma=0.5, Σ is the variance, positive=abs, bound=2" in repr(generator(positive="abs", bound=2.0))


# --- what it is compared with
@pytest.mark.parametrize("choose", ["count", "each"])
def test_random_pixels_are_ten_percent_of_the_places_in_all_channels(choose):
    """Exactly so many of each image, or a binomial number; standard normal; each place alike; anew for each draw."""
    torch.manual_seed(0)
    noise = method.random_pixels(torch.zeros(40, 3, 10, 7), None, m=60, choose=choose)
    places = noise != 0
    assert (places == places[:, :, :1]).all() and noise.shape == (60, 40, 3, 10, 7)
    places = places[:, :, 0]
    counts = places.sum((2, 3)).flatten().numpy()
    if choose == "count":
        assert set(counts) == {7}
    else:
        observed = np.bincount(counts, minlength=71)
        expected = stats.binom(70, 0.1).pmf(np.arange(71)) * len(counts)
        often = expected > 5
        assert stats.chi2(often.sum()).sf(((observed - expected) ** 2 / expected)[often].sum()) > 1e-4
    by_place = places.sum((0, 1)).flatten().numpy()
    assert stats.chi2(70).sf(((by_place - 240) ** 2 / (240 * 0.9)).sum()) > 1e-4
    assert stats.kstest(noise[noise != 0].numpy(), "norm").pvalue > 1e-4
    assert abs(np.corrcoef(*noise[:, :, :2].movedim(2, 0)[:, places].numpy())[0, 1]) < 5 / math.sqrt(places.sum())
    assert len(places.flatten(2).flatten(0, 1).unique(dim=0)) > 2300  # 40 images, 60 draws: no two alike, but by chance
    for wrong in ({"share": 1.2}, {"choose": "some"}):
        with pytest.raises(ValueError, match="expected 0 to 1, and 'count' or 'each'"):
            method.random_pixels(torch.zeros(1, 1, 2, 2), None, **wrong)
    with pytest.raises(ValueError, match="expected \\[B, C, H, W\\]"):
        method.random_pixels(torch.zeros(1, 4), None)


@each_reading
def test_the_controls_keep_the_strength_and_forget_the_place(reading, monkeypatch):
    """Evenly spread: each image's mean variance, once for all pixels. Shuffled: the same maps, on other images."""
    x, y = data()
    made = generator(reading=reading).train()
    truth = made.deviation(x, y).detach()
    monkeypatch.setattr(method, "reparameterise", lambda deviation, m: deviation.expand(m, *deviation.shape))
    spread = method.even(made)(x, y, 2)
    assert spread.shape == (2, *x.shape) and not spread.requires_grad and made.training
    close(spread[0].square().flatten(1).mean(1), truth.square().flatten(1).mean(1))
    assert (spread[1].flatten(1).std(1) < 1e-12).all()
    torch.manual_seed(0)
    moved = method.shuffled(made)(x, y, 1)[0]
    order = [next(j for j in range(len(x)) if torch.allclose(truth[j], row)) for row in moved]
    assert sorted(order) == list(range(len(x))) and order != sorted(order) and not moved.requires_grad


# --- eq. (17)
def test_the_loss_is_the_double_sum_of_eq_17():
    """A loop over images and draws: labels in the order of draws and not of images, or a sum that is no mean."""
    x, y = data()
    base, noise = network(C), waves(x, y, 5)
    total = 0.0
    for i in range(7):
        for j in range(5):
            logits = base((x[i] + noise[j, i])[None])[0].detach().numpy()
            total -= logits[y[i]] - special.logsumexp(logits)
    close(vpn_loss(base, x, y, noise).item(), total / 35)
    singles = [vpn_loss(base, x, y, noise[j : j + 1]) for j in range(5)]
    close(vpn_loss(base, x, y, noise), torch.stack(singles).mean())  # m draws: the mean of m losses
    for wrong in (noise[0], noise[:0], noise[..., :1], noise[:, :1]):  # each would broadcast, or is empty
        with pytest.raises(ValueError, match="noise of shape"):
            vpn_loss(base, x, y, wrong)


def test_by_jensen_no_noise_helps_softmax_regression():
    """Cross-entropy is convex in the input of a linear model: a pair ±ε never has less loss than the image itself."""
    x, y = data(50)
    torch.manual_seed(0)
    base, made = method.softmax_regression(18, C).double(), generator(2.0)
    base[1].weight.data *= 20
    noise = made(x, y, 20)
    clean = nn.functional.cross_entropy(base(x), y)
    for one in noise:
        assert vpn_loss(base, x, y, torch.stack([one, -one])) > clean
    each = [vpn_loss(base, x[i : i + 1], y[i : i + 1], s * noise[:1, i : i + 1]) for i in range(50) for s in (1, -1)]
    alone = nn.functional.cross_entropy(base(x), y, reduction="none")
    assert (torch.stack(each).view(50, 2).mean(1) >= alone - 1e-12).all()


# --- Algorithm 1
class Scaled(nn.Module):
    """Noise of one number, s · waves, whose gradients have closed forms; keeps what it is asked."""

    def __init__(self, base=None):
        super().__init__()
        self.s, self.asked, self.base = nn.Parameter(torch.tensor(0.3, dtype=torch.float64)), [], [base]

    def forward(self, x, y, m=1):
        base = self.base[0]
        self.asked.append((x, y, m, self.training, base is not None and any(n.training for n in base.modules())))
        return self.s * waves(x, y, m)


sgd = functools.partial(torch.optim.SGD, momentum=0.9)


def no_noise(x, y, m):
    return torch.zeros(m, *x.shape, dtype=x.dtype)


@pytest.mark.parametrize("make", [network, batch_normed])
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, sgd])
def test_without_noise_it_is_plain_training(make, optimizer):
    """Batches, their order, the optimiser, the mean loss and training mode are those of `fit`, weight for weight."""
    x, y = data(23)
    ours, theirs = make(C), make(C)
    how = {"epochs": 3, "batch_size": 5, "lr": 0.01, "seed": 8, "optimizer": optimizer, "progress": False}
    seen = []
    found = train_with_noise(ours, no_noise, x, y, callback=lambda *a: seen.append(a), **how)
    close(found, fit(theirs, x, y, **how))
    assert seen == [(1, found[0]), (2, found[1]), (3, found[2])]
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        close(a, b)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("m", [1, 4])
def test_one_step_goes_down_the_gradient_of_both_or_of_the_generator(fixed, m):
    """φ - lr ∂L/∂φ and θ - lr ∂L/∂θ, at once; a fixed base stays to the bit, in evaluation mode, without gradients."""
    x, y = data()
    base, noise = network(C), Scaled()
    noise.base = [base]
    loss = vpn_loss(base, x, y, noise(x, y, m))
    weights = [noise.s, *base.parameters()]
    before, slopes = [w.detach().clone() for w in weights], torch.autograd.grad(loss, weights)
    noise.asked.clear()
    history = train_with_noise(
        base, noise, x, y, m=m, fixed=fixed, epochs=1, lr=0.1, optimizer=torch.optim.SGD, progress=False
    )
    close(history[0], loss.item(), 1e-6)  # added up in float32, as `fit` does
    for k, (w, old, slope) in enumerate(zip(weights, before, slopes, strict=True)):
        if fixed and k:
            assert torch.equal(w, old) and w.grad is None and w.requires_grad
        else:
            close(w.detach(), old - 0.1 * slope)
    ((xb, yb, asked, training, base_training),) = noise.asked
    order = [(x == image).flatten(1).all(1).nonzero().item() for image in xb]
    assert sorted(order) == list(range(7)) and torch.equal(y[order], yb)
    assert asked == m and training and base_training == (not fixed)
    assert not noise.training and not base.training


def test_a_fixed_base_model_keeps_its_batch_statistics():
    """In training mode the running means would follow the noisy images, and a batch would be normalised by itself."""
    x, y = data(20)
    base, made = batch_normed().train(), generator()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    start = made.sigma(x, y).detach()
    train_with_noise(base, made, x, y, fixed=True, epochs=2, batch_size=6, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    assert not torch.allclose(made.sigma(x, y), start)
    train_with_noise(base, made, x, y, epochs=1, batch_size=6, progress=False)
    assert not torch.equal(base[1].running_mean, before["1.running_mean"])


def test_the_history_weighs_batches_by_their_size():
    """Of 7 images in batches of 3, 3 and 1, the last is not a third of the mean."""
    x, y = data()
    base, noise = network(C), Scaled()
    found = train_with_noise(base, noise, x, y, fixed=True, epochs=2, batch_size=3, lr=0.0, progress=False)
    close(found, [vpn_loss(base, x, y, noise(x, y)).item()] * 2, 1e-6)
    assert [len(asked[0]) for asked in noise.asked[:6]] == [3, 3, 1] * 2
    noise.asked.clear()
    train_with_noise(base, noise, *data(300), epochs=1, progress=False)
    assert [len(asked[0]) for asked in noise.asked] == [256, 44]  # the paper's batches


def test_the_same_seed_is_the_same_training_and_defaults_are_the_papers():
    """Section 4.1: 40 epochs, batches of 256, m = 1, a learning rate of 0.001 (the optimiser is ours, Adam)."""
    x, y = data(20)

    def run(**how):
        base, made = network(C), generator()
        losses = train_with_noise(base, made, x, y, progress=False, **how)
        return losses, torch.cat([p.detach().flatten() for p in (*base.parameters(), *made.parameters())])

    one, same, other = run(), run(), run(seed=1)
    papers = {"epochs": 40, "batch_size": 256, "m": 1, "lr": 1e-3, "optimizer": torch.optim.Adam, "fixed": False}
    assert torch.equal(one[1], same[1]) and torch.equal(one[1], run(**papers)[1]) and not torch.equal(one[1], other[1])
    assert len(one[0]) == 40 and one[0] == same[0]


def test_training_that_cannot_be_is_refused_and_an_error_leaves_evaluation_mode():
    """A fixed base and a function as noise have no weights to train; sizes are named."""
    x, y = data()
    base = network(C)
    for wrong in ({"noise": waves, "fixed": True}, {"noise": waves, "base": nn.Flatten()}):
        with pytest.raises(ValueError, match="noise that is a function: there is nothing to train; give a Generator"):
            train_with_noise(**{"base": base, "x": x, "y": y, "progress": False, **wrong})
    with pytest.raises(ValueError, match="7 inputs and 6 targets"):
        train_with_noise(base, waves, x, y[:6], progress=False)
    with pytest.raises(ValueError, match="batch_size = 0"):
        train_with_noise(base, waves, x, y, batch_size=0, progress=False)
    noise = generator()
    with pytest.raises(ValueError, match="labels of shape"):
        train_with_noise(base, noise, x, y[:, None], progress=False)
    assert not base.training and not noise.training


@each_reading
def test_on_a_fixed_softmax_regression_the_noise_shrinks(reading):
    """Jensen, through the whole of Algorithm 1: the loss falls towards the clean one, never below, and Σ towards 0."""
    x, y = data(60)
    torch.manual_seed(0)
    base, made = method.softmax_regression(18, C).double(), generator(0.01, reading=reading)
    base[1].weight.data *= 5
    clean = nn.functional.cross_entropy(base(x), y).item()
    start = made.deviation(x, y).square().mean().item()
    losses = train_with_noise(base, made, x, y, m=8, fixed=True, epochs=60, batch_size=60, lr=0.02, progress=False)
    end = made.deviation(x, y).square().mean().item()
    assert end < 0.02 * start
    assert losses[0] > clean + 0.1 and losses[-1] < clean + 0.05 * (losses[0] - clean)


# --- Algorithm 2
@pytest.mark.parametrize("batch_size", [1, 9, 1024])
@pytest.mark.parametrize("make", [network, batch_normed])
def test_algorithm_2_as_one_batch_is_the_plain_loop(batch_size, make):
    """Label by label, image by image: noise of one label read at another, or images in the order of another batch."""
    x, _ = data(11)
    base = make(C).train()
    asked, sizes = set(), []

    def noise(images, labels, m):
        asked.add(m)
        sizes.append(len(images))
        return waves(images, labels, m)

    found = scores(base, x, noise, batch_size)
    assert asked == {1} and max(sizes) <= max(C, batch_size) and sum(sizes) == 11 * C
    assert base.training and not found.requires_grad
    base.eval()
    truth = torch.empty(11, C, dtype=torch.float64)
    for i in range(11):
        for label in range(C):
            epsilon = waves(x[i : i + 1], torch.tensor([label]))[0]
            truth[i, label] = base(x[i : i + 1] + epsilon).softmax(1)[0, label].log()
    close(found, truth.detach())
    assert torch.equal(predict(base, x, waves, batch_size), truth.argmax(1))
    assert not torch.equal(truth.argmax(1), base(x).argmax(1))  # else this would not tell the two predictions apart


@pytest.mark.parametrize("batch_size", [2, 1024])
def test_prediction_without_noise_is_the_base_models(batch_size):
    """The paper's "No Noise": softmax and argmax of the base model in evaluation mode."""
    x, _ = data(11)
    base = batch_normed().train()
    found, predicted = scores(base, x, batch_size=batch_size), predict(base, x, batch_size=batch_size)
    base.eval()
    close(found, base(x).softmax(1).log().detach())
    assert torch.equal(predicted, base(x).argmax(1)) and found.exp().sum(1).allclose(torch.ones(11).double())


def test_algorithm_2_draws_for_each_label_and_reads_the_generator_as_in_evaluation():
    """One ε for all labels would make a row a distribution; batch statistics would mix the labels' copies."""
    x, _ = data(40)
    base = network(C)
    made = Generator(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(18)).double(), 0.1, "deviation").train()
    before = made.network[1].running_mean.clone()
    torch.manual_seed(0)
    rows = scores(base, x, made).exp().sum(1)
    assert ((rows - 1).abs() > 1e-3).sum() > 35
    assert torch.equal(made.network[1].running_mean, before) and made.training
    still = Generator(network(18, scale=0.0), 0.1, "deviation", "abs")  # σ = 1e-6: no noise
    close(scores(base, x, still), scores(base, x), 1e-4)


def test_algorithm_2_gives_a_label_the_noise_that_the_generator_makes_for_it():
    """A generator that blurs images of label 0 alone: only that label's score is moved."""
    x, _ = data(30)

    class OnlyZero(nn.Module):
        def forward(self, seen):  # γ = 1 and pixels within [0, 1]: the mean pixel tells the label
            return torch.where(seen.flatten(1).mean(1, keepdim=True) < 1, 3.0, 0.0).expand(-1, 18).double()

    base = network(C, scale=3.0)
    made = Generator(OnlyZero(), 1.0, "deviation", "abs")
    moved = (scores(base, x, made) - scores(base, x)).abs()
    assert moved[:, 1:].max() < 1e-4 < 1e-2 < moved[:, 0].mean()


# --- where may noise help?
def kinked(slope):
    """Two logits, (0, slope · relu(x_1) + x_2): the loss of label 1 has a kink at x_1 = 0, concave if slope > 0."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    for parameter in net.parameters():
        parameter.data.zero_()
    net[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
    net[2].weight.data[1] = torch.tensor([slope, 1.0, -1.0])
    return net


@pytest.mark.parametrize("slope", [2.0, -2.0])
@pytest.mark.parametrize("place", [0.0, 0.05])
def test_stein_sees_a_kink_that_the_hessian_does_not(slope, place):
    """E[loss] by quadrature, differentiated in the variance of x_1: noise helps at a concave kink alone."""
    sigma, x, y = 0.1, torch.tensor([[place, 0.4]]).double(), torch.tensor([1])

    def expected(variance):  # the noise in x_2 has σ² as well: Gauss and Hermite
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)

        def mean(e):
            logits = slope * max(0.0, place + e) + 0.4 + sigma * nodes
            return (weights / weights.sum() * np.logaddexp(0, -logits)).sum()

        s = math.sqrt(variance)
        f = lambda e: mean(e) * math.exp(-((e / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))  # noqa: E731
        return sum(integrate.quad(f, *part, epsabs=1e-13)[0] for part in ((-12 * s, -place), (-place, 12 * s)))

    truth = (expected(sigma**2 + 1e-4) - expected(sigma**2 - 1e-4)) / 2e-4
    found, error = method.variance_derivative(kinked(slope), x, y, sigma, pairs=20_000)
    assert abs(found[0, 0].item() - truth) < 5 * error[0, 0].item() < 0.1 * abs(truth)
    assert (truth < 0) == (slope > 0)
    exact = hessian_diagonal(kinked(slope), x, y)
    assert (exact >= 0).all() and exact[0, 0].item() <= slope**2 / 4
    if slope > 0:
        assert found[0, 0] < -1 and exact[0, 0] >= 0  # autograd says: noise does not help


def test_stein_is_half_the_hessian_on_a_smooth_network():
    """As σ falls; ∂/∂Σ and not ∂/∂σ, of each pixel and image, so no factor of 2 or σ; a tenth of σ changes nothing."""
    x, y = data(3)
    base = network(C, scale=2.0)
    exact = hessian_diagonal(base, x, y) / 2
    for sigma in (1e-2, 1e-3):
        found, error = method.variance_derivative(base, x, y, sigma, pairs=3000)
        assert found.shape == x.shape and ((found - exact).abs() < 5 * error + 1e-3).all()
        assert exact.abs().max() > 20 * error.mean() and (exact < 0).any() and (exact > 0).any()
    finer = [method.variance_derivative(base, x, y, 1e-3, pairs=n)[1].mean() for n in (300, 30)]
    assert finer[1] / finer[0] == pytest.approx(math.sqrt(10), rel=0.2)


@pytest.mark.parametrize("batch_size", [1, 7, 1024])
def test_of_one_number_a_pair_gives_half_the_second_derivative_times_chi_square(batch_size):
    """ℓ'' z² / 2, of mean ℓ'' / 2 and variance ℓ''² / 2, whether a pair passes at a time or all of them."""
    base = nn.Linear(1, 2).double()
    x, y = double([[0.3], [-2.0]]), torch.tensor([1, 0])
    p = base(x).softmax(1)[:, 1:].detach()
    second = p * (1 - p) * (base.weight[1] - base.weight[0]).detach() ** 2
    found, error = method.variance_derivative(base, x, y, 1e-4, pairs=2000, batch_size=batch_size)
    close(found / second, torch.full((2, 1), 0.5), 5 * math.sqrt(0.5 / 2000))
    close(error / second, torch.full((2, 1), math.sqrt(0.5 / 2000)), 0.15 * math.sqrt(0.5 / 2000))
    few = [method.variance_derivative(base, x, y, 1e-4, 2, seed, batch_size)[1] / second for seed in range(300)]
    assert 0.6 < torch.stack(few).square().mean() / (0.5 / 2) < 1.5  # unbiased from two pairs on


def test_the_standard_error_is_that_of_the_estimates():
    """Over many seeds the estimates spread as the error says, around the mean; the same seed repeats itself."""
    x, y = data(1)
    base, state = network(C, scale=2.0), torch.get_rng_state()
    runs = [method.variance_derivative(base, x, y, 0.1, pairs=40, seed=s) for s in range(150)]
    values, errors = (torch.stack(part) for part in zip(*runs, strict=True))
    z = (values - values.mean(0)) / errors
    assert 0.9 < z.std().item() < 1.15
    assert torch.equal(values[3], method.variance_derivative(base, x, y, 0.1, pairs=40, seed=3)[0])
    default, same = (method.variance_derivative(base, x, y, 0.1, **h) for h in ({}, {"pairs": 1000, "seed": 0}))
    assert torch.equal(default[0], same[0])
    assert torch.equal(torch.get_rng_state(), state)
    for wrong in ({"deviation": 0.0}, {"deviation": math.inf}, {"deviation": 0.1, "pairs": 1}):
        with pytest.raises(ValueError, match=r"expected a positive number|expected at least 2"):
            method.variance_derivative(base, x, y, **wrong)


@pytest.mark.parametrize("make", [network, batch_normed])
def test_the_hessians_diagonal_is_autograds(make):
    """One image and its whole Hessian at a time; batch normalisation as in evaluation, and the mode given back."""
    x, y = data(4)
    base = make(C).train()
    found = hessian_diagonal(base, x, y)
    assert base.training and found.shape == x.shape and not found.requires_grad
    base.eval()
    for i in range(4):
        f = lambda z, i=i: nn.functional.cross_entropy(base(z[None]), y[i : i + 1])  # noqa: E731
        whole = torch.autograd.functional.hessian(f, x[i]).reshape(18, 18)
        close(found[i].flatten(), whole.diagonal())


def test_the_hessian_of_a_relu_network_is_positive_semidefinite():
    """Jᵀ (diag p - p pᵀ) J, whatever the label: the second derivative can only say that noise hurts."""
    x, y = data(6)
    base = network(C, activation=nn.ReLU, scale=2.0)
    found = hessian_diagonal(base, x, y)
    for i in range(6):
        j = torch.autograd.functional.jacobian(lambda z: base(z[None])[0], x[i]).reshape(C, 18)
        p = base(x[i : i + 1])[0].softmax(0)
        close(found[i].flatten(), (j.T @ (torch.diag(p) - p[:, None] * p) @ j).diagonal().detach())
    assert (found >= -1e-15).all()


# --- the bound
P_X = double([0.5, 0.3, 0.2])
P_Y = double([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9], [0.4, 0.6, 0.0]])
WIDTHS = double([[0.3, 1.0, 0.1], [2.0, 0.02, 0.5], [0.2, 0.6, 1.0]])
POINTS = double([-1.0, 0.3, 0.8])
TASK = P_X, P_Y, WIDTHS


def classifier(seed=0, scale=2.0):
    torch.manual_seed(seed)
    base = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    for parameter in base.parameters():
        parameter.data *= scale
    return base, bound.base_model(base, POINTS)


def integral(integrand, widths):
    """∫ over ε by scipy, in pieces that every width finds its own in."""
    ends = sorted({0.0} | {k * s for s in widths.tolist() for k in (-12, -5, -2, -0.5, 0.5, 2, 5, 12)})
    return sum(integrate.quad(integrand, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(ends))


def densities(k):
    return lambda e: np.array([stats.norm.pdf(e, 0, s) for s in WIDTHS[k].tolist()])


def test_the_information_is_eq_5_and_the_entropies_eqs_4_and_9():
    """Eq. (5) as it stands, p(y, ε|x) log p(y, ε|x) / p(y|x) p(ε|x), by scipy: no use of H(T) or of Bayes' rule."""
    mutual = conditional = 0.0
    for k in range(3):
        p, law = P_Y[k].numpy(), densities(k)

        def eq_5(e, p=p, law=law):
            joint = p * law(e)
            return special.rel_entr(joint, p * joint.sum()).sum()

        def eq_9(e, p=p, law=law):
            joint = p * law(e)
            return -special.xlogy(joint, joint / max(joint.sum(), 1e-300)).sum()

        mutual += P_X[k].item() * integral(eq_5, WIDTHS[k])
        conditional += P_X[k].item() * integral(eq_9, WIDTHS[k])
    entropy = sum(p * stats.entropy(row) for p, row in zip(P_X.tolist(), P_Y.numpy(), strict=True))
    assert bound.task_entropy(P_X, P_Y) == pytest.approx(entropy, rel=1e-12)
    assert bound.conditional_entropy(*TASK) == pytest.approx(conditional, rel=1e-8)
    assert bound.information(*TASK) == pytest.approx(mutual, rel=1e-8)
    assert bound.information(*TASK) == pytest.approx(entropy - conditional, rel=1e-8)


def test_the_bound_and_its_gap_by_scipy():
    """L draws ε for the label it looks up; the gap is a mean of KL divergences over ε from the mixture p(ε|x)."""
    base, log_q = classifier()
    lower = distance = 0.0
    for k in range(3):
        p, law = P_Y[k].numpy(), densities(k)

        def q(e, k=k):
            with torch.no_grad():
                return base(torch.tensor([[POINTS[k].item() + e]]).double()).softmax(1)[0].numpy()

        def eq_13(e, p=p, law=law, q=q):
            return (p * law(e) * np.log(q(e))).sum()

        def kl(e, p=p, law=law, q=q):
            joint = p * law(e)
            return joint.sum() * special.rel_entr(joint / max(joint.sum(), 1e-300), q(e)).sum()

        lower += P_X[k].item() * integral(eq_13, WIDTHS[k])
        distance += P_X[k].item() * integral(kl, WIDTHS[k])
    assert bound.lower_bound(*TASK, log_q) == pytest.approx(lower + bound.task_entropy(P_X, P_Y), rel=1e-8)
    assert bound.gap(*TASK, log_q) == pytest.approx(distance, rel=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_the_inequality_and_the_gap(seed):
    """I >= L + H(T) for any q, and the difference is the mean KL divergence; the posterior closes it."""
    _, log_q = classifier(seed, scale=1.0 + seed)
    information, lower = bound.information(*TASK), bound.lower_bound(*TASK, log_q)
    assert information > lower + 1e-3
    assert information - lower == pytest.approx(bound.gap(*TASK, log_q), rel=1e-9)
    best = bound.posterior(P_Y, WIDTHS)
    assert bound.lower_bound(*TASK, best) == pytest.approx(information, rel=1e-12)
    assert abs(bound.gap(*TASK, best)) < 1e-14


def test_noise_that_does_not_depend_on_the_label_tells_nothing():
    """I = 0 for any p(y|x) and widths of x alone (y -> x -> ε is a chain): the best q is then p(y|x) itself."""
    blind = WIDTHS[:, :1].expand(3, 3)
    assert abs(bound.information(P_X, P_Y, blind)) < 1e-12
    close(bound.posterior(P_Y, blind)(torch.arange(3), torch.randn(3, 5).double()).exp(), P_Y[:, None].expand(3, 5, 3))
    assert bound.lower_bound(P_X, P_Y, blind, classifier()[1]) < 0


def test_widths_that_tell_the_label_attain_the_entropy_of_the_task():
    """Leaking the label whole: I rises to H(T) as the widths part, and never above."""
    p_y = double([[0.3, 0.7], [0.5, 0.5]])
    entropy, found = bound.task_entropy(P_X[:2] / 0.8, p_y), []
    for apart in (1.0, 10.0, 1e3, 1e6, 1e9):
        found.append(bound.information(P_X[:2] / 0.8, p_y, torch.tensor([[1.0, apart], [apart, 1.0]]).double()))
    assert abs(found[0]) < 1e-12 and found == sorted(found) and found[-1] <= entropy + 1e-12
    assert found[-1] == pytest.approx(entropy, rel=1e-6) and found[1] < 0.9 * entropy


def test_one_label_read_as_all_of_p_leaves_nothing_to_gain():
    """H(T) = I = 0, and the bound is the log-likelihood of noisy inputs, by Gauss and Hermite."""
    sure = nn.functional.one_hot(torch.tensor([0, 2, 1])).double()
    base, log_q = classifier()
    assert bound.task_entropy(P_X, sure) == 0 and abs(bound.information(P_X, sure, WIDTHS)) < 1e-12
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    total = 0.0
    for k, label in enumerate((0, 2, 1)):
        noisy = POINTS[k] + WIDTHS[k, label] * torch.tensor(nodes)
        log_likelihood = base(noisy[:, None]).log_softmax(1)[:, label].detach().numpy()
        total += P_X[k].item() * (weights @ log_likelihood) / weights.sum()
    found = bound.lower_bound(P_X, sure, WIDTHS, log_q)
    assert found == pytest.approx(total, rel=1e-6) and found == pytest.approx(-bound.gap(P_X, sure, WIDTHS, log_q))


@pytest.mark.parametrize("m", [1, 5])
def test_the_estimate_is_unbiased_and_its_error_is_right(m):
    """Over seeds around the exact bound, as eqs. (15) and (17) promise; most probable labels are another task."""
    _, log_q = classifier()
    exact = bound.lower_bound(*TASK, log_q)
    runs = np.array([bound.estimate(*TASK, log_q, n=200, m=m, seed=s) for s in range(300)])
    z = (runs[:, 0] - exact) / runs[:, 1]
    assert abs(z.mean()) < 4.5 / math.sqrt(300) + 0.05 and 0.85 < z.std() < 1.15
    assert bound.estimate(*TASK, log_q, n=50) == bound.estimate(*TASK, log_q, n=50, m=1, seed=0)
    argmax = nn.functional.one_hot(P_Y.argmax(1)).double()
    value, error = bound.estimate(P_X, argmax, WIDTHS, log_q, n=20_000, m=m)
    assert abs(value - bound.lower_bound(P_X, argmax, WIDTHS, log_q)) < 4.5 * error < abs(value - exact)


def test_the_bound_is_the_entropy_less_the_training_loss():
    """The link to `vpn_loss`: a generator that knows the widths, on samples of the task, is a draw of L + H(T)."""
    base, log_q = classifier()
    torch.manual_seed(0)
    i = torch.multinomial(P_X, 40_000, replacement=True)
    y = torch.multinomial(P_Y[i], 1)[:, 0]
    noise = method.reparameterise(WIDTHS[i, y][:, None], 2)
    found = bound.task_entropy(P_X, P_Y) - vpn_loss(base, POINTS[i][:, None], y, noise).item()
    _, error = bound.estimate(*TASK, log_q, n=40_000, m=2)
    assert abs(found - bound.lower_bound(*TASK, log_q)) < 4.5 * error < 0.05


@pytest.mark.parametrize("ratio", [1.0, 30.0, 1e6])
def test_the_quadrature_knows_every_width(ratio):
    """Mass, variance and kurtosis of the narrow and the wide Gaussian, to nearly all digits."""
    widths = torch.tensor([[0.2, 0.2 * ratio], [0.2 * ratio, 0.2]])
    epsilon, weights = bound.quadrature(widths)
    assert epsilon.shape == weights.shape == (2, 4001) and epsilon.dtype == torch.float64
    for s in widths[0].double().tolist():
        p = torch.tensor(stats.norm.pdf(epsilon.numpy(), 0, s))
        for power, moment in ((0, 1), (2, s**2), (4, 3 * s**4)):
            close((weights * p * epsilon**power).sum(1) / moment, torch.ones(2).double(), 1e-11)


def test_a_task_that_is_none_is_refused():
    """Probabilities that do not add up, widths that are no widths, shapes: named, with what is expected."""
    log_q = classifier()[1]
    for p_x, p_y in ((P_X * 2, P_Y), (P_X, P_Y * 0.5), (-P_X, P_Y), (P_X, torch.cat([P_Y[:, :1] + 1, -P_Y[:, :1]], 1))):
        with pytest.raises(ValueError, match="expected probabilities that add up to 1"):
            bound.task_entropy(p_x, p_y)
    with pytest.raises(ValueError, match=r"expected \[X\] and \[X, K\]"):
        bound.gap(P_X[:2], P_Y, WIDTHS, log_q)
    for widths in (WIDTHS * 0, -WIDTHS, WIDTHS[:, :2], WIDTHS / 0):
        for call in (bound.conditional_entropy, bound.information):
            with pytest.raises(ValueError, match="expected a positive number for each x and y"):
                call(P_X, P_Y, widths)
        for call in (bound.lower_bound, bound.gap, functools.partial(bound.estimate, n=10)):
            with pytest.raises(ValueError, match="expected a positive number for each x and y"):
                call(P_X, P_Y, widths, log_q)
    for n, m in ((1, 1), (5, 0)):
        with pytest.raises(ValueError, match=f"n = {n} samples, m = {m} draws"):
            bound.estimate(*TASK, log_q, n, m)
