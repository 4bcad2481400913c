import type { Deletion } from '../packages/client/src/index.ts'
import { call, isNotFound, sentenceOf } from './api.ts'
import type { Library } from './library.ts'
import { ask } from './question.ts'
import { settings } from './settings.ts'
import type { Story } from './story.ts'
import { toast } from './toast.ts'
import type { Undo } from './undo.ts'
import { images } from './words.ts'

/** Deletes a story after a question, and offers to undo that. @returns whether the story is deleted */
export async function removeStory(library: Library, undo: Undo, story: Story): Promise<boolean> {
  const count = story.paths.length
  const what = count === 1 ? 'Its image is' : `All of its ${images(count)} are`
  const text = `${what} deleted${settings.deletesForGood ? ' for good' : ''}.`
  if (!(await ask('Delete this story?', text, 'Delete story'))) return false
  let deletion: Deletion | undefined
  try {
    deletion = await call((client) => client.deleteStory(story.id))
  } catch (error) {
    // Somebody else may have deleted it
    if (!isNotFound(error)) {
      toast(`The story was not deleted. ${sentenceOf(error as Error)}`)
      return false
    }
  }
  library.remove(story.id)
  if (deletion?.isRestorable) undo.add(story, deletion.restorableUntil)
  else toast('Story deleted')
  return true
}
