import pytest
from fake_model import png

PAGE = "http://localhost"  # of Flask's test client


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        pytest.param({}, True, id="a-program"),
        pytest.param({"Origin": PAGE}, True, id="own-page"),
        pytest.param({"Origin": PAGE, "Sec-Fetch-Site": "same-origin"}, True, id="own-page-safe"),
        pytest.param(
            {"Origin": "https://sam.example.org", "Sec-Fetch-Site": "same-origin"},
            True,
            id="behind-a-proxy",
        ),
        pytest.param({"Origin": "http://evil.example"}, False, id="other-site"),
        pytest.param({"Origin": f"{PAGE}:8080"}, False, id="other-port"),
        pytest.param({"Origin": "null"}, False, id="sandbox"),
        pytest.param({"Origin": "http://[::1"}, False, id="no-address"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, False, id="says-cross-site"),
        pytest.param(
            {"Origin": PAGE, "Sec-Fetch-Site": "same-site"}, False, id="says-another-port"
        ),
    ],
)
@pytest.mark.parametrize("address", ["images", "masks", "downloads/png"])
def test_posts_of_other_sites_are_refused(client, predictor, address, headers, passes):
    response = client.post(
        f"/playground/{address}", data=png(10, 10), headers={"Content-Type": "image/png"} | headers
    )
    assert (response.status_code != 403) == passes
    if not passes:
        assert response.status == "403 Request from another site"
        assert response.json["error"]["code"] == "cross_site"
        assert predictor.embedded == []


def test_no_other_site_is_told_that_it_may_ask(client):
    asked = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    response = client.options("/playground/masks", headers=asked)
    assert not [name for name in dict(response.headers) if name.startswith("Access-Control")]
