/** The colour space of an image without an ICC profile. */
export interface ColourSpace {
  /** Chromaticities of red, green, blue and white, x and y each. */
  readonly primaries: readonly number[]
  /** Converts a value from 0 to 1 to light, as a fraction of the maximum. */
  readonly toLinear: (value: number) => number
}

const D65 = [0.3127, 0.329] as const
const BT709 = [0.64, 0.33, 0.3, 0.6, 0.15, 0.06, ...D65]
const BT601 = [0.63, 0.34, 0.31, 0.595, 0.155, 0.07, ...D65]

/** By code point of ITU-T H.273 table 2. */
const PRIMARIES: Readonly<Record<number, readonly number[]>> = {
  1: BT709,
  4: [0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.31, 0.316],
  5: [0.64, 0.33, 0.29, 0.6, 0.15, 0.06, ...D65],
  6: BT601,
  7: BT601,
  8: [0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.31, 0.316],
  9: [0.708, 0.292, 0.17, 0.797, 0.131, 0.046, ...D65],
  11: [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.314, 0.351],
  12: [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, ...D65],
  22: [0.63, 0.34, 0.295, 0.605, 0.155, 0.077, ...D65],
}

const power = (gamma: number) => (value: number) => value ** gamma

/** By code point of ITU-T H.273 table 3; those of television are for a display (BT.1886). */
const TRANSFERS: Readonly<Record<number, (value: number) => number>> = {
  1: power(2.4),
  4: power(2.2),
  5: power(2.8),
  6: power(2.4),
  7: (value) => (value < 0.0913 ? value / 4 : ((value + 0.1115) / 1.1115) ** (1 / 0.45)),
  8: power(1),
  13: srgbToLinear,
  14: power(2.4),
  15: power(2.4),
  16: (value) => toneMap(pqToNits(value)),
  17: (value) => Math.min(1, (value ** 2.6 * 52.37) / 48),
  18: (value) => toneMap(1000 * hlgToScene(value) ** 1.2),
}

/** Needs no profile. */
export const SRGB: ColourSpace = { primaries: BT709, toLinear: srgbToLinear }

/** Returns the colour space of two code points, or undefined if one is unknown. */
export function fromCodePoints(primaries: number, transfer: number): ColourSpace | undefined {
  const found = PRIMARIES[primaries]
  const toLinear = TRANSFERS[transfer]
  if (!found || !toLinear) return undefined
  return found === BT709 && toLinear === srgbToLinear ? SRGB : { primaries: found, toLinear }
}

/**
 * Returns the colour space of a PNG's `gAMA` and `cHRM` (PNG third edition, section 11.3.2), in hundred-thousandths. Returns undefined if
 * they are impossible, when browsers ignore both.
 */
export function fromGamma(gamma: number, chromaticities?: readonly number[]): ColourSpace | undefined {
  const primaries = chromaticities?.map((number) => number / 100_000) ?? BT709
  return gamma > 0 && arePossible(primaries) ? { primaries, toLinear: power(100_000 / gamma) } : undefined
}

function srgbToLinear(value: number): number {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
}

/** Converts PQ (SMPTE ST 2084) to candela per square metre. */
function pqToNits(value: number): number {
  const root = value ** (32 / 2523)
  return 10_000 * (Math.max(0, root - 3424 / 4096) / (2413 / 128 - (2392 / 128) * root)) ** (8192 / 1305)
}

/** Converts HLG (ITU-R BT.2100) to light of the scene, from 0 to 1. */
function hlgToScene(value: number): number {
  if (value <= 0.5) return value ** 2 / 3
  return (Math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
}

/**
 * Maps light of a high dynamic range to a display without one, within 10 of 255 of what Chromium 156 shows for greys of PQ and HLG.
 * Linear up to 232 candela per square metre, with 400 as 1; then compressed, up to 1 at 1,000.
 */
function toneMap(nits: number): number {
  const light = nits / 400
  return light < 0.58 ? light : Math.min(1, 0.736 + 0.288 * Math.log(light))
}

/** Points of a tone curve. */
const POINTS = 4096

/** White of the profile connection space, as X, Y and Z (ICC.1:2022 section 7.2.16). */
const D50 = [0.9642, 1, 0.8249] as const

/**
 * Makes an ICC profile, which libvips and its decoders understand, of a colour space: for a display with three components, or one
 * (ICC.1:2022 section 8.3).
 */
export function iccProfile({ primaries, toLinear }: ColourSpace, isGrey: boolean): Buffer {
  const curve = Buffer.alloc(12 + 2 * POINTS)
  curve.write('curv', 'latin1')
  curve.writeUInt32BE(POINTS, 8)
  for (let point = 0; point < POINTS; point++)
    curve.writeUInt16BE(Math.round(65_535 * Math.min(1, toLinear(point / (POINTS - 1)))), 12 + 2 * point)
  const [red, green, blue] = toD50(primaries)
  const colours = { rXYZ: xyz(red), gXYZ: xyz(green), bXYZ: xyz(blue), rTRC: curve, gTRC: curve, bTRC: curve }
  const tags = Object.entries({ wtpt: xyz(D50), ...(isGrey ? { kTRC: curve } : colours) })
  const table = Buffer.alloc(4 + 12 * tags.length)
  table.writeUInt32BE(tags.length)
  const places = new Map<Buffer, number>()
  let end = 128 + table.length
  for (const [index, [name, content]] of tags.entries()) {
    const place = places.get(content) ?? end
    if (place === end) end += content.length
    places.set(content, place)
    table.write(name, 4 + 12 * index, 'latin1')
    table.writeUInt32BE(place, 8 + 12 * index)
    table.writeUInt32BE(content.length, 12 + 12 * index)
  }
  const header = Buffer.alloc(128)
  header.writeUInt32BE(end)
  header.writeUInt32BE(0x04300000, 8)
  header.write(`mntr${isGrey ? 'GRAY' : 'RGB '}XYZ `, 12, 'latin1')
  header.write('acsp', 36, 'latin1')
  xyz(D50).copy(header, 68, 8)
  return Buffer.concat([header, table, ...places.keys()])
}

function xyz(values: readonly number[]): Buffer {
  const content = Buffer.alloc(20)
  content.write('XYZ ', 'latin1')
  for (const [index, value] of values.entries()) content.writeInt32BE(Math.round(value * 65_536), 8 + 4 * index)
  return content
}

type Vector = [number, number, number]

/** Returns whether white is a mixture of the primaries. */
function arePossible(primaries: readonly number[]): boolean {
  // Real primaries contribute more than a hundredth
  return mixWhite(primaries).amounts.every((amount) => amount > 0.01 && amount < 100)
}

/** Returns X, Y and Z of the primaries and of white, and how much of each primary white has. */
function mixWhite([rx = 0, ry = 1, gx = 0, gy = 1, bx = 0, by = 1, wx = 0, wy = 1]: readonly number[]) {
  const columns = [fromXy(rx, ry), fromXy(gx, gy), fromXy(bx, by)] as const
  const white = fromXy(wx, wy)
  return { columns, white, amounts: solve(columns, white) }
}

/** Returns X, Y and Z of the primaries, adapted from their white to D50 by the Bradford transform (ICC.1:2022 annex E). */
function toD50(primaries: readonly number[]): [Vector, Vector, Vector] {
  const { columns, white, amounts } = mixWhite(primaries)
  const [l, m, s] = BRADFORD.map((row) => dot(row, D50) / dot(row, white))
  const adapt = (color: Vector): Vector => {
    const cone = BRADFORD.map((row) => dot(row, color)) as Vector
    return solve(BRADFORD_COLUMNS, [cone[0] * (l ?? 1), cone[1] * (m ?? 1), cone[2] * (s ?? 1)])
  }
  return columns.map((color, index) => adapt(color.map((value) => value * (amounts[index] ?? 0)) as Vector)) as [
    Vector,
    Vector,
    Vector,
  ]
}

const BRADFORD: readonly [Vector, Vector, Vector] = [
  [0.8951, 0.2664, -0.1614],
  [-0.7502, 1.7135, 0.0367],
  [0.0389, -0.0685, 1.0296],
]
const BRADFORD_COLUMNS = [0, 1, 2].map((column) => BRADFORD.map((row) => row[column])) as [Vector, Vector, Vector]

function fromXy(x: number, y: number): Vector {
  return [x / y, 1, (1 - x - y) / y]
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0)
}

/** Returns the amounts of the columns that add up to the vector (Cramer's rule). */
function solve([a, b, c]: readonly [Vector, Vector, Vector], vector: Vector): Vector {
  const all = determinant(a, b, c)
  return [determinant(vector, b, c) / all, determinant(a, vector, c) / all, determinant(a, b, vector) / all]
}

function determinant(a: Vector, b: Vector, c: Vector): number {
  return dot(a, [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]])
}
