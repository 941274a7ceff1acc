# `bovw serve` from the wheel, as a user without rights. The project's tests do not build this: its machines have no
# Docker. They read it with hadolint, and run the command and the health check outside a container.
#
#     scripts/make-package && docker build -t bovw .
#     docker run --rm -v "$PWD:/photos" bovw index /photos --index /photos/index.bovw
#     docker run --rm -p 127.0.0.1:8717:8717 -e BOVW_TOKEN -v "$PWD:/photos:ro" bovw
FROM python:3.13-slim-bookworm AS install
# without video, whose decoders are by far the largest: see SECURITY.md
ARG EXTRAS=serve,heic
COPY dist/bovw-*.whl /tmp/
RUN python -m venv /opt/bovw \
    && /opt/bovw/bin/pip install --no-cache-dir "bovw[$EXTRAS] @ file://$(ls /tmp/bovw-*.whl)"

FROM python:3.13-slim-bookworm
# what OpenCV needs of the system; the newest of the release, for its security updates
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home bovw
COPY --from=install /opt/bovw /opt/bovw
ENV PATH=/opt/bovw/bin:$PATH \
    BOVW_HOST=0.0.0.0 \
    BOVW_PORT=8717 \
    BOVW_INDEX=/photos/index.bovw
USER 1000
WORKDIR /photos
EXPOSE 8717
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['BOVW_PORT'] + '/api/v1/healthz', timeout=4)"]
ENTRYPOINT ["bovw"]
CMD ["serve"]
