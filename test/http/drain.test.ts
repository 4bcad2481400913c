import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { filePart, isDetail, multipart, smallImage, startApp, uploadHead } from '../support/app.ts'

t.setTimeout(90_000)

const MIB = 1024 * 1024
const post = (length: number, type = 'image/png') =>
  `POST /api/v1/images/upload HTTP/1.1\r\nHost: test\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`

t.test('a refused body within the bounds is read, and its connection goes on', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  for (let n = 0; n < 3; n++) {
    const bytes = Buffer.alloc(2 * MIB)
    await client.write(post(bytes.length))
    await client.write(bytes)
    const answer = await client.answer()
    t.equal(answer.status, 415)
    t.not(answer.headers.connection, 'close')
  }
  await client.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n')
  t.equal((await client.answer()).status, 200)
})

t.test('an upload that is refused at its first file is read to its end', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  const body = multipart([filePart('no image'), filePart(Buffer.alloc(4 * MIB))])
  await client.write(uploadHead(body.length))
  await client.write(body)
  t.equal((await client.answer()).status, 415)
  await client.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n')
  t.equal((await client.answer()).status, 200)
})

t.test('a refused body of more than 16 MiB is answered, then its connection is closed', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  const bytes = Buffer.alloc(40 * MIB)
  const start = Date.now()
  await client.write(post(bytes.length))
  void client.write(bytes)
  const answer = await client.answer()
  t.equal(answer.status, 415)
  t.ok(isDetail(answer.body))
  t.equal(answer.headers.connection, 'close')
  await client.end()
  t.ok(Date.now() - start < 5000, 'without waiting for the time to be up')
})

t.test('a refused body that does not come is waited for 5 seconds, then its connection is closed', async (t) => {
  const server = await startApp(t)
  await Promise.all(
    [
      post(1000),
      'DELETE /api/v1/images HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n',
      'GET /nowhere HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n',
    ].map(async (head) => {
      const client = await server.connect()
      const start = Date.now()
      await client.write(head)
      const answer = await client.answer(9000)
      const took = Date.now() - start
      t.ok(answer.status < 500, `${answer.status}`)
      t.equal(answer.headers.connection, 'close')
      t.ok(took > 4000 && took < 7500, `after ${took} ms`)
      await client.end()
    }),
  )
})

t.test('a refused body that drips is given up after 5 seconds too', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  await client.write(post(100_000))
  const drip = setInterval(() => void client.write('x'), 50)
  t.teardown(() => clearInterval(drip))
  const start = Date.now()
  t.equal((await client.answer(9000)).status, 415)
  t.ok(Date.now() - start < 7500)
  await client.end()
})

t.test('GET and DELETE may have a body, and DELETE a JSON type without one', async (t) => {
  const server = await startApp(t)
  let client = await server.connect()
  const head = (method: string, type: string, body: string) =>
    `${method} /api/v1/images HTTP/1.1\r\nHost: test\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`
  for (const method of ['GET', 'DELETE']) {
    for (const type of [
      '',
      'Content-Type: application/json\r\n',
      'Content-Type: multipart/form-data; boundary=x\r\n',
    ]) {
      for (const body of ['', '{', '{"a":1}', 'x'.repeat(100_000)]) {
        await client.write(head(method, type, body))
        const { status, headers } = await client.answer()
        t.equal(status, 200, `${method} ${type} ${body.length}`)
        if (headers.connection !== 'close') continue
        t.equal(method, 'GET', 'only a stream does not wait for the body')
        await client.end()
        client = await server.connect()
      }
    }
  }
  await client.write('DELETE /api/v1/images HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\r\n')
  t.equal((await client.answer()).status, 200)
})

t.test('a list and an image do not wait for a body that does not come, and their connection is closed', async (t) => {
  const server = await startApp(t)
  const image = await smallImage()
  const form = new FormData()
  form.append('files', new Blob([Uint8Array.from(image)]), 'a.png')
  const stored = await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form })
  const { image_paths } = (await stored.json()) as { image_paths: string[] }
  for (const path of ['/api/v1/images', '/api/v1/images/story-ids', ...image_paths]) {
    const client = await server.connect()
    const start = Date.now()
    await client.write(`GET ${path} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n`)
    const { status, headers } = await client.answer()
    t.same([status, headers.connection], [200, 'close'], path)
    t.ok(Date.now() - start < 3000, path)
    await client.end()
  }
})

t.test('bytes behind the last boundary do not end the connection', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  const body = multipart([filePart(await smallImage())], { epilogue: 'x'.repeat(3 * MIB) })
  await client.write(uploadHead(body.length))
  await client.write(body.subarray(0, body.length - MIB))
  await sleep(50)
  await client.write(body.subarray(body.length - MIB))
  t.equal((await client.answer()).status, 200)
  await client.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n')
  t.equal((await client.answer()).status, 200)
})

t.test('a client of fetch reads why its upload was refused', async (t) => {
  const { url } = await startApp(t, { MAX_FILE_SIZE: '1MiB' })
  const image = Buffer.concat([await smallImage(), Buffer.alloc(8 * MIB)])
  for (let n = 0; n < 12; n++) {
    const form = new FormData()
    form.append('files', new Blob([Uint8Array.from(image)]), 'a.png')
    const response = await fetch(`${url}/api/v1/images/upload`, { method: 'POST', body: form })
    t.same(
      [response.status, await response.json()],
      [413, { detail: 'File 1 is larger than 1 MiB, the limit for one file' }],
    )
  }
})
