"""The service: Label Studio's ML backend protocol on top of `mobilesam`."""

__version__ = "0.1.0"
