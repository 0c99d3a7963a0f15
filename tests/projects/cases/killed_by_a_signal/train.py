import os
import signal

open("outputs/kept.txt", "w").write("kept")
os.kill(os.getpid(), signal.SIGSEGV)
