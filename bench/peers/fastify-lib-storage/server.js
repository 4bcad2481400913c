// Fastify, @fastify/multipart and the AWS SDK, as their documents show them: one part after another, and a body sent on as it comes.
import { randomUUID } from 'node:crypto'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import multipart from '@fastify/multipart'
import fastify from 'fastify'

const { S3_ENDPOINT, S3_BUCKET: Bucket, PORT } = process.env
const client = new S3Client({ endpoint: S3_ENDPOINT, forcePathStyle: true })
const app = fastify()
app.register(multipart, { limits: { fileSize: 100 * 1024 * 1024, files: 100 } })

app.post('/api/v1/images/upload', async (request) => {
  const story_id = randomUUID()
  const image_paths = []
  for await (const part of request.files()) {
    const Key = `stories/${story_id}/${image_paths.length + 1}.jpg`
    await new Upload({ client, params: { Bucket, Key, Body: part.file, ContentType: part.mimetype } }).done()
    image_paths.push(`/images/${Key}`)
  }
  return { story_id, image_paths, image_count: image_paths.length }
})

app.get('/images/*', async (request, reply) => {
  const object = await client.send(new GetObjectCommand({ Bucket, Key: request.params['*'] }))
  return reply.type(object.ContentType).header('content-length', object.ContentLength).send(object.Body)
})

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
