import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** An address as some proxies, Azure's among them, write it: with a port, and IPv6 in brackets. IPv4 may be mapped to IPv6. */
const ADDRESS = /^(?:\[([^\]]+)\]|(?:::ffff:)?(\d+\.[\d.]+))(?::\d{1,5})?$/i

/**
 * Parses the IP address of a socket or of an entry of `X-Forwarded-For`, without port and zone. An IPv4-mapped IPv6 address becomes
 * IPv4 (RFC 4291 section 2.5.5.2).
 *
 * @returns undefined if the text is not an IP address
 */
export function addressIn(text: string | undefined): string | undefined {
  if (text === undefined || isIPv4(text)) return text
  const [, bracketed, v4] = ADDRESS.exec(text) ?? []
  const written = bracketed ?? v4 ?? text
  if (isIPv4(written)) return written
  const [address = ''] = written.split('%', 1)
  if (!isIPv6(address)) return undefined
  const groups = groupsOf(address)
  return startsWith(groups, MAPPED) ? dotted(groups[6], groups[7]) : address.toLowerCase()
}

const MAPPED = [0, 0, 0, 0, 0, 0xffff]
/** RFC 6052 section 2.1. */
const NAT64 = [0x64, 0xff9b, 0, 0, 0, 0]
/** RFC 3056 section 2. */
const SIX_TO_FOUR = [0x2002]

/**
 * Returns the id by which clients are told apart: the IPv4 address, or the /64 network of the IPv6 address, because one client has all of
 * a /64. An IPv6 address that contains an IPv4 address counts as the IPv4 address: one of 6to4, because the owner of one IPv4 address has
 * 65,536 networks there, and one with the well-known prefix of NAT64, because all of IPv4 is in one /64 there.
 *
 * @param address as `addressIn` returns it
 */
export function clientIdOf(address: string): string {
  if (!isIPv6(address)) return address
  const groups = groupsOf(address)
  if (startsWith(groups, NAT64)) return dotted(groups[6], groups[7])
  if (startsWith(groups, SIX_TO_FOUR)) return dotted(groups[1], groups[2])
  const network = groups.slice(0, 4).map((group) => group.toString(16))
  return `${network.join(':')}::/64`
}

/** Returns the eight groups of an IPv6 address without a zone. */
function groupsOf(address: string): number[] {
  const groups: number[] = []
  let gap = groups.length
  for (const group of address.split(':')) {
    if (group === '') gap = groups.length
    else if (group.includes('.')) {
      const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
      groups.push(a * 256 + b, c * 256 + d)
    } else groups.push(Number.parseInt(group, 16))
  }
  groups.splice(gap, 0, ...Array<number>(8 - groups.length).fill(0))
  return groups
}

function startsWith(groups: readonly number[], prefix: readonly number[]): boolean {
  return prefix.every((group, index) => group === groups[index])
}

function dotted(high = 0, low = 0): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/**
 * Returns a function that recognizes the addresses of trusted proxies, also with a port.
 *
 * @param networks addresses, and networks as `address/bits`
 */
export function proxyMatcher(networks: readonly string[]): (text: string) => boolean {
  // In one list a short IPv6 prefix of zeros would contain all of IPv4
  const proxies = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const network of networks) {
    const [written = '', bits] = network.split('/')
    const prefix = bits === undefined ? mostBits(written) : Number(bits)
    const address = addressIn(written) ?? written
    // A network of mapped addresses means IPv4, the last 32 bits
    const outside = mostBits(written) - mostBits(address)
    if (prefix > outside) proxies[familyOf(address)].addSubnet(address, prefix - outside, familyOf(address))
  }
  return (text) => {
    const address = addressIn(text)
    return address !== undefined && proxies[familyOf(address)].check(address, familyOf(address))
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4'
}

function mostBits(address: string): number {
  return isIPv6(address) ? 128 : 32
}
