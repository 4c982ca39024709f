"""The configuration: one frozen object from the environment. Nothing else in `wpp` reads `os.environ`."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from wpp.errors import NotConfigured
from wpp.secret import PlainSecret, Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.aws_secret import AwsSecrets

# Backslashes, white space and whatever else two libraries may read as two different hosts.
_ADDRESS = re.compile(r"[\w.:/%\[\]~-]+", re.ASCII)
# A neighbour on a private network, such as `kong` beside a self-hosted Supabase. It starts with a letter: `134744072` is 8.8.8.8.
_NEIGHBOUR = re.compile(r"[a-z][\w-]*", re.ASCII)
_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII | re.IGNORECASE)
# As a browser writes it: it compares the text, and a header carries no other letters.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:]+\])(:\d{1,5})?", re.ASCII)
_MIN_JWT_SECRET = 16


class Config(NamedTuple):
    supabase_url: str
    supabase_service_role_key: Secret
    supabase_jwt_secret: Secret | None
    supabase_anon_key: Secret
    wpp_secret: Secret
    wpp_base_url: str
    wpp_webhook_url: str
    qr_wait_seconds: float
    restart_after_seconds: float
    allowed_roles: frozenset[str] | None
    """None: every member of an organization may connect and disconnect its numbers."""
    role_column: str
    deadline_seconds: float

    @property
    def secrets(self) -> list[Secret]:
        known = [self.supabase_service_role_key, self.supabase_anon_key, self.supabase_jwt_secret, self.wpp_secret]
        return [secret for secret in known if secret is not None]

    def known_secrets(self) -> list[str]:
        """The values that are known already. Nothing is fetched."""
        return [value for value in (secret.known_value() for secret in self.secrets) if value is not None]


def config_from(env: Mapping[str, str] = os.environ) -> Config:
    """Reads the whole configuration. Raises NotConfigured with everything that is missing or wrong in one message."""
    reader = _Reader(env)
    supabase_url = reader.url("SUPABASE_URL", None)
    service_key = reader.secret("SUPABASE_SERVICE_ROLE_KEY")
    config = Config(
        supabase_url=supabase_url,
        supabase_service_role_key=service_key or PlainSecret(""),
        supabase_jwt_secret=reader.secret("SUPABASE_JWT_SECRET", required=False, least=_MIN_JWT_SECRET),
        supabase_anon_key=reader.secret("SUPABASE_ANON_KEY", required=False) or service_key or PlainSecret(""),
        wpp_secret=reader.secret("WPP_SECRET") or PlainSecret(""),
        wpp_base_url=reader.url("WPP_BASE_URL", "https://msg.academyos.ru"),
        # Not called from here, only handed to the platform. A missing SUPABASE_URL is reported once, not for this address too.
        wpp_webhook_url=reader.url("WPP_WEBHOOK_URL", f"{supabase_url or 'https://missing'}/functions/v1/wpp-webhook"),
        qr_wait_seconds=reader.seconds("WPP_QR_WAIT_SECONDS", 20, least=0),
        restart_after_seconds=reader.seconds("WPP_RESTART_AFTER_SECONDS", 90, least=1),
        allowed_roles=reader.names("WPP_ALLOWED_ROLES"),
        role_column=reader.column("WPP_ROLE_COLUMN", "role"),
        deadline_seconds=reader.seconds("WPP_DEADLINE_SECONDS", 28, least=1),
    )
    if _allowed_origin(env) is None:
        reader.problems.append(
            "CORS_ALLOW_ORIGIN must be * or one origin, such as https://app.example.org (a name in other letters as xn--…)"
        )
    if reader.problems:
        raise NotConfigured("Not configured: " + "; ".join(reader.problems))
    return config


def is_lambda(env: Mapping[str, str] = os.environ) -> bool:
    """Whether AWS Lambda's runtime has started this process."""
    return "AWS_LAMBDA_RUNTIME_API" in env


def cors_allow_origin(env: Mapping[str, str] = os.environ) -> str:
    """Read separately, because an error about missing configuration needs CORS headers too; `*` if the value is wrong, so that
    the page can read the error that names it."""
    return _allowed_origin(env) or "*"


def _allowed_origin(env: Mapping[str, str]) -> str | None:
    """None if the value is neither `*` nor an origin."""
    value = env.get("CORS_ALLOW_ORIGIN", "").strip().removesuffix("/").lower() or "*"
    return value if value == "*" or _ORIGIN.fullmatch(value) else None


def functions_dir(env: Mapping[str, str] = os.environ) -> Path:
    """The folder whose functions the server of all functions serves."""
    return Path(env.get("FUNCTIONS_DIR", "").strip() or "functions").resolve()


def metrics_port(env: Mapping[str, str] = os.environ) -> str | None:
    """The port on which the server of all functions shows its metrics; None if it keeps none."""
    return env.get("METRICS_PORT", "").strip() or None


def log_level(env: Mapping[str, str] = os.environ) -> int:
    """The level that LOG_LEVEL names; INFO if it names no level, since a typo there must not take the functions down."""
    return logging.getLevelNamesMapping().get(env.get("LOG_LEVEL", "").strip().upper(), logging.INFO)


class _Reader:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def secret(self, name: str, *, required: bool = True, least: int = 1) -> Secret | None:
        value = self.text(name)
        if not value:
            if required:
                self.problems.append(f"{name} is missing")
            return None
        if value.startswith("arn:"):
            stored = self._aws_secrets.secret(name, value, least=least)
            if stored is None:
                self.problems.append(f"{name} must be the ARN of a Secrets Manager secret or an SSM parameter")
            return stored
        if len(value) < least:
            self.problems.append(f"{name} is shorter than {least} characters")
        if not value.isascii() or not value.isprintable():
            self.problems.append(f"{name} has characters that a key cannot have")
        return PlainSecret(value)

    @cached_property
    def _aws_secrets(self) -> AwsSecrets:
        from wpp.aws_secret import AwsSecrets

        return AwsSecrets()

    def url(self, name: str, default: str | None) -> str:
        value = (self.text(name) or default or "").rstrip("/")
        if not value:
            self.problems.append(f"{name} is missing")
        elif not _is_allowed(value):
            self.problems.append(
                f"{name} must be an https:// address (http:// only for this machine or a host name without dots)"
            )
        return value

    def names(self, name: str) -> frozenset[str] | None:
        """Separated by commas; None if the variable is not set."""
        listed = self.text(name)
        names = frozenset(stripped for item in (listed or "").split(",") if (stripped := item.strip()))
        if listed and not names:
            self.problems.append(f"{name} must be names separated by commas")
        return names or None

    def column(self, name: str, default: str) -> str:
        column = self.text(name) or default
        if not _COLUMN.fullmatch(column):
            self.problems.append(f"{name} must be the name of a column: letters, digits and underscores")
        return column

    def seconds(self, name: str, default: float, *, least: float) -> float:
        value = self.text(name)
        if not value:
            return default
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1
        if not least <= seconds <= 900:
            self.problems.append(f"{name} must be a number of seconds from {least:g} to 900")
            return default
        return seconds


def _is_allowed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return False
    known = _ADDRESS.fullmatch(url) and host
    return bool(known) and (parts.scheme == "https" or (parts.scheme == "http" and _is_private(host)))


def _is_private(host: str) -> bool:
    """Whether plain http is good enough: for this machine, or a neighbour whose name means nothing outside its network."""
    if _NEIGHBOUR.fullmatch(host):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
