"""Measures: numpy arrays in, numbers out, one family a file, each with its paper."""
