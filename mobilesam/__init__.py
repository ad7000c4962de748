"""MobileSAM: promptable segmentation of images. Knows nothing of Label Studio."""

from mobilesam.errors import (
    CheckpointError,
    DeviceError,
    DownloadError,
    EmbeddingBytesError,
    ImageError,
    MobileSamError,
    PromptError,
    RuntimeChoiceError,
)
from mobilesam.mask_runs import MaskRuns
from mobilesam.masks import Masks
from mobilesam.predictor import Embedding, Predictor
from mobilesam.refining import Logits, LogitsMemory, ObjectPrompt, predict_refined
from mobilesam.sam import SAM, Result

__all__ = [
    "SAM",
    "CheckpointError",
    "DeviceError",
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
