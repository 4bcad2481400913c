# Sourced by scripts that need the built server: a folder to work in ($work), and the server on the disk store in it ($url). Both are
# gone when the script ends.
# shellcheck shell=bash
work=$(mktemp -d)
url=
server=
finish() {
  if [[ $server ]]; then kill "$server" 2>/dev/null || true; fi
  wait
  rm -rf "$work"
}
trap finish EXIT

start_server() { # ROOT
  local log=$work/server.log
  # Read below, perhaps before the server has begun
  : >"$log"
  (cd "$work" && exec env HOST=127.0.0.1 PORT=0 DATA_DIR="$work/data" node "$1/dist/server.js") >"$log" &
  server=$!
  for _ in {1..100}; do
    url=$(sed -nE 's/.*Server listening at (http:[^"]*).*/\1/p' "$log")
    if [[ $url ]]; then return; fi
    sleep 0.1
  done
  echo "The server did not start"
  return 1
}
