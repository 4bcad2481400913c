import { BlockList, isIP } from 'node:net'
import { type Config, ConfigError } from '../../config.ts'
import { parseApiKeys } from './keys.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Returns whether only this machine can reach a server that listens on the host. */
export function isLoopback(host: string): boolean {
  const version = isIP(host)
  return version === 0 ? host === 'localhost' : loopback.check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/**
 * Checks who may use the server, and says so in a sentence for the log.
 *
 * @throws {ConfigError} when other machines could use it without a key and `ALLOW_OPEN` does not allow that
 */
export function startUpCheck({ API_KEYS, ALLOW_OPEN, HOST }: Config): { sentence: string; isOpen: boolean } {
  if (API_KEYS !== undefined) {
    const keys = parseApiKeys(API_KEYS).map(({ name, scopes }) => `${name} (${[...scopes].join(', ')})`)
    return { sentence: `the API needs a key: ${keys.join('; ')}`, isOpen: false }
  }
  if (isLoopback(HOST)) {
    return {
      sentence:
        'the API needs no key, and only this machine can reach it: every process on it can read, upload and delete everything',
      isOpen: false,
    }
  }
  if (!ALLOW_OPEN) {
    throw new ConfigError(
      `HOST=${HOST} opens the server to other machines, and without API_KEYS they can delete everything; set API_KEYS, or ALLOW_OPEN=true in a private network`,
    )
  }
  return {
    sentence: `the API needs no key (ALLOW_OPEN): everyone who can reach ${HOST} can read, upload and delete everything`,
    isOpen: true,
  }
}
