#!/usr/bin/env bash
# Makes an archive of an image with one static program, as stand-in/NAME:1: image.sh PROGRAM ARCHIVE. Needs no Docker.
set -euo pipefail
program=$1 archive=$2 name=$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{etc/ssl/certs,tmp} "$work/image"
chmod 1777 "$work/root/tmp"
cp "$program" "$work/root/$name"
[ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
tar -C "$work/root" --sort=name --owner=0 --group=0 --mtime=@0 -cf "$work/image/layer.tar" .
layer=$(sha256sum "$work/image/layer.tar" | cut -d' ' -f1)
cat >"$work/image/config.json" <<JSON
{"architecture": "$(go env GOARCH)", "os": "linux",
 "config": {"User": "65532:65532", "Entrypoint": ["/$name"], "Labels": {"com.twtr-dev.stand-in": "true"}},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
JSON
cat >"$work/image/manifest.json" <<JSON
[{"Config": "config.json", "RepoTags": ["docker.io/stand-in/$name:1"], "Layers": ["layer.tar"]}]
JSON
tar -C "$work/image" -cf "$archive.part" .
mv "$archive.part" "$archive"
