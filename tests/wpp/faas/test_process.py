"""What a process of the functions keeps from call to call, and does in advance."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.function_calls import WPP_SECRET, call, start_process
from wpp.errors import NotConfigured
from wpp.faas import function
from wpp.faas.function import Result, current_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wpp.faas.function import Call
    from wpp.runtime import Invocation


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    start_process(monkeypatch)


@pytest.fixture
def package_log() -> Iterator[logging.Logger]:
    """The logger of the package, without a handler as in a new process."""
    log = logging.getLogger("wpp")
    handlers = log.handlers[:]
    log.handlers.clear()
    yield log
    log.handlers[:] = handlers


def test_the_runtime_is_created_once() -> None:
    assert current_runtime() is current_runtime()


def test_what_the_configuration_lacked_may_be_there_with_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WPP_SECRET")
    with pytest.raises(NotConfigured, match="WPP_SECRET is missing"):
        current_runtime()
    monkeypatch.setenv("WPP_SECRET", WPP_SECRET)
    assert current_runtime().config.wpp_secret.value() == WPP_SECRET


def test_the_log_knows_the_secrets_of_the_configuration(
    package_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    current_runtime()
    package_log.info("it is %s", WPP_SECRET)
    assert json.loads(capsys.readouterr().err)["message"] == "it is [redacted]"


def test_preparing_without_a_configuration_leaves_the_error_to_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WPP_SECRET")
    function.prepare()
    with pytest.raises(NotConfigured):
        current_runtime()


def test_a_refresh_forgets_what_may_be_out_of_date() -> None:
    function.refresh()  # before there is anything to forget
    runtime = current_runtime()
    runtime.memory.connected.put("key", value=True)
    function.refresh()
    assert runtime.memory.connected.get("key") is None
    assert current_runtime() is runtime


def test_a_call_has_no_more_time_than_the_runtime_gives_it() -> None:
    def run(invocation: Invocation, _: Call) -> Result:
        left.append(invocation.upstream.deadline.for_tidying().remaining())
        return Result({})

    left: list[float] = []
    call(run, seconds_left=3.0)
    call(run)
    assert 0 < left[0] < 3 < 20 < left[1] < 28
