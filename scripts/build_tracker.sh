#!/usr/bin/env bash
# Build the tracker, collector/static/t.js, from its parts; `build_tracker.sh FILE` writes it there.
# It is a function, which the collector calls with what it knows of the data stream.
# Needs deploy/servers/install_tracking_clients.sh, which installs the minifier.
set -euo pipefail
cd "$(dirname "$0")/.."
parts="settings consent visit links engagement parameters transport interactions pages commands"
terser=.servers/tracking_clients/node_modules/.bin/terser
if [ ! -x "$terser" ]; then
  echo "build_tracker.sh: expected $terser; run deploy/servers/install_tracking_clients.sh" >&2
  exit 1
fi
{
  echo "window.run = stream => {"
  for part in $parts; do cat "collector/static/tracker/$part.js"; done
  echo "}"
} | "$terser" --ecma 2018 --compress passes=3,unsafe_arrows --mangle |
  sed 's/^window\.run=\(.*\);$/(\1)/' > "${1:-collector/static/t.js}"
