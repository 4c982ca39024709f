"""Both emulated systems in one object, and the environment that points the functions at them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from emulator.clock import Clock
from emulator.platform.responses import PlatformApp
from emulator.supabase.app import SupabaseApp
from emulator.web import Server

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

WPP_SECRET = "wpp-local-secret"


class Stack:
    """Supabase and the platform on ports of their own, 0 for any free one. Nothing outlives the block.

    `schema` is DDL in place of schema.sql's; `folder` is where PostgreSQL keeps its data, None for a temporary one.
    Raises SchemaError, CannotStartServerError.
    """

    def __init__(
        self,
        *,
        supabase_port: int = 0,
        platform_port: int = 0,
        functions_url: str | None = None,
        schema: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.clock = Clock()
        self.supabase = SupabaseApp(self.clock, functions_url=functions_url, schema=schema, folder=folder)
        self.platform = PlatformApp(self.clock, wpp_secret=WPP_SECRET)
        self.supabase_server = Server(self.supabase, port=supabase_port, clock=self.clock)
        self.platform_server = Server(self.platform, port=platform_port, clock=self.clock)
        self._running = ExitStack()

    def environment(self) -> dict[str, str]:
        """For a function that works with this stack."""
        return {
            "SUPABASE_URL": self.supabase_server.url,
            "SUPABASE_SERVICE_ROLE_KEY": self.supabase.service_role_key,
            "SUPABASE_ANON_KEY": self.supabase.anon_key,
            "SUPABASE_JWT_SECRET": self.supabase.jwt_secret,
            "WPP_SECRET": WPP_SECRET,
            "WPP_BASE_URL": self.platform_server.url,
            "WPP_WEBHOOK_URL": "https://product.example/functions/v1/wpp-webhook",
        }

    def reset(self) -> None:
        """Faults, latency, settings, recordings and the clock as at the start; what is stored stays."""
        for server in (self.supabase_server, self.platform_server):
            server.clear_faults()
            server.latency = server.connect_latency = 0.0
            server.clear()
        self.platform.settings.reset()
        self.clock.reset()

    def __enter__(self) -> Self:
        self._running.callback(self.supabase.close)
        self._running.enter_context(self.supabase_server)
        self._running.enter_context(self.platform_server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
