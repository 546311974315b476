"""Sweeps: the table is right, whole and reproducible, whatever happens on the way."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_sweep import FIGURE, SWEEP, TABLE, VIEWS

from tutorial_lib.sweep import InProcess, Store, process_pool, provenance, read_table, run, t_interval

TESTS = Path(__file__).parent


def toy(out, budget="smoke", **options):
    return run(TABLE, VIEWS, budget=budget, out=out, progress=False, **options)


def test_the_table_holds_every_cell_of_the_grid_for_every_seed(tmp_path):
    paths = toy(tmp_path)
    table = pd.read_csv(paths["toy/fig-1"])
    expected = [(a, s, b, a + b / 7 + s) for s in range(2) for a in range(6) for b in range(3)]
    assert table.to_numpy() == pytest.approx(np.array(expected), rel=1e-5)


def test_running_one_view_fills_all_views_of_the_sweep(tmp_path):
    paths = toy(tmp_path)
    assert set(paths) == {"toy/fig-1", "toy/table-1"}
    view = pd.read_csv(paths["toy/table-1"])
    assert set(view["b"]) == {0} and len(view) == 12
    assert paths["toy/table-1"] == tmp_path / "toy" / "table-1" / "none-smoke.csv"


def test_provenance_says_how_the_table_came_about(tmp_path):
    known = provenance(toy(tmp_path, seeds=3)["toy/table-1"])
    assert known["command"] == "python -m tutorial_lib run toy/table-1 --budget smoke --seeds 3"
    assert known["seeds"] == [0, 1, 2] and known["cells"] == 18 and known["rows"] == 18
    assert known["configuration"]["points"] == 6
    assert known["versions"]["torch"] and known["device"] and known["date"] and known["commits"]


def test_a_second_run_computes_nothing_and_more_seeds_only_the_new_ones(tmp_path, monkeypatch):
    marks = tmp_path / "marks"
    monkeypatch.setenv("TOY_MARKS", str(marks))
    toy(tmp_path)
    assert len(marks.read_text().split("\n")) - 1 == 12
    toy(tmp_path)
    assert len(marks.read_text().split("\n")) - 1 == 12
    toy(tmp_path, seeds=3)
    assert len(marks.read_text().split("\n")) - 1 == 18


def test_cells_of_a_changed_configuration_are_not_mixed(tmp_path, monkeypatch):
    first = pd.read_csv(toy(tmp_path)["toy/fig-1"])
    monkeypatch.setitem(SWEEP.settings["smoke"]["default"], "scale", 2.0)
    second = pd.read_csv(toy(tmp_path)["toy/fig-1"])
    assert (second["value"] - second["seed"]).tolist() == pytest.approx(
        (2 * (first["value"] - first["seed"])).tolist(), rel=1e-4
    )


def test_settings_of_a_data_set_override_the_default():
    assert SWEEP.config("desk", "other")["scale"] == 3.0
    assert SWEEP.config("desk", "none")["scale"] == 1.0


@pytest.mark.parametrize("make", [InProcess, lambda: ThreadPoolExecutor(3), lambda: process_pool(2)])
def test_every_executor_gives_the_same_file(tmp_path, make):
    reference = toy(tmp_path / "plain")["toy/fig-1"].read_bytes()
    with make() as executor:
        assert toy(tmp_path / "other", executor=executor, width=3)["toy/fig-1"].read_bytes() == reference


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
        assert db.execute("SELECT count(*) FROM cells").fetchone() == (4,)
    assert len(pd.read_csv(toy(tmp_path)["toy/fig-1"])) == 36


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
        assert db.execute("SELECT count(*) FROM cells").fetchone() == (2,)


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
            now = db.execute("SELECT count(*) FROM cells").fetchone()[0]
        assert now >= kept, "a finished cell was lost"
        kept = now
    process = start(tmp_path / "killed")
    assert process.wait() == 0, process.stderr.read()
    calm = start(tmp_path / "calm")
    assert calm.wait() == 0, calm.stderr.read()
    for name in ("toy/fig-1/none-desk.csv", "toy/table-1/none-desk.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    assert not list((tmp_path / "killed").rglob(".*.csv*")), "a draft file was left behind"


def test_two_runs_in_one_folder_do_not_disturb_each_other(tmp_path):
    both = [start(tmp_path / "both", workers) for workers in (1, 2)]
    assert [p.wait() for p in both] == [0, 0], [p.stderr.read() for p in both]
    alone = toy(tmp_path / "alone", budget="desk")["toy/fig-1"]
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
        path = running.result(timeout=120)["toy/fig-1"]
    table = pd.read_csv(path)
    assert len(table) == 120 and not table.duplicated(["a", "seed", "b"]).any()
    monkeypatch.delenv("TOY_MARKS")
    assert path.read_bytes() == toy(tmp_path / "calm", budget="desk")["toy/fig-1"].read_bytes()


def test_a_store_that_is_not_a_database_is_refused_by_name(tmp_path):
    path = tmp_path / "toy/fig-1/none-smoke.sqlite"
    path.parent.mkdir(parents=True)
    path.write_text("this is no database, but long enough to be mistaken for one " * 20)
    with pytest.raises(ValueError, match=r"none-smoke\.sqlite.*move it away"):
        toy(tmp_path)


def test_the_first_result_of_a_cell_stays(tmp_path):
    store = Store(tmp_path / "s.sqlite", "config")
    store.add({"a": 1}, [{"v": 1}], 1.0, "first")
    store.add({"a": 1}, [{"v": 2}], 2.0, "second")
    assert list(store.finished().values()) == [([{"v": 1}], 1.0, "first")]
    assert Store(tmp_path / "s.sqlite", "another configuration").finished() == {}


def test_bad_input_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="unknown budget 'huge'"):
        toy(tmp_path, budget="huge")
    with pytest.raises(ValueError, match="seeds = 0"):
        toy(tmp_path, seeds=0)
    with pytest.raises(ValueError, match=r"no table nowhere-desk of toy/fig-1.*python -m tutorial_lib run toy/fig-1"):
        read_table(FIGURE.name, "nowhere", "desk")
    assert not list(tmp_path.iterdir())


def test_t_interval_against_scipy():
    from scipy import stats

    values = [3.1, 4.7, 2.2, 5.9]
    expected = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    assert t_interval([1.0]) == (float("-inf"), float("inf"))


def test_rows_survive_json_exactly(tmp_path):
    """0.1 + 0.2 and friends must come back bit for bit, or a resumed table would differ from an undisturbed one."""
    store = Store(tmp_path / "s.sqlite", "config")
    values = [0.1 + 0.2, 1 / 3, 1e-300, 5e22]
    store.add({}, [{"v": v} for v in values], 0.0, None)
    ((rows, *_),) = store.finished().values()
    assert [r["v"] for r in rows] == values and json.dumps(rows)
