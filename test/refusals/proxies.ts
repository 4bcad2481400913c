import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../readme/shell.ts'
import { eventually, type Teardown } from '../support/app.ts'
import { examplesOf } from '../support/examples.ts'

/** A proxy as it comes with Debian, with its configuration of docs/deployment.md. */
export interface Proxy {
  readonly name: string
  readonly program: string
  /** Debian's package. */
  readonly package: string
  /** Clients to try, by name: one that reads while it sends, and one that sends everything first unless the proxy cuts such clients off. */
  readonly clients: readonly string[]
  /**
   * @param example the configuration, which listens on `port`
   * @returns the command line that runs it in the foreground
   */
  readonly command: (folder: string, example: (changes?: Record<string, string>) => string, port: number) => string[]
}

const READS_EARLY = 'curl without Expect'
const READS_LATE = 'Python http.client'

const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`
const MODULES = '/usr/lib/apache2/modules'

export const PROXIES: readonly Proxy[] = [
  {
    name: 'nginx',
    program: 'nginx',
    package: 'nginx-light',
    clients: [READS_EARLY, READS_LATE],
    command(folder, example, port) {
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`)
      return configured(
        folder,
        `${process.getuid?.() === 0 ? 'user root;' : ''}
        daemon off; pid nginx.pid; error_log error.log; events {}
        http { access_log off; ${temporary.join(' ')} ${example({ 'listen 80;': `listen 127.0.0.1:${port};` })} }`,
        (path) => ['nginx', '-p', folder, '-c', path, '-e', join(folder, 'error.log')],
      )
    },
  },
  {
    name: 'httpd',
    program: 'apache2',
    package: 'apache2-bin',
    clients: [READS_EARLY, READS_LATE],
    command(folder, example, port) {
      const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_http'].filter((name) =>
        existsSync(join(MODULES, `mod_${name}.so`)),
      )
      return configured(
        folder,
        `ServerRoot ${folder}
        ServerName localhost
        PidFile ${folder}/httpd.pid
        ErrorLog ${folder}/error.log
        ${modules.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join('\n')}
        Listen 127.0.0.1:${port}
        ${example({ '*:80': `127.0.0.1:${port}` })}`,
        (path) => ['apache2', '-f', path, '-D', 'FOREGROUND'],
      )
    },
  },
  {
    name: 'haproxy',
    program: 'haproxy',
    package: 'haproxy',
    clients: [READS_EARLY, READS_LATE],
    command: (folder, example, port) =>
      configured(folder, example({ 'bind :80': `bind 127.0.0.1:${port}` }), (path) => ['haproxy', '-db', '-f', path]),
  },
  {
    name: 'caddy',
    program: 'caddy',
    package: 'caddy',
    clients: [READS_EARLY, 'Python requests'],
    command: (folder, example, port) =>
      configured(folder, `{\n  admin off\n}\n${example({ ':80 {': `http://127.0.0.1:${port} {` })}`, (path) => [
        'caddy',
        'run',
        '--adapter',
        'caddyfile',
        '--config',
        path,
      ]),
  },
  {
    name: 'varnish',
    program: 'varnishd',
    package: 'varnish',
    clients: [READS_EARLY, READS_LATE],
    command: (folder, example, port) =>
      configured(folder, example(), (path) => {
        const program = ['varnishd', '-F', '-f', path, '-n', join(folder, 'run'), '-a', `127.0.0.1:${port}`]
        // Without its processes of other users
        return [...program, '-s', 'malloc,16m', '-T', 'none', '-j', 'none']
      }),
  },
]

function configured(folder: string, text: string, command: (path: string) => string[]): string[] {
  const path = join(folder, 'proxy.conf')
  writeFileSync(path, text)
  return command(path)
}

export function isInstalled({ program }: Pick<Proxy, 'program'>): boolean {
  return PATH.split(':').some((folder) => existsSync(join(folder, program)))
}

const deployment = await examplesOf('docs/deployment.md')

/**
 * Starts a proxy in front of a server on loopback.
 *
 * @param upstream the server's port
 * @param ready path that answers 200 when the proxy is there
 * @returns the proxy's port, which answers
 */
export async function startProxy(
  t: Teardown,
  proxy: Pick<Proxy, 'name' | 'command'>,
  upstream: number,
  ready = '/livez',
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), `${proxy.name}-`))
  const port = await freePort()
  const server = proxy.name === 'varnish' ? ['"8000"', `"${upstream}"`] : ['127.0.0.1:8000', `127.0.0.1:${upstream}`]
  const example = (changes: Record<string, string> = {}) =>
    deployment(proxy.name, { ...changes, [server[0] as string]: server[1] as string })
  const [program = '', ...args] = proxy.command(folder, example, port)
  const child = spawn(program, args, { env: { PATH, HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (text) => (output += text))
  child.stderr.on('data', (text) => (output += text))
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true, force: true })
  })
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}${ready}`).then(
      ({ ok }) => ok,
      () => false,
    )
  if (!(await eventually(() => child.exitCode !== null || isUp())) || child.exitCode !== null) {
    const log = join(folder, 'error.log')
    throw new Error(`${proxy.name} does not start: ${output}${existsSync(log) ? readFileSync(log, 'utf8') : ''}`)
  }
  return port
}
