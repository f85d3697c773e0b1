# orchard's commands. `make reproduce` and `make test` make the environment first if need be.
VENV ?= .venv
PYTHON ?= python3
WORKERS ?= 2
VLLM ?= .venv-vllm
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
# As they were given: recipes read them from the environment, so that neither make nor a shell takes them for code.
override REMOTE := $(value REMOTE)
override TAG := $(value TAG)
override WORKERS := $(value WORKERS)
export REMOTE TAG WORKERS

.PHONY: reproduce test lint verify plan publish remote share release games cluster vllm merge-driver own-cache

reproduce: $(VENV)/.made ## runs the study in config.yaml to its report
	snakemake --cores all
	@echo "The report: results/report/index.html"

test: $(VENV)/.made cluster lint ## passes the tests, WORKERS files at a time
	pip install --quiet --no-deps --requirement requirements-tests.lock
	python -m pytest -q --durations=10 --numprocesses "$$WORKERS" --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.made
	ruff check src tests benchmarks
	ruff format --check src tests benchmarks
	snakefmt --check Snakefile rules

verify: $(VENV)/.made ## prints which outputs in dvc.lock are not what code and study make; needs no data
	@orchard verify

plan: $(VENV)/.made ## prints what a run would do with each stage, and about how long it takes
	@orchard plan

games: $(VENV)/.made ## installs the games of reasoning-gym (needs a C compiler and Python's headers)
	pip install --quiet --no-deps --requirement requirements-games.lock

cluster: $(VENV)/.made ## installs Slurm's executor and DVC's remotes over SSH and S3
	pip install --quiet --no-deps --requirement requirements-cluster.lock

publish: $(VENV)/.made ## puts the findings of the run in results/ into docs/ and the README
	orchard publish

remote: ## make remote REMOTE=<folder, ssh:// or s3:// URL>: names the DVC remote
	@orchard remote -- "$$REMOTE"

share: $(if $(REMOTE),remote) ## pushes every output to the DVC remote; with REMOTE=<URL> names it first
	@orchard share

release: ## make release TAG=<name>: pushes the outputs, tags the commit, packs the report
	@orchard release -- "$$TAG"

vllm: $(VLLM)/.made ## makes an environment of its own for the engine vllm, for CPUs

merge-driver: ## lets git merge dvc.lock stage by stage in this clone; part of making the environment
	@test ! -e .git || git config merge.dvc-lock.driver "$(BIN)/python -m orchard merge-lock %O %A %B"

own-cache: ## keeps DVC's list of hashes in your own folder in this clone, also where you call `dvc` yourself
	@umask 077; dvc config --local core.site_cache_dir "$${XDG_CACHE_HOME:-$$HOME/.cache}/orchard/dvc/$$(uname -n)"

$(VENV)/.made: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(MAKE) merge-driver own-cache
	touch $@

$(VLLM)/.made: requirements-vllm.lock
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --no-deps --requirement requirements-vllm.lock
	touch $@
