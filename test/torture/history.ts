/** When something was begun and when it was over, in milliseconds of `performance.now`. */
interface Timed {
  readonly start: number
  readonly end: number
}

/** What one upload is to store. All attempts with one Idempotency-Key have the same content. */
export interface Content {
  readonly number: number
  /** The names of its images in their order: "1.jpg,2.png". */
  readonly names: string
  readonly key?: string
  /** Put into the store by hand, under an id of another version. */
  readonly imported?: boolean
}

export interface Upload extends Timed {
  readonly kind: 'upload'
  readonly content: number
  /**
   * `stored`: answered 200. `refused`: answered with an error that says that nothing is stored. `unknown`: no answer, or one that
   * says that the outcome is unknown. `cut`: the client left in the middle of the body.
   */
  readonly result: 'stored' | 'refused' | 'unknown' | 'cut'
  readonly status?: number | undefined
  readonly id?: string
}

export interface Removal extends Timed {
  readonly kind: 'remove'
  readonly id: string
  /** `absent`: answered 404. `failed`: everything else that is no success, also no answer. */
  readonly result: 'done' | 'absent' | 'failed'
}

/** A deleted story, by somebody beside the servers. `failed`: perhaps in the middle. */
export interface Restore extends Timed {
  readonly kind: 'restore'
  readonly id: string
  readonly result: 'done' | 'failed'
}

export interface RemovalOfAll extends Timed {
  readonly kind: 'remove-all'
  /** `unknown`: there was no answer, so it may still run. */
  readonly result: 'done' | 'failed' | 'unknown'
}

/** A list, or a page of one, that came in whole. */
export interface Listing extends Timed {
  readonly kind: 'list'
  readonly ids: readonly string[]
  /** Of each of the ids the names of its images as the list has them; none in a list of ids. */
  readonly names?: readonly string[]
  /** Whether the newest stories come first, and imported ones last. */
  readonly isNewestFirst?: true
  /** Of a page: it has what is behind this id, */
  readonly after?: string
  /** up to this one. */
  readonly upTo?: string
}

/** One story, asked for by its id. */
export interface Look extends Timed {
  readonly kind: 'story'
  readonly id: string
  /** Undefined: answered 404. */
  readonly names?: string
}

/** An image's own path, or a smaller form of it. */
export interface Fetched extends Timed {
  readonly kind: 'image'
  readonly id: string
  readonly name: string
  /**
   * Whose image the bytes are; undefined: answered 404; `damaged`: they are those of no image that was sent; `smaller`: a smaller form,
   * which does not tell.
   */
  readonly found?: { readonly content: number; readonly image: number } | 'damaged' | 'smaller'
}

/** The store has carried out a write after its sender had given it up. */
export interface LateWrite extends Timed {
  readonly kind: 'late'
  readonly id: string
  readonly name: string
}

export interface Fault extends Timed {
  readonly kind: 'fault'
  readonly what: string
}

export type Entry = Upload | Removal | Restore | RemovalOfAll | Listing | Look | Fetched | LateWrite | Fault

export interface History {
  /** What `Date.now` was when `performance.now` was 0. */
  readonly wall: number
  readonly contents: ReadonlyMap<number, Content>
  readonly entries: readonly Entry[]
}
