"""Work beside the work: on a thread of its own, or at once, but once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.tls_servers import get, response, sending, serving
from wpp.http.threads import start_thread, submit

if TYPE_CHECKING:
    from wpp.http.transport import Transport


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_work_runs_on_a_thread_that_an_ending_process_does_not_wait_for() -> None:
    thread = submit(threading.current_thread).result(5)
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_each_piece_of_work_has_its_own_thread_and_is_never_queued() -> None:
    together = threading.Barrier(200, timeout=10)
    results = [submit(together.wait) for _ in range(200)]
    assert sorted(result.result(10) for result in results) == list(range(200))


@pytest.mark.usefixtures("no_threads")
def test_where_no_thread_can_be_started_work_runs_once_and_at_once() -> None:
    runs = []
    start_thread(lambda: runs.append(threading.current_thread()))
    assert runs == [threading.current_thread()]


@pytest.mark.usefixtures("no_threads")
def test_an_error_of_work_that_ran_at_once_stays_in_its_future() -> None:
    result = submit(lambda: 1 // 0)
    assert isinstance(result.exception(), ZeroDivisionError)


@pytest.mark.usefixtures("no_threads")
def test_what_ends_a_thread_ends_the_caller_where_work_runs_on_its_thread() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(interrupt)


def test_a_name_is_looked_up_where_no_thread_can_be_started(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(sending(response(b"{}"))) as server:
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if threading.current_thread() is threading.main_thread():
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert get(transport, f"http://localhost:{server.port}").status == 200
