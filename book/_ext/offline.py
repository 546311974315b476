"""Keep the book's pages light, to themselves (no script that names another host) and up to date with the package."""

import json
import re
import unicodedata
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes

MENDED = [
    # the theme's 1.5 MB icon script: its icon fonts, which every page loads anyway, draw the same icons
    (re.compile(r"\s*<script[^>]*scripts/fontawesome\.js[^>]*></script>"), ""),
    # the search tools with their index, which the theme puts on every page though only the search page uses them
    (re.compile(r'\s*<script src="(?:\.\./)+(?:_static/(?:searchtools|language_data)|searchindex)\.js"></script>'), ""),
    # for screen readers: a name for what opens a chapter's pages, a landmark, an item of a list, no heading of nothing
    (re.compile(r'<summary>(?=<span class="toctree-toggle")'), '<summary aria-label="Pages of this chapter">'),
    (re.compile(r'<div id="pst-primary-sidebar"(?! role=)'), r'\g<0> role="navigation" aria-label="Book"'),
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    (re.compile(r"<th([^>]*)>(?:&nbsp;|\s)*</th>"), r"<td\1></td>"),
]


PICTURE = re.compile(r'<img [^>]*src="([^"]*_images/[^"]*)"[^>]*>')


def trim_scripts(app, pagename, templatename, context, doctree):
    """Take out sphinx-thebe (always added; it names a CDN and logs an error), and MathJax where there is no math."""
    has_math = doctree is not None and next(
        doctree.findall(lambda n: isinstance(n, nodes.math | nodes.math_block)), None
    )

    def wanted(script):
        text = f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body')}".lower()
        return "thebe" not in text and (has_math or "mathjax" not in text)

    for key in ("script_files", "css_files"):
        context[key] = [script for script in context.get(key, []) if wanted(script)]


def launch_notebooks_only(app, pagename, templatename, context, doctree):
    """Colab opens notebooks, not the text pages: take the launch button off the latter."""
    if not str(context.get("page_source_suffix")).endswith(".ipynb"):
        buttons = context.get("header_buttons", [])
        context["header_buttons"] = [b for b in buttons if b.get("label") != "launch-buttons"]


def linked(match: re.Match) -> str:
    """A picture, as a link to itself in full size, unless it is a link already."""
    inside = match.string.rfind("<a ", 0, match.start()) > match.string.rfind("</a>", 0, match.start())
    return match[0] if inside else f'<a class="full-size" href="{match[1]}" title="Open in full size">{match[0]}</a>'


def trim_pages(app, exception):
    """Mend what theme and tools leave behind, and let every picture be opened in full size."""
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            for pattern, better in MENDED:
                text = pattern.sub(better, text)
            page.write_text(PICTURE.sub(linked, text), encoding="utf-8")


def text_of(page: str) -> str:
    """The words of a page's main part, in its sections, as the search takes them."""
    main = BeautifulSoup(page, "html.parser").select_one("article.bd-article")
    unread = "script, style, svg, img, pre, summary, div.math, .headerlink, .tl-explorer, .tl-board, .cell_input"
    for part in main.select(unread):
        part.decompose()
    for formula in main.select("span.math"):
        formula.replace_with(_plain(formula.get_text()))
    for part in main.find_all(True):
        if part.name == "section":
            part.attrs = {"id": part.get("id", "")}
        elif part.name in ("p", "li", "td", "th", "dt", "h1", "h2", "h3", "h4"):
            part.append(" ")
            part.unwrap()
        else:
            part.unwrap()
    return f'<div role="main">{" ".join(main.decode_contents().split())}</div>'


def _plain(formula: str) -> str:
    """A short formula in plain characters: Greek letters for their names, no other commands."""

    def letter(found: re.Match) -> str:
        try:
            size, name = "CAPITAL" if found[1][0].isupper() else "SMALL", found[1].upper()
            return unicodedata.lookup(f"GREEK {size} LETTER {name.replace('LAMBDA', 'LAMDA')}")  # as Unicode has it
        except KeyError:
            return ""

    inside = formula.removeprefix("\\(").removesuffix("\\)")
    return re.sub(r"[{}\\]", "", re.sub(r"\\(?:var)?([a-zA-Z]+) ?", letter, inside))


def write_excerpts(app, exception):
    """Let the search show excerpts without a server; see excerpts.js."""
    if exception is None and app.builder.format == "html":
        out = Path(app.outdir)
        pages = {name: out / f"{name}.html" for name in sorted(app.env.found_docs)}
        texts = {f"{name}.html": text_of(page.read_text(encoding="utf-8")) for name, page in pages.items()}
        told = json.dumps(texts, ensure_ascii=False, separators=(",\n", ":"))
        script = Path(__file__).with_name("excerpts.js").read_text(encoding="utf-8").replace("TEXTS", told)
        (out / "_static" / "searchtexts.js").write_text(script, encoding="utf-8")
        search, tools = out / "search.html", '<script src="_static/searchtools.js"></script>'
        page = search.read_text(encoding="utf-8")
        search.write_text(
            page.replace(tools, f'<script src="_static/searchtexts.js"></script>\n  {tools}'), encoding="utf-8"
        )


def light_math(app, config):
    """MathJax in parts, without its menu, which is a third of the whole."""
    config.mathjax_path = "mathjax/startup.js"


def read_again(app, env, added, changed, removed):
    """Pages run the package's code, so all that were read before its last change have to be read, and run, again."""
    files = [f for f in (Path(app.srcdir) / "tutorial_lib").rglob("*") if "__pycache__" not in f.parts]
    files += (Path(app.srcdir) / "book").glob("*.csv")
    newest = max((f.stat().st_mtime_ns // 1000 for f in files), default=0)
    return [name for name in env.found_docs if env.all_docs.get(name, newest) < newest]


def setup(app):
    app.connect("config-inited", light_math)
    app.connect("env-get-outdated", read_again)
    app.connect("html-page-context", trim_scripts, priority=900)
    app.connect("html-page-context", launch_notebooks_only, priority=900)
    app.connect("build-finished", trim_pages)
    app.connect("build-finished", write_excerpts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
