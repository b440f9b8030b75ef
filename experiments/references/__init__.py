"""Posterior samples by other methods than ours, which the applications are judged against."""
