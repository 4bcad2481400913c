import t from 'tap'
import { compareKeys, type ListOptions, type ObjectStore } from '../../src/store/object-store.ts'
import { eventually } from '../support/app.ts'
import { forEach, inChunks, listKeys, listPages, putBytes } from '../support/bodies.ts'
import { ALL, sample } from '../support/extent.ts'
import { storesUnderTest } from '../support/stores.ts'

/**
 * None is another one's folder, which neither a disk nor MinIO can hold. In UTF-16 order U+1F600 would come before U+FF5E;
 * "a-b", "a/1" and "a0" differ where a folder's name meets its "/".
 */
const KEYS = [
  '0.3.json',
  'A',
  'a b/1',
  'a&<b>"\'',
  'a+b/1',
  'a%2Fb',
  'a-b',
  'a/0.3.json',
  'a/1.jpg',
  'a/10.jpg',
  'a/2.jpg',
  'a/b/c.jpg',
  'a/b/d e.jpg',
  'a/b-c',
  'a0',
  'b',
  'é/ü.jpg',
  '日本/本.jpg',
  '\uff5e',
  '\u{1f600}',
]
const SORTED = [...KEYS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

/** More than a page. */
const COUNT = ALL ? 2300 : 1100

for (const { name, open, inspect } of storesUnderTest) {
  t.test(name, async (t) => {
    t.test('keys come in the order of their UTF-8 bytes, cut by prefix, after and before', async (t) => {
      const store = await open(t)
      await forEach(KEYS, (key) => putBytes(store, key), 4)
      const places = [undefined, ...KEYS, '', 'a/', 'a/b', 'a/b/', 'a/1', 'a/b0', 'a/c', 'a.', '~', 'b/x', 'a/1.jpg/x']
      const cases: ListOptions[] = ['a/b', 'a/1', 'é', '\u{1f600}', 'a%2', 'a ', 'none', 'none/'].map((prefix) => ({
        prefix,
      }))
      for (const prefix of ['', 'a', 'a/', 'a/b/']) {
        for (const after of places) cases.push({ prefix, ...(after !== undefined && { after }) })
        for (const before of places) if (before) cases.push({ prefix, before })
      }
      for (const after of ['a', 'a/', 'a/1.jpg', 'a/b/c', 'b']) {
        for (const before of ['a', 'a/10.jpg', 'a/b/', 'a/b/d', 'é']) cases.push({ prefix: 'a/', after, before })
      }
      const wrong: unknown[] = []
      const tried = sample(cases, 25)
      await forEach(
        tried,
        async (options) => {
          const pages = await listPages(store, options)
          const found = pages.flat().map((object) => object.key)
          const expected = expectedOf(options)
          if (found.join('\n') !== expected.join('\n') || pages.some((page) => page.length === 0)) {
            wrong.push({ options, found, expected })
          }
        },
        8,
      )
      t.same(wrong, [], `${tried.length} lists are as the sorted array says`)
    })

    t.test('prefixes are what is before the next "/", each once and in order', async (t) => {
      const store = await open(t)
      await forEach(KEYS, (key) => putBytes(store, key), 4)
      const wrong: unknown[] = []
      const places = [undefined, 'a', 'a/', 'a/1.jpg', 'a/b/', 'a/b/c.jpg', 'a/b0', 'a0', 'é/ü', '日本/', '~']
      for (const prefix of ['', 'a', 'a/', 'a/b', 'a/b/', 'b', 'é', 'none', 'none/']) {
        for (const after of places) {
          for (const before of [undefined, 'a/', 'a/b/', 'é/']) {
            const options = { prefix, ...(after !== undefined && { after }), ...(before !== undefined && { before }) }
            const found: string[] = []
            for await (const page of store.listPrefixes(options)) found.push(...page)
            const expected = prefixesOf(options)
            if (found.join('\n') !== expected.join('\n')) wrong.push({ options, found, expected })
          }
        }
      }
      t.same(wrong, [])
    })

    t.test('a listed object has its size and its time', async (t) => {
      const store = await open(t)
      const before = Date.now()
      await putBytes(store, 'a/1', 'x'.repeat(1234))
      const [page] = await listPages(store, { prefix: '' })
      const [object] = page ?? []
      t.match(object, { key: 'a/1', size: 1234 })
      const time = Date.parse(object?.modified ?? '')
      t.ok(time >= before - 2000 && time <= Date.now() + 2000)
    })

    t.test('an empty store has no pages', async (t) => {
      t.same(await listPages(await open(t), { prefix: '' }), [])
    })

    t.test(`${COUNT} keys`, async (t) => {
      const { store, held, fill } = await inspect(t)
      const keys = Array.from({ length: COUNT }, (_, i) => `stories/${String(i).padStart(5, '0')}/${i % 10}.jpg`)
      await fill(keys)

      t.test(`have ${COUNT} prefixes, which come in pages as well`, async (t) => {
        const pages: string[][] = []
        for await (const page of store.listPrefixes({ prefix: 'stories/', after: 'stories/00009/' })) pages.push(page)
        t.same(
          pages.flat(),
          keys.slice(10).map((key) => key.slice(0, 14)),
        )
        t.ok(pages.length === Math.ceil((COUNT - 10) / 1000) && pages.every((page) => page.length > 0))
        const objects: string[] = []
        for await (const page of store.listPrefixes({ prefix: 'stories/00007/' })) objects.push(...page)
        t.same(objects, [], 'an object alone is no prefix')
      })

      t.test('come in pages of which none is empty', async (t) => {
        const pages = await listPages(store, { prefix: '' })
        t.same(
          pages.flat().map((object) => object.key),
          keys,
        )
        t.same(
          pages.map((page) => page.length),
          ALL ? [1000, 1000, 300] : [1000, 100],
        )
      })

      t.test('are cut anywhere', async (t) => {
        t.same(await listKeys(store, { prefix: 'stories/', after: keys[999] as string }), keys.slice(1000))
        t.same(await listKeys(store, { prefix: 'stories/', after: keys[1050] as string }), keys.slice(1051))
        t.same(await listKeys(store, { prefix: 'stories/', before: keys[1000] as string }), keys.slice(0, 1000))
        t.same(await listKeys(store, { prefix: 'stories/01' }), keys.slice(1000, 2000))
        t.same(await listKeys(store, { prefix: 'stories/', after: keys.at(-1) as string }), [])
      })

      t.test('a reader who stops early ends the work', async (t) => {
        for await (const page of store.list({ prefix: '' })) {
          t.equal(page.length, 1000)
          break
        }
        t.equal((await held()) ?? 0, 0)
      })

      t.test('are not read on after a signal, whose reason the list rejects with', async (t) => {
        const reason = new Error('the client is gone')
        for (const list of [store.list, store.listPrefixes]) {
          const controller = new AbortController()
          const options = { prefix: 'stories/', signal: controller.signal }
          const pages: unknown[] = []
          const error = await (async () => {
            for await (const page of list(options)) {
              pages.push(page)
              controller.abort(reason)
            }
          })().catch((error) => error)
          t.equal(error, reason)
          t.equal(pages.length, 1)
          const none = list(options)[Symbol.asyncIterator]()
          t.equal(await none.next().catch((error) => error), reason, 'nor begun')
        }
        t.ok(await eventually(async () => ((await held()) ?? 0) === 0), 'nothing runs any more')
      })

      t.test('that come and go while they are listed do no harm', async (t) => {
        const found: string[] = []
        let pages = 0
        for await (const page of store.list({ prefix: 'stories/' })) {
          found.push(...page.map((object) => object.key))
          pages += 1
          if (pages > 1) continue
          await store.delete(keys.slice(500, 1050))
          await putBytes(store, 'stories/00000/new.jpg')
          await putBytes(store, 'stories/99999/new.jpg')
        }
        t.same(found, [...found].sort(), 'still in order')
        t.equal(new Set(found).size, found.length, 'none comes twice')
        const stayed = [...keys.slice(0, 500), ...keys.slice(1050)]
        t.same(
          stayed.filter((key) => !found.includes(key)),
          [],
          'what stayed is there',
        )
      })
    })

    t.test('an object that is being put is not listed', async (t) => {
      const store = await open(t)
      let during: string[] | undefined
      await store.put(
        'folder/o',
        whileListed(store, (keys) => (during = keys)),
        { contentType: 'x/y', metadata: {} },
      )
      t.same(during, [])
      t.same(await listKeys(store), ['folder/o'])
    })
  })
}

function expectedOf({ prefix, after, before }: ListOptions): string[] {
  return SORTED.filter(
    (key) =>
      key.startsWith(prefix) &&
      (after === undefined || compareKeys(key, after) > 0) &&
      (before === undefined || compareKeys(key, before) < 0),
  )
}

function prefixesOf({ prefix, after, before }: ListOptions): string[] {
  const found = SORTED.filter((key) => key.startsWith(prefix) && key.includes('/', prefix.length)).map((key) =>
    key.slice(0, key.indexOf('/', prefix.length) + 1),
  )
  return [...new Set(found)].filter(
    (key) =>
      (after === undefined || compareKeys(key, after) > 0) && (before === undefined || compareKeys(key, before) < 0),
  )
}

async function* whileListed(store: ObjectStore, found: (keys: string[]) => void): AsyncGenerator<Uint8Array> {
  yield* inChunks(Buffer.alloc(100_000))
  found(await listKeys(store))
  yield Buffer.from('end')
}
