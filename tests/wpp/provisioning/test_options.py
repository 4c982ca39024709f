"""What a call may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from wpp.errors import BadRequest
from wpp.provisioning.options import Options, Target, options_from, row_target_from, target_from


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({}, Options()),
        ({"force_recreate": False, "add_new": False, "unknown": 1}, Options()),
        ({"force_recreate": True}, Options(force_recreate=True)),
        ({"add_new": True}, Options(add_new=True)),
    ],
)
def test_options_are_booleans_and_unknown_fields_are_ignored(body: dict[str, Any], options: Options) -> None:
    assert options_from(body) == options


@pytest.mark.parametrize("body", [{"add_new": 1}, {"add_new": None}, {"force_recreate": "true"}])
def test_an_option_of_another_type_is_refused_by_name(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=f"^{next(iter(body))} must be true or false$"):
        options_from(body)


@pytest.mark.parametrize("other", [{"force_recreate": True}, {"integration_id": "row"}])
def test_options_that_exclude_each_other_are_refused(other: dict[str, Any]) -> None:
    text = "^add_new cannot be asked for together with force_recreate or integration_id$"
    with pytest.raises(BadRequest, match=text):
        options_from({"add_new": True, **other})


@pytest.mark.parametrize(
    ("body", "any_session", "row_only"),
    [
        ({}, Target(), Target()),
        ({"integration_id": "row"}, Target("row"), Target("row")),
        ({"session_name": "s"}, Target(None, "s"), Target()),
        ({"session": "s"}, Target(None, "s"), Target()),
        ({"session_name": "s", "session": "t", "integration_id": "row"}, Target("row", "s"), Target("row")),
        ({"session_name": "", "session": "t", "integration_id": None}, Target(None, "t"), Target()),
    ],
)
def test_a_number_is_named_by_its_row_or_its_session(
    body: dict[str, Any], any_session: Target, row_only: Target
) -> None:
    assert (target_from(body), row_target_from(body)) == (any_session, row_only)


@pytest.mark.parametrize("name", ["integration_id", "session_name", "session"])
def test_a_name_that_is_not_text_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(BadRequest, match=f"^{name} must be text$"):
        target_from({name: 5})


@pytest.mark.parametrize(("target", "is_named"), [(Target(), False), (Target("row"), True), (Target(None, "s"), True)])
def test_a_target_is_named_by_either(target: Target, is_named: bool) -> None:
    assert target.is_named is is_named
