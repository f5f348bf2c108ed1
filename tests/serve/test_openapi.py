"""What the OpenAPI description allows is answered as it says; schemathesis makes up the requests."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from serving import example

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
PATHS = [
    ("GET", "/health"), ("GET", "/api/v1/models"), ("GET", "/api/v1/models/{name}"), ("GET", "/api/v1/runs"),
    ("GET", "/api/v1/runs/{name}"), ("GET", "/api/v1/examples"), ("POST", "/api/v1/predict"),
    ("POST", "/api/v1/predict/stream"), ("POST", "/api/v1/embed"), ("POST", "/api/v1/crystals"),
]  # fmt: skip


@pytest.fixture(scope="module")
def schema(client: httpx.Client):
    return schemathesis.openapi.from_url(str(client.base_url.join("/api/v1/openapi.json")))


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_requests_of_the_description_are_answered_as_it_says(
    client: httpx.Client, schema, method: str, path: str
) -> None:
    operation = schema[path][method]
    n_asked = 0

    @settings(
        max_examples=15,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case) -> None:
        nonlocal n_asked
        n_asked += 1
        response = case.call(base_url=str(client.base_url))
        case.validate_response(response, checks=CHECKS)

    given(operation.as_strategy())(ask)()
    assert n_asked > 0


def test_all_routes_are_described(client: httpx.Client) -> None:
    described = client.get("/api/v1/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} == set(PATHS)
    for methods in described.values():
        for operation in methods.values():
            assert operation["description"]


def test_usual_answers_conform_to_the_description(client: httpx.Client, schema) -> None:
    bodies = {
        "/api/v1/predict": {"structures": [example()], "interval": 90, "neighbours": 2},
        "/api/v1/embed": {"structures": [example()], "model": "band_gap"},
        "/api/v1/crystals": example(),
    }
    for path, body in bodies.items():
        case = schema[path]["POST"].Case(body=body, media_type="application/json")
        response = case.call(base_url=str(client.base_url))
        assert response.status_code == 200
        case.validate_response(response, checks=CHECKS)
    for path in ("/api/v1/models/band_gap", "/api/v1/runs/per-atom"):
        answer = client.get(path)
        assert answer.status_code == 200
