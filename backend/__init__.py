"""The service: Label Studio's ML backend protocol on top of `mobilesam`."""
