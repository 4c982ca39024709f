"""Cloud Functions: one folder per function with everything it needs, and the `gcloud` calls that deploy them.

    python -m deploy.gcf build     →  dist/gcf/wpp_create/{main.py, wpp/, requirements.txt}
    python -m deploy.gcf deploy    →  gcloud functions deploy wpp-create --gen2 …, likewise for the others

PROJECT and REGION say where. DRY_RUN=1 only prints the calls. Variables that are not secret are taken from the environment
under their own names. Secrets stay in Secret Manager: SECRETS="WPP_SECRET=wpp-secret:latest …" names the secret of each
variable.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy import bundle
from wpp.config import config_from
from wpp.errors import NotConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDER = bundle.DIST / "gcf"

_RUNTIME = "python313"
_PLACE = ["PROJECT", "REGION"]
VARIABLES = [
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",  # public: web pages have it
    "WPP_BASE_URL",
    "WPP_WEBHOOK_URL",
    "WPP_QR_WAIT_SECONDS",
    "WPP_RESTART_AFTER_SECONDS",
    "WPP_ALLOWED_ROLES",
    "WPP_ROLE_COLUMN",
    "WPP_DEADLINE_SECONDS",
    "CORS_ALLOW_ORIGIN",
    "LOG_LEVEL",
]
_SECRETS = "SUPABASE_SERVICE_ROLE_KEY=supabase-service-role-key:latest WPP_SECRET=wpp-secret:latest"
# What may come from Secret Manager. An anon key may, too, though it is public.
_SECRET_NAMES = ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET", "SUPABASE_ANON_KEY", "WPP_SECRET"]
# Calls mostly wait, so one instance takes many; functions-framework would start 4 threads for them.
_CONCURRENCY = 80
_INTERRUPTED = 130

_NAME = re.compile(r"[a-z][a-z0-9:.-]*")
_SECRET = re.compile(r"([A-Z][A-Z0-9_]*)=([A-Za-z0-9_/-]+:(?:latest|[0-9]+))")


def build(folder: Path = FOLDER) -> list[Path]:
    """Writes one folder per function into `folder`; returns them."""
    folders = []
    for name in bundle.function_names():
        own = bundle.empty_folder(folder / name)
        bundle.copy_function(name, own)
        bundle.copy_package(own)
        shutil.copy(bundle.lock("gcf"), own / "requirements.txt")
        folders.append(own)
    return folders


def deploy_command(folder: Path, env: Mapping[str, str]) -> list[str]:
    """The call that deploys the function in `folder`. Raises SystemExit with everything that is missing or wrong."""
    given = {name: value.strip() for name, value in env.items() if value.strip()}
    words = f"{_SECRETS} {given.get('SECRETS', '')}".split()
    secrets = {match[1]: match[2] for match in map(_SECRET.fullmatch, words) if match}
    variables = {name: given[name] for name in VARIABLES if name in given and name not in secrets}
    problems = [f"{name} is missing or not a name" for name in _PLACE if not _NAME.fullmatch(given.get(name, ""))]
    problems += [f"SECRETS must be like NAME=secret:latest, not {w}" for w in words if not _SECRET.fullmatch(w)]
    unknown = secrets.keys() - set(_SECRET_NAMES)
    problems += [f"SECRETS must name one of {', '.join(_SECRET_NAMES)}, not {name}" for name in sorted(unknown)]
    # `|` separates the variables in gcloud's option.
    problems += [f"{name} must not contain | or line breaks" for name, value in variables.items() if _splits(value)]
    problems += _not_configured(variables, secrets) or _out_of_reach(variables)
    if problems:
        raise SystemExit("\n".join([*problems, 'See "Cloud Functions" in README.md.']))
    return _command(folder, given["PROJECT"], given["REGION"], variables, secrets)


def _splits(value: str) -> bool:
    return "|" in value or not value.isprintable()


def _not_configured(variables: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    """What the functions themselves would refuse. The values of secrets are not known here, so each stands for itself."""
    try:
        config_from({**variables, **{name: f"the value of the secret {place}" for name, place in secrets.items()}})
    except NotConfigured as error:
        return [str(error)]
    return []


def _out_of_reach(variables: Mapping[str, str]) -> list[str]:
    """What only a function beside Supabase could reach: the config takes http:// for this machine and for neighbours."""
    addresses = ("SUPABASE_URL", "WPP_BASE_URL", "WPP_WEBHOOK_URL")
    given = {name: variables.get(name, "") for name in addresses}
    return [
        f"{name} must be an https:// address: Google cannot reach {v}" for name, v in given.items() if v[:5] == "http:"
    ]


def _command(
    folder: Path, project: str, region: str, variables: Mapping[str, str], secrets: Mapping[str, str]
) -> list[str]:
    variables = {**variables, "THREADS": str(_CONCURRENCY)}
    return [
        *("gcloud", "functions", "deploy", bundle.address(folder.name), "--gen2"),
        *("--project", project, "--region", region),
        *("--runtime", _RUNTIME, "--source", str(folder), "--entry-point", folder.name),
        # Open to the internet: the function itself checks the caller's Supabase token.
        *("--trigger-http", "--allow-unauthenticated"),
        *("--memory", "512Mi", "--cpu", "1", "--concurrency", str(_CONCURRENCY), "--timeout", "60s"),
        # `^|^` makes | the separator: an address may contain a comma.
        *("--set-env-vars", "^|^" + "|".join(f"{name}={value}" for name, value in variables.items())),
        *("--set-secrets", ",".join(f"{name}={place}" for name, place in secrets.items())),
        "--quiet",
    ]


def deploy(env: Mapping[str, str]) -> None:
    """Builds and deploys every function, one after another. Raises SystemExit at the first one that fails."""
    dry_run = bool(env.get("DRY_RUN", "").strip())
    # First, so that nothing is built for a call that cannot be made.
    commands = [deploy_command(FOLDER / name, env) for name in bundle.function_names()]
    if not dry_run and shutil.which("gcloud") is None:
        raise SystemExit("gcloud is not found: https://cloud.google.com/sdk/docs/install")
    build()
    for command in commands:
        print(shlex.join(command), flush=True)
        if not dry_run:
            _run(command)


def _run(command: list[str]) -> None:
    name = command[3]
    try:
        status = subprocess.run(command, cwd=bundle.ROOT, check=False).returncode
    except OSError as error:
        raise SystemExit(f"{name} is not deployed: gcloud cannot be run: {error.strerror}") from None
    except KeyboardInterrupt:
        print(f"interrupted: whether {name} is deployed, `make smoke` tells", file=sys.stderr)
        raise
    if status:
        raise SystemExit(f"{name} is not deployed: gcloud ended with {status}")


def main() -> None:
    try:
        if sys.argv[1:] == ["build"]:
            for folder in build():
                print(f"{folder.relative_to(bundle.ROOT)}  {bundle.version()}")
        elif sys.argv[1:] == ["deploy"]:
            deploy(os.environ)
        else:
            raise SystemExit("usage: python -m deploy.gcf build|deploy")
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except OSError as error:  # of the build: a disk that is full, a folder of somebody else
        raise SystemExit(f"error: {error.filename or bundle.DIST}: {error.strerror}") from None


if __name__ == "__main__":
    main()
