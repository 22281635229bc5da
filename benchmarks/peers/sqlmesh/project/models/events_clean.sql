MODEL (name silver.events_clean, kind FULL, grain event_id);

SELECT
  event_id, user_id, session_id, event_type, event_timestamp, amount, currency, product_id, properties, event_date,
  @token(email) AS email
FROM staging.judged_events
WHERE broken_rules IS NULL
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY event_timestamp DESC) = 1
ORDER BY user_id, event_type;
