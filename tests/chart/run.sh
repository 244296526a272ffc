#!/usr/bin/env bash
# Tests of the chart: makes a venv with what they need, once per version of the requirements, and runs chart.py with the given arguments.
set -euo pipefail
cd "$(dirname "$0")"
venv=${UPDRAFT_CHART_VENV:-$HOME/.cache/updraft/chart-venv}
stamp=$venv/requirements.sha256
wanted=$(cat requirements.txt requirements-old-servers.txt | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "chart: installing what the tests need into $venv" >&2
    mkdir -p "$(dirname "$venv")"
    # Two runs at once must not make the same venv.
    exec 9>"$venv.lock"; flock 9
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check -r requirements.txt
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$venv/old-servers" -r requirements-old-servers.txt
        echo "$wanted" >"$stamp"
    fi
    flock -u 9
fi
# Other tests that need Helm's engine.
if [ "${1:-}" = --python ]; then echo "$venv/bin/python"; exit 0; fi
exec "$venv/bin/python" chart.py --old-servers "$venv/old-servers" "$@"
