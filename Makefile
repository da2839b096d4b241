# Every target makes what it needs first: .venv, the libraries, for tests the Debian packages that they use.
# ARGS goes to the program: make test ARGS="-k cache", make run ARGS="-c my.toml".

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help man deb release run demo test test-all test-damage coverage lint bench bench-record bench-instructions bench-scale peers soak fuzz fuzz-guided test-debug sanitize clean venv dev tools

PY := .venv/bin/python
ARGS ?=
PACKETS ?= 1000000
LISTS ?= 20000
SECONDS ?= 600
DECISIONS := tests/unit/core tests/unit/wire tests/unit/fast tests/property tests/protocol tests/fuzz tests/unit/telemetry/test_metrics.py
COMPILED := tests/unit/core tests/unit/fast tests/unit/net tests/unit/upstream tests/protocol tests/property tests/fuzz
export PATH := $(PATH):/usr/sbin:/sbin

help: # in groups: `##@` begins one; bold only on a terminal
	@[ -t 1 ] && bold=1; awk -F ':.*## ' -v bold="$$bold" ' \
		/^##@ / { printf "%s%s%s%s\n", sep, bold ? "\033[1m" : "", substr($$0, 5), bold ? "\033[0m" : ""; sep = "\n" } \
		/^[a-z-]+:.*## / { printf "  make %-12s  %s\n", $$1, $$2 }' Makefile

##@ Use

run: venv ## start the resolver on 127.0.0.1:5300, metrics on 127.0.0.1:9153
	@exec $(PY) -m pdns serve $(ARGS)

demo: venv ## show it at work, with upstream, feeds and traffic of its own; needs no network
	@exec $(PY) -m pdns demo $(ARGS)

##@ Test

test: lint tools ## check the code and run the tests: a quarter of an hour on two cores
	@exec .ci/tests "not long and not matrix" $(ARGS)

test-all: lint tools ## the same, with the long suites: every pair of failing upstreams, hostile machines, other servers' answers
	@HYPOTHESIS_PROFILE=all exec .ci/tests "not matrix" $(ARGS)

coverage: dev ## which lines and branches of pdns/core and pdns/wire no test reaches: two minutes
	@$(PY) -m coverage run -m pytest -q -m "not long and not matrix" $(DECISIONS) $(ARGS)
	@exec $(PY) -m coverage report

test-damage: dev ## damage every file of the state directory in every way, while the resolver runs and while it is stopped: half an hour
	@exec .ci/tests matrix $(ARGS)

lint: dev ## check style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

##@ Measure

bench: dev ## measure a query on each path, beside the other servers that are installed: about ten minutes
	@exec $(PY) -m loadtest bench $(ARGS)

bench-record: dev ## the same, and keep the ratios in docs/performance-history.jsonl and docs/performance.md
	@exec $(PY) -m loadtest bench --record $(ARGS)

bench-scale: dev ## measure resolvers with more names, tenants and workers, and draw the curves: a quarter of an hour
	@exec $(PY) -m loadtest scale --record $(ARGS)

bench-instructions: dev ## count the instructions of a query on each path in callgrind, and keep them: a quarter of a minute
	@exec $(PY) -m loadtest instructions --record $(ARGS)

peers: ## install the servers that bench compares with (Debian packages; none of their services is left running)
	@.ci/apt-install dnsdist unbound pdns-recursor dnsmasq-base bind9 knot-resolver

soak: dev ## play a week of queries and faults in an hour: make soak ARGS="--minutes 3"
	@exec $(PY) -m loadtest soak $(ARGS)

##@ Fuzz and check memory

fuzz: dev ## look for inputs that break it, for many minutes
	@$(PY) -m tests.fuzz.hammer --packets $(PACKETS)
	@$(PY) -m tests.fuzz.parsers --inputs $(LISTS)
	@HYPOTHESIS_PROFILE=fuzz exec .ci/tests hypothesis --timeout=3600 $(ARGS)

fuzz-guided: dev ## the same, guided by what is reached (libFuzzer, needs clang): make fuzz-guided SECONDS=600
	@exec .ci/fuzz-guided $(SECONDS)

test-debug: dev ## test a compiled part that checks what it takes for granted
	@exec .ci/checked debug -m pytest $(COMPILED) $(ARGS)

sanitize: dev ## test and fuzz a compiled part that is watched by AddressSanitizer: make sanitize PACKETS=5000000
	@.ci/checked sanitize -m pytest --timeout=600 $(COMPILED) $(ARGS)
	@.ci/checked sanitize -m tests.fuzz.hammer --packets $(PACKETS)
	@.ci/checked sanitize -m tests.fuzz.http2
	@exec .ci/checked sanitize -m tests.fuzz.tlsstreams

##@ Install

man: venv ## make manual pages and shell completion, in build/manual
	@$(PY) -m deploy.manual.make build/manual
	@printf 'man -l build/manual/man1/pdns.1\n'

deb: ## make a Debian package for the release that this runs on, in dist
	@.ci/apt-install debhelper dpkg-dev gcc libc6-dev libnghttp2-dev libssl-dev python3-dev python3-venv
	@exec deploy/build-deb dist

release: ## check, build and tag a release, in dist/VERSION: make release VERSION=1.2.3
	@exec deploy/release "$(VERSION)"

##@ Tidy

clean: ## remove everything that these commands made
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis loadtest/build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@.ci/venv

dev:
	@.ci/venv dev

tools: dev
	@tests/install-tools
	@tests/install-go-tools
