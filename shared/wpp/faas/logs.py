"""One JSON object per line on standard error: time, level, message, and the fields of the invocation.

Every record of the process, ours or a library's, goes through the redaction before any handler gets it.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wpp.config import log_level
from wpp.redaction import REDACTION, one_line, steady

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_LOG = logging.getLogger("wpp")


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        fields = getattr(record, "wpp", None)
        line.update({k: v for k, v in (fields or {}).items() if v is not None})
        if record.exc_info and record.exc_info[0]:
            line["error"] = described(record.exc_info[0], record.exc_info[2])
        # JSON spells out every control character but this one.
        return json.dumps(REDACTION.value(line)).replace("\x7f", "\\u007f")


def described(kind: type[BaseException], trace: TracebackType | None) -> dict[str, Any]:
    """Where an unforeseen exception came from. Not its text: libraries put header values and addresses into theirs."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    return {"type": kind.__name__, "frames": frames[-12:]}


def set_up() -> None:
    """Idempotent. Other loggers keep their own ways, but for what is taken out of their records."""
    make = logging.getLogRecordFactory()
    if not getattr(make, "redacts", False):
        logging.setLogRecordFactory(_redacting(make))
    level = log_level()
    if _LOG.level != level:  # setting it has every logger decide anew what it lets through
        _LOG.setLevel(level)
    if not _LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        _LOG.addHandler(handler)
        _LOG.propagate = False


def _redacting(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        _redact(record)
        return record

    redacted.redacts = True  # type: ignore[attr-defined]
    return redacted


def _redact(record: logging.LogRecord) -> None:
    # The arguments stay arguments, and what needs no change its own type: there are formatters that take them apart.
    if isinstance(record.args, dict):
        record.args = {name: _argument(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(_argument(value) for value in record.args)
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - logging itself would print the message and all its arguments
        message = f"{record.msg} (its arguments do not fit)"
        record.msg, record.args = message, None
    shown = steady(REDACTION.text(message))
    if shown != message:
        record.msg, record.args = shown, None
    if record.exc_info and record.exc_info[0]:
        record.exc_text = steady(REDACTION.text("".join(traceback.format_exception(*record.exc_info)).rstrip("\n")))
    if record.stack_info:
        record.stack_info = REDACTION.text(record.stack_info)


def _argument(value: Any) -> Any:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = str(value)
    shown = one_line(REDACTION.text(text))
    return value if shown == text else shown
