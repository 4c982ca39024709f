"""Who calls: a user with a valid session, of an organization, in a role that may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import Forbidden, NotConfigured, OrganizationNotFound

if TYPE_CHECKING:
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Organization


def organization_of_caller(invocation: Invocation, access_token: str) -> Organization:
    """Checks the access token, and has Supabase confirm the session while the caller's organization is read.

    Raises InvalidToken, OrganizationNotFound, Forbidden, NotConfigured, UpstreamError, DeadlinePassed.
    """
    check, upstream = invocation.runtime.caller_check, invocation.upstream
    user_id = invocation.user_id or check.user_id(access_token, upstream)
    try:
        with upstream.alongside(lambda: check.confirm(access_token, user_id, upstream)) as confirmation:
            organization = invocation.rows.of_user(user_id)
    finally:
        confirmation.result()  # whatever became of the rows: an error here is what the caller has to know first
    if organization is None:
        if not invocation.rows.is_table_of_users_visible():
            raise NotConfigured(
                "SUPABASE_SERVICE_ROLE_KEY sees no row of profiles: is it a key of the role service_role, "
                "and may that role pass row-level security?"
            )
        raise OrganizationNotFound
    invocation.organization_id = organization.id
    allowed = invocation.config.allowed_roles
    if allowed is not None and organization.role_of_user not in allowed:
        raise Forbidden
    return organization
