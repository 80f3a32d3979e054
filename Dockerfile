# One image for all processes: twtr api, twtr worker DOMAIN, twtr migrate, twtr wait.
# `make docker-build` builds it for this machine, `make docker-build-push` for amd64 and arm64.

# Arguments, so that it can be built from a mirror of the images.
ARG BUILD_IMAGE=golang:1.26.8-alpine3.24@sha256:8ac98ca534ac3f51e1f420a1dd2c15e74c75cfa0f23f3ad27eb5d7236c349a0c
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian13:nonroot@sha256:f7f8f729987ad0fdf6b05eeeae94b26e6a0f613bdf46feea7fc40f7bd72953e6

# Built on the builder's own platform: cross-compiling is faster than emulation.
FROM --platform=$BUILDPLATFORM $BUILD_IMAGE AS build
WORKDIR /src
# go.work needs dev/, which is not in the build context. The toolchain is that of this image.
ENV GOWORK=off GOTOOLCHAIN=local CGO_ENABLED=0
COPY go.mod go.sum ./
# Of a mirror of the modules; without credentials, which the provenance would have.
ARG GOPROXY=https://proxy.golang.org,direct
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=unknown
ARG REVISION=unknown
# Reproducible: the same sources give the same bytes.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION -X github.com/twtr-dev/twtr/cmd.commit=$REVISION" -o /out/twtr ./cmd/twtr

# Has CA certificates, time zones and a user, and no shell.
FROM $RUNTIME_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
# No label with the creation time: it would change the image with each build.
LABEL org.opencontainers.image.title="twtr" \
      org.opencontainers.image.description="A Twitter-like backend on Temporal workflows" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/twtr-dev/twtr" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/twtr /usr/local/bin/twtr
# By number, so that Kubernetes can check that it is not root (runAsNonRoot).
USER 65532:65532
# Probes and metrics are on 3003, which only operators must reach; the API listens on 3002.
ENV TWTR_OPS_ADDR=:3003
EXPOSE 3002 3003
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/twtr", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/twtr"]
CMD ["api"]
