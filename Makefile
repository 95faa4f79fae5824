# The two commands: `make demo` (a clean server to a served application, in the lab) and `make test` (everything that must hold).
SHELL := bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
LAB := $(PYTHON) tests/lab/lab.py
VENV := .venv
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help demo test venv lint types unit sanity stand-in molecule stack integration campaigns bench lab-build lab-up lab-down clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## From this clone to a served application in the lab
	@$(PYTHON) tests/stages.py demo \
		"tools=$(MAKE) venv" \
		"lab=$(LAB) up" \
		"deploy=ansible-playbook deploy-stack.yml -i inventory/lab -e stack_confirm=false" \
		"look=$(VENV)/bin/python tests/lab/show.py"

test: ## Everything that must hold
	@$(PYTHON) tests/stages.py test \
		"tools=$(MAKE) venv" \
		"lint=$(MAKE) lint" \
		"types=$(MAKE) types" \
		"unit=$(MAKE) unit" \
		"sanity=$(MAKE) sanity" \
		"bundle=$(LAB) build" \
		"stand-in=$(MAKE) stand-in" \
		"molecule=$(MAKE) molecule" \
		"stack=$(MAKE) stack" \
		"integration=$(MAKE) integration"

$(VENV)/.complete: requirements/dev.txt
	@$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	touch $@

venv: $(VENV)/.complete ## The development environment, pinned

lint: ## ansible-lint (profile production), yamllint, ruff
	@ruff check .
	ruff format --check .
	ansible-lint --offline

types: ## mypy --strict on plugins/
	@mypy -p ansible_collections.railiance.stack.plugins

unit: ## Unit tests
	@python -m pytest

sanity: ## ansible-test sanity on a built and installed copy
	@tests/sanity/run

stand-in: ## Go tests of the lab's k3s stand-in
	@cd tests/lab/k3s && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-trimpath go test -mod=readonly -tags providerless ./...

molecule: ## The roles of S1 on clean containers
	@molecule test --scenario-name s1_host

stack: ## The whole stack on a fresh lab server: deploy, look, repeat, drift, the other ways to run
	@$(LAB) up --fresh
	python -m pytest tests/stack -x -s --durations=0

integration: ## Each module against the real thing, on the converged lab server
	@python -m pytest tests/integration -n 2 --dist loadfile -vv --durations=25

campaigns: ## Kills, faults and load, bounded in count and time (CAMPAIGN=name runs one of them)
	@python -m pytest tests/campaigns/$(if $(CAMPAIGN),test_$(CAMPAIGN).py) -s --durations=0

bench: ## Paired timings against the alternatives (BENCH=name runs one of them)
	@python tests/bench/bench.py $(BENCH)

lab-build: ## The lab's bundle, from package registries into the cache
	@$(LAB) build

lab-up: ## A clean server and the services beside it
	@$(LAB) up

lab-down: ## Remove this checkout's lab
	@$(LAB) down

clean: ## Remove what the tools left in this checkout
	@rm -rf $(VENV) .ansible .cache .mypy_cache .pytest_cache .ruff_cache
