"""`python -m backend demo`: Label Studio, the service and a project with pictures, connected."""
