"""Any JSON, in the place of our settings and beside them, ends in an answer: never in an unforeseen error."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.stack import Stack
from tests.support.callers import new_caller
from wpp.config import config_from
from wpp.errors import RowUnreadable
from wpp.provisioning.service import connect
from wpp.runtime import Runtime
from wpp.supabase.rows import OUR_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text
_anything = st.recursive(
    _scalars | st.sampled_from([10**400, -(10**30)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_settings = _anything | st.dictionaries(st.sampled_from(OUR_SETTINGS) | _text, _anything, max_size=6)


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    with Stack() as stack:
        stack.platform.settings.qr_delay = 0
        yield stack


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(ours=_settings, theirs=_settings)
def test_any_settings_in_the_place_of_ours_and_beside_them(own_stack: Stack, ours: Any, theirs: Any) -> None:
    caller = new_caller(own_stack, {})
    runtime = Runtime(config_from(own_stack.environment() | {"WPP_DEADLINE_SECONDS": "20"}))
    for primary, found in ((True, ours), (False, theirs)):
        own_stack.supabase.insert_row(
            id=str(uuid.uuid4()), organization_id=caller.organization_id, is_primary=primary, settings=found
        )
    beside = caller.rows()[1]
    readable = not ours or isinstance(_decoded(ours), dict)
    first = caller.rows()[0]
    try:
        connection = connect(runtime.begin("wpp-create", "r"), caller.token)
    except RowUnreadable as error:
        named = str(error)
        assert not readable
        assert first["id"] in named
        assert caller.rows()[0] == first
    else:
        assert readable or connection.integration_id == beside["id"]
        changed = next(row for row in caller.rows() if row["id"] == connection.integration_id)
        assert changed["settings"]["wppApiKey"] == connection.api_key
    finally:
        runtime.close()
    untouched = [row for row in caller.rows() if row["id"] == beside["id"]]
    assert untouched == [beside] or untouched[0]["settings"].get("wppApiKey")


def _decoded(found: Any) -> Any:
    try:
        return json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return None
