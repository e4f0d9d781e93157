# syntax=docker/dockerfile:1
# The worker's image: slim, not root, nothing writable but /tmp, no compiler. Packages are those of
# the lock files, checked by hash, so that the same commit gives the same image:
#   docker build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) -t ledger-worker:0.1.0 .
# The hot modules are compiled (setup.py). Plain Python instead: --build-arg WORKER_COMPILED=
ARG PYTHON=python:3.11.14-slim-bookworm
ARG COMPILER=python:3.11.14-bookworm

FROM ${COMPILER} AS wheel
ARG SOURCE_DATE_EPOCH=0
ARG WORKER_COMPILED=1
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/build
COPY requirements-build.lock ./
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY setup.py pyproject.toml README.md ./
COPY schemas ./schemas
COPY topics ./topics
COPY worker ./worker
RUN WORKER_COMPILED=${WORKER_COMPILED} /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM ${PYTHON} AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
RUN python -m venv /opt/worker
COPY requirements-image.lock ./
RUN /opt/worker/bin/pip install --require-hashes --only-binary :all: -r requirements-image.lock
COPY --from=wheel /wheel /wheel
RUN /opt/worker/bin/pip install --no-deps --no-index /wheel/*.whl \
 && /opt/worker/bin/pip uninstall --yes pip setuptools wheel \
 && /opt/worker/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/worker/lib

FROM ${PYTHON}
LABEL org.opencontainers.image.title="ledger-worker" \
      org.opencontainers.image.description="Stripe and wallet events from Kafka become TigerBeetle transfers"
RUN groupadd --gid 10001 worker \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin worker \
 && python -m pip uninstall --yes pip
COPY --from=build /opt/worker /opt/worker
ENV PATH=/opt/worker/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('LEDGER_WORKER_HTTP__PORT', '9464') + '/livez', timeout=4)"]
ENTRYPOINT ["ledger-worker"]
CMD ["run"]
