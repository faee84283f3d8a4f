# SPDX-License-Identifier: Apache-2.0
# The daemon, with the CLI. Redis is another pod's business (--redis).
#   docker build -f contrib/images/rondod.Dockerfile -t rondod:0.1.0 .
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc cmake ninja-build pkg-config libc6-dev \
    libevent-dev libyaml-dev libhiredis-dev libcurl4-openssl-dev libjansson-dev libssl-dev libarchive-dev libical-dev libpcre2-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
    && cmake --build /build --target rondod rondo rondo-launcher && DESTDIR=/out cmake --install /build

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libevent-2.1-7 libevent-openssl-2.1-7 libyaml-0-2 \
    libhiredis0.14 libcurl4 libjansson4 libssl3 libarchive13 libical3 libpcre2-8-0 ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/* && useradd --uid 65532 --user-group --home-dir /data rondo
COPY --from=build /out/usr /usr
USER 65532:65532
VOLUME /data
EXPOSE 8888
ENTRYPOINT ["/usr/bin/rondod", "--data", "/data"]
