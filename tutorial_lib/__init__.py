"""Noise in neural networks: the support package of the executable book."""

from .data import Data, DataError, load_data
from .inject import inject, injected, remove, set_noise
from .models import PerClass, autoencoder, blocknet, convnet, mlp
from .noise import DISTRIBUTIONS, ActivationNoise, sample
from .train import evaluate, fit, fit_many

__version__ = "0.1.0"

__all__ = [
    "DISTRIBUTIONS",
    "ActivationNoise",
    "Data",
    "DataError",
    "PerClass",
    "autoencoder",
    "blocknet",
    "convnet",
    "evaluate",
    "fit",
    "fit_many",
    "inject",
    "injected",
    "load_data",
    "mlp",
    "remove",
    "sample",
    "set_noise",
]
