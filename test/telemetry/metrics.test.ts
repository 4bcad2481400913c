import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ObjectNotFound } from '../../src/errors.ts'
import { observeStore } from '../../src/store/observed-store.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { get, IMAGES, post, send, someImages, type Uploaded, until } from '../acceptance/client.ts'
import { diskStore, serverOn, standInStore } from '../acceptance/stores.ts'
import { failing, inChunks, listKeys, putBytes, readAll } from '../support/bodies.ts'
import { openOnStandIn, startStandIn } from '../support/stores.ts'

/** The samples of the Prometheus text format, by name and labels as they are written. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at).replace(/^story_images_/, ''), Number(line.slice(at + 1))]
    }),
  )
}

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

t.test('what a server did is in its metrics, and nothing that a client wrote', async (t) => {
  const store = await standInStore(t)
  const server = await serverOn(t, store, { SWEEP_INTERVAL: '1h' })
  const images = await someImages(3)
  const key = { 'idempotency-key': 'a-key-of-a-client' }
  const uploaded = await post(
    server,
    images.map((body) => ({ body })),
    key,
  )
  const { image_paths: paths } = uploaded.json<Uploaded>()
  await post(
    server,
    images.map((body) => ({ body })),
    key,
  )
  store.standIn.fail({ operation: 'GetObject' }, 'status-503', 1)
  const image = await get(server, paths[0] ?? '')
  await get(server, paths[1] ?? '', { range: 'bytes=0-9' })
  await get(server, '/images/stories/01900000-0000-7000-8000-000000000000/1.jpg')
  await send(server, 'PROPFIND', '/wp-login.php?user=somebody')
  await get(server, '/%zz?user=somebody')
  const gone = connect(server.port, '127.0.0.1')
  gone.write(`POST ${IMAGES}/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=X\r\n`)
  gone.end('Content-Length: 9000\r\n\r\n--X\r\n')
  await get(server, `${IMAGES}?limit=1`)
  const fetched = await (async () => {
    let text = ''
    await until('the last requests and the sweep are counted', async () => {
      text = (await get(server, '/metrics')).body.toString()
      const now = samples(text)
      return (
        now.get('http_requests_total{operation="listImages",status="200"}') === 1 &&
        now.get('http_requests_total{operation="uploadStory",status="closed"}') === 1 &&
        now.get('sweeps_total{outcome="ok"}') === 1
      )
    })
    return text
  })()
  const has = samples(fetched)
  const expected = {
    'http_requests_total{operation="uploadStory",status="200"}': 2,
    'http_requests_total{operation="getImage",status="200"}': 1,
    'http_requests_total{operation="getImage",status="206"}': 1,
    'http_requests_total{operation="getImage",status="404"}': 1,
    'http_requests_total{operation="none",status="404"}': 1,
    'http_requests_total{operation="none",status="400"}': 1,
    'http_requests_total{operation="uploadStory",status="closed"}': 1,
    'http_request_duration_seconds_count{operation="getImage"}': 3,
    'http_requests_running{operation="getImage"}': 0,
    'http_requests_running{operation="getMetrics"}': 1,
    stories_stored_total: 1,
    uploads_replayed_total: 1,
    images_stored_total: 3,
    images_sent_total: 2,
    'capacity_limit{queue="images"}': 1024,
    'capacity_used{queue="images"}': 0,
    'capacity_limit_bytes{queue="small_uploads"}': 64 * 2 ** 20,
    'capacity_used_bytes{queue="small_uploads"}': 0,
    'queue_length{queue="large_uploads"}': 0,
    'store_calls_total{call="get",outcome="missing"}': 2,
    'store_fallbacks_total{call="GetObject"}': 1,
    'sweeps_total{outcome="ok"}': 1,
    'build_info{version="0.1.0",store="s3"}': 1,
  }
  for (const [name, value] of Object.entries(expected)) t.equal(has.get(name), value, name)
  t.ok((has.get('store_calls_total{call="get",outcome="ok"}') ?? 0) >= 2)
  const bytesOut = has.get('http_sent_bytes_total{operation="getImage"}') ?? 0
  t.ok(bytesOut > image.body.length + 10 && bytesOut < image.body.length + 5000, `${bytesOut} bytes sent`)
  const bytesIn = has.get('http_received_bytes_total{operation="uploadStory"}') ?? 0
  const size = 2 * images.reduce((sum, { length }) => sum + length, 0)
  t.ok(bytesIn > size && bytesIn < size + 5000, `${bytesIn} bytes received`)
  t.ok((has.get('sweep_last_success_timestamp_seconds') ?? 0) > Date.now() / 1000 - 60)
  t.ok((has.get('process_resident_memory_bytes') ?? 0) > 10e6 && has.has('nodejs_eventloop_lag_p99_seconds'))
  const host = new URL(store.standIn.endpoint).host
  for (const word of ['wp-login', 'somebody', 'PROPFIND', 'a-key-of', paths[0]?.split('/')[3] ?? '', host, 'stand-in'])
    t.notOk(fetched.includes(word), `there is no ${word}`)

  t.test('and each has a line in the log', async (t) => {
    const unreadable = () => server.log().find(({ path }) => path === '/%zz')
    const closed = () => server.log().find(({ msg }) => msg === 'the connection closed before the response was sent')
    await until('both are logged', () => unreadable() !== undefined && closed() !== undefined)
    t.match(unreadable(), { status: 400, msg: 'request completed' })
    const broken = closed()
    t.match(broken, { operation: 'uploadStory', bytesIn: Number })
    t.notOk(broken && 'status' in broken, 'no status was sent')
  })

  t.test('and the document has each of them, with its kind and meaning', async (t) => {
    const table = (await read('docs/observability.md')).match(/^\| `story_images_.*$/gm)
    const kinds = new Map([...fetched.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name, kind]))
    const rows = [...fetched.matchAll(/^# HELP (story_images_\S+) (.*)$/gm)].map(([, name, help]) => {
      const labels = [...(new RegExp(`^${name}(?:_count)?{(.*)} `, 'm').exec(fetched)?.[1]?.matchAll(/(\w+)=/g) ?? [])]
      return { name, kind: kinds.get(name ?? ''), labels: labels.map(([, label]) => label), help }
    })
    for (const { name, kind, labels, help } of rows) {
      const row = table?.find((line) => line.startsWith(`| \`${name}\` |`)) ?? ''
      const [, , told, toldLabels = '', meaning = ''] = row.split('|').map((cell) => cell.trim())
      t.equal(told, kind, `${name} is a ${kind}`)
      t.ok(meaning.startsWith(help ?? ''), `${name} means: ${help}`)
      for (const label of labels) t.ok(toldLabels.includes(`\`${label}\``), `${name} has the label ${label}`)
    }
    t.equal(table?.length, rows.length, 'and no others')
  })

  t.test('and the dashboard and the alerts ask for no others', async (t) => {
    for (const file of ['deploy/grafana-dashboard.json', 'deploy/prometheus-alerts.yml']) {
      const asked = new Set((await read(file)).match(/\b(?:story_images|process|nodejs)_[a-z0-9_]+/g))
      t.ok(asked.size > 5, `${file} asks for ${asked.size}`)
      for (const name of asked) {
        const base = name.replace(/_(bucket|sum|count)$/, '')
        t.ok(fetched.includes(`# TYPE ${name} `) || fetched.includes(`# TYPE ${base} histogram`), `${file}: ${name}`)
      }
    }
    const { panels } = JSON.parse(await read('deploy/grafana-dashboard.json')) as { panels: { title: string }[] }
    t.equal(new Set(panels.map(({ title }) => title)).size, panels.length)
  })
})

t.test('with keys the metrics need one with the scope metrics, and no limit counts them', async (t) => {
  const key = randomBytes(24).toString('base64url')
  const other = randomBytes(24).toString('base64url')
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const server = await serverOn(t, await diskStore(t), {
    API_KEYS: `prometheus:metrics:${hash(key)},web:read+write+delete+delete-all:${hash(other)}`,
    RATE_LIMIT: '2',
  })
  const ask = (shown?: string) => get(server, '/metrics', shown ? { authorization: `Bearer ${shown}` } : {})
  t.equal((await ask()).status, 401)
  t.equal((await ask(other)).status, 403)
  for (let time = 0; time < 5; time++) t.equal((await ask(key)).status, 200)
  const { headers, body } = await ask(key)
  t.match(headers, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' })
  t.notMatch(body.toString(), /prometheus"|web"/, 'no name of a key')
  t.equal((await get(server, IMAGES, { authorization: `Bearer ${key}` })).status, 403)
})

t.test('calls about deleted objects are counted, timed and traced too', async (t) => {
  const metrics = new Metrics()
  const traced: string[] = []
  const follow = (name: string, key: string) => (outcome: string) => void traced.push(`${name} ${key} ${outcome}`)
  const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
  const store = observeStore(await openOnStandIn(t, standIn), metrics, follow)
  const { deleted } = store
  if (!deleted) throw new Error('A bucket has deleted objects')
  await putBytes(store, 'a/1')
  await store.delete(['a/1'])
  traced.length = 0
  for await (const objects of deleted.list({ prefix: 'a/' })) await deleted.restore(objects)
  await deleted.purge({ prefix: 'a/' })
  standIn.fail({ operation: 'ListObjectVersions' }, 'status-503', Number.POSITIVE_INFINITY)
  await t.rejects(deleted.purge({ prefix: 'a/' }))
  t.same(traced, ['listDeleted a/ ok', 'restore a/1 ok', 'purge a/ ok', 'purge a/ unavailable'])
  const counts = samples(await metrics.text())
  for (const [call, outcome] of traced.map((line) => line.split(/ .* | /)))
    t.equal(counts.get(`store_calls_total{call="${call}",outcome="${outcome}"}`), 1, `${call} ${outcome}`)
  t.equal(counts.get('store_call_duration_seconds_count{call="purge"}'), 2)
})

t.test('calls to the store are counted by how they ended, and timed without the client', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  const metrics = new Metrics()
  const observed = observeStore(store, metrics)
  const counted = async (name: string) => samples(await metrics.text()).get(name)
  const put = { contentType: 'image/jpeg', metadata: {} }

  async function* slowly() {
    yield* inChunks('slow')
    await sleep(300)
  }
  const begun = performance.now()
  await observed.put('a', slowly(), put)
  const all = (performance.now() - begun) / 1000
  const counting = (await counted('store_call_duration_seconds_sum{call="put"}')) ?? 0
  t.ok(counting > 0 && counting < all - 0.25, `the wait for the client is left out: ${counting} of ${all} s`)
  const gone = new Error('The client is gone')
  await t.rejects(observed.put('b', failing(Buffer.from('x'), gone), put), gone)
  t.equal(await counted('store_calls_total{call="put",outcome="abandoned"}'), 1)
  await t.rejects(observed.put('a', inChunks('again'), { ...put, ifNoneMatch: '*' }))
  t.equal(await counted('store_calls_total{call="put",outcome="exists"}'), 1)

  await putBytes(store, 'large', Buffer.alloc(2_000_000))
  t.equal((await readAll((await observed.get('large')).body)).length, 2_000_000)
  t.equal(await counted('store_bytes_total{call="get"}'), 2_000_000)
  const { body } = await observed.get('large')
  body.destroy()
  await until('it is counted', async () => (await counted('store_calls_total{call="get",outcome="abandoned"}')) === 1)
  t.equal(await counted('store_bytes_total{call="get"}'), 2_000_000, 'what was not read is not counted')
  const nobodyWaits = new AbortController()
  const { body: ended } = await observed.get('large', { signal: nobodyWaits.signal })
  ended.on('error', () => {})
  nobodyWaits.abort()
  await until('that too', async () => (await counted('store_calls_total{call="get",outcome="abandoned"}')) === 2)
  await t.rejects(observed.head('nothing'), ObjectNotFound)
  t.equal(await counted('store_calls_total{call="head",outcome="missing"}'), 1)

  // The stand-in has no files
  const shared = { descriptor: 0, wasRead: true }
  const withFile = observeStore(
    { ...store, get: async (key) => ({ ...(await store.get(key)), file: shared }) },
    metrics,
  )
  const { body: unread } = await withFile.get('large')
  unread.destroy()
  await until('a file that a worker has read is read', async () => {
    return (await counted('store_bytes_total{call="get"}')) === 4_000_000
  })

  t.same(await listKeys(observed, { prefix: 'nothing' }), [])
  t.equal(await counted('store_calls_total{call="list",outcome="ok"}'), 1, 'a list with nothing in it is a call')
  t.same(await listKeys(observed), ['a', 'large'])
  t.equal(await counted('store_calls_total{call="list",outcome="ok"}'), 2, 'its end is none')
  await observed.delete(['a', 'large'])
  t.equal(await counted('store_calls_total{call="delete",outcome="ok"}'), 1)
  for (const [fault, outcome] of [
    ['status-500', 'unavailable'],
    ['storage-full', 'full'],
    ['access-denied', 'failed'],
  ] as const) {
    standIn.fail({}, fault)
    await t.rejects(observed.delete(['a']))
    t.equal(await counted(`store_calls_total{call="delete",outcome="${outcome}"}`), 1, `${fault} is ${outcome}`)
    standIn.clearFaults()
  }
  await t.rejects(observed.head('a', { signal: AbortSignal.abort() }))
  t.equal(
    await counted('store_calls_total{call="head",outcome="abandoned"}'),
    1,
    'a call that its caller aborts is abandoned',
  )
})
