"""Work on new threads: never queued, never run twice."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def start_thread(run: Callable[[], None]) -> None:
    """Runs `run` on a new daemon thread, or at once if no thread can be started."""
    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:
        pass
    else:
        return
    run()


def submit(
    call: Callable[[], T],
    start: Callable[[Callable[[], None]], None] = start_thread,
    *,
    future: Future[T] | None = None,
) -> Future[T]:
    """The future result of `call`, which `start` runs; `future` is one that others may know already."""
    result: Future[T] = Future() if future is None else future

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)
            if not isinstance(error, Exception):  # it must end this thread, which may be the caller's own
                raise

    start(run)
    return result
