#!/bin/sh
# The one command: secrets, images, databases, and Airflow with two Celery workers and MLflow.
set -eu
cd "$(dirname "$0")"
sh secrets.sh
docker compose up --build --detach --wait
echo "Airflow: http://127.0.0.1:8080 (user admin, password AIRFLOW_ADMIN_PASSWORD in docker/.env)"
echo "MLflow:  http://127.0.0.1:5000"
