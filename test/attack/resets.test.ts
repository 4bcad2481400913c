import { connect } from 'node:net'
import t from 'tap'
import { get, IMAGES, STORY_IDS, someImages, until, upload, usedCapacity } from '../acceptance/client.ts'
import { openers, serverOn } from '../acceptance/stores.ts'
import { ALL } from '../support/extent.ts'
import { fuzzResets } from './resets.ts'

const RESETS = Number(process.env.RESETS ?? (ALL ? 200 : 20))

/** Sends requests together, and resets the connection as soon as they have left. */
function reset(port: number, requests: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.write(requests, () => setImmediate(() => socket.resetAndDestroy()))
  })
}

for (const [name, open] of openers) {
  t.test(`resets before, during and after responses leave nothing behind (${name})`, async (t) => {
    const seed = Number(process.env.RESET_SEED ?? 1)
    const { problems, lines } = await fuzzResets(t, await open(t), { connections: RESETS, seed })
    for (const line of lines) t.comment(line)
    t.same(problems, [], `RESET_SEED=${seed}`)
  })

  t.test(`a reset right after a request ends neither the process nor takes a place with it (${name})`, async (t) => {
    const server = await serverOn(t, await open(t))
    const { image_paths } = await upload(server, await someImages(1))
    const path = image_paths[0] ?? ''
    const request = (path: string, ...headers: string[]) =>
      [`GET ${path} HTTP/1.1`, 'Host: localhost', ...headers, '', ''].join('\r\n')
    const other = ['Range: bytes=0-', 'If-Range: "another"']
    const attacks = [
      request(path, ...other),
      request(`${path}?w=160`, ...other),
      request(IMAGES).repeat(30),
      request(`${STORY_IDS}?limit=9`).repeat(30),
      request(path).repeat(30),
      request(`${path}?w=160`).repeat(30),
    ]
    t.equal((await get(server, `${path}?w=160`)).status, 200)
    for (let time = 0; time < 15; time++) {
      await Promise.all(attacks.flatMap((attack) => Array.from({ length: 4 }, () => reset(server.port, attack))))
    }
    await until('every place is free', async () => (await usedCapacity(server)).length === 0)
    for (const served of [path, `${path}?w=160`, IMAGES, STORY_IDS]) t.equal((await get(server, served)).status, 200)
  })
}
