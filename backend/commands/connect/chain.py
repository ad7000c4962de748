"""A chain of links, each tested only where those that it hangs on hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backend.core.errors import BackendError
from backend.core.text import on_one_line


class Status(StrEnum):
    """What became of a link."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Link:
    """One line of `check`, and one object of its JSON.

    `project` is the project that it is about, if it is about one; `remedy` what to do if it
    failed; `ms` how long what is in `detail` took, where that says something; `steps_ms` its parts.
    """

    name: str
    project: int | None
    status: Status
    detail: str
    remedy: str = ""
    ms: float | None = None
    steps_ms: dict[str, float] | None = None


@dataclass(frozen=True)
class Finding:
    """What the test of a link that holds says."""

    detail: str
    ms: float | None = None
    steps_ms: dict[str, float] | None = None


class Chain:
    """Tests links in order and reports each at once.

    Args:
        report: gets every link.
    """

    def __init__(self, report: Callable[[Link], None]) -> None:
        self._report = report
        self.links: list[Link] = []

    @property
    def holds(self) -> bool:
        """Whether every link is ok; a skipped one is not known to be."""
        return all(link.status is Status.OK for link in self.links)

    def test(
        self,
        name: str,
        test: Callable[[], Finding],
        *,
        needs: Sequence[str] = (),
        project: int | None = None,
    ) -> bool:
        """Test a link.

        Args:
            name: of the link.
            test: says what it found, or raises what is wrong and what to do.
            needs: links of the whole chain, or of this project, without which it cannot be tested.
            project: that it is about.

        Returns:
            Whether it is ok.
        """
        broken = [need for need in needs if not self._is_ok(need, project)]
        if broken:
            link = Link(name, project, Status.SKIPPED, f"needs {broken[0]}")
        else:
            try:
                found = test()
                link = Link(
                    name, project, Status.OK, found.detail, ms=found.ms, steps_ms=found.steps_ms
                )
            except BackendError as error:
                message, remedy = on_one_line(error.message), on_one_line(error.remedy)
                link = Link(name, project, Status.FAILED, message, remedy)
        self._add(link)
        return link.status is Status.OK

    def _add(self, link: Link) -> None:
        self.links.append(link)
        self._report(link)

    def _is_ok(self, name: str, project: int | None) -> bool:
        return any(
            link.name == name and link.project in (None, project) and link.status is Status.OK
            for link in self.links
        )
