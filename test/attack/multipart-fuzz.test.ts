import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ALL } from '../support/extent.ts'

const BODIES = Number(process.env.FUZZ_BODIES ?? (ALL ? 2000 : 40))

t.setTimeout(900_000 + BODIES * 20)

t.test(
  `of ${BODIES} mutated uploads each is answered, none is taken that is not whole, and nothing leaks`,
  async (t) => {
    const program = fileURLToPath(new URL('fuzz.ts', import.meta.url))
    const child = spawn(process.execPath, ['--expose-gc', ...process.execArgv, program], {
      env: { ...process.env, FUZZ_BODIES: String(BODIES) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [[code], output, errors] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
    for (const line of output.trim().split('\n')) t.comment(line)
    t.equal(code, 0, errors)
  },
)
