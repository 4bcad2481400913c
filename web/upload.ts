import { randomKey } from '../packages/client/src/form.ts'
import { ApiError, ImageReadError, type Retry } from '../packages/client/src/index.ts'
import { call, needsKey, sentenceOf } from './api.ts'
import { problemOf } from './check-file.ts'
import { settings } from './settings.ts'
import { createdAt, type Story } from './story.ts'

/** A day in seconds. The page shows how long it waits, and can try at once. */
const MAX_RETRY_AFTER = 86_400

export type UploadState = 'checking' | 'blocked' | 'waiting' | 'sending' | 'pausing' | 'failed' | 'done' | 'cancelled'

export interface ChosenFile {
  readonly file: File
  /** Bytes that were sent. */
  sent: number
  /** The reason why the file can't be uploaded. */
  problem: string | undefined
}

/** Files that are to become a story, all in one request. Dispatches `change`. */
export class Upload extends EventTarget {
  state: UploadState = 'checking'
  /** The reason why the upload is blocked, has failed or pauses. */
  trouble = ''
  /** The time of the next try, in milliseconds since 1970, while the upload pauses. */
  resumesAt = 0
  /** Whether a failed upload can be tried again. */
  canRetry = true
  story: Story | undefined
  files: ChosenFile[]
  /** The idempotency key, which makes one story of all tries. */
  #key = randomKey()
  #controller = new AbortController()
  #retryNow: () => void = () => {}

  constructor(files: readonly File[]) {
    super()
    this.files = files.map((file) => ({ file, sent: 0, problem: undefined }))
  }

  get bytes(): number {
    return this.files.reduce((sum, { file }) => sum + file.size, 0)
  }

  /** From 0 to 1. */
  get progress(): number {
    return this.files.reduce((sum, { sent }) => sum + sent, 0) / Math.max(1, this.bytes)
  }

  get good(): ChosenFile[] {
    return this.files.filter(({ problem }) => problem === undefined)
  }

  /** Checks the files. @returns whether they can be sent */
  async check(): Promise<boolean> {
    await Promise.all(
      this.files.map(async (chosen) => {
        chosen.problem = await problemOf(chosen.file)
      }),
    )
    const { maxFiles } = settings
    if (this.files.length > maxFiles) this.#become('blocked', `A story has at most ${maxFiles} images; choose fewer.`)
    else this.#become(this.good.length < this.files.length ? 'blocked' : 'waiting')
    return this.state === 'waiting'
  }

  /** Sends the files, until there is a story or another try would not help. */
  async run(): Promise<void> {
    const { signal } = this.#controller
    const images = this.files.map(({ file }) => file)
    const onProgress = (progress: { readonly images: readonly number[] }) => {
      for (const [index, chosen] of this.files.entries()) chosen.sent = progress.images[index] ?? 0
      this.#become('sending')
    }
    const onRetry = (retry: Retry) => this.#pause(retry)
    const options = { idempotencyKey: this.#key, signal, onProgress, onRetry, maxRetryAfter: MAX_RETRY_AFTER }
    try {
      const { story_id: id, image_paths: paths } = await call((client) => client.upload(images, options))
      for (const chosen of this.files) chosen.sent = chosen.file.size
      this.story = { id, paths, createdAt: createdAt(id) }
      this.#become('done')
    } catch (error) {
      if (!signal.aborted) await this.#fail(error as Error)
    }
  }

  cancel(): void {
    this.#controller.abort()
    this.#become('cancelled')
  }

  /** Ends a pause, or prepares another run after a failure. @returns whether the upload has to be run again */
  tryAgain(): boolean {
    this.#retryNow()
    if (this.state !== 'failed') return false
    this.#become('waiting')
    return true
  }

  /** Leaves out the files that can't be uploaded. The others are another story, so they get another key. */
  leaveOut(): void {
    this.files = this.good
    this.#key = randomKey()
    this.#become('waiting')
  }

  #pause({ error, delay, retryNow }: Retry): void {
    this.resumesAt = Date.now() + delay
    this.#retryNow = retryNow
    addEventListener('online', retryNow, { once: true })
    this.#become('pausing', sentenceOf(error))
  }

  async #fail(error: Error): Promise<void> {
    // A file has changed since it was chosen
    if (error instanceof ImageReadError && !(await this.check())) return
    if (error instanceof ApiError && this.#blame(error)) return
    this.canRetry =
      needsKey(error) || !(error instanceof ApiError) || error.isTemporary || error.status < 400 || error.status >= 500
    this.#become('failed', sentenceOf(error))
  }

  /** Blocks the upload because of the file that an error names by its number. @returns whether it names one */
  #blame({ message }: ApiError): boolean {
    const [text = '', number] = /^File (?:part )?(\d+) (?:is |has )?/.exec(message) ?? []
    const named = this.files[Number(number) - 1]
    if (!named) return false
    const problem = message.slice(text.length).replace(/\.$/, '')
    named.problem = problem.replace(/^\w/, (letter) => letter.toUpperCase())
    for (const chosen of this.files) chosen.sent = 0
    this.#become('blocked')
    return true
  }

  #become(state: UploadState, trouble = ''): void {
    if (this.state === 'cancelled') return
    this.state = state
    this.trouble = trouble
    this.dispatchEvent(new Event('change'))
  }
}
