import t from 'tap'
import { hasCoordinates } from '../../../src/images/metadata/coordinates.ts'
import { stripExif } from '../../../src/images/metadata/exif.ts'
import { stripIptc } from '../../../src/images/metadata/iptc.ts'
import { stripXmp } from '../../../src/images/metadata/xmp.ts'
import { makeImage } from '../../support/images.ts'
import { strip } from './strip-file.ts'
import { makeTiff } from './tiff.ts'

const FOUND = [
  'geo:lat=47.98765',
  'geo:47.98765,12.34567',
  'geohash:u0wt',
  '{"MAPLatitude":47.98765,"MAPLongitude":12.34567}',
  'Lat: 47.98765, Lon: 12.34567',
  `47° 59' 15.5" N`,
  '47°59′15″N 12°20′44″E',
  'In the harbour (47.98765, -12.34567)',
  'Taken at 47.98765, 12.34567.',
  'https://www.google.com/maps/@47.98765,12.34567,17z',
  'https://maps.example/?q=47.98765%2C12.34567',
]
const HARMLESS = [
  'A flat: 5 rooms, the salon: 2',
  'At 20 °C, a 360° view of 12 ships',
  'Latitude Festival, along the 48th degree',
  '1.5000, 2.2500, 3.1250',
  'f/2.8, 1/250 s, 35.5 mm',
  'See the maps of 1.1.2024, 12 pages',
]

t.test('coordinates in a text are found as apps write them, and other numbers are not', async (t) => {
  for (const text of FOUND) {
    t.ok(hasCoordinates(text), text)
    t.ok(hasCoordinates(Buffer.from(text).toString('latin1')), `bytes of ${text}`)
  }
  for (const text of HARMLESS) t.notOk(hasCoordinates(text), text)
})

t.test('texts that nearly are coordinates take linear time', async (t) => {
  const time = (text: string) => {
    const start = process.cpuUsage()
    hasCoordinates(text)
    const { user, system } = process.cpuUsage(start)
    return user + system
  }
  for (const text of ['maps/', '1.', '47.98765,', '47° ', 'lat', 'geo:', '1'])
    t.ok(time(text.repeat(2 ** 18 / text.length)) < 300_000, text)
})

const TEXT = 'Lat=47.98765'

t.test('location removes texts with coordinates from Exif data in each encoding', async (t) => {
  const texts = [
    { tag: 0x010e, type: 2, value: Buffer.from(TEXT) },
    { tag: 0x9286, type: 7, value: Buffer.from(`ASCII\0\0\0${TEXT}`) },
    { tag: 0x9286, type: 7, value: Buffer.concat([Buffer.from('UNICODE\0'), Buffer.from(TEXT, 'utf16le')]) },
    { tag: 0x9c9e, type: 7, value: Buffer.from(TEXT, 'utf16le') },
  ] as const
  for (const text of texts) {
    const tiff = makeTiff(true, [{ tag: 0x010f, type: 2, value: Buffer.from('A camera maker') }, text])
    stripExif(tiff, 'location')
    t.notOk(tiff.toString('latin1').replaceAll('\0', '').includes('47.98'))
    t.ok(tiff.includes('A camera maker'))
  }
})

t.test('location removes texts with coordinates from XMP and IPTC', async (t) => {
  for (const property of [
    `><a:note>${TEXT}</a:note></a:d>`,
    `><a:note>at</a:note><a:note a:id="geo:47.98765,12.3"/></a:d>`,
    ` a:note="${TEXT}"/>`,
    ' a:lat_deg="47.98765"/>',
    ' a:centerLat="47.98765"/>',
  ]) {
    const packet = Buffer.from(`<a:d xmlns:a="urn:a" a:title="Ships"${property}`)
    stripXmp(packet, 'location')
    t.notOk(packet.includes('47.98'), property)
    t.ok(packet.includes('Ships'))
  }
  const caption = Buffer.concat([Buffer.from([0x1c, 2, 120, 0, TEXT.length]), Buffer.from(TEXT)])
  t.equal(stripIptc(caption).length, 0)
})

t.test('location removes comments with coordinates from JPEG and PNG, and keeps others', async (t) => {
  const jpeg = await makeImage({ type: 'jpg' })
  const png = await makeImage({ type: 'png' })
  for (const [text, isKept] of [
    [TEXT, false],
    ['Ships at 47.98765', true],
  ] as const) {
    const length = text.length + 2
    const comment = Buffer.concat([Buffer.from([0xff, 0xfe, 0, length]), Buffer.from(text)])
    const withComment = Buffer.concat([jpeg.subarray(0, 2), comment, jpeg.subarray(2)])
    t.equal(strip('jpg', withComment, 'location').includes('47.98'), isKept)
    const content = Buffer.from(`tEXtComment\0${text}`)
    const chunk = Buffer.concat([Buffer.from([0, 0, 0, content.length - 4]), content, Buffer.alloc(4)])
    const withText = Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)])
    t.equal(strip('png', withText, 'location').includes('47.98'), isKept)
  }
})
