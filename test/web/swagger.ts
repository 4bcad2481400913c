import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { openChromium } from '../support/chromium.ts'
import { PATIENCE } from '../support/patience.ts'

const IMAGES = ['image1.jpg', 'image2.png'].map((name) =>
  fileURLToPath(new URL(`../../docs/images/${name}`, import.meta.url)),
)
export interface Watched {
  readonly page: Page
  /** What the console says is wrong, and requests for another server. */
  readonly wrong: string[]
}

/** Opens a page of the documentation, whose errors, warnings and requests for other servers are kept. */
export async function openDocs(t: Test, url: string): Promise<Watched> {
  const page = await (await openChromium()).newPage()
  page.setDefaultTimeout(PATIENCE)
  t.teardown(() => page.close())
  const wrong: string[] = []
  page.on('console', (message) => {
    const isKnown = message.text() === 'Could not find component: JsonSchema_string_binary'
    if (['error', 'warning'].includes(message.type()) && !isKnown) wrong.push(message.text())
  })
  page.on('pageerror', (error) => wrong.push(error.message))
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !/^(data|blob):/.test(request.url())) {
      wrong.push(`a request for ${request.url()}`)
    }
  })
  await page.goto(url)
  return { page, wrong }
}

/** Sends two images with the form of the page. */
export async function tryUpload(page: Page): Promise<{ status: string; body: string }> {
  const operation = page.locator('#operations-stories-uploadStory')
  if ((await operation.locator('.opblock-body').count()) === 0) await operation.locator('.opblock-summary').click()
  await operation.getByRole('button', { name: 'Try it out' }).click()
  // There is one field at first
  await operation.getByRole('button', { name: 'Add string item' }).click()
  for (const [index, image] of IMAGES.entries()) {
    await operation.locator('input[type=file]').nth(index).setInputFiles(image)
  }
  await operation.getByRole('button', { name: 'Execute' }).click()
  const response = operation.locator('.live-responses-table .response')
  return {
    status: await response.locator('.response-col_status').innerText(),
    body: await response.locator('.response-col_description .highlight-code').innerText(),
  }
}
