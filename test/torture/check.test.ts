import t from 'tap'
import { check, checkRemains } from './check.ts'
import type { Content, Entry } from './history.ts'

/** The wall clock of these histories begins here, so ids have times. */
const WALL = Date.UTC(2026, 0, 1)

/** The id of an upload that began at so many milliseconds. */
function idAt(time: number, last = '0'): string {
  const digits = (WALL + time).toString(16).padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}-7000-8000-00000000000${last}`
}

const A = idAt(10)
const B = idAt(5010)

const upload = (start: number, end: number, more: object = { result: 'stored', id: A }) =>
  ({ kind: 'upload', content: 1, start, end, ...more }) as Entry
const list = (start: number, end: number, ids: string[], names = ids.map(() => '1.jpg,2.png')): Entry => ({
  kind: 'list',
  start,
  end,
  ids,
  names,
})
const ids = (start: number, end: number, found: string[], more: object = {}): Entry => ({
  kind: 'list',
  start,
  end,
  ids: found,
  ...more,
})
const look = (start: number, end: number, names?: string): Entry => ({
  kind: 'story',
  id: A,
  start,
  end,
  ...(names !== undefined && { names }),
})
const image = (start: number, end: number, found?: object | 'damaged', id = A): Entry =>
  ({ kind: 'image', id, name: '1.jpg', start, end, ...(found !== undefined && { found }) }) as Entry
const remove = (start: number, end: number, result: 'done' | 'absent' | 'failed' = 'done'): Entry => ({
  kind: 'remove',
  id: A,
  result,
  start,
  end,
})
const removeAll = (start: number, end: number, result: 'done' | 'failed' | 'unknown' = 'done'): Entry => ({
  kind: 'remove-all',
  result,
  start,
  end,
})
const restore = (start: number, end: number, result: 'done' | 'failed' = 'done'): Entry => ({
  kind: 'restore',
  id: A,
  result,
  start,
  end,
})
const late = (time: number, name: string): Entry => ({ kind: 'late', id: A, name, start: time, end: time })

const PLAIN: Content[] = [
  { number: 1, names: '1.jpg,2.png' },
  { number: 2, names: '1.jpg,2.png' },
]
const KEYED: Content[] = [{ number: 1, names: '1.jpg,2.png', key: 'a key' }]

function rules(entries: readonly Entry[], contents = PLAIN): string[] {
  const history = { wall: WALL, contents: new Map(contents.map((content) => [content.number, content])), entries }
  return check(history).violations.map(({ rule }) => rule)
}

const OWN = { content: 1, image: 1 }
const LATER = 60_000

t.test('what a right server does is no violation', async (t) => {
  const fine: Record<string, Entry[]> = {
    'a story from its answer to its deletion': [
      upload(0, 100),
      list(200, 210, [A]),
      ids(200, 210, [A]),
      look(300, 310, '1.jpg,2.png'),
      image(300, 310, OWN),
      remove(400, 500),
      list(600, 610, []),
      look(600, 610),
      image(600, 610),
      remove(700, 710, 'absent'),
    ],
    'either, while an upload runs': [upload(0, 100), list(50, 60, [A]), list(50, 110, []), list(90, 150, [])],
    'either, while a deletion runs': [
      upload(0, 100),
      remove(200, 300),
      list(250, 260, [A]),
      list(150, 260, []),
      image(250, 260),
    ],
    'either, after a deletion without an answer': [upload(0, 100), remove(200, 300, 'failed'), list(400, 410, [])],
    'a story that is still there after it': [upload(0, 100), remove(200, 300, 'failed'), list(400, 410, [A])],
    'an upload with a lost answer that is there': [
      upload(0, 100, { result: 'unknown' }),
      image(200, 210, OWN),
      list(LATER, LATER + 10, [A]),
      list(LATER + 20, LATER + 30, [A]),
    ],
    'one that is seen while it is taken back': [
      upload(0, 100, { result: 'refused' }),
      list(50, 60, [A]),
      image(60, 70, OWN),
      list(110, 120, []),
    ],
    'an upload that outlives a deletion of all': [removeAll(0, 40), upload(50, 100), list(200, 210, [A])],
    'one that a deletion without an answer may have reached': [
      removeAll(0, 40, 'unknown'),
      upload(50, 100),
      list(200, 210, []),
    ],
    'one that runs beside it, there': [removeAll(0, 60), upload(50, 100), list(200, 210, [A])],
    'one that runs beside it, gone': [removeAll(0, 60), upload(50, 100), list(200, 210, [])],
    'a page that ends before the story': [upload(0, 100), ids(200, 210, [], { upTo: idAt(1) })],
    'a page that begins behind it': [upload(0, 100), ids(200, 210, [], { after: A })],
    'an image of a failed upload at its own path': [upload(0, 100, { result: 'refused' }), image(200, 210, OWN)],
    'an image that was written late, after its deletion': [
      upload(0, 100),
      remove(200, 300),
      late(350, '1.jpg'),
      image(400, 410, OWN),
    ],
  }
  for (const [name, entries] of Object.entries(fine)) t.same(rules(entries), [], name)
})

t.test('what breaks a promise is reported', async (t) => {
  const bad: Record<string, [string, Entry[]]> = {
    'an acknowledged story that a list has not': ['lost', [upload(0, 100), list(200, 210, [])]],
    'one that a list of ids has not': ['lost', [upload(0, 100), ids(200, 210, [])]],
    'one that a page has not': ['lost', [upload(0, 100), ids(200, 210, [], { after: idAt(1), upTo: B })]],
    'one that is answered 404': ['lost', [upload(0, 100), look(200, 210)]],
    'one that is gone when it is to be deleted': ['lost', [upload(0, 100), remove(200, 210, 'absent')]],
    'one that a deletion of all from before has deleted': [
      'lost',
      [removeAll(0, 40), upload(50, 100), list(200, 210, [])],
    ],
    'one from after a deletion that failed': [
      'lost',
      [removeAll(0, 40, 'failed'), upload(50, 100), list(200, 210, [])],
    ],
    'an image that is answered 404': ['lost', [upload(0, 100), image(200, 210)]],
    'a story that is gone after it was seen': [
      'lost',
      [
        upload(0, 100, { result: 'unknown' }),
        image(200, 210, OWN),
        list(LATER, LATER + 10, [A]),
        list(LATER + 20, LATER + 30, []),
      ],
    ],
    'a part of a story': ['part', [upload(0, 100), list(200, 210, [A], ['1.jpg'])]],
    'a part of one that nobody knows': ['part', [list(200, 210, [A], ['1.jpg,3.jpg'])]],
    'a part of one, asked for alone': ['part', [upload(0, 100), look(200, 210, '2.png')]],
    'a list out of order': [
      'part',
      [upload(0, 100), upload(5000, 5100, { content: 2, result: 'stored', id: B }), ids(6000, 6010, [B, A])],
    ],
    'an upload that was refused': [
      'refused',
      [upload(0, 100, { result: 'refused', status: 503 }), list(200, 210, [A]), image(200, 210, OWN)],
    ],
    'one whose client left before it had sent all': [
      'refused',
      [upload(0, 100, { result: 'cut' }), list(50, 60, [A]), image(60, 70, OWN)],
    ],
    'a deleted story': ['deleted', [upload(0, 100), remove(200, 300), list(400, 410, [A])]],
    'one of a deletion of all': ['deleted', [upload(0, 100), removeAll(200, 300), list(400, 410, [A])]],
    'an image of a deleted story': ['deleted', [upload(0, 100), remove(200, 300), image(400, 410, OWN)]],
    'an image after a deletion of all': ['deleted', [upload(0, 100), removeAll(200, 300), image(400, 410, OWN)]],
    'a story that was gone already': [
      'came back',
      [upload(0, 100), remove(200, 300, 'failed'), list(400, 410, []), list(500, 510, [A])],
    ],
    'an upload that appears long after it was over': [
      'came back',
      [
        upload(0, 100, { result: 'unknown' }),
        list(LATER, LATER + 10, []),
        list(LATER + 20, LATER + 30, [A]),
        image(LATER + 40, LATER + 50, OWN),
      ],
    ],
    'one upload that became two stories': [
      'twice',
      [upload(0, 100), list(200, 210, [A, B]), image(220, 230, OWN, B), look(300, 310, '1.jpg,2.png')],
    ],
    'the wrong bytes': ['bytes', [upload(0, 100), image(200, 210, { content: 2, image: 1 })]],
    'another image of the story': ['bytes', [upload(0, 100), image(200, 210, { content: 1, image: 2 })]],
    'damaged bytes': ['bytes', [upload(0, 100), image(200, 210, 'damaged')]],
  }
  for (const [name, [rule, entries]] of Object.entries(bad)) t.ok(rules(entries).includes(rule), `${name}: ${rule}`)
})

t.test('an Idempotency-Key stands for one story', async (t) => {
  const second = { result: 'stored', id: B }
  t.same(rules([upload(0, 100), upload(5000, 5100), list(6000, 6010, [A])], KEYED), [], 'a repetition')
  t.same(
    rules([upload(0, 100), remove(200, 300), upload(5000, 5100), list(6000, 6010, [])], KEYED),
    [],
    'a late repetition stores nothing',
  )
  t.same(
    rules(
      [
        upload(0, 100, { result: 'refused' }),
        list(50, 60, [A]),
        image(60, 70, OWN),
        upload(5000, 5100, second),
        list(6000, 6010, [B]),
      ],
      KEYED,
    ),
    [],
    'one that failed, and a repetition that did not',
  )
  t.same(
    rules(
      [
        upload(0, 300, { result: 'refused' }),
        image(60, 70, OWN),
        remove(100, 200),
        upload(5000, 5100, second),
        list(6000, 6010, [B]),
      ],
      KEYED,
    ),
    [],
    'one whose images were deleted while it ran, so that it failed, and a repetition that did not',
  )
  t.same(rules([upload(0, 100), upload(5000, 5100, second)], KEYED), ['twice'], 'two answers')
  t.ok(
    rules([upload(0, 100), list(6000, 6010, [A, B]), image(6020, 6030, OWN, B)], KEYED).includes('twice'),
    'another story beside the one of the answer',
  )
  t.ok(
    rules(
      [
        upload(0, 100),
        remove(200, 300),
        upload(5000, 5100, { result: 'unknown' }),
        list(LATER, LATER + 10, [B]),
        image(LATER + 20, LATER + 30, OWN, B),
      ],
      KEYED,
    ).includes('deleted'),
    'a late repetition that brings the story back',
  )
})

t.test('an imported story is there until its deletion begins, and fades away while that runs', async (t) => {
  const id = '3f2b8a52-1d7e-4c3a-9a51-0f6f5f1d2c3b'
  const contents: Content[] = [{ number: 1, names: '1.jpg,2.png', imported: true }]
  const placed = upload(0, 0, { result: 'stored', id })
  t.same(rules([placed, list(100, 110, [id])], contents), [])
  t.same(rules([placed, removeAll(200, 300), list(250, 260, [id], ['2.png'])], contents), [])
  t.same(rules([placed, list(100, 110, [id], ['2.png'])], contents), ['part'])
  t.same(rules([placed, list(100, 110, [])], contents), ['lost'])
  t.same(rules([placed, removeAll(200, 300), list(350, 360, [id])], contents), ['deleted'])
  const flicker = [list(250, 260, []), list(270, 280, [id], ['2.png'])]
  t.same(rules([placed, removeAll(200, 300), ...flicker], contents), [], 'a store may show it again while that runs')
  const removal: Entry = { kind: 'remove', id, result: 'done', start: 200, end: 240 }
  t.same(rules([placed, removal, ...flicker], contents), ['deleted'])
})

t.test('a deleted story is in no list until it is restored, and then it is whole', async (t) => {
  const deleted = [upload(0, 100), remove(200, 300)]
  const restored = [...deleted, list(400, 410, []), restore(500, 600)]
  const again = [...restored, remove(700, 800)]
  const fine: Record<string, Entry[]> = {
    'a story that is back, with its images': [
      ...restored,
      list(700, 710, [A]),
      ids(700, 710, [A]),
      look(720, 730, '1.jpg,2.png'),
      image(740, 750, OWN),
    ],
    'one of a deletion of all': [upload(0, 100), removeAll(200, 300), restore(500, 600), list(700, 710, [A])],
    'either, while the restore runs': [...deleted, restore(500, 600), list(510, 520, [A]), list(510, 520, [])],
    'a deleted story, after a restore that failed': [...deleted, restore(500, 600, 'failed'), list(700, 710, [])],
    'a whole story after it': [...deleted, restore(500, 600, 'failed'), list(700, 710, [A])],
    'a story that is deleted again': [...again, list(900, 910, []), look(900, 910)],
    'either, while it is deleted again': [...again, list(750, 760, [A]), list(750, 760, [])],
    'one that a deletion of all without an answer, which began long before, deletes again': [
      ...deleted,
      removeAll(LATER - 60_000, LATER - 10, 'unknown'),
      restore(LATER, LATER + 100),
      list(LATER + 200, LATER + 210, []),
    ],
    'one that a deletion of all deletes again': [...restored, removeAll(700, 800), list(900, 910, [])],
    'one that an earlier deletion without an answer reaches': [
      upload(0, 100),
      remove(200, 300, 'failed'),
      restore(500, 600),
      list(700, 710, []),
    ],
    'one that its own upload takes back when it fails': [
      upload(0, 400, { result: 'unknown' }),
      image(100, 110, OWN),
      restore(200, 300),
      look(310, 320),
    ],
    'one that a late call of its own upload, which was refused, takes back': [
      upload(0, 400, { result: 'refused', status: 503 }),
      image(100, 110, OWN),
      restore(500, 600),
      look(3000, 3010),
    ],
    'one of an upload of which nothing is known': [
      upload(0, 400, { result: 'unknown' }),
      restore(200, 300),
      look(310, 320),
    ],
  }
  for (const [name, entries] of Object.entries(fine)) t.same(rules(entries), [], name)
  const bad: Record<string, [string, Entry[]]> = {
    'a list that shows it without a restore': ['deleted', [...deleted, list(400, 410, [A])]],
    'a list that shows it before the restore': ['deleted', [...deleted, list(400, 410, [A]), restore(500, 600)]],
    'a list of ids that shows it before the restore': ['deleted', [...deleted, ids(400, 410, [A]), restore(500, 600)]],
    'an image that is there before the restore': ['deleted', [...deleted, image(400, 410, OWN), restore(500, 600)]],
    'a restored story without one of its images': ['part', [...restored, list(700, 710, [A], ['1.jpg'])]],
    'one without it, asked for alone': ['part', [...restored, look(700, 710, '2.png')]],
    'a part of one, while the restore runs': ['part', [...deleted, restore(500, 600), list(510, 520, [A], ['1.jpg'])]],
    'a part of one, after a restore that failed': [
      'part',
      [...deleted, restore(500, 600, 'failed'), list(700, 710, [A], ['1.jpg'])],
    ],
    'an image of a restored story that has other bytes': [
      'bytes',
      [...restored, image(700, 710, { content: 2, image: 1 })],
    ],
    'a restored story that a list has not': [
      'restored',
      [...deleted, restore(LATER, LATER + 100), list(LATER + 200, LATER + 210, [])],
    ],
    'one that is answered 404': ['restored', [...deleted, restore(LATER, LATER + 100), look(LATER + 200, LATER + 210)]],
    'one that was restored before already, and deleted again': [
      'restored',
      [...again, restore(LATER, LATER + 100), look(LATER + 200, LATER + 210)],
    ],
    'one whose upload had failed before the restore': [
      'restored',
      [
        upload(0, 100, { result: 'unknown' }),
        image(50, 60, OWN),
        restore(LATER, LATER + 100),
        look(LATER + 200, LATER + 210),
      ],
    ],
  }
  for (const [name, [rule, entries]] of Object.entries(bad)) t.ok(rules(entries).includes(rule), `${name}: ${rule}`)
})

t.test('a list of the newest runs backwards, with imported stories at its end', async (t) => {
  const id = '3f2b8a52-1d7e-4c3a-9a51-0f6f5f1d2c3b'
  const contents: Content[] = [...PLAIN, { number: 3, names: '1.jpg', imported: true }]
  const there = [upload(0, 100), upload(0, 0, { content: 3, result: 'stored', id })]
  const newest = (found: string[], page: object = {}) => ids(200, 210, found, { isNewestFirst: true, ...page })
  t.same(rules([...there, newest([B, A, id])], contents), [])
  t.same(rules([...there, newest([A, B, id])], contents), ['part'])
  t.same(rules([...there, newest([id, B, A])], contents), ['part'])
  t.same(rules([...there, newest([B], { upTo: B }), newest([A, id], { after: B })], contents), [])
  t.same(rules([...there, newest([B], { upTo: A })], contents), ['lost'])
  t.same(rules([...there, newest([], { after: A })], contents), ['lost'])
})

t.test('the verdict counts', async (t) => {
  const entries = [upload(0, 100), list(200, 210, [A, B]), remove(300, 400), late(450, '1.jpg'), late(450, '2.png')]
  const everyObject = [...entries, late(450, '0.2.json'), list(500, 510, [A])]
  const history = { wall: WALL, contents: new Map(PLAIN.map((content) => [content.number, content])) }
  const verdict = check({ ...history, entries: everyObject })
  t.match(verdict, { acked: 1, verified: 1, unidentified: 1, excused: 1 })
  t.same(verdict.violations, [], 'every object of the story was written again after its deletion')
  const violations = check({ ...history, entries: [...entries, list(500, 510, [A])] }).violations
  t.match(violations, [{ rule: 'deleted', what: /was deleted with success/ }], 'not every one')
  t.same(
    violations[0]?.entries.map(({ kind }) => kind),
    ['upload', 'list', 'remove', 'late', 'late', 'list'],
    'the entries about the story are told',
  )
})

t.test('at the end there is what is listed, what others have placed, and idempotency records', async (t) => {
  const imported = '3f2b8a52-1d7e-4c3a-9a51-0f6f5f1d2c3b'
  const copied = idAt(1, '7')
  const listed = new Map([
    [A, '1.jpg,2.png'],
    [imported, '3.gif'],
  ])
  const placed = ['notes.txt', `stories/${copied}/1.jpg`]
  const keys = [
    `stories/${A}/0.2.json`,
    `stories/${A}/1.jpg`,
    `stories/${A}/2.png`,
    `stories/${imported}/3.gif`,
    `stories/-deleting/${copied}.${B}`,
    `idempotency/${'0'.repeat(64)}.1`,
    ...placed,
  ]
  t.same(checkRemains({ keys, listed, placed }), [])
  t.match(checkRemains({ keys: [...keys, `stories/${B}/1.jpg`], listed, placed }), [{ rule: 'left over', id: B }])
  for (const id of ['all', B]) {
    const tombstone = `stories/-deleting/${id}.${B}`
    t.match(checkRemains({ keys: [...keys, tombstone], listed, placed }), [{ rule: 'left over', id }])
  }
  t.match(checkRemains({ keys: keys.slice(1), listed, placed }), [{ rule: 'missing', id: A }])
  t.match(checkRemains({ keys: keys.slice(0, -1), listed, placed }), [{ rule: 'missing', id: copied }])
})

t.test('ids that nobody knows do not hide the others', async (t) => {
  const unknown = Array.from({ length: 20 }, (_, index) => idAt(100 + index))
  t.same(rules([upload(0, 100), ids(50, 60, unknown), list(200, 210, [])]), ['lost'])
})
