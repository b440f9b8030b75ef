"""Flows with scikit-learn's face: anyone's arrays, anyone's simulator."""
