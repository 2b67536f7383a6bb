#!/usr/bin/env bash
# PostgreSQL from Debian, for the tests of the configuration's database. Does nothing where it is
# there. No cluster of the system's own is made: each test session makes one and throws it away.
set -euo pipefail

found=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1 || true)
if [ -n "$found" ]; then
  echo "PostgreSQL is there: $("$found" --version)"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install_postgresql.sh: expected a Debian with apt-get; install PostgreSQL 14 or newer" >&2
  exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install --quiet --yes --no-install-recommends postgresql-common
"${as_root[@]}" sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
  /etc/postgresql-common/createcluster.conf
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install --quiet --yes --no-install-recommends postgresql
