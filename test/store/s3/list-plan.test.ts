import t from 'tap'
import { blend, nextRange, type Range } from '../../../src/store/s3/list-plan.ts'

/** Keys "000" to "999" at the position of their number; others have none. */
const SPACE = {
  position: (key: string) => (/^\d{3}$/.test(key) ? Number(key) : Number.NaN),
  keyAt: (position: number) => (position < 1000 ? String(Math.floor(position)).padStart(3, '0') : undefined),
}

/** Everything up to "100" is read, in pages that span 100. */
const KNOWN = { end: '100', width: 100 }

const next = (ranges: readonly Range[], before?: string) => nextRange(ranges, KNOWN, SPACE, before)

/** A range that was read. */
const read = (after: string, end: string, isLast = false): Range => ({ after, end, width: 100, isLast })

t.test('the first range begins at the end of what is known', async (t) => {
  t.same(next([]), { index: 0, after: '100' })
})

t.test('while a page is read, the one after the next is estimated by the width', async (t) => {
  t.same(next([{ after: '100' }]), { index: 1, after: '285' })
  t.same(next([{ after: '100' }, { after: '285' }]), { index: 2, after: '470' })
  t.same(nextRange([{ after: '100' }], { end: '100', width: 10 }, SPACE), { index: 1, after: '118' })
})

t.test('a gap between a page and the next range is read from the end of the page', async (t) => {
  t.same(next([read('100', '190'), { after: '285' }, { after: '470' }]), { index: 1, after: '190' })
  t.same(next([read('100', '190'), { after: '190' }, { after: '285' }]), { index: 3, after: '470' })
})

t.test('ranges that meet or overlap have no gap', async (t) => {
  t.same(next([read('100', '290'), read('285', '380')]), { index: 2, after: '380' })
  t.same(next([read('100', '285'), { after: '285' }]), { index: 2, after: '470' })
  // A page that reaches further than the next one
  t.same(next([read('100', '500'), read('285', '380'), { after: '490' }]), { index: 3, after: '500' })
})

t.test('an estimated gap is read only where a page fits into it', async (t) => {
  t.same(next([{ after: '100' }, { after: '300' }]), { index: 2, after: '485' })
  t.same(next([{ after: '100' }, { after: '385' }]), { index: 1, after: '285' })
})

t.test('the width follows the pages that were read', async (t) => {
  const narrow: Range = { after: '100', end: '110', width: 10 }
  t.same(next([narrow, { after: '110' }]), { index: 2, after: '128' })
  t.equal(blend(100, 140), 110, 'by an average')
  t.equal(blend(100, 10), 10, 'or at once')
  t.equal(blend(100, 1000), 1000)
  t.equal(blend(100), 100)
  t.equal(blend(100, Number.NaN), 100)
})

t.test('nothing is read after the end of the list', async (t) => {
  t.equal(next([read('100', '150', true)]), undefined)
  t.equal(next([read('100', '190', true), { after: '285' }]), undefined)
  t.equal(next([{ after: '100', isLast: true }]), undefined, 'nor after a page that can not be read')
  t.equal(next([{ after: '100' }], '285'), undefined, 'nor from where the list ends')
  t.same(next([{ after: '100' }], '286'), { index: 1, after: '285' })
})

t.test('where nothing can be estimated the page that is being read is awaited', async (t) => {
  t.equal(nextRange([{ after: '950' }], { end: '950', width: 100 }, SPACE), undefined, 'at the end of the space')
  t.equal(nextRange([{ after: 'x' }], { end: 'x', width: 100 }, SPACE), undefined, 'outside of it')
  t.equal(nextRange([{ after: '100' }], { end: '100', width: Number.NaN }, SPACE), undefined, 'without a width')
})

t.test('pages of any width make a list to its end, without a gap', async (t) => {
  for (const width of [1, 7, 60, 100, 300]) {
    const ranges: Range[] = []
    const known = { end: '000', width: 100 }
    for (let turn = 0; turn < 5000; turn++) {
      const missing = nextRange(ranges, known, SPACE)
      if (missing && ranges.length < 4) {
        ranges.splice(missing.index, 0, { after: missing.after })
        continue
      }
      const reading = ranges.find(({ end }) => end === undefined)
      if (!reading) break
      const end = Math.min(999, Number(reading.after) + width)
      Object.assign(reading, { end: SPACE.keyAt(end), width, isLast: end === 999 })
      while (ranges[0]?.end !== undefined && ranges[0].after <= known.end) {
        const { end, isLast } = ranges.shift() as Range
        if (String(end) > known.end) known.end = String(end)
        if (isLast) turn = Number.POSITIVE_INFINITY
      }
    }
    t.equal(known.end, '999', `pages of ${width}`)
  }
})
