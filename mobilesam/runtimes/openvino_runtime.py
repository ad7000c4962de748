"""The model in OpenVINO, on the CPU: bfloat16 where the processor computes in it, else float32."""

import logging
import queue
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.images.resize import to_input_pixels
from mobilesam.runtimes.fixed_shape_decoder import PROMPT_TOKENS, FixedShapeDecoder, as_rows, pad
from mobilesam.runtimes.openvino_graphs import load_graphs
from mobilesam.runtimes.silent_openvino import openvino as ov
from mobilesam.weights.checkpoint import Weights

REQUESTS = 2  # of each graph: one computes, the next one copies its inputs and outputs

log = logging.getLogger(__name__)


class OpenVinoRuntime:
    """See `base.Runtime`.

    Args:
        weights: of the model; no image encoder is built of them where its graph is kept.
        weights_sha256: of the file that they came from.
        precision: "auto" or "float32".

    Raises:
        RuntimeError: OpenVINO cannot convert, compile or run the model here.
    """

    name = "openvino"
    device = torch.device("cpu")
    batch_size = 1  # one image keeps all cores busy

    def __init__(self, weights: Weights, weights_sha256: str, precision: str = "auto") -> None:
        core = ov.Core()
        # Threads that bring OpenVINO its first arrays at once would wait for each other for ever.
        ov.Tensor(np.zeros(1, np.float32), shared_memory=True)
        self.precision = "float32" if precision == "float32" else _native_precision(core)
        self._input_size = weights.sizes.input_size
        encoder, decoder, mask_adder = load_graphs(core, weights, weights_sha256)
        self._torch_decoder = FixedShapeDecoder(weights.build_decoder()).eval()
        self._no_mask = self._torch_decoder.no_mask().detach()
        try:
            self._encoder = _Compiled(core, encoder, self.precision)
        except RuntimeError as error:
            if self.precision == "float32":
                raise
            log.warning("OpenVINO computes in float32, %s failed: %s", self.precision, error)
            self.precision = "float32"
            self._encoder = _Compiled(core, encoder, self.precision)
        # Its bfloat16 gains a few milliseconds, and loses as much of the masks as the encoder's.
        self._decoder = _Compiled(core, decoder, "float32")
        self._mask_adder = _Compiled(core, mask_adder, "float32")

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """See `Runtime`."""
        pixels = (to_input_pixels(image, self._input_size)[None] for image in images)
        return [torch.from_numpy(self._encoder(one)[0]).permute(0, 3, 1, 2) for one in pixels]

    @torch.inference_mode()
    def decode(
        self,
        features: Tensor,
        points_xy: NDArray[np.float64],
        point_kinds: list[int],
        mask_logits: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """See `Runtime`."""
        image = features.to(self.device, torch.float32).permute(0, 2, 3, 1)
        dense = self._no_mask
        if mask_logits is not None:  # the decoder's graph is made for prompts without one
            added = self._mask_adder(*map(_contiguous, (image, mask_logits[None])))
            image, dense = torch.from_numpy(added[0]), torch.zeros_like(dense)
        if len(point_kinds) > PROMPT_TOKENS:
            prompt = torch.from_numpy(as_rows(points_xy, point_kinds))
            logits, iou = self._torch_decoder.unpadded(image, dense, prompt)
            return logits[0], iou[0]
        found = self._decoder(_contiguous(image), _contiguous(dense), pad(points_xy, point_kinds))
        return torch.from_numpy(found[0][0]), torch.from_numpy(found[1][0])


class _Compiled:
    """A compiled graph. An infer request serves one thread at a time; the others wait for one."""

    def __init__(self, core: ov.Core, graph: ov.Model, precision: str) -> None:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # beside decodes and other programs, encodes end sooner
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        }
        compiled = core.compile_model(graph, "CPU", options)
        self._idle: queue.SimpleQueue[ov.InferRequest] = queue.SimpleQueue()
        for _ in range(REQUESTS):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        request = self._idle.get()
        try:
            request.infer(list(inputs), share_inputs=True)
            return [np.array(tensor.data) for tensor in request.output_tensors]
        finally:
            self._idle.put(request)


def _contiguous(x: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(x.numpy())


def _native_precision(core: ov.Core) -> str:
    """Return what OpenVINO computes in by itself: bfloat16 where the processor does."""
    native = core.get_property("CPU", "INFERENCE_PRECISION_HINT")
    return "float32" if native == ov.Type.f32 else "bfloat16"
