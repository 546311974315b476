"""The explicit regulariser against autograd's Jacobians and Hessians, closed forms and quadrature, all in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.autograd import functional

from tutorial_lib import convnet, injected, mlp
from tutorial_lib.measure import jacobians
from tutorial_lib.papers.explicit_reg.method import (
    LOSSES,
    accumulated_noise,
    add_noise,
    classification_regulariser,
    curvature_term,
    explicit_regulariser,
    input_gradient,
    loss_change,
    margin_bound,
    noised_layers,
    output_hessian,
    penalty,
    regression_regulariser,
)

LABELS = torch.tensor([2, 0, 1, 0])
REGULARISERS = [explicit_regulariser, regression_regulariser, classification_regulariser]


def inputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def targets(loss, n=4, classes=3):
    return LABELS.repeat(n)[:n] if loss == "cross-entropy" else inputs(n, classes, seed=7)


def network(*sizes, activation=nn.ELU, seed=0):
    """An `mlp` in float64 of inputs, hidden widths, outputs; its weights are doubled, for curvature."""
    torch.manual_seed(seed)
    model = mlp(sizes[0], sizes[-1], sizes[1:-1], activation).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def convolutional(activation):
    torch.manual_seed(0)
    return convnet(1, 10, 3, activation).double()


NETWORKS = {
    "mlp, ELU": (network(5, 4, 3, 3), inputs(4, 5)),
    "mlp, ReLU": (network(5, 4, 6, 3, activation=nn.ReLU), inputs(4, 5)),
    "conv, ELU": (convolutional(nn.ELU), inputs(2, 1, 10, 10)),
    "conv, ReLU": (convolutional(nn.ReLU), inputs(2, 1, 10, 10)),
}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_loss = pytest.mark.parametrize("loss", LOSSES)


def close(found, truth, tolerance=1e-10):
    torch.testing.assert_close(found, truth, rtol=tolerance, atol=tolerance)


# --- the formulas once more, sample by sample, by autograd


def one_loss(h, y, loss):
    """Eqs. (11) and (13) of one sample."""
    if loss == "squared error":
        return sum((y[i] - h[i]) ** 2 for i in range(len(h)))
    return -(h[y].exp() / h.exp().sum()).log()


def cut(model, name):
    """The network up to and including the layer, and the rest of it."""
    place = [child for child, _ in model.named_children()].index(name) + 1
    return model[:place], model[place:]


def brute_hessian(h, loss, y=None):
    y = (torch.tensor(1) if loss == "cross-entropy" else torch.zeros_like(h)) if y is None else y
    return functional.hessian(lambda h: one_loss(h, y, loss), h)


def brute_parts(model, sample, name, multiplicative, create_graph=False):
    """J_k [C, N_k] of one sample [1, ...], its columns scaled with h_k for multiplicative noise."""
    first, rest = cut(model, name)
    h = first(sample)
    rows = functional.jacobian(lambda h: rest(h)[0], h, create_graph=create_graph).flatten(1)
    return rows * h.flatten() if multiplicative else rows


def brute_regulariser(model, x, variance, loss, layers, multiplicative=False, part="all"):
    """½ Σ_k σ² Tr(J_kᵀ H J_k) of every sample; `part`: only the diagonal or the off-diagonal terms of H ∘ J Jᵀ."""
    values = []
    for sample in x.split(1):
        hessian, value = brute_hessian(model(sample)[0].detach(), loss), 0.0
        for name in layers:
            j = brute_parts(model, sample, name, multiplicative)
            for a, b in itertools.product(range(len(hessian)), repeat=2):
                if part == "all" or (part == "diagonal") == (a == b):
                    value += variance / 2 * hessian[a, b] * (j[a] * j[b]).sum()
        values.append(value)
    return torch.stack(values)


def brute_curvature(model, x, y, variance, loss, layers):
    """½ Σ_k σ² Σ_c ∂L/∂h_c Tr(∂² h_c / ∂h_k²) of every sample."""
    values = []
    for sample, target in zip(x.split(1), y, strict=True):
        output = model(sample)[0].detach()
        slope, value = functional.jacobian(lambda h, target=target: one_loss(h, target, loss), output), 0.0
        for name in layers:
            first, rest = cut(model, name)
            h = first(sample).detach()
            for c in range(len(output)):
                second = functional.hessian(lambda h, rest=rest, c=c: rest(h)[0, c], h)
                value += variance / 2 * slope[c] * second.reshape(h.numel(), h.numel()).trace()
        values.append(value)
    return torch.stack(values).detach()


# --- where the noise goes, and how much of it


def test_the_data_and_every_hidden_layer_are_noised_not_the_last():
    """Section 3: without the data, or with the final layer, the sums over k would be others."""
    assert noised_layers(mlp(4, 2, (3, 3, 3))) == ["data", "act1", "act2", "act3"]
    assert noised_layers(convnet(1, 10, 2)) == ["data", "act1", "act2"]
    assert noised_layers(mlp(4, 2, ())) == ["data"]


def noises(variance, multiplicative, layers=None, n=20_000):
    """What was added to the data and to the hidden layer of a small network in training, and these activations."""
    model, x = network(2, 3, 2).train(), inputs(n, 2)
    seen = {}
    for name in ("linear1", "act1", "linear2"):  # before the noise is there: a hook on act1 sees it clean
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: seen.update({name: (i[0], o)}))
    names = add_noise(model, variance, multiplicative, layers)
    torch.manual_seed(0)
    with torch.no_grad():
        model(x)
    hidden = seen["act1"][1]
    return names, (seen["linear1"][0] - x, x), (seen["linear2"][0] - hidden, hidden)


def p_value(noise, deviation):
    return stats.kstest(noise.flatten().numpy(), stats.norm(0, deviation).cdf).pvalue


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("variance", [0.09, 4.0])
def test_added_noise_has_the_variance_asked_for(variance, multiplicative):
    """σ for σ², or a scale that does not follow the activation (eq. 5): each layer's own normal noise."""
    names, data, hidden = noises(variance, multiplicative)
    assert names == ["data", "act1"]
    for noise, h in (data, hidden):
        unit = noise / h if multiplicative else noise
        assert p_value(unit, variance**0.5) > 1e-3
        assert p_value(1.1 * unit, variance**0.5) < 1e-3
    units = [(noise / h if multiplicative else noise)[:, 0] for noise, h in (data, hidden)]
    assert abs(np.corrcoef(*units)[0, 1]) < 0.03  # independent between layers


def test_noise_on_the_data_alone():
    """The paper's "Noise Input" must leave the hidden layers clean, and `layers` is not to be ignored."""
    names, data, hidden = noises(0.25, False, ["data"])
    assert names == ["data"] and not hidden[0].any()
    assert p_value(data[0], 0.5) > 1e-3


@pytest.mark.parametrize("multiplicative", [False, True])
def test_noise_is_silent_in_evaluation(multiplicative):
    """Test loss, calibration and Hessians are those of the network without noise."""
    model, x = network(2, 3, 2), inputs(5, 2)
    clean = model(x)
    add_noise(model, 0.5, multiplicative)
    assert torch.equal(model.eval()(x), clean)
    assert not torch.equal(model.train()(x), clean)
    assert [layer.multiplicative for layer in injected(model).values()] == [multiplicative] * 2


@pytest.mark.parametrize("variance", [-0.1, math.nan, math.inf])
def test_an_impossible_variance_is_named(variance):
    """A complex deviation, or NaN in every weight after the first step."""
    model, x = network(2, 3, 2), inputs(4, 2)
    for refuse in (
        lambda: add_noise(model, variance),
        lambda: explicit_regulariser(model, x, variance),
        lambda: regression_regulariser(model, x, variance),
        lambda: classification_regulariser(model, x, variance),
        lambda: loss_change(model, x, LABELS % 2, variance, pairs=2),
    ):
        with pytest.raises(ValueError, match=rf"variance σ² = {variance!r}.*0 or more"):
            refuse()
    assert not injected(model)


def test_unknown_layers_and_losses_are_named():
    """A typing mistake must not fall back to all layers, or to the other loss."""
    model, x, y = network(2, 3, 2), inputs(4, 2), LABELS % 2
    for refuse in (
        lambda: add_noise(model, 0.1, layers=["act7"]),
        lambda: explicit_regulariser(model, x, 0.1, layers=["act7"]),
        lambda: classification_regulariser(model, x, 0.1, layers=["act7"]),
    ):
        with pytest.raises(ValueError, match=r"'act7'.*data.*act1"):
            refuse()
    for refuse in (
        lambda: explicit_regulariser(model, x, 0.1, "mse"),
        lambda: output_hessian(model(x), "mse"),
        lambda: curvature_term(model, x, y, 0.1, "mse"),
        lambda: loss_change(model, x, y, 0.1, "mse"),
    ):
        with pytest.raises(ValueError, match="loss = 'mse': expected one of squared error, cross-entropy"):
            refuse()


# --- losses and their Hessians


@each_loss
def test_losses_are_eqs_11_and_13(loss):
    """A mean over outputs (torch's mse) would divide everything by the number of classes."""
    h, y = inputs(4, 3), targets(loss)
    close(LOSSES[loss](h, y), torch.stack([one_loss(h[i], y[i], loss) for i in range(4)]))


@each_loss
def test_output_hessian_is_autograds(loss):
    """Eq. (14), and 2 I for eq. (11), whatever the target; a sign of the off-diagonal, or H = I as printed."""
    h = 3 * inputs(6, 4)
    found = output_hessian(h, loss)
    for y in (0, 3) if loss == "cross-entropy" else (0.0, 5.0):
        target = torch.tensor(y) if loss == "cross-entropy" else torch.full((4,), y).double()
        close(found, torch.stack([brute_hessian(row, loss, target) for row in h]))
    eigenvalues = torch.linalg.eigvalsh(found)
    assert eigenvalues.min() > -1e-12 and eigenvalues.max() > 0.1  # PSD, as eq. (10) needs
    if loss == "cross-entropy":
        close(found.sum(2), torch.zeros(6, 4).double())  # adding a constant to all logits changes nothing


# --- the regularisers


@pytest.mark.parametrize("multiplicative", [False, True])
@each_loss
@each_network
def test_explicit_regulariser_is_the_brute_force_trace(name, loss, multiplicative):
    """Eq. (10), layer by layer and their sum: σ for σ², a lost ½, Jᵀ for J, another sample's H."""
    model, x = NETWORKS[name]
    layers, single = noised_layers(model), []
    for layer in layers:
        single.append(brute_regulariser(model, x, 0.3, loss, [layer], multiplicative))
        close(explicit_regulariser(model, x, 0.3, loss, [layer], multiplicative), single[-1])
        assert single[-1].min() > 1e-5
    found = explicit_regulariser(model, x, 0.3, loss, multiplicative=multiplicative)
    close(found, sum(single))
    assert found.shape == (len(x),) and not found.requires_grad
    close(explicit_regulariser(model, x, 0.6, loss, multiplicative=multiplicative), 2 * found)
    assert not explicit_regulariser(model, x, 0.0, loss).any()


@pytest.mark.parametrize("multiplicative", [False, True])
@each_network
def test_regression_regulariser_is_eq_12_and_half_of_eq_10(name, multiplicative):
    """½ Σ σ² ||J||²: eq. (12) is printed for the Hessian I, while that of eq. (11) is 2 I."""
    model, x = NETWORKS[name]
    for layers in (None, ["act1"]):
        found = regression_regulariser(model, x, 0.3, layers, multiplicative)
        norms = [
            sum(brute_parts(model, sample, k, multiplicative).square().sum() for k in layers or noised_layers(model))
            for sample in x.split(1)
        ]
        close(found, 0.15 * torch.stack(norms))
        close(found, explicit_regulariser(model, x, 0.3, "squared error", layers, multiplicative) / 2)


@pytest.mark.parametrize("multiplicative", [False, True])
@each_network
def test_classification_regulariser_is_the_diagonal_part(name, multiplicative):
    """Eq. (15) has p (1 - p) on the squared rows of J; what it leaves out is the sum of eq. (30)."""
    model, x = NETWORKS[name]
    for layers in (None, ["data"], ["act2"]):
        found = classification_regulariser(model, x, 0.3, layers, multiplicative)
        options = (model, x, 0.3, "cross-entropy", layers or noised_layers(model), multiplicative)
        close(found, brute_regulariser(*options, part="diagonal"))
        dropped = brute_regulariser(*options, part="off-diagonal")
        close(explicit_regulariser(*options) - found, dropped)
        assert dropped.abs().min() > 1e-4 * found.max()


def brute_mean(regulariser, model, x, variance, multiplicative):
    """The batch mean of a regulariser, from Jacobians that autograd can differentiate once more."""
    total = 0.0
    for sample in x.split(1):
        p = model(sample)[0].softmax(0)
        if regulariser is explicit_regulariser:
            hessian = torch.diag(p) - torch.outer(p, p)
        else:
            hessian = torch.diag(p * (1 - p)) if regulariser is classification_regulariser else torch.eye(len(p))
        for name in noised_layers(model):
            j = brute_parts(model, sample, name, multiplicative, create_graph=True)
            total += variance / 2 * (j.T @ hessian.to(j) @ j).trace()
    return total / len(x)


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("name", ["mlp, ELU", "mlp, ReLU"])
def test_gradient_of_the_penalty_is_that_of_the_formula(name, regulariser, multiplicative):
    """Training follows this gradient: through J, through p and, with multiplicative noise, through h."""
    model, x = NETWORKS[name]
    value = penalty(regulariser, 0.3, multiplicative=multiplicative)(model, x)
    truth = brute_mean(regulariser, model, x, 0.3, multiplicative)
    close(value, truth)
    # the biases of the ReLU network move no Jacobian, and the last bias none at all
    found, gradients = (
        torch.autograd.grad(v, list(model.parameters()), materialize_grads=True) for v in (value, truth)
    )
    for gradient, expected in zip(found, gradients, strict=True):
        close(gradient, expected)
    assert all(g.abs().max() > 1e-3 for g in gradients[::2])


def test_penalty_of_the_convnet_has_its_gradient():
    """Second derivatives of convolutions: the direction's finite difference, in float64."""
    model, x = convolutional(nn.ELU), inputs(2, 1, 10, 10)
    value = penalty(classification_regulariser, 0.3)
    gradients = torch.autograd.grad(value(model, x), list(model.parameters()), materialize_grads=True)
    directions = [inputs(*p.shape, seed=k) for k, p in enumerate(model.parameters())]
    ends = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            for p, d in zip(model.parameters(), directions, strict=True):
                p.add_(d, alpha=step)
            with torch.enable_grad():
                ends.append(value(model, x).item())
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True)).item()
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)
    assert abs(slope) > 1e-3


def test_the_mean_over_all_subsets_of_a_real_regulariser_is_the_batch_mean():
    """A value that depended on the other images of the batch (through H, say) would not average out."""
    model, x = NETWORKS["mlp, ELU"]
    whole = penalty(explicit_regulariser, 0.3)(model, x).item()
    value = penalty(explicit_regulariser, 0.3, sample=3)
    torch.manual_seed(0)
    found = {round(value(model, x).item(), 9) for _ in range(60)}
    assert len(found) == 4  # as many as there are subsets
    assert sum(found) / 4 == pytest.approx(whole, rel=1e-8)


@pytest.mark.parametrize("sample", [None, 4, 5, 1000])
def test_a_sample_as_large_as_the_batch_is_the_batch(sample):
    """The last batch of an epoch may be smaller than the sample; then no random number is needed either."""
    model, x = NETWORKS["mlp, ELU"]
    state = torch.get_rng_state()
    value = penalty(classification_regulariser, 0.3, sample)(model, x)
    close(value, brute_regulariser(model, x, 0.3, "cross-entropy", noised_layers(model), part="diagonal").mean())
    assert value.requires_grad and torch.equal(torch.get_rng_state(), state)


# --- the control: gradients in the data


def drawing(monkeypatch, place):
    """Every draw is class `place`, or for squared errors one deviation of √½ in output `place` alone."""
    monkeypatch.setattr(torch.Tensor, "multinomial", lambda p, n: torch.full((len(p), n), place))
    monkeypatch.setattr(torch, "randn_like", lambda h: torch.eye(h.shape[1], dtype=h.dtype)[place].expand_as(h))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_mean_input_gradient_is_the_datas_term_of_eq_10(name, loss, monkeypatch):
    """Exactly: all classes with their probabilities; N(h, ½) by its second moments, a unit vector an output."""
    model, x = NETWORKS[name]
    with torch.no_grad():
        output = model(x)
    p = output.softmax(1) if loss == "cross-entropy" else torch.ones_like(output)
    mean = torch.zeros(len(x), dtype=x.dtype)
    for place in range(output.shape[1]):
        drawing(monkeypatch, place)
        mean += p[:, place] * input_gradient(model, x, 0.3, loss).detach()
    close(mean, brute_regulariser(model, x, 0.3, loss, ["data"]))


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_of_the_input_gradient_are_drawn_from_the_model(loss):
    """The most probable class alone, the label, or another deviation would miss the mean."""
    model, x = network(5, 4, 3), inputs(1, 5).expand(20_000, 5)
    torch.manual_seed(0)
    found = input_gradient(model, x, 0.3, loss)
    error = (found.std() / len(found) ** 0.5).item()
    truth = brute_regulariser(model, x[:1], 0.3, loss, ["data"]).item()
    assert abs(found.mean().item() - truth) < 4 * error < 0.1 * truth
    values = len(found.detach().round(decimals=9).unique())  # drawn anew for every sample
    assert values == 3 if loss == "cross-entropy" else values > 10_000


@pytest.mark.parametrize("loss", LOSSES)
def test_input_gradients_are_autograds(loss, monkeypatch):
    """½ λ ||∇_x L||² of one sample after the other, with its target held; and what is trained on is its gradient."""
    model, x = network(5, 4, 3), inputs(4, 5)
    drawing(monkeypatch, 1)
    label = torch.ones(4, dtype=int) if loss == "cross-entropy" else None
    target = label if label is not None else model(x).detach() + torch.tensor([0, 0.5**0.5, 0], dtype=x.dtype)

    def brute(sample, y):
        sample = sample[None].clone().requires_grad_()
        value = LOSSES[loss](model(sample), y[None]).sum()
        (gradient,) = torch.autograd.grad(value, sample, create_graph=True)
        return 0.15 * gradient.square().sum()

    expected = torch.stack([brute(sample, y) for sample, y in zip(x, target, strict=True)])
    found = input_gradient(model, x, 0.3, loss, create_graph=True)
    close(found, expected)
    gradients = [
        torch.autograd.grad(values.mean(), list(model.parameters())[:-1], allow_unused=True, retain_graph=True)
        for values in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        close(one, other)
    assert not x.requires_grad and all(p.grad is None for p in model.parameters())
    assert not input_gradient(model, x, 0.3, loss).requires_grad
    close(input_gradient(model, x, 0.6, loss), 2 * found)


def test_an_unknown_loss_of_the_input_gradient_is_named():
    model, x = NETWORKS["mlp, ELU"]
    with pytest.raises(ValueError, match="loss = 'hinge': expected one of squared error, cross-entropy"):
        input_gradient(model, x, 0.3, "hinge")


# --- the term that Theorem 1 drops


class Square(nn.Module):
    """z², whose curvature is 2 everywhere."""

    def forward(self, z):
        return z.square()


@each_loss
@pytest.mark.parametrize("activation", [nn.ELU, nn.Tanh, Square])
def test_curvature_term_is_that_of_autograds_hessians(activation, loss):
    """Cross derivatives in the Laplacian, another sample's slope, or a lost ½; layer by layer and their sum."""
    model, x, y = network(5, 4, 3, 3, activation=activation), inputs(4, 5), targets(loss)
    layers, single = noised_layers(model), []
    for layer in layers:
        single.append(brute_curvature(model, x, y, 0.3, loss, [layer]))
        close(curvature_term(model, x, y, 0.3, loss, [layer]), single[-1])
    close(curvature_term(model, x, y, 0.3, loss), sum(single))
    assert min(s.abs().max() for s in single[:2]) > 1e-2
    assert not single[2].any()  # behind the last activation the network is linear
    if loss == "cross-entropy":
        close(curvature_term(model, x, y, 0.6), 2 * sum(single))


def test_curvature_term_of_the_convnet():
    """Second derivatives through convolutions and a layer of more than two dimensions."""
    model, x, y = convolutional(nn.ELU), inputs(2, 1, 10, 10), LABELS[:2]
    for layer in ("data", "act2"):
        truth = brute_curvature(model, x, y, 0.3, "cross-entropy", [layer])
        close(curvature_term(model, x, y, 0.3, layers=[layer]), truth)
        assert (truth.abs().max() > 1e-3) == (layer == "data")


@each_loss
@pytest.mark.parametrize("name", ["mlp, ReLU", "conv, ReLU"])
def test_curvature_term_vanishes_for_relu(name, loss):
    """Between its kinks a ReLU network is linear in every layer."""
    model, x = NETWORKS[name]
    assert not curvature_term(model, x, targets(loss, len(x)), 0.3, loss).any()


def squares(weights, biases, outer, shift):
    """h(x) = Σ_j v_j (w_j · x + b_j)² + c, with closed forms for everything."""
    model = network(len(weights[0]), len(weights), 1, activation=Square)
    for parameter, values in zip(model.parameters(), (weights, biases, [outer], [shift]), strict=True):
        parameter.data = torch.tensor(values, dtype=torch.float64)
    return model


def test_curvature_term_of_squares_is_the_closed_form():
    """Δh = Σ_j 2 v_j ||w_j||², so ½ σ² · 2 (h - y) · Δh in the data; 0 in the hidden layer."""
    model = squares([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]], [0.1, -0.2, 0.3], [1.0, -2.0, 4.0], 0.7)
    x, y = inputs(6, 2), inputs(6, 1, seed=1)
    laplacian = 2 * (1 * 5 - 2 * 10 + 4 * 0.25)
    truth = (0.3 * (model(x) - y) * laplacian)[:, 0].detach()
    close(curvature_term(model, x, y, 0.3, "squared error"), truth)
    close(curvature_term(model, x, y, 0.3, "squared error", ["data"]), truth)


# --- the expected change of the loss


def within(found, error, truth, limit=4.5):
    return (found - truth).abs().max() < limit * error.max()


def linear(n=1000):
    """A linear network with two hidden layers, one input n times, and ||Σ_k J_k J_kᵀ||, ||·||_F² from its weights."""
    model = network(3, 4, 2, 2, activation=nn.Identity)
    w1, w2, w3 = (model.get_submodule(f"linear{k}").weight.detach() for k in (1, 2, 3))
    covariance = sum(j @ j.T for j in (w3 @ w2 @ w1, w3 @ w2, w3))
    return model, inputs(1, 3).expand(n, -1), inputs(1, 2, seed=1).expand(n, -1), covariance


def test_loss_change_of_a_linear_network_is_eq_10_and_twice_eq_12():
    """E ||Σ J_k ε_k||² = σ² Σ ||J_k||_F² at any σ, by hand from the weights: not eq. (12), which is half of it.

    Its variance is 2 σ⁴ ||Σ J_k J_kᵀ||_F² a pair, which the standard error must have found; and the thousand copies
    of one input are so many estimates of one number, for the coverage of the intervals.
    """
    model, x, y, covariance = linear()
    for sigma in (0.01, 3.0):
        change, error = loss_change(model, x, y, sigma**2, "squared error", pairs=200)
        truth = sigma**2 * covariance.trace().item()
        assert abs(change.mean().item() - truth) < 4 * change.std().item() / 1000**0.5 < 0.01 * truth
        close(explicit_regulariser(model, x[:1], sigma**2, "squared error"), torch.tensor([truth], dtype=torch.float64))
        close(regression_regulariser(model, x[:1], sigma**2), torch.tensor([truth / 2], dtype=torch.float64))
        expected = sigma**2 * (2 * covariance.square().sum().item() / 200) ** 0.5
        assert error.mean().item() == pytest.approx(expected, rel=0.02)
        assert change.std().item() == pytest.approx(expected, rel=0.1)
        covered = ((change - truth).abs() < 1.96 * error).double().mean().item()
        assert 0.92 < covered < 0.97  # a normal interval of 95%, a little short for a skew distribution


def test_standard_error_of_a_few_pairs_is_unbiased():
    """Divided by n instead of n - 1, the variance of three pairs would be a third too small."""
    model, x, y, covariance = linear(20_000)
    _, error = loss_change(model, x, y, 0.25, "squared error", pairs=3)
    truth = 0.25**2 * 2 * covariance.square().sum().item() / 3
    assert error.square().mean().item() == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("layers", [["data"], ["act1"], ["act2", "data"]])
def test_loss_change_of_chosen_layers(layers):
    """Noise in other layers than those asked for."""
    model, x, y, _ = linear()
    rows = jacobians(model, x[:1], layers)
    truth = 0.25 * sum(j.square().sum().item() for j in rows)
    change, _ = loss_change(model, x, y, 0.25, "squared error", pairs=100, layers=layers)
    assert abs(change.mean().item() - truth) < 4 * change.std().item() / 1000**0.5 < 0.02 * truth


def test_loss_change_of_cross_entropy_at_large_noise_is_the_integral():
    """Logits linear in one number: E[L(x + ε)] by Gauss-Hermite quadrature, far beyond the second order."""
    model = network(1, 3, seed=4)
    x, y = torch.tensor([[0.5], [-1.0], [2.0]]).double(), torch.tensor([0, 1, 2])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    with torch.no_grad():
        shifted = model((x + 1.5 * torch.tensor(nodes)).reshape(-1, 1)).reshape(3, 80, 3)
        losses = shifted.logsumexp(2) - shifted[torch.arange(3), :, y]
        clean = model(x).logsumexp(1) - model(x)[torch.arange(3), y]
    truth = losses @ torch.tensor(weights / weights.sum()) - clean
    change, error = loss_change(model, x, y, 2.25, pairs=5000)
    assert ((change - truth).abs() < 4 * error).all() and (error < 0.05 * truth).all()


def test_loss_change_of_a_square_is_regulariser_curvature_and_a_rest_of_fourth_order():
    """h = x², L = (y - h)²: E[ΔL] = 4 x² σ² + 2 (x² - y) σ² + 3 σ⁴. The first is R, the second the term dropped."""
    model, n = squares([[1.0]], [0.0], [1.0], 0.0), 2000
    x, y, variance = torch.full((n, 1), 0.6).double(), torch.full((n, 1), 2.0).double(), 0.04
    options = {"loss": "squared error", "layers": ["data"]}
    regulariser = explicit_regulariser(model, x[:1], variance, **options).item()
    curvature = curvature_term(model, x[:1], y[:1], variance, **options).item()
    assert regulariser == pytest.approx(4 * 0.36 * variance)
    assert curvature == pytest.approx(2 * (0.36 - 2) * variance)
    change, _ = loss_change(model, x, y, variance, pairs=50, **options)
    mean, error = change.mean().item(), change.std().item() / n**0.5
    assert abs(mean - (regulariser + curvature + 3 * variance**2)) < 4 * error < 0.02 * abs(mean)
    assert abs(mean - regulariser) > 50 * error


def test_antithetic_pairs_cut_the_error():
    """ε without -ε leaves a term of first order: its error falls with σ, that of the pairs with σ²."""
    model, y = network(5, 4, 3, 3, activation=nn.Tanh), LABELS
    x, errors = inputs(4, 5), {}
    for sigma in (1e-2, 1e-3):
        _, errors[sigma] = loss_change(model, x, y, sigma**2, pairs=200)
        rows = jacobians(model, x, noised_layers(model))
        slope = model(x).softmax(1).detach() - nn.functional.one_hot(y, 3)  # ∇L of the cross-entropy
        first = sum((slope[:, None] @ j).square().sum((1, 2)) for j in rows).sqrt()
        alone = sigma * first / 400**0.5  # as many passes without pairs
        assert (errors[sigma] < 0.2 * alone).all()
    torch.testing.assert_close(errors[1e-2] / errors[1e-3], torch.full((4,), 100.0).double(), rtol=0.05, atol=0)


def test_loss_change_follows_from_its_seed_and_leaves_no_trace():
    """Two networks must meet the same noise; the training's random numbers, hooks and gradients stay as they are."""
    (model, x), y = NETWORKS["conv, ELU"], LABELS[:2]
    clean, state = model(x), torch.get_rng_state()
    one = loss_change(model, x, y, 0.01, pairs=3, seed=1)
    torch.manual_seed(5)
    assert all(torch.equal(a, b) for a, b in zip(loss_change(model, x, y, 0.01, pairs=3, seed=1), one, strict=True))
    assert not torch.equal(loss_change(model, x, y, 0.01, pairs=3, seed=2)[0], one[0])
    torch.set_rng_state(state)
    loss_change(model, x, y, 0.01, pairs=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model(x), clean) and not any(m._forward_hooks for m in model.modules())
    assert not one[0].requires_grad and one[0].shape == one[1].shape == (2,)
    with pytest.raises(ValueError, match="pairs = 1: expected at least 2"):
        loss_change(model, x, y, 0.01, pairs=1)


@pytest.mark.parametrize("training", [False, True])
def test_measuring_in_the_midst_of_training_leaves_the_model_as_it_was(training):
    """A mode switched, gradients accumulated, a hook left on, or data that ask for gradients."""
    model, x, y = network(2, 3, 2).train(training), inputs(4, 2), LABELS % 2
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    explicit_regulariser(model, x, 0.1)
    penalty(classification_regulariser, 0.1)(model, x)
    curvature_term(model, x, y, 0.1)
    loss_change(model, x, y, 0.1, pairs=2)
    accumulated_noise(model, x, scaled(model, x, 0.1))
    margin_bound(model, x)
    assert all(module.training == training and not module._forward_hooks for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters()) and not x.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


# --- Proposition 1 and Theorem 1


@each_loss
@pytest.mark.parametrize("layer", [None, "data", "act1", "act2"])
def test_theorem_1_holds_for_elu_with_the_curvature_term_and_not_without(layer, loss):
    """E[ΔL] at small σ: eq. (10) alone misses it by many standard errors, with ½ σ² ∇L · Δh it fits.

    Many copies of the point make one good estimate. Behind the last activation there is no curvature to miss.
    """
    model, n = network(4, 6, 5, 3, seed=1), 4000
    x, layers = inputs(1, 4, seed=3), layer and [layer]
    y = model(x).argmin(1) if loss == "cross-entropy" else 2 * inputs(1, 3, seed=9)
    options = {"loss": loss, "layers": layers}
    regulariser = explicit_regulariser(model, x, 1e-4, **options).item()
    curvature = curvature_term(model, x, y, 1e-4, **options).item()
    copies = y.expand(n, *y.shape[1:])
    change, _ = loss_change(model, x.expand(n, -1), copies, 1e-4, pairs=40, seed=2, **options)
    mean, error = change.mean().item(), change.std().item() / n**0.5
    assert abs(mean - regulariser - curvature) < 4 * error + 1e-3 * regulariser
    assert error < 0.01 * (regulariser + abs(curvature))
    if layer == "act2":
        assert curvature == pytest.approx(0, abs=1e-15)
    else:
        assert abs(mean - regulariser) > 10 * error


@each_loss
def test_theorem_1_is_locally_exact_for_relu(loss):
    """Away from the kinks eq. (10) alone is E[ΔL]: for squared error exactly, in every layer."""
    model, n, sigma = network(4, 6, 5, 3, activation=nn.ReLU, seed=1), 4000, 1e-4
    x = inputs(1, 4, seed=3)
    y = model(x).argmin(1) if loss == "cross-entropy" else inputs(1, 3, seed=9)
    z1 = model.linear1(x)
    kinks = torch.cat([z1, model.linear2(model.act1(z1))], 1).abs().min().item()
    reach = max(
        p.abs().sum(1).max().item() for p in (model.linear1.weight, model.linear2.weight @ model.linear1.weight)
    )
    assert kinks > 6 * sigma * (reach + 1)
    regulariser = explicit_regulariser(model, x, sigma**2, loss).item()
    change, _ = loss_change(model, x.expand(n, -1), y.expand(n, *y.shape[1:]), sigma**2, loss, pairs=40)
    mean, error = change.mean().item(), change.std().item() / n**0.5
    assert abs(mean - regulariser) < 4 * error < 0.04 * regulariser


def scaled(model, x, size, seed=0):
    """Noises ε_k for every noised layer, of deviation `size`."""
    shapes = {name: cut(model, name)[0](x).shape for name in noised_layers(model)}
    return {name: size * inputs(*shape, seed=seed + k) for k, (name, shape) in enumerate(shapes.items())}


def test_accumulated_noise_of_a_linear_network_is_the_first_order():
    """By hand: E = W3 (W2 (W1 ε0 + ε1) + ε2), whatever the size of the noise."""
    model, x = network(3, 4, 2, 2, activation=nn.Identity), inputs(5, 3)
    noise = scaled(model, x, 10.0)
    exact, first = accumulated_noise(model, x, noise)
    w1, w2, w3 = (model.get_submodule(f"linear{k}").weight.detach() for k in (1, 2, 3))
    close(exact, ((noise["data"] @ w1.T + noise["act1"]) @ w2.T + noise["act2"]) @ w3.T)
    close(first, exact)
    for name in noise:
        one, other = accumulated_noise(model, x, {name: noise[name]})
        close(one, other)
        assert one.abs().max() > 0.1
    assert not any(m._forward_hooks for m in model.modules()) and not first.requires_grad


@pytest.mark.parametrize("name", NETWORKS)
def test_accumulated_noise_beyond_first_order(name):
    """Eq. (9): exact for ReLU in its linear region; for ELU what is left shrinks with the square of the noise."""
    model, x = NETWORKS[name]
    rest, firsts = [], []
    for size in (1e-5, 5e-6):
        exact, first = accumulated_noise(model, x, scaled(model, x, size))
        rest.append((exact - first).abs().max().item())
        firsts.append(first.abs().max().item())
    assert firsts[0] == pytest.approx(2 * firsts[1]) and firsts[0] > 1e-6
    if "ReLU" in name:
        assert max(rest) < 1e-14
    else:
        assert rest[0] / rest[1] == pytest.approx(4, rel=0.01)


# --- margins


def classifier(weights, bias):
    """Logits W x + b: the boundary between two classes is a plane."""
    model = mlp(len(weights[0]), len(weights), ()).double()
    model.linear1.weight.data, model.linear1.bias.data = weights.clone(), bias.clone()
    return model


def test_margin_bound_is_eq_19():
    """The two largest logits over √2 ||J_0||_F: J_0 in the data, not in a hidden layer; its norm, not the square."""
    for model, x in NETWORKS.values():
        for found, sample in zip(margin_bound(model, x), x.split(1), strict=True):
            second, top = sorted(model(sample)[0].tolist())[-2:]
            norm = brute_parts(model, sample, "data", False).square().sum().item() ** 0.5
            assert found.item() == pytest.approx((top - second) / (2**0.5 * norm), rel=1e-10)


def test_margin_bound_is_below_the_distance_to_a_linear_classifiers_boundary():
    """The distance to the nearest of the planes, in closed form; two opposite rows alone reach the bound."""
    weights, bias, x = inputs(5, 3), inputs(5, seed=1), inputs(200, 3, seed=2)
    logits = x @ weights.T + bias
    top = logits.argmax(1)
    gaps = logits[torch.arange(200), top][:, None] - logits
    distances = gaps / (weights[top][:, None] - weights).norm(dim=2)  # 0 / 0 for the class itself
    truth, bound = distances.nan_to_num(math.inf).min(1).values, margin_bound(classifier(weights, bias), x)
    assert (bound <= truth).all() and (bound > 0).all()
    steps = 0.999 * bound[:, None] * nn.functional.normalize(inputs(200, 3, seed=3))
    assert torch.equal(((x + steps) @ weights.T + bias).argmax(1), top)

    row = inputs(1, 3)
    opposite = classifier(torch.cat([row, -row]), torch.zeros(2).double())
    close(margin_bound(opposite, x), (x @ row.T)[:, 0].abs() / row.norm())


def test_a_flat_network_has_no_margin():
    """No change of the data moves its prediction: infinity, not an error of division."""
    flat = classifier(torch.zeros(3, 2).double(), torch.tensor([1.0, 3, 2]).double())
    assert margin_bound(flat, inputs(4, 2)).tolist() == [math.inf] * 4


def test_a_relu_network_may_be_steeper_than_its_linear_twin():
    """|x| = ReLU(x) + ReLU(-x) has J = ±1 where the network without ReLU has W2 W1 = 0: no "upper bound", eq. (24)."""
    for activation, slopes in ((nn.ReLU, [1.0, -1.0]), (nn.Identity, [0.0, 0.0])):
        model = network(1, 2, 1, activation=activation)
        values = ([[1.0], [-1.0]], [0.0, 0.0], [[1.0, 1.0]], [0.0])
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.data = torch.tensor(value, dtype=torch.float64)
        x = torch.tensor([[0.7], [-0.3]], dtype=torch.float64)
        assert jacobians(model, x, ["data"])[0].flatten().tolist() == slopes
        norms = torch.tensor([0.5 * s**2 for s in slopes]).double()
        close(regression_regulariser(model, x, 1.0, ["data"]), norms)


@pytest.mark.parametrize("call", ["accumulated", "loss_change"])
def test_no_hook_left_after_an_unknown_layer(call):
    model, x = mlp(4, 2, (5,)), torch.randn(3, 4)
    clean = model(x)
    with pytest.raises((ValueError, AttributeError, KeyError)):
        if call == "accumulated":
            accumulated_noise(model, x, {"act1": torch.ones(3, 5), "act7": torch.ones(3, 5)})
        else:
            loss_change(model, x, torch.zeros(3).long(), 0.1, layers=["act1", "act7"], pairs=2)
    assert not model.act1._forward_hooks
    assert torch.equal(model(x), clean)


@pytest.mark.parametrize("call", [curvature_term, loss_change])
def test_unknown_layer_is_named(call):
    with pytest.raises(ValueError, match=r"'act7'.*data"):
        call(mlp(4, 2, (5,)), torch.randn(3, 4), torch.zeros(3).long(), 0.1, layers=["act7"])


def test_flat_network_with_equal_logits():
    model = mlp(4, 2, (5,))
    for p in model.linear2.parameters():
        nn.init.zeros_(p)
    assert margin_bound(model, torch.randn(3, 4)).tolist() == [math.inf] * 3  # it is NaN


@pytest.mark.parametrize("variance", [-1.0, math.nan])
def test_curvature_refuses_an_impossible_variance(variance):
    with pytest.raises(ValueError, match="variance"):
        curvature_term(mlp(4, 2, (5,)), torch.randn(3, 4), torch.zeros(3).long(), variance)


def test_curvature_is_a_number_like_the_others():
    assert not curvature_term(mlp(4, 2, (5,)), torch.randn(3, 4), torch.zeros(3).long(), 0.1).requires_grad


def test_an_empty_list_is_not_all_layers():
    with pytest.raises(ValueError):
        explicit_regulariser(mlp(4, 2, (5,)), torch.randn(3, 4), 0.1, layers=[])
