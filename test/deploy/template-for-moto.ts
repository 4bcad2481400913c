import { cidr, type Json, type JsonObject, readTemplate } from './template.ts'

/**
 * Prints the template as JSON that Moto's CloudFormation understands: without the types of resources that Moto lacks, and with the values
 * of Fn::Cidr and Fn::GetAZs, which it does not know, nor RetainExceptOnCreate. What refers to a resource that is left out gets an ARN with its name. The policies of
 * roles become resources of their own, since Moto can't read those inside a role.
 */

const NOT_IN_MOTO = [
  'AWS::ApplicationAutoScaling::ScalableTarget',
  'AWS::ApplicationAutoScaling::ScalingPolicy',
  'AWS::CloudFront::CachePolicy',
  'AWS::CloudFront::Distribution',
  'AWS::CloudFront::Function',
  'AWS::CloudFront::ResponseHeadersPolicy',
  'AWS::CloudFront::VpcOrigin',
  'AWS::CloudWatch::Alarm',
  'AWS::EC2::SecurityGroupEgress',
  'AWS::S3::BucketPolicy',
  'AWS::SecretsManager::Secret',
]

const template = await readTemplate()
const network = `${template.Parameters.VpcCidr?.Default}`
const isMissing = (name: string) => NOT_IN_MOTO.includes(template.Resources[name]?.Type ?? '')
const Resources = Object.fromEntries(
  Object.entries(template.Resources)
    .filter(([name]) => !isMissing(name))
    .flatMap(([name, resource]) => {
      const { Policies = [], ...Properties } = resource.Properties ?? {}
      const policies = (Policies as JsonObject[]).map((policy, index) => {
        const [Condition, then = policy] = (policy['Fn::If'] ?? []) as [string?, JsonObject?]
        const made = { Type: 'AWS::IAM::Policy', Properties: { ...then, Roles: [{ Ref: name }] } }
        return [`${name}Policy${index}`, Condition === undefined ? made : { ...made, Condition }]
      })
      return [[name, { ...resource, Properties }], ...policies]
    }),
)

function compute(value: Json): Json {
  if (Array.isArray(value)) return value.map(compute)
  if (value === 'RetainExceptOnCreate') return 'Retain'
  if (typeof value !== 'object' || value === null) return value
  const { Ref, 'Fn::GetAtt': attribute, 'Fn::Sub': text, 'Fn::GetAZs': region, 'Fn::Cidr': split } = value as JsonObject
  const name = Ref ?? (attribute as string[] | undefined)?.[0]
  if (typeof name === 'string' && isMissing(name)) return `arn:aws:missing:::${name}`
  if (typeof text === 'string') {
    return { 'Fn::Sub': text.replace(/\$\{(\w+)[\w.]*\}/g, (found, name) => (isMissing(name) ? name : found)) }
  }
  if (region !== undefined) return ['a', 'b'].map((zone) => `${process.env.AWS_DEFAULT_REGION}${zone}`)
  if (split !== undefined) {
    const [, count, bits] = split as unknown as [Json, number, number]
    return cidr(network, count, bits)
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, compute(item as Json)]))
}

console.log(JSON.stringify(compute({ ...template, Resources } as unknown as Json)))
