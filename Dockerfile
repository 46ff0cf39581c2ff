# vstar in a container. On CPUs:
#
#   docker build -t vstar .
#
# On NVIDIA GPUs (both images of one CUDA release and one Ubuntu; the compute capability is that of the card):
#
#   docker build -t vstar-cuda --build-arg FEATURES=cuda --build-arg CUDA_COMPUTE_CAP=90 \
#       --build-arg BUILDER=nvidia/cuda:13.0.2-devel-ubuntu24.04 --build-arg BASE=nvidia/cuda:13.0.2-runtime-ubuntu24.04 .

# The image that compiles. Its C library may not be newer than that of BASE.
ARG BUILDER=rust:1.95-bookworm
# The image that the program runs in.
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
# Features beyond the default ones, separated by commas.
ARG FEATURES=""
# Needed by FEATURES=cuda alone: no card is visible during a build, so its kind has to be said.
ARG CUDA_COMPUTE_CAP=""
WORKDIR /src
# An image without Rust gets the version that Cargo.toml declares; it has to offer rustup as a package (Ubuntu 24.04, Debian 13).
COPY Cargo.toml ./
RUN command -v cargo > /dev/null || { \
        apt-get update \
        && apt-get install -y --no-install-recommends build-essential ca-certificates pkg-config rustup \
        && rm -rf /var/lib/apt/lists/* \
        && rustup set profile minimal \
        && rustup default "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"; \
    }
COPY . .
RUN if [ -n "$CUDA_COMPUTE_CAP" ]; then export CUDA_COMPUTE_CAP; else unset CUDA_COMPUTE_CAP; fi \
    && cargo build --release --locked --bin vstar --features "$FEATURES" \
    && install -D -m 0755 target/release/vstar /out/vstar

FROM ${BASE}
# /work is for data and runs, /hf for the cache of models and data sets from the hub.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 vstar \
    && install -d -o vstar -g vstar /work /hf
COPY --from=build /out/vstar /usr/local/bin/vstar
ENV HF_HOME=/hf
USER vstar
WORKDIR /work
ENTRYPOINT ["vstar"]
