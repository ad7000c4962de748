"""A data set is made beside its place, and moved there when all of it is ready.

A run that fails leaves the earlier data set whole, images included; two runs never mix.
"""

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

from backend.core.atomic_files import is_same_file
from backend.core.errors import DatasetError

PREFIX = ".mobilesam-export-"  # of the folder that a run works in
LOCK = ".mobilesam-export.lock"


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Make a folder to work in, on the disk of a data set and for this run alone.

    Args:
        out: folder of the data set; it is made.

    Yields:
        A folder, which is removed at the end of the `with` block.

    Raises:
        DatasetError: another run works on this data set.
    """
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DatasetError(
            f"another export is writing to {str(out)!r}",
            remedy="wait for it to end, or give another folder with --out",
        ) from None
    try:
        for left in out.glob(f"{PREFIX}*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(mkdtemp(prefix=PREFIX, dir=out))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        (out / LOCK).unlink(missing_ok=True)  # while it is held: nobody else can have it open
        lock.release()


class Originals:
    """The folder that images are read from, of which no file is ever written over.

    Args:
        root: the folder, if there is one.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else root.resolve()

    def holds(self, target: Path) -> bool:
        """Whether something in this folder is at the place of a file to be written."""
        if self._root is None or not os.path.lexists(target):
            return False
        return (target.parent.resolve() / target.name).is_relative_to(self._root)

    def may_be(self, staged: Path, target: Path) -> bool:
        """Whether a file may be at a place: nothing else is there, or the very same."""
        if not self.holds(target):
            return True
        if target.is_dir():
            return False
        return is_same_file(staged, target) or filecmp.cmp(staged, target, shallow=False)


def publish(folder: Path, out: Path, originals: Originals) -> None:
    """Move all files of a folder to the same places below another one.

    What names the images comes last: it never names one that is not there.

    Args:
        folder: that is filled.
        out: of the data set, on the same disk.
        originals: stay as they are; what is there is what would be moved.

    Raises:
        OSError: a folder stands where a file goes, say.
    """
    files = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    for staged in sorted(files, key=lambda path: (path.parent == folder, path)):
        target = out / staged.relative_to(folder)
        if originals.holds(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(target)
