import os

open("outputs/before.txt", "w").write("before")
os.chdir("/")
print(os.environ["AZUREML_OUTPUT_DIRECTORY"])
