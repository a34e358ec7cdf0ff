#!/usr/bin/env bash
# pySigma with its SQLite backend: the other implementation of Sigma that tests ask what rules mean.
#
#   scripts/pysigma.sh fetch     installs what scripts/pysigma.txt names once (PyPI, about 40 MB)
#   scripts/pysigma.sh python    prints the Python that has it
#
# It is licensed under the LGPL, runs as a program of its own, and is no part of Keng.
set -eu
cd "$(dirname "$0")"

parts="${KENG_PARTS:-$HOME/.cache/keng/parts}/pysigma"
checksum=$(sha256sum pysigma.txt | cut -c1-16)
place="$parts/$checksum"

fail() {
    echo "pysigma.sh: $1" >&2
    exit "${2:-1}"
}

fetch() {
    [ -e "$place/.complete" ] && return 0
    # Debian's own first: another may belong to a shell that others do not have.
    base=/usr/bin/python3
    [ -x "$base" ] || base=$(command -v python3) || fail "python is missing: install 'python3-venv'"
    mkdir -p "$parts"
    work=$(mktemp -d "$parts/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "$base" -m venv "$work/venv" || fail "python cannot make an environment: install 'python3-venv'"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --require-hashes --requirement pysigma.txt >&2
    "$work/venv/bin/python" -c 'import sigma.backends.sqlite'
    touch "$work/venv/.complete"
    # Another process may have finished first; its copy is as good.
    mv -T "$work/venv" "$place" 2>/dev/null || [ -e "$place/.complete" ]
}

case "${1:-}" in
fetch) fetch ;;
python)
    [ -e "$place/.complete" ] || fail "pySigma was not fetched: run 'scripts/pysigma.sh fetch'" 3
    echo "$place/bin/python"
    ;;
*) fail "usage: pysigma.sh fetch | python" 2 ;;
esac
