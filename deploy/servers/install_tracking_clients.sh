#!/usr/bin/env bash
# Tracking clients that others wrote, from npm, for the tests that point them at a collector.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v npm >/dev/null; then
  echo "install_tracking_clients.sh: expected npm (Node.js 18 or newer); install it first" >&2
  exit 1
fi
mkdir -p .servers/tracking_clients
cp deploy/servers/tracking_clients/package.json deploy/servers/tracking_clients/package-lock.json \
  .servers/tracking_clients/
npm ci --prefix .servers/tracking_clients --silent --no-audit --no-fund
echo "installed tracking clients in .servers/tracking_clients"
