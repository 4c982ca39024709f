"""One click: which number it means, what of an earlier one it finds, and what the caller gets."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from jose import jwt

from tests.support.alone import BEGIN, GET, LOOK, PATCH, POST, WEBHOOK_HASH, Alone, answer
from wpp.errors import Forbidden, IdempotencyKeyReused, NotConfigured, NumberNotFound, OrganizationNotFound
from wpp.provisioning.access import organization_of_caller
from wpp.provisioning.idempotency import keyed_request
from wpp.provisioning.number import further_number, primary_number
from wpp.provisioning.options import Options, Target
from wpp.provisioning.service import Connection, connect

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp

CALLER = ["auth.user", "rest.GET.profiles"]
CREATED = [POST, "create", "token", PATCH, "webhook", "qr", "status", PATCH]
ADD, RECREATE = Options(add_new=True), Options(force_recreate=True)


def connected(alone: Alone, **asked_for: Any) -> Connection:
    return connect(alone.begin(), alone.token, **asked_for)


def row_named(alone: Alone, row_id: str) -> dict[str, Any]:
    return next(row for row in alone.supabase.rows(alone.organization_id) if row["id"] == row_id)


def test_a_first_click_makes_the_primary_number(alone: Alone) -> None:
    found = connected(alone)
    row, client = alone.row(), alone.newest()
    qr = alone.platform.qr(alone.session())
    assert found == Connection(row["id"], client["wppAccountNumber"], "qr_issued", client["wppApiKey"], qr, False)
    assert alone.calls() == [*CALLER, *CREATED]
    assert connected(alone) == found
    assert alone.calls() == [*CALLER, *LOOK]


@pytest.mark.parametrize(
    ("word", "status"), [("connected", "connected"), ("starting", "starting"), ("pairing", "starting")]
)
def test_the_state_of_the_session_is_the_status(alone: Alone, word: str, status: str) -> None:
    row = alone.connected_before()
    alone.platform.report(alone.session().name, word)
    found = connected(alone)
    assert (found.integration_id, found.status, found.qrcode) == (row.id, status, None)


def test_a_qr_is_waited_for_only_where_that_is_wanted(alone: Alone) -> None:
    alone.platform.settings.qr_delay = 1
    assert connected(alone).status == "starting"
    assert alone.waits == []
    assert connected(alone, wait=True).status == "qr_issued"
    assert alone.waits == [0.15] * 7


@pytest.mark.parametrize("is_done", [False, True])
def test_the_webhook_is_left_to_whoever_is_at_work_and_registered_in_the_end_if_they_have_not(
    alone: Alone, is_done: bool
) -> None:
    claim = {"id": "theirs", "beat": 1, "doing": "start"}
    alone.connected_before(wppClaim=claim, wppWebhookPending=True, wppWebhookHash=None)
    if is_done:
        done = {"wppClaim": None, "wppWebhookPending": None, "wppWebhookHash": WEBHOOK_HASH}
        alone.instead("status", lambda: alone.write(**done))
    assert connected(alone, wait=True).status == "qr_issued"
    # What was registered beside them is for them to save.
    assert alone.calls() == [*CALLER, *LOOK, PATCH, *([GET, PATCH] if is_done else ["webhook"])]


def test_who_does_not_wait_registers_it_beside_the_look(alone: Alone) -> None:
    claim = {"id": "theirs", "beat": 1, "doing": "start"}
    alone.connected_before(wppClaim=claim, wppWebhookPending=True, wppWebhookHash=None)
    assert connected(alone).status == "qr_issued"
    assert alone.calls() == [*CALLER, "webhook", *LOOK, PATCH]


def test_an_own_attempt_that_failed_is_not_repeated_in_the_end(alone: Alone) -> None:
    alone.platform.settings.qr_delay = 6
    alone.instead("webhook", answer(400, {}))
    assert connected(alone, wait=True).status == "qr_issued"
    assert sum(alone.waits) > 5  # after four it might be tried again
    assert alone.calls().count("webhook") == 1


def test_a_number_is_named_by_its_row_or_its_session(alone: Alone) -> None:
    row = alone.connected_before()
    further = connected(alone, options=ADD, idempotency_key="key")
    alone.calls()
    for target in (Target(further.integration_id), Target(None, further.session)):
        assert connected(alone, target=target).session == further.session
    assert connected(alone).integration_id == row.id
    assert POST not in alone.calls()
    with pytest.raises(NumberNotFound):
        connected(alone, target=Target("no such row"))


def test_a_number_that_somebody_is_just_creating_is_waited_for_also_by_whoever_wants_a_further_one(
    alone: Alone,
) -> None:
    row = alone.connected_before()
    theirs = {"id": "theirs", "beat": 1, "doing": "recreate"}
    alone.write(wppClaim=theirs)
    alone.instead(GET, lambda: alone.write(wppClaim=None))
    assert connected(alone, options=ADD).integration_id == row.id
    assert alone.waits == [0.15]


def test_a_recreation_replaces_the_client_once_for_its_key(alone: Alone) -> None:
    alone.platform.settings.one_client_per_organization = False
    before = alone.connected_before()
    found = connected(alone, options=RECREATE, idempotency_key="key")
    assert not found.is_repeated
    assert found.integration_id == before.id
    assert found.session != before.settings["wppAccountNumber"]
    (entry,) = alone.settings()["wppRequests"].values()
    assert entry == {"options": "force_recreate", "at": (BEGIN + 120) * 1000}
    (saved,) = [sent.payload for sent in alone.sent if sent.call == PATCH and "is_active" in sent.payload]
    assert "wppRequests" in saved["settings"]  # with the credentials: a repetition must not replace those
    assert alone.calls() == [*CALLER, PATCH, "stop", "status", "create", "token", PATCH, "webhook", *LOOK, PATCH]
    again = connected(alone, options=RECREATE, idempotency_key="key")
    assert again == found._replace(is_repeated=True)
    with pytest.raises(IdempotencyKeyReused):
        connected(alone, idempotency_key="key")


def test_a_recreation_without_a_key_replaces_the_client_each_time(alone: Alone) -> None:
    alone.platform.settings.one_client_per_organization = False
    sessions = {connected(alone, options=RECREATE).session for _ in range(3)}
    assert len(sessions) == 3


def test_a_key_of_a_plain_click_is_noted_too(alone: Alone) -> None:
    alone.connected_before()
    assert not connected(alone, idempotency_key="key").is_repeated
    keyed = keyed_request(alone.organization_id, "wpp-create", "key", Options(), Target())
    assert keyed
    noted = {keyed.fingerprint: {"options": "plain", "at": (BEGIN + 120) * 1000}}
    assert alone.settings()["wppRequests"] == noted
    assert connected(alone, idempotency_key="key").is_repeated


def delete_row(alone: Alone) -> None:
    statement = "delete from messenger_integrations where organization_id = %s"
    alone.supabase.execute(statement, alone.organization_id)


def test_a_primary_row_that_is_deleted_meanwhile_comes_back_under_the_id_that_everybody_derives(alone: Alone) -> None:
    before = alone.insert(settings={})
    alone.instead(PATCH, partial(delete_row, alone))
    found = connected(alone)
    assert found.integration_id == primary_number(alone.organization_id).row_id != before.id


def test_a_row_that_is_deleted_while_its_lost_session_is_asked_for_comes_back(alone: Alone) -> None:
    row = alone.connected_before()
    unknown = answer(404, {"error": "Session not found"})
    alone.instead("status", unknown, unknown)
    alone.instead("token", partial(delete_row, alone))
    assert connected(alone).integration_id == row.id


# Further numbers


def test_a_further_number_never_gets_the_client_of_another(alone: Alone) -> None:
    primary = alone.connected_before()
    given = {"apiKey": "key_0123456789", "session": primary.settings["wppAccountNumber"]}
    alone.instead("create", answer(201, given))
    error = alone.outcome(lambda: connected(alone, options=ADD, idempotency_key="1"))
    assert error == f"UpstreamRefused: WPP Platform gave the client that row {primary.id} has already (create)"


def test_each_key_is_a_further_number_of_its_own(alone: Alone) -> None:
    primary = connected(alone)
    first, other, again = [connected(alone, options=ADD, idempotency_key=key) for key in ("1", "2", "1")]
    assert again == first._replace(is_repeated=True)
    assert len({primary.integration_id, first.integration_id, other.integration_id}) == 3
    row = row_named(alone, first.integration_id)
    assert (row["is_primary"], row["is_active"]) == (False, True)
    assert row["settings"]["wppSubOrgId"].startswith(f"{alone.organization_id}__wpp__")
    assert row["settings"]["wppKeyedBy"] in row["settings"]["wppRequests"]


def test_without_a_key_a_free_number_is_returned_and_the_primary_one_first(alone: Alone) -> None:
    primary = connected(alone)
    assert connected(alone, options=ADD).integration_id == primary.integration_id
    alone.platform.scan(primary.session)
    # It turns out to be in use, so another one is made, which is free.
    further = connected(alone, options=ADD)
    assert further.integration_id != primary.integration_id
    assert connected(alone, options=ADD) == further
    assert row_named(alone, primary.integration_id)["settings"]["wppPaired"] is True


@pytest.mark.parametrize(("word", "is_free"), [("TOS_BLOCK", False), ("pairing", False), ("starting", True)])
def test_a_number_that_is_taken_is_passed_over(alone: Alone, word: str, is_free: bool) -> None:
    primary = connected(alone)
    alone.platform.report(primary.session, word)
    assert (connected(alone, options=ADD).integration_id == primary.integration_id) is is_free


def test_a_number_whose_session_is_lost_or_whose_row_cannot_be_read_is_passed_over(alone: Alone) -> None:
    lost = {"at": BEGIN * 1000, "times": 1}
    row = alone.connected_before(wppLost=lost)
    alone.passed -= 100
    alone.instead("status", answer(404, {"error": "Session not found"}))
    rows = alone.begin().rows.of_organization(alone.organization_id)
    further = connected(alone, options=ADD)
    assert further.integration_id == further_number(alone.organization_id, None, rows).row_id != row.id
    alone.instead("status", answer(404, {"error": "Session not found"}))
    assert connected(alone, options=ADD) == further
    statement = "update messenger_integrations set settings = '[1]' where id = %s"
    alone.supabase.execute(statement, further.integration_id)
    alone.supabase.execute(statement, row.id)
    assert connected(alone, options=ADD).integration_id not in {row.id, further.integration_id}


# Who calls


def test_a_caller_is_checked_while_their_organization_is_read(alone: Alone) -> None:
    invocation = alone.begin()
    found = organization_of_caller(invocation, alone.token)
    assert (found.id, found.integrations) == (alone.organization_id, ())
    assert invocation.organization_id == alone.organization_id
    assert alone.calls() == CALLER


def test_a_session_that_has_ended_counts_before_whatever_else_went_wrong(alone: Alone) -> None:
    alone.instead("auth.user", answer(401, {"msg": "no"}))
    alone.instead("rest.GET.profiles", answer(400))
    assert alone.outcome(lambda: organization_of_caller(alone.begin(), alone.token)) == "InvalidToken: Unauthorized"


def test_a_caller_without_an_organization_is_told_so(alone: Alone) -> None:
    alone.instead("rest.GET.profiles", answer(200, []))
    with pytest.raises(OrganizationNotFound):
        organization_of_caller(alone.begin(), alone.token)
    assert alone.calls() == [*CALLER, "rest.GET.profiles"]


def test_a_key_that_sees_no_caller_at_all_is_a_mistake_in_the_configuration(alone: Alone) -> None:
    alone.instead("rest.GET.profiles", answer(200, []), answer(200, []))
    text = (
        "SUPABASE_SERVICE_ROLE_KEY sees no row of profiles: is it a key of the role service_role, "
        "and may that role pass row-level security?"
    )
    with pytest.raises(NotConfigured) as caught:
        organization_of_caller(alone.begin(), alone.token)
    assert str(caught.value) == text


@pytest.mark.parametrize(("roles", "may"), [("owner,admin", True), ("owner", False)])
def test_only_some_roles_may_where_the_configuration_says_so(supabase: SupabaseApp, roles: str, may: bool) -> None:
    alone = Alone(supabase, WPP_ALLOWED_ROLES=roles)
    alone.instead("rest.GET.profiles", profile(alone, "admin"))
    invocation = alone.begin()
    if may:
        assert organization_of_caller(invocation, alone.token).role_of_user == "admin"
        return
    with pytest.raises(Forbidden):
        organization_of_caller(invocation, alone.token)
    assert invocation.organization_id == alone.organization_id  # for the log


def profile(alone: Alone, role: str) -> Any:
    organizations: dict[str, list[Any]] = {"messenger_integrations": []}
    return answer(200, [{"organization_id": alone.organization_id, "organizations": organizations, "wpp_role": role}])


def test_the_caller_is_whom_the_token_names(supabase: SupabaseApp) -> None:
    alone = Alone(supabase, SUPABASE_JWT_SECRET=supabase.jwt_secret)
    claims = jwt.get_unverified_claims(alone.token)
    token = jwt.encode({**claims, "exp": BEGIN + 60}, supabase.jwt_secret)
    invocation = alone.begin()
    invocation.user_id = None
    assert organization_of_caller(invocation, token).id == alone.organization_id


def test_the_keys_of_a_project_are_fetched_as_part_of_the_call(alone: Alone) -> None:
    claims = jwt.get_unverified_claims(alone.token)
    parts = ({"alg": "ES256", "kid": "1", "typ": "JWT"}, {**claims, "exp": BEGIN + 60}, "signature")
    token = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    invocation = alone.begin()
    invocation.user_id = None
    outcome = alone.outcome(lambda: organization_of_caller(invocation, token))
    assert outcome == "InvalidToken: Unauthorized"
    assert alone.calls() == ["auth.jwks"]


def test_a_token_is_checked_here_where_nobody_has_checked_it(alone: Alone) -> None:
    invocation = alone.begin()
    invocation.user_id = None
    outcome = alone.outcome(lambda: organization_of_caller(invocation, "no token"))
    assert outcome == "InvalidToken: Unauthorized"
    assert alone.calls() == []
