"""What only Airflow needs: the bodies of the DAGs' tasks, secrets from connections, pools, the demo and `make airflow`.

The only folder of `etl` that imports Airflow, and then inside functions or in modules that nothing else imports.
"""
