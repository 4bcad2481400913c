import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StorageName } from './storage.ts'

export interface Edit {
  /** Of the built server. */
  readonly file: string
  /** Has to be in there exactly once. */
  readonly from: string
  readonly to: string
}

interface Bug {
  /** The store on which it shows, */
  readonly store: StorageName
  /** and the rule that it breaks. */
  readonly rule: string
  readonly edits: readonly Edit[]
}

/** Ways to break the promises, each of which a run has to report. */
export const BUGS: Readonly<Record<string, Bug>> = {
  /** The record is written before the last image is stored. */
  'record-early': {
    store: 'disk',
    rule: 'lost',
    edits: [
      { file: 'stories/upload.js', from: 'await upload.orFailure(upload.allStored());', to: '' },
      {
        file: 'stories/record.js',
        from: 'for (const image of manifest)',
        to: 'for (const image of manifest.filter((image) => image))',
      },
    ],
  },
  /** The images of a story are not counted. */
  'no-count': {
    store: 'minio',
    rule: 'part',
    edits: [
      {
        file: 'stories/key.js',
        from: 'if (this.records.length !== 1 || images.length !== this.#count)',
        to: 'if (this.records.length !== 1)',
      },
      {
        file: 'stories/key.js',
        from: 'if (images.some((image, index) => image.number !== index + 1))',
        to: 'if (false)',
      },
    ],
  },
  /** A deletion begins with the images. */
  'images-first': {
    store: 'minio',
    rule: 'left over',
    edits: [
      {
        file: 'stories/remove.js',
        from: 'await this.delete(stories.flatMap(({ records }) => records));',
        to: 'await this.delete(stories.flatMap(({ images }) => images.map((image) => image.key)));',
      },
      {
        file: 'stories/remove.js',
        from: 'await this.delete(hidden.flatMap(({ images }) => images.map((image) => image.key)));',
        to: 'if (this.kept.size === 0) await this.delete(hidden.flatMap(({ records }) => records));',
      },
    ],
  },
  /** The disk store writes to an object's own path, and not to a temporary file that it renames. */
  'no-rename': {
    store: 'disk',
    rule: 'bytes',
    edits: [
      {
        file: 'store/disk/disk-store.js',
        from: 'const parts = [join(temporary, randomUUID()), join(temporary, randomUUID())];',
        to: 'await createFolder(dirname(path)); const parts = [path, sidecarPath(path)];',
      },
      { file: 'store/disk/disk-store.js', from: "open(path, 'wx', 0o640)", to: "open(path, 'w', 0o640)" },
    ],
  },
  /** A deletion fails where there is no room for its tombstone. */
  'needs-room': {
    store: 'disk',
    rule: 'answer',
    edits: [{ file: 'stories/deletion-mark.js', from: 'error instanceof StoreFull', to: 'false' }],
  },
  /** An Idempotency-Key is not looked at. */
  idempotency: {
    store: 'disk',
    rule: 'twice',
    edits: [
      { file: 'stories/upload.js', from: 'const earlier = await upload.claim()', to: 'const earlier = undefined' },
    ],
  },
  /** A long upload does not look once more before it is acknowledged. */
  'no-look': {
    store: 'disk',
    rule: 'lost',
    edits: [{ file: 'stories/upload.js', from: 'if (mayBeSwept(age) &&', to: 'if (false &&' }],
  },
  /** The answer is sent before the record is stored. */
  'ack-early': {
    store: 'disk',
    rule: 'lost',
    edits: [{ file: 'stories/upload.js', from: 'await writeRecord(', to: 'void writeRecord(' }],
  },
}

/** @throws {Error} when the server is no longer what the bug was made for */
export async function plantBug(folder: string, name: string): Promise<void> {
  const bug = BUGS[name]
  if (!bug) throw new Error(`There is no bug "${name}"; there are ${Object.keys(BUGS).join(', ')}`)
  await edit(folder, bug.edits)
}

/** Changes the built server. */
export async function edit(folder: string, edits: readonly Edit[]): Promise<void> {
  for (const { file, from, to } of edits) {
    const path = join(folder, 'dist', file)
    const text = await readFile(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`The server is another one now: ${file} has not once "${from}"`)
    await writeFile(
      path,
      text.replace(from, () => to),
    )
  }
}
