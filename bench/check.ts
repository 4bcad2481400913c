import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, type Place, parseOnly } from './contenders.ts'
import { digest, MULTIPART, makeJpeg, writeUpload } from './load.ts'
import { type Running, start } from './process.ts'
import { WrongResult } from './result.ts'
import { UPLOAD } from './row.ts'
import { BUCKET, newFolder } from './setup.ts'

export interface Body {
  readonly path: string
  /** Digests of the images in the body, in their order. */
  readonly digests: readonly string[]
}

export function makeBody(count: number, bytes: number): Promise<Body> {
  return bodyOf(Array.from({ length: count }, (_, index) => makeJpeg(bytes, index)))
}

export async function bodyOf(images: readonly Buffer[]): Promise<Body> {
  const path = join(await newFolder('body'), 'upload')
  writeUpload(path, images)
  return { path, digests: images.map(digest) }
}

/** Uploads once. Returns the keys of the images in their order, or throws `WrongResult`. */
export async function uploadOnce(name: string, server: Running, { path, digests }: Body): Promise<string[]> {
  const response = await fetch(server.url + UPLOAD, {
    method: 'POST',
    headers: { 'content-type': MULTIPART },
    body: readFileSync(path),
  })
  const text = await response.text()
  if (!response.ok) throw new WrongResult(`${name} responded ${response.status}: ${text}`)
  const { image_paths, image_count } = JSON.parse(text) as { image_paths: string[]; image_count: number }
  if (image_count !== digests.length) throw new WrongResult(`${name} responded ${text}`)
  return image_paths.map((image) => image.slice('/images/'.length))
}

export function compare(name: string, expected: readonly string[], actual: readonly (string | undefined)[]): void {
  if (expected.length !== actual.length || expected.some((value, index) => value !== actual[index])) {
    throw new WrongResult(`${name}: what was stored or sent is wrong`)
  }
}

export async function sha256Of(url: string): Promise<string> {
  const response = await fetch(url)
  if (!response.ok) throw new WrongResult(`${url} responded ${response.status}`)
  return digest(Buffer.from(await response.arrayBuffer()))
}

/** Returns the digests of stored objects. */
export type Reader = (keys: string[]) => Promise<(string | undefined)[]>

export const fromBucket =
  (endpoint: string): Reader =>
  (keys) =>
    Promise.all(keys.map((key) => sha256Of(`${endpoint}/${BUCKET}/${key}`)))

/** Starts a server, uploads once and compares what was stored. */
export async function checkUpload(contender: Contender, place: Place, body: Body, read: Reader): Promise<void> {
  const server = await start((port) => contender.command(place, port))
  try {
    const keys = await uploadOnce(contender.name, server, body)
    if (contender !== parseOnly) compare(contender.name, body.digests, await read(keys))
  } finally {
    await server.stop()
  }
}
