"""What our part of a row's `settings` means, and how it changes. No I/O here.

wppApiKey, wppAccountNumber     the credentials: key and session          other functions of the product read
wppJwtToken, wppJwtExpiresAt    the platform's token, ms since 1970       these names, so they stay
wppSubOrgId                     the platform's id of a further number
wppApiKeyIssuedAt               ms since 1970, when the key was handed out
wppKeyedBy                      fingerprint of the Idempotency-Key that a further number was begun with
wppClaim                        who is working on the client: {id, beat, doing} while somebody is,
                                {failed, code, problem} after the last one was refused
wppPaired                       false until the session was first seen linked to a phone; absent in rows from before it was noted
wppDisconnected                 true from `wpp-disconnect` until the number is connected again
wppStartedAt                    ms since 1970, when we last started the session
wppQrShown                      true once a QR was seen after that start
wppRestarts                     how often the session was stopped and started again since it last had a QR
wppLost                         {at, times}: when and how often the platform had lost the session and did not bring it back
wppWebhookPending               true until the platform has our webhook
wppWebhookHash                  of the address that the platform has
wppRequests                     fingerprints of Idempotency-Key headers that were carried out, with their options

For one release beside code that knows neither beats nor derived keys: `wppClaim.expiresAt`, `wppIdempotencyKey`, `wppStart`.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from wpp.errors import RowUnreadable
from wpp.platform.client import Credentials, is_session
from wpp.platform.token import AccessToken, is_header_text, stored_token
from wpp.provisioning.settings_values import object_in, seconds, whole, without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.supabase.rows import Integration

Doing = Literal["create", "recreate", "start", "restart", "disconnect"]
_DOING: tuple[Doing, ...] = get_args(Doing)
_REFUSALS = ("platform_refused", "supabase_refused")
_STARTS, _CREATIONS = ("start", "restart"), ("create", "recreate")
_NAMESPACE = "0d9a4a3b-52a1-5a0f-8a3e-0c8c9f1d7e42"
_TOKEN = ("wppJwtToken", "wppJwtExpiresAt")
_OF_A_START = ("wppStartedAt", "wppQrShown")
_MOST_REPETITIONS = 30  # that a count in the row can stand for


class Claim(NamedTuple):
    id: str
    beat: int | None
    """Changes while the holder is at work. None if the claim was written by code from before beats."""
    doing: Doing

    @property
    def is_start(self) -> bool:
        """Whether the session is being started: the credentials are there already, and nobody else needs to wait."""
        return self.doing in _STARTS


class Failure(NamedTuple):
    """A refusal that ended a claim, for those who waited for that very claim."""

    claim_id: str
    code: str
    problem: str


class Lost(NamedTuple):
    """A session that the platform does not know any more, although it was asked for again."""

    at: float
    """Seconds since 1970."""
    times: int


class Record:
    """Our part of one row. Immutable: each change returns a new record, with everything else in `settings` kept."""

    def __init__(
        self, row_id: str, organization_id: str, settings: Mapping[str, Any], is_primary: bool = False
    ) -> None:
        self.row_id = row_id
        self.organization_id = organization_id
        self.settings = settings
        self.is_primary = is_primary

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self.row_id, self.settings) == (other.row_id, other.settings)

    __hash__ = None  # type: ignore[assignment]  # its settings are a dict

    @cached_property
    def credentials(self) -> Credentials | None:
        """None also if the session's name cannot be one: only the platform can tell it again."""
        api_key, session = self.settings.get("wppApiKey"), self.settings.get("wppAccountNumber")
        if is_header_text(api_key) and is_session(session):
            return Credentials(str(api_key), str(session))
        return None

    @cached_property
    def token(self) -> AccessToken | None:
        return stored_token(self.settings.get("wppJwtToken"), self.settings.get("wppJwtExpiresAt"))

    @property
    def platform_id(self) -> str:
        """The `organizationId` that the platform knows this row's client by."""
        own = self.settings.get("wppSubOrgId")
        return str(own) if is_header_text(own) else self.organization_id

    @property
    def is_further_number(self) -> bool:
        return not self.is_primary and self.platform_id != self.organization_id

    @property
    def is_keyed(self) -> bool:
        """Whether the number belongs to the Idempotency-Key that it was begun with, and to nobody who comes without."""
        return "wppKeyedBy" in self.settings

    @cached_property
    def generation(self) -> str:
        """Differs once the credentials were replaced, even by the same ones; empty before there are any."""
        credentials = self.credentials
        if credentials is None:
            return ""
        text = "\n".join([*credentials, str(self.settings.get("wppApiKeyIssuedAt"))])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def idempotency_key(self) -> str:
        """Under which the platform is asked for the client that replaces this generation: derived, so that overwriting
        `settings` cannot lose it."""
        stored = self.settings.get("wppIdempotencyKey")
        if is_header_text(stored):
            return str(stored)
        import uuid  # 2 ms at a cold start, and most calls create nothing

        return str(uuid.uuid5(uuid.UUID(_NAMESPACE), f"{self.row_id}\n{self.generation}"))

    @cached_property
    def claim(self) -> Claim | None:
        places: tuple[tuple[str, Doing], ...] = (("wppClaim", "create"), ("wppStart", "start"))
        for name, doing in places:
            stored = self.settings.get(name)
            if not isinstance(stored, dict) or not isinstance(stored.get("id"), str):
                continue
            beat = whole(stored.get("beat"))
            if beat is not None or seconds(stored.get("expiresAt")) is not None:
                known = next((known for known in _DOING if known == stored.get("doing")), doing)
                return Claim(stored["id"], beat, known)
        return None

    @property
    def failure(self) -> Failure | None:
        stored = self.settings.get("wppClaim")
        if not isinstance(stored, dict) or not isinstance(stored.get("failed"), str):
            return None
        # Others can write anything there, and the code is public.
        code = next((code for code in _REFUSALS if code == stored.get("code")), _REFUSALS[0])
        return Failure(stored["failed"], code, str(stored.get("problem")))

    @property
    def key_issued_at(self) -> float | None:
        """Seconds since 1970."""
        return seconds(self.settings.get("wppApiKeyIssuedAt"))

    @property
    def started_at(self) -> float | None:
        """Seconds since 1970."""
        return seconds(self.settings.get("wppStartedAt"))

    @property
    def webhook_pending(self) -> bool:
        return self.settings.get("wppWebhookPending") is True

    @property
    def webhook_hash(self) -> str | None:
        """Of the address that the platform has, if that was noted: see `webhook_hash` below."""
        stored = self.settings.get("wppWebhookHash")
        return stored if isinstance(stored, str) else None

    @property
    def was_paired(self) -> bool:
        """Whether the session ever was linked to a phone, as far as is known. Rows from before this was noted count as paired."""
        return self.credentials is not None and self.settings.get("wppPaired") is not False

    @property
    def is_disconnected(self) -> bool:
        """Whether `wpp-disconnect` disconnected the number."""
        return self.settings.get("wppDisconnected") is True

    @property
    def qr_was_shown(self) -> bool:
        """Whether the session has had a QR since its last start: then it may have been scanned."""
        return self.settings.get("wppQrShown") is True

    @property
    def restarts(self) -> int:
        count = whole(self.settings.get("wppRestarts")) or 0
        return min(max(count, 0), _MOST_REPETITIONS)

    @property
    def lost(self) -> Lost | None:
        stored = self.settings.get("wppLost")
        at = seconds(stored.get("at")) if isinstance(stored, dict) else None
        if at is None:
            return None
        return Lost(at, min(max(whole(stored.get("times")) or 1, 1), _MOST_REPETITIONS))  # type: ignore[union-attr]

    def claimed(self, claim: Claim, expires_at: float) -> Record:
        """`expires_at`, in seconds since 1970, is for code from before beats, as is the idempotency key."""
        held = {"id": claim.id, "beat": claim.beat, "doing": claim.doing, "expiresAt": int(expires_at * 1000)}
        key = {"wppIdempotencyKey": self.idempotency_key} if claim.doing in _CREATIONS else {}
        return self._with({**without(self.settings, "wppStart"), "wppClaim": held, **key})

    def released(self, failure: Failure | None = None) -> Record:
        rest = without(self.settings, "wppClaim", "wppStart")
        if failure is None:
            return self._with(rest)
        ended = {"failed": failure.claim_id, "code": failure.code, "problem": failure.problem}
        return self._with({**rest, "wppClaim": ended})

    def begun_with(self, first_settings: Mapping[str, Any]) -> Record:
        """With what its number's row began with, where foreign code wrote something else or nothing in its place."""
        lost = {name: value for name, value in first_settings.items() if not is_header_text(self.settings.get(name))}
        return self._with({**self.settings, **lost})

    def completed(self, credentials: Credentials, now: float) -> Record:
        """With new credentials, and without what belonged to the ones before. The claim stays. `now` in seconds since 1970."""
        former = ("wppIdempotencyKey", "wppWebhookHash", "wppRestarts", "wppDisconnected", *_OF_A_START, *_TOKEN)
        rest = without(self.settings, *former)
        is_same_session = self.credentials is not None and self.credentials.session == credentials.session
        new = {
            "wppPaired": is_same_session and self.was_paired,
            "wppApiKey": credentials.api_key,
            "wppAccountNumber": credentials.session,
            "wppApiKeyIssuedAt": int(now * 1000),
            "wppWebhookPending": True,
        }
        return self._with({**rest, **new})

    def with_token(self, token: AccessToken) -> Record:
        stored = {"wppJwtToken": token.text, "wppJwtExpiresAt": int(token.expires_at * 1000)}
        return self._with({**self.settings, **stored})

    def with_webhook(self, url_hash: str | None) -> Record:
        """`url_hash` is of the address that the platform has now, None if it is not known to have one."""
        if url_hash is None:
            return self._with({**self.settings, "wppWebhookPending": True})
        return self._with({**without(self.settings, "wppWebhookPending"), "wppWebhookHash": url_hash})

    def with_start(self, at: float | None) -> Record:
        """`at` in seconds since 1970, None if no start is known to have had an effect."""
        started = None if at is None else round(at * 1000)
        if started == self.settings.get("wppStartedAt"):
            return self
        rest = without(self.settings, *_OF_A_START)
        return self._with(rest if started is None else {**rest, "wppStartedAt": started})

    def with_qr_shown(self) -> Record:
        return self._with({**self.settings, "wppQrShown": True})

    def with_restarts(self, count: int) -> Record:
        if count == self.restarts:
            return self
        rest = without(self.settings, "wppRestarts")
        return self._with({**rest, "wppRestarts": count} if count else rest)

    def paired(self) -> Record:
        return self._with({**self.settings, "wppPaired": True})

    def disconnected(self) -> Record:
        return self._with({**without(self.settings, "wppRestarts", *_OF_A_START), "wppDisconnected": True})

    def connected_again(self) -> Record:
        return self._with(without(self.settings, "wppDisconnected"))

    def with_lost(self, lost: Lost | None) -> Record:
        rest = without(self.settings, "wppLost")
        return self._with(
            rest if lost is None else {**rest, "wppLost": {"at": round(lost.at * 1000), "times": lost.times}}
        )

    def with_requests(self, requests: Mapping[str, Any]) -> Record:
        return self._with({**self.settings, "wppRequests": requests})

    def _with(self, settings: Mapping[str, Any]) -> Record:
        return Record(self.row_id, self.organization_id, settings, self.is_primary)

    def __repr__(self) -> str:
        return f"Record({self.row_id!r})"


def webhook_hash(url: str) -> str:
    """What tells whether the platform has this address, without keeping the address in the row."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def record_of(row: Integration) -> Record:
    """The record of any row: what is not an object holds nothing of ours."""
    return Record(row.id, row.organization_id, object_in(row.settings) or {}, row.is_primary)


def writable_record_of(row: Integration) -> Record:
    """The same for a row that is about to be changed. Raises RowUnreadable if that would overwrite something of value."""
    if row.settings and object_in(row.settings) is None:
        raise RowUnreadable(row.id, "settings", "is not a JSON object")
    return record_of(row)
