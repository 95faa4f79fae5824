#!/bin/sh
# Build the stand-in: build.sh RUNTIME OUTPUT
# RUNTIME is the archive that payload.sh wrote, OUTPUT the program to write. Needs Go; the modules come through its own client.
set -eu

[ $# -eq 2 ] || { echo "usage: $0 RUNTIME OUTPUT" >&2; exit 2; }
runtime=$(realpath "$1")
output=$(realpath --canonicalize-missing "$2")
cd "$(dirname "$0")"

version=v1.35.4
mkdir -p embed
[ "$runtime" = "$PWD/embed/runtime.tar.gz" ] || cp "$runtime" embed/runtime.tar.gz
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags="$flags -X $package.gitVersion=$version+k3s1 -X $package.gitMajor=1 -X $package.gitMinor=35"
done
export CGO_ENABLED=0 GOTOOLCHAIN=local GOSUMDB=off GOGC="${GOGC:-400}"
exec go build -mod=readonly -trimpath -buildvcs=false -tags providerless -ldflags "$flags" -o "$output" .
