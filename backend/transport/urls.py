"""Redirects, and which URLs lie below a base path: nowhere else does a token go."""

import re
from urllib.parse import quote, unquote, urljoin, urlsplit

from backend.transport.transport import origin

MAX_REDIRECTS = 5
MOST_ENCODINGS = 5  # one inside the other; nobody who means well has more than two
REDIRECTS = (301, 302, 303, 307, 308)


def path_below(base: str, url: str) -> str | None:
    """Return what follows a base address in a URL, or None if the URL is not below it.

    Not below it are another scheme, host or port, and a path that a server or a proxy may resolve
    to one outside: with dot segments, backslashes or encoded slashes, however often encoded.

    Args:
        base: without a slash at its end.
        url: absolute.

    Returns:
        The rest, from its slash on, with its query.
    """
    try:
        is_elsewhere = origin(base) != origin(url)
    except ValueError:
        return None
    path = re.sub(r"^[^/]*//[^/?#]*", "", url)
    base_path = urlsplit(base).path
    if is_elsewhere or not path.startswith(f"{base_path}/"):
        return None
    below = path[len(base_path) :]
    return None if is_ambiguous(re.split("[?#]", below)[0]) else below


def is_ambiguous(path: str) -> bool:
    """Whether a path may mean another one to whoever decodes it: it leads up, or hides slashes."""
    segments = path.count("/")
    for _ in range(MOST_ENCODINGS):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return True
    # Some servers cut off `;parameters` of each segment before they resolve it.
    names = [name.partition(";")[0] for name in path.split("/")]
    return "\\" in path or path.count("/") != segments or "." in names or ".." in names


def redirect_target(url: str, location: str) -> str:
    """Return where a redirect leads.

    Args:
        url: that was asked.
        location: the answer's header, as http.client reads it.

    Raises:
        ValueError: to no address.
    """
    location = location.encode("latin-1").decode(errors="replace")  # undo http.client's guess
    return percent_encoded(urljoin(url, location))


def percent_encoded(url: str) -> str:
    """Encode what a URL cannot hold and leave what is encoded already, as browsers do."""
    address = re.match(r"(https?://[^/?#]*)?", url, re.IGNORECASE)
    start = address.end() if address else 0
    return url[:start] + re.sub(
        r"%(?![0-9A-Fa-f]{2})|[^!-~]|[\"<>\\^`{|}]",
        lambda found: quote(found[0], safe="", errors="replace"),
        url[start:],
    )
