"""A stack whose only rows are those of the test: what is examined here goes over the rows of all organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.stack import Stack
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    with Stack() as stack:
        yield stack


@pytest.fixture
def fleet(own_stack: Stack) -> Fleet:
    own_stack.reset()
    own_stack.platform.settings.qr_delay = 0
    own_stack.platform.forget()
    own_stack.supabase.execute("delete from messenger_integrations")
    return Fleet(own_stack)
