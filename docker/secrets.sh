#!/bin/sh
# Write docker/.env with secrets of this machine's own, once; what is there is never changed.
set -eu
cd "$(dirname "$0")"
if [ -e .env ]; then
    echo "docker/.env is there already; nothing was changed."
    exit 0
fi
umask 077
secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
# Fernet keys are 32 bytes in URL-safe base 64
fernet() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
{
    echo "POSTGRES_PASSWORD=$(secret)"
    echo "MLFLOW_DB_PASSWORD=$(secret)"
    echo "AI_STORE_PASSWORD=$(secret)"
    echo "REDIS_PASSWORD=$(secret)"
    echo "AIRFLOW_JWT_SECRET=$(secret)"
    echo "AIRFLOW_API_SECRET=$(secret)"
    echo "AIRFLOW_FERNET_KEY=$(fernet)"
    echo "AIRFLOW_ADMIN_PASSWORD=$(secret)"
} > .env.partial
mv .env.partial .env
echo "docker/.env was written. Airflow's user is admin; its password is AIRFLOW_ADMIN_PASSWORD there."
