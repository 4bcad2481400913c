import { Readable } from 'node:stream'
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'
import { decodeName, scanList } from '../../../src/store/s3/list-xml.ts'
import { ALL } from '../../support/extent.ts'
import { chance, oneOf, randomFrom, shuffled } from '../../support/random.ts'
import { encodeName } from '../../support/s3-wire.ts'

let received: Buffer
const client = new S3Client({
  region: 'us-east-1',
  credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
  maxAttempts: 1,
  requestHandler: {
    handle: async () => ({ response: { statusCode: 200, headers: {}, body: Readable.from([received]) } as never }),
  },
})

/** What the SDK reads in an answer, in the words of the scan; nothing when it reads no list. */
async function readBySdk(body: Buffer) {
  received = body
  try {
    const answer = await client.send(new ListObjectsV2Command({ Bucket: 'b' }))
    if (answer.IsTruncated === undefined) return undefined
    const decode = (name = '') => (answer.EncodingType === 'url' ? decodeName(name) : name)
    return {
      objects: (answer.Contents ?? []).map(({ Key, Size, LastModified }) => ({
        key: decode(Key),
        size: Size,
        modified: LastModified?.getTime(),
      })),
      prefixes: (answer.CommonPrefixes ?? []).map(({ Prefix }) => decode(Prefix)),
      truncated: answer.IsTruncated,
      token: answer.NextContinuationToken,
    }
  } catch {
    return undefined
  }
}

function scanned(body: Buffer) {
  const found = scanList(body)
  return found && { ...found, objects: found.objects.map((o) => ({ ...o, modified: Date.parse(o.modified) })) }
}

type Random = () => number

const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }

/** Text as XML, each special character in one of the forms that it can have. */
function escaped(text: string, random: Random): string {
  return text.replace(/[&<>"'\r\n\t]/g, (char) => {
    const code = char.charCodeAt(0)
    const forms = [`&#${code};`, `&#x${code.toString(16)};`, `&#x${code.toString(16).toUpperCase()};`]
    const named = NAMED[char]
    return oneOf(named === undefined ? forms : [named, ...forms], random)
  })
}

const CHARACTERS = [...'abc019-_./ +%&<>"\'~!()*', 'é', '本', '\u{1f600}', '\uff5e', '\n', '\t']

function name(random: Random): string {
  return Array.from({ length: 1 + Math.floor(random() * 12) }, () => oneOf(CHARACTERS, random)).join('')
}

/** Of a second, as engines write them. */
const FRACTIONS = ['', '.5', '.12', '.123', '.1234', '.123456', '.123456789', '.000']

/** An answer as some engine might write it: members in any order, more of them than anybody needs, space between them. */
function document(random: Random): string {
  const url = chance(0.7, random)
  const space = chance(0.3, random) ? () => oneOf(['', '\n', '\n  ', '\r\n\t'], random) : () => ''
  const key = () => escaped(url ? encodeName(name(random)) : name(random), random)
  const ordered = chance(0.5, random) ? <T>(items: T[]) => items : <T>(items: T[]) => shuffled(items, random)
  const members = (list: string[]) =>
    ordered(list)
      .map((member) => member + space())
      .join('')
  const objects = Array.from({ length: Math.floor(random() * 6) }, () => {
    const time = new Date(Math.floor(random() * 2e12)).toISOString()
    return `<Contents>${space()}${members([
      `<Key>${key()}</Key>`,
      `<Size>${Math.floor(random() ** 4 * 5e12)}</Size>`,
      `<LastModified>${time.replace(/\.\d+/, oneOf(FRACTIONS, random))}</LastModified>`,
      ...(chance(0.7, random) ? [`<ETag>${escaped('"0123456789abcdef"', random)}</ETag>`] : []),
      ...(chance(0.7, random) ? ['<StorageClass>STANDARD</StorageClass>'] : []),
      ...(chance(0.3, random) ? ['<Owner><ID>1</ID><DisplayName/></Owner>'] : []),
      ...(chance(0.2, random) ? ['<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>'] : []),
    ])}</Contents>`
  })
  const prefixes = Array.from({ length: Math.floor(random() * 3) }, () => {
    return `<CommonPrefixes>${space()}<Prefix>${key()}</Prefix>${space()}</CommonPrefixes>`
  })
  const more = chance(0.5, random)
  const content = [
    '<Name>bucket</Name>',
    oneOf(['<Prefix/>', '<Prefix></Prefix>', `<Prefix>${key()}</Prefix>`], random),
    `<IsTruncated>${more}</IsTruncated>`,
    ...(chance(0.8, random) ? [`<KeyCount>${objects.length + prefixes.length}</KeyCount>`] : []),
    ...(chance(0.8, random) ? ['<MaxKeys>1000</MaxKeys>'] : []),
    ...(url
      ? ['<EncodingType>url</EncodingType>']
      : oneOf([[], ['<EncodingType></EncodingType>'], ['<EncodingType/>']], random)),
    ...(more ? [`<NextContinuationToken>${escaped('1/a+b==&"', random)}</NextContinuationToken>`] : []),
    ...objects,
    ...prefixes,
  ]
  const head = oneOf(['<?xml version="1.0" encoding="UTF-8"?>\n', '<?xml version="1.0"?>', ''], random)
  const xmlns = oneOf([' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ''], random)
  return `${head}<ListBucketResult${xmlns}>${space()}${members(content)}</ListBucketResult>${space()}`
}

t.test('lists of every usual form are read as the SDK reads them', async (t) => {
  let unread = 0
  const wrong: unknown[] = []
  const lists = ALL ? 2000 : 100
  for (let seed = 1; seed <= lists; seed++) {
    const body = Buffer.from(document(randomFrom(seed)))
    const found = scanned(body)
    if (!found) unread += 1
    else if (JSON.stringify(found) !== JSON.stringify(await readBySdk(body))) wrong.push({ seed, found })
  }
  t.same(wrong, [])
  t.ok(unread < 0.15 * lists, `${unread} of ${lists} are left to the SDK: those with space that stands for itself`)
})

const OTHER = [
  '<!-- note -->',
  '<![CDATA[a]]>',
  '<?pi?>',
  '<Key>b</Key>',
  '<Size>1</Size>',
  '<x:Key>b</x:Key>',
  '<Key a="b">c</Key>',
  '<IsTruncated>true</IsTruncated>',
  '<KeyCount>7</KeyCount>',
  '<EncodingType>url</EncodingType>',
  '</Contents>',
  '<Contents>',
  '&bogus;',
  '&#xD800;',
  '%',
  '%zz',
  '>',
  '<',
  ' ',
  '\r\n',
]

t.test('lists that are cut off or changed are read as the SDK reads them, or left to it', async (t) => {
  const wrong: unknown[] = []
  let read = 0
  const changes = ALL ? 4000 : 300
  for (let seed = 1; seed <= changes; seed++) {
    const random = randomFrom(seed)
    const text = document(random)
    const at = Math.floor(random() * text.length)
    const gone = Math.floor(random() * 8)
    const changed = oneOf(
      [
        () => text.slice(0, at),
        () => text.slice(0, at) + text.slice(at + 1 + gone),
        () => text.slice(0, at) + oneOf(OTHER, random) + text.slice(at),
        () => text.slice(0, at) + String.fromCharCode(Math.floor(random() * 128)) + text.slice(at + 1),
        () => text.slice(0, at) + text.slice(Math.floor(random() * text.length)),
      ],
      random,
    )()
    const body = Buffer.from(changed)
    const found = scanned(body)
    if (!found) continue
    read += 1
    const expected = await readBySdk(body)
    if (JSON.stringify(found) !== JSON.stringify(expected)) wrong.push({ seed, changed, found, expected })
  }
  t.same(wrong.slice(0, 3), [], `${wrong.length} are read in another way`)
  t.ok(read > changes / 40, `${read} changes leave a list`)
})

t.test('what contradicts itself or has an unknown form is left to the SDK', async (t) => {
  const object = '<Contents><Key>a</Key><Size>1</Size><LastModified>2024-03-20T10:30:00.000Z</LastModified></Contents>'
  const list = (content: string) => `<ListBucketResult>${content}</ListBucketResult>`
  const end = '<IsTruncated>false</IsTruncated>'
  t.match(scanList(Buffer.from(list(object + end))), { objects: [{ key: 'a', size: 1 }], truncated: false })
  t.match(
    scanList(Buffer.from(list(object + end)), (key) => key.slice(1))?.objects,
    [{ key: '' }],
    'the prefix of the store is taken off',
  )
  for (const [why, text] of Object.entries({
    nothing: '',
    'an error': '<Error><Code>InternalError</Code></Error>',
    'no IsTruncated': list(object),
    'a count that does not fit': list(`${object}${end}<KeyCount>2</KeyCount>`),
    'ten decimals': list(`${object.replace('.000Z', '.0000000000Z')}${end}`),
    'two encodings': list(
      `${object}${end}<EncodingType/><EncodingType>url</EncodingType><EncodingType>url</EncodingType>`,
    ),
    'another encoding': list(`${object}${end}<EncodingType>base64</EncodingType>`),
    'two keys': list(`${object.replace('<Key>', '<Key>b</Key><Key>')}${end}`),
    'no key': list(`${object.replace('<Key>a</Key>', '')}${end}`),
    'no size': list(`${object.replace('<Size>1</Size>', '')}${end}`),
    'a size that is none': list(`${object.replace('>1<', '>1e3<')}${end}`),
    'another form of time': list(`${object.replace('.000Z', '+02:00')}${end}`),
    'a namespace prefix': `<s:ListBucketResult xmlns:s="x">${object}${end}</s:ListBucketResult>`,
    'an unknown entity': list(`${object.replace('>a<', '>&nbsp;<')}${end}`),
    'broken encoding': list(`${object.replace('>a<', '>%E9<')}${end}<EncodingType>url</EncodingType>`),
    'text behind the end': `${list(object + end)}x`,
    'space without a line break': list(`${object} ${end}`),
    'a byte order mark': `\ufeff${list(object + end)}`,
  })) {
    t.equal(scanList(Buffer.from(text)), undefined, why)
  }
})

t.test('a list of versitygw is read, with an empty EncodingType and times of its file system', async (t) => {
  const object = (key: string, time: string) =>
    `<Contents><ETag>&#34;0123&#34;</ETag><Key>${key}</Key><LastModified>${time}</LastModified><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>`
  const body = Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><EncodingType></EncodingType><IsTruncated>false</IsTruncated><MaxKeys>1000</MaxKeys>${object('a%2F1', '2024-03-20T10:30:00.123456789Z')}${object('b', '2024-03-20T10:30:00Z')}<KeyCount>2</KeyCount></ListBucketResult>`,
  )
  t.same(scanList(body)?.objects, [
    { key: 'a%2F1', size: 1, modified: '2024-03-20T10:30:00.123456789Z' },
    { key: 'b', size: 1, modified: '2024-03-20T10:30:00Z' },
  ])
  t.same(scanned(body), await readBySdk(body))
})
