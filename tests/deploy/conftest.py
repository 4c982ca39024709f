"""A Supabase with nothing but the demo user's organization, for checks that look at all of it, or change its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def product() -> Iterator[Stack]:
    with Stack() as stack:
        stack.supabase.seed()
        yield stack
