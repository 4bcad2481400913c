import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { parseEnv } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { type Config, describeConfig, readConfig } from '../../src/config.ts'
import { blocksOf, ROOT } from '../support/examples.ts'

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

/** The cells of each row of a table whose first one is a name in upper case. */
function settingRows(markdown: string): { name: string; cells: string[] }[] {
  return [...markdown.matchAll(/^\| `([A-Z0-9_]+)` \|(.*)\|$/gm)].map(([, name = '', rest = '']) => ({
    name,
    cells: rest.split(' | ').map((cell) => cell.trim()),
  }))
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

t.test('every page for users is in the index, and the index is complete', async (t) => {
  const index = documents.get('docs/README.md') ?? ''
  for (const file of files.filter((file) => /^docs\/[^/]+\.md$/.test(file) && file !== 'docs/README.md')) {
    t.match(index, `](${relative('docs', file)}`, file)
  }
})

t.test('every command that a document names is a script of package.json', async (t) => {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  for (const [file, text] of documents) {
    for (const [, script = ''] of text.matchAll(/npm run (?:--\S+ )*([\w:-]+)/g)) {
      t.ok(script in scripts, `${file}: npm run ${script}`)
    }
  }
})

t.test('every block of code is run or read by a test', async (t) => {
  const tests = (await readdir(join(ROOT, 'test'), { recursive: true })).filter((name) => name.endsWith('.test.ts'))
  const sources = await Promise.all(tests.map((name) => readFile(join(ROOT, 'test', name), 'utf8')))
  const compose = await readFile(join(ROOT, 'docker-compose.yml'), 'utf8')
  const settings = new Set(describeConfig().map(({ name }) => name))
  const read: Record<string, (code: string) => unknown> = {
    json: (code) => JSON.parse(code),
    yaml: (code) => parse(code),
    dotenv: (code) => {
      for (const name of Object.keys(parseEnv(code))) {
        const isKnown = settings.has(name) || compose.includes(`\${${name}:-`) || /^(MINIO|OTEL)_/.test(name)
        if (!isKnown) throw new Error(`There is no setting ${name}`)
      }
    },
    // No code
    http: () => undefined,
    text: () => undefined,
  }
  const forUsers = [...documents].filter(([file]) => file === 'README.md' || file.startsWith('docs/'))
  for (const [file, text] of forUsers) {
    for (const { line, language, code, name } of blocksOf(text)) {
      const where = `${file}:${line} (${language})`
      if (name === undefined) {
        const check = read[language]
        if (check) t.doesNotThrow(() => check(code), where)
        else t.fail(`${where} needs <!-- example: name --> in front of it, and a test that runs it`)
        continue
      }
      const isRun = sources.some((source) => source.includes(`'${file}'`) && source.includes(`'${name}'`))
      t.ok(isRun, `${where}: a test file has '${file}' and '${name}'`)
    }
  }
})

t.test('the README has ten settings, as src/config.ts describes them', async (t) => {
  const [, table = ''] = /<!-- config -->\n(.*?)<!-- \/config -->/s.exec(documents.get('README.md') ?? '') ?? []
  const [head, line, ...rows] = table.trim().split('\n')
  t.same([head, line], ['| Variable | Default | Meaning |', '|---|---|---|'])
  const described = describeConfig().map(({ name, default: value, description }) =>
    ['', `\`${name}\``, value === '' ? '' : `\`${value}\``, description, ''].join(' | ').replace('|  |', '| |').trim(),
  )
  t.same(
    rows,
    described.filter((row) => rows.includes(row)),
    'rows of src/config.ts, in its order',
  )
  t.equal(rows.length, 10)
})

/** What is allowed, in the words of the error of a value that is not. */
function allowed(name: string): string {
  try {
    return `no error, but ${readConfig({ [name]: '-' })[name as keyof Config]}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

t.test('docs/configuration.md has every option with its default, bounds, description and reason', async (t) => {
  const rows = settingRows(documents.get('docs/configuration.md') ?? '')
  t.same(
    rows.map(({ name }) => name).sort(),
    describeConfig()
      .map(({ name }) => name)
      .sort(),
  )
  for (const { name, default: value, description } of describeConfig()) {
    const [shown = '', bounds = '', text = ''] = rows.find((row) => row.name === name)?.cells ?? []
    t.equal(shown, value === '' ? '' : `\`${value}\``, `${name}: its default`)
    const range = /^\S+ must be a (?:whole number|size|duration) from (\S+ to [^\s,]+)/.exec(allowed(name))?.[1]
    if (range !== undefined) t.equal(bounds, range, `${name}: its bounds`)
    t.ok(bounds.length > 0, `${name}: what is allowed`)
    t.equal(text.slice(0, description.length), description, `${name}: its description`)
    t.ok(text.length > description.length + 15, `${name}: when to change it`)
  }
})
