"""The smallest estimators, for tests that ask whether and not how well."""

TINY = {"layers": 2, "hidden": 8, "n_estimators": 1, "max_iter": 20, "random_state": 0}
