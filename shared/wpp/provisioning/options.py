"""What a call may ask for beside the plain connection, and which number it means. No I/O here."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping


class Options(NamedTuple):
    force_recreate: bool = False
    """Stop the session, ask the platform again, replace the credentials in place."""
    add_new: bool = False
    """A further number with a row of its own, or a free one that is there already."""

    @property
    def name(self) -> str:
        return "force_recreate" if self.force_recreate else "add_new" if self.add_new else "plain"


class Target(NamedTuple):
    """Which number of the organization a request means: by the id of its row, by its session, or else the primary one."""

    integration_id: str | None = None
    session: str | None = None

    @property
    def is_named(self) -> bool:
        return self.integration_id is not None or self.session is not None


def row_target_from(body: Mapping[str, Any]) -> Target:
    """From `integration_id`. Null and empty text count as absent. Raises BadRequest."""
    return Target(_text(body, "integration_id"))


def target_from(body: Mapping[str, Any]) -> Target:
    """The same, or from the session under `session_name` or `session`."""
    return Target(_text(body, "integration_id"), _text(body, "session_name") or _text(body, "session"))


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if not isinstance(value, (str, NoneType)):
        raise BadRequest(f"{name} must be text")
    return value or None


def options_from(body: Mapping[str, Any]) -> Options:
    """Booleans only, unknown fields ignored. Raises BadRequest."""
    for name in ("force_recreate", "add_new"):
        if not isinstance(body.get(name, False), bool):
            raise BadRequest(f"{name} must be true or false")
    options = Options(body.get("force_recreate", False), body.get("add_new", False))
    if options.add_new and (options.force_recreate or body.get("integration_id")):
        raise BadRequest("add_new cannot be asked for together with force_recreate or integration_id")
    return options
