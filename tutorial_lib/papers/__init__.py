"""One wing a paper: a package here with `figures.EXPERIMENTS` and `claims.CLAIMS`; it is found by itself."""

import importlib
import pkgutil

from ..claims import Claim
from ..sweep import Experiment


def wings() -> list[str]:
    """Names of the wings.

    >>> "activation_noise" in wings()
    True
    """
    return [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]


def experiments() -> dict[str, Experiment]:
    """Every registered experiment, by name."""
    modules = [importlib.import_module(f"{__name__}.{wing}.figures") for wing in wings()]
    return {experiment.name: experiment for module in modules for experiment in module.EXPERIMENTS}


def views(experiment: Experiment) -> list[Experiment]:
    """The experiments that are views of the same sweep."""
    return [other for other in experiments().values() if other.sweep is experiment.sweep]


def claims() -> list[Claim]:
    """Every claim on the scoreboard."""
    modules = [importlib.import_module(f"{__name__}.{wing}.claims") for wing in wings()]
    return [claim for module in modules for claim in module.CLAIMS]
