import { exchange, IMAGES, isError, listImages, MULTIPART, multipart, someImages, UPLOAD, until } from './client.ts'
import { onEachStore } from './stores.ts'

const HEAD = `POST ${UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Type: ${MULTIPART['content-type']}\r\nContent-Length: 1000000\r\n\r\n`

onEachStore(
  'an upload that stalls is a 408 and leaves nothing',
  async (t, server, store) => {
    const whole = multipart((await someImages(2)).map((body) => ({ body })))
    const stalls = { 'before its body': 0, 'in a header': 40, 'in the first image': 300, 'in the last image': 1500 }
    await Promise.all(
      Object.entries(stalls).map(async ([what, bytes]) => {
        const begin = Date.now()
        const answer = await exchange(server, Buffer.concat([Buffer.from(HEAD), whole.subarray(0, bytes)]))
        isError(t, answer, 408, /^No bytes of the upload arrived for 2 seconds$/, what)
        t.ok(Date.now() - begin >= 2000, 'not too early')
      }),
    )
    t.same(await listImages(server, IMAGES), [])
    await until('the store is empty', async () => (await store.content()).length === 0)
  },
  { CLIENT_TIMEOUT: '2s' },
)

onEachStore(
  'an upload that drips for longer than allowed is a 408 and leaves nothing',
  async (t, server, store) => {
    const whole = multipart((await someImages(2)).map((body) => ({ body })))
    const drops = Array.from({ length: 60 }, (_, index) => [whole.subarray(index * 8, index * 8 + 8), 50]).flat()
    const begin = Date.now()
    const answer = await exchange(server, HEAD, ...drops)
    isError(t, answer, 408, /took longer than 1 seconds?, the limit/)
    t.ok(Date.now() - begin >= 1000, 'not too early')
    t.same(await listImages(server, IMAGES), [])
    await until('the store is empty', async () => (await store.content()).length === 0)
  },
  { UPLOAD_TIMEOUT: '1s' },
)

onEachStore(
  'an upload that brings less than the least rate is a 408 and leaves nothing',
  async (t, server, store) => {
    const whole = multipart((await someImages(2)).map((body) => ({ body })))
    const drops = Array.from({ length: 120 }, (_, index) => [whole.subarray(index * 4, index * 4 + 4), 50]).flat()
    const begin = Date.now()
    const answer = await exchange(server, HEAD, ...drops)
    isError(t, answer, 408, /^The upload was slower than 1 KiB per second for 4 seconds$/)
    t.ok(Date.now() - begin >= 4000, 'not too early')
    t.same(await listImages(server, IMAGES), [])
    await until('the store is empty', async () => (await store.content()).length === 0)
  },
  { CLIENT_TIMEOUT: '4s' },
)
