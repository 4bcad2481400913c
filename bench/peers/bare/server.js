// The limit of an upload and a delivery on Node.js: nothing but parsing, a digest, a signature and a request for each image. No story,
// no check, no bound of memory, no response to what goes wrong.
import { createHash, randomUUID } from 'node:crypto'
import multipart from '@fastify/multipart'
import aws4 from 'aws4'
import fastify from 'fastify'
import { Pool } from 'undici'

const { S3_ENDPOINT, S3_BUCKET, AWS_REGION: region, PORT } = process.env
const { host, origin } = new URL(S3_ENDPOINT)
const pool = new Pool(origin, { connections: 256 })
const app = fastify()
app.register(multipart, { limits: { fileSize: 100 * 1024 * 1024, files: 100 } })

function signed(method, key, headers) {
  const path = `/${S3_BUCKET}/${key}`
  return { method, path, headers: aws4.sign({ service: 's3', region, host, method, path, headers }).headers }
}

async function store(key, body, type) {
  const sha256 = createHash('sha256').update(body).digest('hex')
  const headers = { 'content-type': type, 'content-length': body.length, 'x-amz-content-sha256': sha256 }
  const response = await pool.request({ ...signed('PUT', key, headers), body })
  await response.body.dump()
}

app.post('/api/v1/images/upload', async (request) => {
  const story_id = randomUUID()
  const keys = []
  const stored = []
  for await (const { file, mimetype } of request.files()) {
    const chunks = []
    for await (const chunk of file) chunks.push(chunk)
    keys.push(`stories/${story_id}/${keys.length + 1}.jpg`)
    stored.push(store(keys.at(-1), Buffer.concat(chunks), mimetype))
  }
  await Promise.all(stored)
  return { story_id, image_paths: keys.map((key) => `/images/${key}`), image_count: keys.length }
})

app.get('/images/*', (request, reply) => {
  const { raw } = reply.hijack()
  pool.dispatch(signed('GET', request.params['*'], { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }), {
    onRequestStart() {},
    onResponseStart: (_controller, status, headers) => raw.writeHead(status, headers),
    onResponseData: (_controller, chunk) => raw.write(chunk),
    onResponseEnd: () => raw.end(),
    onResponseError: (_controller, error) => raw.destroy(error),
  })
})

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
