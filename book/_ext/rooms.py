"""A chapter is a folder of pages: it has its paper's number in the book's plan, and its old address leads to it."""

from pathlib import Path

from docutils import nodes
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles as Collector

from tutorial_lib.papers import wings

REDIRECT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Moved</title>
<meta http-equiv="refresh" content="0; url={slug}/index.html">
<p>This chapter has rooms now: <a href="{slug}/index.html">enter</a>.</p></html>
"""


def number_by_plan(app):
    """Chapters 1 to 5, pages 4.1, 4.2, …; no numbers within a page. Equations and theorems count through a chapter."""
    assign = Collector.assign_section_numbers

    def assign_section_numbers(self, env):
        changed = assign(self, env)
        chapters = {wing.SLUG: wing.NUMBER for wing in wings()}
        for name in env.toc_secnumbers:
            folder, _, rest = name.partition("/")
            slug = rest.partition("/")[0]
            if slug not in chapters or folder not in ("book", "notebooks"):
                continue
            pages = env.toctree_includes.get(f"book/{slug}/index", env.toctree_includes.get(f"book/{slug}", []))
            number = (chapters[slug], pages.index(name) + 1) if name in pages else (chapters[slug],)
            env.toc_secnumbers[name] = {"": number}
            env.titles[name]["secnumber"] = number
            for reference in env.tocs[name].findall(nodes.reference):
                reference["secnumber"] = None if reference["anchorname"] else number
        return changed

    Collector.assign_section_numbers = assign_section_numbers


def redirect(app, exception):
    """What was one page is a folder of pages now."""
    if exception is None and app.builder.format == "html":
        for wing in wings():
            old = Path(app.outdir) / "book" / f"{wing.SLUG}.html"
            if (old.parent / wing.SLUG / "index.html").exists():
                old.write_text(REDIRECT.format(slug=wing.SLUG), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", number_by_plan, priority=900)
    app.connect("build-finished", redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
