import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildServer } from '../build/server.ts'
import { type Command, freePort, run } from './process.ts'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const CACHE = join(ROOT, 'node_modules/.cache/bench')
export const PEERS = join(ROOT, 'bench/peers')
export const VENV = join(CACHE, 'venv')
/** This run's own folder, so that two can run at once. nginx's workers, which can be another user's, have to come in. */
mkdirSync(CACHE, { recursive: true })
export const SCRATCH = mkdtempSync(join(CACHE, 'run-'))
chmodSync(SCRATCH, 0o755)
process.once('exit', () => rmSync(SCRATCH, { recursive: true, force: true }))
export const newFolder = (name: string) => mkdtemp(join(SCRATCH, `${name}-`))
export const DIST = join(SCRATCH, 'dist')

export const BUCKET = 'bench'

export interface Environment {
  readonly cpu: string
  readonly memory: string
  readonly kernel: string
  /** Name and version of everything that takes part. */
  readonly versions: Readonly<Record<string, string>>
}

export interface Minio {
  /** What a client needs: S3_ENDPOINT and the credentials. */
  readonly env: Readonly<Record<'S3_ENDPOINT' | 'AWS_ACCESS_KEY_ID' | 'AWS_SECRET_ACCESS_KEY', string>>
  /** Removes every object. */
  emptyBucket(): Promise<void>
  stop(): Promise<void>
}

/** Builds the server, and installs the peers unless they are installed or not needed. Throws if a tool is missing, and says how to install it. */
export async function prepare(withPeers: boolean): Promise<void> {
  const missing = ['wrk', 'curl', ...(withPeers ? ['nginx', 'python3'] : [])].filter((tool) => !pathOf(tool))
  if (missing.length > 0) {
    const packages = missing.map((tool) => ({ nginx: 'nginx-light', python3: 'python3-venv' })[tool] ?? tool)
    throw new Error(`Missing: ${missing.join(', ')}. On Debian or Ubuntu: apt-get install ${packages.join(' ')}`)
  }
  await buildServer(DIST)
  // Above it, as the server looks for its version
  copyFileSync(join(ROOT, 'package.json'), join(DIST, '..', 'package.json'))
  if (!withPeers) return
  await installed(join(PEERS, 'node_modules'), join(PEERS, 'package-lock.json'), () =>
    run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: PEERS }),
  )
  const requirements = join(PEERS, 'fastapi/requirements.txt')
  await installed(VENV, requirements, async () => {
    await run('python3', ['-m', 'venv', '--clear', VENV])
    await run(join(VENV, 'bin/pip'), ['install', '-q', '-r', requirements])
  })
}

/** The command of `npm start` for a server in `dist`, with the package.json above it. */
export function startCommand(dist: string): Command['argv'] {
  const { scripts } = JSON.parse(readFileSync(join(dist, '../package.json'), 'utf8'))
  const [, ...args] = scripts.start.split(' ') as string[]
  return [process.execPath, ...args.map((arg) => arg.replace(/^dist/, dist))]
}

/** A MinIO of our own, with an empty bucket that anyone may read and write. */
export async function startMinio(): Promise<Minio> {
  const script = join(ROOT, 'test/engines/minio.sh')
  const own = { ...process.env, MINIO_PORT: String(await freePort()) }
  const { stdout } = await run('bash', [script, 'up'], { env: own })
  const setting = (name: string) => new RegExp(`^export ${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? ''
  const env = {
    S3_ENDPOINT: setting('S3_ENDPOINT'),
    AWS_ACCESS_KEY_ID: setting('AWS_ACCESS_KEY_ID'),
    AWS_SECRET_ACCESS_KEY: setting('AWS_SECRET_ACCESS_KEY'),
  }
  const host = env.S3_ENDPOINT.replace('://', `://${env.AWS_ACCESS_KEY_ID}:${env.AWS_SECRET_ACCESS_KEY}@`)
  const mc = (...args: string[]) =>
    run(join(process.env.MINIO_BIN ?? goBin(), 'mc'), ['--config-dir', join(SCRATCH, 'mc'), ...args], {
      env: { ...process.env, MC_HOST_bench: host },
    })
  const makeBucket = async () => {
    await mc('mb', `bench/${BUCKET}`)
    await mc('anonymous', 'set', 'public', `bench/${BUCKET}`)
  }
  await makeBucket()
  return {
    env,
    async emptyBucket() {
      await mc('rb', '--force', `bench/${BUCKET}`)
      await makeBucket()
    },
    async stop() {
      await run('bash', [script, 'down'], { env: own })
    },
  }
}

export async function readEnvironment(): Promise<Environment> {
  const npm = (name: string) =>
    JSON.parse(readFileSync(join(PEERS, `node_modules/${name}/package.json`), 'utf8')).version
  const pip = (name: string) =>
    new RegExp(`^${name}==(.*)$`, 'm').exec(readFileSync(join(PEERS, 'fastapi/requirements.txt'), 'utf8'))?.[1] ?? ''
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const said = async (pattern: RegExp, ...[file, ...args]: [string, ...string[]]) => {
    // wrk calls its version an error
    const { stdout, stderr } = await run(file, args).catch((error: { stdout: string; stderr: string }) => error)
    return pattern.exec(stdout + stderr)?.[1] ?? ''
  }
  const cores = cpus()
  return {
    cpu: `${cores.length} × ${cores[0]?.model.trim()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    versions: {
      'story-images': version,
      'Node.js': process.versions.node,
      fastify: npm('fastify'),
      '@fastify/multipart': npm('@fastify/multipart'),
      '@aws-sdk/client-s3': npm('@aws-sdk/client-s3'),
      '@aws-sdk/lib-storage': npm('@aws-sdk/lib-storage'),
      express: npm('express'),
      multer: npm('multer'),
      'multer-s3': npm('multer-s3'),
      Python: await said(/Python (\S+)/, join(VENV, 'bin/python'), '--version'),
      fastapi: pip('fastapi'),
      uvicorn: pip('uvicorn'),
      boto3: pip('boto3'),
      nginx: await said(/nginx\/(\S+)/, 'nginx', '-v'),
      MinIO: /^MINIO_VERSION=(.*)$/m.exec(readFileSync(join(ROOT, 'test/engines/minio.sh'), 'utf8'))?.[1] ?? '',
      wrk: await said(/wrk (?:debian\/)?(\S+)/, 'wrk', '-v'),
    },
  }
}

/** Runs the installation unless it has been run with the same list of versions. */
async function installed(folder: string, list: string, install: () => Promise<unknown>): Promise<void> {
  const stamp = join(folder, '.bench')
  const wanted = readFileSync(list, 'utf8')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  await install()
  writeFileSync(stamp, wanted)
}

function pathOf(tool: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .map((folder) => join(folder, tool))
    .find(existsSync)
}

function goBin(): string {
  return join(process.env.GOPATH ?? join(process.env.HOME ?? '', 'go'), 'bin')
}
