#!/usr/bin/env bash
# Checks what is shipped beside the binary with the programs that will read it.
set -euo pipefail
cd "$(dirname "$0")/.."

for script in scripts/*.sh .ci/run; do
  bash -n "$script"
done
python3 - <<'PYTHON'
import json
json.load(open("config/grafana/dashboards/soc-live.json", encoding="utf-8"))
PYTHON
(cd config/prometheus && promtool check config prometheus.yml && promtool test rules keng.rules.test.yml)
