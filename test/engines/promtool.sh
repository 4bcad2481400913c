#!/usr/bin/env bash
# What Prometheus itself says of the alert rules, their tests, the example configuration, and the metrics of a server that runs.
# Needs a built server, and promtool, which Debian and Ubuntu have in the package prometheus.
set -euo pipefail
cd "$(dirname "$0")/../.."

promtool check config --syntax-only deploy/prometheus.yml
promtool check rules deploy/prometheus-alerts.yml
promtool test rules test/deploy/alerts.test.yml

work=$(mktemp -d)
server=
finish() {
  if [[ -n $server ]]; then kill "$server"; wait "$server" || true; fi
  rm -rf "$work"
}
trap finish EXIT

HOST=127.0.0.1 PORT=0 DATA_DIR=$work/data node dist/server.js >"$work/log" &
server=$!
url=
for ((SECONDS = 0; SECONDS < 300; )); do
  url=$(sed -nE 's/.*"Server listening at ([^"]+)".*/\1/p' "$work/log")
  if [[ -n $url ]]; then break; fi
  sleep 0.1
done
[[ -n $url ]] || { echo 'the server does not start' >&2; exit 1; }
curl -sSf -o /dev/null -F files=@docs/images/image1.jpg "$url/api/v1/images/upload"
curl -sSf -o /dev/null "$url/api/v1/images"
curl -sSf "$url/metrics" | promtool check metrics
echo 'the metrics are as Prometheus wants them'
