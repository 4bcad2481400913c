import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { noExiftool } from '../support/exiftool.ts'
import { ALL } from '../support/extent.ts'

const FILES = Number(process.env.FUZZ_FILES ?? (ALL ? 1000 : 20))
/** The same in each run, or a run would fail by luck; `npm run fuzz-metadata` draws one. */
const SEED = process.env.FUZZ_SEED ?? '1'

t.setTimeout(900_000 + FILES * 500)

t.test(
  `of ${FILES} damaged images of each type none is stored with a position, or with other pixels`,
  { skip: noExiftool },
  async (t) => {
    const program = fileURLToPath(new URL('metadata-fuzz.ts', import.meta.url))
    const child = spawn(process.execPath, [...process.execArgv, program], {
      env: { ...process.env, FUZZ_FILES: String(FILES), FUZZ_SEED: SEED },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [[code, signal], output, errors] = await Promise.all([
      once(child, 'close'),
      text(child.stdout),
      text(child.stderr),
    ])
    const lines = output.trim().split('\n')
    for (const line of lines) t.comment(line)
    // In the label, which is what readers of a long output see
    const problems = lines.filter((line) => line.startsWith('PROBLEM: '))
    t.equal(code, 0, ['what it found', signal, errors, ...problems].filter(Boolean).join('; '))
  },
)
