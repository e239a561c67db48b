"""Airflow on this machine, without a server of anybody's: the demo and `make airflow`."""
