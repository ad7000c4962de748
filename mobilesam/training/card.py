"""The card of trained weights: what they learnt from, and what that changed on held-out images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]  # of `evaluation.report.rows`


def write_card(
    path: Path, facts: Mapping[str, Any], before: Sequence[Row], after: Sequence[Row]
) -> None:
    """Write a card as JSON and, beside it, as Markdown.

    Args:
        path: of the JSON file; the Markdown has the same name with `.md`.
        facts: what to know of the run (parent, data, seed, what was trained ...), ready for JSON.
        before: measured with the parent's weights, on the held-out images.
        after: measured with the new ones: the same prompts in the same order.
    """
    content = {**facts, "held_out": {"before": list(before), "after": list(after)}}
    path.write_text(json.dumps(content, indent=2) + "\n")
    lines = [f"# {facts.get('name', path.stem)}", ""]
    for key, value in facts.items():
        if key != "name":
            lines.append(f"- **{key.replace('_', ' ')}**: {_as_text(value)}")
    lines += ["", "Mean IoU (95 % interval) on the held-out images:", ""]
    lines += ["| objects | prompt | number | before | after |", "|---|---|---|---|---|"]
    for old, new in zip(before, after, strict=True):
        cells = [new["group"], new["prompt"], new["objects"], _iou(old), _iou(new)]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")


def _as_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_as_text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_as_text(inner) for inner in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _iou(row: Row) -> str:
    mean, low, high = row["iou"]
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"
