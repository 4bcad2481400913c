import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Requests whose client waits for `100 Continue`. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>()

/**
 * Makes routes send `100 Continue`, which Node otherwise sends for every request that expects it. If the headers alone decide, the client
 * gets the final response instead and need not send the body (RFC 9110 section 10.1.1).
 */
export function handleExpectations(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response)
    server.emit('request', request, response)
  })
  // The errors plugin refuses it
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response)
  })
}

/** Sends `100 Continue` to a client that waits for it. Call this before the body is read or waited for. */
export function askForBody(request: IncomingMessage): void {
  waiting.get(request)?.writeContinue()
  waiting.delete(request)
}
