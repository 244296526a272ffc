#!/usr/bin/env bash
# Tests of the chart: makes a venv with what they need, once per version of the requirements, and runs chart.py with the given arguments.
set -euo pipefail
cd "$(dirname "$0")"
venv=${UPDRAFT_CHART_VENV:-$HOME/.cache/updraft/chart-venv}
../../tools/venv.sh "$venv" requirements.txt requirements-old-servers.txt old-servers
# Other tests that need Helm's engine.
if [ "${1:-}" = --python ]; then echo "$venv/bin/python"; exit 0; fi
exec "$venv/bin/python" chart.py --old-servers "$venv/old-servers" "$@"
