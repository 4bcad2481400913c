// For `node --import`: while there is a file KILL_FILE, changes of the file system count, and the process is killed right before the
// one whose number the file holds. What is on disk then is what the change before it has left.
import { readFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

let count = 0

function isLast() {
  try {
    return Number(readFileSync(process.env.KILL_FILE, 'utf8')) === ++count
  } catch {
    return false
  }
}

function counted(change) {
  return function (...args) {
    if (isLast()) process.kill(process.pid, 'SIGKILL')
    return change.apply(this, args)
  }
}

const file = await fs.open(new URL(import.meta.url))
const methods = Object.getPrototypeOf(file)
for (const name of ['writev', 'writeFile', 'datasync', 'sync']) methods[name] = counted(methods[name])
await file.close()

for (const name of ['mkdir', 'rename', 'link', 'unlink', 'rmdir']) fs[name] = counted(fs[name])
const { open } = fs
const create = counted(open)
fs.open = (path, flags, ...rest) => (flags === 'wx' ? create : open)(path, flags, ...rest)
syncBuiltinESMExports()
