import { writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { get, listImages, STORY_IDS, until, upload } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { bigImage } from '../support/images.ts'
import { OTHER_BROWSERS } from '../support/other-browsers.ts'
import { landscape } from './landscapes.ts'

for (const { name, packages, isInstalled, open } of OTHER_BROWSERS) {
  const skip = !isInstalled && !process.env.CI && `${name} is not installed (apt-get install ${packages})`
  t.test(`the gallery in ${name}: a list, an upload, a story, a deletion`, { skip }, async (t) => {
    const server = await serverOn(t, await diskStore(t))
    for (const seed of [1, 2])
      await upload(server, [await landscape(seed, 400, 300), await landscape(seed + 2, 400, 300)])
    const folder = t.testdir({})
    const files = ['1.png', '2.png'].map((file) => join(folder, file))
    for (const [index, file] of files.entries()) writeFileSync(file, await bigImage(12_000_000 + index))

    const page = await open(t)
    /** Until an expression is true in the page. */
    const holds = (what: string) => until(what, () => page.read<boolean>(`Boolean(${what})`))
    const click = (selector: string) => page.read(`(document.querySelector(${JSON.stringify(selector)}).click(), true)`)
    const named = (text: string) =>
      `[...document.querySelectorAll('button, [role=menuitem]')].find((one) => one.offsetParent && one.textContent.trim() === ${JSON.stringify(text)})`
    const press = async (text: string) => {
      await holds(named(text))
      await page.read(`(${named(text)}.click(), true)`)
    }

    const gate = await gateTo(t, server.port)
    await page.goto(gate.url)
    await holds("document.querySelectorAll('.tile.loaded').length === 2")

    await page.choose('#files', files)
    const bar = "document.querySelector('.upload[data-state=sending] progress.total')?.value"
    await holds(`${bar} > 0 && ${bar} < 1`)
    gate.open()
    await holds("document.querySelector('.upload[data-state=done]')")
    await holds("document.querySelectorAll('.tile.loaded').length === 3")
    t.equal((await listImages(server)).length, 6)

    await click('a.cover')
    await holds(
      '[...document.querySelectorAll(".pswp__item[aria-hidden=false] img")].some((one) => one.naturalWidth > 0)',
    )
    t.match(await page.read('location.hash'), /^#[0-9a-f-]{36}/)
    await click('.pswp [aria-label=Actions]')
    await press('Delete story…')
    await press('Delete story')
    await holds("!document.querySelector('.pswp') && document.querySelectorAll('.tile').length === 2")
    t.equal((await get(server, STORY_IDS)).json<string[]>().length, 2)
    t.equal(await page.read('document.querySelector("#trouble").hidden'), true)
  })
}

/** A way to a server that lets 2 MiB of each connection through, and the rest once it is opened. */
async function gateTo(t: Test, port: number): Promise<{ url: string; open(): void }> {
  const sockets = new Set<Socket>()
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  const gate = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    const end = () => [client, upstream].map((socket) => socket.destroy())
    for (const socket of [client, upstream]) sockets.add(socket.on('error', end).on('close', end))
    let count = 0
    client.on('data', (bytes) => {
      upstream.write(bytes)
      count += bytes.length
      if (count < 2 * 1024 * 1024) return
      client.pause()
      void opened.then(() => client.resume())
    })
    upstream.on('data', (bytes) => client.write(bytes))
  })
  await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    gate.close()
  })
  return { url: `http://127.0.0.1:${(gate.address() as { port: number }).port}/`, open }
}
