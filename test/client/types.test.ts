import { join } from 'node:path'
import t from 'tap'
import { ROOT, run } from '../support/examples.ts'
import { sample } from '../support/extent.ts'

const IMPORT =
  "import { ApiError, createClient, type Image, type ListedStory, type Page, type Story } from 'story-images-client'\n"

/** Compiled as a program of somebody else would be: by the declarations of the package. */
const PROGRAM = `
${IMPORT}
const none = undefined
const client = createClient({ baseUrl: '', key: none })
const story: Story = await client.upload([new Blob()], { onProgress: ({ loaded }) => loaded.toFixed() })
const count: number = story.image_count
const { data, error } = await client.GET('/api/v1/images/{story_id}', { params: { path: { story_id: story.story_id } } })
const images: Image[] | undefined = data
const detail: string | undefined = error?.detail
for await (const listed of client.listStories({ order: 'newest', signal: none })) {
  const one: ListedStory = listed
  one.images[0]?.created_at.slice()
}
const page: Page = await client.listPage({ cursor: none })
const source = { size: 1, stream: async function* () { yield new Uint8Array(1) } }
await client.upload([source], { onRetry: ({ delay, retryNow }) => void (delay > 1 && retryNow()) })
const ticket = await client.POST('/api/v1/tickets', { body: { files: 1 } })
const url: string | undefined = ticket.data?.upload_url
const refusal = new ApiError(415, 'No', null)
const later: number | undefined = refusal.retryAfter
export { count, detail, images, later, page, url }

// @ts-expect-error No such member of a story
story.imageCount
// @ts-expect-error An id is text
const id: number = data?.[0]?.id
// @ts-expect-error There is no such path
await client.GET('/api/v1/stories')
// @ts-expect-error Nor such a method of it
await client.PUT('/api/v1/images', {})
// @ts-expect-error The path needs an id
await client.DELETE('/api/v1/images/{story_id}')
// @ts-expect-error A limit is a number
await client.GET('/api/v1/images', { params: { query: { limit: 'x' } } })
// @ts-expect-error There is no such order
client.listStories({ order: 'oldest' })
// @ts-expect-error A path is no image
await client.upload(['image.jpg'])
// @ts-expect-error There is no such option
await client.upload([], { retry: 1 })
`

for (const [kind, extension] of sample(
  [
    ['an ES module', 'mts'],
    ['CommonJS', 'cts'],
  ] as const,
  1,
)) {
  t.test(`a program that is ${kind} gets the types of the API, and is told of what it has not`, async (t) => {
    const config = {
      compilerOptions: {
        module: 'NodeNext',
        target: 'ES2023',
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        types: [],
      },
      files: [`program.${extension}`],
    }
    // CommonJS has no await outside of functions
    const program = PROGRAM.replace(/^export .*$/m, '')
    const text =
      extension === 'mts' ? PROGRAM : `${IMPORT}async function main() {${program.replace(IMPORT, '')}\n}\nmain()\n`
    // Inside of the repository, where the client is a workspace
    const folder = t.testdir({ [`program.${extension}`]: text, 'tsconfig.json': JSON.stringify(config) })
    const { code, stdout, stderr } = await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder])
    t.equal(stdout + stderr, '')
    t.equal(code, 0)
  })
}
