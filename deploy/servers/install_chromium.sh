#!/usr/bin/env bash
# Chromium and its driver from Debian, for the tests of what merchants see. Does nothing where
# both are there.
set -euo pipefail

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
  echo "chromium is there: $(chromium --version 2>/dev/null || command -v chromium)"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install_chromium.sh: expected a Debian with apt-get; install chromium and chromedriver" >&2
  exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install --quiet --yes --no-install-recommends chromium chromium-driver
