"""MobileSAM: promptable segmentation of images. Knows nothing of Label Studio.

The names that need torch are imported when they are first used (PEP 562): `import mobilesam`, an
error class or a constant costs no seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mobilesam.errors import (
    CheckpointError,
    DeviceError,
    DeviceLostError,
    DownloadError,
    EmbeddingBytesError,
    ImageError,
    MobileSamError,
    PromptError,
    RuntimeChoiceError,
)
from mobilesam.mask_runs import MaskRuns

if TYPE_CHECKING:
    from mobilesam.masks import Masks
    from mobilesam.predictor import Embedding, Predictor
    from mobilesam.refining import Logits, LogitsMemory, ObjectPrompt, predict_refined
    from mobilesam.sam import SAM, Result

__version__ = "0.1.0"  # of the whole product; pyproject.toml reads it here

__all__ = [
    "SAM",
    "CheckpointError",
    "DeviceError",
    "DeviceLostError",
    "DownloadError",
    "Embedding",
    "EmbeddingBytesError",
    "ImageError",
    "Logits",
    "LogitsMemory",
    "MaskRuns",
    "Masks",
    "MobileSamError",
    "ObjectPrompt",
    "Predictor",
    "PromptError",
    "Result",
    "RuntimeChoiceError",
    "predict_refined",
]

_MODULES = {
    "SAM": "sam",
    "Embedding": "predictor",
    "Logits": "refining",
    "LogitsMemory": "refining",
    "Masks": "masks",
    "ObjectPrompt": "refining",
    "Predictor": "predictor",
    "Result": "sam",
    "predict_refined": "refining",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # so that this is called once for each name
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
