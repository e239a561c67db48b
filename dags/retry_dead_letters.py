"""One Airflow DAG, started by hand, that sends dead letters again; `etl.airflow.retry_dag` draws its graph."""

from pathlib import Path

from etl.airflow import dags, parse

globals().update(dags.retry(parse.file_beside(Path(__file__).absolute().parent)))
