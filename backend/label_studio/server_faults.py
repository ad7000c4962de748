"""What to say when a Label Studio does not answer as it should, or refuses its token."""

from dataclasses import dataclass

from backend.core.errors import LabelStudioError
from backend.core.text import on_one_line, without_secrets
from backend.transport.addresses import ForbiddenAddressError
from backend.transport.transport import Answer, TransportError

_LEGACY_IS_OFF = "legacy token authentication has been disabled"
_KNOWN_DETAILS = (_LEGACY_IS_OFF, "Invalid token", "Token is invalid", "Token is expired")


@dataclass(frozen=True)
class ServerFaults:
    """The errors of one Label Studio; the remedy depends on who named its address and its token.

    Args:
        url: its base address.
        token_kind: in Label Studio's words.
        url_is_set: whether `url` is LABEL_STUDIO_URL; else a /setup request named it.
        token_is_set: whether the token is LABEL_STUDIO_API_KEY; else a /setup request brought it.
        may_quote: whether errors may say what it answered. Not where anybody may have named it:
            the errors go back to whoever that was, and would show answers from inside a network.
    """

    url: str
    token_kind: str
    url_is_set: bool
    token_is_set: bool
    may_quote: bool = True

    def without_token(self) -> LabelStudioError:
        """Explain that no token for this server is known."""
        return LabelStudioError(
            f"no token for Label Studio at {without_secrets(self.url)} is known",
            remedy=self._token_remedy(),
            reason="no token for Label Studio, set LABEL_STUDIO_API_KEY",
        )

    def damaged_token(self) -> LabelStudioError:
        """Explain that the token cannot be sent."""
        return LabelStudioError(
            f"the token for Label Studio at {without_secrets(self.url)} from "
            f"{self._token_source} holds characters that no token has",
            remedy=self._token_remedy(),
            reason=f"damaged token from {self._token_source}, set LABEL_STUDIO_API_KEY",
        )

    def refused(self, answer: Answer) -> LabelStudioError:
        """Explain a 401 of this server."""
        detail = on_one_line((answer.field("detail") or "without a reason")[:200])
        if not self.may_quote:
            detail = next((known for known in _KNOWN_DETAILS if known in detail), "for a reason")
        remedy = self._token_remedy()
        short = f"{'check' if self.token_is_set else 'set'} LABEL_STUDIO_API_KEY"
        if _LEGACY_IS_OFF in detail:
            remedy += ", or turn legacy tokens on (Organization > API Tokens Settings)"
            if self.token_is_set:
                short = "LABEL_STUDIO_API_KEY is a legacy token, these are off"
        return LabelStudioError(
            f"Label Studio at {without_secrets(self.url)} answered 401 ({detail}) "
            f"to the {self.token_kind} from {self._token_source}",
            remedy=remedy,
            reason=f"401 from Label Studio, {short}",
        )

    def redirected(self, place: str) -> LabelStudioError:
        """Explain that this server sends what is meant for it to another origin."""
        return LabelStudioError(
            f"Label Studio at {without_secrets(self.url)} redirects to {without_secrets(place)}",
            remedy="if that is Label Studio's right address, set LABEL_STUDIO_URL to it",
            reason="Label Studio redirects elsewhere, set LABEL_STUDIO_URL",
        )

    def unreachable(self, why: str | TransportError, *, task: str = "") -> LabelStudioError:
        """Explain that this server did not answer as it should.

        Args:
            why: what it did, continuing a sentence that starts with its address.
            task: what it was asked to do, continuing "did not".
        """
        in_short = why.in_short if isinstance(why, ForbiddenAddressError) else why
        seen = "its address as seen from this service (in a container, localhost is the container)"
        if self.url_is_set:
            remedy, short = f"check that it runs and that LABEL_STUDIO_URL is {seen}", "check"
        else:
            remedy, short = f"set LABEL_STUDIO_URL to {seen}, and LABEL_STUDIO_API_KEY", "set"
        if isinstance(why, TransportError) and why.remedy:
            remedy = why.remedy
        did = f"did not {task}: it {why}" if task else why
        return LabelStudioError(
            f"Label Studio at {without_secrets(self.url)} {did}",
            remedy=remedy,
            reason=f"Label Studio {in_short}, {short} LABEL_STUDIO_URL",
        )

    @property
    def _token_source(self) -> str:
        return "LABEL_STUDIO_API_KEY" if self.token_is_set else "/setup"

    def _token_remedy(self) -> str:
        url = "" if self.url_is_set else "LABEL_STUDIO_URL to Label Studio's address and "
        return (
            f"set {url}LABEL_STUDIO_API_KEY to a personal access token "
            "(Label Studio's Account & Settings page)"
        )
