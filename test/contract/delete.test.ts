import t from 'tap'
import { ObjectNotFound } from '../../src/errors.ts'
import { forEach, listKeys, putBytes } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { storesUnderTest } from '../support/stores.ts'

/** More than a call of S3 may name. */
const COUNT = ALL ? 2300 : 1100

for (const { name, open, inspect } of storesUnderTest) {
  t.test(name, async (t) => {
    t.test('a deleted object is gone, its neighbours stay', async (t) => {
      const store = await open(t)
      const keys = ['a/1', 'a/10', 'a/2', 'a b+c', 'a&<b>', 'é/1', 'a%2F']
      await forEach(keys, (key) => putBytes(store, key), 4)
      for (const [index, key] of keys.entries()) {
        await store.delete([key])
        await t.rejects(store.get(key), ObjectNotFound)
        await t.rejects(store.head(key), ObjectNotFound)
        t.same((await listKeys(store)).sort(), keys.slice(index + 1).sort())
      }
    })

    t.test('missing keys, no keys and a key named twice are fine', async (t) => {
      const store = await open(t)
      await putBytes(store, 'a/1')
      await t.resolves(store.delete([]))
      await t.resolves(store.delete(['missing', 'folder/missing', 'a/2', 'a/1/2', 'a']))
      t.same(await listKeys(store), ['a/1'], 'and touch nothing else')
      await t.resolves(store.delete(['a/1', 'a/1', 'missing']))
      await t.resolves(store.delete(['a/1']))
      t.same(await listKeys(store), [])
    })

    t.test(`${COUNT} keys go in one call`, async (t) => {
      const { store, fill } = await inspect(t)
      const keys = Array.from({ length: COUNT }, (_, i) => `stories/${Math.floor(i / 100)}/${i}`)
      await fill([...keys, 'stories/stays'])
      await store.delete(keys)
      t.same(await listKeys(store), ['stories/stays'])
    })

    t.test('a key can be put again after it was deleted', async (t) => {
      const store = await open(t)
      for (let round = 0; round < 3; round++) {
        await putBytes(store, 'folder/deep/o', `${round}`)
        t.equal((await store.head('folder/deep/o')).size, 1)
        await store.delete(['folder/deep/o'])
        t.same(await listKeys(store), [])
      }
    })
  })
}
