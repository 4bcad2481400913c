import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, ConfigSchema, describeConfig, loadEnvFile, REMOVED_SETTINGS, readConfig } from '../src/config.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const HASH = 'ab'.repeat(32)
const OTHER_HASH = 'cd'.repeat(32)
const SECRETS = ['API_KEYS', 'SIGNING_SECRETS', 'PURGE_HEADER']
const NAMES = Object.keys(ConfigSchema.properties)

/** Each option: default, values that are taken and what they come to, values that are refused. */
const OPTIONS: Record<string, { default?: unknown; valid: [string, unknown][]; invalid: string[] }> = {
  HOST: {
    default: 'localhost',
    valid: [
      ['0.0.0.0', '0.0.0.0'],
      ['::', '::'],
    ],
    invalid: [],
  },
  PORT: {
    default: 8000,
    valid: [
      ['0', 0],
      ['65535', 65535],
    ],
    invalid: ['65536', '-1', '80.5', 'http', '8000 ', '0x50', '1e3'],
  },
  API_KEYS: {
    valid: [
      [`web:read:${HASH}`, `web:read:${HASH}`],
      [
        `a:read+delete-all:${HASH}, a.b-c_1:write:${OTHER_HASH}`,
        `a:read+delete-all:${HASH}, a.b-c_1:write:${OTHER_HASH}`,
      ],
      [`a:read:${HASH},a:read:${OTHER_HASH}`, `a:read:${HASH},a:read:${OTHER_HASH}`],
    ],
    invalid: [
      'my-secret-key',
      `web:${HASH}`,
      `web:all:${HASH}`,
      `web:read+:${HASH}`,
      `:read:${HASH}`,
      `a b:read:${HASH}`,
      `web:read:${HASH.toUpperCase()}`,
      `web:read:${HASH.slice(1)}`,
      `web:read:${HASH},`,
      `a:read:${HASH},b:write:${HASH}`,
    ],
  },
  ALLOWED_HOSTS: {
    valid: [
      ['*', '*'],
      ['images.example.org, story-images', 'images.example.org, story-images'],
      ['a', 'a'],
    ],
    invalid: [
      'Images.example.org',
      'images.example.org:8000',
      'https://images.example.org',
      '*.example.org',
      'a, *',
      'a b',
      'a,',
      '.example.org',
      'example.org.',
      '[::1]',
    ],
  },
  ALLOW_OPEN: {
    default: false,
    valid: [
      ['true', true],
      ['false', false],
    ],
    invalid: ['yes', '1'],
  },
  SIGNING_SECRETS: {
    valid: [
      ['x'.repeat(32), 'x'.repeat(32)],
      [`${'x'.repeat(32)},${'y'.repeat(40)}`, `${'x'.repeat(32)},${'y'.repeat(40)}`],
    ],
    invalid: ['x'.repeat(31), `${'x'.repeat(32)},short`, `${'x'.repeat(32)},`, ` ${'x'.repeat(16)} ${'x'.repeat(16)}`],
  },
  PRIVATE_IMAGES: { default: false, valid: [['true', true]], invalid: ['yes'] },
  RATE_LIMIT: { default: 0, valid: [['600', 600]], invalid: ['1000001', '-1', '10/s'] },
  CORS_ORIGINS: {
    valid: [
      ['*', '*'],
      ['https://a.example', 'https://a.example'],
      ['http://localhost:5173, https://a.example', 'http://localhost:5173, https://a.example'],
    ],
    invalid: [
      'a.example',
      'https://a.example/',
      'https://A.example',
      'null',
      '*,https://a.example',
      'https://*.a.example',
    ],
  },
  TRUST_PROXY: {
    valid: [
      ['10.0.0.1', '10.0.0.1'],
      ['10.0.0.0/8, fd00::/8,::1', '10.0.0.0/8, fd00::/8,::1'],
    ],
    invalid: [
      'true',
      '1',
      '*',
      'proxy',
      '0.0.0.0/0',
      '::/0',
      '10.0.0.0/33',
      '10.0.0.0/8/8',
      '10.0.0',
      '10.0.0.1,',
      '::/129',
    ],
  },
  DATA_DIR: { default: './data', valid: [['/srv/pictures', '/srv/pictures']], invalid: [] },
  S3_BUCKET: {
    valid: [
      ['abc', 'abc'],
      ['my-stories.example', 'my-stories.example'],
      ['a'.repeat(63), 'a'.repeat(63)],
    ],
    invalid: ['ab', 'a'.repeat(64), 'Stories', '-abc', 'abc-', 'a/b', 'a_b', 's3://abc', 'stories--use1-az5--x-s3'],
  },
  S3_PREFIX: {
    default: '',
    valid: [
      ['images/', 'images/'],
      ['a/b_c/', 'a/b_c/'],
    ],
    invalid: ['images', '/images/', 'a//b/', '/', 'a b/', 'ä/'],
  },
  S3_ENDPOINT: {
    valid: [
      ['http://localhost:9000', 'http://localhost:9000'],
      ['https://s3.example.org/', 'https://s3.example.org/'],
      ['https://x.supabase.co/storage/v1/s3', 'https://x.supabase.co/storage/v1/s3'],
    ],
    invalid: [
      'localhost:9000',
      'ftp://a',
      'http://a/b?c',
      'http://a/b#c',
      'http://a/b@c',
      'http://u:p@a',
      'http://a?b',
      'http://',
    ],
  },
  S3_REGION: { valid: [['eu-central-1', 'eu-central-1']], invalid: ['EU', 'eu central', 'eu_1'] },
  S3_FORCE_PATH_STYLE: {
    valid: [
      ['true', true],
      ['false', false],
    ],
    invalid: ['1', 'yes', 'TRUE', 'no'],
  },
  S3_TIMEOUT: {
    default: 20_000,
    valid: [
      ['100ms', 100],
      ['10m', 600_000],
      ['5s', 5000],
    ],
    invalid: ['99ms', '11m', '5', 's', '-1s', '1.5s', '5S'],
  },
  LIST_CONCURRENCY: {
    valid: [
      ['1', 1],
      ['64', 64],
    ],
    invalid: ['0', '65', '-1', '1.5', 'many'],
  },
  MAX_FILE_SIZE: {
    default: 50 * MIB,
    valid: [
      ['1KiB', KIB],
      ['1024', KIB],
      ['2048B', 2 * KIB],
      ['20 MiB', 20 * MIB],
      ['40GiB', 40 * GIB],
      ['5mib', 5 * MIB],
    ],
    invalid: ['1023', '41GiB', '5MB', '5M', '1.5MiB', '-5MiB', 'MiB', '5 TiB'],
  },
  MAX_FILES: {
    default: 100,
    valid: [
      ['1', 1],
      ['10000', 10_000],
    ],
    invalid: ['0', '10001', 'many'],
  },
  MAX_PIXELS: { default: 268_000_000, valid: [['1', 1]], invalid: ['0', '10 MP'] },
  VARIANT_SIZES: {
    default: '160,320,640,1280,1920,320x240,640x480',
    valid: [
      ['1', '1'],
      ['320, 9999', '320, 9999'],
      ['320x320, 1, 9999x9999', '320x320, 1, 9999x9999'],
    ],
    invalid: [
      ...['0', '10000', '320px', '320,', 'auto', '320x240', '320x240, 640x480'],
      ...['1,0x1', '1,1x0', '1,10000x1', '1,320X240', '1,320x', '1,320x240,', '1,320x240x1', '1,320 x 240'],
    ],
  },
  VARIANT_CONCURRENCY: {
    default: 2,
    valid: [
      ['1', 1],
      ['64', 64],
    ],
    invalid: ['0', '65', 'all'],
  },
  UPLOAD_TIMEOUT: {
    default: 3_600_000,
    valid: [
      ['1s', 1000],
      ['24h', 86_400_000],
    ],
    invalid: ['999ms', '25h', '1d'],
  },
  UPLOAD_MEMORY: {
    default: 256 * MIB,
    valid: [
      ['48MiB', 48 * MIB],
      ['64GiB', 64 * GIB],
    ],
    invalid: ['47MiB', '65GiB', '0'],
  },
  UPLOAD_WAIT: {
    default: 240_000,
    valid: [
      ['100ms', 100],
      ['1h', 3_600_000],
    ],
    invalid: ['99ms', '61m', '0s', '4'],
  },
  CLIENT_TIMEOUT: {
    default: 30_000,
    valid: [
      ['100ms', 100],
      ['1h', 3_600_000],
    ],
    invalid: ['99ms', '61m', '0s'],
  },
  KEEP_ALIVE_TIMEOUT: {
    default: 72_000,
    valid: [
      ['1s', 1000],
      ['1h', 3_600_000],
    ],
    invalid: ['999ms', '61m', '0s'],
  },
  MAX_EVENT_LOOP_DELAY: {
    default: 500,
    valid: [
      ['10ms', 10],
      ['1m', 60_000],
    ],
    invalid: ['9ms', '2m', '0s'],
  },
  SWEEP_INTERVAL: {
    default: 3_600_000,
    valid: [
      ['0s', 0],
      ['24h', 86_400_000],
    ],
    invalid: ['25h', '-1h', 'never'],
  },
  TRASH_RETENTION: {
    default: 604_800_000,
    valid: [
      ['0s', 0],
      ['2160h', 7_776_000_000],
    ],
    invalid: ['2161h', '7d'],
  },
  SHUTDOWN_DELAY: {
    default: 0,
    valid: [
      ['0s', 0],
      ['10m', 600_000],
    ],
    invalid: ['11m', '10'],
  },
  SHUTDOWN_TIMEOUT: {
    default: 300_000,
    valid: [
      ['1s', 1000],
      ['24h', 86_400_000],
    ],
    invalid: ['0s', '25h'],
  },
  CACHE_CONTROL: {
    default: 'public, max-age=86400, immutable',
    valid: [['no-cache', 'no-cache']],
    invalid: ['a\nb', 'a\r\nSet-Cookie: b', 'ä', 'no-cache,  private', ' no-cache', 'no-cache '],
  },
  PUBLIC_IMAGE_URL: {
    valid: [
      ['https://img.example.org', 'https://img.example.org'],
      ['http://localhost:8080/app', 'http://localhost:8080/app'],
      ['http://[::1]:8080', 'http://[::1]:8080'],
    ],
    invalid: [
      'img.example.org',
      'https://img.example.org/',
      'https://IMG.example.org',
      'https://user:secret@img.example.org',
      'https://img.example.org?a',
      'https://img.example.org/#a',
      'https://img.example.org; script-src *',
      'https://img.example.org/a/../b',
      'ftp://img.example.org',
      'https://:80',
    ],
  },
  PURGE_URL: {
    valid: [
      ['cloudfront-tags:E1EXAMPLE', 'cloudfront-tags:E1EXAMPLE'],
      ['cloudfront-paths:E1EXAMPLE', 'cloudfront-paths:E1EXAMPLE'],
      ['http://varnish:6081/purge/{tag}', 'http://varnish:6081/purge/{tag}'],
      ['https://cdn.example/purge?tag={tag}', 'https://cdn.example/purge?tag={tag}'],
    ],
    invalid: [
      'cloudfront:E1EXAMPLE',
      'cloudfront-tags:',
      'cloudfront-tags:e1example',
      'cloudfront-tags:E1/../EXAMPLE',
      'varnish:6081/purge/{tag}',
      'http://cdn.example/{tags}',
      'http://{tag}.cdn.example/',
      'http://user:secret@cdn.example/',
      'http://cdn.example/#{tag}',
      'http://cdn.example/a b',
      'http://cdn.example:99999/',
    ],
  },
  PURGE_HEADER: {
    valid: [
      ['Fastly-Key: secret', 'Fastly-Key: secret'],
      ['Authorization:Bearer secret', 'Authorization:Bearer secret'],
    ],
    invalid: [
      'secret',
      'Host: a',
      'content-type: a/b',
      'Authorization Bearer: ',
      ': secret',
      'A: b\r\nC: d',
      'A: ä',
      'A: b ',
    ],
  },
  STRIP_METADATA: {
    default: 'location',
    valid: [
      ['location', 'location'],
      ['all', 'all'],
      ['none', 'none'],
    ],
    invalid: ['Location', 'gps', 'true', 'location,all'],
  },
  LOG_LEVEL: {
    default: 'info',
    valid: [
      ['debug', 'debug'],
      ['silent', 'silent'],
    ],
    invalid: ['verbose', 'INFO'],
  },
}

t.test('every option has its default, takes what is valid, and refuses the rest with a sentence', async (t) => {
  t.same(Object.keys(OPTIONS).sort(), [...NAMES].sort())
  const defaults = readConfig({}) as Record<string, unknown>
  for (const [name, { default: fallback, valid, invalid }] of Object.entries(OPTIONS)) {
    // The options of the bucket are refused without one
    const beside: Record<string, string> = name.startsWith('S3_') && name !== 'S3_BUCKET' ? { S3_BUCKET: 'abc' } : {}
    if (name === 'PURGE_HEADER') beside.PURGE_URL = 'https://cdn.example/purge'
    if (name === 'PRIVATE_IMAGES') beside.SIGNING_SECRETS = 'x'.repeat(32)
    t.equal(defaults[name], fallback, `${name} by default`)
    t.equal(
      (readConfig({ ...beside, [name]: '' }) as Record<string, unknown>)[name],
      fallback,
      `${name} when it is empty`,
    )
    for (const [raw, value] of valid) {
      t.equal((readConfig({ ...beside, [name]: raw }) as Record<string, unknown>)[name], value, `${name}=${raw}`)
    }
    for (const raw of invalid) {
      const error = refusal({ ...beside, [name]: raw })
      t.ok(error instanceof ConfigError, `${name}=${raw} is refused`)
      if (!(error instanceof Error)) continue
      t.ok(error.message.startsWith(`${name} must be `), error.message)
      if (SECRETS.includes(name)) t.notOk(error.message.includes(raw), 'does not say what it was')
      else
        t.ok(error.message.includes(`not "${raw.replace(/\/\/.*@/, '//…@')}"`), 'says what it was, but for a password')
      t.match(error.message, new RegExp(`; for example ${name}=\\S`), 'gives an example')
    }
  }
})

function refusal(environment: Record<string, string>): unknown {
  try {
    readConfig(environment)
  } catch (error) {
    return error
  }
  return undefined
}

t.test('the example and the default of every option are valid themselves', async (t) => {
  const schemas = ConfigSchema.properties as unknown as Record<string, { example: string }>
  const bucket = { S3_BUCKET: 'abc', SIGNING_SECRETS: 'x'.repeat(32), PURGE_URL: 'https://cdn.example/purge' }
  for (const { name, default: fallback } of describeConfig()) {
    t.doesNotThrow(() => readConfig({ ...bucket, [name]: schemas[name]?.example }), `${name}=${schemas[name]?.example}`)
    if (fallback === '') continue
    const config = readConfig({ ...bucket, [name]: fallback }) as Record<string, unknown>
    t.same(config[name], (readConfig(bucket) as Record<string, unknown>)[name], `${name}=${fallback}`)
  }
})

t.test('an option of the bucket is refused without a bucket, unless it is empty', async (t) => {
  const schemas = ConfigSchema.properties as unknown as Record<string, { example: string }>
  for (const name of NAMES.filter((name) => name.startsWith('S3_') && name !== 'S3_BUCKET')) {
    const sentence = `${name} is set, but S3_BUCKET is not; for example S3_BUCKET=my-stories`
    t.throws(() => readConfig({ [name]: schemas[name]?.example }), new ConfigError(sentence), name)
    t.doesNotThrow(() => readConfig({ [name]: '' }), name)
  }
})

t.test('what belongs to a webhook is refused without one', async (t) => {
  for (const PURGE_URL of ['', 'cloudfront-tags:E1EXAMPLE']) {
    t.throws(
      () => readConfig({ PURGE_URL, PURGE_HEADER: 'X-Key: secret' }),
      /^PURGE_HEADER is set, but PURGE_URL is not/,
    )
    t.doesNotThrow(() => readConfig({ PURGE_URL, PURGE_HEADER: '' }))
  }
})

t.test('the hash of an empty key is refused, whatever else is right', async (t) => {
  const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')
  for (const hash of ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', hashOf(''), hashOf('\n')]) {
    const read = () => readConfig({ API_KEYS: `web:read:${HASH}, admin:delete-all:${hash}` })
    t.throws(read, ConfigError)
    t.throws(read, /^API_KEYS has the SHA-256 of an empty text or an empty line, which is not a key;/)
  }
})

t.test('what the server does not know is left alone', async (t) => {
  t.same(readConfig({ PATH: '/bin', AWS_REGION: 'x', constructor: 'y' }), readConfig({}))
})

t.test('a setting that was removed is not a setting', async (t) => {
  t.same(
    REMOVED_SETTINGS.filter((name) => NAMES.includes(name)),
    [],
  )
  t.same(readConfig({ READER_TIMEOUT: 'x' }), readConfig({}))
})

t.test('a .env file adds to the environment, which wins', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'config-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, '.env')
  const environment: NodeJS.ProcessEnv = { PORT: '1234', HOST: '' }
  loadEnvFile(path, environment)
  t.same(environment, { PORT: '1234', HOST: '' }, 'no file is no error')

  writeFileSync(
    path,
    '# a comment\nPORT=1\nHOST=example\nexport MAX_FILES=7\nCACHE_CONTROL="public, max-age=5" # five\n\nLOG_LEVEL=debug\r\n',
  )
  loadEnvFile(path, environment)
  t.same(environment, {
    PORT: '1234',
    HOST: '',
    MAX_FILES: '7',
    CACHE_CONTROL: 'public, max-age=5',
    LOG_LEVEL: 'debug',
  })
  t.match(readConfig(environment), { PORT: 1234, MAX_FILES: 7, HOST: 'localhost', LOG_LEVEL: 'debug' })

  t.throws(() => loadEnvFile(folder, {}), ConfigError, 'what is no file is refused')
  t.throws(() => loadEnvFile(folder, {}), /cannot be read/)
})

t.test('private images need secrets, and are not for shared caches unless that is said', async (t) => {
  t.throws(
    () => readConfig({ PRIVATE_IMAGES: 'true' }),
    new ConfigError('PRIVATE_IMAGES needs SIGNING_SECRETS, which make the signed URLs'),
  )
  const privately = { PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 'x'.repeat(32) }
  t.equal(readConfig(privately).CACHE_CONTROL, 'private, max-age=3600, immutable')
  t.equal(readConfig({ ...privately, CACHE_CONTROL: 'no-store' }).CACHE_CONTROL, 'no-store')
})
