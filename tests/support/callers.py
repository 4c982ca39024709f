"""A user of an organization of their own, and how the functions are called in tests."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from deploy import bundle
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from emulator.platform.sessions import Session
    from emulator.processes import FunctionProcess
    from emulator.stack import Stack

FUNCTIONS = bundle.function_names()
"""All that are deployed."""
ADDRESSES = [bundle.address(name) for name in FUNCTIONS]
"""Their names as in a URL."""
CREATE, PROVISION = "wpp_create", "wpp_provision"
CONNECTING = [CREATE, PROVISION]
"""Those that make sure there is a client and a session."""
DEADLINE_SECONDS = 5.5
"""Far below the default of 28, so that tests of slow upstreams end soon; above what a healthy call takes on a busy machine. Some
tests rely on it being too short to make sure that a session is lost (5 seconds), or that the holder of a claim is dead (6)."""


@dataclass
class Caller:
    """A user of an organization of their own, calling the functions as supabase-js does."""

    stack: Stack
    processes: dict[str, FunctionProcess]
    organization_id: str
    user_id: str
    token: str

    def call(self, function: str, body: Any = None, **headers: str) -> requests.Response:
        return self.call_at(self.processes[function].url, body, **headers)

    def call_at(self, url: str, body: Any = None, **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token}", "apikey": self.stack.supabase.anon_key}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(url, json=body, headers=sent, timeout=40)

    def create(self, body: Any = None, **headers: str) -> requests.Response:
        return self.call(CREATE, body, **headers)

    def provision(self, body: Any = None, **headers: str) -> requests.Response:
        return self.call(PROVISION, body, **headers)

    def rows(self) -> list[dict[str, Any]]:
        return self.stack.supabase.rows(self.organization_id)

    def row(self) -> dict[str, Any]:
        (row,) = self.rows()
        return row

    def change_settings(self, **changed: Any) -> None:
        """Of the organization's only row, past the functions: as other code of the product may, or as time does. What a call
        before still saves beside its answer comes on top of it."""
        row = self.row()
        settings = json.dumps(row["settings"] | changed)
        self.stack.supabase.execute(
            "update messenger_integrations set settings = %s, updated_at = now() where id = %s", settings, row["id"]
        )

    def session(self) -> Session:
        return self.stack.platform.sessions[self.row()["settings"]["wppAccountNumber"]]

    def session_of(self, name: str) -> Session:
        return self.stack.platform.sessions[name]

    def scan(self) -> None:
        """Plays the scan of the QR with a phone."""
        self.stack.platform.scan(self.session().name)

    def pair(self) -> Any:
        """Connects a new number, and calls until it is noted as paired, which a call that is slow to save leaves to the next one.
        Returns the last answer."""
        self.create()
        self.scan()
        wait_for(lambda: self.create() and self.row()["settings"]["wppPaired"])
        return self.create().json()


def new_caller(stack: Stack, processes: dict[str, FunctionProcess]) -> Caller:
    organization_id = str(uuid.uuid4())
    email = f"{organization_id}@example.com"
    user_id = stack.supabase.add_user(email, organization_id=organization_id)
    return Caller(stack, processes, organization_id, user_id, stack.supabase.sign_in(email))


def call_to_death(url: str, token: str) -> None:
    """Calls a process that does not live to answer."""
    with suppress(requests.RequestException):
        requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
