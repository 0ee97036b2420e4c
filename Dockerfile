# syntax=docker/dockerfile:1
# Two stages: one that builds, one that holds the program and nothing that builds.
#
# docker build -t vestibule .
# docker run --read-only --tmpfs /tmp -v "$PWD/site:/etc/vestibule:ro" -v vestibule-data:/var/lib/vestibule \
#     -p 443:8443 -p 80:8080 vestibule

FROM rust:1.95-slim-bookworm AS build
# The suite's newest patch of each: what is pinned is what misses the fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential cmake python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && install -D target/release/vestibule /out/vestibule

FROM debian:bookworm-slim
# ca-certificates: for backends, Redis and PostgreSQL that are reached over TLS with public names.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/vestibule --shell /usr/sbin/nologin vestibule \
    && install -d -o vestibule -g vestibule -m 0700 /var/lib/vestibule
COPY --from=build /out/vestibule /usr/local/bin/vestibule
COPY gateway.toml /etc/vestibule/gateway.toml
COPY policies /etc/vestibule/policies
COPY tools/healthy /usr/local/bin/healthy

# By number, so that an orchestrator can see that it isn't root.
USER 10001:10001
WORKDIR /var/lib/vestibule
# All that is written goes here; the rest of the file system may be read-only.
VOLUME /var/lib/vestibule
ENV VESTIBULE_STORE__DATA_DIR=/var/lib/vestibule/data \
    VESTIBULE_STORE__DIRECTORY=sqlite:/var/lib/vestibule/vestibule.db \
    VESTIBULE_STORE__MASTER_KEY__FILE=/var/lib/vestibule/data/master.key
EXPOSE 8443 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["/usr/local/bin/healthy"]
ENTRYPOINT ["/usr/local/bin/vestibule"]
CMD ["run", "--config", "/etc/vestibule/gateway.toml"]
