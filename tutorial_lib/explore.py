"""From a table to an explorer: self-contained HTML that redraws in the page, with no kernel and no network."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from .draw import small_png

_HERE = Path(__file__).parent


@dataclass(frozen=True, repr=False)
class Explorer:
    """An explorer, shown as HTML by Jupyter, Colab and the book. `html` is complete in itself."""

    html: str

    def __repr__(self) -> str:
        return "Explorer (shown where HTML is)"

    def _repr_html_(self) -> str:
        return self.html


def explorer(
    kind: str,
    table: pd.DataFrame | None,
    *,
    title: str,
    controls: list[dict],
    start: dict,
    x: str,
    value: str,
    names: dict[str, str],
    picture,
    y: str | None = None,
    error: str | None = None,
    seeds: str | None = None,
    series: str | None = None,
    panels: list[dict] | None = None,
    reference: str | None = None,
    ring: str | None = None,
    readout: str = "",
    note: str = "",
    notes: dict[str, str] | None = None,
    symbol: str = "",
    log: bool = False,
    digits: int = 1,
    presets: dict[str, dict] | None = None,
    compute: str | None = None,
    kept: str | None = None,
) -> Explorer:
    """An explorer of `table` (tidy: a row a value), or of what the page itself computes.

    `kind` is "heatmap" (rows `y`, columns `x`, colour `value`) or "lines" (`value` over `x`, a line for each of
    `series`, a band of `error`). With `panels`, a list of ``{"name", "x", "y"}``, lines are drawn side by side by the
    column ``panel``, with these labels on their axes, an upright line at the value of the control ``"mark"``, if given,
    and powers of ten on the upright axis with ``"log": True``; the series `reference` is thin and without dots.
    `controls` is a list of ``{"column", "label"}``, in order: numbers become sliders, text becomes menus, each offering
    what the ones before it leave; a row without a value holds for every value of the control; with ``"pick": True`` the
    control picks a cell of the heatmap and filters nothing; cells whose column `ring` is not 0 have a ring; with
    ``"play": True`` it can be set going. `start` holds the controls' first values, `presets` maps names to values of
    some, `names` the columns to names for the reader. `seeds` is the column that holds how many seeds stand behind a
    value. `readout` is the sentence under the heatmap with columns in braces; `notes` replaces the sentence under
    lines, by the controls' values joined with "|". `picture` is a matplotlib Figure, shown where scripts do not
    run.

    With `compute`, the source of a JavaScript function, there is no table: each control has its ``"values"``, and
    ``compute(state, controls)`` turns the controls' values into ``{columns: {name: {data: […]}}, note, map}``. A panel
    with ``"map": True`` draws ``map = {x, y, names, code, line}``: the regions ``names[code[row][column]]`` over the
    two controls named in its ``"picks"``, and a dashed line ``{name, points}`` across them. A panel ``{"own": True}``
    is an element that ``own(width, {make, look, choose, off})``, returned by `compute`, draws above the others (`off`
    is the set of series that the reader has switched off); `kept` names a text in the state that it may set
    (``choose({name: text})``) and that a link keeps beside the controls.
    """
    if compute is not None:
        table = pd.DataFrame(columns=["panel", *(c for c in (series, x, y, value, error, ring) if c)])
        controls = [{**control, "values": list(control["values"])} for control in controls]
    missing = {c["column"] for c in controls if "values" not in c} | {
        c for c in (x, value, error, seeds, series, ring) if c
    }
    missing |= {"panel"} if panels else set()
    missing -= set(table.columns)
    if missing:
        raise ValueError(f"the table has no column {', '.join(sorted(missing))}; it has {', '.join(table.columns)}")
    spec = {
        "kind": kind, "title": title, "controls": controls, "start": start, "x": x, "y": y, "value": value,
        "error": error, "seeds": seeds, "series": series, "panels": panels, "reference": reference, "ring": ring,
        "names": names, "readout": readout, "note": note, "notes": notes, "presets": presets, "kept": kept,
        "symbol": symbol, "log": log, "digits": digits, "file": title.lower().replace(" ", "-"),
        "columns": {name: _column(table[name]) for name in table.columns},
    }  # fmt: skip
    # "</" would end the script element early
    data = json.dumps(spec, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    identity = "tl" + hashlib.sha256(data.encode()).hexdigest()[:10]
    script, charts = ((_HERE / name).read_text(encoding="utf-8") for name in ("explore.js", "charts.js"))
    script = re.sub(r"^ *(//.*)?\n?", "", script.strip().replace("  // charts.js\n", charts), flags=re.MULTILINE)
    style = re.sub(r"\s+", " ", (_HERE / "explore.css").read_text(encoding="utf-8"))
    source = base64.b64encode(small_png(picture, 560)).decode()
    return Explorer(
        f"<style>{style}</style>"
        f'<div class="tl-explorer" data-id="{identity}">'
        f'<img alt="{html.escape(title)}" src="data:image/png;base64,{source}"></div>'
        f'<script>{script}({data}, "{identity}"{f", {compute.strip()}" if compute else ""});</script>'
    )


def page_script(wing: str, name: str, shipped=None) -> str:
    """The source of the function that computes in the page, for `explorer`: the file `name` of the package `wing`.

    In it ``SHIPPED`` is what `shipped` says, numbers, text, lists and dicts, and ``halves(text)`` gives the numbers
    that `draw.halves` has packed.
    """
    compute = (files(wing) / name).read_text(encoding="utf-8").strip()
    halves = (_HERE / "halves.js").read_text(encoding="utf-8").strip()
    # "</" would end the script element early
    data = json.dumps(shipped, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return f"((SHIPPED, halves) =>\n{compute})(\n{data},\n{halves})"


def live_panel(controls: dict[str, tuple], label: str, compute: Callable[..., tuple]):
    """An ipywidgets panel that computes for real; needs a running kernel and ipywidgets (the extra ``live``).

    `controls` names each control with its first value and its choices: a list for a menu, (least, most, step) for a
    slider. The button, with `label`, calls ``compute(*values, say)``, which returns a matplotlib Figure and a sentence
    to show, and may say(something) on the way.
    """
    try:
        import ipywidgets as widgets
    except ImportError as error:
        raise ImportError("the live panel needs ipywidgets: pip install ipywidgets") from error
    from IPython.display import display

    def control(name, value, choices):
        look = {"description": name, "style": {"description_width": "9em"}, "layout": {"width": "26em"}}
        if isinstance(choices, list):
            return widgets.Dropdown(value=value, options=choices, **look)
        slider = widgets.IntSlider if isinstance(value, int) else widgets.FloatSlider
        return slider(value=value, min=choices[0], max=choices[1], step=choices[2], **look)

    inputs = [control(name, *settings) for name, settings in controls.items()]
    button = widgets.Button(description=label, button_style="primary")
    message, picture = widgets.Label(), widgets.Output()

    def pressed(_):
        button.disabled = True
        try:
            figure, told = compute(*(i.value for i in inputs), lambda text: setattr(message, "value", text))
            with picture:
                picture.clear_output(wait=True)
                display(figure)
            message.value = told
        finally:
            button.disabled = False

    button.on_click(pressed)
    return widgets.VBox([*inputs, button, message, picture])


def _column(values: pd.Series) -> dict:
    """A column for the page: repeated values as codes into their levels (one character each, if they are few)."""
    plain = [None if pd.isna(v) else v.item() if hasattr(v, "item") else v for v in values]
    levels = list(dict.fromkeys(plain))
    if len(levels) <= 120:
        position = {v: k for k, v in enumerate(levels)}
        if len(levels) <= 36:
            return {"levels": levels, "codes": "".join(np.base_repr(position[v], 36) for v in plain)}
        return {"levels": levels, "codes": [position[v] for v in plain]}
    return {"data": [round(v, 4) if isinstance(v, float) else v for v in plain]}
