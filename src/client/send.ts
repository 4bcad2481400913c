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
  if (!onProgress) return post(url, { method: 'POST', headers, body, signal })
  return post(url, { method: 'POST', headers, body: counted(body, onProgress), signal, ...HALF_DUPLEX })
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

function sendInBrowser({ url, headers, body, signal }: Sending, onProgress: OnProgress): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const abort = () => request.abort()
    request.open('POST', url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total })
    request.onload = () => {
      const answered = request.getAllResponseHeaders().trim().split('\r\n')
      const pairs = answered.map((line) => line.split(/:\s*(.*)/, 2) as [string, string])
      resolve(new Response(request.responseText, { status: request.status, headers: pairs }))
    }
    // As `fetch` would say it
    request.onerror = () => reject(new TypeError('The connection failed'))
    request.onabort = () => reject(signal?.reason)
    request.onloadend = () => signal?.removeEventListener('abort', abort)
    signal?.addEventListener('abort', abort)
    request.send(body)
  })
}
