import { closeSync, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import { IDLE_MEMORY } from './memory.ts'
import { resize } from './resize.ts'
import type { Job, JobResult } from './worker-process.ts'

/**
 * The process that decodes images, started by worker-process.ts. Jobs and their results are messages; bytes go over the socket that is
 * file descriptor 4, except those of an image that the server has open as a file. It has no credentials, and opens nothing but that file.
 */

setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
const bytes = new Socket({ fd: 4 })
const server = process.ppid
/** Largest buffer that is kept, in bytes. */
const MAX_KEPT = 8 * 1024 * 1024
let kept = Buffer.alloc(0)
let isBusy = false

process.on('message', async ({ size, descriptor, ...shape }: Job) => {
  isBusy = true
  const image = descriptor === undefined ? await read(size) : readFile(descriptor, size)
  const result = image ? await resize(image, shape) : 'unread'
  // A collection takes milliseconds; a worker that holds more is replaced
  if (process.memoryUsage.rss() > IDLE_MEMORY) globalThis.gc?.()
  isBusy = false
  const { user, system } = process.cpuUsage()
  const used = { memory: process.memoryUsage.rss(), processorSeconds: (user + system) / 1e6 }
  if (typeof result === 'string') return send({ problem: result, ...used })
  const { bytes: variant, ...properties } = result
  send({ ...properties, size: variant.length, ...used })
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

/** Returns a buffer for an image: for photos of ordinary size the same one each time, so that they leave no garbage. */
function bufferOf(size: number): Buffer {
  if (size > MAX_KEPT) return Buffer.allocUnsafe(size)
  if (kept.length < size) kept = Buffer.allocUnsafe(size)
  return kept.subarray(0, size)
}

function send(result: JobResult): void {
  process.send?.(result)
}

/**
 * Reads a file that the server has open (proc(5), `/proc/pid/fd`). Returns undefined if that fails: on other systems than Linux, where the
 * server may not be looked into, or if the file is damaged. Then the server reads it.
 */
function readFile(descriptor: number, size: number): Buffer | undefined {
  try {
    const file = openSync(`/proc/${server}/fd/${descriptor}`, 'r')
    try {
      const image = bufferOf(size)
      let filled = 0
      for (let count = -1; filled < size && count !== 0; filled += count)
        count = readSync(file, image, filled, size - filled, null)
      return filled === size ? image : undefined
    } finally {
      closeSync(file)
    }
  } catch {
    return undefined
  }
}

async function read(size: number): Promise<Buffer> {
  const image = bufferOf(size)
  let filled = 0
  for await (const chunk of bytes.iterator({ destroyOnReturn: false })) {
    filled += (chunk as Buffer).copy(image, filled)
    if (filled === size) return image
  }
  // The server gave up
  process.exit()
}
