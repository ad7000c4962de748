"""What figures depend on, in one line."""

import importlib.metadata
import os
import platform
from pathlib import Path


def describe_machine(*packages: str) -> str:
    """Name the processor, its cores, Python and some packages with their versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = [f"{package} {importlib.metadata.version(package)}" for package in packages]
    processor = names[0] if names else platform.machine()
    return ", ".join(
        [f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}", *versions]
    )
