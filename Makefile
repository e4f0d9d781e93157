# The commands to begin with are `make demo`, `make dev` and `make test`. They need Python 3.11 or
# newer, and nothing else.
# Everything is installed into .venv from the pinned, hashed lock files.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo dev site test lint format bench profile chaos mutants compiled can-compile docs helm lock audit sbom clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python

help:
	@echo 'make demo    generated Stripe traffic through the whole worker, in under a minute'
	@echo 'make dev     a running worker on an embedded broker and ledger, with pages, until Ctrl-C'
	@echo 'make test    every test that this machine can run; what is missing is named'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   benchmarks on real servers: BENCH_ARGS=--help'
	@echo 'make profile where the CPU goes, without servers'
	@echo 'make chaos   faults on real servers: CHAOS_ARGS=--help'
	@echo 'make mutants puts small mistakes into the code and counts those that no test sees:'
	@echo '            MUTANTS_ARGS=--help; goes on where the last run ended'
	@echo 'make fuzz    hostile records on real servers: FUZZ_ARGS=--help'
	@echo 'make compiled  the hot modules as C, as images have them; COMPILED=1 makes test and chaos'
	@echo '            use them. bench and profile do where there is a C compiler; COMPILED= is plain'
	@echo 'make docs    docs/configuration.md from the settings, the table of the chart's values'
	@echo 'make site    README and docs as one site with search, which loads nothing from elsewhere'
	@echo 'make helm    builds Helm with Go, for the tests of the chart'
	@echo 'make lock    pin the newest versions that pyproject.toml allows'
	@echo 'make audit   known weaknesses of the packages in the image'
	@echo 'make sbom    sbom.cdx.json: what is in the image'

# What is compiled lies in a folder of its own: no edit is ever shadowed by what was built before it.
C_DIR := .cache/compiled
# Is there a C compiler, and are Python's headers? `make can-compile` answers by its exit status.
CAN_COMPILE := command -v cc >/dev/null && $(or $(wildcard $(BIN)/python),python3) -c 'import os, \
  sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
ifneq ($(filter bench profile,$(MAKECMDGOALS)),)
COMPILED ?= $(shell $(CAN_COMPILE) && echo 1)
endif
ifneq ($(strip $(COMPILED)),)
KIND := $(C_DIR)/stamp
RUN := WORKER_COMPILED=1 PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(C_DIR):$(CURDIR) $(BIN)/python
else
RUN := $(BIN)/python
endif

demo: $(VENV)/demo.stamp
	@$(BIN)/ledger-worker demo

dev: $(VENV)/dev.stamp
	@$(BIN)/ledger-worker dev

test: $(VENV)/dev.stamp $(KIND)
	@$(RUN) -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/dev.stamp $(KIND)
	@$(RUN) -m bench $(BENCH_ARGS)

profile: $(VENV)/dev.stamp $(KIND)
	@$(RUN) -m bench.offline

chaos: $(VENV)/dev.stamp $(KIND)
	@$(RUN) -m tests.chaos $(CHAOS_ARGS)

fuzz: $(VENV)/dev.stamp $(KIND)
	@$(RUN) -m tests.fuzz $(FUZZ_ARGS)

mutants: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.mutants $(MUTANTS_ARGS)

compiled: $(C_DIR)/stamp
can-compile:
	@$(CAN_COMPILE)
$(C_DIR)/stamp: setup.py pyproject.toml $(shell find worker -name '*.py') | $(VENV)/dev.stamp
	@echo 'compiling; this takes a minute'
	@rm -rf $(C_DIR) && mkdir -p $(C_DIR)
	@WORKER_COMPILED=1 $(BIN)/python -W ignore setup.py --quiet build --build-lib $(C_DIR) \
	  >.cache/compiled.log 2>&1 || { cat .cache/compiled.log >&2; exit 1; }
	@touch $@

docs: $(VENV)/demo.stamp
	@$(BIN)/python -m worker.config.settings_page > docs/configuration.md
	@$(BIN)/python -m tests.deploy.values_table

# The README and docs/ keep their places, so that the links between them lead on.
SITE := .cache/site-sources
site: $(VENV)/dev.stamp
	@rm -rf $(SITE) && mkdir -p $(SITE)
	@cp README.md $(SITE)/index.md && cp CHANGELOG.md $(SITE)/ && cp -r docs $(SITE)/docs
	@$(BIN)/mkdocs build --quiet --clean
	@echo 'the documentation is in .cache/site; with its search:' \
	  '$(BIN)/python -m http.server --directory .cache/site'

# From an empty cache of Go two to four minutes, once.
HELM := v3.19.5
helm: .cache/bin/helm
.cache/bin/helm:
	@GOBIN=$(CURDIR)/.cache/bin go install helm.sh/helm/v3/cmd/helm@$(HELM)

# The virtual environment, from the first Python that is new enough and can make one.
$(BIN)/python:
	@for python in $(PYTHON) $(CANDIDATES); do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv --clear $(VENV) && exit 0; \
	  echo 'this Python cannot make virtual environments: install its venv package' \
	    '(Debian, Ubuntu: apt-get install python3-venv)' >&2; \
	done; \
	rm -rf $(VENV); \
	echo 'Python 3.11 or newer with venv is needed; name one with make PYTHON=…' >&2; exit 1

# setuptools comes from the lock too, so that nothing unpinned is fetched to build the package. It
# warns of every editable installation.
EDITABLE := PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation -e .
$(VENV)/demo.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo 'installing what the worker needs'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(EDITABLE)
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo 'installing what the worker and its tests need'
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(EDITABLE)
	@touch $@ $(VENV)/demo.stamp

# Hashes of every platform's files, and no address: they come from wherever pip is told to look.
LOCK := CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --upgrade --strip-extras \
  --allow-unsafe --generate-hashes --build-deps-for editable --no-emit-options \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# Every command works in the image: the chart's jobs reconcile there, and it serves, syncs and feeds.
IMAGE := --extra tigerbeetle --extra registry --extra reconcile --extra serve --extra sync \
  --extra feed
lock: $(VENV)/dev.stamp
	@$(LOCK) --output-file requirements.lock pyproject.toml
	@$(LOCK) $(IMAGE) --constraint requirements.lock \
	  --output-file requirements-image.lock pyproject.toml
	@$(LOCK) $(IMAGE) --extra dev --constraint requirements-image.lock \
	  --output-file requirements-dev.lock pyproject.toml
	@$(LOCK) $(IMAGE) --extra build --constraint requirements-dev.lock \
	  --output-file requirements-build.lock pyproject.toml
	@$(LOCK) --output-file .ci/uv.lock .ci/uv.in

audit: $(VENV)/dev.stamp
	@$(BIN)/python .ci/supply_chain.py audit

sbom: $(VENV)/dev.stamp
	@$(BIN)/python .ci/supply_chain.py sbom sbom.cdx.json

clean:
	@rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
