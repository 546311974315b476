"""The training loop against closed forms and hand counts."""

import copy
import functools
import itertools
import os
import re
import shutil
import types

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tutorial_lib import ActivationNoise, blocknet, evaluate, fit, fit_many, inject, injected, mlp, set_noise
from tutorial_lib.papers.ninr.method import InputCorruption, add_nodes
from tutorial_lib.train import _difference, l2, penalty


def regression(n=60):
    """Noisy linear data, and the least-squares solution by the normal equations, in float64."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=g, dtype=torch.float64)
    y = x @ torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]], dtype=torch.float64) + 0.7
    y += torch.randn(n, 2, generator=g, dtype=torch.float64)
    a = torch.cat([x, torch.ones(n, 1, dtype=torch.float64)], 1)
    return x, y, torch.linalg.solve(a.T @ a, a.T @ y)


def linear(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return nn.Linear(3, 2, dtype=dtype)


def classes(n=90):
    """Three classes that a linear network can separate."""
    g = torch.Generator().manual_seed(1)
    y = torch.arange(n) % 3
    return 4 * torch.eye(3)[y] + torch.randn(n, 3, generator=g), y


def train(model, x, y, **options):
    return fit(model, x, y, **{"epochs": 3, "lr": 0.05, "progress": False, "seed": 0, **options})


mse = nn.functional.mse_loss


@pytest.mark.parametrize("batch_size", [60, 1000])
def test_linear_regression_reaches_the_least_squares_solution(batch_size):
    """Missing zero_grad, a loss of other data or a step in the wrong direction would end elsewhere."""
    x, y, solution = regression()
    net = linear()
    losses = train(net, x, y, loss=mse, epochs=400, batch_size=batch_size, lr=0.3, optimizer=torch.optim.SGD)
    torch.testing.assert_close(torch.cat([net.weight.T, net.bias[None]]), solution, rtol=1e-6, atol=1e-6)
    residual = y - x @ solution[:3] - solution[3]
    assert losses[-1] == pytest.approx(residual.square().mean().item(), rel=1e-6)
    assert not net.training


def ridge(model, x):
    """The sum of the squared weights, without the biases."""
    return 0.5 * model.weight.square().sum()


def shrink(model, x):
    """The mean square of the outputs, twice."""
    return 2 * model(x).square().mean()


@pytest.mark.parametrize("penalty", [ridge, shrink])
def test_linear_regression_with_a_penalty_reaches_its_closed_form(penalty):
    """Forgotten, subtracted, divided by the batch size, or of other inputs, the penalty would move the optimum.

    Mean squared error over 2N numbers plus ½ ||W||²: (AᵀA + N diag(1, 1, 1, 0)) w = Aᵀ y. Plus twice the mean square of
    the outputs: all of w divided by 3. The loss reported is the sum.
    """
    x, y, solution = regression()
    a = torch.cat([x, torch.ones(60, 1, dtype=torch.float64)], 1)
    if penalty is ridge:
        truth = torch.linalg.solve(a.T @ a + 60 * torch.diag(torch.tensor([1.0, 1, 1, 0]).double()), a.T @ y)
        added = 0.5 * truth[:3].square().sum()
    else:
        truth = solution / 3
        added = 2 * (a @ truth).square().mean()
    net = linear()
    options = {"loss": mse, "epochs": 400, "batch_size": 60, "lr": 0.1, "optimizer": torch.optim.SGD}
    losses = train(net, x, y, **options, penalty=penalty)
    torch.testing.assert_close(torch.cat([net.weight.T, net.bias[None]]), truth, rtol=1e-6, atol=1e-6)
    assert losses[-1] == pytest.approx(((y - a @ truth).square().mean() + added).item(), rel=1e-6)
    assert (truth - solution).abs().max() > 0.3


def test_the_penalty_sees_the_model_in_training_and_the_inputs_of_its_batch():
    """The regulariser of other images than the loss's would be noise, and that of targets an error of shapes."""
    x, y, _ = regression()
    net, seen, targets = linear(), [], []

    def penalty(model, inputs):
        seen.append((model, model.training, inputs))
        return inputs.new_zeros(())

    def loss(output, target):
        targets.append(target)
        return mse(output, target)

    train(net, x, y, loss=loss, epochs=2, batch_size=25, penalty=penalty)
    assert [len(inputs) for _, _, inputs in seen] == [25, 25, 10] * 2
    assert all(model is net and training for model, training, _ in seen)
    row = {tuple(a.tolist()): tuple(b.tolist()) for a, b in zip(x, y, strict=True)}
    for (_, _, inputs), target in zip(seen, targets, strict=True):
        assert [row[tuple(a.tolist())] for a in inputs] == [tuple(b.tolist()) for b in target]


def test_an_epoch_visits_every_image_once_and_reports_the_mean_over_images():
    """With lr 0 the epoch's loss is that of the whole set, though the last batch is smaller than the others."""
    x, y, _ = regression()
    net = linear()
    expected = (net(x) - y).square().mean().item()
    losses = train(net, x, y, loss=mse, epochs=2, batch_size=25, optimizer=torch.optim.SGD, lr=0.0)
    assert losses == pytest.approx([expected, expected], rel=1e-6)


def test_an_epoch_shuffles_anew():
    """Batches in the same order every epoch, or in the order of the file, learn worse."""
    seen = []

    def loss(output, target):
        seen.append(target[:, 0].tolist())
        return output.square().mean()

    train(nn.Linear(1, 1), torch.zeros(20, 1), torch.arange(20)[:, None], loss=loss, epochs=2, batch_size=8)
    first, second = [list(itertools.chain(*batches)) for batches in (seen[:3], seen[3:])]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second and list(range(20)) not in (first, second)


def test_same_seed_same_numbers_other_seed_other_numbers():
    """The results' provenance names a seed: it must decide the order of the batches and the noise."""
    x, y, _ = regression()

    def run(seed):
        net = nn.Sequential(linear(), nn.Dropout(0.5))
        losses = train(net, x, y, loss=mse, batch_size=16, seed=seed)
        return losses, net[0].weight.detach()

    (losses, weight), (again, weight_again), (other, weight_other) = run(0), run(0), run(1)
    assert losses == again and torch.equal(weight, weight_again)
    assert losses != other and not torch.equal(weight, weight_other)


def test_training_stops_after_the_first_epoch_that_reaches_the_accuracy():
    """Stopping an epoch early or late, or counting in fractions instead of percent.

    The hand-written loop repeats the seeded batches and counts the correct answers as they pass.
    """
    x, y = classes()
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    nn.init.zeros_(net.weight)
    twin = nn.Linear(3, 3)
    twin.load_state_dict(net.state_dict())

    optimiser, accuracies = torch.optim.SGD(twin.parameters(), lr=0.01), []
    torch.manual_seed(0)
    for _ in range(12):
        correct = 0
        for batch in torch.randperm(90).split(32):
            output = twin(x[batch])
            correct += sum(row.argmax().item() == label for row, label in zip(output, y[batch].tolist(), strict=True))
            optimiser.zero_grad()
            nn.functional.cross_entropy(output, y[batch]).backward()
            optimiser.step()
        accuracies.append(100 * correct / 90)
    target = accuracies[3]
    first = next(epoch for epoch, accuracy in enumerate(accuracies, start=1) if accuracy >= target)
    assert 1 < first < 12

    losses = train(net, x, y, epochs=12, batch_size=32, lr=0.01, optimizer=torch.optim.SGD, stop_at=target)
    assert len(losses) == first


def test_training_that_never_reaches_the_accuracy_runs_all_epochs():
    """One input under two labels: no network gets more than half of them right."""
    x, y = torch.ones(40, 3), torch.arange(40) % 2
    assert len(train(nn.Linear(3, 3), x, y, epochs=4, stop_at=51)) == 4


@pytest.mark.parametrize("stop_at", [1, 100])
def test_one_and_a_hundred_percent_are_accuracies(stop_at):
    """The bounds belong to what is allowed."""
    x, y = torch.eye(3).repeat(5, 1), torch.arange(15) % 3
    assert len(train(nn.Linear(3, 3), x, y, epochs=100, stop_at=stop_at)) < 100


@pytest.mark.parametrize(("stop_at", "epochs"), [(99.5, 1), (99.6, 3), (100, 3)])
def test_the_accuracy_that_stops_is_exact(stop_at, epochs):
    """A network that stays as it is, with 199 of 200 answers right: 99.5 % are not 100 %."""
    net, x = nn.Linear(3, 3, bias=False), torch.eye(3)[torch.arange(200) % 3]
    nn.init.eye_(net.weight)
    y = torch.arange(200) % 3
    y[0] = 1
    assert len(train(net, x, y, epochs=3, stop_at=stop_at, optimizer=torch.optim.SGD, lr=0.0)) == epochs


@pytest.mark.parametrize("stop_at", [0.95, 0, 0.999, 100.1, float("nan")])
def test_an_accuracy_that_is_no_percent_is_refused(stop_at):
    """0.95 would end training after the first epoch, at 1 %."""
    with pytest.raises(ValueError, match=rf"stop_at = {stop_at}: .*percent, from 1 to 100"):
        train(nn.Linear(3, 3), *classes(), stop_at=stop_at)


def test_callback_sees_every_epoch_and_its_loss():
    """Off by one, or a loss that is not the one returned."""
    seen = []
    losses = train(nn.Linear(3, 3), *classes(), epochs=3, callback=lambda *args: seen.append(args))
    assert seen == list(zip([1, 2, 3], losses, strict=True))
    assert losses[2] < losses[0]


def test_a_callback_may_change_the_noise_but_training_goes_on_in_training_mode():
    """The model trains in training mode and is left in evaluation mode."""
    modes, net = [], nn.Linear(3, 3).eval()
    train(net, *classes(), epochs=2, callback=lambda *_: modes.append(net.training))
    assert (modes, net.training) == ([True, True], False)


class Interrupted(BaseException):
    """As KeyboardInterrupt, which pytest would take for its own."""


def interrupt(*_, **__):
    raise Interrupted


@pytest.mark.parametrize("trainer", ["fit", "fit_many"])
@pytest.mark.parametrize("way", ["callback", "loss", "optimizer"])
def test_an_interrupt_leaves_evaluation_mode(trainer, way):
    """Whoever goes on with the network after Ctrl-C would measure it with its noise on."""
    models = [nn.Sequential(nn.Linear(3, 3), nn.Dropout()) for _ in range(2)]
    options = {way: interrupt, "epochs": 2, "progress": False}
    with pytest.raises(Interrupted):
        fit_many(models, *classes(), **options) if trainer == "fit_many" else fit(models[0], *classes(), **options)
    for model in models if trainer == "fit_many" else models[:1]:
        assert not any(module.training for module in model.modules())


def test_an_interrupted_training_of_many_keeps_what_it_has_reached():
    """As `fit` does: the weights after the steps that were made, not the initial ones."""
    x, y = doubles()
    models = [dense(seed) for seed in (0, 1)]
    alone, calls = copy.deepcopy(models), []

    def loss(output, target):
        calls.append(1)
        if len(calls) > 2:
            raise Interrupted
        return nn.functional.cross_entropy(output, target)

    with pytest.raises(Interrupted):
        fit_many(models, x, y, epochs=2, batch_size=25, loss=loss, progress=False)
    for model in alone:
        fit(model, x, y, epochs=1, batch_size=25, progress=False)
    same(models, alone)


def test_no_epochs_change_nothing():
    """A budget of 0 epochs must return the initial network."""
    net = linear(dtype=torch.float32)
    before = net.weight.detach().clone()
    assert train(net, *classes(), epochs=0) == []
    assert torch.equal(net.weight, before)


def test_autocast_computes_in_bfloat16_and_stays_close():
    """`autocast` without effect, or training that falls apart in 8 bits."""
    x, y = classes()
    kinds = []

    def loss(output, target):
        kinds.append(output.dtype)
        return nn.functional.cross_entropy(output.float(), target)

    def run(autocast):
        torch.manual_seed(0)
        return train(nn.Linear(3, 3), x, y, epochs=5, loss=loss, autocast=autocast)

    full, half = run(False), run(True)
    assert (kinds[0], kinds[-1]) == (torch.float32, torch.bfloat16)
    assert half == pytest.approx(full, rel=0.02)
    assert half != full


@pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))),
    reason="no C++ compiler: torch.compile cannot build for the CPU",
)
def test_compiled_training_equals_eager_training():
    """`compile` must really compile, and train the model that was handed in, to the same numbers.

    Without bias no C++ is built for this network, which keeps the test at seconds.
    """
    x, y = classes()

    def run(compile):
        torch.manual_seed(0)
        net = nn.Linear(3, 3, bias=False)
        return train(net, x, y, epochs=2, batch_size=45, compile=compile), net

    graphs = torch._dynamo.utils.counters["stats"]
    (eager, net), before = run(False), graphs["unique_graphs"]
    (compiled, net_compiled), after = run(True), graphs["unique_graphs"]
    assert after > before
    assert compiled == pytest.approx(eager, rel=1e-5)
    for one, other in zip(net.parameters(), net_compiled.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_accuracy_is_the_hand_count_for_every_batch_size(batch_size):
    """Four of seven: a mean over batches instead of images, or a lost last batch, gives another number."""
    scores = torch.tensor([[2.0, 1], [0, 1], [3, 0], [0, 2], [1, 0], [5, 4], [0, 9]])
    labels = torch.tensor([0, 1, 1, 0, 0, 1, 1])
    assert evaluate(nn.Identity(), scores, labels, batch_size=batch_size) == pytest.approx(100 * 4 / 7)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_runs_in_evaluation_mode_and_restores_the_mode(mode):
    """Dropout left on would lower the accuracy; a mode not restored would train without it afterwards."""
    x, y = torch.eye(3).repeat(200, 1), torch.arange(3).repeat(200)
    net = nn.Sequential(nn.Dropout(0.9)).train(mode)
    assert evaluate(net, x, y) == 100
    assert (net.training, net[0].training) == (mode, mode)


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda: fit(nn.Linear(1, 1), torch.zeros(3, 1), torch.zeros(2), epochs=1), ["3 inputs", "2 targets"]),
        (lambda: fit(nn.Linear(1, 1), torch.zeros(0, 1), torch.zeros(0), epochs=1), ["0 inputs", "at least one"]),
        (lambda: fit(nn.Linear(1, 1), torch.zeros(3, 1), torch.zeros(3), epochs=-1), ["epochs = -1", ">= 0"]),
        (
            lambda: fit(nn.Linear(1, 1), torch.zeros(3, 1), torch.zeros(3), epochs=1, batch_size=0),
            ["batch_size = 0", ">= 1"],
        ),
        (lambda: evaluate(nn.Linear(1, 1), torch.zeros(3, 1), torch.zeros(4)), ["3 inputs", "4 labels"]),
        (lambda: evaluate(nn.Linear(1, 1), torch.zeros(0, 1), torch.zeros(0)), ["0 inputs", "at least one"]),
        (lambda: evaluate(nn.Linear(3, 2), *column()), ["labels of shape (2, 1)", "expected [N]"]),
        (lambda: evaluate(nn.Unflatten(1, (3, 1)), *TWO), ["labels of shape (2,)", "(2, 3, 1)", "expected [N]"]),
        (lambda: evaluate(nn.Flatten(0), *TWO), ["outputs of shape (6,)", "expected [N] for [N, C]"]),
    ],
)
def test_errors_name_what_is_wrong(refuse, words):
    """Images without labels, silently cut off or divided by zero."""
    with pytest.raises(ValueError) as caught:
        refuse()
    assert all(word in str(caught.value) for word in words)


def column():
    return torch.zeros(2, 3), torch.tensor([[0], [1]])


def each(net, x, y, **options):
    """`fit` and `fit_many` of one network."""
    options = {"epochs": 1, "batch_size": 4, "progress": False, **options}
    fit_many([copy.deepcopy(net)], x, y, **options)
    return fit(net, x, y, **options)


X = torch.randn(10, 3, generator=torch.Generator().manual_seed(3))
INTEGERS, NUMBERS = torch.arange(10) % 3, torch.arange(10.0)


@pytest.mark.parametrize("trainer", ["fit", "fit_many"])
def test_a_batch_has_256_inputs_unless_told(trainer):
    """The defaults of the two must agree, or networks trained together and alone would part."""
    sizes, (x, y) = [], classes(257)

    def loss(output, target):
        sizes.append(len(target))
        assert output.dtype == torch.float32  # and numbers are full ones unless told
        return nn.functional.cross_entropy(output, target)

    net, options = nn.Linear(3, 3), {"epochs": 1, "loss": loss, "progress": False}
    fit(net, x, y, **options) if trainer == "fit" else fit_many([net], x, y, **options)
    assert sizes == [256, 1]


def test_batches_of_one_are_allowed():
    """The smallest there are, as 0 is the smallest number of epochs."""
    assert len(each(nn.Linear(3, 3), X, INTEGERS, batch_size=1)) == 1


def hand_made(output, target):
    return (output - target).square().mean()


@pytest.mark.parametrize("trainer", ["fit", "fit_many"])
@pytest.mark.parametrize(
    ("outputs", "y", "loss", "words"),
    [
        (1, NUMBERS, mse, ["(4, 1)", "(4,)"]),  # [4, 1] against [4] is [4, 4]
        (1, NUMBERS, hand_made, ["(4, 1)", "(4,)", "broadcast"]),
        (1, NUMBERS, lambda o, t: 3 * nn.functional.smooth_l1_loss(o, t), ["(4, 1)", "(4,)"]),
        (1, INTEGERS, mse, ["(4, 1)", "(4,)", "int64"]),  # labels for a regression network
        (1, torch.zeros(10, 1, 1), hand_made, ["(4, 1)", "(4, 1, 1)"]),
        (2, NUMBERS[:, None], mse, ["(4, 2)", "(4, 1)"]),  # each of two outputs to meet one number
        (4, NUMBERS, mse, ["(4, 4)", "(4,)"]),  # a row of the outputs against all targets
        (2, NUMBERS, mse, ["(4, 2)", "(4,)", "float32"]),
        (3, INTEGERS[:, None], nn.functional.cross_entropy, ["(4, 3)", "(4, 1)", "int64", "[B] whole numbers"]),
        (3, NUMBERS, nn.functional.cross_entropy, ["(4, 3)", "(4,)", "float32", "[B] whole numbers"]),
        (2, INTEGERS, nn.functional.cross_entropy, ["(4, 2)", "(4,)", "out of bounds"]),
        (1, NUMBERS, nn.functional.binary_cross_entropy_with_logits, ["(4, 1)", "(4,)"]),
    ],
)
def test_targets_that_do_not_fit_the_output_are_refused(trainer, outputs, y, loss, words):
    """A regression network [B, 1] and labels [B] broadcast to [B, B]: it learns the mean of all, in silence."""
    net = nn.Linear(3, outputs)
    with pytest.raises(ValueError) as caught:
        options = {"epochs": 1, "batch_size": 4, "loss": loss, "progress": False}
        fit(net, X, y, **options) if trainer == "fit" else fit_many([net], X, y, **options)
    assert all(word in str(caught.value) for word in words)


class Images(nn.Module):
    """[B, 3] to [B, 4, 2, 2]: classes pixel by pixel."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 16)

    def forward(self, x):
        return self.linear(x).view(-1, 4, 2, 2)


@pytest.mark.parametrize(
    ("net", "y", "loss"),
    [
        (nn.Linear(3, 3), INTEGERS, nn.functional.cross_entropy),
        (nn.Linear(3, 4), INTEGERS, nn.functional.cross_entropy),  # as many classes as images in a batch
        (nn.Linear(3, 3), nn.functional.one_hot(INTEGERS).float(), nn.functional.cross_entropy),
        (nn.Linear(3, 3), X, mse),
        (nn.Linear(3, 1), NUMBERS[:, None], mse),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), NUMBERS, mse),
        (nn.Linear(3, 2), NUMBERS, lambda o, t: (o[:, 1] + (o[:, 0] - t).square() * (-o[:, 1]).exp()).mean()),
        (nn.Linear(3, 2), NUMBERS[:, None], lambda o, t: (o[:, :1] - t).square().mean()),
        (nn.Linear(3, 3), INTEGERS[:, None], lambda o, t: -o.log_softmax(1).gather(1, t).mean()),
        (Images(), torch.arange(40).view(10, 2, 2) % 4, nn.functional.cross_entropy),
        (Images(), torch.zeros(10, 4, 2, 2), mse),
        (nn.Linear(3, 1), NUMBERS[:, None] % 2, nn.functional.binary_cross_entropy_with_logits),
    ],
)
def test_targets_that_fit_are_taken(net, y, loss):
    """Labels, soft labels, numbers, images, and losses of one's own with targets of another shape than the output's."""
    assert len(each(net, X, y, loss=loss)) == 1


class Pair(nn.Module):
    """Mean and logarithm of the variance, apart."""

    def __init__(self):
        super().__init__()
        self.mean, self.log = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x):
        return self.mean(x), self.log(x)


def test_outputs_that_are_no_tensor_are_the_losss_affair():
    """A network may give what its own loss takes."""
    loss = lambda o, t: (o[1] + (o[0] - t).square() * (-o[1]).exp()).mean()  # noqa: E731
    assert len(each(Pair(), X, NUMBERS[:, None], loss=loss)) == 1


def test_targets_are_checked_once_and_losses_may_fail_later():
    """The check costs nothing after the first batch, and an error of another batch is the loss's own."""
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("mine")
        return output.square().mean()

    with pytest.raises(RuntimeError, match=r"^mine$"):
        train(nn.Linear(3, 3), X, INTEGERS, loss=loss, batch_size=5)
    assert len(calls) == 2


@pytest.mark.parametrize("y", [nn.functional.one_hot(INTEGERS).float(), INTEGERS[:, None]])
def test_stopping_at_an_accuracy_needs_labels(y):
    """Soft labels would be compared with class numbers, element by element: an accuracy of 40 %, or of 300 %."""
    loss = lambda o, t: o.square().mean()  # noqa: E731
    with pytest.raises(ValueError, match=r"labels of shape .* expected \[N\] for \[N, C\]"):
        train(nn.Linear(3, 3), X, y, loss=loss, stop_at=90)


# --- weight decay


def test_l2_is_half_the_squared_weights_of_layers_that_have_them():
    """Biases and batch normalisation are left alone; types that are named are all there is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3), nn.Conv1d(3, 2, 1))
    weights = [model[k].weight.square().sum() for k in (0, 3, 4)]
    x = torch.randn(5, 1, 4, 4)
    assert l2(0.3)(model, x).item() == pytest.approx(0.15 * sum(weights).item())
    assert l2(0.3, (nn.Conv2d,))(model, x).item() == pytest.approx(0.15 * weights[0].item())
    assert l2(0.3, (nn.Linear, nn.Conv1d))(model, x).item() == pytest.approx(0.15 * (weights[1] + weights[2]).item())
    l2(0.3)(model, x).backward()
    torch.testing.assert_close(model[3].weight.grad, 0.3 * model[3].weight)
    assert model[3].bias.grad is None and model[1].weight.grad is None


def test_l2_is_the_weight_decay_of_gradient_descent():
    x, y = classes()
    nets = [nn.Linear(3, 3, bias=False) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    train(nets[0], x, y, optimizer=torch.optim.SGD, penalty=l2(0.2))
    train(nets[1], x, y, optimizer=functools.partial(torch.optim.SGD, weight_decay=0.2))
    torch.testing.assert_close(nets[0].weight, nets[1].weight)


# --- the batch mean of a regulariser


def powers(seen):
    """A stand-in for a regulariser: 1, 2, 4, … of the images, so that a mean tells which of them were taken."""

    def regulariser(model, x, variance, **options):
        seen.append((model, len(x), variance, options))
        return 2 ** x[:, 0]

    return regulariser


def test_subsample_draws_every_subset_alike():
    """The first images only, a draw with replacement, or a sum over the batch would bias what is trained on.

    All 15 pairs of 6 images, equally often by a χ² test; so the mean over draws is the mean over the batch.
    """
    torch.manual_seed(0)
    seen, x, draws = [], torch.arange(6.0)[:, None], 3000
    value = penalty(powers(seen), 0.3, sample=2, layers=["data"])
    sums = [round(2 * value("the model", x).item()) for _ in range(draws)]
    pairs = [2**a + 2**b for a, b in itertools.combinations(range(6), 2)]
    assert set(sums) == set(pairs)
    assert stats.chisquare([sums.count(s) for s in pairs]).pvalue > 1e-3
    assert seen[-1] == ("the model", 2, 0.3, {"create_graph": True, "layers": ["data"]})


@pytest.mark.parametrize("sample", [None, 6, 7])
def test_a_sample_as_large_as_the_batch_is_the_batch(sample):
    """The last batch of an epoch may be smaller than the sample; then no random number is needed either."""
    seen, state = [], torch.get_rng_state()
    assert penalty(powers(seen), 0.3, sample)("the model", torch.arange(6.0)[:, None]).item() == 63 / 6
    assert seen[0][1] == 6 and torch.equal(torch.get_rng_state(), state)


def test_a_sample_of_one_image_is_enough():
    """The smallest that is allowed."""
    value = penalty(powers([]), 0.3, sample=1)
    assert value("the model", torch.arange(6.0)[:, None]).item() in [2**k for k in range(6)]


@pytest.mark.parametrize("sample", [0, -1])
def test_an_empty_sample_is_refused(sample):
    """The mean over nothing is NaN, and so is every weight after it."""
    with pytest.raises(ValueError, match=rf"sample = {sample}: expected at least 1"):
        penalty(powers([]), 0.1, sample)


# --- many networks at once


def dense(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    layers = [nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)]
    return nn.Sequential(*layers[: 2 if not dropout else 3], layers[3]).double()


def doubles(n=50):
    x, y = classes(n)
    return x.double(), y


OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "momentum": functools.partial(torch.optim.SGD, momentum=0.9, weight_decay=0.01),
    "RMSprop": functools.partial(torch.optim.RMSprop, alpha=0.9),
    "Adam": torch.optim.Adam,
}


def both(models, x, y, seeds=0, **options):
    """Trained together and one after another: losses and networks of both."""
    options = {"epochs": 3, "batch_size": 16, "lr": 0.02, "progress": False, **options}
    alone = copy.deepcopy(models)
    each = seeds if isinstance(seeds, list) else [seeds] * len(models)
    truth = [fit(model, x, y, seed=seed, **options) for model, seed in zip(alone, each, strict=True)]
    return fit_many(models, x, y, seeds=seeds, **options), truth, alone


def same(models, alone, tolerance=1e-9):
    for model, other in zip(models, alone, strict=True):
        for (name, value), (key, truth) in zip(model.state_dict().items(), other.state_dict().items(), strict=True):
            assert name == key
            torch.testing.assert_close(value, truth, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seeds", [3, [5, 0, 5]])
def test_networks_trained_together_end_where_fit_takes_them(optimizer, seeds):
    """The mean of the losses for their sum, one network's batches for all, or a state shared by the optimiser.

    50 inputs in batches of 16: the last batch has 2, and weighs less in the epoch's loss.
    """
    x, y = doubles()
    models = [dense(seed) for seed in (0, 1, 0)]
    before = copy.deepcopy(models)
    found, truth, alone = both(models, x, y, seeds, optimizer=OPTIMIZERS[optimizer])
    assert [len(losses) for losses in found] == [3, 3, 3]
    assert found == [pytest.approx(losses, rel=1e-5) for losses in truth]
    same(models, alone)
    assert all((a[0].weight - b[0].weight).abs().max() > 1e-3 for a, b in zip(models, before, strict=True))
    if seeds == 3:  # equal networks stay equal, others do not become so
        same(models[:1], models[2:])
    assert (models[0][0].weight - models[1][0].weight).abs().max() > 1e-2
    assert not any(model.training for model in models)


def noisy(sigmas, where="full", corruption=False):
    """Networks that differ in σ_ε alone."""
    x, models = torch.zeros(1, 3), []
    for sigma in sigmas:
        torch.manual_seed(0)
        models.append(mlp(3, 3, (8,)))
        add_nodes(models[-1], x, sigma, where)
        models[-1].double()
    return models


@pytest.mark.parametrize("where", ["in", "full"])
def test_networks_of_other_noise_meet_the_same_draws_as_alone(where):
    """The phases over σ_ε are compared at equal ε: a σ_ε of the first network for all, or other draws, shows here."""
    x, y = doubles()
    models = noisy([0.0, 0.5, 30.0], where)
    found, truth, alone = both(models, x, y, 2, optimizer=torch.optim.SGD)
    assert found == [pytest.approx(losses, rel=1e-5) for losses in truth]
    same(models, alone)
    assert [injected(model)["linear1"].sigma.item() for model in models] == [0.0, 0.5, 30.0]
    weights = [injected(model)["linear1"].weight for model in models]
    assert (weights[0] - weights[1]).abs().max() > 1e-3 and (weights[1] - weights[2]).abs().max() > 1e-2
    output = models[2].eval()(x)
    set_noise(models[2], sigma=0.0)
    torch.testing.assert_close(
        models[2].train()(x), output
    )  # the models themselves are whole, and still have their nodes


def test_dropout_and_corrupted_inputs_meet_the_same_draws_as_alone():
    """Noise without parameters is drawn inside the vectorised pass: the same mask for all, that of `fit`."""
    x, y = doubles()
    models = [dense(seed, 0.4) for seed in (0, 1)]
    for model in models:
        inject(model, InputCorruption(0.3), ["0"], before=True)
        model.eval()  # as an earlier training has left it
    found, truth, alone = both(models, x, y, 4)
    assert found == [pytest.approx(losses, rel=1e-5) for losses in truth]
    same(models, alone)


def test_batch_normalisation_learns_its_statistics():
    """Running means left at 0 (or at the first network's) would break every test accuracy."""
    g = torch.Generator().manual_seed(0)
    x, y = 2 * torch.randn(40, 1, 7, 7, generator=g, dtype=torch.float64) + 1, torch.arange(40) % 3
    models = []
    for seed in (0, 1, 2):
        torch.manual_seed(seed)
        models.append(blocknet(1, 7, 3, ((2,), (3,)), dense=5, dropout=(0.2,)).double())
        add_nodes(models[-1], x, 0.5 * seed)
        models[-1].double()
    found, truth, alone = both(models, x, y, 1, optimizer=torch.optim.SGD)
    assert found == [pytest.approx(losses, rel=1e-5) for losses in truth]
    same(models, alone)
    assert [model.norm2.num_batches_tracked.item() for model in models] == [9, 9, 9]
    assert len({round(model.norm1.running_mean[0].item(), 6) for model in models}) == 3
    assert evaluate(models[1], x, y) == evaluate(alone[1], x, y)


def test_a_list_of_seeds_gives_each_network_noise_and_batches_of_its_own():
    """Repetitions of one setting with the same noise would have no spread to show."""
    x, y = doubles()

    def run(seeds):
        models = noisy([0.5, 0.5])
        losses = fit_many(models, x, y, epochs=2, batch_size=16, seeds=seeds, progress=False)
        return models, losses

    models, losses = run([1, 2])
    again, losses_again = run([1, 2])
    same(models, again, 0.0)
    assert losses == losses_again and losses[0] != losses[1]
    assert (models[0].linear1.weight - models[1].linear1.weight).abs().max() > 1e-3
    _, losses = run([3, 3])  # the noise is each one's own even so
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)
    one_seed, losses = run(3)
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    same(one_seed[:1], one_seed[1:])
    assert run(4)[1] != losses and run([1, 4])[1] != losses_again


def test_the_batches_of_a_list_of_seeds_are_those_of_fit():
    """Seen from the loss: each network's targets in the order of its own seed, every one once an epoch."""
    x = torch.zeros(10, 1, dtype=torch.float64)
    seen = {k: [] for k in range(3)}

    def orders(seed):
        order = []
        net = nn.Linear(1, 1, dtype=torch.float64)
        spy = lambda o, t: (order.append(t[:, 0].tolist()), (o * t).sum())[1]  # noqa: E731
        fit(net, x, torch.arange(10.0).double()[:, None], epochs=2, batch_size=4, loss=spy, seed=seed, progress=False)
        return order

    for k, seed in enumerate((7, 8, 7)):
        seen[k] = orders(seed)
    weights = torch.arange(1.0, 5.0).double()  # the loss tells the order of the batch
    models = [nn.Linear(1, 1, dtype=torch.float64) for _ in range(3)]
    for model in models:
        nn.init.zeros_(model.weight)
        nn.init.ones_(model.bias)
    coded = lambda o, t: ((o * t)[:, 0] * weights[: len(t)]).sum()  # noqa: E731
    losses = fit_many(
        models, x, torch.arange(10.0).double()[:, None], epochs=2, batch_size=4, loss=coded, seeds=[7, 8, 7], lr=0.0,
        optimizer=torch.optim.SGD, progress=False,
    )  # fmt: skip
    for k in range(3):
        for epoch in range(2):
            batches = seen[k][3 * epoch : 3 * epoch + 3]
            truth = sum(len(b) * sum(t * (i + 1) for i, t in enumerate(b)) for b in batches) / 10
            assert losses[k][epoch] == pytest.approx(truth, rel=1e-6)
    assert losses[0] == pytest.approx(losses[2], rel=1e-9) and losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_one_network_alone_and_batches_larger_than_the_data():
    """K = 1 must not lose its dimension."""
    x, y = doubles()
    models = [dense()]
    found, truth, alone = both(models, x, y, 6, batch_size=1000)
    assert found == [pytest.approx(truth[0], rel=1e-5)]
    same(models, alone)
    models = [dense()]
    found, truth, alone = both(models, x, y, [6], batch_size=7)
    assert found == [pytest.approx(truth[0], rel=1e-5)]
    same(models, alone)


def test_the_callback_finds_the_models_up_to_date():
    """Measures over the epochs (the norm of W_NI) would all be those of the start, or lag by an epoch."""
    x, y = doubles()
    models, seen = noisy([0.5, 2.0]), []

    def keep(epoch, losses):
        seen.append((epoch, losses, [injected(m)["linear1"].weight.detach().clone() for m in models]))

    losses = fit_many(models, x, y, epochs=3, batch_size=16, callback=keep, progress=False, lr=0.02)
    for epoch in (1, 2, 3):
        short = noisy([0.5, 2.0])
        fit_many(short, x, y, epochs=epoch, batch_size=16, progress=False, lr=0.02)
        assert seen[epoch - 1][0] == epoch
        assert seen[epoch - 1][1] == [losses[0][epoch - 1], losses[1][epoch - 1]]
        for now, model in zip(seen[epoch - 1][2], short, strict=True):
            torch.testing.assert_close(now, injected(model)["linear1"].weight.detach(), rtol=1e-12, atol=1e-12)
    assert len(seen) == 3


def test_parameters_that_are_frozen_stay():
    """A frozen layer is part of an experiment; the others must still be trained."""
    x, y = doubles()
    models = [dense(seed) for seed in (0, 1)]
    for model in models:
        model[0].requires_grad_(False)
    start = [model[0].weight.clone() for model in models]
    found, truth, alone = both(models, x, y)
    assert found == [pytest.approx(losses, rel=1e-5) for losses in truth]
    same(models, alone)
    assert all(torch.equal(model[0].weight, weight) for model, weight in zip(models, start, strict=True))
    assert not models[0][0].weight.requires_grad and models[0][2].weight.requires_grad


class Tied(nn.Module):
    """Two layers with one weight, as an embedding and its output may have; and a layer that is never used."""

    def __init__(self, tie=True):
        super().__init__()
        self.one, self.two, self.idle = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(2, 2)
        self.again = self.one
        if tie:
            self.two.weight = self.one.weight

    def forward(self, x):
        return self.again(self.two(self.one(x).tanh()).tanh())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_tied_and_unused_parameters_are_trained_as_alone(optimizer):
    """Ties lost in the stack train two weights where the network has one; weight decay must spare the idle layer."""
    x, y = doubles()
    models = [Tied().double() for _ in range(3)]
    before = [model.idle.weight.clone() for model in models]
    found, truth, alone = both(models, x, y, optimizer=OPTIMIZERS[optimizer])
    assert found == [pytest.approx(losses, rel=1e-5) for losses in truth]
    same(models, alone)
    for model, idle in zip(models, before, strict=True):
        assert model.one.weight is model.two.weight and torch.equal(model.idle.weight, idle)


def shared_weight():
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    models[1].weight = models[0].weight
    return models


def shared_buffer():
    models = [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    models[1].running_mean = models[0].running_mean
    return models


@pytest.mark.parametrize("make", [shared_weight, shared_buffer, lambda: [nn.Linear(3, 2)] * 2])
def test_networks_that_share_a_parameter_with_each_other_are_refused(make):
    """Each would train its own copy, and the last one written back would win."""
    with pytest.raises(ValueError, match=r"2 models share a parameter or buffer.*deepcopy"):
        fit_many(make(), *TWO, epochs=1, progress=False)


TWO = torch.zeros(2, 3), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda: fit_many([nn.Linear(3, 2)], TWO[0], torch.zeros(3), epochs=1), ["2 inputs", "3 targets"]),
        (lambda: fit_many([nn.Linear(3, 2)], TWO[0][:0], TWO[1][:0], epochs=1), ["0 inputs", "at least one"]),
        (lambda: fit_many([], *TWO, epochs=1), ["0 models", "at least one"]),
        (lambda: fit_many([nn.Linear(3, 2), nn.Linear(3, 4)], *TWO, epochs=1), ["2 models", "one architecture"]),
        (lambda: fit_many([nn.Linear(3, 2), nn.Linear(3, 2, False)], *TWO, epochs=1), ["2 models", "one architecture"]),
        (lambda: fit_many([nn.Linear(3, 2)] * 2, *TWO, epochs=1, seeds=[1]), ["1 seeds", "2 models"]),
        (lambda: fit_many([nn.Linear(3, 2)] * 2, *TWO, epochs=1, seeds=[]), ["0 seeds", "2 models"]),
    ],
)
def test_errors_of_many_networks_name_what_is_wrong(refuse, words):
    """Networks silently left out, or labels cut off."""
    with pytest.raises(ValueError) as caught:
        refuse()
    assert all(word in str(caught.value) for word in words)


def test_no_epochs_of_many_networks_are_a_history_each():
    """As `fit`, an empty history for every network; now `for model, losses in zip(…, strict=True)` fails."""
    assert fit_many([dense(0), dense(1)], *doubles(), epochs=0, progress=False) == [[], []]


@pytest.mark.parametrize("options", [{"epochs": -1}, {"epochs": 1, "batch_size": 0}])
def test_impossible_budgets_of_many_networks_are_refused(options):
    """-1 epochs train nothing in silence; batches of 0 are an error of torch's."""
    with pytest.raises(ValueError, match=r"epochs = .*batch_size = .*expected"):
        fit_many([dense(0)], *doubles(), progress=False, **options)


def noisy_mlp(before=False, where="all", activation=nn.ReLU, **noise):
    torch.manual_seed(0)
    model = mlp(3, 3, (8, 8), activation)
    inject(model, ActivationNoise(**noise), where, before=before)
    return model


def double(module, inputs, output, factor=2):
    return factor * output


def triple(module, inputs, output):
    return 3 * output


class Halver:
    """A hook that is an object's method."""

    def __init__(self, factor=0.5):
        self.factor = factor

    def hook(self, module, inputs, output):
        return self.factor * output


def hooked(hook=None, pre=None, **options):
    """A network with a hook behind, or before, its last layer."""
    torch.manual_seed(0)
    model = mlp(3, 3, (8,))
    if hook:
        model.linear2.register_forward_hook(hook, **options)
    if pre:
        model.linear2.register_forward_pre_hook(pre, **options)
    return model


def closure(factor):
    return lambda module, inputs, output: factor * output


def defaults(factor):
    return lambda module, inputs, output, factor=factor: factor * output


def keywords(factor):
    def hook(module, inputs, output, *, factor=factor):
        return factor * output

    return hook


class Setting(nn.Module):
    """A layer with a setting of any kind."""

    def __init__(self, setting):
        super().__init__()
        self.linear, self.setting = nn.Linear(3, 3), setting

    def forward(self, x):
        return self.linear(x)


def frozen():
    model = mlp(3, 3, (8,))
    model.linear1.weight.requires_grad_(False)
    return model


def tied_to(first):
    model = nn.ModuleDict({name: nn.Linear(3, 3) for name in "abc"})
    model["c"].weight = model[first].weight
    return model


def reusing(first):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    return nn.Sequential(a, b, a if first else b)


DIFFERENT = {  # two networks of equal parameters, and the place in which they differ
    "sigma": (lambda: noisy_mlp(sigma=1e-6), lambda: noisy_mlp(sigma=100), "act1.injected_noise.parameters_of_noise"),
    "alpha": (lambda: noisy_mlp(alpha=0.1), lambda: noisy_mlp(alpha=0.2), "act1.injected_noise.alpha"),
    "before": (noisy_mlp, lambda: noisy_mlp(before=True), "act1._forward_hooks"),
    "where": (noisy_mlp, lambda: noisy_mlp(where=["act1", "linear3"]), "act2._forward_hooks"),
    "distribution": (noisy_mlp, lambda: noisy_mlp(distribution="uniform"), "act1.injected_noise.distribution"),
    "activation": (lambda: mlp(3, 3, (8,), nn.ReLU), lambda: mlp(3, 3, (8,), nn.Tanh), "act1"),
    "slope": (lambda: nn.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.2), "negative_slope"),
    "hook": (lambda: hooked(double), lambda: hooked(triple), "linear2._forward_hooks"),
    "no hook": (hooked, lambda: hooked(double), "linear2._forward_hooks"),
    "hook with keywords": (
        lambda: hooked(double), lambda: hooked(double, with_kwargs=True), "linear2._forward_hooks_with_kwargs",
    ),
    "pre-hook": (lambda: hooked(pre=double), lambda: hooked(pre=triple), "linear2._forward_pre_hooks"),
    "partial": (
        lambda: hooked(functools.partial(double, factor=3)), lambda: hooked(functools.partial(double, factor=4)),
        "linear2._forward_hooks",
    ),
    "partial function": (
        lambda: hooked(functools.partial(double)), lambda: hooked(functools.partial(triple)), "linear2._forward_hooks",
    ),
    "partial argument": (
        lambda: Setting(functools.partial(max, 1)), lambda: Setting(functools.partial(max, 2)), "setting",
    ),
    "closure": (lambda: hooked(closure(1)), lambda: hooked(closure(2)), "linear2._forward_hooks"),
    "default": (lambda: hooked(defaults(1)), lambda: hooked(defaults(2)), "linear2._forward_hooks"),
    "keyword": (lambda: hooked(keywords(1)), lambda: hooked(keywords(2)), "linear2._forward_hooks"),
    "method": (lambda: hooked(Halver(1).hook), lambda: hooked(Halver(2).hook), "linear2._forward_hooks"),
    "list": (lambda: Setting([1, 2]), lambda: Setting([1, 3]), "setting"),
    "longer list": (lambda: Setting([1]), lambda: Setting([1, 3]), "setting"),
    "keys": (lambda: Setting({"a": 1}), lambda: Setting({"b": 1}), "setting"),
    "None": (lambda: Setting(None), lambda: Setting(1), "setting"),
    "kind of number": (lambda: Setting(1), lambda: Setting(True), "setting"),
    "class": (lambda: Setting(nn.ReLU), lambda: Setting(nn.ELU), "setting"),
    "tensor": (lambda: Setting(torch.zeros(2)), lambda: Setting(torch.tensor([0.0, 1.0])), "setting"),
    "shape": (lambda: Setting(torch.zeros(2)), lambda: Setting(torch.zeros(1)), "setting"),
    "array": (lambda: Setting(np.zeros(2)), lambda: Setting(np.array([0, 1.0])), "setting"),
    "what cannot be compared": (lambda: Setting(object()), lambda: Setting(object()), "setting"),
    "a comparison that fails": (lambda: Setting({1, "a"}), lambda: Setting(Stubborn()), "setting"),
    "stubborn": (lambda: Setting(Stubborn()), lambda: Setting(Stubborn()), "setting"),
    "object": (lambda: Setting(Halver(1)), lambda: Setting(Halver(2)), "setting"),
    "frozen": (lambda: mlp(3, 3, (8,)), frozen, "linear1.weight"),
    "dtype": (lambda: nn.Linear(3, 3), lambda: nn.Linear(3, 3).double(), "weight"),
    "tied": (lambda: Tied(True), lambda: Tied(False), "two.weight"),
    "tied elsewhere": (lambda: tied_to("a"), lambda: tied_to("b"), "c.weight"),
    "module used again": (lambda: reusing(True), lambda: reusing(False), "2"),
    "a module more": (
        lambda: nn.Sequential(nn.Linear(3, 3)), lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), "",
    ),
}  # fmt: skip


class Stubborn:
    def __eq__(self, other):
        raise TypeError("not comparable")

    __hash__ = None


@pytest.mark.parametrize("kind", DIFFERENT)
def test_networks_that_differ_in_more_than_numbers_are_refused(kind):
    """The second network is trained with the first one's noise, activation or hook, in silence."""
    one, other, place = DIFFERENT[kind]
    for pair in ((one(), other()), (other(), one())):
        with pytest.raises(ValueError, match=rf"2 models: .*models 0 and 1 differ in {re.escape(place)}"):
            fit_many(list(pair), *TWO, epochs=1, progress=False)


def test_the_third_network_is_compared_too():
    """Only neighbours, or the first two, would let it pass."""
    with pytest.raises(ValueError, match=r"3 models: .*models 0 and 2 differ in act1.injected_noise.alpha"):
        fit_many([noisy_mlp(alpha=a) for a in (0.1, 0.1, 0.2)], *TWO, epochs=1, progress=False)


def own(self, module, inputs, output):
    return output + self.linear.bias


def self_reference():
    model = Setting(None)
    model.setting = [model.linear, model.linear.weight]
    model.linear.register_forward_hook(types.MethodType(own, model))
    model.forward = types.MethodType(Setting.forward, model)
    return model


def with_handle():
    model = Setting(None)
    model.setting = model.linear.register_forward_hook(double)
    return model


def used_before(model):
    for _ in range(3):  # other hooks came and went: the numbers of the hooks are others
        model.linear2.register_forward_hook(triple).remove()
    model.linear2.register_forward_hook(double)
    return model


ALIKE = {
    "noise": noisy_mlp,
    "noise before": lambda: noisy_mlp(before=True, sigma=3.0),
    "nodes": lambda: noisy([0.5])[0].float(),
    "partial": lambda: hooked(functools.partial(double, factor=3)),
    "closure": lambda: hooked(closure(2)),
    "default": lambda: hooked(defaults(2)),
    "method": lambda: hooked(Halver().hook),
    "hook used before": lambda: used_before(mlp(3, 3, (8,))),
    "handle": with_handle,
    "itself": self_reference,
    "tied": Tied,
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
    "settings": lambda: Setting({"a": [1, (2.0, None)], "b": torch.eye(2), "c": np.eye(2), "d": {3, "e"}}),
    "object": lambda: Setting(Halver()),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_networks_that_are_made_alike_are_taken(kind):
    """Deep copies, and networks that one function has made: objects of their own must not count as a difference."""
    make = ALIKE[kind]
    model = make()
    assert len(fit_many([model, copy.deepcopy(model)], *TWO, epochs=1, progress=False)) == 2
    assert _difference(make(), make()) is None


def holding(part):
    """A network with a hook that holds one of its own modules, or parameters, in a closure."""
    model = hooked()
    mine = model.get_submodule("act1") if part == "module" else model.linear2.bias
    model.linear2.register_forward_hook(
        lambda module, inputs, output: mine(output) if part == "module" else output + mine
    )
    return model


@pytest.mark.parametrize("part", ["module", "parameter"])
def test_hooks_that_hold_a_part_of_their_network_are_refused(part):
    """A copy of the network would go on with the original's part: of one network alone, too, and of deep copies."""
    assert _difference(holding(part), holding(part)) is None
    model = holding(part)
    for models in ([model], [holding(part), holding(part)], [model, copy.deepcopy(model)]):
        with pytest.raises(ValueError, match=r"differ in linear2._forward_hooks .*no function may hold a module"):
            fit_many(models, *TWO, epochs=1, progress=False)
    assert _difference(model, copy.deepcopy(model)) == _difference(copy.deepcopy(model), model)


def test_the_order_in_which_settings_were_made_does_not_matter():
    """One network's dictionary was updated, the other's written anew."""
    models = [Setting({"a": 1, "b": 1, "c": 0}), Setting({"c": 0, "b": 1, "a": 1})]
    assert len(fit_many(models, *TWO, epochs=1, progress=False)) == 2
