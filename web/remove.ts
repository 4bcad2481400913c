import { call, Refusal } from './api.ts'
import type { Library } from './library.ts'
import { ask } from './question.ts'
import type { Story } from './story.ts'
import { toast } from './toast.ts'
import { images } from './words.ts'

/** Deletes a story, if its owner is sure. @returns whether it is gone */
export async function removeStory(library: Library, story: Story): Promise<boolean> {
  const count = story.paths.length
  const text = `${count === 1 ? 'Its image is' : `All of its ${images(count)} are`} deleted for good.`
  if (!(await ask('Delete this story?', text, 'Delete story'))) return false
  try {
    await call('DELETE', `api/v1/images/${story.id}`)
  } catch (error) {
    // Somebody else was faster
    if (!(error instanceof Refusal && error.status === 404)) {
      toast(`The story was not deleted. ${(error as Error).message}`)
      return false
    }
  }
  library.remove(story.id)
  toast('Story deleted')
  return true
}
