"""Inputs that nobody thought of, bounded in time: both adapters with hypothesis, the token's way with hypothesis and atheris."""

from __future__ import annotations

import base64
import json
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import flask
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from emulator.processes import ROOT
from wpp.clock import Clock, Deadline
from wpp.config import config_from
from wpp.errors import CallerError
from wpp.faas import aws_lambda, function, functions_framework
from wpp.faas.function import Call, Function, Result
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.supabase.caller import CallerCheck, bearer_token
from wpp.supabase.signing_keys import SigningKeys

if TYPE_CHECKING:
    from pathlib import Path

    from wpp.runtime import Invocation

pytestmark = pytest.mark.slow
BOUNDED = settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
COSTLY = settings(BOUNDED, max_examples=60)  # to make up an example takes longer than to try it
ATHERIS_SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))
SECRET = "a-secret-that-nobody-else-has-0123456789"
ENV = {
    "SUPABASE_URL": "http://localhost:1",
    "SUPABASE_SERVICE_ROLE_KEY": "k" * 20,
    "SUPABASE_JWT_SECRET": SECRET,
    "WPP_SECRET": "s" * 20,
}


class Reached(Exception):
    pass


def _run(invocation: Invocation, call: Call) -> Result:
    """As the real ones begin: the token first, from here on it would be Supabase's turn."""
    user_id = invocation.runtime.caller_check.user_id(call.access_token, invocation.upstream)
    raise Reached(user_id)


FUZZED = Function("fuzzed", _run)


@pytest.fixture
def _configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(function, "_PROCESS", function.Process())


_NAMES = st.sampled_from(
    ["Authorization", "Content-Type", "X-Request-Id", "Origin", "Cookie", "Transfer-Encoding", "X-A", "apikey"]
)
_VALUES = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n\0"), max_size=200)
_AUTHORIZATIONS = st.one_of(
    _VALUES, st.builds("Bearer {}".format, _VALUES), st.from_regex(r"Bearer [\w-]+\.[\w-]+\.[\w-]*", fullmatch=True)
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.just(10**400) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_BODIES = st.one_of(st.binary(max_size=500), _JSON.map(lambda value: json.dumps(value).encode("utf-8", "replace")))
_METHODS = st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "OPTIONS", "HEAD", "TRACE", "", "post", "P\u00d6ST"])
_CLAIMS = ("sub", "aud", "role", "exp", "nbf", "iat", "iss", "jti", "at_hash")
STATUSES = {200, 204, 400, 401, 405, 413}


def _check_answer(status: int, headers: dict[str, str], body: bytes, method: str) -> None:
    assert status in STATUSES, (status, body)
    assert headers["Access-Control-Allow-Origin"] == "*"
    for name, value in headers.items():
        assert "\n" not in name + value
        assert "\r" not in name + value
    if status in (200, 204):
        assert method in ("GET", "HEAD", "OPTIONS")
        return
    said = json.loads(body)
    assert said["success"] is False
    assert said["request_id"] == headers["X-Request-Id"]
    assert len(body) < 500  # nothing of what came in is sent back


@pytest.mark.usefixtures("_configured")
@BOUNDED
@given(
    method=_METHODS,
    authorization=st.none() | _AUTHORIZATIONS,
    headers=st.dictionaries(_NAMES, _VALUES),
    body=_BODIES,
    path=st.text(max_size=30),
)
def test_the_functions_framework_adapter_answers_whatever_comes(
    method: str, authorization: str | None, headers: dict[str, str], body: bytes, path: str
) -> None:
    builder = EnvironBuilder(path="/" + path.encode("utf-8", "replace").decode(), method=method, data=body)
    environ = builder.get_environ()
    builder.close()
    for name, value in (headers | ({"Authorization": authorization} if authorization is not None else {})).items():
        environ["CONTENT_TYPE" if name == "Content-Type" else "HTTP_" + name.upper().replace("-", "_")] = value
    answer, status, answered = functions_framework.serve(FUZZED, flask.Request(environ))
    _check_answer(
        status, answered, answer if isinstance(answer, bytes) else b"".join(answer), flask.Request(environ).method
    )


_HTTP = st.fixed_dictionaries({"method": _METHODS | _JSON})
_EVENTS = st.dictionaries(st.text(), _JSON) | st.fixed_dictionaries(
    {},
    optional={
        "version": _JSON,
        "requestContext": _JSON | st.fixed_dictionaries({"http": _JSON | _HTTP}),
        "headers": _JSON | st.dictionaries(_NAMES, _VALUES | _JSON),
        "body": _JSON | st.text() | _BODIES.map(lambda body: base64.b64encode(body).decode()) | st.just("A" * 200_000),
        "isBase64Encoded": _JSON,
        "cookies": _JSON,
        "rawPath": _JSON,
    },
)


class _Context:
    aws_request_id = "7d1e3c60-3f0e-4f6a-9d0e-1a2b3c4d5e6f"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


@pytest.mark.usefixtures("_configured")
@COSTLY
@given(event=_EVENTS)
def test_the_lambda_adapter_answers_whatever_comes(event: dict[str, Any]) -> None:
    answer = aws_lambda.serve(FUZZED, event, _Context())
    json.dumps(answer)
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    method = http.get("method") if isinstance(http, dict) else None
    _check_answer(answer["statusCode"], answer["headers"], answer["body"].encode(), str(method).upper())


# Tokens


def _check_tokens() -> tuple[CallerCheck, Upstream]:
    clock = Clock()
    configured = config_from(ENV)

    class NoNetwork(Transport):
        def __init__(self) -> None:
            pass

        def send(self, *_: object, **__: object) -> Any:
            raise Reached("the network")

    return CallerCheck(configured, SigningKeys(configured.supabase_url, clock)), Upstream(
        NoNetwork(), Deadline(60, clock), clock, "test"
    )


def _good() -> str:
    from jose import jwt

    claims = {"sub": "00000000-0000-4000-8000-000000000001", "aud": "authenticated", "role": "authenticated"}
    return str(jwt.encode({**claims, "exp": 4102444800}, SECRET, "HS256"))


@BOUNDED
@given(data=st.data())
def test_a_good_token_with_anything_changed_is_refused(data: st.DataObject) -> None:
    check, upstream = _check_tokens()
    good = _good()
    assert check.user_id(good, upstream)
    start = data.draw(st.just(len(good)) | st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 5)))
    changed = good[:start] + data.draw(st.text(st.sampled_from("AQgw=!~,.-_+/ \n\té"), max_size=5)) + good[end:]
    if changed.strip() != good:  # white space around it is no part of it
        with pytest.raises(CallerError):
            check.user_id(bearer_token(f"Bearer {changed}"), upstream)


@COSTLY
@given(claims=_JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(_CLAIMS, _JSON)))
def test_odd_claims_under_a_good_signature_are_refused(claims: Any) -> None:
    from tests.support.forging import b64, hmac_signature, part

    check, upstream = _check_tokens()
    text = f"{part({'alg': 'HS256'})}.{b64(json.dumps(claims).encode())}"
    with pytest.raises(CallerError):
        check.user_id(f"{text}.{b64(hmac_signature(SECRET.encode(), text))}", upstream)


@BOUNDED
@given(
    header=st.one_of(
        _JSON,
        st.fixed_dictionaries({}, optional={"alg": _JSON | st.sampled_from(["HS384", "none", "ES256"]), "kid": _JSON}),
    )
)
def test_odd_headers_under_a_good_signature_are_refused(header: Any) -> None:
    from tests.support.forging import b64, hmac_signature, part

    check, upstream = _check_tokens()
    text = f"{part(header)}.{_good().split('.')[1]}"
    try:
        check.user_id(f"{text}.{b64(hmac_signature(SECRET.encode(), text))}", upstream)
    except CallerError:
        return
    except Reached:  # the public keys are asked for
        assert header["alg"] == "ES256"
        assert isinstance(header["kid"], str)
        return
    assert header["alg"] == "HS256"


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="atheris has wheels for Linux on x86-64 only"
)
def test_coverage_guided_fuzzing_of_tokens_finds_nothing(tmp_path: Path) -> None:
    """FUZZ_SECONDS says how long."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(_seeds()):
        (corpus / str(number)).write_bytes(seed)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    bounds = [f"-max_total_time={ATHERIS_SECONDS}", "-timeout=5", "-rss_limit_mb=1024", "-max_len=9000", "-verbosity=0"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzz_tokens", *bounds, f"-artifact_prefix={tmp_path}/", str(corpus)],
        capture_output=True, text=True, cwd=ROOT, timeout=ATHERIS_SECONDS + 60, check=False, env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def _seeds() -> list[bytes]:
    header, claims, _ = _good().split(".")
    decoded = [base64.urlsafe_b64decode(segment + "==") for segment in (header, claims)]
    return [f"Bearer {_good()}".encode(), b"bearer  a.b.c", b"\1" + decoded[1], b"\2" + decoded[0], b"Basic eA=="]
