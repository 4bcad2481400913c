import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { memoryOf } from '../../../build/memory-limit.ts'
import { readConfig } from '../../../src/config.ts'
import { blocksOf, ROOT } from '../../support/examples.ts'
import { CHART, command, containerOf, environmentOf, type Manifest, only, pathOf, render, valueFiles } from './chart.ts'

/** The oldest version that the chart allows, one between, and the newest. */
const VERSIONS = ['1.31', '1.34', '1.37']

/** What kubernetes-validate has no schemas of. The API server checks these: control-plane.test.ts. */
const CUSTOM = ['PodMonitor', 'PrometheusRule', 'HTTPRoute']

const guide = blocksOf(await readFile(join(ROOT, 'docs/run-on-kubernetes.md'), 'utf8'))

t.jobs = 2

t.test('helm lint --strict has nothing to say of the chart, nor of any value file', async (t) => {
  for (const args of [[], ...valueFiles.map(({ path }) => ['--values', path])]) {
    const { code, stdout, stderr } = await command('helm', ['lint', '--strict', CHART, ...args])
    t.equal(code, 0, `${args.at(-1) ?? 'as it is'}: ${stdout}${stderr}`)
    t.match(stdout, '1 chart(s) linted, 0 chart(s) failed')
  }
})

t.ok(valueFiles.length >= 5, 'there are five value files and more')
for (const { name, path } of valueFiles) {
  for (const version of VERSIONS) {
    t.test(`with the values ${name} every object is valid for Kubernetes ${version}`, async (t) => {
      const manifests = await render('--values', path, '--kube-version', version)
      const known = manifests.filter(({ kind }) => !CUSTOM.includes(kind))
      t.ok(known.length >= 5, known.map(({ kind }) => kind).join(' '))
      const file = join(
        t.testdir({ 'all.yaml': known.map((manifest) => stringify(manifest)).join('---\n') }),
        'all.yaml',
      )
      const { code, stdout, stderr } = await command('python3', [
        '-m',
        'kubernetes_validate',
        '--strict',
        '-k',
        version,
        file,
      ])
      t.equal(code, 0, `${stdout}${stderr}`)
      for (const { kind, metadata } of known)
        t.match(
          `${stdout}${stderr}`,
          `passed for resource ${kind.toLowerCase()}/${metadata.name} against version ${version}`,
        )
    })
  }

  t.test(`with the values ${name} the server accepts its settings, and gets memory and time as they say`, async (t) => {
    const manifests = await render('--values', path)
    const environment = await environmentOf(manifests, {
      API_KEYS: `a:read:${'0'.repeat(64)}`,
      SIGNING_SECRETS: 's'.repeat(32),
      PURGE_HEADER: 'Authorization: Bearer token',
    })
    const config = readConfig(environment)
    const { settings } = parse(await readFile(path, 'utf8'))
    for (const [setting, value] of Object.entries(settings)) t.equal(environment[setting], String(value), setting)
    const { limitMib, requestMib } = memoryOf(config)
    const { resources, ports, startupProbe, livenessProbe, readinessProbe } = containerOf(manifests)
    t.equal(resources.limits.memory, `${limitMib}Mi`)
    t.equal(resources.requests.memory, `${requestMib}Mi`)
    const { spec } = only(manifests, 'Deployment').spec.template
    const seconds = (config.SHUTDOWN_DELAY + config.SHUTDOWN_TIMEOUT) / 1000
    t.ok(spec.terminationGracePeriodSeconds >= seconds + 10, `${spec.terminationGracePeriodSeconds} of ${seconds}`)
    t.equal(ports[0].containerPort, config.PORT)
    for (const [probe, path] of [
      [startupProbe, '/livez'],
      [livenessProbe, '/livez'],
      [readinessProbe, '/readyz'],
    ])
      t.same(probe.httpGet, { path, port: 'http' })
  })
}

t.test('memory, requested and at most, is what docs/memory.md says for any settings', async (t) => {
  for (const settings of [
    { UPLOAD_MEMORY: '48MiB', VARIANT_CONCURRENCY: 1 },
    { UPLOAD_MEMORY: '64 GiB', VARIANT_CONCURRENCY: '64' },
    { UPLOAD_MEMORY: 50_331_649 },
    { LIST_CONCURRENCY: 64, S3_ENDPOINT: 'http://minio:9000' },
    { LIST_CONCURRENCY: '3' },
    { UPLOAD_MEMORY: '65537kib', S3_ENDPOINT: 'https://s3.example.org' },
    {},
  ]) {
    const all = { ...settings, S3_BUCKET: 'my-stories', ALLOW_OPEN: true }
    const manifests = await render('--set', 'image.repository=x', '--set-json', `settings=${JSON.stringify(all)}`)
    const { limitMib, requestMib } = memoryOf(readConfig(await environmentOf(manifests)))
    const { limits, requests } = containerOf(manifests).resources
    t.same([limits.memory, requests.memory], [`${limitMib}Mi`, `${requestMib}Mi`], JSON.stringify(settings))
  }
})

t.test('resources of your own are merged into those', async (t) => {
  const { resources } = containerOf(await render('--values', pathOf('minio'), '--set', 'resources.limits.cpu=3'))
  t.match(resources.limits, { cpu: 3, memory: /^\d+Mi$/ })
  t.same(resources.requests.cpu, '500m')
})

t.test('the grace period is both phases of the shutdown and ten seconds', async (t) => {
  const cases = { '10s 5m': 320, '0s 1s': 11, '1500ms 1s': 13, '10m 24h': 87_010, '1 m 2 h': 7270 }
  for (const [phases, seconds] of Object.entries(cases)) {
    const [delay, timeout] = phases.split(/(?<=[a-z]) /)
    const manifests = await render(
      '--values',
      pathOf('minio'),
      '--set',
      `settings.SHUTDOWN_DELAY=${delay},settings.SHUTDOWN_TIMEOUT=${timeout}`,
    )
    t.equal(only(manifests, 'Deployment').spec.template.spec.terminationGracePeriodSeconds, seconds, phases)
  }
})

/** What does not fit, on top of the values for MinIO, and what Helm says of it. */
const WRONG: readonly (readonly [set: string, says: RegExp])[] = [
  ['settings.UPLOAD_MEMROY=64MiB', /settings.*additional properties 'UPLOAD_MEMROY' not allowed/],
  ['settings.API_KEYS=web:read:00', /settings.*additional properties 'API_KEYS' not allowed/],
  ['settings.DATA_DIR=/images', /settings.*additional properties 'DATA_DIR' not allowed/],
  ['setings.S3_BUCKET=x', /additional properties 'setings' not allowed/],
  ['settings.UPLOAD_MEMORY=47MiB', /\/settings\/UPLOAD_MEMORY': .*does not match pattern '\^\(\?<from_48MiB_to_64GiB>/],
  ['settings.MAX_FILES=0', /\/settings\/MAX_FILES': minimum/],
  ['settings.SHUTDOWN_DELAY=10', /\/settings\/SHUTDOWN_DELAY': got number, want null or string/],
  ['settings.LOG_LEVEL=loud', /\/settings\/LOG_LEVEL': value must be one of/],
  ['settings.S3_BUCKET=my--euc1-az1--x-s3', /\/settings\/S3_BUCKET': 'not' failed/],
  ['settings.HOST=localhost', /\/settings\/HOST': value must be one of/],
  ['settings.PRIVATE_IMAGES=maybe', /\/settings\/PRIVATE_IMAGES': value must be one of/],
  ['settings=null', /missing property 'settings'/],
  ['replicas=two', /\/replicas': got string, want integer/],
  ['image.digest=sha256:123', /\/image\/digest': .*does not match/],
  ['secret.keys={API_KEYS,PASSWORD}', /\/secret\/keys\/1': value must be one of/],
  ['env[0].name=API_KEYS', /\/env\/0\/name': 'not' failed/],
  ['image.repository=story-images:1.0', /\/image\/repository': .*does not match/],
  ['image.repository=', /image\.repository is not set/],
  ['settings.S3_BUCKET=null', /settings\.S3_ENDPOINT is set, but settings\.S3_BUCKET is not/],
  [
    'settings.S3_BUCKET=null,settings.S3_ENDPOINT=null',
    /there is no store: set settings\.S3_BUCKET, or persistence\.enabled/,
  ],
  [
    'settings.S3_BUCKET=null,settings.S3_ENDPOINT=null,persistence.enabled=true',
    /replicas is 2, but the disk store is for one server/,
  ],
  [
    'settings.S3_BUCKET=null,settings.S3_ENDPOINT=null,persistence.enabled=true,autoscaling.enabled=true',
    /autoscaling\.enabled needs settings\.S3_BUCKET/,
  ],
  ['persistence.enabled=true', /persistence\.enabled and settings\.S3_BUCKET are both set/],
  [
    'terminationGracePeriodSeconds=319',
    /terminationGracePeriodSeconds is 319, but SHUTDOWN_DELAY \(10s\) and SHUTDOWN_TIMEOUT \(5m\) need 320/,
  ],
  ['secret.keys={AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY}', /would not start without API_KEYS/],
  ['secret.keys={API_KEYS,AWS_ACCESS_KEY_ID}', /both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/],
  ['secret.name=', /secret\.name is not/],
  ['secret.keys=null,settings.ALLOW_OPEN=true', /secret\.keys is not/],
  ['settings.PRIVATE_IMAGES=true', /settings\.PRIVATE_IMAGES needs SIGNING_SECRETS/],
  [
    'settings.PURGE_URL=cloudfront-tags:E1EXAMPLE,secret.keys={API_KEYS,PURGE_HEADER}',
    /PURGE_HEADER in secret\.keys is for a settings\.PURGE_URL that is a URL/,
  ],
  ['podMonitor.enabled=true', /podMonitor\.keySecret\.name is not set/],
  ['ingress.enabled=true', /ingress\.hosts is empty/],
  ['httpRoute.enabled=true', /httpRoute\.parentRefs is empty/],
  ['autoscaling.enabled=true,autoscaling.minReplicas=11', /minReplicas is more than autoscaling\.maxReplicas/],
]

t.test('helm install refuses what is wrong, and names it', async (t) => {
  t.equal(
    (
      await command('helm', [
        'template',
        CHART,
        '--values',
        pathOf('minio'),
        '--set',
        'terminationGracePeriodSeconds=320',
      ])
    ).code,
    0,
  )
  for (const [set, says] of WRONG) {
    const { code, stdout, stderr } = await command('helm', [
      'template',
      CHART,
      '--values',
      pathOf('minio'),
      '--set',
      set,
    ])
    t.not(code, 0, set)
    t.match(stderr, says, set)
    t.equal(stdout, '', set)
  }
})

t.test('helm lint refuses names and values that the schema does not have', async (t) => {
  for (const [set, says] of WRONG.filter(([, says]) => says.source.includes("'")).slice(0, 5)) {
    const { code, stdout, stderr } = await command('helm', ['lint', CHART, '--values', pathOf('minio'), '--set', set])
    t.not(code, 0, set)
    t.match(`${stdout}${stderr}`, says, set)
  }
})

t.test('a chart without values says what it needs first', async (t) => {
  const { code, stderr } = await command('helm', ['template', CHART])
  t.not(code, 0)
  t.match(stderr, /image\.repository is not set: say where you pushed the image/)
})

t.test(
  'every pod keeps to what the server needs: no root, no rights, no token, no writing but to its volumes',
  async (t) => {
    for (const { name, path } of valueFiles) {
      const manifests = await render('--values', path)
      const pods = [only(manifests, 'Deployment').spec.template, ...manifests.filter(({ kind }) => kind === 'Pod')]
      t.equal(pods.length, 2, name)
      for (const { spec } of pods) {
        t.match(spec, {
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
        })
        t.same(spec.containers[0].securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        t.ok(spec.containers[0].resources.limits.memory)
      }
    }
  },
)

t.test('the disk store has one server at a time, whose volume outlives the release', async (t) => {
  const manifests = await render('--values', pathOf('disk'))
  const { replicas, strategy, template } = only(manifests, 'Deployment').spec
  t.same([replicas, strategy], [1, { type: 'Recreate' }])
  const claim = only(manifests, 'PersistentVolumeClaim')
  t.equal(claim.metadata.annotations?.['helm.sh/resource-policy'], 'keep')
  t.match(template.spec.volumes, [{ name: 'tmp' }, { persistentVolumeClaim: { claimName: claim.metadata.name } }])
  const { DATA_DIR } = await environmentOf(manifests)
  t.match(containerOf(manifests).volumeMounts[1], { name: 'data', mountPath: DATA_DIR })
  t.notOk(manifests.some(({ kind }) => kind === 'PodDisruptionBudget'))
  const own = await render('--values', pathOf('disk'), '--set', 'persistence.existingClaim=mine,persistence.keep=false')
  t.notOk(own.some(({ kind }) => kind === 'PersistentVolumeClaim'))
  t.equal(only(own, 'Deployment').spec.template.spec.volumes[1].persistentVolumeClaim.claimName, 'mine')
})

t.test('a server without keys knows the names of its Service, its Ingress and its Gateway', async (t) => {
  const names = [
    'test-story-images',
    'test-story-images.stories',
    'test-story-images.stories.svc',
    'test-story-images.stories.svc.cluster.local',
  ]
  const hosts = async (...args: string[]) => (await environmentOf(await render(...args))).ALLOWED_HOSTS
  t.equal(await hosts('--values', pathOf('open')), [...names, 'images.example.org'].join(','))
  t.equal(await hosts('--values', pathOf('open'), '--set', 'settings.ALLOWED_HOSTS=a.example.org'), 'a.example.org')
  t.equal(await hosts('--values', pathOf('minio')), undefined, 'not used with keys')
})

t.test('the Service finds the pods of the Deployment and no other, and so do budget, policy and monitor', async (t) => {
  const manifests = await render('--values', pathOf('everything'))
  const { labels } = only(manifests, 'Deployment').spec.template.metadata
  const selectors = [
    only(manifests, 'Service').spec.selector,
    only(manifests, 'Deployment').spec.selector.matchLabels,
    only(manifests, 'PodDisruptionBudget').spec.selector.matchLabels,
    only(manifests, 'NetworkPolicy').spec.podSelector.matchLabels,
    only(manifests, 'PodMonitor').spec.selector.matchLabels,
  ]
  const isFound = (selector: Record<string, string>, labels: Record<string, string> = {}) =>
    Object.entries(selector).every(([name, value]) => labels[name] === value)
  const test = manifests.find(({ kind }) => kind === 'Pod') as Manifest
  for (const selector of selectors) {
    t.ok(isFound(selector, labels))
    t.notOk(isFound(selector, test.metadata.labels))
  }
  t.equal(labels['example.org/tier'], 'web')
})

t.test('Prometheus scrapes the job that the alerts look for, and has the alerts of deploy/', async (t) => {
  const manifests = await render('--values', pathOf('aws'))
  const monitor = only(manifests, 'PodMonitor')
  const { labels } = only(manifests, 'Deployment').spec.template.metadata
  const alerts = await readFile(join(ROOT, 'deploy/prometheus-alerts.yml'), 'utf8')
  t.match(alerts, `job="${labels[monitor.spec.jobLabel]}"`)
  t.same(monitor.spec.podMetricsEndpoints[0].authorization, {
    credentials: { name: 'story-images-prometheus', key: 'key' },
  })
  t.same(only(manifests, 'PrometheusRule').spec, parse(alerts))
  t.equal(only(manifests, 'PrometheusRule').metadata.labels?.release, 'prometheus')
})

t.test('a change of a setting makes new pods', async (t) => {
  const sum = async (set: string) =>
    only(await render('--values', pathOf('minio'), '--set', set), 'Deployment').spec.template.metadata.annotations[
      'checksum/settings'
    ]
  t.not(await sum('settings.MAX_FILES=1'), await sum('settings.MAX_FILES=2'))
  t.equal(await sum('settings.MAX_FILES=1'), await sum('settings.MAX_FILES=1'))
})

t.test('the network policy lets the server reach its store and the CDN', async (t) => {
  const ports = async (name: string, set = 'replicas=2') =>
    only(await render('--values', pathOf(name), '--set', set), 'NetworkPolicy').spec.egress.flatMap(
      ({ ports }: Manifest) => ports.map(({ port }: { port: number }) => port),
    )
  t.same(await ports('minio'), [53, 53, 9000, 443])
  t.same(await ports('minio', 'settings.S3_ENDPOINT=http://minio/path'), [53, 53, 80, 443])
  t.same(await ports('open'), [53, 53, 443])
  t.same(await ports('disk', 'networkPolicy.enabled=true'), [53, 53])
  t.same(await ports('disk', 'networkPolicy.enabled=true,settings.PURGE_URL=cloudfront-tags:E1EXAMPLE'), [53, 53, 443])
  t.same(await ports('everything'), [53, 53, 443, 80])
  t.same(await ports('minio', 'settings.PURGE_URL=http://varnish:6081/purge/{tag}'), [53, 53, 9000, 6081, 443])
})

t.test('the autoscaler sets the number of replicas where there is one', async (t) => {
  const manifests = await render('--values', pathOf('aws'))
  t.notOk('replicas' in only(manifests, 'Deployment').spec)
  t.match(only(manifests, 'HorizontalPodAutoscaler').spec, {
    scaleTargetRef: { kind: 'Deployment', name: only(manifests, 'Deployment').metadata.name },
    minReplicas: 2,
    maxReplicas: 10,
  })
  t.match(only(manifests, 'PodDisruptionBudget').spec, { maxUnavailable: 1 })
})

t.test('the values of docs/run-on-kubernetes.md render by themselves', async (t) => {
  const values = guide.filter(({ language }) => language === 'yaml')
  t.ok(values.length >= 5)
  for (const { code, line } of values) {
    const file = join(t.testdir({ 'values.yaml': code }), 'values.yaml')
    const { code: status, stderr } = await command('helm', ['template', CHART, '--values', file])
    t.equal(status, 0, `line ${line}: ${stderr}`)
  }
})
