import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { CHART, command, type Manifest, manifestsOf, only, pathOf, render, succeed, valueFiles } from './chart.ts'

/** The chart on the API server of Kubernetes, whose admission refuses pods that are not `restricted`. */

const json = async (...args: string[]) => JSON.parse(await succeed('kubectl', [...args, '-o', 'json']))

/** Makes a namespace that goes away with the test. */
async function makeNamespace(t: Test): Promise<string> {
  const name = `test-${randomUUID().slice(0, 8)}`
  await succeed('kubectl', ['create', 'namespace', name])
  const modes = ['enforce', 'warn'].map((mode) => `pod-security.kubernetes.io/${mode}=restricted`)
  await succeed('kubectl', ['label', 'namespace', name, ...modes])
  // There is no controller that makes it
  await succeed('kubectl', ['create', 'serviceaccount', 'default', '-n', name])
  t.teardown(() => command('kubectl', ['delete', 'namespace', name, '--wait=false']))
  return name
}

/** Asks the API server whether it would admit a pod, without making it. */
const admit = (namespace: string, pod: unknown) =>
  command('kubectl', ['create', '--dry-run=server', '-n', namespace, '-f', '-'], JSON.stringify(pod))

const podOf = (template: Manifest) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'pod', labels: template.metadata.labels },
  // matchLabelKeys needs a label that the controller of replica sets adds
  spec: { ...template.spec, topologySpreadConstraints: undefined, priorityClassName: undefined },
})

/** What a release has in the cluster, by kind. */
async function namesIn(namespace: string, kind: string): Promise<string[]> {
  const { items } = await json('get', kind, '-n', namespace, '-l', 'app.kubernetes.io/name=story-images')
  return items.map(({ metadata }: Manifest) => metadata.name)
}

const KINDS = [
  'deployment',
  'service',
  'configmap',
  'serviceaccount',
  'poddisruptionbudget',
  'horizontalpodautoscaler',
  'networkpolicy',
  'ingress',
  'httproute',
  'podmonitor',
  'prometheusrule',
  'persistentvolumeclaim',
]

t.test('install, upgrade, rollback and uninstall do what they say', async (t) => {
  const namespace = await makeNamespace(t)
  const helm = (...args: string[]) => command('helm', [...args, '--namespace', namespace])
  const values = ['--values', pathOf('minio')]
  const install = await helm('install', 'test', CHART, ...values)
  t.equal(install.code, 0, install.stderr)
  t.notMatch(install.stderr, /PodSecurity/)
  t.match(install.stdout, /STATUS: deployed/)
  t.match(install.stdout, `port-forward service/test-story-images 8000:80`)
  const data = async () => (await json('get', 'configmap', 'test-story-images', '-n', namespace)).data
  const sum = async () =>
    (await json('get', 'deployment', 'test-story-images', '-n', namespace)).spec.template.metadata.annotations[
      'checksum/settings'
    ]
  t.match(await data(), { S3_BUCKET: 'my-stories', HOST: '0.0.0.0', SHUTDOWN_DELAY: '10s' })
  const first = await sum()

  const upgrade = await helm('upgrade', 'test', CHART, ...values, '--set', 'settings.MAX_FILES=7')
  t.equal(upgrade.code, 0, upgrade.stderr)
  t.match(await data(), { MAX_FILES: '7' })
  t.not(await sum(), first)

  const wrong = await helm('upgrade', 'test', CHART, ...values, '--set', 'settings.MAX_FILES=0')
  t.not(wrong.code, 0)
  t.match(wrong.stderr, /\/settings\/MAX_FILES/)
  t.match(await data(), { MAX_FILES: '7' }, 'a wrong value changes nothing')

  const rollback = await helm('rollback', 'test')
  t.equal(rollback.code, 0, rollback.stderr)
  t.notOk('MAX_FILES' in (await data()))
  t.equal(await sum(), first)

  const uninstall = await helm('uninstall', 'test')
  t.equal(uninstall.code, 0, uninstall.stderr)
  for (const kind of KINDS) t.same(await namesIn(namespace, kind), [], kind)
})

for (const { name, path } of valueFiles) {
  t.test(`with the values ${name} the API server takes every object and admits the pods`, async (t) => {
    const namespace = await makeNamespace(t)
    const install = await command('helm', ['install', 'test', CHART, '--namespace', namespace, '--values', path])
    t.equal(install.code, 0, install.stderr)
    t.notMatch(install.stderr, /[Ww]arning|PodSecurity|unknown field/)

    // What was rendered is what is there, each member of it: the API server drops what it does not know
    const manifests = await render('--values', path, '--namespace', namespace)
    for (const manifest of manifests.filter(({ metadata }) => !metadata.annotations?.['helm.sh/hook'])) {
      const { kind, metadata } = manifest
      t.match(await json('get', kind, metadata.name, '-n', namespace), manifest, `${kind} ${metadata.name}`)
    }

    const { template } = (await json('get', 'deployment', only(manifests, 'Deployment').metadata.name, '-n', namespace))
      .spec
    const server = await admit(namespace, podOf(template))
    t.equal(server.code, 0, server.stderr)
    const test = manifestsOf(await succeed('helm', ['get', 'hooks', 'test', '--namespace', namespace]))
    t.same(
      test.map(({ kind }) => kind),
      ['Pod'],
    )
    const hook = await admit(namespace, test[0])
    t.equal(hook.code, 0, hook.stderr)
  })
}

t.test('the namespace does refuse a pod that is not restricted, and the custom resources a wrong member', async (t) => {
  const namespace = await makeNamespace(t)
  const manifests = await render('--values', pathOf('minio'), '--set', 'serviceAccount.create=false')
  const { template } = only(manifests, 'Deployment').spec
  t.equal((await admit(namespace, podOf(template))).code, 0)
  const [container] = template.spec.containers
  for (const [what, changed] of [
    ['runAsNonRoot', { ...template.spec, securityContext: {} }],
    ['allowPrivilegeEscalation', { ...template.spec, containers: [{ ...container, securityContext: {} }] }],
    ['hostNetwork', { ...template.spec, hostNetwork: true }],
  ] as const) {
    const { code, stderr } = await admit(namespace, podOf({ ...template, spec: changed }))
    t.not(code, 0, what)
    t.match(stderr, /violates PodSecurity "restricted/, what)
  }
  const monitored = await render('--values', pathOf('aws'))
  for (const kind of ['PodMonitor', 'PrometheusRule']) {
    const good = only(monitored, kind)
    t.equal((await admit(namespace, good)).code, 0)
    const { code, stderr } = await admit(namespace, { ...good, spec: { ...good.spec, unheardOf: 1 } })
    t.not(code, 0, kind)
    t.match(stderr, /unheardOf/)
  }
  const route = only(await render('--values', pathOf('gateway')), 'HTTPRoute')
  t.equal((await admit(namespace, route)).code, 0)
  t.not((await admit(namespace, { ...route, spec: { ...route.spec, hostnames: ['UPPER'] } })).code, 0)
})

t.test('the volume of the disk store outlives its release, unless the values say otherwise', async (t) => {
  const namespace = await makeNamespace(t)
  for (const keep of [true, false]) {
    const set = `persistence.keep=${keep},fullnameOverride=${keep ? 'kept' : 'gone'}`
    await succeed('helm', [
      'install',
      'test',
      CHART,
      '--namespace',
      namespace,
      '--values',
      pathOf('disk'),
      '--set',
      set,
    ])
    await succeed('helm', ['uninstall', 'test', '--namespace', namespace])
  }
  const { items } = await json('get', 'persistentvolumeclaim', '-n', namespace)
  // A claim that is going waits for a controller
  const left = items.filter(({ metadata }: Manifest) => !('deletionTimestamp' in metadata))
  t.same(
    left.map(({ metadata }: Manifest) => metadata.name),
    ['kept'],
  )
})
