import t from 'tap'
import { startApp } from '../support/app.ts'
import { MIB } from '../support/bodies.ts'
import { makePhoto } from '../support/images.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

const photo = await makePhoto()

async function upload(url: string, image: Uint8Array): Promise<string> {
  const form = new FormData()
  form.append('files', new Blob([Uint8Array.from(image)]))
  const response = await fetch(`${url}/api/v1/images/upload`, { method: 'POST', body: form })
  const { image_paths } = (await response.json()) as { image_paths: string[] }
  return url + image_paths[0]
}

t.test(
  'an image is served without its place by default, without metadata by "all", and as sent by "none"',
  async (t) => {
    for (const [options, hasPlace, hasArtist] of [
      [{}, false, true],
      [{ STRIP_METADATA: 'all' }, false, false],
      [{ STRIP_METADATA: 'none' }, true, true],
    ] as const) {
      const server = await startApp(t, options)
      const response = await fetch(await upload(server.url, photo))
      const image = Buffer.from(await response.arrayBuffer())
      t.same([image.includes('Atlantis'), image.includes('Plato')], [hasPlace, hasArtist], JSON.stringify(options))
      t.equal(image.equals(photo), hasPlace)
      t.equal(response.headers.get('content-length'), String(image.length))
      t.same(
        [response.headers.get('x-image-width'), response.headers.get('x-image-height')],
        ['30', '40'],
        'still turned',
      )
    }
  },
)

t.test('of what is far larger than the picture, the picture is stored', async (t) => {
  const standIn = await startS3StandIn()
  t.teardown(() => standIn.close())
  for (const [index, store] of [undefined, standIn].entries()) {
    const server = await startApp(t, {}, store)
    const alone = Buffer.from(await (await fetch(await upload(server.url, photo))).arrayBuffer())
    // More than a part of a multipart upload to a bucket
    const video = Buffer.concat([photo, Buffer.alloc(12 * MIB, 'video')])
    const image = Buffer.from(await (await fetch(await upload(server.url, video))).arrayBuffer())
    t.ok(image.equals(alone), index === 0 ? 'on disk' : 'in a bucket')
  }
})
