"""What is measured for "Explicit Regularisation in Gaussian Noise Injections" beside training: spectra, Theorem 1."""

import numpy as np
import torch
from torch import nn

from ...data import load_data
from ...measure import spectrum
from ...models import mlp
from ...sweep import Sweep
from ...train import fit
from . import SLUG, method
from .method import noised_layers
from .sweeps import ACTIVATIONS, BASELINE, NOISE, REGULARISER, VARIANCE, train

FREQUENCIES = list(range(5, 51, 5))
"""The k_i of Fig. 2."""


def sinusoids(phases: torch.Tensor, count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Fig. 2's data: z = 0, 1/N, … [N, 1] and λ(z) = Σ_i sin(2π k_i z + φ_i) [N, 1], k_i = 5, 10, …, 50.

    >>> z, target = sinusoids(torch.zeros(10))
    >>> spectrum(target[:, 0])[[5, 6, 50]].round()
    tensor([1., 0., 1.])
    """
    z = torch.arange(count) / count
    k = torch.tensor(FREQUENCIES)
    return z[:, None], torch.sin(2 * torch.pi * k[:, None] * z + phases[:, None]).sum(0)[:, None]


def spectrum_cell(config: dict, kind: str, variance: float, seed: int) -> list[dict]:
    """Fit six layers of 256 ReLU units to a sum of sinusoids; follow the spectrum of what the network has learned.

    `seed` draws the phases, the weights and the noise. The spectrum is the discrete Fourier transform at the N points
    of training. ``function`` rows hold the network (and, at step 0, the target) itself, of seed 0.
    """
    phases = 2 * torch.pi * torch.rand(len(FREQUENCIES), generator=torch.Generator().manual_seed(seed))
    z, target = (t.to(config["device"]) for t in sinusoids(phases))
    torch.manual_seed(seed)
    model = mlp(1, 1, (256,) * 6).to(z.device)
    rows, when = [], sorted({round(s) for s in np.geomspace(20, config["epochs"], config["checkpoints"])})

    def keep(step: int, values: torch.Tensor) -> None:
        amplitudes = spectrum(values)[: FREQUENCIES[-1] + 6].tolist()
        rows.extend({"measure": "amplitude", "step": step, "x": k, "value": a} for k, a in enumerate(amplitudes))
        if seed == 0:
            points = zip(z[::2, 0].tolist(), values[::2].tolist(), strict=True)
            rows.extend({"measure": "function", "step": step, "x": a, "value": b} for a, b in points)

    def follow(step: int, _) -> None:
        if step in when:
            model.eval()
            with torch.no_grad():
                keep(step, model(z)[:, 0])
            model.train()

    if kind == BASELINE:
        keep(0, target[:, 0])
    train(model, z, target, kind, variance, "+", config, seed, follow)
    return rows


SPECTRA = Sweep(
    f"{SLUG}/fig-2",
    spectrum_cell,
    lambda config: [
        {"kind": BASELINE, "variance": 0.0},
        *({"kind": k, "variance": v} for v in config["variances"] for k in (NOISE, REGULARISER)),
    ],
    {
        "smoke": {
            "default": {
                "seeds": 1, "epochs": 40, "batch_size": 200, "lr": 3e-4, "optimizer": "adam", "sample": 20,
                "checkpoints": 2, "variances": [VARIANCE],
            },
        },
        "desk": {
            "default": {
                "seeds": 10, "epochs": 4000, "batch_size": 200, "lr": 3e-4, "optimizer": "adam", "sample": 50,
                "checkpoints": 12, "variances": [VARIANCE, 1e-4],
            },
        },
        "paper": {
            "default": {
                "seeds": 10, "epochs": 80_000, "batch_size": 512, "lr": 0.001, "optimizer": "sgd", "sample": None,
                "checkpoints": 40, "variances": [VARIANCE, 1e-4],
            },
        },
    },
    dict.fromkeys(("smoke", "desk", "paper"), "none"),
    subject="sinusoids",
)  # fmt: skip


def theorem_cell(config: dict, activation: str, loss: str, epochs: int, seed: int) -> list[dict]:
    """Theorem 1 on a small network, in float64: E[ΔL], R of eq. (10) and the curvature term, over σ.

    The network was trained for `epochs` (0: as initialised). Averaged over test images, and at the one test image whose
    pre-activations lie farthest from a kink at zero. ``layer`` is the one that is noised, or "all".
    """
    data = load_data(config["dataset"], config["folder"], seed=seed, device=config["device"], **config["data"])
    classes, fitted = int(data.y_train.max()) + 1, nn.functional.cross_entropy
    y_train, y = data.y_train, data.y_test[: config["images"]]
    if loss == "squared error":
        y_train, fitted = nn.functional.one_hot(y_train, classes).float(), nn.functional.mse_loss
        y = nn.functional.one_hot(y, classes).double()
    torch.manual_seed(seed)
    model = mlp(data.x_train[0].numel(), classes, (32, 32), ACTIVATIONS[activation]).to(y.device)
    fit(model, data.x_train, y_train, epochs=epochs, batch_size=64, seed=seed, loss=fitted, progress=False)
    model.double()
    x = data.x_test[: config["images"]].double()
    with torch.no_grad():
        first = model.linear1(model.data(x))
        nearest = torch.cat([first, model.linear2(model.act1(first))], 1).abs().min(1).values
    place, rows = int(nearest.argmax()), []
    for layer in ("all", *noised_layers(model)):
        layers = None if layer == "all" else [layer]
        for where, index in (("average over data", range(len(x))), ("one point", [place])):
            xs, ys = x[list(index)], y[list(index)]
            unit = method.explicit_regulariser(model, xs, 1.0, loss, layers).mean().item()
            curvature = method.curvature_term(model, xs, ys, 1.0, loss, layers).mean().item()
            copies = len(x) // len(xs)  # as many draws for the one point as for all images together
            xs, ys = xs.repeat(copies, 1, 1, 1), ys.repeat(copies, *[1] * (ys.ndim - 1))
            for sigma in config["sigmas"]:
                change, error = method.loss_change(model, xs, ys, sigma**2, loss, config["pairs"], layers, seed)
                rows.append(
                    {
                        "layer": layer, "where": where, "sigma": sigma, "change": change.mean().item(),
                        "error": error.square().sum().sqrt().item() / len(xs), "regulariser": sigma**2 * unit,
                        "curvature": sigma**2 * curvature, "nearest_kink": nearest[place].item(),
                    }
                )  # fmt: skip
    return rows


_THEOREM = {
    "data": {}, "epochs": [0, 2, 20], "images": 64, "pairs": 500,
    "sigmas": [0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3162, 0.5],
}  # fmt: skip
THEOREM = Sweep(
    f"{SLUG}/theorem-1",
    theorem_cell,
    lambda config: [
        {"activation": activation, "loss": loss, "epochs": epochs}
        for activation in ACTIVATIONS for loss in ("cross-entropy", "squared error") for epochs in config["epochs"]
    ],
    {
        "smoke": {
            "default": {
                **_THEOREM, "seeds": 1, "data": {"train": 200, "test": 20}, "epochs": [0, 2], "images": 4, "pairs": 20,
                "sigmas": [0.01, 0.1],
            },
        },
        "desk": {"default": {**_THEOREM, "seeds": 10}},
        "paper": {"default": {**_THEOREM, "seeds": 10, "images": 256, "pairs": 5000}},
    },
)  # fmt: skip
