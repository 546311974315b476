"""The scoreboard as a page: what holds at a glance, and every claim with its intervals. Complete without a script."""

import hashlib
import html
import math
from pathlib import Path

from .errors import InputError
from .explore import Explorer
from .papers import findings, wings
from .verdicts import CONTRADICTED, HOLDS, KINDS, NOT_DECIDED, NOT_TESTABLE, VERDICTS

_HERE = Path(__file__).parent
ICONS = dict(zip(VERDICTS, "✓±✗?⊘–", strict=True))
"""Each verdict's sign: it must be told without colour."""
OURS = "not in the paper"
"""How the text begins that stands in place of a quotation where a claim is the book's own."""
_BORDERS = {"no worse": (-1,), "equal": (-1, 1), "theorem": (-1, 1)}
"""Where a kind's δ puts borders, in δ."""


def summary(entries: list[dict]) -> Explorer:
    """How many of each chapter's verdicts hold: a sentence, and a bar a chapter."""
    ids, several = {(e["paper"], e["id"]) for e in entries}, len({e["paper"] for e in entries}) > 1
    lines = []
    for wing in wings():
        found = [e for e in entries if e["paper"] == wing.SLUG]
        if found:
            parts = "".join(
                f'<i class="tl-v{k}" style="flex:{count}">{ICONS[word]}&thinsp;{count}</i>'
                for k, word in enumerate(VERDICTS) if (count := sum(e["verdict"] == word for e in found))
            )  # fmt: skip
            name = html.escape(wing.TITLE)
            if several:  # on the scoreboard, the link shows this one alone
                name = f'{wing.NUMBER}&ensp;<a href="#paper={wing.SLUG}">{name}</a>'
            lines.append(f'<p>{name}</p><div class="tl-strip" role="img" aria-label="{_counted(found)}">{parts}</div>')
    key = "".join(f"<li>{_icon(word)} {word}</li>" for word in VERDICTS)
    of = f"{len(lines)} chapters" if several else "the paper"
    many = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((len(entries), "verdict"), (len(ids), "claim"))]
    told = f"{many[0]} on {many[1]} of {of}: {_counted(entries)}."
    return _page(f'<p class="tl-sum">{told}</p>{"".join(lines)}<ul class="tl-key" aria-label="signs">{key}</ul>')


def _counted(entries: list[dict]) -> str:
    counts = [(sum(e["verdict"] == word for e in entries), word) for word in VERDICTS]
    return ", ".join(f"{count} {_said(word, count)}" for count, word in counts if count)


def _said(word: str, count: int) -> str:
    """A verdict as the end of a sentence.

    >>> _said("holds", 1), _said("mixed", 1), _said("holds", 2), _said("not decided", 2)
    ('holds', 'is mixed', 'hold', 'are not decided')
    """
    if word == HOLDS:
        return "holds" if count == 1 else "hold"
    return f"{'is' if count == 1 else 'are'} {word}"


def headlines(entries: list[dict], board: str = "") -> Explorer:
    """What the wings say in plain words, each with its entry's verdict: a paper's answer, or the headlines of several.

    `board` is the address of the page that shows the claims, if it is another.

    Raises `InputError` where an entry no longer has the verdict that the words were written for.
    """
    papers, items = {e["paper"] for e in entries}, []
    here = [(paper, f) for paper, said in findings().items() if paper in papers for f in said]
    for paper, finding in here if len(papers) == 1 else [(p, f) for p, f in here if f.headline]:
        wanted = paper, finding.id, finding.dataset, finding.budget
        found = [e for e in entries if (e["paper"], e["id"], e["dataset"], e["budget"]) == wanted]
        if not found or found[0]["verdict"] != finding.verdict:
            now = found[0]["verdict"] if found else "not there"
            raise InputError(
                f"the finding on {finding.id} ({finding.dataset}, {finding.budget}) was written for the verdict "
                f"{finding.verdict!r}, which now is {now!r}: write it anew"
            )
        (e,) = found
        words = finding.words.format(**{key: number(e[key], e["unit"]) for key in ("measured", "mean", "reported")})
        link = (
            f'<a href="{board}#{_anchor(e)}">{e["verdict"]}: {html.escape(e["item"])}, {html.escape(e["dataset"])}</a>'
        )
        items.append(f"<li>{_icon(e['verdict'])} {html.escape(words)} ({link})</li>")
    all_of = ""
    if len(papers) == 1:
        told = f"All {len(entries)} verdicts on this paper, data set by data set"
        all_of = f'<p><a href="{board}#paper={here[0][0]}">{told}</a></p>'
    return _page(f'<ul class="tl-findings">{"".join(items)}</ul>{all_of}')


def board(entries: list[dict]) -> Explorer:
    """Every claim as a card: the verdict on each data set with the interval that decides it, and what is behind it.

    A script adds filters and an order, kept in the page's address; without one everything is there. The same entries
    always give the same HTML.
    """
    sections = []
    for wing in wings():
        cards = {}
        for e in entries:
            if e["paper"] == wing.SLUG:
                cards.setdefault(e["id"], []).append(e)
        if cards:
            body = "".join(map(_card, cards.values()))
            title = html.escape(wing.TITLE)
            sections.append(
                f'<section data-paper="{wing.SLUG}" data-title="{title}"><h3>{title}</h3>'
                f"<p>{html.escape(wing.NOTE)}</p>{body}</section>"
            )
    return _page(f'<form class="tl-filter" hidden></form>{"".join(sections)}', script=True)


def said(entry: dict) -> str:
    """An entry's verdict in one line: what decides it, how sure it is, and what would decide it if nothing does.

    >>> said({"verdict": "not measured", "why": None, "measured": None})
    'not measured'
    """
    if entry["measured"] is None or entry["verdict"] == NOT_TESTABLE:
        return entry["verdict"] + (f": {entry['why']}" if entry["why"] else "")
    decides = f" ({entry['decides']})" * (sum(entry["counts"].values()) > 1)
    return f"{entry['verdict']}: " + "; ".join(filter(None, [_count(entry), _interval(entry) + decides, *_open(entry)]))


def number(value: float | None, unit: str) -> str:
    """One decimal for points and percent, else two figures that count."""
    if value is None:
        return "–"
    return f"{value:.1f}" if unit.startswith(("points", "percent")) or abs(value) >= 10 else f"{value:.2g}"


def _count(entry: dict) -> str:
    """How many settings hold, if there are several."""
    counts = entry["counts"]
    total = sum(counts.values()) - counts[NOT_TESTABLE]
    if sum(counts.values()) < 2:
        return ""
    against = f"{counts[CONTRADICTED] or 'none'} contradicted"
    return f"all {total} hold" if counts[HOLDS] == total else f"{counts[HOLDS]} of {total} hold, {against}"


def _interval(entry: dict) -> str:
    low, high = (number(v, entry["unit"]) for v in entry["interval"])
    return f"{number(entry['measured'], entry['unit'])} [{low}, {high}]"


def _open(entry: dict) -> list[str]:
    """What these runs could have seen, how many would decide, and what else there is to say."""
    parts = []
    if entry["verdict"] == NOT_DECIDED:
        if entry["detectable"] is not None:
            seen = number(entry["detectable"], entry["unit"])
            parts.append(f"a distance of {seen} from the border would have been seen")
        needed = entry["seeds_needed"]
        parts.append(f"{needed} seeds would decide" if needed else entry["no_seeds"])
    return [*parts, *filter(None, [entry["why"]])]


def _page(body: str, script: bool = False) -> Explorer:
    identity = "tlb" + hashlib.sha256(body.encode()).hexdigest()[:10]
    style = (_HERE / "board.css").read_text(encoding="utf-8")
    code = (_HERE / "board.js").read_text(encoding="utf-8").strip() if script else ""
    run = f'<script>{code}("{identity}");</script>' if script else ""
    return Explorer(f'<style>{style}</style><div class="tl-board" data-id="{identity}">{body}</div>{run}')


def _anchor(entry: dict) -> str:
    return f"{entry['paper']}--{entry['id']}"


def _icon(verdict: str) -> str:
    return f'<i class="tl-v{VERDICTS.index(verdict)}" aria-hidden="true">{ICONS[verdict]}</i>'


def _sign(verdict: str) -> str:
    return f'<span class="tl-word">{_icon(verdict)} {verdict}</span>'


def _card(entries: list[dict]) -> str:
    """One claim: a row a data set, and folded what is behind them."""
    e = entries[0]
    unit, delta = e["unit"], e["delta"] or 0
    asked = KINDS[e["kind"]].replace("δ", f"{delta:g}")
    paper = f" · the paper: {number(e['reported'], unit)}" if e["reported"] is not None else ""
    scale = _scale([r["interval"] for r in entries], [r["measured"] for r in entries], e)
    rows = "".join(_row(r, scale) for r in entries)
    ends = f"<span>{number(scale[0], unit)}</span><span>{number(scale[1], unit)}</span>"
    head = (
        "<thead><tr><th>data</th><th>verdict</th><th>margin [interval]</th>"
        f'<td class="tl-ends" aria-hidden="true">{ends}</td></tr></thead>'
    )
    return (
        f'<article class="tl-claim" id="{_anchor(e)}"><h4>{html.escape(e["claim"])}</h4>'
        f'<p class="tl-meta">{html.escape(e["item"])} · {html.escape(asked)} · in {html.escape(unit)}{paper}</p>'
        f"<table>{head}<tbody>{rows}</tbody></table>{_behind(entries)}</article>"
    )


def _row(e: dict, scale: tuple[float, float]) -> str:
    shown = e["measured"] is not None and e["verdict"] != NOT_TESTABLE
    decides = html.escape(e["decides"] or "") if len(e["settings"]) > 1 else ""
    mean = f"mean over settings: {number(e['mean'], e['unit'])}" if decides and e["mean"] is not None else ""
    told = f"{_interval(e)}<small>{'; '.join(filter(None, [decides, mean]))}</small>" if shown else ""
    picture = _bar(e, scale) if shown else ""
    note = "; ".join(filter(None, [_count(e), e["why"], e.get("problem")]))
    ends = f' data-ends="{number(scale[0], e["unit"])} … {number(scale[1], e["unit"])}"' if shown else ""
    seeds = f"{e['budget']}, {e['seeds']} seeds" if e["budget"] != "reported" else "reported numbers"
    return (
        f'<tr data-data="{html.escape(e["dataset"])}" data-verdict="{e["verdict"]}" data-support="{_support(e)}">'
        f'<th scope="row">{html.escape(e["dataset"])}<small>{seeds}</small></th>'
        f"<td>{_sign(e['verdict'])}<small>{html.escape(note)}</small></td>"
        f'<td>{told}</td><td class="tl-f" aria-hidden="true"{ends}>{picture}</td></tr>'
    )


def _behind(entries: list[dict]) -> str:
    """The quotation, what would decide, every setting, the commands."""
    e = entries[0]
    said = html.escape(e["reported_text"])
    parts = [f"<p>{said[0].upper()}{said[1:]}</p>" if said.startswith(OURS) else f"<p>The paper: “{said}”</p>"]
    for r in entries:
        more = "; ".join(_open(r))
        parts.append(f"<h5>{html.escape(r['dataset'])}</h5>" + (f"<p>{html.escape(more)}</p>" if more else ""))
        if len(r["settings"]) > 1:
            tested = [s for s in r["settings"] if "interval" in s]
            scale = _scale([s["interval"] for s in tested], [s["margin"] for s in tested], r)
            lines = "".join(_setting(s, scale, r) for s in r["settings"])
            parts.append(
                f'<table class="tl-set" style="{_lines(scale, r)}"><thead><tr><th>setting</th><th>verdict</th>'
                '<th>margin [interval]</th><td aria-hidden="true"></td></tr></thead>'
                f"<tbody>{lines}</tbody></table>"
            )
        parts.append(f"<pre><code>{html.escape(r['command'])}</code></pre>")
    return f"<details><summary>Quotation, settings, command</summary>{''.join(parts)}</details>"


def _setting(s: dict, scale: tuple[float, float], e: dict) -> str:
    """A row of the forest plot of one entry: there are over a thousand, so the style sheet draws them from numbers."""
    told, places = html.escape(s.get("why") or ""), ""
    if "interval" in s:
        low, high = (number(v, e["unit"]) for v in s["interval"])
        told = f"{number(s['margin'], e['unit'])} [{low}, {high}]"
        left, right = _at(s["interval"][0], scale, scale[0]), _at(s["interval"][1], scale, scale[1])
        places = f' style="--l:{left:g};--w:{right - left:.3g};--m:{_at(s["margin"], scale):g}"'
    k = VERDICTS.index(s["verdict"])
    return (
        f'<tr class="tl-s{k}"><th scope="row">{html.escape(s["setting"])}</th><td><i>{ICONS[s["verdict"]]}</i> '
        f"{s['verdict']}</td><td>{told}</td><td{places}></td></tr>"  # nothing in the last one is text
    )


def _lines(scale: tuple[float, float], e: dict) -> str:
    """Where zero and the borders are in all rows of such a plot."""
    places = {"z": _zero(e), **dict(zip("de", _borders(e), strict=False))}
    return ";".join(f"--{name}:{_at(value, scale):g}" for name, value in places.items())


def _borders(e: dict) -> list[float]:
    return [side * (e["delta"] or 0) for side in _BORDERS.get(e["kind"], ())]


def _zero(e: dict) -> float:
    """The margin that says nothing: half of the runs of a count."""
    return 50.0 if e["kind"] == "count" else 0.0


def _scale(intervals: list, margins: list, e: dict) -> tuple[float, float]:
    """The ends of an axis that shows all of these, zero, and the borders."""
    ends = [v for pair in intervals if pair for v in pair]
    values = [v for v in (*ends, *margins, e["reported"], *_borders(e), _zero(e)) if v is not None and math.isfinite(v)]
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def _at(value: float | None, scale: tuple[float, float], end: float = 0.0) -> float:
    """Where a value is, in percent of the axis; what is not finite is at its `end`."""
    value = end if value is None or not math.isfinite(value) else value
    return round(min(100.0, max(0.0, 100 * (value - scale[0]) / (scale[1] - scale[0]))), 1)


def _bar(e: dict, scale: tuple[float, float]) -> str:
    """A row of the forest plot, in percent of its width: zero, the borders, interval, margin, the paper's value."""
    low, high = (_at(value, scale, end) for value, end in zip(e["interval"], scale, strict=True))
    lines = f'<s style="left:{_at(_zero(e), scale):g}%"></s>'
    lines += "".join(f'<s class="tl-d" style="left:{_at(b, scale):g}%"></s>' for b in _borders(e))
    mark = f'<u style="left:{_at(e["reported"], scale):g}%"></u>' if e["reported"] is not None else ""
    spread = f'<i style="left:{low:g}%;width:{high - low:.3g}%"></i>'
    return f'{lines}{spread}<b style="left:{_at(e["measured"], scale):g}%"></b>{mark}'


def _support(e: dict) -> str:
    """How far the deciding margin lies on the claim's side of its border, in half-widths of its interval; else ""."""
    if e["measured"] is None or e["verdict"] == NOT_TESTABLE or any(v is None for v in e["interval"]):
        return ""
    low, high = e["interval"]
    delta, value = e["delta"] or 0, e["measured"] - _zero(e)
    distance = delta - abs(value) if e["kind"] in ("equal", "theorem") else value + delta
    return f"{distance / max((high - low) / 2, 1e-9):.3g}"
