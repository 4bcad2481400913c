#!/usr/bin/env bash
# What checks of releases can do without GitHub: the workflows by actionlint (which runs shellcheck on their scripts) and zizmor, the
# versions of all parts, the lists of what the packages are made of, and that the packages can be packed. Needs Go, Python, node_modules and `npm run build`.
set -euo pipefail
cd "$(dirname "$0")/../.."

# renovate.json raises both
ACTIONLINT_VERSION=v1.7.12
ZIZMOR_VERSION=1.32.0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL  $*"; exit 1; }

# Kept between runs, outside the clone
tools=${XDG_CACHE_HOME:-$HOME/.cache}/story-images/release-$ACTIONLINT_VERSION-$ZIZMOR_VERSION
if [[ ! -e $tools/ready ]]; then
  rm -rf "$tools"
  mkdir -p "$tools"
  GOBIN=$tools go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT_VERSION"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "zizmor==$ZIZMOR_VERSION"
  touch "$tools/ready"
fi
lint() { # FOLDER: with .github in it
  (cd "$1" && "$tools/actionlint" .github/workflows/*.yml) && "$tools/venv/bin/zizmor" --offline --strict-collection --no-progress --quiet "$1/.github"
}

command -v shellcheck >/dev/null || fail 'no shellcheck, which actionlint would leave out without a word'
lint . || fail 'the workflows'
# A linter that finds nothing proves nothing: each of these has to be found
breaks() { # WHAT SED-EXPRESSION
  rm -rf "$work/broken" && mkdir "$work/broken" && cp -r .github "$work/broken/"
  sed -i -E "$2" "$work"/broken/.github/workflows/*.yml
  if diff -rq .github "$work/broken/.github" >/dev/null; then fail "nothing to break: $1"; fi
  git -C "$work/broken" init -q
  if lint "$work/broken" >"$work/found" 2>&1; then fail "found nothing wrong: $1"; fi
}
breaks 'an action that is not pinned by digest' 's/(actions\/checkout)@[0-9a-f]+/\1@v7/'
breaks 'the rights of the repository for pull requests of strangers' 's/^  pull_request:$/  pull_request_target:/'
# What is in single quotes is for sed and the workflows
# shellcheck disable=SC2016
breaks 'the name of a tag in a script' 's/"\$GITHUB_REF_NAME"/"${{ github.ref_name }}"/'
breaks 'an output that does not exist' 's/outputs\.version/outputs.versions/'
breaks 'a job that does not exist' 's/needs: \[ci, check\]/needs: [ci, checks]/'
# shellcheck disable=SC2016
breaks 'a variable of a script without quotes' 's/--yes --recursive "\$IMAGE"/--yes --recursive $IMAGE/'
echo 'actionlint and zizmor find nothing in the workflows, and what is planted'

# A digest and the version behind it belong together in each use
uses=$(grep -rhoE 'uses: [^ ]+@.*' .github/workflows | sort -u)
names=$(sed -E 's/uses: ([^@]+)@.*/\1/' <<<"$uses" | sort)
[[ $(uniq -d <<<"$names") == '' ]] || fail "actions in two versions: $(uniq -d <<<"$names" | tr '\n' ' ')"
if grep -vE '@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$' <<<"$uses"; then fail 'actions without a digest and a version'; fi

node build/check-release.mjs
node --input-type=module - <<'JS'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
const read = (path) => readFileSync(path, 'utf8')
const fail = (text) => {
  console.log(`FAIL  ${text}`)
  process.exitCode = 1
}
// The node of the gate's container has to be one that the packages accept, and Helm the one that the chart is tested with
const { jobs, on } = parse(read('.github/workflows/release.yml'))
if (on.push.tags.join() !== 'v*.*.*') fail('release.yml runs for other tags than check-release.mjs takes')
for (const [name, { needs = [], permissions }] of Object.entries(jobs)) {
  if (name !== 'ci' && name !== 'check' && ![needs].flat().includes('check')) fail(`release.yml: ${name} publishes without the check`)
  if (permissions === undefined) fail(`release.yml: ${name} says nothing of its rights`)
}
const { run } = parse(read('.github/workflows/ci.yml')).jobs.gate.steps.at(-1)
if (run !== '.ci/run') fail('ci.yml does not run .ci/run')
JS
node --input-type=module - <<'JS'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { strict as assert } from 'node:assert'
import { parse } from 'yaml'
const read = (path) => readFileSync(path, 'utf8')
// A pattern that matches nothing raises nothing
for (const { managerFilePatterns: files, matchStrings, depNameTemplate } of JSON.parse(read('renovate.json')).customManagers)
  for (const file of files.filter(existsSync))
    for (const pattern of matchStrings)
      assert.match(read(file), new RegExp(pattern), `renovate.json finds no version of ${depNameTemplate} in ${file}`)
const templates = '.github/ISSUE_TEMPLATE'
for (const file of readdirSync(templates).filter((name) => name !== 'config.yml')) {
  const { name, description, body } = parse(read(`${templates}/${file}`))
  assert.ok(name && description, file)
  const ids = body.filter(({ type }) => type !== 'markdown').map(({ id, attributes }) => attributes.label && id)
  assert.ok(ids.every(Boolean) && new Set(ids).size === ids.length, `${file}: each field has a name and a label of its own`)
}
JS
if [[ -e test/deploy/helm.sh ]]; then
  tested=$(sed -nE 's/^HELM_VERSION=//p' test/deploy/helm.sh) used=$(sed -nE 's/^ +HELM_VERSION: //p' .github/workflows/release.yml)
  [[ $tested == "$used" ]] || fail "the chart is tested with Helm $tested, and released with $used"
fi

node build/sbom.mjs "$work"
node --input-type=module - "$work" <<'JS'
import { readFileSync } from 'node:fs'
import { strict as assert } from 'node:assert'
const folder = process.argv[2]
const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const read = (name) => {
  const bom = JSON.parse(readFileSync(`${folder}/${name}.cdx.json`, 'utf8'))
  assert.equal(bom.bomFormat, 'CycloneDX')
  assert.deepEqual([bom.metadata.component.name, bom.metadata.component.version], [name, version])
  assert.equal(bom.metadata.component.purl, `pkg:npm/${name}@${version}`)
  return bom.components.map((component) => component['bom-ref']).sort()
}
// What the lock file has of it, without what only the client needs
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
const named = (isMeant) =>
  Object.entries(packages)
    .filter(([path, entry]) => path.startsWith('node_modules/') && !entry.dev && !entry.link && isMeant(entry))
    .map(([path, { name, version }]) => `${name ?? path.replace(/.*node_modules\//, '')}@${version}`)
const locked = named(({ devOptional }) => !devOptional)
const ofClient = locked.filter((name) => /^openapi-(fetch|typescript-helpers)@/.test(name))
// For another runtime than Node.js; npm 10 lists them and npm 11 does not
const optional = named(({ devOptional }) => devOptional)
// npm 10 lists a package once for each copy
const server = [...new Set(read('story-images'))].filter((name) => !optional.includes(name))
assert.deepEqual(server, [...new Set(locked)].filter((name) => !ofClient.includes(name)).sort())
assert.deepEqual(read('story-images-client'), ofClient.sort())
console.log(`the lists of what is inside are complete: ${server.length} packages of the server`)
JS

# What npm would publish
node --import ./build/typescript.mjs build/package.ts
for package in dist-package packages/client; do
  npm pack "./$package" --dry-run --ignore-scripts --json >"$work/$(basename "$package").json" 2>"$work/pack.log" || { cat "$work/pack.log"; fail "npm pack $package"; }
  if grep -i warn "$work/pack.log"; then fail "npm pack $package warns"; fi
done
node --input-type=module - "$work" <<'JS'
import { readFileSync } from 'node:fs'
import { strict as assert } from 'node:assert'
for (const folder of ['dist-package', 'packages/client']) {
  const manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const [{ name, version, files }] = JSON.parse(readFileSync(`${process.argv[2]}/${folder.replace(/.*\//, '')}.json`, 'utf8'))
  const paths = files.map(({ path }) => path)
  assert.deepEqual([name, version], [manifest.name, manifest.version])
  assert.equal(manifest.private, undefined, `${name} is private, which npm does not publish`)
  assert.deepEqual(manifest.publishConfig, { access: 'public', provenance: true })
  for (const member of ['description', 'keywords', 'license', 'engines', 'files']) assert.ok(manifest[member], `${name}: no ${member}`)
  for (const path of ['LICENSE', 'README.md', 'package.json']) assert.ok(paths.includes(path), `${name}: no ${path}`)
  for (const path of Object.values(manifest.bin ?? { main: manifest.main })) assert.ok(paths.includes(path.replace('./', '')), path)
}
assert.equal(JSON.parse(readFileSync('package.json', 'utf8')).private, true, 'the sources could be published by mistake')
console.log('both packages have what publishing needs')
JS
