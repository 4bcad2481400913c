import t from 'tap'
import { stripXmp } from '../../../src/images/metadata/xmp.ts'
import { sample } from '../../support/extent.ts'
import { randomFrom } from '../../support/random.ts'

const NAMESPACES = {
  rdf: 'http://www.w3.org/1999/02/22-rdf-syntax-ns#',
  dc: 'http://purl.org/dc/elements/1.1/',
  exif: 'http://ns.adobe.com/exif/1.0/',
  photoshop: 'http://ns.adobe.com/photoshop/1.0/',
  tiff: 'http://ns.adobe.com/tiff/1.0/',
  xmp: 'http://ns.adobe.com/xap/1.0/',
  xmpNote: 'http://ns.adobe.com/xmp/note/',
  Iptc4xmpCore: 'http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/',
  Iptc4xmpExt: 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/',
  'drone-dji': 'http://www.dji.com/drone-dji/1.0/',
  Camera: 'http://pix4d.com/camera/1.0/',
  GPano: 'http://ns.google.com/photos/1.0/panorama/',
  GCamera: 'http://ns.google.com/photos/1.0/camera/',
  GImage: 'http://ns.google.com/photos/1.0/image/',
  Container: 'http://ns.google.com/photos/1.0/container/',
  Item: 'http://ns.google.com/photos/1.0/container/item/',
  hdrgm: 'http://ns.adobe.com/hdr-gain-map/1.0/',
  HDRGainMap: 'http://ns.apple.com/HDRGainMap/1.0/',
  'mwg-rs': 'http://www.metadataworkinggroup.com/schemas/regions/',
  dwc: 'http://rs.tdwg.org/dwc/index.htm',
  geo: 'http://www.w3.org/2003/01/geo/wgs84_pos#',
  cell: 'http://developer.sonyericsson.com/cell/1.0/',
  mediapro: 'http://ns.iview-multimedia.com/mediapro/1.0/',
  my: 'urn:a-product-that-nobody-knows',
}

/** A packet as programs write it, with attributes and elements of a description. */
function packet(attributes: string, elements = ''): string {
  const declared = Object.entries(NAMESPACES).map(([prefix, uri]) => `xmlns:${prefix}="${uri}"`)
  return [
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="A tool">',
    ` <rdf:RDF xmlns:rdf="${NAMESPACES.rdf}">`,
    `  <rdf:Description rdf:about="" ${declared.join(' ')} ${attributes}>`,
    elements,
    '  </rdf:Description>',
    ' </rdf:RDF>',
    '</x:xmpmeta>',
    '<?xpacket end="w"?>',
  ].join('\n')
}

function strip(xml: string | Buffer, what: Parameters<typeof stripXmp>[1]): string {
  const bytes = Buffer.from(xml)
  stripXmp(bytes, what)
  t.equal(bytes.length, Buffer.byteLength(xml))
  return bytes.toString()
}

const PLACES = [
  ...['exif:GPSLatitude', 'exif:GPSVersionID', 'photoshop:City', 'photoshop:State', 'photoshop:Country'],
  ...['photoshop:TransmissionReference', 'Iptc4xmpCore:Location', 'Iptc4xmpCore:CountryCode'],
  ...[
    'Iptc4xmpExt:LocationCreated',
    'Iptc4xmpExt:LocationShown',
    'drone-dji:GpsLongtitude',
    'drone-dji:RelativeAltitude',
  ],
  ...['Camera:GPSXYAccuracy', 'dwc:decimalLatitude', 'dwc:habitat', 'geo:lat', 'cell:cgi', 'mediapro:Location'],
  ...[
    'dc:coverage',
    'my:GeoTag',
    'my:latitude',
    'my:Geohash',
    'exif:MakerNote',
    'xmp:Thumbnails',
    'GCamera:hdrp_makernote',
  ],
  ...['GImage:Data', 'xmpNote:HasExtendedXMP'],
]

const OTHERS = [
  ...[
    'dc:title',
    'dc:rights',
    'dc:creator',
    'exif:DateTimeOriginal',
    'exif:UserComment',
    'tiff:Orientation',
    'tiff:Model',
  ],
  ...['photoshop:Headline', 'photoshop:Credit', 'xmp:CreateDate', 'xmp:Rating', 'Iptc4xmpCore:CreatorContactInfo'],
  ...[
    'GPano:ProjectionType',
    'hdrgm:Version',
    'Container:Directory',
    'mwg-rs:Regions',
    'my:geometry',
    'my:WebStatement',
  ],
]

t.test(
  'location removes each property that can hold a position, as an attribute and as an element, and no other',
  async (t) => {
    for (const quote of ['"', "'"]) {
      const attribute = (name: string) => `${name} = ${quote}the value of ${name}${quote}`
      const left = strip(packet([...PLACES, ...OTHERS].map(attribute).join('\n\t')), 'location')
      t.same(left.match(/(?<=the value of )[\w:-]+/g), OTHERS)
    }
    const forms = [
      (name: string) => `<${name}>the value of ${name}</${name}>`,
      (name: string) => `<${name}><rdf:Bag><rdf:li>the value of ${name}</rdf:li></rdf:Bag></${name} >`,
      (name: string) => `<${name} rdf:parseType='Resource'><my:a>the value of ${name}</my:a><my:b/></${name}>`,
      (name: string) => `<${name} my:a="the value of ${name}"/>`,
      (name: string) => `<${name}><![CDATA[the value of ${name}]]></${name}>`,
      (name: string) => `<my:a rdf:parseType="Resource"><${name}>the value of ${name}</${name}></my:a>`,
    ]
    for (const form of forms) {
      const left = strip(packet('', [...PLACES, ...OTHERS].map(form).join('\n')), 'location')
      t.same(left.match(/(?<=the value of )[\w:-]+/g), OTHERS)
      t.equal(strip(left, 'location'), left, 'what is left is well-formed')
    }
  },
)

t.test('a property is known by its namespace, whatever its prefix', async (t) => {
  const left = strip(
    packet(
      '',
      `<a:habitat xmlns:a="${NAMESPACES.dwc}">value 1</a:habitat>
       <habitat xmlns="${NAMESPACES.dwc}">value 2</habitat>
       <dwc:habitat xmlns:dwc="${NAMESPACES.dc}">value 3</dwc:habitat>
       <my:a><dwc:habitat>value 4</dwc:habitat></my:a>`,
    ),
    'location',
  )
  t.same(left.match(/value \d/g), ['value 3'])
})

t.test('location removes what no property names: keywords with a position, comments, other instructions', async (t) => {
  const left = strip(
    packet(
      '',
      `<dc:subject><rdf:Bag><rdf:li>geotagged</rdf:li><rdf:li>geo:lat=52.5</rdf:li><rdf:li><![CDATA[geo:lon=13]]></rdf:li>
       <rdf:li>ships</rdf:li></rdf:Bag></dc:subject><!-- at 52.5 --><?at 52.5?>`,
    ),
    'location',
  )
  t.notMatch(left, /52|13/)
  t.match(left, /<rdf:li>ships<\/rdf:li>/)
})

t.test('location removes the video of a motion photo from the list of what follows the image', async (t) => {
  const item = (semantic: string) =>
    `<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="${semantic}" Item:Length="1"/></rdf:li>`
  const left = strip(
    packet('', ['Primary', 'GainMap', 'MotionPhoto'].map(item).join('').replace(/.*/, '<rdf:Seq>$&</rdf:Seq>')),
    'location',
  )
  t.same(left.match(/Semantic="\w+"/g), ['Semantic="Primary"', 'Semantic="GainMap"'])
})

t.test('gainMap leaves the parameters of a gain map, and nothing else', async (t) => {
  const left = strip(
    packet(
      'hdrgm:Version="1.0" dc:format="image/jpeg" HDRGainMap:HDRGainMapHeadroom="2" exif:GPSLatitude="1" about="a"',
      '<dc:title>title</dc:title><hdrgm:Gamma><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:Gamma>',
    ),
    'gainMap',
  )
  t.match(left, /hdrgm:Version="1.0"/)
  t.match(left, /HDRGainMapHeadroom="2"/)
  t.match(left, '<hdrgm:Gamma><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:Gamma>')
  t.notMatch(left, /title|image\/jpeg|GPS|about="a"/)
})

t.test('a packet that is not UTF-8 or not well-formed is blanked, and so is every one in all', async (t) => {
  const xml = packet('dc:title="title"', '<dc:rights>&amp; copyright</dc:rights>')
  const broken: Record<string, string | Buffer> = {
    text: 'SECRET',
    'text before the packet': `SECRET${xml}`,
    'text after the packet': `${xml}SECRET`,
    'UTF-16': Buffer.from(xml, 'utf16le'),
    'Latin-1': Buffer.from(xml.replace('title="title"', 'title="t\u00eftle"'), 'latin1'),
    'half a packet': xml.slice(0, xml.length / 2),
    'half a tag': xml.slice(0, xml.indexOf('about=')),
    'an element without its end': xml.replace('</dc:rights>', ''),
    'an end too many': xml.replace('<dc:rights>', ''),
    'ends in the wrong order': packet('', '<dc:a><dc:b></dc:a></dc:b>'),
    'an attribute without quotes': packet('dc:title=title'),
    'an attribute without a value': packet('dc:title'),
    'attributes without a space': packet('dc:title="a"dc:rights="b"'),
    'a tag in an attribute': packet('dc:title="<a>"'),
    'a prefix that is not declared': packet('none:GPSLatitude="1"'),
    'an element with such a prefix': packet('', '<none:a/>'),
    'a prefix that another element declared': packet('', '<a:b xmlns:a="urn:a"/><a:b/>'),
    'a document type': xml.replace('<x:', '<!DOCTYPE a [<!ENTITY b "c">]><x:'),
    'a comment without its end': packet('', '<!-- dc:title'),
    'CDATA without its end': packet('', '<![CDATA[ dc:title'),
    'a tag in CDATA': packet('', '<![CDATA[ <dc:title/> ]]>'),
    'an instruction that takes the packet in': xml.replace('?>', ''),
    'a name with two colons': packet('', '<dc:a:b/>'),
    'elements 1,000 deep': packet('', `${'<dc:a>'.repeat(1000)}${'</dc:a>'.repeat(1000)}`),
  }
  for (const [name, each] of Object.entries(broken)) t.match(strip(each, 'location'), /^ *$/, name)
  t.match(strip(xml, 'all'), /^ *$/)
  for (const each of [xml, `\ufeff${xml}`, `${xml}  \n\0\0`, `<?xml version="1.0"?>${xml}`])
    t.equal(strip(each, 'location'), each, 'and the packet without damage stays as it is')
})

t.test('a packet made to be slow is read in one pass', async (t) => {
  const many = 20_000
  for (const xml of [
    '<'.repeat(many),
    '<a '.repeat(many),
    `<a ${'b="c" '.repeat(many)}`,
    `<a ${' '.repeat(many)}`,
    `<${'a'.repeat(many)}`,
    '<!--'.repeat(many),
    `<a xmlns:b="${'c'.repeat(many)}">${'<b:d/>'.repeat(many)}`,
    '<a:b xmlns:a="c">'.repeat(many),
    'geo:'.repeat(many),
  ])
    t.match(strip(xml, 'location'), /^ *$/)
})

t.test('a damaged packet keeps no position', async (t) => {
  const random = randomFrom(2)
  const xml = packet(
    PLACES.map((name) => `${name}="SECRET"`).join(' '),
    PLACES.map((name) => `<${name}>SECRET</${name}>`).join(''),
  )
  for (const n of sample(
    Array.from({ length: 20_000 }, (_, n) => n),
    500,
  )) {
    const bytes = Buffer.from(xml)
    // Deletes or doubles a byte, so that it stays text
    for (let left = 1 + (n % 3); left > 0; left -= 1) {
      const at = Math.floor(random() * bytes.length)
      bytes.copyWithin(at, at + (random() < 0.5 ? 1 : -1))
    }
    const left = strip(bytes, 'location')
    // A damaged name or namespace can be anything
    const names = left.match(/(?<=[\s<])[\w:-]+(?==?["'>]SECRET)/g) ?? []
    const bad = names.filter((name) => PLACES.includes(name) && !/^(GImage|GCamera|dwc|geo|cell|Camera)/.test(name))
    if (bad.length > 0) t.fail(`packet ${n} keeps ${bad}`)
  }
})
