# syntax=docker/dockerfile:1.7
# MLflow's server with a PostgreSQL driver, for compose.yaml.
FROM python:3.12-slim
COPY constraints.txt /opt/constraints.txt
RUN pip install --no-cache-dir --constraint /opt/constraints.txt mlflow psycopg2-binary==2.9.11 flask-wtf \
    && useradd --uid 50000 --gid 0 --create-home mlflow \
    && install --directory --owner 50000 --group 0 /mlartifacts
USER 50000
