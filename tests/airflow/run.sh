#!/bin/sh
# Writes facts.json, pod_facts.json and template_facts.json anew with a real Airflow, and compares: nothing may have changed, and ours must be the same.
# AIRFLOW_PYTHON names the Python of a virtual environment that has Airflow; without it one is made, once.
set -eu
cd "$(dirname "$0")"
python=${AIRFLOW_PYTHON:-}
if [ -z "$python" ]; then
    venv=${XDG_CACHE_HOME:-$HOME/.cache}/updraft/airflow-3.3.2
    python=$venv/bin/python
    if ! [ -e "$venv/complete" ]; then
        python3 -m venv "$venv"
        "$python" -m pip install --quiet --disable-pip-version-check 'apache-airflow==3.3.2' \
            'apache-airflow-providers-standard==1.21.0' 'apache-airflow-providers-cncf-kubernetes==10.25.0'
        touch "$venv/complete"
    fi
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
new=$folder/new.json
for of in facts pod_facts template_facts; do
    "$python" -B "$of.py" >"$new"
    if ! cmp -s "$new" "$of.json"; then
        cat "$new" >"$of.json"
        echo "$of.json has changed: look at the difference and commit it" >&2
    fi
done
# The pods are compared by `cargo nextest run -p updraft-kubernetes`, the templates by `-p updraft-planner`.
python3 -B -m unittest test_examples
seed=${SEED:-$(date +%j%H%M)000}
mkdir "$folder/files"
python3 -B random_files.py "$folder/files" "${COUNT:-300}" "$seed"
"$python" -B facts.py "$folder/files" >"$new" 2>"$folder/talk" || { cat "$folder/talk" >&2; exit 1; }
echo "seed $seed"
python3 -B random_files.py "$folder/files" "$new"
