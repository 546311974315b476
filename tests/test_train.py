"""The training loop against closed forms and hand counts."""

import copy
import functools
import itertools
import os
import shutil

import pytest
import torch
from torch import nn

from tutorial_lib import blocknet, evaluate, fit, fit_many, injected, mlp, set_noise
from tutorial_lib.papers.ninr.method import InputCorruption, add_nodes


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
        seen.append(target.tolist())
        return output.square().mean()

    train(nn.Linear(1, 1), torch.zeros(20, 1), torch.arange(20), loss=loss, epochs=2, batch_size=8)
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
    """More than 100% cannot be reached."""
    assert len(train(nn.Linear(3, 3), *classes(), epochs=4, stop_at=100.1)) == 4


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
    ],
)
def test_errors_name_what_is_wrong(refuse, words):
    """Images without labels, silently cut off or divided by zero."""
    with pytest.raises(ValueError) as caught:
        refuse()
    assert all(word in str(caught.value) for word in words)


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
        same(models[:1], models[2:], 0.0)
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
    assert torch.equal(models[2].train()(x), output)  # the models themselves are whole, and still have their nodes


def test_dropout_and_corrupted_inputs_meet_the_same_draws_as_alone():
    """Noise without parameters is drawn inside the vectorised pass: the same mask for all, that of `fit`."""
    from tutorial_lib import inject

    x, y = doubles()
    models = [dense(seed, 0.4) for seed in (0, 1)]
    for model in models:
        inject(model, InputCorruption(0.3), ["0"], before=True)
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
    assert losses[0] == losses[1]
    same(one_seed[:1], one_seed[1:], 0.0)
    assert run(4)[1] != losses and run([1, 4])[1] != losses_again


def test_the_batches_of_a_list_of_seeds_are_those_of_fit():
    """Seen from the loss: each network's targets in the order of its own seed, every one once an epoch."""
    x = torch.zeros(10, 1, dtype=torch.float64)
    seen = {k: [] for k in range(3)}

    def orders(seed):
        order = []
        net = nn.Linear(1, 1, dtype=torch.float64)
        spy = lambda o, t: (order.append(t.tolist()), (o[:, 0] * t).sum())[1]  # noqa: E731
        fit(net, x, torch.arange(10.0).double(), epochs=2, batch_size=4, loss=spy, seed=seed, progress=False)
        return order

    for k, seed in enumerate((7, 8, 7)):
        seen[k] = orders(seed)
    weights = torch.arange(1.0, 5.0).double()  # the loss tells the order of the batch
    models = [nn.Linear(1, 1, dtype=torch.float64) for _ in range(3)]
    for model in models:
        nn.init.zeros_(model.weight)
        nn.init.ones_(model.bias)
    coded = lambda o, t: (o[:, 0] * t * weights[: len(t)]).sum()  # noqa: E731
    losses = fit_many(
        models, x, torch.arange(10.0).double(), epochs=2, batch_size=4, loss=coded, seeds=[7, 8, 7], lr=0.0,
        optimizer=torch.optim.SGD, progress=False,
    )  # fmt: skip
    for k in range(3):
        for epoch in range(2):
            batches = seen[k][3 * epoch : 3 * epoch + 3]
            truth = sum(len(b) * sum(t * (i + 1) for i, t in enumerate(b)) for b in batches) / 10
            assert losses[k][epoch] == pytest.approx(truth, rel=1e-6)
    assert losses[0] == losses[2] != losses[1]


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


def other_distribution():
    models = [mlp(3, 3, (8,)), mlp(3, 3, (8,))]
    for model, name in zip(models, ("gaussian", "uniform"), strict=True):
        add_nodes(model, TWO[0], 1.0, distribution=name)
    return models


@pytest.mark.parametrize("make", [other_distribution, lambda: [mlp(3, 3, (8,), a) for a in (nn.ReLU, nn.Tanh)]])
def test_networks_that_differ_in_more_than_numbers_are_refused(make):
    """The second network is trained with the first one's activation, or noise, in silence."""
    with pytest.raises(ValueError, match="2 models"):
        fit_many(make(), *TWO, epochs=1, progress=False)
