#!/usr/bin/env bash
# Gives the Docker engine the images that our files name: pulls them, or where that is impossible builds stand-ins (dev/images)
# under the same names, with the label com.twtr-dev.stand-in: "true".
#   scripts/images.sh NAME…          of golang, distroless, cassandra, nats, postgres, temporal-server, temporal-admin-tools, temporal-ui
#   scripts/images.sh --save NAME…   also archives them in the cache, and prints the archives' paths
#   scripts/images.sh env            prints shell commands that set BUILD_IMAGE and RUNTIME_IMAGE, of the Dockerfile, to the stand-ins
# Stand-ins need root, Debian's apt, and Go; that of Cassandra also Maven and pip.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/twtr/cluster
base=twtr-stand-in/debian

die() {
  echo "images.sh: $*" >&2
  exit 1
}

# reference NAME prints the image's name as our files have it.
reference() {
  case $1 in
  golang) sed -n 's/^ARG BUILD_IMAGE=//p' Dockerfile ;;
  distroless) sed -n 's/^ARG RUNTIME_IMAGE=//p' Dockerfile ;;
  cassandra | nats | postgres) compose_image "$1" ;;
  temporal-*) compose_image "temporalio/${1#temporal-}" ;;
  *) die "no image $1" ;;
  esac
}
compose_image() { sed -nE "s|^ *image: ($1:.*)|\1|p" docker-compose.yml | sort -u; }

label() { docker image inspect --format "{{index .Config.Labels \"com.twtr-dev.$2\"}}" "$1" 2>/dev/null || true; }
module_dir() { GOWORK=off GOFLAGS='' go -C "dev/binaries/$1" mod download -json "$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }

# add_files NAME DIRECTORY adds links to what the stand-in's Dockerfile copies and is not in dev/images.
add_files() {
  local file module
  case $1 in
  golang)
    file=$(sed -nE 's/^go (.*)/\1/p' go.mod)
    ln -s "$(GOWORK=off GOTOOLCHAIN=go$file go env GOROOT)" "$2/go"
    ;;
  cassandra)
    ln -s "$(scripts/cassandra.sh fetch)" "$2/lib"
    ln -s "$(cqlsh)" "$2/cqlsh"
    ;;
  nats) ln -s "$(scripts/binary.sh nats nats-server github.com/nats-io/nats-server/v2)" "$2/" ;;
  temporal-server) ln -s "$(scripts/binary.sh temporal temporal-server go.temporal.io/server/cmd/server)" "$2/" ;;
  temporal-admin-tools)
    ln -s "$(scripts/binary.sh temporal temporal-sql-tool go.temporal.io/server/cmd/tools/sql)" "$2/"
    ln -s "$(scripts/binary.sh temporal-cli temporal github.com/temporalio/cli/cmd/temporal)" "$2/"
    module=$(module_dir temporal go.temporal.io/server)
    ln -s "$module/schema" "$2/schema"
    ;;
  temporal-ui)
    ln -s "$(scripts/binary.sh temporal-ui temporal-ui-server github.com/temporalio/ui-server/v2/cmd/server)" "$2/"
    module=$(module_dir temporal-ui github.com/temporalio/ui-server/v2)
    ln -s "$module/config/docker.yaml" "$2/"
    ;;
  esac
}

# cqlsh prints the directory of cqlsh and of what it needs, for the Python of the stand-in's Debian.
cqlsh() {
  local requirements=dev/images/cassandra/requirements.txt directory part
  directory=$cache/cqlsh-$(sha256sum "$requirements" | cut -c1-12)
  if [ ! -d "$directory" ]; then
    part=$(mktemp -d "$cache/.part.XXXXXX") # renamed when complete
    PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet install --no-deps --only-binary :all: --implementation cp --python-version 3.11 \
      --platform "manylinux2014_$(uname -m)" --platform any --target "$part" --requirement "$requirements" >&2
    chmod 0755 "$part"
    mv -T "$part" "$directory"
  fi
  echo "$directory"
}

# debian makes the stand-ins' base: a small Debian, of the mirror and with the certificates of this machine.
debian() {
  local mirror
  [ "$(label "$base" stand-in)" != true ] || return 0
  if [ ! -f "$cache/debian.tar" ]; then
    echo "making a Debian (once)" >&2
    [ -f "$cache/debs/usr/sbin/debootstrap" ] || scripts/debs.sh "$cache/debs" debootstrap
    # shellcheck disable=SC2016 # apt's variables
    mirror=$(apt-get indextargets --format '$(CREATED_BY) $(CODENAME) $(REPO_URI)' | sed -n 's/^Packages bookworm //p' | head -n 1)
    # In its own namespace, with which the mounts end that it makes.
    DEBOOTSTRAP_DIR=$cache/debs/usr/share/debootstrap unshare --mount sh "$cache/debs/usr/sbin/debootstrap" --variant=minbase \
      --include=ca-certificates,tzdata,netcat-openbsd bookworm "$work/debian" "${mirror:-http://deb.debian.org/debian}" >"$work/log" 2>&1 ||
      die "debootstrap fails: $(tail -n 1 "$work/log")"
    cp /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/"
    rm -rf "$work"/debian/var/lib/apt/lists/* "$work"/debian/var/cache/apt/* "$work"/debian/usr/share/{doc,man,locale}/*
    tar -C "$work/debian" --exclude './dev/*' --exclude './proc/*' --exclude './sys/*' -cf "$cache/debian.tar.part" .
    mv "$cache/debian.tar.part" "$cache/debian.tar"
  fi
  docker import --change 'LABEL com.twtr-dev.stand-in=true' "$cache/debian.tar" "$base" >/dev/null
}

# image NAME prints the reference of the image, which the engine has or gets.
image() {
  local wanted name context=$work/$1 key link
  wanted=$(reference "$1")
  name=${wanted%@*} # what is built has another digest
  if docker image inspect "$wanted" >/dev/null 2>&1 && [ "$(label "$wanted" stand-in)" != true ]; then
    echo "$wanted"
    return
  fi
  if [ "$(label "$name" stand-in)" != true ]; then
    if timeout 120 docker pull --quiet "$wanted" >/dev/null 2>&1; then
      echo "pulled $wanted" >&2
      echo "$wanted"
      return
    fi
    echo "$name cannot be pulled, building a stand-in" >&2
  fi
  cp -r "dev/images/$1" "$context"
  add_files "$1" "$context"
  key=$({
    find "$context" -type f -print0 | sort -z | xargs -0 cat
    for link in $(find "$context" -type l | sort); do
      readlink "$link"
      cat "$(readlink "$link").key" "$link/VERSION" 2>/dev/null || true # of a program, of Go
    done
  } | sha256sum | cut -c1-16)
  if [ "$(label "$name" stand-in-key)" != "$key" ]; then
    debian
    # tar resolves the links. --network host: for Debian's packages.
    tar -C "$context" --dereference --exclude ./go/test --exclude __pycache__ -cf - . |
      docker buildx build --quiet --load --network host --label com.twtr-dev.stand-in=true --label "com.twtr-dev.stand-in-key=$key" --tag "$name" - >"$work/log" 2>&1 || {
      tail -n 20 "$work/log" >&2
      die "the stand-in for $name cannot be built"
    }
  fi
  echo "$name"
}

save=
case ${1:-} in
env)
  for name in golang distroless; do
    wanted=$(reference "$name")
    variable=RUNTIME_IMAGE
    [ "$name" = distroless ] || variable=BUILD_IMAGE
    [ "$(label "${wanted%@*}" stand-in)" != true ] || echo "export $variable=${wanted%@*}"
  done
  exit
  ;;
--save)
  save=1
  shift
  ;;
esac
[ $# -gt 0 ] || {
  sed -n 2,8p "$0" >&2
  exit 2
}
docker info >/dev/null 2>&1 || die "docker finds no engine; see scripts/engine.sh"
mkdir -p "$cache/images"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for name in "$@"; do
  image=$(image "$name")
  if [ -n "$save" ]; then
    archive=$cache/images/$name.tar
    id=$(docker image inspect --format '{{.Id}}' "$image")
    if [ ! -f "$archive" ] || [ "$(cat "$archive.id" 2>/dev/null)" != "$id" ]; then
      docker save --output "$archive.part" "$image"
      mv "$archive.part" "$archive"
      echo "$id" >"$archive.id"
    fi
    echo "$archive"
  else
    echo "$image"
  fi
done
