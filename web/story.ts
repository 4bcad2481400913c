import type { ListedStory } from '../packages/client/src/index.ts'

export interface Story {
  readonly id: string
  /** The paths of its images in their order; at least one. */
  readonly paths: readonly string[]
  readonly createdAt: string
}

export const STORY_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function storyOf({ story_id: id, images }: ListedStory): Story {
  return { id, paths: images.map(({ path }) => path), createdAt: images[0]?.created_at ?? createdAt(id) }
}

/** Returns when an upload made the story: the first 48 bits of its id are milliseconds (RFC 9562 section 5.7). */
export function createdAt(id: string): string {
  return new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toISOString()
}
