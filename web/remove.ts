import { call, isNotFound, sentenceOf } from './api.ts'
import type { Library } from './library.ts'
import { ask } from './question.ts'
import type { Story } from './story.ts'
import { toast } from './toast.ts'
import { images } from './words.ts'

/** Deletes a story after a question. @returns whether the story is deleted */
export async function removeStory(library: Library, story: Story): Promise<boolean> {
  const count = story.paths.length
  const text = `${count === 1 ? 'Its image is' : `All of its ${images(count)} are`} deleted for good.`
  if (!(await ask('Delete this story?', text, 'Delete story'))) return false
  try {
    await call((client) => client.deleteStory(story.id))
  } catch (error) {
    // Somebody else may have deleted it
    if (!isNotFound(error)) {
      toast(`The story was not deleted. ${sentenceOf(error as Error)}`)
      return false
    }
  }
  library.remove(story.id)
  toast('Story deleted')
  return true
}
