"""MobileSAM: promptable segmentation of images. Knows nothing of Label Studio."""

from mobilesam.errors import (
    CheckpointError,
    DeviceError,
    DownloadError,
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
    "ImageError",
    "Masks",
    "MobileSamError",
    "Predictor",
    "PromptError",
    "Result",
    "RuntimeChoiceError",
]
