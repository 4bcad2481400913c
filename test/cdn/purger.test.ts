import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { cloudfront } from '../../src/cdn/cloudfront.ts'
import { MAX_QUEUED, PurgeRefused, Purger, type PurgeTarget } from '../../src/cdn/purger.ts'
import { webhook } from '../../src/cdn/webhook.ts'
import { storyId } from '../support/app.ts'
import { until } from '../support/bodies.ts'
import { engines } from '../support/engines.ts'
import { isSigned } from '../support/signature.ts'

const ids = (count: number) => Array.from({ length: count }, (_, index) => storyId(index + 1))

/** A purger with short delays, and what it has told. */
function purgerOf(target: PurgeTarget) {
  const told = {
    purged: 0,
    failed: [] as { error: unknown; delay: number }[],
    lost: [] as string[],
    lostCount: 0,
    why: [] as unknown[],
  }
  const purger = new Purger(
    target,
    {
      onPurged(count) {
        told.purged += count
      },
      onFailed: (error, delay) => void told.failed.push({ error, delay }),
      onLost({ count, ids }, error) {
        told.lost.push(...ids)
        told.lostCount += count
        told.why.push(error)
      },
    },
    0.01,
  )
  return { purger, told }
}

interface Seen {
  readonly request: IncomingMessage
  readonly body: string
}

/** An HTTP server in the place of a CDN. */
async function startCdn(
  t: Test,
  answer: (response: ServerResponse, seen: Seen) => void = (response) => response.end(),
) {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('')
    seen.push({ request, body })
    answer(response, { request, body })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

const signal = new AbortController().signal

t.test('deletions go out in batches, each story once, and nothing waits in the end', async (t) => {
  const sent: string[][] = []
  const { purger, told } = purgerOf({
    maxBatch: 100,
    send: async (ids) => void sent.push([...ids]),
  })
  for (const id of ids(250)) purger.add([id])
  purger.add(ids(10))
  t.equal(purger.waiting, 250)
  await until(async () => purger.waiting === 0)
  t.same(
    sent.map(({ length }) => length),
    [100, 100, 50],
  )
  t.same(sent.flat(), ids(250))
  t.match(told, { purged: 250, failed: [], lost: [] })
  purger.add(ids(1))
  await until(async () => told.purged === 251)
  await purger.close()
})

t.test('a story that is deleted again while it is purged is purged once more', async (t) => {
  let release = () => {}
  const sent: string[][] = []
  const { purger } = purgerOf({
    maxBatch: 100,
    send(ids) {
      sent.push([...ids])
      return new Promise((resolve) => {
        release = resolve
      })
    },
  })
  purger.add(ids(1))
  await until(async () => sent.length === 1)
  purger.add(ids(1))
  release()
  await until(async () => sent.length === 2)
  release()
  await purger.close()
  t.same(sent, [ids(1), ids(1)])
})

t.test(
  'a request that fails is repeated, with Retry-After; in the end its stories are lost, and others are not',
  async (t) => {
    let calls = 0
    const { purger, told } = purgerOf({
      maxBatch: 2,
      async send(ids) {
        calls += 1
        if (ids.includes(storyId(1))) throw new PurgeRefused(403, 'AccessDenied', 0)
        if (calls === 13) throw new TypeError('fetch failed')
      },
    })
    purger.add(ids(4))
    await until(async () => purger.waiting === 0)
    t.equal(calls, 12 + 2)
    t.same(told.lost, ids(2))
    t.match(told.why, [{ message: 'The CDN responded with status 403 (AccessDenied)' }])
    t.equal(told.purged, 2)
    t.equal(told.failed.length, 11 + 1)
    t.ok(told.failed.every(({ delay }) => delay > 0))

    const slow = purgerOf({
      maxBatch: 1,
      send: () => Promise.reject(new PurgeRefused(429, undefined, 7)),
    })
    slow.purger.add(ids(1))
    await until(async () => slow.told.failed.length === 1)
    t.equal(slow.told.failed[0]?.delay, 7000)
    slow.purger.add(ids(3).slice(1))
    await slow.purger.close()
    t.same(slow.told.lost, ids(3), 'a shutdown ends the delay, tries once more, and says what is lost')
    t.equal(slow.told.why.length, 1, 'in one line of the log')
    t.equal(slow.purger.waiting, 0)
  },
)

t.test('stories above the limit are lost, and take no memory', async (t) => {
  const { purger, told } = purgerOf({ maxBatch: 100_000, send: async () => {} })
  purger.add(ids(MAX_QUEUED + 3))
  t.equal(purger.waiting, MAX_QUEUED)
  t.equal(told.lost.length, 3)
  t.match(told.why, [{ name: 'QueueFull' }])
  await purger.close()
  t.equal(told.purged, MAX_QUEUED)
})

t.test('where one request can purge all stories, none is lost for want of room', async (t) => {
  const sent: (number | 'all')[] = []
  let isAway = false
  const away = () => (isAway ? Promise.reject(new PurgeRefused(503, undefined, 0)) : Promise.resolve())
  const { purger, told } = purgerOf({
    maxBatch: 100,
    send: async (ids) => void sent.push(ids.length),
    sendAll() {
      sent.push('all')
      return away()
    },
  })
  for (let n = 0; n < 3; n++) purger.add(ids(MAX_QUEUED))
  t.equal(purger.waiting, 3 * MAX_QUEUED)
  await until(async () => purger.waiting === 0)
  t.same(sent, ['all'])
  t.match(told, { purged: 3 * MAX_QUEUED, lostCount: 0 })
  purger.add(ids(100))
  await until(async () => purger.waiting === 0)
  t.same(sent, ['all', 100])
  isAway = true
  purger.add(ids(200))
  await until(async () => told.failed.length > 0)
  purger.add(ids(7))
  await purger.close()
  t.match(told, { lostCount: 207, lost: ids(7) }, 'those that a purge of all stood for have no ids any more')
})

t.test('a CDN, or what gives the credentials for it, that never responds holds up nothing', async (t) => {
  const { timeout } = AbortSignal
  t.intercept(AbortSignal, 'timeout', { value: () => timeout.call(AbortSignal, 10) })
  // As the connection that is waited for: the timeout of a signal alone lets the process end
  const connection = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(connection))
  const { purger, told } = purgerOf({ maxBatch: 10, send: () => new Promise(() => {}) })
  purger.add(ids(1))
  await until(async () => told.failed.length > 1)
  await purger.close()
  t.match(told, { lostCount: 1, lost: ids(1), why: [{ name: 'TimeoutError' }] })
})

t.test('a shutdown sends what waits at once, and what a last sweep adds', async (t) => {
  const { purger, told } = purgerOf({ maxBatch: 10, send: async () => {} })
  purger.add(ids(25))
  await purger.close()
  t.equal(told.purged, 25)
  purger.add(ids(1))
  await purger.close()
  t.equal(told.purged, 26)
})

t.test('a webhook posts a list of stories, or the id of one in its URL, with its header', async (t) => {
  const cdn = await startCdn(t)
  const cloudflare = webhook(`${cdn.url}/zones/z/purge_cache`, 'Authorization:  Bearer secret')
  await cloudflare.send(ids(2), signal)
  const [first] = cdn.seen
  t.match(first?.request, { method: 'POST', url: '/zones/z/purge_cache' })
  t.match(first?.request.headers, { authorization: 'Bearer secret', 'content-type': 'application/json' })
  t.same(JSON.parse(first?.body ?? ''), { tags: ids(2) })
  t.equal(cloudflare.maxBatch, 100)

  await webhook(`${cdn.url}/service/SU1Z0isxPaozGVKXdv0eY/purge`, undefined).send(ids(1), signal)
  t.same(JSON.parse(cdn.seen[1]?.body ?? ''), { surrogate_keys: ids(1) })

  const varnish = webhook(`${cdn.url}/purge/{tag}?tag={tag}`, undefined)
  t.equal(varnish.maxBatch, 1)
  await varnish.send(ids(1), signal)
  t.match(cdn.seen[2], { request: { method: 'POST', url: `/purge/${storyId(1)}?tag=${storyId(1)}` }, body: '' })
})

t.test('any response but a success is a failure, whose message has neither the URL nor the header', async (t) => {
  for (const [status, headers, retryAfter] of [
    [429, { 'retry-after': '30' }, 30],
    [503, { 'retry-after': 'Sun, 22 Nov 2026 23:53:08 GMT' }, 0],
    [302, { location: 'http://127.0.0.1:1/' }, 0],
    [401, {}, 0],
  ] as const) {
    const cdn = await startCdn(t, (response) => response.writeHead(status, headers).end('<html>'))
    const target = webhook(`${cdn.url}/token-1`, 'X-Key: token-2')
    const error = await target.send(ids(1), signal).then(
      () => undefined,
      (error) => error,
    )
    t.match(error, { name: 'PurgeRefused', status, retryAfter, message: `The CDN responded with status ${status}` })
    t.notMatch(error.message, /token/)
  }
})

t.test('CloudFront gets a signed invalidation, by tag or by path, and one path for many stories', async (t) => {
  const secret = 'secret-of-cloudfront'
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: secret })
  const cdn = await startCdn(t, (response, { request }) =>
    response.writeHead(isSigned(request, secret) ? 201 : 403).end(),
  )
  process.env.AWS_ENDPOINT_URL_CLOUDFRONT = cdn.url
  t.teardown(() => delete process.env.AWS_ENDPOINT_URL_CLOUDFRONT)
  const pathsOf = async (by: 'tags' | 'paths', count: number, root = '') => {
    await cloudfront('E1EXAMPLE', by, root).send(ids(count), signal)
    const { request, body } = cdn.seen.at(-1) as Seen
    t.match(request, { method: 'POST', url: '/2020-05-31/distribution/E1EXAMPLE/invalidation' })
    t.match(request.headers.authorization, /\/us-east-1\/cloudfront\/aws4_request/)
    const paths = [...body.matchAll(/<Path>([^<]*)<\/Path>/g)].map(([, path]) => path)
    t.match(body, `<Quantity>${paths.length}</Quantity>`)
    t.match(body, /<CallerReference>[0-9a-f-]{36}<\/CallerReference>/)
    return paths
  }
  t.same(await pathsOf('tags', 2), [`#${storyId(1)}`, `#${storyId(2)}`])
  t.same(await pathsOf('paths', 1, '/app'), [`/app/images/stories/${storyId(1)}/*`])
  t.equal((await pathsOf('tags', 100)).length, 100)
  t.same([cloudfront('E1EXAMPLE', 'tags', '').maxBatch, cloudfront('E1EXAMPLE', 'paths', '').maxBatch], [100, 15])
  await cloudfront('E1EXAMPLE', 'tags', '/app').sendAll?.(signal)
  t.match(cdn.seen.at(-1)?.body, '<Quantity>1</Quantity><Items><Path>/app/images/stories/*</Path></Items>')
})

t.test('a refusal of CloudFront is named by its code', async (t) => {
  const cdn = await startCdn(t, (response) =>
    response
      .writeHead(403)
      .end(
        '<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: …</Message></Error></ErrorResponse>',
      ),
  )
  process.env.AWS_ENDPOINT_URL_CLOUDFRONT = cdn.url
  t.teardown(() => delete process.env.AWS_ENDPOINT_URL_CLOUDFRONT)
  await t.rejects(cloudfront('E1EXAMPLE', 'tags', '').send(ids(1), signal), {
    message: 'The CDN responded with status 403 (AccessDenied)',
  })
})

// A distribution that anybody may have; what matters is that Moto reads the invalidation as AWS would
for (const engine of engines.filter(({ isAws }) => isAws)) {
  t.test(`${engine.name} makes the invalidations of a distribution`, async (t) => {
    const { endpoint, accessKeyId, secretAccessKey } = engine
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey })
    process.env.AWS_ENDPOINT_URL_CLOUDFRONT = endpoint
    t.teardown(() => delete process.env.AWS_ENDPOINT_URL_CLOUDFRONT)
    const ask = async (path: string, body?: string) => {
      const response = await fetch(`${endpoint}/2020-05-31/distribution${path}`, {
        method: body === undefined ? 'GET' : 'POST',
        // Moto goes by the service in the signature, and does not check it
        headers: { authorization: 'AWS4-HMAC-SHA256 Credential=id/20261122/us-east-1/cloudfront/aws4_request' },
        ...(body !== undefined && { body }),
      })
      return response.text()
    }
    const origin =
      '<Origin><Id>o</Id><DomainName>a.example</DomainName><CustomOriginConfig><HTTPPort>80</HTTPPort><HTTPSPort>443</HTTPSPort><OriginProtocolPolicy>http-only</OriginProtocolPolicy></CustomOriginConfig></Origin>'
    const behaviour =
      '<TargetOriginId>o</TargetOriginId><ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy><MinTTL>0</MinTTL><ForwardedValues><QueryString>false</QueryString><Cookies><Forward>none</Forward></Cookies></ForwardedValues>'
    const made = await ask(
      '',
      `<DistributionConfig xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><CallerReference>${randomUUID()}</CallerReference><Origins><Quantity>1</Quantity><Items>${origin}</Items></Origins><DefaultCacheBehavior>${behaviour}</DefaultCacheBehavior><Comment></Comment><Enabled>true</Enabled></DistributionConfig>`,
    )
    const id = /<Id>([A-Z0-9]+)<\/Id>/.exec(made)?.[1] ?? ''
    t.not(id, '', made)
    for (const [by, expected] of [
      ['tags', `#${storyId(1)}`],
      ['paths', `/images/stories/${storyId(1)}/*`],
    ] as const) {
      const before = await ask(`/${id}/invalidation`)
      await cloudfront(id, by, '').send(ids(1), signal)
      const all = [...(await ask(`/${id}/invalidation`)).matchAll(/<Id>([^<]+)<\/Id>/g)].map(([, found = '']) => found)
      const [added = ''] = all.filter((found) => !before.includes(found))
      t.match(await ask(`/${id}/invalidation/${added}`), `<Path>${expected}</Path>`, by)
    }
    const nowhere = cloudfront('E1NOTHERE', 'tags', '').send(ids(1), signal)
    await t.rejects(nowhere, { message: 'The CDN responded with status 404 (NoSuchDistribution)' })
  })
}
