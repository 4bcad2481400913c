#!/usr/bin/env bash
# A throw-away Moto, a mock of AWS, on loopback. "up" starts an empty one and prints what a client needs as shell exports: there is
# no S3_ENDPOINT among them, so the server takes the same way as to AWS itself.
#   eval "$(test/engines/moto.sh up)"; …; test/engines/moto.sh down
# Needs Python 3 with venv; Moto is installed from PyPI into the folder that "down" removes.
set -euo pipefail

MOTO_VERSION=5.2.5

PORT=${MOTO_PORT:-9190}
DIR=${MOTO_DIR:-${TMPDIR:-/tmp}/story-images-moto-$PORT}
URL=http://127.0.0.1:$PORT

die() { echo "moto.sh: $*" >&2; exit 1; }

# The command line too, because a pid from an old file may belong to somebody else by now.
alive() {
  local pid
  pid=$(cat "$DIR/pid" 2>/dev/null) && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$DIR/venv"* ]]
}

down() {
  local i
  if alive; then kill "$(<"$DIR/pid")"; fi
  for ((i = 0; i < 50; i++)); do alive || break; sleep 0.1; done
  if alive; then kill -9 "$(<"$DIR/pid")"; fi
  # The pid file marks the folder as ours: nothing else is ever removed.
  if [[ -e $DIR/pid ]]; then rm -rf -- "$DIR"; fi
}

up() {
  down
  [[ ! -e $DIR ]] || die "$DIR exists and is not ours"
  ! (: <>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || die "port $PORT is taken, set MOTO_PORT"
  mkdir -p "$DIR"
  : >"$DIR/pid"
  python3 -m venv "$DIR/venv"
  "$DIR/venv/bin/pip" install --quiet --disable-pip-version-check "moto[s3,server]==$MOTO_VERSION" >&2
  nohup "$DIR/venv/bin/python" "$DIR/venv/bin/moto_server" -H 127.0.0.1 -p "$PORT" </dev/null >"$DIR/log" 2>&1 &
  echo $! >"$DIR/pid"
  for ((SECONDS = 0; SECONDS < 300; )); do
    kill -0 "$(<"$DIR/pid")" 2>/dev/null || break
    if curl -sf -o /dev/null --max-time 2 "$URL/moto-api/"; then
      printf 'export %s=%q\n' AWS_ENDPOINT_URL_S3 "$URL" AWS_REGION us-east-1 \
        AWS_ACCESS_KEY_ID moto-access AWS_SECRET_ACCESS_KEY moto-secret-key
      return
    fi
    sleep 0.1
  done
  tail -n 10 "$DIR/log" >&2
  down
  die "not ready; its last lines are above"
}

case ${1:-} in
  up | down) "$1" ;;
  *) echo "usage: $0 up|down   (MOTO_PORT MOTO_DIR)" >&2; exit 2 ;;
esac
