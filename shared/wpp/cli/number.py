"""The commands that are about one number."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wpp.cli.result import DONE, NOT_FOUND, NotFound, Result
from wpp.provisioning.client import stored_client
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import primary_number
from wpp.provisioning.record import record_of
from wpp.provisioning.recovery import running_session
from wpp.provisioning.session import Session
from wpp.redaction import masked

if TYPE_CHECKING:
    import argparse

    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration


def create(invocation: Invocation, options: argparse.Namespace) -> Result:
    number = primary_number(options.organization)
    rows = invocation.rows.of_organization(options.organization)
    client = Creation(invocation, number, others=rows).obtain(number.find(rows))
    session, state = running_session(invocation, number, client)
    return Result({**_described(session.row), "created": client.was_created, "status": state.state.value})


def token(invocation: Invocation, options: argparse.Namespace) -> Result:
    row = _row(invocation, options)
    tokens = stored_client(invocation, row).platform.tokens
    tokens.fetched()  # always a new one: this command shows whether the platform accepts the key
    current = tokens.current
    assert current is not None  # noqa: S101 - it was just fetched
    expires = datetime.fromtimestamp(current.expires_at, UTC).isoformat(timespec="seconds")
    return Result({**_described(row), "token": masked(current.text), "expires": expires})


def status(invocation: Invocation, options: argparse.Namespace) -> Result:
    row = _row(invocation, options)
    state = stored_client(invocation, row).platform.status()
    if state.warning:
        invocation.warn(state.warning)
    return Result({**_described(row), "status": state.state.value})


def qr(invocation: Invocation, options: argparse.Namespace) -> Result:
    row = _row(invocation, options)
    session = Session(invocation, stored_client(invocation, row))
    state = session.ensure_started()
    if options.wait and not state.is_settled and sys.stderr.isatty():
        print(f"waiting up to {options.wait:g} s for a QR", file=sys.stderr)
    state = session.wait_for_qr(state)
    fields = {**_described(row), "status": state.state.value}
    return Result(fields, state.qr, DONE if state.is_settled else NOT_FOUND)


def send_text(invocation: Invocation, options: argparse.Namespace) -> Result:
    text = sys.stdin.read() if options.text == "-" else options.text
    row = _row(invocation, options)
    task = stored_client(invocation, row).platform.send_text(options.to, text)
    return Result({**_described(row), "task": task})


def stop(invocation: Invocation, options: argparse.Namespace) -> Result:
    row = _row(invocation, options)
    stored_client(invocation, row).platform.stop()
    return Result({**_described(row), "stopped": True})


def _row(invocation: Invocation, options: argparse.Namespace) -> Integration:
    """The row of the session that was asked for, otherwise of the organization's primary number. Raises NotFound."""
    rows = invocation.rows.of_organization(options.organization)
    if options.session is None:
        found = primary_number(options.organization).find(rows)
    else:
        found = next((row for row in rows if session_of(row) == options.session), None)
    if found is None or session_of(found) is None:
        what = "client" if options.session is None else f"session {options.session}"
        raise NotFound(f"organization {options.organization} has no {what}; `create` creates its client")
    return found


def session_of(row: Integration) -> str | None:
    credentials = record_of(row).credentials
    return credentials.session if credentials else None


def _described(row: Integration) -> dict[str, Any]:
    credentials = record_of(row).credentials
    known = {"session": credentials.session, "apiKey": masked(credentials.api_key)} if credentials else {}
    return {"organization": row.organization_id, "integration": row.id, **known}
