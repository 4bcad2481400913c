import {
  context,
  defaultTextMapGetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base'
import type { StoreOutcome } from './metrics.ts'
import type { OtlpProtocol } from './tracing-settings.ts'

/** How long sending the last spans may take when the server ends, in milliseconds. */
const FLUSH_MS = 5000

const NAME = 'story-images'

/** Starts to trace a call. The function that it returns is called once, at the end. */
export type FollowCall = (name: string, key: string) => (outcome: StoreOutcome) => void

/** What a trace shows of a request. It must have no secret, so it has no query of a URL. */
export interface TracedRequest {
  readonly operation: string | undefined
  readonly method: string
  readonly path: string
  readonly route: string | undefined
  /** May have a `traceparent` (https://www.w3.org/TR/trace-context/). */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export interface RequestSpan {
  readonly traceId: string
  /** Runs the work. Calls to the store that it starts belong to the request. */
  run(work: () => void): void
  /** @param status undefined if the connection closed before the response was sent */
  end(status: number | undefined, storyId: string | undefined): void
}

export interface Tracing {
  followRequest(request: TracedRequest): RequestSpan
  followCall: FollowCall
  /** Sends the remaining spans, within 5 seconds. */
  close(): Promise<void>
}

/** Outcomes of a store call that are not failures of the store. */
const FINE: ReadonlySet<StoreOutcome> = new Set(['ok', 'missing', 'exists', 'abandoned'])

/**
 * Starts OpenTelemetry traces, configured by the standard environment variables (OpenTelemetry, "Environment Variable Specification").
 *
 * @param onFailure is called when spans could not be sent, which are then lost
 */
export async function startTracing(
  version: string,
  protocol: OtlpProtocol,
  onFailure: (error: unknown) => void,
): Promise<Tracing> {
  const { OTLPTraceExporter } =
    protocol === 'http/json'
      ? await import('@opentelemetry/exporter-trace-otlp-http')
      : await import('@opentelemetry/exporter-trace-otlp-proto')
  const exporter: SpanExporter = new OTLPTraceExporter()
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': NAME, 'service.version': version }))
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [
      new BatchSpanProcessor({
        export: (spans, done) =>
          exporter.export(spans, (result) => {
            if (result.code !== ExportResultCode.SUCCESS) onFailure(result.error)
            done(result)
          }),
        shutdown: () => exporter.shutdown(),
      }),
    ],
  })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const propagator = new W3CTraceContextPropagator()
  const tracer = provider.getTracer(NAME, version)

  function followRequest({ operation, method, path, route, headers }: TracedRequest): RequestSpan {
    const parent = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
    const span = tracer.startSpan(
      operation ?? method,
      {
        kind: SpanKind.SERVER,
        attributes: {
          'http.request.method': method,
          'url.path': path,
          ...(route !== undefined && { 'http.route': route }),
        },
      },
      parent,
    )
    return {
      traceId: span.spanContext().traceId,
      run: (work) => context.with(trace.setSpan(parent, span), work),
      end(status, storyId) {
        if (storyId !== undefined) span.setAttribute('story.id', storyId)
        if (status !== undefined) span.setAttribute('http.response.status_code', status)
        close(span, status === undefined || status >= 500, status === undefined ? 'closed' : String(status))
      },
    }
  }

  return {
    followRequest,
    followCall(name, key) {
      // The thousands of calls of a sweep would push the spans of requests out of the queue
      if (!trace.getActiveSpan()) return () => {}
      const attributes = { 'store.call': name, 'store.key': key }
      const span = tracer.startSpan(`store.${name}`, { kind: SpanKind.CLIENT, attributes })
      return (outcome) => close(span, !FINE.has(outcome), outcome)
    },
    async close() {
      let timer: NodeJS.Timeout | undefined
      const tooLong = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_MS)
      })
      await Promise.race([provider.shutdown().catch(onFailure), tooLong])
      clearTimeout(timer)
    },
  }
}

/** @param type of the failure, one of few words */
function close(span: Span, isFailure: boolean, type: string): void {
  if (isFailure) span.setStatus({ code: SpanStatusCode.ERROR }).setAttribute('error.type', type)
  span.end()
}
