"""Runs that are repeated by hand, beside the pipeline."""
