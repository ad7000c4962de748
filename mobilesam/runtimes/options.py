"""The words that choose a runtime and a precision; imports no torch, as settings read them."""

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "float32", "float16")
