"""A chapter is a folder of pages: it has its paper's number in the book's plan, and its old address leads to it."""

from pathlib import Path

from docutils import nodes
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles as Collector

from tutorial_lib.papers import wings

REDIRECT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Moved</title>
<meta http-equiv="refresh" content="0; url={slug}/index.html">
<p>This chapter has rooms now: <a href="{slug}/index.html">enter</a>.</p></html>
"""


def numbered(env) -> dict[str, tuple[int, ...]]:
    """The number of every page of a chapter: (4,) of its first, (4, 1) and so on of the others, the lab included."""
    found = {}
    for wing in wings():
        first = f"book/{wing.SLUG}/index"
        if first in env.toc_secnumbers:
            found[first] = (wing.NUMBER,)
            found |= {page: (wing.NUMBER, k) for k, page in enumerate(env.toctree_includes.get(first, []), start=1)}
    return found


def number_by_plan(app):
    """Chapters 1 to 5, pages 4.1, 4.2, …; no numbers within a page. Equations and theorems count through a chapter."""
    sections, figures = Collector.assign_section_numbers, Collector.assign_figure_numbers

    def assign_section_numbers(self, env):
        changed = sections(self, env)
        for name, number in numbered(env).items():
            env.toc_secnumbers[name] = {"": number}
            env.titles[name]["secnumber"] = number
            for reference in env.tocs[name].findall(nodes.reference):
                reference["secnumber"] = None if reference["anchorname"] else number
        return changed

    def assign_figure_numbers(self, env):
        changed = figures(self, env)
        for name in numbered(env):  # only now: what stands in a section is numbered by its page
            for reference in env.tocs[name].findall(nodes.reference):
                env.toc_secnumbers[name].setdefault(reference["anchorname"], None)
        return changed

    Collector.assign_section_numbers, Collector.assign_figure_numbers = assign_section_numbers, assign_figure_numbers


def redirect(app, exception):
    """What was one page is a folder of pages now."""
    if exception is None and app.builder.format == "html":
        for wing in wings():
            if (Path(app.outdir) / "book" / wing.SLUG / "index.html").exists():
                old = Path(app.outdir) / "book" / f"{wing.SLUG}.html"
                old.write_text(REDIRECT.format(slug=wing.SLUG), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", number_by_plan, priority=900)
    app.connect("build-finished", redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
