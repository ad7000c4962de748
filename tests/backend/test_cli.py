"""How a command's modules are imported; what commands do is tested with each of them."""

import gc
import subprocess
import sys

import pytest

from backend import cli


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Writes a module of that code and has it imported for a command."""
    monkeypatch.syspath_prepend(tmp_path)

    def command(code):
        (tmp_path / "a_command.py").write_text(code)
        return cli._find("a_command:run")

    at_exit = []
    monkeypatch.setattr(cli.atexit, "register", at_exit.append)
    yield command
    sys.modules.pop("a_command", None)
    assert at_exit == [gc.unfreeze]
    gc.unfreeze()


def test_imports_of_a_command_are_never_searched_for_garbage(command):
    enabled_meanwhile = command("import gc\nkept = [[] for _ in range(99)]\nrun = gc.isenabled()\n")
    assert enabled_meanwhile is False
    assert gc.isenabled()
    assert gc.get_freeze_count() > 99


def test_garbage_is_looked_for_after_an_import_that_failed(command):
    with pytest.raises(ZeroDivisionError):
        command("1 / 0")
    assert gc.isenabled()


def test_commands_for_datasets_load_no_model():
    """They took 650 MB instead of 150 while one did."""
    code = (
        "import backend.cli, backend.commands.datasets, sys; "
        "print([name for name in ('torch', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"
