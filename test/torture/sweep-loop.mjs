// Runs the command `sweep --all` of the built server in FOLDER over and over, by a clock that is AHEAD_MS ahead.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const { FOLDER = '', AHEAD_MS } = process.env
const { now } = Date
Date.now = () => now() + Number(AHEAD_MS)
console.log = () => {}

const { sweep } = await import(pathToFileURL(join(FOLDER, 'dist', 'cli', 'sweep.js')).href)
for (;;) {
  await sweep({ all: true }, new AbortController().signal)
  process.stdout.write('.')
  await sleep(500 * Math.random())
}
