#!/usr/bin/env bash
# For `npm run test:all`: every test, on the S3 servers that can be started here too. TEST_ENGINES names those that are running already.
set -euo pipefail
cd "$(dirname "$0")/.."

started=()
finish() {
  for engine in "${started[@]}"; do "test/engines/$engine.sh" down || true; done
}
trap finish EXIT

if [[ -z ${TEST_ENGINES+set} ]]; then
  for engine in minio rgw; do
    if test/engines/$engine.sh up >/dev/null; then started+=("$engine"); else echo "Left out: $engine, which can't be started here" >&2; fi
  done
  export TEST_ENGINES="${started[*]}"
fi
TEST_ALL=1 npx tap "$@"
