# Recipes for working on Forebay. `just` alone lists them; each is one line that also works by hand.

default:
    @just --list

# What CI runs: format, lints, tests, documentation.
check:
    .ci/run

# Licenses, bans, sources and advisories of all dependencies.
check-dependencies:
    scripts/check-dependencies

# Alerts and recording rules against their tests; `just check-rules --mutants` spoils them first.
check-rules *ARGUMENTS:
    scripts/check-rules {{ARGUMENTS}}

# The page in a real browser.
check-console:
    cargo build && scripts/check-console

# A real Prometheus beside a real broker: every query of dashboards, rules and autoscalers.
check-metrics:
    cargo build && scripts/check-metrics

# A broker on 127.0.0.1:5672 with its data in ./forebay-data.
serve *ARGUMENTS:
    cargo run --release -- serve {{ARGUMENTS}}

# All tests.
test:
    cargo test --workspace

# The tests over TCP against a broker that runs already (RabbitMQ, say).
test-against ADDRESS:
    FOREBAY_TEST_ADDR={{ADDRESS}} cargo test --test broker

# pika's view of a broker that runs already.
interop HOST="127.0.0.1" PORT="5672":
    "$(scripts/python-env)" tests/interop/pika_checks.py {{HOST}} {{PORT}}

# kill -9 in a storm of publishes and acknowledgements, for longer than the ordinary test.
storm ROUNDS="50":
    FOREBAY_TEST_ROUNDS={{ROUNDS}} cargo test --test broker kill_storm -- --nocapture

# The fault suite for longer than in `cargo test`, before a release.
faults ROUNDS="20":
    FOREBAY_TEST_ROUNDS={{ROUNDS}} cargo test --release --test faults -- --nocapture --test-threads=1

# The simulation for a night: seeds that nobody has tried yet.
simulate SEEDS="1000000":
    FOREBAY_SIMULATION_FIRST=random FOREBAY_SIMULATION_SEEDS={{SEEDS}} cargo test --release --test simulation

# 100,000 orders through a broker that is killed half-way.
orders:
    examples/orders/run

# A shop on five queues, whose workers die at random.
shop *ARGUMENTS:
    examples/shop/run {{ARGUMENTS}}

# Messages per second and CPU per message through the real broker, next to RabbitMQ when it is installed.
throughput *ARGUMENTS:
    cargo bench --bench throughput -- {{ARGUMENTS}}

# Every row of docs/reference/performance.md: Forebay beside RabbitMQ when it is installed, or `--at HOST:PORT`.
scenarios *ARGUMENTS:
    benches/scenarios/run {{ARGUMENTS}}

# Formats everything.
format:
    cargo fmt --all
