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
from mobilesam.masks import MaskRuns, Masks
from mobilesam.predictor import Embedding, Predictor
from mobilesam.sam import SAM, Result

__all__ = [
    "SAM",
    "CheckpointError",
    "DeviceError",
    "DownloadError",
    "Embedding",
    "EmbeddingBytesError",
    "ImageError",
    "MaskRuns",
    "Masks",
    "MobileSamError",
    "Predictor",
    "PromptError",
    "Result",
    "RuntimeChoiceError",
]
