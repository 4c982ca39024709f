"""A client's running session, also if the platform does not take its key or does not know its session any more.

Neither is believed at once: a gateway that restarts may say both for a moment, and nobody's key is replaced for that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wpp.errors import DeadlinePassed, KeyRefused, SessionGone, SessionLost, WppError
from wpp.provisioning.creation import Creation
from wpp.provisioning.record import Lost, record_of
from wpp.provisioning.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.platform.state import SessionState
    from wpp.provisioning.client import Client
    from wpp.provisioning.idempotency import KeyedRequest
    from wpp.provisioning.number import Number
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

KEY_DOUBT = 2.0
"""Seconds until a refused key is tried again."""
SESSION_DOUBT = 5.0
"""Seconds until a session that the platform does not know is looked for again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0  # seconds until a lost session is asked for again, doubling


def running_session(
    invocation: Invocation,
    number: Number,
    client: Client,
    keyed: KeyedRequest | None = None,
    *,
    waits: bool = False,
) -> tuple[Session, SessionState]:
    """The session of a number's client, and its state. A key that is refused for good is replaced, and a lost session is asked
    for again, once. `keyed` is recorded as carried out, and `waits` is for `Session`.

    Raises KeyRefused, SessionLost, UpstreamError, DeadlinePassed.
    """
    return _Recovery(invocation, number, keyed, waits=waits).running_session(client)


class _Recovery:
    def __init__(
        self, invocation: Invocation, number: Number, keyed: KeyedRequest | None, *, waits: bool = False
    ) -> None:
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._number = number
        self._keyed = keyed
        self._waits = waits

    def running_session(self, client: Client) -> tuple[Session, SessionState]:
        session = self._session(client)
        try:
            # Some gateways know a session only once it was started.
            return session, session.ensure_started(unknown_is_ended=client.was_created)
        except KeyRefused as error:
            if client.was_created:
                raise
            problem: KeyRefused | SessionGone = error
        except SessionGone as error:
            self._require_no_pause(client.row)
            if client.was_created:
                raise self._lost(client.row) from error
            problem = error
        return self._tried_again(client, session.row, problem)

    def _session(self, client: Client) -> Session:
        return Session(self._invocation, client, self._keyed, waits=self._waits)

    def _started(self, client: Client, *, unknown_is_ended: bool = False) -> tuple[Session, SessionState]:
        session = self._session(client)
        return session, session.ensure_started(unknown_is_ended=unknown_is_ended)

    def _tried_again(
        self, client: Client, row: Integration, problem: KeyRefused | SessionGone
    ) -> tuple[Session, SessionState]:
        """A second attempt, seconds later, with the row as the first one left it: a number that the first one switched on, and
        somebody has switched off since, stays off.

        Only the same problem twice is believed. Raises DeadlinePassed if there is no time for that.
        """
        if record_of(row).generation == record_of(client.row).generation:  # nobody has replaced its credentials
            client = client._replace(row=row)
        doubt = KEY_DOUBT if isinstance(problem, KeyRefused) else SESSION_DOUBT
        if doubt >= self._upstream.deadline.remaining():
            raise DeadlinePassed("making sure of what the platform said about the number") from problem
        self._upstream.clock.sleep(doubt)
        try:
            client.platform.tokens.fetched()
            return self._started(client._replace(row=row))
        except (KeyRefused, SessionGone) as again:
            if type(again) is not type(problem):
                raise
        return self._replaced(client, problem)

    def _replaced(self, client: Client, problem: KeyRefused | SessionGone) -> tuple[Session, SessionState]:
        """The session of the client that the platform gives when it is asked again."""
        if not client.may_connect:
            raise problem
        rows = self._invocation.rows.of_organization(client.row.organization_id)
        row = next((row for row in rows if row.id == client.row.id), None)
        if isinstance(problem, SessionGone) and row is not None:
            self._require_no_pause(row)  # somebody else may have asked in vain since it was read
        fields = {"integration": client.row.id, "problem": problem.problem}
        self._invocation.log.warning("asking the platform for the client again", fields=fields)
        before = client.platform.credentials.session
        client = Creation(self._invocation, self._number, self._keyed, replacing=client.row, others=rows).obtain(row)
        if not client.may_connect:
            raise problem
        is_another = client.platform.credentials.session != before
        try:
            return self._started(client, unknown_is_ended=is_another)
        except SessionGone as error:
            raise self._lost(client.row) from error

    def _require_no_pause(self, row: Integration) -> None:
        """Raises SessionLost if the session was asked for a while ago and did not come back."""
        lost = record_of(row).lost
        if lost is None:
            return
        left = lost.at + _pause(lost) - self._upstream.clock.now()
        if 0 < left <= _pause(lost):  # more would be another machine's clock
            raise SessionLost(left)

    def _lost(self, row: Integration) -> SessionLost:
        """Notes that the session did not come back, so that it is asked for less and less often."""
        before = record_of(row).lost
        lost = Lost(self._upstream.clock.now(), before.times + 1 if before else 1)

        def note(current: Integration) -> Mapping[str, Any] | None:
            record = record_of(current)
            # Somebody else who waited for the same client may have noted it already.
            return {"settings": record.with_lost(lost).settings} if record.lost == before else None

        with suppress(WppError):  # without the note, the next attempt merely comes sooner
            self._invocation.rows.change(row, note)
        return SessionLost(_pause(lost))


def _pause(lost: Lost) -> float:
    return min(_FIRST_PAUSE * 2.0 ** (lost.times - 1), _LONGEST_PAUSE)
