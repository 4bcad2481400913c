import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildServer, ENTRIES } from '../../build/server.ts'
import type { StorageName } from './storage.ts'

export interface Edit {
  /** In `src/`. */
  readonly file: string
  /** Has to be in there exactly once. */
  readonly from: string
  readonly to: string
}

const SOURCES = fileURLToPath(new URL('../../src/', import.meta.url))

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
      { file: 'stories/upload.ts', from: 'await upload.orFailure(upload.allStored())', to: '' },
      {
        file: 'stories/record.ts',
        from: 'for (const image of manifest) digests',
        to: 'for (const image of manifest.filter((image) => image)) digests',
      },
    ],
  },
  /** The images of a story are not counted. */
  'no-count': {
    store: 'minio',
    rule: 'part',
    edits: [
      {
        file: 'layout/story.ts',
        from: 'if (this.records.length !== 1 || images.length !== this.#count)',
        to: 'if (this.records.length !== 1)',
      },
      {
        file: 'layout/story.ts',
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
        file: 'stories/removal.ts',
        from: 'const keys = stories.flatMap(({ records }) => records)',
        to: 'const keys = stories.flatMap(({ images }) => images.map((image) => image.key))',
      },
      {
        file: 'stories/removal.ts',
        from: 'const keys = hidden.flatMap(({ images }) => images.map((image) => image.key))',
        to: 'const keys = this.left.size > 0 ? [] : hidden.flatMap(({ records }) => records)',
      },
    ],
  },
  /** The disk store writes an image or record to its own path, and not to a temporary file that it renames. */
  'no-rename': {
    store: 'disk',
    rule: 'bytes',
    edits: [
      {
        file: 'store/disk/disk-store.ts',
        from: 'const parts = [join(temporary, randomUUID()), join(temporary, randomUUID())] as const',
        // An object that has to be new would find itself there
        to: `await createFolder(dirname(path))
      const parts = options.ifNoneMatch === '*' ? [join(temporary, randomUUID()), join(temporary, randomUUID())] as const : [path, sidecarPath(path)] as const`,
      },
      { file: 'store/disk/disk-store.ts', from: "open(path, 'wx', 0o640)", to: "open(path, 'w', 0o640)" },
    ],
  },
  /** A deletion fails where there is no room for its tombstone. */
  'needs-room': {
    store: 'disk',
    rule: 'answer',
    edits: [{ file: 'stories/tombstone.ts', from: 'error instanceof StoreFull', to: 'false' }],
  },
  /** An Idempotency-Key is not looked at. */
  idempotency: {
    store: 'disk',
    rule: 'twice',
    edits: [
      {
        file: 'stories/upload.ts',
        from: 'const earlier = await upload.recordIdempotency()',
        to: 'const earlier = undefined',
      },
    ],
  },
  /** A long upload does not look once more before it is acknowledged. */
  'no-look': {
    store: 'disk',
    rule: 'lost',
    edits: [{ file: 'stories/upload.ts', from: 'if (mayBeSwept(age) &&', to: 'if (false &&' }],
  },
  /** The answer is sent before the record is stored. */
  'ack-early': {
    store: 'disk',
    rule: 'lost',
    edits: [{ file: 'stories/upload.ts', from: 'await writeRecord(', to: 'void writeRecord(' }],
  },
}

/** Returns the bug of this name, or throws an error with the names that there are. */
export function bugNamed(name: string): Bug {
  const bug = BUGS[name]
  if (!bug) throw new Error(`There is no bug "${name}"; there are ${Object.keys(BUGS).join(', ')}`)
  return bug
}

/**
 * Changes sources of the server, by path.
 *
 * @throws {Error} when the server is no longer what an edit was made for
 */
export async function editedSources(edits: readonly Edit[]): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  for (const { file, from, to } of edits) {
    const path = join(SOURCES, file)
    const text = files.get(path) ?? (await readFile(path, 'utf8'))
    if (text.split(from).length !== 2) throw new Error(`The server is another one now: ${file} has not once "${from}"`)
    files.set(
      path,
      text.replace(from, () => to),
    )
  }
  return files
}

/**
 * Builds the server, and the command `sweep` by itself, of changed sources.
 *
 * @param out the folder
 */
export async function buildEdited(out: string, edits: readonly Edit[]): Promise<void> {
  const files = await editedSources(edits)
  await buildServer(out, {
    entries: { ...ENTRIES, 'cli/sweep': 'cli/sweep.ts' },
    plugins: [
      {
        name: 'edited sources',
        setup: ({ onLoad }) =>
          onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const contents = files.get(path)
            return contents === undefined ? undefined : { contents, loader: 'ts' }
          }),
      },
    ],
  })
}
