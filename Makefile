# make            shows the targets
# Everything runs from .venv, which the first target that needs it installs from requirements.lock.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := PYTHONPATH=jobs $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: $(shell sed -nE 's/^([a-z -]+):.*## .*/\1/p' $(MAKEFILE_LIST))
.DEFAULT_GOAL := help

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## install Python packages into .venv and the jars into the cache

$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11; run make PYTHON=python3.11 (or newer)." >&2; exit 2; }
	@echo "installing Python packages into $(VENV) (once, a few minutes)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(RUN) -m fraudstream.stack fetch
	@touch $@

up: $(STAMP) ## start PostgreSQL, Kafka and Connect with the connector (CONNECTORS="transactions temperatures people", UP=--help)
	@$(RUN) -m fraudstream.stack up $(CONNECTORS:%=--connector %) $(UP)

down: $(STAMP) ## stop what up started; the data stays
	@$(RUN) -m fraudstream.stack down

status: $(STAMP) ## components, connector, slot and topics (STATUS_OPTIONS=--json for machines)
	@$(RUN) -m fraudstream.stack status $(STATUS_OPTIONS)

doctor: $(STAMP) ## what is wrong, by the names of the runbooks in docs/operations.md (DOCTOR_OPTIONS=--json for machines)
	@$(RUN) -m fraudstream.health $(DOCTOR_OPTIONS)

purge: $(STAMP) ## stop the stack and remove its data
	@$(RUN) -m fraudstream.stack purge

demo: $(STAMP) ## write, detect, check: DEMO_SECONDS=60 DEMO_RATE=2000 DEMO_PROFILE=exercise|realistic|hot
	@$(RUN) -m fraudstream.check.demo

soak: $(STAMP) ## the demo for an hour (SOAK_SECONDS=3600): does memory, lag, batch time or latency grow?
	@$(RUN) -m fraudstream.check.soak --seconds $(or $(SOAK_SECONDS),3600)

drill: $(STAMP) ## kill, freeze and spoil a pipeline under load: DRILL="--only kill_connect --rounds 3" or --full
	@$(RUN) jobs/drill_faults.py $(DRILL)

bench: $(STAMP) ## race this project and its peers on the same topics: BENCH="--only ours,streams" or --full
	@$(RUN) jobs/bench_systems.py $(BENCH)

compare: $(STAMP) ## polling, JDBC and CDC on the same rows: GRID=small (20 minutes) or full (hours)
	@$(RUN) jobs/compare_jdbc_cdc.py --grid $(or $(GRID),small)

backtest: $(STAMP) ## make 1.8 million payments with known frauds and try every rule on them
	@$(RUN) jobs/simulate_world.py --home run/world
	@$(RUN) jobs/backtest_rules.py --transactions run/world/transactions.parquet \
	  --labels run/world/labels.parquet --home run/backtest

audit: $(STAMP) ## compare database, topic, lake and alerts with each other (AUDIT="--since 1h")
	@$(RUN) jobs/audit_pipeline.py $(AUDIT)

repair: $(STAMP) ## close what the audit finds, and audit again (REPAIR="--dry-run")
	@$(RUN) jobs/repair_pipeline.py $(REPAIR)

test: $(STAMP) ## every test; each part prints its time
	@tests/run.sh lint unit spark stack

test-unit test-spark test-stack lint: $(STAMP) ## one part of the tests: plain Python, local Spark, real components, ruff and mypy
	@tests/run.sh $(subst test-,,$@)

test-secure: $(STAMP) ## the pipeline's tests, and those of who gets in, in the secured stack (STACK_PROFILE=secure)
	@STACK_PROFILE=secure tests/run.sh secure

mutants: $(STAMP) ## flip each constant and edge of the rules; every mutant must fail a named test
	@$(RUN) tests/mutants.py

new-rule: $(STAMP) ## start a rule: make new-rule NAME writes its file, its entry, a draft, and a test to fill in
	@$(RUN) -m fraudstream.rulebook.new_rule '$(NAME)'

lock: $(STAMP) ## resolve requirements.lock and conf/jars.lock anew
	@$(VENV)/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 requirements-dev.txt -o requirements.lock
	@$(RUN) -m fraudstream.stack lock

# The word behind new-rule is a name and no target.
ifeq ($(firstword $(MAKECMDGOALS)),new-rule)
NAME = $(wordlist 2,99,$(MAKECMDGOALS))
.PHONY: $(NAME)
$(foreach word,$(filter-out $(STAMP),$(NAME)),$(eval $(word): ; @:))
endif
