"""Texts without credentials, and objects that hold one without showing it."""

from __future__ import annotations

import json
import time
import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from wpp.aws_secret import AwsSecrets
from wpp.faas.function import Call
from wpp.faas.messages import Answer
from wpp.faas.messages import Request as IncomingRequest
from wpp.http.messages import Request
from wpp.platform.client import Credentials
from wpp.platform.state import SessionState, State
from wpp.platform.token import fresh_token, stored_token
from wpp.provisioning.decide import decide
from wpp.provisioning.record import record_of
from wpp.provisioning.service import Connection
from wpp.redaction import MAX_TEXT, Redaction, masked, one_line
from wpp.secret import PlainSecret
from wpp.supabase.rows import Integration, Organization

if TYPE_CHECKING:
    from collections.abc import Callable

CREDENTIAL = "pk-0123456789abcdef-odd"
ODD_SECRET = 'a "quoted" \\ secret/with+signs=%'
FORMS = {
    "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "an encrypted JWT": "eyJhbGciOiJkaXIifQ..aXYxMjM0NTY3OA.Y2lwaGVydGV4dA.dGFn",
    "the beginning of a JWT": "eyJhbGciOiJIUzI1NiIsInR5cCI6",
    "a platform key": "key_0123456789abcdef0123456789abcdef",
    "a secret key of Supabase": "sb_secret_abcdefghijklmnopqrstuvwx",
    "a publishable key of Supabase": "sb_publishable_abcdefghijklmnopqrstuvwx",
    "a bearer token": "Bearer opaque.token~0123456789",
    "a bearer token in another case": "bEARER \t opaque.token~0123456789",
    "a QR as pairing text": "2@AbCdEf0123456789+/=,GhIjKl0123456789+/=,MnOpQr0123456789",
    "a QR as a picture": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA",
    "a QR as a drawing": "data:image/svg+xml;utf8,%3Csvg%3E",
    "an e-mail address": "somebody.else+tag@mail.example.com",
    "an e-mail address with a long name": f"{'a' * 200}@mail.example.com",
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    "around", ["{}", "it is {}.", '"{}"', "'{}', and", "({})", "x={}&y", '{{"a":"{}"}}', "\n{}\n", "a: {}"]
)
def test_what_has_the_form_of_a_credential_is_taken_out(name: str, around: str) -> None:
    redacted = Redaction().text(around.format(FORMS[name]))
    assert "[redacted]" in redacted
    assert FORMS[name][-10:] not in redacted
    assert FORMS[name].split("@")[0].split()[-1] not in redacted


def test_what_has_no_such_form_stays_as_it_is() -> None:
    harmless = (
        f"answered 200 for {uuid.uuid4()}: client_1a2b, rest.GET.profiles, key_ is missing; is WPP_SECRET right? a@b"
    )
    assert Redaction([ODD_SECRET]).text(harmless) == harmless


@pytest.mark.parametrize(
    "spelled", [str, quote, lambda text: quote(text, safe=""), lambda text: json.dumps(text)[1:-1], repr]
)
def test_a_known_secret_is_taken_out_in_every_spelling(spelled: type[str]) -> None:
    secret = 'jwt secret with "quotes", a \\ and \u00e9'
    redacted = Redaction([secret]).text(f"before {spelled(secret)} after")
    assert redacted.replace("'", "") == "before [redacted] after"


def test_of_two_secrets_that_begin_alike_nothing_is_left_standing() -> None:
    assert Redaction(["secret-1", "secret-1-and-more"]).text("secret-1-and-more secret-1") == "[redacted] [redacted]"


def test_a_secret_that_is_a_short_word_does_not_black_out_words() -> None:
    assert Redaction(["answer", ""]).text("answered") == "answered"


def test_a_value_keeps_its_shape_and_loses_its_secrets() -> None:
    value = {"a": [CREDENTIAL, 1, None, True], CREDENTIAL: {"b": (2.5, ValueError(CREDENTIAL))}}
    expected = {"a": ["[redacted]", 1, None, True], "[redacted]": {"b": [2.5, "[redacted]"]}}
    assert Redaction([CREDENTIAL]).value(value) == expected


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("beyond", [0, 1, 3, 12, 40])
def test_a_long_text_is_cut_and_half_a_credential_does_not_stay(name: str, beyond: int) -> None:
    padding = "word " * (MAX_TEXT // 5 + 1)
    text = padding[: MAX_TEXT + beyond - len(FORMS[name])] + " " + FORMS[name] + padding
    redacted = Redaction().text(text)
    assert redacted.endswith(" [cut]")
    assert len(redacted) <= MAX_TEXT + len(" [cut]")
    assert not set(redacted.split()) - {*padding.split(), "wor", "wo", "w", "[cut]", "[redacted]", "bEARER", "Bearer"}


def test_a_known_secret_is_taken_out_where_a_long_text_is_cut() -> None:
    redacted = Redaction([ODD_SECRET]).text("x " * (MAX_TEXT // 2 - 5) + ODD_SECRET + "x" * MAX_TEXT)
    assert '"quoted"' not in redacted


HOSTILE = ["a", "@", ".", "a@", "a@a.", "a@b..", "eyJ", "eyJeyJeyJ.", "key_", "key_key_a-", "2@", "1@a ", "sb_secret_", "bearer ",
           "bearer \t", "data:image/", "data:image/a;"]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_text_made_to_hold_up_the_log_is_cut_whatever_it_holds(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert len(Redaction([CREDENTIAL]).text(text)) <= 2 * MAX_TEXT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nINFO forged", "a\\r\\nINFO forged"),
        ("a\tb\x00\x7f\x9b31m", "a\\tb\\x00\\x7f\\x9b31m"),
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("a\u2028b\u202ec", "a\\u2028b\\u202ec"),
        ("Ünïcödé и 漢字", "Ünïcödé и 漢字"),
    ],
)
def test_a_text_for_a_terminal_has_its_control_characters_spelled_out(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_a_masked_credential_can_be_told_from_another_and_not_used() -> None:
    assert masked("key_0123456789abcdef") == "key_01••••••cdef"
    assert masked("short") == "***"


def _aws_secret() -> object:
    secrets = AwsSecrets(fetch=lambda service, region, arn: CREDENTIAL)
    stored = secrets.secret("WPP_SECRET", "arn:aws:ssm:eu-central-1:123456789012:parameter/wpp")
    assert stored is not None
    assert stored.value() == CREDENTIAL
    return stored


def _row() -> Integration:
    return Integration("id", "organization", True, True, {"wppApiKey": CREDENTIAL}, "2025-01-01", None)


HOLDERS: dict[str, Callable[[], object]] = {
    "secret of the environment": lambda: PlainSecret(CREDENTIAL),
    "secret in AWS": _aws_secret,
    "credentials": lambda: Credentials(CREDENTIAL, "session"),
    "new token": lambda: fresh_token(CREDENTIAL, None, time.time()),
    "stored token": lambda: stored_token(CREDENTIAL, 2e12),
    "session state": lambda: SessionState(State.QR_REQUIRED, CREDENTIAL),
    "row": _row,
    "record": lambda: record_of(_row()),
    "decision": lambda: decide(_row(), own_claim_id="x", is_live=False),
    "organization": lambda: Organization("organization", (_row(),)),
    "connection": lambda: Connection("id", "session", "qr_issued", CREDENTIAL, CREDENTIAL),
    "call": lambda: Call(CREDENTIAL, {"a": CREDENTIAL}, {"authorization": CREDENTIAL}),
    "incoming request": lambda: IncomingRequest("POST", {"authorization": CREDENTIAL}, CREDENTIAL.encode()),
    "answer": lambda: Answer(200, {"a": CREDENTIAL}, CREDENTIAL.encode()),
    "outgoing request": lambda: Request(
        "platform",
        "token",
        "POST",
        "https://platform.example",
        MappingProxyType({"apikey": CREDENTIAL}),
        {"apiKey": CREDENTIAL},
    ),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_what_holds_a_credential_does_not_show_it(name: str) -> None:
    holder = HOLDERS[name]()
    shown = f"{holder!r} {holder} {[holder]} { ({'a': holder}) }"
    assert type(holder).__name__ in shown
    assert CREDENTIAL not in shown
