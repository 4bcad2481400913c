import { deflateRawSync } from 'node:zlib'
import { box, makeImage } from '../support/images.ts'

/** Files that are images to whoever asks for an image, and something else to whoever asks for that. */
export interface Polyglot {
  readonly what: string
  readonly type: 'image/jpeg' | 'image/png' | 'image/gif' | 'image/webp' | 'image/avif'
  readonly body: Buffer
}

const latin = (text: string) => Buffer.from(text, 'latin1')

/** What a page shows that has let a file run. */
export const PWNED = 'PWNED'

const SCRIPT = `try{top.document.title='${PWNED}'}catch(e){};try{document.title='${PWNED}'}catch(e){};self.${PWNED}=1;`
const HTML = `<html><body><script>${SCRIPT}alert(1)</script><img src=x onerror="${SCRIPT}"></body></html>`
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" onload="${SCRIPT}"><script>${SCRIPT}</script></svg>`
const PHP = `<?php system($_GET["c"]); ?>`
const CSS = `*{}body{background:red!important;--${PWNED.toLowerCase()}:1}`
const PDF =
  '%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF'

/** An archive of one class, as of a JAR, with its directory at the end. */
function zip(): Buffer {
  const name = latin('A.class')
  const data = deflateRawSync(latin('\xca\xfe\xba\xbe'))
  const local = Buffer.alloc(30)
  local.writeUInt32LE(0x04034b50, 0)
  local.writeUInt16LE(8, 8)
  local.writeUInt32LE(data.length, 18)
  local.writeUInt16LE(name.length, 26)
  const entry = Buffer.alloc(46)
  entry.writeUInt32LE(0x02014b50, 0)
  entry.writeUInt16LE(name.length, 28)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(entry.length + name.length, 12)
  end.writeUInt32LE(local.length + name.length + data.length, 16)
  return Buffer.concat([local, name, data, entry, name, end])
}

/** JPEG: a segment behind the first marker. */
function withSegment(jpeg: Buffer, marker: number, content: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(content.length + 2, 2)
  return Buffer.concat([jpeg.subarray(0, 2), head, content, jpeg.subarray(2)])
}

/** PNG: a chunk behind IHDR. The check sum is wrong, which no reader minds in a chunk that it need not know. */
function withChunk(png: Buffer, type: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([png.subarray(0, 33), length, latin(type), content, Buffer.alloc(4), png.subarray(33)])
}

/** A GIF whose width is the start of a comment of JavaScript. */
function gifScript(gif: Buffer): Buffer {
  const head = Buffer.concat([latin('GIF89a/*'), gif.subarray(8)])
  return Buffer.concat([head, latin(`*/=1;${SCRIPT}//`)])
}

/** A JPEG whose first segment has the length `/*`, and in it the rest of a script. */
function jpegScript(jpeg: Buffer): Buffer {
  const content = Buffer.alloc(0x2f2a - 2)
  content.write(`*/=1;${SCRIPT}/*`)
  const end = latin('*///')
  return Buffer.concat([jpeg.subarray(0, 2), latin('\xff\xfe/*'), content, jpeg.subarray(2), end])
}

/** A WebP whose size field is the start of a comment; a chunk that nobody knows fills it up to that size. */
function webpScript(webp: Buffer): Buffer {
  const head = Buffer.concat([latin('RIFF/*\0\0'), webp.subarray(8)])
  const size = 8 + head.readUInt32LE(4)
  const chunk = Buffer.alloc(size - head.length, ' ')
  chunk.write('JUNK')
  chunk.writeUInt32LE(chunk.length - 8, 4)
  chunk.write(`*/=1;${SCRIPT}//`, 8)
  return Buffer.concat([head, chunk])
}

export async function polyglots(): Promise<Polyglot[]> {
  const size = { width: 8, height: 8 }
  const [jpg, png, gif, webp, avif] = (await Promise.all(
    (['jpg', 'png', 'gif', 'webp', 'avif'] as const).map((type) => makeImage({ type, ...size })),
  )) as [Buffer, Buffer, Buffer, Buffer, Buffer]
  const all: Polyglot[] = []
  const payloads = { HTML, SVG, PHP, CSS, PDF, 'a script': SCRIPT }
  for (const [what, text] of Object.entries(payloads)) {
    const payload = latin(text)
    all.push({ what: `a JPEG with ${what} in a comment`, type: 'image/jpeg', body: withSegment(jpg, 0xfe, payload) })
    all.push({ what: `a JPEG with ${what} in its Exif`, type: 'image/jpeg', body: withSegment(jpg, 0xe1, payload) })
    all.push({ what: `a PNG with ${what} in a text chunk`, type: 'image/png', body: withChunk(png, 'tEXt', payload) })
    const box8 = box('free', payload)
    const start = avif.readUInt32BE(0)
    const boxed = Buffer.concat([avif.subarray(0, start), avif.subarray(start), box8])
    all.push({ what: `an AVIF with ${what} in a free box`, type: 'image/avif', body: boxed })
  }
  const images = [
    ['a JPEG', 'image/jpeg', jpg],
    ['a PNG', 'image/png', png],
    ['a GIF', 'image/gif', gif],
    ['a WebP', 'image/webp', webp],
    ['an AVIF', 'image/avif', avif],
  ] as const
  for (const [name, type, image] of images) {
    const after = { ...payloads, 'a JAR': zip() }
    for (const [what, payload] of Object.entries(after)) {
      all.push({ what: `${name} with ${what} behind it`, type, body: Buffer.concat([image, Buffer.from(payload)]) })
    }
  }
  all.push({ what: 'a GIF that is a script', type: 'image/gif', body: gifScript(gif) })
  all.push({ what: 'a JPEG that is a script', type: 'image/jpeg', body: jpegScript(jpg) })
  all.push({ what: 'a WebP that is a script', type: 'image/webp', body: webpScript(webp) })
  return all
}

export const PAYLOADS = { HTML, SVG, PHP, CSS, PDF, SCRIPT, ZIP: zip() } as const
