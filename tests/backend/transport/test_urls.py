"""Which URLs are below a base path, whoever reads them."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from backend.transport.urls import path_below

BASE = "https://tools.test/label-studio"


@pytest.mark.parametrize(
    "rest",
    ["/", "/data/upload/1/a.jpg", "/data/local-files/?d=a/../b%2Fc", "/a%20b.jpg?x#y", "/...jpg"],
)
def test_what_follows_the_base_is_returned(rest):
    assert path_below(BASE, BASE + rest) == rest
    assert path_below(BASE, BASE.replace("test", "test:443") + rest) == rest


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://tools.test/other", id="other-path"),
        pytest.param("https://tools.test/label-studio-2/a", id="longer-name"),
        pytest.param("https://tools.test/LABEL-STUDIO/a", id="other-case"),
        pytest.param("http://tools.test/label-studio/a", id="other-scheme"),
        pytest.param("https://tools.test:8443/label-studio/a", id="other-port"),
        pytest.param("https://other.test/label-studio/a", id="other-host"),
        pytest.param("https://other.test\\@tools.test/label-studio/a", id="backslash-host"),
        pytest.param(f"{BASE}/../other/x", id="dots"),
        pytest.param(f"{BASE}/%2e%2e/other/x", id="encoded-dots"),
        pytest.param(f"{BASE}/.%2E/other/x", id="half-encoded-dots"),
        pytest.param(f"{BASE}/%252e%252e/other/x", id="twice-encoded-dots"),
        pytest.param(f"{BASE}/x/%2e%2e/%2e%2e/other", id="deeper"),
        pytest.param(f"{BASE}/..;/other/x", id="parameter"),
        pytest.param(f"{BASE}/..%2fother/x", id="encoded-slash"),
        pytest.param(f"{BASE}/..\\other/x", id="backslash"),
        pytest.param(f"{BASE}/a/..%5c..%5cother", id="encoded-backslash"),
        pytest.param(f"{BASE}/./x", id="one-dot"),
        pytest.param(f"{BASE}/%{'25' * 50_000}2e", id="endlessly-encoded"),
    ],
)
def test_url_that_is_or_may_lead_elsewhere_is_not_below(url):
    assert path_below(BASE, url) is None


PIECES = st.lists(
    st.sampled_from([".", "..", "/", "\\", "%2e", "%2F", "%5C", "%25", "a", ";", "?", "#", "b.png"])
)


@given(PIECES.map("".join))
def test_no_reading_of_a_url_below_leads_out(rest):
    """As urllib3 sends it, and as a server may decode it, any number of times."""
    url = f"{BASE}/{rest}"
    if path_below(BASE, url) is None:
        return
    path = url.removeprefix("https://tools.test").partition("?")[0].partition("#")[0]
    readings = {path}
    for _ in range(6):
        readings |= {unquote(each).replace("\\", "/") for each in readings}
    for reading in readings:
        sent = parse_url(f"https://tools.test{quote(reading, safe='/;')}").path
        assert sent.startswith("/label-studio/")
