#!/usr/bin/env bash
# The checks that a change passes before it goes in; a developer and CI run the same.
#   scripts/check.sh           all of them
#   scripts/check.sh --static  those that run no code
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}

"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/lint-imports"
if [ "${1:-}" != "--static" ]; then
  "$bin/python" -m pytest -m "not slow" -n "${JOBS:-2}"
fi
