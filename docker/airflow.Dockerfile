# syntax=docker/dockerfile:1.7
# Airflow's official image with this provider, its templates' DAGs and the extras that a fleet needs.
#
#   docker build -f docker/airflow.Dockerfile -t airflow-ai .
#   docker build -f docker/airflow.Dockerfile -t airflow-ai:3.2.2 \
#     --build-arg AIRFLOW_VERSION=3.2.2 --build-arg CONSTRAINTS=docker/constraints/3.2.2.txt .
ARG AIRFLOW_VERSION=3.3.2
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS wheel
WORKDIR /src
RUN pip install --no-cache-dir build==1.3.0 hatchling==1.27.0
COPY pyproject.toml README.md LICENSE CHANGELOG.md constraints.txt Makefile ./
COPY airflow_ai_provider airflow_ai_provider
COPY dags dags
RUN python -m build --wheel --no-isolation --outdir /wheels

FROM apache/airflow:${AIRFLOW_VERSION}-python${PYTHON_VERSION}
ARG AIRFLOW_VERSION
ARG CONSTRAINTS=constraints.txt
ARG EXTRAS=great-expectations,mlflow-skinny,kubernetes,postgres,delta
COPY --from=wheel --chown=airflow:0 /wheels /opt/airflow-ai/wheels
COPY --chown=airflow:0 ${CONSTRAINTS} /opt/airflow-ai/constraints.txt
COPY --chown=airflow:0 dags /opt/airflow/dags
# Airflow's own version is named again: pip must not trade it for another one.
RUN set -eu; wheel="$(ls /opt/airflow-ai/wheels/*.whl)"; \
    pip install --no-cache-dir --constraint /opt/airflow-ai/constraints.txt \
      "apache-airflow==${AIRFLOW_VERSION}" apache-airflow-providers-celery \
      "airflow-ai-provider[${EXTRAS}] @ file://${wheel}"; \
    pip check; \
    airflow-ai --help > /dev/null
# the official image's own user, who is not root; group 0 as OpenShift wants it
USER airflow
