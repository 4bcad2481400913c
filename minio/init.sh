#!/bin/sh
# Prepares a MinIO for the server: the bucket, and an access key that can do there what the server does and no more.
# May run any number of times; an existing bucket keeps its objects, an existing key gets the given secret.
#
# There is no lifecycle rule for unfinished multipart uploads, as deploy/lifecycle.json is for AWS and Ceph: MinIO
# refuses AbortIncompleteMultipartUpload and removes them by itself, after 24 hours unless
# MINIO_API_STALE_UPLOADS_EXPIRY says otherwise.
set -eu

: "${MINIO_ENDPOINT:?the URL of MinIO, such as http://127.0.0.1:9000}"
: "${MINIO_ROOT_USER:?}" "${MINIO_ROOT_PASSWORD:?}"
: "${S3_BUCKET:?}" "${STORY_IMAGES_ACCESS_KEY:?}" "${STORY_IMAGES_SECRET_KEY:?}"
S3_PREFIX=${S3_PREFIX:-}

die() {
  echo "init.sh: $*" >&2
  exit 1
}

# These go into a policy, where * and ? match anything and ${…} is a variable.
case $S3_BUCKET in *[!a-z0-9.-]*) die "S3_BUCKET is no bucket name: $S3_BUCKET" ;; esac
case $S3_PREFIX in *[!A-Za-z0-9._/-]*) die "S3_PREFIX may hold letters, digits and . _ / - only" ;; esac
case $STORY_IMAGES_ACCESS_KEY in *[!A-Za-z0-9_-]*) die "STORY_IMAGES_ACCESS_KEY may hold letters, digits, _ and - only" ;; esac
# mc takes the part after a colon for a session token.
case $MINIO_ROOT_USER$MINIO_ROOT_PASSWORD in *:*) die "MINIO_ROOT_USER and MINIO_ROOT_PASSWORD must hold no colon" ;; esac
case $MINIO_ENDPOINT in http://?* | https://?*) ;; *) die "MINIO_ENDPOINT must start with http:// or https://" ;; esac

here=$(cd -- "$(dirname -- "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# Secrets reach mc in the environment and on its input: arguments can be read by every user of the machine. A folder
# of its own, because mc writes a configuration and the home folder may be read-only, missing or somebody's.
export HOME="$tmp" MC_CONFIG_DIR="$tmp/mc"
export MC_HOST_root="${MINIO_ENDPOINT%%://*}://$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD@${MINIO_ENDPOINT#*://}"

timeout 60 mc --quiet ready root >/dev/null || die "MinIO at $MINIO_ENDPOINT is not ready"

mc --quiet mb --ignore-existing "root/$S3_BUCKET"

# A policy for each key, so that one MinIO can serve several deployments. Its Deny is there because MinIO lets every
# user change his own secret and make further keys, which a change of the secret would not end.
policy=story-images-$STORY_IMAGES_ACCESS_KEY
sed -e "s|BUCKET|$S3_BUCKET|g" -e "s|PREFIX|$S3_PREFIX|g" "$here/policy.json" >"$tmp/policy.json"
mc --quiet admin policy create root "$policy" "$tmp/policy.json"
printf '%s\n%s\n' "$STORY_IMAGES_ACCESS_KEY" "$STORY_IMAGES_SECRET_KEY" | mc --quiet admin user add root
# Attaching what is attached is an error to mc.
if ! mc --quiet admin policy attach root "$policy" --user "$STORY_IMAGES_ACCESS_KEY" >"$tmp/attach" 2>&1; then
  grep -q 'already in effect' "$tmp/attach" || die "$(cat "$tmp/attach")"
fi
echo "bucket $S3_BUCKET and access key $STORY_IMAGES_ACCESS_KEY are ready"
