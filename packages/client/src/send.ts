/** Bytes of the body that have left, and of all of it. */
export type OnProgress = (progress: { readonly loaded: number; readonly total: number }) => void

export interface Sending {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Blob
  readonly signal: AbortSignal | undefined
  readonly onProgress: OnProgress | undefined
  /** Takes the place of the platform's own ways to send. */
  readonly fetch: typeof globalThis.fetch | undefined
}

/** Posts a body. Where progress is asked for, browsers tell it to XMLHttpRequest alone; elsewhere the body is counted on its way. */
export function send(sending: Sending): Promise<Response> {
  const { onProgress, fetch } = sending
  if (onProgress && !fetch && typeof XMLHttpRequest !== 'undefined') return sendInBrowser(sending, onProgress)
  const { url, headers, body, signal = null } = sending
  const post = fetch ?? globalThis.fetch
  // A redirect would make a GET of it, or could not send a stream again
  const init = { method: 'POST', headers, signal, redirect: 'manual' } as const
  if (!onProgress) return post(url, { ...init, body })
  return post(url, { ...init, body: counted(body, onProgress), ...HALF_DUPLEX })
}

/** What `fetch` wants to hear of a body that is a stream; TypeScript does not know the member yet (Fetch Standard, RequestInit). */
const HALF_DUPLEX = { duplex: 'half' }

function counted(body: Blob, onProgress: OnProgress): ReadableStream<Uint8Array> {
  const total = body.size
  let loaded = 0
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk)
      loaded += chunk.byteLength
      onProgress({ loaded, total })
    },
  })
  return body.stream().pipeThrough(count)
}

async function sendInBrowser({ url, headers, body, signal }: Sending, onProgress: OnProgress): Promise<Response> {
  const request = new XMLHttpRequest()
  await new Promise<void>((resolve, reject) => {
    const abort = () => request.abort()
    request.open('POST', url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total })
    request.onload = () => resolve()
    // As `fetch` would say it
    request.onerror = () => reject(new TypeError('The connection failed'))
    request.onabort = () => reject(signal?.reason)
    request.onloadend = () => signal?.removeEventListener('abort', abort)
    signal?.addEventListener('abort', abort)
    request.send(body)
  })
  const headerLines = request.getAllResponseHeaders().matchAll(/^([^:\s]+): *(.*)$/gm)
  return new Response(
    // Some statuses have no body, not even an empty one
    request.responseText || null,
    { status: request.status, headers: Array.from(headerLines, ([, name = '', value = '']) => [name, value]) },
  )
}
