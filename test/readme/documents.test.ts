import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { describeConfig } from '../../src/config.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const files = [
  ...(await readdir(ROOT)).filter((name) => name.endsWith('.md')),
  ...(await readdir(join(ROOT, 'docs'), { recursive: true }))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]
const documents = new Map<string, string>()
for (const file of files) documents.set(file, await readFile(join(ROOT, file), 'utf8'))

/** The text without its code blocks. */
const prose = (text: string) => text.replace(/^ *```.*?^ *```$/gms, '')

/** The anchors that GitHub gives to headings. */
function anchors(text: string): string[] {
  return [...prose(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\- _]/gu, '')
      .replaceAll(' ', '-'),
  )
}

t.test('every relative link leads to a file, and to a heading of it', async (t) => {
  for (const [file, text] of documents) {
    for (const [, link = ''] of prose(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue
      const [path = '', anchor] = link.split('#', 2)
      const target = path === '' ? file : relative(ROOT, join(ROOT, dirname(file), path))
      t.ok(existsSync(join(ROOT, target)), `${file} → ${link}`)
      t.notMatch(target, /^\.\./, `${file} → ${link} stays in the repository`)
      if (anchor !== undefined) t.ok(anchors(documents.get(target) ?? '').includes(anchor), `${file} → ${link}`)
    }
  }
})

t.test('every block of JSON can be parsed', async (t) => {
  for (const [file, text] of documents) {
    for (const [, block = ''] of text.matchAll(/^ *```json\n(.*?)^ *```$/gms)) {
      t.doesNotThrow(() => JSON.parse(block), `${file}: ${block}`)
    }
  }
})

t.test('the configuration table of the README is the one that src/config.ts describes', async (t) => {
  const [, table = ''] = /<!-- config -->\n(.*?)<!-- \/config -->/s.exec(documents.get('README.md') ?? '') ?? []
  const rows = describeConfig().map(({ name, default: value, description }) =>
    ['', `\`${name}\``, value === '' ? '' : `\`${value}\``, description, ''].join(' | ').replace('|  |', '| |').trim(),
  )
  t.same(table.trim().split('\n'), ['| Variable | Default | Meaning |', '|---|---|---|', ...rows])
})
