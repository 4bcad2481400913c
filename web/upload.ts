import { needsKey, Refusal, Unreachable } from './api.ts'
import { isReadable, problemOf } from './check-file.ts'
import { askForKey } from './key.ts'
import { canHeal, mayHeal, sendStory } from './send.ts'
import { settings } from './settings.ts'
import { createdAt, type Story } from './story.ts'

/** Tries by itself before it leaves that to its owner. */
const TRIES = 6
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

export type UploadState = 'checking' | 'blocked' | 'waiting' | 'sending' | 'pausing' | 'failed' | 'done' | 'cancelled'

export interface Picture {
  readonly file: File
  /** Bytes that were sent. */
  sent: number
  /** Why it can't be uploaded. */
  problem: string | undefined
}

/** Files that are to become a story: all in one request, so they get there together or not at all. Says `change`. */
export class Upload extends EventTarget {
  state: UploadState = 'checking'
  /** Why it is blocked or has failed, or why it pauses. */
  trouble = ''
  /** When the next try begins, in milliseconds since 1970, while it pauses. */
  resumesAt = 0
  /** Whether what has failed can be tried again. */
  mayHeal = true
  story: Story | undefined
  pictures: Picture[]
  /** The same for all tries, so that however many of them arrive, they make one story. */
  #key = randomKey()
  #controller = new AbortController()
  #wake: () => void = () => {}

  constructor(files: readonly File[]) {
    super()
    this.pictures = files.map((file) => ({ file, sent: 0, problem: undefined }))
  }

  get bytes(): number {
    return this.pictures.reduce((sum, { file }) => sum + file.size, 0)
  }

  /** From 0 to 1. */
  get progress(): number {
    return this.pictures.reduce((sum, { sent }) => sum + sent, 0) / Math.max(1, this.bytes)
  }

  get good(): Picture[] {
    return this.pictures.filter(({ problem }) => problem === undefined)
  }

  /** Looks at the files. @returns whether they can be sent */
  async check(): Promise<boolean> {
    await Promise.all(
      this.pictures.map(async (picture) => {
        picture.problem = await problemOf(picture.file)
      }),
    )
    const { maxFiles } = settings
    if (this.pictures.length > maxFiles) return this.#block(`A story has at most ${maxFiles} images; choose fewer.`)
    if (this.good.length < this.pictures.length) return this.#block('')
    this.#become('waiting')
    return true
  }

  /** Sends the files, again where that can help, until there is a story or nothing more to try. */
  async run(): Promise<void> {
    for (let attempt = 1; this.state !== 'cancelled'; attempt += 1) {
      try {
        await this.#send()
        return this.#become('done')
      } catch (error) {
        if (this.#controller.signal.aborted) return
        if (needsKey(error) && (await askForKey(error.message))) continue
        if (await this.#blame(error as Error)) return
        this.mayHeal = mayHeal(error)
        if (!canHeal(error) || attempt >= TRIES) return this.#become('failed', (error as Error).message)
        await this.#pause(error as Error, attempt)
      }
    }
  }

  cancel(): void {
    this.#controller.abort()
    this.#wake()
    this.#become('cancelled')
  }

  /** Ends a pause, or starts anew what has failed. @returns whether it has to be run again */
  tryAgain(): boolean {
    this.#wake()
    if (this.state !== 'failed') return false
    this.#become('waiting')
    return true
  }

  /** Goes on without the files that can't be uploaded. Other files are another story, so it has another key. */
  leaveOut(): void {
    this.pictures = this.good
    this.#key = randomKey()
    this.#become('waiting')
  }

  async #send(): Promise<void> {
    this.#become('sending')
    const files = this.pictures.map(({ file }) => file)
    const onProgress = (sent: readonly number[]) => {
      for (const [index, picture] of this.pictures.entries()) picture.sent = sent[index] ?? 0
      this.#become('sending')
    }
    onProgress(files.map(() => 0))
    const { story_id: id, image_paths: paths } = await sendStory(files, this.#key, onProgress, this.#controller.signal)
    for (const picture of this.pictures) picture.sent = picture.file.size
    this.story = { id, paths, createdAt: createdAt(id) }
  }

  /** Finds the file that was the trouble: the one that the answer names by its number, or one that has changed on the disk. */
  async #blame(error: Error): Promise<boolean> {
    const number = error instanceof Refusal ? /^File (?:part )?(\d+)\b/.exec(error.message)?.[1] : undefined
    const named = this.pictures[Number(number) - 1]
    if (named) named.problem = error.message.replace(/^File (part )?\d+ (is |has )?/, '').replace(/\.$/, '')
    if (error instanceof Unreachable) {
      for (const picture of this.pictures) {
        if (!(await isReadable(picture.file))) picture.problem = 'has changed since it was chosen'
      }
    }
    if (this.good.length === this.pictures.length) return false
    for (const picture of this.pictures) {
      picture.sent = 0
      if (picture.problem !== undefined)
        picture.problem = picture.problem.replace(/^\w/, (letter) => letter.toUpperCase())
    }
    this.#block('')
    return true
  }

  #pause(error: Error, attempt: number): Promise<void> {
    const asked = error instanceof Refusal ? (error.retryAfter ?? 0) * 1000 : 0
    const pause = Math.max(asked, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1)))
    this.resumesAt = Date.now() + pause
    this.#become('pausing', error.message)
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), pause)
      this.#wake = () => {
        clearTimeout(timer)
        removeEventListener('online', this.#wake)
        this.#wake = () => {}
        resolve()
      }
      addEventListener('online', this.#wake)
    })
  }

  #block(trouble: string): false {
    this.#become('blocked', trouble)
    return false
  }

  #become(state: UploadState, trouble = ''): void {
    if (this.state === 'cancelled') return
    this.state = state
    this.trouble = trouble
    this.dispatchEvent(new Event('change'))
  }
}

/** `crypto.randomUUID` is for pages with TLS. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
