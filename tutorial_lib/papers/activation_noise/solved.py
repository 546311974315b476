"""A model of the method that can be solved: linear autoencoders with noise on the code, and Gaussian classes.

Class k has mean zero and covariance Q_k diag(λ_k) Q_k'. The theory derives what noise teaches each autoencoder, and the
energies with infinitely many draws; nothing here is trained.
"""

import numpy as np

DIMENSION, CLASSES, IMAGES = 16, 10, 100


def draws(images: int = IMAGES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chance in the model: axes Q [K, D, D], factors of the spectra from 0.5 to 1.5 [K, D], normals [K, N, D]."""
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.5, 1.5, (CLASSES, DIMENSION))
    axes = np.stack([np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))[0] for _ in range(CLASSES)])
    return axes, factors, rng.normal(size=(CLASSES, images, DIMENSION))


def spectra(factors: np.ndarray, decay: float, unlike: float = 1.0) -> np.ndarray:
    """Eigenvalues λ_ki = i^-decay · factor_ki^unlike, [K, D], largest first up to the factors."""
    return np.arange(1, factors.shape[1] + 1.0) ** -decay * factors**unlike


def squares(axes: np.ndarray, normals: np.ndarray, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared coordinates [K N, K, D] of images of all classes along the axes of each class, and the labels [K N]."""
    images = np.einsum("kni,kdi->knd", normals * np.sqrt(spectrum)[:, None], axes).reshape(-1, axes.shape[1])
    return np.einsum("nd,kdi->nki", images, axes) ** 2, np.repeat(np.arange(len(axes)), normals.shape[1])


def accuracy(square: np.ndarray, labels: np.ndarray, spectrum: np.ndarray, alpha: float, beta: float) -> float:
    """Accuracy in percent with noise α at training and β at inference, and infinitely many draws.

    Along an axis of variance λ the trained autoencoder keeps u = max(0, 1 - α²/2λ). The mean energy of an image is
    Σ_i (1 - u_i)² x_i² + β² Σ_i u_i; equal energies count as a guess.

    >>> accuracy(np.full((1, 2, 1), 4.0), np.array([0]), np.array([[4.0], [1.0]]), alpha=1.0, beta=0.0)
    100.0
    >>> accuracy(np.full((1, 2, 1), 4.0), np.array([0]), np.array([[4.0], [1.0]]), alpha=0.0, beta=0.0)
    50.0
    """
    u = np.clip(1 - alpha**2 / (2 * spectrum), 0, None)
    energy = (square * (1 - u) ** 2).sum(2) + beta**2 * u.sum(1)
    best = energy <= energy.min(1, keepdims=True) * (1 + 1e-9)
    return 100 * float((best[np.arange(len(labels)), labels] / best.sum(1)).mean())
