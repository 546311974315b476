"""Chapter 1's method against closed forms, numpy loops and networks run one by one."""

import copy
import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from tutorial_lib import ActivationNoise, PerClass, autoencoder, convnet, inject, injected, mlp, set_noise
from tutorial_lib.papers.activation_noise.method import (
    accuracy_over_n,
    by_class,
    energies,
    energy,
    mean_energies,
    predict,
    train_autoencoders,
)

SHAPE = (2, 2, 3)  # an image of the linear toy networks: 12 numbers


@pytest.fixture
def float64():
    """Comparisons of whole trainings need more digits than float32 has."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def linear_autoencoder(seed):
    """x -> W2 (W1 x + b1 + α z) + b2 in the shape of an image: its mean energy has a closed form."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        OrderedDict(flat=nn.Flatten(), first=nn.Linear(12, 5), second=nn.Linear(5, 12), image=nn.Unflatten(1, SHAPE))
    )
    inject(network, ActivationNoise("gaussian"), ["first"])
    return network.double()


def linear_model(classes=3, common_noise=False):
    return PerClass([linear_autoencoder(seed) for seed in range(classes)], common_noise).eval()


def images(n=4, seed=0, shape=SHAPE):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def closed_form(model, x, alpha):
    """E ||W2 (W1 x + b1 + α z) + b2 - x||² = ||clean - x||² + α² ||W2||_F², by numpy, as [N, K]."""
    flat = x.flatten(1).numpy()
    columns = []
    for network in model.networks:
        w1, b1, w2, b2 = (p.detach().numpy() for p in network.parameters())
        clean = (flat @ w1.T + b1) @ w2.T + b2
        columns.append(((clean - flat) ** 2).sum(1) + alpha**2 * (w2**2).sum())
    return np.stack(columns, 1)


def within_five_standard_errors(draws, expected):
    """The Monte Carlo mean of [n, ...] agrees with `expected`, and would not with 1.1 times it."""
    draws = draws.numpy()
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    distance = np.abs(draws.mean(0) - expected) / error
    return distance.max() < 5 and (0.1 * np.abs(expected) / error).min() > 5


# --- energies


def test_energy_is_the_summed_squared_error():
    """Eq. (5): a mean instead of a sum, or a sum over the classes or images as well."""
    torch.manual_seed(0)
    f, x = torch.randn(2, 3, 2, 4, 5), torch.rand(2, 3, 2, 4, 5)
    found = energy(f, x)
    assert found.shape == (2, 3)
    for i in range(2):
        for k in range(3):
            pairs = zip(f[i, k].flatten().tolist(), x[i, k].flatten().tolist(), strict=True)
            assert found[i, k].item() == pytest.approx(sum((a - b) ** 2 for a, b in pairs), rel=1e-5)


def test_without_noise_all_draws_are_the_energy_of_the_clean_reconstruction():
    """α = 0 must reproduce eq. (5), class by class, whatever the number of draws."""
    model, x = linear_model(), images()
    set_noise(model, alpha_inference=0.0)
    draws = energies(model, x, 3)
    assert draws.shape == (3, 4, 3)
    assert torch.equal(draws[0], draws[1]) and torch.equal(draws[0], draws[2])
    np.testing.assert_allclose(draws[0].numpy(), closed_form(model, x, 0), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 1.5])
def test_mean_energy_of_a_linear_network_is_the_closed_form(alpha):
    """Noise at the wrong place, of the wrong strength, or one draw for all n shifts the mean or freezes it."""
    model, x = linear_model(), images()
    set_noise(model, alpha_inference=alpha, alpha=99.0)
    torch.manual_seed(0)
    draws = energies(model.train(), x, 4000)  # it must switch to evaluation mode by itself
    assert within_five_standard_errors(draws, closed_form(model, x, alpha))


def test_no_draws_are_refused():
    """A mean over nothing is NaN."""
    with pytest.raises(ValueError, match=r"n = 0.*at least 1"):
        energies(linear_model(), images(), 0)


def test_mean_energies_are_the_means_of_the_first_draws():
    """Eq. (9) at every n: off by one, or an average along images instead of draws."""
    draws = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)
    found = mean_energies(torch.tensor(draws)).numpy()
    assert found.dtype == np.float64
    for n in range(1, 7):
        for i in range(3):
            for k in range(2):
                assert found[n - 1, i, k] == pytest.approx(sum(float(draws[j, i, k]) for j in range(n)) / n, rel=1e-12)


def test_mean_energies_keep_their_digits_over_many_draws():
    """A cumulative sum in float32 stops growing at 2^24: ten draws of about 10^7 more would be lost."""
    draws = torch.full((20, 1, 1), 2.0**24 + 2)
    assert torch.equal(mean_energies(draws), draws.double())


def test_prediction_is_the_class_of_least_energy():
    """Section 3.2: an argmax, or one over images, turns the classifier around."""
    assert predict(torch.tensor([[[3.0, 1, 2], [0, 5, 9]], [[9, 8, 7], [1, 0, 1]]])).tolist() == [[1, 0], [2, 1]]


# --- common random numbers


def near_copies(common_noise):
    """Two classes whose networks differ by a thousandth."""
    one = linear_autoencoder(0)
    other = copy.deepcopy(one)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.001)
    return PerClass([one, other], common_noise).eval()


def paired(common_noise, x, n=2000):
    torch.manual_seed(1)
    model = near_copies(common_noise)
    return model, energies(model, x, n)


def test_common_noise_between_classes_keeps_the_mean_and_cuts_the_variance_of_differences():
    """The point of common random numbers: classes are compared under the same draw, each still unbiased."""
    x = images()
    model, common = paired(True, x)
    _, independent = paired(False, x)
    truth = closed_form(model, x, 1.0)
    assert within_five_standard_errors(common, truth)
    assert within_five_standard_errors(independent, truth)
    variances = [(draws[..., 0] - draws[..., 1]).var(0) for draws in (common, independent)]
    assert (variances[0] < 1e-3 * variances[1]).all()
    assert (common[1:] != common[:-1]).all()  # successive draws still differ


def test_identical_classes_under_common_noise_have_identical_energies():
    """The same draw must reach every class, and classes must differ without it."""
    network = linear_autoencoder(0)
    for common_noise in (True, False):
        model = PerClass([network, copy.deepcopy(network), copy.deepcopy(network)], common_noise).eval()
        draws = energies(model, images(), 5)
        same = torch.isclose(draws, draws[..., :1], rtol=1e-12).all(0).all(0)
        assert same.tolist() == [True, common_noise, common_noise]


def test_common_noise_between_images_keeps_the_mean_and_cuts_the_variance_of_differences():
    """`common` = True: one draw for the batch; the same picture twice has one energy, its mean unchanged."""
    model = linear_model()
    x = images(2)
    x = torch.cat([x[:1], x[:1], x[:1] + 1e-3 * x[1:]])
    torch.manual_seed(2)
    independent = energies(model, x, 2000)
    set_noise(model, common=True)
    common = energies(model, x, 2000)
    assert within_five_standard_errors(common, closed_form(model, x, 1.0))
    torch.testing.assert_close(common[:, 0], common[:, 1], rtol=1e-12, atol=0)  # other rows, other kernels
    assert not torch.isclose(common[..., 0], common[..., 1], rtol=1e-6).any()
    variances = [(draws[:, 0] - draws[:, 2]).var(0) for draws in (common, independent)]
    assert (variances[0] < 1e-3 * variances[1]).all()


# --- classes side by side


def test_by_class_groups_and_repeats_smaller_classes_in_order():
    """An image under the wrong class, or lost, trains the wrong energy."""
    y = torch.tensor([2, 0, 1, 0, 0, 2, 0, 0])
    x = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 2, 3)
    groups = by_class(x, y, 3)
    assert groups.shape == (5, 3, 1, 2, 3)
    assert groups[:, :, 0, 1, 2].T.tolist() == [[1, 3, 4, 6, 7], [2, 2, 2, 2, 2], [0, 5, 0, 5, 0]]


def test_by_class_refuses_a_class_without_images():
    """Its network could not be trained, and would still compete at inference."""
    with pytest.raises(ValueError, match="class 1 has no training image"):
        by_class(torch.zeros(2, 1, 2, 2), torch.tensor([0, 2]), 3)


def test_per_class_is_each_network_on_its_slice():
    """Network k must see x[:, k] and write output [:, k]."""
    networks = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()).double() for _ in range(3)]
    x = images(5, shape=(3, 1, 6, 6))
    found = PerClass(networks)(x)
    assert found.shape == (5, 3, 2, 4, 4)
    for k, network in enumerate(networks):
        torch.testing.assert_close(found[:, k], network(x[:, k].contiguous()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 2, 12), (5,)])
def test_per_class_refuses_another_number_of_classes(shape):
    """Silently using the first classes would give energies of other classes."""
    with pytest.raises(ValueError, match=r"expected \[B, 3, \.\.\.\]"):
        PerClass([nn.Identity() for _ in range(3)])(torch.zeros(shape))


# --- training


def test_training_together_equals_training_each_alone(float64):
    """Gradients must not leak between classes, and each class's Adam must see its own mean squared error (eq. 6).

    A loss scaled by 1/K would also pass Adam almost unseen: hence plain SGD as well.
    """
    x, y = images(14, shape=(1, 8, 8)), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 2, 2, 0, 0])
    for optimizer in (torch.optim.Adam, torch.optim.SGD):
        options = {"widths": (2, 3), "epochs": 2, "batch_size": 4, "lr": 0.01, "seed": 5}
        together = train_autoencoders(x, y, ActivationNoise(alpha=0.0), optimizer=optimizer, progress=False, **options)

        torch.manual_seed(5)
        alone = [autoencoder(1, (2, 3)) for _ in range(3)]
        for k, network in enumerate(alone):
            mine = x[y == k]
            mine = mine[torch.arange(6) % len(mine)]  # the largest class has six images
            optimiser = optimizer(network.parameters(), lr=0.01)
            torch.manual_seed(5)
            for _ in range(2):
                for batch in torch.randperm(6).split(4):
                    optimiser.zero_grad()
                    (network(mine[batch]) - mine[batch]).square().mean().backward()
                    optimiser.step()

        assert not together.training
        for one, other in zip(together.networks, alone, strict=True):
            for p, q in zip(one.parameters(), other.parameters(), strict=True):
                torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-10)


def dark_and_bright(n=40):
    """Class 0 is dark, class 1 bright: an autoencoder of one reconstructs the other badly."""
    y = torch.arange(n) % 2
    return (images(n, shape=(1, 8, 8)) * 0.2 + 0.8 * y.view(-1, 1, 1, 1)).float(), y


def test_each_network_learns_its_own_class():
    """Trained on another class's images, or not at all, the least energy would not be that of the image's class."""
    x, y = dark_and_bright()
    options = {"noise": ActivationNoise(alpha=0.1), "widths": (4, 4), "batch_size": 10, "lr": 0.01, "progress": False}
    trained = train_autoencoders(x, y, epochs=20, **options)
    assert torch.equal(predict(energies(trained, x, 5).mean(0)), y)
    assert not torch.equal(predict(energies(train_autoencoders(x, y, epochs=0, **options), x, 5).mean(0)), y)


@pytest.mark.parametrize(("where", "last"), [("hidden", []), ("all", ["decoder.act2"])])
def test_training_has_the_noise_that_was_asked_for(where, last):
    """Distribution, strength (the same at inference: balanced) and sites, in every class's network."""
    model = train_autoencoders(
        *dark_and_bright(), ActivationNoise("uniform", 0.3), where=where, widths=(4, 4), epochs=0, progress=False
    )
    sites = ["encoder.act1", "encoder.act2", "decoder.act1", *last]
    assert list(injected(model)) == [f"networks.{k}.{site}" for k in (0, 1) for site in sites]
    for layer in injected(model).values():
        assert (layer.distribution, layer.alpha, layer.alpha_inference) == ("uniform", 0.3, 0.3)


# --- accuracy


def test_accuracy_over_n_equals_a_separate_count():
    """Accuracy and own energy at every n, recomputed image by image from the same seed, in batches of 3, 3 and 1."""
    model, x, y = linear_model(), images(7), torch.tensor([0, 1, 2, 0, 1, 2, 1])
    torch.manual_seed(4)
    accuracy, own = accuracy_over_n(model, x, y, alpha=0.7, n=5, batch_size=3)
    assert accuracy.shape == own.shape == (5,)
    assert all(layer.alpha_inference == 0.7 for layer in injected(model).values())

    torch.manual_seed(4)
    draws = np.empty((5, 7, 3))
    with torch.inference_mode():
        for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
            for i in range(5):
                for k, network in enumerate(model.networks):
                    draws[i, rows, k] = (network(x[rows]) - x[rows]).square().sum((1, 2, 3)).numpy()
    for n in range(1, 6):
        estimates = draws[:n].mean(0)
        right = [estimates[j].argmin() == label for j, label in enumerate(y.tolist())]
        assert accuracy[n - 1].item() == pytest.approx(100 * sum(right) / 7)
        assert own[n - 1].item() == pytest.approx(np.mean([estimates[j, label] for j, label in enumerate(y.tolist())]))
    assert accuracy.min() > 0 and accuracy.max() < 100 and len(set(accuracy.tolist())) > 1  # or nothing was compared


def test_accuracy_without_noise_needs_one_sample():
    """α = 0: n equal draws would cost n times as much and say the same."""
    model, x = linear_model(), images(6)
    truth = closed_form(model, x, 0)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    accuracy, own = accuracy_over_n(model, x, y, alpha=0.0, n=50)
    assert accuracy.tolist() == pytest.approx([100 * (truth.argmin(1) == y.numpy()).mean()])
    assert own.tolist() == pytest.approx([truth[np.arange(6), y.numpy()].mean()])


# --- the network of section 4.1


@pytest.mark.parametrize(("channels", "widths"), [(1, (30, 73, 100)), (3, (30, 73, 100)), (3, (4, 5))])
def test_autoencoder_has_the_papers_layers(channels, widths):
    """Widths, kernels and the number of parameters by hand: 4·4·a·b weights and b biases from a to b channels."""
    network = autoencoder(channels, widths)
    sizes = [channels, *widths, *reversed(widths[:-1]), channels]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == list(itertools.pairwise(sizes))
    assert [type(m) for m in convolutions] == [nn.Conv2d] * len(widths) + [nn.ConvTranspose2d] * len(widths)
    assert {(m.kernel_size, m.stride, m.padding) for m in convolutions} == {((4, 4), (2, 2), (1, 1))}
    expected = sum(16 * a * b + b for a, b in itertools.pairwise(sizes))
    assert sum(p.numel() for p in network.parameters()) == expected
    kinds = [type(m) for m in network.modules() if isinstance(m, nn.ReLU | nn.Sigmoid)]
    assert kinds == [nn.ReLU] * (2 * len(widths) - 1) + [nn.Sigmoid]


@pytest.mark.parametrize(
    ("size", "code", "back"), [((32, 32), (4, 4), (32, 32)), ((8, 24), (1, 3), (8, 24)), ((28, 28), (3, 3), (24, 24))]
)
def test_autoencoder_needs_multiples_of_eight(size, code, back):
    """Three halvings: 28x28 comes back as 24x24, which is why the paper's images are resized to 32x32."""
    network = autoencoder(1)
    x = torch.rand(2, 1, *size)
    assert network.encoder(x).shape == (2, 100, *code)
    output = network(x)
    assert output.shape == (2, 1, *back)
    assert output.min() >= 0 and output.max() <= 1


# --- the networks of explicit regularisation, App. H


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU])
@pytest.mark.parametrize("widths", [(512, 512), (5,), (), (4, 3, 6)])
def test_mlp_has_the_papers_layers(widths, activation):
    """Layers by name, parameters by hand, and the output recomputed: an activation behind the last layer would show."""
    network = mlp(12, 3, widths, activation) if widths != (512, 512) else mlp(12, 3, activation=activation)
    hidden = [f"{kind}{i}" for i in range(1, len(widths) + 1) for kind in ("linear", "act")]
    assert [name for name, _ in network.named_children()] == ["data", *hidden, f"linear{len(widths) + 1}"]
    sizes = [12, *widths, 3]
    assert sum(p.numel() for p in network.parameters()) == sum(a * b + b for a, b in itertools.pairwise(sizes))
    with torch.no_grad():
        network[-1].bias.fill_(-3.0)  # negative outputs, on which an activation would act
    x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    h = x.reshape(4, 12)
    for i in range(1, len(widths) + 2):
        layer = network.get_submodule(f"linear{i}")
        h = h @ layer.weight.T + layer.bias
        h = activation()(h) if i <= len(widths) else h
    torch.testing.assert_close(network(x), h)
    assert h.shape == (4, 3) and h.max() < 0
    assert [type(m) for n, m in network.named_children() if n.startswith("act")] == [activation] * len(widths)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU])
@pytest.mark.parametrize(("channels", "size", "last"), [(3, 32, 6), (1, 28, 5), (1, 10, 1), (2, 13, 1), (1, 16, 2)])
def test_convnet_has_the_papers_layers(channels, size, last, activation):
    """32 and 128 filters, 4x4, stride 2, no padding (32 -> 15 -> 6), one dense layer: the output recomputed."""
    network = convnet(channels, size, 7, activation)
    names = [name for name, _ in network.named_children()]
    assert names == ["data", "conv1", "act1", "conv2", "act2", "flatten", "linear3"]
    expected = (16 * channels * 32 + 32) + (16 * 32 * 128 + 128) + (128 * last**2 * 7 + 7)
    assert sum(p.numel() for p in network.parameters()) == expected
    x = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network.data(x), x)
    h, (w1, b1, w2, b2, w3, b3) = x, network.parameters()
    for w, b in ((w1, b1), (w2, b2)):
        h = activation()(nn.functional.conv2d(h, w, b, stride=2))
    assert h.shape == (2, 128, last, last)
    torch.testing.assert_close(network(x), h.reshape(2, -1) @ w3.T + b3)


@pytest.mark.parametrize("size", [3, 8, 9])
def test_convnet_refuses_images_too_small_for_it(size):
    """The digits have 8x8 pixels: the error must come here, not from a convolution, and name the least size."""
    with pytest.raises(ValueError, match=rf"{size} pixels are too small.*10 or more"):
        convnet(1, size, 10)


def test_cross_entropy_trains_where_squared_error_stands_still():
    """Nearly black images: with "bce" the networks beat an all-black answer; an unknown loss is refused."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    x = torch.zeros(64, 1, 8, 8)
    x[y == 0, :, 3, :], x[y == 1, :, :, 4] = 1.0, 1.0  # a bar across, a bar down
    x *= 0.8 + 0.2 * torch.rand(x.shape, generator=draw)
    options = {"widths": (4, 8), "epochs": 40, "batch_size": 8, "lr": 3e-3, "progress": False}
    options["noise"] = ActivationNoise(alpha=0.0)
    model = train_autoencoders(x, y, loss="bce", **options)
    own = energies(model, x, 1)[0].gather(1, y[:, None])
    assert own.mean() < 0.5 * x.square().sum((1, 2, 3)).mean()
    with pytest.raises(ValueError, match="loss = 'hinge': expected one of mse, bce"):
        train_autoencoders(x, y, loss="hinge", **options)
