select
    event_date,
    user_id,
    count(*) as events,
    count(distinct session_id) as sessions,
    count(case when event_type = 'purchase' then 1 end) as purchases,
    {{ money("coalesce(sum(case when event_type = 'purchase' then amount end), 0)") }} as amount
from {{ partition_of(source('silver', 'events_clean'), 'event_date') }}
group by event_date, user_id
