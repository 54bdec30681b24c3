# Wardian: how it is built, tested, measured and shown. `make help` lists the targets.
SHELL := /bin/sh
VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python
# Programs that tools/setup unpacked stand beside Python in .venv; Debian keeps nft and ip in /usr/sbin.
export PATH := $(VENV)/bin:$(PATH):/usr/sbin:/sbin
LAUNCHER := src/wardian/_bin/wardian-launcher
PEER_DOCKER ?= /var/tmp/wardian-newest/docker.sock

.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint soak bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## bring Debian's packages and .venv (nothing is done when all is there)
	@tools/setup

build: setup $(LAUNCHER) ## compile the launcher into the package, and Python's byte code, which not every environment lets it keep
	@$(PY) -m compileall -q -j 0 src/wardian

$(LAUNCHER): $(wildcard launcher/*.c launcher/*.h) hatch_build.py | setup
	@$(PY) hatch_build.py

demo: build ## start an engine in a home of its own, run containers that show what they are, clean up
	@$(PY) tools/demo.py

test: build ## linters, unit, integration, client and security tests in two processes, then the leak check (root; under 10 minutes)
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not soak' -q --continue-on-collection-errors $(TESTS)

lint: build ## ruff, mypy --strict, import-linter, generated files
	@$(PY) -m pytest -q tests/unit/test_house.py

soak: build ## what takes long or needs the peers (a newer Docker, an older kernel); writes docs/soak.md
	@tools/setup soak
	@report=$$(mktemp); $(PY) -m pytest -m 'soak or last' -v --timeout 1200 --junitxml $$report $(TESTS); status=$$?; \
	$(PY) tools/soak_report.py --left-out "$(LEFT_OUT)" $$report; rm -f $$report; exit $$status

bench: build ## side by side with Docker (make PEER_DOCKER=SOCKET bench); see bench/README.md
	@$(PY) bench/all.py --docker $(PEER_DOCKER)

clean: ## remove what was built; .venv stays
	@rm -rf src/wardian/_bin .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
