"""Where noise goes: put a noise layer behind or before any module of a network, and take it out again."""

import copy
from collections.abc import Iterable

from torch import Tensor, nn

ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardswish, nn.Hardtanh, nn.ReLU6,
)  # fmt: skip
_NAME = "injected_noise"


def sites(model: nn.Module, after: tuple = ACTIVATIONS) -> list[str]:
    """Names of the modules of `model` that are instances of `after`, in order of registration.

    >>> sites(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    ['1']
    """
    return [name for name, module in model.named_modules() if isinstance(module, after)]


def choose(model: nn.Module, where="all", after: tuple = ACTIVATIONS) -> list[str]:
    """The sites that `where` names; see `inject`. Raises `ValueError` where there are none."""
    found = sites(model, after)
    if not isinstance(where, str):
        where = list(where)
        if not where:
            raise ValueError("where is an empty list: name at least one module")
        known = dict(model.named_modules())
        unknown = [name for name in where if name not in known]
        if unknown:
            raise ValueError(f"no module named {unknown[0]!r}; the model has {', '.join(known)}")
        return list(dict.fromkeys(where))
    if not found:
        raise ValueError(
            "the model has no activation module to put noise after (it may call functions such as "
            "F.relu): name the modules, as in where=['layer1', 'layer2'], or give their types in after="
        )
    picks = {
        "all": found,
        "hidden": found[:-1],
        "odd": found[0::2],
        "even": found[1::2],
        "encoder": [name for name in found if "encoder" in name.split(".")],
        "decoder": [name for name in found if "decoder" in name.split(".")],
    }
    if where not in picks:
        raise ValueError(f"where = {where!r}: expected one of {', '.join(picks)}, or a list of names")
    if not picks[where]:
        raise ValueError(f"where = {where!r} picks none of the model's sites: {', '.join(found)}")
    return picks[where]


def _add_noise(module, inputs, output):
    layer = module._modules[_NAME]
    if not isinstance(output, Tensor):
        raise ValueError(
            f"noise behind {layer.injected_at!r} ({type(module).__name__}): its output is a {type(output).__name__}, "
            "expected a tensor; put the noise at another module"
        )
    return layer(output)


def _add_noise_before(module, inputs):
    layer = module._modules[_NAME]
    if not inputs or not isinstance(inputs[0], Tensor):
        found = f"its first input is a {type(inputs[0]).__name__}" if inputs else "it has no input by position"
        raise ValueError(
            f"noise before {layer.injected_at!r} ({type(module).__name__}): {found}, expected a tensor by position; "
            "call it so, or put the noise behind the module before it"
        )
    return layer(inputs[0]), *inputs[1:]


def _check_site(name: str, module: nn.Module, before: bool) -> None:
    """`ValueError` for a module that noise cannot be put at, as far as that shows before it is called."""
    what = f"module {name!r} is a {type(module).__name__}"
    if _NAME in module._modules:
        raise ValueError(f"module {name!r} has noise already: call remove(model) first")
    if isinstance(module, nn.Sequential):
        end = "first" if before else "last"
        raise ValueError(f"{what}, which would run the noise as one more layer: name its {end} layer instead")
    if isinstance(module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
        raise ValueError(
            f"{what}, a container, which would take the noise for one of its items: name modules inside it"
        )
    if isinstance(module, nn.RNNBase | nn.LSTMCell | nn.MultiheadAttention) and not before:
        raise ValueError(f"{what}: its output is a tuple, expected a tensor; put the noise before the next module")
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        raise ValueError(
            f"{what}, whose weights MultiheadAttention uses without calling it: the noise would do nothing"
        )


def inject(
    model: nn.Module, layer: nn.Module, where="all", after: tuple = ACTIVATIONS, before: bool = False
) -> list[str]:
    """Put a copy of the noise `layer` behind modules of `model`, in place; return their names.

    With `before` it goes before them, and acts on their (first) input.

    `where` is "all" (behind every activation module), "hidden" (all but the last), "odd" or "even"
    (counted from 1), "encoder" or "decoder" (activations inside a submodule of that name), or a list of
    module names (any modules). `after` says which types count as activations. The layer becomes a child of
    the module it is put at, so it moves and switches mode with the model and its parameters (if any) are the
    model's; a noise layer without parameters leaves the state dict as it was.

    A module that the network calls twice, such as one ReLU for two layers, is one site and noisy at each call, with
    draws of its own. Raises `ValueError`, naming the module, for one that noise cannot be put at: containers, modules
    whose output is a tuple. Where only the call shows it (another output than a tensor; with `before`, a first input
    that is no tensor or given by keyword), the forward pass raises it.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> from tutorial_lib import ActivationNoise
    >>> inject(net, ActivationNoise(alpha=0.1))
    ['1']
    >>> remove(net)
    ['1']
    """
    names = choose(model, where, after)
    for name in names:
        _check_site(name, model.get_submodule(name), before)
    for name in names:
        module = model.get_submodule(name)
        module.add_module(_NAME, copy.deepcopy(layer).train(module.training))
        module._modules[_NAME].injected_at = name  # for what the hooks may have to say
        if before:
            module.register_forward_pre_hook(_add_noise_before)
        else:
            module.register_forward_hook(_add_noise)
    return names


def remove(model: nn.Module) -> list[str]:
    """Take every injected layer out of `model`, in place; return the names of the modules it was at."""
    names = []
    for name, module in model.named_modules():
        if _NAME in module._modules:
            del module._modules[_NAME]
            for hooks in (module._forward_hooks, module._forward_pre_hooks):
                for key, hook in list(hooks.items()):
                    if hook in (_add_noise, _add_noise_before):
                        del hooks[key]
            names.append(name)
    return names


def injected(model: nn.Module) -> dict[str, nn.Module]:
    """The injected layers of `model`, by the name of the module they are put at."""
    return {name: module._modules[_NAME] for name, module in model.named_modules() if _NAME in module._modules}


def set_noise(model: nn.Module, where: Iterable[str] | None = None, **attributes) -> None:
    """Set attributes of the injected layers: all of them, or those at the modules named in `where`.

    ``set_noise(net, alpha_inference=0.5)`` sets the strength at inference, ``set_noise(net, ["1"],
    enabled=False)`` switches one layer off. Raises `ValueError` for a model or a site without noise, an
    attribute that the layer lacks, or a strength out of range.
    """
    from .noise import check_alpha

    layers = injected(model)
    if where is None and not layers:
        raise ValueError("the model has no noise to set: call inject(model, layer) first")
    where = [where] if isinstance(where, str) else where
    for name in layers if where is None else where:
        if name not in layers:
            raise ValueError(f"no noise at {name!r}; it is at {', '.join(layers) or 'no module'}")
        for key, value in attributes.items():
            if not hasattr(layers[name], key):
                raise ValueError(f"{type(layers[name]).__name__} has no attribute {key!r}")
            value = check_alpha(value) if key.startswith(("alpha", "sigma")) else value
            current = getattr(layers[name], key)
            if isinstance(current, Tensor):
                current.data.fill_(value)
            else:
                setattr(layers[name], key, value)
