select
    event_date,
    user_id,
    count(*) as events,
    count(distinct session_id) as sessions,
    count(case when event_type = 'purchase' then 1 end) as purchases,
    cast(coalesce(sum(case when event_type = 'purchase' then amount end), 0) as decimal(18, 2)) as amount
from {{ ref('events_clean') }}
group by all
order by user_id
