"""Training as a job of AWS Batch: stack.yaml makes the place, ``python -m deploy.aws_batch`` uses it."""
