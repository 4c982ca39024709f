"""The commands and their arguments, and which code each of them runs."""

from __future__ import annotations

import argparse
import uuid
from typing import TYPE_CHECKING

from wpp.cli import number, organization
from wpp.cli.reconciliation import reconcile
from wpp.cli.result import shown
from wpp.operating.reconciler import SHORTEST_DEADLINE

if TYPE_CHECKING:
    from wpp.cli.result import Act, Run

_LONGEST_WAIT = 300.0  # seconds
_RATE, _HIGHEST_RATE = 5.0, 1000.0  # numbers per second


def parser(description: str) -> argparse.ArgumentParser:
    """`description` is a summary and, after an empty line, what comes below the commands."""
    summary, _, rest = description.partition("\n\n")
    whole = argparse.ArgumentParser(
        prog="python -m wpp",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = _Commands(whole)
    commands.of_number(
        "create", number.create, "create its client, or show the one it has, and start the session", any_number=False
    )
    commands.of_number("token", number.token, "get a platform token, to see whether the stored key works")
    commands.of_number("status", number.status, "show the status of the session; changes nothing")
    qr = commands.of_number("qr", number.qr, "start the session if it is offline, and draw the QR to scan")
    qr.add_argument("--wait", type=_seconds, default=20.0, metavar="SECONDS", help="for a QR, default 20")
    send = commands.of_number("send-text", number.send_text, "send a text message")
    send.add_argument("to", metavar="TO", help="phone number or chat id")
    send.add_argument("text", metavar="TEXT", type=_message, help="`-` reads it from standard input")
    commands.of_number("stop", number.stop, "stop the session: the phone is logged out")
    commands.of_organization(
        "list", organization.list_numbers, "list its numbers, each with its status; changes nothing"
    )
    _add_retire(commands)
    _add_reconcile(commands)
    return whole


class _Commands:
    def __init__(self, whole: argparse.ArgumentParser) -> None:
        self._commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def add(self, name: str, run: Run, text: str, as_json: str, least_seconds: float = 0.0) -> argparse.ArgumentParser:
        added = self._commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.add_argument("--json", action="store_true", help=as_json)
        added.add_argument("--verbose", action="store_true", help="log to standard error at the level of LOG_LEVEL")
        added.set_defaults(run=run, least_seconds=least_seconds)
        return added

    def of_organization(self, name: str, act: Act, text: str) -> argparse.ArgumentParser:
        added = self.add(name, shown(act), text, "one JSON object instead of lines")
        added.add_argument("organization", type=_uuid, metavar="ORGANIZATION", help="its id, a UUID")
        return added

    def of_number(self, name: str, act: Act, text: str, *, any_number: bool = True) -> argparse.ArgumentParser:
        added = self.of_organization(name, act, text)
        if any_number:
            text = "of a further number; default: the organization's primary number"
            added.add_argument("--session", help=text)
        return added


def _add_retire(commands: _Commands) -> None:
    text = "stop and deactivate a number, or all of an organization that is leaving: their phones are logged out"
    retire = commands.of_organization("retire", organization.retire_numbers, text)
    which = retire.add_mutually_exclusive_group()
    which.add_argument("--integration", type=_uuid, metavar="ID", help="of the number; needed if there are several")
    which.add_argument("--all", action="store_true", help="all numbers of the organization")


def _add_reconcile(commands: _Commands) -> None:
    text = "examine the numbers of all organizations, and show what is wrong with them"
    added = commands.add(
        "reconcile", reconcile, text, "one JSON object a line, the last one a summary", SHORTEST_DEADLINE
    )
    added.add_argument(
        "--fix", action="store_true", help="finish what can be finished, as the next call of a function would"
    )
    text = f"the most numbers per second to look at on the platform, default {_RATE:g}"
    added.add_argument("--rate", type=_rate, default=_RATE, metavar="N", help=text)
    added.add_argument(
        "--after", type=_uuid, metavar="ID", help="go on after this row: an interrupted call prints which one"
    )


def _message(text: str) -> str:
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


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= _HIGHEST_RATE:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {_HIGHEST_RATE:g}")
    return rate


# What argparse calls them in its messages.
_uuid.__name__, _seconds.__name__, _rate.__name__ = "UUID", "number of seconds", "number"
