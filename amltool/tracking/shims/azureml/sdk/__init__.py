"""`azureml.sdk` of the first Workbench (2017)."""
