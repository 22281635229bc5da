MODEL (name gold.event_metrics, kind FULL, grain (event_date, event_type));

SELECT
  event_date,
  event_type,
  count(*) AS events,
  count(DISTINCT user_id) AS users,
  count(DISTINCT session_id) AS sessions,
  CAST(coalesce(sum(amount), 0) AS DECIMAL(18, 2)) AS amount
FROM silver.events_clean
GROUP BY event_date, event_type;
