"""What a person sees in the terminal: colours, the functions' log as short lines, progress, problems."""

from __future__ import annotations

import errno
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
    """`text` in one of the styles above; unchanged outside a terminal and with NO_COLOR."""
    plain = not is_terminal() or os.environ.get("NO_COLOR")
    return text if plain else f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def say(text: str) -> None:
    """In one piece, even if several threads print."""
    _write(f"{text}\n", sys.stdout)


def complain(text: str) -> None:
    _write(f"{styled('error:', 'red')} {text}\n", sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    with _LOCK:
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Sends the stream nowhere, with what its buffer still holds.

    A terminal that was closed refuses every write with EIO. That must not end the process halfway, nor change its exit status
    when Python flushes its streams at the end: the process ends itself when it notices (`_wait_for_ctrl_c`).
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def progress(doing: str) -> Iterator[None]:
    """Shows what is waited for, on a terminal with the seconds so far; the line is gone at the end."""
    if not is_terminal():
        say(doing)
        yield
        return
    done = threading.Event()

    def count() -> None:
        began = time.monotonic()
        while True:
            _write(f"{_CLEAR_LINE}{doing} {time.monotonic() - began:.1f} s", sys.stdout)
            if done.wait(0.1):
                return

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield
    finally:
        done.set()
        counting.join()
        _write(_CLEAR_LINE, sys.stdout)


def log_line(line: str) -> str | None:
    """A line of the server's output for a person to read; None for a line that tells nothing new."""
    try:
        record = json.loads(line)
        clock = datetime.fromisoformat(record["time"]).astimezone().strftime("%H:%M:%S")
        level, message = record["level"], record["message"]
    except (ValueError, TypeError, KeyError):
        return styled(line.rstrip("\n"), "dim") if line.strip() else None
    if message == "serving functions":
        return None
    function = f"{record.get('function') or '':<14}"
    if message == "answered":
        return f"{styled(clock, 'dim')}  {function}{_answered(record)}"
    text = record.get("reason") or _with_place(record, message)
    return f"{styled(clock, 'dim')}  {function}{_coloured(level, text)}"


def _with_place(record: dict[str, Any], message: str) -> str:
    """The message, with the exception's type and the place that raised it if the record has them."""
    error = record.get("error")
    return f"{message}: {error['type']} at {error['frames'][-1]}" if error and error["frames"] else message


def _answered(record: dict[str, Any]) -> str:
    status = record["status"]
    colour = "green" if status < 400 else "yellow" if status < 500 else "red"
    calls = f"{_counted(record['upstream_calls'], 'call')} in {_counted(record['round_trips'], 'round trip')}"
    timing = styled(f"{record['duration_ms']:>8.1f} ms  {calls}", "dim")
    parts = [timing, record.get("code"), record.get("reason"), styled(record["request_id"], "dim")]
    return f"{styled(str(status), colour)} {'  '.join(part for part in parts if part)}"


def _coloured(level: str, message: str) -> str:
    colour = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}.get(level, "dim")
    return styled(message, colour)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
