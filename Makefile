# `make` or `make help` explains itself. Everything lands in this folder; delete it and nothing is left.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc/tmp/site
export KERAS_HOME := $(CURDIR)/.cache/keras
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib

.DEFAULT_GOAL := help
.PHONY: help env demo test lint format unit lock clean stack stack-stop nightly faults

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

env: $(READY) ## Create the environment in .venv/ from requirements.lock

$(READY): requirements.lock pyproject.toml
	@echo "Creating .venv/ from requirements.lock: some three minutes and 4 GB"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Flow Models needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 …" >&2; exit 2; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@# What is imported Python compiles then; to compile all of it takes as long as to unpack it.
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## From nothing to a registered champion and a report, on the embedded data
	@flow-models data demo
	@dvc repro register@image_anomaly
	@flow-models report

test: lint unit ## Lint, types and all tests

unit: $(READY) # the tests alone
	@python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

lint: $(READY) ## Ruff and mypy, as pre-commit and CI run them
	@ruff check
	@ruff format --check
	@mypy

format: $(READY) ## Let ruff mend what it can
	@ruff check --fix
	@ruff format

lock: ## Pin anew what pyproject.toml allows (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header \
	  --extra pipeline --extra dev pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --python-platform x86_64-manylinux_2_28 --python-version 3.12 --no-emit-index-url --no-header \
	  --constraint requirements.lock --extra pipeline --extra cluster --extra gpu pyproject.toml --output-file deploy/docker/gpu.lock

stack: $(READY) ## PostgreSQL, S3, MLflow, Prefect and a worker on this machine, without Docker
	@python -m deploy.stack start $(STACK_OPTIONS)

stack-stop: $(READY) ## End them
	@python -m deploy.stack stop

nightly: $(READY) ## Some nights of retraining on those servers, told as they go: new images, poison, noise
	@python -m tests.system.nightly --pictures docs/pictures

faults: $(READY) ## Kill a worker and take servers away while they work, ten times each; hours
	@python -m tests.system.faults $(FAULTS_OPTIONS)

clean: ## Remove what the pipeline made; the environment, the data and the registry stay
	rm -rf checkpoints models prepared reports
