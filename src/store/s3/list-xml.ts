import { isAscii } from 'node:buffer'
import type { ListedObject } from '../object-store.ts'

/** A response to ListObjectsV2 (AWS, "ListObjectsV2"). */
export interface ListPage {
  readonly objects: ListedObject[]
  readonly prefixes: string[]
  readonly truncated: boolean
  readonly token: string | undefined
}

/**
 * Parses a response to ListObjectsV2 in one pass without a tree, at a tenth of the cost of the SDK's parser.
 *
 * @param own makes the store's key of a key in the bucket
 * @returns undefined for XML of an unknown form, and for a list that contradicts itself
 */
export function scanList(body: Buffer, own = (key: string) => key): ListPage | undefined {
  const text = isAscii(body) ? body.toString('latin1') : body.toString()
  const root = ROOT.exec(text)?.[0]
  if (root === undefined) return undefined
  const xml = new Scan(text, root.length)
  const fields = new Map<string, string>()
  const objects: { key: string; size: number; modified: string }[] = []
  const prefixes: string[] = []
  const form: string[] = []
  for (let name = xml.tag(); name !== '/ListBucketResult'; name = xml.tag()) {
    if (name === 'Contents') {
      const object = readObject(xml, form, objects.at(-1)?.modified)
      if (!object) return undefined
      objects.push(object)
    } else if (name === 'CommonPrefixes') {
      const prefix = xml.tag() === 'Prefix' && xml.leaf('Prefix')
      if (!prefix || xml.tag() !== '/CommonPrefixes') return undefined
      prefixes.push(prefix)
    } else if (name !== undefined && FIELDS.has(name)) {
      const value = xml.leaf(name)
      // versitygw has an empty EncodingType where names are not encoded
      const mayBeEmpty = name === 'EncodingType'
      if (value === undefined || (value === '' && !mayBeEmpty) || fields.has(name)) return undefined
      fields.set(name, value)
    } else if (name === undefined || !xml.skip(name)) return undefined
  }
  if (!xml.isAtEnd()) return undefined

  const truncated = fields.get('IsTruncated')
  const encoding = fields.get('EncodingType') || undefined
  const token = fields.get('NextContinuationToken')
  if ((truncated !== 'true' && truncated !== 'false') || (encoding !== undefined && encoding !== 'url'))
    return undefined
  const count = String(objects.length + prefixes.length)
  if ((fields.get('KeyCount') ?? count) !== count) return undefined
  try {
    const decode = encoding === 'url' ? decodeName : (name: string) => name
    const read = (name: string) => own(SPECIAL.test(name) ? decode(plain(name)) : name)
    const keys = copiesOf(objects.map(({ key }) => read(key)))
    objects.forEach((object, index) => {
      object.key = keys[index] as string
    })
    return {
      objects,
      prefixes: copiesOf(prefixes.map(read)),
      truncated: truncated === 'true',
      token: token && copyOf(plain(token)),
    }
  } catch {
    return undefined
  }
}

/** Copies a slice of a text. The slice would keep the whole text in memory, and pages are kept while those before them are read. */
function copyOf(text: string): string {
  return Buffer.from(text).toString()
}

/** Copies many slices: makes them slices of a text that has nothing else in it. */
function copiesOf(texts: readonly string[]): string[] {
  const all = texts.join('')
  let at = 0
  return texts.map((text) => {
    at += text.length
    return all.slice(at - text.length, at)
  })
}

/** Decodes a key of a response with `EncodingType` url. Throws `URIError` if it can't. */
export function decodeName(name: string): string {
  return ENCODED.test(name) ? decodeURIComponent(name.replaceAll('+', ' ')) : name
}

const ROOT = /^(?:<\?xml [^<>]*\?>)?[ \t\r\n]*<ListBucketResult(?: xmlns="[^"<>&]*")?>/
const FIELDS = new Set(['IsTruncated', 'KeyCount', 'EncodingType', 'NextContinuationToken'])
/** Members that are skipped and have elements in them. */
const STRUCTURES = new Set(['Owner', 'RestoreStatus'])
const NAME = /^[A-Za-z][A-Za-z0-9]*$/
const SIZE = /^\d{1,15}$/
/** RFC 3339, in UTC, with at most nine decimals: AWS and MinIO have three, versitygw has none to nine. */
const TIME = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z$/
const ENCODED = /[%+]/
/** Characters that may stand for others: of an encoding, of an entity, and space that a parser may change. */
const SPECIAL = /[%+&\s]/
const ENTITY = /&(?:#x([0-9a-f]{1,4})|#(\d{1,4})|(amp|lt|gt|quot|apos));/gi
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** Decodes the text of an element. Throws if the SDK might read it otherwise. */
function plain(text: string): string {
  const rest = text.replace(ENTITY, '')
  if (rest.includes('&') || text.trim() !== text || /[^\S ]/.test(text)) throw new Error('Text of an unknown form')
  const meant = text.replace(ENTITY, (_, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? ''
    return String.fromCharCode(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16))
  })
  if (meant.trim() === '') throw new Error('Text that a parser may drop')
  return meant
}

/**
 * Reads the members of an object after its opening tag. Its key is not decoded yet.
 *
 * @param form tags of the object before, which become those of this one
 * @param time that of the object before, which is often the same
 */
function readObject(
  xml: Scan,
  form: string[],
  time: string | undefined,
): { key: string; size: number; modified: string } | undefined {
  let key: string | undefined
  let size: string | undefined
  let modified: string | undefined
  for (let i = 0; ; i++) {
    const name = xml.tag(form[i])
    if (name === '/Contents') break
    if (name !== undefined) form[i] = name
    if (name === 'Key' && key === undefined) key = xml.leaf(name)
    else if (name === 'Size' && size === undefined) size = xml.leaf(name)
    else if (name === 'LastModified' && modified === undefined) modified = xml.leaf(name, time)
    else if (name === undefined || MEMBERS.has(name) || !xml.skip(name)) return undefined
  }
  if (!key || !size || !SIZE.test(size) || !modified || (modified !== time && !TIME.test(modified))) return undefined
  return { key, size: Number(size), modified: modified === time ? modified : copyOf(modified) }
}

const MEMBERS = new Set(['Key', 'Size', 'LastModified'])

/** Scans a document from one tag to the next. After a method has not found what it looks for, the position has no meaning. */
class Scan {
  readonly #text: string
  #at: number

  constructor(text: string, at: number) {
    this.#text = text
    this.#at = at
  }

  /**
   * Returns what is between "<" and ">" of the next tag, before which there may only be space.
   *
   * @param guess what it probably is: then no new string is made
   */
  tag(guess?: string): string | undefined {
    this.#skipSpace()
    if (guess !== undefined && this.#text.startsWith(guess, this.#at + 1)) {
      const end = this.#at + 1 + guess.length
      if (this.#text[this.#at] === '<' && this.#text[end] === '>') {
        this.#at = end + 1
        return guess
      }
    }
    const end = this.#text.indexOf('>', this.#at)
    if (end === -1 || this.#text[this.#at] !== '<') return undefined
    const name = this.#text.slice(this.#at + 1, end)
    this.#at = end + 1
    return name
  }

  /** Returns the raw text of the element whose opening tag was the last one; undefined if it has elements in it. */
  leaf(name: string, guess?: string): string | undefined {
    const start = this.#at
    if (!this.#skipLeaf(name)) return undefined
    const end = this.#at - name.length - 3
    const isGuess = guess?.length === end - start && this.#text.startsWith(guess, start)
    return isGuess ? guess : this.#text.slice(start, end)
  }

  #skipLeaf(name: string): boolean {
    const end = this.#text.indexOf('<', this.#at)
    if (!this.#closes(name, end)) return false
    this.#at = end + name.length + 3
    return true
  }

  /** Skips the element whose opening tag was the last one. Returns whether it has a known form. */
  skip(name: string): boolean {
    if (name.endsWith('/')) return NAME.test(name.slice(0, -1))
    if (!NAME.test(name)) return false
    if (!STRUCTURES.has(name)) return this.#skipLeaf(name)
    for (let inner = this.tag(); inner !== `/${name}`; inner = this.tag()) {
      if (inner === undefined || !this.skip(inner)) return false
    }
    return true
  }

  isAtEnd(): boolean {
    this.#skipSpace()
    return this.#at === this.#text.length
  }

  #closes(name: string, at: number): boolean {
    const text = this.#text
    return text.startsWith('</', at) && text.startsWith(name, at + 2) && text[at + 2 + name.length] === '>'
  }

  /** Skips space with a line break in it, as the SDK does. */
  #skipSpace(): void {
    let at = this.#at
    let code = this.#text.charCodeAt(at)
    let broken = false
    while (code === SPACE || code === LINE_FEED || code === RETURN || code === TAB) {
      broken ||= code === LINE_FEED
      at += 1
      code = this.#text.charCodeAt(at)
    }
    if (broken) this.#at = at
  }
}

const [SPACE, LINE_FEED, RETURN, TAB] = [32, 10, 13, 9]
