import { BlockList, isIP } from 'node:net'
import { type Config, ConfigError } from '../../config.ts'
import { parseApiKeys } from './keys.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

/** Whether only this machine reaches a server that listens there. */
export function isLoopback(host: string): boolean {
  const version = isIP(host)
  return version === 0 ? host === 'localhost' : loopback.check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/**
 * Who may use the server, as its log says at the start.
 *
 * @throws {ConfigError} when everybody might, and nobody has said that this is what they want
 */
export function whoMayUse({ API_KEYS, ALLOW_OPEN, HOST }: Config): { sentence: string; isOpen: boolean } {
  if (API_KEYS !== undefined) {
    const keys = parseApiKeys(API_KEYS).map(({ name, scopes }) => `${name} (${[...scopes].join(', ')})`)
    return { sentence: `the API needs a key: ${keys.join('; ')}`, isOpen: false }
  }
  if (isLoopback(HOST)) {
    return {
      sentence:
        'the API needs no key, and listens to this machine alone: whoever is on it can read, upload and delete everything',
      isOpen: false,
    }
  }
  if (!ALLOW_OPEN) {
    throw new ConfigError(
      `HOST=${HOST} opens the server to other machines, and without API_KEYS they can delete everything; set API_KEYS, or ALLOW_OPEN=true in a private network`,
    )
  }
  return {
    sentence: `the API needs no key (ALLOW_OPEN): whoever reaches ${HOST} can read, upload and delete everything`,
    isOpen: true,
  }
}
