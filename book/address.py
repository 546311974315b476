"""Write the project's public address wherever one is named: python book/address.py [URL] (or: make address URL=…).

The address is `repository.url` in `_config.yml`; without URL, that one is written anew. Of it are made: the page's
buttons, `CITATION.cff`, the README's section on Colab, and each notebook's link and install cell, which is its second.
With the placeholder there are none of these: an address that nobody here owns could be taken by a stranger, and an
install cell would run the stranger's code.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = ["_config.yml", "CITATION.cff", "README.md"]  # beside the notebooks
PLACEHOLDER = "https://example.org/github/owner/repository"  # reserved by RFC 2606; the theme looks for "github" in it

README = """## Open in Colab

The book has no public address yet, from which Colab could install its package. Make the package's wheel here:

```bash
python -m pip wheel --no-deps --wheel-dir dist .
```

Upload it and a lab from `notebooks/` to Colab, and run `%pip install tutorial_lib-*.whl` there first. The torch and
numpy that are there stay.

"""
README_LINKS = """## Open in Colab

Each lab installs the package in its first cell and leaves the torch and numpy that are there alone:

"""

INSTALL = """# The book's package; torch and numpy stay as they are.
import importlib.util

if importlib.util.find_spec("tutorial_lib") is None:
    raise ModuleNotFoundError(
        "tutorial_lib is missing, and has no public address yet. Make its "
        "wheel in the book's folder, `python -m pip wheel --no-deps .`, "
        "upload it here, run `%pip install tutorial_lib-*.whl`, and go on."
    )"""
INSTALL_FROM = """# The book's package, installed where it is missing (Colab);
# torch and numpy stay as they are.
import importlib.util

if importlib.util.find_spec("tutorial_lib") is None:
    %pip install --quiet "tutorial-lib[live] @ git+{url}\""""


class AddressError(ValueError):
    """An address, or a file that is to name it, which this script cannot work with."""


def check(url: str) -> str:
    """`url` itself, if it is the placeholder or a GitHub repository's, which Colab can open; else `AddressError`."""
    owner, repository = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?", r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}"
    if url != PLACEHOLDER and (
        not re.fullmatch(f"https://github\\.com/{owner}/{repository}", url) or url.endswith(".git")
    ):
        raise AddressError(
            f"{url!r} is not an address for the book: expected https://github.com/OWNER/REPO, with nothing after it "
            f"(no slash, no .git), or {PLACEHOLDER} to take all links out again"
        )
    return url


def one_line(text: str, key: str, value: str) -> str:
    """`text` with the value of its only line ``key: …`` replaced."""
    text, count = re.subn(rf"(?m)^( *{key}:).*$", lambda found: f"{found[1]} {value}", text)
    if count != 1:
        raise AddressError(f"_config.yml has {count} lines for {key}: expected one")
    return text


def config(text: str, url: str) -> str:
    public = url != PLACEHOLDER
    for key in ("use_repository_button", "use_issues_button", "use_edit_page_button"):
        text = one_line(text, key, str(public).lower())
    text = one_line(text, "colab_url", "https://colab.research.google.com" if public else '""')
    return one_line(text, "url", url)


def citation(text: str, url: str) -> str:
    text = re.sub(r"(?m)^repository-code:.*\n", "", text)
    return text if url == PLACEHOLDER else f"{text}repository-code: {url}\n"


def colab(url: str, name: str) -> str:
    path = url.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{path}/blob/main/{name}"


def readme(text: str, url: str, titles: dict[str, str]) -> str:
    """The README with its section on Colab; `titles` holds the notebooks' paths and titles, in the book's order."""
    links = "".join(f"- [{title}]({colab(url, name)})\n" for name, title in titles.items())
    section = README if url == PLACEHOLDER else f"{README_LINKS}{links}\n"
    text, count = re.subn(r"(?ms)^## Open in Colab\n.*?(?=^## |\Z)", lambda _: section, text)
    if count != 1:
        raise AddressError(f"README.md has {count} sections “## Open in Colab”: expected one")
    return text


def title(text: str) -> str:
    """A notebook's title: the first line of its first cell, without the hash."""
    return "".join(json.loads(text)["cells"][0]["source"]).splitlines()[0].removeprefix("# ")


def notebook(text: str, url: str, name: str) -> str:
    """A notebook's JSON with its link below the title and its install cell; everything else stays byte for byte."""
    book = json.loads(text)
    cells = book["cells"]
    if len(cells) < 2 or "find_spec" not in "".join(cells[1]["source"]):
        raise AddressError(
            f"{name}: its second cell must be the install cell; copy it from notebooks/template/lab.ipynb"
        )
    link = f"[Open this page in Colab]({colab(url, name)})\n\n"
    head = re.sub(r"\[Open this page in Colab\]\([^)]*\)\n\n", "", "".join(cells[0]["source"]))
    first, _, rest = head.partition("\n\n")
    cells[0]["source"] = (first + "\n\n" + (link if url != PLACEHOLDER else "") + rest).splitlines(keepends=True)
    install = INSTALL if url == PLACEHOLDER else INSTALL_FROM.format(url=url)
    cells[1]["source"] = install.splitlines(keepends=True)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def write(url: str) -> None:
    """Write `url` everywhere; nothing at all if something does not fit."""
    found = [path.relative_to(ROOT) for path in sorted(ROOT.glob("notebooks/**/*.ipynb"))]
    notebooks = [path.as_posix() for path in found if ".ipynb_checkpoints" not in path.parts]
    old = {name: (ROOT / name).read_text(encoding="utf-8") for name in [*FILES, *notebooks, "book/_toc.yml"]}
    in_the_book = re.findall(r"file: (notebooks/\S+)", old.pop("book/_toc.yml"))
    titles = {f"{name}.ipynb": title(old[f"{name}.ipynb"]) for name in in_the_book}
    new = {name: notebook(old[name], url, name) for name in notebooks}
    new["_config.yml"] = config(old["_config.yml"], url)
    new["CITATION.cff"] = citation(old["CITATION.cff"], url)
    new["README.md"] = readme(old["README.md"], url, titles)
    for name, text in new.items():
        if text != old[name]:
            (ROOT / name).write_text(text, encoding="utf-8")
            print(f"written: {name}")


def main() -> int:
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return 2 if len(sys.argv) > 2 else 0
    now = re.search(r"(?m)^  url: (\S+)$", (ROOT / "_config.yml").read_text(encoding="utf-8"))
    try:
        write(check(sys.argv[1] if len(sys.argv) == 2 else now[1] if now else ""))
    except AddressError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
