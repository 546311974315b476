"""Inference by eq. (9) of "Activation Noise for EBM Classification" that draws only what is not settled yet: racing.

Per image, a class leaves the race when its mean energy is certainly above that of another one, and the image is done
when one class is left (Hoeffding races: Maron and Moore 1994). Two readings of "certainly" are here: `practical`, a gap
of so many standard errors, and `certain`, a test that is valid at every number of draws at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from ...inject import injected, set_noise
from ...models import PerClass
from .method import energy, predict

Draw = Callable[[int, Tensor, range], Tensor]
"""draw(k, index, draws): energies of the images `index` under class k, [len(draws), len(index)]; see `energies_of`."""
Rule = Callable[["State", Tensor], tuple[Tensor, Tensor]]
"""rule(state, energies), after each block of draws [m, N, K], for each image and pair of classes (j, k), as [N, K, K]:
is E_j certainly above E_k, and is it certainly above E_k less what one is indifferent to?"""


@dataclass
class State:
    """Sums over `draws` draws, in double precision, of the images `index` [N].

    `total` [N, K]: of energies; `products` [N, K, K]: of products of two classes' energies.
    """

    index: Tensor
    draws: int
    total: Tensor
    products: Tensor

    def gaps(self) -> Tensor:
        """Mean of E_j - E_k, [N, K, K]: row j, column k."""
        return differences(self.total) / self.draws

    def spread(self) -> Tensor:
        """Standard deviation of E_j - E_k over the draws, [N, K, K]; 0 for a single draw."""
        if self.draws < 2:
            return torch.zeros_like(self.products)
        square = torch.diagonal(self.products, dim1=1, dim2=2)
        squares = square[:, :, None] + square[:, None] - 2 * self.products
        return ((squares - self.draws * self.gaps().square()) / (self.draws - 1)).clamp_min(0).sqrt()

    def add(self, energies: Tensor) -> None:
        """Take in further draws [m, N, K], in place."""
        e = energies.transpose(0, 1)
        self.draws, self.total, self.products = self.draws + e.shape[1], self.total + e.sum(1), self.products + e.mT @ e

    def of(self, keep: Tensor) -> "State":
        """The state of some of the images, by a mask [N]."""
        return State(self.index[keep], self.draws, self.total[keep], self.products[keep])


def differences(energies: Tensor) -> Tensor:
    """E_j - E_k for all pairs of classes: [..., K] to [..., K, K].

    >>> differences(torch.tensor([1.0, 3.0]))
    tensor([[ 0., -2.],
            [ 2.,  0.]])
    """
    return energies[..., :, None] - energies[..., None, :]


def border(errors: float, draws: int) -> float:
    """So many standard errors of a normal law, in those that are estimated from `draws` draws: Student's t.

    >>> print(round(border(2.0, 10), 2), round(border(2.0, 10_000), 2))
    2.32 2.0
    """
    return stats.t.isf(stats.norm.sf(errors), draws - 1)


def practical(errors: float = 4.0, least: int = 10, indifferent: float = 0.0) -> Rule:
    """A gap counts if it is above so many standard errors of the paired differences, once there are `least` draws.

    The errors are those of a normal law; with few draws, where the spread is not known well, the border is that of
    Student's t of the same probability. It rests on the central limit theorem, so on differences that have a variance,
    and it is a test for one look, taken again and again: how often it errs is to be measured.
    `indifferent`: a class is as good as another one if it cannot be better by more than this (in units of energy).
    """

    def rule(state: State, energies: Tensor) -> tuple[Tensor, Tensor]:
        gaps = state.gaps()
        if state.draws < least:
            return (torch.zeros_like(gaps, dtype=torch.bool),) * 2
        reach = border(errors, state.draws) * state.spread() / math.sqrt(state.draws)
        return gaps > reach, gaps + indifferent > reach

    return rule


STAKES = tuple(0.9 / 4**k for k in range(6))
"""What a bet of `certain` puts at stake, as a share of what it owns: an equal part of the first stake on each."""


def certain(bound: Tensor, classes: int, risk: float = 0.05, indifferent: float = 0.0) -> Rule:
    """A gap counts if a bet on it has multiplied its stake: an image's best class stays with probability 1 - `risk`.

    `bound` [N]: no energy of image i is below 0 or above bound[i]; see `largest_energy`. Draws are independent given
    the image. Nothing else is assumed: with a sigmoid at the output heavy-tailed noise gives bounded energies, too.
    For differences X_t = E_j - E_k in [-R, R] and a share λ in [0, 1) the wealth ::

        W_n = Π_t (1 + λ X_t / R)

    is a nonnegative supermartingale if E[X] ≤ 0, and so is a mean of several (`STAKES`). By Ville's inequality it ever
    reaches 1/p with probability at most p; here p = risk / (K - 1) for each rival of the best class (betting: Waudby-
    Smith and Ramdas 2024). The rule remembers its wealth: make a new one for each race. `indifferent`: see `practical`.
    """
    if not 0 < risk < 1:
        raise ValueError(f"risk = {risk}: expected a probability above 0 and below 1")
    if not (bound > 0).all():
        raise ValueError(f"bound of {bound.min():g}: expected energies with a largest value above 0")
    wealth = torch.zeros(2, len(STAKES), len(bound), classes, classes, dtype=torch.float64)  # logarithms

    def rule(state: State, energies: Tensor) -> tuple[Tensor, Tensor]:
        largest = bound.to(energies)[state.index][:, None, None]
        if (energies > 1.000001 * largest[..., 0]).any():
            raise ValueError(f"an energy of {energies.max():g} is above its bound: expected at most `bound`")
        for some in energies.split(64):  # all pairs of classes at every draw: in parts, to spare memory
            for k, slack in enumerate((0.0, indifferent)):
                x = (differences(some) + slack) / largest
                for i, stake in enumerate(STAKES):
                    wealth[k, i, state.index] += torch.log1p(stake * x).sum(0)
        enough = math.log(max(classes - 1, 1) / risk)
        above, near = wealth[:, :, state.index].logsumexp(1) - math.log(len(STAKES)) >= enough
        return above, near

    return rule


def largest_energy(x: Tensor) -> Tensor:
    """The largest energy (eq. 5) that an output between 0 and 1 can have, for images [N, C, H, W] in [0, 1].

    >>> largest_energy(torch.tensor([[[[0.0, 0.25]]]]))
    tensor([1.5625])
    """
    return torch.maximum(x, 1 - x).square().flatten(1).sum(1)


def looks(n: int) -> list[int]:
    """When a race looks at its means: each time a quarter later, and at `n`.

    >>> looks(30)
    [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 24, 30]
    """
    steps = [1]
    while steps[-1] < n:
        steps.append(min(n, max(steps[-1] + 1, round(1.25 * steps[-1]))))
    return steps


@dataclass(frozen=True)
class Race:
    """How a race ended.

    `at`: predictions [N] by number of draws, at every look; the last are the answer. `draws` [N, K]: how many energies
    it took. `ratio` [N]: gap over spread of the winner's nearest rival, of those that were left at the image's last
    look; NaN where they have no spread. It is biased upwards: the winner is picked by it, and the race stops by it.
    """

    at: dict[int, Tensor]
    draws: Tensor
    ratio: Tensor


def race(
    draw: Draw,
    images: int,
    classes: int,
    n: int | Tensor,
    rule: Rule,
    at: tuple[int, ...] = (),
    label: Tensor | None = None,
) -> Race:
    """Classify `images` images by eq. (9) with at most `n` draws a class, dropping classes that are certainly worse.

    `n` is one number for all images or one for each, [N]; an image that is done keeps its answer at later looks. All
    look at `looks` of the largest n, at each image's own n, and at the numbers of draws `at`. A leader is never
    dropped, so the answer differs from the plain way's only where a class that was dropped would have come back to win,
    or, with a rule that is indifferent to a part of the gap, where the image was done early. With `label` [N],
    the true classes, an image is done as soon as its own class is out, too: it will never be right. So an accuracy is
    measured in fewer draws, and is the same. Raises `ValueError` for energies that are no numbers.
    """
    most = torch.as_tensor(n)
    if most.shape not in ((), (images,)):
        raise ValueError(f"n of shape {tuple(most.shape)}: expected one number, or one for each of {images} images")
    least, largest = (int(most.min()), int(most.max())) if most.numel() else (1, 1)
    if label is not None and label.shape != (images,):
        raise ValueError(f"label of shape {tuple(label.shape)}: expected one class for each of {images} images")
    most = most.expand(images)
    if least < 1:
        raise ValueError(f"n = {least} noise samples: expected at least 1")
    if not all(1 <= a <= largest for a in at):
        raise ValueError(f"at = {at}: expected numbers of draws from 1 to {largest}")
    zero = torch.zeros(images, classes, classes, dtype=torch.float64)
    state = State(torch.arange(images), 0, zero[..., 0], zero)
    left = torch.ones(images, classes, dtype=torch.bool)
    used, said = torch.zeros(images, classes, dtype=torch.long), torch.zeros(images, dtype=torch.long)
    ratio, kept = torch.full((images,), math.nan, dtype=torch.float64), {}
    for step in sorted({*looks(largest), *at, *most.tolist()}):
        if len(state.index):
            alive, draws = left[state.index], range(state.draws, step)
            energies = torch.zeros(len(draws), *alive.shape, dtype=torch.float64)
            for k in range(classes):
                rows = alive[:, k].nonzero()[:, 0]
                if len(rows):
                    energies[:, rows, k] = draw(k, state.index[rows], draws).double().cpu()
            if energies.isnan().any():
                raise ValueError("an energy is not a number: were the networks trained?")
            used[state.index] += len(draws) * alive
            state.add(energies)
            each, total = torch.arange(len(alive)), torch.where(alive, state.total, math.inf)
            best = predict(total)
            rival = predict(total.scatter(1, best[:, None], math.inf))
            said[state.index] = best
            spread = state.spread()[each, rival, best]
            ratio[state.index] = torch.where(spread > 0, state.gaps()[each, rival, best] / spread, math.nan)
            above, near = rule(state, energies)
            alive = alive & ~(above & alive[:, None]).any(2)
            left[state.index] = alive
            rivals = (alive & ~near[each, :, best]).scatter(1, best[:, None], False)
            open_ = rivals.any(1) & (most[state.index] > step)
            state = state.of(open_ if label is None else open_ & alive[each, label[state.index]])
        kept[step] = said.clone()
    return Race(kept, used, ratio)


def energies_of(model: PerClass, x: Tensor, batch_size: int = 256, common: bool = False) -> Draw:
    """Energies of the images `x` [N, C, H, W] for `race`, in full batches of images and draws.

    The model's noise layers decide the noise. With `common` all images and classes share each draw, as far as they are
    still in the race, so that paired differences vary less; a draw is then a pass of its own. The layers' own `common`
    is set to it, in place, and the model's `common_noise` plays no part.
    """
    model.eval()
    sharing = [name for name, layer in injected(model).items() if common or hasattr(layer, "common")]
    set_noise(model, sharing, common=common)
    seed = int(torch.randint(2**62, ()))

    @torch.inference_mode()
    def draw(k: int, index: Tensor, draws: range) -> Tensor:
        def of(rows: Tensor) -> Tensor:
            return energy(model.networks[k](x[rows]), x[rows])

        index = index.to(x.device)
        if not common:
            parts = index.repeat(len(draws)).split(batch_size)
            return torch.cat([of(rows) for rows in parts]).view(len(draws), -1)
        found = []
        with torch.random.fork_rng():
            for number in draws:
                for rows in index.split(batch_size):
                    torch.manual_seed(seed + number)
                    found.append(of(rows))
        return torch.cat(found).view(len(draws), -1)

    return draw


def limit(right: Tensor, halves: Tensor) -> tuple[float, float]:
    """Accuracy at n = ∞ in percent, from that at n and at n / 2 draws, and its standard error over images.

    `right` [N]: is the image right after n draws, an even number of them; `halves` [2, N]: after the first n / 2 draws
    alone, and after the second, all drawn in the plain way, and independently from image to image. If the gaps over
    their spreads have a smooth density around zero, accuracy(n) = accuracy(∞) + c / n + O(n^-3/2). So 2 accuracy(n) -
    accuracy(n / 2) is free of c: a jackknife in n. It is good where 1/√n is small against the scale on which that
    density varies near zero; where the answers for n and for n / 2 differ by more than their errors, it is not yet.
    """
    each = 2 * right.double() - halves.double().mean(0)
    return 100 * each.mean().item(), 100 * each.std().item() / math.sqrt(len(each))
