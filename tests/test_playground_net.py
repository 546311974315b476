"""The playground's networks, their noises and what is measured of them: the page's JavaScript against torch and numpy.

Each network is written here a second time, from what the playground says of it, and differentiated by torch.
"""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from test_book import CHROMIUM, browser  # noqa: F401
from torch import nn

from tutorial_lib import ActivationNoise, inject, measure, mlp
from tutorial_lib.papers.dropout_augmentation import method as dropping
from tutorial_lib.papers.explicit_reg import method as explicit
from tutorial_lib.papers.ninr import method as ninr
from tutorial_lib.papers.vpn import method as vpn
from tutorial_lib.playground import script

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test what the playground computes"
)

NAMES = """NOISES, GENERATOR, drawsOf, layout, initialise, probabilities, lossAndGradient, descend, nodeNorm,
deviations, points, uniforms, normals, shuffled, accuracy, crossEntropy, reliability, calibrationError, margin, phase,
LEVELS, underCorruption, toAddress, fromAddress, start, SETTINGS, PRESETS, begin, step, measure, mapOf"""
STRENGTH = {
    "none": 0.0, "activation": 0.7, "gaussian": 0.4, "penalty": 0.5, "dropout": 0.4, "random": 0.8, "node": 3.0,
    "learned": 0.5,
}  # fmt: skip
UNIFORM = ("dropout", "random")
MORE = {"gaussian": 2}  # draws of a point beside one for each hidden unit (random dropout: one a layer)
GAMMA = 0.005
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU}
SHAPES = ("moons", "circles", "spirals", "xor", "blobs")
kinds = pytest.mark.parametrize("kind", STRENGTH)
activations = pytest.mark.parametrize("activation", ACTIVATIONS)
depths = pytest.mark.parametrize("widths", [[3], [4, 2]], ids=str)


@pytest.fixture(scope="module")
def page(browser):  # noqa: F811
    """An empty page that holds the playground's functions as `pg`, in strict mode, as the book has them."""
    opened, errors = browser.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto("about:blank")
    opened.evaluate('() => { "use strict"; window.pg = (() => { ' + script() + f"; return {{{NAMES}}} }})() }}")
    yield opened
    assert errors == []
    opened.close()


def ask(page, code, **given):
    """What the page makes of `code`; lists that it computes with are typed arrays there, as on the page itself."""
    ready = """const F = (list) => Float64Array.from(list), {net} = given;
    const weights = F(given.weights || []), draws = F(given.draws || []);
    const data = given.x && {x: F(given.x), y: Uint8Array.from(given.y || [])};"""
    return page.evaluate(f"(given) => {{ {ready} {code} }}", {k: plain(v) for k, v in given.items()})


def plain(value):
    """Numbers of numpy and torch as lists that cross into the page."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    return value.ravel().tolist() if isinstance(value, np.ndarray) else value


def close(found, expected, tolerance=1e-9):
    if isinstance(expected, torch.Tensor):
        expected = expected.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def network(kind, activation="tanh", widths=(4, 2), strength=None):
    strength = STRENGTH[kind] if strength is None else strength
    return {"widths": list(widths), "activation": activation, "noise": kind, "strength": strength}


def plan(page, net):
    return ask(page, "return pg.layout(net)", net=net)


def draw(rng, kind, count, each):
    return rng.random((count, each)) if kind in UNIFORM else rng.standard_normal((count, each))


def draws_of(net):
    """How many numbers a point takes, from the declaration of the noises."""
    units, kind = sum(net["widths"]), net["noise"]
    if kind in ("none", "penalty"):
        return 0
    more = len(net["widths"]) if kind == "random" else MORE.get(kind, 0)
    return {"node": 1, "learned": 2}.get(kind, units + more)


class Case:
    """A network with random weights and biases, eleven points, and a batch of nine, some of them twice, with draws."""

    def __init__(self, page, net, seed=0, batch=9):
        rng = np.random.default_rng([seed, list(STRENGTH).index(net["noise"]), len(net["widths"])])
        self.page, self.net, self.plan, self.rng = page, net, plan(page, net), rng
        self.weights = rng.standard_normal(self.plan["count"])
        for part in self.plan["layers"]:  # positive biases, so that units of ReLU are awake
            self.weights[part["b"] : part["b"] + part["rows"]] = rng.uniform(0.2, 1.2, part["rows"])
        self.x, self.y = 1.2 * rng.standard_normal((11, 2)), rng.integers(0, 2, 11)
        self.index = [7, 2, 2, *rng.integers(0, 11, batch - 3).tolist()]
        self.draws = draw(rng, net["noise"], batch, draws_of(net))

    def given(self, **other):
        found = {k: getattr(self, k) for k in ("net", "weights", "x", "y", "index", "draws")}
        return {**found, **other}

    def page_loss(self, **other):
        """Loss and gradient as the page has them; what the gradient held before must not matter."""
        code = """const gradient = new Float64Array(weights.length).fill(7);
        const loss = pg.lossAndGradient(net, weights, data, given.index, draws, gradient);
        return [loss, Array.from(gradient)];"""
        loss, gradient = ask(self.page, code, **self.given(**other))
        return loss, np.array(gradient)

    def torch_loss(self, weights, index=None, draws=None):
        index, draws = self.index if index is None else index, self.draws if draws is None else draws
        x, y, z = (torch.tensor(v, dtype=torch.float64) for v in (self.x[index], self.y[index], draws))
        return loss_of(self.net, self.plan, weights, x, y, z)

    def leaf(self):
        return torch.tensor(self.weights, requires_grad=True)


# ---- the network, a second time


def block(w, part):
    """A matrix and its biases out of the flat list of weights."""
    rows, columns = part["rows"], part["columns"]
    matrix = w[part["w"] : part["w"] + rows * columns].view(rows, columns)
    return matrix, w[part["b"] : part["b"] + rows]


def affine(w, part, x):
    matrix, biases = block(w, part)
    return x @ matrix.T + biases


def deviation_of(layout, w, x, y):
    """The learned deviation of the noise at points with labels."""
    first, second = layout["generator"]
    hidden = torch.tanh(affine(w, first, x + GAMMA * y[:, None]))
    return (nn.functional.softplus(affine(w, second, hidden), threshold=700) + 1e-6).sqrt()


def behind(net, h, z, rho):
    """What noise makes of a hidden layer's activation, with draws `z` for its units."""
    if net["noise"] in ("activation", "gaussian"):
        return h + net["strength"] * z
    if net["noise"] in UNIFORM:
        return h * (z >= rho) / (1 - rho)
    return h


def forward(net, layout, w, x, y, z):
    """The logit f [B], and the data and hidden layers that it goes through."""
    kind, s = net["noise"], net["strength"]
    rho = s
    if kind == "gaussian":
        x = x + s * z[:, :2]
    if kind == "learned" and s:
        x = x + deviation_of(layout, w, x, y) * z
    if kind == "penalty":
        x = x.clone().requires_grad_()
    at, passed = MORE.get(kind, 0), [x]
    for k, (width, part) in enumerate(zip(net["widths"], layout["layers"], strict=False)):
        a = affine(w, part, passed[-1])
        if kind == "node" and k == 0:
            a = a + s * z * w[layout["node"] : layout["node"] + width]
        if kind == "random":
            rho, at = s * z[:, at : at + 1], at + 1
        passed.append(behind(net, ACTIVATIONS[net["activation"]]()(a), z[:, at : at + width], rho))
        at += width
    return affine(w, layout["layers"][-1], passed[-1])[:, 0], passed


def loss_of(net, layout, w, x, y, z):
    """Mean cross-entropy of a batch, and the penalty that stands for noise in the data and every hidden layer."""
    f, passed = forward(net, layout, w, x, y, z)
    loss = nn.functional.binary_cross_entropy_with_logits(f, y)
    if net["noise"] != "penalty":
        return loss
    slopes = torch.autograd.grad(f.sum(), passed, create_graph=True)
    p = torch.sigmoid(f)
    added = net["strength"] ** 2 / 2 * p * (1 - p) * sum(j.square().sum(1) for j in slopes)
    return loss + added.mean()


def classifier(case):
    """The package's network of two classes, with logits (0, f), and its trained numbers in the page's order."""
    net = case.net
    model = mlp(2, 2, net["widths"], ACTIVATIONS[net["activation"]]).double()
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer, part in zip(linear, case.plan["layers"], strict=True):
        matrix, biases = block(torch.tensor(case.weights), part)
        layer.weight.data.zero_()[-part["rows"] :] = matrix
        layer.bias.data.zero_()[-part["rows"] :] = biases
    return model, linear


def in_page_order(case, linear):
    """The gradients of `classifier` as one flat list, that of class 0 left out."""
    flat = np.zeros(case.plan["count"])
    for layer, part in zip(linear, case.plan["layers"], strict=True):
        size = part["rows"] * part["columns"]
        flat[part["w"] : part["w"] + size] = layer.weight.grad[-part["rows"] :].ravel()
        flat[part["b"] : part["b"] + part["rows"]] = layer.bias.grad[-part["rows"] :]
    return flat


# ---- the layout, the loss and its gradient


@kinds
@depths
def test_every_weight_has_one_place(page, kind, widths):
    """Two parts that overlap, or a gap, would train weights that mean two things or nothing."""
    found, sizes = plan(page, network(kind, widths=widths)), [2, *widths, 1]
    shapes = [(part["rows"], part["columns"]) for part in found["layers"]]
    assert shapes == [(b, a) for a, b in itertools.pairwise(sizes)]
    parts = list(found["layers"])
    if kind == "learned":
        assert [(part["rows"], part["columns"]) for part in found["generator"]] == [(8, 2), (2, 8)]
        parts += found["generator"]
    else:
        assert found["generator"] is None
    used = [k for part in parts for k in range(part["w"], part["w"] + part["rows"] * part["columns"])]
    used += [k for part in parts for k in range(part["b"], part["b"] + part["rows"])]
    if kind == "node":
        used += range(found["node"], found["node"] + widths[0])
    else:
        assert found["node"] == -1
    assert sorted(used) == list(range(found["count"]))


@kinds
@depths
def test_every_noise_takes_as_many_draws_as_it_uses(page, kind, widths):
    """A draw too few would give the next point the last one's noise; draws of the wrong law, another noise."""
    net = network(kind, widths=widths)
    assert ask(page, "return pg.drawsOf(net)", net=net) == draws_of(net)
    if draws_of(net):
        law = page.evaluate("kind => pg.NOISES[kind].draws", kind)
        assert (law == "normal") == (kind not in UNIFORM)


def test_the_noises_are_those_declared(page):
    assert sorted(page.evaluate("() => Object.keys(pg.NOISES)")) == sorted(STRENGTH)


@kinds
@activations
@depths
@pytest.mark.parametrize("seed", range(2))
def test_loss_and_gradient_are_those_of_torch(page, kind, activation, widths, seed):
    """Each noise enters the loss as the page says, and the page's derivative is that of the page's loss."""
    case = Case(page, network(kind, activation, widths), seed)
    w = case.leaf()
    expected = case.torch_loss(w)
    expected.backward()
    loss, gradient = case.page_loss()
    close(loss, expected)
    close(gradient, w.grad)
    assert np.count_nonzero(gradient) > 0.4 * len(gradient)  # it compares something


@activations
@pytest.mark.parametrize(("kind", "part"), [("node", "node"), ("learned", "generator")])
def test_the_noises_own_weights_are_trained(page, kind, part, activation):
    """Else a noise node could not decay, nor a generator learn."""
    case = Case(page, network(kind, activation))
    start = case.plan[part] if part == "node" else case.plan["generator"][0]["w"]
    _, gradient = case.page_loss()
    assert np.abs(gradient[start : start + 4]).max() > 1e-4


@kinds
@activations
def test_no_strength_is_no_noise(page, kind, activation):
    """At strength 0 every kind trains as no noise does, and leaves weights of its own alone."""
    case = Case(page, network(kind, activation, strength=0.0))
    loss, gradient = case.page_loss()
    plain_net = network("none", activation)
    order = [(part["w"], part["b"], part) for part in case.plan["layers"]]
    main = np.concatenate([np.r_[w : w + p["rows"] * p["columns"], b : b + p["rows"]] for w, b, p in order])
    target = plan(page, plain_net)["layers"]
    there = np.concatenate(
        [np.r_[p["w"] : p["w"] + p["rows"] * p["columns"], p["b"] : p["b"] + p["rows"]] for p in target]
    )
    weights = np.zeros(len(main))
    weights[there] = case.weights[main]
    clean_loss, clean = case.page_loss(net=plain_net, weights=weights, draws=[])
    close(loss, clean_loss)
    close(gradient[main], clean[there])
    assert not np.delete(gradient, main).any()


@pytest.mark.parametrize("scale", [30.0, 3000.0])
@pytest.mark.parametrize("kind", ["none", "penalty", "node"])
def test_a_network_that_is_wrong_and_certain_has_a_finite_loss(page, kind, scale):
    """Logits of hundreds, as in a catapult: p is 0 or 1 in floating point, the loss is not infinite."""
    case = Case(page, network(kind))
    case.weights[case.plan["layers"][-1]["w"] :][:2] *= scale
    w = case.leaf()
    expected = case.torch_loss(w)
    expected.backward()
    loss, gradient = case.page_loss()
    close(loss, expected)
    close(gradient, w.grad, 1e-8)  # numbers of up to 1e7 that cancel


def test_one_batch_is_the_mean_of_its_points(page):
    """Else a batch of 16 would take steps of another length than 16 of one."""
    case = Case(page, network("gaussian"))
    whole, gradient = case.page_loss()
    each = [case.page_loss(index=[i], draws=z) for i, z in zip(case.index, case.draws, strict=True)]
    close(whole, np.mean([loss for loss, _ in each]))
    close(gradient, np.mean([g for _, g in each], 0))


def steps_in_page(case, batches, draws, rate):
    code = """const gradient = new Float64Array(weights.length);
    const losses = given.batches.map((index, k) =>
      pg.descend(net, weights, data, index, F(given.several[k]), given.rate, gradient));
    return [losses, Array.from(weights)];"""
    several = [z.ravel().tolist() for z in draws]
    return ask(case.page, code, **case.given(batches=batches, several=several, rate=rate))


def steps_in_torch(case, batches, draws, rate):
    w, losses = case.leaf(), []
    optimiser = torch.optim.SGD([w], lr=rate)
    for index, z in zip(batches, draws, strict=True):
        loss = case.torch_loss(w, index, z)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses, w


@kinds
@activations
def test_a_training_is_that_of_torch(page, kind, activation):
    """Two hundred steps on the same batches and draws end at the same weights, as far as rounding lets them."""
    case = Case(page, network(kind, activation))
    start = case.weights.copy()
    batches = [case.rng.permutation(11)[:5].tolist() for _ in range(200)]
    draws = [draw(case.rng, kind, 5, draws_of(case.net)) for _ in batches]
    losses, weights = steps_in_page(case, batches, draws, 0.05)
    expected, w = steps_in_torch(case, batches, draws, 0.05)
    close(losses, expected, 1e-7)
    close(weights, w, 1e-7)
    assert np.abs(w.detach().numpy() - start).max() > 0.1  # it went somewhere


# ---- the page's noises and the package's own


@activations
@depths
def test_the_penalty_is_the_chapters_regulariser(page, activation, widths):
    """What the page adds to the loss is eq. (10) of the package, for logits (0, f); and so is its gradient."""
    case = Case(page, network("penalty", activation, widths))
    model, linear = classifier(case)
    loss, gradient = case.page_loss()
    clean, without = case.page_loss(net=network("none", activation, widths))
    x = torch.tensor(case.x[case.index])
    assert explicit.noised_layers(model) == ["data", *(f"act{k + 1}" for k in range(len(widths)))]
    expected = explicit.explicit_regulariser(model, x, case.net["strength"] ** 2, create_graph=True).mean()
    expected.backward()
    close(loss - clean, expected)
    close(gradient - without, in_page_order(case, linear))
    assert expected.item() > 1e-3


def seeded(shapes, law):
    torch.manual_seed(5)
    made = [torch.normal(0.0, 1.0, s, dtype=torch.float64) if law == "normal" else law(s) for s in shapes]
    return torch.cat(made, 1)


def agrees_with_layer(case, model, draws):
    """The page's loss with `draws` is the package's, whose layer makes the same draws; and so are the slopes."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    x, y = torch.tensor(case.x[case.index]), torch.tensor(case.y[case.index])
    torch.manual_seed(5)
    expected = nn.functional.cross_entropy(model.train()(x), y)
    expected.backward()
    loss, gradient = case.page_loss(draws=draws)
    close(loss, expected)
    flat = in_page_order(case, linear)
    main = np.flatnonzero(flat)
    close(gradient[main], flat[main])
    assert len(main) > 0.6 * sum(part["rows"] * (part["columns"] + 1) for part in case.plan["layers"])
    return gradient


def test_activation_noise_is_the_packages_layer(page):
    case = Case(page, network("activation"))
    model, _ = classifier(case)
    inject(model, ActivationNoise("gaussian", case.net["strength"]))
    agrees_with_layer(case, model, seeded([(9, 4), (9, 2)], "normal"))


def test_gaussian_injections_are_the_packages(page):
    """In the data and behind both hidden layers: one of them left out would be another penalty."""
    case = Case(page, network("gaussian"))
    model, _ = classifier(case)
    explicit.add_noise(model, case.net["strength"] ** 2)
    agrees_with_layer(case, model, seeded([(9, 2), (9, 4), (9, 2)], "normal"))


def uniform(shape):
    return torch.rand(shape, dtype=torch.float64)


def test_dropout_is_the_packages_layer(page):
    case = Case(page, network("dropout"))
    model, _ = classifier(case)
    inject(model, dropping.Dropout(case.net["strength"]))
    agrees_with_layer(case, model, seeded([(9, 4), (9, 2)], uniform))


def test_random_dropout_is_the_packages_layer(page):
    """A level for each point and each layer."""
    case = Case(page, network("random"))
    model, _ = classifier(case)
    inject(model, dropping.Dropout(case.net["strength"], "sample"))
    agrees_with_layer(case, model, seeded([(9, 1), (9, 4), (9, 1), (9, 2)], uniform))


def test_the_noise_node_is_the_packages_layer(page):
    """A number a point, before the first activation, through weights that are trained."""
    case = Case(page, network("node"))
    model, _ = classifier(case)
    assert ninr.add_nodes(model, torch.tensor(case.x), case.net["strength"]) == ["linear1"]
    node, at = model.linear1.injected_noise, case.plan["node"]
    node.weight.data.copy_(torch.tensor(case.weights[at : at + 4]))
    torch.manual_seed(5)
    gradient = agrees_with_layer(case, model, torch.randn(9, dtype=torch.float64))
    close(gradient[at : at + 4], node.weight.grad)


def packages_generator(case):
    first, second = (block(torch.tensor(case.weights), part) for part in case.plan["generator"])
    f = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    for layer, (matrix, biases) in ((f[0], first), (f[2], second)):
        layer.weight.data.copy_(matrix)
        layer.bias.data.copy_(biases)
    return vpn.Generator(f, gamma=0.01 / 2, reading="variance", positive="softplus")


def test_the_learned_noise_is_the_packages_generator(page):
    """How wide the noise is, for each label; and the loss of eq. (17) with it."""
    case = Case(page, network("learned"))
    generator, (base, _) = packages_generator(case), classifier(case)
    x, y = torch.tensor(case.x), torch.tensor(case.y)
    found = ask(page, "return pg.deviations(net, weights, data)", **case.given())
    close(found, generator.deviation(x, y).mean())
    wrong = ask(page, "return pg.deviations(net, weights, data)", **case.given(y=1 - case.y))
    close(wrong, generator.deviation(x, 1 - y).mean())
    assert abs(wrong - found) > 1e-6  # it sees the label
    x, y = x[case.index], y[case.index]
    torch.manual_seed(5)
    expected = vpn.vpn_loss(base, x, y, generator(x, y))
    expected.backward()
    torch.manual_seed(5)
    loss, gradient = case.page_loss(draws=torch.randn(1, *x.shape, dtype=torch.float64))
    close(loss, expected)
    for layer, part in zip((generator.network[0], generator.network[2]), case.plan["generator"], strict=True):
        matrix, biases = block(torch.tensor(gradient), part)
        close(matrix, layer.weight.grad)
        close(biases, layer.bias.grad)


@pytest.mark.parametrize("kind", UNIFORM)
def test_scaled_masks_have_mean_one_and_the_variance_of_the_chapter(page, kind):
    """One hidden layer is linear in its mask, so the mean of noisy logits is the clean one: dropout moves nothing."""
    case, count = Case(page, network(kind, widths=[3])), 20_000
    passes = draw(case.rng, kind, count, draws_of(case.net)).tolist()
    code = """return given.passes.map((one) => pg.probabilities(net, weights, data.x, given.s, [F(one)])[0])"""
    p = np.array(ask(page, code, **case.given(x=case.x[:1], passes=passes, s=case.net["strength"])))
    f, x = np.log(p / (1 - p)), torch.tensor(case.x[:1])
    clean, passed = forward({**case.net, "noise": "none"}, case.plan, torch.tensor(case.weights), x, x[:, 0], x)
    deviation = f.std()
    assert abs(f.mean() - clean.item()) < 5 * deviation / count**0.5
    readout, _ = block(torch.tensor(case.weights), case.plan["layers"][-1])
    variance = dropping.noise_variance(case.net["strength"], random=kind == "random")
    assert f.var() == pytest.approx(variance * (readout * passed[-1]).square().sum().item(), rel=0.15)


# ---- probabilities


PROBABILITIES = """return Array.from(pg.probabilities(net, weights, data.x, ...given.how.map(
  (v, k) => k ? v.map(F) : v)))"""


def expected_probabilities(case, strength, passes):
    """Each pass shares its draws among all points; the probabilities are averaged, not the logits."""
    net, x, w = {**case.net, "strength": strength}, torch.tensor(case.x), torch.tensor(case.weights)
    y = torch.zeros(len(x), dtype=torch.float64)
    shared = [torch.tensor(z).expand(len(x), -1) for z in passes]
    return sum(torch.sigmoid(forward(net, case.plan, w, x, y, z)[0]) for z in shared) / len(passes)


@activations
@depths
@pytest.mark.parametrize("kind", ["activation", "gaussian", "dropout", "random", "node"])
@pytest.mark.parametrize("count", [1, 4])
def test_probabilities_are_averaged_over_passes(page, kind, activation, widths, count):
    """At the strength that is asked for, not the one of training."""
    case = Case(page, network(kind, activation, widths))
    passes, strength = draw(case.rng, kind, count, draws_of(case.net)), 0.6
    found = ask(page, PROBABILITIES, **case.given(how=[strength, passes.tolist()]))
    close(found, expected_probabilities(case, strength, passes))
    assert np.abs(found - expected_probabilities(case, 0.0, passes).numpy()).max() > 1e-3


def test_passes_are_those_of_the_packages_common_noise(page):
    """At inference the border is to move as a whole: one draw for all points, as in the package's `common` noise."""
    case = Case(page, network("activation"))
    model, _ = classifier(case)
    inject(model, ActivationNoise("gaussian", 0.0, alpha_inference=0.6, common=True))
    torch.manual_seed(5)
    with torch.no_grad():
        expected = model.eval()(torch.tensor(case.x)).softmax(1)[:, 1]
    draws = seeded([(1, 4), (1, 2)], "normal")
    found = ask(page, PROBABILITIES, **case.given(how=[0.6, draws.tolist()]))
    close(found, expected)


@kinds
@activations
def test_probabilities_have_no_noise_unless_asked(page, kind, activation):
    """The map and all that is measured show the network itself."""
    case = Case(page, network(kind, activation))
    clean = {**case.net, "noise": "none"}
    x, w = torch.tensor(case.x), torch.tensor(case.weights)
    expected = torch.sigmoid(forward(clean, case.plan, w, x, x[:, 0], x)[0])
    for how in ([], [0], [0, [[]]]):
        close(ask(page, PROBABILITIES, **case.given(how=how)), expected)
    assert case.net["strength"] == STRENGTH[kind]


def test_what_is_asked_leaves_the_network_alone(page):
    """A look at the map in the middle of training must not change weights, points or the strength in training."""
    case = Case(page, network("activation"))
    code = """pg.probabilities(net, weights, data.x, 0.3, [draws]);
    pg.underCorruption(net, weights, data, F(given.x), 0.3, [draws]);
    pg.lossAndGradient(net, weights, data, given.index, draws, new Float64Array(weights.length));
    return [net, Array.from(weights), Array.from(data.x), Array.from(draws), given.index];"""
    found = ask(page, code, **case.given())
    assert found == [plain(v) for v in (case.net, case.weights, case.x, case.draws, case.index)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 20, 30])
def test_certain_networks_have_probabilities_from_0_to_1(page, count):
    """Of every n that the page offers: a mean a little above 1 would have no bin of confidence, and stop the page."""
    case = Case(page, network("activation"))
    case.weights[case.plan["layers"][-1]["w"] :] *= 1e4
    passes = draw(case.rng, "activation", count, 6).tolist()
    found = ask(page, PROBABILITIES, **case.given(how=[0.01, passes]))
    assert np.isfinite(found).all() and min(found) >= 0 and max(found) <= 1 and max(found) > 0.99
    bins = page.evaluate("([p, y]) => pg.reliability(p, y)", [found, plain(case.y)])
    assert sum(one["share"] for one in bins) == pytest.approx(1)


# ---- the start of training


INITIAL = (
    """return Array.from(pg.initialise(net, pg.normals(pg.uniforms(given.a)), pg.normals(pg.uniforms(given.b))))"""
)


def flat_main(layout, weights):
    """Weights and biases of the network itself, in the order of its layers."""
    parts = [block(torch.tensor(weights), part) for part in layout["layers"]]
    return np.concatenate([np.r_[matrix.ravel(), biases] for matrix, biases in parts])


@depths
def test_networks_of_all_kinds_begin_with_the_same_weights(page, widths):
    """Else a difference between left and right might be one of the start."""
    found = []
    for kind, more in itertools.product(STRENGTH, (2, 3)):
        net = network(kind, widths=widths)
        weights = ask(page, INITIAL, net=net, a=1, b=more)
        layout = plan(page, net)
        assert len(weights) == layout["count"] and np.isfinite(weights).all()
        found.append(flat_main(layout, weights))
    assert all(np.array_equal(one, found[0]) for one in found)
    other = network("none", widths=widths)
    assert not np.array_equal(flat_main(plan(page, other), ask(page, INITIAL, net=other, a=5, b=2)), found[0])


def test_weights_begin_with_the_deviation_of_the_chapter(page):
    """N(0, 1/inputs), biases at zero, and W_NI as `add_nodes` draws it: with the node as one more input."""
    net = network("node", widths=[16, 8])
    layout, drawn = plan(page, net), np.array([ask(page, INITIAL, net=net, a=k, b=1000 + k) for k in range(300)])
    scaled = []
    for part in layout["layers"]:
        size = part["rows"] * part["columns"]
        scaled.append(drawn[:, part["w"] : part["w"] + size].ravel() * part["columns"] ** 0.5)
        assert not drawn[:, part["b"] : part["b"] + part["rows"]].any()
    scaled.append(drawn[:, layout["node"] : layout["node"] + 16].ravel() * 3**0.5)
    for values in scaled:
        assert stats.kstest(values, "norm").pvalue > 1e-3
        assert values.std() == pytest.approx(1, rel=0.06)
    norm = ask(page, "return pg.nodeNorm(net, weights)", net=net, weights=drawn[0])
    close(norm, np.linalg.norm(drawn[0, layout["node"] : layout["node"] + 16]))


@pytest.mark.parametrize("strength", [0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_learned_noise_begins_about_where_it_is_told_to(page, strength, shape):
    """Else the control "learned noise begins at" would lie."""
    code = """const made = pg.points(given.shape, 100, 0.3, 0), normal = (seed) => pg.normals(pg.uniforms(seed));
    return [1, 6, 11].map((k) => pg.deviations(net, pg.initialise(net, normal(k), normal(k + 1)), made));"""
    found = ask(page, code, net=network("learned", strength=strength), shape=shape)
    assert found == pytest.approx([strength] * 3, rel=0.25)


# ---- points and random numbers


def made(page, shape, count=101, spread=0.3, seed=3):
    code = """([shape, count, spread, seed]) => { const {x, y} = pg.points(shape, count, spread, seed);
    return [Array.from(x), Array.from(y)]; }"""
    x, y = page.evaluate(code, [shape, count, spread, seed])
    return np.array(x).reshape(-1, 2), np.array(y)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [10, 101])
def test_points_are_of_two_equal_classes(page, shape, count):
    """As many as asked for; nearly as many of one class as of the other, so that a guess is right half of the time."""
    x, y = made(page, shape, count)
    assert x.shape == (count, 2) and np.isfinite(x).all()
    assert set(y) == {0, 1} and abs(2 * y.sum() - count) <= 1
    assert (np.diff(y) != 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_seed_makes_the_same_points_and_another_makes_others(page, shape):
    """A link is to show what its sender saw, and "Next seed" something new."""
    first, again, other = (made(page, shape, seed=seed)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.isclose(first, other).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_on_the_map(page, shape):
    """The map shows -3 to 3; a shape beyond it, or one that is a speck on it, could not be looked at."""
    x, _ = made(page, shape, 2000, 0.0)
    assert np.abs(x).max() < 2.5
    assert np.abs(x.mean(0)).max() < 0.15
    assert (x.std(0) > 0.6).all() and (x.std(0) < 1.5).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_noise_of_the_points_has_the_deviation_that_is_asked_for(page, shape):
    """The classes' shapes alone can be told apart; what moves the points is normal, of deviation `spread`."""
    clean, y = made(page, shape, 2000, 0.0)
    nearest = np.linalg.norm(clean[y == 0][:, None] - clean[y == 1][None], axis=2).min()
    assert nearest > 0.1
    x, y = made(page, "blobs", 4000, 0.4)
    moved = x - np.where(y, 0.9, -0.9)[:, None]
    assert stats.kstest(moved.ravel() / 0.4, "norm").pvalue > 1e-3


def numbers(page, law, seed, count=10_000):
    source = "pg.uniforms(seed)" if law == "uniform" else "pg.normals(pg.uniforms(seed))"
    code = f"([seed, count]) => {{ const next = {source}; return Array.from({{length: count}}, () => next()); }}"
    return np.array(page.evaluate(code, [seed, count]))


@pytest.mark.parametrize("seed", [0, 1, 2, 7, 99, 1000])
def test_random_numbers_have_their_laws(page, seed):
    """Uniform in [0, 1), normal; and neighbours know nothing of each other."""
    u, z = numbers(page, "uniform", seed), numbers(page, "normal", seed)
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.015
    assert stats.kstest(u, "uniform").pvalue > 1e-3 and stats.kstest(z, "norm").pvalue > 1e-3
    for values in (u, z):
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.05
    assert np.array_equal(u, numbers(page, "uniform", seed))


def test_seeds_have_streams_of_their_own(page):
    """Points, weights, noise and order take neighbouring seeds: they must not follow each other."""
    drawn = np.array([numbers(page, "uniform", seed, 2000) for seed in range(105)])
    found = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(found).max() < 0.12
    assert len(np.unique(drawn)) > 0.999 * drawn.size  # no stream runs into another


def test_normal_numbers_are_finite_for_every_uniform_one(page):
    code = """([...values]) => values.map((v) => pg.normals(() => v)())"""
    assert np.isfinite(page.evaluate(code, [0, 2**-32, 0.25, 0.5, 1 - 2**-32, 1 - 2**-53])).all()


def test_an_order_of_chance_is_a_permutation_and_every_one_as_likely(page):
    """Else some points would be trained on more than others."""
    code = """([count, times]) => { const uniform = pg.uniforms(1);
    return Array.from({length: times}, () => pg.shuffled(count, uniform)); }"""
    for count in (1, 2, 60):
        assert all(sorted(one) == list(range(count)) for one in page.evaluate(code, [count, 20]))
    drawn = np.array(page.evaluate(code, [4, 12_000])) @ [1, 4, 16, 64]
    _, counts = np.unique(drawn, return_counts=True)
    assert len(counts) == 24 and stats.chisquare(counts).pvalue > 1e-3


# ---- what is measured


def predictions(seed, count=200):
    """Probabilities, some of them on the edges of bins, and labels."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.6, 0.6, count)
    p[:24] = np.tile([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 0.55], 2)
    return p, (rng.random(count) < p**1.5).astype(int)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_calibration_is_the_packages(page, seed, bins):
    p, y = predictions(seed)
    both, labels = torch.tensor(np.stack([1 - p, p], 1)), torch.tensor(y)
    found = page.evaluate("([p, y, bins]) => pg.reliability(p, y, bins)", [p.tolist(), y.tolist(), bins])
    expected = measure.reliability(both, labels, bins)
    columns = ["confidence", "accuracy", "share"]
    close([[one[name] for name in columns] for one in found], expected[columns].to_numpy())
    error = page.evaluate("(bins) => pg.calibrationError(bins)", found)
    close(error, measure.calibration_error(both, labels, bins))
    if bins == 10:
        assert page.evaluate("([p, y]) => pg.reliability(p, y)", [p.tolist(), y.tolist()]) == found


def test_accuracy_and_cross_entropy(page):
    p, y = predictions(0)
    code = "([p, y]) => [pg.accuracy(p, y), pg.crossEntropy(p, y)]"
    right, _ = page.evaluate(code, [p.tolist(), y.tolist()])
    assert right == pytest.approx(100 * np.mean((p > 0.5) == y))
    inside = np.clip(p, 1e-9, 1 - 1e-9)
    _, loss = page.evaluate(code, [inside.tolist(), y.tolist()])
    close(loss, nn.functional.binary_cross_entropy(torch.tensor(inside), torch.tensor(y, dtype=torch.float64)))
    assert np.isfinite(page.evaluate(code, [[0, 1, 1], [1, 0, 1]])).all()  # certain and wrong: bad, not infinite
    assert page.evaluate(code, [[0, 1, 1], [1, 0, 1]])[0] == pytest.approx(100 / 3)


@pytest.mark.parametrize("logit", [5.0, 30.0, 45.0])
def test_one_point_does_not_make_the_loss(page, logit):
    """A point on whose wrong class the network is certain costs about its logit, not what a rounded p says of it."""
    net, (x, y) = network("none", widths=[2]), (np.ones((100, 2)), np.array([1] + [0] * 99))
    layout = plan(page, net)
    for side in (y, 1 - y):
        weights = np.zeros(layout["count"])
        weights[layout["layers"][-1]["b"]] = -logit if side[0] else logit
        code = """const index = Array.from(data.y, (_, k) => k), gradient = new Float64Array(weights.length);
        return [pg.crossEntropy(pg.probabilities(net, weights, data.x), data.y),
          pg.lossAndGradient(net, weights, data, index, draws, gradient)];"""
        shown, trained = ask(page, code, net=net, weights=weights, x=x, y=side)
        assert trained == pytest.approx(logit / 100, rel=0.2)
        assert shown == pytest.approx(trained, rel=0.3)


def test_a_network_on_its_way_to_infinity_has_diverged(page):
    """Weights of 1e211, still finite, give no probabilities: the page is to say so, and not to stop with an error."""
    code = """() => { const state = {...pg.start(), right: "activation", activation: "ReLU", layers: 2, width: 16};
        const world = pg.begin(state), side = world.sides[1];
        side.weights.forEach((_, k) => (side.weights[k] = (k % 2 ? -1 : 1) * 1e211));
        const lost = !pg.probabilities(side.net, side.weights, world.test.x).every(Number.isFinite);
        return lost && pg.measure(world, state, side, pg.mapOf(side, state)).dead && side.dead; }"""
    assert page.evaluate(code) is True


def test_accuracy_under_corruption_moves_points_by_its_levels(page):
    """A level is a deviation in the points' own units; all levels move a point in the same direction."""
    case = Case(page, network("activation"))
    case.x, case.y = case.rng.standard_normal((400, 2)), case.rng.integers(0, 2, 400)
    passes, moves = draw(case.rng, "activation", 3, 6), case.rng.standard_normal(case.x.shape)
    middle = np.median(expected_probabilities(case, 0.4, passes))
    case.weights[case.plan["layers"][-1]["b"]] -= np.log(middle / (1 - middle))  # a border among the points
    levels = page.evaluate("() => pg.LEVELS")
    assert levels[0] == 0 and levels == sorted(set(levels))
    code = "return pg.underCorruption(net, weights, data, F(given.moves), 0.4, given.passes.map(F))"
    found, clean = ask(page, code, **case.given(moves=moves, passes=passes.tolist())), case.x
    for level, accuracy in zip(levels, found, strict=True):
        case.x = clean + level * moves
        p = expected_probabilities(case, 0.4, passes).numpy()
        assert accuracy == pytest.approx(100 * np.mean((p > 0.5) == case.y))
        assert 0.2 < np.mean(p > 0.5) < 0.8


def margins(size, reach, p, x, y, own):
    """The distances of points that are right to the other class's places, in numpy."""
    at = -reach + (np.arange(size) + 0.5) * 2 * reach / size
    places = np.stack([np.tile(at, size), np.repeat(at, size)], 1)  # x1 runs fastest
    right = (own > 0.5) == (y == 1)
    others = [places[(p > 0.5) == (label == 0)] for label in (0, 1)]
    found = [
        np.linalg.norm(others[label] - point, axis=1).min(initial=np.inf)
        for point, label in zip(x[right], y[right], strict=True)
    ]
    return sorted(found)


MARGIN = "return pg.margin({size: given.size, reach: given.reach, p: given.p}, data, given.own)"


@pytest.mark.parametrize("count", range(1, 9))
def test_the_margin_is_the_median_distance_to_the_other_class(page, count):
    """Of odd and even counts, for a map that is not symmetric, so that rows and columns cannot be mixed up."""
    rng = np.random.default_rng(count)
    x, y, own, p = rng.uniform(-2, 2, (count, 2)), rng.integers(0, 2, count), rng.random(count), rng.random(7 * 7) ** 3
    own[0] = 0.1 + 0.8 * y[0]
    expected = margins(7, 2.5, p, x, y, own)
    found = ask(page, MARGIN, size=7, reach=2.5, p=p, x=x, y=y, own=own)
    close(found, expected[len(expected) // 2])


def test_a_margin_may_not_be_there(page):
    """Nobody is right: there is none. A map of one class: it is infinite."""
    x, y = np.zeros((3, 2)), np.array([0, 1, 1])
    given = {"size": 2, "reach": 1, "x": x, "y": y}
    assert ask(page, MARGIN, p=[0.1, 0.9, 0.1, 0.9], own=[0.9, 0.1, 0.1], **given) is None
    assert ask(page, MARGIN, p=[0.1] * 4, own=[0.1, 0.1, 0.1], **given) == np.inf
    close(ask(page, MARGIN, p=[0.1, 0.9, 0.1, 0.1], own=[0.1, 0.9, 0.9], **given), 0.5**0.5)


def runs_of_a_node():
    """Losses and norms of every phase, on the rules' borders, of several lengths, and broken ones."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        length = int(rng.integers(1, 9))
        yield np.exp(rng.normal(0, 0.4, length)).tolist(), np.exp(rng.normal(-0.4, 0.5, length)).tolist()
    yield from [([2, 2.2, 2.2], [1, 0.5]), ([2, 3, 1], [1, 0.49]), ([1, 1, 1], [1, 0.5]), ([1, 1.1], [1, 0.4999])]
    yield from [([1, bad, 1], [1, 1, 1]) for bad in (np.nan, np.inf)]
    yield from [([1, 1, 1], [1, bad, 1]) for bad in (np.nan, np.inf)]
    yield from [([np.inf, 1], [1, 1]), ([1], [0]), ([0, 0], [0, 0])]


def test_phases_are_the_chapters(page):
    found = [page.evaluate("([losses, norms]) => pg.phase(losses, norms)", list(run)) for run in runs_of_a_node()]
    expected = [ninr.phase(norms, losses) for losses, norms in runs_of_a_node()]
    assert found == expected and set(found) == set(ninr.PHASES)


# ---- the address


SETTINGS = "() => pg.SETTINGS.map(({name, values, start}) => ({name, values, start}))"


def round_trip(page, state, hidden=()):
    code = "([state, hidden]) => { const text = pg.toAddress(state, hidden); return [text, pg.fromAddress(text)]; }"
    return page.evaluate(code, [state, list(hidden)])


def test_every_value_of_every_setting_survives_an_address(page):
    start = page.evaluate("() => pg.start()")
    for setting in page.evaluate(SETTINGS):
        assert start[setting["name"]] == setting["start"] and setting["start"] in setting["values"]
        for value in setting["values"]:
            text, found = round_trip(page, {**start, setting["name"]: value})
            if value == setting["start"]:
                assert text == "" and found is None
            else:
                assert found == {"state": {**start, setting["name"]: value}, "hidden": []}


def test_all_settings_and_hidden_controls_survive_together(page):
    rng, settings = np.random.default_rng(0), page.evaluate(SETTINGS)
    names = [setting["name"] for setting in settings]
    for _ in range(20):
        state = {one["name"]: one["values"][rng.integers(len(one["values"]))] for one in settings}
        hidden = [name for name in names if rng.random() < 0.3]
        text, found = round_trip(page, state, hidden)
        assert found == {"state": state, "hidden": hidden}
        assert page.evaluate("(text) => pg.fromAddress('#' + text)", text) == found
    _, found = round_trip(page, page.evaluate("() => pg.start()"), names)
    assert found["hidden"] == names


@pytest.mark.parametrize(
    "nonsense",
    ["", "x", "NaN", "Infinity", "-Infinity", "1e999", "-5", "1e9", "0.31", "null", "[1]", "%20", "%", "__proto__"],
)
def test_nonsense_in_an_address_becomes_something_allowed(page, nonsense):
    """Somebody has spoilt a link: the page opens all the same."""
    for setting in page.evaluate(SETTINGS):
        text = f"#playground.{setting['name']}={nonsense}"
        found = page.evaluate("(text) => pg.fromAddress(text)", text)
        assert found["hidden"] == [] and found["state"][setting["name"]] in setting["values"]
        rest = {**found["state"], setting["name"]: setting["start"]}
        assert rest == page.evaluate("() => pg.start()")


def test_a_number_that_is_not_allowed_becomes_the_nearest(page):
    code = "(text) => pg.fromAddress(text).state"
    found = page.evaluate(code, "#playground.size=1000&playground.p=0.44&playground.node=-1&playground.width=5")
    assert (found["size"], found["p"], found["node"], found["width"]) == (500, 0.4, 0, 4)


def test_an_address_may_ask_for_nothing_of_the_playground(page):
    """Other pages' links and a section's own name leave the page as it is; unknown controls cannot be hidden."""
    code = "(text) => pg.fromAddress(text)"
    for text in ("", "#", "#the-noises", "#left=none&size=10", "#pad.digit=5", "#myplayground.size=10"):
        assert page.evaluate(code, text) is None
    found = page.evaluate(code, "#playground.hide=left+nothing+size")
    assert found == {"state": page.evaluate("() => pg.start()"), "hidden": ["left", "size"]}


def test_presets_set_what_can_be_set(page):
    """A preset with a value that no control has would be another one after a reload."""
    allowed = {setting["name"]: setting["values"] for setting in page.evaluate(SETTINGS)}
    presets = page.evaluate("() => Object.entries(pg.PRESETS).map(([name, { set }]) => [name, set])")
    assert len(presets) >= 3
    for name, chosen in presets:
        for setting, value in chosen.items():
            assert value in allowed[setting], (name, setting)
