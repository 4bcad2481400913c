/** A piece of a document. */
export type Token = StartTag | EndTag | Text | Other

export interface StartTag extends Range {
  readonly type: 'start'
  readonly name: string
  readonly attributes: readonly Attribute[]
  /** Whether it is the end tag as well. */
  readonly isEmpty: boolean
}

interface EndTag extends Range {
  readonly type: 'end'
  readonly name: string
}

/** What stands between tags, CDATA too. */
interface Text extends Range {
  readonly type: 'text'
  readonly text: string
}

/** A comment or a processing instruction. */
interface Other extends Range {
  readonly type: 'other'
  readonly text: string
}

/** From where the space before it begins. Entities in the value are not resolved. */
export interface Attribute extends Range {
  readonly name: string
  readonly value: string
}

/** Characters of a document, from `start` up to before `end`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/**
 * Reads an XML document (XML 1.0) in linear time. Returns undefined, and nothing after it, for what it does not understand.
 *
 * It is there because parsers of npm do not say where an attribute is. It understands less than they do: no document type, no names beyond
 * ASCII, and no `<` in CDATA or processing instructions, where lenient readers would find tags. Whether tags match is for the caller.
 */
export function* readTokens(xml: string): Generator<Token | undefined, void> {
  let at = 0
  while (at < xml.length) {
    const start = at
    if (xml[start] !== '<') {
      const tag = xml.indexOf('<', start)
      at = tag < 0 ? xml.length : tag
      yield { type: 'text', text: xml.slice(start, at), start, end: at }
      continue
    }
    const next = xml[start + 1]
    const token =
      next === '/'
        ? readEndTag(xml, start)
        : next === '!' || next === '?'
          ? readOther(xml, start)
          : readStartTag(xml, start)
    yield token
    if (!token) return
    at = token.end
  }
}

const NAME = '[A-Za-z_][\\w.-]*(?::[A-Za-z_][\\w.-]*)?'
const START_TAG = new RegExp(`<(${NAME})`, 'y')
const ATTRIBUTE = new RegExp(`\\s+(${NAME})\\s*=\\s*(?:"([^"<]*)"|'([^'<]*)')`, 'y')
const START_TAG_END = /\s*(\/?)>/y
const END_TAG = new RegExp(`</(${NAME})\\s*>`, 'y')

function readStartTag(xml: string, start: number): Token | undefined {
  const name = matchAt(START_TAG, xml, start)?.[1]
  if (!name) return undefined
  const attributes: Attribute[] = []
  let at = START_TAG.lastIndex
  for (let match = matchAt(ATTRIBUTE, xml, at); match; match = matchAt(ATTRIBUTE, xml, at)) {
    const [, name = '', value = match[3] ?? ''] = match
    attributes.push({ name, value, start: at, end: ATTRIBUTE.lastIndex })
    at = ATTRIBUTE.lastIndex
  }
  const end = matchAt(START_TAG_END, xml, at)
  return end
    ? { type: 'start', name, attributes, isEmpty: end[1] === '/', start, end: START_TAG_END.lastIndex }
    : undefined
}

function readEndTag(xml: string, start: number): Token | undefined {
  const name = matchAt(END_TAG, xml, start)?.[1]
  return name ? { type: 'end', name, start, end: END_TAG.lastIndex } : undefined
}

function readOther(xml: string, start: number): Token | undefined {
  const [open, close] = OTHERS.find(([open]) => xml.startsWith(open, start)) ?? []
  const found = open && close ? xml.indexOf(close, start + open.length) : -1
  if (!open || !close || found < 0) return undefined
  const text = xml.slice(start + open.length, found)
  if (open !== '<!--' && text.includes('<')) return undefined
  return { type: open === '<![CDATA[' ? 'text' : 'other', text, start, end: found + close.length }
}

const OTHERS = [
  ['<!--', '-->'],
  ['<![CDATA[', ']]>'],
  ['<?', '?>'],
] as const

function matchAt(regExp: RegExp, text: string, at: number): RegExpExecArray | null {
  regExp.lastIndex = at
  return regExp.exec(text)
}
