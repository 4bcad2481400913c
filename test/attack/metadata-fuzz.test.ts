import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { noExiftool } from '../support/exiftool.ts'
import { ALL } from '../support/extent.ts'

const FILES = Number(process.env.FUZZ_FILES ?? (ALL ? 1000 : 20))

t.setTimeout(900_000 + FILES * 500)

t.test(
  `of ${FILES} damaged images of each type none is stored with a position, or with other pixels`,
  { skip: noExiftool },
  async (t) => {
    const program = fileURLToPath(new URL('metadata-fuzz.ts', import.meta.url))
    const child = spawn(process.execPath, [...process.execArgv, program], {
      env: { ...process.env, FUZZ_FILES: String(FILES) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [[code], output, errors] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
    for (const line of output.trim().split('\n')) t.comment(line)
    t.equal(code, 0, errors)
  },
)
