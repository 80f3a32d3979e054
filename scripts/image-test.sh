#!/usr/bin/env bash
# Pushes the image of HEAD for two platforms, as `make docker-build-push` does, to a registry on 127.0.0.1, and checks what was
# pushed: its platforms, SBOM and provenance. Prints a line with the time for each check. Builder and registry are built from Go
# modules and end with the script. It needs Linux, root and Go, and a Docker engine or what scripts/engine.sh needs.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/cluster
pids=()

die() {
  echo "image-test.sh: $*" >&2
  exit 1
}

started=$EPOCHREALTIME
# ok WHAT ends a check.
ok() {
  printf 'ok %8.1f s  %s\n' "$(bc <<<"$EPOCHREALTIME - $started")" "$*"
  started=$EPOCHREALTIME
}

end() {
  local pid
  trap - EXIT
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  [ -z "${registry:-}" ] || docker image rm "$registry/golang" "$registry/debian" "$registry/team/twtr:test" >/dev/null 2>&1 || true
  [ -z "${ours:-}" ] || scripts/engine.sh stop
  find /sys/fs/cgroup -depth -type d -path '*/buildkit*' -exec rmdir {} + 2>/dev/null || true
  rm -rf "$work"
}

work=$(mktemp -d)
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The engine, which builds the stand-ins and runs the image; stopped at the end unless it ran before.
case $(scripts/engine.sh start) in *answers*) ours=1 ;; esac
eval "$(scripts/engine.sh env)"
scripts/images.sh golang distroless >/dev/null
eval "$(scripts/images.sh env)"

# The registry, on a free port.
cat >"$work/registry.yaml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:0}
END
program=$(scripts/binary.sh registry registry github.com/distribution/distribution/v3/cmd/registry)
OTEL_TRACES_EXPORTER=none "$program" serve "$work/registry.yaml" >"$work/registry.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
  registry=$(grep -om1 'listening on 127.0.0.1:[0-9]*' "$work/registry.log" | grep -o '127.*') && break
  sleep 0.1
done
[ -n "$registry" ] || die "the registry does not start: $(tail -n 1 "$work/registry.log")"

# BuildKit. What it builds stays in the cache. In its own namespaces, so that its mounts and processes end with it.
program=$(scripts/binary.sh buildkit buildkitd github.com/moby/buildkit/cmd/buildkitd)
[ -x "$cache/debs/usr/sbin/runc" ] || scripts/debs.sh "$cache/debs" runc
mkdir -p "$cache/buildkit"
PATH=$cache/debs/usr/sbin:$PATH LD_LIBRARY_PATH=$(echo "$cache"/debs/usr/lib/*-linux-gnu) \
  unshare --mount --pid --fork --kill-child --mount-proc "$program" --addr "unix://$work/buildkitd.sock" --root "$cache/buildkit" \
  --containerd-worker=false --oci-worker-gc-keepstorage 4000 >"$work/buildkitd.log" 2>&1 &
parent=$!
for _ in $(seq 100); do
  child=$(pgrep -P "$parent") && break
  sleep 0.1
done
pids+=("${child:-$parent}") # unshare itself ignores the signal
# The builders that buildx knows are not touched.
export BUILDX_CONFIG=$work/buildx BUILDER=test
docker buildx create --name "$BUILDER" --driver remote "unix://$work/buildkitd.sock" >/dev/null
for _ in $(seq 100); do
  docker buildx inspect "$BUILDER" 2>/dev/null | grep -q 'Status: *running' && break
  sleep 0.1
done

# digest REFERENCE prints it with its digest.
digest() { echo "$1@$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1")"; }

# The stand-ins, by digest and for both platforms, as the real ones are.
if [ -n "${BUILD_IMAGE:-}" ]; then
  docker tag "$BUILD_IMAGE" "$registry/golang"
  docker push --quiet "$registry/golang" >/dev/null
  BUILD_IMAGE=$(digest "$registry/golang")
fi
if [ -n "${RUNTIME_IMAGE:-}" ]; then
  docker tag twtr-stand-in/debian "$registry/debian"
  docker push --quiet "$registry/debian" >/dev/null
  docker buildx build --quiet --builder "$BUILDER" --build-context "twtr-stand-in/debian=docker-image://$registry/debian" \
    --platform linux/amd64,linux/arm64 --provenance=false --output "type=image,name=$registry/static,push=true" dev/images/distroless >/dev/null
  RUNTIME_IMAGE=$(digest "$registry/static")
  # Where base images cannot be pulled, BuildKit's generator cannot either.
  context=$work/sbom-generator
  cp -r dev/images/sbom-generator "$context"
  cp "$(scripts/binary.sh sbom-generator sbom-generator .)" "$context/"
  SBOM_GENERATOR=$registry/sbom-generator
  docker buildx build --quiet --builder "$BUILDER" --provenance=false --output "type=image,name=$SBOM_GENERATOR,push=true" "$context" >/dev/null
  export BUILD_IMAGE RUNTIME_IMAGE SBOM_GENERATOR
fi
ok "a registry and a builder run"

# A clone: what is not committed cannot be pushed.
git clone --quiet --shared . "$work/source"
revision=$(git rev-parse HEAD)
image=$registry/team/twtr:test
REGISTRY=$registry/team TAG=test "$work/source/scripts/docker-build-push.sh" push >"$work/push.log" 2>&1 || {
  tail -n 20 "$work/push.log" >&2
  die "docker-build-push.sh push fails"
}
ok "docker-build-push.sh pushes $(digest "$image" | grep -o 'sha256:.\{12\}')"

inspect() { docker buildx imagetools inspect --format "$1" "$image"; }

manifests=$(inspect '{{range .Manifest.Manifests}}{{.Platform.Architecture}} {{.Digest}} {{index .Annotations "vnd.docker.reference.type"}} {{index .Annotations "vnd.docker.reference.digest"}}
{{end}}')
for architecture in amd64 arm64; do
  platform=linux/$architecture
  id=$(sed -n "s/^$architecture \(sha256:[0-9a-f]*\).*/\1/p" <<<"$manifests")
  [ -n "$id" ] || die "the index has no image for $platform"
  grep -q " attestation-manifest $id\$" <<<"$manifests" || die "the index has no attestations of the image for $platform"
  ok "the index has an image and its attestations for $platform"
done

for platform in linux/amd64 linux/arm64; do
  packages=$(inspect "{{range (index .SBOM \"$platform\").SPDX.packages}}{{.name}} {{.versionInfo}}
{{end}}") || die "the image for $platform has no SBOM"
  grep -q "^$(GOWORK=off go list -m) " <<<"$packages" || die "the SBOM for $platform does not name our module"
  modules=$(GOWORK=off go list -m -f '{{.Path}} {{.Version}}' github.com/gocql/gocql go.temporal.io/sdk github.com/gin-gonic/gin)
  while read -r module; do
    grep -qxF "$module" <<<"$packages" || die "the SBOM for $platform does not name $module"
  done <<<"$modules"
  ok "the SBOM for $platform names our module and the versions of go.mod ($(wc -l <<<"$packages") packages)"

  provenance=$(inspect "{{json (index .Provenance \"$platform\").SLSA}}") || die "the image for $platform has no provenance"
  for reference in "${BUILD_IMAGE:-$(sed -n 's/^ARG BUILD_IMAGE=//p' Dockerfile)}" "${RUNTIME_IMAGE:-$(sed -n 's/^ARG RUNTIME_IMAGE=//p' Dockerfile)}"; do
    grep -q "\"sha256\": *\"${reference#*@sha256:}\"" <<<"$provenance" || die "the provenance for $platform does not name $reference"
  done
  grep -q "\"build-arg:REVISION\": *\"$revision\"" <<<"$provenance" || die "the provenance for $platform does not name the revision"
  ok "the provenance for $platform names the base images' digests and the revision"
done

[ "$(inspect '{{index (index .Image "linux/amd64").Config.Labels "org.opencontainers.image.revision"}}')" = "$revision" ] ||
  die "the image has no label with the revision"
[ "$(docker run --rm --read-only --network none "$image" version 2>"$work/run.log")" = test ] || die "the image does not run: $(cat "$work/run.log")"
ok "an engine pulls and runs it"
