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
from mobilesam.predictor import Embedding, Masks, Predictor
from mobilesam.sam import SAM, Result

__all__ = [
    "SAM",
    "CheckpointError",
    "DeviceError",
    "DownloadError",
    "Embedding",
    "EmbeddingBytesError",
    "ImageError",
    "Masks",
    "MobileSamError",
    "Predictor",
    "PromptError",
    "Result",
    "RuntimeChoiceError",
]
