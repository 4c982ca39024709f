"""A request that is understood, within its transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.supabase.postgrest.errors import not_one_row

if TYPE_CHECKING:
    from emulator.messages import Request
    from emulator.supabase.database import Transaction
    from emulator.supabase.postgrest.media import Media
    from emulator.supabase.postgrest.plan import Node
    from emulator.supabase.postgrest.preferences import Preferences
    from emulator.supabase.postgrest.query import Query


@dataclass(frozen=True)
class Call:
    request: Request
    query: Query
    node: Node
    preferences: Preferences
    media: Media
    transaction: Transaction
    or_filter_bug: bool

    @property
    def wants_rows(self) -> bool:
        """Whether a change answers with the rows that it changed."""
        return self.preferences.representation == "representation"

    def require_single(self, count: int) -> None:
        """Raises PostgrestError, which rolls back, where one object is wanted and there are not one but `count` rows."""
        if self.media.is_single and count != 1:
            raise not_one_row(count)
