"""The playground: two small networks that train in the page itself, one of them with noise. No kernel, no network."""

import base64
import hashlib
import re
from pathlib import Path

from ..draw import small_png
from ..explore import Explorer

MODULES = ("random", "points", "net", "measures", "state", "run", "draw", "page")
"""The JavaScript modules, in the order in which they import each other."""
_HERE = Path(__file__).parent


def script() -> str:
    """All modules as one script, so that the page works from a file: imports and exports are left out."""
    sources = [(_HERE / f"{name}.js").read_text(encoding="utf-8") for name in MODULES]
    whole = re.sub(r"^import .*\n", "", "\n".join(sources), flags=re.MULTILINE)
    whole = re.sub(r"^export ", "", whole, flags=re.MULTILINE)
    return re.sub(r"^ *(//.*|/\*\*.*\*/)?\n", "", whole, flags=re.MULTILINE)


def playground(picture=None) -> Explorer:
    """The playground as HTML that is complete in itself. `picture`: a matplotlib Figure for where scripts do not run.

    Its settings, its presets and what a link can hide stand in ``state.js``.
    """
    code = script()
    style = re.sub(r"\s+", " ", (_HERE / "playground.css").read_text(encoding="utf-8"))
    identity = "pg" + hashlib.sha256(code.encode()).hexdigest()[:10]
    still = "Two maps side by side: the class that a network sees at every place of a plane, without and with dropout."
    if picture is not None:
        source = base64.b64encode(small_png(picture, 560)).decode()
        still = f'<img alt="{still}" src="data:image/png;base64,{source}">'
    return Explorer(
        f'<style>{style}</style><div class="tl-playground" data-id="{identity}">{still}</div>'
        f'<script>(() => {{\n"use strict";\n{code}\n'
        f"const all = document.querySelectorAll('.tl-playground[data-id=\"{identity}\"]:not([data-ready])');\n"
        "for (const root of all) {\n"
        f'root.dataset.ready = "yes";\nplayground(root, "{identity}");\n}}\n}})();</script>'
    )
