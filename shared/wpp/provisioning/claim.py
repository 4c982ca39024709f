"""What our part of a row's `settings` means, and how it changes. No I/O here.

wppApiKey, wppAccountNumber     the credentials: key and session          other functions of the product read
wppJwtToken, wppJwtExpiresAt    the platform's token, ms since 1970       these names, so they stay
wppSubOrgId                     the platform's id of a further number
wppApiKeyIssuedAt               ms since 1970, when the key was handed out
wppClaim                        who is creating: {id, expiresAt} while somebody is,
                                {failed, code, problem} when the last one was refused
wppIdempotencyKey               of the creation that has not ended well yet
wppStart                        who is starting an offline session: {id, expiresAt}
wppWebhookPending               true until the platform has our webhook
wppRequests                     fingerprints of Idempotency-Key headers that were carried out, with their options
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.platform.client import Credentials, is_session
from wpp.platform.token import AccessToken, stored_token

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration

LEASE_MARGIN = 10.0
"""Seconds that a lease outlasts its invocation's deadline: how far the clocks of two machines may be apart."""
_LONGEST_LEASE = 3600.0  # a claim that ends later than this was written by a broken clock, and counts for nothing
_NAMESPACE = "6f0ba4a5-6f0c-5b0e-9d7b-3a5f1f9c2d11"
_FRESH_KEY = 60.0  # seconds in which the platform may still refuse a key that it just handed out
_OF_THE_TOKEN = ("wppJwtToken", "wppJwtExpiresAt")
_OF_THE_CLAIM = ("wppClaim", "wppIdempotencyKey")

SettingsDict = Mapping[str, Any]


class Claim(NamedTuple):
    id: str
    expires_at: float
    """Seconds since 1970."""

    def is_live(self, now: float) -> bool:
        return now < self.expires_at <= now + _LONGEST_LEASE


class Number(NamedTuple):
    """Which WhatsApp number of an organization is meant: the primary one, or a further one with a row of its own."""

    organization_id: str
    row_name: str
    """What the id of its row is derived from."""
    sub_organization_id: str | None = None
    """The platform's id of a further number; None for the primary one, which goes by the organization's own."""
    known_row_id: str | None = None
    """Of a row that is there already, unfinished."""

    @property
    def row_id(self) -> str:
        """The id that its row gets if there is none yet."""
        if self.known_row_id:
            return self.known_row_id
        import uuid  # 2 ms at a cold start, and most calls create nothing

        return str(uuid.uuid5(uuid.UUID(_NAMESPACE), self.row_name))

    @property
    def is_primary(self) -> bool:
        return self.sub_organization_id is None

    def find(self, rows: Iterable[Integration]) -> Integration | None:
        if not self.is_primary:
            row_id = self.row_id
            return next((row for row in rows if row.id == row_id), None)
        candidates = [row for row in rows if not _is_further_number(row)]
        # The order is the same for everybody who looks, so that nobody creates on another row at the same time.
        candidates.sort(key=lambda row: (not (row.is_primary and row.is_active), row.created_at, row.id))
        return next(iter(candidates), None)


def primary_number(organization_id: str) -> Number:
    """Its row id is derived from the organization, so the table's primary key lets only one claim be inserted."""
    return Number(organization_id, organization_id)


def claim_of(row: Integration) -> Claim | None:
    stored = row.settings.get("wppClaim")
    if not isinstance(stored, dict) or not isinstance(stored.get("id"), str):
        return None
    return Claim(stored["id"], _seconds(stored.get("expiresAt")))


def failure_of(row: Integration, claim_id: str) -> tuple[str, str] | None:
    """Code and text of the refusal that ended this very claim, for those who waited for it."""
    stored = row.settings.get("wppClaim")
    if not isinstance(stored, dict) or stored.get("failed") != claim_id:
        return None
    return str(stored.get("code")), str(stored.get("problem"))


def credentials_of(row: Integration) -> Credentials | None:
    """What the row's client is reached with. None also where the session's name is none: only the platform can tell it again."""
    api_key, session = row.settings.get("wppApiKey"), row.settings.get("wppAccountNumber")
    if isinstance(api_key, str) and api_key and is_session(session):
        return Credentials(api_key, str(session))
    return None


def token_of(row: Integration) -> AccessToken | None:
    return stored_token(row.settings.get("wppJwtToken"), row.settings.get("wppJwtExpiresAt"))


def platform_id_of(row: Integration) -> str:
    """The `organizationId` that the platform knows this row's client by."""
    own = row.settings.get("wppSubOrgId")
    return own if isinstance(own, str) and own else row.organization_id


def generation_of(row: Integration) -> tuple[Credentials | None, Any]:
    """Differs once a row's credentials were replaced, even by the same ones."""
    return credentials_of(row), row.settings.get("wppApiKeyIssuedAt")


def has_fresh_key(row: Integration, now: float) -> bool:
    issued = row.settings.get("wppApiKeyIssuedAt")
    return isinstance(issued, (int, float)) and abs(now - issued / 1000) < _FRESH_KEY


def webhook_pending(row: Integration) -> bool:
    return row.settings.get("wppWebhookPending") is True


def claimed(settings: SettingsDict, claim: Claim, idempotency_key: str) -> dict[str, Any]:
    held = {"id": claim.id, "expiresAt": int(claim.expires_at * 1000)}
    return {**settings, "wppClaim": held, "wppIdempotencyKey": idempotency_key}


def released(settings: SettingsDict, claim: Claim, refusal: tuple[str, str] | None) -> dict[str, Any]:
    """The idempotency key stays, so that the next call goes on where this one stopped."""
    rest = _without(settings, "wppClaim")
    if refusal is None:
        return rest
    code, problem = refusal
    return {**rest, "wppClaim": {"failed": claim.id, "code": code, "problem": problem}}


def completed(settings: SettingsDict, credentials: Credentials, now: float) -> dict[str, Any]:
    return {
        **_without(settings, *_OF_THE_CLAIM, *_OF_THE_TOKEN, "wppStart"),
        "wppApiKey": credentials.api_key,
        "wppAccountNumber": credentials.session,
        "wppApiKeyIssuedAt": int(now * 1000),
        "wppWebhookPending": True,
    }


def with_token(settings: SettingsDict, token: AccessToken) -> dict[str, Any]:
    return {**settings, "wppJwtToken": token.text, "wppJwtExpiresAt": int(token.expires_at * 1000)}


def with_webhook(settings: SettingsDict, *, pending: bool) -> dict[str, Any]:
    rest = _without(settings, "wppWebhookPending")
    return {**rest, "wppWebhookPending": True} if pending else rest


def start_claim_of(row: Integration) -> str | None:
    stored = row.settings.get("wppStart")
    return stored.get("id") if isinstance(stored, dict) and isinstance(stored.get("id"), str) else None


def start_claimed(row: Integration, now: float) -> bool:
    stored = row.settings.get("wppStart")
    expires = _seconds(stored.get("expiresAt")) if isinstance(stored, dict) else 0.0
    return now < expires <= now + _LONGEST_LEASE


def with_start(settings: SettingsDict, start: str, expires_at: float) -> dict[str, Any]:
    return {**settings, "wppStart": {"id": start, "expiresAt": int(expires_at * 1000)}}


def without_start(settings: SettingsDict) -> dict[str, Any]:
    return _without(settings, "wppStart")


def _seconds(milliseconds: Any) -> float:
    """0 for what is no time: others may have written anything, a number beyond all floats included."""
    known = isinstance(milliseconds, (int, float)) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if known and abs(milliseconds) < 1e18 else 0.0


def _without(settings: SettingsDict, *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def is_abandoned(row: Integration, now: float) -> bool:
    """Whether it is a further number's row that nobody is completing: whoever began it ended before it had credentials."""
    claim = claim_of(row)
    return _is_further_number(row) and credentials_of(row) is None and not (claim and claim.is_live(now))


def _is_further_number(row: Integration) -> bool:
    return not row.is_primary and platform_id_of(row) != row.organization_id
