"""What has to know each function of `functions/`, and does not: python -m tests.inventory

One line for each thing that is missing; the exit status is 0 if there is none. What is not named here follows from the folder.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import yaml

from deploy import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_METHODS = {"post", "get", "head", "options"}


class _Loader(yaml.CSafeLoader):
    """Reads CloudFormation's tags, such as !Ref, as nothing."""


_Loader.add_multi_constructor("!", lambda *_: None)


def missing(root: Path) -> list[str]:
    """In the order in which a newcomer adds them."""
    folder = root / "functions"
    names = bundle.function_names(folder)
    found = {path.parent.name for path in folder.glob("*/main.py")}
    lines = [f"functions/{name}: rename the folder, like my_function" for name in sorted(found - {*names})]
    for name in names:
        lines += _missing_in_module(folder / name / "main.py")
    return [*lines, *_missing_on_aws(root, names), *_missing_in_descriptions(root, names)]


def _missing_in_module(path: Path) -> Iterator[str]:
    name, shown = path.parent.name, f"functions/{path.parent.name}/main.py"
    spec = importlib.util.spec_from_file_location(f"inventory_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - whatever it is, the line names it
        yield f"{shown}: cannot be imported: {type(error).__name__}: {error}"
        return
    function = getattr(module, "FUNCTION", None)
    if function is None or function.name != bundle.address(name):
        yield f'{shown}: add FUNCTION = Function("{bundle.address(name)}", …)'
    if not callable(getattr(module, name, None)):
        yield f"{shown}: add def {name}(request), the target for functions-framework"
    if not callable(getattr(module, "handler", None)):
        yield f"{shown}: add handler = aws_lambda.handler(FUNCTION)"


def _missing_on_aws(root: Path, names: list[str]) -> Iterator[str]:
    entries = yaml.load((root / "serverless.yml").read_text(encoding="utf-8"), _Loader)["custom"]["functions"]
    for address in map(bundle.address, names):
        if address not in entries:
            yield f"serverless.yml: add `{address}: {{slowMilliseconds: 10000}}` to custom.functions"
    for entry, values in entries.items():
        # One that has a handler of its own is not in a folder of `functions/`.
        if entry not in map(bundle.address, names) and "handler" not in values.get("function", {}):
            yield f"serverless.yml: remove {entry} from custom.functions, or add functions/{entry.replace('-', '_')}/main.py"


def _missing_in_descriptions(root: Path, names: list[str]) -> Iterator[str]:
    contract = yaml.load((root / "functions/openapi.yaml").read_text(encoding="utf-8"), _Loader)
    tags = {tag["name"] for tag in contract["tags"]}
    readme = (root / "README.md").read_text(encoding="utf-8")
    calls = readme.partition("\n## Calls\n")[2].partition("\n## ")[0]
    for address in map(bundle.address, names):
        lacking = sorted(_METHODS - contract["paths"].get(f"/{address}", {}).keys())
        if lacking:
            yield f"functions/openapi.yaml: describe {', '.join(lacking)} of the path /{address}"
        if address not in tags:
            yield f"functions/openapi.yaml: add the tag {address}"
        if f"| `{address}` |" not in calls:
            yield f"README.md: add `{address}` to the table under Calls"
    for path in contract["paths"]:
        if path.removeprefix("/") not in map(bundle.address, names):
            yield f"functions/openapi.yaml: remove the path {path}, which no folder of functions/ serves"


def main() -> int:
    lines = missing(bundle.ROOT)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
