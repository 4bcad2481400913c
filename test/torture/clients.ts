import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { chance, oneOf } from '../support/random.ts'
import type { Content, Entry, Fetched, Look, Upload } from './history.ts'
import type { Pictures } from './pictures.ts'

const UPLOAD = '/api/v1/images/upload'
const IMAGES = '/api/v1/images'
const STORY_IDS = '/api/v1/images/story-ids'
const BOUNDARY = 'a-boundary-of-the-torture'

/** A request may take this long: longer than a server is paused. */
const TIMEOUT_MS = 15_000

/** Ids that clients choose from; a part of them is deleted already. */
const RECENT = 300

/** A slow upload ends with such fields: 4 to 6 seconds, faster than the least rate, and no more of them than a request may have. */
const FIELD_MS = 450
const FIELD_BYTES = 900
const SLOW_FIELDS = { least: 9, most: 13 }

/** How long a client waits when nobody listens. */
const REFUSED_MS = 100

interface Options {
  readonly urls: readonly string[]
  readonly pictures: Pictures
  readonly random: () => number
  /** The keys of the latest uploads, in order, to know ids before anybody was told of them. */
  readonly peek: () => Promise<string[]>
  /** Restores a deleted story, beside the servers. */
  readonly restore: (id: string) => Promise<void>
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

interface Known {
  readonly names: string
  readonly content?: number
}

interface Page {
  readonly limit: number
  readonly after: string | undefined
  readonly isNewestFirst: boolean
}

interface ListedImage {
  readonly id: string
  readonly story_id: string
  readonly path: string
}

/** Clients that upload, read and delete at random, and write down what they did and saw. */
export class Clients {
  readonly entries: Entry[] = []
  readonly contents = new Map<number, Content>()
  images = 0
  bytes = 0
  smaller = 0
  /** Answers that no promise allows, as they come. */
  readonly oddities: string[] = []
  readonly #options: Options
  readonly #agent = new Agent({ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, connections: 32 })
  /** What clients know of ids; strings of lists are kept once. */
  readonly #known = new Map<string, Known>()
  readonly #texts = new Map<string, string>()
  readonly #recent: string[] = []
  /** Uploads with a key that are to be sent again. */
  readonly #again: { content: number; at: number }[] = []
  #keys = 0

  constructor(options: Options) {
    this.#options = options
  }

  /** Runs them until the signal; resolves when the last answer is in. */
  async run(signal: AbortSignal): Promise<void> {
    const { random } = this.#options
    const role = async (act: () => Promise<unknown>, from: number, to: number) => {
      while (!signal.aborted) {
        await act()
        await sleep(from + (to - from) * random(), undefined, { signal }).catch(() => {})
      }
    }
    await Promise.all([
      ...Array.from({ length: 5 }, () => role(() => this.#write(), 5, 60)),
      ...Array.from({ length: 6 }, () => role(() => this.#write(true), 5, 60)),
      role(() => this.list(), 10, 100),
      role(() => this.list(), 10, 100),
      role(() => this.list(), 10, 100),
      role(() => this.#readPages(), 50, 200),
      role(() => this.listIds(), 10, 100),
      role(() => this.listIds(), 10, 100),
      role(() => this.#readOne(), 5, 30),
      role(() => this.#readOne(), 5, 30),
      role(() => this.#peek(), 5, 60),
      role(() => this.#peek(), 5, 60),
      role(() => this.#removeOne(), 20, 200),
      role(() => this.#removeOne(), 20, 200),
      role(() => this.#restoreOne(), 100, 600),
      role(() => this.#removeAll(), 10_000, 25_000),
    ])
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  /** Writes down a story that was put into the store by hand. */
  placed(id: string, content: Content): void {
    const now = performance.now()
    this.contents.set(content.number, content)
    this.#learn(id, { names: content.names, content: content.number })
    this.entries.push({ kind: 'upload', content: content.number, result: 'stored', id, start: now, end: now })
  }

  // What the clients do

  async #write(isSlow = false): Promise<void> {
    const { random } = this.#options
    const due = this.#again.findIndex(({ at }) => at <= performance.now())
    if (due !== -1) {
      const [{ content } = { content: 0 }] = this.#again.splice(due, 1)
      await this.#upload(content, isSlow)
      return
    }
    const { number, names } = this.#options.pictures.draw(random)
    const key = chance(0.3, random) ? `"torture-${++this.#keys}"` : undefined
    this.contents.set(number, { number, names, ...(key !== undefined && { key }) })
    if (key !== undefined && chance(0.15, random))
      await Promise.all([this.#upload(number, isSlow), this.#upload(number, isSlow)])
    else await this.#upload(number, isSlow)
  }

  async #upload(number: number, isSlow: boolean): Promise<void> {
    const { random } = this.#options
    const content = this.contents.get(number) as Content
    const { key } = content
    const isBroken = key === undefined && chance(0.03, random)
    const isCut = key === undefined && !isBroken && chance(0.03, random)
    const body = this.#body(content, isBroken)
    const headers = {
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      ...(key !== undefined && { 'idempotency-key': key }),
    }
    const start = performance.now()
    const answer = isCut
      ? await this.#leave(headers, body)
      : await this.#send('POST', UPLOAD, { headers, body: isSlow ? this.#slowly(body) : body })
    if (answer === 'refused') {
      if (key !== undefined) this.#repeat(number, 100, 2000)
      return
    }
    const add = (upload: Pick<Upload, 'result' | 'status' | 'id'>) =>
      this.entries.push({ kind: 'upload', content: number, start, end: performance.now(), ...upload })
    if (answer?.status === 200) {
      const story = JSON.parse(answer.body.toString()) as {
        story_id: string
        image_paths: string[]
        image_count: number
      }
      const id = this.#text(story.story_id)
      const names = story.image_paths.map((path) => path.slice(path.lastIndexOf('/') + 1)).join(',')
      if (names !== content.names) this.oddities.push(`upload ${number} of ${content.names} was answered with ${names}`)
      this.#learn(id, { names: content.names, content: number })
      add({ result: 'stored', status: 200, id })
      if (chance(0.5, random)) await this.story(id)
      // Somebody who has not seen the answer
      if (key !== undefined && chance(0.3, random)) this.#repeat(number, 10, 20_000)
      return
    }
    const isUnknown = answer === undefined || answer.body.includes('outcome is unknown')
    add({ result: isCut ? 'cut' : isUnknown ? 'unknown' : 'refused', status: answer?.status })
    if (key !== undefined) {
      if (answer?.status === 422) this.oddities.push(`upload ${number} was answered 422: ${answer.body}`)
      // An idempotency record of a killed server is taken over after minutes
      if (answer?.status === 409) this.#repeat(number, 500, chance(0.3, random) ? 400_000 : 10_000)
      else this.#repeat(number, 10, chance(0.2, random) ? 60_000 : 3000)
    }
  }

  #repeat(content: number, from: number, to: number): void {
    this.#again.push({ content, at: performance.now() + from + (to - from) * this.#options.random() })
  }

  async #readPages(): Promise<void> {
    const { random } = this.#options
    const limit = oneOf([1, 3, 10, 50], random)
    const isNewestFirst = chance(0.4, random)
    const read = isNewestFirst || chance(0.5, random) ? this.list.bind(this) : this.listIds.bind(this)
    let cursor: string | undefined
    for (let page = 0; page < 20; page++) {
      cursor = await read({ limit, after: cursor, isNewestFirst })
      if (cursor === undefined) return
    }
  }

  async #readOne(): Promise<void> {
    const { random } = this.#options
    const id = this.#anyId()
    if (id === undefined) return
    if (chance(0.4, random)) {
      await this.story(id)
      return
    }
    const names = this.#known.get(id)?.names.split(',') ?? []
    if (chance(0.3, random)) await this.#smaller(id, oneOf(names, random))
    else await this.image(id, oneOf(names, random))
  }

  /** A smaller form of an image, which is made when it is asked for, and must go with its story. */
  async #smaller(id: string, name: string): Promise<void> {
    const start = performance.now()
    const answer = await this.#send('GET', `/images/stories/${id}/${name}?w=160&format=jpeg`)
    if (answer === 'refused' || (answer?.status !== 200 && answer?.status !== 404)) {
      if (typeof answer === 'object' && answer.status < 500 && answer.status !== 429)
        this.oddities.push(`a smaller form of ${id}/${name} was answered ${answer.status}: ${answer.body}`)
      return
    }
    const end = performance.now()
    if (answer.status === 404) this.#add({ kind: 'image', id, name, start, end })
    else {
      this.smaller += 1
      this.#add({ kind: 'image', id, name, start, end, found: 'smaller' })
    }
  }

  /** Looks for an image of an upload that still runs: its path answers with all of it or not at all. */
  async #peek(): Promise<void> {
    const keys = await this.#options.peek().catch(() => [])
    const images = keys.filter((key) => /^stories\/[0-9a-f-]{36}\/[1-9]/.test(key)).slice(-4)
    const key = images[Math.floor(this.#options.random() * images.length)]
    if (key === undefined) return
    const [, id = '', name = ''] = key.split('/')
    await this.image(this.#text(id), this.#text(name))
  }

  async #removeOne(): Promise<void> {
    const id = this.#anyId()
    if (id === undefined) return
    // Somebody reads it meanwhile
    const reads = Array.from({ length: 3 }, () => sleep(100 * this.#options.random()).then(() => this.story(id)))
    await Promise.all([this.#remove(id), ...reads])
  }

  async #remove(id: string): Promise<void> {
    const start = performance.now()
    const answer = await this.#send('DELETE', `${IMAGES}/${id}`)
    if (answer === 'refused') return
    this.#expectNoRoom(answer)
    const result = answer?.status === 200 ? 'done' : answer?.status === 404 ? 'absent' : 'failed'
    this.entries.push({ kind: 'remove', id, result, start, end: performance.now() })
    if (result !== 'done') return
    const { content, names = '' } = this.#known.get(id) ?? {}
    if (content !== undefined && this.contents.get(content)?.key !== undefined) this.#repeat(content, 10, 10_000)
    if (chance(0.3, this.#options.random)) await this.story(id)
    const name = oneOf(names.split(','), this.#options.random)
    if (chance(0.3, this.#options.random)) await this.image(id, name)
    if (chance(0.3, this.#options.random)) await this.#smaller(id, name)
  }

  /** Restores one of the ids, most of which are deleted by then, and looks whether it is whole. */
  async #restoreOne(): Promise<void> {
    const id = this.#anyId()
    if (id === undefined) return
    const start = performance.now()
    const result = await this.#options.restore(id).then(
      () => 'done' as const,
      () => 'failed' as const,
    )
    this.entries.push({ kind: 'restore', id, result, start, end: performance.now() })
    if (result === 'done') await this.story(id)
  }

  /** A full store can be emptied. */
  #expectNoRoom(answer: Answer | undefined): void {
    if (answer?.status === 507) this.oddities.push('a deletion was refused since the store is full')
  }

  async #removeAll(): Promise<void> {
    const start = performance.now()
    const answer = await this.#send('DELETE', IMAGES)
    if (answer === 'refused') return
    this.#expectNoRoom(answer)
    this.entries.push({
      kind: 'remove-all',
      result: answer === undefined ? 'unknown' : answer.status === 200 ? 'done' : 'failed',
      start,
      end: performance.now(),
    })
  }

  // Reads, each of which is written down if its answer came in whole

  /** The list, or a page of it; returns the cursor of the next one. */
  async list(page?: Page): Promise<string | undefined> {
    const start = performance.now()
    const answer = await this.#read(IMAGES, page)
    if (!answer) return undefined
    const stories = storiesOf(JSON.parse(answer.body.toString()) as ListedImage[])
    const ids = [...stories.keys()].map((id) => this.#text(id))
    const names = [...stories.values()].map((some) => this.#text(some.join(',')))
    const next = this.#listed(start, answer, ids, page, names)
    const unknown = ids.filter((id) => !this.#known.has(id))
    ids.forEach((id, index) => {
      if (!this.#known.has(id)) this.#learn(id, { names: names[index] as string })
    })
    // Whose it is the bytes tell
    for (const id of unknown) await this.image(id, this.#known.get(id)?.names.split(',')[0] as string)
    return next
  }

  async listIds(page?: Page): Promise<string | undefined> {
    const start = performance.now()
    const answer = await this.#read(STORY_IDS, page)
    if (!answer) return undefined
    const ids = (JSON.parse(answer.body.toString()) as string[]).map((id) => this.#text(id))
    return this.#listed(start, answer, ids, page)
  }

  #listed(start: number, answer: Answer, ids: string[], page?: Page, names?: string[]): string | undefined {
    const next = /[?&]cursor=([0-9a-f-]+)/.exec(String(answer.headers.link ?? ''))?.[1]
    this.entries.push({
      kind: 'list',
      start,
      end: performance.now(),
      ids,
      ...(names && { names }),
      ...(page?.isNewestFirst && { isNewestFirst: true }),
      ...(page?.after !== undefined && { after: page.after }),
      ...(next !== undefined && { upTo: next }),
    })
    return next
  }

  async story(id: string): Promise<Look | undefined> {
    const start = performance.now()
    const answer = await this.#send('GET', `${IMAGES}/${id}`)
    if (answer === 'refused' || (answer?.status !== 200 && answer?.status !== 404)) return undefined
    const end = performance.now()
    if (answer.status === 404) return this.#add({ kind: 'story', id, start, end })
    const stories = storiesOf(JSON.parse(answer.body.toString()) as ListedImage[])
    const names = this.#text((stories.get(id) ?? []).join(','))
    if (stories.size !== 1) this.oddities.push(`the story ${id} was answered with ${[...stories.keys()]}`)
    return this.#add({ kind: 'story', id, start, end, names })
  }

  async image(id: string, name: string): Promise<Fetched | undefined> {
    const start = performance.now()
    const answer = await this.#send('GET', `/images/stories/${id}/${name}`)
    if (answer === 'refused' || (answer?.status !== 200 && answer?.status !== 404)) return undefined
    const end = performance.now()
    if (answer.status === 404) return this.#add({ kind: 'image', id, name, start, end })
    const found = this.#options.pictures.identify(answer.body)
    this.images += 1
    this.bytes += answer.body.length
    const known = this.#known.get(id)
    if (known && known.content === undefined && typeof found === 'object') {
      const content = this.contents.get(found.content)
      if (content) this.#learn(id, { names: content.names, content: found.content })
    }
    return this.#add({ kind: 'image', id, name, start, end, found })
  }

  // How they do it

  #add<Kind extends Entry>(entry: Kind): Kind {
    this.entries.push(entry)
    return entry
  }

  #body(content: Content, isBroken: boolean): Buffer {
    const { pictures } = this.#options
    const pieces: Buffer[] = []
    for (let image = 1; image <= pictures.count(content.number); image++) {
      const head =
        'Content-Disposition: form-data; name="files"; filename="picture"\r\nContent-Type: image/jpeg\r\n\r\n'
      pieces.push(
        Buffer.from(`--${BOUNDARY}\r\n${head}`),
        ...pictures.pieces(content.number, image),
        Buffer.from('\r\n'),
      )
    }
    if (isBroken)
      pieces.push(
        Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nno image\r\n`),
      )
    pieces.push(Buffer.from(`--${BOUNDARY}--\r\n`))
    return Buffer.concat(pieces)
  }

  async #read(path: string, page?: Page): Promise<Answer | undefined> {
    const query = new URLSearchParams(page && { limit: String(page.limit) })
    if (page?.isNewestFirst) query.set('order', 'newest')
    if (page?.after !== undefined) query.set('cursor', page.after)
    const answer = await this.#send('GET', `${path}?${query}`)
    return answer === 'refused' || answer?.status !== 200 ? undefined : answer
  }

  /** The answer, if all of it came; `refused`: the request was never sent, since nobody listens. */
  async #send(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    options: { headers?: Record<string, string>; body?: Buffer | AsyncIterable<Buffer> } = {},
  ): Promise<Answer | 'refused' | undefined> {
    const url = oneOf(this.#options.urls, this.#options.random) + path
    try {
      const { statusCode, headers, body } = await request(url, {
        method,
        headers: options.headers ?? {},
        body: (options.body ?? null) as Buffer | null,
        dispatcher: this.#agent,
      })
      return { status: statusCode, headers, body: Buffer.from(await body.arrayBuffer()) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') return undefined
      await sleep(REFUSED_MS)
      return 'refused'
    }
  }

  /** All images of a body, and then its end, seconds later, after fields that keep the connection from standing still. */
  async *#slowly(body: Buffer): AsyncGenerator<Buffer> {
    const end = Buffer.from(`--${BOUNDARY}--\r\n`)
    const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\n`
    yield body.subarray(0, -end.length)
    const fields = SLOW_FIELDS.least + Math.floor((SLOW_FIELDS.most - SLOW_FIELDS.least) * this.#options.random())
    for (let field = 0; field < fields; field++) {
      await sleep(FIELD_MS)
      yield Buffer.from(`${head}${'x'.repeat(FIELD_BYTES)}\r\n`)
    }
    yield end
  }

  /** Sends a part of a body, and leaves. */
  async #leave(headers: Record<string, string>, body: Buffer): Promise<undefined> {
    const part = body.subarray(0, Math.floor(body.length * (0.1 + 0.85 * this.#options.random())))
    const controller = new AbortController()
    async function* pieces() {
      yield part
      await sleep(30)
      controller.abort()
      await sleep(1000)
    }
    await request(oneOf(this.#options.urls, this.#options.random) + UPLOAD, {
      method: 'POST',
      headers: { ...headers, 'content-length': String(body.length) },
      body: pieces() as unknown as Buffer,
      signal: controller.signal,
      dispatcher: this.#agent,
    }).then(
      ({ body }) => body.dump(),
      () => {},
    )
  }

  #anyId(): string | undefined {
    const { random } = this.#options
    // Mostly the latest ones
    const index = Math.floor(this.#recent.length * (1 - random() ** 2))
    return this.#recent[Math.min(index, this.#recent.length - 1)]
  }

  #learn(id: string, known: Known): void {
    if (!this.#known.has(id)) {
      this.#recent.push(id)
      if (this.#recent.length > RECENT) this.#recent.shift()
    }
    this.#known.set(id, known)
  }

  #text(text: string): string {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    this.#texts.set(text, text)
    return text
  }
}

function storiesOf(images: readonly ListedImage[]): Map<string, string[]> {
  const stories = new Map<string, string[]>()
  for (const { story_id, path } of images) {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const names = stories.get(story_id)
    if (names) names.push(name)
    else stories.set(story_id, [name])
  }
  return stories
}
