import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { listImages } from '../acceptance/client.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { landscape } from './landscapes.ts'
import { openPage } from './page.ts'

export const UPLOADS = '**/api/v1/images/upload'

export interface File {
  readonly name: string
  readonly mimeType: string
  readonly buffer: Buffer
}

export const jpeg = async (name: string, seed: number): Promise<File> => ({
  name,
  mimeType: 'image/jpeg',
  buffer: await landscape(seed, 400, 300),
})

export const pick = (page: Page, files: File[]) => page.locator('#files').setInputFiles(files)
export const button = (page: Page, name: string | RegExp) =>
  page.locator('#tray').getByRole('button', { name, exact: true })
export const state = (page: Page, hasText: string | RegExp) => page.locator('.upload .state', { hasText })
export const done = (page: Page) => page.locator('.upload[data-state=done]').first().waitFor()

export async function storyCount(server: ServerProcess): Promise<number> {
  return new Set((await listImages(server)).map(({ story_id }) => story_id)).size
}

export async function open(t: Test, server: ServerProcess, expected = /status of (400|413|415|507)/): Promise<Page> {
  const page = await openPage(t, {}, expected)
  await page.goto(server.url)
  await page.locator('[aria-busy=false]#stories').waitFor({ state: 'attached' })
  return page
}
