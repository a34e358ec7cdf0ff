#!/usr/bin/env bash
# Starts Keng on a directory of its own and replays a bundled attack story into it: one evening at
# a small agency, from the first port scan to the new administrator. Stops with Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
keng=${1:?"usage: scripts/demo.sh PATH-OF-KENG"}

data=$(mktemp -d)
trap 'kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; rm -rf "$data"' EXIT
"$keng" run --config config/keng.toml --data "$data" &
node=$!

for _ in $(seq 100); do
  [ -e "$data/node.json" ] && break
  kill -0 "$node" 2>/dev/null || { echo "keng: the node did not start" >&2; exit 1; }
  sleep 0.1
done

# The demo itself sends at forty lines a second, so that the page moves while one looks.
"$keng" replay config/demo/attack.log --to tcp://127.0.0.1:5514 --shift-to-now --rate 40
sleep 2
echo
"$keng" alerts list --data "$data"
echo
echo "keng: look at http://127.0.0.1:8642 (the setup link is above); Ctrl-C ends the demo" >&2
wait "$node"
