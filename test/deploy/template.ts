import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse, type YAMLSeq } from 'yaml'
import { ROOT } from '../support/examples.ts'

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }
export type JsonObject = { readonly [name: string]: Json }

export interface Parameter {
  readonly Type: string
  readonly Description: string
  readonly Default?: string | number
  readonly AllowedPattern?: string
  readonly AllowedValues?: readonly (string | number)[]
  readonly MinValue?: number
  readonly MaxValue?: number
  readonly ConstraintDescription?: string
}

export interface Template {
  readonly Metadata: JsonObject
  readonly Parameters: Readonly<Record<string, Parameter>>
  readonly Rules: JsonObject
  readonly Conditions: JsonObject
  readonly Mappings: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Condition?: string; readonly Properties: JsonObject }>
  >
  readonly Outputs: Readonly<Record<string, JsonObject>>
}

/** The functions that the template writes as tags. CloudFormation has more; the parser refuses those. */
const FUNCTIONS = ['And', 'Cidr', 'Equals', 'FindInMap', 'GetAZs', 'If', 'Not', 'Select', 'Split', 'Sub']

const tag = (name: string, toValue: (value: string) => Json) => [
  { tag: `!${name}`, resolve: (value: string) => toValue(value) },
  {
    tag: `!${name}`,
    collection: 'seq' as const,
    resolve: (value: unknown) => ({ [`Fn::${name}`]: (value as YAMLSeq).toJSON() }),
  },
]

const customTags = [
  ...FUNCTIONS.flatMap((name) => tag(name, (value) => ({ [`Fn::${name}`]: value }))),
  ...tag('GetAtt', (value) => ({ 'Fn::GetAtt': value.split(/\.(.*)/, 2) })),
  ...tag('Ref', (Ref) => ({ Ref })),
  ...tag('Condition', (Condition) => ({ Condition })),
]

export const TEMPLATE = 'deploy/aws/story-images.yaml'

/** Reads the template, in the form that it has as JSON: `{ Ref: … }` for `!Ref`. */
export async function readTemplate(): Promise<Template> {
  return parse(await readFile(join(ROOT, TEMPLATE), 'utf8'), { customTags, schema: 'core' })
}

/**
 * Returns a stack as CloudFormation sees it with these parameters: conditions decided, functions computed.
 * What only AWS knows is text that names it, such as `<Bucket>` and `<LoadBalancer.DNSName>`.
 *
 * @throws {Error} for a parameter that the template does not have or allow, or a rule that does not hold
 */
export function resolveTemplate(template: Template, given: Readonly<Record<string, string>>) {
  const parameters: Record<string, string> = {}
  for (const name of Object.keys(given)) {
    if (!(name in template.Parameters)) throw new Error(`${name} is not a parameter`)
  }
  for (const [name, parameter] of Object.entries(template.Parameters)) {
    const value = given[name] ?? parameter.Default
    if (value === undefined) throw new Error(`${name} is needed`)
    if (!isAllowed(parameter, `${value}`))
      throw new Error(`${name} ${parameter.ConstraintDescription ?? 'is not allowed'}`)
    parameters[name] = `${value}`
  }
  const pseudo: Readonly<Record<string, Json>> = {
    'AWS::AccountId': '111122223333',
    'AWS::Partition': 'aws',
    'AWS::Region': 'eu-central-1',
    'AWS::StackName': 'story-images',
    'AWS::NoValue': null,
  }
  const refer = (name: string): Json => parameters[name] ?? (name in pseudo ? (pseudo[name] as Json) : `<${name}>`)
  const decide = (name: string) => compute(template.Conditions[name] as Json) === true

  const substitute = (text: string, more: JsonObject): string =>
    text.replace(/\$\{([\w:.]+)\}/g, (_, name: string) => `${name in more ? compute(more[name] as Json) : refer(name)}`)

  const compute = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(compute).filter((item) => item !== null)
    if (typeof value !== 'object' || value === null) return value
    const [[name, of] = ['', null], ...more] = Object.entries(value) as [string, Json][]
    if (more.length === 0) {
      const list = (Array.isArray(of) ? of : [of]) as Json[]
      switch (name) {
        case 'Ref':
          return refer(of as string)
        case 'Condition':
          if (typeof of === 'string') return decide(of)
          break
        case 'Fn::If':
          return compute(list[decide(list[0] as string) ? 1 : 2] as Json)
        case 'Fn::Equals':
          return compute(list[0] as Json) === compute(list[1] as Json)
        case 'Fn::Not':
          return compute(list[0] as Json) !== true
        case 'Fn::And':
          return list.every((item) => compute(item) === true)
        case 'Fn::FindInMap': {
          const [map, key, member] = list.map(compute) as [string, string, string]
          return template.Mappings[map]?.[key]?.[member] ?? null
        }
        case 'Fn::Sub':
          return typeof of === 'string' ? substitute(of, {}) : substitute(list[0] as string, list[1] as JsonObject)
        case 'Fn::GetAtt':
          return `<${list.join('.')}>`
        case 'Fn::GetAZs':
          return ['eu-central-1a', 'eu-central-1b', 'eu-central-1c']
        case 'Fn::Select':
          return (compute(list[1] as Json) as Json[])[list[0] as number] as Json
        case 'Fn::Split':
          return (compute(list[1] as Json) as string).split(list[0] as string)
        case 'Fn::Cidr':
          return cidr(compute(list[0] as Json) as string, list[1] as number, list[2] as number)
      }
    }
    const computed = Object.entries(value).map(([key, item]) => [key, compute(item as Json)] as const)
    return Object.fromEntries(computed.filter(([, item]) => item !== null))
  }

  for (const rule of Object.values(template.Rules) as JsonObject[]) {
    if (compute(rule.RuleCondition as Json) !== true) continue
    for (const { Assert, AssertDescription } of rule.Assertions as unknown as {
      Assert: Json
      AssertDescription: string
    }[]) {
      if (compute(Assert) !== true) throw new Error(AssertDescription)
    }
  }
  const made = <T extends { readonly Condition?: Json }>(all: Readonly<Record<string, T>>) =>
    Object.fromEntries(
      Object.entries(all)
        .filter(([, { Condition }]) => Condition === undefined || decide(Condition as string))
        .map(([name, item]) => [name, compute(item as unknown as Json)]),
    )
  return {
    // biome-ignore lint/suspicious/noExplicitAny: each type of resource has properties of its own
    resources: made(template.Resources) as Record<string, { readonly Type: string; readonly Properties: any }>,
    outputs: made(template.Outputs) as Record<string, { readonly Value: string }>,
  }
}

/** Returns whether CloudFormation takes a value for a parameter. */
export function isAllowed(parameter: Parameter, value: string): boolean {
  const { AllowedPattern, AllowedValues, MinValue = -Infinity, MaxValue = Infinity } = parameter
  if (AllowedPattern !== undefined && !new RegExp(AllowedPattern).test(value)) return false
  if (AllowedValues !== undefined && !AllowedValues.map(String).includes(value)) return false
  return parameter.Type !== 'Number' || (/^\d+$/.test(value) && Number(value) >= MinValue && Number(value) <= MaxValue)
}

/** Splits an IPv4 network into as many smaller ones, each with so many bits for hosts. */
export function cidr(network: string, count: number, bits: number): string[] {
  const [address = ''] = network.split('/')
  const start = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0)
  return Array.from({ length: count }, (_, index) => {
    const first = start + index * 2 ** bits
    return `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.')}/${32 - bits}`
  })
}
