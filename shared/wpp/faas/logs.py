"""One JSON object per line on standard error: time, level, message, and the fields of the invocation.

Records of the logger "wpp" are redacted as they are formatted. Those of other libraries do not pass through here: the libraries
that quote headers and bodies log errors only.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from wpp.config import log_level
from wpp.redaction import Redaction

if TYPE_CHECKING:
    from types import TracebackType

KnownSecrets = Callable[[], Iterable[str]]
"""The secrets that are known when a line is written. Called for each line, so it must not wait and must not log."""

_LOG = logging.getLogger("wpp")
# urllib3 quotes response headers that it cannot parse; botocore, at DEBUG, the secrets that it fetches. And the runtime may set
# the root logger to DEBUG, as AWS Lambda does for its "application log level".
_QUOTING = ("urllib3", "botocore")


class JsonLines(logging.Formatter):
    """Without `known_secrets`, only the forms of credentials are redacted."""

    def __init__(self, known_secrets: KnownSecrets = tuple) -> None:
        super().__init__()
        self._known_secrets = known_secrets

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": _message(record),
        }
        fields = getattr(record, "wpp", None)
        line.update({k: v for k, v in (fields or {}).items() if v is not None})
        if record.exc_info and record.exc_info[0]:
            line["error"] = described(record.exc_info[0], record.exc_info[2])
        # JSON in ASCII: control characters are escaped, so a line cannot steer a terminal.
        redaction = Redaction(self._known_secrets())
        return json.dumps({name: redaction.value(value) for name, value in line.items()})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format must not cost the line
        return f"{record.msg} (its arguments do not fit)"


def described(kind: type[BaseException], trace: TracebackType | None) -> dict[str, Any]:
    """Where an unforeseen exception came from. Without its text: libraries put header values and addresses into theirs."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    return {"type": kind.__name__, "frames": frames[-12:]}


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Overridden because logging's own prints the record with all its arguments, unredacted."""
        with suppress(OSError, ValueError):
            sys.stderr.write('{"level": "ERROR", "message": "a log line could not be written"}\n')


def set_up(known_secrets: KnownSecrets | None = None, *, level: int | None = None) -> None:
    """Sets up the logger "wpp". Idempotent. `level` defaults to LOG_LEVEL; `known_secrets` stay in use until others are given.

    Of other loggers, only the levels of urllib3 and botocore are set.
    """
    level = log_level() if level is None else level
    if _LOG.level != level:  # setting it clears the caches of all loggers
        _LOG.setLevel(level)
    handler = next((handler for handler in _LOG.handlers if isinstance(handler, _Handler)), None)
    if handler is None:
        handler = _Handler()
        handler.setFormatter(JsonLines())
        _LOG.addHandler(handler)
        _LOG.propagate = False
        for name in _QUOTING:
            logging.getLogger(name).setLevel(logging.ERROR)
    if known_secrets is not None:
        handler.setFormatter(JsonLines(known_secrets))
