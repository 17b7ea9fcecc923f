# A peer in a container: `docker build -t plora:peer .` (target `peer`, without torch) or `--target lab` (with torch).
#   docker run --rm -v plora:/data plora:peer plora init --name ada --listen 0.0.0.0:4700
#   docker run -d --name ada -p 4700:4700 -v plora:/data plora:peer
#   docker exec ada plora status
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Further options of pip: an index, or a folder of wheels that is mounted into the build (`--no-index --find-links /wheels`).
ARG PIP_OPTIONS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PATH=/opt/plora/bin:$PATH
RUN python3 -m venv /opt/plora
WORKDIR /src
COPY . .
# shellcheck disable=SC2086 # the options are several words
RUN python -m pip install -q $PIP_OPTIONS -c constraints.txt .

FROM build AS build-lab
# PIP_OPTIONS names PyTorch's index of CPU wheels (`--extra-index-url …`); without it pip brings the CUDA build.
# shellcheck disable=SC2086
RUN python -m pip install -q $PIP_OPTIONS -c constraints.txt '.[lab]'

FROM ${BASE_IMAGE} AS runtime
RUN useradd --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin plora \
 && install -d -o plora -g plora -m 0700 /data
ENV PATH=/opt/plora/bin:$PATH PLORA_HOME=/data PYTHONUNBUFFERED=1
COPY deploy/init-swarm /usr/local/bin/
WORKDIR /data
VOLUME /data
EXPOSE 4700
USER 10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["plora", "status", "--quiet"]
CMD ["plora-node", "--config", "/data/peer.yaml"]

FROM runtime AS lab
COPY --from=build-lab /opt/plora /opt/plora

# The last target is the one that is built when none is named.
FROM runtime AS peer
COPY --from=build /opt/plora /opt/plora
