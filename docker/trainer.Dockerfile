# syntax=docker/dockerfile:1.7
# What a training runs in when it runs in a pod: the training code and what it imports, no Airflow.
# Two variants with one entry point; the CPU's is the default:
#
#   docker build -f docker/trainer.Dockerfile --target cpu -t trainer .
#   docker build -f docker/trainer.Dockerfile --target cuda -t trainer:cuda .
#   docker run --rm trainer handwritten_digits.pipeline:train_pilot --arguments '{"candidate": ...}'
#
# In your own project replace dags/ by your training code, and REQUIREMENTS by what it imports; code
# that imports nothing of airflow_ai_provider needs of it only the one file trainer.py.
ARG PYTHON_VERSION=3.12
ARG CUDA_VERSION=13.0.1

FROM nvidia/cuda:${CUDA_VERSION}-runtime-ubuntu24.04 AS cuda-base
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv

FROM python:${PYTHON_VERSION}-slim AS cpu-base
RUN python -m venv /opt/venv

FROM cpu-base AS cpu
ARG REQUIREMENTS="mlflow scikit-learn pandas pyarrow duckdb pyyaml rfc8785"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/trainer PYTHONUNBUFFERED=1
COPY constraints.txt /opt/trainer/constraints.txt
# hadolint ignore=DL3013,SC2086
RUN pip install --no-cache-dir --constraint /opt/trainer/constraints.txt ${REQUIREMENTS}
COPY dags /opt/trainer
COPY airflow_ai_provider /opt/trainer/airflow_ai_provider
RUN useradd --uid 50000 --gid 0 --create-home trainer
USER 50000
ENTRYPOINT ["python", "-m", "airflow_ai_provider.trainer"]

FROM cuda-base AS cuda
ARG REQUIREMENTS="mlflow scikit-learn pandas pyarrow duckdb pyyaml rfc8785"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/trainer PYTHONUNBUFFERED=1
COPY constraints.txt /opt/trainer/constraints.txt
# hadolint ignore=DL3013,SC2086
RUN pip install --no-cache-dir --constraint /opt/trainer/constraints.txt ${REQUIREMENTS}
COPY dags /opt/trainer
COPY airflow_ai_provider /opt/trainer/airflow_ai_provider
RUN useradd --uid 50000 --gid 0 --create-home trainer
USER 50000
ENTRYPOINT ["python", "-m", "airflow_ai_provider.trainer"]
