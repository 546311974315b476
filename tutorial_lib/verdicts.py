"""The verdict on a claim: from margins, by seed and setting, to one of six words.

A margin is a number that speaks for the claim where it is positive. What is asked of the margins depends on the kind of
sentence that the claim is (`KINDS`). Tests are Student's t and the binomial one, adjusted by Holm where single settings
count; intervals are Student's, and Clopper and Pearson's.
"""

import math

import numpy as np
import pandas as pd

from .errors import InputError

VERDICTS = ("holds", "mixed", "contradicted", "not decided", "not testable", "not measured")
HOLDS, MIXED, CONTRADICTED, NOT_DECIDED, NOT_TESTABLE, NOT_MEASURED = VERDICTS
KINDS = {
    "every": "said of each setting: its margin lies above zero",
    "on average": "said of the settings together: the mean of their margins lies above zero",
    "no worse": "said of each setting: its margin lies above -δ (non-inferiority, one-sided)",
    "equal": "said of each setting: its margin lies within ±δ of zero (two one-sided tests)",
    "theorem": "said without exception: its margin lies within ±δ of zero, and one counterexample contradicts it",
    "count": "said of each setting: most runs have the outcome (a margin is 1, or 0 where a run has not)",
}
"""The kinds of sentence, and what each says."""
POWER, MOST = 0.8, 1000
"""The power at which effects are called detectable and seeds enough, and the most seeds that are looked at."""


def judge(margins: pd.DataFrame, kind: str = "every", delta: float = 0.0) -> dict:
    """The verdict on margins (columns ``setting``, ``seed``, ``margin``, as `claims.margins` makes them).

    Each setting is tested at 2.5 % on either side, for equality at 5 %. If each holds, the claim `holds`: that is an
    intersection-union test and needs no correction. Else single settings count as holding or contradicted by Holm's
    adjusted p-values: the claim is `mixed` if there are both, `contradicted` if there are only the latter (of a
    theorem: any), otherwise `not decided`. The mean over settings, seed by seed, decides what is said "on average".
    Where all that decides comes from settings with diverged runs, or no setting can be tested, the claim is `not
    testable`; without any margin it is `not measured`.

    Returns a dict with

    - ``verdict``, and ``counts``: how many settings hold, are contradicted, not decided, not testable;
    - ``decides``: the setting on which the verdict rests (the weakest one, or the clearest counterexample, or the mean
      of settings); its margin ``measured`` and the ``interval`` that decided (simultaneous, unless the claim holds);
      ``mean``, the mean of all margins;
    - ``settings``: each with verdict, ``margin``, simultaneous ``interval`` (Bonferroni's) and ``p`` (Holm's; plain if
      the claim holds), or ``why`` it cannot be tested;
    - if not decided: ``detectable``, the smallest distance from the claim's border that these runs would have seen, and
      ``seeds_needed`` to see all that was measured, with a power of 80 % (None: ``no_seeds`` says why);
    - ``why``, where there is more to be said.

    Margins of "count" are shown in percent of runs. Runs that all give one and the same margin decide nothing, unless
    the rule says that chance has no part in them. Raises `InputError` for another kind.

    >>> judge(pd.DataFrame({"setting": "s", "seed": [0, 1, 2], "margin": [1.0, 1.1, 0.9]}))["verdict"]
    'holds'
    """
    if kind not in KINDS:
        raise InputError(f"kind = {kind!r}: expected one of {', '.join(KINDS)}")
    lost = margins.dropna(subset="why").set_index("setting")["why"].to_dict() if "why" in margins else {}
    groups, exact = margins.dropna(subset="margin").groupby("setting", sort=False), margins.attrs.get("exact", False)
    found = [_estimate(name, part, exact) for name, part in groups]
    result = {
        "verdict": NOT_TESTABLE if lost else NOT_MEASURED, "counts": {}, "decides": None, "measured": None,
        "interval": None, "mean": None, "detectable": None, "seeds_needed": None, "no_seeds": None,
        "why": _joined(lost, not found), "settings": [],
    }  # fmt: skip
    verdict, single = _settle(found, kind, delta)
    result["settings"] = [_setting(e, *single[e["setting"]], kind, len(found)) for e in found]
    result["settings"] += [{"setting": name, "verdict": NOT_TESTABLE, "why": why} for name, why in lost.items()]
    told = [s["verdict"] for s in result["settings"]]
    result["counts"] = {word: told.count(word) for word in (HOLDS, CONTRADICTED, NOT_DECIDED, NOT_TESTABLE)}
    if not found:
        return result
    decisive = _decisive(found, verdict, kind, delta)
    if kind == "on average":
        decisive = _mean(margins, exact)
        verdict = _settle([decisive], kind, delta)[0]
    tests = 1 if verdict == HOLDS or kind == "on average" else len(found)
    shown = 100 if kind == "count" else 1
    result |= {
        "verdict": verdict, "decides": decisive["setting"], "measured": shown * decisive["margin"],
        "interval": list(_interval(decisive, kind, _alpha(kind) / tests)),
        "mean": shown * float(np.mean([e["margin"] for e in found])),
    }  # fmt: skip
    if verdict == NOT_DECIDED:
        open_ = [e for e in found if single[e["setting"]][0] == NOT_DECIDED]
        result["detectable"] = _detectable(decisive, kind)
        result |= _seeds([decisive] if kind == "on average" else open_, kind, delta, tests)
    return _without_diverged(result, margins, single, kind, delta)


def _without_diverged(result: dict, margins: pd.DataFrame, single: dict, kind: str, delta: float) -> dict:
    """The result, aware of settings in which runs diverged: they may not be all that decides."""
    diverged = margins.attrs.get("diverged", {})
    named = {name: count for name, count in diverged.items() if name in single}
    if not named or result["verdict"] == NOT_DECIDED:
        return result
    rest = margins[~margins["setting"].isin(list(named))].copy()
    rest.attrs = {"exact": margins.attrs.get("exact", False)}
    left = judge(rest, kind, delta)["verdict"]
    deciding = {name for name, (word, _) in single.items() if word != NOT_DECIDED or kind == "on average"}
    runs = ", ".join(f"{name}: {count}" for name, count in named.items())
    why = f"runs diverged ({runs}); without these settings: {left}"
    if deciding <= set(named) or left in (NOT_MEASURED, NOT_TESTABLE):
        return {**result, "verdict": NOT_TESTABLE, "why": f"all that decides are settings in which {why}"}
    return {**result, "why": "; ".join(filter(None, [result["why"], why]))}


def _joined(reasons: dict[str, str], every: bool) -> str | None:
    """Settings that cannot be tested, in one line, by reason; whether these are `every` one."""
    by_reason = {}
    for name, why in reasons.items():
        by_reason.setdefault(why, []).append(name)
    if every and len(by_reason) == 1:
        return next(iter(by_reason))
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items()) or None


def _alpha(kind: str) -> float:
    """What is left out on either side."""
    return 0.05 if kind in ("equal", "theorem") else 0.025


def _estimate(setting: str, part: pd.DataFrame, exact: bool) -> dict:
    """A setting's margin, its standard error and degrees of freedom: from its seeds, or as the rule gives them.

    Runs that do not differ at all tell nothing of their spread, unless they are `exact`: computed without chance.
    """
    if "sem" in part and part["sem"].notna().all():
        row = part.iloc[0]
        return {"setting": setting, "margin": row["margin"], "sem": row["sem"], "freedom": row["freedom"], "runs": None}
    values = part["margin"].to_numpy(float)
    n = len(values)
    sem = values.std(ddof=1) / math.sqrt(n) if n > 1 else math.inf
    if sem <= 1e-12 * abs(values.mean()):
        sem = 0.0 if exact else math.inf
    return {"setting": setting, "margin": values.mean(), "sem": sem, "freedom": n - 1, "runs": n}


def _mean(margins: pd.DataFrame, exact: bool) -> dict:
    """The mean over settings, by the seeds that all have; of reported numbers as `claims.contrasts` knows it."""
    name = "mean of settings"
    if "mean" in margins.attrs:
        return {"setting": name, **margins.attrs["mean"], "runs": None}
    by_seed = margins.dropna(subset="margin").pivot_table(index="seed", columns="setting", values="margin")
    return _estimate(name, pd.DataFrame({"margin": by_seed.dropna().mean(axis=1)}), exact)


def _settle(found: list[dict], kind: str, delta: float) -> tuple[str, dict[str, tuple[str, float]]]:
    """The verdict on settings, and each one's own with its p-value."""
    if not found:
        return NOT_MEASURED, {}
    alpha, names = _alpha(kind), [e["setting"] for e in found]
    speaks, against = np.array([_p_values(e, kind, delta) for e in found]).T
    if (speaks <= alpha).all():
        return HOLDS, {name: (HOLDS, p) for name, p in zip(names, speaks, strict=True)}
    for_, anti = _holm(speaks), _holm(against)
    yes, no = for_ <= alpha, anti <= alpha
    single = {
        name: (HOLDS, float(for_[k])) if yes[k] else (CONTRADICTED, float(anti[k])) if no[k]
        else (NOT_DECIDED, float(min(for_[k], anti[k])))
        for k, name in enumerate(names)
    }  # fmt: skip
    if no.any():
        return MIXED if yes.any() and kind != "theorem" else CONTRADICTED, single
    return NOT_DECIDED, single


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values. (statsmodels' `multipletests` collects garbage, which takes long beside torch.)"""
    order = p.argsort()
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted[order.argsort()]


def _p_values(e: dict, kind: str, delta: float) -> tuple[float, float]:
    """One-sided p-values of what the claim says of a setting, and of its contrary."""
    from scipy.stats import binomtest

    if kind == "count":
        had = round(e["margin"] * e["runs"])
        return tuple(binomtest(had, e["runs"], 0.5, side).pvalue for side in ("greater", "less"))
    if kind in ("equal", "theorem"):
        return max(_above(e, -delta), _below(e, delta)), min(_above(e, delta), _below(e, -delta))
    border = -delta if kind == "no worse" else 0.0
    return _above(e, border), _below(e, border)


def _above(e: dict, border: float) -> float:
    """One-sided p-value of a true margin above `border`."""
    from scipy.stats import t

    if e["sem"] == 0:
        return float(e["margin"] <= border)
    return float(t.sf((e["margin"] - border) / e["sem"], e["freedom"])) if math.isfinite(e["sem"]) else 1.0


def _below(e: dict, border: float) -> float:
    return _above({**e, "margin": -e["margin"]}, -border)


def _interval(e: dict, kind: str, alpha: float) -> tuple[float, float]:
    """The interval that leaves out `alpha` on either side; of counts in percent."""
    from scipy.stats import binomtest, t

    if kind == "count":
        found = binomtest(round(e["margin"] * e["runs"]), e["runs"]).proportion_ci(1 - 2 * alpha)
        return 100 * found.low, 100 * found.high
    half = math.inf if math.isinf(e["sem"]) else float(t.ppf(1 - alpha, e["freedom"])) * e["sem"]
    return e["margin"] - half, e["margin"] + half


def _decisive(found: list[dict], verdict: str, kind: str, delta: float) -> dict:
    """The clearest counterexample if there is one, else the setting that is furthest from holding."""
    tests = [_p_values(e, kind, delta) for e in found]
    if verdict in (MIXED, CONTRADICTED):
        return found[int(np.argmin([against for _, against in tests]))]
    return found[int(np.argmax([speaks for speaks, _ in tests]))]


def _setting(e: dict, verdict: str, p: float, kind: str, tests: int) -> dict:
    low, high = _interval(e, kind, _alpha(kind) / tests)
    margin = (100 if kind == "count" else 1) * e["margin"]
    return {"setting": e["setting"], "verdict": verdict, "margin": margin, "interval": [low, high], "p": p}


def _detectable(e: dict, kind: str) -> float | None:
    """The smallest distance from the border that would have been seen; None if none would."""
    from scipy.stats import norm
    from statsmodels.stats.power import TTestPower

    alpha = _alpha(kind)
    if kind == "count":
        shares = np.arange(51, 101) / 100
        seen = [share for share in shares if _count_power(e["runs"], share, alpha) >= POWER]
        return 100 * seen[0] - 50 if seen else None
    if not math.isfinite(e["sem"]):
        return None
    if math.isinf(e["freedom"]):
        return float(norm.ppf(1 - alpha) + norm.ppf(POWER)) * e["sem"]
    n = e["freedom"] + 1
    return float(TTestPower().solve_power(nobs=n, alpha=alpha, power=POWER, alternative="larger")) * e["sem"] * n**0.5


def _seeds(open_: list[dict], kind: str, delta: float, tests: int) -> dict:
    """``seeds_needed`` to see that each of these margins lies where it was measured, or why there are ``no_seeds``."""
    if any(e["runs"] is None for e in open_):
        drawn = all(math.isinf(e["freedom"]) for e in open_)
        return {"no_seeds": "more draws would decide" if drawn else "the numbers are the paper's: no seed adds to them"}
    if kind != "count" and not all(0 < e["sem"] < math.inf for e in open_):
        return {"no_seeds": "one run, or runs that do not differ, tell nothing of the spread"}
    runs = np.arange(max(e["runs"] for e in open_) + 1, MOST + 1)
    power = np.prod([_power(e, runs, kind, delta, tests) for e in open_], axis=0)
    enough = next((int(n) for n, p in zip(runs, power, strict=True) if p >= POWER), None)
    near = f"a margin lies so near the border that it would take over {MOST:,} seeds"
    return {"seeds_needed": enough} if enough else {"no_seeds": near}


def _power(e: dict, runs: np.ndarray, kind: str, delta: float, tests: int) -> np.ndarray:
    """The power of so many runs to see that a setting holds, or contradicts: then at the level that Holm leaves it."""
    from statsmodels.stats.power import TTestPower

    margin, alpha = e["margin"], _alpha(kind)
    if kind == "count":
        return _count_power(runs, max(margin, 1 - margin), alpha if margin > 0.5 else alpha / tests)
    spread = e["sem"] * e["runs"] ** 0.5

    def seen(distance: float, level: float) -> np.ndarray:
        return TTestPower().power(distance / spread, runs, level, alternative="larger")

    if kind not in ("equal", "theorem"):
        distance = margin + delta if kind == "no worse" else margin
        return seen(abs(distance), alpha if distance > 0 else alpha / tests)
    if abs(margin) > delta:
        return seen(abs(margin) - delta, alpha / tests)
    return np.maximum(seen(delta - margin, alpha) + seen(delta + margin, alpha) - 1, 0)  # both tests, at least


def _count_power(runs, share: float, alpha: float):
    """The power to see, by so many runs, that an outcome which a `share` of them has is the usual one."""
    from scipy.stats import binom

    least = binom.isf(alpha, runs, 0.5) + 1
    return binom.sf(least - 1, runs, share)
