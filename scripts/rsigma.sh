#!/usr/bin/env bash
# rsigma, which Keng is measured beside and whose evaluator tests ask what rules mean.
#
#   scripts/rsigma.sh build          builds what rules-engine/benches/rsigma names once (crates.io)
#   scripts/rsigma.sh program NAME   prints where `rsigma-oracle` or `rsigma-race` is
#
# It is no part of Keng: it has a workspace and a lock file of its own.
set -eu
cd "$(dirname "$0")/../rules-engine/benches/rsigma"
export PATH="$HOME/.cargo/bin:$PATH"

parts="${KENG_PARTS:-$HOME/.cache/keng/parts}/rsigma"
# What is measured is to be built as Keng is: by the same compiler.
checksum=$({ cat Cargo.toml Cargo.lock src/*.rs src/bin/*.rs; rustc --version; } | sha256sum | cut -c1-16)
place="$parts/$checksum"

fail() {
    echo "rsigma.sh: $1" >&2
    exit "${2:-1}"
}

build() {
    [ -e "$place/.complete" ] && return 0
    mkdir -p "$parts"
    work=$(mktemp -d "$parts/build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cargo build --release --locked --quiet --target-dir "$parts/target" >&2
    mkdir "$work/programs"
    cp "$parts/target/release/rsigma-race" "$parts/target/release/rsigma-oracle" "$work/programs"
    touch "$work/programs/.complete"
    # Another process may have finished first; its copy is as good.
    mv -T "$work/programs" "$place" 2>/dev/null || [ -e "$place/.complete" ]
}

case "${1:-}" in
build) build ;;
program)
    [ -e "$place/.complete" ] || fail "rsigma was not built: run 'scripts/rsigma.sh build'" 3
    echo "$place/${2:?which program}"
    ;;
*) fail "usage: rsigma.sh build | program NAME" 2 ;;
esac
