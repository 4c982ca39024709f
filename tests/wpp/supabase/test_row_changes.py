"""How a row is changed: only as it was read, a few times, and what is said when that never succeeds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import pytest

from emulator.faults import Fault
from wpp.clock import Clock, Deadline
from wpp.errors import (
    DeadlinePassed,
    NotConfigured,
    RowForbidden,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreadable,
    WppError,
)
from wpp.http.upstream import Upstream
from wpp.supabase.rows import Integration, Rows

if TYPE_CHECKING:
    from emulator.stack import Stack
    from wpp.runtime import Runtime

TABLE = "messenger_integrations"
PATCH, GET = f"rest.PATCH.{TABLE}", f"rest.GET.{TABLE}"
WHOLE = "id,organization_id,is_active,is_primary,created_at,updated_at,settings"
ROW = Integration(
    "row-1", "organization-1", True, False, {"a": 1}, "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
)
OTHERS = ROW._replace(settings={"a": 2}, updated_at="2026-01-03T00:00:00+00:00")
EDITED = {"settings": {"a": 3}}
DONE = ROW._replace(settings={"a": 3}, updated_at="2026-01-04T00:00:00+00:00")
UNREADABLE = b"<html>"


class Table(NamedTuple):
    """Answers in order: to each `PATCH` what is given for changes, to each `GET` what is given for reads."""

    stack: Stack
    rows: Rows
    pauses: list[float]

    def answers(self, *, changes: list[object] | None = None, reads: list[object] | None = None) -> None:
        for call, bodies in ((PATCH, changes or []), (GET, reads or [])):
            for body in bodies:
                encoded = body if isinstance(body, bytes) else json.dumps([_json(row) for row in body]).encode()  # type: ignore[attr-defined]
                self.stack.supabase_server.inject(Fault(call, status=200, body=encoded))

    def calls(self) -> list[str]:
        return [received.call.split(".")[1] for received in self.stack.supabase_server.received]


def _json(row: Integration) -> dict[str, Any]:
    return {name: getattr(row, name) for name in WHOLE.split(",")}


@pytest.fixture
def table(stack: Stack, runtime: Runtime) -> Table:
    pauses: list[float] = []
    clock = Clock(now=lambda: 1_800_000_000.25, sleep=pauses.append)
    upstream = Upstream(runtime.transport, Deadline(60, clock), clock, "r", uniform=lambda _, longest: longest)
    return Table(stack, Rows(runtime.config, upstream), pauses)


def unless_done(row: Integration) -> dict[str, Any] | None:
    return None if row.settings == {"a": 3} else EDITED


def test_a_change_is_one_conditional_request(table: Table) -> None:
    table.answers(changes=[[DONE]])

    assert table.rows.change(ROW, unless_done) == DONE

    (received,) = table.stack.supabase_server.received
    assert received.call == PATCH
    assert dict(parse_qsl(received.request.query)) == {
        "id": "eq.row-1",
        "organization_id": "eq.organization-1",
        "updated_at": "eq.2026-01-02T00:00:00+00:00",
        "settings->wppClaim->>id": "is.null",
        "settings->wppClaim->>beat": "is.null",
        "select": WHOLE,
    }
    assert received.request.json() == {"settings": {"a": 3}, "updated_at": "2027-01-15T08:00:00.250000+00:00"}
    assert received.request.headers["prefer"] == "return=representation"


@pytest.mark.parametrize(
    ("row", "name"),
    [(ROW._replace(updated_at=None), "updated_at"), (ROW._replace(organization_id=""), "organization_id")],
)
def test_a_row_without_one_of_these_is_changed_only_while_it_still_has_none(
    table: Table, row: Integration, name: str
) -> None:
    table.answers(changes=[[DONE]])
    table.rows.change(row, unless_done)
    (received,) = table.stack.supabase_server.received
    assert dict(parse_qsl(received.request.query))[name] == "is.null"


@pytest.mark.parametrize(
    ("settings", "claim_id", "beat"),
    [
        ({"wppClaim": {"id": "claim-1", "beat": 7}}, "eq.claim-1", "eq.7"),
        ({"wppClaim": {"id": "", "beat": 0}}, "eq.", "eq.0"),
        ({"wppClaim": {"id": None}}, "is.null", "is.null"),
        ({"wppClaim": "text"}, "is.null", "is.null"),
        ({}, "is.null", "is.null"),
        (["wppClaim"], "is.null", "is.null"),
        (None, "is.null", "is.null"),
        # Not ours: PostgREST would compare another text than the one that is read.
        ({"wppClaim": {"id": "x" * 64, "beat": 2**53 - 1}}, "eq." + "x" * 64, f"eq.{2**53 - 1}"),
        ({"wppClaim": {"id": "x" * 65, "beat": 2**53}}, None, None),
        ({"wppClaim": {"id": 5, "beat": -(2**53) + 1}}, "eq.5", f"eq.{-(2**53) + 1}"),
        ({"wppClaim": {"id": True, "beat": -(2**53)}}, None, None),
        ({"wppClaim": {"id": 1.5, "beat": [1]}}, None, None),
    ],
)
def test_a_change_holds_only_while_the_claim_is_as_it_was_read(
    table: Table, settings: Any, claim_id: str | None, beat: str | None
) -> None:
    table.answers(changes=[[DONE]])
    table.rows.change(ROW._replace(settings=settings), unless_done)
    (received,) = table.stack.supabase_server.received
    query = dict(parse_qsl(received.request.query, keep_blank_values=True))
    assert (query.get("settings->wppClaim->>id"), query.get("settings->wppClaim->>beat")) == (claim_id, beat)


def test_a_row_that_needs_no_change_costs_no_request(table: Table) -> None:
    assert table.rows.change(ROW, lambda _: None) == ROW
    assert table.calls() == []


def test_a_row_that_was_read_in_part_is_read_whole_before_it_is_changed(table: Table) -> None:
    done = ROW._replace(settings={"a": 1, "b": 2})
    table.answers(reads=[[ROW]], changes=[[done]])
    changed = table.rows.change(
        ROW._replace(settings={}, is_partial=True),
        lambda row: None if "b" in row.settings else {"settings": {**row.settings, "b": 2}},
    )
    assert changed == done
    assert table.stack.supabase_server.received[-1].request.json()["settings"] == {"a": 1, "b": 2}
    assert table.calls() == ["GET", "PATCH"]
    assert dict(parse_qsl(table.stack.supabase_server.received[0].request.query)) == {"id": "eq.row-1", "select": WHOLE}


def test_a_row_that_was_read_in_part_and_is_gone_is_not_changed(table: Table) -> None:
    table.answers(reads=[[]])
    assert table.rows.change(ROW._replace(is_partial=True), unless_done) is None
    assert table.calls() == ["GET"]


def test_a_row_that_somebody_else_changed_is_read_again_and_changed_at_once(table: Table) -> None:
    table.answers(changes=[[], [DONE]], reads=[[OTHERS]])
    assert table.rows.change(ROW, unless_done) == DONE
    *_, second = table.stack.supabase_server.received
    assert dict(parse_qsl(second.request.query))["updated_at"] == f"eq.{OTHERS.updated_at}"
    assert (table.calls(), table.pauses) == (["PATCH", "GET", "PATCH"], [])


@pytest.mark.parametrize("attempts", [1, 2, None])
def test_a_row_that_others_change_each_time_is_given_up_after_a_few_attempts(
    table: Table, attempts: int | None
) -> None:
    most = attempts or 6
    table.answers(changes=[[]] * most, reads=[[OTHERS._replace(settings={"a": n})] for n in range(10, 10 + most)])
    with pytest.raises(UpstreamBroken) as caught:
        table.rows.change(ROW, unless_done, attempts)
    assert str(caught.value) == f"Supabase changed row row-1 whenever we tried to ({PATCH})"
    assert table.calls() == ["PATCH", "GET"] * most
    assert table.pauses == [0.2, 0.4, 0.8, 1.6, 2.0][: most - 1]


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_change_that_is_accepted_and_never_carried_out_is_the_operators_to_mend(table: Table, attempts: int) -> None:
    table.answers(changes=[[]] * attempts, reads=[[ROW]] * attempts)
    with pytest.raises(NotConfigured) as caught:
        table.rows.change(ROW, unless_done, attempts)
    assert str(caught.value) == (
        "Supabase accepts a change of row row-1 and does not carry it out: "
        "check row-level security, triggers, and that SUPABASE_URL does not lead to a read replica"
    )


def test_the_last_attempt_may_turn_out_to_have_succeeded(table: Table) -> None:
    table.answers(changes=[[]], reads=[[DONE]])
    assert table.rows.change(ROW, unless_done, 1) == DONE


@pytest.mark.parametrize(
    ("before", "columns", "answered"),
    [
        (ROW, {"settings": {"a": 3}}, OTHERS),
        (ROW, {"settings": {"a": 3}}, OTHERS._replace(settings=None)),
        (ROW, {"settings": {"a": 1, "b": 2}}, ROW),
        (ROW, {"settings": {}}, OTHERS),
        (ROW._replace(settings=None), {"settings": {"a": 1}}, OTHERS),
        (ROW, {"settings": {"a": 3}, "is_active": False}, DONE),
        (ROW, {"settings": {"a": 1}, "is_active": False}, OTHERS),
    ],
)
def test_a_change_that_a_trigger_undoes_is_the_operators_to_mend(
    table: Table, before: Integration, columns: dict[str, Any], answered: Integration
) -> None:
    table.answers(changes=[[answered]])
    with pytest.raises(NotConfigured, match="accepts a change of row row-1 and does not carry it out"):
        table.rows.change(before, lambda _: columns)
    assert table.calls() == ["PATCH"]


@pytest.mark.parametrize(
    ("before", "columns", "answered"),
    [
        (ROW, {"settings": {"a": 3}}, DONE._replace(settings={"a": 3, "of a trigger": 1}, is_active=False)),
        (ROW, {"settings": {"a": 1, "b": 2}}, DONE._replace(settings={"a": "a trigger's", "b": 2})),
        (ROW, {"settings": {"a": 1}}, OTHERS),
        (ROW, {"settings": {"a": 1}, "is_active": False}, ROW._replace(is_active=False)),
        (ROW._replace(settings='{"a": 1e2}'), {"settings": {"a": 100.5}}, OTHERS),
    ],
)
def test_what_a_trigger_does_beside_a_change_is_its_own_business(
    table: Table, before: Integration, columns: dict[str, Any], answered: Integration
) -> None:
    table.answers(changes=[[answered]])
    assert table.rows.change(before, lambda _: columns) == answered
    assert table.calls() == ["PATCH"]


def test_a_row_that_is_another_organizations_by_now_is_left_alone(table: Table) -> None:
    table.answers(changes=[[]], reads=[[OTHERS._replace(organization_id="organization-2")]])
    assert table.rows.change(ROW, unless_done) is None
    assert table.calls() == ["PATCH", "GET"]


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_row_that_is_deleted_meanwhile_is_none(table: Table, attempts: int) -> None:
    table.answers(changes=[[]], reads=[[]])
    assert table.rows.change(ROW, unless_done, attempts) is None
    assert table.calls() == ["PATCH", "GET"]


@pytest.mark.parametrize(
    ("status", "error"), [(500, UpstreamBroken), (504, UpstreamTimeout), (200, UpstreamUnreadable)]
)
def test_a_change_without_a_usable_response_is_settled_by_reading_but_for_the_last(
    table: Table, status: int, error: type[WppError]
) -> None:
    table.stack.supabase_server.inject(Fault(PATCH, status=status, body=b"[1]"))
    table.answers(changes=[[DONE]], reads=[[ROW]])
    assert table.rows.change(ROW, unless_done, 2) == DONE
    table.stack.supabase_server.inject(Fault(PATCH, status=status, body=b"[1]"))
    with pytest.raises(error, match=rf"\({PATCH}\)"):
        table.rows.change(ROW, unless_done, 1)
    assert table.calls() == ["PATCH", "GET", "PATCH", "PATCH"]


def refused(table: Table, body: object) -> None:
    table.stack.supabase_server.inject(Fault(PATCH, status=409, body=json.dumps(body).encode()))


def test_a_change_that_a_unique_constraint_forbids_is_not_repeated(table: Table) -> None:
    refused(table, {"code": "23505", "message": 'violates unique constraint "one_primary"'})
    with pytest.raises(RowForbidden, match="The unique constraint one_primary of"):
        table.rows.change(ROW, unless_done)
    assert table.calls() == ["PATCH"]


def test_a_change_that_is_refused_is_not_repeated(table: Table) -> None:
    refused(table, {"code": "22001"})
    with pytest.raises(UpstreamRefused) as caught:
        table.rows.change(ROW, unless_done)
    assert str(caught.value) == f"Supabase refused with status 409: 22001 ({PATCH})"
    assert table.calls() == ["PATCH"]


@pytest.mark.parametrize("body", [b"[{}]", UNREADABLE])
def test_a_response_to_a_change_that_cannot_be_read_names_the_change(table: Table, body: bytes) -> None:
    table.answers(changes=[body])
    with pytest.raises(UpstreamUnreadable, match=rf"\({PATCH}\)"):
        table.rows.change(ROW, unless_done, 1)


def test_the_time_for_further_attempts_is_the_invocations(stack: Stack, runtime: Runtime) -> None:
    clock = Clock()
    upstream = Upstream(runtime.transport, Deadline(8, clock), clock, "r", uniform=lambda _, longest: 60 * longest)
    stack.supabase_server.inject(Fault(PATCH, status=200, body=b"[]", times=2))
    stack.supabase_server.inject(Fault(GET, status=200, body=json.dumps([_json(OTHERS)]).encode(), times=2))
    with pytest.raises(DeadlinePassed) as caught:
        Rows(runtime.config, upstream).change(ROW, unless_done)
    assert str(caught.value) == "Time ran out while saving the connection; try again"
