"""The headers that let a browser call the functions: from any page, with what supabase-js sends."""

from __future__ import annotations

_ALLOWED_HEADERS = (
    "authorization, x-client-info, apikey, content-type, x-region, x-retry-count, x-supabase-api-version, "
    "idempotency-key, traceparent, tracestate, baggage"
)
_EXPOSED_HEADERS = "Idempotent-Replayed, Retry-After, Server-Timing, X-Request-Id, X-Trace-Id"
_MAX_AGE = "86400"  # seconds for which a browser need not ask again


def cors_headers(allow_origin: str) -> dict[str, str]:
    """For every answer, errors included: without them a browser shows its own network error instead of ours."""
    headers = {
        "Access-Control-Allow-Origin": allow_origin,
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
        "Timing-Allow-Origin": allow_origin,
    }
    return headers if allow_origin == "*" else {**headers, "Vary": "Origin"}


def preflight_headers(allow_origin: str) -> dict[str, str]:
    return {
        **cors_headers(allow_origin),
        "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": _MAX_AGE,
    }
