import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { type Result, ROOT, run } from '../../support/examples.ts'

/** What the tests of the chart share. test/deploy/helm.sh puts the programs into PATH. */

export const CHART = 'deploy/helm/story-images'

const { KUBECONFIG, HELM_CACHE_HOME, HELM_CONFIG_HOME, HELM_DATA_HOME, PYTHONPATH } = process.env
const ENVIRONMENT = { KUBECONFIG, HELM_CACHE_HOME, HELM_CONFIG_HOME, HELM_DATA_HOME, PYTHONPATH }

export const command = (name: string, args: readonly string[], input?: string): Promise<Result> =>
  run(name, args, { env: ENVIRONMENT, ...(input !== undefined && { input }) })

/** Runs a program that has to succeed, and returns what it wrote to standard output. */
export async function succeed(name: string, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await command(name, args, input)
  if (code !== 0) throw new Error(`${name} ${args.join(' ')}: ${code} ${stderr}`)
  return stdout
}

const VALUES = join(ROOT, 'test/deploy/helm/values')

/** The value files of the tests, by name. */
export const valueFiles = (await readdir(VALUES)).map((name) => ({
  name: name.replace('.yaml', ''),
  path: join(VALUES, name),
}))

export const pathOf = (name: string) => join(VALUES, `${name}.yaml`)

/** An object of Kubernetes, as far as the tests look at it. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly labels?: Record<string, string>
    readonly annotations?: Record<string, string>
  }
  // Each kind has others
  // biome-ignore lint/suspicious/noExplicitAny: a test reads a member that it expects, and fails if it is not there
  readonly [member: string]: any
}

/** Renders the chart. */
export async function render(...args: string[]): Promise<Manifest[]> {
  return manifestsOf(await succeed('helm', ['template', 'test', CHART, '--namespace', 'stories', ...args]))
}

export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const value = document.toJS()
    return value === null ? [] : [value as Manifest]
  })
}

/** Returns the only object of a kind that is not a hook. */
export function only(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.filter(
    (manifest) => manifest.kind === kind && !manifest.metadata.annotations?.['helm.sh/hook'],
  )
  if (found.length !== 1 || found[0] === undefined) throw new Error(`there are ${found.length} of ${kind}`)
  return found[0]
}

export const containerOf = (manifests: readonly Manifest[]) =>
  only(manifests, 'Deployment').spec.template.spec.containers[0]

/** The environment and the command of the Dockerfile's last stage, where the pod does not set them. */
export async function imageOf(): Promise<{ environment: Record<string, string>; command: string[] }> {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8')
  const lines = dockerfile.replace(/\\\n/g, ' ').split('\n')
  const stage = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')))
  const environment = Object.fromEntries(
    stage
      .filter((line) => line.startsWith('ENV '))
      .flatMap((line) => line.slice(4).trim().split(/\s+/))
      .map((pair) => pair.split(/=(.*)/s, 2) as [string, string]),
  )
  const command = parse(stage.findLast((line) => line.startsWith('CMD '))?.slice(4) ?? '[]')
  return { environment, command }
}

/** Returns what the server's container gets as its environment, with the Secret that the test makes. */
export async function environmentOf(
  manifests: readonly Manifest[],
  secret: Readonly<Record<string, string>> = {},
): Promise<Record<string, string>> {
  const { env = [], envFrom } = containerOf(manifests)
  const configMap = only(manifests, 'ConfigMap')
  if (envFrom.length !== 1 || envFrom[0].configMapRef.name !== configMap.metadata.name)
    throw new Error('the container has another ConfigMap')
  const own = env.map(({ name, value, valueFrom }: Manifest) => [
    name,
    value ?? secret[valueFrom.secretKeyRef?.key] ?? `from ${JSON.stringify(valueFrom)}`,
  ])
  return { ...(await imageOf()).environment, ...configMap.data, ...Object.fromEntries(own) }
}
