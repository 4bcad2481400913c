import { randomUUID } from 'node:crypto'
import t from 'tap'
import { smallImage, startApp } from '../support/app.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

interface Reply {
  readonly status: number
  readonly retryAfter: string | null
  readonly id: string | undefined
}

for (const ifNoneMatch of ['ignored', 'refused'] as const) {
  t.test(`an Idempotency-Key stands for one story where If-None-Match is ${ifNoneMatch}`, async (t) => {
    const standIn = await startS3StandIn({ dialect: { ifNoneMatch } })
    t.teardown(() => standIn.close())
    const { url } = await startApp(t, {}, standIn)
    const image = await smallImage()
    const upload = async (key: string): Promise<Reply> => {
      const form = new FormData()
      form.append('files', new Blob([Uint8Array.from(image)]), 'a.png')
      const headers = { 'idempotency-key': key }
      const response = await fetch(`${url}/api/v1/images/upload`, { method: 'POST', headers, body: form })
      const { story_id: id } = (await response.json()) as { story_id?: string }
      return { status: response.status, retryAfter: response.headers.get('retry-after'), id }
    }
    const stories = async () => (await (await fetch(`${url}/api/v1/images/story-ids`)).json()) as string[]

    const key = randomUUID()
    const first = await upload(key)
    t.equal(first.status, 200)
    for (let time = 2; time <= 4; time++) t.equal((await upload(key)).id, first.id, `upload ${time} is a retry`)
    t.same(await stories(), [first.id])

    const another = randomUUID()
    const replies = await Promise.all(Array.from({ length: 12 }, () => upload(another)))
    for (const { status } of replies) t.ok(status === 200 || status === 409, `status ${status}`)
    const { id } = await upload(another)
    t.same(await stories(), [first.id, id], '12 uploads at once make one story')
    for (const reply of replies) if (reply.status === 200) t.equal(reply.id, id)
  })
}
