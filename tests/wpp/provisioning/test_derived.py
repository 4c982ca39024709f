"""What is derived from an organization, a row or a key is the same in every release: two of them may serve the same number."""

from __future__ import annotations

import hashlib

from wpp.provisioning.idempotency import KeyedRequest, keyed_request
from wpp.provisioning.number import Number, further_number, number_of, primary_number
from wpp.provisioning.options import Options, Target
from wpp.provisioning.record import Record, webhook_hash
from wpp.supabase.rows import Integration

STORED = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppApiKeyIssuedAt": 1_700_000_000_000}
KEYED = KeyedRequest("f" * 32, "add_new")


def row(row_id: str, *, primary: bool = False, **settings: str) -> Integration:
    return Integration(row_id, "organization", True, primary, settings, "1", None)


def test_the_row_of_the_primary_number() -> None:
    assert primary_number("organization") == Number("organization", "organization", None, None, None)
    assert primary_number("organization").row_id == "72785713-7757-5d94-b1d5-6f498480205f"


def test_the_further_number_of_a_key() -> None:
    number = further_number("organization", KEYED, [])
    name, platform_id = f"organization\n{'f' * 32}", "organization__wpp__6d7ecd52"
    assert number == Number("organization", name, platform_id, None, "f" * 32)
    assert number.first_settings == {"wppSubOrgId": platform_id, "wppKeyedBy": "f" * 32}


def test_the_further_number_without_a_key() -> None:
    name = "organization\ne3b0c44298fc1c149afbf4c8996fb924"
    assert further_number("organization", None, []) == Number("organization", name, "organization__wpp__d22aa29b")
    seed = hashlib.sha256(b"a\nb").hexdigest()[:32]
    assert further_number("organization", None, [row("b"), row("a")]).row_name == f"organization\n{seed}"


def test_the_ids_at_the_platform_that_are_tried_when_the_first_ones_are_taken() -> None:
    taken: list[Integration] = []
    for expected in ("6d7ecd52", "478ede0e", "464852ac"):
        number = further_number("organization", KEYED, taken)
        assert number.sub_organization_id == f"organization__wpp__{expected}"
        taken.append(row(f"row {expected}", wppSubOrgId=f"organization__wpp__{expected}"))


def test_a_number_that_has_its_id_at_the_platform_keeps_it() -> None:
    first = further_number("organization", KEYED, [])
    its_row = row(first.row_id, wppSubOrgId=str(first.sub_organization_id))
    assert further_number("organization", KEYED, [its_row]) == first
    assert number_of(its_row) == Number("organization", "organization", first.sub_organization_id, first.row_id)


def test_the_fingerprint_of_an_idempotency_key() -> None:
    fingerprint = "fb0aabb0a40fc0730bf9dcfb8e290292"
    plain = keyed_request("organization", "wpp-create", "key", Options(), Target())
    named = keyed_request("organization", "wpp-create", "key", Options(force_recreate=True), Target("row"))
    assert plain == KeyedRequest(fingerprint, "plain")
    assert named == KeyedRequest(fingerprint, "force_recreate row")
    assert keyed_request("organization", "wpp-create", None, Options(), Target()) is None


def test_the_idempotency_key_that_the_platform_gets() -> None:
    assert Record("row", "organization", {}).idempotency_key == "2c58f740-0d03-56b6-8bb6-9dc6475fa529"
    assert Record("row", "organization", STORED).idempotency_key == "b73d47ec-69ba-542c-98b1-ea63eaf330b6"


def test_the_generation_of_credentials() -> None:
    generation = "cc72e570d568edfd14ccd793bc971413924948867946b76a8587f6df56651d78"
    assert Record("row", "organization", STORED).generation == generation


def test_the_hash_of_an_address_of_the_webhook() -> None:
    assert webhook_hash("https://a.example/hook") == "7225f113a8e84f56"
