# One image for all parts of Autopilot: the seven services, `init`, `admin` and the command line.
# Without a network: see infra/docker/offline/README.md.

FROM python:3.12-slim AS packages
ARG OFFLINE=false
WORKDIR /build
COPY requirements.lock infra/docker/offline/ ./
# hadolint ignore=SC2086
RUN python -m venv /opt/venv \
 && if [ "$OFFLINE" = true ]; then index="--no-index --find-links wheels"; else index=""; fi \
 && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check $index \
    --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY autopilot autopilot
COPY contracts contracts
COPY libs libs
COPY loadtest loadtest
COPY services services
RUN mkdir /opt/autopilot && cp -a autopilot contracts libs loadtest services pyproject.toml README.md /opt/autopilot/ \
 && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps \
    --no-index --editable /opt/autopilot \
 && /opt/venv/bin/python -m compileall -q /opt/autopilot

FROM python:3.12-slim
ARG OFFLINE=false
# git serves repositories; bubblewrap is the sandbox that is preferred where it runs.
COPY infra/docker/offline/ /offline/
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN if [ "$OFFLINE" = true ]; then dpkg --install /offline/debs/*.deb >/dev/null; else \
      apt-get update && apt-get install --yes --no-install-recommends git bubblewrap ca-certificates; \
    fi \
 && rm -rf /offline /var/lib/apt/lists/* \
 && groupadd --gid 10001 autopilot \
 && useradd --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin autopilot
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/autopilot /opt/autopilot
COPY examples /opt/autopilot/examples
COPY infra/postgres /opt/autopilot/infra/postgres
COPY infra/docker/ready.py /opt/autopilot/ready.py
# Named volumes take owner and mode from here when they are made.
RUN for part in scheduler stage-runner gate resolution alerting cleanup dashboard postgres monitoring cli; do \
      install -d -o autopilot -g autopilot -m 0700 "/state/parts/$part"; \
    done \
 && install -d -o autopilot -g autopilot -m 0700 /state/secrets /state/nats /state/prometheus \
    /state/alertmanager /state/journal /secrets /data /scratch /repos
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1 PYTHONUTF8=1 PYTHONDONTWRITEBYTECODE=1 \
    TZ=UTC LANG=C.UTF-8 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
CMD ["autopilot", "--help"]
