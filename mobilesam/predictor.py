"""Predictor: embed an image once, then predict masks from its embedding as often as needed.

    predictor = Predictor("mobile_sam.pt")
    embedding = predictor.embed(image)
    masks = predictor.predict(embedding, points_xy=[[x, y]], point_labels=[1])

There is no current image: whatever belongs to an image is in its `Embedding`. One predictor serves
any number of threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mobilesam.embedding_bytes import pack_features, to_half, unpack_features
from mobilesam.errors import DeviceLostError, EmbeddingBytesError, ImageError, PromptError
from mobilesam.images.resize import (
    LOGITS_SIZE,
    to_model_logits,
    to_model_points,
    to_shared_logits,
)
from mobilesam.masks import Masks
from mobilesam.model.prompt_encoder import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, PADDING
from mobilesam.runtimes.choice import open_runtime
from mobilesam.runtimes.device_memory import to_device_with_room, with_room
from mobilesam.runtimes.oom_fallback import OomFallback
from mobilesam.weights.checkpoint import find_checkpoint, identify_weights, read_weights


@dataclass(frozen=True, eq=False)  # equal tensors are no single truth value
class Embedding:
    """What the decoder needs to know of one image. Immutable; any thread may use it.

    `features` is (1, C, G, G) on the device of the predictor that made it, `size_hw` the image's
    height and width in pixels, `model_id` the weights. Every predictor with these weights may
    decode it, whatever its runtime and precision: that changes masks no more than its own does.
    """

    features: Tensor
    size_hw: tuple[int, int]
    model_id: str

    @property
    def nbytes(self) -> int:
        """Memory that the features take, in bytes."""
        return self.features.nbytes

    def in_half_precision(self) -> "Embedding":
        """Round the features to half the bytes, for keeping; masks stay alike: see `pack`."""
        return replace(self, features=to_half(self.features))


class Predictor:
    """One loaded model.

    Args:
        checkpoint: path of a weights file, "demo" for the bundled ones, "official" for the
            downloaded ones.
        device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
        runtime: "torch", "openvino" (on the CPU), or "auto": torch on CUDA, OpenVINO on the CPU,
            and torch there too where OpenVINO cannot be used.
        precision: "float32", "float16" (torch only), or "auto": float16 on CUDA unless the weights
            need more, bfloat16 in OpenVINO where the processor computes in it, else float32.

    Raises:
        CheckpointError: the weights file is missing, damaged or of another model.
        DeviceError: the device does not exist here, or the runtime cannot use it.
        RuntimeChoiceError: no runtime or precision has that name, or it cannot be used here.

    Attributes:
        device: where the model is.
        runtime: "torch" or "openvino".
        precision: of the image encoder, "float32", "bfloat16" or "float16".
        runtime_reason: why it is this device, runtime and precision.
        input_size: side of the square model input in pixels.
        batch_size: images that `embed_batch` encodes at once; 1 where the device gains nothing.
        weights: "official", "demo", or the name of another weights file.
        model_id: the weights' name and the start of their SHA-256; embeddings belong to it. It
            names no runtime and no precision, on purpose: their embeddings are interchangeable, so
            that replicas on different machines can share them.
    """

    def __init__(
        self,
        checkpoint: str | Path = "official",
        device: str = "auto",
        *,
        runtime: str = "auto",
        precision: str = "auto",
    ) -> None:
        path = find_checkpoint(checkpoint)
        weights = read_weights(path)
        weights_id = identify_weights(path)
        self.input_size = weights.sizes.input_size
        self._decoded_size = 4 * weights.sizes.grid_size
        self._runtime, self.runtime_reason = open_runtime(
            weights, weights_id.sha256, device=device, runtime=runtime, precision=precision
        )
        self.device = self._runtime.device
        self.batch_size = self._runtime.batch_size
        self.runtime = self._runtime.name
        self.precision = self._runtime.precision
        self.weights = weights_id.name
        self.model_id = weights_id.model_id

    def on_device_lost(self, act: Callable[[DeviceLostError], None]) -> None:
        """Have something done when the GPU fails for good, before the error is raised."""
        if isinstance(self._runtime, OomFallback):
            self._runtime.on_device_lost = act

    def embed(self, image: NDArray[np.uint8]) -> Embedding:
        """Run the image encoder.

        Args:
            image: (H, W, 3) uint8 RGB, as displayed.

        Raises:
            ImageError: the array has another shape or type.
        """
        (embedding,) = self.embed_batch([image])
        return embedding

    def embed_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Embedding]:
        """Run the image encoder for many images, together where the device gains from that.

        Args:
            images: (H, W, 3) uint8 RGB each, of any sizes.

        Raises:
            ImageError: an array has another shape or type.
        """
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ImageError(
                    f"an image must be (H, W, 3) uint8 RGB, got shape {image.shape} "
                    f"of {image.dtype}"
                )
        embeddings: list[Embedding] = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            embeddings += [
                Embedding(features, (image.shape[0], image.shape[1]), self.model_id)
                for features, image in zip(self._runtime.encode(batch), batch, strict=True)
            ]
        return embeddings

    @torch.inference_mode()
    def predict(
        self,
        embedding: Embedding,
        *,
        points_xy: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box_xyxy: ArrayLike | None = None,
        mask_logits: NDArray[np.float32] | None = None,
        multimask: bool = True,
    ) -> Masks:
        """Decode one prompt for one object.

        Args:
            embedding: of this predictor's `embed`.
            points_xy: (N, 2) pixels of the image, or None.
            point_labels: (N,) 1 on the object, 0 off it; needed with `points_xy`.
            box_xyxy: (4,) left, top, right, bottom in pixels of the image, or None.
            mask_logits: (1, 256, 256) of an earlier answer for this image, or None.
            multimask: three candidates for an ambiguous prompt, else the one mask for a clear one.

        Returns:
            K = 3 masks with `multimask`, else 1.

        Raises:
            PromptError: no prompt at all, or one with wrong shapes, labels or numbers.
        """
        if embedding.model_id != self.model_id:
            raise PromptError(
                f"the embedding is of model {embedding.model_id}, this is {self.model_id}; "
                "embed the image again"
            )
        points, kinds = _read_points(points_xy, point_labels)
        corners = _read_box(box_xyxy)
        if not len(points) and not len(corners) and mask_logits is None:
            raise PromptError("nothing to predict from; give points_xy, box_xyxy or mask_logits")
        points = to_model_points(
            np.concatenate([points, corners]), embedding.size_hw, self.input_size
        )
        if len(corners):
            kinds += [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]
        elif kinds:
            points = np.concatenate([points, np.zeros((1, 2))])
            kinds += [PADDING]
        low_res, iou = self._runtime.decode(
            embedding.features, points, kinds, self._read_logits(mask_logits)
        )
        chosen = slice(1, None) if multimask else slice(0, 1)
        low_res = low_res[chosen]
        return Masks(
            low_res=with_room(
                lambda: to_shared_logits(low_res), lambda: to_shared_logits(low_res.cpu())
            ),
            scores=iou[chosen].cpu().numpy(),
            size_hw=embedding.size_hw,
            input_size=self.input_size,
        )

    def predict_object(
        self,
        embedding: Embedding,
        *,
        points_xy: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box_xyxy: ArrayLike | None = None,
        mask_logits: NDArray[np.float32] | None = None,
    ) -> Masks:
        """Decode one prompt to the one mask that answers it best, K = 1; arguments as `predict`.

        A single point is ambiguous (the shirt or the person?): the best of three candidates. More
        prompts say what is meant: the mask that the model trained for that.
        """
        labels = read_numbers("point_labels", [] if point_labels is None else point_labels)
        is_ambiguous = labels.size == 1 and box_xyxy is None and mask_logits is None
        masks = self.predict(
            embedding,
            points_xy=points_xy,
            point_labels=point_labels,
            box_xyxy=box_xyxy,
            mask_logits=mask_logits,
            multimask=is_ambiguous,
        )
        return masks.best()

    def pack(self, embedding: Embedding) -> bytes:
        """Turn an embedding into bytes, for `unpack` of any predictor with the same weights."""
        return pack_features(embedding.features, embedding.size_hw, embedding.model_id)

    def unpack(self, data: bytes) -> Embedding:
        """Turn the bytes of `pack` into an embedding again, on this predictor's device.

        Raises:
            EmbeddingBytesError: the bytes are damaged, of another format, or of other weights.
        """
        features, size_hw, model_id = unpack_features(data)
        if model_id != self.model_id:
            raise EmbeddingBytesError(
                f"the embedding is of model {model_id}, this is {self.model_id}; "
                "embed the image again"
            )
        # In the layout that the decoder takes, else every click would copy them.
        return Embedding(to_device_with_room(features, self.device), size_hw, model_id)

    def _read_logits(self, mask_logits: NDArray[np.float32] | None) -> Tensor | None:
        if mask_logits is None:
            return None
        expected = (1, LOGITS_SIZE, LOGITS_SIZE)
        if np.shape(mask_logits) != expected:
            raise PromptError(f"mask_logits must be {expected}, got {np.shape(mask_logits)}")
        logits = torch.as_tensor(mask_logits, dtype=torch.float32)
        return to_model_logits(logits, self._decoded_size)


def read_numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return a part of a prompt as an array of its own shape.

    Raises:
        PromptError: text, or rows of different lengths; calls the part `name`.
    """
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} must be an array of numbers: {error}") from error


def require_prompt(
    points_xy: ArrayLike | None, point_labels: ArrayLike | None, box_xyxy: ArrayLike | None
) -> None:
    """Check points and a box as `Predictor.predict` does.

    Raises:
        PromptError: wrong shapes, labels or numbers.
    """
    _read_points(points_xy, point_labels)
    _read_box(box_xyxy)


def _read_points(
    points_xy: ArrayLike | None, point_labels: ArrayLike | None
) -> tuple[NDArray[np.float64], list[int]]:
    points = read_numbers("points_xy", [] if points_xy is None else points_xy)
    labels = read_numbers("point_labels", [] if point_labels is None else point_labels)
    if not points.size and not labels.size:
        return np.zeros((0, 2)), []
    if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
        raise PromptError(
            "points_xy must be (N, 2) and point_labels (N,), "
            f"got shapes {points.shape} and {labels.shape}"
        )
    if not np.isfinite(points).all():
        raise PromptError(f"points_xy must be finite numbers, got {points.tolist()}")
    if not np.isin(labels, (0, 1)).all():
        raise PromptError(f"point_labels must be 1 (on) or 0 (off), got {labels.tolist()}")
    return points, [int(label) for label in labels]


def _read_box(box_xyxy: ArrayLike | None) -> NDArray[np.float64]:
    if box_xyxy is None:
        return np.zeros((0, 2))
    box = read_numbers("box_xyxy", box_xyxy)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise PromptError(f"box_xyxy must be 4 finite numbers, got {box.tolist()}")
    if box[0] >= box[2] or box[1] >= box[3]:
        raise PromptError(f"box_xyxy must have left < right and top < bottom, got {box.tolist()}")
    return box.reshape(2, 2)
