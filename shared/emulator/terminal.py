"""What a person sees in the terminal: colours where it is one, the functions' log as short lines, progress, the QR."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_CLEAR_LINE = "\r\x1b[K"
_LOCK = threading.Lock()


def is_terminal(stream: TextIO | None = None) -> bool:
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str) -> str:
    """`text` in one of the styles above; as it is where nobody would see it, or NO_COLOR asks for none."""
    plain = not is_terminal() or os.environ.get("NO_COLOR")
    return text if plain else f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def say(text: str) -> None:
    """One piece, also where several threads have something to say."""
    with _LOCK:
        print(text, flush=True)


def complain(text: str) -> None:
    with _LOCK:
        print(f"{styled('error:', 'red')} {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(doing: str) -> Iterator[None]:
    """Says what is waited for, on a terminal with the seconds so far, and takes that line away in the end."""
    if not is_terminal():
        say(doing)
        yield
        return
    done = threading.Event()

    def count() -> None:
        began = time.monotonic()
        while True:
            with _LOCK:
                print(f"{_CLEAR_LINE}{doing} {time.monotonic() - began:.1f} s", end="", flush=True)
            if done.wait(0.1):
                return

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield
    finally:
        done.set()
        counting.join()
        print(_CLEAR_LINE, end="", flush=True)


def log_line(line: str) -> str | None:
    """A line of the server's output as a person likes to read it; None for what says nothing new."""
    try:
        record = json.loads(line)
        clock = datetime.fromisoformat(record["time"]).astimezone().strftime("%H:%M:%S")
        level, message = record["level"], record["message"]
    except (ValueError, TypeError, KeyError):
        return styled(line.rstrip("\n"), "dim") if line.strip() else None
    if message == "serving functions":
        return None
    who = f"{record.get('function') or '':<14}"
    said = _answered(record) if message == "answered" else _said(level, record.get("reason") or _place(record, message))
    return f"{styled(clock, 'dim')}  {who}{said}"


def _place(record: dict[str, Any], message: str) -> str:
    """With the kind of an exception and where it was raised, where the record has one."""
    error = record.get("error")
    return f"{message}: {error['type']} at {error['frames'][-1]}" if error and error["frames"] else message


def _answered(record: dict[str, Any]) -> str:
    status = record["status"]
    colour = "green" if status < 400 else "yellow" if status < 500 else "red"
    calls = f"{_counted(record['upstream_calls'], 'call')} in {_counted(record['round_trips'], 'round trip')}"
    timing = styled(f"{record['duration_ms']:>8.1f} ms  {calls}", "dim")
    return f"{styled(str(status), colour)} {timing}  {record.get('code') or ''}".rstrip()


def _said(level: str, message: str) -> str:
    colour = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}.get(level, "dim")
    return styled(message, colour)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
