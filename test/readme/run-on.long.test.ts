import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Engine, engines } from '../support/engines.ts'
import { examplesOf, isInstalled, ROOT } from '../support/examples.ts'
import { openShell, startRecorder } from './shell.ts'

/** The commands of the pages on AWS, MinIO and Ceph RGW, run as they stand there but for names and addresses. */
const aws = await examplesOf('docs/run-on-aws.md')
const minio = await examplesOf('docs/run-on-minio.md')
const ceph = await examplesOf('docs/run-on-ceph.md')

const ANY = { accessKeyId: 'any', secretAccessKey: 'any' }
const noAws = !isInstalled('aws') && 'there is no aws (apt-get install awscli)'

/** Uploads a story, looks at it and deletes it. */
async function useServer(t: Test, url: string): Promise<void> {
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  const form = new FormData()
  form.append('files', new Blob([await readFile(join(ROOT, 'docs/images/image1.jpg'))]), 'image1.jpg')
  const upload = await fetch(`${url}/api/v1/images/upload`, {
    method: 'POST',
    headers: { 'idempotency-key': randomUUID() },
    body: form,
  })
  t.equal(upload.status, 200)
  const { story_id: id, image_paths: paths } = (await upload.json()) as { story_id: string; image_paths: string[] }
  t.equal((await fetch(`${url}${paths[0]}`)).status, 200)
  t.match(await (await fetch(`${url}/api/v1/images`)).text(), id)
  t.equal((await fetch(`${url}/api/v1/images/${id}`, { method: 'DELETE' })).status, 200)
}

t.test('on AWS: role and lifecycle rule are what the AWS command line sends', { skip: noAws }, async (t) => {
  const recorder = await startRecorder(t, '<PutRolePolicyResponse><ResponseMetadata/></PutRolePolicyResponse>')
  const shell = openShell(t, recorder.url, ANY)

  t.match(await shell.run(aws('lifecycle')), { code: 0, stderr: '' })
  t.match(recorder.requests.at(-1), { method: 'PUT', path: '/my-stories?lifecycle' })
  t.match(recorder.requests.at(-1)?.body, '<DaysAfterInitiation>1</DaysAfterInitiation>')

  t.match(await shell.run(aws('role')), { code: 0, stderr: '' })
  const role = new URLSearchParams(recorder.requests.at(-1)?.body)
  t.match(Object.fromEntries(role), { Action: 'PutRolePolicy', RoleName: 'story-images', PolicyName: 'bucket' })
  t.same(resourcesOf(role.get('PolicyDocument') ?? ''), [
    'arn:aws:s3:::my-stories',
    'arn:aws:s3:::my-stories/idempotency/*',
    'arn:aws:s3:::my-stories/stories/*',
    'arn:aws:s3:::my-stories/variants/*',
  ])

  t.match(await shell.run(aws('role-with-prefix')), { code: 0, stderr: '' })
  t.same(resourcesOf(await readFile(join(shell.folder, 'policy.json'), 'utf8')), [
    'arn:aws:s3:::my-stories',
    'arn:aws:s3:::my-stories/images/idempotency/*',
    'arn:aws:s3:::my-stories/images/stories/*',
    'arn:aws:s3:::my-stories/images/variants/*',
  ])
})

/** What a policy of IAM is about, each once, in order. */
function resourcesOf(policy: string): string[] {
  const { Statement } = JSON.parse(policy) as { Statement: { Resource: string | string[] }[] }
  return [...new Set(Statement.flatMap(({ Resource }) => Resource))].sort()
}

/** A shell, and names for a bucket, a user and its policy, none of which are left at the end. */
function openOnMinio(t: Test, engine: Engine) {
  const shell = openShell(t, engine.endpoint, engine)
  const bucket = `test-${randomUUID()}`
  const user = bucket.slice(0, 20)
  const policy = `story-images-${user}`
  const alias = `mc alias set my '${engine.endpoint}' '${engine.accessKeyId}' '${engine.secretAccessKey}'`
  t.teardown(() =>
    shell.run(`set +e
      ${alias}
      mc rb --force 'my/${bucket}'
      mc admin user remove my '${user}'
      mc admin policy remove my '${policy}'`),
  )
  return { shell, bucket, user, policy, alias }
}

for (const engine of engines.filter(({ name }) => name === 'MinIO')) {
  t.test('on AWS: bucket, policy and start, on MinIO', { skip: noAws }, async (t) => {
    const { shell, bucket, user, policy, alias } = openOnMinio(t, engine)
    const names = { 'my-stories': bucket }
    const here = { ...names, 'eu-central-1': 'us-east-1' }
    t.match(await shell.run(aws('bucket', here)), { code: 0, stderr: '' })

    // MinIO takes the same policy, for a user in place of the role
    const [policyFile] = aws('role', names).split('\n')
    const secret = randomUUID()
    const made = await shell.run(`${policyFile}
      ${alias}
      mc admin policy create my '${policy}' policy.json
      mc admin user add my '${user}' '${secret}'
      mc admin policy attach my '${policy}' --user '${user}'`)
    t.equal(made.code, 0, made.stderr)
    const { url } = await shell.start(aws('start', here), {
      S3_ENDPOINT: engine.endpoint,
      AWS_ACCESS_KEY_ID: user,
      AWS_SECRET_ACCESS_KEY: secret,
    })
    await useServer(t, url)
  })

  t.test('on MinIO', async (t) => {
    const { shell, bucket, user } = openOnMinio(t, engine)
    const names = { 'http://127.0.0.1:9000': engine.endpoint, 'my-stories': bucket }
    const root = { 'root-user': engine.accessKeyId, 'root-password': engine.secretAccessKey }
    const init = await shell.run(minio('init', { ...names, ...root, 'KEY=story-images': `KEY=${user}` }))
    t.equal(init.code, 0, init.stderr)
    const { url } = await shell.start(minio('start', { ...names, 'ID=story-images': `ID=${user}` }))
    await useServer(t, url)
    const look = await shell.run(minio('look', { ...names, ...root, 'http://localhost:8000': url }))
    t.equal(look.code, 0, look.stderr)
    t.match(look.stdout, /stories\/[0-9a-f-]{36}\/0\.1\.json\n.*stories\/[0-9a-f-]{36}\/1\.jpg\n$/)
  })
}

t.test('on MinIO: Docker Compose is started as in docs/deployment.md', async (t) => {
  t.equal(minio('compose'), (await examplesOf('docs/deployment.md'))('compose'))
})

for (const engine of engines.filter(({ name }) => name === 'Ceph RGW')) {
  t.test('on Ceph RGW', { skip: noAws }, async (t) => {
    const bucket = `test-${randomUUID()}`
    const user = bucket.slice(0, 20)
    const shell = openShell(t, engine.endpoint, engine)
    const { RGW_DIR = join(tmpdir(), `story-images-rgw-${process.env.RGW_PORT ?? 7480}`) } = process.env
    shell.command('radosgw-admin', `exec radosgw-admin -c '${RGW_DIR}/ceph.conf' -n client.rgw "$@"`)

    const made = await shell.run(ceph('user', { '=story-images': `=${user}`, '"story-images"': `"${user}"` }))
    t.equal(made.code, 0, made.stderr)
    t.match(JSON.parse(made.stdout), { user_id: user, max_buckets: 1 })
    const names = { 'http://127.0.0.1:7480': engine.endpoint, 'my-stories': bucket, 'ID=story-images': `ID=${user}` }
    t.match(await shell.run(ceph('bucket', names)), { code: 0, stderr: '' })
    const { url } = await shell.start(ceph('start', names))
    await useServer(t, url)
    const gone = await shell.run(`radosgw-admin user rm --uid=${user} --purge-data`)
    t.equal(gone.code, 0, gone.stderr)
  })
}
