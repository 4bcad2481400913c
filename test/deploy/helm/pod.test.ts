import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  get,
  IMAGES,
  isError,
  listImages,
  MULTIPART,
  multipart,
  remove,
  send,
  someImages,
  UPLOAD,
  type Uploaded,
} from '../../acceptance/client.ts'
import { openShell, type Shell } from '../../readme/shell.ts'
import { type Engine, engines, makeBucket, serverKey } from '../../support/engines.ts'
import { examplesOf, run } from '../../support/examples.ts'
import {
  containerOf,
  environmentOf,
  imageOf,
  type Manifest,
  manifestsOf,
  only,
  pathOf,
  render,
  succeed,
} from './chart.ts'

/** What a pod runs, started as a process with the command and the environment of the rendered chart; and the commands of the guide. */

const key = randomBytes(32).toString('hex')
const hash = createHash('sha256').update(key).digest('hex')

/** Starts what the server's container would run, on loopback. */
async function startPod(
  shell: Shell,
  manifests: readonly Manifest[],
  secret: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>> = {},
): Promise<{ url: string; port: number; stop(): Promise<void> }> {
  const { command } = await imageOf()
  const { command: ofThePod = command, args = [] } = containerOf(manifests)
  const code = `exec ${[...ofThePod, ...args].map((word: string) => `'${word}'`).join(' ')}`
  const environment = await environmentOf(manifests, secret)
  const server = await shell.start(code, { ...environment, HOST: '127.0.0.1', PORT: '0', ...own })
  return { ...server, port: Number(new URL(server.url).port) }
}

/** The smoke part of the acceptance tests: probes, and a story through each endpoint. */
async function useServer(
  t: Test,
  server: { port: number },
  manifests: readonly Manifest[],
  key: string,
): Promise<void> {
  const headers = { authorization: `Bearer ${key}` }
  const { startupProbe, livenessProbe, readinessProbe } = containerOf(manifests)
  // As a kubelet calls it, by the address of the pod
  for (const probe of [startupProbe, livenessProbe, readinessProbe])
    t.equal((await get(server, probe.httpGet.path, { host: '10.1.2.3:8000' })).status, 200)

  isError(t, await get(server, IMAGES), 401, /key/, 'without a key')
  const images = await someImages(3, ['jpg', 'png', 'webp'])
  const body = multipart(images.map((body) => ({ body })))
  const uploaded = await send(server, 'POST', UPLOAD, { headers: { ...MULTIPART, ...headers }, body })
  t.equal(uploaded.status, 200, uploaded.body.toString())
  const { story_id: id, image_paths: paths } = uploaded.json<Uploaded>()
  t.equal(paths.length, 3)
  for (const [index, path] of paths.entries()) t.same((await get(server, path)).body, images[index])
  const listed = (await get(server, `${IMAGES}/${id}`, headers)).json<{ path: string }[]>()
  t.same(
    listed.map(({ path }) => path),
    paths,
  )
  t.equal((await send(server, 'DELETE', `${IMAGES}/${id}`, { headers })).status, 200)
  t.equal((await get(server, paths[0] ?? '')).status, 404)
  t.same((await get(server, IMAGES, headers)).json(), [])
}

/** Runs what `helm test` would run in a pod. */
async function runTestPod(manifests: readonly Manifest[], url: string) {
  const [container] = manifests.find(({ kind }) => kind === 'Pod')?.spec.containers ?? []
  const [program, ...args] = [...container.command, ...container.args]
  const service = only(manifests, 'Service')
  const { name, value } = container.env[0]
  if (value !== `http://${service.metadata.name}:${service.spec.ports[0].port}`)
    throw new Error(`not the Service: ${value}`)
  return run(program, args, { env: { [name]: url } })
}

const NO_STORE = { endpoint: 'http://127.0.0.1:9', key: { accessKeyId: 'none', secretAccessKey: 'none' } }

t.test('on a volume, the pod of the chart serves stories, and helm test says so', async (t) => {
  const shell = openShell(t, NO_STORE.endpoint, NO_STORE.key)
  const manifests = await render('--values', pathOf('disk'))
  const secret = { API_KEYS: `admin:read+write+delete:${hash}` }
  const server = await startPod(shell, manifests, secret, { DATA_DIR: join(shell.folder, 'volume') })
  await useServer(t, server, manifests, key)
  const test = await runTestPod(manifests, server.url)
  t.equal(test.code, 0, test.stderr)
  t.match(test.stdout, /^\/livez 200 .*\n\/readyz 200 /)
  await server.stop()
  t.not((await runTestPod(manifests, server.url)).code, 0, 'helm test fails without a server')
})

t.test('a pod without keys is reached by the names of its Service, and by no other', async (t) => {
  const shell = openShell(t, NO_STORE.endpoint, NO_STORE.key)
  const manifests = await render(
    '--values',
    pathOf('disk'),
    '--set',
    'secret.name=,secret.keys=null,settings.ALLOW_OPEN=true',
  )
  const server = await startPod(shell, manifests, {}, { DATA_DIR: join(shell.folder, 'volume') })
  for (const host of ['test-story-images', 'test-story-images.stories.svc:80', '10.1.2.3:8000'])
    t.equal((await get(server, '/readyz', { host })).status, 200, host)
  t.equal((await get(server, IMAGES, { host: 'evil.example' })).status, 421)
  t.same(await listImages(server), [])
  t.equal((await remove(server, IMAGES)).status, 200)
})

const guide = await examplesOf('docs/run-on-kubernetes.md')
const page = await readFile(new URL('../../../docs/run-on-kubernetes.md', import.meta.url), 'utf8')
const [, firstValues = ''] = /^```yaml\n(.*?)^```/ms.exec(page) ?? []

for (const engine of engines.filter(({ name }) => name === 'MinIO')) {
  t.test('docs/run-on-kubernetes.md leads from nothing to an uploaded story, on MinIO', (t) => followGuide(t, engine))
}

async function followGuide(t: Test, engine: Engine): Promise<void> {
  const { Bucket } = await makeBucket(t, engine)
  const access = await serverKey(engine, Bucket)
  const shell = openShell(t, engine.endpoint, engine)
  const namespace = `stories-${randomUUID().slice(0, 8)}`
  t.teardown(() => run('kubectl', ['delete', 'namespace', namespace, '--wait=false'], { env: { KUBECONFIG } }))
  const { KUBECONFIG = '', HELM_CACHE_HOME = '', HELM_CONFIG_HOME = '', HELM_DATA_HOME = '' } = process.env
  const environment = { KUBECONFIG, HELM_CACHE_HOME, HELM_CONFIG_HOME, HELM_DATA_HOME }
  // What needs a node or Docker
  shell.command('docker', 'echo "docker $*"')
  shell.command('kubectl', 'case "$1" in rollout | port-forward) echo "kubectl $*" ;; *) exec kubectl "$@" ;; esac')
  shell.command('helm', 'case "$1" in test) echo "helm $*" ;; *) exec helm "$@" ;; esac')
  const follow = async (name: string, changes: Record<string, string> = {}, env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await shell.run(guide(name, changes), { ...environment, ...env })
    t.equal(code, 0, `${name}: ${stderr}`)
    t.notMatch(stderr, /PodSecurity/)
    return stdout
  }
  const here = { '--namespace stories': `--namespace ${namespace}` }

  const image = await follow('image')
  await follow('namespace', { 'namespace stories': `namespace ${namespace}` })
  const secret = await follow('secret', {
    ...here,
    'ACCESS_KEY_ID=story-images': `ACCESS_KEY_ID=${access.id}`,
    'a-secret-of-your-own': access.secret,
  })
  const ownKey = secret.trim().split('\n').at(-1) ?? ''
  t.match(ownKey, /^[0-9a-f]{64}$/)

  const values = firstValues.replace('http://minio.minio.svc:9000', engine.endpoint).replace('my-stories', Bucket)
  t.not(values, firstValues)
  await shell.run(`cat > values.yaml <<'END'\n${values}END`)
  const install = await follow('install', here)
  t.match(install, /STATUS: deployed/)
  t.match(install, `kubectl rollout status deployment/story-images --namespace ${namespace}`)
  t.match(install, `helm test story-images --namespace ${namespace}`)

  // What the cluster has of it, in place of the pod that no node runs
  const there = manifestsOf(await succeed('helm', ['get', 'manifest', 'story-images', '--namespace', namespace]))
  const hooks = manifestsOf(await succeed('helm', ['get', 'hooks', 'story-images', '--namespace', namespace]))
  const { data } = JSON.parse(
    await succeed('kubectl', ['get', 'secret', 'story-images', '-n', namespace, '-o', 'json']),
  )
  const decoded = Object.fromEntries(
    Object.entries(data as Record<string, string>).map(([name, value]) => [
      name,
      Buffer.from(value, 'base64').toString(),
    ]),
  )
  t.match(image, `docker push ${containerOf(there).image}\n`, 'the image that was pushed is the one that the pod runs')
  const own = await environmentOf(there, decoded)
  t.match(own, { AWS_ACCESS_KEY_ID: access.id, AWS_SECRET_ACCESS_KEY: access.secret, S3_BUCKET: Bucket })
  const server = await startPod(shell, there, decoded)
  await useServer(t, server, there, ownKey)
  t.equal((await runTestPod([...there, ...hooks], server.url)).code, 0)

  const upload = await follow('upload', { ...here, 'http://localhost:8000': server.url }, { KEY: ownKey })
  t.match(upload, `kubectl port-forward service/story-images 8000:80 --namespace ${namespace}`)
  const [, id = ''] = /"story_id":"([^"]+)"/.exec(upload) ?? []
  t.match(upload, `"path":"/images/stories/${id}/1.jpg"`)
  t.equal(
    (await send(server, 'DELETE', `${IMAGES}/${id}`, { headers: { authorization: `Bearer ${ownKey}` } })).status,
    200,
  )

  const history = async () =>
    JSON.parse(await succeed('helm', ['history', 'story-images', '--namespace', namespace, '-o', 'json']))
  t.match(await follow('upgrade', here), /REVISION: 2/)
  await follow('rollback', here)
  t.match((await history()).at(-1), { revision: 3, status: 'deployed' })
  await follow('restart', here)
  await follow('uninstall', here)
  t.not((await run('kubectl', ['get', 'deployment', 'story-images', '-n', namespace], { env: environment })).code, 0)
}
