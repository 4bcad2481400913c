import { readFile } from 'node:fs/promises'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import Schema from 'typebox/schema'
import { get, IMAGES, MULTIPART, multipart, STORY_IDS, send, someImages, UPLOAD } from '../acceptance/client.ts'
import { documentOf, generatedFiles } from '../client/generated.ts'
import { startApp } from '../support/app.ts'

interface Described {
  readonly schema?: Schema.XSchemaObject
  readonly example?: unknown
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>
}

interface DescribedAnswer {
  readonly description: string
  readonly headers: Readonly<Record<string, Described>>
  readonly content?: Readonly<Record<string, Described>>
}

interface Operation {
  readonly operationId: string
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly (Described & { readonly name: string; readonly in: string })[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Described>> }
  readonly responses: Readonly<Record<string, DescribedAnswer>>
}

interface Document {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const files = await generatedFiles()
const validator = new Validator()
const validity = await validator.validate(JSON.parse(files['docs/openapi.json'] ?? ''))
const operations = operationsOf(validator.resolveRefs() as unknown as Document)

/** Each operation with its method and path as its name. */
function operationsOf({ paths }: Document): (Operation & { readonly name: string })[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, ...operation })),
  )
}

for (const [path, content] of Object.entries(files)) {
  t.test(`${path} is what the server says of itself; otherwise: npm run generate`, async (t) => {
    const committed = await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
    t.ok(committed === content, `${path} is up to date`)
  })
}

t.test('the document is valid OpenAPI 3.1', async (t) => {
  t.same(validity.errors ?? [], [])
  t.equal(validator.version, '3.1')
  const { valid, errors } = await new Validator().validate(JSON.parse(await documentOf({})))
  t.ok(valid, JSON.stringify(errors))
})

t.test('every status, header and parameter has examples, each of which is as its schema says', async (t) => {
  const wrong: string[] = []
  let count = 0
  const check = (what: string, { schema = {}, example, examples }: Described) => {
    const values = [
      ...(example === undefined ? [] : [example]),
      ...Object.values(examples ?? {}).map(({ value }) => value),
      ...('examples' in schema ? (schema.examples as unknown[]) : []),
    ]
    count += values.length
    if (values.length === 0) wrong.push(`${what} has no example`)
    for (const value of values) {
      if (!Schema.Check(schema, value)) wrong.push(`${what}: ${JSON.stringify(value)} is not as described`)
    }
  }
  for (const { name, parameters = [], requestBody, responses } of operations) {
    for (const parameter of parameters) check(`${name}: ${parameter.in} ${parameter.name}`, parameter)
    for (const [type, media] of Object.entries(requestBody?.content ?? {})) check(`${name}: ${type}`, media)
    for (const [status, { description, headers, content = {} }] of Object.entries(responses)) {
      if (!/^[A-Z]/.test(description)) wrong.push(`${name}: ${status} is "${description}"`)
      for (const [header, described] of Object.entries(headers)) check(`${name}: ${status} ${header}`, described)
      for (const [type, media] of Object.entries(content)) check(`${name}: ${status} ${type}`, media)
    }
  }
  t.same(wrong, [], `${count} examples`)
})

t.test('every route is there, with every way to fail', async (t) => {
  const names = operations.map(({ name }) => name)
  for (const expected of [
    `GET ${IMAGES}`,
    `DELETE ${IMAGES}`,
    `GET ${STORY_IDS}`,
    `GET ${IMAGES}/{story_id}`,
    `DELETE ${IMAGES}/{story_id}`,
    `POST ${IMAGES}/{story_id}/restore`,
    `POST ${UPLOAD}`,
    'GET /images/stories/{story_id}/{name}',
    'HEAD /images/stories/{story_id}/{name}',
    'POST /api/v1/tickets',
    'POST /api/v1/signed-urls',
    'GET /livez',
    'GET /readyz',
    'GET /openapi.json',
  ]) {
    t.ok(names.includes(expected), expected)
  }
  t.notOk(names.includes('GET /') || names.includes('GET /docs'), 'pages for people are not of the API')
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length, 'each has its own id')
  for (const { name, responses } of operations) {
    for (const status of [400, 417, 431, 500]) t.ok(status in responses, `${name}: ${status}`)
    t.equal(503 in responses, !/ .(livez|metrics)$/.test(name), `${name}: 503`)
    for (const [status, { content }] of Object.entries(responses)) {
      if (Number(status) < 400) continue
      const { schema } = content?.['application/json'] ?? {}
      t.match(schema, { required: ['detail'], additionalProperties: false }, `${name}: ${status} is one sentence`)
    }
  }
  const image = operations.find(({ operationId }) => operationId === 'getImage')?.responses ?? {}
  for (const status of [200, 206, 304, 404, 416, 503]) t.ok(status in image, `an image: ${status}`)
  const types = ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif']
  t.same(Object.keys(image['200']?.content ?? {}), types)
  const upload = operations.find(({ operationId }) => operationId === 'uploadStory')
  t.match(upload?.requestBody?.content['multipart/form-data'], {
    schema: { properties: { files: { type: 'array', minItems: 1, items: { type: 'string', format: 'binary' } } } },
    encoding: { files: { contentType: types.join(', ') } },
  })
  t.same(upload?.security, [{ bearer: [] }, { key: [] }, { ticket: [] }], 'what opens the route')
  const open = operationsOf(JSON.parse(await documentOf({})))
  t.same(
    open.filter(({ security }) => security?.length !== 0),
    [],
    'without keys nothing has to be opened, and says so',
  )
})

/** The headers of every response: for browsers, the length and framing of bodies, and the connection's own. */
const OF_EVERY_ANSWER =
  /^(content-(type|length|security-policy)|x-frame-options|cross-origin-resource-policy|referrer-policy|transfer-encoding|connection|keep-alive|date)$/

t.test('the answers of a server have the headers that the document tells of, and no others', async (t) => {
  const server = await startApp(t)
  const body = multipart((await someImages(2)).map((image) => ({ body: image })))
  const headers = { ...MULTIPART, 'idempotency-key': 'a' }
  const uploaded = await send(server, 'POST', UPLOAD, { headers, body })
  const { story_id, image_paths } = uploaded.json<{ story_id: string; image_paths: string[] }>()
  await send(server, 'POST', UPLOAD, { headers: MULTIPART, body })
  const [path = ''] = image_paths
  const IMAGE = '/images/stories/{story_id}/{name}'
  const answers: [name: string, answer: Awaited<ReturnType<typeof get>>][] = [
    [`POST ${UPLOAD}`, uploaded],
    [`POST ${UPLOAD}`, await send(server, 'POST', UPLOAD, { headers, body })],
    [`POST ${UPLOAD}`, await send(server, 'POST', UPLOAD, { headers, body: body.subarray(0, -5) })],
    [`GET ${IMAGES}`, await get(server, `${IMAGES}?limit=1`)],
    [`GET ${IMAGES}`, await get(server, `${IMAGES}?limit=x`)],
    [`GET ${STORY_IDS}`, await get(server, `${STORY_IDS}?limit=1`)],
    [`GET ${IMAGES}/{story_id}`, await get(server, `${IMAGES}/${story_id}`)],
    [`GET ${IMAGES}/{story_id}`, await get(server, `${IMAGES}/x`)],
    [`GET ${IMAGE}`, await get(server, path)],
    [`GET ${IMAGE}`, await get(server, path, { range: 'bytes=0-9' })],
    [`GET ${IMAGE}`, await get(server, path, { range: 'bytes=99999-' })],
    [`GET ${IMAGE}`, await get(server, path, { 'if-none-match': '*' })],
    [`GET ${IMAGE}`, await get(server, `${path}?w=320`)],
    [`GET ${IMAGE}`, await get(server, `${path}?w=1`)],
    [`HEAD ${IMAGE}`, await send(server, 'HEAD', path)],
    [`DELETE ${IMAGES}/{story_id}`, await send(server, 'DELETE', `${IMAGES}/${story_id}`)],
    [`POST ${IMAGES}/{story_id}/restore`, await send(server, 'POST', `${IMAGES}/${story_id}/restore`)],
    [`POST ${IMAGES}/{story_id}/restore`, await send(server, 'POST', `${IMAGES}/x/restore`)],
    [`DELETE ${IMAGES}`, await send(server, 'DELETE', IMAGES)],
    ['GET /livez', await get(server, '/livez')],
    ['GET /readyz', await get(server, '/readyz')],
    ['GET /openapi.json', await get(server, '/openapi.json')],
    ['GET /metrics', await get(server, '/metrics')],
  ]
  const seen = new Set<string>()
  for (const [name, { status, headers }] of answers) {
    const described = operations.find((operation) => operation.name === name)?.responses[status]
    t.ok(described, `${name}: ${status}`)
    const known = Object.keys(described?.headers ?? {}).map((header) => header.toLowerCase())
    for (const header of Object.keys(headers)) {
      if (!OF_EVERY_ANSWER.test(header)) t.ok(known.includes(header), `${name}: ${status} has ${header}`)
      seen.add(header)
    }
  }
  for (const header of ['link', 'idempotent-replayed', 'restorable-until', 'etag', 'content-range', 'cache-tag'])
    t.ok(seen.has(header), header)
})
