#!/usr/bin/env bash
# Lints the OpenAPI document with what others use, and generates clients of it in Python and TypeScript, which then upload, list,
# download and delete. Needs Node.js and Python, and a built server.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
# shellcheck source-path=SCRIPTDIR
. ../../support/server.sh

npm install --silent --no-audit --no-fund --prefix "$work" @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3
echo 'extends: ["spectral:oas"]' >"$work/spectral.yaml"
"$work/node_modules/.bin/redocly" lint --extends recommended "$root/docs/openapi.json"
"$work/node_modules/.bin/spectral" lint --ruleset "$work/spectral.yaml" "$root/docs/openapi.json"

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt

start_server "$root"

# Python: it says which parts of the document it leaves out, which are the bytes of an image as a response
PATH="$work/venv/bin:$PATH" openapi-python-client generate --url "$url/openapi.json" --meta none --output-path "$work/story_images_client"
PYTHONPATH=$work PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" client.py "$url" "$root/docs/images"

# TypeScript: packages/client/src/api.ts is what openapi-typescript makes of the document (a test compares them), and `npm run check` checks the types
node --import "$root/build/typescript.mjs" client.ts "$url" "$root/docs/images"
