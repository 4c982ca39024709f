"""The commands that are about all numbers of one organization: which there are, and taking them out of use."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from wpp.cli.number import session_of
from wpp.cli.result import DONE, FAILED, LEFT, TRY_AGAIN, NotFound, Result, WrongUsage
from wpp.errors import KeyRefused, SessionGone, WppError
from wpp.operating.retirement import Retirement, retire
from wpp.provisioning.client import stored_client
from wpp.provisioning.number import primary_number
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration


def list_numbers(invocation: Invocation, options: argparse.Namespace) -> Result:
    rows = _rows(invocation, options)
    primary = primary_number(options.organization).find(rows)
    numbers = [_described(_next(invocation), row, is_primary=row is primary) for row in rows]
    return Result({"organization": options.organization}, numbers=numbers)


def retire_numbers(invocation: Invocation, options: argparse.Namespace) -> Result:
    rows = left = _rows(invocation, options)
    if options.integration is not None:
        rows = [row for row in rows if row.id == options.integration]
        if not rows:
            raise NotFound(f"organization {options.organization} has no number {options.integration}")
    elif len(rows) > 1 and not options.all:
        raise WrongUsage(
            f"organization {options.organization} has {len(rows)} numbers: name one with --integration, or --all"
        )
    retired = []
    for row in rows:
        retired.append(retire(_next(invocation), row, left))
        if retired[-1].result != "not retired":
            left = [other for other in left if other.id != row.id]
    numbers = [
        {"integration": one.row.id, "session": session_of(one.row), "result": one.result, "problem": one.problem}
        for one in retired
    ]
    return Result({"organization": options.organization}, code=_code(retired), numbers=numbers)


def _code(retired: Sequence[Retirement]) -> int:
    failed = [one for one in retired if one.result == "not retired"]
    if failed:
        return TRY_AGAIN if all(one.may_succeed_later for one in failed) else FAILED
    return LEFT if any(one.result == "not stopped" for one in retired) else DONE


def _rows(invocation: Invocation, options: argparse.Namespace) -> list[Integration]:
    """Raises NotFound if there are none."""
    rows = invocation.rows.of_organization(options.organization)
    if not rows:
        raise NotFound(f"organization {options.organization} has no number; `create` creates its client")
    return list(rows)


def _next(invocation: Invocation) -> Invocation:
    """With a time of its own: one number that takes long must not take it from the others."""
    return invocation.runtime.begin("cli", uuid.uuid4().hex)


def _described(invocation: Invocation, row: Integration, *, is_primary: bool) -> dict[str, Any]:
    record = record_of(row)
    return {
        "integration": row.id,
        "session": session_of(row),
        "primary": is_primary,
        "active": row.is_active,
        "disconnected": record.is_disconnected,
        "paired": record.was_paired,
        "status": _status(invocation, row),
    }


def _status(invocation: Invocation, row: Integration) -> str:
    """As the platform reports it now, or why it cannot be told."""
    if record_of(row).credentials is None:
        return "unfinished"
    try:
        return stored_client(invocation, row).platform.status().state.value
    except KeyRefused:
        return "key_refused"
    except SessionGone:
        return "session_lost"
    except WppError as error:
        return error.code
