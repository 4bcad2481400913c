import type { Form, UploadProgress } from './form.ts'

export interface FormRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly form: Form
  readonly signal: AbortSignal
  readonly onProgress: ((progress: UploadProgress) => void) | undefined
  /** Replaces the platform's `fetch` and `XMLHttpRequest`. */
  readonly fetch: typeof globalThis.fetch | undefined
}

/** Browsers send a Blob without reading it; most of them send no stream. */
const isBrowser = typeof self !== 'undefined'

/** Posts a form. Browsers report progress through `XMLHttpRequest` alone; in Node.js the chunks of the form are counted. */
export function send(request: FormRequest): Promise<Response> {
  const { url, form, signal, onProgress, fetch = globalThis.fetch } = request
  if (!isBrowser) return sendStream(request)
  if (onProgress && !request.fetch && typeof XMLHttpRequest !== 'undefined') return sendInBrowser(request, onProgress)
  return fetch(url, { method: 'POST', headers: request.headers, body: form.toBlob(), signal, redirect: 'manual' })
}

async function sendStream(request: FormRequest): Promise<Response> {
  const { url, form, signal, fetch = globalThis.fetch } = request
  const headers = { ...request.headers, 'content-type': form.type, 'content-length': String(form.size) }
  try {
    // Without the last two undici keeps all chunks until the end, for a redirect (Fetch Standard, HTTP-network-or-cache fetch)
    const init = { duplex: 'half', redirect: 'error', window: null } as const
    return await fetch(url, { method: 'POST', headers, body: streamOf(request), signal, ...init })
  } catch (error) {
    if (((error as Error).cause as Error | undefined)?.message !== 'unexpected redirect') throw error
    // Without the form, for the status and the location
    return fetch(url, { method: 'POST', signal, redirect: 'manual' })
  }
}

function streamOf({ form, signal, onProgress }: FormRequest): ReadableStream<Uint8Array> {
  const chunks = form.toChunks()
  let loaded = 0
  // Node.js reads a body on after its request has ended
  signal.addEventListener('abort', () => void chunks.return(undefined))
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await chunks.next()
        if (done) return controller.close()
        controller.enqueue(value)
        loaded += value.byteLength
        onProgress?.(form.progress(loaded))
      },
      async cancel() {
        await chunks.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

async function sendInBrowser(
  { url, headers, form, signal }: FormRequest,
  onProgress: (progress: UploadProgress) => void,
): Promise<Response> {
  signal.throwIfAborted()
  const request = new XMLHttpRequest()
  await new Promise<void>((resolve, reject) => {
    request.open('POST', url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.upload.onprogress = ({ loaded }) => onProgress(form.progress(loaded))
    request.onload = () => resolve()
    // As `fetch` does
    request.onerror = () => reject(new TypeError('The connection failed'))
    request.onabort = () => reject(signal.reason)
    signal.addEventListener('abort', () => request.abort())
    request.send(form.toBlob())
  })
  const headerLines = request.getAllResponseHeaders().matchAll(/^([^:\s]+): *(.*)$/gm)
  return new Response(
    // A status such as 204 allows no body, not even an empty one
    request.responseText || null,
    { status: request.status, headers: Array.from(headerLines, ([, name = '', value = '']) => [name, value]) },
  )
}
