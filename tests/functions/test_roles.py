"""Who of an organization may: every member, or those whose role is named in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.callers import new_caller
from wpp.config import config_from
from wpp.errors import Forbidden, NotConfigured
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.look import look, qr_of
from wpp.provisioning.options import Target
from wpp.provisioning.service import connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack
    from tests.support.callers import Caller
    from wpp.runtime import Invocation

ALL: list[Callable[[Invocation, str], object]] = [
    connect,
    lambda invocation, token: look(invocation, token, Target()),
    lambda invocation, token: qr_of(invocation, token, Target()),
    lambda invocation, token: disconnect(invocation, token, Target()),
]


@pytest.fixture
def member(stack: Stack) -> Caller:
    stack.supabase.execute("alter table profiles add column if not exists position text")
    return new_caller(stack, {})


def called(caller: Caller, role: str | None, call: Callable[[Invocation, str], object], **env: str) -> Invocation:
    caller.stack.supabase.execute("update profiles set position = %s where id = %s", role, caller.user_id)
    runtime = Runtime(config_from(caller.stack.environment() | env))
    try:
        invocation = runtime.begin("wpp-create", "id")
        call(invocation, caller.token)
        return invocation
    finally:
        runtime.close()


OWNERS = {"WPP_ALLOWED_ROLES": "owner, admin", "WPP_ROLE_COLUMN": "position"}


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_a_role_that_is_named_may_and_costs_no_further_request(member: Caller, role: str) -> None:
    without = called(member, None, connect).upstream.trace.requests
    for call in ALL:
        invocation = called(member, role, call, **OWNERS)
        if call is connect:
            names = [request.name for request in invocation.upstream.trace.requests]
            assert names.count("rest.GET.profiles") == 1
    assert [request.name for request in without].count("rest.GET.profiles") == 1


@pytest.mark.parametrize("role", ["member", None, "", "Owner", "owner, admin"])
def test_any_other_role_is_forbidden_and_reaches_no_platform(member: Caller, role: str | None) -> None:
    member.stack.platform_server.clear()
    for call in ALL:
        with pytest.raises(Forbidden) as forbidden:
            called(member, role, call, **OWNERS)
        assert (forbidden.value.status, forbidden.value.code) == (403, "forbidden")
    assert list(member.stack.platform_server.received) == []
    assert member.rows() == []


def test_a_column_that_is_missing_is_an_error_that_names_it(member: Caller) -> None:
    with pytest.raises(NotConfigured, match=r"profiles\.no_such_column"):
        called(member, "owner", connect, WPP_ALLOWED_ROLES="owner", WPP_ROLE_COLUMN="no_such_column")


@pytest.mark.parametrize("column", ["a,b", "role)", "profiles.role", "1st", "role:x", "x" * 64])
def test_a_column_that_cannot_be_one_is_refused_in_the_configuration(stack: Stack, column: str) -> None:
    with pytest.raises(NotConfigured, match="WPP_ROLE_COLUMN"):
        config_from(stack.environment() | {"WPP_ROLE_COLUMN": column})


def test_roles_that_name_nobody_are_refused_in_the_configuration(stack: Stack) -> None:
    with pytest.raises(NotConfigured, match="WPP_ALLOWED_ROLES"):
        config_from(stack.environment() | {"WPP_ALLOWED_ROLES": " , "})
