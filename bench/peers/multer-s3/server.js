// Express, multer and multer-s3, as their documents show them.
import { randomUUID } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import express from 'express'
import multer from 'multer'
import multerS3 from 'multer-s3'

const { S3_ENDPOINT, S3_BUCKET: bucket, PORT } = process.env
const s3 = new S3Client({ endpoint: S3_ENDPOINT, forcePathStyle: true })

const upload = multer({
  storage: multerS3({
    s3,
    bucket,
    contentType: (_request, file, done) => done(null, file.mimetype),
    key: (request, _file, done) => {
      request.count += 1
      done(null, `stories/${request.storyId}/${request.count}.jpg`)
    },
  }),
  limits: { fileSize: 100 * 1024 * 1024 },
})

const app = express()

function newStory(request, _response, next) {
  request.storyId = randomUUID()
  request.count = 0
  next()
}

app.post('/api/v1/images/upload', newStory, upload.array('files', 100), (request, response) => {
  response.json({
    story_id: request.storyId,
    image_paths: request.files.map((file) => `/images/${file.key}`),
    image_count: request.files.length,
  })
})

app.listen(Number(PORT), '127.0.0.1')
