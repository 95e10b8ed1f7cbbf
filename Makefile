# Everything this project does, from a fresh Debian or Ubuntu machine that has Rust on it.
# `make` alone lists the targets: the text after ## is what it prints.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# Only when it is needed: ext-php-rs is built anew whenever PATH changes.
ifeq ($(shell command -v cargo),)
export PATH := $(PATH):$(HOME)/.cargo/bin
endif
export CARGO_TARGET_DIR := $(CURDIR)/target
export PYTHONDONTWRITEBYTECODE := 1

# Debian's own interpreter: the test packages belong to it, whatever else is first in PATH.
PYTHON := /usr/bin/python3
PHP ?= php

PORT ?= 8080
DATA ?= target/serve

DEBUG_SO := $(CARGO_TARGET_DIR)/debug/libslbp.so
RELEASE_SO := $(CARGO_TARGET_DIR)/release/libslbp.so
# The tests load the debug build: it checks arithmetic for overflow, and it builds in half the time.
export SLBP_EXTENSION ?= $(DEBUG_SO)

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- run ---------------------------------------------------------------------------------------

.PHONY: serve
serve: packages-serve release ## Serve WordPress with the extension and the plugin (PORT=8080 DATA=target/serve)
	@$(PYTHON) -m tests.support.serve --port $(PORT) --data $(DATA) --extension $(RELEASE_SO)

# --- build -------------------------------------------------------------------------------------

.PHONY: build release
build: packages-build ## Build the extension for the tests (target/debug/libslbp.so)
	cargo build --locked

release: packages-build ## Build the extension for use (target/release/libslbp.so)
	cargo build --locked --release

.PHONY: packages-build packages-serve packages-test
packages-build packages-serve packages-test: packages-%:
	@sh tests/support/packages.sh $*

# --- check -------------------------------------------------------------------------------------

.PHONY: test
test: test-rust test-phpt test-phpunit test-fpm test-wordpress ## Run every layer of tests
	@echo "Every layer passed."

.PHONY: test-rust test-phpt test-phpunit test-fpm test-wordpress
# How often a test that failed is run again, to tell a fault from a starved machine. Mend what needs it.
RETRIES ?= 0
# $(call retried,command,the same for what failed)
retried = $(1) || { [ $(RETRIES) -gt 0 ] && echo "Once more, what failed:" && $(2); }

CARGO_TEST := $(PYTHON) -m tests.support.cargo_test --retries $(RETRIES) --locked

test-rust: packages-test ##   the domains without PHP, then the PHP boundary's own
	$(CARGO_TEST) --no-default-features
	$(CARGO_TEST) --lib

PHPT := sh tests/support/run-phpt.sh $(SLBP_EXTENSION) tests/phpt

test-phpt: packages-test build ##   the boundary, by PHP's own test runner
	@$(call retried,$(PHPT),$(PHPT))

PHPUNIT := $(PHP) -d extension=$(SLBP_EXTENSION) /usr/bin/phpunit --colors=never --cache-result-file=target/phpunit.cache

test-phpunit: packages-test build ##   the classes as a PHP programmer uses them
	@$(call retried,$(PHPUNIT) tests/phpunit,$(PHPUNIT) tests/phpunit)

PYTEST := $(PYTHON) -m pytest -c tests/support/pytest.ini --rootdir . -o cache_dir=$(CARGO_TARGET_DIR)/pytest

test-fpm: packages-test build ##   php-fpm: shared memory, killed workers, recycling, reload
	@$(call retried,$(PYTEST) tests/fpm,$(PYTEST) --last-failed tests/fpm)

test-wordpress: packages-test build ##   the whole site over HTTP
	@$(call retried,$(PYTEST) tests/wordpress,$(PYTEST) --last-failed tests/wordpress)

.PHONY: lint
lint: packages-test ## Check formatting, lints, licences and PHP style
	cargo fmt --check
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo clippy --locked --all-targets -- -D warnings
	$(PYTHON) tests/support/check_dependencies.py
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; fi
	git ls-files '*.php' | xargs -n 1 -P 2 $(PHP) -n -l >/dev/null
	phpcs -q --standard=php/.phpcs.xml php stubs tests
	phpcs -q --standard=wordpress-plugin/.phpcs.xml wordpress-plugin

.PHONY: stubs
stubs: build ## Compare stubs/ with the classes the extension registers
	$(PHP) -d extension=$(DEBUG_SO) php/bin/check-stubs.php

.PHONY: bench
bench: packages-test release ## Measure against the peers, as ratios in one run
	$(PYTHON) -m tests.bench.run $(RELEASE_SO)

# --- ship --------------------------------------------------------------------------------------

.PHONY: package
package: release packages-serve ## Pack the extension, its php.ini lines, the stubs and the plugin (target/package/)
	sh tests/support/package.sh $(RELEASE_SO) target/package

.PHONY: clean
clean: ## Remove everything that was built, and the data of `make serve`
	rm -rf target
