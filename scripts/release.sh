#!/usr/bin/env bash
# Makes a release: binaries, SBOMs, the chart, checksums and notes in dist/. Then it pushes the image and the chart, and publishes the
# rest on GitHub. .github/workflows/release.yml runs it for each tag; CONTRIBUTING.md says how to make one.
#   scripts/release.sh --dry-run vX.Y.Z   all of it but the publishing; needs no tag, no Docker and no account
#   scripts/release.sh vX.Y.Z             HEAD must have the tag
#   REGISTRY   host and path, without the image's name: registry.example.com/team; the chart takes the image from there
#   PLATFORMS  of the binaries; default: linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
# It needs Linux, Go and git; to publish, also Docker with buildx, logged in to the registry, and GitHub's gh.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  echo "release.sh: $*" >&2
  exit 1
}

dry=''
if [ "${1:-}" = --dry-run ]; then
  dry=1
  shift
fi
[[ $# -eq 1 && $1 =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || {
  sed -n 2,8p "$0" >&2
  exit 2
}
tag=$1 version=${1#v}

# section NAME prints a section of the changelog, without its heading.
section() {
  awk -v heading="## [$1]" '/^## / || /^\[.*\]: / { on = index($0, heading) == 1; next } on' CHANGELOG.md | sed '/./,$!d'
}

source=$(sed -n 's/^const Version = "\(.*\)"$/\1/p' version.go)
[ "$version" = "$source" ] || die "the tag is $tag, and version.go says $source"
notes=$(section "$version")
if [ -n "$dry" ]; then
  [ -n "$notes" ] || notes=$(section Unreleased)
else
  [ -n "${REGISTRY:-}" ] || die "REGISTRY is not set: registry.example.com/team"
  git tag --points-at HEAD | grep -qxF "$tag" || die "HEAD does not have the tag $tag"
  [ -z "$(git status --porcelain)" ] || die "the working tree has changes that are not committed"
fi
[ -n "$notes" ] || die "CHANGELOG.md has no section [$version]"

export GOWORK=off GOFLAGS='' CGO_ENABLED=0
# Reproducible: all files in the archives get the time of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
sbom=$(scripts/binary.sh sbom-generator sbom-generator .)
helm=$(scripts/tools.sh helm)

# licenses prints those of all modules in the binary, which must be distributed with it.
licenses() {
  local module directory files
  cat "$(go env GOROOT)/LICENSE"
  while read -r module directory; do
    [ -n "$directory" ] || continue # our own
    printf '\n== %s\n' "$module"
    files=$(find "$directory" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) | sort)
    [ -z "$files" ] || xargs -d '\n' cat <<<"$files"
  done < <(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/twtr | sort -u)
}

rm -rf dist
mkdir dist
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}; do
  name=twtr_${version}_${platform/\//_}
  export GOOS=${platform%/*} GOARCH=${platform#*/}
  mkdir "$work/$name"
  go build -trimpath -buildvcs=true -ldflags "-s -w -buildid= -X main.version=$tag" -o "$work/$name/twtr" ./cmd/twtr
  "$sbom" "$work/$name" >"dist/$name.spdx.json"
  licenses >"$work/$name/THIRD-PARTY-LICENSES"
  cp LICENSE README.md CHANGELOG.md "$work/$name/"
  tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -c "$name" |
    gzip -n >"dist/$name.tar.gz"
done
unset GOOS GOARCH

cp -r helm "$work/twtr"
if [ -n "${REGISTRY:-}" ]; then
  sed -i "s|^  repository: twtr\$|  repository: ${REGISTRY%/}/twtr|" "$work/twtr/values.yaml"
  grep -q "repository: ${REGISTRY%/}/twtr$" "$work/twtr/values.yaml" || die "the chart's values have no image.repository to replace"
fi
"$helm" package "$work/twtr" --destination dist >/dev/null
(cd dist && sha256sum -- *) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" dist/
echo "$notes" >dist/RELEASE_NOTES.md
[ -z "$dry" ] || {
  echo "dist/ has the release $tag; nothing was pushed"
  exit
}

TAG=$tag scripts/docker-build-push.sh push
"$helm" push "dist/twtr-$version.tgz" "oci://${REGISTRY%/}/charts"
prerelease=()
case $version in *-*) prerelease=(--prerelease) ;; esac
# Last, because it cannot be repeated.
gh release create "$tag" --verify-tag --title "$tag" "${prerelease[@]}" --notes-file dist/RELEASE_NOTES.md dist/twtr* dist/SHA256SUMS
