"""One readable training loop and one evaluation, on any device, over tensors that already live there."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch_size: int = 256,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    optimizer: Callable = torch.optim.Adam,
    lr: float = 1e-3,
    penalty: Callable[[nn.Module, Tensor], Tensor] | None = None,
    seed: int = 0,
    stop_at: float | None = None,
    callback: Callable[[int, float], None] | None = None,
    autocast: bool = False,
    compile: bool = False,
    progress: bool = True,
) -> list[float]:
    """Train `model` in place on inputs `x` [N, ...] and targets `y` [N, ...]; return the mean loss of each epoch.

    Everything stays on the device of `x`: a batch is an indexing, there is no data loader. `optimizer` is called
    with the parameters and ``lr=lr`` (bind further settings with `functools.partial`). ``penalty(model, inputs)``, a
    number, is added to the loss of each batch. `stop_at` ends training after
    the first epoch whose training accuracy, in percent, counted on the batches as they passed, reaches it; `y` must
    then hold class labels. ``callback(epoch, mean_loss)`` runs after each epoch, from 1. `autocast` computes in
    bfloat16 where that is safe; `compile` hands the model to ``torch.compile``. The same seed gives the same numbers
    on a CPU with the same number of threads. The model is left in evaluation mode.

    >>> net = nn.Linear(2, 2)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]); y = torch.tensor([0, 1])
    >>> losses = fit(net, x, y, epochs=20, lr=0.1, progress=False)
    >>> losses[-1] < losses[0], evaluate(net, x, y)
    (True, 100.0)
    """
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{len(x)} inputs and {len(y)} targets: expected as many, and at least one")
    if epochs < 0 or batch_size < 1:
        raise ValueError(f"epochs = {epochs}, batch_size = {batch_size}: expected >= 0 and >= 1")
    model.to(x.device).train()
    torch.manual_seed(seed)
    forward = torch.compile(model) if compile else model
    optimiser = optimizer(model.parameters(), lr=lr)
    history = []
    for epoch in _progress(range(1, epochs + 1), progress):
        total = torch.zeros((), device=x.device)
        correct = torch.zeros((), device=x.device)
        for batch in torch.randperm(len(x), device=x.device).split(batch_size):
            with torch.autocast(x.device.type, torch.bfloat16) if autocast else contextlib.nullcontext():
                output = forward(x[batch])
                value = loss(output, y[batch])
                if penalty is not None:
                    value = value + penalty(model, x[batch])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            total += value.detach() * len(batch)
            if stop_at is not None:
                correct += (output.argmax(1) == y[batch]).sum()
        history.append(total.item() / len(x))
        if callback:
            callback(epoch, history[-1])
        if stop_at is not None and 100 * correct.item() / len(x) >= stop_at:
            break
    model.eval()
    return history


@torch.inference_mode()
def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1024) -> float:
    """Accuracy of `model` in evaluation mode on inputs `x` [N, ...] and labels `y` [N], in percent."""
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{len(x)} inputs and {len(y)} labels: expected as many, and at least one")
    was_training = model.training
    model.eval()
    correct = sum(
        (model(xb).argmax(1) == yb).sum().item()
        for xb, yb in zip(x.split(batch_size), y.split(batch_size), strict=True)
    )
    model.train(was_training)
    return 100 * correct / len(x)


def _progress(iterable, show: bool):
    """The iterable with a progress bar on standard error, if `show`."""
    if not show:
        return iterable
    from tqdm.auto import tqdm

    return tqdm(iterable, desc="epochs", leave=False)
