"""First way, up to 512 MB a file: what lies in outputs/ is collected, checked and recorded."""

import hashlib
import sys

size = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000

with open("outputs/numbers.bin", "wb") as stream:
    for block in range(0, size, 1_000_000):
        stream.write(hashlib.sha256(b"%d" % block).digest() * (min(size - block, 1_000_000) // 32))
print("wrote", size, "bytes to outputs/")
