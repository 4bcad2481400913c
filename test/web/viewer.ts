import type { Page } from 'playwright-core'
import { type Uploaded, upload } from '../acceptance/client.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { landscape } from './landscapes.ts'

/** Uploads a story of one image for each seed. */
export const story = async (server: ServerProcess, ...seeds: number[]): Promise<Uploaded> =>
  upload(server, await Promise.all(seeds.map((seed) => landscape(seed, seed % 2 ? 400 : 300, seed % 2 ? 300 : 400))))

/** Waits until the viewer shows the image of this path. */
export async function shown(page: Page, path: string): Promise<void> {
  const image = page.locator(`.pswp__item[aria-hidden=false] img:not(.pswp__img--placeholder)[src*="${path.slice(1)}"]`)
  await image.waitFor()
  await image.evaluate((element: HTMLImageElement) => element.decode())
}

export const viewer = (page: Page) => page.locator('.pswp')
