"""The method of "Activation Noise for EBM Classification", equation by equation.

One autoencoder a class; the energy of an image under a class is the squared error of that class's
reconstruction (eq. 5); noise in the activations turns the energy into a random variable, and inference averages
n draws of it (eq. 9).
"""

import math

import torch
from torch import Tensor, nn

from ...inject import choose, inject, remove, set_noise, sites
from ...models import PerClass, autoencoder
from ...noise import ActivationNoise, check_parameters
from ...train import fit


def energy(reconstruction: Tensor, x: Tensor) -> Tensor:
    """Energy E_θ(x | y) = ||f_θ(x | y) - x||² (eq. 5), summed over the last three dimensions (channel, height, width).

    >>> energy(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2))
    tensor([4., 4.])
    """
    return (reconstruction - x).square().flatten(-3).sum(-1)


def by_class(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Regroup images [N, C, H, W] by label into [M, K, C, H, W], M the size of the largest class.

    Smaller classes repeat their images in order, so that one index batch trains every class. Raises `ValueError`
    if a class has no image.
    """
    groups = [x[y == k] for k in range(classes)]
    empty = [k for k, group in enumerate(groups) if not len(group)]
    if empty:
        raise ValueError(f"class {empty[0]} has no training image: choose more images or fewer classes")
    largest = max(len(group) for group in groups)
    wrap = torch.arange(largest, device=x.device)
    return torch.stack([group[wrap % len(group)] for group in groups], dim=1)


class CentredNoise(ActivationNoise):
    """Eq. (1) with noise whose mean is taken off, t = s + α (z̄ - E z̄): what its shape does, apart from its mean.

    For the three distributions on one side of zero: ``chi``, ``lognormal``, ``exponential``; `ValueError` for others.

    >>> print(round(CentredNoise("exponential").mean, 3), round(CentredNoise("lognormal").mean, 3))
    1.0 1.649
    """

    def __init__(self, distribution: str, alpha: float = 1.0, alpha_inference: float | None = None, **parameters):
        super().__init__(distribution, alpha, alpha_inference)  # none of its options: they would not fit the shift
        self.parameters_of_noise = check_parameters(distribution, parameters)
        if distribution not in _MEANS:
            raise ValueError(f"centred {distribution} noise: expected one of {', '.join(_MEANS)}")
        self.mean = _MEANS[distribution](**self.parameters_of_noise)

    def forward(self, s: Tensor) -> Tensor:
        t = super().forward(s)
        return t if t is s else t - (self.alpha if self.training else self.alpha_inference) * self.mean


_MEANS = {
    "chi": lambda k: math.sqrt(2) * math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2)),
    "lognormal": lambda mu, sigma: math.exp(mu + sigma**2 / 2),
    "exponential": lambda rate: 1 / rate,
}


class DropoutNoise(nn.Module):
    """Dropout (section 3.1, Fig. 2), with its probability `alpha` in training and one of its own at inference.

    What is left is scaled by 1 / (1 - `alpha`), so that the mean is that of the signal. Dropout at inference, by
    default the same, draws a sample as noise does; with `alpha_inference` 0 it is the usual dropout. Raises
    `ValueError` for a probability outside [0, 1).

    >>> DropoutNoise(0.5, alpha_inference=0).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, alpha: float, alpha_inference: float | None = None):
        super().__init__()
        self.alpha, self.alpha_inference = alpha, alpha if alpha_inference is None else alpha_inference
        self._check()

    def _check(self) -> None:
        for p in (self.alpha, self.alpha_inference):
            if not 0 <= p < 1:
                raise ValueError(f"dropout scalar c = {p!r}: expected a probability, at least 0 and under 1")

    def forward(self, s: Tensor) -> Tensor:
        self._check()
        return nn.functional.dropout(s, self.alpha if self.training else self.alpha_inference)

    def extra_repr(self) -> str:
        return f"c={self.alpha} training, c={self.alpha_inference} inference"


def placement(model: nn.Module, where: str, output: bool = False) -> list[str]:
    """Appendix D: the activations of an autoencoder that are noisy under "all", "odd", "even", "encoder" or "decoder".

    The last one, the output, is left out as it is in "hidden", so that all five read "layers" alike; with `output` it
    is not.

    >>> placement(autoencoder(), "even"), placement(autoencoder(), "even", output=True)
    (['encoder.act2', 'decoder.act1'], ['encoder.act2', 'decoder.act1', 'decoder.act3'])
    """
    last = sites(model)[-1]
    return [name for name in choose(model, where) if output or name != last]


def renoise(model: PerClass, noise: nn.Module, where="hidden") -> PerClass:
    """Put copies of another noise layer into the networks, in place of what they have; returns the model.

    That is how inference meets noise of another distribution or at other layers than training did (appendices C, D).
    """
    chosen = [choose(network, where) for network in model.networks]  # before any noise is gone
    for network, names in zip(model.networks, chosen, strict=True):
        remove(network)
        inject(network, noise, names)
    return model.eval()


def train_autoencoders(
    x: Tensor,
    y: Tensor,
    noise: nn.Module,
    *,
    where="hidden",
    loss: str = "mse",
    widths=(30, 73, 100),
    epochs: int = 100,
    batch_size: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
    **fit_options,
) -> PerClass:
    """Train one noisy autoencoder a class, all together (sections 4.1 and 4.3; the loss is eq. 6).

    `x` [N, C, H, W] in [0, 1], `y` [N] labels 0 … K-1. `noise` is a layer, such as ``ActivationNoise("gaussian",
    0.9)``, which at inference starts out the same (balanced); every activation that `where` names gets a copy. The
    paper's "each neuron of each layer" leaves open whether the output is meant: "hidden" leaves it clean, "all" makes
    it noisy too. The remaining defaults are the paper's: Adam at 0.001, batches of 256 (here: of each class), 100
    epochs, and as `loss` the mean squared error; "bce" is the binary cross-entropy that section 4.1 mentions. Energies
    are squared errors either way.
    Returns the K networks in evaluation mode.
    """
    if loss not in _LOSSES:
        raise ValueError(f"loss = {loss!r}: expected one of {', '.join(_LOSSES)}")
    torch.manual_seed(seed)
    classes = int(y.max()) + 1
    networks = [autoencoder(x.shape[1], widths) for _ in range(classes)]
    for network in networks:
        inject(network, noise, where)
    model = PerClass(networks).to(x.device)
    images = by_class(x, y, classes)

    def sum_over_classes(output, target):
        # eq. (6): averaged over images and pixels, so that each class's weights see the mean of their own error
        return _LOSSES[loss](output, target) * classes

    fit(
        model, images, images, loss=sum_over_classes, epochs=epochs, batch_size=batch_size,
        lr=lr, seed=seed, **fit_options,
    )  # fmt: skip
    return model


_LOSSES = {"mse": nn.functional.mse_loss, "bce": nn.functional.binary_cross_entropy}


@torch.inference_mode()
def energies(model: PerClass, x: Tensor, n: int) -> Tensor:
    """n noisy energies of every image under every class: E_θ(x | y, z^(i)) of eq. (9), as [n, N, K].

    `x` is [N, C, H, W]. The model's noise layers decide the noise; draws come from torch's global generator.

    Common random numbers are a choice of the model: ``model.common_noise = True`` gives all classes the same
    draw, ``set_noise(model, common=True)`` gives it to all images of the batch. Both leave each energy's
    distribution as it is.
    """
    if n < 1:
        raise ValueError(f"n = {n} noise samples: expected at least 1")
    model.eval()
    copies = x[:, None].expand(-1, len(model.networks), *x.shape[1:])
    return torch.stack([energy(model(copies), copies) for _ in range(n)])


def mean_energies(draws: Tensor) -> Tensor:
    """The estimate Ê of eq. (9) at every n up to the number of draws: cumulative means of [n, ...] over dimension 0."""
    steps = torch.arange(1, len(draws) + 1, device=draws.device, dtype=torch.float64)
    return draws.double().cumsum(0) / steps.view(-1, *[1] * (draws.ndim - 1))


def predict(estimates: Tensor) -> Tensor:
    """The class of least energy (section 3.2): argmin over the last dimension of [..., K]."""
    return estimates.argmin(-1)


def accuracy_over_n(
    model: PerClass, x: Tensor, y: Tensor, alpha: float, n: int, batch_size: int = 128
) -> tuple[Tensor, Tensor]:
    """Accuracy at every number of noise samples 1 … n from one pass, with noise scalar `alpha` at inference.

    Returns the accuracies in percent [n], and the mean estimated energy of the images under their own class
    [n]. Without noise (`alpha` 0) one sample says it all, and both have length 1.
    """
    set_noise(model, alpha_inference=alpha)
    n = n if alpha > 0 else 1
    correct, own = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True):
        estimates = mean_energies(energies(model, xb, n))
        correct += (predict(estimates) == yb).sum(1).cpu()
        own += estimates.gather(-1, yb.expand(n, -1)[..., None]).sum((1, 2)).cpu()
    return 100 * correct / len(x), own / len(x)
