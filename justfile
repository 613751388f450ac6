# The one list of this project's commands. CI runs the same recipes. Start with `./just demo` or `./just test`.

set shell := ["bash", "-euo", "pipefail", "-c"]

wasm := "wasm32-wasip2"
providers_dir := justfile_directory() / "target" / "providers"
python := justfile_directory() / ".tools" / "oracles" / "bin" / "python"

# What `cargo test` tests. Always the same packages: of others, cargo would build dependencies with other features, again.
workspace := "--locked --workspace --exclude strowger-hostile-guest --exclude strowger-toy-guest --exclude strowger-crooked-guest --exclude strowger-fuzz"

export STROWGER_PROVIDERS := providers_dir

# List the recipes
default:
    @"{{ just_executable() }}" --justfile "{{ justfile() }}" --list

# Play a whole telephone call through Strowger, and show its summary, recording and picture
demo *args: providers
    @echo "Building strowger …"
    cargo build --locked --package strowger-server --bin strowger
    target/debug/strowger demo {{ args }}

# Run the gateway from this checkout
serve *args: providers
    cargo run --locked --package strowger-server --bin strowger -- serve {{ args }}

# Style, boundaries, licences, and all tests: what CI checks, apart from fuzzing
verify: check test

# Set up everything and pass all tests
test: providers guests samples test-c test-python test-javascript oracles registry-tool && test-postgres-part test-console test-openapi
    STROWGER_PYTHON="{{ python }}" cargo test {{ workspace }}

# The store's tests and the whole black-box suite with a real PostgreSQL 15 in place of SQLite, or those with a word in their name
test-postgres *filter: providers guests oracles registry-tool
    #!/usr/bin/env bash
    set -euo pipefail
    export STROWGER_PYTHON="{{ python }}" workspace="{{ workspace }}"
    tests/postgres/server run bash -euo pipefail -c '
        cargo build $workspace --bin strowger
        cargo test $workspace --lib -- store::
        cargo test $workspace --test all -- "$@"
    ' - {{ filter }}

# The store's tests with a real PostgreSQL, and of the black-box suite what depends on the database most. The builds are those of `test`
test-postgres-part:
    #!/usr/bin/env bash
    set -euo pipefail
    export STROWGER_PYTHON="{{ python }}" workspace="{{ workspace }}"
    # These wait for the database and for each other more than they compute.
    export RUST_TEST_THREADS=$(($(nproc) + 1))
    tests/postgres/server run bash -euo pipefail -c '
        cargo test $workspace --lib -- store::
        cargo test $workspace --test all -- \
            conversation:: isolation:: keys:: operations:: outbound:: secrets:: setup:: transfers:: versions:: webhooks::
    '

# Schemathesis holds a running gateway to the document about its API, without a network but a loopback of its own (two to three minutes)
test-openapi *args: providers
    #!/usr/bin/env bash
    set -euo pipefail
    tools=.tools/openapi
    if ! cmp -s tests/openapi/requirements.txt "$tools/requirements.txt"; then
        if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
            echo "Python 3.11 or later, with its modules venv and ensurepip, is needed for Schemathesis (Debian: apt install python3-venv)" >&2; exit 1
        fi
        echo "Installing Schemathesis (Python packages) into $tools …"
        python3 -m venv "$tools"
        "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/openapi/requirements.txt
        cp tests/openapi/requirements.txt "$tools/requirements.txt"
    fi
    cargo build --locked --package strowger-server --bin strowger
    status=0
    "$tools/bin/python" tests/openapi/run.py target/debug/strowger "{{ providers_dir }}" {{ args }} || status=$?
    # What was not asked has not passed; it is no failure either.
    if [ "$status" = 77 ]; then echo "SKIPPED: Schemathesis asked nothing"; exit 0; fi
    exit "$status"

# Run a command with a real PostgreSQL, whose URL is in STROWGER_TEST_DATABASE; it is gone afterwards
postgres-run *command:
    tests/postgres/server run {{ command }}

# Formatting, lints, and the walls between crates
check: fmt clippy boundaries deny

# Formatting is what rustfmt says
fmt:
    cargo fmt --all --check

# No warnings
clippy: target
    cargo clippy --locked --workspace --exclude strowger-fuzz --all-targets -- --deny warnings
    cargo clippy --locked --target {{ wasm }} $(printf -- '--package strowger-provider-%s ' $(ls providers | grep -v README)) --package strowger-example-rust -- --deny warnings

# The crates that must stay pure are, and the runtime knows no carrier
boundaries:
    #!/usr/bin/env bash
    set -euo pipefail
    forbidden() { # crate, dependency
        if cargo tree --locked --edges normal --package "$1" --prefix none --format '{p}' | cut -d' ' -f1 | grep -qx "$2"; then
            echo "$1 must not depend on $2" >&2; exit 1
        fi
    }
    for crate in tokio mio wasmtime reqwest axum sqlx getrandom; do
        forbidden strowger-call "$crate"
        forbidden strowger-audio "$crate"
    done
    for crate in axum sqlx reqwest tokio; do forbidden strowger-host "$crate"; done
    named=$(git grep -ilE '\b(twilio|plivo|vonage|telnyx|vobiz|cloudonix|asterisk|ari|twiml|cxml|ncco|stasis)\b' -- 'runtime/**/*.rs' 'runtime/**/*.sql' 'runtime/server/console/**' 'wit/*.wit' ':!**/tests/**' ':!**/tests.rs' || true)
    if [ -n "$named" ]; then echo "carriers are named in: $named" >&2; exit 1; fi
    echo "The walls stand."

# Licences and advisories of the dependencies; says so where the tool or the advisory database cannot be had
deny:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v cargo-deny >/dev/null; then
        echo "SKIPPED: cargo-deny is not installed (cargo install cargo-deny)"; exit 0
    fi
    cargo deny --locked check licenses bans sources
    cargo deny --locked check advisories || echo "SKIPPED: the advisory database cannot be had, or has findings (see above)"

# Build every provider as a component
providers: target
    #!/usr/bin/env bash
    set -euo pipefail
    names=$(find providers -mindepth 2 -maxdepth 2 -name Cargo.toml -printf '%h\n' | xargs -n1 basename | sort)
    echo "Building the providers: $names …"
    cargo build --locked --profile component --target {{ wasm }} $(printf -- '--package strowger-provider-%s ' $names)
    mkdir -p "{{ providers_dir }}"
    for name in $names; do
        cp "target/{{ wasm }}/component/strowger_provider_${name//-/_}.wasm" "{{ providers_dir }}/$name.wasm"
    done

# Build the components that only tests use: those that misbehave on purpose, and one of a carrier that nobody has heard of
guests: target
    cargo build --locked --profile component --target {{ wasm }} --package strowger-hostile-guest --package strowger-toy-guest --package strowger-crooked-guest

# Build the sample of every SDK: the same small carrier in each language
samples: sample-c sample-rust sample-javascript sample-python

# Build the Rust SDK's sample
sample-rust: target
    cargo build --locked --profile component --target {{ wasm }} --package strowger-example-rust
    mkdir -p target/samples
    cp target/{{ wasm }}/component/strowger_example_rust.wasm target/samples/rust.wasm

# Build the JavaScript SDK's sample, unless it is up to date: every build has another digest, so its compiled code is kept for long
sample-javascript: js-toolchain
    #!/usr/bin/env bash
    set -euo pipefail
    sample=$PWD/target/samples/javascript.wasm
    if [ -f "$sample" ] && [ -z "$(find sdk/js/src sdk/js/build sdk/js/example wit sdk/js/package-lock.json -name target -prune -o -type f -newer "$sample" -print -quit)" ]; then
        exit 0
    fi
    echo "Building $sample …"
    cd sdk/js/example
    STROWGER_JS_TOOLS="{{ justfile_directory() }}/.tools/js" node ../build/build.mjs --out "$sample" >/dev/null

# Test the JavaScript SDK, its sample and its template; they need no runtime
test-javascript: js-toolchain
    #!/usr/bin/env bash
    set -euo pipefail
    export STROWGER_JS_TOOLS="{{ justfile_directory() }}/.tools/js"
    types() { node "$STROWGER_JS_TOOLS/node_modules/typescript/bin/tsc" --noEmit --typeRoots "$STROWGER_JS_TOOLS/node_modules/@types"; }
    scratch=$(mktemp --directory)
    trap 'rm -r "$scratch"' EXIT
    cp --recursive sdk/js/template/. "$scratch"
    mkdir --parents "$scratch/.strowger/sdk/js"
    cp --recursive sdk/js/src sdk/js/build "$scratch/.strowger/sdk/js"
    for folder in sdk/js sdk/js/example "$scratch"; do
        (cd "$folder" && types && node "{{ justfile_directory() }}/sdk/js/build/test.mjs" --test-reporter=dot)
    done

# The packages that make components of JavaScript, in .tools/js
js-toolchain:
    #!/usr/bin/env bash
    set -euo pipefail
    tools=.tools/js
    if ! cmp -s sdk/js/package-lock.json "$tools/installed.json"; then
        echo "Installing the JavaScript toolchain (packages from npm) into $tools …"
        if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
            echo "Node.js 20 or later, with npm, is needed to build providers in JavaScript" >&2; exit 1
        fi
        mkdir -p "$tools"
        cp sdk/js/package.json sdk/js/package-lock.json sdk/js/.npmrc "$tools"
        npm ci --prefix "$tools" --loglevel=error
        cp sdk/js/package-lock.json "$tools/installed.json"
    fi

# Write the contract in TypeScript anew, after a change of it
js-contract:
    cargo run --locked --package strowger-sdk-js-contract

# Build the Python SDK's sample, unless it is up to date: every build has another digest, so its compiled code is kept for long
sample-python: python-toolchain
    #!/usr/bin/env bash
    set -euo pipefail
    sample=target/samples/python.wasm
    if [ -f "$sample" ] && [ -z "$(find sdk/python wit \( -name '*.py' -o -name '*.wit' -o -name '*.txt' \) -newer "$sample" -print -quit)" ]; then
        exit 0
    fi
    echo "Building $sample …"
    mkdir -p target/samples
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=sdk/python .tools/python/bin/python -m strowger_sdk build sdk/python/example --wit wit --output "$sample"

# Build the C SDK's sample, as an author would
sample-c: c-toolchain
    cargo build --locked --package strowger-server --bin strowger
    mkdir -p target/samples
    STROWGER_TOOLCHAINS="$PWD/.tools" target/debug/strowger provider build sdk/c/example --output target/samples/c.wasm

# Test the C SDK and its sample; they need no runtime, only the bindings that building the sample has written
test-c: sample-c
    #!/usr/bin/env bash
    set -euo pipefail
    make --silent --directory sdk/c/example test
    make --silent --directory sdk/c/tests test

# Install the C toolchain: Clang, as a package of Python brings it
c-toolchain:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! cmp -s sdk/c/requirements.txt .tools/c/requirements.txt; then
        if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
            echo "Python 3.11 or later with its module venv is needed for the C toolchain (Debian: apt install python3-venv)" >&2; exit 1
        fi
        echo "Installing the C toolchain into .tools …"
        python3 -m venv .tools/c
        .tools/c/bin/python -m pip install --quiet --disable-pip-version-check --requirement sdk/c/requirements.txt
        cp sdk/c/requirements.txt .tools/c/requirements.txt
    fi

# Test the Python SDK, its sample and its template; they need no runtime
test-python: python-toolchain
    #!/usr/bin/env bash
    set -euo pipefail
    scratch=$(mktemp --directory)
    trap 'rm -r "$scratch"' EXIT
    .tools/python/bin/componentize-py --quiet --wit-path wit --world everything bindings "$scratch/bindings"
    if ! diff --recursive --brief --exclude __pycache__ "$scratch/bindings/wit_world" sdk/python/wit_world; then
        echo "sdk/python/wit_world is not what the contract says: write it anew with just python-bindings" >&2; exit 1
    fi
    export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD/sdk/python"
    for folder in sdk/python/tests sdk/python/example sdk/python/template; do
        (cd "$folder" && python3 -m unittest --quiet)
    done

# Write the Python bindings of the contract anew, after a change of it
python-bindings: python-toolchain
    #!/usr/bin/env bash
    set -euo pipefail
    scratch=$(mktemp --directory)
    trap 'rm -r "$scratch"' EXIT
    .tools/python/bin/componentize-py --quiet --wit-path wit --world everything bindings "$scratch/bindings"
    rm -rf sdk/python/wit_world
    cp -r "$scratch/bindings/wit_world" "$scratch/bindings/componentize_py_types.py" sdk/python

# What makes components of Python, in an environment of its own
python-toolchain:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=.tools/python/requirements.txt
    if ! cmp -s sdk/python/requirements.txt "$stamp"; then
        echo "Installing the Python toolchain into .tools …"
        if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
            echo "Python 3.11 or later, with its modules venv and ensurepip, is needed for the Python SDK" >&2; exit 1
        fi
        python3 -m venv .tools/python
        .tools/python/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement sdk/python/requirements.txt
        cp sdk/python/requirements.txt "$stamp"
    fi

# The compiler's target for components
target:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! rustup target list --installed | grep -qx {{ wasm }}; then
        echo "Installing the compiler target {{ wasm }} …"
        rustup target add {{ wasm }}
    fi

# A real OCI registry, for the tests of pulling and pushing
registry-tool:
    @tests/registry/fetch

# The independent witnesses of the tests: Python packages in an environment of their own, and one package from npm
oracles:
    #!/usr/bin/env bash
    set -euo pipefail
    stamp=.tools/oracles/requirements.txt
    if ! cmp -s tests/oracles/requirements.txt "$stamp"; then
        echo "Installing the independent witnesses (Python packages) into .tools …"
        python3 -m venv .tools/oracles
        .tools/oracles/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement tests/oracles/requirements.txt
        cp tests/oracles/requirements.txt "$stamp"
    fi
    node=.tools/oracles-node
    if ! cmp -s tests/oracles/package-lock.json "$node/installed.json"; then
        echo "Installing the independent witnesses (packages for Node.js) into .tools …"
        if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
            echo "Node.js 20 or later, with npm, is needed for the witnesses that carriers publish there" >&2; exit 1
        fi
        mkdir -p "$node"
        cp tests/oracles/package.json tests/oracles/package-lock.json tests/oracles/.npmrc "$node"
        npm ci --prefix "$node" --loglevel=error
        cp tests/oracles/package-lock.json "$node/installed.json"
    fi

# Drive every page of the console in a real browser; pictures of them are in target/console afterwards
test-console: providers guests sample-rust browser
    cargo build --locked --package strowger-server --bin strowger --package strowger-simulator --bin strowger-carrier
    cd tests/console && node node_modules/@playwright/test/cli.js test

# Make the README's pictures of the console anew
pictures: providers browser
    cargo build --locked --package strowger-server --bin strowger --package strowger-simulator --bin strowger-carrier
    cd tests/console && node node_modules/@playwright/test/cli.js test pictures
    for name in overview configuration call telephone; do cp "target/console/readme-$name.png" "docs/img/console-$name.png"; done

# Measure the console: first paint, and bytes on the wire
bench-console: providers browser
    cargo build --locked --release --package strowger-server --package strowger-simulator
    cd tests/console && STROWGER_PROGRAMS="{{ justfile_directory() }}/target/release" node measure.mjs

# A browser and what drives it: Chromium of the system, installed where that is Debian and we may; packages in .tools/console
browser:
    #!/usr/bin/env bash
    set -euo pipefail
    chromium=${STROWGER_CHROMIUM:-/usr/bin/chromium}
    if ! [ -x "$chromium" ]; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "Installing Chromium …"
            apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends chromium fonts-dejavu-core >/dev/null
        else
            echo "Chromium is needed for the console's tests: install it (Debian: apt install chromium), or name it with STROWGER_CHROMIUM" >&2; exit 1
        fi
    fi
    tools=.tools/console
    if ! cmp -s tests/console/package-lock.json "$tools/installed.json"; then
        echo "Installing what drives the browser (packages from npm) into $tools …"
        if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
            echo "Node.js 20 or later, with npm, is needed for the console's tests" >&2; exit 1
        fi
        mkdir -p "$tools"
        cp tests/console/package.json tests/console/package-lock.json tests/console/.npmrc "$tools"
        # From inside: npm takes a folder that is reached over a link for a package.
        (cd "$tools" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --loglevel=error)
        cp tests/console/package-lock.json "$tools/installed.json"
    fi
    ln -sfn "../../$tools/node_modules" tests/console/node_modules

# Play calls with a real Asterisk, all or those with a word in their name; SKIPPED where none can be had (tests/asterisk)
asterisk *args: providers
    #!/usr/bin/env bash
    set -euo pipefail
    status=0
    tests/asterisk/run {{ args }} || status=$?
    # What was not played has not passed; it is no failure either.
    if [ "$status" = 77 ]; then echo "SKIPPED: no call was played with a real Asterisk"; exit 0; fi
    exit "$status"

# Measure: audio, sandbox, webhooks, and calls under load (docs/performance.md); about seven minutes beside the builds
bench: providers
    cargo bench --locked --package strowger-audio --bench audio
    cargo bench --locked --package strowger-tests --bench host
    cargo bench --locked --package strowger-tests --bench providers
    cargo build --locked --release --package strowger-server --package strowger-simulator
    target/release/strowger-load --strowger target/release/strowger --providers "{{ providers_dir }}"

# Measure the database: routes with up to a million numbers, and the rotation of 100 000 secrets, on SQLite and PostgreSQL
bench-store: providers
    tests/postgres/server run cargo bench --locked --package strowger-tests --bench store

# Measure the REST API on SQLite and PostgreSQL, and 50 calls beside the rotation of 100 000 secrets; about ten minutes beside the builds
bench-rest: providers
    cargo build --locked --release --package strowger-server --package strowger-simulator
    tests/postgres/server run target/release/strowger-load --strowger target/release/strowger --providers "{{ providers_dir }}" --rest 100000 --seconds 60

# Measure what a sandboxed provider costs in each language, and what hostile guests do to other people's calls (docs/sandbox.md); about five minutes beside the builds
bench-sandbox: samples providers guests
    cargo build --locked --release --package strowger-server --package strowger-simulator
    cargo bench --locked --package strowger-tests --bench sandbox
    target/release/strowger-load --strowger target/release/strowger --providers "{{ providers_dir }}" --hostile target/{{ wasm }}/component/strowger_hostile_guest.wasm --seconds 18

# Feed random bytes to whatever eats a stranger's, so many seconds for each target; one target, or all (`fuzz/`). The seed makes a
# failure come again; with 0 every run is another one
fuzz seconds="60" target="" seed="1":
    #!/usr/bin/env bash
    set -euo pipefail
    # Instrumented for coverage and nothing else: sanitizers want another compiler, and the code is safe Rust.
    echo "Building the fuzz targets …"
    RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/instrument" cargo build --locked --package strowger-fuzz --bins
    run() {
        local name=$1 work="target/fuzz/$1"
        mkdir -p "$work/corpus" "$work/artifacts" "fuzz/seeds/$name"
        if ! "target/debug/fuzz-$name" "$work/corpus" "fuzz/seeds/$name" -artifact_prefix="$work/artifacts/" \
            -seed={{ seed }} -max_total_time={{ seconds }} -timeout=60 -rss_limit_mb=4096 -max_len=8192 -len_control=0 >"$work/log" 2>&1; then
            tail -n 60 "$work/log" >&2; echo "$name: see $work" >&2; return 1
        fi
        echo "$name: $(tail -n 1 "$work/log")"
    }
    export -f run
    names="{{ target }}"
    if [ -z "$names" ]; then names=$(sed -n 's/^name = "fuzz-\(.*\)"/\1/p' fuzz/Cargo.toml); fi
    # Three times as many at a time as there are processors: each has a third of one for its time, and the whole takes a third as long.
    echo "Fuzzing for {{ seconds }} s each:" $names
    printf '%s\n' $names | xargs --max-procs="$(($(nproc) * 3))" --max-args=1 bash -euo pipefail -c 'run "$0"'

# A million times one instance in the place of another: nothing may be left behind (some minutes)
soak: guests providers
    STROWGER_SLOT_REUSES=1000000 cargo test --locked --package strowger-hostile --test hostile -- no_byte_of_one_instance_reaches_the_next

# Write docs/providers/reference.md anew, from wit/
provider-reference:
    cargo run --locked --quiet --package strowger-kit --example provider-reference -- wit docs/providers/reference.md

# Rewrite the sources as rustfmt and clippy would
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty
