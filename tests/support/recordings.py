"""What Label Studio 1.23 and its page sent and stored: tests/golden/label_studio."""

import json
from pathlib import Path

RECORDINGS = Path(__file__).parents[1] / "golden" / "label_studio"


def recording(name):
    """The content of one file, named without `.json`."""
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def recorded_requests(path=None):
    """Name -> request, of those to a path of the backend or of all."""
    contents = {file.stem: recording(file.stem) for file in sorted(RECORDINGS.glob("*.json"))}
    return {
        name: content
        for name, content in contents.items()
        if isinstance(content, dict)
        and "path" in content
        and (path is None or content["path"] == path)
    }


def brush_regions(name):
    """All brush regions of a recording, at whatever depth they lie."""

    def walk(node):
        if isinstance(node, dict):
            if "rle" in node.get("value", ()):
                yield node
            for child in node.values():
                yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    return list(walk(recording(name)))
