import type { Test } from 'tap'
import { bigImage } from '../support/images.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { get, IMAGES, type ListedImage, listImages, STORY_IDS, someImages } from './client.ts'

const MIB = 1024 * 1024

/** One of 6 MiB, which goes into S3 in parts. */
export async function threeImages(): Promise<Buffer[]> {
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await someImages(2)
  return [first, await bigImage(6 * MIB), second]
}

/** Every list agrees, and shows whole stories only: each of the images, in order and with its bytes. */
export async function wholeStories(
  t: Test,
  server: ServerProcess,
  images: readonly Buffer[],
  what: string,
): Promise<string[]> {
  const ids = (await get(server, STORY_IDS)).json<string[]>()
  const listed = await listImages(server)
  t.same([...new Set(listed.map(({ story_id }) => story_id))], ids, `${what}: the lists agree`)
  for (const id of ids) {
    const story = await listImages(server, `${IMAGES}/${id}`)
    t.same(
      listed.filter(({ story_id }) => story_id === id),
      story,
      `${what}: the lists agree on each image`,
    )
    t.equal(story.length, images.length, `${what}: the story is whole`)
    const bodies = await Promise.all(story.map(({ path }: ListedImage) => get(server, path)))
    t.ok(
      bodies.every(({ body }, index) => images[index]?.equals(body)),
      `${what}: and so are its images`,
    )
  }
  return ids
}
