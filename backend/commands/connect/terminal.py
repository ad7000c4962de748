"""Questions to whoever sits at the terminal, and what happens where nobody does."""

import getpass
import sys
from collections.abc import Sequence

from backend.core.errors import BackendError


class Terminal:
    """Asks, says, and never waits for an answer that cannot come.

    Args:
        says_yes: to every question that changes something (`--yes`).
    """

    def __init__(self, *, says_yes: bool) -> None:
        self._says_yes = says_yes

    def say(self, text: str) -> None:
        """Print a line at once."""
        print(text, flush=True)

    def confirm(self, question: str) -> bool:
        """Ask for a yes, which is also what Enter means.

        Raises:
            BackendError: nobody is there, and `--yes` was not given.
        """
        if self._says_yes:
            self.say(f"{question} yes (--yes)")
            return True
        self._need(question, "add --yes")
        return _line(f"{question} [Y/n] ").lower() in ("", "y", "yes")

    def ask(self, question: str, *, option: str, default: str = "") -> str:
        """Ask for a line of text.

        Args:
            question: what is asked.
            option: what gives the answer without a question.
            default: what Enter means.

        Raises:
            BackendError: nobody is there.
        """
        self._need(question, f"give it with {option}")
        shown = f" [{default}]" if default else ""
        return _line(f"{question}{shown}: ") or default

    def ask_secret(self, question: str, *, option: str) -> str:
        """Ask for what must not be shown; raises like `ask`."""
        self._need(question, f"give it with {option}")
        return getpass.getpass(f"{question} (not shown): ").strip()

    def choose(self, question: str, choices: Sequence[tuple[str, str]], *, option: str) -> str:
        """Ask for one of several, by what stands in front of each; raises like `ask`."""
        self._need(question, f"give it with {option}")
        for key, text in choices:
            self.say(f"  {key:>5}  {text}")
        keys = [key for key, _ in choices]
        while True:
            answer = _line(f"{question}: ")
            if answer in keys:
                return answer
            self.say(f"{answer!r} is none of them.")

    def _need(self, question: str, remedy: str) -> None:
        if not sys.stdin.isatty():
            raise BackendError(
                f"this needs an answer and there is no terminal to ask: {question}",
                remedy=f"{remedy}, or run it in a terminal",
            )


def _line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        raise BackendError("no answer came", remedy="run it again and answer") from None
