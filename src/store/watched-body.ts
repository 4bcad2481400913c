import type { Body } from './object-store.ts'

/** A body that remembers how it ended. */
export class WatchedBody implements Body {
  readonly #body: Body
  /** When its end was read, as `performance.now()` says it. */
  endedAt: number | undefined
  /** What its iteration threw. */
  failure: { readonly error: unknown } | undefined

  constructor(body: Body) {
    this.#body = body
  }

  // Not a generator, which takes several turns for each chunk
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const source = this.#body[Symbol.asyncIterator]()
    const next = () => {
      const result = source.next()
      result.then(
        ({ done }) => {
          if (done) this.endedAt ??= performance.now()
        },
        (error) => {
          this.failure = { error }
        },
      )
      return result
    }
    return { next, return: async () => (await source.return?.()) ?? { done: true, value: undefined } }
  }
}

/** Watches a body, unless somebody does already. */
export function watch(body: Body): WatchedBody {
  return body instanceof WatchedBody ? body : new WatchedBody(body)
}
