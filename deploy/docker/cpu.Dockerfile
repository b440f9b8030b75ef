# The pipeline on CPUs; also what serves MLflow and Prefect in deploy/compose.yaml. Built in the project's folder:
#     docker build --file deploy/docker/cpu.Dockerfile --build-arg COMMIT=$(git rev-parse HEAD) --tag flow-models:cpu .
FROM python:3.12.12-slim-bookworm AS build
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
ENV UV_NO_CACHE=1 UV_PYTHON=/opt/venv/bin/python
WORKDIR /app
# The libraries change less often than the code: a layer of their own. The lock decides the versions, and
# pyproject.toml which of its packages are wanted, so that no linter comes along. TensorFlow's headers
# are 390 MB that only a compiler of operations would read.
COPY pyproject.toml requirements.lock ./
RUN uv venv --python /usr/local/bin/python /opt/venv \
 && uv pip install --requirements pyproject.toml --extra pipeline --extra cluster --constraint requirements.lock \
 && rm -r /opt/venv/lib/python3.12/site-packages/tensorflow/include
COPY README.md LICENSE ./
COPY src src
RUN uv pip install --no-deps --no-build-isolation --editable .

FROM python:3.12.12-slim-bookworm
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="flow-models" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.licenses="MIT"
# There is no git here: what asks for the commit finds it in FLOW_MODELS_COMMIT, and DVC is told below.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FLOW_MODELS_COMMIT=${COMMIT} \
    GIT_PYTHON_REFRESH=quiet \
    DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
RUN useradd --uid 1000 --create-home flow && install --directory --owner flow /app
COPY --from=build /opt/venv /opt/venv
USER 1000
WORKDIR /app
COPY --chown=1000 . .
# The folders that volumes are laid over exist, or Docker would give them to root.
RUN dvc config --local core.no_scm true && mkdir -p .dvc/cache checkpoints data
CMD ["dvc", "repro"]
