import type { Page } from 'playwright-core'
import type { ServerProcess } from '../support/server-process.ts'
import { story } from './viewer.ts'

/** The server keeps deleted stories for a week. */
export const KEEPS = { TRASH_RETENTION: '168h' }

export const undoToast = (page: Page) => page.locator('.toast.undo')
export const undoButton = (page: Page) => undoToast(page).getByRole('button', { name: /^Undo/ })
export const tile = (page: Page, id: string) => page.locator(`a.cover[href="#${id}"]`)

/** The ids of the tiles, in their order. */
export const shownIds = (page: Page) =>
  page.locator('a.cover').evaluateAll((links) => links.map((link) => link.getAttribute('href')?.slice(1)))

/** Uploads stories of one image, opens the gallery, and returns their ids, the newest one first. */
export async function openGallery(page: Page, server: ServerProcess, ...seeds: number[]): Promise<string[]> {
  const made: string[] = []
  for (const seed of seeds) made.unshift((await story(server, seed)).story_id)
  await page.goto(server.url)
  await page
    .locator('.tile.loaded')
    .nth(seeds.length - 1)
    .waitFor()
  return made
}

/** Deletes a story of the grid by its menu. */
export async function deleteStory(page: Page, id: string): Promise<void> {
  await page.locator(`.tile:has(a[href="#${id}"]) .more`).click()
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByRole('button', { name: 'Delete story' }).click()
  await tile(page, id).waitFor({ state: 'detached' })
}

/** Deletes the story that the viewer shows. */
export async function deleteShown(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Actions', exact: true }).click()
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByRole('button', { name: 'Delete story' }).click()
  await page.locator('.pswp').waitFor({ state: 'detached' })
}
