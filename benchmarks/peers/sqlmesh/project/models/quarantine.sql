MODEL (name silver.quarantine, kind FULL);

SELECT
  event_id, user_id, session_id, event_type, event_date, currency, properties,
  raw_event_timestamp, raw_amount, raw_product_id, broken_rules,
  @token(email) AS email
FROM staging.judged_events
WHERE broken_rules IS NOT NULL;
