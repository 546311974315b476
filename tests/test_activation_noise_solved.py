"""The solved model of chapter 1 against simulated noise, brute force, and what its page computes."""

import numpy as np
import pytest
from test_book import CHROMIUM, Page, browser  # noqa: F401

from tutorial_lib.papers.activation_noise import explorers, solved


@pytest.mark.parametrize(("variance", "alpha"), [(1.0, 0.5), (0.3, 0.7), (0.5, 0.3)])
def test_what_is_kept_is_what_noise_teaches(variance, alpha):
    """u minimises λ (1 - u)² + α² u, by brute force: a wrong sign or factor of two in the shrinkage would show.

    Without noise at inference an image at 1 has the energy (1 - u)². A rival that leaves a little more or less of it,
    which takes a variance of α²/2(1 - u), tells how large that is.
    """
    u = np.linspace(0, 1, 200_001)
    left = 1 - u[(variance * (1 - u) ** 2 + alpha**2 * u).argmin()]
    for factor, expected in ((1.001, 100.0), (0.999, 0.0)):
        spectrum = np.array([[variance], [alpha**2 / (2 * factor * left)]])
        assert solved.accuracy(np.ones((1, 2, 1)), np.array([0]), spectrum, alpha, 0.0) == expected


def test_energies_are_those_of_simulated_noise():
    """Tied weights, noise on the code: the class that is said has the least mean of drawn energies."""
    rng = np.random.default_rng(3)
    axes, factors, normals = solved.draws(images=3)
    spectrum = solved.spectra(factors, 1.0)
    images = np.einsum("kni,kdi->knd", normals * np.sqrt(spectrum)[:, None], axes).reshape(-1, solved.DIMENSION)
    square, labels = solved.squares(axes, normals, spectrum)
    alpha, beta, counted, clear = 0.6, 0.9, 0.0, 0
    for i, x in enumerate(images):
        energies, errors = [], []
        for k in range(solved.CLASSES):
            u = np.clip(1 - alpha**2 / (2 * spectrum[k]), 0, None)
            w = np.sqrt(u)[:, None] * axes[k].T
            code = w @ x + beta * rng.normal(size=(4000, solved.DIMENSION))
            drawn = ((code @ w - x) ** 2).sum(1)
            energies.append(drawn.mean())
            errors.append(drawn.std() / np.sqrt(4000))
        first, second = np.argsort(energies)[:2]
        if energies[second] - energies[first] > 5 * max(errors):
            clear += 1
            alone = solved.accuracy(square[i : i + 1], np.array([first]), spectrum, alpha, beta)
            assert alone == 100.0
            counted += first == labels[i]
    assert clear >= 10 and counted < clear  # some images are told apart for certain, and not all of them rightly


def test_balance_makes_the_energy_a_proper_score():
    """One axis, images of variance 1: on average they have least energy under λ = (α/β)², brute force over λ."""
    variances = np.linspace(0.2, 4, 3801)
    for alpha, beta in ((0.5, 0.5), (0.3, 0.6), (0.6, 0.4)):
        u = 1 - alpha**2 / (2 * variances)
        keep = u > 0
        energy = ((1 - u) ** 2 + beta**2 * u)[keep]
        assert variances[keep][energy.argmin()] == pytest.approx((alpha / beta) ** 2, abs=2e-3)


def test_the_ridge_lies_on_the_diagonal_where_spectra_are_flat_and_not_where_they_are_steep():
    grid = np.round(np.arange(0.1, 1.05, 0.1), 1)
    axes, factors, normals = solved.draws()
    ridge = {}
    for decay in (0.0, 1.5):
        spectrum = solved.spectra(factors, decay)
        square, labels = solved.squares(axes, normals, spectrum)
        plane = [[solved.accuracy(square, labels, spectrum, a, b) for a in grid] for b in grid]
        ridge[decay] = grid[np.argmax(plane, axis=1)]
    assert (ridge[0.0] == grid).all() and (ridge[1.5][grid >= 0.4] < grid[grid >= 0.4]).all()


def test_without_a_difference_it_is_a_guess():
    """The same spectra along the same axes: chance, and not the class that comes first."""
    axes, factors, normals = solved.draws(images=20)
    axes = np.stack([np.eye(solved.DIMENSION)] * solved.CLASSES)
    spectrum = solved.spectra(factors, 1.0, unlike=0.0)
    square, labels = solved.squares(axes, normals, spectrum)
    assert solved.accuracy(square, labels, spectrum, 0.5, 0.5) == pytest.approx(100 / solved.CLASSES)


@pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install Debian's chromium to test the explorers")
def test_the_page_computes_what_the_package_computes(browser, tmp_path):  # noqa: F811
    """All cells of four planes and the rings, against `solved` on numbers of half precision, as they are shipped."""
    page = tmp_path / "page.html"
    page.write_text(f'<meta charset="utf-8"><body>{explorers.solved_model().html}', encoding="utf-8")
    axes, factors, normals = (part.astype("<f2").astype(float) for part in solved.draws())
    same = np.stack([np.eye(solved.DIMENSION)] * solved.CLASSES)
    presets = {"The figure": (1.5, 1.0, axes), "Same axes": (1.5, 1.0, same), "Same spectra": (1.5, 0.0, axes),
               "Flat spectra": (0.0, 1.0, axes)}  # fmt: skip
    with Page(browser, page.with_suffix("")) as opened:
        for name, (decay, unlike, turned) in presets.items():
            opened.page.get_by_role("button", name=name, exact=True).click()
            spectrum = solved.spectra(factors, decay, unlike)
            square, labels = solved.squares(turned, normals, spectrum)
            cells = opened.page.locator("rect.tl-cell").evaluate_all(
                "els => els.map(e => [e.dataset.x, e.dataset.y, e.dataset.value].map(Number))"
            )
            assert len(cells) == 17 * 17
            for alpha, beta, value in cells:
                assert value == pytest.approx(solved.accuracy(square, labels, spectrum, alpha, beta), abs=1e-6)
            assert opened.page.locator("circle.tl-ring").count() == 17  # one in each row
        assert opened.outside == [] and opened.errors == []
