"""One HTTP stack: who else opened connections would have rules of its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Package -> the folders and files that may import it.
USERS = {
    # The demo waits for the programs that it has started itself.
    "requests": ("backend/transport/", "backend/commands/demo/"),
    "urllib3": ("backend/transport/",),
    "httpx": (),
    "label_studio_sdk": ("backend/labeling/",),
}


def imported(path):
    """The packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("package", USERS)
def test_http_library_is_imported_in_its_one_place(package):
    files = [path.relative_to(ROOT) for path in (ROOT / "backend").rglob("*.py")]
    users = [str(path) for path in files if package in imported(ROOT / path)]
    assert [user for user in users if not user.startswith(USERS[package])] == []
    assert bool(users) == bool(USERS[package])
