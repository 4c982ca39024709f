"""Work on threads of its own: never queued, and never run twice."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def start_thread(run: Callable[[], None]) -> None:
    """Runs `run` on a new thread that an ending process does not wait for, or at once where no thread can be started."""
    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:
        pass
    else:
        return
    run()


def submit(call: Callable[[], T], start: Callable[[Callable[[], None]], None] = start_thread) -> Future[T]:
    """The future result of `call`, which `start` runs."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
            if not isinstance(error, Exception):  # the thread is to end, which may be the caller's own
                raise

    start(run)
    return future
