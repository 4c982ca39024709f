"""Every failure that a caller can meet. What is shown is fixed here: status, code, text, and whether a retry can help.

    WppError
    ├── NotConfigured            500  not_configured
    ├── RowUnreadable            500  row_unreadable
    ├── CallerError                   the caller can mend it
    │   ├── MissingAuthorization 401  missing_authorization
    │   ├── InvalidToken         401  invalid_token
    │   ├── Forbidden            403  forbidden             the caller's role may not
    │   ├── OrganizationNotFound 404  organization_not_found
    │   ├── NumberNotFound       404  number_not_found
    │   ├── BadRequest           400  bad_request
    │   ├── MethodNotAllowed     405  method_not_allowed
    │   ├── BodyIncomplete       408  body_incomplete
    │   ├── BodyTooLarge         413  body_too_large
    │   ├── RowForbidden         409  row_forbidden         a unique index of the product's table
    │   ├── SeveralNumbers       409  several_numbers       which one is meant has to be said
    │   └── IdempotencyKeyReused 422  idempotency_key_reused
    ├── UpstreamError                 Supabase or WPP Platform did not do its part
    │   ├── UpstreamRefused      502  <system>_refused      it refused
    │   │   ├── KeyRefused       502  platform_refused      the organization's API key is not accepted
    │   │   └── SessionGone      502  platform_refused      the platform does not know the session
    │   ├── UpstreamBroken       502  <system>_unavailable  connection lost, 429, 5xx
    │   │   └── UpstreamUnreadable   502  <system>_unavailable  a malformed or huge answer
    │   └── UpstreamTimeout      504  <system>_timeout      no answer in time
    ├── SessionLost              502  session_lost      with Retry-After: asking for the session again did not bring it back
    ├── KeysUnavailable          503  signing_keys_unavailable  with Retry-After
    ├── HolderRefused            502  the code of the refusal that another request met while this one waited for it
    ├── DeadlinePassed           504  deadline_passed
    └── CreationInProgress       503  creation_in_progress  with Retry-After

Texts are safe to show: they never hold a credential or a piece of an upstream's answer. Those for the operator are in the log
alone: who calls can neither use them nor has to know how we are configured.
"""

from __future__ import annotations

from typing import ClassVar, Literal

System = Literal["supabase", "platform", "aws"]
SYSTEM_NAMES: dict[System, str] = {"supabase": "Supabase", "platform": "WPP Platform", "aws": "AWS"}


class WppError(Exception):
    """The root; never raised itself. `str(error)` is the text, for the caller unless it is `for_operator`."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    retryable: ClassVar[bool] = False
    """Whether the same request may well succeed in a moment."""
    for_operator: bool = False
    """Whether the text tells the operator what to mend. The caller then reads what the function says in its place."""


class NotConfigured(WppError):
    code = "not_configured"
    for_operator = True


class CallerError(WppError):
    """Something in the request has to change before a retry can succeed."""

    status = 400


class MissingAuthorization(CallerError):
    status = 401
    code = "missing_authorization"

    def __init__(self) -> None:
        super().__init__("Missing authorization")


class InvalidToken(CallerError):
    """`reason` is for the log only: the caller learns no more than that the token is not accepted."""

    status = 401
    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__("Unauthorized")
        self.reason = reason


class OrganizationNotFound(CallerError):
    status = 404
    code = "organization_not_found"

    def __init__(self) -> None:
        super().__init__("Organization not found")


class Forbidden(CallerError):
    status = 403
    code = "forbidden"

    def __init__(self) -> None:
        super().__init__("Your role in this organization may not manage its WhatsApp connection")


class NumberNotFound(CallerError):
    """Also for a number of another organization: the two must look the same."""

    status = 404
    code = "number_not_found"

    def __init__(self) -> None:
        super().__init__("The organization has no such number")


class SeveralNumbers(CallerError):
    status = 409
    code = "several_numbers"

    def __init__(self) -> None:
        super().__init__("The organization has several numbers: name one with integration_id")


class BadRequest(CallerError):
    code = "bad_request"


class MethodNotAllowed(CallerError):
    status = 405
    code = "method_not_allowed"


class BodyIncomplete(CallerError):
    status = 408
    code = "body_incomplete"
    retryable = True


class BodyTooLarge(CallerError):
    status = 413
    code = "body_too_large"


class IdempotencyKeyReused(CallerError):
    status = 422
    code = "idempotency_key_reused"


class RowForbidden(CallerError):
    """A unique index of the product's table allows no such row."""

    status = 409
    code = "row_forbidden"

    def __init__(self, constraint: str) -> None:
        super().__init__(f"The unique constraint {constraint} of messenger_integrations does not allow another number")


class UpstreamError(WppError):
    """`upstream_status` is the HTTP status that came, or None when no answer did; `retry_after` is in seconds."""

    status = 502
    suffix: ClassVar[str] = "failed"

    def __init__(
        self,
        system: System,
        call: str,
        problem: str,
        *,
        upstream_status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{SYSTEM_NAMES[system]} {problem} ({call})")
        self.system = system
        if system == "aws":  # the call names the variable whose value could not be fetched
            self.for_operator = True
        self.call = call
        self.problem = problem
        self.code = f"{system}_{self.suffix}"
        self.upstream_status = upstream_status
        self.retry_after = retry_after


class UpstreamRefused(UpstreamError):
    suffix = "refused"
    for_operator = True


class KeyRefused(UpstreamRefused):
    """The platform does not take an organization's API key: not yet, or not any more."""


class SessionGone(UpstreamRefused):
    """The platform itself, and not a proxy in front of it, says that it does not know the session."""


class UpstreamBroken(UpstreamError):
    suffix = "unavailable"
    retryable = True


class UpstreamUnreadable(UpstreamBroken):
    """A response came that is malformed or too large: the same request may well bring the same one again."""


class UpstreamTimeout(UpstreamError):
    status = 504
    suffix = "timeout"
    retryable = True


class RowUnreadable(WppError):
    """What others wrote in the place of ours: to overwrite it might lose something of value."""

    code = "row_unreadable"
    for_operator = True

    def __init__(self, row_id: str, field: str, problem: str) -> None:
        super().__init__(f"{field} of row {row_id} in messenger_integrations {problem}: correct it or clear it")


class SessionLost(WppError):
    """`retry_after`, in seconds, is when it is asked for again."""

    status = 502
    code = "session_lost"
    retryable = True

    def __init__(self, retry_after: float) -> None:
        super().__init__("WPP Platform has lost this session, and did not bring it back when asked to; try again later")
        self.retry_after = retry_after


class KeysUnavailable(WppError):
    """Access tokens cannot be checked. Not a 401, which would sign the user out; `retry_after` is in seconds."""

    status = 503
    code = "signing_keys_unavailable"
    retryable = True

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(f"Access tokens cannot be checked right now: {problem}")
        self.problem = problem
        self.retry_after = retry_after


class HolderRefused(WppError):
    """Another request created the client while this one waited, and was refused: both get the same answer."""

    status = 502
    for_operator = True

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class DeadlinePassed(WppError):
    status = 504
    code = "deadline_passed"
    retryable = True

    def __init__(self, doing: str) -> None:
        super().__init__(f"Time ran out while {doing}; try again")


class CreationInProgress(WppError):
    status = 503
    code = "creation_in_progress"
    retryable = True

    def __init__(self, retry_after: int) -> None:
        super().__init__("The connection is being created by another request; try again shortly")
        self.retry_after = retry_after


AMBIGUOUS = (UpstreamBroken, UpstreamTimeout)
"""Errors after which a call may have had its effect all the same."""
