"""Cloud Functions: one folder per function with everything it needs, and the `gcloud` calls that deploy them.

    python -m deploy.gcf build     →  dist/gcf/wpp_create/{main.py, wpp/, requirements.txt}
    python -m deploy.gcf deploy    →  gcloud functions deploy wpp-create --gen2 …, likewise for the others

Where: PROJECT, REGION. DRY_RUN=1 only prints the calls. Settings that are no secrets are taken from the environment by
their own names. Secrets stay in Secret Manager: SECRETS="WPP_SECRET=wpp-secret:latest …" says which variable comes from
which secret.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy import bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FOLDER = bundle.DIST / "gcf"
# boto3 is not among them: secrets come from Secret Manager as environment variables.
_ROOTS = ["functions-framework", "requests", "python-jose"]

_RUNTIME = "python313"
_REQUIRED = ["SUPABASE_URL"]
_OPTIONAL = [
    "WPP_BASE_URL",
    "WPP_WEBHOOK_URL",
    "WPP_QR_WAIT_SECONDS",
    "WPP_DEADLINE_SECONDS",
    "CORS_ALLOW_ORIGIN",
    "LOG_LEVEL",
]
_SECRETS = "SUPABASE_SERVICE_ROLE_KEY=supabase-service-role-key:latest WPP_SECRET=wpp-secret:latest"
# Calls mostly wait, so one instance takes many; functions-framework would start 4 threads for them.
_CONCURRENCY = 16


def build() -> list[Path]:
    pinned = bundle.requirements(_ROOTS)
    folders = []
    for name in bundle.function_names():
        folder = bundle.empty_folder(_FOLDER / name)
        bundle.copy_function(name, folder)
        bundle.copy_package(folder)
        (folder / "requirements.txt").write_text(pinned, encoding="utf-8")
        folders.append(folder)
    return folders


def deploy_command(folder: Path, env: Mapping[str, str]) -> list[str]:
    """The call that deploys the function in `folder`. Raises SystemExit that names every setting that is missing."""
    missing = [name for name in ("PROJECT", "REGION", *_REQUIRED) if not env.get(name, "").strip()]
    if missing:
        raise SystemExit(f"Cloud Functions: set {', '.join(missing)}; see README.md, Deploy to Cloud Functions")
    settings = {name: env[name].strip() for name in [*_REQUIRED, *_OPTIONAL] if env.get(name, "").strip()}
    settings["THREADS"] = str(_CONCURRENCY)
    secrets = dict(word.split("=", 1) for word in f"{_SECRETS} {env.get('SECRETS', '')}".split())
    return [
        *("gcloud", "functions", "deploy", folder.name.replace("_", "-"), "--gen2"),
        *("--project", env["PROJECT"].strip(), "--region", env["REGION"].strip()),
        *("--runtime", _RUNTIME, "--source", str(folder), "--entry-point", folder.name),
        # Open to the internet: the function itself checks the caller's Supabase token.
        *("--trigger-http", "--allow-unauthenticated"),
        *("--memory", "512Mi", "--cpu", "1", "--concurrency", str(_CONCURRENCY), "--timeout", "60s"),
        # `^|^` makes | the separator: an address may have a comma.
        *("--set-env-vars", "^|^" + "|".join(f"{name}={value}" for name, value in settings.items())),
        *("--set-secrets", ",".join(f"{name}={place}" for name, place in secrets.items())),
        "--quiet",
    ]


def _deploy() -> None:
    commands = [deploy_command(folder, os.environ) for folder in build()]
    for command in commands:
        print(shlex.join(command), flush=True)
        if not os.environ.get("DRY_RUN", "").strip():
            status = subprocess.run(command, cwd=bundle.ROOT, check=False).returncode
            if status:
                raise SystemExit(f"{command[3]} is not deployed: gcloud ended with {status}")


def main() -> None:
    if sys.argv[1:] == ["build"]:
        for folder in build():
            print(f"{folder.relative_to(bundle.ROOT)}  {bundle.version()}")
    elif sys.argv[1:] == ["deploy"]:
        _deploy()
    else:
        raise SystemExit("usage: python -m deploy.gcf build|deploy")


if __name__ == "__main__":
    main()
