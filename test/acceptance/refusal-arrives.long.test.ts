import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { ALL } from '../support/extent.ts'
import { makeImage, NOT_IMAGES } from '../support/images.ts'
import { exchange, isError, MULTIPART, multipart, UPLOAD } from './client.ts'
import { pythonWithRequests } from './python.ts'
import { onEachStore } from './stores.ts'

const MIB = 1024 * 1024

onEachStore('fetch reads why a body of 10 MB was refused at its first part, each time', async (t, server, store) => {
  const image = new Uint8Array(await makeImage({ type: 'jpg' }))
  for (let time = 1; time <= (ALL ? 10 : 3); time++) {
    const form = new FormData()
    form.append('files', new Blob([NOT_IMAGES.html.toString()]), 'a.jpg')
    for (let n = 0; n < 10; n++) form.append('files', new Blob([image, Buffer.alloc(MIB)]), `${n}.jpg`)
    const response = await fetch(server.url + UPLOAD, { method: 'POST', body: form })
    t.equal(response.status, 415)
    t.match(await response.json(), { detail: /^File 1 is not/ })
  }
  for (const type of ['application/json', 'text/plain']) {
    const headers = { 'content-type': type }
    const response = await fetch(server.url + UPLOAD, { method: 'POST', headers, body: Buffer.alloc(10 * MIB) })
    t.equal(response.status, 415)
    t.match(await response.json(), { detail: /multipart/ })
  }
  const missing = await fetch(`${server.url}/nowhere`, { method: 'POST', body: Buffer.alloc(10 * MIB) })
  t.equal(missing.status, 404)
  t.same(await store.content(), [])
})

onEachStore('Python requests reads why a body of 10 MB was refused', async (t, server, store) => {
  const { python, environment } = await pythonWithRequests(t)
  const program = `
import requests, sys
files = [('files', ('a.jpg', b'<!doctype html>' + bytes(${10 * MIB}), 'image/jpeg'))]
for _ in range(5):
    answer = requests.post(sys.argv[1], files=files)
    print(answer.status_code, answer.json()['detail'])
`
  const { stdout } = await promisify(execFile)(python, ['-c', program, server.url + UPLOAD], { env: environment })
  t.equal(stdout, '415 File 1 is not a JPEG, PNG, GIF, WebP or AVIF image\n'.repeat(5))
  t.same(await store.content(), [])
})

onEachStore('a client that reads while it sends gets the answer to a body of 40 MiB', async (t, server, store) => {
  const body = multipart([{ body: NOT_IMAGES.html }, { body: Buffer.alloc(40 * MIB) }])
  const type = `Content-Type: ${MULTIPART['content-type']}\r\n`
  const head = `POST ${UPLOAD} HTTP/1.1\r\nHost: x\r\n${type}Content-Length: ${body.length}\r\n\r\n`
  const pieces = Array.from({ length: 41 }, (_, index) => body.subarray(index * MIB, (index + 1) * MIB))
  for (let time = 1; time <= 5; time++) {
    const answer = await exchange(server, head, ...pieces)
    isError(t, answer, 415, /^File 1 is not/, `time ${time}`)
    t.equal(answer.headers.connection, 'close')
  }
  t.same(await store.content(), [])
})
