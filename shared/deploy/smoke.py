"""Is what was deployed there, and does it answer as it should? For any deployment: python -m deploy.smoke URL

URL is what stands before the name of a function: https://api.example.org/functions/v1, for example. SMOKE_TOKEN, a user's
access token, adds a full call: it really connects that user's organization. SUPABASE_ANON_KEY is sent as `apikey`, as
supabase-js does. EXPECT_VERSION is the version that must answer. The exit status is 0 only if every check passed.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deploy import bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

_TIMEOUT = 40.0  # seconds; a function itself gives up after 28
_ORIGIN = "https://smoke.example"
_ASKED_HEADERS = {"authorization", "x-client-info", "apikey", "content-type"}  # what supabase-js always sends


class _Failed(Exception):
    """Why a check has not passed."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise _Failed(f"{self.status} with a body that is no JSON object")
        return value


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer, and no reason to send a token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Deployment:
    def __init__(self, url: str, *, token: str = "", api_key: str = "", version: str = "") -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._api_key = api_key
        self._version = version
        self._opener = urllib.request.build_opener(_NoRedirects)

    def checks(self) -> Iterator[tuple[str, Callable[[str], str]]]:
        """Name and check; a check takes the function's name, returns what it saw, and raises _Failed."""
        yield "health", self._health
        yield "preflight", self._preflight
        yield "no token", self._refusal
        if self._token:
            yield "full call", self._full_call

    def _health(self, function: str) -> str:
        body = self._expect(200, self._ask("GET", function))
        if body.get("function") != function:
            raise _Failed(f"another function answers: {body.get('function')!r}")
        version = body.get("version")
        if self._version and version != self._version:
            raise _Failed(f"version {version} answers, not {self._version}")
        return f"version {version}"

    def _preflight(self, function: str) -> str:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": ", ".join(sorted(_ASKED_HEADERS)),
        }
        answer = self._ask("OPTIONS", function, asked)
        if answer.status not in (200, 204):
            raise _Failed(f"{answer.status} instead of 204")
        origin = self._allowed_origin(answer)
        allowed = {name.strip().lower() for name in answer.headers.get("Access-Control-Allow-Headers", "").split(",")}
        # A * stands for every header but Authorization.
        missing = (_ASKED_HEADERS if "*" not in allowed else {"authorization"}) - allowed
        if missing:
            raise _Failed(f"does not allow {', '.join(sorted(missing))}")
        return f"origin {origin}"

    def _refusal(self, function: str) -> str:
        answer = self._ask("POST", function)
        body = self._expect(401, answer)
        self._allowed_origin(answer)
        return f"401 {body.get('code')}"

    def _full_call(self, function: str) -> str:
        answer = self._ask("POST", function, {"Authorization": f"Bearer {self._token}"})
        body = self._expect(200, answer)
        self._allowed_origin(answer)
        if body.get("success") is not True:
            raise _Failed("200 without success")
        return f"status {body.get('status')}"  # nothing else of it: a QR is a credential

    def _allowed_origin(self, answer: _Answer) -> str:
        origins: list[str] = answer.headers.get_all("Access-Control-Allow-Origin", [])
        if len(origins) > 1:
            raise _Failed("two Access-Control-Allow-Origin: the gateway adds CORS headers too")
        if not origins:
            raise _Failed("no Access-Control-Allow-Origin")
        return origins[0]

    def _expect(self, status: int, answer: _Answer) -> dict[str, Any]:
        if answer.status != status:
            said = ""
            if answer.headers.get_content_type() == "application/json":
                said = f": {answer.json().get('error')}"
            raise _Failed(f"{answer.status} instead of {status}{said}")
        return answer.json()

    def _ask(self, method: str, function: str, headers: dict[str, str] | None = None) -> _Answer:
        sent = {"Origin": _ORIGIN, "Content-Type": "application/json", **(headers or {})}
        if self._api_key:
            sent["apikey"] = self._api_key
        body = b"{}" if method == "POST" else None
        request = urllib.request.Request(f"{self._url}/{function}", body, sent, method=method)  # noqa: S310 - see main
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                return _Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _Answer(error.code, error.headers, error.read())
        except (OSError, http.client.HTTPException) as error:
            raise _Failed(f"no answer: {getattr(error, 'reason', None) or error!r}") from error


def smoke(deployment: Deployment, functions: list[str]) -> bool:
    """Prints one line per check. Whether all passed."""
    results = []
    for function in functions:
        for name, check in deployment.checks():
            start = time.monotonic()
            try:
                seen, passed = check(function), True
            except _Failed as error:
                seen, passed = str(error), False
            took = f"{(time.monotonic() - start) * 1000:.0f} ms"
            print(f"{function:<16}{name:<11}{'ok' if passed else 'FAILED':<8}{took:>9}  {seen}", flush=True)
            results.append(passed)
    print(f"{sum(results)} of {len(results)} checks passed")
    return all(results)


def main() -> int:
    url = sys.argv[1] if len(sys.argv) == 2 else ""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        print("usage: make smoke URL=https://api.example.org/functions/v1", file=sys.stderr)
        return 2
    env = {name: os.environ.get(name, "").strip() for name in ("SMOKE_TOKEN", "SUPABASE_ANON_KEY", "EXPECT_VERSION")}
    deployment = Deployment(
        url, token=env["SMOKE_TOKEN"], api_key=env["SUPABASE_ANON_KEY"], version=env["EXPECT_VERSION"]
    )
    return 0 if smoke(deployment, [name.replace("_", "-") for name in bundle.function_names()]) else 1


if __name__ == "__main__":
    sys.exit(main())
