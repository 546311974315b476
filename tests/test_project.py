"""The project's own promises: versions that agree, notebooks that are clean, imports that run one way."""

import ast
import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def required() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def constraints() -> dict[str, Version]:
    lines = [line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), "constraints.txt must hold exact versions only"
    return {re.sub(r"[-_.]+", "-", name).lower(): Version(version) for name, version in pins}


def test_constraints_pin_every_dependency_within_its_bounds():
    pins = constraints()
    for requirement in required():
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pins, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name}: {pins[name]} is outside {requirement.specifier}"


def test_dependencies_have_lower_bounds_and_no_exact_pins():
    """Exact pins in a support package break Colab."""
    for requirement in required():
        operators = {s.operator for s in requirement.specifier}
        assert ">=" in operators and not operators & {"==", "==="}, str(requirement)


def test_environment_yml_installs_the_same_as_make():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(d for d in dependencies if isinstance(d, str) and d.startswith("python"))
    assert python.removeprefix("python") == PROJECT["requires-python"]
    pip = next(d["pip"] for d in dependencies if isinstance(d, dict))
    make = (ROOT / "Makefile").read_text()
    extras = re.search(r'--editable "\.\[(.*?)\]"', make).group(1)
    assert pip == ["--constraint constraints.txt", f"--editable .[{extras}]"]
    assert "--constraint constraints.txt" in make
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_executed_small_and_free_of_machine_paths(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    for pattern in (str(ROOT), str(Path.home()) + "/", "/tmp/", "site-packages"):
        assert pattern not in text, f"{path.name} holds {pattern}"
    cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    assert all(c["execution_count"] for c in cells), "commit notebooks executed: make notebooks"
    assert not any(o["output_type"] == "error" for c in cells for o in c["outputs"])
    for cell in cells:
        if "#NBVAL_CHECK_OUTPUT" in "".join(cell["source"]):
            assert cell["outputs"], "a checked cell without stored output passes vacuously"


def test_some_notebook_cells_are_checked():
    checked = [path.stem for path in NOTEBOOKS if "#NBVAL_CHECK_OUTPUT" in path.read_text(encoding="utf-8")]
    assert "scoreboard" in checked


LAYERS = [
    "errors", "noise", "image_sets", "data", "inject", "models", "architectures", "train", "measure", "draw",
    "fingerprint", "store", "shipping", "workers", "sweep", "verdicts", "claims", "explore", "playground", "papers",
    "board", "__main__",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    """Top-level modules of the package that a file imports, anywhere in it."""
    depth = len(path.relative_to(ROOT / "tutorial_lib").parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way_downwards(layer):
    folder = ROOT / "tutorial_lib" / layer
    files = list(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    below = set(LAYERS[: LAYERS.index(layer)]) | {"_torchvision"}
    for file in files:
        inside = {"papers"} if layer == "papers" else set()
        assert imports(file) <= below | inside, f"{file.name} imports upwards"


def test_no_file_is_longer_than_a_sitting():
    for file in (ROOT / "tutorial_lib").rglob("*.*"):
        if file.suffix in (".py", ".js", ".css"):
            assert len(file.read_text(encoding="utf-8").splitlines()) <= 500, file.name


def test_no_wing_imports_another():
    """The bridge alone stands above the others, and nothing leans on it."""
    wings = [p.name for p in (ROOT / "tutorial_lib/papers").iterdir() if (p / "method.py").exists()]
    assert len(wings) > 1
    for wing in set(wings) - {"bridge"}:
        for file in (ROOT / "tutorial_lib/papers" / wing).glob("*.py"):
            text = file.read_text(encoding="utf-8")
            assert not any(f"papers.{other}" in text or f"from ..{other}" in text for other in wings if other != wing)


def test_the_core_imports_without_the_extras():
    """Colab has no dask or timm, and a script needs no ipywidgets or matplotlib to add noise to a model."""
    program = """
import sys
for name in ("ipywidgets", "distributed", "dask", "timm", "matplotlib", "seaborn", "torchvision", "nbval"):
    sys.modules[name] = None
import tutorial_lib, tutorial_lib.papers
tutorial_lib.papers.claims(); tutorial_lib.papers.experiments()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_listed_and_there():
    import tutorial_lib

    assert sorted(tutorial_lib.__all__) == sorted(set(tutorial_lib.__all__))
    assert all(hasattr(tutorial_lib, name) for name in tutorial_lib.__all__)
    assert all(getattr(tutorial_lib, name).__doc__ for name in tutorial_lib.__all__)


def test_explorers_need_columns_that_exist():
    import pandas as pd

    from tutorial_lib.explore import explorer

    with pytest.raises(ValueError, match="the table has no column colour"):
        explorer("lines", pd.DataFrame({"x": [1], "v": [2]}), title="", controls=[{"column": "colour", "label": ""}],
                 start={}, x="x", y="v", value="v", names={}, picture=None)  # fmt: skip
    table, panels = pd.DataFrame({"x": [1], "v": [2], "s": "a"}), [{"name": "left", "x": "", "y": ""}]
    with pytest.raises(ValueError, match="the table has no column panel"):
        explorer("lines", table, title="", controls=[], start={}, x="x", y="v", value="v", series="s", panels=panels,
                 names={}, picture=None)  # fmt: skip


def test_the_readme_names_commands_that_work():
    from tutorial_lib.papers import experiments

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"tutorial_lib run (\S+)", text):
        assert name in experiments()
    assert "make book" in text[:200] and "make test" in text[:200]
    assert (ROOT / re.search(r"!\[.*?\]\((.*?)\)", text).group(1)).exists()


def text_files() -> list[Path]:
    """What a reader sees of the project as text."""
    names = ["README.md", "CONTRIBUTING.md", "CITATION.cff", "_config.yml", "book/_toc.yml"]
    return [*map(ROOT.joinpath, names), *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/**/*.ipynb")]


def sources(path: Path) -> list[str]:
    """The cells of a notebook, or the whole of another file."""
    text = path.read_text(encoding="utf-8")
    return ["".join(c["source"]) for c in json.loads(text)["cells"]] if path.suffix == ".ipynb" else [text]


def test_a_new_paper_changes_no_count_and_no_list_of_papers():
    """Prose that says “five papers”, or a scoreboard that knows each, would have to change with a sixth."""
    from tutorial_lib.papers import wings

    count = r"(?i)\b(three|four|five|six|seven|[3-9])( other)? (papers|chapters|labs|wings)\b"
    for path in text_files():
        found = [found for text in sources(path) for found in re.finditer(count, text)]
        assert not found, f"{path.name}: {found[0][0]}"
    scoreboard = "\n".join(sources(ROOT / "notebooks/scoreboard.ipynb"))
    assert not any(wing.SLUG in scoreboard or wing.TITLE in scoreboard for wing in wings())


def test_no_sentence_rests_on_one_machines_speed():
    """The lab's own output says what was measured where it ran; prose would be wrong on the next machine."""
    ratio = r"(?i)(\d|two|three|four|five|six|seven|eight|nine|ten) times (as fast|as slow|as long|faster|slower)"
    for path in text_files():
        assert not any(re.search(ratio, text) for text in sources(path)), path.name


def test_labs_and_chapters_pin_their_threads():
    """Two threads on small tensors can take a hundred times as long as one, where anything else runs."""
    for path in text_files():
        text = "\n".join(sources(path))
        if re.search("(?m)^import torch", text):
            assert "torch.set_num_threads(1)" in text, path.name


def test_notebooks_store_nothing_that_changes_in_every_run():
    """Addresses, names of widgets, and of Stylers: one without a name gets a random one, in every cell of its table."""
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            assert ".style" not in source or ".set_uuid(" in source, f"{path.name}: {source}"
            stored = json.dumps(cell.get("outputs"))
            assert " at 0x" not in stored and "widget-view" not in stored, f"{path.name}: what changes in every run"


ADDRESS = runpy.run_path(str(ROOT / "book/address.py"))
PLACEHOLDER, OWN = ADDRESS["PLACEHOLDER"], "https://github.com/made-up-owner/Some.repo_1"


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of all files that can name the address."""
    for name in ("README.md", "CITATION.cff", "_config.yml", "book/_toc.yml", "book/address.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return tmp_path


def set_address(project: Path, *url: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(project / "book/address.py"), *url]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def files(project: Path) -> dict[str, bytes]:
    return {p.relative_to(project).as_posix(): p.read_bytes() for p in sorted(project.rglob("*")) if p.is_file()}


def assert_everything_names(project: Path, address: str) -> None:
    """Every link and every install cell is of `address`, and there are none with the placeholder."""
    public = address != PLACEHOLDER
    own = address.removeprefix("https://github.com/")
    config = yaml.safe_load((project / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["url"] == address
    assert config["html"]["use_repository_button"] is config["html"]["use_issues_button"] is public
    assert bool(config["launch_buttons"]["colab_url"]) is public
    assert yaml.safe_load((project / "CITATION.cff").read_text()).get("repository-code") == (
        address if public else None
    )

    def colab(name):
        return f"https://colab.research.google.com/github/{own}/blob/main/{name}"

    linked = []
    for path in sorted(project.glob("notebooks/**/*.ipynb")):
        name = path.relative_to(project).as_posix()
        first, install, *rest = sources(path)
        assert re.findall(r"\((http\S*colab\S*)\)", first) == ([colab(name)] if public else [])
        assert first.startswith("# ") and "find_spec" in install and not any("find_spec" in cell for cell in rest)
        assert re.findall(r"git\+\S*", install) == ([f'git+{address}"'] if public else [])
        assert public or "raise ModuleNotFoundError" in install
        linked.append(name)
    readme = (project / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\((http\S*colab\S*)\)", readme))
    in_the_book = {
        f"{name}.ipynb" for name in re.findall(r"file: (notebooks/\S+)", (project / "book/_toc.yml").read_text())
    }
    assert in_the_book <= set(linked) and shown == ({colab(name) for name in in_the_book} if public else set())


@pytest.mark.parametrize("address", [None, OWN])
def test_links_and_install_cells_are_of_the_one_address(project, address):
    """As committed, and after somebody has set an address of their own."""
    if address:
        done = set_address(project, address)
        assert done.returncode == 0, done.stderr
    present = yaml.safe_load((project / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    assert address is None or present == address
    assert_everything_names(project, present)


def test_no_other_address_is_named_anywhere():
    """An install command or link with an address that nobody here owns would run what a stranger puts there."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    own = {"OWNER/REPO", address.removeprefix("https://github.com/")}
    code = [p for p in [*ROOT.glob("tutorial_lib/**/*.*"), *ROOT.glob("book/_ext/*.py")] if p.suffix in (".py", ".js")]
    for path in [*text_files(), *code, ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "book/references.bib"]:
        for text in sources(path):
            for found in re.findall(r"(?:github\.com|github\.io|/github)/+([\w.-]+/[\w.-]+)", text):
                assert found in own or f"https://example.org/github/{found}" == address, f"{path.name} names {found}"
            assert not re.search(r"pip install[^\n]*tutorial-lib(?!.*@ git)", text), f"{path.name}: not ours on PyPI"


def test_an_address_can_be_set_changed_and_taken_out_again(project):
    """Byte by byte: notebooks keep their outputs, and nothing is left of an address that was."""
    before = files(project)
    assert set_address(project, OWN).returncode == 0
    there = files(project)
    assert set_address(project, OWN).stdout == "" and set_address(project).stdout == "" and files(project) == there
    other = "https://github.com/other/book"
    assert set_address(project, other).returncode == 0
    assert_everything_names(project, other)
    assert not any(b"made-up-owner" in text for text in files(project).values())
    assert set_address(project, PLACEHOLDER).returncode == 0
    assert files(project) == before
    name = "notebooks/quickstart.ipynb"
    outputs = [[c.get("outputs") for c in json.loads(text[name])["cells"]] for text in (before, there)]
    assert outputs[0] == outputs[1] and any(outputs[0])


@pytest.mark.parametrize("url", [
    "http://github.com/a/b", "https://github.com/a", "https://github.com/a/b/", "https://github.com/a/b.git",
    "https://github.com/a/b/tree/main", "https://github.com/-a/b", "https://github.com/a/..", "https://gitlab.com/a/b",
    "https://github.com/a/b\n", 'https://github.com/a/b"', "https://github.com.evil.net/a/b", "git@github.com:a/b", "",
])  # fmt: skip
def test_what_is_no_address_is_refused_and_changes_nothing(project, url):
    before = files(project)
    done = set_address(project, url)
    assert done.returncode == 2 and repr(url) in done.stderr and "https://github.com/OWNER/REPO" in done.stderr
    assert "Traceback" not in done.stderr and files(project) == before


def test_a_notebook_without_its_install_cell_is_named(project):
    path = project / "notebooks/quickstart.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    del notebook["cells"][1]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    before = files(project)
    done = set_address(project, OWN)
    assert done.returncode == 2 and "notebooks/quickstart.ipynb: its second cell" in done.stderr
    assert files(project) == before


def test_the_install_cell_says_what_to_do_where_the_package_is_missing():
    """With the placeholder; where the package is there, the cell does nothing."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ADDRESS["INSTALL"]], cwd=ROOT / "tests", capture_output=True, text=True
    )
    assert done.returncode == 1 and "ModuleNotFoundError: tutorial_lib is missing" in done.stderr
    assert "pip wheel" in done.stderr and "%pip install tutorial_lib-*.whl" in done.stderr
    assert subprocess.run([sys.executable, "-c", ADDRESS["INSTALL"]], cwd=ROOT).returncode == 0


def test_pages_are_read_again_after_the_package_changed(tmp_path):
    """A second `make book` must not show what an older package drew."""
    import importlib.util
    import os
    from types import SimpleNamespace

    spec = importlib.util.spec_from_file_location("offline", ROOT / "book/_ext/offline.py")
    offline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(offline)
    file = tmp_path / "tutorial_lib/results/table.csv"
    file.parent.mkdir(parents=True)
    file.write_text("a")
    for path, second in ((file, 200), (file.parent, 100), (file.parent.parent, 100)):
        os.utime(path, (second, second))
    env = SimpleNamespace(found_docs=["old", "new", "unread"], all_docs={"old": 199_000_000, "new": 201_000_000})
    assert offline.read_again(SimpleNamespace(srcdir=tmp_path), env, set(), set(), set()) == ["old"]


def test_with_an_address_every_page_links_to_its_own_source(tmp_path):
    """A reader who finds a mistake gets to the file that holds it, and to a new issue that names the page."""
    text = ADDRESS["config"]((ROOT / "_config.yml").read_text(encoding="utf-8"), OWN)
    text = text.replace("execute_notebooks: force", "execute_notebooks: 'off'").replace(": book/", f": {ROOT}/book/")
    (tmp_path / "_config.yml").write_text(text.replace("[book/", f"[{ROOT}/book/"), encoding="utf-8")
    pages = {"book/references": "md", "book/ninr/exercises": "md", "notebooks/quickstart": "ipynb"}
    first, *others = [f"- file: {page}\n" for page in pages]
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: {first[8:]}chapters:\n{''.join(others)}")
    build = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "--config", tmp_path / "_config.yml"]
    build += ["--toc", tmp_path / "_toc.yml", "--path-output", tmp_path]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for page, ending in pages.items():
        assert (ROOT / f"{page}.{ending}").exists()
        html = (tmp_path / "_build" / "html" / f"{page}.html").read_text(encoding="utf-8")
        links = re.findall(r'href="(https://github\.com/[^"]*)"', html)
        assert f"{OWN}/edit/main/{page}.{ending}" in links
        assert any(link.startswith(f"{OWN}/issues/new?") and f"{page}.html" in link for link in links)


OFFLINE = runpy.run_path(str(ROOT / "book/_ext/offline.py"))


def test_the_search_reads_formulas_and_leaves_code_out():
    page = """<article class="bd-article"><section id="a"><h1>Noise<a class="headerlink">#</a></h1><p>of deviation
    <span class="math">\\(\\sigma_\\epsilon\\)</span> and <span class="math">\\(\\lambda\\Delta\\)</span></p><p>Next</p>
    <details><summary>Show</summary><pre>x = 1</pre></details><script>y</script></section></article>"""
    text = '<div role="main"><section id="a">Noise of deviation σ_ε and λΔ Next </section></div>'
    assert OFFLINE["text_of"](page).split() == text.split()


def test_mending_a_page_twice_changes_nothing_more():
    """A build that leaves pages in place mends them again."""
    page = (
        '<div id="pst-primary-sidebar" class="x"><summary><span class="toctree-toggle"></span></summary>'
        '<table><th class="a">&nbsp;</th></table><script src="../_static/searchtools.js"></script>'
        '<script src="../searchindex.js"></script><img alt="a" src="_images/a.png">'
    )

    def mend(text):
        for pattern, better in OFFLINE["MENDED"]:
            text = pattern.sub(better, text)
        return OFFLINE["PICTURE"].sub(OFFLINE["linked"], text)

    once = mend(page)
    assert mend(once) == once != page
    assert "search" not in once and 'role="navigation"' in once and '<a class="full-size" href="_images/a.png"' in once
