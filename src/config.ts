import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { type Static, type TSchema, Type } from 'typebox'
import { Check } from 'typebox/schema'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** No UPLOAD_TIMEOUT is longer, in milliseconds, so no server has an upload that runs for longer. */
export const LONGEST_UPLOAD_MS = 24 * HOUR

interface TextOptions {
  readonly example: string
  readonly pattern?: string
  readonly must?: string
  /** A check that a pattern cannot express. */
  readonly isGood?: (value: string) => boolean
  /** Whether error messages leave out the value. */
  readonly isSecret?: true
}

const text = (description: string, options: TextOptions & { default?: string }) =>
  Type.String({ description, minLength: 1, must: 'some text', ...options })

const optionalText = (description: string, options: TextOptions) => Type.Optional(text(description, options))

const flag = (description: string) => Type.Boolean({ description, default: false, example: 'true' })

const oneOf = <const T extends string>(
  description: string,
  choices: readonly T[],
  options: { default: T; example: T },
) =>
  Type.Union(
    choices.map((choice) => Type.Literal(choice)),
    { description, ...options },
  )

/** Makes the pattern of a comma-separated list. */
const listOf = (pattern: string) => `^\\s*${pattern}(\\s*,\\s*${pattern})*\\s*$`

/** Returns the items of a comma-separated list. */
export const listed = (value: string | undefined): string[] => value?.split(',').map((item) => item.trim()) ?? []

const count = (description: string, options: { default: number; minimum: number; maximum: number }) =>
  Type.Integer({ description, unit: 'count', example: String(options.default), ...options })

const size = (description: string, options: { default: number; minimum: number; maximum: number }) =>
  Type.Integer({ description, unit: 'bytes', example: formatBytes(options.default), ...options })

const duration = (description: string, options: { default: number; minimum: number; maximum: number }) =>
  Type.Integer({ description, unit: 'milliseconds', example: formatDuration(options.default), ...options })

/** A width, or the width and the height of a crop. */
const VARIANT_SIZE = '[1-9]\\d{0,3}(x[1-9]\\d{0,3})?'

/** `Cache-Control` of images that not everybody may see. */
export const PRIVATE_CACHE_CONTROL = 'private, max-age=3600, immutable'

/** Every environment variable that the server reads, except those of the AWS SDK (credentials, AWS_REGION and the like). */
export const ConfigSchema = Type.Object({
  HOST: text('Address to listen on: `localhost` for this machine only, `0.0.0.0` for every IPv4 address', {
    default: 'localhost',
    example: '0.0.0.0',
  }),
  PORT: count('TCP port; 0 takes any free one', { default: 8000, minimum: 0, maximum: 65535 }),
  API_KEYS: optionalText('API keys as `name:scope+scope:sha256`, comma-separated', {
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
    'Host names that a server without `API_KEYS` accepts besides `localhost` and IP addresses, comma-separated; `*` is every name',
    {
      example: 'images.example.org',
      pattern: `^\\*$|${listOf('[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?')}`,
      must: 'a list of host names (images.example.org, in lower case, without a port), or *',
    },
  ),
  ALLOW_OPEN: flag('Lets a server without `API_KEYS` listen to other machines, for private networks'),
  SIGNING_SECRETS: optionalText(
    'Secrets for upload tickets and signed URLs, each of 32 characters or more, comma-separated. The first one signs, all of them verify',
    {
      example: 'what-openssl-rand-hex-32-prints-for-you',
      pattern: listOf('[!-+\\x2d-~]{32,1024}'),
      must: 'a list of secrets of 32 to 1024 visible ASCII characters, with commas between them',
      isSecret: true,
    },
  ),
  PRIVATE_IMAGES: flag('Whether images need a signed URL or a key with the scope `read`'),
  RATE_LIMIT: count('Most requests per minute from one key or, without one, one client; `0` is no limit', {
    default: 0,
    minimum: 0,
    maximum: 1_000_000,
  }),
  CORS_ORIGINS: optionalText('Origins whose pages may use the API, comma-separated; `*` is every origin', {
    example: 'https://app.example.org',
    pattern: `^\\*$|${listOf('https?://[a-z0-9.:\\[\\]-]+')}`,
    must: 'a list of origins (https://host or https://host:port, in lower case, without a slash at the end), or *',
  }),
  TRUST_PROXY: optionalText(
    'Addresses and networks of the proxies whose `X-Forwarded-For` is trusted, comma-separated',
    {
      example: '10.0.0.0/8',
      must: 'a list of IP addresses and networks (10.0.0.0/8), but not the network of all addresses',
      isGood: (value) => listed(value).every(isNetwork),
    },
  ),
  DATA_DIR: text('Folder for the images, used without `S3_BUCKET`', {
    default: './data',
    example: '/var/lib/story-images',
  }),
  S3_BUCKET: optionalText('Bucket for the images', {
    example: 'my-stories',
    // AWS, "General purpose bucket naming rules"; a directory bucket does not list keys in order
    pattern: '^(?!.*--x-s3$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    must: 'the name of a bucket (3 to 63 of a-z, 0-9, "." and "-"), and not a directory bucket (--x-s3)',
  }),
  S3_PREFIX: Type.String({
    description: 'Prefix of every key; `images/` makes the keys of a bucket behind a CDN match the public paths',
    default: '',
    example: 'images/',
    pattern: "^(?!(.*/)?\\.{1,2}/)([A-Za-z0-9!_.*'()-]+/)*$",
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
  S3_TIMEOUT: duration('How long the store may take to respond, or to send the next bytes of a response', {
    default: 20 * SECOND,
    minimum: 100,
    maximum: 10 * MINUTE,
  }),
  LIST_CONCURRENCY: Type.Optional(
    Type.Integer({
      description:
        'Calls that list the bucket at once; more than 1 is faster if the bucket is far away. By default 16, or 1 with `S3_ENDPOINT`',
      unit: 'count',
      example: '16',
      minimum: 1,
      maximum: 64,
    }),
  ),
  MAX_FILE_SIZE: size('Largest file', { default: 50 * MIB, minimum: KIB, maximum: 40 * GIB }),
  MAX_FILES: count('Most files in one upload', { default: 100, minimum: 1, maximum: 10_000 }),
  MAX_PIXELS: count('Most pixels (width × height) of one image', {
    default: 268_000_000,
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
  }),
  STRIP_METADATA: oneOf(
    'What is removed from uploaded images: `location` is every position, `all` is all metadata that the picture does not need, `none` stores images as they were sent',
    ['location', 'all', 'none'],
    { default: 'location', example: 'all' },
  ),
  VARIANT_SIZES: text(
    'Sizes of variants in pixels, comma-separated: a width such as `320`, or width x height such as `320x240` for those that are cropped',
    {
      default: '160,320,640,1280,1920,320x240,640x480',
      example: '320,1280,320x320',
      pattern: `^\\s*(${VARIANT_SIZE}\\s*,\\s*)*[1-9]\\d{0,3}(\\s*,\\s*${VARIANT_SIZE})*\\s*$`,
      must: 'a list of widths (320) and of sizes of crops (320x240), with numbers from 1 to 9999 and at least one width',
    },
  ),
  VARIANT_CONCURRENCY: count('Most variants that are made at once, each by a process of its own', {
    default: 2,
    minimum: 1,
    maximum: 64,
  }),
  UPLOAD_TIMEOUT: duration('How long one upload may take in total', {
    default: HOUR,
    minimum: SECOND,
    maximum: LONGEST_UPLOAD_MS,
  }),
  UPLOAD_MEMORY: size(
    'Memory for the bytes of running uploads. One image may be sent at once for each 256 KiB of it. Further requests wait',
    {
      default: 256 * MIB,
      minimum: 48 * MIB,
      maximum: 64 * GIB,
    },
  ),
  UPLOAD_WAIT: duration('How long an upload may wait for that memory', {
    default: 4 * MINUTE,
    minimum: 100,
    maximum: HOUR,
  }),
  CLIENT_TIMEOUT: duration('How long a client may send nothing of an upload, or read nothing of a response', {
    default: 30 * SECOND,
    minimum: 100,
    maximum: HOUR,
  }),
  KEEP_ALIVE_TIMEOUT: duration(
    'Keep-alive timeout of client connections. Must be longer than the idle timeout of the load balancer',
    { default: 72 * SECOND, minimum: SECOND, maximum: HOUR },
  ),
  MAX_EVENT_LOOP_DELAY: duration('Delay of the event loop, over two seconds, above which requests are refused', {
    default: 500,
    minimum: 10,
    maximum: MINUTE,
  }),
  SWEEP_INTERVAL: duration('How often the debris of interrupted uploads and deletions is removed; `0s` is never', {
    default: HOUR,
    minimum: 0,
    maximum: 24 * HOUR,
  }),
  TRASH_RETENTION: duration(
    'How long `DATA_DIR` keeps deleted stories, so that `story-images restore` can bring them back; `0s` is not at all',
    { default: 7 * 24 * HOUR, minimum: 0, maximum: 90 * 24 * HOUR },
  ),
  SHUTDOWN_DELAY: duration(
    'How long the server, no longer ready, keeps serving after SIGTERM or SIGINT, until load balancers notice; `10s` is usual behind one',
    { default: 0, minimum: 0, maximum: 10 * MINUTE },
  ),
  SHUTDOWN_TIMEOUT: duration('How long running requests may take to finish after that', {
    default: 5 * MINUTE,
    minimum: SECOND,
    maximum: 24 * HOUR,
  }),
  CACHE_CONTROL: text(
    '`Cache-Control` of images: how long caches may serve them, also after a deletion. By default `private, max-age=3600, immutable` with `PRIVATE_IMAGES`',
    {
      default: 'public, max-age=86400, immutable',
      example: 'public, max-age=3600',
      // With other spaces, servers and proxies sign it in different ways
      pattern: '^[\\x21-\\x7e]+( [\\x21-\\x7e]+)*$',
      must: 'one line of ASCII, with single spaces inside',
    },
  ),
  PUBLIC_IMAGE_URL: optionalText(
    'URL of the CDN that serves `/images/`, without a slash at the end. The gallery, signed URLs and `/openapi.json` name images below it',
    {
      example: 'https://img.example.org',
      pattern: '^https?://[a-z0-9.:\\[\\]-]+(/[A-Za-z0-9._~-]+)*$',
      must: 'an http or https URL with a host in lower case, without user, query, and slash at the end',
      isGood: (value) => URL.canParse(value) && !/\/\.{1,2}(\/|$)/.test(value),
    },
  ),
  PURGE_URL: optionalText(
    'Tells a CDN of deleted stories: `cloudfront-tags:` or `cloudfront-paths:` with the id of a distribution, or a URL to POST to, with `{tag}` for the id of one story or without it for a list',
    {
      example: 'cloudfront-tags:E1EXAMPLE',
      pattern: '^(cloudfront-(tags|paths):[A-Z0-9]{5,32}|https?://[^/?#@\\s{}]+(/([^#\\s{}]|\\{tag\\})*)?)$',
      must: 'cloudfront-tags: or cloudfront-paths: and the id of a distribution, or an http or https URL without user and fragment, whose only braces are those of {tag}',
      isGood: (value) => value.startsWith('cloudfront-') || URL.canParse(value),
    },
  ),
  PURGE_HEADER: optionalText('A header of that request, which authorizes it', {
    example: 'Authorization: Bearer the-token-of-the-cdn',
    pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+:[ ]*[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$",
    must: 'the name of a header that no request has by itself, a colon, and its value in ASCII',
    isGood: (value) =>
      !/^(host|connection|content-.*|expect|keep-alive|te|trailer|transfer-encoding|upgrade):/i.test(value),
    isSecret: true,
  }),
  LOG_LEVEL: oneOf('Lowest level that is logged', ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    example: 'debug',
  }),
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
 * @throws {ConfigError} for the first invalid variable
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
      throw new ConfigError(`${name} must be ${allowed(schema)}${what}; for example ${name}=${schema.example}`)
    }
    values[name] = value
  }
  const config = values as Config
  const idle = Object.keys(ConfigSchema.properties).find((name) => name.startsWith('S3_') && environment[name])
  if (config.S3_BUCKET === undefined && idle !== undefined) {
    throw new ConfigError(`${idle} is set, but S3_BUCKET is not; for example S3_BUCKET=my-stories`)
  }
  if (config.PURGE_HEADER !== undefined && !config.PURGE_URL?.startsWith('http')) {
    throw new ConfigError(
      'PURGE_HEADER is set, but PURGE_URL is not a URL; for example PURGE_URL=https://cdn.example.org/purge',
    )
  }
  if (listed(config.API_KEYS).some((key) => HASHES_OF_NOTHING.has(key.slice(-64)))) {
    throw new ConfigError(
      'API_KEYS has the SHA-256 of an empty text or an empty line, which is not a key; make a key as docs/security.md says, and take its hash',
    )
  }
  if (config.PRIVATE_IMAGES && config.SIGNING_SECRETS === undefined) {
    throw new ConfigError('PRIVATE_IMAGES needs SIGNING_SECRETS, which make the signed URLs')
  }
  // Shared caches must not keep images that only some may see
  if (config.PRIVATE_IMAGES && !environment.CACHE_CONTROL) config.CACHE_CONTROL = PRIVATE_CACHE_CONTROL
  return config
}

/** Returns how many calls may list the store at once. A list of the disk, or of a server nearby, gains nothing by more than one. */
export function listConcurrencyOf({
  LIST_CONCURRENCY,
  S3_BUCKET,
  S3_ENDPOINT,
}: Pick<Config, 'LIST_CONCURRENCY' | 'S3_BUCKET' | 'S3_ENDPOINT'>): number {
  return LIST_CONCURRENCY ?? (S3_BUCKET !== undefined && S3_ENDPOINT === undefined ? 16 : 1)
}

/** Returns how many images may be sent at once. Each holds 384 KiB at most, so all of them one and a half times `UPLOAD_MEMORY`. */
export function mostDownloads({ UPLOAD_MEMORY }: Pick<Config, 'UPLOAD_MEMORY'>): number {
  return Math.floor(UPLOAD_MEMORY / (256 * KIB))
}

/** Settings of earlier versions, which are ignored. */
export const REMOVED_SETTINGS =
  'UPLOAD_IDLE_TIMEOUT READER_TIMEOUT HEADERS_TIMEOUT UPLOAD_MIN_RATE MAX_CONNECTIONS MAX_LISTS MAX_WAITING MAX_DOWNLOADS PURGE_BODY VARIANT_WIDTHS'.split(
    ' ',
  )

/** Hashes that a shell makes of an unset variable. The first one would open the server to everybody. */
const HASHES_OF_NOTHING = new Set(['', '\n'].map((text) => createHash('sha256').update(text).digest('hex')))

/** Returns whether the text is an address, or a network as `address/bits`, except the network of all addresses. */
function isNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/')
  const most = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  if (bits === undefined) return most > 0
  return more.length === 0 && /^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= most
}

/**
 * Adds the `NAME=value` lines of a file to an environment, whose own values win. Does nothing if there is no file.
 *
 * @throws {ConfigError} when the file cannot be read
 */
export function loadEnvFile(path: string, environment: NodeJS.ProcessEnv): void {
  try {
    for (const [name, value] of Object.entries(parseEnv(readFileSync(path, 'utf8')))) environment[name] ??= value
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw new ConfigError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
}

export type OptionSchema = TSchema & {
  readonly type?: string
  readonly unit?: 'count' | 'bytes' | 'milliseconds'
  readonly default?: unknown
  readonly description: string
  readonly example: string
  readonly must?: string
  readonly pattern?: string
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
  if (schema.unit === 'milliseconds') return parseDuration(raw) ?? raw
  return raw
}

/** Returns the milliseconds of a text such as "90s" or "2h", or undefined if it is not a duration. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d+) ?(ms|s|m|h)$/.exec(text) ?? []
  return number === undefined ? undefined : Number(number) * DURATIONS[unit as keyof typeof DURATIONS]
}

function allowed({ type, unit, must, minimum = 0, maximum = 0, anyOf }: OptionSchema): string {
  if (anyOf) return `one of ${anyOf.map((choice) => choice.const).join(', ')}`
  if (type === 'boolean') return 'true or false'
  if (unit === 'count') return `a whole number from ${minimum} to ${maximum}`
  if (unit === 'bytes') return `a size from ${formatBytes(minimum)} to ${formatBytes(maximum)}`
  if (unit === 'milliseconds') return `a duration from ${formatDuration(minimum)} to ${formatDuration(maximum)}`
  return must ?? 'some text'
}

export function formatBytes(value: number): string {
  if (value === 0) return '0'
  if (value % GIB === 0) return `${value / GIB}GiB`
  return value % MIB === 0 ? `${value / MIB}MiB` : `${value / KIB}KiB`
}

export function formatDuration(value: number): string {
  if (value === 0) return '0s'
  if (value % HOUR === 0) return `${value / HOUR}h`
  if (value % MINUTE === 0) return `${value / MINUTE}m`
  return value % SECOND === 0 ? `${value / SECOND}s` : `${value}ms`
}

/** Returns the settings as the tables of the docs show them. */
export function describeConfig(): { name: string; default: string; description: string }[] {
  return Object.entries(ConfigSchema.properties as unknown as Record<string, OptionSchema>).map(([name, schema]) => ({
    name,
    default:
      typeof schema.default === 'number' && schema.unit !== 'count' ? schema.example : String(schema.default ?? ''),
    description: schema.description,
  }))
}
