"""The WhatsApp connection of an organization, for operators and their scripts.

Configured by the same environment variables as the functions. Credentials are shown masked; `qr` shows the QR it is asked for.

exit codes:
  0  done
  1  Supabase or WPP Platform refused it, or this program failed
  2  wrong usage or configuration
  3  not found: no such organization, no client, or no QR yet
  4  Supabase or WPP Platform cannot be reached, or took too long: trying again may help
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wpp.config import config_from, log_level
from wpp.errors import NotConfigured, OrganizationNotFound, WppError
from wpp.faas import logs
from wpp.provisioning.client import stored_client
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import primary_number
from wpp.provisioning.record import record_of
from wpp.provisioning.recovery import running_session
from wpp.provisioning.session import Session
from wpp.redaction import masked, one_line
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

DONE, FAILED, USAGE, NOT_FOUND, TRY_AGAIN, INTERRUPTED = 0, 1, 2, 3, 4, 130
_SPARE = 8.0  # seconds on top of the wait for a QR: for finding the client and starting its session
_LONGEST_WAIT = 300.0
_LOG = logging.getLogger("wpp")


class _NotFound(Exception):
    pass


class CannotDraw(Exception):
    pass


@dataclass(frozen=True)
class _Result:
    fields: dict[str, Any]
    qr: str | None = field(default=None, repr=False)
    code: int = DONE


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code. Raises SystemExit if the arguments are wrong."""
    options = _parser().parse_args(arguments)
    logs.set_up(level=_level(options))
    try:
        return _run(options)
    except (NotConfigured, CannotDraw) as error:
        return _failure(error, USAGE)
    except (_NotFound, OrganizationNotFound) as error:
        return _failure(error, NOT_FOUND)
    except WppError as error:
        return _failure(error, TRY_AGAIN if error.retryable else FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has closed the pipe: print nothing more, not even while Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - its text and its traceback may hold anything
        _LOG.critical("an unforeseen error", exc_info=error)
        return FAILED


def _run(options: argparse.Namespace) -> int:
    config = config_from()
    logs.set_up(config.known_secrets, level=_level(options))
    wait = getattr(options, "wait", 0.0)
    seconds = max(config.deadline_seconds, wait + _SPARE)
    runtime = Runtime(config._replace(deadline_seconds=seconds, qr_wait_seconds=wait))
    try:
        invocation = runtime.begin("cli", uuid.uuid4().hex)
        act: Callable[[Invocation, argparse.Namespace], _Result] = options.act
        result = act(invocation, options)
    finally:
        runtime.close()
    for warning in invocation.warnings:
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    _show(result, as_json=options.json)
    sys.stdout.flush()
    return result.code


def _level(options: argparse.Namespace) -> int:
    return log_level() if options.verbose else logging.CRITICAL


def _create(invocation: Invocation, options: argparse.Namespace) -> _Result:
    number = primary_number(options.organization)
    row = number.find(invocation.rows.of_organization(options.organization))
    client = Creation(invocation, number).obtain(row)
    session, state = running_session(invocation, number, client)
    return _Result({**_described(session.row), "created": client.was_created, "status": state.state.value})


def _token(invocation: Invocation, options: argparse.Namespace) -> _Result:
    row = _row(invocation, options)
    tokens = stored_client(invocation, row).platform.tokens
    tokens.fetched()  # always a new one: this command shows whether the platform accepts the key
    token = tokens.current
    assert token is not None  # noqa: S101 - it was just fetched
    expires = datetime.fromtimestamp(token.expires_at, UTC).isoformat(timespec="seconds")
    return _Result({**_described(row), "token": masked(token.text), "expires": expires})


def _status(invocation: Invocation, options: argparse.Namespace) -> _Result:
    row = _row(invocation, options)
    state = stored_client(invocation, row).platform.status()
    if state.warning:
        invocation.warn(state.warning)
    return _Result({**_described(row), "status": state.state.value})


def _qr(invocation: Invocation, options: argparse.Namespace) -> _Result:
    row = _row(invocation, options)
    session = Session(invocation, stored_client(invocation, row))
    state = session.ensure_started()
    if options.wait and not state.is_settled and sys.stderr.isatty():
        print(f"waiting up to {options.wait:g} s for a QR", file=sys.stderr)
    state = session.wait_for_qr(state)
    fields = {**_described(row), "status": state.state.value}
    return _Result(fields, state.qr, DONE if state.is_settled else NOT_FOUND)


def _send_text(invocation: Invocation, options: argparse.Namespace) -> _Result:
    text = sys.stdin.read() if options.text == "-" else options.text
    row = _row(invocation, options)
    task = stored_client(invocation, row).platform.send_text(options.to, text)
    return _Result({**_described(row), "task": task})


def _stop(invocation: Invocation, options: argparse.Namespace) -> _Result:
    row = _row(invocation, options)
    stored_client(invocation, row).platform.stop()
    return _Result({**_described(row), "stopped": True})


def _row(invocation: Invocation, options: argparse.Namespace) -> Integration:
    """The row of the session that was asked for, otherwise of the organization's primary number. Raises _NotFound."""
    rows = invocation.rows.of_organization(options.organization)
    if options.session is None:
        found = primary_number(options.organization).find(rows)
    else:
        found = next((row for row in rows if _session_of(row) == options.session), None)
    if found is None or _session_of(found) is None:
        what = "client" if options.session is None else f"session {options.session}"
        raise _NotFound(f"organization {options.organization} has no {what}; `create` creates its client")
    return found


def _session_of(row: Integration) -> str | None:
    credentials = record_of(row).credentials
    return credentials.session if credentials else None


def _described(row: Integration) -> dict[str, Any]:
    credentials = record_of(row).credentials
    known = {"session": credentials.session, "apiKey": masked(credentials.api_key)} if credentials else {}
    return {"organization": row.organization_id, "integration": row.id, **known}


def _show(result: _Result, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.fields | ({"qrcode": result.qr} if result.qr else {}), ensure_ascii=False))
        return
    for name, value in result.fields.items():
        print(f"{name}: {one_line(str(value))}")
    if result.qr:
        print()
        draw(result.qr)


def draw(qr: str) -> None:
    """Draws a QR that came as pairing text. Raises CannotDraw."""
    if qr.startswith("data:"):
        raise CannotDraw("this platform sends its QR as a picture; --json prints it, for a browser's address bar")
    try:
        import segno  # the functions do not need it, so it is not deployed with them
    except ModuleNotFoundError:
        raise CannotDraw("drawing a QR needs the package segno; --json prints the QR's text") from None
    drawing = io.StringIO()
    segno.make(qr, error="l").terminal(drawing, compact=True, border=2)
    for line in drawing.getvalue().splitlines():
        # Bright white on black by name: a theme with dark text on white would turn the QR into its negative.
        print(f"\x1b[97;40m{line}\x1b[0m" if sys.stdout.isatty() else line)


def _failure(error: Exception, code: int) -> int:
    print(f"error: {one_line(str(error))}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("organization", type=_uuid, metavar="ORGANIZATION", help="its id, a UUID")
    every.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    every.add_argument("--verbose", action="store_true", help="log to standard error at the level of LOG_LEVEL")
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("--session", help="of a further number; default: the organization's primary number")

    parser = argparse.ArgumentParser(
        prog="python -m wpp",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Callable[..., _Result], text: str, *of_one: argparse.ArgumentParser) -> Any:
        added = commands.add_parser(name, parents=[every, *of_one], help=text, description=text, allow_abbrev=False)
        added.set_defaults(act=act)
        return added

    command("create", _create, "create its client, or show the one it has, and start the session")
    command("token", _token, "get a platform token, to see whether the stored key works", one)
    command("status", _status, "show the status of the session; changes nothing", one)
    qr = command("qr", _qr, "start the session if it is offline, and draw the QR to scan", one)
    qr.add_argument("--wait", type=_seconds, default=20.0, metavar="SECONDS", help="for a QR, default 20")
    send = command("send-text", _send_text, "send a text message", one)
    send.add_argument("to", metavar="TO", help="phone number or chat id")
    send.add_argument("text", metavar="TEXT", type=_text, help="`-` reads it from standard input")
    command("stop", _stop, "stop the session: the phone is logged out", one)
    return parser


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the text is empty")
    return text


def _uuid(text: str) -> str:
    return str(uuid.UUID(text))


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be from 0 to {_LONGEST_WAIT:g}")
    return seconds


_uuid.__name__, _seconds.__name__ = "UUID", "number of seconds"  # what argparse calls them in its messages
