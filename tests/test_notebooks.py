"""Every notebook, by nbval, as Colab would run it: from an empty folder, with nothing but the built wheel."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = [*sorted(ROOT.glob("notebooks/*.ipynb")), ROOT / "notebooks/template/lab.ipynb"]


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory) -> Path:
    """A Python that sees the installed packages and the built wheel, but not the checkout."""
    folder = tmp_path_factory.mktemp("clean")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = folder / "source"  # a copy: building leaves files behind
    shutil.copytree(ROOT / "tutorial_lib", source / "tutorial_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*build, str(source)], check=True, cwd=folder)
    wheel = next(folder.glob("tutorial_lib-*.whl"))
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    own = Path(subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True).strip())  # fmt: skip
    # a .pth line adds a folder without reading the .pth files in it, so an editable install stays unseen
    (own / "installed-packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(own), str(wheel)], check=True)
    return python


def environment() -> dict:
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def test_the_clean_python_holds_the_wheel_and_not_the_checkout(clean_python, tmp_path):
    program = "import tutorial_lib; print(tutorial_lib.__file__)"
    found = subprocess.check_output([clean_python, "-c", program], cwd=tmp_path, env=environment(), text=True)
    assert not found.startswith(str(ROOT)) and "clean" in found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_from_an_empty_folder_with_only_the_wheel(path, clean_python, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    command = [clean_python, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", "-q", copy.name]
    started = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    print(f"{path.stem}: {time.monotonic() - started:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_wrong_stored_output_is_noticed(clean_python, tmp_path):
    """nbval must compare the pinned verdicts: one word changed in the stored output has to fail."""
    notebook = json.loads((ROOT / "notebooks/scoreboard.ipynb").read_text(encoding="utf-8"))
    (pinned,) = [c for c in notebook["cells"] if "#NBVAL_CHECK_OUTPUT" in "".join(c["source"])]
    verdicts = pinned["outputs"][0]["text"]
    verdicts[0] = verdicts[0].rstrip("\n") + " once\n"
    (tmp_path / "changed.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    command = [clean_python, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", "-q", "changed.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1 and "1 failed" in done.stdout
