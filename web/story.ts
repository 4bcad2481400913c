export interface Story {
  readonly id: string
  /** Of its images, in their order; at least one. */
  readonly paths: readonly string[]
  readonly createdAt: string
}

/** An image as the API lists it. */
export interface ListedImage {
  readonly story_id: string
  readonly path: string
  readonly created_at: string
}

export const STORY_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The stories of a list, in which the images of one are side by side. */
export function storiesOf(images: readonly ListedImage[]): Story[] {
  const stories: (Story & { paths: string[] })[] = []
  for (const { story_id: id, path, created_at: createdAt } of images) {
    const last = stories.at(-1)
    if (last?.id === id) last.paths.push(path)
    else stories.push({ id, paths: [path], createdAt })
  }
  return stories
}

/** When an upload made the story: the first 48 bits of its id are milliseconds (RFC 9562 section 5.7). */
export function createdAt(id: string): string {
  return new Date(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toISOString()
}
