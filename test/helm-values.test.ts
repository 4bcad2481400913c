import { readFile } from 'node:fs/promises'
import t from 'tap'
import { Check } from 'typebox/schema'
import { ConfigSchema, describeConfig, type OptionSchema, readConfig } from '../src/config.ts'

/** The schema of the chart's values must refuse what the server would refuse, or a pod fails where `helm install` should have. */
const schema = JSON.parse(
  await readFile(new URL('../deploy/helm/story-images/values.schema.json', import.meta.url), 'utf8'),
)
const { settings, secret } = schema.properties
const options = ConfigSchema.properties as unknown as Record<string, OptionSchema>

const UNITS = {
  bytes: { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 },
  milliseconds: { ms: 1, s: 1000, m: 60_000, h: 3_600_000 },
}
const NO_NUMBERS = ['x', '-1', '1.5', '1e3', ' 1', '1 ', '1d', '1TiB', '5 KB', '10 sec']

/** Values of each kind at and beyond the edges of what is allowed. */
function candidates({ unit, minimum = 0, maximum = 0, example, default: value, type }: OptionSchema): string[] {
  if (type === 'boolean') return ['true', 'false', 'yes', '1', 'TRUE']
  if (unit === 'count')
    return [
      example,
      ...NO_NUMBERS,
      ...[minimum - 1, minimum, minimum + 1, maximum - 1, maximum, maximum + 1].map(String),
    ]
  if (unit === undefined) return [example, ...(typeof value === 'string' && value !== '' ? [value] : [])]
  const edges = Object.entries(UNITS[unit]).flatMap(([name, size]) =>
    [minimum, maximum].flatMap((edge) =>
      [Math.floor(edge / size) - 1, Math.floor(edge / size), Math.ceil(edge / size), Math.ceil(edge / size) + 1]
        .filter((number) => number >= 0)
        .flatMap((number) => [`${number}${name}`, `${number} ${name}`]),
    ),
  )
  return [example, ...NO_NUMBERS, ...edges, '7', '77777', '1kib', '48mIb', '1M', '1H']
}

/** Texts that are right and wrong in the way of each setting. */
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  ALLOWED_HOSTS: ['a.example.org, b_c', '*', 'a:80', 'A', 'a,', '-a', '*.example.org'],
  CORS_ORIGINS: ['*', 'https://a.example.org, http://[::1]:8000', 'https://a.example.org/', 'a.example.org', '*,*'],
  TRUST_PROXY: [
    '10.0.0.0/8, 192.168.0.1',
    '::1',
    'fd00::/8',
    '256.0.0.1',
    '10.0.0.0/33',
    '0.0.0.0/0',
    '::/0',
    'a',
    '1.2.3',
    '10.0.0.0/08',
    ',',
  ],
  S3_BUCKET: [
    'abc',
    'ab',
    'A-bucket',
    'my-bucket--euc1-az1--x-s3',
    'a.b',
    '-ab',
    `a${'b'.repeat(62)}`,
    `a${'b'.repeat(63)}`,
  ],
  S3_PREFIX: ['a/b/', '', 'a', '/', './', '../', 'a/../', 'a/./b/', '.a/', '..a/', 'a./', "a!_.*'()-/", 'a b/', '.../'],
  S3_ENDPOINT: [
    'https://s3.example.org/path',
    'http://user:secret@host',
    'ftp://host',
    'http://host?query',
    'host:9000',
  ],
  S3_REGION: ['eu-central-1', 'EU', 'eu central'],
  VARIANT_SIZES: [
    ...['1', '9999', '0', '10000', '320, 640', '320,', '320;640', '1x1', '320x240, 640x480', '320x240,640x480,1'],
    ...['1,9999x9999', '1,0x1', '1,1x10000', '320x240, 640', '320, 320x240,', ' 320 , 320x240 ', '320x240 , 640x480'],
  ],
  PUBLIC_IMAGE_URL: [
    'https://img.example.org/a/b',
    'https://img.example.org/',
    'https://img.example.org/a/../b',
    'https://IMG.example.org',
    'img.example.org',
    'https://user@img.example.org',
    'https://img.example.org/..a',
  ],
  PURGE_URL: [
    'https://cdn.example.org/{tag}',
    'cloudfront-paths:E1EXAMPLE',
    'cloudfront:E1',
    'https://a/{tags}',
    'ftp://a',
  ],
  CACHE_CONTROL: ['no-store', 'no-store\n', 'Grüße'],
  LOG_LEVEL: ['silent', 'fatal', 'INFO', 'verbose'],
}

/** What the server takes. */
function isTaken(name: string, value: string): boolean {
  try {
    readConfig({
      S3_BUCKET: 'my-stories',
      SIGNING_SECRETS: 'x'.repeat(32),
      PURGE_URL: 'https://cdn.example.org/purge',
      [name]: value,
    })
    return true
  } catch {
    return false
  }
}

t.test('the values have each setting by its own name, except secrets and the folder, and no other', async (t) => {
  const names = Object.keys(options)
  const secrets = names.filter((name) => options[name]?.isSecret)
  t.same(
    Object.keys(settings.properties).sort(),
    names.filter((name) => !secrets.includes(name) && name !== 'DATA_DIR').sort(),
  )
  t.equal(settings.additionalProperties, false)
  t.same(secret.properties.keys.items.enum.filter((name: string) => !name.startsWith('AWS_')).sort(), secrets.sort())
  t.ok(secrets.length >= 2)
})

for (const [name, property] of Object.entries<Record<string, unknown>>(settings.properties)) {
  t.test(`the values refuse of ${name} what the server refuses, and nothing else`, async (t) => {
    const option = options[name]
    if (option === undefined) throw new Error(`no setting ${name}`)
    for (const value of [...candidates(option), ...(TEXTS[name] ?? [])]) {
      const isOfTheChart = name === 'HOST' || (name === 'PORT' && value === '0')
      // In YAML a number of bytes is a number
      if (isOfTheChart || (option.unit === 'bytes' && /^\d+$/.test(value))) continue
      t.equal(Check(property, value), value === '' || isTaken(name, value), `${name}=${JSON.stringify(value)}`)
    }
    if (option.unit === 'count' || option.unit === 'bytes') {
      const { minimum = 0, maximum = 0 } = option
      for (const value of [minimum - 1, minimum, maximum, maximum + 1, 1.5])
        if (!(name === 'PORT' && value <= 0)) t.equal(Check(property, value), isTaken(name, String(value)), `${value}`)
    }
    if (option.type === 'boolean') t.ok(Check(property, true) && Check(property, false) && !Check(property, 1))
    t.ok(Check(property, null), 'null takes a setting of another file away')
    t.notOk(Check(property, []) || Check(property, {}))
    t.equal(property.description, describeConfig().find((setting) => setting.name === name)?.description)
  })
}

t.test('a pod can be reached from outside, on a port that is known', async (t) => {
  const { HOST, PORT } = settings.properties
  t.ok(Check(HOST, '0.0.0.0') && Check(HOST, '::'))
  t.notOk(Check(HOST, 'localhost') || Check(HOST, '127.0.0.1'))
  t.ok(Check(PORT, 80))
  t.notOk(Check(PORT, 0) || Check(PORT, '0'))
})
