import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Requests whose client waits to be asked for the body. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>()

/**
 * Leaves it to the routes to ask for the body of a request with `Expect: 100-continue`, which Node by itself does for each of them. Where the
 * headers alone decide, the client gets the final response instead and need not send the body at all (RFC 9110 section 10.1.1).
 */
export function handleExpectations(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response)
    server.emit('request', request, response)
  })
  // Refused like any other request; see the errors plugin
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response)
  })
}

/** Sends `100 Continue` to a client that waits for it. Call this before the body is read or waited for. */
export function askForBody(request: IncomingMessage): void {
  waiting.get(request)?.writeContinue()
  waiting.delete(request)
}
