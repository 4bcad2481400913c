import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import type { Engine } from '../support/engines.ts'
import { type Result, ROOT, run } from '../support/examples.ts'

const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

/** What the documents use of a clone. Commands also write into the folder that they run in, which must not be the clone itself. */
const OF_A_CLONE = ['deploy', 'dist', 'docs', 'minio', 'node_modules', 'package.json']

/** Keeps a server on a busy machine from refusing what it is asked. */
const CALM = { MAX_EVENT_LOOP_DELAY: '1m' }

export interface Shell {
  /** The folder that commands run in: a clone, as far as documents go. */
  readonly folder: string
  run(code: string, env?: Record<string, string>): Promise<Result>
  /** Puts a script in the place of a program; in it, the name is that of the program. */
  command(name: string, script: string): void
  /** Runs a command that starts the server, which listens on any free port. */
  start(code: string, env?: Record<string, string>): Promise<{ url: string; stop(): Promise<void> }>
}

/**
 * A shell for the commands of documents. `npm start` and `npm run …` are what package.json says, without another build; `aws` goes to
 * the endpoint where the command doesn't name one itself.
 */
export function openShell(t: Test, endpoint: string, key: Pick<Engine, 'accessKeyId' | 'secretAccessKey'>): Shell {
  const folder = mkdtempSync(join(tmpdir(), 'story-images-shell-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const name of OF_A_CLONE) symlinkSync(join(ROOT, name), join(folder, name))
  const command = (name: string, script: string) =>
    writeFileSync(join(folder, name), `#!/bin/sh\nPATH=\${PATH#*:}\n${script}\n`, { mode: 0o755 })
  command('aws', `case "$*" in *--endpoint-url*) ;; *) set -- --endpoint-url '${endpoint}' "$@" ;; esac\nexec aws "$@"`)
  const environment = {
    PATH: [folder, join(process.env.GOPATH ?? join(process.env.HOME ?? '', 'go'), 'bin'), process.env.PATH].join(
      delimiter,
    ),
    HOME: folder,
    AWS_ACCESS_KEY_ID: key.accessKeyId,
    AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  }
  const withoutNpm = (code: string) =>
    code.replace(/\bnpm (?:run )?(start|verify|sweep)\b(?: --(?= ))?/g, (_, name: string) => scripts[name])
  return {
    folder,
    command,
    run: (code, env) => run('sh', ['-ec', withoutNpm(code)], { cwd: folder, env: { ...environment, ...env } }),

    async start(code, env) {
      const child = spawn('sh', ['-ec', withoutNpm(code)], {
        cwd: folder,
        env: { ...environment, HOST: '127.0.0.1', PORT: '0', ...CALM, ...env },
        stdio: ['ignore', 'pipe', 'ignore'],
        // The server is a child of the shell
        detached: true,
      })
      const closed = once(child, 'close')
      const stop = async () => {
        if (child.exitCode === null && child.signalCode === null)
          try {
            process.kill(-(child.pid ?? 0), 'SIGTERM')
          } catch {
            // It has ended meanwhile
          }
        await closed
      }
      t.teardown(stop)
      let output = ''
      const url = await new Promise<string>((resolve, reject) => {
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          output += text
          const [, url] = /Server listening at (http:[^"]+)/.exec(output) ?? []
          if (url !== undefined) resolve(url)
        })
        child.once('close', () => reject(new Error(`The server did not start: ${output}`)))
      })
      return { url, stop }
    },
  }
}

export interface Recorded {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** An HTTP server that answers every request with 200 and a body, and remembers the request: in place of what tests can't reach. */
export async function startRecorder(
  t: Test,
  answer = '',
): Promise<{ url: string; port: number; requests: Recorded[] }> {
  const requests: Recorded[] = []
  const server = createServer(async (request, response) => {
    const { method = '', url: path = '', headers } = request
    const body = (await request.toArray()).join('')
    requests.push({ method, path, headers, body })
    response.end(answer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, requests }
}

/** A port of loopback on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}
