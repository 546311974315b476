"""Scenes: are their masks right, and does nothing but the object's shape tell the label? And the measures."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tutorial_lib.papers.vpn.scenes import SHAPES, background_share, correlation, edges, input_gradient, scenes

L = math.sqrt(1 - 0.25**2)  # half the length of the cross's bars, half as wide as ½
MOMENTS = {  # ∫ r² dA / A² around the centroid: a shape's own number, whatever its size and rotation
    "disc": 1 / (2 * math.pi),
    "square": 1 / 6,
    "triangle": 1 / (3 * math.sqrt(3)),
    "ring": (1 + 0.6**2) / (2 * math.pi * (1 - 0.6**2)),
    "cross": (2 * L * (L**2 + 0.25**2) / 3 - 0.5**4 / 6) / (2 * L - 0.25) ** 2,
}
AREAS = {  # for a radius of 1
    "disc": math.pi,
    "square": 2.0,
    "triangle": 3 * math.sqrt(3) / 4,
    "ring": math.pi * (1 - 0.6**2),
    "cross": 2 * L - 0.25,
}


def moments(masks):
    """Area, centroid and ∫ r² dA / A² of each mask [N, S, S], in pixels, without the moment of a pixel itself."""
    size = masks.shape[-1]
    line = torch.arange(size, dtype=torch.float64)
    area = masks.sum((1, 2)).double()
    at = [(masks * grid).sum((1, 2)) / area for grid in (line, line[:, None])]
    square = sum((masks * (grid - c.view(-1, 1, 1)) ** 2).sum((1, 2)) for grid, c in zip((line, line[:, None]), at))  # noqa: B905
    return area, at, square / area**2


def test_images_labels_and_masks_are_of_their_kind():
    """Shapes, types and ranges; every class and texture occurs; the whole is a matter of the seed alone."""
    state = torch.get_rng_state()
    x, y, masks = scenes(200, size=24, seed=3)
    assert x.shape == (200, 3, 24, 24) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    assert y.shape == (200,) and y.dtype == torch.int64 and set(y.tolist()) == set(range(len(SHAPES)))
    assert masks.shape == (200, 24, 24) and masks.dtype == torch.bool
    assert torch.equal(torch.get_rng_state(), state)
    again, other = scenes(200, size=24, seed=3), scenes(200, size=24, seed=4)
    assert all(torch.equal(a, b) for a, b in zip((x, y, masks), again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip((x, y, masks), other, strict=True))
    assert torch.equal(scenes(2)[0], scenes(2, size=32, clutter=6, seed=0)[0])
    assert len(scenes(1, size=16)[0]) == 1
    for wrong in ((0, 32, 6), (1, 15, 6), (1, 32, -1)):
        with pytest.raises(ValueError, match=r"expected at least 1, 16 pixels and 0"):
            scenes(*wrong)


def test_masks_are_the_shapes_of_their_labels_and_whole():
    """Second moments over squared areas, and areas over squared radii: a label shifted, a shape cut off or squeezed."""
    _, y, masks = scenes(150, size=128, clutter=0)
    area, _, found = moments(masks)
    truth = torch.tensor([MOMENTS[SHAPES[k]] for k in y], dtype=torch.float64)
    assert ((found / truth - 1).abs() < 0.03).all()
    assert max(abs((found / truth)[y == k].mean().item() - 1) for k in range(len(SHAPES))) < 0.006
    radius = (area / torch.tensor([AREAS[SHAPES[k]] for k in y])).sqrt() / 128
    assert 0.275 < radius.min() < 0.3 and 0.4 < radius.max() < 0.425
    assert stats.kstest(radius, stats.uniform(0.28, 0.14).cdf).pvalue > 1e-4


def test_objects_are_turned_and_stand_anywhere():
    """A square's corners point everywhere, and places fill what the size leaves."""
    _, y, masks = scenes(600, size=64, clutter=0)
    _, (across, down), _ = moments(masks[y != SHAPES.index("triangle")])
    for centre in (across, down):
        assert 15 < centre.min() < 20 and 43 < centre.max() < 48
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.2
    squares = masks[y == SHAPES.index("square")]
    width = squares.any(1).sum(1) / squares.sum((1, 2)).sqrt()  # from 1, upright, to √2
    assert width.min() < 1.1 and width.max() > 1.35


def colours(image, where):
    return len(image[:, where].T.unique(dim=0))


def test_an_object_is_a_texture_of_its_own_and_the_rest_is_clutter():
    """Within the mask one or two colours, never the background's; which has no more of them without clutter."""
    x, _, masks = scenes(200, seed=1)
    inside = np.array([colours(x[i], masks[i]) for i in range(200)])
    assert set(inside) == {1, 2} and 0.15 < (inside == 1).mean() < 0.35  # one texture in four is plain
    for i in range(200):
        own, behind = ({tuple(c) for c in x[i][:, where].T.tolist()} for where in (masks[i], ~masks[i]))
        assert not own & behind
    bare, _, holes = scenes(200, seed=1, clutter=0)
    counts = np.array([colours(bare[i], ~holes[i]) for i in range(200)])
    assert set(counts) == {1, 2}
    assert np.mean([colours(x[i], ~masks[i]) for i in range(200)]) > 5


def test_clutter_is_bars_and_ellipses_of_their_size():
    """Area² over the covariance's determinant is 144 of a bar, 16 π² of an ellipse; 4 % of the area, but for cuts."""
    bare, cluttered = (scenes(500, size=128, clutter=k) for k in (0, 1))
    assert torch.equal(bare[2], cluttered[2])  # the object stays, whatever is behind it
    patches = (bare[0] != cluttered[0]).any(1)
    assert not (patches & bare[2]).any()
    border = patches[:, [0, -1]].any(2).any(1) | patches[:, :, [0, -1]].any(2).any(1)
    near = nn.functional.max_pool2d(bare[2].float(), 5, 1, 2) > 0
    whole = ~border & ~(near & patches).any(2).any(1) & patches.any(2).any(1)
    spread = []
    for patch in patches[whole]:
        covariance = np.cov(patch.nonzero().T.numpy(), bias=True) + np.eye(2) / 12  # of pixels with an area
        spread.append(patch.sum().item() ** 2 / np.linalg.det(covariance))
    spread = np.array(spread)
    bars, ellipses = abs(spread / 144 - 1) < 0.04, abs(spread / (16 * math.pi**2) - 1) < 0.04
    assert len(spread) > 30 and (bars | ellipses).mean() > 0.9 and 0.25 < bars.mean() < 0.75
    assert 0.028 < (patches.sum() / (~bare[2]).sum()).item() < 0.037


def test_textures_are_plain_striped_checked_and_speckled_evenly():
    """Of pixels that differ from the one above: none if plain, 2 · 0.3 · 0.7 = 42 % in speckle, less in patterns."""
    x, _, masks = scenes(2000, clutter=0)
    one, behind = x[:, 0], ~masks[:, 1:] & ~masks[:, :-1]
    rough = ((one[:, 1:] != one[:, :-1]) & behind).sum((1, 2)) / behind.sum((1, 2))
    speckled, half = (abs(rough - 0.42) < 0.06).sum().item(), ((rough > 0.01) & (rough < 0.36)).sum().item()
    assert stats.binomtest(int((rough == 0).sum()), 2000, 0.25).pvalue > 1e-4
    assert rough[abs(rough - 0.42) < 0.06].mean().item() == pytest.approx(0.42, abs=0.012)
    assert 0.24 < speckled / 2000 < 0.34 and 0.41 < half / 2000 < 0.51  # stripes that are fine enough pass for speckle


def test_colours_are_uniform_and_a_textures_second_is_near_its_first():
    """Colours of plain backgrounds are U(0, 1); of the others the two differ by 0.3 of a difference of two such."""
    x, _, masks = scenes(600, size=16, clutter=0)
    found = [x[i][:, ~masks[i]].T.unique(dim=0) for i in range(600)]
    plain = torch.cat([c for c in found if len(c) == 1]).flatten()
    assert stats.kstest(plain, "uniform").pvalue > 1e-4
    apart = torch.cat([(c[1] - c[0])[1:] for c in found if len(c) == 2])  # sorted by red: green and blue are not
    assert stats.kstest(apart / 0.3, stats.triang(0.5, -1, 2).cdf).pvalue > 1e-4


def test_nothing_but_the_objects_shape_tells_the_label():
    """Analysis of variance over the classes: of the place, of colours in and behind the object, and of their spread."""
    x, y, masks = scenes(3000, size=16, seed=5)
    behind, (_, at, _) = ~masks, moments(masks)
    features = {"across": at[0], "down": at[1]}
    assert max(abs(centre.mean().item() - 7.5) for centre in at) < 0.1  # a pixel's middle, not its corner
    for name, where in (("object", masks), ("background", behind)):
        count = where.sum((1, 2))
        mean = (x * where[:, None]).sum((2, 3)) / count[:, None]
        for channel in range(3):
            features[f"{name}, channel {channel}"] = mean[:, channel]
        features[f"{name}, brightness squared"] = mean.sum(1) ** 2
    corner = x[:, :, 0, 0]
    features["corner"], features["corner, red less blue"] = corner.sum(1), corner[:, 0] - corner[:, 2]
    for name, feature in features.items():
        groups = [feature[y == k].numpy() for k in range(len(SHAPES))]
        assert stats.f_oneway(*groups).pvalue > 1e-4, name
    assert stats.chisquare(np.bincount(y)).pvalue > 1e-4
    assert stats.f_oneway(*[masks.sum((1, 2))[y == k].float() for k in range(len(SHAPES))]).pvalue < 1e-10


# --- the measures
def test_the_share_on_the_background_is_a_plain_sum():
    """A loop over pixels; even noise is at chance; channels are added up; masks are of the object, not its opposite."""
    _, _, masks = scenes(6)
    g = torch.Generator().manual_seed(0)
    variances = torch.rand(6, 3, 32, 32, generator=g, dtype=torch.float64)
    share, chance = background_share(variances, masks)
    for i in range(6):
        on = off = 0.0
        for channel, a, b in itertools.product(range(3), range(32), range(32)):
            if masks[i, a, b]:
                on += variances[i, channel, a, b].item()
            else:
                off += variances[i, channel, a, b].item()
        assert share[i].item() == pytest.approx(off / (on + off))
        assert chance[i].item() == pytest.approx(1 - masks[i].float().mean().item())
    for scale in (1.0, 7.0):
        torch.testing.assert_close(*background_share(scale * torch.ones(6, 32, 32), masks))
    assert torch.equal(background_share((~masks).float(), masks)[0], torch.ones(6).double())
    assert torch.equal(background_share(masks.float(), masks)[0], torch.zeros(6).double())
    assert background_share(torch.zeros(6, 32, 32), masks)[0].isnan().all()
    with pytest.raises(ValueError, match=r"a variance of -1: expected 0 or more"):
        background_share(-torch.ones(6, 32, 32), masks)
    with pytest.raises(ValueError, match=r"variances of \(5, 32, 32\) for masks of \(6, 32, 32\)"):
        background_share(torch.ones(5, 3, 32, 32), masks)
    with pytest.raises(ValueError, match=r"expected \[N, S, S\] or \[N, C, S, S\]"):
        background_share(torch.ones(32, 32), masks)


def test_edges_are_numpys_gradient():
    """Central differences over both directions and all channels, one-sided ones at the border."""
    x = scenes(3, size=20)[0].double()
    truth = sum(np.square(d) for c in range(3) for d in np.gradient(x[:, c].numpy(), axis=(1, 2))) ** 0.5
    assert edges(x).shape == (3, 20, 20)
    np.testing.assert_allclose(edges(x), truth, atol=1e-12)
    assert (edges(torch.full((1, 3, 8, 8), 0.4)) == 0).all()


def test_the_input_gradient_is_that_of_each_images_own_loss():
    """Finite differences of one image's loss, channel by channel: not of the batch's mean, nor with its statistics."""
    torch.manual_seed(0)
    net = (
        nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)).double().train()
    )
    x, y = torch.rand(4, 2, 3, 3).double(), torch.tensor([0, 3, 1, 1])
    with torch.no_grad():
        found = input_gradient(net, x, y)
    assert net.training and found.shape == (4, 3, 3) and not found.requires_grad and not x.requires_grad
    net.eval()
    for i, a, b in itertools.product(range(4), range(3), range(3)):
        slopes = []
        for channel in range(2):
            moved = [x[i : i + 1].clone() for _ in range(2)]
            moved[0][0, channel, a, b] += 1e-6
            moved[1][0, channel, a, b] -= 1e-6
            up, down = (nn.functional.cross_entropy(net(z), y[i : i + 1]).item() for z in moved)
            slopes.append((up - down) / 2e-6)
        assert found[i, a, b].item() == pytest.approx(math.hypot(*slopes), rel=1e-5, abs=1e-8)


def test_correlations_are_scipys():
    """Pearson's, image by image and not over the batch; channels summed, masks as 0 and 1, flat maps undecided."""
    x, _, masks = scenes(5)
    maps = x.double()
    found = correlation(maps, edges(maps))
    for i in range(5):
        truth = stats.pearsonr(maps[i].sum(0).numpy().ravel(), edges(maps)[i].numpy().ravel()).statistic
        assert found[i].item() == pytest.approx(truth)
        on = stats.pearsonr(maps[i].sum(0).numpy().ravel(), masks[i].numpy().ravel().astype(float)).statistic
        assert correlation(x, masks)[i].item() == pytest.approx(on, abs=1e-6)
    assert correlation(masks, ~masks) == pytest.approx(-np.ones(5), abs=1e-12)
    assert correlation(torch.ones(5, 32, 32), masks).isnan().all()
    with pytest.raises(ValueError, match=r"maps of \(4, 32, 32\) and \(5, 32, 32\)"):
        correlation(x[:4], masks)
