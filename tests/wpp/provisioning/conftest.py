from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from emulator.clock import Clock
from emulator.supabase.app import SupabaseApp

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def supabase() -> Iterator[SupabaseApp]:
    """Without a server: requests reach it by a call."""
    with closing(SupabaseApp(Clock())) as supabase:
        yield supabase
