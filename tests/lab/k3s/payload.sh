#!/bin/sh
# Write the container runtime that the k3s stand-in carries to standard output, as a tar.gz.
# Runs as root inside the Debian 13 image that the lab's servers start from (`sh -s <payload.sh`), so that the
# programs meet the C library they were built for. The same packages give the same bytes.
set -eu

packages="containerd runc containernetworking-plugins"
programs="usr/bin/containerd usr/bin/containerd-shim-runc-v2 usr/bin/ctr usr/sbin/runc
          usr/lib/cni/bridge usr/lib/cni/host-local usr/lib/cni/loopback usr/lib/cni/portmap"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get --quiet=2 update >&2
# As root throughout: apt's own user may not write into a fresh temporary directory.
apt-get --quiet=2 --option=APT::Sandbox::User=root download $packages >&2

mkdir root bin
for package in ./*.deb; do
    dpkg-deb --extract "$package" root
    dpkg-deb --show --showformat='${Package} ${Version}\n' "$package" >>bin/VERSIONS
done
for program in $programs; do
    cp "root/$program" bin/
done
# Nothing but the C library and libseccomp, which apt itself needs, may be wanted from the server.
for program in bin/*; do
    if ldd "$program" 2>/dev/null | grep 'not found' >&2; then
        echo "$program wants a library that a Debian server does not have" >&2
        exit 1
    fi
done
sort -o bin/VERSIONS bin/VERSIONS
tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX bin | gzip --no-name
