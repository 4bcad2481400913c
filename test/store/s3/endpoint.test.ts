import t from 'tap'
import { ObjectNotFound, StoreFailure } from '../../../src/errors.ts'
import { inChunks, listKeys, putBytes, readAll } from '../../support/bodies.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

const LARGE = Buffer.alloc(5 * 1024 * 1024 + 1, 'x')
const KEY = "stories/odd & <é>+ '日本'.jpg"

for (const [what, end] of [
  ['a path', ''],
  ['a path that ends with a slash', '/'],
]) {
  for (const fastPath of [true, false]) {
    t.test(`an endpoint can have ${what}, ${fastPath ? 'on the fast path' : 'by the SDK alone'}`, async (t) => {
      const standIn = await startStandIn(t, { path: '/storage/v1/s3', secret: 'any' })
      const repeated: string[] = []
      const store = await openOnStandIn(t, standIn, {
        endpoint: standIn.endpoint + end,
        prefix: 'a b/',
        fastPath,
        onFallback: (operation) => repeated.push(operation),
      })
      await putBytes(store, KEY, 'bytes')
      await store.put('large', inChunks(LARGE), { contentType: 'image/jpeg', metadata: { a: 'b  c' } })
      t.equal((await store.head('large')).size, LARGE.length)
      t.equal((await readAll((await store.get(KEY, { range: { start: 1 } })).body)).toString(), 'ytes')
      t.same(await listKeys(store, { prefix: '', after: 'a' }), ['large', KEY])
      await store.delete(['large', KEY])
      await t.rejects(store.head(KEY), ObjectNotFound)
      t.same([...standIn.objects.keys()], [])
      t.same(repeated, [], 'no call was made twice')
    })
  }
}

t.test('a wrong secret is refused by the stand-in too', async (t) => {
  const standIn = await startStandIn(t, { path: '/s3', secret: 'another' })
  const store = await openOnStandIn(t, standIn)
  await t.rejects(listKeys(store), StoreFailure)
})
