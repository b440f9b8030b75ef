"""Where the pipeline runs: images, the compose stack, work-pool templates, AWS Batch, a stack without Docker."""
