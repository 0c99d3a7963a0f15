"""Reads what another run left, by the name of an input: amltool submit score.py --input numbers=@:outputs/numbers.bin"""

import os

from amltool import tracking

place = tracking.input_path("numbers")
open("outputs/size.txt", "w").write(f"{os.path.getsize(place)}\n")
