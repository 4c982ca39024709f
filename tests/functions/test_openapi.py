"""functions/openapi.yaml says what the running functions do: schemathesis calls them by it, and every status is provoked."""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import requests
import urllib3

from emulator.faults import Fault
from emulator.processes import ROOT, free_port, server_process
from tests.support.callers import ADDRESSES, Caller, new_caller
from wpp.errors import SYSTEM_NAMES, CallerError, HolderRefused, UpstreamError, WppError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.stack import Stack

DESCRIPTION = ROOT / "functions/openapi.yaml"
CONFORMANCE = ("status_code", "content_type", "response_headers", "response_schema")
# A valid request is answered 422 too if its key came with other options before, 404 if it names a number that is not there, and
# 409 if it names none and there are several.
SETTINGS = """
warnings.fail-on = true
[[operations]]
exclude-operation-id = "status"
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 422]
"""
OF_THE_SERVER = {"content-type", "content-length", "date", "server", "connection", "transfer-encoding"}


@pytest.fixture(scope="module")
def addresses(_stack: Stack) -> Iterator[dict[str, str]]:
    """All functions several times: as ever, with little time, for one role only, with public keys, without configuration."""
    env = _stack.environment()
    kinds = {"usual": env, "hurried": env | {"WPP_DEADLINE_SECONDS": "3"}, "unconfigured": {}}
    kinds["restricted"] = env | {"WPP_ALLOWED_ROLES": "nobody", "WPP_ROLE_COLUMN": "id"}
    kinds["keyed"] = {name: value for name, value in env.items() if name != "SUPABASE_JWT_SECRET"}
    servers = {kind: server_process(env | {"WPP_QR_WAIT_SECONDS": "1"}, free_port()) for kind, env in kinds.items()}
    try:
        for server in servers.values():
            server.wait_until_ready()
        yield {kind: f"{server.url}/functions/v1" for kind, server in servers.items()}
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture(scope="module")
def description() -> Any:
    import schemathesis  # here, because it takes long, and every process collects these tests
    from schemathesis.checks import load_all_checks

    load_all_checks()
    return schemathesis.openapi.from_path(DESCRIPTION)


@pytest.mark.slow
def test_calls_made_up_from_the_description_are_answered_as_it_says(
    stack: Stack, addresses: dict[str, str], tmp_path: Path
) -> None:
    stack.platform.settings.qr_delay = 0.0
    caller = new_caller(stack, {})
    assert caller.call_at(f"{addresses['usual']}/wpp-create").status_code == 200
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [str(Path(sys.executable).with_name("st")), "run", str(DESCRIPTION), "--url", addresses["usual"]]
    command += ["--header", f"Authorization: Bearer {caller.token}", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "4", "--seed", "1", "--continue-on-failure", "--suppress-health-check", "all"]
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ran = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout
    tested = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert tested, ran.stdout
    assert int(tested[2]) > 100


def stranger(caller: Caller) -> Caller:
    """A user of no organization."""
    caller.stack.supabase.add_user(f"no-{caller.user_id}@example.com")
    caller.token = caller.stack.supabase.sign_in(f"no-{caller.user_id}@example.com")
    return caller


def reused(caller: Caller, url: str) -> requests.Response:
    caller.call_at(url, Idempotency_Key="once")
    return caller.call_at(url, {"add_new": True}, Idempotency_Key="once")


def claimed_by_another(caller: Caller, url: str) -> requests.Response:
    claim = {"id": "another", "expiresAt": int((time.time() + 30) * 1000)}
    settings = {"wppClaim": claim, "wppIdempotencyKey": "another's"}
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, is_active=False, is_primary=True, settings=settings
    )
    return caller.call_at(url)


def forbidden_row(caller: Caller, url: str) -> requests.Response:
    """The answer where a unique index leaves room for one messenger, and another one has it."""
    where = f"where organization_id = '{caller.organization_id}'"
    name = f"one_{caller.organization_id[:8]}"
    caller.stack.supabase.execute(f"create unique index {name} on messenger_integrations (organization_id) {where}")
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, provider="other")
    return caller.call_at(url)


def without_keys(caller: Caller, url: str) -> requests.Response:
    """The answer while Supabase does not hand out its public keys."""
    auth = caller.stack.supabase.auth
    auth.signing_key("ES256")
    caller.token = auth.sign(auth.claims(caller.user_id), "ES256")
    return failing(caller, url, Fault("auth.jwks", status=503, times=None))


def connected(caller: Caller, url: str) -> requests.Response:
    """The answer about a number that is there."""
    caller.call_at(url.rpartition("/")[0] + "/wpp-create")
    return caller.call_at(url)


def with_two_numbers(caller: Caller, url: str) -> requests.Response:
    for is_primary in (True, False):
        caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=is_primary)
    return caller.call_at(url)


def failing(caller: Caller, url: str, fault: Fault) -> requests.Response:
    caller.stack.supabase_server.inject(fault)
    return caller.call_at(url)


def broken_off(caller: Caller, url: str) -> requests.Response:
    """The answer to a body that ends too early, which `requests` itself cannot send."""
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as connection:
        head = [f"POST {address.path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {caller.token}"]
        connection.sendall("\r\n".join([*head, "Content-Length: 10", "", "{"]).encode())
        connection.shutdown(socket.SHUT_WR)
        with closing(http.client.HTTPResponse(connection)) as raw:
            raw.begin()
            body = io.BytesIO(raw.read())
            received = urllib3.HTTPResponse(body, dict(raw.headers.items()), raw.status, preload_content=False)
    return requests.adapters.HTTPAdapter().build_response(requests.Request("POST", url).prepare(), received)


# Status: which server, and how.
PROVOKED: dict[int, tuple[str, Callable[[Caller, str], requests.Response]]] = {
    200: ("usual", lambda caller, url: caller.call_at(url)),
    400: ("usual", lambda caller, url: caller.call_at(url, [])),
    401: ("usual", lambda _, url: requests.post(url, timeout=10)),
    408: ("usual", broken_off),
    403: ("restricted", lambda caller, url: caller.call_at(url)),
    404: ("usual", lambda caller, url: caller.call_at(url, {"integration_id": caller.user_id})),
    409: ("usual", forbidden_row),
    413: ("usual", lambda caller, url: caller.call_at(url, "x" * 65_536)),
    422: ("usual", reused),
    500: ("unconfigured", lambda caller, url: caller.call_at(url)),
    502: (
        "usual",
        lambda caller, url: failing(caller, url, Fault("auth.user", status=429, headers={"Retry-After": "99"})),
    ),
    503: ("hurried", claimed_by_another),
    504: ("hurried", lambda caller, url: failing(caller, url, Fault("auth.user", action="hang"))),
}
OTHERWISE: dict[tuple[str, int], tuple[str, Callable[[Caller, str], requests.Response]]] = {
    ("wpp-status", 404): ("usual", lambda caller, url: stranger(caller).call_at(url)),
    ("wpp-status", 503): ("keyed", without_keys),
    ("wpp-qr", 503): ("keyed", without_keys),
    ("wpp-disconnect", 409): ("usual", with_two_numbers),
    ("wpp-disconnect", 200): ("usual", connected),
    ("wpp-qr", 200): ("usual", connected),
}


@pytest.mark.slow
@pytest.mark.parametrize("function", ADDRESSES)
def test_every_documented_status_is_seen_and_as_documented(
    stack: Stack, addresses: dict[str, str], description: Any, function: str
) -> None:
    from schemathesis.checks import CHECKS

    operation = description[f"/{function}"]["POST"]
    documented = {int(status): answer for status, answer in operation.definition.raw["responses"].items()}
    for status in documented:
        kind, provoke = OTHERWISE.get((function, status), PROVOKED[status])
        answer = provoke(new_caller(stack, {}), f"{addresses[kind]}/{function}")
        stack.reset()
        assert answer.status_code == status
        checks = [CHECKS.get_one(f"{name}_conformance") for name in CONFORMANCE]
        operation.Case().validate_response(answer, checks=checks)
        names = {name.lower() for name in documented[status]["headers"]}
        assert {name.lower() for name in answer.headers} <= names | OF_THE_SERVER
        assert ("Retry-After" in answer.headers) == (status in (502, 503))


@pytest.mark.slow
def test_other_methods_are_answered_as_documented(addresses: dict[str, str], description: Any) -> None:
    documented = description.raw_schema["components"]["responses"]["MethodNotAllowed"]
    for function in ADDRESSES:
        for method in ("PUT", "TRACE", "QUERY"):
            answer = requests.request(method, f"{addresses['usual']}/{function}", timeout=10)
            assert answer.status_code == 405
            assert answer.headers["Allow"] == documented["headers"]["Allow"]["schema"]["const"]
            validate(documented["content"]["application/json"]["schema"], answer.json(), description)


def test_every_example_of_an_answer_fits_its_schema(description: Any) -> None:
    seen = 0
    for path in description.raw_schema["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    examples = [e["value"] for e in content.get("examples", {}).values()]
                    for example in examples or [content["example"]]:
                        validate(content["schema"], example, description)
                        seen += 1
    assert seen > 20


def test_the_code_the_description_and_the_readme_agree_on_each_error(description: Any) -> None:
    kinds = [*subclasses(WppError)]
    raised = {code: (kind.status, kind.retryable) for kind in kinds for code in codes_of(kind)}
    # Not a WppError.
    raised |= {"internal_error": (500, False), "function_broken": (500, False), "not_found": (404, False)}
    rows = re.findall(r"^\| (\d{3})\b[^|]*\| (`[^|]*`) \| (yes|no) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {
        code: (int(status), can_help == "yes")
        for status, codes, can_help in rows
        for code in re.findall("`(.*?)`", codes)
    } == raised

    runbook = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert set(raised) <= {code for codes in runbook for code in re.findall("`(.*?)`", codes)}

    schemas = description.raw_schema["components"]["schemas"]
    documented = set()
    for path in description.raw_schema["paths"].values():
        for status, response in path["post"]["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                documented |= {(code, int(status)) for code in described_codes(schema, schemas)}
    at_provision = ("organization_not_found", 400)
    not_of_an_operation = {("method_not_allowed", 405), ("not_found", 404)}
    expected = {(code, status) for code, (status, _) in raised.items()} | {at_provision}
    assert documented == expected - not_of_an_operation
    assert set(schemas["RetryableCode"]["enum"]) == {code for code, (_, can_help) in raised.items() if can_help}


def subclasses(kind: type[WppError]) -> Iterator[type[WppError]]:
    for found in kind.__subclasses__():
        if found not in (CallerError, UpstreamError, HolderRefused):  # never raised, or with the code of another one
            yield found
        yield from subclasses(found)


def codes_of(kind: type[WppError]) -> set[str]:
    if not issubclass(kind, UpstreamError):
        return {kind.code}
    return {f"{system}_{kind.suffix}" for system in SYSTEM_NAMES} - {"aws_refused"}  # that is not_configured


def described_codes(schema: Any, schemas: Any) -> set[str]:
    """The values that `code` may have."""
    if "$ref" in schema:
        return described_codes(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    code = schema.get("properties", {}).get("code", {})
    if "$ref" in code:
        code = schemas[code["$ref"].rpartition("/")[2]]
    found = {code["const"]} if "const" in code else set(code.get("enum", ()))
    return found.union(*(described_codes(part, schemas) for part in schema.get("allOf", ())))


def validate(schema: dict[str, Any], instance: Any, description: Any) -> None:
    jsonschema_rs.validate({**schema, "components": description.raw_schema["components"]}, instance)


def test_the_local_stack_shows_it_as_a_page_that_needs_nothing_from_afar(stack: Stack) -> None:
    url = stack.supabase_server.url
    page = requests.get(f"{url}/docs", timeout=10)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert requests.get(f"{url}/docs/openapi.yaml", timeout=10).content == DESCRIPTION.read_bytes()
    used = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(used) == 3
    for path in used:
        assert path.startswith("/docs/")
        assert requests.get(url + path, timeout=10).status_code == 200
    assert requests.get(f"{url}/docs/..%2F__init__.py", timeout=10).status_code == 404
