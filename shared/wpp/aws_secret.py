"""Secrets stored in AWS: one given as an ARN is fetched with boto3, cached for five minutes, and fetched again when refused.

arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>        the whole secret
arn:aws:secretsmanager:<region>:<account>:secret:<name>-<6 characters>#key    one field of a JSON secret
arn:aws:ssm:<region>:<account>:parameter/<name>                               a parameter, decrypted
"""

from __future__ import annotations

import json
import logging
import re
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from wpp.clock import Clock
from wpp.errors import NotConfigured, UpstreamBroken, UpstreamError, UpstreamTimeout, WppError

LIFETIME = 300.0
"""Seconds for which a fetched value is used without asking again."""
RENEWAL_PAUSE = 5.0
"""Seconds between two fetches after refusals, so that a secret that is simply wrong does not cost a request to AWS per call."""
# Seconds and seconds: with the pause between the attempts, a fetch takes about 7 seconds at most.
_CONNECT_TIMEOUT, _READ_TIMEOUT, _ATTEMPTS = 1, 2, 2

_LOG = logging.getLogger("wpp")
_ARN = re.compile(
    r"(?P<arn>arn:aws[a-z-]*:(?:(?P<sm>secretsmanager):(?P<sm_region>[a-z0-9-]+):\d{12}:secret:[\w/+=.@-]+"
    r"|ssm:(?P<ssm_region>[a-z0-9-]+):\d{12}:parameter/[\w./-]+))(?:#(?P<key>.+))?",
    re.ASCII,
)
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
_NOT_FOUND = {"ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"}
_DENIED = {"AccessDeniedException", "AccessDenied", "DecryptionFailure", "UnrecognizedClientException"}

if TYPE_CHECKING:
    from collections.abc import Callable

    Fetch = Callable[[str, str, str], str]
    """From service, region and ARN to the text. Raises what boto3 raises."""


class AwsSecrets:
    """The secrets of one configuration. Safe to use from several threads; variables that share an ARN share one fetch."""

    def __init__(self, clock: Clock | None = None, fetch: Fetch | None = None) -> None:
        self._clock = clock or Clock()
        client = _Client()
        self._fetch = fetch or client.fetch
        self._disconnect = client.disconnect
        self._documents: dict[str, _Document] = {}

    def secret(self, variable: str, arn: str, *, least: int = 1) -> AwsSecret | None:
        """The secret that `variable` names; None if `arn` is not the ARN of a secret. Nothing is fetched yet."""
        match = _ARN.fullmatch(arn)
        if match is None or (match["key"] and not match["sm"]):
            return None
        service, region = ("secretsmanager", match["sm_region"]) if match["sm"] else ("ssm", match["ssm_region"])
        new = _Document(self._clock, self._fetch, (service, region, match["arn"]), self._disconnect)
        return AwsSecret(self._documents.setdefault(match["arn"], new), variable, match["key"], least)


class _Document:
    """The text at one ARN, and when it was fetched. Fetched by one thread at a time, and never under the lock."""

    def __init__(self, clock: Clock, fetch: Fetch, place: tuple[str, str, str], disconnect: Callable[[], None]) -> None:
        self._clock = clock
        self._disconnect = disconnect
        self._fetch = fetch
        self._place = place
        self._lock = threading.Lock()
        self._under_way: Future[str] | None = None
        self._good_until = self._next_fetch = 0.0
        self.known_text: str | None = None
        """The text fetched last, however old. Read without the lock, so that a log line never waits."""

    def forget(self) -> None:
        """Drops the text, and the connections that it came over."""
        with self._lock:
            self.known_text = None
            self._good_until = self._next_fetch = 0.0
        self._disconnect()

    def text(self, variable: str) -> str:
        """The text, fetched if it is unknown or too old. Waits only if it is unknown, or if this very call fetches it.

        Raises WppError that names `variable`.
        """
        with self._lock:
            known = self.known_text
            if known is not None and (self._under_way or self._clock.monotonic() < self._good_until):
                return known
            future, is_ours = self._join()
        try:
            return self._result(variable, future, is_ours)
        except UpstreamError as error:
            if known is None:
                raise
            _LOG.warning("%s; the value fetched before stays in use", error)
            with self._lock:
                self._good_until = self._clock.monotonic() + RENEWAL_PAUSE
            return known

    def refetch(self, variable: str) -> None:
        """Fetches the text again, unless that has just been done. Raises WppError that names `variable`."""
        with self._lock:
            if self._under_way is None:
                if self._clock.monotonic() < self._next_fetch:
                    return
                self._next_fetch = self._clock.monotonic() + RENEWAL_PAUSE
            future, is_ours = self._join()
        self._result(variable, future, is_ours)

    def _join(self) -> tuple[Future[str], bool]:
        """The fetch under way, or a new one that this call has to perform. The lock must be held."""
        is_ours = self._under_way is None
        self._under_way = self._under_way or Future()
        return self._under_way, is_ours

    def _result(self, variable: str, future: Future[str], is_ours: bool) -> str:
        if is_ours:
            self._run(future)
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - the boundary to AWS: whatever it raises becomes one of our errors
            raise _mapped(variable, self._place[0], error) from None

    def _run(self, future: Future[str]) -> None:
        """Fetches. Whoever waits gets the text or the error, whatever ends this fetch."""
        try:
            text = self._fetch(*self._place)
        except BaseException as error:
            with self._lock:
                self._under_way = None
            if isinstance(error, Exception):
                future.set_exception(error)
            else:  # it ends this thread, but not those that wait
                future.set_exception(InterruptedError("the thread that was fetching has ended"))
                raise
        else:
            with self._lock:
                self._under_way = None
                self.known_text = text
                self._good_until = self._clock.monotonic() + LIFETIME
            future.set_result(text)


class AwsSecret:
    """The secret of one variable. Errors name the variable, never a value."""

    def __init__(self, document: _Document, variable: str, key: str | None, least: int) -> None:
        self._document = document
        self._variable = variable
        self._key = key
        self._least = least

    def value(self) -> str:
        return self._read(self._document.text(self._variable))

    def known_value(self) -> str | None:
        text = self._document.known_text
        if text is None:
            return None
        try:
            return self._read(text)
        except NotConfigured:
            return None

    def renewed(self, refused: str) -> bool:
        try:
            if self.value() == refused:
                self._document.refetch(self._variable)
            return self.value() != refused
        except WppError as error:
            # The refusal is what the caller has to hear of.
            _LOG.error("the secret could not be fetched again: %s", error)
            return False

    def forget(self) -> None:
        self._document.forget()

    def _read(self, text: str) -> str:
        value: Any = text
        if self._key is not None:
            try:
                fields = json.loads(text)
            except (ValueError, RecursionError):
                raise NotConfigured(f"{self._variable}: the secret is not a JSON object, so it has no fields") from None
            value = fields.get(self._key) if isinstance(fields, dict) else None
            if not isinstance(value, str):
                raise NotConfigured(f"{self._variable}: the secret has no text field with the name after #")
        value = value.strip()
        if len(value) < self._least:
            raise NotConfigured(f"{self._variable}: the value at the ARN is shorter than {self._least} characters")
        if not value.isascii() or not value.isprintable():
            raise NotConfigured(f"{self._variable}: the value at the ARN has characters that a key cannot have")
        return str(value)

    def __repr__(self) -> str:
        return f"AwsSecret({self._variable})"


def _mapped(variable: str, service: str, error: Exception) -> WppError:
    """One of our errors, without botocore's own text: that names accounts and roles."""
    if isinstance(error, ModuleNotFoundError):
        return NotConfigured(
            f"{variable} is an ARN, and boto3 is not installed: AWS Lambda has it, elsewhere install it"
        )
    from botocore import exceptions  # `fetch` has imported it by now

    call = f"{service}, for {variable}"
    if isinstance(error, exceptions.ClientError):
        return _refusal(variable, call, str(error.response.get("Error", {}).get("Code", "")))
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return UpstreamTimeout("aws", call, "did not answer in time")
    no_credentials = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
    )
    if isinstance(error, no_credentials):
        return NotConfigured(f"{variable}: no AWS credentials were found to read the ARN with")
    return UpstreamBroken("aws", call, "cannot be reached")


def _refusal(variable: str, call: str, code: str) -> WppError:
    if code in _THROTTLED:
        return UpstreamBroken("aws", call, "is too busy")
    if code in _DENIED:
        return NotConfigured(f"{variable}: AWS does not let this function read the ARN; check its role")
    if code in _NOT_FOUND:
        return NotConfigured(f"{variable}: the ARN does not exist in AWS")
    return UpstreamBroken("aws", call, f"failed with {code}")


class _Client:
    def __init__(self) -> None:
        self._creating = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}

    def fetch(self, service: str, region: str, arn: str) -> str:
        client = self._client(service, region)
        if service == "ssm":
            return str(client.get_parameter(Name=arn, WithDecryption=True)["Parameter"]["Value"])
        return str(client.get_secret_value(SecretId=arn).get("SecretString") or "")

    def disconnect(self) -> None:
        """Drops idle connections; the clients stay, because creating one takes long."""
        for client in list(self._clients.values()):
            client.close()

    def _client(self, service: str, region: str) -> Any:
        place = (service, region)
        if place not in self._clients:
            with self._creating:  # at process start several secrets are fetched at once, and one client serves them all
                if place not in self._clients:
                    self._clients[place] = _new_client(service, region)
        return self._clients[place]


def _new_client(service: str, region: str) -> Any:
    import boto3  # a third of a second, so only if a secret is an ARN
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    return boto3.session.Session().client(service, region_name=region, config=config)
