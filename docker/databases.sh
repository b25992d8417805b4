#!/bin/sh
# Make the databases of MLflow and of this provider's store, each with a user of its own. Runs once,
# when the volume is new.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set mlflow="$MLFLOW_DB_PASSWORD" --set store="$AI_STORE_PASSWORD" <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE DATABASE mlflow OWNER mlflow;
CREATE ROLE airflow_ai LOGIN PASSWORD :'store';
CREATE DATABASE airflow_ai OWNER airflow_ai;
SQL
