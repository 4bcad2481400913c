import t, { type Test } from 'tap'
import { ObjectNotFound } from '../../src/errors.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { listKeys, putBytes, readAll } from '../support/bodies.ts'
import { engines, makeBucket } from '../support/engines.ts'
import { openOnEngine, openOnStandIn, startStandIn } from '../support/stores.ts'

type OpenBelow = (prefix: string) => Promise<ObjectStore>

t.test('S3 stand-in', async (t) => {
  const standIn = await startStandIn(t)
  await seesOnlyItsPrefix(t, (prefix) => openOnStandIn(t, standIn, { prefix }))
})

for (const engine of engines) {
  t.test(engine.name, async (t) => {
    const { Bucket } = await makeBucket(t, engine)
    await seesOnlyItsPrefix(t, (prefix) => openOnEngine(t, engine, Bucket, prefix))
  })
}

async function seesOnlyItsPrefix(t: Test, open: OpenBelow): Promise<void> {
  const whole = await open('')
  const below = await open('images/')
  const others = ['a', 'image', 'images-2/o', 'images0', 'stories/1/1.jpg', 'z']
  for (const key of others) await putBytes(whole, key)

  await t.test('a store below a prefix sees nothing else', async (t) => {
    t.same(await listKeys(below), [])
    t.same(await listKeys(below, { prefix: 'stories/' }), [])
    await t.rejects(below.get('stories/1/1.jpg'), ObjectNotFound)
    await t.rejects(below.head('a'), ObjectNotFound)
    await below.ready()
  })

  await t.test('a store below a prefix stores there alone', async (t) => {
    await putBytes(below, 'stories/1/1.jpg', 'mine')
    await putBytes(below, 'images/twice', 'mine')
    await putBytes(below, 'z', 'mine')
    t.same(await listKeys(below), ['images/twice', 'stories/1/1.jpg', 'z'])
    t.same(await listKeys(below, { after: 'images/twice', before: 'z' }), ['stories/1/1.jpg'])
    t.same(await listKeys(whole, { prefix: 'images/' }), ['images/images/twice', 'images/stories/1/1.jpg', 'images/z'])
    t.equal((await readAll((await whole.get('images/stories/1/1.jpg')).body)).toString(), 'mine')
    t.equal((await readAll((await whole.get('stories/1/1.jpg')).body)).toString(), 'stories/1/1.jpg')
  })

  await t.test('a store below a prefix deletes there alone', async (t) => {
    await below.delete(['a', 'stories/1/1.jpg', 'images/twice', 'z'])
    t.same(await listKeys(below), [])
    t.same(await listKeys(whole), others)
  })
}
