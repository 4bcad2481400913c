import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import puppeteer, { type ElementHandle } from 'puppeteer-core'
import { freePort } from '../readme/shell.ts'
import { eventually, type Teardown } from './app.ts'
import { endWithUs } from './end-with-us.ts'
import { PATIENCE } from './patience.ts'

/** What a test does with a page, in a browser that is not made of Chromium. */
export interface OtherPage {
  goto(url: string): Promise<void>
  /** The value of an expression in the page, which has to be JSON. */
  read<T>(expression: string): Promise<T>
  /** Chooses files in an `input`, as a person does in the dialog. */
  choose(selector: string, paths: readonly string[]): Promise<void>
}

export interface OtherBrowser {
  readonly name: string
  /** Debian's packages. */
  readonly packages: string
  readonly isInstalled: boolean
  /** Opens a page, which is closed at the end of the test. */
  open(t: Teardown): Promise<OtherPage>
}

/** How long Puppeteer waits. */
const WAITS = { timeout: PATIENCE, protocolTimeout: PATIENCE }

const FIREFOX = '/usr/bin/firefox-esr'
const WEBKIT_DRIVER = '/usr/bin/WebKitWebDriver'
const MINI_BROWSERS = ['x86_64', 'aarch64'].map((cpu) => `/usr/lib/${cpu}-linux-gnu/webkit2gtk-4.1/MiniBrowser`)
const MINI_BROWSER = MINI_BROWSERS.find((path) => existsSync(path))

export const OTHER_BROWSERS: readonly OtherBrowser[] = [
  { name: 'Firefox', packages: 'firefox-esr', isInstalled: existsSync(FIREFOX), open: openFirefox },
  {
    name: 'WebKitGTK',
    packages: 'webkit2gtk-driver xvfb',
    isInstalled: existsSync(WEBKIT_DRIVER) && MINI_BROWSER !== undefined && existsSync('/usr/bin/Xvfb'),
    open: openWebKit,
  },
]

/** Firefox by WebDriver BiDi. */
async function openFirefox(t: Teardown): Promise<OtherPage> {
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath: FIREFOX, headless: true, ...WAITS })
  t.teardown(() => browser.close())
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  return {
    goto: async (url) => void (await page.goto(url)),
    read: <T>(expression: string) => page.evaluate(expression) as Promise<T>,
    async choose(selector, paths) {
      const input = (await page.$(selector)) as ElementHandle<HTMLInputElement> | null
      await input?.uploadFile(...paths)
    },
  }
}

/** The small browser that comes with WebKitGTK, by WebDriver (https://www.w3.org/TR/webdriver2/), on a display of its own. */
async function openWebKit(t: Teardown): Promise<OtherPage> {
  const folder = mkdtempSync(join(tmpdir(), 'webkit-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const display = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  })
  stopAtEnd(t, display)
  const [number] = (await once(display.stdio[3] as NodeJS.ReadableStream, 'data')) as [Buffer]
  const port = await freePort()
  const driver = spawn(WEBKIT_DRIVER, [`--port=${port}`], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      DISPLAY: `:${number.toString().trim()}`,
      // There is no graphics card, and as root no sandbox
      LIBGL_ALWAYS_SOFTWARE: '1',
      WEBKIT_DISABLE_COMPOSITING_MODE: '1',
      WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
    },
  })
  stopAtEnd(t, driver)

  async function call<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body) }),
    })
    const { value } = (await response.json()) as { value: T & { message?: string } }
    if (!response.ok) throw new Error(`${method} ${path}: ${value?.message}`)
    return value
  }
  const isUp = () =>
    call('GET', '/status').then(
      () => true,
      () => false,
    )
  if (!(await eventually(isUp))) throw new Error('WebKitWebDriver does not start')
  const { sessionId } = await call<{ sessionId: string }>('POST', '/session', {
    capabilities: {
      alwaysMatch: { 'webkitgtk:browserOptions': { binary: MINI_BROWSER, args: ['--automation'] } },
    },
  })
  const session = `/session/${sessionId}`
  t.teardown(() => call('DELETE', session).catch(() => {}))
  return {
    goto: (url) => call('POST', `${session}/url`, { url }),
    read: (expression) => call('POST', `${session}/execute/sync`, { script: `return ${expression}`, args: [] }),
    async choose(selector, paths) {
      const element = await call<Record<string, string>>('POST', `${session}/element`, {
        using: 'css selector',
        value: selector,
      })
      await call('POST', `${session}/element/${Object.values(element)[0]}/value`, { text: paths.join('\n') })
    },
  }
}

function stopAtEnd(t: Teardown, child: ChildProcess): void {
  endWithUs(child)
  const ended = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
}
