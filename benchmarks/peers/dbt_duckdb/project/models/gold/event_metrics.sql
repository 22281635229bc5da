select
    event_date,
    event_type,
    count(*) as events,
    count(distinct user_id) as users,
    count(distinct session_id) as sessions,
    cast(coalesce(sum(amount), 0) as decimal(18, 2)) as amount
from {{ ref('events_clean') }}
group by all
