import { inBrowser, openPage } from './page.ts'
import { deleteShown, deleteStory, KEEPS, openGallery, shownIds, undoButton, undoToast } from './undo.ts'
import { viewer } from './viewer.ts'

const HOUR_MS = 3_600_000

inBrowser(
  'an Undo that fails says why, and stays unless nothing is left to restore',
  async (t, server) => {
    const page = await openPage(t)
    const [id = ''] = await openGallery(page, server, 1)
    await deleteStory(page, id)
    const restore = `**/api/v1/images/${id}/restore`
    const fail = (status: number, detail: string) =>
      page.route(restore, (route) => route.fulfill({ status, json: { detail } }), { times: 1 })

    await fail(503, 'The image store cannot be reached')
    await undoButton(page).click()
    await page.getByText('The story was not restored. The image store cannot be reached.').waitFor()
    t.ok(await undoButton(page).isVisible())

    await fail(401, 'This request needs an API key')
    await undoButton(page).click()
    await page.getByRole('dialog').getByText('This needs an API key').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('The story was not restored. This needs an API key.').waitFor()

    await undoButton(page).click()
    await page.locator(`.tile.loaded a[href="#${id}"]`).waitFor()

    await deleteStory(page, id)
    await fail(404, 'Nothing is kept')
    await undoButton(page).click()
    await page.getByText('The story was not restored. Nothing is kept.').waitFor()
    t.equal(await undoToast(page).count(), 0)
  },
  KEEPS,
)

inBrowser(
  'Undo is offered until the server keeps the story no longer',
  async (t, server) => {
    // In a context of its own, all of whose pages have this clock
    const page = await openPage(t, { locale: 'en' })
    await page.clock.install()
    const [id = ''] = await openGallery(page, server, 1)
    await deleteStory(page, id)
    await undoToast(page).waitFor()
    await page.clock.fastForward(167 * HOUR_MS)
    t.ok(await undoToast(page).isVisible())
    await page.clock.fastForward(HOUR_MS)
    await undoToast(page).waitFor({ state: 'detached' })
  },
  KEEPS,
)

inBrowser(
  'a story that was opened by its link, and deleted before the list was read, is restored at its place',
  async (t, server) => {
    const page = await openPage(t)
    const made = await openGallery(page, server, 1, 2, 3)
    let go = () => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    await page.route('**/api/v1/images?*', async (route) => {
      await gate
      await route.continue()
    })
    await page.goto('about:blank')
    await page.goto(`${server.url}/#${made[1]}`)
    await viewer(page).waitFor()
    await deleteShown(page)
    await undoToast(page).waitFor()
    go()
    await page.locator('.tile.loaded').nth(1).waitFor()
    t.same(await shownIds(page), [made[0], made[2]])
    await undoButton(page).click()
    await page.locator('.tile.loaded').nth(2).waitFor()
    t.same(await shownIds(page), made)
  },
  KEEPS,
)
