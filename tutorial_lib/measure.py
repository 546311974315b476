"""What is measured of a network: Jacobians, curvature, spectra, calibration, noisy data, and attacks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .noise import check_alpha


def jacobians(model: nn.Module, x: Tensor, layers: list[str]) -> list[Tensor]:
    """The Jacobians J_k = ∂ output / ∂ h_k of every sample, h_k the outputs of the modules named in `layers`.

    "Explicit Regularisation in Gaussian Noise Injections", section 3. `x` is [B, ...], the model's output [B, C];
    returns for each layer [B, C, N_k]. One batched vector-Jacobian pass serves all layers.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
    >>> torch.equal(jacobians(net, torch.ones(3, 2), ["0"])[0][0], net[1].weight)
    True
    """
    output, hidden, _ = _activations(model, x, layers)
    return [rows.detach() for rows in _rows(output, hidden, create_graph=False)]


def grams(
    model: nn.Module, x: Tensor, layers: list[str], multiplicative: bool = False, create_graph: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The model's output [B, C] on `x` [B, ...], and G_k = J_k J_kᵀ [B, C, C] for each of `layers`.

    "Explicit Regularisation in Gaussian Noise Injections", App. C.4: the covariance of the outputs under unit noise in
    layer k. Its diagonal holds the squared row norms of J_k, its trace is ||J_k||_F². With `multiplicative` the noise
    scales with the activation (eq. 5): G_k = J_k diag(h_k²) J_kᵀ. With `create_graph` the results can be
    differentiated once more.

    All layers share one batched vector-Jacobian pass. Where, in an `nn.Sequential`, a linear layer with weights W comes
    right after the first of `layers`, J_0 = A W is not formed if it costs more than W Wᵀ: G_0 = A (W Wᵀ) Aᵀ.
    """
    output, hidden, linear = _activations(model, x, layers)
    wanted, weights = list(hidden), None
    with torch.set_grad_enabled(create_graph):
        if linear is not None and not multiplicative:
            module, after = linear
            if output.numel() > module.out_features < module.in_features:
                wanted[0], weights = after, module.weight @ module.weight.T
        found = []
        for k, rows in enumerate(_rows(output, wanted, create_graph)):
            if multiplicative:
                rows = rows * hidden[k].flatten(1)[:, None]
            left = rows @ weights if k == 0 and weights is not None else rows
            found.append(left @ rows.mT)
    return output if create_graph else output.detach(), found


def _activations(model: nn.Module, x: Tensor, layers: list[str]):
    """Output, the activations of `layers`, and the linear layer right after the first with its output, if any."""
    known = dict(model.named_modules())
    unknown = [name for name in layers if name not in known]
    if unknown or not layers:
        raise ValueError(f"no module named {(unknown or [''])[0]!r}; the model has {', '.join(filter(None, known))}")
    children = list(model._modules) if isinstance(model, nn.Sequential) else []
    after = children[children.index(layers[0]) + 1 :][:1] if layers[0] in children else []
    after = [name for name in after if isinstance(known[name], nn.Linear)]
    kept, handles = {}, []

    def keep(name):
        return lambda module, inputs, output: kept.__setitem__(name, output)

    try:
        for name in {*layers, *after}:
            handles.append(known[name].register_forward_hook(keep(name)))
        with torch.enable_grad():
            output = model(x.detach().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    if output.ndim != 2:
        raise ValueError(f"the model's output has shape {tuple(output.shape)}: expected [batch, outputs]")
    flat = after and kept[after[0]].ndim == 2
    return output, [kept[name] for name in layers], (known[after[0]], kept[after[0]]) if flat else None


def _rows(output: Tensor, wanted: list[Tensor], create_graph: bool) -> list[Tensor]:
    """∂ output / ∂ wanted as [B, C, N] for each of `wanted`: one backward pass for the C unit vectors together."""
    count = output.shape[1]
    units = torch.eye(count, dtype=output.dtype, device=output.device)[:, None].expand(-1, len(output), -1)
    found = torch.autograd.grad(output, wanted, units, is_grads_batched=True, create_graph=create_graph)
    return [g.flatten(2).transpose(0, 1) for g in found]


def hessian_trace(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    probes: int | None = 32,
    seed: int = 0,
) -> dict[str, float]:
    """Trace of the Hessian of the mean loss in the weights, H_ij = ∂²L / ∂w_i ∂w_j, by module (their sum is Tr H).

    Hutchinson's estimator: for v with independent signs ±1, E[vᵀ H v] = Tr H, and the part of vᵀ(Hv) that belongs to a
    module estimates the trace of that module's own block. `probes` Hessian-vector products are averaged, drawn with
    `seed`; None: exact, one product a parameter (small networks). The model is left as it was.

    >>> net = nn.Linear(2, 1, bias=False)  # L = mean (w·x - y)², so H = 2 mean x xᵀ, of trace 2 (1 + 4) = 10
    >>> hessian_trace(net, torch.tensor([[1.0, 2.0]]), torch.zeros(1, 1), nn.functional.mse_loss, probes=None)
    {'': 10.0}
    """
    if probes is not None and probes < 1:
        raise ValueError(f"probes = {probes}: expected at least 1, or None for the exact trace")
    names, weights = zip(*((n, w) for n, w in model.named_parameters() if w.requires_grad), strict=True)
    with torch.enable_grad():
        gradient = torch.autograd.grad(loss(model(x), y), weights, create_graph=True)
    generator = torch.Generator(x.device).manual_seed(seed)

    def signs():
        for _ in range(probes):
            yield [torch.randint(0, 2, w.shape, generator=generator, device=x.device) * 2.0 - 1 for w in weights]

    def units():
        for k, w in enumerate(weights):
            for i in range(w.numel()):
                vectors = [torch.zeros_like(v) for v in weights]
                vectors[k].view(-1)[i] = 1
                yield vectors

    total = torch.zeros(len(weights), dtype=torch.float64)
    for vectors in units() if probes is None else signs():
        vectors = [v.to(w.dtype) for v, w in zip(vectors, weights, strict=True)]
        product = torch.autograd.grad(gradient, weights, vectors, retain_graph=True, allow_unused=True)
        total += torch.tensor([0.0 if p is None else (v * p).sum() for v, p in zip(vectors, product, strict=True)])
    found = {}
    for name, value in zip(names, (total / (probes or 1)).tolist(), strict=True):
        module = name.rpartition(".")[0]
        found[module] = found.get(module, 0.0) + value
    return found


def spectrum(values: Tensor) -> Tensor:
    """Amplitudes of the frequencies 0 … N/2 of values [..., N] at z = 0, 1/N, …, (N-1)/N (discrete Fourier transform).

    A sine sin(2πkz + φ) has amplitude 1 at k (0 < k < N/2) and 0 elsewhere.

    >>> z = torch.arange(8) / 8
    >>> spectrum(torch.sin(2 * torch.pi * 2 * z)).round().abs()
    tensor([0., 0., 1., 0., 0.])
    """
    count = values.shape[-1]
    amplitudes = 2 * torch.fft.rfft(values).abs() / count
    amplitudes[..., 0] /= 2
    if count % 2 == 0:
        amplitudes[..., -1] /= 2
    return amplitudes


def corrupt(x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """`x` [N, ...] with Gaussian noise of deviation `sigma` added to every element, not clipped.

    The accuracy of a network on ``corrupt(x, sigma)`` over `sigma` is its sensitivity curve ("Explicit Regularisation
    in Gaussian Noise Injections", Fig. 3(a)). The same `seed` gives the same noise up to its scale.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x + check_alpha(sigma) * noise


def pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    delta: float,
    steps: int = 10,
    step: float | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> Tensor:
    """Projected gradient descent: `x` [B, ...] moved up the loss, no element by more than `delta`.

    "Noise Injection Node Regularization", App. C.1: `steps` times the step x + `step` sign(∇ₓ L) of eq. (17), each
    followed by the projection onto |x' - x| ≤ `delta`. `step` is 2.5 `delta` / `steps` unless given; the start is `x`
    itself; nothing is clipped to a range of pixels. The model is taken as it is (in evaluation mode, as a rule).
    """
    if steps < 1 or (step is not None and step <= 0):
        raise ValueError(f"steps = {steps}, step = {step}: expected at least 1, and a positive step")
    delta, x = check_alpha(delta), x.detach()
    step = 2.5 * delta / steps if step is None else step
    moved = x
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(model(moved), y)
        moved = moved.detach() + step * torch.autograd.grad(value, moved)[0].sign()
        moved = torch.clamp(moved, x - delta, x + delta)
    return moved


def fgsm(model: nn.Module, x: Tensor, y: Tensor, delta: float, loss=nn.functional.cross_entropy) -> Tensor:
    """Fast gradient sign method: x + δ sign(∇ₓ L) for `x` [B, ...] and targets `y` [B].

    "Noise Injection Node Regularization", eq. (17).

    >>> net = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(net.weight, -1.0)
    >>> fgsm(net, torch.zeros(1, 2), torch.ones(1, 1), 0.5, nn.functional.mse_loss)  # the loss grows with x
    tensor([[0.5000, 0.5000]])
    """
    return pgd(model, x, y, delta, steps=1, step=delta, loss=loss) if delta != 0 else x.detach()


def reliability(probabilities: Tensor, y: Tensor, bins: int = 15):
    """Reliability diagram: a DataFrame with ``confidence``, ``accuracy`` (0 to 1) and ``share`` of each filled bin.

    "Explicit Regularisation in Gaussian Noise Injections", eqs. (44)-(45). `probabilities` is [N, C], `y` [N]; the
    `bins` split the confidence, the largest probability, evenly from 0 to 1 (index ``bin``, from 0).
    """
    import pandas as pd

    if bins < 1:
        raise ValueError(f"bins = {bins}: expected at least 1")
    confidence, predicted = probabilities.double().max(1)
    if len(y) != len(confidence) or len(y) == 0:
        raise ValueError(f"{len(confidence)} predictions and {len(y)} labels: expected as many, and at least one")
    table = pd.DataFrame(
        {
            "bin": np.clip(np.ceil(confidence.cpu().numpy() * bins) - 1, 0, bins - 1).astype(int),  # (a, b]
            "confidence": confidence.cpu().numpy(),
            "accuracy": (predicted == y).double().cpu().numpy(),
            "share": 1 / len(y),
        }
    )
    return table.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "share": "sum"})


def calibration_error(probabilities: Tensor, y: Tensor, bins: int = 15) -> float:
    """Expected calibration error in percent, the share-weighted |accuracy - confidence| over bins.

    "Explicit Regularisation in Gaussian Noise Injections", eq. (46); arguments as for `reliability`.

    >>> calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))
    25.0
    """
    table = reliability(probabilities, y, bins)
    return 100 * float((table["share"] * (table["accuracy"] - table["confidence"]).abs()).sum())


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy -Σ p log p of each prediction [N, C], in nats: 0 for certainty, log C for a guess."""
    return torch.special.entr(probabilities).sum(-1)
