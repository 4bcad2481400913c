import t from 'tap'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { skipWithoutChromium as skip } from '../support/chromium.ts'
import { landscape } from './landscapes.ts'
import { isAccessible, openPage, screenshot, settled } from './page.ts'

t.test('uploads, menus, questions and Undo in the dark', { skip }, async (t) => {
  const server = await serverOn(t, await diskStore(t))
  const page = await openPage(t, { colorScheme: 'dark' })
  await page.goto(server.url)
  await page.getByRole('heading', { name: 'No stories yet' }).waitFor()
  await screenshot(page, 'empty-dark')
  await isAccessible(t, page, 'empty, dark')
  const file = async (name: string, seed: number) => ({
    name,
    mimeType: 'image/jpeg',
    buffer: seed ? await landscape(seed, 400, 300) : Buffer.from('no image'),
  })
  await page
    .locator('#files')
    .setInputFiles([await file('the forest.jpg', 1), await file('the hut.jpg', 2), await file('notes.jpg', 0)])
  await page.locator('.file.bad').waitFor()
  await settled(page)
  await screenshot(page, 'refused-dark')
  await isAccessible(t, page, 'blocked, dark')
  await page.getByRole('button', { name: 'Upload the other 2' }).click()
  await page.locator('.upload[data-state=done]').waitFor()
  await settled(page)
  await screenshot(page, 'uploaded-dark')
  await isAccessible(t, page, 'uploaded, dark')
  await page.locator('.tile .more').click()
  await screenshot(page, 'menu-dark')
  await isAccessible(t, page, 'menu, dark')
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByRole('button', { name: 'Delete story' }).waitFor()
  await settled(page)
  await screenshot(page, 'question-dark')
  await isAccessible(t, page, 'question, dark')
  await page.getByRole('button', { name: 'Delete story' }).click()
  await page.locator('.toast.undo').waitFor()
  await settled(page)
  await screenshot(page, 'undo-dark')
  await isAccessible(t, page, 'undo, dark')
  await page.setViewportSize({ width: 390, height: 844 })
  await settled(page)
  await screenshot(page, 'undo-dark-phone')
  await isAccessible(t, page, 'undo, dark, on a phone')
  t.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is too wide')
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.locator('.tile.loaded').waitFor()

  await page.getByRole('button', { name: 'Dark appearance' }).click()
  t.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)')
  await page.reload()
  t.equal(
    await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    'rgb(255, 255, 255)',
    'it is kept',
  )
  await page.getByRole('button', { name: 'Dark appearance' }).click()
  t.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(17, 18, 20)')
})
