"""What a state of the project is called: two that differ never have one name, and a name is safe wherever it is put."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy import bundle

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, path in {"ROOT": "", "FUNCTIONS": "functions", "PACKAGE": "shared/wpp"}.items():
        monkeypatch.setattr(bundle, name, tmp_path / path)
    (tmp_path / "functions/one").mkdir(parents=True)
    (tmp_path / "functions/one/main.py").write_text("1\n")
    (tmp_path / "requirements.lock").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "one")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True)


def test_a_commit_has_its_own_name_and_a_changed_or_a_new_file_another(project: Path) -> None:
    clean = bundle.version()
    (project / "functions/two").mkdir()
    (project / "functions/two/main.py").write_text("2\n")
    untracked = bundle.version()
    (project / "functions/two/main.py").write_text("3\n")
    assert len({clean, untracked, bundle.version()}) == 3
    assert "dirty" not in clean
    assert "dirty" in untracked


def test_a_release_is_called_like_its_tag(project: Path) -> None:
    git(project, "tag", "v1.2.3")
    assert bundle.version() == "v1.2.3"


def test_a_tag_is_made_safe(project: Path) -> None:
    git(project, "-c", "user.name=x", "-c", "user.email=x@example.org", "tag", "-a", "v1;touch/x", "-m", "odd")
    assert re.fullmatch(r"[A-Za-z0-9._-]+", bundle.version())
