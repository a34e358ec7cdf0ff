# Keng. `make run` and `make test` are all that a newcomer needs; both install what is missing.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

TARGET := $(or $(CARGO_TARGET_DIR),target)
DATA ?= data

.PHONY: run demo test fuzz bench fmt lint build docs clean-data

run: build ## build what is missing and start Keng on config/keng.toml, data under ./data
	@exec $(TARGET)/release/keng run --config config/keng.toml --data $(DATA)

demo: build ## start Keng and replay a bundled attack story into it
	@scripts/demo.sh $(TARGET)/release/keng

build:
	@scripts/prepare.sh build
	@cargo build --release --locked

test: ## everything: formatting, lints, docs, unit, contract, end-to-end and fault tests
	@scripts/prepare.sh test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
	cargo test --locked
	scripts/check-parts.sh

fuzz: ## a minute of each fuzz target, for every night; what fails is named
	@scripts/prepare.sh build
	@scripts/fuzz.sh all

bench: ## every bench, beside its reference
	@scripts/prepare.sh build
	cargo bench --workspace --locked

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

clean-data: ## delete everything that Keng has stored under ./data
	rm -rf $(DATA)
