# The image of ./dev image for those who build with Docker: the same files, user, entry point and labels, made by the same script.
#
#   docker build -t ringway:dev --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git log -1 --format=%cI)" .
#   docker run --rm -v "$PWD/manifests/demo:/manifests:ro" -p 8080:8080 ringway:dev run /manifests
#
# A pod chooses the program by `command: ["ringway-proxy"]` or `command: ["ringway-controller"]`.
FROM debian:12 AS build
WORKDIR /src
COPY . .
RUN ./dev image --rootfs /image

FROM scratch
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="ringway" \
      org.opencontainers.image.description="Kubernetes ingress proxy on io_uring: ringway-proxy, ringway-controller, ringway" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Ringway"
COPY --from=build /image/ /
ENV PATH=/usr/local/bin
WORKDIR /
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/ringway"]
