import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PATIENCE } from './patience.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** A block of code of a document. */
export interface Block {
  readonly line: number
  readonly language: string
  /** As written, with a line break at the end. */
  readonly code: string
  /** Of the comment in front of it, `<!-- example: name -->`. */
  readonly name: string | undefined
}

export function blocksOf(markdown: string): Block[] {
  const pattern = /(?:^ *<!-- example: (\S+) -->\n)?^( *)```(\w*)\n(.*?)^\2```$/gms
  return [...markdown.matchAll(pattern)].map(({ index, 1: name, 2: indent = '', 3: language = '', 4: code = '' }) => ({
    line: markdown.slice(0, index).split('\n').length,
    language,
    code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    name,
  }))
}

/**
 * The examples of a document.
 *
 * @param path relative to the repository, say "docs/backup.md"
 * @returns the code of the one with this name; what is on the left of `changes` is replaced by what is on the right, and has to be there
 */
export async function examplesOf(path: string): Promise<(name: string, changes?: Record<string, string>) => string> {
  const blocks = blocksOf(await readFile(join(ROOT, path), 'utf8'))
  return (name, changes = {}) => {
    const block = blocks.find((block) => block.name === name)
    if (!block) throw new Error(`${path} has no example ${name}`)
    return Object.entries(changes).reduce((code, [from, to]) => {
      if (!code.includes(from)) throw new Error(`${path}, ${name}: there is no ${from} to replace`)
      return code.replaceAll(from, to)
    }, block.code)
  }
}

export interface Result {
  /** The exit code, or the reason why the program could not be started. */
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The root of the repository unless given. */
  readonly cwd?: string
  readonly input?: string
}

/** Runs a program in the folder of the clone, with nothing of this process's environment but PATH and HOME. */
export function run(
  command: string,
  args: readonly string[],
  { env, cwd = ROOT, input }: RunOptions = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      args,
      { cwd, env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env }, timeout: PATIENCE },
      (error, stdout, stderr) => resolve({ code: error ? (error.code ?? 'killed') : 0, stdout, stderr }),
    )
    child.stdin?.end(input)
  })
}

/** Whether there is such a program; where `CI` is set there has to be. */
export function isInstalled(program: string): boolean {
  const folders = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`.split(':')
  return Boolean(process.env.CI) || folders.some((folder) => existsSync(join(folder, program)))
}
