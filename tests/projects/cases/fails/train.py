import sys

print("before")
open("outputs/kept.txt", "w").write("kept")
sys.exit("something went wrong")
