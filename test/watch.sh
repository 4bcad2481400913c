#!/usr/bin/env bash
# For `npm run test:watch -- FILE`: builds the server and runs a test file, and again after each change. Prints what fails, and the totals.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($# == 0)); then echo 'Usage: npm run test:watch -- FILE' >&2 && exit 2; fi

export TAP_TIMEOUT=300
node --watch-path=src --watch-path=test --import=./build/typescript.mjs --import=./build/build.ts \
  --import=./test/support/light-runner.mjs "$@" |
  grep --line-buffered -vE '^ *(ok |# Subtest|TAP version|[0-9]+\.\.[0-9]+|$)'
