"""`<Repeater>`: tags that the editor shows once for each item of a list that a task has."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from backend.core.errors import LabelingConfigError
from backend.labeling.task_data import find_value
from backend.labeling.xml_tags import Tag, read_tags

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TagT = TypeVar("TagT", bound="DataclassInstance")

TAG = "repeater"
INDEX_FLAG = "{{idx}}"  # where the tag names no other; seen in Label Studio 1.23
LONGEST_NUMBERED = 1000  # characters that an item's number is in; each item has its own of them
# What names a tag, its image or its labels, or says where an image is: an item's number is in them,
# and may be in the labels themselves.
_NUMBERED = ("name", "to_name", "labels_control", "data_key")


@dataclass(frozen=True)
class Repeater:
    """A `<Repeater>`: which list it is shown for, and which tags it holds.

    `data_key` is the task's field with the list, `index_flag` what stands in its tags for an item's
    number, `names` are those of its tags before that is filled in.
    """

    data_key: str
    index_flag: str
    names: frozenset[str]

    def count(self, data: Any) -> int:
        """How many items a task has for it."""
        items = find_value(data, self.data_key)
        return len(items) if isinstance(items, list) else 0

    def repeated(self, tags: Iterable[TagT], count: int) -> list[TagT]:
        """Give each item tags of its own, with its number; the tags outside stay as they are.

        Args:
            tags: as `labeling_config` has them.
            count: of items.
        """
        return [
            copy
            for tag in tags
            for copy in (self._copies(tag, count) if self._holds(tag) else (tag,))
        ]

    def numbered_labels(self, tag: "DataclassInstance") -> tuple[str, ...]:
        """The labels of a tag, if an item's number is in any of them; else none."""
        labels: tuple[str, ...] = getattr(tag, "labels", None) or ()
        return labels if self._holds(tag) and self.index_flag in "\n".join(labels) else ()

    def _holds(self, tag: "DataclassInstance") -> bool:
        return getattr(tag, "name", None) in self.names

    def _copies(self, tag: TagT, count: int) -> Iterator[TagT]:
        texts = {
            field.name: getattr(tag, field.name) for field in fields(tag) if field.name in _NUMBERED
        }
        labels = self.numbered_labels(tag)
        for number in map(str, range(count)):
            filled: dict[str, str | tuple[str, ...]] = {
                name: text.replace(self.index_flag, number)
                for name, text in texts.items()
                if text is not None
            }
            if labels:  # of each its first flag alone, as the editor fills in what lies this deep
                filled["labels"] = tuple(
                    label.replace(self.index_flag, number, 1) for label in labels
                )
            yield replace(tag, **filled)


def read_repeaters(xml: str) -> tuple[Repeater, ...]:
    """Read the Repeaters of a labeling config.

    Args:
        xml: well-formed, without a document type declaration.

    Raises:
        LabelingConfigError: one is in another one, or has texts longer than anybody writes.
    """
    if TAG not in xml.lower():  # as good as always
        return ()
    return tuple(_read(tag) for tag in read_tags(xml.encode()) if tag.kind == TAG)


def _read(repeater: Tag) -> Repeater:
    inside = list(repeater.descendants())
    if any(tag.kind == TAG for tag in inside):
        raise LabelingConfigError(
            "the labeling config has a Repeater inside another one, which is not supported here",
            remedy="take one Repeater, with <Image valueList='...'> in it",
            reason="Repeater in a Repeater is not supported",
        )
    attributes = {name.lower(): value for name, value in repeater.attributes.items()}
    index_flag = attributes.get("indexflag") or INDEX_FLAG
    numbered = (text for tag in inside for text in tag.attributes.values() if index_flag in text)
    longest = max(map(len, numbered), default=0)
    if longest > LONGEST_NUMBERED:
        raise LabelingConfigError(
            f"a text with an item's number in the Repeater has {longest} characters, more than "
            f"{LONGEST_NUMBERED}",
            remedy="take shorter names, labels and values",
            reason=f"Repeater has a text of {longest} characters, at most {LONGEST_NUMBERED}",
        )
    return Repeater(
        data_key=attributes.get("on", "").removeprefix("$"),
        index_flag=index_flag,
        names=frozenset(tag.attributes["name"] for tag in inside if "name" in tag.attributes),
    )
