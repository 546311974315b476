"""One readable training loop and one evaluation, on any device, over tensors that already live there."""

import contextlib
import copy
import functools
import itertools
import types
import warnings
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
    number, is added to the loss of each batch. `stop_at`, from 1 to 100, ends training after
    the first epoch whose training accuracy, in percent, counted on the batches as they passed, reaches it; `y` must
    then hold class labels. ``callback(epoch, mean_loss)`` runs after each epoch, from 1. `autocast` computes in
    bfloat16 where that is safe; `compile` hands the model to ``torch.compile``. The same seed gives the same numbers
    on a CPU with the same number of threads. The model is left in evaluation mode, also by an error or an interrupt.

    Targets must fit the output [B, ...]: labels are [B] whole numbers, any others have the output's shape. A loss of
    your own may take others, but for two shapes that broadcast to a third, as [B, 1] and [B] do to [B, B]: every output
    would meet every target. `ValueError` names the shapes.

    >>> net = nn.Linear(2, 2)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]); y = torch.tensor([0, 1])
    >>> losses = fit(net, x, y, epochs=20, lr=0.1, progress=False)
    >>> losses[-1] < losses[0], evaluate(net, x, y)
    (True, 100.0)
    """
    _check(x, y, epochs, batch_size)
    if stop_at is not None and not 1 <= stop_at <= 100:
        raise ValueError(f"stop_at = {stop_at}: expected an accuracy in percent, from 1 to 100")
    with _training([model], x.device):
        torch.manual_seed(seed)
        forward, loss = torch.compile(model) if compile else model, _fitting(loss)
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
                    correct += _correct(output, y[batch])
            history.append(total.item() / len(x))
            if callback:
                callback(epoch, history[-1])
            if stop_at is not None and 100 * correct.item() / len(x) >= stop_at:
                break
    return history


def fit_many(
    models: list[nn.Module],
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch_size: int = 256,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    optimizer: Callable = torch.optim.Adam,
    lr: float = 1e-3,
    seeds: int | list[int] = 0,
    callback: Callable[[int, list[float]], None] | None = None,
    progress: bool = True,
) -> list[list[float]]:
    """Train K `models` of one architecture together, in place, on the same data; return each one's losses by epoch.

    Their parameters are stacked and every step is one vectorised pass (`torch.func.vmap`). That gains where the steps
    are small and many, as with networks of a few dozen units; a large network keeps a processor busy by itself.
    Arguments are `fit`'s; the optimiser must treat every number alone, as SGD, RMSprop and Adam do. With one number as
    `seeds` all meet the same batches and the same noise, and each ends where `fit` with that seed would have taken it,
    up to rounding. With a list, each has batches and noise of its own (those of `fit`, where a network draws no noise).
    Numbers by which the networks differ must be parameters or buffers.
    ``callback(epoch, mean_losses)`` finds the models up to date; what it changes in them has no effect on the training,
    and parameters and buffers are overwritten. The models are left in evaluation mode, also by an error or an
    interrupt, with the weights reached by then. Raises `ValueError` for no models, for differing ones (it names what
    differs), and for models that share a parameter with each other.

    >>> nets = [nn.Linear(2, 2) for _ in range(3)]
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]); y = torch.tensor([0, 1])
    >>> losses = fit_many(nets, x, y, epochs=20, lr=0.1, progress=False)
    >>> len(losses), [evaluate(net, x, y) for net in nets]
    (3, [100.0, 100.0, 100.0])
    """
    _check(x, y, epochs, batch_size)
    if not models:
        raise ValueError("0 models: expected at least one")
    skeleton = copy.deepcopy(models[0])
    for k, model in enumerate([*models[1:], skeleton], start=1):
        if difference := _difference(models[0], model):
            pair = f"models 0 and {k}" if k < len(models) else "model 0 and its copy"
            raise ValueError(
                f"{len(models)} models: expected all of one architecture, but {pair} differ in {difference} (or it "
                "cannot be compared). Numbers by which they differ must be parameters or buffers, and no function may "
                "hold a module of its own network"
            )
    own = not isinstance(seeds, int)
    if own and len(seeds) != len(models):
        raise ValueError(f"{len(seeds)} seeds for {len(models)} models: expected a seed a model, or one for all")
    held = [id(tensor) for model in models for tensor in (*model.parameters(), *model.buffers())]
    if len(set(held)) < len(held):
        raise ValueError(f"{len(models)} models share a parameter or buffer: give each its own (copy.deepcopy)")
    with _training([*models, skeleton], x.device):
        parameters, buffers = torch.func.stack_module_state(models)
        loss, slots = _fitting(loss), _slots(skeleton)
        optimiser = optimizer(parameters.values(), lr=lr)
        torch.manual_seed(sum(seeds) if own else seeds)
        generators = [torch.Generator(x.device).manual_seed(seed) for seed in seeds] if own else [None]

        def one(p, b, inputs, targets):
            state = {slot: {**p, **b}[name] for slot, name in slots.items()}
            return loss(torch.func.functional_call(skeleton, state, (inputs,), tie_weights=False), targets)

        together = torch.func.vmap(
            one, in_dims=(0, 0, *[0 if own else None] * 2), randomness="different" if own else "same"
        )
        history = []
        try:
            for epoch in _progress(range(1, epochs + 1), progress):
                total = torch.zeros(len(models), device=x.device)
                order = torch.stack([torch.randperm(len(x), device=x.device, generator=g) for g in generators])
                for batch in order.split(batch_size, 1):
                    batch = batch if own else batch[0]
                    values = together(parameters, buffers, x[batch], y[batch])
                    optimiser.zero_grad()
                    values.sum().backward()
                    optimiser.step()
                    total += values.detach() * batch.shape[-1]
                history.append((total / len(x)).tolist())
                if callback:
                    _unstack(models, parameters, buffers)
                    callback(epoch, history[-1])
        finally:
            _unstack(models, parameters, buffers)
    return [[losses[k] for losses in history] for k in range(len(models))]


def penalty(regulariser: Callable[..., Tensor], variance: float, sample: int | None = None, **options):
    """The batch mean of a `regulariser` as a function (model, x) -> number, to be trained on (`fit`'s ``penalty``).

    ``regulariser(model, x, variance, create_graph=True, **options)`` gives a number a sample [B]. With `sample`, the
    mean over that many images drawn from the batch without replacement: its expectation is the mean over the batch, at
    a fraction of the cost.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"sample = {sample}: expected at least 1 image, or None for the whole batch")

    def value(model: nn.Module, x: Tensor) -> Tensor:
        if sample is not None and sample < len(x):
            x = x[torch.randperm(len(x), device=x.device)[:sample]]
        return regulariser(model, x, variance, create_graph=True, **options).mean()

    return value


WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""The layers that have weights W^(ℓ)."""


def l2(coefficient: float, layers: tuple = WEIGHTED) -> Callable[[nn.Module, Tensor], Tensor]:
    """L_2 regularisation (weight decay) as `fit`'s ``penalty``: ½ λ Σ_ℓ ||W^(ℓ)||², λ = `coefficient`.

    It takes the weights of linear and convolutional layers (or of the types in `layers`), not biases, batch
    normalisation or W_NI.
    """

    def decay(model: nn.Module, x: Tensor) -> Tensor:
        return coefficient / 2 * sum(m.weight.square().sum() for m in model.modules() if isinstance(m, layers))

    return decay


def _check(x: Tensor, y: Tensor, epochs: int, batch_size: int) -> None:
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{len(x)} inputs and {len(y)} targets: expected as many, and at least one")
    if epochs < 0 or batch_size < 1:
        raise ValueError(f"epochs = {epochs}, batch_size = {batch_size}: expected >= 0 and >= 1")


@contextlib.contextmanager
def _training(models: list[nn.Module], device: torch.device):
    """The models on the device and in training mode; whatever happens, in evaluation mode afterwards."""
    try:
        for model in models:
            model.to(device).train()
        yield
    finally:
        for model in models:
            model.eval()


def _fitting(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss; its first call raises `ValueError` where the shapes of output and target do not fit each other."""
    first = True

    def value(output, target):
        nonlocal first
        if not first:
            return loss(output, target)
        first = False
        if not isinstance(output, Tensor) or output.shape == target.shape:
            return loss(output, target)
        shapes = f"outputs of shape {tuple(output.shape)} and targets of shape {tuple(target.shape)}, {target.dtype}"
        expected = "Expected [B] whole numbers (labels), or targets of the output's shape"
        with contextlib.suppress(RuntimeError):  # shapes that cannot be broadcast are the loss's own affair
            if torch.broadcast_shapes(output.shape, target.shape) not in (output.shape, target.shape):
                raise ValueError(f"{shapes}, would be broadcast against each other. {expected}")
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Using a target size")  # torch's own losses where they broadcast
            try:
                return loss(output, target)
            except (RuntimeError, ValueError, IndexError, AssertionError, UserWarning) as error:
                raise ValueError(f"the loss fails on {shapes}: {error}. {expected}") from error

    return value


def _slots(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer, with the first name of what is there (torch loses some ties by itself)."""
    every = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in every}


def _unstack(models: list[nn.Module], parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
    """Write the stacked parameters and buffers back into the models."""
    with torch.no_grad():
        for k, model in enumerate(models):
            for name, value in (*model.named_parameters(), *model.named_buffers()):
                value.copy_({**parameters, **buffers}[name][k])


def _difference(one: nn.Module, other: nn.Module) -> str | None:
    """Where two networks differ in more than the numbers in their parameters and buffers; None: nowhere."""
    named = [(*model.named_modules(), *model.named_parameters(), *model.named_buffers()) for model in (one, other)]
    known = [{id(value): name for name, value in pairs} for pairs in named]
    for (place, a), (same, b) in itertools.zip_longest(_facts(one), _facts(other), fillvalue=("nothing", None)):
        if place != same:
            return f"{place} against {same}"
        try:
            alike = _alike(a, b, known)
        except Exception:  # what cannot be compared may differ
            alike = False
        if not alike:
            return place
    return None


def _facts(model: nn.Module):
    """All that makes a network but the numbers in parameters and buffers, each with its place."""
    first, every = {}, {"remove_duplicate": False}
    for name, module in model.named_modules(**every):
        yield name or "type", (type(module), first.setdefault(id(module), name))  # which modules are one and the same
        for key, value in sorted(vars(module).items()):
            if key not in ("training", "_modules", "_parameters", "_buffers") and "state_dict" not in key:
                yield f"{name}.{key}".lstrip("."), list(value.values()) if "_hooks" in key else value  # keys are ids
    for name, tensor in (*model.named_parameters(**every), *model.named_buffers(**every)):
        yield name, (first.setdefault(id(tensor), name), tensor.shape, tensor.dtype, tensor.requires_grad)


def _alike(one, other, known: list[dict[int, str]]) -> bool:
    """Whether two settings mean the same; modules and tensors `known` by name do if they bear the same name."""
    names = known[0].get(id(one)), known[1].get(id(other))
    if names != (None, None) or type(one) is not type(other):
        return None not in names and names[0] == names[1]
    parts = [_parts(value) for value in (one, other)]
    if parts[0] is not None:  # also of one and the same function: what it holds may belong to one of the networks alone
        return len(parts[0]) == len(parts[1]) and all(_alike(a, b, known) for a, b in zip(*parts, strict=True))
    if one is other:
        return True
    if type(one).__eq__ is object.__eq__ and hasattr(one, "__dict__"):
        return _alike(vars(one), vars(other), known)
    equal = getattr(one, "shape", None) == getattr(other, "shape", None) and one == other
    return bool(equal.all() if hasattr(equal, "all") else equal)


def _parts(value) -> list | None:
    """What a setting is made of, to be compared one by one; None for what is compared as a whole."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return sorted(value.items(), key=lambda item: str(item[0]))
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):  # a hook that is made anew for each network has the same code
        bound = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, *bound]
    return [] if isinstance(value, torch.utils.hooks.RemovableHandle) else None


@contextlib.contextmanager
def evaluating(model: nn.Module):
    """The model in evaluation mode for a while; then every module is in the mode in which it was."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.inference_mode()
def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1024) -> float:
    """Accuracy of `model` in evaluation mode on inputs `x` [N, ...] and labels `y` [N], in percent."""
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{len(x)} inputs and {len(y)} labels: expected as many, and at least one")
    with evaluating(model):
        parts = zip(x.split(batch_size), y.split(batch_size), strict=True)
        correct = sum(_correct(model(xb), yb).item() for xb, yb in parts)
    return 100 * correct / len(x)


def _correct(output: Tensor, labels: Tensor) -> Tensor:
    """How many rows of `output` [B, C] are largest at their label, of `labels` [B]."""
    if output.ndim != 2 or labels.shape != output.shape[:1]:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} for outputs of shape {tuple(output.shape)}: expected [N] for [N, C]"
        )
    return (output.argmax(1) == labels).sum()


def _progress(iterable, show: bool):
    """The iterable with a progress bar on standard error, if `show`."""
    if not show:
        return iterable
    from tqdm.auto import tqdm

    return tqdm(iterable, desc="epochs", leave=False)
