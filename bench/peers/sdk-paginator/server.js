// The SDK's paginator behind Fastify: everything is collected, then sent. Deleting lists a page, deletes it, and goes on.
import { DeleteObjectsCommand, paginateListObjectsV2, S3Client } from '@aws-sdk/client-s3'
import fastify from 'fastify'

const { S3_ENDPOINT, S3_BUCKET: Bucket, PORT } = process.env
const client = new S3Client({ endpoint: S3_ENDPOINT, forcePathStyle: true })
const app = fastify()

app.get('/api/v1/images', async (_request, reply) => {
  const images = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix: 'stories/' })) {
    for (const { Key, LastModified } of page.Contents ?? []) {
      const [, story_id, name] = Key.split('/')
      if (name.endsWith('.json')) continue
      const created_at = LastModified.toISOString().replace('.000Z', 'Z')
      images.push({ id: name.split('.')[0], story_id, path: `/images/${Key}`, created_at })
    }
  }
  return reply.type('application/json').send(JSON.stringify(images))
})

app.get('/api/v1/images/story-ids', async (_request, reply) => {
  const ids = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix: 'stories/', Delimiter: '/' })) {
    for (const { Prefix } of page.CommonPrefixes ?? []) ids.push(Prefix.slice('stories/'.length, -1))
  }
  return reply.type('application/json').send(JSON.stringify(ids))
})

app.delete('/api/v1/images', async () => {
  for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix: 'stories/' })) {
    if (!page.Contents) continue
    const Objects = page.Contents.map(({ Key }) => ({ Key }))
    await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }))
  }
  return { success: true }
})

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
