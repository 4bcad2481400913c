import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { ConfigError } from '../../src/config.ts'
import { tracingSettings } from '../../src/telemetry/tracing-settings.ts'
import { get, IMAGES, post, someImages, type Uploaded, until } from '../acceptance/client.ts'
import { diskStore, standInStore } from '../acceptance/stores.ts'
import { launchServer, startServer } from '../support/server-process.ts'

interface Span {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly status: { readonly code?: number }
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
}

const SERVER_SPAN = 2
const CLIENT_SPAN = 3
const ERROR = 2

/** An OpenTelemetry collector: keeps what it is sent, and answers with a status. */
async function startCollector(t: Test, status = 200) {
  const bodies: { type: string | undefined; path: string | undefined; body: Buffer }[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    bodies.push({ type: request.headers['content-type'], path: request.url, body: Buffer.concat(chunks) })
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const text = () => bodies.map(({ body }) => body.toString()).join('\n')
  const resources = () => bodies.flatMap(({ body }) => JSON.parse(body.toString()).resourceSpans)
  const spans = (): Span[] =>
    resources().flatMap(({ scopeSpans }) => scopeSpans.flatMap((one: { spans: Span[] }) => one.spans))
  return { url, bodies, text, resources, spans }
}

const attributesOf = ({ attributes }: Span) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

t.test('a request and its calls to the store are one trace, which goes on from the client', async (t) => {
  const collector = await startCollector(t)
  const store = await standInStore(t)
  const server = await startServer({
    ...store.environment,
    SWEEP_INTERVAL: '1h',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '60000',
    OTEL_SERVICE_NAME: 'pictures-of-tests',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test',
  })
  t.teardown(() => server.kill())
  const uploaded = await post(
    server,
    (await someImages(2)).map((body) => ({ body })),
  )
  const { story_id: story, image_paths: paths } = uploaded.json<Uploaded>()
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const parent = 'b7ad6b7169203331'
  const query = '?signature=a-signature-that-nobody-may-see'
  const image = await get(server, `${paths[0]}${query}`, { traceparent: `00-${traceId}-${parent}-01` })
  t.equal(image.status, 200)
  t.equal((await get(server, `${IMAGES}?limit=1`)).status, 200)
  t.equal((await get(server, `/nowhere${query}`)).status, 404)
  await until('all are logged', () => server.log().filter(({ msg }) => msg === 'request completed').length === 4)
  t.equal(collector.bodies.length, 0, 'nothing is sent while they are answered')
  t.same(await server.stop(), { code: 0, signal: null })
  const spans = collector.spans()

  const upload = spans.find(({ name }) => name === 'uploadStory')
  t.match(upload, { kind: SERVER_SPAN, status: {} })
  t.match(upload && attributesOf(upload), {
    'http.request.method': 'POST',
    'http.route': '/api/v1/images/upload',
    'url.path': '/api/v1/images/upload',
    'story.id': story,
  })
  const puts = spans.filter(({ name }) => name === 'store.put')
  t.equal(puts.length, 3, 'two images and the record')
  for (const put of puts) {
    t.match(put, { kind: CLIENT_SPAN, traceId: upload?.traceId, parentSpanId: upload?.spanId })
    t.match(attributesOf(put), { 'store.call': 'put', 'store.key': new RegExp(`^stories/${story}/`) })
  }

  const download = spans.find(({ name }) => name === 'getImage')
  t.match(download, { traceId, parentSpanId: parent }, 'the trace of the client goes on')
  const got = spans.find(({ name }) => name === 'store.get')
  t.match(got, { traceId, parentSpanId: download?.spanId })
  const line = server.log().find(({ operation, msg }) => operation === 'getImage' && msg === 'request completed')
  t.equal(line?.traceId, traceId, 'the line of the log names the trace')

  const alone = spans.filter(({ kind, parentSpanId }) => kind === CLIENT_SPAN && !parentSpanId)
  t.same(alone, [], 'the calls of a sweep have no spans')

  const list = spans.find(({ name }) => name === 'listImages')
  t.ok(spans.some(({ name, parentSpanId }) => name === 'store.list' && parentSpanId === list?.spanId))
  const nowhere = spans.find(({ name }) => name === 'GET')
  t.match(nowhere && attributesOf(nowhere), { 'url.path': '/nowhere' })

  const resource = JSON.stringify(collector.resources()[0]?.resource)
  for (const word of ['pictures-of-tests', 'deployment.environment', 'service.version']) t.match(resource, word)
  const { standIn } = store
  for (const secret of ['signature', new URL(standIn.endpoint).host, 'stand-in-secret'])
    t.notOk(collector.text().includes(secret), `no span has ${secret}`)
})

t.test('a store that fails is an error of its call and of the request, without the words of the store', async (t) => {
  const collector = await startCollector(t)
  const server = await startServer({
    S3_ENDPOINT: 'http://127.0.0.1:1',
    S3_BUCKET: 'images',
    AWS_ACCESS_KEY_ID: 'an-access-key-id',
    AWS_SECRET_ACCESS_KEY: 'a-secret-access-key',
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
  })
  t.teardown(() => server.kill())
  t.equal((await get(server, `${IMAGES}?limit=1`)).status, 503)
  await server.stop()
  const spans = collector.spans()
  t.match(
    spans.find(({ name }) => name === 'listImages'),
    { status: { code: ERROR } },
  )
  const call = spans.find(({ name }) => name === 'store.list')
  t.match(call, { status: { code: ERROR } })
  t.match(call && attributesOf(call), { 'error.type': 'unavailable' })
  t.notMatch(collector.text(), /ECONNREFUSED|127\.0\.0\.1:1\b|a-secret-access-key/)
})

t.test('spans go to /v1/traces as Protocol Buffers unless something else is asked for', async (t) => {
  const collector = await startCollector(t)
  const store = await diskStore(t)
  const server = await startServer({ ...store.environment, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  t.teardown(() => server.kill())
  await get(server, '/livez')
  await server.stop()
  t.match(collector.bodies, [{ type: 'application/x-protobuf', path: '/v1/traces' }])
  t.match(collector.text(), /http\.request\.method/)
})

t.test('a collector that is away holds up neither requests nor the shutdown', async (t) => {
  const store = await diskStore(t)
  const server = await startServer({ ...store.environment, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' })
  t.teardown(() => server.kill())
  t.equal((await get(server, '/livez')).status, 200)
  const begun = performance.now()
  t.same(await server.stop(), { code: 0, signal: null })
  t.ok(performance.now() - begun < 60_000, 'not after SHUTDOWN_TIMEOUT, which is five minutes')
})

t.test('a sampler of the environment counts', async (t) => {
  const collector = await startCollector(t)
  const store = await diskStore(t)
  const server = await startServer({
    ...store.environment,
    OTEL_TRACES_EXPORTER: 'otlp',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER: 'always_off',
  })
  t.teardown(() => server.kill())
  await get(server, '/livez')
  await server.stop()
  t.equal(collector.bodies.length, 0)
})

t.test('without a word about traces there are none, and what there is not is refused at the start', async (t) => {
  t.equal(tracingSettings({}), undefined)
  t.equal(tracingSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }), undefined)
  t.equal(tracingSettings({ OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' }), undefined)
  t.equal(tracingSettings({ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x' }), undefined)
  t.equal(tracingSettings({ OTEL_TRACES_EXPORTER: 'otlp' }), 'http/protobuf')
  t.equal(tracingSettings({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://x' }), 'http/protobuf')
  t.throws(() => tracingSettings({ OTEL_TRACES_EXPORTER: 'zipkin' }), ConfigError)
  for (const url of ['localhost:4318', 'not a URL', 'https://'])
    t.throws(() => tracingSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: url }), {
      message:
        'OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL; for example OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318',
    })
  const launch = launchServer({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })
  t.same(await launch.exit, { code: 1, signal: null })
  t.equal(launch.output.stderr, 'OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or http/json, not "grpc"\n')
})
