"""The controls of the local stack, as the connect page and scripts use them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.local import Local, local_stack
from emulator.supabase.app import DEMO_ORGANIZATION

if TYPE_CHECKING:
    from collections.abc import Iterator


# What a shell may have exported, as for `make check-platform`.
REAL_SYSTEMS = {
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_real",
    "WPP_BASE_URL": "http://127.0.0.1:9",
    "WPP_SECRET": "real",
}


@pytest.fixture(scope="module")
def _local() -> Iterator[Local]:
    with local_stack(0, show=False, own=REAL_SYSTEMS) as started:
        yield started


@pytest.fixture
def local(_local: Local) -> Local:
    requests.post(f"{_local.url}/_page/reset", json={}, timeout=10).raise_for_status()
    _local.stack.platform.settings.qr_delay = 0.3
    return _local


def test_the_local_functions_use_the_local_systems_whatever_the_shell_has_exported(local: Local) -> None:
    bearer = {"Authorization": f"Bearer {local.token}"}
    answer = requests.post(f"{local.functions_url}/wpp-create", headers=bearer, timeout=20)
    assert answer.status_code == 200
    assert len(local.stack.platform.clients_of(DEMO_ORGANIZATION)) == 1


def test_calls_at_the_same_time_are_shown_with_their_own_upstream_calls(local: Local) -> None:
    bearer = {"Authorization": f"Bearer {local.token}"}
    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(requests.post, f"{local.functions_url}/wpp-provision", headers=bearer, timeout=20)
    ids = [call["id"] for call in requests.get(f"{local.url}/_page/calls", timeout=5).json()["calls"]]
    shown = [requests.get(f"{local.url}/_page/call", {"id": call_id}, timeout=5).json() for call_id in ids]
    assert len(shown) == 4
    for call in shown:
        assert len(call["upstream"]) >= call["calls"]  # which counts those before the answer
        assert [upstream["call"] for upstream in call["upstream"]].count("rest.GET.profiles") == 1
    assert sum(upstream["call"] == "create" for call in shown for upstream in call["upstream"]) == 1


@pytest.mark.parametrize("path", ["/", "/_page/config", "/_page/calls", "/_emulator/received", "/docs"])
def test_a_name_that_was_made_to_lead_here_is_shown_nothing(local: Local, path: str) -> None:
    for host, status in (("evil.example", 403), ("127.0.0.1.evil.example:80", 403), ("", 403), ("LOCALHOST:1", 200)):
        assert requests.get(local.url + path, headers={"Host": host}, timeout=5).status_code == status


def test_a_control_refuses_other_sites_and_names_what_it_does_not_find(local: Local) -> None:
    platform = local.stack.platform_server.url
    for address in (f"{local.url}/_page/reset", f"{platform}/_emulator/clear"):
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "http://evil.example:1", "Host": "evil.example:1"},
            {"Host": "evil.example:1"},
        ):
            for method in ("GET", "POST"):
                assert requests.request(method, address, headers=headers, timeout=5).status_code == 403
        own = {"Origin": "/".join(address.split("/")[:3])}
        assert requests.post(address, json={}, headers=own, timeout=5).status_code == 200
    for name, body, missing in (
        ("scan", {"session": "client_x"}, "client_x"),
        ("scan", {}, "session"),
        ("settings", {"qr_dely": 1}, "qr_dely"),
        ("faults", {"call": "status", "stauts": 500}, "stauts"),
        ("faults", {}, "call"),
        ("clock", {}, "advance"),
    ):
        answer = requests.post(f"{platform}/_emulator/{name}", json=body, timeout=5)
        assert (answer.status_code, answer.json()) == (404, {"error": f"not found: {missing}"})


def test_the_page_may_ask_for_all_that_happens_to_a_session(local: Local) -> None:
    platform = local.stack.platform
    session = platform.create("an organization", None).session
    asked = requests.post(f"{local.url}/_page/report", json={"session": session, "word": "browserClose"}, timeout=5)
    assert (asked.status_code, platform.sessions[session].word) == (200, "browserClose")
