"""A cell's fingerprint: it changes with everything that can take part in computing the cell, and with nothing else."""

import functools
import importlib
import sys

import pytest

from tutorial_lib.errors import InputError
from tutorial_lib.fingerprint import fingerprint, reached

FILES = {
    "made_up/__init__.py": "from .base import exported as renamed\n",
    "made_up/cells.py": '''"""Cells."""

import functools
import math

import made_up.deep.below as far
import made_up.deep.plain
from made_up import renamed
from tutorial_lib.noise import check_alpha

from . import tools, whole
from .base import Net, helper, register

LIMIT = 3
TABLE = {"a": 1}
TABLE["b"] = 2
UNUSED = 1
if LIMIT > 2:
    CHOSEN = 5
else:
    CHOSEN = 6
PAIR, OTHER = 7, 8
for step in range(2):
    COUNTED = step
try:
    from .lazy import GUARDED
except ValueError:
    GUARDED = 2
register("something")


def decorate(f):
    return functools.wraps(f)(lambda *a, **k: f(*a, **k))


def default():
    return 4


def inner_only():
    return 9


def shadowed():
    return 10


@decorate
def cell(config, a, seed=default(), keep=lambda: LIMIT):
    """What it measures."""
    from .late import later
    from .pack import more

    def nested(value):
        return value + inner_only()

    shadowed = 1
    total = more() + helper(a) + tools.FACTOR + tools.sub.depth + TABLE["a"] + CHOSEN + PAIR + far.VALUE + renamed()
    total += nested(later()) + sum(TWICE * k for k in range(2)) + check_alpha(1.0) + COUNTED + GUARDED + shadowed
    config["net"], config["module"], config["far"] = Net, whole, made_up.deep.plain.VALUE
    return [{"value": total}]


TWICE = 2
''',
    "made_up/base.py": """from .bottom import lowest

REGISTERED = []
ALONE = 0


class Root:
    size = 1


class Net(Root):
    width = 2

    def forward(self):
        return self.width * scale()


def scale():
    return 3


def helper(a):
    return lowest(a)


def exported():
    return 1


def register(name):
    REGISTERED.append(name)


def unrelated():
    return 1
""",
    "made_up/bottom.py": "def lowest(a):\n    return a * 2\n",
    "made_up/tools/__init__.py": "FACTOR = 2\nSPARE = 1\n",
    "made_up/tools/sub.py": "depth = 1\nspare = 1\n",
    "made_up/deep/__init__.py": "",
    "made_up/deep/below.py": "VALUE = 1\nSPARE = 1\n",
    "made_up/deep/plain.py": "VALUE = 1\nSPARE = 1\n",
    "made_up/lazy.py": "GUARDED = 1\n",
    "made_up/late.py": "from .lower import number\n\n\ndef later():\n    return number\n",
    "made_up/pack/__init__.py": "from .inside import more\n",
    "made_up/pack/inside.py": "def more():\n    return 1\n",
    "made_up/lower.py": "number = 1\n",
    "made_up/whole.py": "ANY = 1\n",
}


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """changed(file, old, new): the fingerprint of the made-up cell with that change alone; changed(): without any."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(FILES)
    importlib.invalidate_caches()
    cell = importlib.import_module("made_up.cells").cell

    def go(file=None, old="", new=""):
        if file:
            assert FILES[f"made_up/{file}"].count(old) >= 1
            write({f"made_up/{file}": FILES[f"made_up/{file}"].replace(old, new)})
        found = fingerprint(cell)
        write(FILES)
        return found

    go.cell, go.write = cell, write
    yield go
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_up"]:
        del sys.modules[name]


MATTERS = [
    ("cells.py", '[{"value": total}]', '[{"value": -total}]'),
    ("cells.py", "LIMIT = 3", "LIMIT = 4"),
    ("cells.py", '{"a": 1}', '{"a": 1.5}'),
    ("cells.py", 'TABLE["b"] = 2', 'TABLE["b"] = 3'),
    ("cells.py", "CHOSEN = 6", "CHOSEN = 7"),
    ("cells.py", "PAIR, OTHER = 7, 8", "PAIR, OTHER = 8, 8"),
    ("cells.py", "range(2):\n    COUNTED", "range(3):\n    COUNTED"),
    ("cells.py", "except ValueError:\n    GUARDED = 2", "except ValueError:\n    GUARDED = 3"),
    ("cells.py", 'register("something")', 'register("something else")'),
    ("cells.py", "functools.wraps(f)", "functools.wraps(f, ())"),
    ("cells.py", "return 4", "return 5"),
    ("cells.py", "@decorate\n", ""),
    ("cells.py", "seed=default()", "seed=0"),
    ("cells.py", "return 9", "return 8"),
    ("cells.py", "TWICE = 2", "TWICE = 3"),
    ("base.py", "width = 2", "width = 3"),
    ("base.py", "size = 1", "size = 2"),
    ("base.py", "return 3", "return 4"),
    ("base.py", "class Net(Root)", "class Net"),
    ("base.py", "REGISTERED = []", "REGISTERED = [1]"),
    ("base.py", "exported():\n    return 1", "exported():\n    return 2"),
    ("bottom.py", "a * 2", "a * 3"),
    ("tools/__init__.py", "FACTOR = 2", "FACTOR = 3"),
    ("tools/sub.py", "depth = 1", "depth = 2"),
    ("deep/below.py", "VALUE = 1", "VALUE = 2"),
    ("deep/plain.py", "VALUE = 1", "VALUE = 2"),
    ("lazy.py", "GUARDED = 1", "GUARDED = 3"),
    ("late.py", "return number", "return -number"),
    ("pack/inside.py", "return 1", "return 2"),
    ("lower.py", "number = 1", "number = 2"),
    ("whole.py", "ANY = 1", "ANY = 2"),
]
DOES_NOT = [
    ("cells.py", "LIMIT = 3", "LIMIT = 3  # a comment"),
    ("cells.py", '"""What it measures."""', '"""Said otherwise."""'),
    ("cells.py", '"""Cells."""\n', ""),
    ("cells.py", "LIMIT = 3\n", 'LIMIT = 3\n"""What it is."""\n'),
    ("cells.py", "LIMIT = 3", "LIMIT = (\n    3\n)"),
    ("cells.py", "UNUSED = 1", "UNUSED = 2"),
    ("cells.py", "return 10", "return 11"),
    ("cells.py", "import math\n", "import math\nimport json\n"),
    ("cells.py", "\n\nTWICE", "\n\ndef another():\n    return TWICE\n\n\nTWICE"),
    ("base.py", "unrelated():\n    return 1", "unrelated():\n    return 2"),
    ("base.py", "ALONE = 0", "ALONE = 1"),
    ("tools/__init__.py", "SPARE = 1", "SPARE = 2"),
    ("tools/sub.py", "spare = 1", "spare = 2"),
    ("deep/below.py", "SPARE = 1", "SPARE = 2"),
    ("deep/plain.py", "SPARE = 1", "SPARE = 2"),
]


@pytest.mark.parametrize("change", MATTERS, ids=lambda c: f"{c[0]}: {c[1]}"[:40])
def test_what_can_take_part_changes_the_fingerprint(changed, change):
    """If it did not, a table would be written from numbers that another method made."""
    assert changed(*change) != changed()


@pytest.mark.parametrize("change", DOES_NOT, ids=lambda c: f"{c[0]}: {c[1]}"[:40])
def test_what_cannot_take_part_leaves_it(changed, change):
    """If it did not, hours of computing would be lost to a comment or to a new layer."""
    assert changed(*change) == changed()


def test_a_definition_that_moves_to_another_module_leaves_it(changed):
    before = changed()
    base = FILES["made_up/base.py"].replace("def scale():\n    return 3\n", "from .moved import scale\n")
    changed.write({"made_up/base.py": base, "made_up/moved.py": "def scale():\n    return 3\n"})
    assert fingerprint(changed.cell) == before


def test_modules_that_import_each_other_end(changed):
    changed.write({"made_up/bottom.py": "from .base import lowest\n", "made_up/base.py": FILES["made_up/base.py"]})
    assert "lowest" not in {name for name, _ in reached(changed.cell)}


def test_what_this_package_defines_counts_and_what_others_define_does_not(changed):
    names = {name for name, _ in reached(changed.cell)}
    assert {"cell", "check_alpha", "lowest", "scale", "Root", "decorate"} <= names
    assert not names & {"wraps", "isfinite", "unrelated", "UNUSED", "nested", "total"}


def test_what_reads_data_does_not_count_and_what_is_made_of_them_does():
    """Data are known by a checksum: a new data set must not turn every finished cell into one of other code."""
    from tutorial_lib.papers.ninr import sweeps

    names = {name for name, _ in reached(sweeps.training_cell)}
    assert {"load_data", "_subset", "_images"} <= names
    assert not names & {"_read", "_torchvision", "_npz", "_image_folder", "NAMES"}


def test_two_functions_of_one_body_differ(changed):
    """A sweep that changes its cell for another is another sweep."""
    from tutorial_lib.papers.ninr import dynamics, sweeps

    assert fingerprint(sweeps.training_cell) != fingerprint(dynamics.dynamics_cell)
    assert len(fingerprint(dynamics.toy_cell)) == 16 and fingerprint(dynamics.toy_cell) == fingerprint(
        dynamics.toy_cell
    )


def test_a_cell_without_a_file_is_refused():
    """A function typed into a shell has no source to compare; numbers of two of them would be mixed."""
    space = {"__name__": "made_up_nowhere"}
    exec("def cell(config, seed):\n    return []\n", space)
    with pytest.raises(InputError, match=r"made_up_nowhere is in no \.py file"):
        fingerprint(space["cell"])
    exec("def cell(config, seed):\n    return []\n", space := {"__name__": "math"})
    with pytest.raises(InputError, match="math"):
        fingerprint(space["cell"])


@pytest.mark.parametrize("cell", [lambda config, seed: [], functools.partial(print, 1), FILES.get], ids=repr)
def test_a_cell_that_is_no_function_of_its_module_is_refused(cell):
    """Of a lambda no code would be found, and old numbers would pass for those of a changed one."""
    with pytest.raises(InputError, match=r"is not defined at the top level of a module|is in no \.py file"):
        fingerprint(cell)


def test_a_new_layer_in_noise_leaves_the_toy_model_alone():
    """The cells of the papers reach what they use, and not their whole package."""
    from tutorial_lib.papers.activation_noise import sweeps as first
    from tutorial_lib.papers.explicit_reg import sweeps as fourth
    from tutorial_lib.papers.ninr import dynamics as third

    toy = {name for name, _ in reached(third.toy_cell)}
    assert {"descend", "flow", "phase", "RISE", "weights"} <= toy and not {"ActivationNoise", "fit", "TOY"} & toy
    accuracy = {name for name, _ in reached(first.accuracy_cell)}
    assert {"ActivationNoise", "fit", "inject", "load_data", "energy", "autoencoder", "_cauchy"} <= accuracy
    assert not {"jacobians", "blocknet", "draw_alphas", "ACCURACY", "density"} & accuracy
    training = {name for name, _ in reached(fourth.training_cell)}
    assert {"grams", "hessian_trace", "penalty", "classification_regulariser", "mlp", "convnet"} <= training
    assert not {"theorem_cell", "TRAINING", "NoiseNode", "fgsm"} & training


def test_what_depends_on_pythons_version_is_left_out():
    """Another Python gives syntax trees more fields, empty where they are not used: tables must outlive it."""
    import ast

    from tutorial_lib.fingerprint import _shape

    tree = ast.parse("def f(a):\n    'text'\n    b = a + 1\n    return b\n").body[0]
    before = _shape(tree)
    tree._fields = (*tree._fields, "news")
    tree.news = []
    assert _shape(tree) == before and "ctx" not in repr(before) and "text" not in repr(before)
    tree.body[1].targets[0].ctx = ast.Load()
    assert _shape(tree) == before
    tree.news = ["something"]
    assert _shape(tree) != before
