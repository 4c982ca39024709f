"""`python -m wpp`: the platform client for operators."""

from __future__ import annotations

import sys

from wpp.cli.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
