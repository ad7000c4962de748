"""What a task says of where its image is, and which file or key that may be.

Label Studio writes one image in many ways: a path below its address, a parameter of a query, a key
of an object store that is no address and is quoted nowhere. Names are compared by their ends, the
longest first: folders tell apart what base names do not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qs, quote, unquote, urlsplit

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio's, before an upload's own name
MOST_FOLDERS = 32  # of an address that are compared

_STORE = re.compile(r"(?is)(?P<scheme>[a-z][a-z0-9+.-]*)://[^/]*/?(?P<key>.*)")
# Files that Label Studio serves itself: the end of the path, and the parameter that names them.
_SERVED = (("/data/local-files", "d"), ("/storage-data/uploaded", "filepath"))


@dataclass(frozen=True)
class TaskImage:
    """An image of a task: `uri` as it stands in the task's data, `page` in a list of images.

    `file_name` and `size_hw` are what it was imported with, where that is known.
    """

    task_id: int
    uri: str
    page: int | None = None
    file_name: str | None = None
    size_hw: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"image of task {self.task_id}" + (
            "" if self.page is None else f", page {self.page + 1}"
        )

    @property
    def is_upload(self) -> bool:
        """Whether it was uploaded: Label Studio has put something before its name."""
        return f"/{address_path(self.uri)}".rpartition("/upload/")[1] != ""


def address_path(uri: str) -> str:
    """The path that an image's address means, without the slash before it.

    Of a local file below its storage's root, of an object store the key: as it stands, since
    there `#`, `?` and `%` are letters as others are.
    """
    if uri[:5].lower() == "data:":
        return ""
    store = _STORE.fullmatch(uri)
    if store and store["scheme"].lower() not in ("http", "https"):
        return store["key"]
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    for end, parameter in _SERVED:
        if parts.path.rstrip("/").endswith(end):
            return next(iter(parse_qs(parts.query).get(parameter, [])), "").lstrip("/")
    return unquote(parts.path).lstrip("/")


def base_name(uri: str) -> str:
    """The name of an image's file, without folders; empty if its address has none."""
    return address_path(uri).rstrip("/").rpartition("/")[2]


def image_names(image: TaskImage) -> Iterator[str]:
    """Yield what an image's file may be called: with all its folders, then with ever fewer.

    First the name that it was imported with; last an upload's own name.
    """
    path = address_path(image.uri)
    paths = [path]
    if "%" in path and path != unquote(path):  # a key that somebody quoted
        paths.append(unquote(path))
    if "\\" in path:  # Windows: a folder, where no file has that very name
        paths.append(path.replace("\\", "/"))
    seen: set[str] = set()
    names = [image.file_name] if image.file_name else []
    for one in paths:
        names += path_ends(one)
    if image.is_upload:
        names.append(own_name(image))
    for name in names:
        if name and name not in seen:
            seen.add(name)
            yield name


def own_name(image: TaskImage) -> str:
    """The base name that an upload had before Label Studio put something in front."""
    return UPLOAD_PREFIX.sub("", base_name(image.uri))


def path_ends(path: str) -> list[str]:
    """A path, and what is left of it without the first folder, the first two, and so on."""
    parts = [part for part in path.split("/") if part]
    first = max(0, len(parts) - MOST_FOLDERS)
    return ["/".join(parts[start:]) for start in range(first, len(parts))]


def stored_name(file_name: str) -> str:
    """The base name as an upload gets it from Django: spaces and most signs are gone."""
    base = PurePosixPath(file_name.replace("\\", "/")).name
    return re.sub(r"(?u)[^-\w.]", "", base.strip().replace(" ", "_"))


def is_address(file_name: str) -> bool:
    """Whether it can be shown as it stands, such as what Label Studio's own COCO has for names."""
    return "://" in file_name or file_name.startswith("/data/")


def address_below(prefix: str, file_name: str) -> str:
    """The address of a file below a prefix: quoted, but for an object store, which takes keys."""
    store = _STORE.fullmatch(prefix)
    if store and store["scheme"].lower() not in ("http", "https"):
        return prefix + file_name
    return prefix + quote(file_name.replace("\\", "/"))
