import { Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import { resize } from './resize.ts'
import type { Job, JobResult } from './worker-process.ts'

/**
 * The process that decodes images, started by worker-process.ts. Jobs and their results are messages; bytes go over the socket that is
 * file descriptor 4. It has no credentials and opens nothing.
 */

setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
const bytes = new Socket({ fd: 4 })
let isBusy = false

process.on('message', async ({ size, ...shape }: Job) => {
  isBusy = true
  const result = await resize(await read(size), shape)
  // Otherwise the bytes of the image stay until there is more garbage
  globalThis.gc?.()
  isBusy = false
  const memory = process.memoryUsage.rss()
  if (typeof result === 'string') return send({ problem: result, memory })
  const { bytes: variant, ...properties } = result
  send({ ...properties, size: variant.length, memory })
  bytes.write(variant)
})

// The server is gone. `exit` would wait for libvips to finish an image
process.once('disconnect', () => (isBusy ? process.kill(process.pid, 'SIGKILL') : process.exit()))
bytes.on('error', () => process.exit())
// The server disconnected before this process listened
if (!process.connected) process.exit()

// Ctrl+C and some supervisors signal every process of the server, whose requests still get their responses
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

function send(result: JobResult): void {
  process.send?.(result)
}

async function read(size: number): Promise<Buffer> {
  const image = Buffer.allocUnsafe(size)
  let filled = 0
  for await (const chunk of bytes.iterator({ destroyOnReturn: false })) {
    filled += (chunk as Buffer).copy(image, filled)
    if (filled === size) return image
  }
  // The server gave up
  process.exit()
}
