# A CPU:        docker build -t fastrl .
# NVIDIA cards: docker build -t fastrl:cuda --build-arg EXTRAS=cuda13,hub,export .
# Then:         docker run --rm -v "$PWD":/work fastrl run wsrl --env hopper --dataset FILE.hdf5
#               docker run --rm --gpus all -v "$PWD":/work fastrl:cuda run wsrl --env hopper --dataset FILE.hdf5
# CUDA's libraries come as Python packages: the host needs a driver for CUDA 13 and NVIDIA's container toolkit.
FROM python:3.11-slim-bookworm

ARG EXTRAS=hub,export
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir -c /src/docker/constraints.txt "/src[${EXTRAS}]" && rm -rf /src \
    && useradd --create-home --uid 1000 fastrl

USER 1000
WORKDIR /work
ENTRYPOINT ["fastrl"]
CMD ["--help"]
