import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Answer, IMAGES, MULTIPART, multipart, STORY_IDS, send, someImages, UPLOAD } from '../acceptance/client.ts'
import { sample } from '../support/extent.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

/** Each of them is to be found by a search for its text. */
const SECRETS = {
  accessKey: 'AKIASECRETACCESSKEY1',
  secretKey: 'secret-key-of-the-store-0123456789abcdef',
  sessionToken: 'session-token-of-the-store-0123456789',
  apiKey: 'api-key-0123456789-of-a-client',
  otherKey: 'api-key-that-nobody-has-given-out',
  signing: 'signing-secret-0123456789-0123456789-of-the-server',
}
const BUCKET = 'bucket-nobody-may-know'
const STORY = '01900000-0000-7000-8000-000000000000'
const IMAGE = `/images/stories/${STORY}/1.png`

const ENVIRONMENT = {
  LOG_LEVEL: 'trace',
  S3_BUCKET: BUCKET,
  S3_TIMEOUT: '200ms',
  AWS_ACCESS_KEY_ID: SECRETS.accessKey,
  AWS_SECRET_ACCESS_KEY: SECRETS.secretKey,
  AWS_SESSION_TOKEN: SECRETS.sessionToken,
  API_KEYS: `client:read+write+delete+delete-all+metrics:${createHash('sha256').update(SECRETS.apiKey).digest('hex')}`,
  SIGNING_SECRETS: SECRETS.signing,
  PRIVATE_IMAGES: 'true',
}

/** A request to every route, in every way that shows a secret, and some that there are no routes for. */
async function everyRequest(server: ServerProcess): Promise<{ answers: Answer[]; given: string[] }> {
  const bearer = { authorization: `Bearer ${SECRETS.apiKey}` }
  const body = multipart((await someImages(2)).map((image) => ({ body: image })))
  const post = async (path: string, json: unknown) => {
    const headers = { ...bearer, 'content-type': 'application/json' }
    const ask = () => send(server, 'POST', path, { headers, body: JSON.stringify(json) })
    let answer = await ask()
    // A server that has just started on a busy machine may say that it is
    for (let time = 1; time <= 20 && answer.status === 503; time++) {
      await sleep(100)
      answer = await ask()
    }
    if (answer.status >= 400) throw new Error(`${path} was answered ${answer.status} ${answer.body}`)
    return answer
  }
  const ticket = await post('/api/v1/tickets', {})
  const signed = await post('/api/v1/signed-urls', { paths: [IMAGE] })
  const uploadUrl = ticket.json<{ upload_url: string }>().upload_url
  const imageUrl = signed.json<{ urls: string[] }>().urls[0] ?? ''
  const asked: Promise<Answer>[] = []
  const ask = (method: string, path: string, headers: Record<string, string> = bearer, sent?: Buffer) =>
    asked.push(send(server, method, path, { headers, ...(sent && { body: sent }) }))
  for (const path of [
    IMAGES,
    `${IMAGES}?limit=1`,
    STORY_IDS,
    `${IMAGES}/${STORY}`,
    IMAGE,
    '/readyz',
    '/livez',
    '/metrics',
    '/openapi.json',
  ]) {
    ask('GET', path)
    ask('GET', path, { 'x-api-key': SECRETS.apiKey })
    ask('GET', path, { 'x-api-key': SECRETS.otherKey })
    ask('GET', path, { authorization: `Basic ${SECRETS.otherKey}` })
    ask('PUT', `${path}?key=${SECRETS.apiKey}`)
  }
  ask('POST', UPLOAD, { ...bearer, ...MULTIPART, 'idempotency-key': SECRETS.otherKey }, body)
  ask('POST', uploadUrl, MULTIPART, body)
  ask('POST', `${uploadUrl}x`, MULTIPART, body)
  ask('POST', uploadUrl.replace('/upload?', '/upload/?'), MULTIPART, body)
  ask('POST', uploadUrl.replace('/upload?', '/upload%zz?'), MULTIPART, body)
  ask('GET', imageUrl, {})
  ask('HEAD', imageUrl, {})
  ask('GET', `${imageUrl}x`, {})
  ask('DELETE', imageUrl, {})
  ask('GET', imageUrl.replace('/1.png?', '/1.html?'), {})
  ask('GET', imageUrl.replace('/1.png?', '/1.png/?'), {})
  ask('GET', imageUrl.replace('/1.png?', '/%zz?'), {})
  ask('GET', imageUrl.replace('/1.png?', `/${'1'.repeat(300)}.png?`), {})
  ask('GET', `${IMAGES}?limit=${SECRETS.otherKey}`)
  ask('DELETE', `${IMAGES}/${STORY}`)
  ask('POST', `${IMAGES}/${STORY}/restore`)
  ask('DELETE', IMAGES)
  const answers = await Promise.all(asked)
  const given = [uploadUrl.split('ticket=')[1] ?? '', imageUrl.split('signature=')[1] ?? '']
  return { answers, given }
}

const STACK = /\bat .{1,200}:\d+:\d+|node_modules|node:internal|\.(?:js|ts):\d+/

async function tellsNothing(
  t: Test,
  environment: Record<string, string>,
  hosts: readonly string[],
  during?: () => void,
) {
  const server = await startServer({ ...ENVIRONMENT, ...environment })
  t.teardown(() => server.kill())
  during?.()
  const { answers, given } = await everyRequest(server)
  for (const answer of answers) {
    const text = JSON.stringify(answer.headers) + answer.body.toString('latin1')
    for (const secret of [...Object.values(SECRETS), ...given, ...hosts, BUCKET]) {
      if (text.includes(secret)) t.fail(`an answer has ${secret}: ${text.slice(0, 500)}`)
    }
    if (STACK.test(answer.body.toString('latin1'))) t.fail(`an answer has a stack: ${text.slice(0, 500)}`)
  }
  const statuses = [...new Set(answers.map(({ status }) => status))].sort()
  await server.stop()
  const { stdout, stderr } = server.output
  const log = stdout + stderr
  const logged = new Set(server.log().map(({ reqId }) => reqId))
  // A URL that can't be read never becomes a request
  const missing = answers.filter(
    ({ status, headers }) => status !== 400 && !logged.has(String(headers['x-request-id'])),
  )
  t.equal(missing.length, 0, 'every request is in the log')
  for (const [name, secret] of Object.entries({ ...SECRETS, ticket: given[0], signature: given[1] })) {
    t.notOk(log.includes(secret ?? ''), `no line of the log has the ${name}`)
    t.notOk(log.includes(Buffer.from(secret ?? '').toString('base64')), `nor in base64`)
  }
  for (const host of hosts) t.notOk(log.includes(host), `no line of the log has the host ${host}`)
  const patterns = (await readFile(new URL('secret-patterns.txt', import.meta.url), 'utf8')).trim().split('\n')
  for (const pattern of patterns) {
    const [line] = log.split('\n').filter((text) => new RegExp(pattern).test(text))
    t.equal(line, undefined, `no line of the log has ${pattern}`)
  }
  t.comment(`${answers.length} answers: ${statuses.join(', ')}`)
  return statuses
}

t.test('a store that works', async (t) => {
  const standIn = await startS3StandIn({ bucket: BUCKET })
  t.teardown(() => standIn.close())
  const endpoint = new URL(standIn.endpoint)
  const statuses = await tellsNothing(t, { S3_ENDPOINT: standIn.endpoint }, [endpoint.host])
  t.ok(
    [200, 400, 401, 404, 405].every((status) => statuses.includes(status)),
    `${statuses}`,
  )
})

for (const fault of sample(
  ['status-500', 'status-503', 'access-denied', 'reset', 'stall', 'storage-full'] as const,
  1,
)) {
  t.test(`a store that fails: ${fault}`, async (t) => {
    const standIn = await startS3StandIn({ bucket: BUCKET })
    t.teardown(() => standIn.close())
    const endpoint = new URL(standIn.endpoint)
    const statuses = await tellsNothing(t, { S3_ENDPOINT: standIn.endpoint }, [endpoint.host], () =>
      standIn.fail({}, fault),
    )
    t.ok(
      statuses.some((status) => status >= 500),
      `${statuses}`,
    )
  })
}

/** What S3 says to a wrong signature (AWS, "Error responses"): all that it was signed with. */
function refuse(request: IncomingMessage, response: ServerResponse): void {
  const { authorization = '', host = '' } = request.headers
  request.resume()
  response.writeHead(403, { 'content-type': 'application/xml', 'x-amz-request-id': 'a-request-of-the-store' })
  response.end(
    `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SignatureDoesNotMatch</Code><Message>The signature of ${authorization} for ${host} is wrong</Message>` +
      `<AWSAccessKeyId>${SECRETS.accessKey}</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 ${authorization}</StringToSign>` +
      `<SignatureProvided>${authorization.split('Signature=')[1]}</SignatureProvided><CanonicalRequest>GET /${BUCKET} ${host} x-amz-security-token:${SECRETS.sessionToken}</CanonicalRequest>` +
      `<BucketName>${BUCKET}</BucketName><Endpoint>${host}</Endpoint><HostId>${host}</HostId></Error>`,
  )
}

/** An answer of another kind, with the request in it, as a proxy in the way may send it. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  response.writeHead(502, { 'content-type': 'text/html' })
  response.end(`<html>${JSON.stringify(request.headers)} ${request.url}</html>`)
}

/** The same as if all were well, to whoever asks for no image. */
function echoAsSuccess(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  response.writeHead(200, { 'content-type': 'application/xml' })
  response.end(`<Wrong>${JSON.stringify(request.headers)} ${request.url}`)
}

for (const [what, answer] of sample(Object.entries({ refuse, echo, echoAsSuccess }), 1)) {
  t.test(`a store that answers with what it was sent: ${what}`, async (t) => {
    const store = createServer(answer)
    store.listen(0, '127.0.0.1')
    await once(store, 'listening')
    t.teardown(() => {
      store.closeAllConnections()
      store.close()
    })
    const { port } = store.address() as AddressInfo
    await tellsNothing(t, { S3_ENDPOINT: `http://127.0.0.1:${port}` }, [`127.0.0.1:${port}`])
  })
}

const name = 'host-nobody-may-know.invalid'
for (const [what, environment, host] of sample(
  [
    ['does not listen', { S3_ENDPOINT: 'http://127.0.0.77:1' }, '127.0.0.77'],
    ['has no address', { S3_ENDPOINT: `http://${name}:9000` }, name],
    ['has a name of each bucket', { S3_ENDPOINT: `https://${name}`, S3_FORCE_PATH_STYLE: 'false' }, name],
  ] as const,
  1,
)) {
  t.test(`a store that is not there: its host ${what}`, (t) => tellsNothing(t, environment, [host]))
}

t.test('a setting that is wrong is not repeated when it is a secret', async (t) => {
  for (const [name, value] of Object.entries({
    SIGNING_SECRETS: 'too-short-secret',
    API_KEYS: `client:everything:${SECRETS.apiKey}`,
    S3_ENDPOINT: `http://${SECRETS.accessKey}:${SECRETS.secretKey}@127.0.0.1:9000`,
  })) {
    const error = await startServer({ S3_BUCKET: BUCKET, [name]: value }).then(
      () => new Error('it started'),
      (reason: Error) => reason,
    )
    t.match(error.message, new RegExp(`${name} must be`))
    for (const secret of ['too-short-secret', SECRETS.apiKey, SECRETS.secretKey]) {
      t.notOk(error.message.includes(secret), `${name}: ${error.message}`)
    }
  }
})
