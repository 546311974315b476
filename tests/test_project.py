"""The project's own promises: versions that agree, notebooks that are clean, imports that run one way."""

import ast
import json
import re
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
    "errors", "noise", "data", "inject", "models", "train", "measure", "draw", "sweep", "claims", "explore", "papers",
    "__main__",
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
    files = [ROOT / "tutorial_lib" / f"{layer}.py"]
    if layer == "papers":
        files = list((ROOT / "tutorial_lib" / "papers").rglob("*.py"))
    below = set(LAYERS[: LAYERS.index(layer)]) | {"_torchvision"}
    for file in files:
        inside = {"papers"} if layer == "papers" else set()
        assert imports(file) <= below | inside, f"{file.name} imports upwards"


def test_no_wing_imports_another():
    wings = [p.name for p in (ROOT / "tutorial_lib/papers").iterdir() if (p / "method.py").exists()]
    assert wings
    for wing in wings:
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
