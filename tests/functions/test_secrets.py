"""Nothing that is written or answered holds a credential or a person, and nobody writes lines of their own into the log."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from emulator.faults import Fault
from emulator.stack import WPP_SECRET
from tests.support.callers import CREATE, PROVISION, new_caller
from wpp.config import settings_from
from wpp.faas import logs
from wpp.platform.client import Credentials
from wpp.platform.state import SessionState, State
from wpp.platform.token import fresh_token
from wpp.redaction import REDACTION, Redaction
from wpp.runtime import invocation_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.callers import Caller
    from tests.support.projects import Project

ENV = {
    "SUPABASE_URL": "https://project.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "service-0f1e2d3c4b5a",
    "SUPABASE_ANON_KEY": "anon-a1b2c3d4e5f6",
    "SUPABASE_JWT_SECRET": 'jwt secret with "quotes" and \\ in it',
    "WPP_SECRET": "wpp%secret/with+signs=",
}
QR = "2@AbCdEf0123456789+/=,GhIjKl0123456789+/=,MnOpQr0123456789"
SECRETS = {
    "service key": ENV["SUPABASE_SERVICE_ROLE_KEY"],
    "anon key": ENV["SUPABASE_ANON_KEY"],
    "JWT secret": ENV["SUPABASE_JWT_SECRET"],
    "WPP_SECRET": ENV["WPP_SECRET"],
    "platform key of an odd form": "pk-0123456789abcdef-odd",
    "platform token of an odd form": "opaque-token-0123456789",
    "QR of an odd form": "https://wa.example/pair#0123456789",
    # Never announced: known by their form alone.
    "an unseen JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "the beginning of a JWT": "eyJhbGciOiJIUzI1NiIsInR5cCI6",
    "an unseen platform key": "key_0123456789abcdef0123456789abcdef",
    "an unseen Supabase key": "sb_secret_abcdefghijklmnopqrstuvwx",
    "an unseen QR": QR,
    "an unseen picture": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA",
    "an e-mail address": "somebody.else+tag@mail.example.com",
}


@pytest.fixture(autouse=True)
def _redacting() -> Iterator[None]:
    make = logging.getLogRecordFactory()
    logs.set_up()
    settings_from(ENV)
    Credentials(SECRETS["platform key of an odd form"], "client_1")
    fresh_token(SECRETS["platform token of an odd form"], None, time.time())
    SessionState(State.QR_REQUIRED, SECRETS["QR of an odd form"])
    yield
    logging.setLogRecordFactory(make)


@contextmanager
def captured(logger: logging.Logger, formatter: logging.Formatter | None = None) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or logging.Formatter("%(levelname)s %(name)s %(message)s"))
    level, propagate, disabled = logger.level, logger.propagate, logger.disabled
    logger.addHandler(handler)
    logger.propagate, logger.disabled = False, False
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled


def _raised(text: str) -> None:
    def deeper(value: str) -> None:
        raise ValueError(f"cannot use {value}")

    try:
        deeper(text)
    except ValueError as error:
        raise RuntimeError(f"and so failed with {text!r}") from error


def _log_in_every_way(log: Any, secret: str) -> None:
    log.info(secret)
    log.info("it is %s", secret)
    log.info("they are %s and %s", 1, [secret, {"a": secret}])
    log.info("%(it)s", {"it": secret})
    log.warning(f"it is {secret}")  # noqa: G004
    log.error("%s", ValueError(secret))
    log.info("it is %d", secret)  # does not fit: logging would print all of it
    log.info("too many", secret)  # noqa: PLE1205
    log.info("json %s", json.dumps({"Authorization": f"Bearer {secret}"}))
    log.info("stack", stack_info=True)
    try:
        _raised(secret)
    except RuntimeError:
        log.exception("failed with %s", secret)
        log.info("too", exc_info=sys.exc_info())


LOGGERS = ["root", "wpp", "wpp.sub", "urllib3.connectionpool", "requests", "werkzeug", "flask.app", "gunicorn.error",
           "jose", "botocore",
           "functions_framework", "another.library", "asyncio", "concurrent.futures"]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize("formatter", ["plain", "json"])
def test_no_logger_lets_a_secret_through(
    logger: str, name: str, formatter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = SECRETS[name]
    log = logging.getLogger(None if logger == "root" else logger)
    with captured(log, logs.JsonLines() if formatter == "json" else None) as stream:
        _log_in_every_way(log, secret)
    said = capsys.readouterr()
    text = stream.getvalue() + said.out + said.err
    assert len(stream.getvalue().splitlines()) >= 12
    assert not [spelling for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]) if spelling in text]
    assert "[redacted]" in text
    assert "Logging error" not in text


@pytest.mark.parametrize("name", SECRETS)
def test_no_field_of_a_line_lets_a_secret_through(name: str) -> None:
    secret = SECRETS[name]
    log = logging.getLogger("wpp")
    with captured(log, logs.JsonLines()) as stream:
        lines = invocation_log("wpp-create", "r1", "o1")
        lines.info(
            "x",
            fields={"a": secret, "b": [secret], "c": {secret: secret}, "d": ValueError(secret), "e": {"f": (secret,)}},
        )
    assert secret not in stream.getvalue()
    assert json.dumps(secret)[1:-1] not in stream.getvalue()
    line = json.loads(stream.getvalue())
    assert (line["function"], line["request_id"], line["organization"]) == ("wpp-create", "r1", "o1")


def test_what_is_no_secret_stays_as_it_is() -> None:
    harmless = f"answered 200 for {uuid.uuid4()}: client_1a2b, rest.GET.profiles, key_ is missing; is WPP_SECRET right?"
    assert REDACTION.text(harmless) == harmless


def test_a_caller_cannot_black_out_words_of_the_log(projects: dict[str, Project]) -> None:
    project = projects["HS256"]
    process = project.processes[CREATE]
    for word in (
        "answered",
        "duration_ms",
        "wpp-create",
        "upstream_calls",
        "the token is not accepted",
        "organization",
    ):
        requests.post(process.url, headers={"Authorization": f"Bearer {word}", "apikey": word}, timeout=10)
    seen = len(process.output())
    assert project.victim.create().status_code == 200
    line = json.loads(process.output()[seen:].splitlines()[-1])
    assert {"message", "function", "duration_ms", "upstream_calls", "organization"} <= set(line)
    assert (line["message"], line["function"]) == ("answered", "wpp-create")


def test_only_the_latest_credentials_of_callers_are_kept_and_settings_for_ever() -> None:
    redaction = Redaction()
    redaction.conceal("setting-0123456789", for_ever=True)
    for i in range(9000):
        redaction.conceal(f"seen-0123456789-{i:05}")
    assert len(redaction._seen) <= 2000
    assert redaction.text("setting-0123456789 seen-0123456789-08999") == "[redacted] [redacted]"


def test_redaction_of_a_long_text_is_quick() -> None:
    for text in (
        "a" * 200_000,
        "eyJ" * 60_000,
        "a@" * 60_000,
        "bearer " * 30_000,
        "key_" * 50_000,
        "2@" * 80_000,
        "data:image/" * 20_000,
    ):
        began = time.monotonic()
        REDACTION.text(text)
        assert time.monotonic() - began < 1


INJECTIONS = [
    "a\nINFO forged",
    "a\r\nINFO forged",
    "a\x1b[2J\x1b[31mred",
    "a\x00b",
    "a\x7fb",
    "a\x9b31m",
    "a\u2028b",
    "a\u202eb",
    "a\x08\x08b",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_from_outside_neither_ends_a_line_nor_steers_a_terminal(text: str) -> None:
    for name in ("wpp", "werkzeug", "another.library"):
        log = logging.getLogger(name)
        for formatter in (logs.JsonLines(), None):
            with captured(log, formatter) as stream:
                log.info("they said %s", text)
                log.info("%(a)s", {"a": text})
            assert len(stream.getvalue().splitlines()) == 2
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", stream.getvalue())


def test_formatters_that_take_arguments_apart_still_get_them() -> None:
    with captured(logging.getLogger("uvicorn.access")) as stream:
        logging.getLogger("uvicorn.access").info('%s - "%s %s" %d', "127.0.0.1", "POST", "/wpp-create", 200)
    assert stream.getvalue() == 'INFO uvicorn.access 127.0.0.1 - "POST /wpp-create" 200\n'


# The functions as they run


def test_headers_of_a_caller_cannot_forge_a_line(projects: dict[str, Project]) -> None:
    project = projects["HS256"]
    process = project.processes[CREATE]
    seen = len(process.output())
    for value in (b"a\tb", b"\x1b[31mred", b"\xff\xfe", b'{"level":"ERROR"}', b"x" * 4000, b"%0aINFO", b"\\nforged"):
        for name in (
            "X-Request-Id",
            "User-Agent",
            "X-Forwarded-For",
            "Origin",
            "traceparent",
            "Idempotency-Key",
            "Referer",
        ):
            try:
                requests.post(process.url, headers={name: value, "Authorization": "Bearer x"}, timeout=10)
            except requests.ConnectionError:
                continue
    requests.post(process.url + "/%0aforged%1b[31m", timeout=10)
    lines = process.output()[seen:].splitlines()
    assert lines
    for line in lines:
        assert set(json.loads(line)) <= {
            "time", "level", "message", "function", "request_id", "status", "code", "duration_ms", "upstream_calls",
            "round_trips", "upstream_ms", "organization",
        }  # fmt: skip
        assert "forged" not in line
        assert re.fullmatch(r"[\x20-\x7e]*", line)


def _paths(user: Caller) -> Iterator[requests.Response]:
    """Every way that a call can go, well or badly."""
    stack = user.stack
    yield user.create()
    yield user.provision()
    session = user.row()["settings"]["wppAccountNumber"]
    stack.platform.revoke_tokens(session)
    yield user.provision()
    stack.platform.invalidate_key(session)
    yield user.create()
    yield user.provision()
    calls = [
        "auth.user",
        "rest.GET.profiles",
        "rest.PATCH.messenger_integrations",
        "token",
        "status",
        "qr",
        "start",
        "webhook",
    ]
    leaky = json.dumps(
        {"error": f"{WPP_SECRET} {user.token} {stack.supabase.service_role_key} {QR}", "message": user.token}
    ).encode()
    # What is asked again after a pause is broken once, so that the pause is short; anything else a second time as well.
    faults: list[dict[str, Any]] = [
        {"status": 500, "body": leaky, "times": 1}, {"action": "reset", "times": 1}, {"action": "truncate", "times": 1},
        {"status": 403, "body": leaky}, {"status": 400, "body": leaky}, {"status": 200, "body": leaky},
        {"status": 200, "body": b"<html>" + leaky}, {"status": 200, "body": b"null"},
    ]  # fmt: skip
    for call in calls:
        for fault in faults:
            server = stack.supabase_server if "." in call else stack.platform_server
            server.inject(Fault(**{"call": call, "times": 2, **fault}))
            stack.platform.revoke_tokens(user.row()["settings"]["wppAccountNumber"])
            yield user.create()
            server.clear_faults()
    stack.platform.settings.qr_as_png = True
    yield user.provision()
    user.scan()
    yield user.provision()
    yield user.create(body={"organization_id": "x", "token": user.token})
    for bad in (b"{", b"x" * 70_000, user.token.encode()):
        yield requests.post(
            user.processes[CREATE].url, data=bad, headers={"Authorization": f"Bearer {user.token}"}, timeout=10
        )
    for text in (user.token[:-3], stack.supabase.service_role_key, "key_0123456789abcdef", user.token + ".x"):
        yield requests.post(user.processes[PROVISION].url, headers={"Authorization": f"Bearer {text}"}, timeout=10)


def test_no_output_and_no_answer_holds_a_credential_after_all_paths(projects: dict[str, Project]) -> None:
    project = projects["HS256"]
    project.stack.reset()
    project.stack.platform.settings.qr_delay = 0.1
    user = new_caller(project.stack, project.processes)
    project = replace(project, victim=user)
    answers = list(_paths(user))
    assert {200, 400, 401, 413, 502} <= {answer.status_code for answer in answers}
    stack = project.stack
    secrets = {
        stack.supabase.service_role_key,
        stack.supabase.anon_key,
        stack.supabase.jwt_secret,
        WPP_SECRET,
        user.token,
        QR,
    }
    qrs = set()
    for received in list(stack.platform_server.received):
        said = json.loads(received.answer) if received.answer[:1] == b"{" else {}
        secrets |= {said[name] for name in ("apiKey", "token") if said.get(name)}
        qrs |= {said["qr"]} if said.get("qr") else set()
    assert len(secrets) > 8
    assert qrs
    secrets |= {secret[-16:] for secret in secrets | qrs}  # a piece is enough: of a JWT, its signature's
    output = "".join(process.output() for process in project.processes.values())
    assert '"message": "answered"' in output
    email = stack.supabase.auth._users[user.user_id].email
    assert not [secret for secret in {*secrets, *qrs, email, user.user_id} if secret in output]
    for answer in answers:
        body = answer.json() if answer.content else {}
        shown = body.pop("qrcode", None)
        assert shown is None or shown in qrs
        text = json.dumps(body, ensure_ascii=False) + str(answer.headers)
        assert not [secret for secret in {*secrets, *qrs, email} if secret in text]
    project.stack.reset()
