import { bare, fastapi, libStorage, multerS3, ours, oursUnstripped, parseOnly } from './contenders.ts'
import type { Row } from './row.ts'
import { getRow } from './rows/delivery.ts'
import { deleteAll, farListRow, listMinio, listOne, storyIds } from './rows/lists.ts'
import { startRow } from './rows/start.ts'
import { diskUpload, largeUpload, slowSenders, uploadMinio, uploadPhotos, uploadRow } from './rows/uploads.ts'
import { variants } from './rows/variants.ts'

export const ROWS: readonly Row[] = [
  uploadRow('upload-small', 8, 200_000, 16, [ours, oursUnstripped, libStorage, multerS3, fastapi, bare, parseOnly]),
  uploadRow('upload-4mb', 1, 4_000_000, 16, [ours, libStorage, parseOnly]),
  uploadPhotos,
  uploadMinio,
  largeUpload,
  slowSenders,
  diskUpload,
  farListRow('list-far-uniform', 'uniform', 'ids of another version, anywhere'),
  farListRow('list-far-year', 'year', 'UUIDv7 ids of one year'),
  farListRow('list-far-hour', 'hour', 'UUIDv7 ids of one busy hour'),
  storyIds,
  listOne,
  listMinio,
  deleteAll,
  getRow('get-200kb', 200_000),
  getRow('get-20kb', 20_000),
  variants,
  startRow,
]
