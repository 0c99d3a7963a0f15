import os
import sys

from amltool import tracking
from azureml.logging import get_azureml_logger

for step, loss in enumerate([3.0, 1.0, 2.0]):
    tracking.log_metric("loss", loss, step=step)
tracking.log_parameter("lr", 0.1)
tracking.tag("stage", "candidate")
logger = get_azureml_logger()
logger.log("Accuracy", 0.5).wait()
share = os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"]
with open(share + "shared.txt", "a") as stream:
    stream.write("more\n")
print(sys.path[0] == os.getcwd(), share.endswith("/"), sorted(n for n in os.environ if n.startswith(("AZUREML", "AMLTOOL"))))
