import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/** The same in each run, or a run would fail by luck; a fuzzer that is started by hand draws one. */
const SEED = process.env.FUZZ_SEED ?? '1'

/**
 * Runs a fuzzer of this folder, and asserts that it finds nothing.
 *
 * @param environment its settings
 * @param args of Node.js
 */
export async function runFuzzer(
  t: Test,
  file: string,
  environment: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<void> {
  const program = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(process.execPath, [...args, ...process.execArgv, program], {
    env: { ...process.env, FUZZ_SEED: SEED, ...environment },
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
  t.equal(code, 0, [`FUZZ_SEED=${SEED}`, signal, errors, ...problems].filter(Boolean).join('; '))
}
