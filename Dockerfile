# The tag of both images is Debian 12, so that the C library of the one fits the other.
FROM docker.io/library/rust:1.95-slim-bookworm AS builder
WORKDIR /build

# What `gateway version` and the log call this build, such as a commit.
ARG GATEWAY_BUILD=dev

COPY . .
RUN cargo build --release --locked --bin gateway \
 && mkdir -p /out/conf \
 && cp target/release/gateway /out/gateway


# C library, certificates of public authorities, time zones; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12
COPY --from=builder /out/ /

# Numeric, so that Kubernetes can check `runAsNonRoot`. Nothing is ever written to a file system.
USER 65532:65532
WORKDIR /conf
EXPOSE 8080
STOPSIGNAL SIGTERM

# Follows COUPER_DEFAULT_PORT and COUPER_HEALTH_PATH.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/gateway", "healthcheck"]

# Reads /conf/couper.hcl; COUPER_FILE and COUPER_FILE_DIRECTORY name others.
ENTRYPOINT ["/gateway"]
CMD ["run"]
