import { randomBytes } from 'node:crypto'
import t from 'tap'
import { ObjectExists, ObjectNotFound } from '../../src/errors.ts'
import { failing, forEach, inChunks, listKeys, MIB, putBytes, readAll } from '../support/bodies.ts'
import { sample } from '../support/extent.ts'
import { storesUnderTest } from '../support/stores.ts'

const IMAGE = { contentType: 'image/png', metadata: { 'written-by': 'test', width: '640' } }

for (const { name, open, inspect } of storesUnderTest) {
  t.test(name, async (t) => {
    t.test('an object comes back as it was put, by get and by head', async (t) => {
      const store = await open(t)
      const bytes = randomBytes(100_000)
      const before = Date.now()
      await store.put('stories/a/1.png', inChunks(bytes), IMAGE)
      const { body, ...found } = await store.get('stories/a/1.png')
      t.ok(bytes.equals(await readAll(body)))
      t.match(found, { size: bytes.length, contentType: 'image/png', metadata: IMAGE.metadata, range: undefined })
      t.match(found.etag, /^"[^"]+"$/, 'a strong entity tag in quotes')
      // S3 gives the time to the second
      t.ok(found.lastModified.getTime() >= before - 2000 && found.lastModified.getTime() <= Date.now() + 2000)
      const { range, file, ...described } = found
      t.same(await store.head('stories/a/1.png'), described)
    })

    t.test('every size comes back, in whatever chunks it came', async (t) => {
      const store = await open(t)
      const all = randomBytes(12_000_000)
      for (const [size, chunk] of sample(
        [
          [0, 1],
          [1, 1],
          [20_000, 1],
          [300_000, 7],
          [5 * MIB - 1, 65_537],
          [5 * MIB, 65_536],
          [5 * MIB + 1, 1_000_003],
          [10 * MIB, 10 * MIB],
          [12_000_000, 4099],
        ] as const,
        3,
      )) {
        const bytes = all.subarray(0, size)
        await store.put('size', inChunks(bytes, chunk), IMAGE)
        const { size: found, body, contentType, metadata } = await store.get('size')
        t.equal(found, size)
        t.ok(bytes.equals(await readAll(body)), `${size} bytes in chunks of ${chunk}`)
        t.match({ contentType, metadata }, IMAGE)
      }
    })

    t.test('an empty chunk in a body is no end', async (t) => {
      const store = await open(t)
      async function* body() {
        for (const part of ['a', '', 'b', '']) yield Buffer.from(part)
      }
      await store.put('chunks', body(), IMAGE)
      t.equal((await readAll((await store.get('chunks')).body)).toString(), 'ab')
    })

    t.test('a put replaces bytes, type, metadata and entity tag', async (t) => {
      const store = await open(t)
      await store.put('o', inChunks('first'), IMAGE)
      const first = await store.head('o')
      // Of the same size, as fast as it can be
      await store.put('o', inChunks('again'), { contentType: 'image/gif', metadata: { height: '7' } })
      const { body, ...second } = await store.get('o')
      t.equal((await readAll(body)).toString(), 'again')
      t.same([second.contentType, second.metadata], ['image/gif', { height: '7' }])
      t.not(second.etag, first.etag)
      t.same(await listKeys(store), ['o'])
    })

    t.test('an object says to caches of the bucket what it was put with, in one call and in parts', async (t) => {
      const { store, cacheHeaders } = await inspect(t)
      const caching = { cacheControl: 'public, max-age=86400, immutable', tag: '2acfa514-2915-4a9d-8a3a-338d52bd0d9e' }
      const bytes = randomBytes(6 * MIB)
      for (const [key, size] of [
        ['small', 100],
        ['large', bytes.length],
      ] as const) {
        await store.put(key, inChunks(bytes.subarray(0, size), 65_536), { ...IMAGE, caching })
        const { contentType, metadata } = await store.head(key)
        t.match({ contentType, metadata }, IMAGE, `${key} has the rest too`)
        if (cacheHeaders) t.same(await cacheHeaders(key), caching, key)
        await store.put(key, inChunks(bytes.subarray(0, size), 65_536), IMAGE)
        if (cacheHeaders) t.same(await cacheHeaders(key), { cacheControl: undefined, tag: undefined }, `${key} without`)
      }
    })

    t.test('each content of one size has an entity tag of its own', async (t) => {
      const store = await open(t)
      const seen = new Set<string>()
      for (let i = 10; i < 40; i++) {
        await putBytes(store, 'o', `${i}`)
        seen.add((await store.head('o')).etag)
      }
      t.equal(seen.size, 30)
    })

    for (const size of [0, 100_000, 6_000_000, 11_000_000]) {
      t.test(`a body that fails after ${size} bytes leaves nothing behind, and its very error`, async (t) => {
        const { store, leftovers, held } = await inspect(t)
        const broken = new Error('the sender went away')
        const failure = await store.put('folder/o', failing(randomBytes(size), broken), IMAGE).catch((error) => error)
        t.equal(failure, broken)
        await t.rejects(store.head('folder/o'), ObjectNotFound)
        t.same(await listKeys(store), [])
        t.same(await leftovers('folder/o'), [])
        t.equal((await held()) ?? 0, 0)
      })
    }

    t.test('a put that fails leaves what was there before', async (t) => {
      const store = await open(t)
      await store.put('o', inChunks('kept'), IMAGE)
      await t.rejects(store.put('o', failing(randomBytes(6_000_000), new Error('broken')), IMAGE), /broken/)
      const { body, metadata } = await store.get('o')
      t.equal((await readAll(body)).toString(), 'kept')
      t.same(metadata, IMAGE.metadata)
    })

    t.test('what was put is read and listed at once, what was deleted is not', async (t) => {
      const store = await open(t)
      for (let i = 0; i < 20; i++) {
        await putBytes(store, `o${i}`)
        t.equal((await store.head(`o${i}`)).size, `o${i}`.length)
        t.ok((await listKeys(store)).includes(`o${i}`))
        await store.delete([`o${i}`])
        await t.rejects(store.get(`o${i}`), ObjectNotFound)
        t.same(await listKeys(store), [])
      }
    })

    t.test('puts of many keys at once are all stored', async (t) => {
      const store = await open(t)
      const keys = Array.from({ length: 200 }, (_, i) => `folder-${i % 7}/deep/${i}`)
      await forEach(keys, (key) => putBytes(store, key), 64)
      t.same(await listKeys(store), keys.sort())
      for (const key of keys.slice(0, 20)) t.equal((await readAll((await store.get(key)).body)).toString(), key)
    })

    for (const size of [1000, 5 * MIB - 1]) {
      t.test(`a put of ${size} bytes only if there is none leaves the one that is there`, async (t) => {
        const { store, leftovers } = await inspect(t)
        const bytes = randomBytes(size)
        await store.put('folder/o', inChunks(bytes), { ...IMAGE, ifNoneMatch: '*' })
        const first = await store.head('folder/o')
        await t.rejects(
          store.put('folder/o', inChunks(randomBytes(size)), { ...IMAGE, metadata: {}, ifNoneMatch: '*' }),
          ObjectExists,
        )
        const { body, range, file, ...found } = await store.get('folder/o')
        t.ok(bytes.equals(await readAll(body)))
        t.same(found, first)
        t.same(await leftovers('folder/o'), [])
      })
    }

    t.test('of puts of one key at once that want none to be there, one is stored', async (t) => {
      const store = await open(t)
      for (let round = 0; round < 10; round++) {
        const key = `folder/${round}`
        const puts = ['a', 'b', 'c', 'd'].map((letter) =>
          store.put(key, inChunks(letter), { contentType: 'text/plain', metadata: { letter }, ifNoneMatch: '*' }),
        )
        const results = await Promise.allSettled(puts)
        const stored = results.flatMap(({ status }, i) => (status === 'fulfilled' ? ['abcd'.charAt(i)] : []))
        t.equal(stored.length, 1)
        for (const result of results) if (result.status === 'rejected') t.ok(result.reason instanceof ObjectExists)
        const { body, metadata } = await store.get(key)
        t.same([(await readAll(body)).toString(), metadata.letter], [stored[0], stored[0]])
      }
    })

    t.test('of puts of one key at once, one whole object stays', async (t) => {
      const store = await open(t)
      for (let round = 0; round < 10; round++) {
        await Promise.all(
          ['a', 'b', 'c', 'd'].map((letter, i) =>
            store.put('o', inChunks(letter.repeat(1000 * (i + 1)), 100), {
              contentType: `image/${letter}`,
              metadata: { letter },
            }),
          ),
        )
        const { body, size, contentType, metadata } = await store.get('o')
        const text = (await readAll(body)).toString()
        const letter = text.charAt(0)
        t.equal(text, letter.repeat(size))
        t.same([contentType, metadata], [`image/${letter}`, { letter }])
      }
    })

    t.test('a put and a delete in one folder at once do not harm each other', async (t) => {
      const store = await open(t)
      for (let round = 0; round < 20; round++) {
        await putBytes(store, 'folder/old')
        await Promise.all([putBytes(store, 'folder/new'), store.delete(['folder/old'])])
        t.same(await listKeys(store), ['folder/new'])
        t.equal((await store.head('folder/new')).contentType, 'text/plain')
        await store.delete(['folder/new'])
      }
    })
  })
}
