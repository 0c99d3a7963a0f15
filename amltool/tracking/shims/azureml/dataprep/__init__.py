"""`azureml.dataprep` of Azure ML Workbench (2017)."""
