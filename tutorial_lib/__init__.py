"""Noise in neural networks: the support package of the executable book."""

from .data import Data, DataError, load_data
from .inject import inject, injected, remove, set_noise
from .models import PerClass, autoencoder, convnet, mlp
from .noise import DISTRIBUTIONS, ActivationNoise, sample
from .train import evaluate, fit

__version__ = "0.1.0"

__all__ = [
    "DISTRIBUTIONS",
    "ActivationNoise",
    "Data",
    "DataError",
    "PerClass",
    "autoencoder",
    "convnet",
    "evaluate",
    "fit",
    "inject",
    "injected",
    "load_data",
    "mlp",
    "remove",
    "sample",
    "set_noise",
]
