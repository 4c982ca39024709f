"""The lines of our handler: JSON, one each, without credentials, whatever was logged."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from wpp.faas import logs
from wpp.runtime import invocation_log

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = {
    "known": 'a "quoted" \\ secret/with+signs=%',
    "known by its form": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
}
LIBRARIES = ["urllib3", "botocore", "gunicorn.error"]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> logging.Logger:
    """A logger with our formatter and no parent: pytest's own handlers stumble over what the tests log."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines(lambda: [SECRETS["known"]]))
    log = logging.Logger("of the test")  # noqa: LOG001
    log.addHandler(handler)
    return log


@pytest.fixture
def package_log() -> Iterator[logging.Logger]:
    """The logger of the package, without a handler as in a new process."""
    log = logging.getLogger("wpp")
    handlers = log.handlers[:]
    levels = {other: other.level for other in (log, *map(logging.getLogger, LIBRARIES))}
    log.handlers.clear()
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.NOTSET)
    yield log
    log.handlers[:] = handlers
    for other, level in levels.items():
        other.setLevel(level)


def _raise_from(text: str) -> None:
    def deeper(value: str) -> None:
        raise ValueError(f"cannot use {value}")

    try:
        deeper(text)
    except ValueError as error:
        raise RuntimeError(f"and so failed with {text!r}") from error


def _log_in_every_way(log: Any, secret: str) -> None:
    log.info(secret)
    log.info("it is %s", secret)
    log.info("they are %s and %s", 1, [secret, {"a": secret}])
    log.info("%(it)s", {"it": secret})
    log.warning(f"it is {secret}")  # noqa: G004
    log.error("%s", ValueError(secret))
    log.info("it is %d", secret)  # does not fit: logging would print all of it
    log.info("too many", secret)  # noqa: PLE1205
    log.info("json %s", json.dumps({"Authorization": f"Bearer {secret}"}))
    log.info("stack", stack_info=True)
    log.info("%s", "x" * 10_000 + secret)
    try:
        _raise_from(secret)
    except RuntimeError:
        log.exception("failed with %s", secret)
        log.info("too", exc_info=sys.exc_info())


@pytest.mark.parametrize("name", SECRETS)
def test_no_way_of_logging_lets_a_secret_through(
    log: logging.Logger, stream: io.StringIO, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = SECRETS[name]
    _log_in_every_way(log, secret)
    captured = capsys.readouterr()
    text = stream.getvalue() + captured.out + captured.err
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 13
    assert not [spelling for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]) if spelling in text]
    assert text.count("[redacted]") >= 9
    assert "Logging error" not in text


@pytest.mark.parametrize("name", SECRETS)
def test_no_field_of_a_line_lets_a_secret_through(log: logging.Logger, stream: io.StringIO, name: str) -> None:
    secret = SECRETS[name]
    fields = {"a": secret, "b": [secret], "c": {secret: secret}, "d": ValueError(secret), "e": {"f": (secret,)}}
    log.info("x", extra={"wpp": fields})
    line = json.loads(stream.getvalue())
    assert {field: line[field] for field in fields} == {
        "a": "[redacted]", "b": ["[redacted]"], "c": {"[redacted]": "[redacted]"}, "d": "[redacted]", "e": {"f": ["[redacted]"]},
    }  # fmt: skip


def test_an_exception_is_its_type_and_its_frames_and_not_its_text(log: logging.Logger, stream: io.StringIO) -> None:
    try:
        _raise_from("the text of a library")
    except RuntimeError:
        log.exception("failed")
    line = json.loads(stream.getvalue())
    assert line["error"]["type"] == "RuntimeError"
    assert line["error"]["frames"][-1].endswith(" _raise_from")
    assert "the text of a library" not in stream.getvalue()


def test_a_line_has_its_time_in_utc_and_the_fields_that_have_a_value() -> None:
    record = logging.makeLogRecord(
        {"created": 1_800_000_000.5, "levelname": "INFO", "msg": "x", "wpp": {"status": 200, "code": None}}
    )
    line = json.loads(logs.JsonLines().format(record))
    assert line == {"time": "2027-01-15T08:00:00.500+00:00", "level": "INFO", "message": "x", "status": 200}


def test_of_a_deep_stack_the_twelve_innermost_frames_are_shown(log: logging.Logger, stream: io.StringIO) -> None:
    def descend(levels: int) -> None:
        if levels == 0:
            raise ValueError
        descend(levels - 1)

    try:
        descend(20)
    except ValueError:
        log.exception("failed")
    frames = json.loads(stream.getvalue())["error"]["frames"]
    assert [frame.partition(" ")[2] for frame in frames] == ["descend"] * 12


INJECTIONS = ["a\nINFO forged", "a\r\nINFO forged", "a\x1b[2J\x1b[31mred", "a\x00b", "a\x7fb", "a\x9b31m", "a\u2028b", "a\u202eb",
              "a\x08\x08b", "a\ud800b"]  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_text_from_outside_neither_ends_a_line_nor_steers_a_terminal(
    log: logging.Logger, stream: io.StringIO, text: str
) -> None:
    log.info("they wrote %s", text)
    log.info("x", extra={"wpp": {text: text}})
    assert len(stream.getvalue().splitlines()) == 2
    assert re.fullmatch(r"[\x20-\x7e\n]*", stream.getvalue())
    assert json.loads(stream.getvalue().splitlines()[0])["message"] == f"they wrote {text}"


@pytest.mark.usefixtures("package_log")
def test_the_secrets_are_known_from_when_they_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    at_hand: list[str] = []
    logs.set_up()
    logs.set_up(lambda: at_hand)
    logs.set_up()  # as with each call
    at_hand.append("fetched-only-later")
    lines = invocation_log("wpp-create", "r1", "o1")
    lines.info("it is fetched-only-later")
    line = json.loads(capsys.readouterr().err)
    assert line["message"] == "it is [redacted]"
    assert (line["function"], line["request_id"], line["organization"]) == ("wpp-create", "r1", "o1")


def test_a_line_that_cannot_be_written_does_not_show_its_arguments(
    package_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError("no text")

    logs.set_up()
    package_log.info("x", extra={"wpp": {"a": "an argument", "b": Unprintable()}})
    assert capsys.readouterr().err == '{"level": "ERROR", "message": "a log line could not be written"}\n'


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_log_that_cannot_be_written_to_costs_no_call(
    package_log: logging.Logger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stderr", Gone())
    logs.set_up()
    package_log.info("x")


def test_our_lines_are_not_written_again_by_the_runtime(package_log: logging.Logger, stream: io.StringIO) -> None:
    of_the_runtime = logging.StreamHandler(stream)
    logging.getLogger().addHandler(of_the_runtime)
    try:
        logs.set_up()
        package_log.info("x")
    finally:
        logging.getLogger().removeHandler(of_the_runtime)
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("package_log")
def test_libraries_that_quote_headers_and_bodies_log_errors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        logging.getLogger(), "level", logging.DEBUG
    )  # as on Lambda with the application log level DEBUG
    logs.set_up()
    for name in ("urllib3.connectionpool", "urllib3.connection", "botocore.parsers", "botocore.endpoint"):
        assert logging.getLogger(name).getEffectiveLevel() == logging.ERROR
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.usefixtures("package_log")
def test_the_logs_of_other_libraries_are_left_alone() -> None:
    other, factory = logging.getLogger("gunicorn.error"), logging.getLogRecordFactory()
    before = (other.getEffectiveLevel(), other.handlers[:], other.propagate)
    logs.set_up()
    assert (other.getEffectiveLevel(), other.handlers[:], other.propagate) == before
    assert logging.getLogRecordFactory() is factory


def test_our_level_is_the_one_of_the_configuration(
    package_log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "warning")
    logs.set_up()
    assert package_log.level == logging.WARNING
    logs.set_up(level=logging.CRITICAL)
    assert package_log.level == logging.CRITICAL
