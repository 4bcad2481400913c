import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BARE_ENVIRONMENT } from '../support/server-process.ts'

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface CommandResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunningCommand extends Promise<CommandResult> {
  interrupt(signal: NodeJS.Signals): void
}

/** Runs a command of the built command line in an empty folder, with nothing of this process's environment but PATH. */
export function runCommand(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  cwd?: string,
): RunningCommand {
  const folder = cwd ?? mkdtempSync(join(tmpdir(), 'story-images-cwd-'))
  const child = spawn(process.execPath, [CLI, name, ...args], {
    cwd: folder,
    env: { ...BARE_ENVIRONMENT, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  const result = new Promise<CommandResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (cwd === undefined) rmSync(folder, { recursive: true, force: true })
      resolve({ code, signal, ...output })
    })
  })
  return Object.assign(result, { interrupt: (signal: NodeJS.Signals) => void child.kill(signal) })
}
