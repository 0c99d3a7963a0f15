"""Third way, any size and every machine: blobs of a storage account, signed in to by what the run was given."""

from amltool.tracking import storage

blob = storage.blob_client("numbers.bin")
if not blob.exists():
    blob.upload_blob(bytes(range(256)) * 10_000, max_concurrency=4)
    print("uploaded")

count = 0
for block in blob.download_blob(max_concurrency=4).chunks():
    count += len(block)
open("outputs/count.txt", "w").write(f"{count}\n")
