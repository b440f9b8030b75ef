"""From a folder or a bucket of images to batches of tensors: sources, manifest, shards, pipeline."""
