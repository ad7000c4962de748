import subprocess
import sys

import pytest

import mobilesam


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import mobilesam",
        "from mobilesam import CheckpointError, MaskRuns, MobileSamError",
        "from mobilesam.runtimes.options import PRECISIONS, RUNTIMES",
        "import backend.settings.settings",
        "import mobilesam; dir(mobilesam)",
    ],
)
def test_what_needs_no_torch_imports_none(statement):
    assert run(f"{statement}; import sys; print('torch' in sys.modules)") == "False"


def test_names_that_need_torch_are_as_easy_to_import():
    assert run("from mobilesam import SAM, Predictor; print(Predictor.__module__)") == (
        "mobilesam.predictor"
    )
    assert run("from mobilesam import *; print(SAM.__name__)") == "SAM"


def test_every_public_name_is_there_and_listed():
    for name in mobilesam.__all__:
        assert getattr(mobilesam, name).__name__ == name or name == "Logits"
    assert set(mobilesam.__all__) <= set(dir(mobilesam))


def test_unknown_name_is_an_attribute_error_of_the_package():
    with pytest.raises(AttributeError, match=r"module 'mobilesam' has no attribute 'SAM2'"):
        mobilesam.SAM2  # noqa: B018
    with pytest.raises(ImportError, match="SAM2"):
        from mobilesam import SAM2  # noqa: F401, PLC0415


def test_a_module_that_cannot_be_imported_is_named(monkeypatch):
    """Not taken for a name that the package lacks."""
    monkeypatch.delitem(mobilesam.__dict__, "SAM", raising=False)
    monkeypatch.setitem(sys.modules, "mobilesam.sam", None)
    with pytest.raises(ModuleNotFoundError, match=r"mobilesam\.sam"):
        mobilesam.SAM  # noqa: B018
