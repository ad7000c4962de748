"""Text from outside, made safe for messages and logs."""

from urllib.parse import urlsplit, urlunsplit


def without_secrets(url: str) -> str:
    """A URL for messages and logs: no user, no password, no query, which may hold a signature.

    On one line, whatever the URL holds.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    netloc = parts.netloc.rpartition("@")[2]
    url = urlunsplit((parts.scheme, netloc, parts.path, "..." if parts.query else "", ""))
    return on_one_line(url[:200])


def on_one_line(text: str) -> str:
    """Escape, as `repr` does, what is not printable in text from outside, for messages."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
