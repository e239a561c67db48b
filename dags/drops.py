"""One Airflow DAG for dropped files; `etl.airflow.drops_dag` draws its graph."""

from pathlib import Path

from etl.airflow import dags, parse

globals().update(dags.drops(parse.file_beside(Path(__file__).absolute().parent)))
