#!/usr/bin/env bash
# Do the deployment's parts fit together? Needs no container engine, and so finds in any CI what would else only show
# when somebody builds the images. Uses docker compose and shellcheck where they are installed. Needs node_modules (npm ci).
set -euo pipefail
cd "$(dirname "$0")/../.."

failures=0
fail() { echo "FAIL  $*"; failures=$((failures + 1)); }
pin() { sed -nE "s/^(ARG )?$2=(v[^ ]+).*/\2/p" "$1"; } # FILE VARIABLE

scripts=(test/engines/*.sh minio/*.sh)
for script in "${scripts[@]}"; do
  bash -n "$script" || fail "$script: syntax"
  [[ -x $script ]] || fail "$script is not executable"
done
# The image's shell is not bash.
if command -v dash >/dev/null; then dash -n minio/init.sh || fail "minio/init.sh: POSIX syntax"; fi
if command -v shellcheck >/dev/null; then shellcheck "${scripts[@]}" || fail "shellcheck"; fi

for variable in MINIO_VERSION MC_VERSION; do
  image=$(pin minio/Dockerfile $variable) engine=$(pin test/engines/minio.sh $variable)
  [[ -n $image && $image == "$engine" ]] || fail "$variable: minio/Dockerfile '$image', test/engines/minio.sh '$engine'"
done

# Says whether the lock file is complete without touching node_modules.
npm ci --dry-run --ignore-scripts >/dev/null 2>&1 || fail "npm ci, which the Dockerfile runs, would fail: try npm ci --dry-run"

if docker compose version >/dev/null 2>&1; then docker compose config -q || fail "docker compose config"; fi

node --input-type=module - <<'JS' || fail "the lines above"
import { existsSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'

const read = (path) => readFileSync(path, 'utf8')
const fail = (text) => {
  console.log(`FAIL  ${text}`)
  process.exitCode = 1
}
const check = (ok, text) => ok || fail(text)

for (const path of ['minio/policy.json', 'deploy/lifecycle.json', 'deploy/aws-iam-policy.json']) {
  try {
    JSON.parse(read(path))
  } catch (error) {
    fail(`${path}: ${error.message}`)
  }
}

// Both policies must let the server do the same things to objects.
const actions = (path) =>
  JSON.parse(read(path))
    .Statement.filter((s) => s.Effect === 'Allow')
    .flatMap((s) => s.Action)
    .sort()
    .join()
check(actions('minio/policy.json') === actions('deploy/aws-iam-policy.json'), 'the policies for MinIO and AWS differ')

/** Instructions with continued lines joined and comments left out. */
const instructions = (path) =>
  read(path)
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')

const { scripts, name, description, license } = JSON.parse(read('package.json'))
const ignored = read('.dockerignore').split('\n')
for (const [path, context] of [
  ['Dockerfile', '.'],
  ['minio/Dockerfile', 'minio'],
]) {
  const lines = instructions(path)
  for (const line of lines) {
    for (const [, script] of line.matchAll(/npm run (?:--\S+ )*([\w:-]+)/g)) {
      check(script in scripts, `${path}: package.json has no script "${script}"`)
    }
    // Docker takes JSON that does not parse for a shell command, without a word.
    const exec = line.match(/^(?:CMD|ENTRYPOINT)\s+(\[.*)$/)?.[1] ?? line.match(/^HEALTHCHECK.*?\bCMD\s+(\[.*)$/)?.[1]
    if (exec !== undefined) {
      try {
        JSON.parse(exec)
      } catch {
        fail(`${path}: no JSON: ${exec}`)
      }
    }
    const copied = line.match(/^COPY\s+(?!--from)(.+)\s+\S+$/)?.[1].split(/\s+/) ?? []
    for (const source of copied.filter((s) => s !== '.')) {
      check(existsSync(`${context}/${source}`), `${path}: ${source} does not exist`)
      check(context !== '.' || ignored.includes(`!${source.split('/')[0]}`), `.dockerignore keeps ${source} out of the image`)
    }
    const from = line.match(/^FROM\s+(?:--\S+\s+)?(\S+)/)?.[1]
    // The tag is for people and renovate.json, the digest for the engine
    check(from === undefined || /:\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}$/.test(from), `${path}: ${from} is not pinned by digest`)
  }
  // A name can be root in /etc/passwd, so Kubernetes' runAsNonRoot refuses it
  const user = lines.findLast((line) => line.startsWith('USER'))?.split(/\s+/)[1]
  check(/^[1-9]\d*:[1-9]\d*$/.test(user), `${path}: runs as ${user}, not as the number of a user and a group other than root`)
}
const dockerfile = instructions('Dockerfile')
const entry = JSON.parse(dockerfile.findLast((line) => line.startsWith('CMD')).replace(/^CMD\s+/, '')).join(' ')
check(scripts.start === entry, `Dockerfile starts "${entry}", npm start "${scripts.start}"`)
// What runs is copied from the build as a whole; what build/image.ts puts there is checked by test/deploy/image.long.test.ts.
const stage = dockerfile.slice(dockerfile.findLastIndex((line) => line.startsWith('FROM')))
const copies = stage.filter((line) => /^(COPY|ADD)/.test(line)).join()
check(copies === 'COPY --from=build /image ./', `Dockerfile: the image has more than what runs: ${copies}`)

check(dockerfile[0].startsWith('FROM --platform=$BUILDPLATFORM '), 'Dockerfile: the build would be emulated for another platform')
const labels = { title: name, description, licenses: license }
for (const [label, value] of Object.entries(labels)) {
  const line = `org.opencontainers.image.${label}="${value}"`
  check(stage.some((line) => line.startsWith('LABEL')) && stage.join().includes(line), `Dockerfile: no label ${line}`)
}
const program = entry.split(' ').at(-1)
if (existsSync('dist')) check(existsSync(program), `the build makes no ${program}`)

const { services, volumes = {} } = parse(read('docker-compose.yml'), { merge: true })
for (const [name, service] of Object.entries(services)) {
  for (const dependency of Object.keys(service.depends_on ?? {})) {
    check(dependency in services, `compose: ${name} depends on ${dependency}, which is no service`)
  }
  for (const port of service.ports ?? []) check(port.startsWith('127.0.0.1:'), `compose: ${name} opens ${port} to all`)
  for (const volume of service.volumes ?? []) check(volume.split(':')[0] in volumes, `compose: no volume ${volume}`)
  check(service.read_only && service.cap_drop?.includes('ALL'), `compose: ${name} is not hardened`)
  if (service.build) check(existsSync(`${service.build}/Dockerfile`), `compose: ${name} has no Dockerfile`)
}
const { server, minio, 'minio-init': init } = services
// The image listens to every address, which the server refuses without one of the two.
const opened = dockerfile.some((line) => line.startsWith('ENV') && line.includes('HOST=0.0.0.0'))
check(!opened || /:-true\}$/.test(server.environment.ALLOW_OPEN), 'compose: the server would not start without API_KEYS')
check(!dockerfile.some((line) => line.includes('ALLOW_OPEN=true')), 'Dockerfile: the image is open by default')
for (const name of ['API_KEYS', 'SIGNING_SECRETS']) check(name in server.environment, `compose: no ${name}`)
check(init.image === minio.image, 'compose: minio-init runs another image than minio builds')
for (const name of ['MINIO_ROOT_USER', 'MINIO_ROOT_PASSWORD']) {
  check(init.environment[name] === minio.environment[name], `compose: ${name} differs between minio and minio-init`)
}
for (const [theirs, ours] of [
  ['AWS_ACCESS_KEY_ID', 'STORY_IMAGES_ACCESS_KEY'],
  ['AWS_SECRET_ACCESS_KEY', 'STORY_IMAGES_SECRET_KEY'],
  ['S3_ENDPOINT', 'MINIO_ENDPOINT'],
  ['S3_BUCKET', 'S3_BUCKET'],
  ['S3_PREFIX', 'S3_PREFIX'],
]) {
  check(server.environment[theirs] === init.environment[ours], `compose: ${theirs} is not minio-init's ${ours}`)
}
for (const [, name] of read('minio/init.sh').matchAll(/\$\{(\w+):\?/g)) {
  check(name in init.environment, `compose: minio-init lacks ${name}`)
}
JS

((failures == 0)) || exit 1
echo "check-deployment: everything fits"
