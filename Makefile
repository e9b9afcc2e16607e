# Every command of this project. `make` lists them.

# Where things are built and fetched; each can be set from the outside.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export CHASKI_TEST_WEIGHTS ?= $(CARGO_TARGET_DIR)/test-weights
export CHASKI_TEST_DATABASES ?= $(CARGO_TARGET_DIR)/databases
export CHASKI_TEST_MCP ?= $(CARGO_TARGET_DIR)/mcp-servers
export CHASKI_BENCH_PEERS ?= $(CARGO_TARGET_DIR)/peers
VENVS ?= $(CARGO_TARGET_DIR)/venvs
TOOLS ?= $(CARGO_TARGET_DIR)/tools
PORT ?= 8321
TEMPLATE ?= starter

DEBUG_BINARY := $(CARGO_TARGET_DIR)/debug/chaski
# Built with the whole workspace: with a package alone, Cargo would choose other features and build
# the engine again.
XTASK := $(CARGO_TARGET_DIR)/debug/xtask
RELEASE_BINARY := $(CARGO_TARGET_DIR)/release/chaski
# What `make release` makes, and what is measured.
PACKAGE := $(CARGO_TARGET_DIR)/package
REPLAY_GROUPS := models,inference_chat,inference_completion,inference_embeddings,auth,meta,extra_providers,registry,vector_io,safety,tool_runtime,agents,telemetry,telemetry_fresh
DEFAULT_WEIGHTS := qwen2.5-0.5b-instruct all-minilm-l6-v2
# How long `make fuzz` runs each target, and how many clients leave in `make soak`.
FUZZ_SECONDS ?= 300
SOAK_CLIENTS ?= 300000
TEST_WEIGHTS := smollm2-135m-instruct all-minilm-l6-v2

.DEFAULT_GOAL := help
.PHONY: help prerequisites build release run chat test test-rust test-clients test-replay fuzz fuzz-brief soak check fix docs weights bench bench-peers

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

prerequisites: ## Install what the build needs, or say what is missing
	@scripts/prerequisites.sh

build: prerequisites ## Build the release binary
	cargo build --release --locked --package chaski-cli

release: prerequisites ## Build the fastest binary: laid out by what it does under load (wants llvm-bolt)
	@scripts/release.sh $(PACKAGE)

run: build ## Build, fetch the default weights and start the server
	@scripts/run.sh $(RELEASE_BINARY) $(TEMPLATE) $(PORT) $(DEFAULT_WEIGHTS)

test: test-rust test-clients test-replay ## Everything that must pass

test-rust: weights $(CHASKI_TEST_DATABASES)/ready ## Unit and server tests
	cargo test --locked --workspace

test-clients: weights $(VENVS)/ready $(CHASKI_TEST_MCP)/ready ## The Python clients against the real binary
	@scripts/test-clients.sh $(VENVS) $(DEBUG_BINARY)

test-replay: $(DEBUG_BINARY) ## Recorded exchanges of the reference, if ../shared has them
	@scripts/test-replay.sh $(DEBUG_BINARY) $(REPLAY_GROUPS)

fuzz: ## Try odd input on parsers and translations, for long (FUZZ_SECONDS each)
	@scripts/fuzz.sh $(CARGO_TARGET_DIR)/fuzz $(FUZZ_SECONDS)

fuzz-brief:
	@scripts/fuzz.sh $(CARGO_TARGET_DIR)/fuzz 5

soak: ## Many clients that leave at random, for long (SOAK_CLIENTS)
	CHASKI_TEST_DISCONNECTS=$(SOAK_CLIENTS) cargo test --locked --workspace --test cli -- leave_nothing_behind

check: prerequisites ## Formatting, lints, structure, generated pages, licences
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo build --quiet --locked --workspace
	$(XTASK) tidy
	$(XTASK) codegen --check
	@scripts/deny.sh $(TOOLS)

fix: ## Mend what can be mended by itself
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	cargo build --quiet --workspace
	$(XTASK) codegen

docs: ## Write the reference pages
	cargo build --quiet --workspace
	$(XTASK) codegen

$(DEBUG_BINARY): FORCE
	cargo build --locked --workspace

.PHONY: FORCE
FORCE:

weights: $(DEBUG_BINARY) ## Fetch the small weights that the tests use
	CHASKI_WEIGHTS_DIR=$(CHASKI_TEST_WEIGHTS) $(DEBUG_BINARY) model pull $(TEST_WEIGHTS)

$(VENVS)/ready: tests/requirements.txt scripts/venvs.sh
	@scripts/venvs.sh $(VENVS)

$(CHASKI_TEST_DATABASES)/ready: tests/databases.txt scripts/databases.sh
	@scripts/databases.sh $(CHASKI_TEST_DATABASES)

$(CHASKI_TEST_MCP)/ready: tests/mcp-servers.txt scripts/mcp-servers.sh
	@scripts/mcp-servers.sh $(CHASKI_TEST_MCP)

bench-peers: ## Install other gateways, which `make bench` then measures too
	@for install in bench/peers/*/install.sh; do "$$install" $(CHASKI_BENCH_PEERS); done

bench: release weights ## Measure what `make release` makes, and write bench/results/
	@scripts/bench.sh $(PACKAGE)/chaski $(PACKAGE)/target/release/chaski-bench $(VENVS) \
	  $(CHASKI_TEST_WEIGHTS)/smollm2-135m-instruct.gguf $(CHASKI_TEST_WEIGHTS)/all-minilm-l6-v2.gguf
