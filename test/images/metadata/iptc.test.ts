import t from 'tap'
import { stripIptc, stripPhotoshop } from '../../../src/images/metadata/iptc.ts'
import { makeImage } from '../../support/images.ts'

function dataset(record: number, number: number, value: string): Buffer {
  const head = Buffer.from([0x1c, record, number, 0, 0])
  head.writeUInt16BE(value.length, 3)
  return Buffer.concat([head, Buffer.from(value)])
}

function resource(id: number, content: Buffer, name = ''): Buffer {
  const head = Buffer.concat([Buffer.from('8BIM'), Buffer.from([id >> 8, id & 0xff, name.length]), Buffer.from(name)])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([head, Buffer.alloc(head.length & 1), length, content, Buffer.alloc(content.length & 1)])
}

const SECRET = Buffer.from('SECRET')

t.test('places of IPTC are removed, and the other datasets of photos stay', async (t) => {
  const kept = [
    dataset(1, 90, '\x1b%G'),
    dataset(2, 0, '\0\x04'),
    dataset(2, 5, 'Title'),
    dataset(2, 25, 'ships'),
    dataset(2, 55, '20240320'),
    dataset(2, 80, 'Plato'),
    dataset(2, 116, 'Public domain'),
    dataset(2, 120, ''),
  ]
  const removed = [
    ...[26, 27, 90, 92, 95, 100, 101, 103, 202, 232].map((number) => dataset(2, number, 'SECRET')),
    dataset(2, 25, 'geo:lat=52.5'),
    dataset(6, 1, 'SECRET'),
    dataset(240, 1, 'SECRET'),
  ]
  const all = kept.flatMap((each, n) => [each, ...(removed.slice(2 * n, 2 * n + 2) ?? [])])
  t.same(stripIptc(Buffer.concat(all)), Buffer.concat(kept))
  t.same(stripIptc(Buffer.concat([...all, Buffer.alloc(3)])), Buffer.concat(kept), 'zeros at the end are padding')
})

t.test('IPTC that cannot be parsed is removed whole', async (t) => {
  const title = dataset(2, 5, 'Title')
  for (const broken of [
    Buffer.from('SECRET'),
    Buffer.concat([title, SECRET]),
    Buffer.concat([title, dataset(2, 90, 'SECRET').subarray(0, -1)]),
    Buffer.concat([title, Buffer.from([0x1c, 2])]),
    // An extended dataset, whose length is in the four bytes that follow
    Buffer.concat([Buffer.from([0x1c, 2, 90, 0x80, 4, 0, 0, 0, 6]), SECRET, Buffer.alloc(0x8100)]),
  ])
    t.equal(stripIptc(broken).length, 0)
})

t.test('Photoshop resources lose what is not in the list', async (t) => {
  const kept = [
    resource(0x03ed, Buffer.alloc(16, 1)),
    resource(0x040b, Buffer.from('https://example.org')),
    resource(0x040a, Buffer.from([1])),
  ]
  const removed = [0x0422, 0x0423, 0x0424, 0x0425, 0x03f0, 0x0fa0, 0x0bb7].map((id) => resource(id, SECRET, 'name'))
  const title = dataset(2, 5, 'Title')
  const all = Buffer.concat([
    ...removed,
    ...kept,
    resource(0x0404, Buffer.concat([title, dataset(2, 90, 'SECRET')])),
    ...removed,
  ])
  t.same(stripPhotoshop(all), Buffer.concat([...kept, resource(0x0404, title)]))
  t.equal(stripPhotoshop(resource(0x0404, dataset(2, 90, 'SECRET'))).length, 0, 'no resource is left without content')
})

t.test('a thumbnail of Photoshop stays, without metadata of its own', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  const exif = Buffer.concat([Buffer.from([0xff, 0xe1, 0, 2 + SECRET.length]), SECRET])
  const header = Buffer.alloc(28, 1)
  const left = stripPhotoshop(resource(0x040c, Buffer.concat([header, image.subarray(0, 2), exif, image.subarray(2)])))
  t.notOk(left.includes(SECRET))
  t.ok(left.includes(image.subarray(2)))
})

t.test('Photoshop resources that cannot be parsed are removed whole', async (t) => {
  const url = resource(0x040b, Buffer.from('https://example.org/'))
  const long = Buffer.from(url)
  long.writeUInt32BE(0xffffffff, 8)
  for (const broken of [
    SECRET,
    Buffer.concat([url, SECRET]),
    Buffer.concat([url, Buffer.from('8BIM')]),
    url.subarray(0, -1),
    long,
    Buffer.concat([Buffer.from('8BIM\x04\x0b\xff', 'latin1'), SECRET]),
  ])
    t.equal(stripPhotoshop(broken).length, 0)
})
