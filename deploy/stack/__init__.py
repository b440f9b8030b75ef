"""PostgreSQL, S3, MLflow, Prefect and a worker as processes of this machine: ``python -m deploy.stack start``."""
