#!/usr/bin/env bash
# Builds the image, which all processes share.
#   scripts/docker-build-push.sh build   twtr:TAG, for this machine
#   scripts/docker-build-push.sh push    REGISTRY/twtr:TAG, for linux/amd64 and linux/arm64, and pushes it
#   TAG        default: the version from git
#   REGISTRY   host and path, without the image's name: registry.example.com/team
#   PLATFORMS  of push, comma separated; default: linux/amd64,linux/arm64
#   BUILDER    of push: a builder of docker buildx; default: twtr, which is created
#   SBOM_GENERATOR  of push: the image that makes the SBOM; default: BuildKit's own
#   BUILD_IMAGE, RUNTIME_IMAGE, GOPROXY  from a mirror; default: those of the Dockerfile
#   NETWORK    host: the build uses this machine's network, if containers have none
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "docker-build-push.sh: $*" >&2
  exit 1
}

version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
TAG=${TAG:-$version}
case ${1:-} in
build) ;;
push)
  [ -n "${REGISTRY:-}" ] || die "REGISTRY is not set: make docker-build-push REGISTRY=registry.example.com/team TAG=v1"
  # A pushed image must be traceable to a revision.
  case $version in *-dirty) die "the working tree has changes that are not committed" ;; esac
  ;;
*)
  sed -n 2,11p "$0"
  exit 2
  ;;
esac
command -v docker >/dev/null || die "needs Docker: docker is missing"
docker info >/dev/null 2>&1 || die "needs a Docker engine: none answers (docker info)"
docker buildx version >/dev/null 2>&1 || die "needs Docker's plug-in buildx: docker buildx does not work"

# Reproducible: all files in the image get the time of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
args=(--build-arg "VERSION=$TAG" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)")
for name in BUILD_IMAGE RUNTIME_IMAGE GOPROXY; do
  [ -z "${!name:-}" ] || args+=(--build-arg "$name=${!name}")
done
[ -z "${NETWORK:-}" ] || args+=(--network "$NETWORK")

if [ "$1" = build ]; then
  exec docker buildx build "${args[@]}" --load --tag "twtr:$TAG" .
fi
image=${REGISTRY%/}/twtr:$TAG
# Docker's default builder builds for one platform only.
[ -n "${BUILDER:-}" ] || docker buildx inspect twtr >/dev/null 2>&1 || docker buildx create --name twtr --driver docker-container >/dev/null
sbom=--sbom=true
[ -z "${SBOM_GENERATOR:-}" ] || sbom=--sbom=generator=$SBOM_GENERATOR
# With an SBOM and the provenance of each image. The provenance has the build time, so the index that TAG names has another digest
# with each build; the images in it have the same ones.
docker buildx build --builder "${BUILDER:-twtr}" "${args[@]}" --platform "${PLATFORMS:-linux/amd64,linux/arm64}" "$sbom" --provenance=mode=max \
  --output "type=image,name=$image,push=true,rewrite-timestamp=true" .
echo "pushed $image"
