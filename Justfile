# The entry point for people. `just` lists what there is; every recipe is a few commands that can
# be typed by hand as well.

[private]
default:
    @just --list

# Install what the recipes need beside the Rust toolchain
setup:
    rustup component add clippy rustfmt
    cargo install --locked cargo-deny@0.18.9

# Format all code
fmt:
    cargo fmt --all

# Check formatting, lints and dependencies
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --lib --no-default-features -- -D warnings
    cargo clippy --lib --test traces --features otlp -- -D warnings
    cargo deny check --hide-inclusion-graph

# Run all tests; arguments go to cargo, such as `just test --test tidy`
test *ARGS:
    cargo test --workspace {{ARGS}}

# Run the tests of the feature otlp.
test-traces:
    cargo test --features otlp --test traces

# Simulate: `just sim run --seed 7`
sim *ARGS:
    cargo run --release --package simulations -- {{ARGS}}

# Simulate many seeds until one fails: --runs, --minutes, --first-seed
sim-swarm *ARGS: (sim "swarm" ARGS)

# Repeat the runs that once failed: all of them, or the seeds and names that are given
sim-replay *ARGS: (sim "replay" ARGS)

# Upgrade a cluster node by node from another build: `just upgrade-from path/to/pushmesh`
upgrade-from PROGRAM:
    PUSHMESH_PREVIOUS={{PROGRAM}} cargo test --test cluster upgrade

# Make a seed that fails small: `just sim-shrink --seed 7`
sim-shrink *ARGS: (sim "shrink" ARGS)

# Show that seeds have one trace in a build with tokio_unstable too, which is another one: see docs/SIMULATION.md
sim-unstable *ARGS="--seed 1,2,3":
    RUSTFLAGS="--cfg tokio_unstable" cargo build --release --package simulations --target-dir target/tokio-unstable
    target/tokio-unstable/release/simulations --version | grep tokio_unstable
    target/tokio-unstable/release/simulations compare {{ARGS}}

# Feed new bytes to a decoder: `just fuzz codec -max_total_time=600`; needs a C++ compiler and `cargo install cargo-fuzz`
fuzz TARGET *ARGS:
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{TARGET}} -- -max_len=4096 -timeout=10 {{ARGS}}

# Measure: cluster (beside a fan-out over Redis and NATS, see docs/benchmarks) or directory (how fast and small it is)
bench NAME="cluster" *ARGS:
    cargo bench --bench {{NAME}} -- {{ARGS}}

# Run a cluster in one process and tell what it does; arguments such as --exit go to it
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Run three nodes as processes, HTTP on 8080 to 8082, mesh on 7400 to 7402, until Ctrl-C
cluster:
    cargo build --release
    trap wait INT TERM; for i in 0 1 2; do \
        target/release/pushmesh node --dev --name n$((i + 1)) --listen 127.0.0.1:808$i \
        --mesh-listen 127.0.0.1:740$i --peer 127.0.0.1:7400,127.0.0.1:7401,127.0.0.1:7402 & done; wait

# Do everything that has to pass before a change is merged
check:
    .ci/run
