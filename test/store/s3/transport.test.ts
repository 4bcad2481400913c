import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { S3Client } from '@aws-sdk/client-s3'
import { SignatureV4 } from '@smithy/signature-v4'
import t, { type Test } from 'tap'
import { hash } from '../../../src/io/hash.ts'
import { type FastCall, openTransport } from '../../../src/store/s3/transport.ts'

const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }

/** A server that answers everything with 200, and the requests that it saw. */
async function startServer(t: Test) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    request.resume().once('end', () => response.end('fine'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { requests, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

type Options = ConstructorParameters<typeof S3Client>[0]

function newClient(options: Options): S3Client {
  return new S3Client({ region: 'eu-central-1', credentials: CREDENTIALS, ...options })
}

t.test('a request has the signature that the SDK would give it', async (t) => {
  const { requests, endpoint } = await startServer(t)
  const session = { ...CREDENTIALS, sessionToken: 'token/with+signs=' }
  const { digest: sha256, chunks: body } = await hash([Buffer.from('bytes')])
  const calls: FastCall[] = [
    { method: 'HEAD', key: 'stories/a/1.jpg' },
    { method: 'GET', key: "odd/ ü%2F+&=?#'()*!~@:$,;[]/日本/😀", headers: { range: 'bytes=0-1' } },
    { method: 'GET', query: { 'list-type': '2', prefix: 'a b/ü+&=', 'start-after': '', delimiter: '/' } },
    {
      method: 'PUT',
      key: 'a//b',
      headers: { 'content-type': 'image/jpeg', 'x-amz-meta-width': '1', 'x-amz-meta-a-b': 'c d' },
      body,
      sha256,
    },
    {
      method: 'PUT',
      key: 'p',
      query: { uploadId: 'x/y+z==', partNumber: '1' },
      body,
      sha256,
    },
  ]
  for (const credentials of [CREDENTIALS, session]) {
    const client = newClient({ endpoint, forcePathStyle: true, credentials })
    const transport = await openTransport(client, 'bucket', 1000)
    t.ok(transport)
    const reference = new SignatureV4({
      service: 's3',
      region: 'eu-central-1',
      credentials,
      sha256: client.config.sha256,
      uriEscapePath: false,
    })
    for (const call of calls) {
      t.equal((await transport?.request(call))?.status, 200)
      const { method = '', url = '', headers } = requests.at(-1) as IncomingMessage
      const { authorization, 'x-amz-date': date, connection, 'content-length': length, ...signed } = headers
      const target = new URL(url, endpoint)
      const expected = await reference.sign(
        {
          method,
          protocol: 'http:',
          hostname: '127.0.0.1',
          path: url.split('?')[0] as string,
          query: Object.fromEntries(target.searchParams),
          headers: signed as Record<string, string>,
        },
        { signingDate: new Date(String(date).replace(/(....)(..)(..T..)(..)/, '$1-$2-$3:$4:')) },
      )
      t.equal(authorization, expected.headers.authorization, `${method} ${url}`)
    }
    await transport?.close()
    client.destroy()
  }
})

t.test('a clock that is off is corrected as the SDK found it to be', async (t) => {
  const { requests, endpoint } = await startServer(t)
  const client = newClient({ endpoint, forcePathStyle: true, systemClockOffset: 3_600_000 })
  const transport = await openTransport(client, 'bucket', 1000)
  await transport?.request({ method: 'HEAD', key: 'a' })
  const date = String(requests[0]?.headers['x-amz-date']).replace(/(....)(..)(..T..)(..)/, '$1-$2-$3:$4:')
  t.ok(Math.abs(Date.parse(date) - Date.now() - 3_600_000) < 60_000, date)
  await transport?.close()
})

t.test('credentials that are renewed are used from then on', async (t) => {
  const { requests, endpoint } = await startServer(t)
  let made = 0
  const client = newClient({
    endpoint,
    forcePathStyle: true,
    // In the past already, so each call asks for new ones
    credentials: async () => ({ ...CREDENTIALS, accessKeyId: `KEY${++made}`, expiration: new Date(0) }),
  })
  const transport = await openTransport(client, 'bucket', 1000)
  for (let i = 0; i < 3; i++) await transport?.request({ method: 'HEAD', key: 'a' })
  const keys = requests.map(({ headers }) => /Credential=(\w+)\//.exec(headers.authorization ?? '')?.[1])
  t.same(new Set(keys).size, 3, keys.join())
  await transport?.close()
})

t.test('a bucket whose requests are signed otherwise has no transport', async (t) => {
  const client = newClient({ region: 'us-west-2' })
  t.equal(await openTransport(client, 'arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap', 1000), undefined)
})

t.test('endpoints are those of the SDK', async (t) => {
  for (const [options, bucket] of [
    [{}, 'my-bucket'],
    [{}, 'with.dots'],
    [{ forcePathStyle: true }, 'my-bucket'],
    [{ useDualstackEndpoint: true, useFipsEndpoint: true, region: 'us-east-1' }, 'my-bucket'],
  ] as [Options, string][]) {
    const client = newClient(options)
    const transport = await openTransport(client, bucket, 1000)
    t.ok(transport, `${JSON.stringify(options)} ${bucket}`)
    await transport?.close()
  }
})
