"""What a labeling config lacks for masks, put into its text; every other byte stays as it is."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from backend.core.errors import LabelingConfigError
from backend.labeling.config import LabelingConfig, PromptControl
from backend.labeling.parse_config import parse_labeling_config
from backend.labeling.xml_tags import Tag, read_tags

# What a copied <Label> keeps; a hotkey or a preselection may be there only once.
LABEL_ATTRIBUTES = ("value", "alias", "background", "category", "html", "hint")
NEW_LABEL = b'<Label value="Object" background="#2ecc40"/>'
MOST_PASSES = 10  # each gives what the last one added what it lacks; two are usual
BY_HAND = (
    "add what the first config of docs/labeling-configs.md has by hand, in"
    " Settings > Labeling Interface > Code"
)


class Completion(NamedTuple):
    """A labeling config with which clicks give masks, and what was done to it, if anything."""

    xml: str
    changes: tuple[str, ...]


def complete_labeling_config(xml: str) -> Completion:
    """Add the controls, labels and attributes that a labeling config lacks.

    Every image that has a control for regions gets something smart to prompt with and something
    to receive the masks, with the same labels; where no image has one, the first. Tight boxes are
    no masks, unless smart key points say that they are wanted. What is completed already is not
    changed.

    Args:
        xml: the project's labeling config.

    Returns:
        Its text with the additions.

    Raises:
        LabelingConfigError: it is not XML, shows no image of the task, or cannot be completed.
    """
    changes: list[str] = []
    for _ in range(MOST_PASSES):
        config = parse_labeling_config(xml)
        page = _Page(xml)
        with_controls = {control.to_name for control in config.prompt_controls} | {
            control.to_name for control in config.mask_controls
        }
        images = [name for name in config.images if name in with_controls]
        for image in images or list(config.images)[:1]:
            _Image(page, config, image).complete()
        if not page.changes:
            break
        xml = page.text()
        changes += page.changes
    try:
        parse_labeling_config(xml).require_usable()
    except LabelingConfigError as error:
        raise LabelingConfigError(
            f"this labeling config cannot be completed by a program: {error.message}",
            remedy=BY_HAND,
            reason=error.reason,
        ) from error
    return Completion(xml, tuple(changes))


class _Page:
    """The text and its edits."""

    def __init__(self, xml: str) -> None:
        self._bytes = xml.encode()
        self._edits: list[tuple[int, int, bytes]] = []
        self.tags = read_tags(self._bytes)
        self._names = {
            value
            for tag in self.tags
            for name, value in tag.attributes.items()
            if name.endswith("name")  # Label Studio wants all of these to be different
        }
        self.newline = b"\r\n" if b"\r\n" in self._bytes else b"\n"
        self.changes: list[str] = []

    def replace(self, start: int, end: int, text: bytes, change: str) -> None:
        """Plan an edit; one that is planned already, for another image, is not planned twice."""
        if (start, end, text) not in self._edits:
            self._edits.append((start, end, text))
            self.changes.append(change)

    def text(self) -> str:
        edited = self._bytes
        in_order = sorted(self._edits, key=lambda edit: edit[0])
        for start, end, text in reversed(in_order):  # so that no byte moves before its turn
            edited = edited[:start] + text + edited[end:]
        return edited.decode()

    def new_name(self, stem: str, end: str) -> str:
        number, name = 1, stem + end
        while name in self._names:
            number += 1
            name = f"{stem}{number}{end}"
        self._names.add(name)
        return name

    def control(self, name: str, region_type: str) -> Tag:
        return self._find(name, lambda tag: tag.kind == region_type)

    def labels_control(self, name: str) -> Tag:
        return self._find(name, lambda tag: tag.kind.endswith("labels"))

    def image(self, name: str) -> Tag:
        return self._find(name, lambda tag: tag.kind == "image")

    def controls_of(self, image: str) -> list[Tag]:
        return [tag for tag in self.tags if image in tag.attributes.get("toName", "").split(",")]

    def indent(self, tag: Tag) -> bytes:
        """The white space before a tag, if nothing else stands before it on its line."""
        before = self._bytes[: tag.start].rpartition(b"\n")[2]
        return b"" if before.strip() else before

    def _find(self, name: str, fits: Callable[[Tag], bool]) -> Tag:
        for tag in self.tags:
            if tag.attributes.get("name") == name and fits(tag):
                return tag
        raise LabelingConfigError(
            f"the tag {name!r} of the labeling config was not found in its text", remedy=BY_HAND
        )


class _Image:
    """What one image of the config lacks."""

    def __init__(self, page: _Page, config: LabelingConfig, name: str) -> None:
        self._page = page
        self._name = name
        holding = (repeater for repeater in config.repeaters if name in repeater.names)
        self._name_end = "".join(f"_{repeater.index_flag}" for repeater in holding)
        self._prompts = [
            control
            for control in config.prompt_controls
            if control.to_name == name and control.is_smart
        ]
        clicks = any(control.region_type.startswith("keypoint") for control in self._prompts)
        receiving = [control for control in config.mask_controls if control.to_name == name]
        self._masks = [control for control in receiving if control.output != "rectangle"]
        if clicks and not self._masks:
            self._masks = receiving

    def complete(self) -> None:
        self._write_smart()
        if not self._prompts:
            self._add_prompts()
        if not self._masks:
            self._add_mask()
        else:
            self._add_missing_labels()

    def _write_smart(self) -> None:
        """Say of prompting controls that they are smart, and of brushes that they are not.

        A smart brush would take the brush's key with Auto-Annotation on, and draws nothing.
        """
        for prompt in self._prompts:
            tag = self._page.control(prompt.name, prompt.region_type)
            if "smart" not in tag.attributes:
                self._set_smart(tag, "true")
        for mask in self._masks:
            tag = self._page.control(mask.name, mask.region_type)
            if mask.output == "brush" and tag.attributes.get("smart") != "false":
                self._set_smart(tag, "false")

    def _set_smart(self, tag: Tag, value: str) -> None:
        change = f'smart="{value}" on {_shown(tag)}'
        if "smart" in tag.attributes:
            self._page.replace(*tag.value_span("smart"), value.encode(), change)
        else:
            text = f' smart="{value}"'.encode()
            self._page.replace(tag.attributes_end, tag.attributes_end, text, change)

    def _add_prompts(self) -> None:
        """Add smart key points and rectangles beside what takes the masks, with its labels."""
        if self._masks and not self._masks[0].region_type.endswith("labels"):
            beside = self._page.control(self._masks[0].name, self._masks[0].region_type)
            self._add(beside, "KeyPoint", "point", "true", ())
            self._add(beside, "Rectangle", "box", "true", ())
            return
        beside, labels, value = self._labels_of_regions()
        self._add(beside, "KeyPointLabels", "point", "true", labels, value)
        self._add(beside, "RectangleLabels", "box", "true", labels, value)

    def _add_mask(self) -> None:
        """Add a brush beside what prompts, with the labels of all that prompts."""
        own = [prompt for prompt in self._prompts if prompt.region_type.endswith("labels")]
        if self._prompts and not own:
            beside = self._page.control(self._prompts[-1].name, self._prompts[-1].region_type)
            self._add(beside, "Brush", "mask", "false", ())
            return
        if not own:
            beside, labels, value = self._labels_of_regions()
        else:
            tags = [self._page.control(prompt.name, prompt.region_type) for prompt in own]
            beside, labels, value = tags[-1], _merged_labels(tags), _label_source(tags)
        self._add(beside, "BrushLabels", "mask", "false", labels, value)

    def _labels_of_regions(self) -> tuple[Tag, Sequence[bytes], bytes]:
        """Where the labels of the image's regions stand, as what, or from which field they come."""
        tags = [self._page.control(mask.name, mask.region_type) for mask in self._masks] + [
            tag for tag in self._page.controls_of(self._name) if tag.kind.endswith("labels")
        ]
        for tag in tags:
            labels, value = _merged_labels([tag]), _label_source([tag])
            if labels or value:
                return tag, labels, value
        beside = tags[0] if tags else self._page.image(self._name)
        return beside, [NEW_LABEL], b""

    def _add_missing_labels(self) -> None:
        """Give what takes the masks the labels that only the prompting controls have."""
        for prompt in self._prompts:
            missing = {
                label
                for label in prompt.labels or ()
                if not any(mask.takes((label,)) for mask in self._masks)
            }
            if missing:
                self._add_labels(prompt, missing)
                return  # other controls may lack the same ones

    def _add_labels(self, prompt: PromptControl, missing: set[str]) -> None:
        source = self._page.labels_control(prompt.labels_control or prompt.name)
        labels = _merged_labels([source], only=missing)
        into = self._masks[0].labels_control
        if into is None:
            self._add(source, "BrushLabels", "mask", "false", _merged_labels([source]))
            return
        tag = self._page.labels_control(into)
        names = ", ".join(map(repr, sorted(missing)))
        change = f"the label{'s' if len(missing) > 1 else ''} {names} in {_shown(tag)}"
        children = [child for child in tag.children if child.kind == "label"]
        if tag.is_empty:
            end = f"</{tag.written_kind}>".encode()
            start = tag.end - len(b"/>")
            self._page.replace(start, tag.end, b">" + b"".join(labels) + end, change)
        elif children:
            indent = self._page.indent(children[-1])
            text = b"".join(self._page.newline + indent + label for label in labels)
            text = text if indent else b"".join(labels)
            self._page.replace(children[-1].end, children[-1].end, text, change)
        else:
            self._page.replace(tag.inner_end, tag.inner_end, b"".join(labels), change)

    def _add(
        self,
        beside: Tag,
        kind: str,
        stem: str,
        smart: str,
        labels: Sequence[bytes],
        value: bytes = b"",
    ) -> None:
        """Add a control behind another tag, indented as that one."""
        name = self._page.new_name(stem, self._name_end)
        names = f"name={quoteattr(name)} toName={quoteattr(self._name)}"
        head = f'<{kind} {names} smart="{smart}"'.encode()
        head += b" " + value if value else b""
        indent = self._page.indent(beside)
        line = self._page.newline + indent
        inner = line + (b"\t" if b"\t" in indent else b"  ")
        if labels:
            body = b"".join(inner + label for label in labels)
            text = head + b">" + body + line + f"</{kind}>".encode()
        else:
            text = head + b"/>"
        self._page.replace(beside.end, beside.end, line + text, f"<{kind}> {name!r}")


def _merged_labels(tags: Iterable[Tag], only: set[str] | None = None) -> list[bytes]:
    """The <Label> tags of some controls, each label once, with what may be there twice."""
    labels: dict[str, bytes] = {}
    for tag in tags:
        for child in tag.descendants():
            label = child.attributes.get("alias") or child.attributes.get("value")
            if child.kind != "label" or not label or (only is not None and label not in only):
                continue
            texts = child.attribute_texts()
            kept = [texts[name] for name in LABEL_ATTRIBUTES if name in texts]
            labels.setdefault(label, b"<Label " + b" ".join(kept) + b"/>")
    return list(labels.values())


def _label_source(tags: Iterable[Tag]) -> bytes:
    """The attribute with the task's field that labels come from, if they do."""
    for tag in tags:
        if tag.attributes.get("value", "").startswith("$"):
            return tag.attribute_texts()["value"]
    return b""


def _shown(tag: Tag) -> str:
    return f"<{tag.written_kind}> {tag.attributes.get('name')!r}"
