import os

open("outputs/kept.txt", "w").write("kept")
os._exit(7)
