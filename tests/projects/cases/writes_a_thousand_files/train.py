import os

for number in range(1000):
    os.makedirs("outputs/d%d" % (number % 10), exist_ok=True)
    with open("outputs/d%d/f%d.txt" % (number % 10, number), "w") as stream:
        stream.write(str(number))
