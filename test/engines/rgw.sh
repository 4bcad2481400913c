#!/usr/bin/env bash
# A throw-away Ceph RADOS gateway on loopback: one monitor, one OSD in memory, one gateway, no systemd, no manager.
# "up" starts an empty one and prints what a client needs as shell exports:
#   eval "$(test/engines/rgw.sh up)"; …; test/engines/rgw.sh down
# Needs Debian or Ubuntu; what is missing is installed with apt.
set -euo pipefail

PORT=${RGW_PORT:-7480}
MON_PORT=${RGW_MON_PORT:-$((PORT + 1))}
OSD_PORT=${RGW_OSD_PORT:-$((PORT + 2))} # first of a range of 10
DIR=${RGW_DIR:-${TMPDIR:-/tmp}/story-images-rgw-$PORT}
SIZE_GB=${RGW_SIZE_GB:-8} # an upper limit: memory is taken as objects come
ACCESS_KEY=${RGW_ACCESS_KEY:-engine-access}
SECRET_KEY=${RGW_SECRET_KEY:-engine-secret-key}
LIMIT=${RGW_LIMIT:-300} # seconds to get ready

URL=http://127.0.0.1:$PORT
CONF=$DIR/ceph.conf

die() { echo "rgw.sh: $*" >&2; exit 1; }

# The command line too, because a pid from an old file may belong to somebody else by now.
alive() { # NAME
  local pid
  pid=$(cat "$DIR/$1.pid" 2>/dev/null) && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *" -c $CONF "* ]]
}

# A step that hangs (Ceph's clients wait for ever for a monitor) must not hang the whole run.
step() { timeout -k 2 "$((LIMIT > SECONDS ? LIMIT - SECONDS : 1))" "$@" >>"$DIR/setup.log" 2>&1; }

daemon() { # NAME COMMAND…
  local name=$1
  shift
  nohup "$@" -f </dev/null >"$DIR/$name.log" 2>&1 &
  echo $! >"$DIR/$name.pid"
}

install() {
  local packages=(radosgw ceph-mon ceph-osd) sudo=()
  # Each package has a command of its own name.
  if type "${packages[@]}" >/dev/null 2>&1; then return; fi
  if ((EUID != 0)); then sudo=(sudo); fi
  "${sudo[@]}" apt-get update -q >&2
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}" >&2
}

write_conf() { # FSID
  cat >"$CONF" <<CONF
[global]
fsid = $1
mon host = v2:127.0.0.1:$MON_PORT
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind port min = $OSD_PORT
ms bind port max = $((OSD_PORT + 9))
# No keys to make and hand out on loopback. The gateway alone still insists on an encrypted connection to the monitor,
# which without keys never comes about and shows as a hang: hence the explicit mode.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
keyring = /dev/null
run dir = $DIR
admin socket =
crash dir = $DIR
pid file =
# Everything to the daemon's stderr, so that one file per daemon tells why it died.
log to file = false
log to stderr = true
mon cluster log to file = false
# One OSD: no replicas, few placement groups, and no manager that would adjust them.
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 1000
# Each pool creation waits for a round of the monitor; the gateway creates a dozen.
paxos propose interval = 0.02
paxos min wait = 0.02

[mon]
mon data = $DIR/mon
# A nearly full disk of the host is no concern of a store that lives in memory.
mon data avail crit = 1
mon data avail warn = 2

[osd]
osd data = $DIR/osd
osd objectstore = memstore
memstore device bytes = ${SIZE_GB}G

[client.rgw]
rgw data = $DIR/rgw
rgw frontends = beast endpoint=127.0.0.1:$PORT
# Deleted objects give their memory back after seconds instead of two hours: the OSD is small.
rgw gc obj min wait = 5
rgw gc processor period = 5
CONF
}

down() {
  local name pid i
  for name in rgw osd mon; do
    alive "$name" || continue
    pid=$(<"$DIR/$name.pid")
    kill "$pid"
    for ((i = 0; i < 50; i++)); do alive "$name" || break; sleep 0.1; done
    if alive "$name"; then kill -9 "$pid"; fi
  done
  # The configuration marks the folder as ours: nothing else is ever removed.
  if [[ -e $CONF ]]; then rm -rf -- "$DIR"; fi
}

failed() {
  trap - EXIT
  tail -n 8 "$DIR"/*.log 2>/dev/null | cut -c1-300 >&2 || true
  down
  die "not ready; the last lines of its logs are above"
}

up() {
  local port fsid osd
  install
  SECONDS=0
  down
  [[ ! -e $DIR ]] || die "$DIR exists and is not ours"
  for port in "$PORT" "$MON_PORT"; do
    ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "port $port is taken, set RGW_PORT"
  done
  mkdir -p "$DIR"/{mon,osd,rgw}
  trap failed EXIT
  fsid=$(</proc/sys/kernel/random/uuid)
  osd=$(</proc/sys/kernel/random/uuid)
  write_conf "$fsid"

  step monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$MON_PORT]" "$DIR/monmap"
  step ceph-mon -c "$CONF" -i a --mkfs --monmap "$DIR/monmap"
  daemon mon ceph-mon -c "$CONF" -i a
  step ceph -c "$CONF" osd new "$osd"
  step ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$osd"
  daemon osd ceph-osd -c "$CONF" -i 0
  # Also waits until the OSD serves, and creates the gateway's pools.
  step radosgw-admin -c "$CONF" -n client.rgw user create --uid=engine --display-name=engine \
    --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY"
  daemon rgw radosgw -c "$CONF" -n client.rgw
  until curl -s -o /dev/null --max-time 2 "$URL/"; do
    # Not "alive": until it is radosgw, it has the command line of this script
    kill -0 "$(<"$DIR/rgw.pid")"
    ((SECONDS < LIMIT))
    sleep 0.1
  done
  trap - EXIT
  printf 'export %s=%q\n' S3_ENDPOINT "$URL" S3_REGION us-east-1 \
    AWS_ACCESS_KEY_ID "$ACCESS_KEY" AWS_SECRET_ACCESS_KEY "$SECRET_KEY"
}

case ${1:-} in
  up | down) "$1" ;;
  *) echo "usage: $0 up|down   (RGW_PORT RGW_DIR RGW_SIZE_GB RGW_ACCESS_KEY RGW_SECRET_KEY)" >&2; exit 2 ;;
esac
