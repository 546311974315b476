"""Do the tests bite? Change a module in one place, run its tests, and see whether they fail.

    python tests/mutate.py MODULE [--count 60] [--seed 0] [--only TEXT] [--workers 1]

A mutant has one operator, comparison, constant or condition changed. Mutants that nothing can tell from the original
are listed, with the reason, in `equivalent_mutants.toml`; they are not counted. The tests run on copies of the project,
in forks of a process that has imported the libraries already.
"""

import argparse
import ast
import copy
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
COVER = {  # the tests that are to notice a change of a module, quickest first; doctests of the module come before them
    "noise": ["test_noise.py"],
    "inject": ["test_inject.py"],
    "models": ["test_models.py"],
    "train": ["test_train.py"],
    "measure": ["test_measure.py"],
    "data": ["test_data.py"],
    "claims": ["test_claims.py"],
    "verdicts": ["test_verdicts.py"],
    "draw": ["test_draw.py"],
    "fingerprint": ["test_fingerprint.py"],
    "store": ["test_sweep.py"],
    "workers": [
        "test_sweep.py",
        "test_command_line.py::test_an_address_without_a_scheduler_is_refused_in_one_line",
        "test_command_line.py::test_an_interrupt_exits_130_and_the_same_command_goes_on",
        "test_command_line.py::test_the_command_line_on_a_real_cluster",
    ],
    "sweep": ["test_sweep.py"],
}
SWAP = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Pow: ast.Mult,
    ast.Mod: ast.Mult, ast.MatMult: ast.Add, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def swapped(node: ast.AST) -> ast.AST | None:
    """A copy of `node` with its own operator, constant or condition changed; None where there is nothing to change."""
    new = copy.deepcopy(node)
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAP:
        new.op = SWAP[type(node.op)]()
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAP:
        new.ops[0] = SWAP[type(node.ops[0])]()
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        new.value = not node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        new.value = node.value + 1
    elif isinstance(node, ast.If | ast.IfExp):
        new.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        new = new.operand
    else:
        return None
    return new


def mutants(source: str) -> list[tuple[str, str]]:
    """Every (name, mutated source) of a module; a name reads "function: before -> after" and outlives moved lines."""
    tree, found, count = ast.parse(source), [], {}

    def walk(node, inside):
        for field, old in ast.iter_fields(node):
            for k, child in enumerate(old if isinstance(old, list) else [old]):
                if not isinstance(child, ast.AST) or field in ("annotation", "returns"):
                    continue
                name = f"{inside}.{child.name}".strip(".") if hasattr(child, "name") and child.name else inside
                if (new := swapped(child)) is not None:
                    before = ast.unparse(child.test if isinstance(child, ast.If) else child).splitlines()[0]
                    after = ast.unparse(new.test if isinstance(new, ast.If) else new).splitlines()[0]
                    around = "" if not isinstance(child, ast.Constant) else f" in {ast.unparse(node).splitlines()[0]}"
                    put(node, field, old, k, new)
                    text = f"{name or 'module'}: {before} -> {after}{around}"
                    count[text] = count.get(text, 0) + 1
                    text += f" #{count[text]}" if count[text] > 1 else ""
                    found.append((text, ast.unparse(ast.fix_missing_locations(tree))))
                    put(node, field, old, k, child)
                walk(child, name)

    def put(node, field, old, k, new):
        if isinstance(old, list):
            old[k] = new
        else:
            setattr(node, field, new)

    walk(tree, "")
    return found


LIBRARIES = ("numpy", "pandas", "scipy.stats", "matplotlib.figure", "torch", "sklearn.datasets", "pytest")


def survives(home: Path, module: str, source: str, tests: list[str], seconds: int) -> bool:
    """Whether the tests pass with `source` in place of the module, in the copy of the project at `home`."""
    file = home / "tutorial_lib" / f"{module}.py"
    original = file.read_text(encoding="utf-8")
    file.write_text(source, encoding="utf-8")
    pid = os.fork()
    if not pid:
        _test(home, module, tests)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (found := os.waitpid(pid, os.WNOHANG))[0]:
                return found[1] == 0
            time.sleep(0.02)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return False
    finally:
        file.write_text(original, encoding="utf-8")


def _test(home: Path, module: str, tests: list[str]) -> None:
    """Run the tests and end this process; its exit status is pytest's."""
    code = 1
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.chdir(home)
        os.environ.update(PYTHONPATH=str(home), PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
        sys.dont_write_bytecode, sys.path[0] = True, str(home)
        pytest = importlib.import_module("pytest")
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"tutorial_lib/{module}.py", *tests])
    finally:
        os._exit(int(code))


def _slice(home: Path, module: str, chosen: list, tests: list[str], seconds: int, found) -> None:
    for name, source in chosen:
        found.put((name, survives(home, module, source, tests, seconds)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", choices=COVER)
    parser.add_argument("--count", type=int, default=60, help="how many mutants, drawn with --seed (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only mutants whose name holds this text")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--seconds", type=int, default=300, help="after which a mutant that hangs counts as noticed")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for library in LIBRARIES:
        importlib.import_module(library)
    equivalent = tomllib.loads((TESTS / "equivalent_mutants.toml").read_text(encoding="utf-8")).get(options.module, {})
    source = (ROOT / "tutorial_lib" / f"{options.module}.py").read_text(encoding="utf-8")
    every = mutants(source)
    for name in set(equivalent) - {name for name, _ in every}:
        print(f"not a mutant any more: {name}")
    chosen = [mutant for mutant in every if options.only in mutant[0]]
    chosen = random.Random(options.seed).sample(chosen, min(options.count, len(chosen)))
    chosen = [mutant for mutant in chosen if mutant[0] not in equivalent]
    tests = [f"tests/{name}" for name in COVER[options.module]]
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder, str(k)) for k in range(options.workers)]
        for home in homes:
            skip = shutil.ignore_patterns(".git", ".venv", "_build", "runs", "__pycache__")
            shutil.copytree(ROOT, home, ignore=skip)
        if not survives(homes[0], options.module, source, tests, 3600):
            sys.exit("the tests fail without any mutation")
        context = multiprocessing.get_context("fork")
        found = context.Queue()
        for k, home in enumerate(homes):
            part = chosen[k :: options.workers]
            context.Process(target=_slice, args=(home, options.module, part, tests, options.seconds, found)).start()
        alive = 0
        for _ in chosen:
            name, survived = found.get()
            alive += survived
            if survived:
                print(f"survived: {name}", flush=True)
    noticed = len(chosen) - alive
    print(f"{options.module}: {noticed} of {len(chosen)} noticed ({len(every)} possible, {len(equivalent)} equivalent)")
    return 0 if noticed >= 0.9 * len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
