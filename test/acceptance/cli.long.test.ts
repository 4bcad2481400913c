import { spawn } from 'node:child_process'
import { readFile, truncate } from 'node:fs/promises'
import t from 'tap'
import { get, STORY_IDS, someImages } from './client.ts'
import { CLI } from './command.ts'
import { sharedServer, someFiles } from './commands.ts'

t.test('large files go through little memory', async (t) => {
  const { server, at } = await sharedServer()
  const [image] = await someImages(1)
  const files = await someFiles(t, [image, image, image, image] as Buffer[])
  // After their image there are zeros
  for (const path of files) await truncate(path, 48 * 2 ** 20)
  const whole = spawn(process.execPath, [CLI, 'upload', ...files], { env: { PATH: process.env.PATH, ...at } })
  let peak = 0
  whole.stderr.on('data', async () => {
    const status = await readFile(`/proc/${whole.pid}/status`, 'utf8').catch(() => '')
    peak = Math.max(peak, Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024)
  })
  t.equal(await new Promise((resolve) => whole.once('close', resolve)), 0)
  t.ok(peak > 20 && peak < 160, `${peak} MiB for 192 MiB of files`)
  t.equal((await get(server, STORY_IDS)).json<string[]>().length, 1)
})
