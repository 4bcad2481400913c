#!/usr/bin/env bash
# A throw-away MinIO on loopback. "up" starts an empty one and prints what a client needs as shell exports:
#   eval "$(test/engines/minio.sh up)"; …; test/engines/minio.sh down
# With MINIO_NODES=4 it is a cluster of four servers, on as many ports from MINIO_PORT on. Each has a file with its process id, so that
# one can be killed; "start K" starts the Kth again, from 0.
set -euo pipefail

# MinIO is published as source only, without release tags for Go: exact pseudo-versions are the one way to pin it.
# minio/Dockerfile names the same two; check-deployment.sh compares them.
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
MC_VERSION=v0.0.0-20250313080218-cf909e1063a9

# Not 9000, where a developer's own MinIO would be.
PORT=${MINIO_PORT:-9100}
DIR=${MINIO_DIR:-${TMPDIR:-/tmp}/story-images-minio-$PORT}
BIN=${MINIO_BIN:-$(go env GOPATH)/bin}
NODES=${MINIO_NODES:-1}
URL=http://127.0.0.1:$PORT
export MINIO_ROOT_USER=${MINIO_ROOT_USER:-engine-root}
export MINIO_ROOT_PASSWORD=${MINIO_ROOT_PASSWORD:-engine-root-secret}
# MinIO refuses the AbortIncompleteMultipartUpload lifecycle rule and removes parts of unfinished uploads by itself.
# As long as in production, so that no test sees an upload vanish; a test of the expiry itself sets both to seconds.
export MINIO_API_STALE_UPLOADS_EXPIRY=${MINIO_API_STALE_UPLOADS_EXPIRY:-24h}
export MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL=${MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL:-6h}
export MINIO_UPDATE=off MINIO_BROWSER=off

die() { echo "minio.sh: $*" >&2; exit 1; }

# The command line too, because a pid from an old file may belong to somebody else by now.
alive() { # K
  local pid
  pid=$(cat "$DIR/$1.pid" 2>/dev/null) && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$DIR/data"* ]]
}

install() { # NAME VERSION
  [[ -x $BIN/$1 ]] || GOBIN=$BIN go install "github.com/minio/$1@$2" >&2
}

down() {
  local k i
  for ((k = 0; k < NODES; k++)); do
    if alive "$k"; then kill "$(<"$DIR/$k.pid")"; fi
  done
  for ((k = 0; k < NODES; k++)); do
    for ((i = 0; i < 50; i++)); do alive "$k" || break; sleep 0.1; done
    if alive "$k"; then kill -9 "$(<"$DIR/$k.pid")"; fi
  done
  # A pid file marks the folder as ours: nothing else is ever removed.
  if [[ -e $DIR/0.pid ]]; then rm -rf -- "$DIR"; fi
}

start() { # K
  local k address=127.0.0.1:$((PORT + $1)) volumes=("$DIR/data0")
  if ((NODES > 1)); then
    volumes=()
    for ((k = 0; k < NODES; k++)); do volumes+=("http://127.0.0.1:$((PORT + k))$DIR/data$k"); done
    # Lets a cluster use folders of one disk
    export MINIO_CI_CD=1
  fi
  # In a container MinIO waits for ever for a node whose name resolves to loopback, unless it is told which one is its own.
  _MINIO_SERVER_LOCAL=$address nohup "$BIN/minio" server --quiet --address "$address" "${volumes[@]}" \
    </dev/null >>"$DIR/$1.log" 2>&1 &
  echo $! >"$DIR/$1.pid"
}

up() {
  local k
  install minio "$MINIO_VERSION"
  install mc "$MC_VERSION"
  down
  [[ ! -e $DIR ]] || die "$DIR exists and is not ours"
  for ((k = 0; k < NODES; k++)); do
    # Somebody else on the port would answer our health check.
    ! (: <>"/dev/tcp/127.0.0.1/$((PORT + k))") 2>/dev/null || die "port $((PORT + k)) is taken, set MINIO_PORT"
  done
  for ((k = 0; k < NODES; k++)); do
    mkdir -p "$DIR/data$k"
    start "$k"
  done
  for ((SECONDS = 0; SECONDS < 300; )); do
    # Not "alive": until it is MinIO, it has the command line of this script
    kill -0 "$(<"$DIR/0.pid")" 2>/dev/null || break
    if curl -sf -o /dev/null --max-time 2 "$URL/minio/health/cluster"; then
      printf 'export %s=%q\n' S3_ENDPOINT "$URL" S3_REGION us-east-1 \
        AWS_ACCESS_KEY_ID "$MINIO_ROOT_USER" AWS_SECRET_ACCESS_KEY "$MINIO_ROOT_PASSWORD"
      return
    fi
    sleep 0.1
  done
  tail -n 10 "$DIR"/*.log >&2
  down
  die "not ready; its last lines are above"
}

case ${1:-} in
  up | down) "$1" ;;
  start) start "${2:?}" ;;
  *) echo "usage: $0 up|down|start K   (MINIO_PORT MINIO_NODES MINIO_DIR MINIO_BIN MINIO_ROOT_USER MINIO_ROOT_PASSWORD)" >&2; exit 2 ;;
esac
