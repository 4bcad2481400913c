import { randomUUID } from 'node:crypto'
import t from 'tap'
import { v7 } from 'uuid'
import {
  createdAt,
  imageKey,
  imageTypeOf,
  isOwnId,
  isStoryId,
  newStoryId,
  ownIdTime,
  publicPath,
  recordKey,
  STORY_SPACE,
  StoryKeys,
  storyIdOf,
  storyPrefix,
} from '../../src/layout/story.ts'

const OWN = '018e5b86-7c40-7def-8123-456789abcdef'
const IMPORTED = '2acfa514-2915-4a9d-8a3a-338d52bd0d9e'

t.test('a story id is a lower-case UUID of any version, nothing else', async (t) => {
  for (const id of [OWN, IMPORTED, randomUUID(), v7(), '00000000-0000-0000-0000-000000000000']) t.ok(isStoryId(id), id)
  for (const id of [OWN.toUpperCase(), `${OWN} `, `${OWN}\n`, OWN.slice(1), `{${OWN}}`, '', '..', 'story-ids']) {
    t.notOk(isStoryId(id), JSON.stringify(id))
  }
})

t.test('an id of our own is a UUIDv7 and holds its time', async (t) => {
  const before = Date.now()
  const id = newStoryId()
  t.ok(isStoryId(id) && isOwnId(id))
  t.ok(ownIdTime(id) >= before && ownIdTime(id) <= Date.now())
  t.equal(ownIdTime(v7({ msecs: 1_710_930_600_123 })), 1_710_930_600_123)
  t.notOk(isOwnId(IMPORTED))
  t.notOk(isOwnId('018e5b86-7c40-7def-c123-456789abcdef'), 'another variant')
})

t.test('new ids are in the order in which they were made', async (t) => {
  const ids = Array.from({ length: 1000 }, newStoryId)
  t.same(ids, [...ids].sort())
  t.equal(new Set(ids).size, 1000)
})

t.test('new ids follow a clock that is set back, and stay in order within one of its milliseconds', async (t) => {
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  const right = now()
  const made: { time: number; ids: string[] }[] = []
  // An hour ahead, set right, a millisecond back, and the time that was the present before
  for (const time of [right + 3_600_000, right, right - 1, right, right + 1]) {
    Date.now = () => time
    made.push({ time, ids: Array.from({ length: 1000 }, newStoryId) })
  }
  for (const { time, ids } of made) {
    t.ok(
      ids.every((id) => ownIdTime(id) === time),
      'each has the time at which it was made',
    )
    t.same(ids, [...ids].sort())
  }
  t.equal(new Set(made.flatMap(({ ids }) => ids)).size, 5000)
})

t.test('keys are made and read alike', async (t) => {
  t.equal(storyPrefix(OWN), `stories/${OWN}/`)
  t.equal(imageKey(OWN, 12, 'webp'), `stories/${OWN}/12.webp`)
  t.equal(recordKey(OWN, 12), `stories/${OWN}/0.12.json`)
  t.equal(publicPath(imageKey(OWN, 1, 'jpg')), `/images/stories/${OWN}/1.jpg`)
  t.match(read(imageKey(OWN, 12, 'avif')), { id: OWN, images: [{ number: 12 }], records: [] })
  t.match(read(recordKey(OWN, 1)), { id: OWN, images: [], records: [recordKey(OWN, 1)] })
})

t.test('what is not of our layout is nothing', async (t) => {
  for (const name of [
    '0.jpg',
    '01.jpg',
    '1.JPG',
    '1.jpg.bak',
    '1.svg',
    '1.',
    '1',
    'a.jpg',
    '-1.jpg',
    '1.5.jpg',
    '1e3.jpg',
    '12345678901.jpg',
    '0.0.json',
    '0.01.json',
    '1.3.json',
    '0.json',
    '0.3.json.tmp',
    'folder/1.jpg',
    '',
  ]) {
    t.equal(read(`stories/${OWN}/${name}`), undefined, name)
  }
  for (const key of [
    `${OWN}/1.jpg`,
    `stories/${OWN}1.jpg`,
    `Stories/${OWN}/1.jpg`,
    'stories/readme/1.jpg',
    'stories/',
  ]) {
    t.equal(read(key), undefined, key)
  }
  t.equal(read(`stories/${OWN.toUpperCase()}/1.jpg`), undefined)
})

t.test('a file name promises a type', async (t) => {
  t.same(['1.jpg', '1.jpeg', '1.png', '1.gif', '1.webp', '1.avif'].map(imageTypeOf), [
    'jpg',
    'jpg',
    'png',
    'gif',
    'webp',
    'avif',
  ])
  for (const name of ['0.jpg', '1.svg', '1.jpgx', '../1.jpg', '0.1.json', ''])
    t.equal(imageTypeOf(name), undefined, name)
})

t.test('a record sorts before every image', async (t) => {
  const keys = [recordKey(OWN, 999), ...[1, 2, 9, 10, 100].map((number) => imageKey(OWN, number, 'avif'))]
  t.equal([...keys].sort()[0], keys[0])
})

t.test('the commit rule: a story is there if its one record and exactly its images are', async (t) => {
  const cases: [name: string, records: number[], images: number[], isThere: boolean][] = [
    ['record and images', [3], [1, 2, 3], true],
    ['images in the order of a list', [12], [1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9], true],
    ['no record', [], [1, 2, 3], false],
    ['no images', [3], [], false],
    ['an image too few', [3], [1, 2], false],
    ['an image too many', [3], [1, 2, 3, 4], false],
    ['a gap', [3], [1, 2, 4], false],
    ['not from 1', [3], [2, 3, 4], false],
    ['a number twice', [3], [1, 2, 2], false],
    ['two records, one of which fits', [2, 3], [1, 2, 3], false],
    ['two records that fit', [3, 3], [1, 2, 3], false],
    ['nothing', [], [], false],
  ]
  for (const [name, records, images, isThere] of cases) {
    const story = keysOf(OWN, records, images).story()
    t.equal(story !== undefined, isThere, name)
    if (story)
      t.same(
        story.images.map((image) => image.number),
        [...images].sort((a, b) => a - b),
      )
  }
})

t.test('an imported story is whatever images are there', async (t) => {
  t.same(
    keysOf(IMPORTED, [], [10, 2, 5])
      .story()
      ?.images.map((image) => image.number),
    [2, 5, 10],
  )
  t.ok(keysOf(IMPORTED, [7], [1]).story(), 'whatever a record says')
  t.equal(keysOf(IMPORTED, [1], []).story(), undefined)
})

t.test(
  'created_at is the time in the id, or the image’s own for an imported story, in UTC to the second',
  async (t) => {
    const own = keysOf(v7({ msecs: Date.UTC(2024, 2, 20, 10, 30, 0, 999) }), [1], [1]).story()
    const imported = keysOf(IMPORTED, [], [1, 2]).story()
    t.same(own?.images.map(createdAt(own)), ['2024-03-20T10:30:00Z'])
    t.same(imported?.images.map(createdAt(imported)), ['2023-01-01T00:00:01Z', '2023-01-01T00:00:02Z'])
  },
)

t.test('a position is where a key is among stories, whatever its version, and back', async (t) => {
  const ids = [
    OWN,
    IMPORTED,
    ...Array.from({ length: 500 }, (_, n) => (n % 2 ? randomUUID() : v7({ msecs: n * 7 }))),
  ].sort()
  let last = -1
  for (const id of ids) {
    const position = STORY_SPACE.position(imageKey(id, 1, 'jpg'))
    t.ok(position >= last, id)
    last = position
    const key = STORY_SPACE.keyAt(position) ?? ''
    t.ok(key < storyPrefix(id) && storyPrefix(id).startsWith(key), 'a place is below its stories')
    t.ok((STORY_SPACE.keyAt(position + 1) ?? 'z') > imageKey(id, 1, 'jpg'), 'and the next one is above them')
  }
  t.equal(STORY_SPACE.position(recordKey(OWN, 3)), ownIdTime(OWN))
  t.ok(Number.isNaN(STORY_SPACE.position('stories/readme.txt')))
  for (const position of [-1, 2 ** 48, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.equal(STORY_SPACE.keyAt(position), undefined, String(position))
  }
})

/** What the key says; nothing when it is not of our layout. */
function read(key: string): StoryKeys | undefined {
  const id = storyIdOf(key)
  const keys = id === undefined ? undefined : new StoryKeys(id)
  return keys?.add({ key, size: 1, modified: '2023-01-01T00:00:00.000Z' }) ? keys : undefined
}

function keysOf(id: string, records: readonly number[], images: readonly number[]): StoryKeys {
  const keys = new StoryKeys(id)
  const modified = (second: number) => new Date(Date.UTC(2023, 0, 1, 0, 0, second)).toISOString()
  for (const count of records) keys.add({ key: recordKey(id, count), size: 2, modified: modified(0) })
  for (const number of images) keys.add({ key: imageKey(id, number, 'jpg'), size: 1, modified: modified(number) })
  return keys
}
