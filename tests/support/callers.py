"""A user of an organization of their own, and how the functions are called in tests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from emulator.processes import FunctionProcess
    from emulator.stack import Stack

CREATE, PROVISION = "wpp_create", "wpp_provision"
# Far below the default of 28, so that tests of slow upstreams end soon; far above what a healthy call takes.
DEADLINE_SECONDS = 4.0


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

    def scan(self) -> None:
        """Plays the scan of the QR with a phone."""
        self.stack.platform.scan(self.row()["settings"]["wppAccountNumber"])


def new_caller(stack: Stack, processes: dict[str, FunctionProcess]) -> Caller:
    organization_id = str(uuid.uuid4())
    email = f"{organization_id}@example.com"
    user_id = stack.supabase.add_user(email, organization_id=organization_id)
    return Caller(stack, processes, organization_id, user_id, stack.supabase.sign_in(email))
