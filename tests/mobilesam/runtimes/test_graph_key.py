"""Kept OpenVINO graphs belong to all that shaped them: whoever updates never runs an old one."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import openvino.opset13 as ops
import pytest

import mobilesam
from mobilesam.runtimes import openvino_graphs
from mobilesam.runtimes.openvino_graphs import NAMES, graph_key, load_graphs
from mobilesam.runtimes.silent_openvino import openvino as ov

PACKAGE = Path(mobilesam.__file__).parent
MODEL = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("model/*.py"))
SHAPING = [
    *MODEL,
    "runtimes/fixed_shape_decoder.py",
    "runtimes/openvino_graphs.py",
    "weights/checkpoint.py",
]
SHA256 = "0" * 64


@pytest.fixture
def package(tmp_path):
    """A copy of the package's sources, to edit."""
    return shutil.copytree(PACKAGE, tmp_path / "mobilesam", ignore=shutil.ignore_patterns("*.pt"))


@pytest.mark.parametrize("source", SHAPING)
def test_an_edit_of_any_file_that_shapes_a_graph_makes_a_new_key(package, source):
    before = graph_key(SHA256, package)
    assert before == graph_key(SHA256)
    text = (package / source).read_text()
    (package / source).write_text(text + "# an edit")
    assert graph_key(SHA256, package) != before
    (package / source).write_text(text)
    assert graph_key(SHA256, package) == before


def test_a_new_module_of_the_model_makes_a_new_key(package):
    before = graph_key(SHA256, package)
    (package / "model" / "adapter.py").touch()
    assert graph_key(SHA256, package) != before


def test_code_that_moves_between_two_modules_makes_a_new_key(package):
    before = graph_key(SHA256, package)
    first, second = package / MODEL[-2], package / MODEL[-1]
    whole = first.read_bytes() + second.read_bytes()
    first.write_bytes(whole[:-10])
    second.write_bytes(whole[-10:])
    assert graph_key(SHA256, package) != before


@pytest.mark.parametrize("library", ["openvino", "torch", "timm"])
def test_another_version_of_a_library_makes_a_new_key(monkeypatch, library):
    before = graph_key(SHA256)
    installed = openvino_graphs.version
    monkeypatch.setattr(
        openvino_graphs, "version", lambda name: "0.0" if name == library else installed(name)
    )
    assert graph_key(SHA256) != before


def test_other_weights_make_a_new_key():
    assert graph_key("1" * 64) != graph_key(SHA256)


def test_whatever_the_conversion_imports_is_in_the_key_or_shapes_nothing():
    """A module that moves out of `model` would be forgotten otherwise."""
    code = (
        "import sys, mobilesam.runtimes.openvino_graphs\n"
        "print(*[m for m in sys.modules if m.startswith('mobilesam.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    shaping = {f"mobilesam.{source[:-3].replace('/', '.')}" for source in SHAPING}
    others = set(done.stdout.split()) - shaping
    assert others == {
        "mobilesam.errors",
        "mobilesam.mask_runs",
        "mobilesam.model",
        "mobilesam.runtimes",
        "mobilesam.runtimes.silent_openvino",
        "mobilesam.weights",
        "mobilesam.weights.download",
    }


def test_graphs_of_an_earlier_version_are_converted_anew(monkeypatch, tmp_path):
    def convert(_model):
        conversions.append(1)
        graphs = []
        for _ in NAMES:
            number = ops.parameter([1], ov.Type.f32)
            graphs.append(ov.Model([ops.relu(number)], [number]))
        return graphs

    conversions = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(openvino_graphs, "_convert", convert)
    weights = SimpleNamespace(build_fused_model=lambda: None)
    load_graphs(ov.Core(), weights, SHA256)
    load_graphs(ov.Core(), weights, SHA256)
    assert len(conversions) == 1
    monkeypatch.setattr(openvino_graphs, "version", lambda _library: "99")
    load_graphs(ov.Core(), weights, SHA256)
    assert len(conversions) == 2
