import type { Page } from 'playwright-core'
import { get, listImages } from '../acceptance/client.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { inBrowser, isAccessible, openPage, screenshot, settled } from './page.ts'
import { deleteShown, deleteStory, KEEPS, openGallery, shownIds, tile, undoButton, undoToast } from './undo.ts'
import { viewer } from './viewer.ts'

const focused = (page: Page) => page.evaluate(() => document.activeElement?.getAttribute('href'))
const ids = async (server: ServerProcess) => [...new Set((await listImages(server)).map(({ story_id }) => story_id))]

inBrowser(
  'a deleted story is restored by Undo: it is at its place again, with its image',
  async (t, server) => {
    const page = await openPage(t)
    const made = await openGallery(page, server, 1, 2, 3)
    const [, second = '', third = ''] = made
    await settled(page)
    await screenshot(page, 'undo-1-before')
    await deleteStory(page, second)
    await undoToast(page).getByText('Story deleted').waitFor()
    t.same(await ids(server), [third, made[0]])
    t.equal(await focused(page), `#${third}`, 'the focus is on the next story')
    await settled(page)
    await screenshot(page, 'undo-2-deleted')
    await isAccessible(t, page, 'undo')

    await undoButton(page).click()
    await page.locator('#toasts').getByText('Story restored').waitFor()
    await page.locator(`.tile.loaded a[href="#${second}"]`).waitFor()
    t.same(await shownIds(page), made)
    t.equal(await focused(page), `#${second}`)
    t.equal(await undoToast(page).count(), 0)
    await settled(page)
    await screenshot(page, 'undo-3-restored')
    t.same(await ids(server), [...made].reverse())
    const [image] = await listImages(server, `/api/v1/images/${second}`)
    t.equal((await get(server, image?.path ?? '')).status, 200)
  },
  KEEPS,
)

inBrowser(
  'several deletions are restored one by one, the last one first, with the keyboard alone',
  async (t, server) => {
    const page = await openPage(t)
    const made = await openGallery(page, server, 1, 2, 3)
    const [first = '', second = '', third = ''] = made
    await deleteStory(page, second)
    await tile(page, third).click()
    await viewer(page).waitFor()
    await deleteShown(page)
    await deleteStory(page, first)
    await page.getByRole('heading', { name: 'No stories yet' }).waitFor()
    await undoToast(page).getByText('3 stories deleted').waitFor()
    t.equal(
      await page.evaluate(() => document.activeElement?.textContent),
      'Undo the last',
      'without another story the focus is on Undo',
    )
    await isAccessible(t, page, 'undo of three')

    await page.keyboard.press('Enter')
    await tile(page, first).waitFor()
    t.equal(await focused(page), `#${first}`)
    await undoToast(page).getByText('2 stories deleted').waitFor()
    await page.keyboard.press('Control+z')
    await tile(page, third).waitFor()
    t.same(await shownIds(page), [first, third])
    await undoButton(page).getByText('Undo', { exact: true }).waitFor()

    // The viewer has the focus
    await page.keyboard.press('Enter')
    await viewer(page).waitFor()
    await page.keyboard.press('Control+z')
    await undoToast(page).waitFor({ state: 'detached' })
    t.ok(await viewer(page).isVisible())
    await page.keyboard.press('Escape')
    await viewer(page).waitFor({ state: 'detached' })
    t.same(await shownIds(page), made)
    t.same(await ids(server), [...made].reverse())

    await deleteStory(page, first)
    await undoToast(page).getByRole('button', { name: 'Dismiss' }).focus()
    await page.keyboard.press('Enter')
    await undoToast(page).waitFor({ state: 'detached' })
    t.equal(await page.evaluate(() => document.activeElement?.id), 'stories')
    await page.keyboard.press('Control+z')
    await deleteStory(page, second)
    await undoToast(page).getByText('Story deleted').waitFor()
    t.same(await ids(server), [third], 'what was dismissed stays deleted')
  },
  KEEPS,
)

inBrowser(
  'where nothing is kept the question says so, and no Undo is offered',
  async (t, server) => {
    const page = await openPage(t)
    const [id = ''] = await openGallery(page, server, 1)
    await page.locator('.tile .more').click()
    await page.getByRole('menuitem', { name: 'Delete story…' }).click()
    await page.getByText('Its image is deleted for good.').waitFor()
    await page.getByRole('button', { name: 'Delete story' }).click()
    await page.locator('#toasts').getByText('Story deleted').waitFor()
    t.equal(await undoToast(page).count(), 0)
    t.equal((await get(server, `/api/v1/images/${id}`)).status, 404)
  },
  { TRASH_RETENTION: '0s' },
)
