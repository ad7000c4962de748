"""The model in torch: float32 on the CPU, half precision and CUDA graphs on a GPU."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.images.resize import (
    LARGEST_SHRINK,
    pixel_statistics,
    to_model_input,
    to_model_input_on_device,
)
from mobilesam.model.mobile_sam import MobileSAM
from mobilesam.runtimes.cuda_graph import captured
from mobilesam.runtimes.fixed_shape_decoder import PROMPT_TOKENS, FixedShapeDecoder, as_rows, pad

CUDA_BATCH_SIZE = 16  # images; more bring no more per second and take memory

Encode = Callable[[Tensor], tuple[Tensor, ...]]
Decode = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]


class TorchRuntime:
    """See `base.Runtime`.

    Args:
        model: on the CPU, its norms fused.
        device: the CPU or a CUDA device.
        precision: "auto", float16 on CUDA and float32 on the CPU, or "float32" or "float16".
    """

    name = "torch"

    def __init__(self, model: MobileSAM, device: torch.device, precision: str = "auto") -> None:
        self.device = device
        is_cuda = device.type == "cuda"
        if precision == "auto":
            precision = "float16" if is_cuda else "float32"
        self.precision = precision
        self._dtype = torch.float16 if precision == "float16" else torch.float32
        self.batch_size = CUDA_BATCH_SIZE if is_cuda else 1
        self._input_size = model.sizes.input_size
        self._statistics = pixel_statistics(device)
        self._encoder = model.image_encoder.to(device, self._dtype)
        self._decoder = FixedShapeDecoder(model).eval().bring_to(device, self._dtype)
        self._no_mask = self._decoder.no_mask().to(self._dtype)
        self._encode_one: Encode | None = None
        self._decode_fixed: Decode | None = None
        self._encode_stream: torch.cuda.Stream | None = None
        if is_cuda:
            self._encoder.to(memory_format=torch.channels_last)
            pixels = torch.zeros(1, 3, self._input_size, self._input_size)
            self._encode_one = captured(lambda x: (self._encoder(x),), (self._to_device(pixels),))
            self._decode_fixed = captured(
                self._decoder, self._decoder.example_inputs(), is_urgent=True
            )
            self._encode_stream = torch.cuda.Stream(device)
            torch.cuda.synchronize(device)  # other streams may use all this from now on

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """See `Runtime`."""
        if self._encode_stream is None:
            return self._encode(images)
        # On the clicks' stream, each transfer of a click would wait for the encodes before it.
        with torch.cuda.stream(self._encode_stream):
            features = self._encode(images)
            self._encode_stream.synchronize()
        for row in features:
            row.record_stream(torch.cuda.current_stream(self.device))
        return features

    def _encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        pixels = torch.cat([self._to_input(image) for image in images])
        if self._encode_one and len(images) == 1:
            return [self._encode_one(pixels)[0]]
        rows = self._encoder(pixels).split(1)
        return [row if len(rows) == 1 else row.clone() for row in rows]

    @torch.inference_mode()
    def decode(
        self,
        features: Tensor,
        points_xy: NDArray[np.float64],
        point_kinds: list[int],
        mask_logits: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """See `Runtime`."""
        decode: Decode = self._decoder.unpadded
        as_prompt = as_rows
        if self._decode_fixed is not None and len(point_kinds) <= PROMPT_TOKENS:
            decode, as_prompt = self._decode_fixed, pad
        rows = as_prompt(points_xy, point_kinds)
        prompt, logits_before = self._to_device_at_once(rows, mask_logits)
        image = features.to(self.device, self._dtype).permute(0, 2, 3, 1)
        dense = self._no_mask
        if logits_before is not None:
            # The captured shape has room for one cell, so a mask's are added here.
            image = image + self._decoder.mask(logits_before).to(self._dtype)
            dense = torch.zeros_like(dense)
        logits, iou = decode(image, dense, prompt)
        return logits[0].float(), iou[0].float()

    def _to_device_at_once(
        self, rows: NDArray[np.float32], mask_logits: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Bring a prompt (1, N, 3) and logits (1, 4G, 4G) to the device, in one transfer."""
        prompt = torch.from_numpy(rows)
        if mask_logits is None:
            return prompt.to(self.device, non_blocking=True), None
        numbers = torch.cat([prompt.flatten(), mask_logits.cpu().flatten()])
        # Memory that is not pinned is read before this returns, so nothing needs to be waited for.
        numbers = numbers.to(self.device, non_blocking=True)
        prompt, logits = numbers.tensor_split([rows.size])
        return prompt.view(rows.shape), logits.view(1, *mask_logits.shape)

    def _to_input(self, image: NDArray[np.uint8]) -> Tensor:
        is_huge = max(image.shape) > LARGEST_SHRINK * self._input_size
        if self.device.type == "cpu" or is_huge:
            return self._to_device(to_model_input(image, self._input_size))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        return self._to_device(to_model_input_on_device(pixels, self._input_size, self._statistics))

    def _to_device(self, pixels: Tensor) -> Tensor:
        layout = torch.preserve_format if self.device.type == "cpu" else torch.channels_last
        return pixels.to(self.device, self._dtype, memory_format=layout)
