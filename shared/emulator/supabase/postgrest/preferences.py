"""The `Prefer` header. https://docs.postgrest.org/en/v14/references/api/preferences.html"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from zoneinfo import available_timezones

from emulator.supabase.postgrest.errors import PostgrestError

_KNOWN = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}


@dataclass(frozen=True)
class Preferences:
    resolution: str | None = None
    missing: str | None = None
    representation: str | None = None
    count: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None

    @classmethod
    def parse(cls, header: str) -> Self:
        """The first of several values of one preference counts. Raises PostgrestError for what `handling=strict` refuses."""
        found: dict[str, str] = {}
        unknown = []
        for text in filter(None, (part.strip() for part in header.split(","))):
            name, _, value = text.partition("=")
            if value in _KNOWN.get(name, ()) or name == "max-affected" or (name == "timezone" and _is_timezone(value)):
                found.setdefault(name, value)
            else:
                unknown.append(text)
        if unknown and found.get("handling") == "strict":
            details = f"Invalid preferences: {', '.join(unknown)}"
            raise PostgrestError(400, "PGRST122", "Invalid preferences given with handling=strict", details)
        affected = found.get("max-affected", "")
        # tx=rollback is understood but not applied: `db-tx-end` does not allow it unless it is set to.
        return cls(
            found.get("resolution"),
            found.get("missing"),
            found.get("return"),
            found.get("count"),
            found.get("handling"),
            found.get("timezone"),
            int(affected) if affected.isdigit() else None,
        )

    @property
    def is_strict(self) -> bool:
        return self.handling == "strict"

    def applied(self, *names: str) -> dict[str, str]:
        """The header that says which of these were applied, if any."""
        values = {
            "resolution": self.resolution,
            "missing": self.missing,
            "return": self.representation,
            "count": self.count,
            "handling": self.handling,
            "timezone": self.timezone,
            "max-affected": self.max_affected if self.is_strict else None,
        }
        applied = [f"{name}={values[name]}" for name in values if name in names and values[name] is not None]
        return {"Preference-Applied": ", ".join(applied)} if applied else {}


def _is_timezone(name: str) -> bool:
    return name in available_timezones()
