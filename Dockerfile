# Airflow with this project inside; every component of docker-compose.yml runs from it.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential dumb-init \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/conversions
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY etl etl
COPY schemas schemas
RUN pip install --no-cache-dir --no-index --no-deps --no-build-isolation --editable .

COPY dags dags
COPY sample_data sample_data
COPY imports.yaml .

ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/conversions/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES=sdk_key,webhook_token \
    CONVERSIONS_CONFIG=/opt/conversions/imports.yaml \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 50000 airflow \
    && mkdir -p /opt/airflow/logs /opt/conversions/var \
    && chown -R airflow /opt/airflow /opt/conversions/var
USER airflow

ENTRYPOINT ["dumb-init", "--"]
CMD ["airflow", "version"]
