"""The commands that write what travels with the package."""

from pathlib import Path

import pytest
import torch

from tutorial_lib.errors import InputError
from tutorial_lib.shipping import command_line


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_writes_where_it_is_told_and_says_so(tmp_path, capsys):
    """Weights that land elsewhere than the message says are not found again."""
    calls = []

    def write(out, data):
        calls.append((out, data, torch.get_num_threads()))
        return out / "weights"

    assert command_line("python -m a", write, tmp_path, []) == 0
    assert command_line("python -m a", write, tmp_path, ["--out", "there", "--data", "here"]) == 0
    assert calls == [(tmp_path, "data", 1), (Path("there"), "here", 1)]
    assert capsys.readouterr().out.splitlines() == [f"wrote {tmp_path / 'weights'}", f"wrote {Path('there/weights')}"]


def test_bad_input_is_a_line_and_a_bug_is_a_traceback(capsys):
    """The command line's contract: 2 for what the user can mend; anything else must not hide."""

    def refuses(out, data):
        raise InputError("no table: run the sweep first")

    assert command_line("python -m a", refuses, "runs", []) == 2
    found = capsys.readouterr()
    assert found.err == "no table: run the sweep first\n" and not found.out
    with pytest.raises(ZeroDivisionError):
        command_line("python -m a", lambda out, data: 1 / 0, "runs", [])
