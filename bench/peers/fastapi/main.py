"""FastAPI and boto3; without S3_BUCKET, FastAPI and plain files in DATA_DIR, which are not synced."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

import boto3
from botocore.config import Config
from fastapi import FastAPI, UploadFile

bucket = os.environ.get("S3_BUCKET")
app = FastAPI()

if bucket:
    # As many connections as the thread pool has threads
    s3 = boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        config=Config(max_pool_connections=40, s3={"addressing_style": "path"}),
    )

    def store(file: UploadFile, key: str) -> None:
        s3.upload_fileobj(file.file, bucket, key, ExtraArgs={"ContentType": file.content_type})

else:
    folder = Path(os.environ["DATA_DIR"])

    def store(file: UploadFile, key: str) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)


@app.post("/api/v1/images/upload")
def upload(files: list[UploadFile]):
    story_id = str(uuid4())
    keys = [f"stories/{story_id}/{number}.jpg" for number in range(1, len(files) + 1)]
    for file, key in zip(files, keys):
        store(file, key)
    return {"story_id": story_id, "image_paths": [f"/images/{key}" for key in keys], "image_count": len(keys)}
