# Two targets: `peer` (the default, without torch) and `lab` (PyTorch for CPU, the experiment, and what its tests need).
#   docker build -t plora:peer . && docker compose up -d      five peers: docs/containers.md
#   make docker-build docker-dry-run docker-run               the experiment
ARG BASE_IMAGE=python:3.11-slim-bookworm

# hadolint ignore=DL3006 # the base image's version is in the argument
FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PATH=/opt/plora/bin:$PATH
RUN python3 -m venv /opt/plora
WORKDIR /experiment
COPY . .

FROM build AS build-peer
# Further options of pip: an index, or a folder of wheels that is mounted into the build (`--no-index --find-links /wheels`).
ARG PIP_OPTIONS=""
# shellcheck disable=SC2086 # the options are several words
RUN python -m pip install -q $PIP_OPTIONS -c constraints.txt '.[web]'

FROM build AS build-lab
ARG PIP_OPTIONS=""
# PyTorch's own index has its wheels for CPU; without it pip brings the CUDA build of several gigabytes on Linux.
ARG TORCH_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu"
# shellcheck disable=SC2086
RUN python -m pip install -q $PIP_OPTIONS $TORCH_OPTIONS -c constraints.txt -e '.[lab,lan,notebooks,sim,web,dev]' \
 && python -m compileall -q .

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS runtime
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin plora \
 && install -d -o plora -g plora -m 0700 /data
# Offline: a model hub is asked by `make docker-prefetch` alone.
ENV PATH=/opt/plora/bin:$PATH PLORA_HOME=/data PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
USER 10001

FROM runtime AS lab
COPY --from=build-lab /opt/plora /opt/plora
# The experiment's root: results/, out/ and keys/ are mounted into it.
COPY --from=build-lab /experiment /experiment
WORKDIR /experiment
CMD ["bash"]

# The last target is the one that is built when none is named.
FROM runtime AS peer
COPY --from=build-peer /opt/plora /opt/plora
COPY deploy/init-swarm deploy/publisher.py /usr/local/bin/
# Whatever runs here starts in the home, from which no Python may import: hence this, and -P below.
ENV PYTHONSAFEPATH=1
WORKDIR /data
VOLUME /data
EXPOSE 4700
# As members ask it, by mutual TLS with the peer's own keys; half a second of CPU time each.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s \
    CMD ["python", "-P", "-m", "plora.node.daemon.healthy", "/data/peer.yaml"]
CMD ["plora-node", "--config", "/data/peer.yaml"]
