import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from './process.ts'
import { BUCKET, DIST, PEERS, SCRATCH, startCommand, VENV } from './setup.ts'

/** Where a contender keeps its objects: an S3 server, or a folder. */
export type Place = { readonly s3: Readonly<Record<string, string>> } | { readonly folder: string }

export interface Contender {
  readonly name: string
  /** `ours`, something people use instead, or a limit that nobody can beat. */
  readonly role: 'ours' | 'peer' | 'limit'
  /** Whether images are stored with their metadata. Only rows that upload photos look at this, and they have no peers. */
  readonly keepsMetadata?: true
  command(place: Place, port: number): Command
}

/** The peers leave the SDK's checksum trailers out, as servers other than AWS need it; it also makes them faster. */
const NO_TRAILERS = {
  AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required',
  AWS_RESPONSE_CHECKSUM_VALIDATION: 'when_required',
}
const QUIET = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' }

/** An S3 server that checks no signature takes these. */
export const ANY_CREDENTIALS = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench-secret' }

function settings(place: Place): Record<string, string> {
  if ('folder' in place) return { DATA_DIR: place.folder }
  return { S3_BUCKET: BUCKET, AWS_REGION: 'us-east-1', ...QUIET, ...place.s3 }
}

const nodePeer = (folder: string) => (place: Place) => ({
  argv: [process.execPath, join(PEERS, folder, 'server.js')] as const,
  env: { ...settings(place), ...NO_TRAILERS },
})

/** The peers log nothing either. The size of the thread pool is that of the Docker image. */
const OURS = {
  HOST: '127.0.0.1',
  LOG_LEVEL: 'warn',
  MAX_FILE_SIZE: '100MiB',
  SWEEP_INTERVAL: '0s',
  UV_THREADPOOL_SIZE: '16',
}

export const ours: Contender = {
  name: 'story-images',
  role: 'ours',
  command: (place) => ({
    argv: startCommand(DIST),
    env: { ...settings(place), ...OURS },
    cwd: SCRATCH,
  }),
}

/** Stores images as they were sent. */
export const oursUnstripped: Contender = {
  ...withEnv(ours, { STRIP_METADATA: 'none' }),
  name: 'story-images, unstripped',
  keepsMetadata: true,
}

/** For a store that is far away, as it is by default on AWS. */
export const oursFar: Contender = withEnv(ours, { LIST_CONCURRENCY: '16' })

/** With its sweeps, which the other rows leave out since the peers have none. */
export const oursSweeping: Contender = withEnv(oursFar, { SWEEP_INTERVAL: '1h' })

function withEnv(contender: Contender, env: Readonly<Record<string, string>>): Contender {
  return {
    ...contender,
    command(place, port) {
      const command = contender.command(place, port)
      return { ...command, env: { ...command.env, ...env } }
    },
  }
}

export const libStorage: Contender = {
  name: 'Fastify + lib-storage',
  role: 'peer',
  command: nodePeer('fastify-lib-storage'),
}

export const sdkBody: Contender = { ...libStorage, name: 'Fastify + SDK body' }

export const multerS3: Contender = { name: 'Express + multer-s3', role: 'peer', command: nodePeer('multer-s3') }

export const paginator: Contender = { name: 'SDK paginator', role: 'peer', command: nodePeer('sdk-paginator') }

export const sdkDelete: Contender = { ...paginator, name: 'SDK, list and delete' }

/** On a folder. */
export const ipx: Contender = { name: 'ipx', role: 'peer', command: nodePeer('ipx') }

export const parseOnly: Contender = { name: 'parsing alone', role: 'limit', command: nodePeer('parse-only') }

export const fastapi: Contender = {
  name: 'FastAPI + boto3',
  role: 'peer',
  command: (place, port) => ({
    argv: [join(VENV, 'bin/uvicorn'), 'main:app', '--port', String(port), '--log-level', 'warning'],
    env: { ...settings(place), ...NO_TRAILERS, PYTHONPYCACHEPREFIX: join(SCRATCH, 'pycache') },
    cwd: join(PEERS, 'fastapi'),
  }),
}

/** One thread that parses, digests, signs and sends, with nothing else around it. */
export const bare: Contender = { name: 'the bare path', role: 'limit', command: nodePeer('bare') }

/** The files of an upload to a folder, without an upload. */
export const filesAlone: Contender = {
  name: 'the files alone',
  role: 'limit',
  command: (place) => ({
    argv: [join(VENV, 'bin/python'), join(PEERS, 'files-alone/server.py')],
    env: settings(place),
  }),
}

export const fastapiFiles: Contender = { ...fastapi, name: 'FastAPI, files without fsync' }

export const nginx: Contender = {
  name: 'nginx',
  role: 'limit',
  command(place, port) {
    const folder = join(SCRATCH, `nginx-${port}`)
    mkdirSync(folder)
    const template = readFileSync(join(PEERS, 'nginx/nginx.conf'), 'utf8')
    const values = { PORT: String(port), S3_HOST: '', S3_BUCKET: BUCKET }
    if ('s3' in place) values.S3_HOST = new URL(place.s3.S3_ENDPOINT ?? '').host
    const filled = template.replace(/\$\{(\w+)\}/g, (_, name) => values[name as keyof typeof values])
    writeFileSync(join(folder, 'nginx.conf'), filled)
    return { argv: ['nginx', '-p', folder, '-c', 'nginx.conf'] }
  },
}
