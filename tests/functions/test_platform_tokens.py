"""The platform's token in the row: when it is used, when it is renewed, and what it never overwrites."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from tests.support.servers import wait_for
from wpp.config import config_from
from wpp.provisioning.service import connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from tests.support.intervening import Intervening

ROWS = "messenger_integrations"
OF_ANOTHER = {"wppApiKey": "key_of_another", "wppAccountNumber": "session_of_another"}


def replace_credentials(caller: Caller) -> None:
    """As other code of the product may, leaving everything else in the row as it is."""
    caller.change_settings(**OF_ANOTHER)


def saved_by_another(caller: Caller, token: str, expires_at: int) -> None:
    caller.change_settings(wppJwtToken=token, wppJwtExpiresAt=expires_at)


def called(caller: Caller) -> None:
    """By a process that remembers nothing."""
    with closing(Runtime(config_from(caller.stack.environment()))) as runtime:
        connect(runtime.begin("wpp-create", "id"), caller.token)


@pytest.mark.parametrize(("seconds_left", "fetched"), [(25, 1), (45, 0)])
def test_a_stored_token_is_used_but_not_to_its_last_second(caller: Caller, seconds_left: int, fetched: int) -> None:
    caller.create()
    caller.change_settings(wppJwtExpiresAt=int((time.time() + seconds_left) * 1000))
    caller.stack.platform_server.clear()
    called(caller)
    assert caller.stack.platform_server.count("token") == fetched


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_the_platform_refuses_is_renewed_and_saved(caller: Caller, status: int) -> None:
    caller.create()
    before = caller.row()["settings"]["wppJwtToken"]
    caller.stack.platform_server.clear()
    caller.stack.platform_server.inject(Fault("status", status=status, body=b'{"error": "Invalid token"}'))
    assert caller.create().status_code == 200
    assert caller.stack.platform_server.count("token") == 1
    wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != before)


def test_a_token_never_takes_the_place_of_one_that_lasts_longer(caller: Caller) -> None:
    caller.create()
    later = int((time.time() + 3000) * 1000)
    caller.change_settings(wppJwtToken="of.another.process", wppJwtExpiresAt=later)
    assert caller.create().status_code == 200
    settings = caller.row()["settings"]
    assert (settings["wppJwtToken"], settings["wppJwtExpiresAt"]) == ("of.another.process", later)


@pytest.mark.parametrize(("outlasts_by", "is_saved"), [(20, False), (40, True)])
def test_a_token_saved_a_moment_ago_is_replaced_only_by_one_that_clearly_outlasts_it(
    caller: Caller, meanwhile: Intervening, outlasts_by: int, *, is_saved: bool
) -> None:
    caller.create()
    caller.scan()
    caller.change_settings(wppJwtToken=None, wppJwtExpiresAt=None)
    expires_at = int((time.time() + 900 - outlasts_by) * 1000)
    meanwhile.after("POST", "token", lambda: saved_by_another(caller, "of.another.process", expires_at))
    with closing(Runtime(config_from(caller.stack.environment()), transport=meanwhile)) as runtime:
        connect(runtime.begin("wpp-create", "id"), caller.token)
    assert meanwhile.has_happened
    assert (caller.row()["settings"]["wppJwtToken"] != "of.another.process") is is_saved


def test_a_token_takes_the_place_of_one_that_the_platform_refuses(caller: Caller) -> None:
    caller.create()
    later = int((time.time() + 3000) * 1000)
    caller.change_settings(wppJwtToken="of.another.process", wppJwtExpiresAt=later)
    called(caller)  # which knows no other token
    wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != "of.another.process")
    assert caller.row()["settings"]["wppJwtExpiresAt"] < later


def test_nothing_is_written_onto_credentials_that_somebody_replaced_since_the_row_was_read(
    caller: Caller, meanwhile: Intervening
) -> None:
    caller.create()
    caller.scan()
    caller.change_settings(wppJwtToken=None, wppJwtExpiresAt=None)
    meanwhile.after("GET", "profiles", lambda: replace_credentials(caller))
    with closing(Runtime(config_from(caller.stack.environment()), transport=meanwhile)) as runtime:
        connect(runtime.begin("wpp-create", "id"), caller.token)
    settings = caller.row()["settings"]
    assert meanwhile.has_happened
    assert OF_ANOTHER.items() <= settings.items()
    assert (settings["wppJwtToken"], settings["wppPaired"]) == (None, False)


def test_only_the_release_is_written_onto_credentials_that_were_replaced_during_a_start(
    caller: Caller, meanwhile: Intervening
) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.change_settings(wppStartedAt=1, wppJwtToken=None, wppJwtExpiresAt=None)
    meanwhile.after("POST", "start", lambda: replace_credentials(caller))
    with closing(Runtime(config_from(caller.stack.environment()), transport=meanwhile)) as runtime:
        connect(runtime.begin("wpp-create", "id"), caller.token)
    settings = caller.row()["settings"]
    assert meanwhile.has_happened
    assert OF_ANOTHER.items() <= settings.items()
    assert settings["wppStartedAt"] == 1
    assert "wppClaim" not in settings
