"""Which keys give a mask on the labeling page, as Label Studio 1.23 has them."""

from collections.abc import Iterator, Mapping

from backend.commands.connect.clicks import Target
from backend.labeling.config import LabelingConfig, PromptControl
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.repeaters import TAG as REPEATER
from backend.labeling.repeaters import read_repeaters
from backend.labeling.xml_tags import Tag, read_tags

# As the editor gives them, to whatever takes one, in the order of the config. It goes on with
# letters of tools, such as B: with Auto-Annotation on, such a key may pick the tool.
KEYS = "1234567890qwetasdfgzxcv"
KEYS_NAMED = 3
KEYED = {"label", "rating", "number", "shortcut", "filter", "timeseries"}


def what_to_press(xml: str, target: Target) -> str:
    """Say how to get a mask on the labeling page.

    With one smart tool its key is M, with several each has its own (seen in Label Studio 1.23).

    Args:
        xml: of the labeling config.
        target: what was clicked.
    """
    config = parse_labeling_config(xml).of_task(target.task["data"])
    keys = label_keys(xml)
    controls: dict[bool, PromptControl] = {}
    for control in config.prompt_controls:
        if control.is_smart and control.to_name == target.control.to_name:
            controls.setdefault(control.region_type.startswith("keypoint"), control)
    ways = []
    for clicks, key, act in ((True, "K", "click an object"), (False, "R", "drag a box around one")):
        if tool := controls.get(clicks):
            label = _label_keys(config, tool, keys)
            ways.append(f"press {key if len(controls) > 1 else 'M'}{label}, and {act}")
    return f"Open a task, turn Auto-Annotation on below the image, {'; or '.join(ways)}."


def label_keys(xml: str) -> dict[tuple[str, str], str]:
    """Tell the keys of labels, by the names of their control and of the label.

    Labels without a key are left out, and those behind something that has a number of labels which
    only the task knows. A Repeater's labels are those of its first item.

    Args:
        xml: of a labeling config that `parse_labeling_config` has taken.
    """
    tags = read_tags(xml.encode())
    parents = {id(child): tag for tag in tags for child in tag.children}
    first_names = {
        name: name.replace(repeater.index_flag, "0")
        for repeater in read_repeaters(xml)
        for name in repeater.names
    }
    own = {tag.attributes["hotkey"].lower() for tag in tags if "hotkey" in tag.attributes}
    free: Iterator[str] = iter([key for key in KEYS if key not in own])
    keys: dict[tuple[str, str], str] = {}
    repeater_end = None
    for tag in tags:
        if repeater_end is not None and tag.start >= repeater_end:
            free = iter("")  # the second item's labels come first
        if tag.kind == REPEATER:
            repeater_end = tag.end
        if tag.kind.endswith("labels"):
            if tag.attributes.get("value", "").startswith("$"):
                free = iter("")
            elif _is_true(tag, "allowempty"):
                next(free, None)  # of a label that the editor adds
        if not _takes_key(tag, parents):
            continue
        key = tag.attributes.get("hotkey") or next(free, None)
        control = _control(tag, parents)
        if tag.kind == "label" and key is not None and control is not None:
            name = control.attributes.get("name", "")
            label = tag.attributes.get("alias") or tag.attributes.get("value", "")
            keys[first_names.get(name, name), label] = key
    return keys


def _label_keys(
    config: LabelingConfig, tool: PromptControl, keys: Mapping[tuple[str, str], str]
) -> str:
    """Name the keys of the labels with which a tool gives masks, the first few of them."""
    if tool.labels_control is None:
        return ""
    labels = [label for (label,) in filter(None, config.known_labels(tool))]
    known = [
        f"{keys[tool.labels_control, label]} ({label})"
        for label in labels
        if (tool.labels_control, label) in keys
    ]
    if not known:
        return f", then pick a label of {tool.labels_control!r}"
    more = " ..." if len(labels) > KEYS_NAMED else ""
    return f", then {' or '.join(known[:KEYS_NAMED])}{more}"


def _takes_key(tag: Tag, parents: dict[int, Tag]) -> bool:
    if tag.kind == "choice":  # but not of a taxonomy, or inside another one
        parent = parents.get(id(tag))
        return parent is not None and parent.kind == "choices"
    return tag.kind in KEYED


def _control(tag: Tag, parents: dict[int, Tag]) -> Tag | None:
    """The control whose label it is: there may be a `<View>` or a `<Header>` between them."""
    outer = parents.get(id(tag))
    while outer is not None and not outer.kind.endswith("labels"):
        outer = parents.get(id(outer))
    return outer


def _is_true(tag: Tag, attribute: str) -> bool:
    given = {name.lower(): value for name, value in tag.attributes.items()}
    return given.get(attribute) == "true"
