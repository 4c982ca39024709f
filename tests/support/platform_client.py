"""A client of the local platform, over its sockets: the calls of the product, and the controls of the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from emulator.stack import Stack


class PlatformClient:
    def __init__(self, stack: Stack, organization: str) -> None:
        self.stack = stack
        self.organization = organization
        self.url = stack.platform_server.url
        self.token = ""
        self.api_key, self.session = self.create()
        self.token = self.ask_for_token().json()["token"]

    def create(self) -> tuple[str, str]:
        """Its key and session; asked again, those that it has."""
        path = "/api/integrations/wpp/create"
        created = self._sent("POST", path, self.stack.platform.wpp_secret, organizationId=self.organization).json()
        return created["apiKey"], created["session"]

    def ask_for_token(self) -> requests.Response:
        return self._sent("POST", "/auth/token", "", apiKey=self.api_key)

    def status(self) -> requests.Response:
        return self.get(f"/api/accounts/{self.session}/status")

    def state(self) -> str:
        return str(self.status().json()["status"])

    def qr(self) -> str | None:
        qr: str | None = self.get(f"/api/accounts/{self.session}/qr").json()["qr"]
        return qr

    def start(self) -> requests.Response:
        return self.post("/api/accounts/start", number=self.session)

    def stop(self) -> requests.Response:
        return self.post(f"/internal/session/{self.session}/stop")

    def register_webhook(self, url: str) -> requests.Response:
        return self.post(f"/internal/session/{self.session}/webhook", url=url)

    def send(self) -> requests.Response:
        return self.post("/api/messages/text", to="123", text="hello")

    def get(self, path: str) -> requests.Response:
        return self._sent("GET", path, self.token)

    def post(self, path: str, **body: Any) -> requests.Response:
        return self._sent("POST", path, self.token, **body)

    def _sent(self, method: str, path: str, bearer: str, **body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer}"}
        return requests.request(method, self.url + path, json=body or None, headers=headers, timeout=5)

    def act(self, name: str, **body: Any) -> None:
        """Something happens to this session."""
        self.control(name, session=self.session, **body)

    def control(self, name: str, **body: Any) -> Any:
        """The answer of a control of the whole platform."""
        answer = requests.post(f"{self.url}/_emulator/{name}", json=body, timeout=5)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def counted(self, *names: str) -> tuple[Any, ...]:
        """What the platform's snapshot says of this session, by its fields' names."""
        sessions = self.control("state")["sessions"]
        found = next(session for session in sessions if session["name"] == self.session)
        return tuple(found[name] for name in names)
