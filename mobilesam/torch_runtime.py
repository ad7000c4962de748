"""The model in torch: float32 on the CPU, half precision and CUDA graphs on a GPU."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.cuda_graph import captured
from mobilesam.model import MobileSAM
from mobilesam.padded_decoder import PROMPT_TOKENS, PaddedDecoder, pad
from mobilesam.resize import pixel_statistics, to_model_input, to_model_input_on_device

CUDA_BATCH_SIZE = 16  # images; more bring no more per second and take memory

Encode = Callable[[Tensor], tuple[Tensor, ...]]
Decode = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]


class TorchRuntime:
    """See `runtime.Runtime`.

    Args:
        model: on the CPU, its norms fused.
        device: the CPU or a CUDA device.
        precision: "auto", float16 on CUDA and float32 on the CPU, or "float32".
    """

    name = "torch"

    def __init__(self, model: MobileSAM, device: torch.device, precision: str = "auto") -> None:
        self.device = device
        is_cuda = device.type == "cuda"
        self._dtype = torch.float16 if is_cuda and precision == "auto" else torch.float32
        self.precision = str(self._dtype).removeprefix("torch.")
        self.batch_size = CUDA_BATCH_SIZE if is_cuda else 1
        self._input_size = model.sizes.input_size
        self._statistics = pixel_statistics(device)
        layout = torch.channels_last if is_cuda else torch.preserve_format
        self._encoder = model.image_encoder.to(  # type: ignore[call-overload] # says less than it can
            device, self._dtype, memory_format=layout
        )
        self._decoder = PaddedDecoder(model).eval().bring_to(device, self._dtype)
        self._no_mask = self._decoder.no_mask().to(self._dtype)
        self._encode_one: Encode | None = None
        self._decode_padded: Decode | None = None
        if is_cuda:
            pixels = torch.zeros(1, 3, self._input_size, self._input_size)
            self._encode_one = captured(lambda x: (self._encoder(x),), (self._to_device(pixels),))
            self._decode_padded = captured(self._decoder, self._decoder.example_inputs())

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """See `Runtime`."""
        pixels = torch.cat([self._to_input(image) for image in images])
        if self._encode_one and len(images) == 1:
            return self._encode_one(pixels)[0]
        features: Tensor = self._encoder(pixels)
        return features

    @torch.inference_mode()
    def decode(
        self,
        features: Tensor,
        points_xy: NDArray[np.float64],
        point_kinds: list[int],
        mask_logits: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """See `Runtime`."""
        image = features.to(self.device, self._dtype).permute(0, 2, 3, 1)
        dense = self._no_mask
        if mask_logits is not None:
            # The captured shape has room for one cell, so a mask's are added here.
            image = image + self._decoder.mask(mask_logits.to(self.device)[None]).to(self._dtype)
            dense = torch.zeros_like(dense)
        if self._decode_padded and len(point_kinds) <= PROMPT_TOKENS:
            prompt = torch.from_numpy(pad(points_xy, point_kinds)).to(self.device)
            logits, iou = self._decode_padded(image, dense, prompt)
        else:
            logits, iou = self._decoder.unpadded(image, dense, points_xy, point_kinds)
        return logits[0].float(), iou[0].float()

    def _to_input(self, image: NDArray[np.uint8]) -> Tensor:
        if self.device.type == "cpu":
            return to_model_input(image, self._input_size)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        return self._to_device(to_model_input_on_device(pixels, self._input_size, self._statistics))

    def _to_device(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.device, self._dtype, memory_format=torch.channels_last)
