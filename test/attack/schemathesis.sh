#!/usr/bin/env bash
# Attacks the server with what schemathesis makes of its OpenAPI document: every check, requests that the
# document allows and such that it does not. Arguments go to `schemathesis run`; its exit code is that of the run.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
server=
finish() {
  if [[ $server ]]; then kill "$server" 2>/dev/null || true; fi
  wait
  rm -rf "$work"
}
trap finish EXIT

root=$(cd ../.. && pwd)
npm run --silent build --prefix "$root"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt

log=$work/server.log
# Read below, perhaps before the server has begun
: >"$log"
(cd "$work" && exec env HOST=127.0.0.1 PORT=0 DATA_DIR="$work/data" node "$root/dist/server.js") >"$log" &
server=$!
for _ in {1..100}; do
  url=$(sed -nE 's/.*Server listening at (http:[^"]*).*/\1/p' "$log")
  if [[ $url ]]; then break; fi
  sleep 0.1
done
if [[ -z $url ]]; then echo "The server did not start" && exit 1; fi

SCHEMATHESIS_HOOKS=$PWD/schemathesis_hooks.py PYTHONDONTWRITEBYTECODE=1 \
  "$work/venv/bin/schemathesis" --config-file "$PWD/schemathesis.toml" run "$url/openapi.json" --url "$url" --checks all --max-time 45 --no-color "$@"
