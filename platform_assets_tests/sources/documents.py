"""The requirement document's own sources (S1-39 to S1-43, S1-82 to S1-88), and schemas for the files that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCUMENTS = {
    "example_source": """\
# config/connectors/example_source.yaml
source_id: example_source
display_name: "Example Data Source"
description: "Daily exports from Example SaaS platform"

# Ingestion configuration
ingestion:
  pattern: batch_file
  location: gs://landing-zone/example/
  schedule: "0 3 * * *"  # 3 AM daily
  format: json
  compression: gzip

# Schema
schema:
  file: schemas/example_source.json
  validation: strict
  evolution: backward_compatible

# Processing
processing:
  bronze_to_silver:
    - deduplication:
        key: [id, timestamp]
    - data_quality:
        rules:
          - field: email
            check: valid_email
          - field: amount
            check: positive_number

  silver_to_gold:
    - join:
        table: gold.customers
        on: customer_id
    - aggregate:
        group_by: [customer_id, date]
        metrics:
          - sum(amount) as total_amount
          - count(*) as transaction_count

# Serving
serving:
  third_party_api: true
  reporting: true
  ml_features: false

# Monitoring
monitoring:
  sla_minutes: 60
  alert_email: data-team@example.com
  metrics:
    - record_count
    - latency_p95
    - error_rate
""",
    "salesforce_exports": """\
source_id: salesforce_exports
pattern: batch_file
schedule: "0 2 * * *"  # 2 AM daily
location: gs://landing-zone/salesforce/
format: csv
schema_file: schemas/salesforce_accounts.json
""",
    "stripe_payments": """\
source_id: stripe_payments
pattern: streaming_api
connector_type: rest_api
api_endpoint: https://api.stripe.com/v1/charges
auth_type: bearer_token
secret_name: stripe-api-key
poll_interval: 60s  # or webhook_path: /webhooks/stripe
""",
    "postgres_orders": """\
source_id: postgres_orders
pattern: database_cdc
connector_type: datastream
database_type: postgresql
connection_profile: projects/xxx/locations/us-central1/connectionProfiles/postgres-prod
tables:
  - orders
  - order_items
  - customers
""",
    "aws_data_lake": """\
source_id: aws_data_lake
pattern: cloud_transfer
source_type: s3
source_bucket: my-aws-bucket
source_path: exports/
schedule: "0 */6 * * *"  # Every 6 hours
destination: gs://landing-zone/aws-imports/
""",
    "iot_sensors": """\
source_id: iot_sensors
pattern: event_streaming
pubsub_topic: projects/my-project/topics/iot-events
message_format: json
schema_file: schemas/iot_event.json
window_size: 60s
""",
}

_EXAMPLE: dict[str, Any] = {
    "source_id": "example_source",
    "version": "1.0",
    "fields": [
        {"name": "id", "type": "STRING", "mode": "REQUIRED", "description": "Unique transaction ID"},
        {"name": "customer_id", "type": "STRING", "mode": "REQUIRED", "description": "Customer identifier"},
        {"name": "amount", "type": "FLOAT64", "mode": "REQUIRED", "description": "Transaction amount in USD"},
        {"name": "timestamp", "type": "TIMESTAMP", "mode": "REQUIRED", "description": "Transaction timestamp (UTC)"},
    ],
}
_ACCOUNTS = {
    "source_id": "salesforce_exports",
    "version": "1.0",
    "fields": [
        {"name": "Id", "type": "STRING", "mode": "REQUIRED"},
        {"name": "Name", "type": "STRING", "mode": "REQUIRED"},
        {"name": "AnnualRevenue", "type": "FLOAT64"},
        {"name": "LastModifiedDate", "type": "TIMESTAMP"},
    ],
}
_IOT = {
    "source_id": "iot_sensors",
    "version": "1.0",
    "fields": [
        {"name": "sensor_id", "type": "STRING", "mode": "REQUIRED"},
        {"name": "measured_at", "type": "TIMESTAMP", "mode": "REQUIRED"},
        {"name": "temperature", "type": "FLOAT64"},
    ],
}
_SCHEMAS = {
    "example_source": ("example_source.json", _EXAMPLE),
    "salesforce_exports": ("salesforce_accounts.json", _ACCOUNTS),
    "iot_sensors": ("iot_event.json", _IOT),
}


def write_document(root: Path, name: str) -> Path:
    """The folder of a source of the document, with the schema that it names, if it names one."""
    folder = root / name
    (folder / "schemas").mkdir(parents=True)
    (folder / "source.yaml").write_text(DOCUMENTS[name], encoding="utf-8")
    if name in _SCHEMAS:
        file, schema = _SCHEMAS[name]
        (folder / "schemas" / file).write_text(json.dumps(schema), encoding="utf-8")
    return folder
