#!/usr/bin/env bash
# Reporting clients that others wrote, from npm, for the tests that point them at a report API.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v npm >/dev/null; then
  echo "install_reporting_clients.sh: expected npm (Node.js 18 or newer); install it first" >&2
  exit 1
fi
mkdir -p .servers/reporting_clients
cp deploy/servers/reporting_clients/package.json deploy/servers/reporting_clients/package-lock.json \
  .servers/reporting_clients/
(cd -P .servers/reporting_clients && npm ci --silent --no-audit --no-fund)
echo "installed reporting clients in .servers/reporting_clients"
