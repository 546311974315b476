"""Sweeps: the table is right, whole and reproducible, whatever happens on the way."""

import importlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from toy_sweep import DATA, DATA_SWEEP, FIGURE, SWEEP, TABLE, VIEWS

from tutorial_lib import sweep as module
from tutorial_lib.errors import InputError
from tutorial_lib.store import Finished, Store, digest, write_atomically
from tutorial_lib.sweep import (
    Experiment,
    Sweep,
    cells_of,
    check_network,
    command,
    difference,
    plain_rows,
    provenance,
    read_table,
    run,
    shipped,
)
from tutorial_lib.workers import InProcess, dask_cluster, process_pool

TESTS = Path(__file__).parent
STORED = "SELECT count(*) FROM finished"


def toy(out, budget="smoke", **options):
    """Run the toy sweep; return the path of its table."""
    return run(TABLE, VIEWS, budget=budget, out=out, progress=False, **options)[0]


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """How many cells the toy sweep has computed so far."""
    path = tmp_path / "marks"
    monkeypatch.setenv("TOY_MARKS", str(path))
    return lambda: path.read_text().count("\n") if path.exists() else 0


def test_the_table_holds_every_cell_of_the_grid_for_every_seed(tmp_path):
    table = pd.read_csv(toy(tmp_path))
    expected = [(a, s, b, a + b / 7 + s) for s in range(2) for a in range(6) for b in range(3)]
    assert table.to_numpy() == pytest.approx(np.array(expected), rel=1e-5)


def test_running_one_view_writes_the_sweeps_table_and_draws_every_view(tmp_path):
    paths = run(TABLE, VIEWS, out=tmp_path, progress=False)
    folder = tmp_path / "toy/fig-1"
    assert paths == [folder / name for name in ("none-smoke.csv", "none-smoke-fig-1.txt", "none-smoke-table-1.txt")]
    mean = pd.read_csv(paths[0]).groupby("b")["value"].mean()
    drawn = [float(path.read_text().split()[-1]) for path in paths[1:]]
    assert drawn == pytest.approx([mean.mean(), mean[0]], rel=1e-5)
    assert provenance(paths[0])["rows"] == 36


def test_a_view_that_a_data_set_does_not_suit_is_left_out(tmp_path):
    never = Experiment("toy/never", "", "", "", SWEEP, FIGURE.draw, shows=lambda dataset: False)
    paths = run(TABLE, [TABLE, never], out=tmp_path, progress=False)
    assert [path.name for path in paths] == ["none-smoke.csv", "none-smoke-table-1.txt"]


def test_figures_are_drawn_as_pictures(tmp_path):
    from matplotlib.figure import Figure

    drawn = Experiment("toy/fig-2", "", "", "", SWEEP, lambda table, dataset: Figure())
    picture = run(drawn, [drawn], out=tmp_path, progress=False)[1]
    assert picture.name == "none-smoke-fig-2.png" and picture.read_bytes().startswith(b"\x89PNG")


def test_provenance_says_how_the_table_came_about(tmp_path):
    known = provenance(toy(tmp_path, seeds=3))
    assert known["command"] == "python -m tutorial_lib run toy/table-1 --budget smoke --seeds 3"
    assert known["seeds"] == [0, 1, 2] and known["cells"] == 18 and known["rows"] == 54
    assert known["configuration"]["points"] == 6 and known["sweep"] == "toy/fig-1"
    assert known["versions"]["torch"] and known["device"].startswith("CPU, ") and known["date"] and known["commits"]
    assert known["dataset"] == {"name": "none"} and len(known["code"]) == 16
    assert 0 <= known["cell_seconds"] < 60 and known["cell_seconds"] == round(known["cell_seconds"], 1)


def test_a_second_run_computes_nothing_and_more_seeds_only_the_new_ones(tmp_path, marks):
    toy(tmp_path)
    assert marks() == 12
    toy(tmp_path)
    assert marks() == 12
    toy(tmp_path, seeds=3)
    assert marks() == 18
    assert len(pd.read_csv(toy(tmp_path, seeds=1))) == 18 and marks() == 18


def test_cells_of_a_changed_configuration_are_not_mixed(tmp_path, monkeypatch):
    first = pd.read_csv(toy(tmp_path))
    monkeypatch.setitem(SWEEP.settings["smoke"]["default"], "scale", 2.0)
    second = pd.read_csv(toy(tmp_path))
    assert (second["value"] - second["seed"]).tolist() == pytest.approx(
        (2 * (first["value"] - first["seed"])).tolist(), rel=1e-4
    )


def test_another_number_of_seeds_in_the_settings_is_no_other_configuration(tmp_path, monkeypatch, marks):
    """A budget that asks for more seeds must extend its tables, not start over."""
    toy(tmp_path)
    monkeypatch.setitem(SWEEP.settings["smoke"]["default"], "seeds", 3)
    assert provenance(toy(tmp_path))["seeds"] == [0, 1, 2] and marks() == 18


def test_settings_of_a_data_set_override_the_default():
    assert SWEEP.config("desk", "other")["scale"] == 3.0
    assert SWEEP.config("desk", "none")["scale"] == 1.0


@pytest.mark.parametrize("make", [InProcess, lambda: ThreadPoolExecutor(3), lambda: process_pool(2)])
def test_every_executor_gives_the_same_file(tmp_path, make):
    reference = toy(tmp_path / "plain").read_bytes()
    with make() as executor:
        assert toy(tmp_path / "other", executor=executor, width=3).read_bytes() == reference


def test_an_interrupt_keeps_finished_cells(tmp_path):
    calls = []

    class Interrupting(InProcess):
        def submit(self, fn, /, *args, **kwargs):
            calls.append(args)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path, executor=Interrupting())
    assert not (tmp_path / "toy/fig-1/none-smoke.csv").exists()  # no half table
    with sqlite3.connect(tmp_path / "toy/fig-1/none-smoke.sqlite") as db:
        assert db.execute(STORED).fetchone() == (4,)
    assert len(pd.read_csv(toy(tmp_path))) == 36


def test_a_failing_cell_is_reported_and_the_others_are_kept(tmp_path):
    class Failing(InProcess):
        count = 0

        def submit(self, fn, /, *args, **kwargs):
            Failing.count += 1
            if Failing.count == 3:
                raise RuntimeError("cell 3 broke")
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(RuntimeError, match="cell 3 broke"):
        toy(tmp_path, executor=Failing())
    with sqlite3.connect(tmp_path / "toy/fig-1/none-smoke.sqlite") as db:
        assert db.execute(STORED).fetchone() == (2,)


def start(out, workers=1, **environment):
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return subprocess.Popen(
        [sys.executable, str(TESTS / "toy_sweep.py"), str(out), str(workers)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
    )


def test_killed_twenty_times_the_table_equals_an_undisturbed_run(tmp_path):
    """kill -9 at random moments: no finished cell is lost or counted twice, and the table comes out the same."""
    marks, store = tmp_path / "marks", tmp_path / "killed/toy/fig-1/none-desk.sqlite"
    draw, kills, kept = random.Random(0), 0, 0
    while kills < 20:
        process = start(tmp_path / "killed", TOY_MARKS=str(marks))
        before = marks.read_text().count("\n") if marks.exists() else 0
        # wait until it computes (or gets to the end), then kill it at a random moment of the next cells
        while process.poll() is None and (not marks.exists() or marks.read_text().count("\n") == before):
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.07))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        with sqlite3.connect(store) as db:
            now = db.execute(STORED).fetchone()[0]
        assert now >= kept, "a finished cell was lost"
        kept = now
    process = start(tmp_path / "killed")
    assert process.wait() == 0, process.stderr.read()
    calm = start(tmp_path / "calm")
    assert calm.wait() == 0, calm.stderr.read()
    for name in ("toy/fig-1/none-desk.csv", "toy/fig-1/none-desk-table-1.txt"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    assert not list((tmp_path / "killed").rglob(".*.csv*")), "a draft file was left behind"


def test_two_runs_in_one_folder_do_not_disturb_each_other(tmp_path):
    both = [start(tmp_path / "both", workers) for workers in (1, 2)]
    assert [p.wait() for p in both] == [0, 0], [p.stderr.read() for p in both]
    alone = toy(tmp_path / "alone", budget="desk")
    assert (tmp_path / "both/toy/fig-1/none-desk.csv").read_bytes() == alone.read_bytes()


def test_workers_end_with_a_killed_parent(tmp_path):
    marks = tmp_path / "marks"
    process = start(tmp_path / "out", workers=2, TOY_MARKS=str(marks))
    while process.poll() is None and (not marks.exists() or marks.read_text().count("\n") < 2):
        time.sleep(0.01)
    workers = {int(line.split()[2]) for line in marks.read_text().splitlines()}
    process.kill()
    process.communicate()
    deadline = time.time() + 20
    while time.time() < deadline and any(_alive(pid) for pid in workers):
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else not os.kill(pid, 0)
        )
    except (OSError, ProcessLookupError):
        return False


def test_dask_with_a_worker_killed_midway_loses_and_doubles_nothing(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs the extra tutorial-lib[cluster]")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), str(TESTS)]))
    marks = tmp_path / "marks"
    monkeypatch.setenv("TOY_MARKS", str(marks))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
        ThreadPoolExecutor(1) as background,
    ):
        pids = [info["pid"] for info in client.run(lambda: {"pid": os.getpid()}).values()]
        running = background.submit(toy, tmp_path / "dask", budget="desk", executor=client.get_executor(), width=4)
        while not marks.exists() or marks.read_text().count("\n") < 4:
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)
        path = running.result(timeout=120)
    table = pd.read_csv(path)
    assert len(table) == 120 and not table.duplicated(["a", "seed", "b"]).any()
    monkeypatch.delenv("TOY_MARKS")
    assert path.read_bytes() == toy(tmp_path / "calm", budget="desk").read_bytes()


def test_a_cluster_gets_two_cells_a_thread_and_is_nobodys_default():
    """One in work and one in line keeps each thread busy; a default client would catch the reader's own Dask calls."""
    distributed = pytest.importorskip("distributed", reason="needs the extra tutorial-lib[cluster]")
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": None, "host": "127.0.0.1"}
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=3, **options) as cluster,
        dask_cluster(cluster.scheduler_address) as (executor, width),
    ):
        assert width == 6 and executor.submit(sum, [1, 2]).result(timeout=30) == 3
        with pytest.raises(ValueError, match="No client"):
            distributed.default_client()


def test_a_store_that_is_not_a_database_is_refused_by_name(tmp_path):
    path = tmp_path / "toy/fig-1/none-smoke.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("this is no database, but long enough to be mistaken for one " * 20)
    with pytest.raises(ValueError, match=r"none-smoke\.sqlite.*move it away"):
        toy(tmp_path)


def test_the_first_result_of_a_cell_stays(tmp_path):
    store = Store(tmp_path / "s.sqlite", "config", "code")
    store.add(Finished({"a": 1}, [{"v": 1}], 1.0, "first"))
    store.add(Finished({"a": 1}, [{"v": 2}], 2.0, "second"))
    assert list(store.finished().values()) == [({"a": 1}, [{"v": 1}], 1.0, "first")]
    assert list(store.finished()) == [digest({"a": 1})] and store.others() == {}
    assert Store(tmp_path / "s.sqlite", "another configuration", "code").finished() == {}


def test_a_digest_does_not_know_the_order_of_settings():
    """Else a grid written in another order would compute all its cells anew."""
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_cells_of_other_code_are_kept_apart_and_the_last_of_them_is_found(tmp_path):
    for code, value in (("old", 1), ("older", 2), ("new", 3)):
        Store(tmp_path / "s.sqlite", "config", code).add(Finished({"a": 1}, [{"v": value}], 0.0, None))
    store = Store(tmp_path / "s.sqlite", "config", "new")
    assert [done.rows for done in store.finished().values()] == [[{"v": 3}]]
    assert [done.rows for done in store.others().values()] == [[{"v": 2}]]
    assert Store(tmp_path / "s.sqlite", "another", "newest").others() == {}


def test_bad_input_is_named_before_anything_is_written(tmp_path):
    for message, options in (
        ("toy/table-1 has no budget 'huge': choose from smoke, desk", {"budget": "huge"}),
        ("seeds = 0: expected at least 1", {"seeds": 0}),
        ("toy/table-1 uses no data: leave --dataset", {"dataset": "digits"}),
        ("toy/table-1 uses no data: leave --dataset", {"dataset": "nonsense"}),
        ("toy/table-1 uses no data: leave --dataset", {"data": {"train": 5}}),
    ):
        with pytest.raises(InputError, match=message):
            toy(tmp_path, **options)
    with pytest.raises(InputError, match=r"no table nowhere-desk of toy/fig-1.*python -m tutorial_lib run toy/fig-1"):
        read_table(FIGURE, "nowhere", "desk")
    assert not list(tmp_path.iterdir())


def test_rows_survive_json_exactly(tmp_path):
    """0.1 + 0.2 and friends must come back bit for bit, or a resumed table would differ from an undisturbed one."""
    store = Store(tmp_path / "s.sqlite", "config", "code")
    values = [0.1 + 0.2, 1 / 3, 1e-300, 5e22]
    store.add(Finished({}, [{"v": v} for v in values], 0.0, None))
    (done,) = store.finished().values()
    assert [r["v"] for r in done.rows] == values and json.dumps(done.rows)


def numpy_cell(config, a, seed):
    return [{"b": np.int64(a), "c": np.float32(0.5), "d": torch.tensor(2.0), "e": np.bool_(True)}]


def test_numbers_of_numpy_and_torch_become_plain(tmp_path):
    """A cell may have taken an hour: its numbers must not be lost for their type."""
    sweep = Sweep("toy/numpy", numpy_cell, lambda config: [{"a": 7}], SWEEP.settings, {"smoke": "none"})
    figure = Experiment("toy/numpy", "", "", "", sweep, FIGURE.draw)
    table = pd.read_csv(run(figure, [], out=tmp_path, progress=False)[0])
    assert table.iloc[0].to_dict() == {"a": 7, "seed": 0, "b": 7, "c": 0.5, "d": 2.0, "e": True}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"value": 1}, "expected a list of rows"),
        ([], "expected a list of rows"),
        ([1], "expected a list of rows"),
        ([{"value": np.ones(2)}], r"gave value = array.*: expected a number"),
        ([{"value": [1]}], r"gave value = \[1\]: expected a number"),
        ([{"seed": 3, "value": 1}], "gave a row with 'seed', a setting of its own"),
        ([{"a": 3}], "gave a row with 'a', a setting of its own"),
    ],
)
def test_rows_that_cannot_stand_in_a_table_are_refused_with_their_cell(rows, said):
    """A row that named its own seed would stand under another one; a dict would fail after the last cell."""
    with pytest.raises(TypeError, match=rf"the cell {{'a': 1, 'seed': 0}} .*{said}"):
        plain_rows(rows, {"a": 1, "seed": 0})


def test_a_drawing_that_is_none_is_named(tmp_path):
    nothing = Experiment("toy/nothing", "", "", "", SWEEP, lambda table, dataset: 1)
    with pytest.raises(TypeError, match="toy/nothing is drawn as a int: expected a Figure or a DataFrame"):
        run(nothing, [nothing], out=tmp_path, progress=False)


# ---- the code that makes a cell is part of what the cell is ----

CODE = """
from tutorial_lib.sweep import Experiment, Sweep
import pandas as pd

calls = []
FACTOR = 2.0

def cell(config, a, seed):
    calls.append((a, seed))
    result = FACTOR * a + seed
    return [{"value": result, "kind": "x"}]

SETTINGS = {"smoke": {"default": {"seeds": 2}}}
SWEEP = Sweep("toy/code", cell, lambda config: [{"a": a} for a in range(6)], SETTINGS, {"smoke": "none"})
FIGURE = Experiment("toy/code", "", "", "", SWEEP, lambda table, dataset: pd.DataFrame({"mean": [1]}))
"""


@pytest.fixture
def coded(tmp_path, monkeypatch):
    """A way to run a sweep whose code may change between runs: coded(old="…", new="…", **options) -> values, calls."""
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    (tmp_path / "code").mkdir()
    file = tmp_path / "code/changing_sweep.py"

    def go(*change, out=tmp_path / "out", **options):
        file.write_text(CODE.replace(*change) if change else CODE)
        importlib.invalidate_caches()
        sys.modules.pop("changing_sweep", None)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            found = importlib.import_module("changing_sweep")
        finally:
            sys.dont_write_bytecode = before
        path = run(found.FIGURE, [found.FIGURE], out=out, progress=False, **options)[0]
        go.path = path
        return pd.read_csv(path)["value"].tolist(), len(found.calls)

    yield go
    sys.modules.pop("changing_sweep", None)


def test_a_changed_method_is_computed_anew(coded, capsys):
    """Otherwise the old numbers are written as the new method's."""
    old, calls = coded()
    assert calls == 12 and coded() == (old, 0)
    new, calls = coded("FACTOR = 2.0", "FACTOR = 3.0")
    assert calls == 12 and new != old and new[1] == 3.0
    said = capsys.readouterr().err
    assert "12 finished cells of this configuration were computed by other code and are left alone" in said
    assert "--keep-cells takes them over if 6 of them" in said
    assert coded() == (old, 0)  # the old ones were left alone
    assert provenance(coded.path)["code"] != ""


def test_comments_and_layout_leave_finished_cells_valid(coded):
    old, _ = coded()
    assert coded("    calls.append", "    # a word\n\n    calls.append") == (old, 0)
    assert coded("def cell(config, a, seed):\n", 'def cell(config, a, seed):\n    """What it does."""\n') == (old, 0)


def test_keep_cells_takes_over_what_computes_the_same(coded, capsys):
    """A renamed variable changes the code and no number: a cell a point is computed again, the other seeds are not."""
    old, _ = coded()
    new, calls = coded("result", "value", keep_cells=True)
    said = capsys.readouterr().err
    assert new == old and calls == 6 and "6 cells, one for each point of the grid, agree" in said
    assert "12 are taken over" in said and "left alone" not in said
    assert coded("result", "value") == (old, 0)


def test_keep_cells_refuses_what_computes_otherwise_and_leaves_all_as_it_was(coded):
    old, _ = coded()
    with pytest.raises(InputError, match=r"--keep-cells: this code computes another cell .*value was .* and is "):
        coded("FACTOR = 2.0", "FACTOR = 2.1", keep_cells=True)
    assert coded() == (old, 0)
    new, calls = coded("FACTOR = 2.0", "FACTOR = 2.1")
    assert calls == 12 and new != old


@pytest.mark.parametrize("point", range(6))
def test_keep_cells_notices_a_change_that_concerns_one_point_alone(coded, point):
    """Three cells drawn from all would miss it more often than not."""
    old, _ = coded()
    with pytest.raises(InputError, match=rf'another cell {{"a": {point}, '):
        coded("FACTOR * a", f"FACTOR * a + (a == {point})", keep_cells=True)
    assert coded() == (old, 0)


def test_keep_cells_with_nothing_to_keep_is_a_plain_run(coded):
    assert coded(keep_cells=True)[1] == 12


def ship(path: Path, folder: Path, **changes) -> None:
    """Put a table and its provenance where the package keeps what travels with it."""
    target = folder / "toy/code/none-smoke.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
    target.with_suffix(".json").write_text(json.dumps({**provenance(path), **changes}))


def test_a_shipped_table_is_extended(coded, tmp_path, monkeypatch):
    """Its seeds are finished cells, without the store that made them; only the others are computed."""
    old, _ = coded(out=tmp_path / "elsewhere")
    ship(coded.path, tmp_path / "results", commits=["abc"])
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    more, calls = coded(seeds=3)
    assert calls == 6 and more[:12] == old and len(more) == 18
    assert "abc" in provenance(coded.path)["commits"]


@pytest.mark.parametrize("changes", [{"identity": "another"}, {"code": "another"}, {"code": None}])
def test_a_shipped_table_of_other_settings_or_code_is_not_mixed_in(coded, tmp_path, monkeypatch, changes, capsys):
    coded(out=tmp_path / "elsewhere")
    ship(coded.path, tmp_path / "results", **changes)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    assert coded()[1] == 12
    assert ("12 finished cells" in capsys.readouterr().err) == ("code" in changes)


def test_a_shipped_table_of_other_code_is_extended_after_a_check(coded, tmp_path, monkeypatch):
    coded(out=tmp_path / "elsewhere")
    ship(coded.path, tmp_path / "results", code="another")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    assert coded(seeds=3, keep_cells=True)[1] == 6 + 6


def test_an_older_store_is_no_obstacle_and_not_mixed_in(coded, tmp_path):
    """Stores of the first version have cells without a fingerprint."""
    path = tmp_path / "out/toy/code/none-smoke.sqlite"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cells (identity TEXT, key TEXT, cell TEXT, rows TEXT, seconds REAL, code TEXT)")
        db.execute("INSERT INTO cells VALUES ('i', 'k', '{}', '[]', 1, 'c')")
    assert coded()[1] == 12


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([{"v": 1.0}], [{"v": 1.0009}], None),
        ([{"v": 1.0}], [{"v": 1.0011}], "v was 1.0 and is 1.0011"),
        ([{"v": 1e-9}], [{"v": -1e-7}], None),
        ([{"v": 1e-9}], [{"v": 3e-6}], "v was"),
        ([{"v": 3}], [{"v": 3.0}], None),
        ([{"k": "a"}], [{"k": "b"}], "k was a and is b"),
        ([{"k": "a", "v": None}], [{"k": "a"}], None),
        ([{"k": "a", "v": float("nan")}], [{"k": "a"}], None),
        ([{"k": "a"}], [{"k": "a", "v": 1}], "v was None and is 1"),
        ([{"k": "a", "v": 1}], [{"k": "a"}], "v was 1 and is None"),
        ([{"v": 1}, {"v": 2}], [{"v": 1}], "2 rows were, 1 are there"),
        ([{"v": 1}, {"v": 2}], [{"v": 1}, {"v": 5}], r"v was 2 and is 5 \(row 2\)"),
        ([{"v": float("inf")}], [{"v": float("inf")}], None),
    ],
)
def test_difference_tells_rounding_from_another_result(old, new, said):
    import re

    found = difference(old, new)
    assert (found is None) == (said is None) and (said is None or re.search(said, found))


def test_cells_of_a_table_are_those_that_were_put_in():
    """Text, whole numbers, decimals and truth values find their cell again, with gaps where a row has no number."""
    points = [{"kind": k, "n": n, "on": on} for k in "ab" for n in (1, 0.1) for on in (True, False)]
    cells = [{**point, "seed": seed} for seed in (0, 1) for point in points]
    rows = [[{"x": i, "v": i / 3}, {"x": i}] for i in range(len(cells))]
    table = pd.DataFrame([{**c, **r} for c, part in zip(cells, rows, strict=True) for r in part])
    assert [(c, len(r)) for c, r in cells_of(table, cells)] == [(c, 2) for c in cells]
    assert all(difference(a, b) is None for a, (_, b) in zip(rows, cells_of(table, cells), strict=True))
    assert list(cells_of(table, [{**cells[0], "n": 2}])) == []
    assert list(cells_of(table, [{"other": 1, "seed": 0}])) == []
    assert list(cells_of(table[["kind", "n", "on", "seed"]][:1], cells[:1])) == [(cells[0], [{}])]
    nothing = [{"kind": None, "seed": 0}, {"kind": "a", "seed": 0}]  # a point may leave a setting out
    assert [c for c, _ in cells_of(pd.DataFrame(nothing).assign(v=1), nothing)] == nothing


# ---- data ----


def images(path: Path, seed=0, count=40) -> Path:
    draw = np.random.default_rng(seed)
    x, y = draw.integers(0, 256, (count, 6, 6), dtype=np.uint8), np.arange(count) % 4
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return path


def on(path, out, **options):
    return run(DATA, [DATA], dataset=str(path), out=out, progress=False, **options)[0]


def test_a_data_set_is_known_by_its_content(tmp_path, marks, monkeypatch):
    """The same file by another path, or a copy of it, goes on; another content under the same name starts over."""
    first, out = images(tmp_path / "a/mine.npz"), tmp_path / "out"
    on(first, out)
    assert marks() == 2
    monkeypatch.chdir(tmp_path)
    on("a/mine.npz", out)
    on(images(tmp_path / "b/mine.npz"), out)
    assert marks() == 2
    path = on(images(tmp_path / "c/mine.npz", seed=1), out)
    assert marks() == 4
    assert path.parent == out / "toy/data" and path.name == "mine-smoke.csv"


def test_a_table_stays_in_its_folder(tmp_path):
    """Data by a path wrote its table beside the data."""
    path = on(images(tmp_path / "data/evil.npz"), tmp_path / "out")
    assert path.is_relative_to(tmp_path / "out")
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["evil.npz"]


def test_the_command_of_a_table_makes_it_again(tmp_path):
    file = images(tmp_path / "my set.npz")
    known = provenance(on(file, tmp_path / "out", data={"train": 12, "size": 4}, seeds=2))
    assert known["command"] == (
        f"python -m tutorial_lib run toy/data --budget smoke --dataset '{file}' --train 12 --size 4 --seeds 2"
    )
    assert known["configuration"]["data"] == {"test": 5, "train": 12, "size": 4}
    assert command("a/b", "paper", "mnist", 3, "cuda", "../d") == (
        "python -m tutorial_lib run a/b --budget paper --dataset mnist --data ../d --seeds 3 --device cuda"
    )
    assert command("a/b", "desk", "mnist") == "python -m tutorial_lib run a/b --budget desk --dataset mnist --data DIR"
    assert command("a/b", "desk", "mnist", folder="data").endswith("--dataset mnist")
    assert command("a/b", "desk", "diabetes", 1) == (
        "python -m tutorial_lib run a/b --budget desk --dataset diabetes --seeds 1"
    )
    assert command("a/b", "smoke", "digits") == "python -m tutorial_lib run a/b --budget smoke"


def test_sizes_of_own_data_are_checked_before_anything_is_computed(tmp_path, marks):
    file = images(tmp_path / "mine.npz", count=20)
    with pytest.raises(InputError, match="21 training images"):
        on(file, tmp_path / "out", data={"train": 21})
    table = pd.read_csv(on(file, tmp_path / "out", data={"train": 7}))
    assert set(table["images"]) == {7} and marks() == 2


def test_data_that_do_not_suit_are_refused_with_a_way_out(tmp_path, marks):
    def refuse(config, data):
        check_network(lambda images: torch.nn.Conv2d(1, 1, 7), data)

    sweep = Sweep("toy/data", DATA_SWEEP.cell, DATA_SWEEP.grid, DATA_SWEEP.settings, check=refuse)
    figure = Experiment("toy/data", "", "", "", sweep, FIGURE.draw)
    with pytest.raises(InputError, match=r"mine does not suit toy/data: .* images of 1x6x6.*--size"):
        run(figure, [], dataset=str(images(tmp_path / "mine.npz")), out=tmp_path / "out", progress=False)
    assert marks() == 0 and not (tmp_path / "out").exists()
    run(figure, [], dataset=str(tmp_path / "mine.npz"), data={"size": 8}, out=tmp_path / "out", progress=False)
    assert marks() == 2


def test_a_selection_without_a_class_is_refused(tmp_path, marks):
    """A network with an output too few failed in the middle of the first cell."""
    with pytest.raises(InputError, match=r"mine does not suit toy/data: none of the 3 training images is of class \d"):
        on(images(tmp_path / "mine.npz"), tmp_path / "out", data={"train": 3})
    assert marks() == 0
    on(tmp_path / "mine.npz", tmp_path / "out", data={"train": 4})


@pytest.mark.parametrize(("train", "test", "lost"), [([0, 1, 2], [3, 0], 3), ([0, 2], [0], 1), ([1], [1], 0)])
def test_the_first_class_without_a_training_image_is_named(train, test, lost):
    data = SimpleNamespace(y_train=torch.tensor(train), y_test=torch.tensor(test))
    with pytest.raises(ValueError, match=f"none of the {len(train)} training images is of class {lost}"):
        module._check_classes(data)
    module._check_classes(SimpleNamespace(y_train=torch.tensor([0, 1, 2, 3]), y_test=torch.tensor([3])))
    module._check_classes(SimpleNamespace(y_train=torch.tensor([0.5]), y_test=torch.tensor([7.5])))


def test_tables_are_not_images(tmp_path):
    """Regression data reached cells that expect images, and ended in a traceback."""
    with pytest.raises(InputError, match=r"toy/data has nothing to show on diabetes$"):
        on("diabetes", tmp_path)
    assert not DATA.suits("diabetes") and DATA.suits("mnist") and DATA.suits("some/path.npz")


# ---- places that cannot be written ----


def test_an_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot make the folder .*file.*give another with --out"):
        toy(tmp_path / "file")


def test_an_out_that_cannot_be_written_is_refused():
    with pytest.raises(InputError, match="cannot make the folder /proc/nowhere"):
        toy(Path("/proc/nowhere"))


def test_a_file_that_cannot_be_replaced_is_named_and_no_draft_is_left(tmp_path):
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*table\.csv .*finished cells are kept"):
        write_atomically(tmp_path / "table.csv", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_full_disk_keeps_what_is_finished(tmp_path):
    """Files may grow to 30 kB here: the store fills up, says so in a line, and the next run goes on from there."""
    program = f"""
import resource, sys
sys.path[:0] = [{str(TESTS.parent)!r}, {str(TESTS)!r}]
from toy_sweep import TABLE, VIEWS
from tutorial_lib.sweep import run
from tutorial_lib.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
try:
    run(TABLE, VIEWS, budget="smoke", seeds=40, out={str(tmp_path)!r}, progress=False)
except InputError as error:
    print(error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "none-smoke.sqlite cannot be read or written" in done.stdout and "what is finished is kept" in done.stdout
    with sqlite3.connect(tmp_path / "toy/fig-1/none-smoke.sqlite") as db:
        assert 0 < db.execute(STORED).fetchone()[0] < 240
    assert len(pd.read_csv(toy(tmp_path, seeds=40))) == 720


def test_a_damaged_row_is_refused_by_the_name_of_its_file(tmp_path):
    """It used to end as "Expecting ',' delimiter", with no file named."""
    toy(tmp_path)
    with sqlite3.connect(tmp_path / "toy/fig-1/none-smoke.sqlite") as db:
        db.execute("UPDATE finished SET rows = '[{\"b\": 0 1}]' WHERE rowid = 3")
    with pytest.raises(InputError, match=r"none-smoke\.sqlite is damaged .*move it away"):
        toy(tmp_path)


def test_damaged_provenance_is_refused_by_the_name_of_its_file(tmp_path, monkeypatch):
    folder = tmp_path / "toy/fig-1"
    folder.mkdir(parents=True)
    (folder / "none-desk.csv").write_text("a,seed,b,value\n0,0,0,1\n")
    (folder / "none-desk.json").write_text("{")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    with pytest.raises(InputError, match=r"none-desk\.json cannot be read"):
        shipped(FIGURE)


def test_shipped_tables_are_seen_through_their_view(tmp_path, monkeypatch):
    path = toy(tmp_path / "runs", budget="desk")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "runs")
    (entry,) = shipped(TABLE)
    assert entry == {"dataset": "none", "budget": "desk", "rows": 120, "path": path}
    table = read_table(TABLE, "none", "desk")
    assert set(table["b"]) == {0} and len(table) == 40 and table.index.tolist() == list(range(40))
    table["value"] = 0  # the next reader must not see it
    assert read_table(TABLE, "none", "desk")["value"].max() > 0
    hidden = Experiment("toy/h", "", "", "", SWEEP, FIGURE.draw, shows=lambda dataset: dataset != "none")
    assert shipped(hidden) == []


def test_the_commit_tells_changed_and_untracked_files(tmp_path):
    """A commit that does not hold the wing that made a table must not stand under it as if it did."""
    package = tmp_path / "tutorial_lib"
    package.mkdir()
    (package / "a.py").write_text("1")
    assert module._commit(package) is None

    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.check_output(["git", "-C", tmp_path, *identity, *words], text=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD").strip()
    assert module._commit(package) == head
    (tmp_path / "note.txt").write_text("outside the package")
    assert module._commit(package) == head
    (package / "wing.py").write_text("2")
    assert module._commit(package) == f"{head}-dirty"
    git("add", ".")
    git("commit", "-qm", "second")
    (package / "a.py").write_text("3")
    assert module._commit(package).endswith("-dirty") and not module._commit(package).startswith(head)
