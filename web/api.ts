import { ApiError, type Client, createClient } from '../packages/client/src/index.ts'
import { askForKey, currentKey } from './key.ts'

/** Makes a call of the API, and asks for an API key if the server wants another one. */
export async function call<Result>(make: (client: Client) => Promise<Result>): Promise<Result> {
  // A proxy may serve the page below a prefix
  const baseUrl = new URL('.', location.href).href
  for (;;) {
    try {
      return await make(createClient({ baseUrl, key: currentKey() ?? undefined }))
    } catch (error) {
      if (!needsKey(error) || !(await askForKey(sentenceOf(error)))) throw error
    }
  }
}

/** Returns whether another API key might help. */
export function needsKey(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 401 || error.status === 403)
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404
}

/** Returns an error as a sentence for people. */
export function sentenceOf(error: Error): string {
  if (error instanceof TypeError) return navigator.onLine ? 'The server can’t be reached.' : 'This device is offline.'
  // The server tells programs how to send a key
  if (error instanceof ApiError && error.status === 401 && currentKey() === null) return 'This needs an API key.'
  return /[.!?]$/.test(error.message) ? error.message : `${error.message}.`
}
