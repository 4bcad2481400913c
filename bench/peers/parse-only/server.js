// The limit of Fastify and @fastify/multipart: reads every part to its end and throws it away.
import multipart from '@fastify/multipart'
import fastify from 'fastify'

const app = fastify()
app.register(multipart, { limits: { fileSize: 100 * 1024 * 1024, files: 100 } })

app.post('/api/v1/images/upload', async (request) => {
  let image_count = 0
  for await (const part of request.files()) {
    part.file.resume()
    await new Promise((resolve, reject) => part.file.once('end', resolve).once('error', reject))
    image_count += 1
  }
  return { story_id: '', image_paths: [], image_count }
})

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
