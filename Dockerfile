# syntax=docker/dockerfile:1
#
# Talewright in a container. How to build and run it: docs/MACHINES.md.
#
#   docker build -t talewright .
#   docker build -t talewright-cuda --build-arg BASE=nvidia/cuda:12.9.1-base-ubuntu24.04 .   any base with apt
#   docker build -t talewright-serve --target serve .   answers OpenAI's clients, with a health check
#
# torch as the package index has it brings CUDA and runs on both: a GPU needs the driver of the host (`--gpus all`). For
# a small image without CUDA, set PIP_EXTRA_INDEX_URL to PyTorch's CPU index (pytorch.org's install page names it).
ARG BASE=python:3.12-slim

FROM ${BASE} AS system
# A compiler is what torch.compile needs. Bases without Python get the distribution's, 3.11 or later.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && if ! command -v python3 > /dev/null; then \
        apt-get install --yes --no-install-recommends python3-dev python3-venv; fi \
    && rm -rf /var/lib/apt/lists/*

FROM system AS build
ARG EXTRAS=data,hf,onnx,gguf,studio
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python3 -m venv /opt/talewright
# What Talewright needs, in a layer of its own: it stays while only the code changes.
COPY pyproject.toml constraints.txt ./
COPY src/talewright/version.py src/talewright/
RUN touch README.md LICENSE && /opt/talewright/bin/pip install -c constraints.txt ".[${EXTRAS}]"
COPY README.md LICENSE ./
COPY src src
RUN /opt/talewright/bin/pip install --no-deps --force-reinstall .

FROM system AS base
COPY --from=build /opt/talewright /opt/talewright
# Home, prepared stories and downloads lie in /data, so that another --user can write them too.
ENV PATH=/opt/talewright/bin:$PATH \
    HOME=/data USER=talewright \
    TALEWRIGHT_CACHE=/data/cache HF_HOME=/data/huggingface
RUN useradd --no-create-home --home-dir /data --uid 10001 talewright \
    && mkdir -p /data /app/runs \
    && chown -R talewright /data /app
USER 10001
WORKDIR /app
VOLUME ["/data", "/app/runs"]
ENTRYPOINT ["talewright"]

FROM base AS serve
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["serve", "--host", "0.0.0.0"]

# The last stage is what `docker build` makes: any command, such as `docker run talewright demo`.
FROM base
CMD ["--help"]
