#!/usr/bin/env bash
# Attacks the server with what schemathesis makes of its OpenAPI document: every check, requests that the
# document allows and such that it does not. Arguments go to `schemathesis run`; its exit code is that of the run.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source-path=SCRIPTDIR
. ../support/server.sh

root=$(cd ../.. && pwd)
npm run --silent build --prefix "$root"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt

start_server "$root"

SCHEMATHESIS_HOOKS=$PWD/schemathesis_hooks.py PYTHONDONTWRITEBYTECODE=1 \
  "$work/venv/bin/schemathesis" --config-file "$PWD/schemathesis.toml" run "$url/openapi.json" --url "$url" --checks all --max-time 45 --no-color "$@"
