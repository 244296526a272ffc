#!/usr/bin/env bash
# A Python environment with what some tests need, made once per version of the requirements: venv.sh FOLDER REQUIREMENTS [REQUIREMENTS SUBFOLDER].
# The last two are installed beside it, without their dependencies, for who puts SUBFOLDER on the path.
set -euo pipefail
venv=$1 requirements=$2 beside=${3:-} subfolder=${4:-}
stamp=$venv/requirements.sha256
wanted=$(cat "$requirements" ${beside:+"$beside"} | sha256sum)
there() { [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }
there && exit 0
echo "installing what the tests need into $venv" >&2
mkdir -p "$(dirname "$venv")"
# Two runs at once must not make the same venv.
exec 9>"$venv.lock"
flock 9
there && exit 0
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check -r "$requirements"
[ -z "$beside" ] || "$venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$venv/$subfolder" -r "$beside"
echo "$wanted" >"$stamp"
