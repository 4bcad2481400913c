import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { type Static, type TSchema, Type } from 'typebox'
import { Check } from 'typebox/schema'
import { LONGEST_UPLOAD_MS } from './stories/key.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

interface TextOptions {
  readonly example: string
  readonly pattern?: string
  readonly must?: string
  /** What no pattern can tell. */
  readonly isGood?: (value: string) => boolean
  /** No message shows what it was. */
  readonly isSecret?: true
}

const text = (description: string, options: TextOptions & { default?: string }) =>
  Type.String({ description, minLength: 1, must: 'some text', ...options })

const optionalText = (description: string, options: TextOptions) => Type.Optional(text(description, options))

const flag = (description: string) => Type.Boolean({ description, default: false, example: 'true' })

/** One or more, with commas between them. */
const listOf = (pattern: string) => `^\\s*${pattern}(\\s*,\\s*${pattern})*\\s*$`

/** The values of an option that is a list. */
export const listed = (value: string | undefined): string[] => value?.split(',').map((item) => item.trim()) ?? []

const count = (description: string, options: { default: number; minimum: number; maximum: number }) =>
  Type.Integer({ description, unit: 'count', example: String(options.default), ...options })

const size = (description: string, options: { default: number; minimum: number; maximum: number }) =>
  Type.Integer({ description, unit: 'bytes', example: formatBytes(options.default), ...options })

const duration = (description: string, options: { default: number; minimum: number; maximum: number }) =>
  Type.Integer({ description, unit: 'milliseconds', example: formatDuration(options.default), ...options })

/** How long images may be kept, and by whom, that not everybody may see. */
export const PRIVATE_CACHE_CONTROL = 'private, max-age=3600, immutable'

/** Every environment variable that the server reads, but for those of the AWS SDK (credentials, AWS_REGION and the like). */
export const ConfigSchema = Type.Object({
  HOST: text('Address to listen on. `localhost` keeps other machines out; `0.0.0.0` is every IPv4 address', {
    default: 'localhost',
    example: '0.0.0.0',
  }),
  PORT: count('TCP port; 0 takes any free one', { default: 8000, minimum: 0, maximum: 65535 }),
  API_KEYS: optionalText('The keys that open the API, as `name:scope+scope:sha256`, with commas between them', {
    example: `web:read+write:${'0123456789abcdef'.repeat(4)}`,
    pattern: listOf(
      '[A-Za-z0-9][\\w.-]{0,63}:(read|write|delete|delete-all|metrics)(\\+(read|write|delete|delete-all|metrics))*:[0-9a-f]{64}',
    ),
    must: 'a list of name:scope+scope:sha256, each key in it once, with the scopes read, write, delete, delete-all and metrics and the SHA-256 of the key as 64 hexadecimal digits in lower case',
    isGood: (value) => {
      const hashes = listed(value).map((key) => key.slice(-64))
      return new Set(hashes).size === hashes.length
    },
    isSecret: true,
  }),
  ALLOWED_HOSTS: optionalText(
    'Host names that a server without `API_KEYS` answers to besides `localhost` and IP addresses, with commas between them; `*` is every name',
    {
      example: 'images.example.org',
      pattern: `^\\*$|${listOf('[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?')}`,
      must: 'a list of host names (images.example.org, in lower case, without a port), or *',
    },
  ),
  ALLOW_OPEN: flag('Lets a server without `API_KEYS` listen beyond this machine: for a private network'),
  SIGNING_SECRETS: optionalText(
    'Secrets that upload tickets and signed URLs are signed with, each of 32 characters or more, with commas between them. The first one signs, all of them verify',
    {
      example: 'what-openssl-rand-hex-32-prints-for-you',
      pattern: listOf('[!-+\\x2d-~]{32,1024}'),
      must: 'a list of secrets of 32 to 1024 visible ASCII characters, with commas between them',
      isSecret: true,
    },
  ),
  PRIVATE_IMAGES: flag('Whether images need a signed URL, or a key that may read'),
  RATE_LIMIT: count('Requests per minute from one key or, without one, one address; `0` is any number', {
    default: 0,
    minimum: 0,
    maximum: 1_000_000,
  }),
  CORS_ORIGINS: optionalText('Origins whose pages may use the API, with commas between them; `*` is every origin', {
    example: 'https://app.example.org',
    pattern: `^\\*$|${listOf('https?://[a-z0-9.:\\[\\]-]+')}`,
    must: 'a list of origins (https://host or https://host:port, in lower case, without a slash at the end), or *',
  }),
  TRUST_PROXY: optionalText('Addresses and networks of the proxies whose `X-Forwarded-For` counts', {
    example: '10.0.0.0/8',
    must: 'a list of IP addresses and networks (10.0.0.0/8), but not of every address there is',
    isGood: (value) => listed(value).every(isNetwork),
  }),
  DATA_DIR: text('Folder of the disk store, which is used while `S3_BUCKET` is not set', {
    default: './data',
    example: '/var/lib/story-images',
  }),
  S3_BUCKET: optionalText('Bucket to keep the pictures in', {
    example: 'my-stories',
    // AWS, "General purpose bucket naming rules"; a directory bucket does not list keys in order
    pattern: '^(?!.*--x-s3$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    must: 'the name of a bucket (3 to 63 of a-z, 0-9, "." and "-"), and no directory bucket (--x-s3)',
  }),
  S3_PREFIX: Type.String({
    description: 'Goes before every key; `images/` makes a bucket behind a CDN match the public paths',
    default: '',
    example: 'images/',
    pattern: "^((?!\\.{1,2}/)[A-Za-z0-9!_.*'()-]+/)*$",
    must: 'empty, or names (no "." and "..") each followed by "/"',
  }),
  S3_ENDPOINT: optionalText('URL of an S3 server other than AWS', {
    example: 'http://localhost:9000',
    pattern: '^https?://[^/?#@\\s]+(/[^?#@\\s]*)?$',
    must: 'an http or https URL without user, password and query',
  }),
  S3_REGION: optionalText('Region of the bucket; by default the AWS SDK’s own, or `us-east-1` with `S3_ENDPOINT`', {
    example: 'eu-central-1',
    pattern: '^[a-z0-9-]+$',
    must: 'the name of a region',
  }),
  S3_FORCE_PATH_STYLE: Type.Optional(
    Type.Boolean({
      description:
        'Whether the bucket goes into the path and not into the host name; by default `true` with `S3_ENDPOINT`',
      example: 'true',
    }),
  ),
  S3_TIMEOUT: duration('How long the store may take for an answer, or for the next bytes of one', {
    default: 20 * SECOND,
    minimum: 100,
    maximum: 10 * MINUTE,
  }),
  LIST_CONCURRENCY: Type.Optional(
    Type.Integer({
      description:
        'How many calls at once may list the bucket; more than 1 pays off far from it. By default 16, or 1 with `S3_ENDPOINT`',
      unit: 'count',
      example: '16',
      minimum: 1,
      maximum: 64,
    }),
  ),
  MAX_FILE_SIZE: size('Largest file that is taken', { default: 50 * MIB, minimum: KIB, maximum: 40 * GIB }),
  MAX_FILES: count('Most files in one upload', { default: 100, minimum: 1, maximum: 10_000 }),
  MAX_PIXELS: count('Most pixels (width × height) of one image', {
    default: 268_000_000,
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
  }),
  VARIANT_WIDTHS: text('Widths in pixels that images can be asked for in, with commas between them', {
    default: '160,320,640,1280,1920',
    example: '320,1280',
    pattern: listOf('[1-9]\\d{0,3}'),
    must: 'a list of widths from 1 to 9999',
  }),
  VARIANT_CONCURRENCY: count('Most images that are made smaller at once, each by a process of its own', {
    default: 2,
    minimum: 1,
    maximum: 64,
  }),
  UPLOAD_TIMEOUT: duration('How long one upload may take in all', {
    default: HOUR,
    minimum: SECOND,
    maximum: LONGEST_UPLOAD_MS,
  }),
  UPLOAD_IDLE_TIMEOUT: duration('How long an upload may go without a byte from the client', {
    default: 30 * SECOND,
    minimum: 100,
    maximum: HOUR,
  }),
  UPLOAD_MIN_RATE: size(
    'Bytes per second that an upload has to bring, over each `UPLOAD_IDLE_TIMEOUT` in which only its client was waited for; `0` is any',
    { default: KIB, minimum: 0, maximum: GIB },
  ),
  UPLOAD_MEMORY: size('Memory for the bytes of all uploads that run at once; further ones wait', {
    default: 256 * MIB,
    minimum: 48 * MIB,
    maximum: 64 * GIB,
  }),
  UPLOAD_WAIT: duration('How long an upload may wait for that memory before it is refused', {
    default: 4 * MINUTE,
    minimum: 100,
    maximum: HOUR,
  }),
  READER_TIMEOUT: duration('How long a client may take no byte of an answer that waits for it', {
    default: 30 * SECOND,
    minimum: 100,
    maximum: HOUR,
  }),
  HEADERS_TIMEOUT: duration('How long the headers of a request may take to arrive, on a new connection too', {
    default: 20 * SECOND,
    minimum: 100,
    maximum: 10 * MINUTE,
  }),
  KEEP_ALIVE_TIMEOUT: duration(
    'How long a connection may wait for its next request; longer than with the load balancer in front of the server',
    { default: 72 * SECOND, minimum: SECOND, maximum: HOUR },
  ),
  MAX_CONNECTIONS: count('Most connections of clients; further ones are closed at once', {
    default: 10_000,
    minimum: 1,
    maximum: 1_000_000,
  }),
  MAX_LISTS: count('Most lists of all stories that are on their way at once; each holds a page of the store', {
    default: 64,
    minimum: 1,
    maximum: 100_000,
  }),
  MAX_DOWNLOADS: count('Most images that are on their way at once; each holds 384 KiB at most', {
    default: 1024,
    minimum: 1,
    maximum: 100_000,
  }),
  MAX_WAITING: count(
    'Most small uploads, large uploads, lists and images, each, that wait for their turn; further ones are refused at once',
    { default: 1000, minimum: 0, maximum: 1_000_000 },
  ),
  MAX_EVENT_LOOP_DELAY: duration('From what delay of the event loop on, over two seconds, requests are refused', {
    default: 500,
    minimum: 10,
    maximum: MINUTE,
  }),
  SWEEP_INTERVAL: duration('How often what interrupted uploads and deletions left is removed; `0s` is never', {
    default: HOUR,
    minimum: 0,
    maximum: 24 * HOUR,
  }),
  SHUTDOWN_DELAY: duration(
    'How long the server goes on after SIGTERM or SIGINT, not ready, until load balancers have noticed; behind one `10s` is good',
    { default: 0, minimum: 0, maximum: 10 * MINUTE },
  ),
  SHUTDOWN_TIMEOUT: duration('How long running requests may take to finish after that', {
    default: 5 * MINUTE,
    minimum: SECOND,
    maximum: 24 * HOUR,
  }),
  CACHE_CONTROL: text(
    '`Cache-Control` of images: a deleted image is out of every cache after `max-age`. By default `private, max-age=3600, immutable` with `PRIVATE_IMAGES`',
    {
      default: 'public, max-age=86400, immutable',
      example: 'public, max-age=3600',
      pattern: '^[\\x20-\\x7e]+$',
      must: 'one line of ASCII',
    },
  ),
  LOG_LEVEL: Type.Union(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
    { description: 'Least severity that is logged', default: 'info', example: 'debug' },
  ),
})

export type Config = Static<typeof ConfigSchema>

/** A value of the environment that can't be used; the message names the variable, what is wrong, and an example. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads the configuration.
 *
 * @param environment for instance `process.env`; an empty value counts as unset
 * @throws {ConfigError} for the first variable that can't be used
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const values: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(ConfigSchema.properties as unknown as Record<string, OptionSchema>)) {
    const raw = environment[name]
    if (raw === undefined || raw === '') {
      if (schema.default !== undefined) values[name] = schema.default
      continue
    }
    const value = parseOption(raw, schema)
    if (!Check(schema, value) || schema.isGood?.(raw) === false) {
      // A URL may hold a password
      const what = schema.isSecret ? '' : `, not "${raw.replace(/\/\/.*@/, '//…@')}"`
      throw new ConfigError(`${name} has to be ${allowed(schema)}${what}; for example ${name}=${schema.example}`)
    }
    values[name] = value
  }
  const config = values as Config
  const idle = Object.keys(ConfigSchema.properties).find((name) => name.startsWith('S3_') && environment[name])
  if (config.S3_BUCKET === undefined && idle !== undefined) {
    throw new ConfigError(`${idle} is set, but S3_BUCKET is not; for example S3_BUCKET=my-stories`)
  }
  if (listed(config.API_KEYS).some((key) => HASHES_OF_NOTHING.has(key.slice(-64)))) {
    throw new ConfigError(
      'API_KEYS has the SHA-256 of an empty text or an empty line, which is not a key; make a key as docs/security.md says, and take its hash',
    )
  }
  if (config.PRIVATE_IMAGES && config.SIGNING_SECRETS === undefined) {
    throw new ConfigError('PRIVATE_IMAGES needs SIGNING_SECRETS, which make the signed URLs')
  }
  // What only some may see is not for caches that many share
  if (config.PRIVATE_IMAGES && !environment.CACHE_CONTROL) config.CACHE_CONTROL = PRIVATE_CACHE_CONTROL
  return config
}

/** What a shell makes of a variable that is not set: the first of these opened the server to everybody. */
const HASHES_OF_NOTHING = new Set(['', '\n'].map((text) => createHash('sha256').update(text).digest('hex')))

/** An address, or a network as `address/bits` that is not all of them. */
function isNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/')
  const most = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  if (bits === undefined) return most > 0
  return more.length === 0 && /^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= most
}

/**
 * Adds what a file of `NAME=value` lines says to an environment, which wins. No file is no error.
 *
 * @throws {ConfigError} when the file can't be read
 */
export function loadEnvFile(path: string, environment: NodeJS.ProcessEnv): void {
  try {
    for (const [name, value] of Object.entries(parseEnv(readFileSync(path, 'utf8')))) environment[name] ??= value
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw new ConfigError(`${path} can't be read: ${error instanceof Error ? error.message : error}`)
  }
}

type OptionSchema = TSchema & {
  readonly type?: string
  readonly unit?: 'count' | 'bytes' | 'milliseconds'
  readonly default?: unknown
  readonly description: string
  readonly example: string
  readonly must?: string
  readonly isGood?: TextOptions['isGood']
  readonly isSecret?: true
  readonly minimum?: number
  readonly maximum?: number
  readonly anyOf?: readonly { readonly const: string }[]
}

const BYTES = { '': 1, B: 1, KIB, MIB, GIB } as const
const DURATIONS = { ms: 1, s: SECOND, m: MINUTE, h: HOUR } as const

function parseOption(raw: string, schema: OptionSchema): unknown {
  if (schema.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : raw
  if (schema.unit === 'count') return /^\d+$/.test(raw) ? Number(raw) : raw
  if (schema.unit === 'bytes') {
    const [, number, unit = ''] = /^(\d+) ?(|B|[KMG]iB)$/i.exec(raw) ?? []
    return number === undefined ? raw : Number(number) * BYTES[unit.toUpperCase() as keyof typeof BYTES]
  }
  if (schema.unit === 'milliseconds') {
    const [, number, unit = ''] = /^(\d+) ?(ms|s|m|h)$/.exec(raw) ?? []
    return number === undefined ? raw : Number(number) * DURATIONS[unit as keyof typeof DURATIONS]
  }
  return raw
}

function allowed({ type, unit, must, minimum = 0, maximum = 0, anyOf }: OptionSchema): string {
  if (anyOf) return `one of ${anyOf.map((choice) => choice.const).join(', ')}`
  if (type === 'boolean') return 'true or false'
  if (unit === 'count') return `a whole number from ${minimum} to ${maximum}`
  if (unit === 'bytes') return `a size from ${formatBytes(minimum)} to ${formatBytes(maximum)}`
  if (unit === 'milliseconds') return `a duration from ${formatDuration(minimum)} to ${formatDuration(maximum)}`
  return must ?? 'some text'
}

function formatBytes(value: number): string {
  if (value === 0) return '0'
  if (value % GIB === 0) return `${value / GIB}GiB`
  return value % MIB === 0 ? `${value / MIB}MiB` : `${value / KIB}KiB`
}

function formatDuration(value: number): string {
  if (value === 0) return '0s'
  if (value % HOUR === 0) return `${value / HOUR}h`
  if (value % MINUTE === 0) return `${value / MINUTE}m`
  return value % SECOND === 0 ? `${value / SECOND}s` : `${value}ms`
}

/** The options as a table of the README shows them. */
export function describeConfig(): { name: string; default: string; description: string }[] {
  return Object.entries(ConfigSchema.properties as unknown as Record<string, OptionSchema>).map(([name, schema]) => ({
    name,
    default:
      typeof schema.default === 'number' && schema.unit !== 'count' ? schema.example : String(schema.default ?? ''),
    description: schema.description,
  }))
}
