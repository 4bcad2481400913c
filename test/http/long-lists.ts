import { placeStory, smallImage, storyId, type Teardown } from '../support/app.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

const image = await smallImage()
/** A request for the list of all images. */
export const GET = 'GET /api/v1/images HTTP/1.1\r\nHost: test\r\n\r\n'

/** A stand-in for S3 with stories of one image each. */
export async function filled(t: Teardown, stories: number, pageSize: number) {
  const standIn = await startS3StandIn({ pageSize })
  t.teardown(() => standIn.close())
  for (let n = 1; n <= stories; n++) placeStory(standIn, storyId(n), image)
  return standIn
}
