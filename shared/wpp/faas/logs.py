"""One JSON object per line on standard error: time, level, message, and the fields of the invocation."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wpp.config import log_level

if TYPE_CHECKING:
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
        return json.dumps(line, default=str)


def described(kind: type[BaseException], trace: TracebackType | None) -> dict[str, Any]:
    """Where an unforeseen exception came from. Not its text: libraries put header values and addresses into theirs."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    return {"type": kind.__name__, "frames": frames[-12:]}


def set_up() -> None:
    """Idempotent. Only our own logger: what else runs in the process keeps its own ways."""
    _LOG.setLevel(log_level())
    if not _LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        _LOG.addHandler(handler)
        _LOG.propagate = False
