"""CUDA graphs: a function's kernels recorded once and started together ever after."""

import logging
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from mobilesam.runtimes.device_memory import is_out_of_memory

WARM_UP_CALLS = 3  # in which torch chooses and loads its kernels

log = logging.getLogger(__name__)

Function = Callable[..., tuple[Tensor, ...]]


def captured(
    function: Function, examples: tuple[Tensor, ...], *, is_urgent: bool = False
) -> Function:
    """Return a function that replays another one's CUDA graph, for inputs like the examples.

    Any number of threads may call it, on any streams; one runs at a time, and the callers' streams
    wait for it, not the callers. Where the graph cannot be captured, a warning is logged and the
    function itself comes back.

    Args:
        function: waits for nothing on the GPU, and does not depend on numbers that are there.
        examples: on the GPU; their shapes, types and device are those of all inputs.
        is_urgent: its kernels go before those that wait on other streams.

    Raises:
        RuntimeError: the GPU's memory is full (`is_out_of_memory`). That would last for the life of
            the process if the function itself came back.
    """
    try:
        return _Graph(function, examples, priority=-1 if is_urgent else 0)
    except RuntimeError as error:  # torch's CUDA errors are RuntimeErrors
        if is_out_of_memory(error):
            raise
        log.warning(
            "no CUDA graph in torch %s, every kernel is started by itself: %s",
            torch.__version__,
            error,
        )
        return function


class _Graph:
    def __init__(self, function: Function, examples: tuple[Tensor, ...], priority: int) -> None:
        self._lock = threading.Lock()
        self._stream = torch.cuda.Stream(examples[0].device, priority=priority)
        self._graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(examples[0].device))
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._inputs = tuple(example.clone() for example in examples)
            for _ in range(WARM_UP_CALLS):
                function(*self._inputs)
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(
                self._graph, stream=self._stream, capture_error_mode="thread_local"
            ):
                self._outputs = tuple(function(*self._inputs))

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        callers_stream = torch.cuda.current_stream(self._inputs[0].device)
        with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
            self._stream.wait_stream(callers_stream)  # it may be at work on the inputs still
            for place, value in zip(self._inputs, inputs, strict=True):
                place.copy_(value)
                # It may be freed at return, and its memory used again before this copy has run.
                value.record_stream(self._stream)
            self._graph.replay()
            outputs = tuple(output.clone() for output in self._outputs)  # the next overwrites them
        callers_stream.wait_stream(self._stream)
        for output in outputs:
            output.record_stream(callers_stream)  # likewise
        return outputs
