"""The method of "Variational Positive-incentive Noise: How Noise Benefits Models", equation by equation.

A generator looks at an image x and a label y and says how much Gaussian noise each pixel gets; it is trained, with the
base model or after it, so that the base model's loss on the noisy image is small.

*Noise* is here any function ``noise(x, y, m)`` that gives ε [m, B, ...], m draws for each of the images `x` [B, ...]
with labels `y` [B]: a `Generator`, or one of the controls below it. Draws come from torch's global generator.
"""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...models import mlp
from ...train import _check, _progress, _training, evaluating

READINGS = ("variance", "deviation")
"""What f_θ gives: the variance of the noise (eq. 20 and Algorithm 2), or its standard deviation (Algorithm 1)."""

FLOOR = 1e-6
"""Added to every entry of Σ, ours: read as variance, a deviation of 0.001, a quarter of a grey level of 255. Without it
the gradient of the root has no bound."""

POSITIVE: dict[str, Callable[[Tensor], Tensor]] = {"abs": torch.abs, "softplus": nn.functional.softplus}
"""How Σ is kept positive, where the paper is silent. The authors' code takes the absolute value, which has a kink just
where the noise ends: training with steps of a fixed size goes to and fro across it, and some noise stays. Read as
deviation, it gives the same noise as no constraint at all, since N(0, s²) does not know the sign of s."""

# ---- networks: any module from [B, ...] to [B, C] is a base model, any to [B, d] a generator's f_θ


def softmax_regression(inputs: int, classes: int) -> nn.Sequential:
    """Section 4.1's SR: a linear layer. Input [B, ...] of `inputs` numbers, output [B, `classes`] logits.

    >>> softmax_regression(64, 10)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    return mlp(inputs, classes, ())


def dnn3(inputs: int, outputs: int, width: int = 1024) -> nn.Sequential:
    """Section 4.1's DNN3, d-1024-1024-|Y| as a base model and d-1024-1024-d as f_θ; ReLU (the code's) in between.

    >>> dnn3(64, 64)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """
    return mlp(inputs, outputs, (width, width))


RESNETS = {
    "resnet10": ("BasicBlock", (1, 1, 1, 1)),
    "resnet18": ("BasicBlock", (2, 2, 2, 2)),
    "resnet34": ("BasicBlock", (3, 4, 6, 3)),
    "resnet50": ("Bottleneck", (3, 4, 6, 3)),
}
"""torchvision's block and the blocks a stage. `resnet10`, one a stage, is ours: for machines without a GPU."""

STEMS = ("3x3", "7x7")
"""A ResNet's first layers: one convolution at full size, or torchvision's 7x7 of stride 2 and pooling, a quarter."""


def resnet(name: str, channels: int, outputs: int, stem: str) -> nn.Module:
    """torchvision's ResNet `name` (a key of `RESNETS`) for images [B, `channels`, H, W], output [B, `outputs`].

    The paper does not say which stem. The authors' code has "3x3" (stride 1, no pooling) in base models and "7x7" in
    the ResNet18 generator, where images of 28 or 32 pixels are down to a single one in the last stage. (There, not
    here, f_θ ends in an upsampling and a convolution, not in d outputs.) `ValueError` for an unknown name or stem.

    >>> resnet("resnet10", 1, 64, "3x3")(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """
    if name not in RESNETS:
        raise ValueError(f"unknown ResNet {name!r}: choose from {', '.join(RESNETS)}")
    if stem not in STEMS:
        raise ValueError(f"stem = {stem!r}: expected one of {', '.join(STEMS)}")
    from ..._torchvision import torchvision

    block, blocks = RESNETS[name]
    model = torchvision.models.ResNet(getattr(torchvision.models.resnet, block), blocks, num_classes=outputs)
    how = {"kernel_size": 3, "padding": 1} if stem == "3x3" else {"kernel_size": 7, "stride": 2, "padding": 3}
    model.conv1 = nn.Conv2d(channels, 64, bias=False, **how)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    if stem == "3x3":
        model.maxpool = nn.Identity()
    return model


def start_near_zero(network: nn.Module, deviation: float = 0.002) -> nn.Module:
    """Draw the weights of all linear layers from N(0, `deviation`²), biases 0, in place: the code's start of DNN3.

    With it |f_θ| begins at about 1e-5, so that training begins without noise. The paper does not mention it.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


# ---- noise: the generator, and what it is compared with


class Generator(nn.Module):
    """The VPN generator G_θ = Sample ∘ f_θ of section 3.3: noise N(0, Σ) with a diagonal Σ = f_θ(x + γ y).

    `network` takes x̂ = x + γ y, of the images' shape [B, ...], to [B, d], d numbers an image; y = 0, 1, … is the class
    index. `gamma`: 0.01 / |Y| in the paper (section 4.1), 0.01 / (|Y| - 1) in the authors' code; 0 makes a generator
    that is blind to labels. `reading`, one of `READINGS`, says what Σ is, and may be changed at any time (who takes
    both algorithms at their word trains with "deviation" and tests with "variance"). `positive` is a key of `POSITIVE`.
    With s = positive(output) + `FLOOR`, Σ = s; or with a `bound` C, Σ = s / (1 + s / C): then every entry, and so the
    spectral norm, is under C ("||Σ|| <= C" is all that the paper says), and no gradient vanishes at the bound.

    Raises `ValueError` for settings out of range, when made; when called, for labels or outputs that do not fit.

    >>> generator = Generator(dnn3(64, 64), gamma=0.01 / 10, reading="deviation")
    >>> x, y = torch.zeros(2, 1, 8, 8), torch.tensor([3, 8])
    >>> generator.sigma(x, y).shape, generator(x, y, m=5).shape
    (torch.Size([2, 1, 8, 8]), torch.Size([5, 2, 1, 8, 8]))
    """

    def __init__(
        self, network: nn.Module, gamma: float, reading: str = "variance", positive: str = "softplus",
        bound: float | None = None,
    ):  # fmt: skip
        super().__init__()
        if reading not in READINGS:
            raise ValueError(f"reading = {reading!r}: expected one of {', '.join(READINGS)}")
        if positive not in POSITIVE:
            raise ValueError(f"positive = {positive!r}: expected one of {', '.join(POSITIVE)}")
        if bound is not None and not bound > 0:
            raise ValueError(f"bound = {bound!r}: expected a positive number C for ||Σ|| < C, or None for no bound")
        if not abs(gamma) < float("inf"):
            raise ValueError(f"gamma = {gamma!r}: expected a finite number, 0 for a generator that is blind to labels")
        self.network, self.gamma, self.reading, self.positive, self.bound = network, gamma, reading, positive, bound

    def sigma(self, x: Tensor, y: Tensor) -> Tensor:
        """Σ = f_θ(x + γ y): its diagonal, in the shape of `x` [B, ...], for labels `y` [B]."""
        if y.shape != x.shape[:1]:
            raise ValueError(f"labels of shape {tuple(y.shape)} for images of shape {tuple(x.shape)}: expected [B]")
        output = self.network(x + self.gamma * y.view(-1, *[1] * (x.ndim - 1)))
        if output.numel() != x.numel():
            raise ValueError(
                f"the network's output has shape {tuple(output.shape)}: expected as many numbers as the images have, "
                f"[{len(x)}, {x[0].numel()}]"
            )
        s = POSITIVE[self.positive](output).view(x.shape) + FLOOR
        return s if self.bound is None else s / (1 + s / self.bound)

    def deviation(self, x: Tensor, y: Tensor) -> Tensor:
        """The standard deviation of the noise, in the shape of `x`: √Σ or Σ, as Σ is read."""
        sigma = self.sigma(x, y)
        return sigma.sqrt() if self.reading == "variance" else sigma

    def forward(self, x: Tensor, y: Tensor, m: int = 1) -> Tensor:
        """ε [m, B, ...]: one pass of f_θ, and m draws for each image by `reparameterise`."""
        return reparameterise(self.deviation(x, y), m)

    def extra_repr(self) -> str:
        bound = "" if self.bound is None else f", bound={self.bound:g}"
        return f"gamma={self.gamma:g}, Σ is the {self.reading}, positive={self.positive}{bound}"


def reparameterise(deviation: Tensor, m: int = 1) -> Tensor:
    """ε = ĝ_θ(x, y, ϵ) = ϵ ⊙ `deviation` with ϵ ~ N(0, I), eq. (16) and Algorithm 1: m draws [m, *deviation.shape].

    Gradients flow through `deviation`. Raises `ValueError` for fewer than one draw.
    """
    if m < 1:
        raise ValueError(f"m = {m} draws of noise: expected at least 1")
    standard = torch.randn(m, *deviation.shape, dtype=deviation.dtype, device=deviation.device)
    return standard * deviation


def random_pixels(x: Tensor, y: Tensor, m: int = 1, share: float = 0.1, choose: str = "count") -> Tensor:
    """ "Random" of section 4.1: standard normal noise on a `share` of the pixels of every image, ε [m, B, C, H, W].

    The pixels are chosen anew for each image and draw. `choose` says how, which the paper does not: "count" takes
    exactly round(`share` H W) of them, "each" takes every pixel with the probability `share`. A pixel is a place: all
    its channels are noisy, each with a draw of its own. `y` is not looked at. Raises `ValueError`.

    >>> (random_pixels(torch.zeros(2, 3, 8, 8), None)[0] != 0).sum((2, 3))
    tensor([[6, 6, 6],
            [6, 6, 6]])
    """
    if x.ndim != 4:
        raise ValueError(f"images of shape {tuple(x.shape)}: expected [B, C, H, W]")
    if not 0 <= share <= 1 or choose not in ("count", "each"):
        raise ValueError(f"share = {share!r}, choose = {choose!r}: expected 0 to 1, and 'count' or 'each'")
    places = torch.rand(m, len(x), x[0, 0].numel(), device=x.device)
    ranks = places.argsort(-1).argsort(-1)
    chosen = ranks < round(share * places.shape[-1]) if choose == "count" else places < share
    return reparameterise(torch.ones_like(x), m) * chosen.view(m, len(x), 1, *x.shape[2:])


def frozen(generator: Generator) -> Callable[[Tensor, Tensor, int], Tensor]:
    """The noise of a trained generator, as a noise that is not trained any more. No gradient flows."""
    return _unlearned(generator, lambda s: s)


def even(generator: Generator) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A control: each image's noise keeps its mean variance, spread evenly over its pixels. No gradient flows."""
    return _unlearned(
        generator, lambda s: s.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (s.ndim - 1)).expand_as(s)
    )


def shuffled(generator: Generator) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A control: each image gets the noise of an image of the batch, drawn without replacement. No gradient flows."""
    return _unlearned(generator, lambda s: s[torch.randperm(len(s), device=s.device)])


def _unlearned(generator: Generator, change: Callable[[Tensor], Tensor]):
    """Noise of the deviation change(σ), σ that of the `generator` in evaluation mode."""

    def noise(x: Tensor, y: Tensor, m: int = 1) -> Tensor:
        with torch.no_grad(), evaluating(generator):
            return reparameterise(change(generator.deviation(x, y)), m)

    return noise


# ---- the objective, Algorithm 1 and Algorithm 2


def vpn_loss(base: nn.Module, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    """Eq. (17): -1/(nm) Σ_i Σ_j log q(y_i | x_i, ε_ij), with q(y | x, ε) = softmax(base(x + ε)) of eq. (19).

    `x` is [n, ...], `y` [n] labels, `noise` ε [m, n, ...]. The m n noisy images pass the base model as one batch. In
    expectation over the draws this is -L of eq. (15); `tutorial_lib.papers.vpn.bound` says of what it is a bound.
    Raises `ValueError` where the noise does not fit.

    >>> vpn_loss(nn.Flatten(), torch.zeros(1, 4), torch.tensor([2]), torch.zeros(3, 1, 4))
    tensor(1.3863)
    """
    if noise.shape[1:] != x.shape or not len(noise):
        raise ValueError(
            f"noise of shape {tuple(noise.shape)} for images of shape {tuple(x.shape)}: expected [m, n, ...], m draws "
            "for each image"
        )
    return nn.functional.cross_entropy(base((x + noise).flatten(0, 1)), y.repeat(len(noise)))


def train_with_noise(
    base: nn.Module,
    noise: Callable[[Tensor, Tensor, int], Tensor],
    x: Tensor,
    y: Tensor,
    *,
    m: int = 1,
    fixed: bool = False,
    epochs: int = 40,
    batch_size: int = 256,
    optimizer: Callable = torch.optim.Adam,
    lr: float = 1e-3,
    seed: int = 0,
    callback: Callable[[int, float], None] | None = None,
    progress: bool = True,
) -> list[float]:
    """Algorithm 1, in place; returns the mean of eq. (17) over each epoch. Images `x` [N, ...], labels `y` [N].

    The base model's φ and, if `noise` is a `Generator` (or any module), its θ are trained together, by one `optimizer`
    (eqs. 16 and 17 name φ alone). With `fixed` the base stays as it is, in evaluation mode (Table 2). The `m` draws of
    an image share the generator's pass. A `noise` that is only a function is not trained: `random_pixels` is "Random",
    `frozen`, `even` and `shuffled` have the strength of a trained generator. For no noise take `tutorial_lib.fit`.

    Epochs, batch size, m and learning rate are the paper's; it names no optimiser. Everything stays on the device of
    `x`; `optimizer`, ``callback(epoch, mean_loss)`` and, with the same `seed`, the batches are those of `fit`, whatever
    noise is drawn. Both networks are left in evaluation mode, also by an error. Raises `ValueError` where there is
    nothing to train.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]); y = torch.tensor([0, 1]); _ = torch.manual_seed(0)
    >>> base, generator = softmax_regression(2, 2), Generator(dnn3(2, 2, width=8), gamma=0.01 / 2)
    >>> losses = train_with_noise(base, generator, x, y, m=9, epochs=200, lr=0.02, progress=False)
    >>> losses[-1] < losses[0], predict(base, x).tolist()
    (True, [0, 1])
    """
    _check(x, y, epochs, batch_size)
    trained = [network for network in (noise, None if fixed else base) if isinstance(network, nn.Module)]
    weights = [w for network in trained for w in network.parameters() if w.requires_grad]
    if not weights:
        raise ValueError(
            f"fixed = {fixed} and noise that is a {type(noise).__name__}: there is nothing to train; give a Generator "
            "as noise, or a base model with weights that is not fixed"
        )
    base.to(x.device).eval()
    with _training(trained, x.device):
        torch.manual_seed(2_000_003 + seed)  # of the noise; batches have a generator of their own
        order = torch.Generator(x.device).manual_seed(seed)
        optimiser = optimizer(weights, lr=lr)
        history = []
        for epoch in _progress(range(1, epochs + 1), progress):
            total = torch.zeros((), device=x.device)
            for batch in torch.randperm(len(x), device=x.device, generator=order).split(batch_size):
                xb, yb = x[batch], y[batch]
                loss = vpn_loss(base, xb, yb, noise(xb, yb, m))
                optimiser.zero_grad()
                loss.backward(inputs=weights)  # of a fixed base model's weights no gradient is taken
                optimiser.step()
                total += loss.detach() * len(batch)
            history.append(total.item() / len(x))
            if callback:
                callback(epoch, history[-1])
    return history


@torch.no_grad()
def scores(base: nn.Module, x: Tensor, noise: Callable | None = None, batch_size: int = 1024) -> Tensor:
    """log q(Y | x, ε_Y) [N, C] of every image of `x` [N, ...] and label Y, with ε_Y = `noise` (x, Y): Algorithm 2.

    One draw for each image and label; the |Y| noisy copies of the images are one batch, in all at most `batch_size`
    (or one image's copies). A row is no distribution, since every label has noise of its own. Without `noise`, the log
    of softmax(base(x)): the paper's "No Noise". Both networks are read as in evaluation.
    """
    with contextlib.ExitStack() as stack:
        for network in (base, noise):
            if isinstance(network, nn.Module):
                stack.enter_context(evaluating(network))
        if noise is None:
            return torch.cat([base(part).log_softmax(1) for part in x.split(batch_size)])
        classes = base(x[:1]).shape[1]
        found = []
        for part in x.split(max(1, batch_size // classes)):
            every = part.repeat(classes, *[1] * (x.ndim - 1))  # [C B, ...], label by label
            labels = torch.arange(classes, device=x.device).repeat_interleave(len(part))
            log_q = base(every + noise(every, labels, 1)[0]).log_softmax(1)
            found.append(log_q.gather(1, labels[:, None]).view(classes, -1).T)
        return torch.cat(found)


def predict(base: nn.Module, x: Tensor, noise: Callable | None = None, batch_size: int = 1024) -> Tensor:
    """The predicted labels [N]: Algorithm 2's argmax_Y q(Y | x, ε_Y), without `noise` the plain argmax; see `scores`.

    >>> predict(nn.Identity(), torch.tensor([[0.0, 1.0]])).tolist()
    [1]
    """
    return scores(base, x, noise, batch_size).argmax(1)


# ---- where may noise help? The derivative of the expected loss in the noise's variances


def variance_derivative(
    base: nn.Module, x: Tensor, y: Tensor, deviation: float, pairs: int = 1000, seed: int = 0, batch_size: int = 1024
) -> tuple[Tensor, Tensor]:
    """∂/∂Σ_jj E[loss(x + ε)] at Σ = σ² I, and its standard error, each of the shape of `x` [B, ...]; σ = `deviation`.

    Negative where a little more noise in that pixel would lower the loss ℓ. By Stein's formula it is
    E[∂_j ℓ(x + ε) ε_j] / (2 σ²), here over antithetic pairs ±ε, whose mean (∂_j ℓ(x + ε) - ∂_j ℓ(x - ε)) ε_j / (4 σ²)
    is half a second difference. It takes no second derivative, and so sees the kinks of a ReLU network, where all of
    the logits' curvature lies. Of a smooth network it tends to ½ `hessian_diagonal` as σ falls. Raises `ValueError` for
    a σ that is not positive and fewer than 2 pairs. `batch_size` noisy images, or a pair of each, pass at a time.
    """
    if not 0 < deviation < float("inf"):
        raise ValueError(f"deviation σ = {deviation!r}: expected a positive number")
    if pairs < 2:
        raise ValueError(f"pairs = {pairs}: expected at least 2, for a standard error")
    generator = torch.Generator(x.device).manual_seed(seed)
    total, squares, left = torch.zeros_like(x), torch.zeros_like(x), pairs
    with evaluating(base), torch.enable_grad():
        while left:
            count = min(left, max(1, batch_size // (2 * len(x))))
            left -= count
            z = torch.randn(count, *x.shape, generator=generator, dtype=x.dtype, device=x.device)
            noisy = (x.detach() + deviation * torch.cat([z, -z])).requires_grad_()
            loss = nn.functional.cross_entropy(base(noisy.flatten(0, 1)), y.repeat(2 * count), reduction="sum")
            slopes = torch.autograd.grad(loss, noisy)[0]
            found = (slopes[:count] - slopes[count:]) * z / (4 * deviation)
            total += found.sum(0)
            squares += found.square().sum(0)
    mean = total / pairs
    return mean, ((squares / pairs - mean.square()).clamp_min(0) / (pairs - 1)).sqrt()


def hessian_diagonal(base: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """∂² loss / ∂x_j² of every image and pixel, of the shape of `x` [B, ...], exactly by automatic differentiation.

    A derivative a pixel: for small networks. Of a ReLU network it is Σ_kl J_kj (diag(p) - p pᵀ)_kl J_lj, J the logits'
    Jacobian, since autograd takes the kinks for flat: positive semidefinite, it can never say that noise helps.
    """
    flat = x.detach().flatten(1)

    def value(z):
        return nn.functional.cross_entropy(base(z.view(x.shape)), y, reduction="sum")

    def second(unit):
        directions = unit.expand_as(flat)
        return (torch.func.jvp(torch.func.grad(value), (flat,), (directions,))[1] * directions).sum(1)

    units = torch.eye(flat.shape[1], dtype=x.dtype, device=x.device)
    with evaluating(base):
        return torch.func.vmap(second, chunk_size=64)(units).T.reshape(x.shape).detach()
