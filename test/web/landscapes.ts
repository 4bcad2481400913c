import sharp from 'sharp'

/** Skies from the top to the horizon, the light in them, and the hills in front, the farthest first. */
const PALETTES = [
  { sky: ['#fbd3a2', '#f59a8b', '#c2668b'], light: '#fff3d6', hills: ['#a2557f', '#713f6d', '#43284f', '#231733'] },
  { sky: ['#bfe3f2', '#e3f1ec', '#fdf3dc'], light: '#fffdf2', hills: ['#9cc3b8', '#6ba392', '#3f7a6c', '#1f4f4a'] },
  { sky: ['#10173a', '#27336b', '#4d5fa3'], light: '#f5efd5', hills: ['#37457f', '#262f60', '#171d42', '#0b0e26'] },
  { sky: ['#f7e6c4', '#f3c88f', '#e69a5c'], light: '#fff6df', hills: ['#d07f4b', '#a85b39', '#763a2c', '#43201f'] },
  { sky: ['#d7e7f7', '#b6d2ee', '#e9eef3'], light: '#ffffff', hills: ['#a9bfd6', '#7f9cbc', '#54769c', '#2f4d70'] },
  { sky: ['#f4d9e6', '#f2b8c6', '#f8dfc9'], light: '#fff6ea', hills: ['#d58fa8', '#a9648a', '#6f4273', '#3b2750'] },
  { sky: ['#12333b', '#1e5a5c', '#74a88b'], light: '#fbf2c4', hills: ['#3d7f75', '#235d5d', '#134247', '#08262d'] },
] as const

/** A number in [0, 1) after another, the same for the same seed. */
function numbers(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32
  }
}

/** An illustrated landscape as a JPEG, another one for each seed. */
export async function landscape(seed: number, width = 1600, height = 1200): Promise<Buffer> {
  const next = numbers(seed)
  const { sky, light, hills } = PALETTES[(seed * 5) % PALETTES.length] ?? PALETTES[0]
  const horizon = height * (0.42 + next() * 0.2)
  const [x, y, radius] = [width * (0.2 + next() * 0.6), horizon * (0.3 + next() * 0.5), height * (0.05 + next() * 0.05)]
  const isNight = sky[0] < '#20'
  const parts = [
    `<defs><linearGradient id="s" x1="0" y1="0" x2="0" y2="1">${sky.map((color, at) => `<stop offset="${at / 2}" stop-color="${color}"/>`).join('')}</linearGradient>`,
    `<radialGradient id="g"><stop offset="0" stop-color="${light}" stop-opacity=".75"/><stop offset="1" stop-color="${light}" stop-opacity="0"/></radialGradient></defs>`,
    `<rect width="${width}" height="${height}" fill="url(#s)"/>`,
    ...(isNight ? stars(next, width, horizon) : clouds(next, width, horizon, light)),
    `<circle cx="${x}" cy="${y}" r="${radius * 4}" fill="url(#g)"/><circle cx="${x}" cy="${y}" r="${radius}" fill="${light}"/>`,
  ]
  for (const [at, color] of hills.entries()) {
    const top = horizon + ((height - horizon) * at) / hills.length
    const line = ridge(next, width, top, height * (0.16 - at * 0.03), at < 2 && seed % 3 !== 0)
    parts.push(
      `<path d="M0 ${height}L${line.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join('L')}L${width} ${height}z" fill="${color}"/>`,
    )
    if (at === 2 && next() < 0.7) parts.push(...trees(next, line, hills[3], height))
    if (at === 2 && next() < 0.45) parts.push(house(next, line, hills[3], light, height))
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${parts.join('')}</svg>`
  return sharp(Buffer.from(svg)).jpeg({ quality: 88 }).toBuffer()
}

type Line = readonly (readonly [x: number, y: number])[]

/** Mountains with straight edges, or hills that are round. */
function ridge(next: () => number, width: number, top: number, swing: number, isSharp: boolean): Line {
  if (isSharp) {
    const peaks = 5 + Math.floor(next() * 5)
    return Array.from({ length: peaks * 2 + 1 }, (_, at) => {
      const isPeak = at % 2 === 1
      return [(width * at) / (peaks * 2), top + (isPeak ? -swing * (0.5 + next()) : swing * next() * 0.3)] as const
    })
  }
  const waves = [1, 2.3, 4.1].map((speed) => [speed * (0.7 + next() * 0.6), next() * 7, next() / speed] as const)
  return Array.from({ length: 97 }, (_, at) => {
    const lift = waves.reduce((sum, [speed, start, size]) => sum + Math.sin((at / 97) * speed * 5 + start) * size, 0)
    return [(width * at) / 96, top + lift * swing * 0.5] as const
  })
}

function stars(next: () => number, width: number, horizon: number): string[] {
  return Array.from(
    { length: 90 },
    () =>
      `<circle cx="${next() * width}" cy="${next() * horizon}" r="${0.8 + next() * 2.4}" fill="#fff" opacity="${0.3 + next() * 0.7}"/>`,
  )
}

function clouds(next: () => number, width: number, horizon: number, color: string): string[] {
  return Array.from({ length: 3 + Math.floor(next() * 3) }, () => {
    const [x, y, size] = [next() * width, horizon * (0.1 + next() * 0.6), width * (0.05 + next() * 0.07)]
    const puffs = [0, 1, 2, 3].map((at) => {
      const [cx, r] = [x + (at - 1.5) * size * 0.75, size * (0.28 + next() * 0.2)]
      return `<ellipse cx="${cx}" cy="${y}" rx="${r * 1.7}" ry="${r * 0.62}"/>`
    })
    return `<g fill="${color}" opacity=".55">${puffs.join('')}</g>`
  })
}

function trees(next: () => number, line: Line, color: string, height: number): string[] {
  return Array.from({ length: 14 + Math.floor(next() * 26) }, () => {
    const [x, y] = line[Math.floor(next() * line.length)] ?? [0, 0]
    const [at, tall] = [x + (next() - 0.5) * 40, height * (0.04 + next() * 0.07)]
    const tiers = [0, 1, 2].map((tier) => {
      const base = y + 8 - (tall * tier) / 4
      const half = tall * (0.24 - tier * 0.055)
      return `<path d="M${at - half} ${base}L${at} ${base - tall * 0.55}L${at + half} ${base}z"/>`
    })
    return `<g fill="${color}">${tiers.join('')}</g>`
  })
}

function house(next: () => number, line: Line, color: string, light: string, height: number): string {
  const [x, y] = line[Math.floor((0.2 + next() * 0.6) * line.length)] ?? [0, 0]
  const s = height * 0.05
  return (
    `<g fill="${color}"><path d="M${x} ${y + s}v${-s * 1.6}l${s} ${-s * 0.8}l${s} ${s * 0.8}v${s * 1.6}z"/>` +
    `<rect x="${x + s * 1.45}" y="${y - s * 1.5}" width="${s * 0.25}" height="${s * 0.7}"/></g>` +
    `<rect x="${x + s * 0.4}" y="${y - s * 0.3}" width="${s * 0.42}" height="${s * 0.5}" fill="${light}"/>` +
    `<rect x="${x + s * 1.15}" y="${y - s * 0.3}" width="${s * 0.42}" height="${s * 0.5}" fill="${light}"/>`
  )
}
