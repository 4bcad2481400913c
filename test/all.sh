#!/usr/bin/env bash
# For `npm run test:all`: every test, on the S3 servers that can be started here too. TEST_ENGINES names those that are running already.
set -euo pipefail
cd "$(dirname "$0")/.."

engines='' started=()
runs() { # ENGINE
  local port=${MINIO_PORT:-9100}
  if [[ $1 == rgw ]]; then port=${RGW_PORT:-7480}; fi
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}
finish() {
  for engine in ${started[@]+"${started[@]}"}; do "test/engines/$engine.sh" down || true; done
}
trap finish EXIT

if [[ -z ${TEST_ENGINES+set} ]]; then
  for engine in minio rgw; do
    # One that runs already is used as it is: the script would start it anew, without its data
    if ! runs "$engine"; then
      if ! "test/engines/$engine.sh" up >/dev/null; then
        echo "Left out: $engine, which can't be started here" >&2
        continue
      fi
      started+=("$engine")
    fi
    engines+=" $engine"
  done
  export TEST_ENGINES=$engines
fi
TEST_ALL=1 UV_THREADPOOL_SIZE=1 npx tap "$@"
