#!/usr/bin/env bash
# Checks the CloudFormation template with cfn-lint, and makes its stack on Moto, by the commands of docs/run-on-aws.md. Then the server of
# dist/ runs with the environment and the role of the stack, whose rights Moto enforces. template-for-moto.ts says what Moto lacks.
# Needs a built server, Python with venv, curl and the AWS command line.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The environment of the caller must not lead the command line to AWS
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3
export AWS_ACCESS_KEY_ID=admin AWS_SECRET_ACCESS_KEY=admin-secret AWS_DEFAULT_REGION=eu-central-1
export AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
export AWS_REGION=$AWS_DEFAULT_REGION AWS_PAGER='' AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null
region=$AWS_DEFAULT_REGION

work=$(mktemp -d)
moto=''
server=''
finish() {
  local pid
  for pid in $server $moto; do kill "$pid" 2>/dev/null || true; wait "$pid" || true; done
  rm -rf "$work"
}
trap finish EXIT

fail() { echo "FAIL  $*" >&2; exit 1; }
ok() { echo "ok    $*"; }
same() { # WHAT VALUE WANTED
  [[ $2 == "$3" ]] || fail "$1: '$2', not '$3'"
  ok "$1"
}
refused() { # WHAT COMMAND…: by the rights of the role, and not for another reason
  local what=$1
  shift
  if "$@" >"$work/refused" 2>&1; then fail "$what is allowed"; fi
  grep -q AccessDenied "$work/refused" || fail "$what: $(<"$work/refused")"
  ok "$what is refused"
}
wait_for() { # WHAT COMMAND…
  local what=$1
  shift
  for ((SECONDS = 0; SECONDS < 300; )); do
    if "$@"; then return; fi
    sleep 0.1
  done
  fail "$what does not start"
}
json() { node -p "((_) => $2)(JSON.parse(require('fs').readFileSync('$1', 'utf8')))"; } # FILE EXPRESSION, in which _ is the content
example() { # NAME [FROM TO]: runs a command of the page in this shell, with what is on the left replaced
  local code
  code=$(<"$work/$1")
  if (($# > 1)); then code=${code//"$2"/$3}; fi
  eval "$code"
}
ts() { node --import ./build/typescript.mjs "$@"; }

# Kept between runs: 320 MB, which take half a minute to install
tools=${XDG_CACHE_HOME:-$HOME/.cache}/story-images/aws-$(sha256sum <test/deploy/aws-requirements.txt | cut -c 1-16)
if [[ ! -e $tools/ready ]]; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check -r test/deploy/aws-requirements.txt
  touch "$tools/ready"
fi

# W1030 and W1033 take empty defaults for values of resources, from which conditions keep them
lint() { "$tools/bin/cfn-lint" --format parseable --include-checks I --ignore-checks W1030 W1033 -- "$@"; }
template=deploy/aws/story-images.yaml
sed 's/CacheTagConfig/CacheTagsConfig/' "$template" >"$work/wrong.yaml"
if lint "$template" "$work/wrong.yaml" >"$work/lint"; then fail 'cfn-lint finds no wrong property'; fi
same 'cfn-lint finds nothing, except the property that is wrong on purpose' \
  "$(cut -d : -f 1,6 "$work/lint")" "$work/wrong.yaml:E3002"
(($(wc -c <"$template") <= 51200)) || fail 'the template is too long for a request without a bucket'

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
endpoint=http://127.0.0.1:$port
"$tools/bin/python" "$tools/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
moto=$!
wait_for Moto curl -sf -o /dev/null "$endpoint/moto-api/"
aws() { command aws --endpoint-url "$endpoint" "$@"; }
enforce() { curl -sf -o /dev/null -X POST -H 'Content-Type: text/plain' --data "$1" "$endpoint/moto-api/reset-auth"; } # from which request on

# From nothing to a stack, as the page says, but for the image, which needs Docker
docker() { cat >/dev/null; echo "docker $*" >>"$work/docker"; }
ts test/deploy/write-examples.ts docs/run-on-aws.md "$work"
example image >/dev/null </dev/null
same 'the image that is built is the one that is pushed' \
  "$(sed -nE 's/^docker build -t (\S+) \.$/\1/p' "$work/docker")" "$(sed -nE 's/^docker push //p' "$work/docker")"
example key
ts test/deploy/template-for-moto.ts >"$work/template.json"
example deploy "$template" "$work/template.json" >/dev/null

stack='story-images'
described() { aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].$1" --output text; }
physical() { aws cloudformation describe-stack-resources --stack-name "$stack" \
  --query "StackResources[?LogicalResourceId=='$1'].PhysicalResourceId" --output text; }
same 'the stack with CloudFront is made' "$(described StackStatus)" CREATE_COMPLETE

# Without CloudFront, in a VPC that is there, by another command: Moto has no outputs of a stack that was deployed
network="ParameterKey=VpcId,ParameterValue=$(physical Vpc) \
  ParameterKey=SubnetIds,ParameterValue=$(physical PrivateSubnetA)\\,$(physical PrivateSubnetB)"
stack=internal
# shellcheck disable=SC2086 # two words
aws cloudformation create-stack --stack-name "$stack" --template-body "file://$work/template.json" --capabilities CAPABILITY_IAM \
  --parameters $network ParameterKey=CloudFront,ParameterValue=false ParameterKey=Image,ParameterValue=example/story-images:0.1.0 \
  "ParameterKey=ApiKeys,ParameterValue=app:read+write+delete:${hash:?}" >/dev/null
same 'the stack without CloudFront is made' "$(described StackStatus)" CREATE_COMPLETE
example url 'stack-name story-images' "stack-name $stack"
[[ ${url:?} == http://*.elb.amazonaws.com ]] || fail "the URL is '$url'"
ok 'the URL is that of the load balancer'
bucket=$(described "Outputs[?OutputKey=='Bucket'].OutputValue")

# Moto takes nothing else of the bucket's properties
same 'the bucket is encrypted' "$(aws s3api get-bucket-encryption --bucket "$bucket" \
  --query 'ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm' --output text)" AES256

# The role of the tasks
role=$(physical TaskRole)
aws iam get-role-policy --role-name "$role" --policy-name bucket --query PolicyDocument --output json >"$work/role.json"
sed "s|:::BUCKET|:::$bucket|g" deploy/aws-iam-policy.json >"$work/policy.json"
same 'the role may do what deploy/aws-iam-policy.json says' "$(json "$work/role.json" 'JSON.stringify(_)')" \
  "$(json "$work/policy.json" 'JSON.stringify(_)')"

# The server, with the environment of the task definition and the credentials of the role
aws ecs describe-task-definition --task-definition "$(physical TaskDefinition)" --output json \
  --query 'taskDefinition.containerDefinitions[0].environment' >"$work/environment.json"
aws sts assume-role --role-arn "$(aws iam get-role --role-name "$role" --query Role.Arn --output text)" \
  --role-session-name server --query Credentials --output json >"$work/credentials.json"
# AWS asks for s3:DeleteObject of each key that DeleteObjects names, Moto asks for that of the bucket, which on AWS covers nothing
aws iam put-role-policy --role-name "$role" --policy-name moto --policy-document "{\"Version\": \"2012-10-17\", \"Statement\": [
  {\"Effect\": \"Allow\", \"Action\": \"s3:DeleteObject\", \"Resource\": \"arn:aws:s3:::$bucket\"}]}"
aws s3api create-bucket --bucket another-bucket --create-bucket-configuration "LocationConstraint=$region" >/dev/null
enforce 0
credentials=(
  AWS_ACCESS_KEY_ID="$(json "$work/credentials.json" _.AccessKeyId)"
  AWS_SECRET_ACCESS_KEY="$(json "$work/credentials.json" _.SecretAccessKey)"
  AWS_SESSION_TOKEN="$(json "$work/credentials.json" _.SessionToken)"
)
mapfile -t environment < <(json "$work/environment.json" '_.map((one) => one.name + "=" + one.value).join("\n")')
# Read below, perhaps before the server has begun
: >"$work/server.log"
# Moto is not reached by https://BUCKET.s3.REGION.amazonaws.com
env "${credentials[@]}" "${environment[@]}" SIGNING_SECRETS="$(printf 's%.0s' {1..64})" AWS_ENDPOINT_URL_S3="$endpoint" HOST=127.0.0.1 PORT=0 \
  SHUTDOWN_DELAY=0s MAX_EVENT_LOOP_DELAY=1m node dist/server.js >"$work/server.log" &
server=$!
listens() { url=$(sed -nE 's/.*"Server listening at ([^"]+)".*/\1/p' "$work/server.log"); [[ -n $url ]]; }
wait_for 'the server' listens

same 'without a key an upload is refused' \
  "$(curl -s -o /dev/null -w '%{http_code}' -F files=@docs/images/image1.jpg "$url/api/v1/images/upload")" 401
example upload >"$work/story.json"
story=$(json "$work/story.json" _.story_id)
path=$(json "$work/story.json" '_.image_paths[0]')
with_key() { curl -sSf -H "Authorization: Bearer $STORY_IMAGES_KEY" "$@"; }
same 'the server is ready' "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" 200
with_key "$url/api/v1/images" >"$work/list.json"
same 'the uploaded story is listed' "$(json "$work/list.json" '_.map((image) => image.path).join()')" "$path"
curl -sSf "$url$path" | cmp - docs/images/image1.jpg
ok 'the image is served'
same 'a variant is made' "$(curl -sSf -o /dev/null -w '%{content_type}' -H 'Accept: image/webp' "$url$path?w=320")" image/webp
same 'a ticket is given' "$(curl -s -o /dev/null -w '%{http_code}' -X POST -H "Authorization: Bearer $STORY_IMAGES_KEY" \
  "$url/api/v1/tickets")" 201

# What the role may, and what it may not
as_role_aws() { env "${credentials[@]}" aws --endpoint-url "$endpoint" "$@"; }
as_role_aws s3api head-object --bucket "$bucket" --key "stories/$story/1.jpg" >/dev/null || fail 'the role does not read images'
refused 'a key beside those of the server' as_role_aws s3api put-object --bucket "$bucket" --key other/1.jpg
refused 'the deletion of such a key' as_role_aws s3api delete-object --bucket "$bucket" --key other/1.jpg
refused 'another bucket' as_role_aws s3api put-object --bucket another-bucket --key stories/1.jpg
refused 'the list of another bucket' as_role_aws s3api list-objects-v2 --bucket another-bucket
refused 'the list of all buckets' as_role_aws s3api list-buckets
refused 'a policy of the bucket' as_role_aws s3api put-bucket-policy --bucket "$bucket" --policy '{"Version":"2012-10-17","Statement":[]}'
refused 'the deletion of the bucket' as_role_aws s3api delete-bucket --bucket "$bucket"
refused 'a role' as_role_aws iam list-roles

with_key -o /dev/null -X DELETE "$url/api/v1/images/$story"
same 'the deleted story is gone' "$(with_key "$url/api/v1/images")" '[]'
kill "$server"
wait "$server" || fail "the server ended with $?"
server=''
ok 'the server ends well'

# The stack goes, the bucket stays
enforce inf
aws s3api put-object --bucket "$bucket" --key stories/kept >/dev/null
example delete 'stack-name story-images' "stack-name $stack"
if described StackStatus 2>/dev/null; then fail 'the stack is not deleted'; fi
aws s3api head-object --bucket "$bucket" --key stories/kept >/dev/null || fail 'the bucket is gone with its stack'
ok 'the bucket stays after the stack'
