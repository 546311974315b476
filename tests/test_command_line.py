"""The command line as a user meets it: output, files, exit codes, errors."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tutorial_lib.__main__ import main
from tutorial_lib.papers import claims, experiments
from tutorial_lib.sweep import read_table, shipped

ROOT = Path(__file__).parent.parent


def test_list_json_names_every_experiment(capsys):
    assert main(["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [e["name"] for e in entries] == list(experiments())
    by_name = {e["name"]: e for e in entries}
    assert by_name["activation-noise/fig-3"]["item"] == "Figure 3"
    assert by_name["activation-noise/fig-3"]["budgets"]["paper"] == 20 * 10  # 20 α at training, 10 seeds
    absent = {claim.experiment for claim in claims() if claim.datasets == ("tiny-imagenet",)}  # a download of 240 MB
    claimed = {claim.experiment for claim in claims() if claim.datasets != ("tiny-imagenet",)}
    assert absent == {"vpn/table-3", "vpn/fig-2"} and "vpn/table-3" not in claimed
    for entry in entries:
        assert {"smoke"} <= set(entry["budgets"]) <= {"smoke", "desk", "paper"}
        desk = any(t["budget"] == "desk" and t["rows"] > 0 for t in entry["results"])
        assert desk or entry["name"] not in claimed, f"{entry['name']} has claims and no table"


def test_every_shipped_table_can_be_trusted():
    """Whatever lies in a folder of runs can be taken into the package: a trial on own data, or of uncommitted code."""
    from tutorial_lib.data import NAMES
    from tutorial_lib.sweep import RESULTS, identity_of, provenance

    known_sweeps = {experiment.sweep.name: experiment.sweep for experiment in experiments().values()}
    paths = sorted(RESULTS.rglob("*.csv"))
    assert {path.parent.relative_to(RESULTS).as_posix() for path in paths} <= set(known_sweeps)
    for path in paths:
        known, table = provenance(path), pd.read_csv(path)
        name, budget = path.stem.rpartition("-")[::2]
        data, config = known["dataset"], known["configuration"]
        assert name == data["name"] and name in (*NAMES, "none") and config["dataset"] == name, f"{path}: own data"
        assert budget == config["budget"] and known["rows"] == len(table) > 0
        assert known["commits"] and not any("dirty" in c or " " in c for c in known["commits"]), f"{path}: no commit"
        sweep = known_sweeps[known["sweep"]]
        assert config.get("data") == sweep.config(budget, name).get("data"), f"{path}: another selection of data"
        inputs = {"data_sha256": data.get("sha256"), "target_sha256": data.get("target", {}).get("sha256")}
        assert known["identity"] == identity_of(config, "cpu", {k: v for k, v in inputs.items() if v}) or (
            "CPU" not in known["device"]
        )
        assert known["seeds"] == sorted(table["seed"].unique()) == list(range(len(known["seeds"])))


def test_shipped_tables_meet_their_promise():
    """CIFAR-10 and MNIST and digits at desk: seeds, the α and n that the scoreboard needs, trained networks."""
    from tutorial_lib.papers import read_table
    from tutorial_lib.sweep import RESULTS, provenance

    for dataset in ("cifar-10", "mnist", "digits"):
        table = read_table("activation-noise/fig-3", dataset, "desk")
        gaussian = table[table["distribution"] == "gaussian"]
        assert gaussian["seed"].nunique() >= (3 if dataset == "mnist" else 5)
        assert table["n"].max() == (30 if dataset == "mnist" else 10_000)
        assert {0.0, 0.5, 0.9, 1.5} <= set(gaussian["alpha_train"])
        balanced = gaussian[gaussian["alpha_train"] == gaussian["alpha_inference"]].dropna(subset="accuracy")
        learned = balanced["error"] < balanced["mean_image_error"]
        assert learned.all(), "an untrained network passes for a result"
        known = provenance(RESULTS / f"activation-noise/fig-3/{dataset}-desk.csv")  # the sweep's table
        assert known["rows"] == len(table) and known["dataset"]["sha256"] and known["commits"]
        assert "/" not in known["command"].split(" run ")[1].replace("activation-noise/fig-3", "")
    assert read_table("activation-noise/fig-3", "cifar-10", "desk")["alpha_inference"].nunique() >= 8


@pytest.mark.parametrize("name", [name for name, experiment in experiments().items() if shipped(experiment)])
def test_every_shipped_table_is_drawn(name):
    """A drawing made for one data set's networks may fail on another's."""
    experiment = experiments()[name]
    for t in shipped(experiment):
        drawing = experiment.draw(read_table(experiment, t["dataset"], t["budget"]), t["dataset"])
        assert hasattr(drawing, "savefig") or len(drawing), (name, t["dataset"])


def test_shipped_tables_of_explicit_regularisation_meet_their_promise():
    """Every figure; baselines that fitted their data, so that there is something to regularise."""
    from tutorial_lib.draw import pick
    from tutorial_lib.papers import read_table
    from tutorial_lib.papers.explicit_reg.figures import EXPERIMENTS
    from tutorial_lib.papers.explicit_reg.sweeps import BASELINE, STRENGTHS, TRAINING
    from tutorial_lib.sweep import RESULTS, provenance

    for experiment in EXPERIMENTS:
        own = [d for d in ("cifar-10", "digits") if experiment.sweep is TRAINING and experiment.suits(d)] or ["desk"]
        own = ["cifar-10", "diabetes", "digits"] if experiment.sweep is STRENGTHS else own  # where there are controls
        for dataset in own:
            if dataset == "desk":
                dataset = experiment.config("desk")["dataset"]
            table = read_table(experiment.name, dataset, "desk")
            known = provenance(RESULTS / experiment.sweep.name / f"{dataset}-desk.csv")
            fewer = {"explicit-reg/training/cifar-10": 5, "explicit-reg/strengths/cifar-10": 2}
            fewer |= {"explicit-reg/strengths/diabetes": 5, "explicit-reg/strengths/digits": 5}
            assert table["seed"].nunique() >= fewer.get(f"{experiment.sweep.name}/{dataset}", 10)
            assert known["rows"] >= len(table) and known["commits"]
            assert not any("dirty" in commit for commit in known["commits"])
            assert table["value" if "value" in table else "change"].notna().all()
    for dataset, fitted in (("cifar-10", 70), ("digits", 98)):
        table = pick(read_table("explicit-reg/fig-8", dataset, "desk"), measure="training accuracy", kind=BASELINE)
        means = table.groupby(["network", "activation"])["value"].mean()
        assert len(means) == 4 and means.min() > fitted
    curves = pick(read_table("explicit-reg/fig-7", "diabetes", "desk"), measure="test loss")
    assert curves.groupby(["kind", "x"])["value"].mean().groupby("kind").min().max() < 0.7  # a constant has 1


def test_shipped_tables_of_noise_injection_nodes_meet_their_promise():
    """Every item on its data; without regularisation the networks have learned their task."""
    from tutorial_lib.draw import pick
    from tutorial_lib.papers import read_table
    from tutorial_lib.papers.ninr.dynamics import PAPER_STRENGTHS
    from tutorial_lib.papers.ninr.figures import EXPERIMENTS, NETWORKS, label
    from tutorial_lib.papers.ninr.sweeps import NONE, TRAINING
    from tutorial_lib.sweep import RESULTS, provenance

    for experiment in EXPERIMENTS:
        own = {"ninr/training": "mnist", "ninr/fig-3": "mnist"}
        dataset = own.get(experiment.sweep.name, experiment.config("desk")["dataset"])
        table = read_table(experiment.name, dataset, "desk")
        known = provenance(RESULTS / experiment.sweep.name / f"{dataset}-desk.csv")
        assert table["seed"].nunique() == experiment.config("desk", dataset)["seeds"] >= 5
        assert known["rows"] >= len(table) and known["commits"]
        assert not any("dirty" in commit for commit in known["commits"])
        assert table["value"].notna().all()
    accuracy = pick(read_table("ninr/fig-2", "mnist", "desk"), measure="accuracy", x=0.0, kind=NONE)
    assert accuracy.groupby("network")["value"].mean().min() > 85
    shift = read_table("ninr/table-1", "mnist", "desk")
    assert pick(shift, measure="target accuracy", kind=NONE)["value"].min() > 50
    target = provenance(RESULTS / "ninr/table-1/mnist-desk.csv")["dataset"]["target"]
    assert target["name"] == "usps" and target["sha256"]
    table = read_table("ninr/fig-2", "mnist", "desk")
    kinds = {label(*key) for key in table[["network", "kind", "sigma"]].drop_duplicates().itertuples(index=False)}
    eight = {"none", "L2", "dropout", "CDT (0.4)"} | {
        f"{kind}, {phase}" for kind in ("in-NINR", "full-NINR") for phase in ("decay", "catapult")
    }
    assert eight <= kinds and set(table["network"]) == {"fc", "cnn"} <= set(NETWORKS)
    assert set(PAPER_STRENGTHS) <= set(read_table("ninr/fig-3", "mnist", "desk")["strength"])
    points = TRAINING.grid(TRAINING.config("desk", "mnist"))
    assert len(read_table("ninr/fig-2", "mnist", "desk").groupby(["network", "kind", "sigma"])) == len(
        [p for p in points if p["distribution"] == "gaussian" and p["optimizer"] == "sgd"]
    )


def test_shipped_tables_of_positive_incentive_noise_meet_their_promise():
    """Every item but Table 3; five seeds; bases that learned, and noise in every cell of Tables 1 and 2."""
    from tutorial_lib.draw import pick
    from tutorial_lib.papers import read_table
    from tutorial_lib.papers.vpn.figures import EXPERIMENTS
    from tutorial_lib.papers.vpn.sweeps import BASELINES, FIXED, JOINT, NONE, TINY, TRAINING

    for experiment in EXPERIMENTS:
        if experiment.sweep is TINY:
            assert not shipped(experiment)  # not measured, and said so
            continue
        for known in shipped(experiment):
            table = read_table(experiment.name, known["dataset"], "desk")
            assert table["seed"].nunique() >= (2 if experiment.sweep is BASELINES else 5)
            assert table["value"].notna().all()
    for known in shipped(experiments()["vpn/table-1"]):
        table = read_table("vpn/table-1", known["dataset"], "desk")
        alone = pick(table, kind=NONE, measure="accuracy")
        assert alone.groupby(["base", "optimizer"])["value"].mean().min() > 20, "a base that did not learn"
        points = TRAINING.grid(TRAINING.config("desk", known["dataset"]))
        for item, kind in (("vpn/table-1", JOINT), ("vpn/table-2", FIXED)):
            noisy = pick(read_table(item, known["dataset"], "desk"), kind=kind, measure="strength")
            assert (noisy["value"] > 0).all()
            assert len(noisy.groupby(["base", "optimizer", "generator"])) == sum(
                p["generator"] != "none" for p in points
            )


def test_fashion_mnist_and_a_target_from_files(tmp_path):
    """The paper's own data run through the same command, from files as torchvision keeps them; USPS as a target."""
    import numpy as np
    from test_data import write_mnist

    draw = np.random.default_rng(0)
    y = np.arange(240) % 10
    x = draw.integers(0, 256, (240, 28, 28))
    write_mnist(tmp_path, {"x_train": x, "y_train": y, "x_test": x[:60], "y_test": y[:60]}, "FashionMNIST")
    where = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["run", "ninr/fig-2", "--dataset", "fashion-mnist", *where]) == 0
    table = pd.read_csv(tmp_path / "out/ninr/training/fashion-mnist-smoke.csv")
    used = table[(table["measure"] == "sigma used") & (table["kind"] == "in-NINR") & (table["optimizer"] == "sgd")]
    assert set(used["value"]) == {51.8, 231.6, 2.8, 87.5}  # at 28x28 pixels the paper's σ_ε are as they stand
    assert (tmp_path / "out/ninr/training/fashion-mnist-smoke-table-2.txt").exists()
    known = json.loads((tmp_path / "out/ninr/training/fashion-mnist-smoke.json").read_text())
    assert "FashionMNIST" in known["dataset"]["source"]


def test_a_changed_target_is_a_changed_configuration(tmp_path):
    """Cells that were measured on one USPS are not taken for cells of another."""
    import numpy as np

    from tutorial_lib.sweep import run

    experiment = experiments()["ninr/table-1"]
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (240, 8, 8), dtype=np.uint8), np.arange(240) % 10
    np.savez(tmp_path / "digits.npz", x_train=x, y_train=y, x_test=x[:60], y_test=y[:60])
    target = json.loads(json.dumps(experiment.sweep.settings["smoke"]["default"]))
    target |= {"target": "usps", "networks": ["fc"], "kinds": ["none"]}
    sweep = type(experiment.sweep)("ninr/table-1", experiment.sweep.cell, experiment.sweep.grid,
                                   {"smoke": {"default": target}})  # fmt: skip
    other = type(experiment)("ninr/table-1", "", "", "", sweep, experiment.draw)
    found = []
    for images in (x[:60], 255 - x[:60]):
        np.savez(tmp_path / "usps.npz", x_test=images, y_test=y[:60])
        run(other, [other], out=tmp_path / "out", folder=tmp_path, progress=False)
        found.append(json.loads((tmp_path / "out/ninr/table-1/digits-smoke.json").read_text())["dataset"]["target"])
    with contextlib.closing(sqlite3.connect(tmp_path / "out/ninr/table-1/digits-smoke.sqlite")) as db:
        assert db.execute("SELECT COUNT(DISTINCT identity) FROM finished").fetchone()[0] == 2
    assert found[0]["name"] == "usps" and found[0]["sha256"] != found[1]["sha256"]


@pytest.fixture(scope="module")
def smoke_runs(tmp_path_factory):
    """One folder for all: figures that are views of one sweep compute its cells once."""
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.parametrize("name", list(experiments()))
def test_every_experiment_runs_at_smoke_and_is_drawn(name, smoke_runs, capsys):
    assert main(["run", name, "--out", str(smoke_runs)]) == 0
    experiment = experiments()[name]
    table = smoke_runs / experiment.sweep.name / f"{experiment.config('smoke')['dataset']}-smoke.csv"
    assert len(pd.read_csv(table)) > 0
    assert json.loads(table.with_suffix(".json").read_text())["sweep"] == experiment.sweep.name
    drawn = [table.with_name(f"{table.stem}-{name.rpartition('/')[2]}{kind}") for kind in (".png", ".txt")]
    assert sum(path.exists() for path in drawn) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and f"wrote {table}" in captured.err


def test_a_set_of_the_readers_own(tmp_path):
    """An .npz of other images, gray, 12x12, three classes, runs through the same command."""
    import numpy as np

    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (240, 12, 12), dtype=np.uint8), np.arange(240) % 3
    file = tmp_path / "mine.npz"
    np.savez(file, x_train=x, y_train=y, x_test=x[:60], y_test=y[:60])
    run = ["run", "activation-noise/table-1", "--dataset", str(file), "--out", str(tmp_path / "out")]
    assert main(run) == 0
    assert (tmp_path / "out/activation-noise/fig-3/mine-smoke-table-1.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "activation-noise/fig-99"], "unknown experiment 'activation-noise/fig-99'; choose from"),
        (["run", "activation-noise/fig-3", "--dataset", "mnits"], "unknown data set 'mnits'"),
        (["run", "activation-noise/fig-3", "--dataset", "no/such.npz"], "no file"),
        (["run", "activation-noise/fig-3", "--seeds", "0"], "seeds = 0"),
        (
            ["run", "explicit-reg/fig-7", "--dataset", "digits"],
            "fig-7 has nothing to show on digits; what has: explicit",
        ),
        (["run", "explicit-reg/fig-3", "--dataset", "diabetes"], "fig-3 has nothing to show on diabetes; what has: "),
        (["run", "activation-noise/fig-3", "--workers", "0"], "--workers 0: expected at least 1"),
        (["run", "activation-noise/fig-5", "--dataset", "nonsense"], "fig-5 uses no data: leave --dataset"),
        (["run", "activation-noise/fig-5", "--dataset", "DIR/evil.npz"], "fig-5 uses no data: leave --dataset"),
        (["run", "activation-noise/fig-5", "--train", "10"], "fig-5 uses no data: leave --dataset"),
        (["run", "activation-noise/fig-3", "--test", "400"], "400 test images"),
        (["run", "ninr/fig-3", "--train", "5"], "none of the 5 training images is of class"),
        (["run", "explicit-reg/fig-3", "--train", "5"], "none of the 5 training images is of class"),
        (["run", "activation-noise/fig-3", "--size", "12"], "12x12 pixels: expected multiples of 8 (--size S"),
        (["run", "explicit-reg/fig-3", "--size", "6"], "digits does not suit explicit-reg/fig-3: "),
        (["run", "ninr/fig-9", "--size", "4"], "digits does not suit ninr/fig-9: "),
        (["run", "explicit-reg/theorem-1", "--dataset", "diabetes"], "theorem-1 has nothing to show on diabetes"),
        (["run", "ninr/fig-2", "--dataset", "diabetes"], "fig-2 has nothing to show on diabetes"),
        (["run", "ninr/fig-3", "--dataset", "diabetes"], "fig-3 has nothing to show on diabetes"),
        (["run", "ninr/table-1", "--dataset", "diabetes"], "table-1 has nothing to show on diabetes"),
        (["run", "ninr/fig-9", "--dataset", "diabetes"], "fig-9 has nothing to show on diabetes"),
        (["run", "activation-noise/fig-3", "--dataset", "diabetes"], "fig-3 has nothing to show on diabetes"),
        (["run", "activation-noise/fig-3", "--dask", "nonsense"], "--dask nonsense: no scheduler answers there"),
        (["run", "activation-noise/fig-3", "--device", "cuda:99"], "--device cuda:99"),
        (["run", "activation-noise/fig-3", "--dask", "tcp://127.0.0.1:1"], "no scheduler answers"),
    ],
)
def test_bad_input_exits_2_with_a_clear_error_and_writes_nothing(arguments, message, tmp_path, capsys):
    if "--dask" in arguments:
        pytest.importorskip("distributed")
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == "" and "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_a_figure_with_its_own_data_set_takes_it_and_leaves_other_figures_out(smoke_runs):
    """Figure 7 is about regression: by default on diabetes, and the figures of classifiers are not written for it."""
    assert main(["run", "explicit-reg/fig-7", "--out", str(smoke_runs)]) == 0
    written = {path.name for path in smoke_runs.glob("explicit-reg/training/diabetes-smoke*.png")}
    assert written == {f"diabetes-smoke-{item}.png" for item in ("fig-7", "fig-9", "control")}
    known = json.loads((smoke_runs / "explicit-reg/training/diabetes-smoke.json").read_text())
    assert known["command"].endswith("--dataset diabetes --seeds 1") and known["dataset"]["name"] == "diabetes"


def test_the_training_cell_is_what_the_method_says():
    """Rows of a cell against the method called by hand: kinds, layers and measures are not mixed up on the way."""
    import torch

    from tutorial_lib import load_data, mlp
    from tutorial_lib.measure import grams, hessian_trace
    from tutorial_lib.papers.explicit_reg import sweeps as er

    config = {**er.TRAINING.config("smoke"), "folder": "", "device": "cpu"}
    rows = er.training_cell(config, "mlp", "elu", "noise", "+", 0.1, seed=1)
    data = load_data("digits", seed=1, **config["data"])
    torch.manual_seed(1)
    model = mlp(144, 10, activation=torch.nn.ELU)
    er.train(model, data.x_train, data.y_train, "noise", 0.1, "+", config, 1)
    with torch.no_grad():
        output = model(data.x_test)
    found = {(r["measure"], r.get("layer"), r.get("sigma")): r["value"] for r in rows}
    accuracy = 100 * (output.argmax(1) == data.y_test).float().mean().item()
    assert found["accuracy", None, 0.0] == pytest.approx(accuracy)
    last = [r["value"] for r in rows if r["measure"] == "test loss" and r["x"] == 2]
    assert last == pytest.approx([torch.nn.functional.cross_entropy(output, data.y_test).item()])
    _, g = grams(model, data.x_test[:8], ["act1"])
    assert found["jacobian norm", 1, None] == pytest.approx(g[0].diagonal(dim1=1, dim2=2).sum(1).sqrt().mean().item())

    rows = er.training_cell(config, "mlp-32", "elu", "regulariser", "×", 0.01, seed=1)
    torch.manual_seed(1)
    model = mlp(144, 10, (32, 32), torch.nn.ELU)
    er.train(model, data.x_train, data.y_train, "regulariser", 0.01, "×", config, 1)
    traces = hessian_trace(model, data.x_train, data.y_train, probes=2, seed=1)
    last = {r["layer"]: r["value"] for r in rows if r["measure"] == "hessian trace" and r["x"] == 2}
    assert [last[k] for k in range(3)] == pytest.approx(list(traces.values()), rel=1e-4)


def test_usage_errors_exit_2():
    with pytest.raises(SystemExit) as stop:
        main(["run", "activation-noise/fig-3", "--budget", "huge"])
    assert stop.value.code == 2


def test_claims_in_words_and_as_json(capsys):
    """Results go to standard output, so that `claims | grep` finds them."""
    assert main(["claims", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert len(entries) >= 8
    assert main(["claims"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == len(entries) and captured.err == ""
    assert all(
        e["id"] in line and e["verdict"] in line for e, line in zip(entries, captured.out.splitlines(), strict=True)
    )


def test_list_in_words_is_a_result():
    """`list | grep ninr` found nothing: the table went to standard error. A reader that stops early is no error."""
    listing = [sys.executable, "-m", "tutorial_lib", "list"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(experiments()) and done.stderr == ""
    reader = subprocess.Popen(listing, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    reader.stdout.close()
    assert reader.stderr.read() == b"" and reader.wait() == 0


# ---- one wing must not break the others ----

WING = {
    "__init__.py": 'NUMBER, SLUG, TITLE, NOTE = 9, "made-up", "A made-up paper", ""\n',
    "figures.py": """
import pandas as pd
from ...sweep import Experiment, Sweep

def cell(config, a, seed):
    return [{"value": a + seed}]

SETTINGS = {"smoke": {"default": {"seeds": 2}}}
SWEEP = Sweep("made-up/fig-1", cell, lambda config: [{"a": 1.0}], SETTINGS, {"smoke": "none"})
EXPERIMENTS = [
    Experiment("made-up/fig-1", "Figure 1", "Made up", "none", SWEEP, lambda table, dataset: pd.DataFrame({"m": [1]}))
]
""",
    "claims.py": """
from ...claims import Claim

def rule(*tables):
    return {}["kind"]

CLAIMS = [
    Claim(id="made-up", paper="made-up", item="Figure 1", claim="It works", reported=None, reported_text="it works",
          reported_error="none", rule=rule, experiment=None)
]
""",
}


@pytest.fixture
def project(tmp_path):
    """A copy of the package with one wing more; project(changes, *words) runs the command line there."""
    shutil.copytree(ROOT / "tutorial_lib", tmp_path / "tutorial_lib", ignore=shutil.ignore_patterns("__pycache__"))
    wing = tmp_path / "tutorial_lib/papers/made_up"

    def go(changes, *words):
        shutil.rmtree(wing, ignore_errors=True)
        wing.mkdir()
        for name, text in {**WING, **changes}.items():
            if text is not None:
                (wing / name).write_text(text)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [sys.executable, "-m", "tutorial_lib", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return go


def test_a_new_wing_is_found_by_itself(project):
    """It needs no edit elsewhere, and a budget that it lacks is simply not there."""
    listed = project({}, "list", "--json")
    entries = {e["name"]: e for e in json.loads(listed.stdout)}
    assert entries["made-up/fig-1"]["budgets"] == {"smoke": 2} and len(entries) == len(experiments()) + 1
    assert listed.stderr == ""
    done = project({}, "run", "made-up/fig-1", "--budget", "paper")
    assert done.returncode == 2 and "made-up/fig-1 has no budget 'paper': choose from smoke" in done.stderr
    assert project({}, "run", "made-up/fig-1").returncode == 0


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({}, ["claims"], "made-up on the paper's tables: KeyError: 'kind'"),
        ({"claims.py": None}, ["claims"], "made_up/claims.py is left out (ModuleNotFoundError"),
        ({"claims.py": "1 +"}, ["claims"], "made_up/claims.py is left out (SyntaxError"),
        ({"figures.py": "import nowhere"}, ["list"], "made_up/figures.py is left out (ModuleNotFoundError"),
        ({"__init__.py": None}, ["list"], "made_up has no __init__.py"),
        ({"__init__.py": ""}, ["list"], "made_up is left out (AttributeError"),
        (
            {"figures.py": WING["figures.py"].replace("SWEEP, lambda", "None, lambda")},
            ["list"],
            "made-up/fig-1 is left out",
        ),
        (
            {"figures.py": WING["figures.py"].replace('[{"a": 1.0}]', "config['grid']")},
            ["list"],
            "made-up/fig-1 is left out (KeyError: 'grid')",
        ),
    ],
)
def test_a_broken_wing_is_named_and_the_others_go_on(project, changes, words, said):
    done = project(changes, *words)
    assert done.returncode == 0 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "activation-noise" in done.stdout if words == ["list"] else "balanced-gain" in done.stdout


def test_a_folder_without_code_is_no_wing(project):
    """A change of branch leaves folders with nothing but caches behind."""
    done = project(dict.fromkeys(WING), "list")
    assert done.returncode == 0 and done.stderr == ""


def test_a_bug_shows_its_traceback(project):
    """A ValueError inside a cell is no bad input of the user's: it must not pass for one."""
    broken = {"figures.py": WING["figures.py"].replace("a + seed", 'int("x")')}
    done = project(broken, "run", "made-up/fig-1")
    assert done.returncode == 1 and "Traceback" in done.stderr and "invalid literal" in done.stderr


def test_own_data_smaller_than_a_budget_can_be_used(tmp_path, capsys):
    """A preset asks for 200 images; a set of 40 runs with --train and --test, and says so where they are left out."""
    import numpy as np

    x, y = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2 * 1000
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    run = ["run", "activation-noise/fig-3", "--dataset", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "out")]
    assert main(run) == 2
    assert "200 training images" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*run, "--train", "30", "--test", "10", "--size", "16"]) == 0
    known = json.loads((tmp_path / "out/activation-noise/fig-3/mine-smoke.json").read_text())
    assert known["configuration"]["data"] == {"size": 16, "train": 30, "test": 10}
    assert known["command"].endswith("--train 30 --test 10 --size 16 --seeds 1")


# ---- clusters and interrupts ----


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "one worker killed"])
def test_the_command_line_on_a_real_cluster(tmp_path, kill):
    """Two workers; tables, exit code 0 and the paths named, also when one of them is killed."""
    distributed = pytest.importorskip("distributed", reason="needs the extra tutorial-lib[cluster]")
    options = {"processes": True, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        command = [sys.executable, "-m", "tutorial_lib", "run", "activation-noise/fig-3", "--seeds", "4"]
        command += ["--dask", cluster.scheduler_address, "--out", str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        store = tmp_path / "activation-noise/fig-3/digits-smoke.sqlite"
        if kill:
            with distributed.Client(cluster) as client:
                pids = [info["pid"] for info in client.run(lambda: {"pid": os.getpid()}).values()]
            while process.poll() is None and not finished_cells(store):
                time.sleep(0.02)
            os.kill(pids[0], signal.SIGKILL)
        out, error = process.communicate(timeout=300)
    assert process.returncode == 0 and out == "" and "Traceback" not in error, error
    assert f"wrote {store.with_suffix('.csv')}" in error and finished_cells(store) == 8
    assert set(pd.read_csv(store.with_suffix(".csv"))["seed"]) == {0, 1, 2, 3}


def test_an_address_without_a_scheduler_is_refused_in_one_line():
    """distributed prints a traceback of its own before ours is said."""
    pytest.importorskip("distributed")
    for address in ("nonsense", "tcp://127.0.0.1:1", ""):
        command = [sys.executable, "-m", "tutorial_lib", "run", "activation-noise/fig-3", "--dask", address]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert f"--dask {address}: no scheduler answers there" in done.stderr


def finished_cells(store) -> int:
    """Cells that a run has kept so far; 0 before its store is there."""
    if not store.exists():
        return 0
    with contextlib.closing(sqlite3.connect(store)) as db, contextlib.suppress(sqlite3.OperationalError):
        return db.execute("SELECT COUNT(*) FROM finished").fetchone()[0]
    return 0


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_exits_130_and_the_same_command_goes_on(tmp_path, workers):
    """Control-C reaches the workers, too: what is said must be one line, not a traceback a worker."""
    run = [sys.executable, "-m", "tutorial_lib", "run", "activation-noise/fig-3", "--out", str(tmp_path), "--seeds"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*run, "100", "--workers", str(workers)],  # more than it can finish
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
    )
    store = tmp_path / "activation-noise/fig-3/digits-smoke.sqlite"
    while process.poll() is None and not finished_cells(store):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and b"run the same command again" in error and b"Traceback" not in error
    kept = finished_cells(store)
    assert 1 <= kept < 200
    assert subprocess.run([*run, "3"], env=environment, capture_output=True).returncode == 0
    assert finished_cells(store) == max(kept, 6)  # only what was missing of the first three seeds
    table = pd.read_csv(store.with_suffix(".csv"))
    assert set(table["seed"]) == {0, 1, 2}


def test_a_number_for_a_sentence_is_the_tables_mean_or_an_error(tmp_path, monkeypatch):
    """`read_value`: a sentence must not say what its table has lost."""
    from tutorial_lib import papers
    from tutorial_lib.errors import InputError

    table = pd.DataFrame(
        [
            {"kind": k, "x": x, "seed": s, "value": v + s}
            for k, v in (("a", 1.0), ("b", 5.0))
            for x in (0, 1)
            for s in (0, 1)
        ]
    )
    monkeypatch.setattr(papers, "read_table", lambda name, dataset, budget: table)
    assert papers.read_value("n", "d", kind="a") == 1.5 and papers.read_value("n", "d", kind=["a", "b"], x=1) == 3.5
    assert papers.read_value("n", "d", column="x", kind="a") == 0.5
    for wrong in ({"kind": "c"}, {"kind": ["a", "c"]}, {"other": 1}, {"kind": "a", "x": [0, 2]}):
        with pytest.raises(InputError, match="no rows with"):
            papers.read_value("n", "d", **wrong)
    with pytest.raises(InputError, match="not as many each"):
        table.drop(index=0, inplace=True)
        papers.read_value("n", "d", kind="a")
    table.loc[1, "value"] = float("nan")
    with pytest.raises(InputError, match="not a number"):
        papers.read_value("n", "d", kind="a", x=0)
