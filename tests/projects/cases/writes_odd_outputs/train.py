import os
import socket

os.chdir("outputs")
os.symlink("/etc/passwd", "stolen")
os.symlink("..", "up")
os.symlink("plain.txt", "inner")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
open("plain.txt", "w").write("plain")
open("new\nline", "w").write("n")
open(b"not-\xff-utf8", "w").write("b")
open("x" * 255, "w").write("long")
os.makedirs("empty/folder")
