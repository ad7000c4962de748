"""What is said of a refused token."""

import pytest
from fake_label_studio import error, token

from backend.label_studio.client import LabelStudio
from backend.transport.transport import Answer


@pytest.mark.parametrize(
    ("kind", "detail", "words", "reason"),
    [
        pytest.param(
            {},
            "... legacy token authentication has been disabled for this organization",
            ["to the legacy token from LABEL_STUDIO_API_KEY", "turn legacy tokens on"],
            "401 from Label Studio, LABEL_STUDIO_API_KEY is a legacy token, these are off",
            id="own-legacy-off",
        ),
        pytest.param(
            {"url_is_set": False, "token_is_set": False},
            "... legacy token authentication has been disabled for this organization",
            ["to the legacy token from /setup", "set LABEL_STUDIO_URL to", "turn legacy tokens on"],
            "401 from Label Studio, set LABEL_STUDIO_API_KEY",
            id="setup-legacy-off",
        ),
        pytest.param(
            {},
            "Invalid\0\ntoken.",
            [r"answered 401 (Invalid\x00\ntoken.)"],
            "401 from Label Studio, check LABEL_STUDIO_API_KEY",
            id="control-characters",
        ),
        pytest.param(
            {},
            "Invalid token.",
            ["answered 401 (Invalid token.)", "to a personal access token"],
            "401 from Label Studio, check LABEL_STUDIO_API_KEY",
            id="wrong",
        ),
    ],
)
def test_refusal_names_the_token_and_the_remedy(kind, detail, words, reason):
    server = LabelStudio("http://127.0.0.1:1", "abc123", **kind)
    refused = server.faults.refused(Answer(401, {}, error(401, detail)[2]))
    assert [word for word in words if word not in str(refused)] == []
    assert refused.reason == reason
    assert "abc123" not in str(refused)


def test_access_token_in_place_of_an_api_key_is_named():
    """A short-lived one works for some minutes; after that, the message says what it is."""
    server = LabelStudio("http://127.0.0.1:1", token("access"))
    assert server.authorization().startswith("Bearer ")
    answer = Answer(401, {}, error(401, "Token is expired")[2])
    assert "to the short-lived access token from LABEL_STUDIO_API_KEY" in str(
        server.faults.refused(answer)
    )
