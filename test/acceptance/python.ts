import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const run = promisify(execFile)

/** Python 3 and its `requests`, from the system or else from PyPI into a folder that goes away with the test. */
export async function pythonWithRequests(t: Test): Promise<{ python: string; environment: NodeJS.ProcessEnv }> {
  const python = 'python3'
  const found = await run(python, ['-c', 'import requests']).then(
    () => true,
    () => false,
  )
  if (found) return { python, environment: process.env }
  const folder = await mkdtemp(join(tmpdir(), 'story-images-python-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await run(python, ['-m', 'pip', 'install', '--quiet', '--target', folder, 'requests'])
  return { python, environment: { ...process.env, PYTHONPATH: folder } }
}
