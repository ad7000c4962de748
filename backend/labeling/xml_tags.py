"""The tags of a labeling config, with the bytes that they span, so that its text can be edited."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

_START_TAG = re.compile(rb"""<[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*>""")
_ATTRIBUTE = re.compile(rb"""\s([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")


@dataclass
class Tag:
    """One tag: `kind` is its name in lower case; `text` is its start tag as it stands there.

    `start` is the byte of its "<", `inner` the first byte behind its start tag, `inner_end` the
    byte of its end tag's "<", and `end` the first byte behind it all.
    """

    kind: str
    attributes: dict[str, str]
    text: bytes
    start: int
    inner: int
    inner_end: int = 0
    end: int = 0
    children: list["Tag"] = field(default_factory=list)

    @property
    def written_kind(self) -> str:
        """Its name with the capitals that it has there."""
        return self.text[1:].split()[0].decode().rstrip("/>")

    @property
    def is_empty(self) -> bool:
        """Whether it is written as `<.../>`."""
        return self.text.endswith(b"/>")

    @property
    def attributes_end(self) -> int:
        """The first byte behind the last attribute."""
        *_, last = _ATTRIBUTE.finditer(self.text)
        return self.start + last.end()

    def descendants(self) -> Iterator["Tag"]:
        """All tags inside, in the order of the text."""
        for child in self.children:
            yield child
            yield from child.descendants()

    def attribute_texts(self) -> dict[str, bytes]:
        """The attributes as they stand there, with their quotes: name -> `name="value"`."""
        return {
            found[1].decode(): found[1] + b"=" + found[2]
            for found in _ATTRIBUTE.finditer(self.text)
        }

    def value_span(self, attribute: str) -> tuple[int, int]:
        """The bytes of an attribute's value, between its quotes."""
        for found in _ATTRIBUTE.finditer(self.text):
            if found[1].decode() == attribute:
                return self.start + found.start(2) + 1, self.start + found.end(2) - 1
        raise KeyError(attribute)


def read_tags(xml: bytes) -> list[Tag]:
    """Find all tags, in the order of the text.

    Args:
        xml: in UTF-8, and well-formed: `parse_labeling_config` has taken it.
    """
    tags: list[Tag] = []
    open_tags: list[Tag] = []
    parser = expat.ParserCreate("utf-8")

    def begin(name: str, attributes: dict[str, str]) -> None:
        start = parser.CurrentByteIndex
        found = _START_TAG.match(xml, start)
        text = found[0] if found else b""
        tag = Tag(name.lower(), attributes, text, start, start + len(text))
        if open_tags:
            open_tags[-1].children.append(tag)
        open_tags.append(tag)
        tags.append(tag)

    def end(_name: str) -> None:
        tag = open_tags.pop()
        tag.inner_end = tag.inner if tag.is_empty else parser.CurrentByteIndex
        tag.end = tag.inner if tag.is_empty else xml.index(b">", tag.inner_end) + 1

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.Parse(xml, True)
    return tags
