"""Makes MLflow's bucket on the S3 server beside it, which may still be starting."""

import os
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://").split("/")[0]
client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"], region_name="us-east-1")
for _ in range(60):
    try:
        if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
        sys.exit()
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        time.sleep(2)
sys.exit(1)
