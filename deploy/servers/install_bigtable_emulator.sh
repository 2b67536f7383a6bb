#!/bin/sh
# Build the Bigtable emulator into .servers/bin/bigtable-emulator of this checkout. Needs Go 1.24+.
set -eu

VERSION=v1.58.0
cd "$(dirname "$0")/../.."
mkdir -p .servers/bin
GOBIN="$PWD/.servers/bin" go install "cloud.google.com/go/bigtable/cmd/emulator@$VERSION"
mv .servers/bin/emulator .servers/bin/bigtable-emulator
echo "installed $PWD/.servers/bin/bigtable-emulator $VERSION"
