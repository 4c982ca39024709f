"""The numbers of many organizations on a stack of their own, and what `reconcile` makes of them."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wpp.clock import Clock
from wpp.config import config_from
from wpp.operating.reconciler import SHORTEST_DEADLINE, Reconciler
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import further_number, primary_number
from wpp.provisioning.recovery import running_session
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.platform.sessions import Session
    from emulator.stack import Stack
    from wpp.operating.reconciler import Outcome

DEAD_CLAIM = {"id": "of-a-process-that-was-killed", "beat": 1, "doing": "create", "expiresAt": 1}


class Fleet:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sleeps: list[float] = []
        """Seconds of each sleep since the last `reconcile` began. They take no time."""

    def add_organization(self) -> str:
        organization_id = str(uuid.uuid4())
        self.stack.supabase.add_user(f"{organization_id}@example.com", organization_id=organization_id)
        return organization_id

    def connect(self, organization_id: str | None = None, *, further: bool = False) -> str:
        """The row of a number that was connected as `wpp-create` does it, with its session started."""
        organization_id = organization_id or self.add_organization()
        with self.process() as runtime:
            invocation = runtime.begin("wpp-create", "request")
            rows = invocation.rows.of_organization(organization_id)
            number = further_number(organization_id, None, rows) if further else primary_number(organization_id)
            session, _ = running_session(invocation, number, Creation(invocation, number).obtain(number.find(rows)))
            return session.row.id

    def pair(self, row_id: str) -> None:
        """As if a phone had been linked and seen by a page."""
        self.stack.platform.scan(self.session(row_id).name)
        self.change(row_id, wppPaired=True)

    def insert(self, organization_id: str | None = None, **columns: Any) -> str:
        """Any row."""
        organization_id = organization_id or self.add_organization()
        row = {"is_active": False, "is_primary": True, "settings": {}, **columns}
        return str(self.stack.supabase.insert_row(organization_id=organization_id, **row)["id"])

    def begin(self, organization_id: str | None = None, **settings: Any) -> str:
        """The row of a primary number whose creation ended right after it was claimed."""
        organization_id = organization_id or self.add_organization()
        row_id = primary_number(organization_id).row_id
        return self.insert(organization_id, id=row_id, settings={"wppClaim": DEAD_CLAIM, **settings})

    def change(self, row_id: str, *, active: bool | None = None, **settings: Any) -> None:
        """Past the functions; a setting that becomes None is removed."""
        changed = {**self.settings(row_id), **settings}
        text = json.dumps({name: value for name, value in changed.items() if value is not None})
        statement = "update messenger_integrations set settings = %s, is_active = coalesce(%s, is_active) where id = %s"
        self.stack.supabase.execute(statement, text, active, row_id)

    def row(self, row_id: str) -> dict[str, Any]:
        return next(row for row in self.stack.supabase.rows() if row["id"] == row_id)

    def settings(self, row_id: str) -> dict[str, Any]:
        settings: dict[str, Any] = self.row(row_id)["settings"]
        return settings

    def session(self, row_id: str) -> Session:
        return self.stack.platform.sessions[self.settings(row_id)["wppAccountNumber"]]

    @contextmanager
    def process(self) -> Iterator[Runtime]:
        """A new one, which remembers nothing and whose sleeps take no time."""
        slept = [0.0]

        def sleep(seconds: float) -> None:
            slept[0] += seconds
            self.sleeps.append(seconds)

        config = config_from(self.stack.environment())._replace(deadline_seconds=SHORTEST_DEADLINE)
        runtime = Runtime(config, Clock(lambda: time.time() + slept[0], lambda: time.monotonic() + slept[0], sleep))
        try:
            yield runtime
        finally:
            runtime.close()

    def reconcile(
        self,
        *,
        fix: bool = False,
        rate: float = 1000,
        after: str | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> dict[str, Outcome]:
        """By row, what a process of its own finds. `self.reconciler` tells how far it came."""
        self.sleeps.clear()
        with self.process() as runtime:
            self.reconciler = Reconciler(runtime, fix=fix, rate=rate, is_over=is_over)
            outcomes = [*self.reconciler.outcomes(after)]
        found = {outcome.row.id: outcome for outcome in outcomes}
        assert len(found) == len(outcomes)
        return found


def kinds(outcome: Outcome) -> set[str]:
    return {finding.kind for finding in outcome.found}


def left(outcome: Outcome) -> set[str]:
    return {finding.kind for finding in outcome.left}
