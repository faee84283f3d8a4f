# SPDX-License-Identifier: Apache-2.0
# The launcher image: one static program. An init container copies it into each step's pod.
#   cmake --preset release && cmake --build --preset release --target rondo-launcher
#   docker build -f contrib/images/launcher.Dockerfile -t rondo-launcher:0.1.0 build/release
FROM scratch
COPY --chmod=0755 rondo-launcher /rondo-launcher
USER 65532:65532
ENTRYPOINT ["/rondo-launcher"]
