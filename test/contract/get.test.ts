import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { ObjectNotFound, RangeNotSatisfiable } from '../../src/errors.ts'
import { inChunks, MIB, putBytes, readAll, until } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { storesUnderTest } from '../support/stores.ts'

for (const { name, open, inspect } of storesUnderTest) {
  t.test(name, async (t) => {
    t.test('a missing key is ObjectNotFound, naming the key', async (t) => {
      const store = await open(t)
      await putBytes(store, 'folder/o')
      for (const key of ['missing', 'folder', 'folder/o2', 'folder/missing/o', 'Folder/o']) {
        const errors = [await store.get(key).catch((e) => e), await store.head(key).catch((e) => e)]
        for (const error of errors) {
          t.type(error, ObjectNotFound)
          t.equal(error.key, key)
        }
      }
    })

    t.test('a range gives its bytes, its ends and the size of the whole object', async (t) => {
      const store = await open(t)
      await putBytes(store, 'o', '0123456789')
      for (const [range, text, start, end] of [
        [{ start: 0, end: 0 }, '0', 0, 0],
        [{ start: 2, end: 5 }, '2345', 2, 5],
        [{ start: 0, end: 9 }, '0123456789', 0, 9],
        [{ start: 7 }, '789', 7, 9],
        [{ start: 9 }, '9', 9, 9],
        [{ start: 5, end: 100 }, '56789', 5, 9],
        [{ suffix: 3 }, '789', 7, 9],
        [{ suffix: 100 }, '0123456789', 0, 9],
      ] as const) {
        const found = await store.get('o', { range })
        t.equal((await readAll(found.body)).toString(), text, JSON.stringify(range))
        t.same(found.range, { start, end })
        t.equal(found.size, 10)
        t.equal(found.etag, (await store.head('o')).etag)
        t.equal(found.contentType, 'text/plain')
      }
    })

    t.test('a range in the second part of a large object gives its bytes', async (t) => {
      const store = await open(t)
      const bytes = randomBytes(6 * MIB)
      await store.put('o', inChunks(bytes), { contentType: 'image/png', metadata: {} })
      const { body } = await store.get('o', { range: { start: 5 * MIB - 10, end: 5 * MIB + 10 } })
      t.same(await readAll(body), bytes.subarray(5 * MIB - 10, 5 * MIB + 11))
    })

    t.test('a range without a byte is RangeNotSatisfiable', async (t) => {
      const store = await open(t)
      await putBytes(store, 'o', '0123456789')
      await putBytes(store, 'empty', '')
      await t.rejects(store.get('o', { range: { start: 10 } }), RangeNotSatisfiable)
      await t.rejects(store.get('o', { range: { start: 10, end: 20 } }), RangeNotSatisfiable)
      await t.rejects(store.get('empty', { range: { start: 0 } }), RangeNotSatisfiable)
      await t.rejects(store.get('missing', { range: { start: 0 } }), ObjectNotFound)
    })

    t.test('a body that is dropped frees what it held', async (t) => {
      const { store, held } = await inspect(t)
      await putBytes(store, 'o', randomBytes(MIB))
      const first = await store.get('o')
      const reading = await store.get('o')
      await once(reading.body, 'readable')
      first.body.destroy()
      reading.body.destroy()
      await until(async () => ((await held()) ?? 0) === 0)
      t.equal((await readAll((await store.get('o')).body)).length, MIB)
      await until(async () => ((await held()) ?? 0) === 0)
      t.pass('a body that was read to its end frees it too')
    })

    t.test('more bodies than there are connections can be dropped', async (t) => {
      const { store, held } = await inspect(t)
      await putBytes(store, 'o', randomBytes(MIB))
      for (let round = 0; round < (ALL ? 10 : 4); round++) {
        const found = await Promise.all(Array.from({ length: 30 }, () => store.get('o')))
        for (const { body } of found) body.destroy()
      }
      t.equal((await store.head('o')).size, MIB, 'the next call has a connection')
      await until(async () => ((await held()) ?? 0) === 0)
    })

    t.test('a signal ends a get, before it begins and while its body is read', async (t) => {
      const { store, held } = await inspect(t)
      await putBytes(store, 'o', randomBytes(8 * MIB))
      const aborted = AbortSignal.abort(new Error('no longer wanted'))
      await t.rejects(store.get('o', { signal: aborted }).then(({ body }) => readAll(body)))

      const controller = new AbortController()
      const { body } = await store.get('o', { signal: controller.signal })
      await once(body, 'readable')
      controller.abort()
      await t.rejects(readAll(body))
      await until(async () => ((await held()) ?? 0) === 0)
      t.equal((await store.head('o')).size, 8 * MIB, 'the store goes on')
    })

    t.test('a body that fails while nobody listens is no uncaught exception', async (t) => {
      const { store, held } = await inspect(t)
      await putBytes(store, 'o', randomBytes(8 * MIB))
      const controller = new AbortController()
      const options = { signal: controller.signal, range: { start: 0 } }
      const [dropped, unread] = await Promise.all([store.get('o', options), store.get('o', options)])
      // Not by `once`, which listens for errors
      const over = [dropped, unread].map(({ body }) => new Promise((resolve) => body.on('close', resolve)))
      const reason = new Error('the client is gone')
      dropped.body.destroy()
      controller.abort(reason)
      await Promise.all(over)
      t.ok(unread.body.errored, 'it is known to have failed')
      for (const call of [
        () => store.get('o', options),
        () => store.get('none', options),
        () => store.head('o', options),
      ]) {
        t.equal(await call().catch((error) => error), reason, 'what comes later rejects with the reason')
      }
      await until(async () => ((await held()) ?? 0) === 0)
    })

    t.test('a store that serves says that it is ready', async (t) => {
      const store = await open(t)
      t.equal(await store.ready(), undefined)
      await store.close()
    })
  })
}
