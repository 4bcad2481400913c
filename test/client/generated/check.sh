#!/usr/bin/env bash
# Lints the OpenAPI document with what others use, and generates clients of it in Python and TypeScript, which then upload, list,
# download and delete. Needs Node.js and Python, and a built server.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
work=$(mktemp -d)
server=
finish() {
  if [[ $server ]]; then kill "$server" 2>/dev/null || true; fi
  wait
  rm -rf "$work"
}
trap finish EXIT

npm install --silent --no-audit --no-fund --prefix "$work" @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3
echo 'extends: ["spectral:oas"]' >"$work/spectral.yaml"
"$work/node_modules/.bin/redocly" lint --extends recommended "$root/docs/openapi.json"
"$work/node_modules/.bin/spectral" lint --ruleset "$work/spectral.yaml" "$root/docs/openapi.json"

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

# Python: it says which parts of the document it leaves out, which are the bytes of an image as a response
PATH="$work/venv/bin:$PATH" openapi-python-client generate --url "$url/openapi.json" --meta none --output-path "$work/story_images_client"
PYTHONPATH=$work PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" client.py "$url" "$root/docs/images"

# TypeScript: packages/client/src/api.ts is what openapi-typescript makes of the document (a test compares them), and `npm run check` checks the types
node --import "$root/build/typescript.mjs" client.ts "$url" "$root/docs/images"
