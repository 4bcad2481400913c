import { ConfigError } from '../config.ts'

export type OtlpProtocol = 'http/protobuf' | 'http/json'

/**
 * Reads the standard variables of OpenTelemetry that turn traces on. Its SDK, which is loaded only then, reads the others.
 *
 * @returns the protocol to send traces with; undefined without traces
 * @throws {ConfigError} for an unknown exporter or protocol, and for an endpoint that is not a URL
 */
export function tracingSettings(environment: Readonly<Record<string, string | undefined>>): OtlpProtocol | undefined {
  const {
    OTEL_SDK_DISABLED: isDisabled,
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracesEndpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: tracesProtocol,
  } = environment
  const exporter = environment.OTEL_TRACES_EXPORTER || (endpoint || tracesEndpoint ? 'otlp' : 'none')
  if (isDisabled?.toLowerCase() === 'true' || exporter === 'none') return undefined
  if (exporter !== 'otlp') {
    throw new ConfigError(`OTEL_TRACES_EXPORTER must be otlp or none, not "${exporter}"`)
  }
  // The SDK would silently send elsewhere or nowhere
  for (const [name, url] of Object.entries({
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracesEndpoint,
  })) {
    if (url && !(URL.canParse(url) && /^https?:\/\//i.test(url))) {
      throw new ConfigError(`${name} must be an http or https URL; for example ${name}=http://localhost:4318`)
    }
  }
  const wanted = tracesProtocol || protocol || 'http/protobuf'
  if (wanted !== 'http/protobuf' && wanted !== 'http/json') {
    const name = tracesProtocol ? 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL' : 'OTEL_EXPORTER_OTLP_PROTOCOL'
    throw new ConfigError(`${name} must be http/protobuf or http/json, not "${wanted}"`)
  }
  return wanted
}
