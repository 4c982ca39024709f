"""What the answer is written as: the `Accept` header. https://docs.postgrest.org/en/v14/references/api/media_type_handlers.html"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.supabase.postgrest.errors import PostgrestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_JSON, _CSV = "application/json", "text/csv"
_OBJECT, _ARRAY = "application/vnd.pgrst.object", "application/vnd.pgrst.array"
_STRIPPED = "nulls=stripped"


@dataclass(frozen=True)
class Media:
    type: str
    body: str
    """A name in `read.BODIES`."""

    @property
    def is_single(self) -> bool:
        """Whether anything but exactly one row is an error."""
        return self.body.startswith("object")

    @property
    def header(self) -> dict[str, str]:
        return {"Content-Type": f"{self.type}; charset=utf-8"}


def negotiate(headers: Mapping[str, str]) -> Media:
    """Raises PostgrestError where nothing of what is accepted can be had."""
    accepted = headers.get("accept", "*/*")
    # The best quality first, and of equals the first: sorting is stable.
    for part in sorted(accepted.split(","), key=_quality, reverse=True):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        found = _media(kind.removesuffix("+json") if "pgrst" in kind else kind, stripped=_STRIPPED in parameters)
        if found is not None:
            return found
    raise PostgrestError(406, "PGRST107", f"None of these media types are available: {accepted}")


def _media(kind: str, *, stripped: bool) -> Media | None:
    suffix, without = (f"+json;{_STRIPPED}", " without nulls") if stripped else ("+json", "")
    if kind in ("*/*", "application/*", _JSON):
        return Media(_JSON, "list")
    if kind == _OBJECT:
        return Media(_OBJECT + suffix, "object" + without)
    if kind == _ARRAY:
        return Media(_ARRAY + suffix if stripped else _JSON, "list" + without)
    return Media(_CSV, "csv") if kind == _CSV else None


def _quality(part: str) -> float:
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
