"""Which weights a benchmark loads: the official ones' sizes, unless others are named."""

import argparse
import importlib.util
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
FULL_SIZE = "full-size"


def add_checkpoint(parser: argparse.ArgumentParser, *, default: str = FULL_SIZE) -> None:
    """Declare `--checkpoint`; its value is what `Predictor` and MOBILESAM_CHECKPOINT take."""
    parser.add_argument(
        "--checkpoint",
        type=_checkpoint,
        default=default,
        help=f"{FULL_SIZE} (fixed random weights of the official sizes, which segment nothing and "
        f"take the time of the official ones), official, demo or a .pt file; default: {default}",
    )


def full_size_weights() -> Path:
    """Write fixed weights of the official sizes, unless they are there, and return their file."""
    path = CACHE / FULL_SIZE / "mobile_sam.pt"  # by this name ultralytics knows what it is
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")  # a run that is stopped leaves no half of a file behind
        write_full_size_weights(part)
        part.replace(path)
    return path


def write_full_size_weights(path: Path) -> None:
    """Write fixed weights in the official layout, those of `tests/golden/parity`."""
    source = ROOT / "tests" / "golden" / "parity" / "parity_weights.py"
    spec = importlib.util.spec_from_file_location(source.stem, source)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state = {name: torch.from_numpy(value) for name, value in module.make_state(seed=0).items()}
    torch.save(state, path)


def _checkpoint(name: str) -> str:
    if name == FULL_SIZE:
        return str(full_size_weights())
    return str(Path(name).resolve()) if Path(name).exists() else name
