"""Which account PostgreSQL runs under: it refuses to be root, which containers and CI often are."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """Who owns the files and runs the processes; None for whoever runs this one."""

    user: int | None = None
    group: int | None = None

    def own(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def can_reach(self, path: Path) -> bool:
        """Whether every folder on the way may be entered: a checkout in /root is out of reach for everybody but root."""
        if self.user is None:
            return True
        return all(_may_enter(folder.stat(), self.user) for folder in path.resolve().parents if folder.exists())


def server_account() -> Account:
    """Raises RuntimeError for root on a machine without any other account."""
    if os.geteuid() != 0:
        return Account()
    for name in _UNPRIVILEGED:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no account {' or '.join(_UNPRIVILEGED)}")


def _may_enter(folder: os.stat_result, user: int) -> bool:
    return bool(folder.st_mode & (stat.S_IXUSR if folder.st_uid == user else stat.S_IXOTH))
