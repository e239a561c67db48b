"""One Airflow DAG per import of imports.yaml; `etl.airflow.import_dag` draws its graph."""

from pathlib import Path

from etl.airflow import dags, parse

globals().update(dags.imports(parse.file_beside(Path(__file__).absolute().parent)))
