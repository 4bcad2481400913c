import { number } from './report.ts'
import { type Figure, median, type RowResult } from './result.ts'

/** The rows that the README shows, and what they are called there. */
const SHOWN: Readonly<Record<string, string>> = {
  'upload-small': 'Upload, 8 × 200 KB: requests/s',
  'upload-minio': 'The same to MinIO: requests/s',
  'get-200kb': 'Delivery from MinIO, 200 KB: requests/s',
  'list-far-year': 'List of 1,000,000 images, store 60 ms away: seconds',
  'delete-all': 'Deletion of 100,000 images, store 60 ms away: seconds',
}

const WIDTH = 860
const LABEL = 220
const BAR = 520
const LINE = 24

/** Bars for the first figure of each row, as an SVG that follows the reader's colour scheme. A longer bar is better in every row. */
export function drawChart(results: readonly RowResult[]): string {
  let y = 44
  const parts: string[] = []
  for (const { row, figures, contenders } of results) {
    const title = SHOWN[row]
    const [figure] = figures
    if (title === undefined || !figure) continue
    y += 16
    parts.push(`  <text class="head" x="16" y="${y}">${escaped(title)}</text>`)
    y += 12
    const values = contenders.map(({ samples }) => median(samples[0] ?? []))
    const longest = Math.max(...values.map((value) => speed(figure, value)))
    for (const [index, { name, role }] of contenders.entries()) {
      const value = values[index] ?? 0
      const width = Math.max(2, Math.round((speed(figure, value) / longest) * BAR))
      parts.push(
        `  <text x="${LABEL - 10}" y="${y + 15}" text-anchor="end">${escaped(name)}</text>`,
        `  <rect class="${role}" x="${LABEL}" y="${y + 2}" width="${width}" height="${LINE - 6}" rx="2"/>`,
        `  <text class="quiet" x="${LABEL + width + 8}" y="${y + 15}">${number(value)}</text>`,
      )
      y += LINE
    }
    y += 8
  }
  const height = y + 8
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title" font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="14">
  <title id="title">story-images and its peers, side by side; longer bars are better</title>
  <style>
    .page { fill: #ffffff; stroke: #d1d9e0 }
    text { fill: #1f2328 }
    .quiet { fill: #57606a }
    .head { font-weight: 600 }
    .ours { fill: #0969da }
    .peer { fill: #8c959f }
    .limit { fill: none; stroke: #8c959f; stroke-dasharray: 4 3 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #30363d }
      text { fill: #e6edf3 }
      .quiet { fill: #9da7b1 }
      .ours { fill: #58a6ff }
      .peer { fill: #6e7681 }
      .limit { stroke: #6e7681 }
    }
  </style>
  <rect class="page" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10"/>
  <text class="quiet" x="16" y="30">Medians, measured side by side. Longer is better; dashed bars are limits, not peers.</text>
${parts.join('\n')}
</svg>
`
}

function speed({ better }: Figure, value: number): number {
  return better === 'less' ? 1 / value : value
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
