"""Forward models with priors: what the applications infer from. Numpy only, nothing of TensorFlow."""
