#!/usr/bin/env bash
# Puts Google's Pub/Sub emulator into .servers/ of this checkout, where the tests look for it.
#
# The emulator comes only with the Cloud SDK. Taken, in this order, from the Debian package
# google-cloud-cli-pubsub-emulator, from a Cloud SDK found by its `gcloud`, or, as root where the
# Cloud SDK's packages are configured, by installing that package. It needs Java (a JDK, 17 or later).
set -euo pipefail

package=google-cloud-cli-pubsub-emulator
checkout="$(cd "$(dirname "$0")/../.." && pwd)"
target="$checkout/.servers/pubsub-emulator.jar"

jar_of_package() {
  dpkg -L "$package" 2>/dev/null | grep -E '/cloud-pubsub-emulator-[^/]*-all\.jar$' | head -n 1 || true
}

jar_of_gcloud() {
  local root
  root="$(gcloud info --format='value(installation.sdk_root)' 2>/dev/null)" || return 0
  find "$root/platform/pubsub-emulator/lib" -name 'cloud-pubsub-emulator-*-all.jar' 2>/dev/null | head -n 1
}

if [[ -s "$target" ]]; then
  echo "$target is there already"
  exit 0
fi
command -v java >/dev/null || { echo "expected java on the PATH; install a JDK, 17 or later" >&2; exit 1; }

jar="$(jar_of_package)"
[[ -n "$jar" ]] || jar="$(jar_of_gcloud)"
if [[ -z "$jar" && "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
  apt-get install -y --no-install-recommends "$package" >&2 || true
  jar="$(jar_of_package)"
fi
if [[ -z "$jar" ]]; then
  echo "expected the Pub/Sub emulator of the Cloud SDK, found none; install the package $package" >&2
  echo "or run 'gcloud components install pubsub-emulator', then run this again" >&2
  exit 1
fi

mkdir -p "$(dirname "$target")"
cp "$jar" "$target.part"
mv "$target.part" "$target"
echo "installed $(basename "$jar") as $target"
