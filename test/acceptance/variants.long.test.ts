import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { forEach, until } from '../support/bodies.ts'
import { makeImage } from '../support/images.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { get, type Uploaded, upload } from './client.ts'
import { diskStore } from './stores.ts'

const photo = await makeImage({ type: 'jpg', width: 2000, height: 1500, orientation: 6 })

const uploaded = (server: ServerProcess, ...images: Buffer[]): Promise<Uploaded> => upload(server, images)

/** Returns the ids of a server's workers (Linux, proc(5)). */
function workersOf({ pid }: Pick<ServerProcess, 'pid'>): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
}

t.test('a server that is told to end responds to requests that wait for a variant, and its workers end', async (t) => {
  const server = await startServer((await diskStore(t)).environment)
  t.teardown(() => server.kill())
  const { image_paths: paths } = await uploaded(server, photo)
  const response = get(server, `${paths[0]}?w=320&format=avif`)
  await until(() => workersOf(server).length > 0)
  const [worker] = workersOf(server)
  // Ctrl+C and some supervisors signal every process
  process.kill(worker as number, 'SIGINT')
  process.kill(worker as number, 'SIGTERM')
  t.same(await server.stop(), { code: 0, signal: null })
  t.equal((await response).status, 200)
  t.notOk(existsSync(`/proc/${worker}`))
})

t.test('uploads to a disk go on while many variants are made', async (t) => {
  const server = await startServer((await diskStore(t)).environment)
  t.teardown(() => server.stop())
  const big: Uploaded[] = []
  await forEach(Array.from({ length: 40 }), async () => void big.push(await uploaded(server, photo)), 5)
  const small = await makeImage({ type: 'jpg' })
  const slowest = async (uploads: number) => {
    const times: number[] = []
    await forEach(
      Array.from({ length: uploads }, (_, n) => n),
      async () => {
        const begin = performance.now()
        await uploaded(server, small)
        times.push(performance.now() - begin)
      },
      2,
    )
    return times.sort((a, b) => a - b)[Math.floor(uploads * 0.99) - 1] as number
  }
  await slowest(100)
  const idle = await slowest(100)
  // More than can be made meanwhile
  const wanted = big.flatMap(({ image_paths: [path] }) =>
    [160, 320, 640, 1280, 1920].flatMap((w) => ['webp', 'avif', 'auto'].map((f) => `${path}?w=${w}&format=${f}`)),
  )
  let left = wanted.length
  let isMeasured = false
  const made = forEach(
    wanted,
    async (path) => {
      while (!isMeasured) {
        const { status } = await get(server, path)
        // Uploads have precedence: on a busy machine not every request gets a worker in time
        if (status === 503) await sleep(100)
        else {
          t.equal(status, 200)
          left -= 1
          return
        }
      }
    },
    50,
  )
  const busy = await slowest(100)
  await until(() => left < wanted.length)
  isMeasured = true
  t.ok(left > 0, `${left} variants were still to be made`)
  // Two cores for the server, its workers and this test; if workers used its threads it would take seconds
  t.ok(
    busy < Math.max(idle, 20) * 20,
    `99 of 100 uploads within ${busy.toFixed()} ms, and ${idle.toFixed()} ms without variants`,
  )
  await made
})
