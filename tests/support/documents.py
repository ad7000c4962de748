"""The commands of the README and of docs/, as they stand there."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

# Patterns of the commands that tests/browser/test_document_commands_live.py runs, by its tests.
LIVE = {
    "connect_asks_for_what_it_is_not_told": r"python -m backend connect --url \S+",
    "project_is_connected_and_checked": r"python -m backend (connect|check) --project .*",
    "project_is_warmed": r"(MOBILESAM_CACHE_DIR=\S+ )?python -m backend warm --project \d",
    "data_set_comes_in": r"python -m backend import-coco .+",
    "annotations_go_out": r"python -m backend export-coco .+",
    "rectangles_become_masks": r"python -m backend prelabel --.+",
    "service_starts_and_answers": r"([A-Z_]+=\S+ )*python -m backend serve",
    "running_service_answers": r"curl http://localhost:9090/health",
}

FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(
    r"(?:[A-Z_]+=\S+ +)*"  # settings of this one command
    r"(?:make|python[\d.]*|pip|docker|cp|curl|openssl|export|label-studio-ml|\.venv[^ ]*) .+",
    re.DOTALL,
)


def commands_like(pattern: str) -> list[str]:
    """The commands that a pattern describes from beginning to end, in the documents' order."""
    return [command for command in commands() if re.fullmatch(pattern, command)]


def commands() -> dict[str, list[str]]:
    """Command -> names of the documents that have it: fenced, indented or in a sentence.

    What follows two spaces and a # is a comment. Fenced blocks of the shell have commands only, so
    that a line of another kind is one too.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for document in DOCUMENTS:
        text = document.read_text()
        blocks = [block for language, block in FENCED.findall(text) if language == "sh"]
        lines = "".join(blocks).splitlines()
        rest = FENCED.sub("", text)
        indented = re.findall(r"^ {4}(\S.*)$", rest, re.MULTILINE)
        spoken = re.findall(r"`([^`]+)`", re.sub(r"^ {4}\S.*$", "", rest, flags=re.MULTILINE))
        lines += [line for line in indented + spoken if _COMMAND.fullmatch(line)]
        for line in lines:
            command = re.split(r" +# ", " ".join(line.split()) if line in spoken else line)[0]
            if command.strip() and document.name not in found[command.strip()]:
                found[command.strip()].append(document.name)
    return dict(found)
