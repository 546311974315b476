"""What "Noise Injection Node Regularization" claims, its numbers, and the rules that give the verdicts.

"Under corruption" is the mean accuracy over σ_noise = 0.1 … 0.9. "Decay" and "catapult" are the paper's names for its
σ_ε; where a claim is about a phase, it is judged once by those names and once by the phases that our rules find. A run
has diverged if `method.phase` calls it divergent: it is not finite at its end, or has learned nothing.
"""

import numpy as np
import pandas as pd

from ...claims import Claim, Finding, by_seed, contrasts, margins
from ...draw import pick, with_columns
from . import SLUG, method, reported
from .dynamics import EQUAL, PAPER_STRENGTHS, RANDOM, WIDE
from .figures import CATAPULT, DECAY, labelled
from .sweeps import CDT, DROPOUT, FULL, IN, L2, LONG, NONE, SIGMAS

KEPT, ALIKE, FACTOR = 1.0, 2.0, 2.0
"""Points of accuracy up to which nothing counts as lost; points up to which two distributions count as alike; the
factor within which a predicted critical noise counts as right."""
NINR = [f"{kind}, {phase}" for kind in (IN, FULL) for phase in (DECAY, CATAPULT)]
_DECAYS, _CATAPULTS = NINR[::2], NINR[1::2]
_OTHERS = [NONE, L2, DROPOUT]
_CORRUPTED = [round(0.1 * i, 1) for i in range(1, 10)]


def _means(table: pd.DataFrame, measure: str, *keys: str, **values) -> dict[str, pd.DataFrame]:
    """For each network (and value of `keys`): the mean ``value`` of `measure` as rows seeds, columns labels."""
    return by_seed(labelled(pick(table, measure=measure, **values)), "label", [*keys, "network"])


def _diverged(table: pd.DataFrame, *keys: str) -> dict[tuple[str, str], int]:
    """How many runs diverged, by network (as `_means` names it) and label."""
    runs = pick(with_columns(table, "text"), measure="phase", text=method.PHASES[-1])
    if runs.empty:
        return {}
    counts = labelled(runs).groupby([*keys, "network", "label"]).size()
    return {(", ".join(map(str, key[:-1])), key[-1]): int(count) for key, count in counts.items()}


def _over(measure: str, better: list[str], others: list[str], **values):
    """A rule: for each network, and each of `better`: its mean less the greatest of the means of `others`."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found, lost = {}, _diverged(table)
        for network, means in _means(table, measure, **values).items():
            for label in better:
                if {label, *others} <= set(means):
                    found[f"{network}: {label}"] = means[label] - means[others].max(axis=1)
        return margins(found, diverged={f"{n}: {label}": count for (n, label), count in lost.items()})

    return rule


def pairs(measure: str, chosen: list[tuple[str, str]], *keys: str, networks=None, **values):
    """A rule: for each network (and value of `keys`) and each pair of labels: the first's mean less the second's."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        found, runs, lost = {}, {}, _diverged(table, *keys)
        for network, means in _means(table, measure, *keys, **values).items():
            for a, b in chosen:
                if a in means and b in means and network in (networks or [network]):
                    name = f"{network}: {a} over {b}"
                    found[name] = means[a] - means[b]
                    runs[name] = lost.get((network, a), 0) + lost.get((network, b), 0)
        return margins(found, diverged=runs)

    return rule


def by_found_phase(table: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy under corruption of NINR networks found in the catapult phase, less that of those in a calmer one.

    The calmer ones are decoupled and decay; a kind of training in which only one side was found says nothing.
    """
    keys = ["network", "kind", "sigma", "seed"]
    found = pick(with_columns(table, "text"), measure="phase", kind=[IN, FULL]).set_index(keys)["text"]
    accuracy = pick(table, measure="accuracy", x=_CORRUPTED, kind=[IN, FULL]).groupby(keys)["value"].mean()
    both = pd.DataFrame({"value": accuracy, "phase": found.replace({DECAY: "calm", "decoupled": "calm"})}).reset_index()
    settings = {}
    for name, means in by_seed(both, "phase", ["network", "kind"]).items():
        if {"calm", CATAPULT} <= set(means) and len(gaps := (means[CATAPULT] - means["calm"]).dropna()):
            settings[name] = gaps
    return margins(settings)


def smaller_curvature(table: pd.DataFrame) -> pd.DataFrame:
    """By how many percent Tr ∇²L in the input lies below that of the unregularised network, on test images."""
    found, lost = {}, {}
    runs = labelled(table).groupby(["network", "label"])["seed"].nunique()
    for network, means in _means(table, "input curvature").items():
        for label in [*NINR, "CDT (0.4)"]:
            if (network, label) in runs and NONE in means:
                name, count = f"{network}: {label}", runs[network, label]
                if gone := int(count - means.get(label, pd.Series()).count()):
                    lost[name] = f"{gone} of {count} runs diverged and have no curvature"
                else:
                    found[name] = 100 * (1 - means[label] / means[NONE])
    return margins(found, lost)


def alike(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under corruption less that with Gaussian ε; catapult σ_ε with uniform ε only, as the caption excepts."""
    found, runs, lost = {}, {}, _diverged(table, "distribution")
    accuracy = labelled(pick(table, measure="accuracy", x=_CORRUPTED))
    for (network, label), rows in accuracy.groupby(["network", "label"], sort=False):
        means = by_seed(rows, "distribution")[""]
        for other in ("uniform", "double gaussian"):
            if {other, "gaussian"} <= set(means) and (other == "uniform" or label in _DECAYS):
                name = f"{network}: {label}, {other}"
                found[name] = means[other] - means["gaussian"]
                runs[name] = sum(lost.get((f"{d}, {network}", label), 0) for d in (other, "gaussian"))
    return margins(found, diverged=runs)


def critical(**values):
    """A rule: how many factors of `FACTOR` the measured critical σ_ε² lies above 2 d / η."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        part = pick(with_columns(table, "paper"), measure="critical", **values)
        part = part.assign(above=np.log(part["value"] / part["paper"]) / np.log(FACTOR))
        return margins(
            {
                f"η = {eta:g}, {'with' if data else 'without'} data": rows.set_index("seed")["above"]
                for (data, eta), rows in part.groupby(["data", "eta"])
            },
            exact=True,
        )

    return rule


def four_phases(table: pd.DataFrame) -> pd.DataFrame:
    """1 where a run is in the phase that the paper names for its σ_ε, else 0."""
    found = pick(table, measure="phase")
    return margins(
        {
            f"η σ_ε²/d = {strength:g}: {name}": (rows.set_index("seed")["text"] == name).astype(float)
            for strength, name in PAPER_STRENGTHS.items()
            if len(rows := pick(found, strength=strength))
        }
    )


def with_and_without(a: tuple[str, float, bool], b: tuple[str, float, bool]):
    """A rule on CNNs of every size: accuracy under corruption of `a` less that of `b`, each (kind, σ_ε, normalised)."""

    def rule(table: pd.DataFrame) -> pd.DataFrame:
        def name(way) -> str:
            return f"{way[0]}{f' ({way[1]:g})' if way[1] else ''} with{'' if way[2] else 'out'} batch norm"

        keys = {"measure": "accuracy", "x": _CORRUPTED}
        one, other = (pick(table, kind=w[0], sigma=w[1], norm=w[2], **keys) for w in (a, b))
        both = pd.concat([one.assign(way=name(a)), other.assign(way=name(b))])
        lost = pick(
            with_columns(table, "text"), measure="phase", text=method.PHASES[-1], kind=a[0], sigma=a[1], norm=a[2]
        )
        found = {
            f"{size}: {name(a)} over {name(b)}": means[name(a)] - means[name(b)]
            for size, means in by_seed(both, "way", ["size"]).items()
            if {name(a), name(b)} <= set(means)
        }
        return margins(found, diverged={k: int((lost["size"] == k.partition(":")[0]).sum()) for k in found})

    return rule


def quiet_channels(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under corruption of plain normalised networks with their quietest channels muted, less any muted."""
    part = pick(table, measure=["quiet muted", "some muted"], x=_CORRUPTED, kind=[NONE, LONG])
    return margins(
        {
            name: means["quiet muted"] - means["some muted"]
            for name, means in by_seed(part, "measure", ["size", "kind"]).items()
            if {"quiet muted", "some muted"} <= set(means)
        }
    )


def repaired(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under corruption of plain networks that take statistics of the corrupted images, less as trained."""
    part = pick(table, measure=["own statistics", "accuracy"], x=_CORRUPTED, kind=[NONE, LONG], norm=True)
    return margins(
        {
            name: means["own statistics"] - means["accuracy"]
            for name, means in by_seed(part, "measure", ["size", "kind"]).items()
            if {"own statistics", "accuracy"} <= set(means)
        }
    )


def continuous_time(table: pd.DataFrame) -> pd.DataFrame:
    """Where descent catapults or diverges: log10 of its loss's growth over the start, less that of the flow."""
    growth = pick(table, measure="growth", text=[CATAPULT, "divergent"], model=[EQUAL, RANDOM])
    growth = growth.assign(value=np.log10(growth["value"]))
    return margins(
        {
            name: means["trajectory"] - means["flow"]
            for name, means in by_seed(growth, "series", ["model", "text"]).items()
            if {"trajectory", "flow"} <= set(means)
        },
        exact=True,
    )


# ---- the paper's numbers, and its text against its own tables ----


def _reported(item: str, network: str, kind: str, name: str | None = None) -> pd.Series:
    rows = pick(reported.tables(), item=item, network=network, kind=kind)
    return (rows if name is None else rows[rows["label"] == name]).iloc[0]


def _margin(item: str, chosen: list[tuple]) -> float:
    """The mean of the paper's margins, both networks, for pairs of (kind, name)."""
    found = [
        _reported(item, n, *a)["value"] - _reported(item, n, *b)["value"] for n in ("fc", "cnn") for a, b in chosen
    ]
    return round(float(np.mean(found)), 4)


def own_table(item: str, chosen: list[tuple[str, tuple, tuple]]):
    """A rule on the paper's table: for (network, better, worse) the difference; ± is two deviations of ten runs."""

    def rule() -> pd.DataFrame:
        used = dict.fromkeys((network, *key) for network, *both in chosen for key in both)
        rows = {key: _reported(item, *key) for key in used}
        cells = {key: (row["value"], row["two_sd"] / 2 / 10**0.5) for key, row in rows.items()}
        return contrasts(
            cells,
            {f"{n}: {' '.join(a)} over {' '.join(b)}": {(n, *a): 1, (n, *b): -1} for n, a, b in chosen},
        )

    return rule


_IN, _FULL = ((IN, DECAY), (IN, CATAPULT)), ((FULL, DECAY), (FULL, CATAPULT))
_NAMED = [*_IN, *_FULL]


def _claim(
    id, item, claim, text, rule, experiment, unit="points", kind="every", delta=0.0, reported_number=None
) -> Claim:
    error = "none" if reported_number is None else "2sd"
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=reported_number, reported_text=text, reported_error=error,
        rule=rule, experiment=f"{SLUG}/{experiment}", unit=unit, kind=kind, delta=delta,
    )  # fmt: skip


def _control(id, claim, rule, experiment="batch-norm", **options) -> Claim:
    return _claim(id, "Control", claim, "not in the paper: our control", rule, experiment, **options)


def _own(id, item, claim, text, rule) -> Claim:
    return Claim(
        id=id, paper=SLUG, item=item, claim=claim, reported=None, reported_text=text, reported_error="2sd", rule=rule
    )


_STRONG = SIGMAS["cnn", IN][1]
_MORE_ROBUST = _over("accuracy", NINR, _OTHERS, x=_CORRUPTED)
CLAIMS = [
    _claim(
        "more-robust", "Figure 2", "Under corruption, every NINR beats the best of L2, dropout and no regularisation",
        "models trained with NINR are more robust against the noise defined above", _MORE_ROBUST, "fig-2",
    ),
    _claim(
        "catapult-best", "Figure 2", "Under corruption, the paper's catapult σ_ε beats its decay σ_ε",
        "noise injection offers the best results for robustness within the catapult regime",
        pairs("accuracy", list(zip(_CATAPULTS, _DECAYS, strict=True)), x=_CORRUPTED), "fig-2",
    ),
    _claim(
        "catapult-phase-best", "Section 2.2",
        "Under corruption, networks found in the catapult phase beat those found in a calmer one",
        "The improvement in robustness is most extreme in this phase", by_found_phase, "fig-2",
    ),
    _claim(
        "catapult-slower", "Section 2.2", "With the catapult σ_ε, training takes more epochs than with the decay σ_ε",
        "the convergence of the network is slowed somewhat",
        pairs("epochs", list(zip(_CATAPULTS, _DECAYS, strict=True))), "fig-2", "epochs",
    ),
    _claim(
        "input-node-best", "Section 3.2.1", "Under corruption, in-NINR with the catapult σ_ε beats every other NINR",
        "in-NINR in the catapult phase offers the greatest improvement in stability",
        _over("accuracy", [f"{IN}, {CATAPULT}"], [n for n in NINR if n != f"{IN}, {CATAPULT}"], x=_CORRUPTED), "fig-2",
    ),
    _claim(
        "as-stable-as-cdt", "Section 3.2.1",
        "On images corrupted with σ_noise = 0.6 to 0.9, in-NINR with the decay σ_ε is at least as good as CDT (0.4), "
        f"to {KEPT:g} point",
        "at least as well as CDT for large corruption",
        pairs("accuracy", [(f"{IN}, {DECAY}", "CDT (0.4)")], x=[0.6, 0.7, 0.8, 0.9]), "fig-2", kind="no worse",
        delta=KEPT,
    ),
    _claim(
        "clean-accuracy-kept", "Table 2", f"NINR with the decay σ_ε loses under {KEPT:g} point of clean accuracy",
        "does not change performance on clean data within domain test samples",
        pairs("accuracy", [(name, NONE) for name in _DECAYS], x=[0.0]), "table-2", kind="no worse", delta=KEPT,
        reported_number=_margin("table-2", [(k, (NONE,)) for k in (_IN[0], _FULL[0])]),
    ),
    _claim(
        "catapult-costs", "Table 2", "In-NINR with the catapult σ_ε loses clean accuracy",
        "some degradation occurs when training with noise injection in the Catapult phase",
        pairs("accuracy", [(NONE, f"{IN}, {CATAPULT}")], x=[0.0]), "table-2",
        reported_number=_margin("table-2", [((NONE,), _IN[1])]),
    ),
    _claim(
        "cdt-costs", "Table 2", "CDT loses clean accuracy", "generalization is compromised for the latter",
        pairs("accuracy", [(NONE, "CDT (0.2)"), (NONE, "CDT (0.4)")], x=[0.0]), "table-2",
        reported_number=_margin("table-2", [((NONE,), (CDT, v)) for v in ("0.2", "0.4")]),
    ),
    _claim(
        "ninr-over-cdt", "Table 2", "On clean data, NINR with the decay σ_ε beats CDT (0.4)",
        "while (unlike CDT), it does not degrade generalization performance for small corruption, or clean data",
        pairs("accuracy", [(name, "CDT (0.4)") for name in _DECAYS], x=[0.0]), "table-2",
        reported_number=_margin("table-2", [(k, (CDT, "0.4")) for k in (_IN[0], _FULL[0])]),
    ),
    _claim(
        "domain-shift", "Table 1", "From MNIST to USPS, NINR beats no regularisation (read as: each of its settings)",
        "generalization improvement for both FC and convolutional networks when using different regularization schemes",
        pairs("target accuracy", [(name, NONE) for name in NINR]), "table-1",
        reported_number=_margin("table-1", [(k, (NONE,)) for k in _NAMED]),
    ),
    _claim(
        "domain-shift-cnn", "Table 1", "For the CNN, NINR with the catapult σ_ε beats dropout from MNIST to USPS",
        "Of particular interest are the gains obtained when implementing both in- and full-NINR in the catapult phase",
        pairs("target accuracy", [(name, DROPOUT) for name in _CATAPULTS], networks=["cnn"]), "table-1",
        reported_number=round(float(np.mean(
            [_reported("table-1", "cnn", *k)["value"] - _reported("table-1", "cnn", DROPOUT)["value"]
             for k in (_IN[1], _FULL[1])])), 4),
    ),
    _claim(
        "fgsm", "Figure 6",
        "Under FGSM, every NINR beats L2 and no regularisation",
        "NINR displays superior performance over L2 and un-regularized nets", _over("fgsm", NINR, [NONE, L2]), "fig-6",
    ),
    _claim(
        "fgsm-dropout", "Figure 6", "Under FGSM, dropout beats every NINR",
        "For FGSM attacks dropout performs best among the options tested", _over("fgsm", [DROPOUT], NINR), "fig-6",
    ),
    _claim(
        "pgd", "Figure 6", "Under PGD, every NINR beats the best of L2, dropout and no regularisation",
        "for PGD attacks NINR outperforms", _over("pgd", NINR, _OTHERS), "fig-6",
    ),
    _claim(
        "distribution", "Figure 7",
        f"Uniform and double Gaussian ε change accuracy under corruption by under {ALIKE:g}",
        "varying the noise distribution has a minimal effect on NINR as a regularization scheme, aside from …",
        alike, "fig-7", kind="equal", delta=ALIKE,
    ),
    _claim(
        "optimisers", "Figure 8", "Under RMSprop and Adam, too, NINR beats no regularisation under corruption",
        "we examine the effects of changing the optimization algorithm, beyond SGD, on the performance of NINR",
        pairs("accuracy", [(name, NONE) for name in NINR], "optimizer", x=_CORRUPTED, optimizer=["rmsprop", "adam"]),
        "fig-8",
    ),
    _claim(
        "cifar-10", "Figure 9", "On CIFAR-10, in-NINR with the decay σ_ε beats no NINR under corruption",
        "The success of NINR is retained for in-NINR in the decay phase",
        pairs("accuracy", [(f"{IN}, {DECAY}", NONE)], x=_CORRUPTED), "fig-9",
    ),
    _claim(
        "smaller-curvature", "Section 2.1",
        "NINR and CDT lower the local curvature (judged by the loss's Hessian in the input)",
        "both systems are driven towards regions with smaller local Hessian eigenvalues", smaller_curvature, "fig-2",
        "percent",
    ),
    _claim(
        "four-phases", "Figure 3, App. A", "σ_ε² = 0, 0.1, 1, 1.8 d/η: decoupled, decay, catapult, divergent",
        "corresponding to the decoupled, decay, catapult, and divergent phases, respectively", four_phases, "fig-3",
        "percent of runs", "count",
    ),
    _claim(
        "critical-noise", "Section 2.2",
        f"Noise alone, univariate: the critical σ_ε² is 2d/η, within a factor {FACTOR:g}",
        "for the linear network discussed in App. B we find σ_{ε,cat} ~ 2d_{ℓ_NI}/η", critical(model=EQUAL, data=False),
        "toy-model", "factors of two", "equal", 1.0,
    ),
    _claim(
        "critical-noise-with-data", "Section 2.2",
        f"With data to learn, univariate: the critical σ_ε² is 2d/η, within a factor {FACTOR:g}",
        "for the linear network discussed in App. B we find σ_{ε,cat} ~ 2d_{ℓ_NI}/η", critical(model=EQUAL, data=True),
        "toy-model", "factors of two", "equal", 1.0,
    ),
    _claim(
        "critical-noise-wide", "Section 2.2",
        f"In a linear network of hidden width d: the critical σ_ε² is 2d/η, within a factor {FACTOR:g}",
        "where d_{ℓ_NI} is the dimension of the NIN layer", critical(model=WIDE), "toy-model", "factors of two",
        "equal", 1.0,
    ),
    _claim(
        "continuous-time-fails", "Appendix B", "Continuous time misses the catapult and divergent phases",
        "we expect the continuous time limit to fail as a complete description of the possible dynamics",
        continuous_time, "toy-model", "powers of ten",
    ),
    _control(
        "as-many-updates", "Under corruption, NINR with the catapult σ_ε beats no NINR trained for all epochs",
        pairs("accuracy", [(name, LONG) for name in _CATAPULTS], x=_CORRUPTED), "fig-2",
    ),
    _control(
        "longer-is-no-gain", f"Training on for all epochs changes a plain network under corruption by under {ALIKE:g}",
        pairs("accuracy", [(LONG, NONE)], x=_CORRUPTED), "fig-2", kind="equal", delta=ALIKE,
    ),
    _control(
        "norm-hurts", "Under corruption, plain CNNs without batch normalisation beat plain CNNs with it",
        with_and_without((LONG, 0.0, False), (LONG, 0.0, True)),
    ),
    _control(
        "node-beats-no-norm", "Under corruption, the node (with batch normalisation) beats leaving the latter out",
        with_and_without((IN, _STRONG, True), (LONG, 0.0, False)),
    ),
    _control(
        "node-without-norm", "Without batch normalisation, too, the node is a gain under corruption",
        with_and_without((IN, _STRONG, False), (LONG, 0.0, False)),
    ),
    _control(
        "quiet-channels", "Muting the channels of least variance helps plain CNNs more than muting as many at random",
        quiet_channels,
    ),
    _control(
        "own-statistics", "Statistics of the corrupted images themselves help plain normalised CNNs", repaired,
    ),
    _own(
        "text-domain-shift", "Table 1",
        "From MNIST to USPS, NINR beats no regularisation (each of its settings; ± as deviations of runs)",
        "generalization improvement for both FC and convolutional networks when using different regularization schemes",
        own_table("table-1", [(n, k, (NONE,)) for n in ("fc", "cnn") for k in _NAMED]),
    ),
    _own(
        "text-clean-data", "Table 2",
        "On clean data, NINR beats CDT (0.2), but perhaps in-NINR with the catapult σ_ε (± as deviations of runs)",
        "have comparable generalization performance with to the rest of the regularization schemes, aside from CDT",
        own_table("table-2", [(n, k, (CDT, "0.2")) for n in ("fc", "cnn") for k in _NAMED if k != _IN[1]]),
    ),
]  # fmt: skip
"""This paper's claims: those that need a measured table, then the paper's text against its own tables."""

FINDINGS = [
    Finding(
        "norm-hurts", "mnist", "holds",
        "A CNN with batch normalisation is fragile: leaving the normalisation out is worth {mean} points of accuracy "
        "under corruption on MNIST.", headline=True,
    ),
    Finding(
        "node-beats-no-norm", "mnist", "holds",
        "On MNIST a noise injection node is worth {mean} points more than that: there it does not only repair what "
        "batch normalisation breaks.", headline=True,
    ),
    Finding(
        "catapult-phase-best", "mnist", "holds",
        "Fully connected networks that were found in the catapult phase are {mean} points better under corruption than "
        "those found in a calmer one, on MNIST.",
    ),
    Finding(
        "fgsm-dropout", "mnist", "contradicted",
        "Against an attack by one gradient step, dropout is said to beat every node. On MNIST the best node beats it.",
    ),
    Finding(
        "critical-noise-with-data", "toy model", "contradicted",
        "The formula for the noise at which training becomes unstable is right where there is nothing to learn. With "
        "data it is far off, in the paper's own toy model.",
    ),
]  # fmt: skip
"""The chapter's answer, in five lines."""
