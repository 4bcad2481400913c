#!/usr/bin/env bash
# Runs minio/init.sh twice against a running MinIO and then attacks the access key it made; fails on any hole.
# Uses MINIO_ENDPOINT, MINIO_ROOT_USER and MINIO_ROOT_PASSWORD, or without them a MinIO of its own. It makes and removes
# the buckets init-check and init-check-other. Needs node_modules (npm ci).
set -euo pipefail
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
own=
cleanup() {
  [[ -z $own ]] || test/engines/minio.sh down
  rm -rf -- "$scratch"
}
trap cleanup EXIT

if [[ -z ${MINIO_ENDPOINT:-} ]]; then
  export MINIO_PORT=${MINIO_PORT:-9140}
  own=1
  eval "$(test/engines/minio.sh up)"
  MINIO_ENDPOINT=$S3_ENDPOINT MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY
fi
export MINIO_ENDPOINT MINIO_ROOT_USER MINIO_ROOT_PASSWORD S3_PREFIX
export STORY_IMAGES_SECRET_KEY=init-check-secret OTHER_BUCKET=init-check-other
# Ours before Midnight Commander, which is called mc too.
PATH=$(go env GOPATH)/bin:$PATH

export MC_CONFIG_DIR=$scratch/mc
login() { echo "${MINIO_ENDPOINT%%://*}://$1:$2@${MINIO_ENDPOINT#*://}"; }
MC_HOST_root=$(login "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD")
export MC_HOST_root

holes=0
hole() { echo "HOLE  $*"; holes=$((holes + 1)); }
may_not() { # MC ARGUMENTS…
  if mc --quiet "$@" </dev/null >"$scratch/out" 2>&1; then hole "mc $*"; return; fi
  # A typing error or a lost connection must not pass for a refusal.
  grep -qiE 'access ?denied|not (allowed|authorized)|insufficient permission' "$scratch/out" || hole "mc $* failed for another reason: $(<"$scratch/out")"
}

attack() { # PREFIX ACCESS_KEY
  S3_PREFIX=$1
  export S3_BUCKET=init-check STORY_IMAGES_ACCESS_KEY=$2
  minio/init.sh >"$scratch/out" || { cat "$scratch/out"; exit 1; }
  minio/init.sh >"$scratch/out" || { cat "$scratch/out"; exit 1; }
  node --no-warnings minio/check-key.mjs || holes=$((holes + 1))

  MC_HOST_key=$(login "$STORY_IMAGES_ACCESS_KEY" "$STORY_IMAGES_SECRET_KEY")
  export MC_HOST_key
  may_not admin info key
  may_not admin user list key
  may_not admin user add key intruder intruder-secret
  may_not admin user remove key "$STORY_IMAGES_ACCESS_KEY"
  may_not admin policy list key
  may_not admin policy create key intruder minio/policy.json
  may_not admin policy attach key consoleAdmin --user "$STORY_IMAGES_ACCESS_KEY"
  may_not admin config get key api
  may_not --json admin service restart key
  # MinIO lets every user do these for himself, unless the policy denies it.
  may_not admin user add key "$STORY_IMAGES_ACCESS_KEY" intruder-secret
  may_not admin accesskey create key/ --access-key "intruder-of-$2" --secret-key intruder-secret
  may_not mb key/init-check-new
  may_not rb --force "key/$S3_BUCKET"
  may_not anonymous set download "key/$S3_BUCKET"
  may_not version enable "key/$S3_BUCKET"
  may_not ilm rule add --expire-days 1 "key/$S3_BUCKET"
}

mc --quiet mb --ignore-existing "root/$OTHER_BUCKET" >/dev/null
attack '' init-check-key
attack images/ init-check-prefixed

for user in init-check-key init-check-prefixed; do
  mc --quiet admin user remove root "$user" >/dev/null
  mc --quiet admin policy remove root "story-images-$user" >/dev/null
done
mc --quiet rb --force "root/$OTHER_BUCKET" root/init-check >/dev/null
((holes == 0)) || { echo "init-check: $holes holes"; exit 1; }
echo "init-check: no holes"
