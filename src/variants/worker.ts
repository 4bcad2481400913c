import { Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import { resize } from './resize.ts'
import type { Answer, Order } from './worker-process.ts'

/**
 * The process that decodes pictures, for worker-process.ts. Orders and answers come and go as messages, bytes over the socket that is
 * file descriptor 4. It has no credentials and opens nothing.
 */

setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
const bytes = new Socket({ fd: 4 })
let isBusy = false

process.on('message', async ({ size, width, form }: Order) => {
  isBusy = true
  const result = await resize(await read(size), width, form)
  // The bytes of the image would be there until there is more garbage
  globalThis.gc?.()
  isBusy = false
  const memory = process.memoryUsage.rss()
  if (typeof result === 'string') return tell({ problem: result, memory })
  const { bytes: made, ...about } = result
  tell({ ...about, size: made.length, memory })
  bytes.write(made)
})

// The server is gone, whatever became of it; libvips does not let go of a picture for an exit
process.once('disconnect', () => (isBusy ? process.kill(process.pid, 'SIGKILL') : process.exit()))
bytes.on('error', () => process.exit())
// It was told to end before it listened
if (!process.connected) process.exit()

// Ctrl+C and some supervisors signal every process of the server. Its requests still get their answers
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

function tell(answer: Answer): void {
  process.send?.(answer)
}

async function read(size: number): Promise<Buffer> {
  const source = Buffer.allocUnsafe(size)
  let filled = 0
  for await (const chunk of bytes.iterator({ destroyOnReturn: false })) {
    filled += (chunk as Buffer).copy(source, filled)
    if (filled === size) return source
  }
  // The server gave up
  process.exit()
}
