#!/usr/bin/env bash
# For `npm run test:under-load`: runs `npm test`, or the command that is given, while eight busy loops want the processor and one process
# writes to the disk without end. No verdict may depend on that. Its exit code is that of the command.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
load=()
finish() {
  kill "${load[@]}" 2>/dev/null || true
  wait "${load[@]}" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

for _ in 1 2 3 4 5 6 7 8; do
  while :; do :; done &
  load+=($!)
done
while :; do dd if=/dev/zero of="$scratch/load" bs=1M count=256 conv=fsync status=none; done &
load+=($!)

if (($# == 0)); then set -- npm test; fi
"$@"
