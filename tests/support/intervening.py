"""What somebody else does between two requests of the call under test, at exactly that moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.http.messages import Response


class Intervening(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.patience = 0.0
        """Seconds, the least timeout of a request: it takes real time, and on a virtual clock there may be next to none left."""
        self._method = self._end = ""
        self._left = 0
        self._act: Callable[[], object] = lambda: None

    def after(self, method: str, end: str, act: Callable[[], object], *, nth: int = 1) -> None:
        """Once the `nth` request from now on with this method, to an address that ends so, was answered."""
        self._method, self._end, self._act, self._left = method, end, act, nth

    @property
    def has_happened(self) -> bool:
        return self._left == 0

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        response = super().send(method, url, headers, body, max(timeout, self.patience))
        if self._left and method == self._method and url.partition("?")[0].endswith(self._end):
            self._left -= 1
            if not self._left:
                self._act()
        return response
