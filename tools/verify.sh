#!/usr/bin/env bash
# Everything that CI checks besides the tests. Prints one line per check; the first that fails says why and ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp); trap 'rm -f "$log"' EXIT

check() { # name command…
    local begin=$SECONDS
    if "${@:2}" >"$log" 2>&1; then printf 'ok    %s (%s s)\n' "$1" $((SECONDS - begin))
    else printf 'FAIL  %s\n' "$1"; cat "$log"; exit 1; fi
}

absent_from_tree() { # package crate…: the package must not depend on these
    local package=$1; shift
    for crate in "$@"; do
        if cargo tree --locked -e normal -p "$package" -i "$crate" >/dev/null 2>&1 && [ -n "$(cargo tree --locked -e normal -p "$package" -i "$crate" 2>/dev/null)" ]; then
            echo "$package must not depend on $crate:"; cargo tree --locked -e normal -p "$package" -i "$crate"; return 1
        fi
    done
}

only_user() { # crate users…: nobody else of ours depends on it, tests aside
    local crate=$1 manifest name; shift
    for manifest in crates/*/Cargo.toml; do
        name=$(basename "$(dirname "$manifest")")
        if awk -v crate="$crate" '/^\[/ { inside = ($0 ~ /^\[(target\..*\.)?dependencies\]/) } inside && $1 ~ "^" crate "(\\.|$)" { found = 1 } END { exit !found }' "$manifest" \
            && ! printf '%s\n' "$@" | grep -qxF "$name"; then
            echo "only $* may depend on $crate, but so does $name"; return 1
        fi
    done
}

pure_crates() { absent_from_tree updraft-planner tokio sqlx sqlx-core lapin kube axum tracing && absent_from_tree updraft-model tokio sqlx sqlx-core tracing && absent_from_tree updraft-layout updraft-model serde tokio; }
arrows() {
    only_user sqlx store && only_user axum api && only_user clap updraft && only_user kube kubernetes && only_user k8s-openapi kubernetes \
        && absent_from_tree updraft-scheduler updraft-worker updraft-api axum && absent_from_tree updraft-worker updraft-scheduler updraft-planner axum \
        && absent_from_tree updraft-kubernetes updraft-planner updraft-scheduler axum \
        && absent_from_tree updraft-api updraft-scheduler updraft-worker && absent_from_tree updraft-store updraft-planner axum
}
one_tls_provider() { absent_from_tree updraft ring openssl-sys native-tls; }
one_writer() { # I9, I4: task_instance.state is written in one place; a note for people is not state
    local found
    found=$(grep -rnEi 'update +task_instance' --include='*.rs' --include='*.sql' crates migrations | grep -Ev '^migrations/(0002_functions|0005_backfills|0016_deferred).sql' | grep -v '/tests/' | grep -v 'set note = ' || true)
    if [ -n "$found" ]; then echo "task_instance is written outside the functions:"; echo "$found"; return 1; fi
}
state_machine_page() { diff <(cargo run -q --locked -p updraft -- docs state-machine) docs/state_machine.md; }
cli_page() { diff <(cargo run -q --locked -p updraft -- docs cli) docs/cli-reference.md; }
python_style() { python3 -m compileall -q crates/dagfile/python tools && find . -name __pycache__ -prune -exec rm -rf {} +; }

# What a release says of its crates, by cargo's own words.
real_sbom() {
    local target=x86_64-unknown-linux-gnu tree
    tree=$(mktemp)
    cargo tree --locked -p updraft -e normal,no-proc-macro --target "$target" --prefix none >"$tree" \
        && cargo metadata --locked --format-version 1 --filter-platform "$target" | python3 -B docker/sbom.py --lock Cargo.lock --tree "$tree" >"$tree.sbom" \
        && grep -q '"pkg:cargo/sqlx-postgres@' "$tree.sbom" && ! grep -E '"pkg:cargo/(ring|libsqlite3-sys|sqlx-mysql)@' "$tree.sbom"
    local done=$?
    rm -f "$tree" "$tree.sbom"
    return $done
}
image_tools() { python3 -B docker/test_sbom.py && real_sbom && (cd docker/task && python3 -B -m unittest); }

check 'format' cargo fmt --check
check 'clippy' cargo clippy --locked --workspace --all-targets -- -D warnings
check 'docs' env RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --locked --workspace --no-deps --document-private-items
check 'unused dependencies' cargo machete
check 'licenses, bans, sources' cargo deny --log-level error check bans licenses sources
check 'prepared queries' tools/with-postgres.sh cargo sqlx prepare --check --workspace -- --all-targets
check 'pure crates' pure_crates
check 'arrows between crates' arrows
check 'one TLS provider' one_tls_provider
check 'one state writer' one_writer
check 'state machine page' state_machine_page
check 'command reference' cli_page
check 'python compiles' python_style
check 'image tools' image_tools
check 'chart' tests/chart/run.sh
