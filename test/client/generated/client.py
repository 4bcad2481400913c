"""Uses the client that openapi-python-client made of the OpenAPI document: uploads, lists, downloads and deletes."""

import sys
from pathlib import Path

from story_images_client import Client
from story_images_client.api.images import get_image
from story_images_client.api.stories import delete_story, list_images, list_story, list_story_ids, upload_story
from story_images_client.models import Failure, UploadStoryBody
from story_images_client.types import File

url, images = sys.argv[1], Path(sys.argv[2])
files = [images / "image1.jpg", images / "image2.png"]

with Client(base_url=url) as client:
    body = UploadStoryBody(files=[File(payload=path.open("rb"), file_name=path.name) for path in files])
    story = upload_story.sync(client=client, body=body, idempotency_key="from-python")
    assert story.image_count == 2, story
    listed = list_story.sync(story.story_id, client=client)
    assert [image.path for image in listed] == story.image_paths, listed
    assert all(image.story_id == story.story_id for image in listed), listed
    assert list_story_ids.sync(client=client) == [story.story_id]
    assert len(list_images.sync(client=client, limit=1)) == 2
    for path, file in zip(story.image_paths, files, strict=True):
        answer = get_image.sync_detailed(story.story_id, path.split("/")[-1], client=client)
        assert answer.status_code == 200 and answer.content == file.read_bytes(), path
    deleted = delete_story.sync(story.story_id, client=client)
    assert deleted.success is True, deleted
    missing = list_story.sync(story.story_id, client=client)
    assert isinstance(missing, Failure) and str(story.story_id) in missing.detail, missing
print("The Python client uploads, lists, downloads and deletes")
