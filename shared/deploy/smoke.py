"""Does what was deployed answer as it should? For any deployment: python -m deploy.smoke URL

URL is the part before the name of a function: https://api.example.org/functions/v1, for example. SMOKE_TOKEN, a user's
access token, adds a full call: it really connects that user's organization. SUPABASE_ANON_KEY is sent as `apikey`, as
supabase-js does. EXPECT_VERSION is the version that must answer. The exit status is 0 only if every check passed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from deploy import bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TIMEOUT = 40.0  # seconds; a function itself gives up after 28
_ORIGIN = "https://smoke.example"
# No full call of these: it would unlink the organization's phone.
NEVER_CALLED = {"wpp-disconnect"}
_SENT_HEADERS = {"authorization", "x-client-info", "apikey", "content-type"}  # what supabase-js always sends


class _Failed(Exception):
    """Why a check has not passed."""


class Deployment:
    def __init__(self, url: str, *, token: str = "", api_key: str = "", version: str = "") -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._version = version
        self._session = requests.Session()
        self._session.headers["Origin"] = _ORIGIN
        self._session.headers["Content-Type"] = "application/json"
        if api_key:
            self._session.headers["apikey"] = api_key
        # Without this, requests would put the password of a ~/.netrc entry in the place of the token.
        self._session.auth = lambda request: request

    def checks(self, function: str) -> Iterator[tuple[str, Callable[[str], str]]]:
        """Each check and its name; a check takes the function's name, returns what it saw, and raises _Failed."""
        yield "health", self._health
        yield "preflight", self._preflight
        yield "no token", self._refusal
        if self._token and function not in NEVER_CALLED:
            yield "full call", self._full_call

    def _health(self, function: str) -> str:
        body = _json_of(self._send("GET", function), 200)
        if body.get("function") != function:
            raise _Failed(f"another function answers: {body.get('function')!r}")
        version = body.get("version")
        if self._version and version != self._version:
            raise _Failed(f"version {version} answers, not {self._version}")
        return f"version {version}"

    def _preflight(self, function: str) -> str:
        headers = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": ", ".join(sorted(_SENT_HEADERS)),
        }
        response = self._send("OPTIONS", function, headers)
        if response.status_code not in (200, 204):
            raise _Failed(f"{response.status_code} instead of 204")
        origin = _allowed_origin(response)
        allowed = {name.strip().lower() for name in response.headers.get("Access-Control-Allow-Headers", "").split(",")}
        # A * stands for every header but Authorization.
        missing = (_SENT_HEADERS if "*" not in allowed else {"authorization"}) - allowed
        if missing:
            raise _Failed(f"does not allow {', '.join(sorted(missing))}")
        return f"origin {origin}"

    def _refusal(self, function: str) -> str:
        response = self._send("POST", function)
        body = _json_of(response, 401)
        _allowed_origin(response)
        return f"401 {body.get('code')}"

    def _full_call(self, function: str) -> str:
        response = self._send("POST", function, {"Authorization": f"Bearer {self._token}"})
        body = _json_of(response, 200)
        _allowed_origin(response)
        if body.get("success") is not True:
            raise _Failed("200 without success")
        return f"status {body.get('status')}"  # nothing else of it: a QR is a credential

    def _send(self, method: str, function: str, headers: dict[str, str] | None = None) -> requests.Response:
        url, body = f"{self._url}/{function}", b"{}" if method == "POST" else None
        try:
            # A redirect is an answer to report, and no reason to send a token elsewhere.
            return self._session.request(
                method, url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            )
        except (requests.RequestException, ValueError) as error:
            refused = error.args[0] if error.args else None  # urllib3's error, whose reason is one short line
            raise _Failed(f"no answer: {getattr(refused, 'reason', type(error).__name__)}") from error


def _json_of(response: requests.Response, status: int) -> dict[str, Any]:
    """The body of a response with this status. Raises _Failed for another status, and for a body that is not a JSON object."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        body = None
    if response.status_code != status:
        reason = f": {body.get('code')}: {body.get('error')}" if isinstance(body, dict) else ""
        raise _Failed(f"{response.status_code} instead of {status}{reason}")
    if not isinstance(body, dict):
        raise _Failed(f"{status} with a body that is not a JSON object")
    return body


def _allowed_origin(response: requests.Response) -> str:
    # `response.headers` joins repeated headers; a browser refuses the two that this must find.
    origins: list[str] = response.raw.headers.getlist("Access-Control-Allow-Origin")
    if len(origins) > 1:
        raise _Failed("two Access-Control-Allow-Origin: the gateway adds CORS headers too")
    if not origins:
        raise _Failed("no Access-Control-Allow-Origin")
    return origins[0]


def smoke(deployment: Deployment, functions: list[str]) -> bool:
    """Prints one line per check. Returns whether all passed."""
    results = []
    for function in functions:
        for name, check in deployment.checks(function):
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


def _is_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        return False


def main() -> int:
    url = sys.argv[1] if len(sys.argv) == 2 else ""
    if not _is_address(url):
        print("usage: make smoke URL=https://api.example.org/functions/v1", file=sys.stderr)
        return 2
    env = {name: os.environ.get(name, "").strip() for name in ("SMOKE_TOKEN", "SUPABASE_ANON_KEY", "EXPECT_VERSION")}
    for name in ("SMOKE_TOKEN", "SUPABASE_ANON_KEY"):
        if not (env[name].isascii() and env[name].isprintable()):
            print(f"error: {name} has characters that no header can carry", file=sys.stderr)
            return 2
    deployment = Deployment(
        url, token=env["SMOKE_TOKEN"], api_key=env["SUPABASE_ANON_KEY"], version=env["EXPECT_VERSION"]
    )
    return 0 if smoke(deployment, [bundle.address(name) for name in bundle.function_names()]) else 1


if __name__ == "__main__":
    sys.exit(main())
