import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import createClient from 'openapi-fetch'
import type { paths } from '../../../packages/client/src/api.ts'

/** Uses the types that openapi-typescript made of the OpenAPI document: uploads, lists, downloads and deletes. */
const [url = '', folder = ''] = process.argv.slice(2)
const client = createClient<paths>({ baseUrl: url })
const images = await Promise.all(['image1.jpg', 'image2.png'].map((name) => readFile(join(folder, name))))

const uploaded = await client.POST('/api/v1/images/upload', {
  body: { files: images.map(String) },
  bodySerializer() {
    const form = new FormData()
    for (const image of images) form.append('files', new Blob([new Uint8Array(image)]), 'image')
    return form
  },
})
const story = uploaded.data
assert(story?.image_count === 2)
const params = { path: { story_id: story.story_id } }

const listed = await client.GET('/api/v1/images/{story_id}', { params })
assert.deepEqual(
  listed.data?.map(({ path }) => path),
  story.image_paths,
)
const ids = await client.GET('/api/v1/images/story-ids', {})
assert.deepEqual(ids.data, [story.story_id])
for (const [index, path] of story.image_paths.entries()) {
  const name = path.split('/').at(-1) ?? ''
  const { data }: { data?: unknown } = await client.GET('/images/stories/{story_id}/{name}', {
    params: { path: { story_id: story.story_id, name }, query: {} },
    parseAs: 'arrayBuffer',
  })
  assert.deepEqual(Buffer.from(data as ArrayBuffer), images[index])
}
const deleted = await client.DELETE('/api/v1/images/{story_id}', { params })
assert.equal(deleted.data?.success, true)
const missing = await client.GET('/api/v1/images/{story_id}', { params })
assert.match(missing.error?.detail ?? '', new RegExp(story.story_id))
console.log('The TypeScript client uploads, lists, downloads and deletes')
