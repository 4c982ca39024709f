"""What callers get from the functions as they run: bodies, statuses, headers, texts."""

from __future__ import annotations

import re
import time
import uuid

import pytest
import requests

from deploy import bundle
from tests.support.callers import CONNECTING, FUNCTIONS, PROVISION, Caller


def check_error(answer: requests.Response, function: str, status: int, code: str, text: str | None = None) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert body["success"] is False
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Content-Type"] == "application/json"
    assert body.get("status") == ("error" if function == PROVISION else None)
    if text is not None:
        assert body["error"] == text


def test_wpp_create_answers_at_once_with_the_new_session_starting(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 60
    answer = caller.create()

    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"success", "integration_id", "session", "apiKey", "status"}
    assert body["status"] == "starting"
    key = caller.row()["settings"]["wppApiKey"]
    assert body["apiKey"] == f"{key[:6]}••••••{key[-4:]}"
    assert body["session"] == caller.row()["settings"]["wppAccountNumber"]


def test_wpp_create_called_again_answers_the_qr_and_then_connected(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 60
    caller.create()
    caller.stack.platform.settings.qr_delay = 0
    polled = caller.create().json()
    caller.scan()
    scanned = caller.create().json()

    assert polled["status"] == "qr_issued"
    assert polled["qrcode"].startswith("2@")
    assert scanned["status"] == "connected"
    assert "qrcode" not in scanned


def test_wpp_provision_waits_for_the_qr(caller: Caller) -> None:
    body = caller.provision().json()

    row = caller.row()
    assert set(body) == {"success", "status", "integration_id", "account_number", "session", "qrcode"}
    assert body["status"] == "qr_issued"
    assert body["integration_id"] == row["id"]
    assert body["account_number"] == body["session"] == row["settings"]["wppAccountNumber"]


def test_wpp_provision_of_a_connected_organization_is_connected(caller: Caller) -> None:
    caller.provision()
    caller.scan()

    body = caller.provision().json()

    assert body["status"] == "connected"
    assert "qrcode" not in body


def test_the_stored_row_is_what_other_functions_read(caller: Caller) -> None:
    caller.provision()

    row = caller.row()
    assert (row["messenger_type"], row["provider"], row["name"]) == ("whatsapp", "wpp", "WhatsApp (WPP)")
    assert row["is_active"] is True
    assert row["is_primary"] is True
    assert uuid.UUID(row["id"]).version == 5
    assert row["settings"]["wppApiKey"].startswith("key_")
    assert row["settings"]["wppJwtToken"].count(".") == 2
    assert 0 < row["settings"]["wppJwtExpiresAt"] / 1000 - time.time() <= 900
    assert "wppClaim" not in row["settings"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_without_a_token_it_is_401(caller: Caller, function: str) -> None:
    text = "Требуется авторизация" if function == PROVISION else "Missing authorization"
    answer = requests.post(caller.processes[function].url, timeout=10)
    check_error(answer, function, 401, "missing_authorization", text)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_bad_token_is_401(caller: Caller, function: str) -> None:
    text = "Неверный токен авторизации" if function == PROVISION else "Unauthorized"
    check_error(caller.call(function, Authorization="Bearer no.jwt.atall"), function, 401, "invalid_token", text)


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER  ", "Bearer\t", "bEaReR \t "])
def test_bearer_is_taken_in_any_case_and_with_any_white_space(caller: Caller, scheme: str) -> None:
    assert caller.create(Authorization=scheme + caller.token).status_code == 200


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_caller_without_an_organization_is_told_so(caller: Caller, function: str) -> None:
    email = f"{uuid.uuid4()}@example.com"
    caller.stack.supabase.add_user(email)
    caller.token = caller.stack.supabase.sign_in(email)
    status, text = 404, "Organization not found"
    if function == PROVISION:
        status, text = 400, "Не найдена организация пользователя"
    check_error(caller.call(function), function, status, "organization_not_found", text)


@pytest.mark.parametrize("function", CONNECTING)
def test_an_empty_body_and_an_empty_object_are_the_same(caller: Caller, function: str) -> None:
    headers = {"Authorization": f"Bearer {caller.token}"}
    for body in (b"", b"{}", b" \n"):
        answer = requests.post(caller.processes[function].url, data=body, headers=headers, timeout=10)
        assert answer.status_code == 200


@pytest.mark.parametrize("function", FUNCTIONS)
def test_another_method_is_405(caller: Caller, function: str) -> None:
    answer = requests.put(caller.processes[function].url, timeout=10)
    check_error(answer, function, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST, GET, OPTIONS"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_get_is_the_health_answer(caller: Caller, function: str) -> None:
    answer = requests.get(caller.processes[function].url, timeout=10)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "function": bundle.address(function), "version": "source"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_preflight_lets_supabase_js_through(caller: Caller, function: str) -> None:
    asked = "authorization,x-client-info,apikey,content-type,x-region,x-retry-count,idempotency-key,traceparent"
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    answer = requests.options(caller.processes[function].url, headers=headers, timeout=10)
    allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert answer.status_code == 204
    assert answer.content == b""
    assert set(asked.split(",")) <= allowed
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_an_answer_tells_what_the_call_waited_for(caller: Caller) -> None:
    answer = caller.create()
    assert re.search(r'upstream;dur=[\d.]+;desc="\d+ calls, \d+ round trips"', answer.headers["Server-Timing"])
    assert "platform.create;dur=" in answer.headers["Server-Timing"]


@pytest.mark.parametrize("function", CONNECTING)
def test_an_unknown_state_is_named_in_the_warnings(caller: Caller, function: str) -> None:
    caller.provision()
    caller.stack.platform.settings.status_override = "qr_scanning\n"
    body = caller.call(function).json()
    assert body["status"] == "qr_issued"
    assert body["warnings"] == ["unknown platform state 'qr_scanning', handled as qr_required"]


def test_a_session_that_was_connected_and_wants_a_scan_again_shows_its_qr_at_once(caller: Caller) -> None:
    caller.create()
    caller.scan()
    assert caller.create().json()["status"] == "connected"
    session = caller.session()
    caller.stack.platform.settings.qr_delay = 0
    caller.stack.platform.disconnect(session.name)
    caller.stack.platform.start(session)
    assert caller.create().json()["status"] == "qr_issued"


@pytest.mark.parametrize("field", ["qr", "qrCode", "qrcode", "data.qr"])
def test_the_qr_is_found_under_each_of_its_names(caller: Caller, field: str) -> None:
    caller.stack.platform.settings.qr_field = field
    assert caller.provision().json()["status"] == "qr_issued"


def test_a_qr_that_is_a_picture_is_passed_on_unchanged(caller: Caller) -> None:
    caller.stack.platform.settings.qr_as_png = True
    assert caller.provision().json()["qrcode"].startswith("data:image/png;base64,")


def test_a_wait_that_ends_without_a_qr_succeeds_as_starting(caller: Caller) -> None:
    caller.stack.platform.settings.stuck_starting = True
    answer = caller.provision()
    assert answer.status_code == 200
    assert answer.json()["status"] == "starting"
