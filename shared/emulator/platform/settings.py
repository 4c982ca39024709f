"""How the local platform behaves."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Settings:
    """The defaults are what was observed in production."""

    create_starts: bool = True
    """Whether `create` starts the session; it answers `starting` in any case."""
    one_client_per_organization: bool = True
    honours_idempotency_key: bool = True
    new_session_with_new_key: bool = False
    """Whether a replaced key comes with another session."""
    key_activation_delay: float = 0.0
    token_lifetime: float = 900.0
    announce_expires_in: bool = False
    refused_key_status: int = 403
    qr_delay: float = 1.5
    qr_lifetime: float = 20.0
    qr_field: str = "qr"
    qr_as_png: bool = False
    state_field: str = "status"
    stuck_starting: bool = False
    lost_for_good: bool = False
    """Whether a session that the platform has lost stays lost, however often `create` is asked."""
    auto_connect: bool = False
    sync_seconds: float = 0.0
    """How long a session reports `sync_word` between the scan and `connected`, while the phone sends its history."""
    sync_word: str = "syncing"
    passkey_word: str = ""
    """What a session reports once its QR was scanned, because WhatsApp asks for a passkey; empty if it asks for none."""
    passkey_seconds: float = 600.0
    """After this time the phone gives up, and QRs are shown again."""
    scans_do_nothing: bool = False
    """Whether a scan leads nowhere, as with a passkey on a gateway that does not notice: one QR follows the other."""
    status_override: str = ""
    start_answers_qr: bool = False

    def reset(self) -> None:
        for setting in fields(self):
            setattr(self, setting.name, setting.default)
