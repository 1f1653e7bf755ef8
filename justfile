# Recipes of daily work; `just` lists them. Nothing here is needed to build or to test.

_default:
    @just --list

# Install what tests need, then run them
test *ARGS:
    scripts/test {{ARGS}}

# Everything a change must pass
check:
    .ci/run

# Fuzz an entry point: parse, load or eval (needs nightly and cargo-fuzz)
fuzz TARGET SECONDS="600":
    scripts/fuzz {{TARGET}} {{SECONDS}}

# Licences, advisories, banned packages (needs cargo-deny)
deny:
    cargo deny check

# The conformance cases alone; arguments are parts of their names
conformance *FILTERS:
    cargo test --locked --test conformance -- {{FILTERS}}

# The documentation of the crate
docs:
    cargo doc --locked --no-deps --open

# Run an example
example NAME="client-credentials":
    cargo run --release --locked -- -f examples/{{NAME}}/couper.hcl

# The container image
image TAG="gateway":
    docker build --build-arg GATEWAY_BUILD="$(git rev-parse --short HEAD)" -t {{TAG}} .
