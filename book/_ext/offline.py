"""Keep the book's pages to themselves: no script that names another host, none that is not used."""


def drop_thebe(app, pagename, templatename, context, doctree):
    """Take out sphinx-thebe, which Jupyter Book always adds: it names a CDN and logs a script error."""
    if "script_files" in context:
        context["script_files"] = [
            script
            for script in context["script_files"]
            if "thebe" not in str(getattr(script, "filename", None) or "")
            and "THEBE" not in str(getattr(script, "attributes", {}).get("body") or "")
        ]


def setup(app):
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
