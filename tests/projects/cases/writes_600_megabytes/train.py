with open("outputs/huge.bin", "wb") as stream:
    stream.truncate(600 * 1024 * 1024)
open("outputs/small.txt", "w").write("small")
