MODEL (name gold.user_metrics, kind FULL, grain (event_date, user_id));

SELECT
  event_date,
  user_id,
  count(*) AS events,
  count(DISTINCT session_id) AS sessions,
  count(CASE WHEN event_type = 'purchase' THEN 1 END) AS purchases,
  CAST(coalesce(sum(CASE WHEN event_type = 'purchase' THEN amount END), 0) AS DECIMAL(18, 2)) AS amount
FROM silver.events_clean
GROUP BY event_date, user_id
ORDER BY user_id;
