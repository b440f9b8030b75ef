"""The flows that Prefect runs: order, retries and placement of the stages of dvc.yaml."""
