import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { memoryOf } from '../../build/memory-limit.ts'
import { ConfigSchema, readConfig } from '../../src/config.ts'
import { blocksOf, examplesOf, ROOT, run } from '../support/examples.ts'
import { isAllowed, readTemplate, resolveTemplate } from './template.ts'

/** The template says the same as the files that it is made of; test/deploy/aws.sh makes its stack. */

const read = (path: string) => readFile(join(ROOT, path), 'utf8')
const template = await readTemplate()
const page = await examplesOf('docs/run-on-aws.md')

const KEY = `app:read+write:${'0'.repeat(64)}`
const NEEDED = { Image: 'registry.example.org/story-images:0.1.0', ApiKeys: KEY, CloudFrontPrefixList: 'pl-12345678' }
const NO_CLOUDFRONT = { Image: NEEDED.Image, ApiKeys: KEY, CloudFront: 'false' }
const make = (parameters: Record<string, string> = {}) => resolveTemplate(template, { ...NEEDED, ...parameters })
const stack = make()
const { resources } = stack

type Stack = typeof stack
function of(name: string, { resources }: Stack = stack) {
  const resource = resources[name]
  if (resource === undefined) throw new Error(`The stack has no ${name}`)
  return resource.Properties
}
const container = (stack: Stack) => of('TaskDefinition', stack).ContainerDefinitions[0]
const environmentOf = (stack: Stack): Record<string, string> =>
  Object.fromEntries(
    container(stack).Environment.map(({ Name, Value }: Record<string, unknown>) => [
      Name,
      `${Value}`.replace('<Bucket>', 'bucket').replace('<Distribution>', 'E1EXAMPLE'),
    ]),
  )
const attributes = (of: { Key: string; Value: string }[]) =>
  Object.fromEntries(of.map(({ Key, Value }) => [Key, Value]))

t.test('the role of the tasks may do what deploy/aws-iam-policy.json says', async (t) => {
  const policy = await read('deploy/aws-iam-policy.json')
  const allowed = (parameters: Record<string, string>) => of('TaskRole', make(parameters)).Policies[0].PolicyDocument
  t.same(allowed({}), JSON.parse(policy.replaceAll('BUCKET', '<Bucket>')))
  t.same(allowed({ ExistingBucket: 'my-stories' }), JSON.parse(policy.replaceAll('BUCKET', 'my-stories')))
  t.same(
    allowed({ Prefix: 'images/' }),
    JSON.parse(policy.replaceAll('BUCKET/', 'BUCKET/images/').replaceAll('BUCKET', '<Bucket>')),
  )
  t.same(
    of('TaskRole', resolveTemplate(template, NO_CLOUDFRONT)).Policies.map(
      ({ PolicyName }: { PolicyName: string }) => PolicyName,
    ),
    ['bucket'],
  )
  const blocks = blocksOf(await read('docs/cdn.md')).map(({ code }) => code)
  const purge = blocks.find((code) => code.includes('cloudfront:CreateInvalidation')) ?? ''
  t.same(of('TaskRole').Policies[1].PolicyDocument, JSON.parse(purge.replace('E1EXAMPLE', '<Distribution>')))
  t.notOk('ManagedPolicyArns' in of('TaskRole'))
})

t.test('the bucket is private and encrypted, stays, and has the rule of deploy/lifecycle.json', async (t) => {
  const { Rules } = JSON.parse(await read('deploy/lifecycle.json'))
  const { Bucket, BucketPolicy } = resources
  t.same(
    of('Bucket').LifecycleConfiguration.Rules.map(({ Id: ID, Prefix = '', ...rule }: Record<string, unknown>) => ({
      ID,
      Filter: { Prefix },
      ...rule,
    })),
    Rules,
  )
  t.same(Object.values(of('Bucket').PublicAccessBlockConfiguration), [true, true, true, true])
  t.match(of('Bucket'), {
    BucketEncryption: {
      ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
    },
    OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
  })
  t.match(Bucket, { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' })
  t.match(BucketPolicy, {
    DeletionPolicy: 'RetainExceptOnCreate',
    Properties: {
      PolicyDocument: {
        Statement: [
          { Effect: 'Deny', Principal: '*', Action: 's3:*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } },
        ],
      },
    },
  })
  const existing = make({ ExistingBucket: 'my-stories' })
  t.equal(environmentOf(existing).S3_BUCKET, 'my-stories')
  t.equal(existing.outputs.Bucket?.Value, 'my-stories')
  for (const name of ['Bucket', 'BucketPolicy', 'StoreSlowAlarm', 'StoreUnavailableAlarm'])
    t.notOk(name in existing.resources, name)
})

/** AWS, "Use managed cache policies" and "Use managed origin request policies". */
const MANAGED_POLICIES: Readonly<Record<string, string>> = {
  '4135ea2d-6df8-44a3-9df3-4b5a84be39ad': 'cachingdisabled',
  'b689b0a8-53d0-40ab-baf2-68738e2966ac': 'allviewerexcepthostheader',
}

t.test('the function and the cache of CloudFront are those of docs/cdn.md', async (t) => {
  const cdn = await examplesOf('docs/cdn.md')
  t.equal(of('AcceptFunction').FunctionCode, cdn('cloudfront-function'))

  const { DistributionConfig } = of('Distribution')
  const [, table = ''] =
    /^\| Setting \| `\/images\/\*` \| Default.*?\n((?:\|.*\n)+)/m.exec(await read('docs/cdn.md')) ?? []
  const rows = Object.fromEntries(
    table
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()))
      .map(([, setting, ...cells]) => [setting, cells.slice(0, 2)]),
  )
  const behaviors = [DistributionConfig.CacheBehaviors[0], DistributionConfig.DefaultCacheBehavior]
  const column = (name: string, text: (behavior: ReturnType<typeof of>) => string) =>
    t.same(
      behaviors.map(text),
      rows[name]?.map((cell: string) => cell.replace(/:.*/, '').replaceAll('`', '').toLowerCase()),
      name,
    )
  column('Allowed methods', ({ AllowedMethods }) => AllowedMethods.join(', ').toLowerCase())
  column('Viewer protocol policy', ({ ViewerProtocolPolicy }) =>
    ViewerProtocolPolicy.replaceAll('-', ' ').replace('redirect to https', 'redirect http to https'),
  )
  column('Compress objects automatically', ({ Compress }) => (Compress ? 'yes' : 'no'))
  column('Origin request policy', ({ OriginRequestPolicyId }) => MANAGED_POLICIES[OriginRequestPolicyId] ?? 'none')
  t.equal(MANAGED_POLICIES[behaviors[1].CachePolicyId], rows['Cache policy']?.[1]?.replaceAll('`', '').toLowerCase())

  const config = of('CachePolicy').CachePolicyConfig
  const { QueryStringsConfig, HeadersConfig, CookiesConfig } = config.ParametersInCacheKeyAndForwardedToOrigin
  const words = (text: string | undefined) => [...(text ?? '').matchAll(/`(\w+)`/g)].map(([, word]) => word)
  t.same([...QueryStringsConfig.QueryStrings, ...HeadersConfig.Headers], words(rows['Cache policy']?.[0]))
  t.equal(CookiesConfig.CookieBehavior, 'none')
  t.match(rows['Cache policy']?.[0], `TTL ${config.MinTTL} to ${config.MaxTTL}`)
  const [, tag] =
    /`CacheTagConfig` of the distribution to the header name `([\w-]+)`/.exec(await read('docs/cdn.md')) ?? []
  t.equal(DistributionConfig.CacheTagConfig.HeaderName, tag)
  t.equal(DistributionConfig.CacheBehaviors[0].PathPattern, '/images/*')
})

t.test('the settings are those of src/config.ts', async (t) => {
  const { API_KEYS, CORS_ORIGINS, S3_BUCKET, S3_PREFIX } = ConfigSchema.properties as unknown as Record<
    string,
    { pattern: string }
  >
  const { ApiKeys, CorsOrigins, ExistingBucket, Prefix } = template.Parameters
  t.equal(ApiKeys?.AllowedPattern, API_KEYS?.pattern)
  t.equal(CorsOrigins?.AllowedPattern, `^$|${CORS_ORIGINS?.pattern}`)
  t.equal(ExistingBucket?.AllowedPattern, `^$|${S3_BUCKET?.pattern}`)
  t.equal(Prefix?.AllowedPattern, S3_PREFIX?.pattern)

  for (const given of [
    {},
    {
      PrivateImages: 'true',
      CorsOrigins: 'https://app.example.org',
      RateLimit: '1000000',
      Prefix: 'images/',
      VpcCidr: '192.168.0.0/24',
    },
    { CorsOrigins: '*', ExistingBucket: 'my-stories', CloudFront: 'false' },
    ...Object.keys(template.Mappings.Sizes ?? {}).map((Size) => ({ Size })),
  ]) {
    const stack = make(given)
    const environment = environmentOf(stack)
    const secrets = container(stack).Secrets.map(({ Name }: { Name: string }) => Name)
    for (const name of [...Object.keys(environment), ...secrets])
      t.ok(name in ConfigSchema.properties, `${name} is a setting`)
    t.ok(readConfig({ ...environment, SIGNING_SECRETS: 's'.repeat(64) }).S3_BUCKET, JSON.stringify(given))
  }
  const { PasswordLength, ExcludePunctuation } = of('SigningSecrets').GenerateSecretString
  t.ok(readConfig({ SIGNING_SECRETS: 'aA0'.repeat(PasswordLength).slice(0, PasswordLength) }).SIGNING_SECRETS)
  t.ok(ExcludePunctuation, 'a comma would make two secrets')
})

t.test('each size holds what docs/memory.md computes for its settings, and is the smallest that does', async (t) => {
  /** AWS, "Amazon ECS task definition parameters for Fargate": MiB of memory for CPU units, of which 1024 are a vCPU. */
  const FARGATE: Readonly<Record<number, readonly number[]>> = {
    512: [1, 2, 3, 4],
    1024: [2, 3, 4, 5, 6, 7, 8],
    2048: Array.from({ length: 13 }, (_, index) => index + 4),
  }
  const text = await read('docs/run-on-aws.md')
  for (const Size of template.Parameters.Size?.AllowedValues ?? []) {
    const stack = make({ Size: `${Size}` })
    const { Cpu, Memory } = of('TaskDefinition', stack)
    const environment = environmentOf(stack)
    const { limitMib } = memoryOf(readConfig(environment))
    const smallest = FARGATE[Cpu]?.map((gib) => gib * 1024).find((mib) => mib >= limitMib)
    t.equal(Memory, smallest, `${Size}: ${limitMib} MiB`)
    const { UPLOAD_MEMORY, VARIANT_CONCURRENCY } = environment
    t.match(
      text,
      `| \`${Size}\` | ${Cpu / 1024} | ${Memory / 1024} GiB | \`${UPLOAD_MEMORY}\` | ${VARIANT_CONCURRENCY} |`,
    )
    t.match(template.Parameters.Size?.Description, `${Cpu / 1024} vCPU and ${Memory / 1024} GiB`)
  }
})

t.test('each timeout is shorter than that of what waits for it', async (t) => {
  const config = readConfig({ ...environmentOf(make()), SIGNING_SECRETS: 's'.repeat(64) })
  const { LoadBalancerAttributes } = of('LoadBalancer')
  const idle = Number(attributes(LoadBalancerAttributes)['idle_timeout.timeout_seconds']) * 1000
  const [origin] = of('Distribution').DistributionConfig.Origins
  const { OriginReadTimeout, OriginKeepaliveTimeout } = origin.VpcOriginConfig
  t.ok(config.UPLOAD_WAIT < idle, 'an upload that waits is refused by the server, and not by the load balancer')
  t.ok(config.UPLOAD_WAIT < OriginReadTimeout * 1000, 'nor by CloudFront')
  t.ok(idle < config.KEEP_ALIVE_TIMEOUT, 'the load balancer closes idle connections first')
  t.ok(OriginKeepaliveTimeout * 1000 < idle, 'and CloudFront before it')
  const { StopTimeout } = container(make())
  t.ok(config.SHUTDOWN_DELAY + config.SHUTDOWN_TIMEOUT < StopTimeout * 1000, 'the server ends before it is killed')
  t.ok(StopTimeout <= 120, 'Fargate allows no more')
  const delay = Number(attributes(of('TargetGroup').TargetGroupAttributes)['deregistration_delay.timeout_seconds'])
  t.match(await read('docs/run-on-aws.md'), `their uploads have ${delay} seconds to end`)
})

t.test('the load balancer reaches the port of the image, and a route that needs no store', async (t) => {
  const [, port] = /\bPORT=(\d+)/.exec(await read('Dockerfile')) ?? []
  const [ingress] = of('TaskSecurityGroup').SecurityGroupIngress
  const egress = of('LoadBalancerEgress')
  const used = [
    of('TargetGroup').Port,
    ingress.FromPort,
    ingress.ToPort,
    egress.FromPort,
    egress.ToPort,
    container(make()).PortMappings[0].ContainerPort,
    of('Service').LoadBalancers[0].ContainerPort,
  ]
  t.same(new Set(used), new Set([Number(port)]))
  t.equal(of('TargetGroup').HealthCheckPath, '/livez')
})

t.test('nobody but CloudFront reaches the load balancer, and nobody but the load balancer a server', async (t) => {
  t.equal(of('LoadBalancer').Scheme, 'internal')
  const ingress = (stack: Stack, group: string) => of(group, stack).SecurityGroupIngress
  t.match(ingress(make(), 'LoadBalancerSecurityGroup'), [{ SourcePrefixListId: 'pl-12345678' }])
  t.match(ingress(make({ CloudFront: 'false' }), 'LoadBalancerSecurityGroup'), [{ CidrIp: '10.0.0.0/16' }])
  t.match(ingress(make(), 'TaskSecurityGroup'), [{ SourceSecurityGroupId: '<LoadBalancerSecurityGroup.GroupId>' }])
  for (const group of ['LoadBalancerSecurityGroup', 'TaskSecurityGroup']) t.equal(ingress(make(), group).length, 1)
})

t.test('the log has the address of the client, with and without CloudFront', async (t) => {
  const mode = (stack: Stack) =>
    attributes(of('LoadBalancer', stack).LoadBalancerAttributes)['routing.http.xff_header_processing.mode']
  t.equal(mode(make()), 'preserve')
  t.equal(mode(make({ CloudFront: 'false' })), 'append')
  t.equal(environmentOf(make({ VpcCidr: '172.16.0.0/20' })).TRUST_PROXY, '172.16.0.0/20')
})

t.test('the subnets are within the VPC and apart from each other', async (t) => {
  for (const VpcCidr of ['10.0.0.0/16', '192.168.4.0/24', '172.31.0.0/20']) {
    const subnets = Object.values(make({ VpcCidr }).resources).filter(({ Type }) => Type === 'AWS::EC2::Subnet')
    const blocks = subnets.map(({ Properties }) => Properties.CidrBlock)
    const [, third] = /^\d+\.\d+\.(\d+)/.exec(VpcCidr) ?? []
    const network = VpcCidr.split('.').slice(0, 2).join('.')
    t.same(
      blocks,
      [0, 64, 128, 192].map((first) => `${network}.${third}.${first}/26`),
    )
    t.same(new Set(subnets.map(({ Properties }) => Properties.AvailabilityZone)).size, 2)
  }
  const zones = Object.values(make({ Zones: 'us-east-1d,us-east-1f' }).resources).flatMap(({ Properties }) =>
    Properties?.AvailabilityZone === undefined ? [] : [Properties.AvailabilityZone],
  )
  t.same(zones.sort(), ['us-east-1d', 'us-east-1d', 'us-east-1f', 'us-east-1f'])
})

t.test('with a VPC of its user it makes none', async (t) => {
  const own = make({ VpcId: 'vpc-0123456789abcdef0', SubnetIds: 'subnet-01234567,subnet-89abcdef' })
  const network = ['VPC', 'Subnet', 'InternetGateway', 'RouteTable', 'Route', 'VPCEndpoint'].map(
    (name) => `AWS::EC2::${name}`,
  )
  t.same(
    Object.values(own.resources).filter(({ Type }) => network.includes(Type)),
    [],
  )
  t.same(of('LoadBalancer', own).Subnets, ['subnet-01234567', 'subnet-89abcdef'])
  t.match(of('Service', own).NetworkConfiguration.AwsvpcConfiguration, {
    Subnets: ['subnet-01234567', 'subnet-89abcdef'],
    AssignPublicIp: 'DISABLED',
  })
  t.notMatch(JSON.stringify(own.resources), /<(Vpc|(Public|Private)Subnet.)>/)
})

t.test('without CloudFront there is nothing of it, and the URL is that of the load balancer', async (t) => {
  const stack = resolveTemplate(template, NO_CLOUDFRONT)
  t.same(
    Object.values(stack.resources).filter(
      ({ Type }) => Type.startsWith('AWS::CloudFront::') || Type.startsWith('AWS::Route53::'),
    ),
    [],
  )
  t.notMatch(JSON.stringify(stack), /<Distribution/)
  t.equal(environmentOf(stack).PURGE_URL, '')
  t.equal(environmentOf(make()).PURGE_URL, 'cloudfront-tags:E1EXAMPLE')
  t.equal(stack.outputs.Url?.Value, 'http://<LoadBalancer.DNSName>')
})

t.test('a domain name has its certificate, and its records if its zone is given', async (t) => {
  t.equal(make().outputs.Url?.Value, 'https://<Distribution.DomainName>')
  t.match(of('Distribution').DistributionConfig.ViewerCertificate, {
    CloudFrontDefaultCertificate: true,
  })

  const CertificateArn = 'arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012'
  const own = { DomainName: 'images.example.org', CertificateArn }
  const { Aliases, ViewerCertificate } = of('Distribution', make(own)).DistributionConfig
  t.same(Aliases, ['images.example.org'])
  t.match(ViewerCertificate, { AcmCertificateArn: CertificateArn, MinimumProtocolVersion: 'TLSv1.2_2021' })
  t.equal(make(own).outputs.Url?.Value, 'https://images.example.org')
  t.notOk('DnsRecords' in make(own).resources)
  const { RecordSets } = of('DnsRecords', make({ ...own, HostedZoneId: 'Z0123456789' }))
  t.same(
    RecordSets.map(({ Name, Type }: Record<string, string>) => `${Name} ${Type}`),
    ['images.example.org A', 'images.example.org AAAA'],
  )
})

t.test('the alarms have the thresholds of deploy/prometheus-alerts.yml', async (t) => {
  interface Rule {
    readonly alert: string
    readonly expr: string
    readonly for?: string
  }
  const rules: Rule[] = parse(await read('deploy/prometheus-alerts.yml')).groups[0].rules
  const alarm = (name: string) => of(name)
  const seconds = (rule: Rule) => Number(/^(\d+)m$/.exec(rule.for ?? '')?.[1]) * 60
  /** Minutes of the rule's `for` and the alarm's periods agree, and so do its numbers. */
  const compare: Readonly<Record<string, (rule: Rule) => void>> = {
    StoryImagesDown: (rule) => {
      const { Period, EvaluationPeriods, Threshold, MetricName } = alarm('DownAlarm')
      t.same([Period * EvaluationPeriods, MetricName, Threshold], [seconds(rule), 'HealthyHostCount', '2'])
    },
    StoryImagesErrors: (rule) => {
      const { Metrics, Threshold } = alarm('ErrorsAlarm')
      const [share, least] = [...rule.expr.matchAll(/> ([\d.]+)/g)].map(([, number]) => Number(number))
      t.equal(Threshold, share)
      t.match(Metrics[0].Expression, `requests / PERIOD(requests) > ${least}`)
      for (const { MetricStat } of Metrics.slice(1)) t.equal(MetricStat.Period, seconds(rule))
    },
    StoryImagesStoreUnavailable: (rule) => {
      const { Metrics, Threshold } = alarm('StoreUnavailableAlarm')
      t.equal(Threshold, Number(/> ([\d.]+)$/.exec(rule.expr)?.[1]))
      t.equal(Metrics[1].MetricStat.Period, seconds(rule))
    },
    StoryImagesStoreSlow: (rule) => {
      const { Threshold, Period, ExtendedStatistic, Unit } = alarm('StoreSlowAlarm')
      const [, quantile, limit] = /^histogram_quantile\(([\d.]+),.* > (\d+)$/s.exec(rule.expr) ?? []
      t.same(
        [Threshold, Period, ExtendedStatistic, Unit],
        [Number(limit) * 1000, seconds(rule), `p${Number(quantile) * 100}`, 'Milliseconds'],
      )
    },
  }
  /** Of these only the server itself has the metric; S3 is never full. */
  const NOT_IN_CLOUDWATCH = [
    'StoreFull',
    'UploadsWait',
    'EventLoopLate',
    'NotSwept',
    'Fallbacks',
    'FilesRunOut',
    'PurgesLost',
  ]
  t.same(
    rules.map(({ alert }) => alert).sort(),
    [...Object.keys(compare), ...NOT_IN_CLOUDWATCH.map((name) => `StoryImages${name}`)].sort(),
  )
  for (const rule of rules) compare[rule.alert]?.(rule)

  const alarms = Object.values(make({ AlarmEmail: 'ops@example.org' }).resources).filter(({ Type }) =>
    Type.endsWith('::Alarm'),
  )
  t.equal(alarms.length, Object.keys(compare).length)
  for (const { Properties } of alarms)
    t.same([Properties.AlarmActions, Properties.OKActions], [['<AlarmTopic>'], ['<AlarmTopic>']])
  t.notOk('AlarmTopic' in resources)
  t.notOk('AlarmActions' in alarm('DownAlarm'))
})

t.test('wrong parameters are refused before anything is made, by a sentence that says why', async (t) => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ Image: 'story-images' }, /Image must be the name of an image with a tag or a digest/],
    [{ ApiKeys: '' }, /ApiKeys must be a list of name:scope\+scope:sha256/],
    [{ ApiKeys: 'app:read:secret' }, /ApiKeys must be/],
    [{ CloudFrontPrefixList: '' }, /CloudFront needs CloudFrontPrefixList/],
    [{ CloudFrontPrefixList: 'None' }, /CloudFrontPrefixList must be the id of a prefix list/],
    [{ VpcId: 'vpc-01234567' }, /VpcId needs SubnetIds/],
    [{ VpcId: 'vpc-01234567', SubnetIds: 'subnet-01234567' }, /SubnetIds must be ids of two subnets or more/],
    [{ VpcCidr: '10.0.0.0/8' }, /VpcCidr must be a private IPv4 network/],
    [{ VpcCidr: '8.8.0.0/16' }, /VpcCidr must be a private IPv4 network/],
    [{ DomainName: 'images.example.org' }, /DomainName needs CertificateArn/],
    [{ DomainName: 'Images.example.org' }, /DomainName must be a host name in lower case/],
    [{ CertificateArn: 'arn:aws:acm:eu-central-1:111122223333:certificate/1' }, /CertificateArn .* in us-east-1/],
    [{ HostedZoneId: 'Z0123456789' }, /HostedZoneId needs DomainName/],
    [
      { ExistingBucket: 'stories--euc1-az1--x-s3' },
      /ExistingBucket must be the name of a bucket that is not a directory bucket/,
    ],
    [{ Prefix: 'images' }, /Prefix must be empty, or names each followed by a slash/],
    [{ CorsOrigins: 'app.example.org' }, /CorsOrigins must be a list of origins/],
    [{ AlarmEmail: 'me' }, /AlarmEmail must be an email address/],
    [{ MinTasks: '0' }, /MinTasks is not allowed/],
    [{ RateLimit: '-1' }, /RateLimit is not allowed/],
    [{ Size: 'huge' }, /Size is not allowed/],
    [{ PrivateImages: 'yes' }, /PrivateImages is not allowed/],
  ]
  for (const [parameters, error] of wrong) t.throws(() => make(parameters), error, JSON.stringify(parameters))
  t.throws(() => resolveTemplate(template, { Image: NEEDED.Image }), /ApiKeys is needed/)
})

t.test('every parameter says what it is for, is in a group, and has a default that it allows', async (t) => {
  const groups = (
    template.Metadata['AWS::CloudFormation::Interface'] as { ParameterGroups: { Parameters: string[] }[] }
  ).ParameterGroups
  t.same(groups.flatMap(({ Parameters }) => Parameters).sort(), Object.keys(template.Parameters).sort())
  const refuses = ({ AllowedPattern, AllowedValues, MinValue, MaxValue }: (typeof template.Parameters)[string]) =>
    AllowedPattern !== undefined || AllowedValues !== undefined || (MinValue !== undefined && MaxValue !== undefined)
  for (const [name, parameter] of Object.entries(template.Parameters)) {
    t.match(parameter.Description, /^[A-Z].*[.0-9]$/, name)
    t.ok(refuses(parameter), `${name} has a constraint`)
    if (parameter.AllowedPattern !== undefined) t.ok(parameter.ConstraintDescription, name)
    if (parameter.Default !== undefined)
      t.ok(isAllowed(parameter, `${parameter.Default}`), `${name}: ${parameter.Default}`)
  }
})

t.test('docs/run-on-aws.md gives parameters and outputs that the template has', async (t) => {
  const overrides = page('deploy').replaceAll('\\\n', ' ').split('--parameter-overrides')[1] ?? ''
  const given = Object.fromEntries(
    [...overrides.matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g)].map(([, name, quoted, word]) => [
      `${name}`,
      quoted ?? word ?? '',
    ]),
  )
  const made = await run('sh', ['-ec', `${page('key')}\nprintf '%s %s' "$STORY_IMAGES_KEY" "$hash"`])
  const [key = '', hash = ''] = made.stdout.split(' ')
  t.equal(createHash('sha256').update(key).digest('hex'), hash)
  const ApiKeys = given.ApiKeys?.replace('$hash', hash) ?? ''
  t.ok(resolveTemplate(template, { ...given, ApiKeys, CloudFrontPrefixList: 'pl-12345678' }))

  const names = [...(await read('docs/run-on-aws.md')).matchAll(/`([A-Z][a-z]+[A-Za-z]*)=[^`]*`/g)].map(
    ([, name]) => `${name}`,
  )
  t.ok(names.length > 3)
  for (const name of names) t.ok(name in template.Parameters, name)
  t.match(page('url'), "OutputKey=='Url'")
  t.ok('Url' in template.Outputs)
  // test/deploy/aws.sh runs the commands; here they agree on the image, the stack, its region and the key
  const [, registry, image] = /^registry=(\S+)$.*^docker push "\$registry(\S+)"$/ms.exec(page('image')) ?? []
  t.equal(given.Image, `${registry}${image}`)
  for (const name of ['deploy', 'url', 'delete'])
    t.match(page(name), /--stack-name story-images --region eu-central-1\b/, name)
  t.match(page('upload'), /\$STORY_IMAGES_KEY.*"\$url\/api/)
})
