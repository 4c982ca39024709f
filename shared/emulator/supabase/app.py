"""The gateway: who may pass with which API key, and what stands behind it - Auth, PostgREST, the functions."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from jose import jwt

from emulator.docs import documentation
from emulator.messages import Request, Response, json_response
from emulator.supabase.auth import Auth
from emulator.supabase.database import Database
from emulator.supabase.postgrest.errors import PostgrestError, unauthorized
from emulator.supabase.postgrest.resource import Caller, Rest
from emulator.supabase.product import Product

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.clock import Clock

JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
DEMO_EMAIL, DEMO_PASSWORD = "demo@example.com", "password"
DEMO_ORGANIZATION = "11111111-1111-4111-8111-111111111111"
_FAR = 4102444800  # 2100, as the keys of a self-hosted Supabase are made to last
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "authorization, x-client-info, apikey, content-type, prefer",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
}


class SupabaseApp:
    """`schema` is DDL in place of schema.sql's; `folder` is where a server of ours keeps its data, None for a temporary one.

    Raises SchemaError, CannotStartServerError.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        jwt_secret: str = JWT_SECRET,
        functions_url: str | None = None,
        schema: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.jwt_secret = jwt_secret
        self.database = Database(schema, folder)
        self._product = Product(self.database)
        self.auth = Auth(clock, jwt_secret)
        self.rest = Rest(self.database)
        self.functions_url = functions_url
        self.anon_key = _project_key("anon", jwt_secret)
        self.service_role_key = _project_key("service_role", jwt_secret)
        self.secret_key = "sb_secret_local-0123456789abcdef"
        self.publishable_key = "sb_publishable_local-0123456789abcdef"
        self._clock = clock
        self.page: Callable[[Request], Response] | None = None
        """What answers at `/`, where there is such a page."""

    def close(self) -> None:
        self.database.close()

    # What tests and `make run` set up.

    def seed(self) -> None:
        """The user and the organization that `make run` speaks of."""
        self.add_user(DEMO_EMAIL, password=DEMO_PASSWORD, organization_id=DEMO_ORGANIZATION)

    def add_user(
        self,
        email: str,
        *,
        password: str = DEMO_PASSWORD,
        user_id: str | None = None,
        organization_id: str | None = None,
    ) -> str:
        """A user with a profile, in an organization that is made where it is missing. The user's id."""
        user_id = self.auth.add(email, password, user_id)
        self._product.add_member(user_id, email, organization_id)
        return user_id

    def sign_in(self, email: str) -> str:
        return self.auth.sign_in(email)

    def insert_row(self, **columns: Any) -> dict[str, Any]:
        """A row of `messenger_integrations` as earlier code of the product wrote it."""
        return self._product.insert_row(columns)

    def rows(self, organization_id: str | None = None) -> list[dict[str, Any]]:
        """The rows of `messenger_integrations`, oldest first: of one organization, or all."""
        return self._product.rows(organization_id)

    def execute(self, statement: str, *parameters: Any) -> None:
        """Any SQL, with `%s` for a parameter, as the owner of the tables."""
        self.database.execute(statement, *parameters)

    def control(self, name: str, body: dict[str, Any]) -> Any:
        if name == "sign-in":
            return {"access_token": self.sign_in(body["email"])}
        if name == "rows":
            return self.rows(body.get("organization_id"))
        return None

    # What goes over the wire.

    def route(self, request: Request) -> tuple[str, Callable[[], Response]]:
        path = request.path
        if path.startswith("/functions/v1/"):
            return "functions", lambda: self._function(request)
        if self.page is not None and (path == "/" or path.startswith("/_page/")):
            return "page", lambda: self.page(request) if self.page else Response(404)
        if path == "/docs" or path.startswith("/docs/"):
            return "docs", lambda: documentation(path.removeprefix("/docs").strip("/"))
        if request.method == "OPTIONS":
            return "preflight", lambda: Response(204, headers=_CORS)
        if path.startswith("/rest/v1/"):
            table = path.removeprefix("/rest/v1/")
            return f"rest.{request.method}.{table}", lambda: self._guarded(request, lambda: self._rest(table, request))
        found = self.auth.routes(request)
        if found is None:
            return "unknown", lambda: json_response(404, {"message": "no Route matched with those values"})
        name, thunk = found
        # The keys are public, as they are in a real project.
        return name, thunk if name in ("auth.jwks", "auth.health") else lambda: self._guarded(request, thunk)

    def _guarded(self, request: Request, thunk: Callable[[], Response]) -> Response:
        key = request.headers.get("apikey")
        if key is None:
            return json_response(401, {"message": "No API key found in request"}, _CORS)
        if key not in (self.anon_key, self.service_role_key, self.secret_key, self.publishable_key):
            return json_response(401, {"message": "Invalid authentication credentials"}, _CORS)
        if key == self.secret_key and "Mozilla" in request.headers.get("user-agent", ""):
            return json_response(401, {"message": "Forbidden use of secret API key in browser"}, _CORS)
        answer = thunk()
        return Response(answer.status, answer.body, {**answer.headers, **_CORS})

    def _rest(self, table: str, request: Request) -> Response:
        try:
            caller = self._caller(request)
        except PostgrestError as error:
            return error.response()
        return self.rest.answer(table, request, caller)

    def _caller(self, request: Request) -> Caller:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return Caller("service_role" if request.headers["apikey"] == self.secret_key else "anon", {})
        token = authorization.removeprefix("Bearer ").strip()
        claims = self.auth.verified(token)
        if claims is None:
            parts = token.count(".") + 1
            if parts != 3:
                raise unauthorized("PGRST301", f"Expected 3 parts in JWT; got {parts}")
            details = "None of the keys was able to decode the JWT"
            raise unauthorized("PGRST301", "No suitable key or wrong key type", details)
        if claims.get("exp", _FAR) <= self._clock.now():
            raise unauthorized("PGRST303", "JWT expired")
        return Caller(str(claims.get("role", "anon")), claims)

    def _function(self, request: Request) -> Response:
        if self.functions_url is None:
            return json_response(503, {"message": "name resolution failed"}, _CORS)
        parts = urlsplit(self.functions_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        target = quote(request.path) + (f"?{request.query}" if request.query else "")
        try:
            connection.request(request.method, target, request.body, dict(request.headers))
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            return json_response(503, {"message": "name resolution failed"}, _CORS)
        finally:
            connection.close()
        hop = {"connection", "transfer-encoding", "keep-alive", "date", "server"}
        return Response(answer.status, body, {k: v for k, v in answer.getheaders() if k.lower() not in hop})


def _project_key(role: str, jwt_secret: str) -> str:
    claims = {"role": role, "iss": "supabase", "iat": 1700000000, "exp": _FAR}
    return str(jwt.encode(claims, jwt_secret, "HS256"))
