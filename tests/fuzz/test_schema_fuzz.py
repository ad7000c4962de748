"""Requests made from docs/openapi.yaml by schemathesis, good ones and bad ones, to every route.

Random text is no labeling config and names no image, and nothing would be asked beyond the first
check. So the texts that make a request deep are put in where the example has a text there.
"""

import schemathesis
from fuzzed_service import LONGEST_S, example_settings
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from test_openapi import DOCUMENT

from backend.label_studio.projects import LABELING_CONFIG
from backend.labeling.parse_config import LONGEST_CONFIG

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
]
# What is right in shape may still lack something: 422, never 400.
POSITIVE = ["2xx", "401", "403", "404", "413", "422"]
NEGATIVE = ["400", "401", "404", "405", "413", "422"]
# What a schema cannot say: as many labels as points, a box's left before its right, at most so many
# pixels.
UNSAID = {
    "/playground/masks": [positive_data_acceptance],
    "/playground/downloads/{kind}": [positive_data_acceptance],
}

config = schemathesis.Config.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": POSITIVE},
            "negative_data_rejection": {"expected-statuses": NEGATIVE},
        }
    }
)
api = schemathesis.openapi.from_dict(DOCUMENT, config=config)


def deep(body):
    """Put in the labeling config and an image that the service knows, and write 1.0 as 1.

    The latter are the same number to JSON Schema, and no browser nor Python's `int` writes it so.
    """
    body = _without_fractions_of_zero(body)
    if isinstance(body, dict):
        for name in ("label_config", "schema"):
            if isinstance(body.get(name), str) and len(body[name]) <= LONGEST_CONFIG:
                body[name] = LABELING_CONFIG
        tasks = body.get("tasks")
        for task in tasks if isinstance(tasks, list) else ():
            if isinstance(task, dict):
                task["data"] = {"image": "/a.png"}
        for region in _regions(body):
            if isinstance(region, dict) and isinstance(region.get("to_name"), str):
                region["to_name"] = "image"
    return body


def _without_fractions_of_zero(value):
    if isinstance(value, dict):
        return {name: _without_fractions_of_zero(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_fractions_of_zero(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _regions(body):
    found = body
    for name in ("params", "context", "result"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, list) else []


@api.parametrize()
@settings(**example_settings(60), suppress_health_check=list(HealthCheck))
def test_requests_of_the_schema_are_answered_as_it_says(case, service):
    case.body = deep(case.body)
    response = case.call(app=service.app, timeout=LONGEST_S)
    service.check(response.status_code, response.elapsed)
    checks = [check for check in CHECKS if check not in UNSAID.get(case.path, ())]
    case.validate_response(response, checks=checks)
