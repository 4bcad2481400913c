import { readFile } from 'node:fs/promises'
import { ConfigSchema, describeConfig, formatBytes, formatDuration, type OptionSchema } from '../src/config.ts'

/**
 * What the Helm chart has of other files, so that each thing is said once: the settings as a JSON Schema, their defaults, the alerts, and
 * the version. Helm reads only the folder of the chart. `npm run generate` writes these files.
 */

type Schema = Readonly<Record<string, unknown>>

const CHART = 'deploy/helm/story-images'

const settings = Object.entries(ConfigSchema.properties as unknown as Record<string, OptionSchema>)

/** The variables that come from a Secret. Those of AWS are the SDK's. */
const SECRETS = [
  ...settings.filter(([, option]) => option.isSecret).map(([name]) => name),
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
]

const BYTE = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const NETWORK = `(${BYTE}(\\.${BYTE}){3}(/(3[0-2]|[12]\\d|[1-9]))?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/(12[0-8]|1[01]\\d|[1-9]\\d?))?)`

/** What a pod needs otherwise than the server, or what src/config.ts checks by code. */
const CHART_CHECKS: Readonly<Record<string, Check>> = {
  // A pod has to be reached from outside
  HOST: { enum: ['0.0.0.0', '::'] },
  PORT: { minimum: 1, pattern: numbers(1, 65535) },
  // The server's parser of URLs refuses a few more values
  PUBLIC_IMAGE_URL: { not: { type: 'string', pattern: '/\\.{1,2}(/|$)' } },
  PURGE_URL: {},
  TRUST_PROXY: { pattern: `^\\s*${NETWORK}(\\s*,\\s*${NETWORK})*\\s*$` },
}

/** As text; a number without a unit is a number in YAML too. */
const BYTES = { '[Kk][Ii][Bb]': 1024, '[Mm][Ii][Bb]': 1024 ** 2, '[Gg][Ii][Bb]': 1024 ** 3 }
const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * Returns the schema of a setting in the values of the chart. Numbers may also be text, as `--set-string` and quotes give them, and null
 * takes away what another value file sets.
 */
function settingSchema(name: string, option: OptionSchema): Schema {
  const about = { description: option.description, examples: [option.example] }
  const { enum: choices, ...schema } = { ...checkOf(name, option), ...CHART_CHECKS[name] }
  if (choices) return { ...about, enum: [...choices, null] }
  return { ...about, ...schema, type: [...(schema.type ?? []), 'null'] }
}

interface Check extends Schema {
  readonly type?: readonly string[]
  readonly enum?: readonly unknown[]
}

function checkOf(name: string, option: OptionSchema): Check {
  const { minimum = 0, maximum = 0 } = option
  if (option.anyOf) return { enum: option.anyOf.map((choice) => choice.const) }
  if (option.type === 'boolean') return { enum: [true, false, 'true', 'false'] }
  const number = { type: ['integer', 'string'], minimum, maximum }
  if (option.unit === 'count') return { ...number, pattern: numbers(minimum, maximum) }
  if (option.unit === 'bytes') return { ...number, pattern: quantities(minimum, maximum, BYTES, formatBytes) }
  if (option.unit === 'milliseconds')
    return { type: ['string'], pattern: quantities(minimum, maximum, MILLISECONDS, formatDuration) }
  if (option.isGood && !CHART_CHECKS[name]) throw new Error(`build/chart.ts needs to know how to check ${name}`)
  // Helm's patterns are those of Go, which look neither ahead nor back
  const [, not, rest] = /^\^\(\?!((?:[^()]|\([^()]*\))*)\)(.*)$/.exec(option.pattern ?? '') ?? []
  const positive = rest === undefined ? option.pattern : `^${rest}`
  if (/\(\?[^:]/.test(`${positive}${not}`)) throw new Error(`build/chart.ts can't write the pattern of ${name} for Go`)
  return {
    type: ['string'],
    minLength: option.default === '' ? 0 : 1,
    ...(positive && { pattern: positive }),
    ...(not && { not: { type: 'string', pattern: `^${not}` } }),
  }
}

/** Returns a pattern of whole numbers in decimal notation. */
function numbers(minimum: number, maximum: number): string {
  return pattern(`from_${minimum}_to_${maximum}`, between(minimum, maximum))
}

/** Returns a pattern with a name that people can read: Helm shows the pattern when a value is wrong, and no other text. */
function pattern(name: string, choices: string): string {
  return `^(?<${name}>${choices})$`
}

/** Returns a pattern of numbers with a unit. */
function quantities(
  minimum: number,
  maximum: number,
  units: Readonly<Record<string, number>>,
  format: (value: number) => string,
): string {
  const choices = Object.entries(units)
    .map(([unit, size]) => ({ unit, from: Math.ceil(minimum / size), to: Math.floor(maximum / size) }))
    .filter(({ from, to }) => from <= to)
    .map(({ unit, from, to }) => `(${between(from, to)}) ?${unit}`)
  return pattern(`from_${format(minimum)}_to_${format(maximum)}`, choices.join('|'))
}

/** Returns the alternatives of a pattern of the whole numbers from one to another. */
function between(from: number, to: number): string {
  const choices: string[] = from === 0 ? ['0'] : []
  for (let low = Math.max(from, 1); low <= to; ) {
    const [fewest, most] = [String(low).length - 1, String(to + 1).length - 2]
    // From a power of ten on, all numbers of as many digits or more
    const isWhole = low === 10 ** fewest && most >= fewest
    const high = isWhole ? 10 ** (most + 1) - 1 : Math.min(to, 10 ** (fewest + 1) - 1)
    if (isWhole) choices.push(`[1-9]${most === 0 ? '' : `\\d{${fewest},${most}}`}`)
    else choices.push(...sameLength(String(low), String(high)))
    low = high + 1
  }
  return choices.join('|')
}

function sameLength(low: string, high: string): string[] {
  if (low === high) return [low]
  const [first, last] = [Number(low[0]), Number(high[0])]
  const [lowRest, highRest] = [low.slice(1), high.slice(1)]
  if (first === last) return sameLength(lowRest, highRest).map((rest) => `${first}${rest}`)
  // The first digits that any others may follow
  const from = /^0*$/.test(lowRest) ? first : first + 1
  const to = /^9*$/.test(highRest) ? last : last - 1
  const rest = ['', '\\d'][lowRest.length] ?? `\\d{${lowRest.length}}`
  return [
    ...(from > first ? sameLength(lowRest, '9'.repeat(lowRest.length)).map((rest) => `${first}${rest}`) : []),
    ...(from <= to ? [(from === to ? `${from}` : `[${from}-${to}]`) + rest] : []),
    ...(to < last ? sameLength('0'.repeat(highRest.length), highRest).map((rest) => `${last}${rest}`) : []),
  ]
}

const object = (properties: Readonly<Record<string, Schema>>, more: Schema = {}): Schema => ({
  type: 'object',
  properties,
  additionalProperties: false,
  ...more,
})
/** Whatever Kubernetes takes there; it checks that itself. */
const anyObject: Schema = { type: 'object' }
const anyList: Schema = { type: 'array' }
const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
const textMap: Schema = { type: 'object', additionalProperties: text }
const texts: Schema = { type: 'array', items: { type: 'string', minLength: 1 } }
const natural: Schema = { type: 'integer', minimum: 1 }
const seconds: Schema = { type: 'string', pattern: '^[1-9]\\d*[smh]$' }

function valuesSchema(): Schema {
  const known = settings.filter(([name, option]) => !option.isSecret && name !== 'DATA_DIR')
  const variable = { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart story-images',
    ...object(
      {
        image: object({
          // Without a tag
          repository: { type: 'string', pattern: '^(([\\w.-]+(:\\d+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*)?$' },
          tag: { type: 'string', pattern: '^([\\w][\\w.-]{0,127})?$' },
          digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
          pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
        }),
        imagePullSecrets: { type: 'array', items: object({ name: text }) },
        fullnameOverride: { type: 'string', pattern: '^([a-z]([a-z0-9-]*[a-z0-9])?)?$' },
        replicas: { type: 'integer', minimum: 0 },
        settings: object(Object.fromEntries(known.map(([name, option]) => [name, settingSchema(name, option)]))),
        secret: object({ name: text, keys: { type: 'array', uniqueItems: true, items: { enum: SECRETS } } }),
        env: {
          type: 'array',
          items: object(
            // Settings and secrets have a place of their own
            {
              name: { ...variable, not: { enum: [...new Set([...settings.map(([name]) => name), ...SECRETS])] } },
              value: text,
              valueFrom: anyObject,
            },
            { required: ['name'] },
          ),
        },
        serviceAccount: object({ create: flag, name: text, annotations: textMap }),
        persistence: object({
          enabled: flag,
          size: { type: 'string', pattern: '^[1-9]\\d*[KMGTP]i?$' },
          storageClass: text,
          accessMode: { enum: ['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'] },
          existingClaim: text,
          keep: flag,
          annotations: textMap,
        }),
        service: object({
          type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
          port: { type: 'integer', minimum: 1, maximum: 65535 },
          annotations: textMap,
        }),
        ingress: object({ enabled: flag, className: text, annotations: textMap, hosts: texts, tls: anyList }),
        httpRoute: object({
          enabled: flag,
          annotations: textMap,
          parentRefs: anyList,
          hostnames: texts,
          timeouts: textMap,
        }),
        autoscaling: object({
          enabled: flag,
          minReplicas: natural,
          maxReplicas: natural,
          targetCPUUtilizationPercentage: natural,
          behavior: anyObject,
        }),
        podDisruptionBudget: object({ enabled: flag, maxUnavailable: { type: ['integer', 'string'] } }),
        networkPolicy: object({ enabled: flag, ingressFrom: anyList, extraEgress: anyList }),
        podMonitor: object({
          enabled: flag,
          labels: textMap,
          interval: seconds,
          keySecret: object({ name: text, key: text }),
        }),
        prometheusRule: object({ enabled: flag, labels: textMap }),
        resources: object({ requests: anyObject, limits: anyObject, claims: anyList }),
        terminationGracePeriodSeconds: { type: ['integer', 'null'], minimum: 1 },
        topologySpreadConstraints: { type: ['array', 'null'] },
        podAnnotations: textMap,
        podLabels: textMap,
        nodeSelector: textMap,
        tolerations: anyList,
        affinity: anyObject,
        priorityClassName: text,
        extraVolumes: anyList,
        extraVolumeMounts: anyList,
        // Helm's own, for charts that have this one as a part
        global: anyObject,
      },
      // The templates read members of these. Helm takes away what is null
      {
        required: [
          'image',
          'settings',
          'secret',
          'serviceAccount',
          'persistence',
          'service',
          'ingress',
          'httpRoute',
          'autoscaling',
          'podDisruptionBudget',
          'networkPolicy',
          'podMonitor',
          'prometheusRule',
        ],
      },
    ),
  }
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

const read = (path: string) => readFile(new URL(`../${path}`, import.meta.url), 'utf8')

/** Returns the files of the chart that are made of others, by their paths in the repository. */
export async function chartFiles(): Promise<Readonly<Record<string, string>>> {
  const { version } = JSON.parse(await read('package.json'))
  const chart = await read(`${CHART}/Chart.yaml`)
  return {
    [`${CHART}/Chart.yaml`]: chart.replaceAll(/^(version|appVersion): .*$/gm, `$1: ${version}`),
    [`${CHART}/values.schema.json`]: json(valuesSchema()),
    [`${CHART}/files/defaults.json`]: json(
      Object.fromEntries(describeConfig().map(({ name, default: value }) => [name, value])),
    ),
    [`${CHART}/files/prometheus-alerts.yml`]: await read('deploy/prometheus-alerts.yml'),
  }
}
