import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import axe from 'axe-core'
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import tap, { type Test } from 'tap'
import { IMAGES, remove } from '../acceptance/client.ts'
import { type Fixture, openers, openFixture, type TestStore } from '../acceptance/stores.ts'
import { openChromium, skipWithoutChromium } from '../support/chromium.ts'
import { ALL } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'
import type { ServerProcess } from '../support/server-process.ts'

let screenshots: string | undefined

/** Makes the screenshots of the README again if this is set. */
export const { WRITE_SCREENSHOTS } = process.env

/** Returns the folder of screenshots: `SCREENSHOTS`, or a temporary one. */
export function screenshotFolder(): string {
  screenshots ??= process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'story-images-screenshots-'))
  mkdirSync(screenshots, { recursive: true })
  return screenshots
}

/** Keeps a picture of the page, if somebody wants to see it. */
export async function screenshot(page: Page, name: string): Promise<void> {
  if (!process.env.SCREENSHOTS && !WRITE_SCREENSHOTS) return
  await page.screenshot({ path: join(screenshotFolder(), `${name}.png`) })
}

const fixtures = new Map<string, Promise<Fixture>>()

/** Runs a test with a browser, on the disk and, with the usual settings, on an engine, each time with no story to begin with. */
export function inBrowser(
  name: string,
  promise: (t: Test, server: ServerProcess, store: TestStore) => Promise<void>,
  environment: Readonly<Record<string, string>> = {},
): void {
  for (const [storeName, open] of openers) {
    // The page sees no difference between that and an engine
    if (storeName === 'the stand-in') continue
    if (storeName !== 'disk' && Object.keys(environment).length > 0) continue
    tap.test(`${name} (${storeName})`, { skip: skipWithoutChromium }, async (t) => {
      const id = JSON.stringify([storeName, environment])
      const fixture = fixtures.get(id) ?? openFixture(open, environment)
      fixtures.set(id, fixture)
      const { server, store } = await fixture
      if (environment.API_KEYS === undefined) await remove(server, IMAGES)
      await promise(t, server, store)
    })
  }
}

let shared: Promise<BrowserContext> | undefined

async function openContext(options: BrowserContextOptions): Promise<BrowserContext> {
  const context = await (await openChromium()).newContext({
    viewport: { width: 1280, height: 800 },
    // Each frame of a movement takes processor time
    reducedMotion: ALL ? 'no-preference' : 'reduce',
    ...options,
  })
  // What the compiler of the tests makes of functions calls this
  await context.addInitScript('self.__name = (value) => value')
  return context
}

/**
 * A page that fails its test when it writes an error to the console, throws one, or does something that its policy forbids. Pages
 * without options share a context, and so the cache of the browser: a new one takes twice the processor time. Nothing that a page
 * has kept is there for the next one.
 *
 * @param expected what may be in the console: Chromium writes each response with an error status there
 */
export async function openPage(
  t: Test,
  options: BrowserContextOptions = {},
  expected = /^Failed to load resource: the server responded with a status of (401|403|404|413|415|429|503|507)/,
): Promise<Page> {
  const isShared = Object.keys(options).length === 0
  if (isShared) shared ??= openContext({})
  const context = await (isShared && shared ? shared : openContext(options))
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected.test(message.text())) errors.push(message.text())
  })
  t.teardown(async () => {
    if (isShared) await leave(page)
    else await context.close()
    if (errors.length > 0) throw new Error(`The page had errors: ${errors.join('; ')}`)
  })
  return page
}

/** Closes a page, and leaves its context as it was before. */
async function leave(page: Page): Promise<void> {
  const context = page.context()
  await context.setOffline(false)
  await context.clearPermissions()
  await context.clearCookies()
  // sessionStorage goes with its page
  const session = await context.newCDPSession(page)
  const { origin } = new URL(page.url())
  if (origin !== 'null') await session.send('Storage.clearDataForOrigin', { origin, storageTypes: 'local_storage' })
  await page.close()
}

/** Until what appears or goes has done so. */
export async function calm(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    document.getAnimations().every(({ effect }) => effect?.getComputedTiming().endTime === Number.POSITIVE_INFINITY),
  )
}

/** Waits until every thumbnail that is seen is there, and nothing moves any more. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.tile:not(.loaded)')].every(
      (tile) => tile.getBoundingClientRect().top > innerHeight,
    ),
  )
  await calm(page)
}

/** States of the pages that `npm test` looks at. The others have parts of these. */
const USUAL = new Set(['grid', 'menu', 'viewer', 'key', 'uploaded', 'blocked'])

/** Looks for what WCAG 2.2 and the best practices of axe-core forbid, in the page as it is now. */
export async function isAccessible(t: Test, page: Page, state: string): Promise<void> {
  if (!ALL && !USUAL.has(state)) return
  await calm(page)
  // Over the protocol of the debugger, which the page's policy does not bind
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source)
  const violations = await page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: typeof axe }).axe.run(document, {
      resultTypes: ['violations'],
    })
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`)
  })
  t.same(violations, [], `axe finds nothing: ${state}`)
}

/** What was copied last. Needs the permission `clipboard-read`. */
export function clipboard(page: Page): Promise<string> {
  return page.evaluate(() => navigator.clipboard.readText())
}
