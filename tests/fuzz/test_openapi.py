"""docs/openapi.yaml says what the service does: its routes, its errors, and what was recorded."""

import re
from pathlib import Path

import jsonschema
import pytest
import schemathesis
import yaml
from recordings import recorded_requests, recording

from backend.core import errors
from backend.core.errors import BackendError, SettingsError

ROOT = Path(__file__).parents[2]
DOCUMENT = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
API = schemathesis.openapi.from_dict(DOCUMENT)


def resolved(node):
    """What a $ref within the document stands for."""
    while "$ref" in node:
        reference, node = node["$ref"], DOCUMENT
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]
    return node


def responses():
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                yield int(status), resolved(response)


def error_codes(response):
    """The codes that an error response's schema allows."""
    schema = response["content"]["application/json"]["schema"]["allOf"][1]
    code = schema["properties"]["error"]["properties"]["code"]
    return code.get("enum") or [code["const"]]


def error_classes(base=BackendError):
    for cls in base.__subclasses__():
        yield cls
        yield from error_classes(cls)


def test_every_route_is_described_and_every_described_route_is_there(service):
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in service.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert described == routes


def test_document_is_openapi_and_all_its_references_lead_somewhere():
    operations = [operation.ok() for operation in API.get_all_operations()]
    assert len({operation.definition.raw["operationId"] for operation in operations}) == len(
        operations
    )
    API.validate()


@pytest.mark.parametrize("name", recorded_requests())
def test_recorded_request_and_its_answer_are_as_described(service, name):
    request = recording(name)
    operation = API[request["path"]][request["method"]]
    body = {}
    if request["body"] is not None:
        described = operation.definition.raw["requestBody"]["content"]["application/json"]
        jsonschema.validate(request["body"], {**DOCUMENT, **described["schema"]})
        body = {"body": request["body"], "media_type": "application/json"}
    case = operation.Case(method=request["method"], **body)
    response = case.call(app=service.app)
    assert response.status_code == 200
    case.validate_response(response)


def test_every_error_with_a_status_is_described_at_that_status():
    described = {}
    for status, response in responses():
        if status >= 400:
            described.setdefault(status, set()).update(error_codes(response))
    for cls in error_classes():
        if issubclass(cls, SettingsError) or cls.__module__ != errors.__name__:
            continue  # wrong settings stop the start
        assert cls.code in described[cls.status], cls
    known = {cls.code for cls in error_classes()} | {"http", BackendError.code}
    assert set().union(*described.values()) <= known


def test_every_error_answer_has_its_headers():
    for status, response in responses():
        assert "X-Request-ID" in response["headers"]
        assert ("WWW-Authenticate" in response["headers"]) == (status == 401)
        assert ("Retry-After" in response["headers"]) == (status == 503)
