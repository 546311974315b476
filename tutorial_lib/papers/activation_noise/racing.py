"""Inference by eq. (9) of "Activation Noise for EBM Classification" that draws only what is not settled yet: racing.

Per image, a class leaves the race when its mean energy is certainly above that of another one, and the image is done
when one class is left (Hoeffding races: Maron and Moore 1994). Two readings of "certainly" are here: `practical`, a gap
of so many standard errors, and `certain`, a confidence sequence, which is valid at every number of draws at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.special import zeta
from torch import Tensor

from ...inject import set_noise
from ...models import PerClass
from .method import energy, predict

Draw = Callable[[int, Tensor, range], Tensor]
"""draw(k, index, draws): energies of the images `index` under class k, [len(draws), len(index)]; see `energies_of`."""
Rule = Callable[["State"], tuple[Tensor, Tensor]]
"""For each image and pair of classes [N, K, K]: the mean of E_j - E_k over the draws, and how far off it may be."""


@dataclass
class State:
    """What a race knows of its images after `draws` draws: sums over draws, in double precision.

    `index` [N]: which images; `total` [N, K]: of the energies; `products` [N, K, K]: of the products of two classes'
    energies; `wander` [N, K, K]: of the squares of E_j - E_k less a prediction from earlier draws (`certain` needs it).
    """

    index: Tensor
    draws: int
    total: Tensor
    products: Tensor
    wander: Tensor

    def gaps(self) -> Tensor:
        """Mean of E_j - E_k, [N, K, K]: row j, column k."""
        mean = self.total / max(self.draws, 1)
        return mean[:, :, None] - mean[:, None]

    def spread(self) -> Tensor:
        """Standard deviation of E_j - E_k over the draws, [N, K, K]."""
        square = torch.diagonal(self.products, dim1=1, dim2=2)
        squares = square[:, :, None] + square[:, None] - 2 * self.products
        return ((squares - self.draws * self.gaps().square()) / max(self.draws - 1, 1)).clamp_min(0).sqrt()

    def add(self, energies: Tensor) -> None:
        """Take in further draws [m, N, K], in place."""
        e, before = energies.double().transpose(0, 1), self.gaps()  # a prediction that knows the earlier draws alone
        m, total, products = e.shape[1], e.sum(1), e.mT @ e
        square, sums = torch.diagonal(products, dim1=1, dim2=2), total[:, :, None] - total[:, None]
        squares = square[:, :, None] + square[:, None] - 2 * products
        self.wander = self.wander + (squares - 2 * before * sums + m * before.square()).clamp_min(0)
        self.draws, self.total, self.products = self.draws + m, self.total + total, self.products + products

    def of(self, keep: Tensor) -> "State":
        """The state of some of the images, by a mask [N]."""
        parts = (getattr(self, name)[keep] for name in ("total", "products", "wander"))
        return State(self.index[keep], self.draws, *parts)


def practical(errors: float = 4.0, least: int = 10) -> Rule:
    """A gap counts if it is above so many standard errors of the paired differences, once there are `least` draws.

    It rests on the central limit theorem, and on differences that have a variance. It looks again and again, so its
    error is above that of a single test; how often it errs is to be measured.
    """

    def rule(state: State) -> tuple[Tensor, Tensor]:
        error = errors * state.spread() / math.sqrt(state.draws)
        return state.gaps(), error if state.draws >= least else torch.full_like(error, math.inf)

    return rule


def certain(bound: Tensor, classes: int, alpha: float = 0.05) -> Rule:
    """A gap counts if a confidence sequence excludes zero: with probability 1 - `alpha` an image's best class stays.

    `bound` [N]: no energy of image i is below 0 or above bound[i]; see `largest_energy`. Draws are independent given
    the image. Nothing else is assumed, of tails neither: with a sigmoid output heavy-tailed noise gives bounded
    energies, too. Differences then lie in an interval of width c = 2 bound, and by Howard, Ramdas, McAuliffe and Sekhon
    (Ann. Stat. 2021, Theorem 4) ::

        P(for some t: |mean_t - μ| ≥ u(V_t) / t) ≤ 2 α',    V_t = Σ_i (X_i - X̂_i)²,

    for any X̂_i that knows the earlier draws alone and any sub-exponential boundary u of scale c; here the one side that
    is needed, α' = alpha / (K - 1) for each rival of the best class, and the polynomial stitched boundary (`stitched`).
    """

    def rule(state: State) -> tuple[Tensor, Tensor]:
        scale = 2 * bound.to(state.wander)[state.index, None, None]
        return state.gaps(), stitched(state.wander, alpha / (classes - 1), scale) / state.draws

    return rule


def stitched(v: Tensor, alpha: float, scale: Tensor, eta: float = 2.0, s: float = 1.4) -> Tensor:
    """The polynomial stitched boundary for sub-gamma sums: Howard et al. 2021, Theorem 1 and eq. (10).

    A sum whose intrinsic time is `v` crosses it with probability at most `alpha`, at whatever time. `scale` is c; it is
    started at v = c². (A boundary for sub-gamma sums is one for sub-exponential sums of the same scale.)
    """
    start = scale**2
    v = torch.maximum(v, start)
    k1, k2 = (eta**0.25 + eta**-0.25) / math.sqrt(2), (math.sqrt(eta) + 1) / 2
    stretch = s * torch.log(torch.log(v / start) / math.log(eta) + 1) + math.log(zeta(s)) - math.log(alpha)
    return torch.sqrt(k1**2 * v * stretch + (k2 * scale * stretch) ** 2) + k2 * scale * stretch


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
    look: after n draws Φ(√n ratio) is about how surely they are apart.
    """

    at: dict[int, Tensor]
    draws: Tensor
    ratio: Tensor


def race(
    draw: Draw, images: int, classes: int, n: int, rule: Rule, *, indifferent: float = 0.0, at: tuple[int, ...] = ()
) -> Race:
    """Classify `images` images by eq. (9) with at most `n` draws a class, dropping classes that are certainly worse.

    `at`: numbers of draws to look at beside `looks`. With `indifferent` above 0 an image is done, too, when by the rule
    no rival left can be better than the leader by more than that (in units of energy): a choice with an effect of its
    own. The leader itself is never dropped, so what is left may differ from the plain way in classes that came back.
    """
    if n < 1:
        raise ValueError(f"n = {n} noise samples: expected at least 1")
    zero = torch.zeros(images, classes, classes, dtype=torch.float64)
    state = State(torch.arange(images), 0, zero[..., 0], zero, zero)
    left = torch.ones(images, classes, dtype=torch.bool)
    used, said = torch.zeros(images, classes, dtype=torch.long), torch.zeros(images, dtype=torch.long)
    ratio, kept = torch.zeros(images, dtype=torch.float64), {}
    for step in sorted({*looks(n), *(a for a in at if 0 < a < n)}):
        if len(state.index):
            alive, more = left[state.index], step - state.draws
            energies = torch.zeros(more, *alive.shape, dtype=torch.float64)
            for k in range(classes):
                rows = alive[:, k].nonzero()[:, 0]
                if len(rows):
                    energies[:, rows, k] = draw(k, state.index[rows], range(state.draws, step)).double().cpu()
            used[state.index] += more * alive
            state.add(energies)
            row, total = torch.arange(len(alive)), torch.where(alive, state.total, math.inf)
            best = predict(total)
            rival = predict(total.scatter(1, best[:, None], math.inf))
            said[state.index] = best
            ratio[state.index] = state.gaps()[row, rival, best] / state.spread()[row, rival, best].clamp_min(1e-300)
            gaps, error = rule(state)
            worse = (gaps > error) & alive[:, :, None] & alive[:, None]
            alive = alive & ~worse.any(2)
            left[state.index] = alive
            better = torch.where(alive, (error - gaps)[row, :, best], -math.inf).scatter(1, best[:, None], -math.inf)
            state = state.of(better.amax(1) > indifferent if indifferent > 0 else alive.sum(1) > 1)
        kept[step] = said.clone()
    return Race(kept, used, ratio)


def energies_of(model: PerClass, x: Tensor, batch_size: int = 256, common: bool = False) -> Draw:
    """Energies of the images `x` [N, C, H, W] for `race`, in full batches of images and draws.

    The model's noise layers decide the noise. With `common` all images and classes share each draw, as far as they are
    still in the race, so that paired differences vary less; a draw is then a pass of its own.
    """
    model.eval()
    if common:
        set_noise(model, common=True)
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

    `right` [N]: is the image right after n draws; `halves` [2, N]: after the first n / 2 draws alone, and after the
    second. Accuracy at n is the chance that a mean of n draws lies on the right side, and if gaps over spreads have a
    smooth density around zero, accuracy(n) = accuracy(∞) + c / n + O(n^-3/2). So 2 accuracy(n) - accuracy(n / 2) is
    free of c: a jackknife in n, good where 1/√n is small against the spread of those ratios.
    """
    each = 2 * right.double() - halves.double().mean(0)
    return 100 * each.mean().item(), 100 * each.std().item() / math.sqrt(len(each))
