"""Everything that can go wrong in the model, as a tree.

    MobileSamError
    ├── CheckpointError   a weights file that is not one of ours
    ├── DownloadError     the weights could not be fetched or stored
    ├── DeviceError       a device that is not there, or computes nothing
    │   └── DeviceLostError   it did, and will not again in this process
    ├── RuntimeChoiceError   a runtime or precision that is not there
    ├── EmbeddingBytesError   stored bytes that are no embedding
    ├── PromptError       points, boxes or logits that are no prompt (also a ValueError)
    ├── TrainingError   data that nothing can be learnt from, or a run that cannot go on
    └── ImageError        an array or file that is no image (also a ValueError)

Every message says what came, what was expected, and what to do.
"""


class MobileSamError(Exception):
    """Base of all errors of this package."""


class CheckpointError(MobileSamError):
    """The weights file is missing, damaged, or of another model."""


class DownloadError(MobileSamError):
    """The weights file could not be fetched, or not stored where it belongs."""


class DeviceError(MobileSamError):
    """The device has no such name, or this machine does not have it."""


class DeviceLostError(DeviceError):
    """The GPU failed for good: nothing computes on it until this process is started anew."""


class EmbeddingBytesError(MobileSamError):
    """The bytes of a stored embedding are truncated, damaged or of another format."""


class RuntimeChoiceError(MobileSamError):
    """No runtime or precision has that name, or it cannot be used on this machine."""


class TrainingError(MobileSamError):
    """There is too little to learn from, or the run's folder belongs to another run."""


class PromptError(MobileSamError, ValueError):
    """The prompt's shapes, labels or numbers cannot be used."""


class ImageError(MobileSamError, ValueError):
    """The image is not (H, W, 3) uint8, or its file cannot be read."""
