select
    event_date,
    event_type,
    count(*) as events,
    count(distinct user_id) as users,
    count(distinct session_id) as sessions,
    {{ money('coalesce(sum(amount), 0)') }} as amount
from {{ partition_of(source('silver', 'events_clean'), 'event_date') }}
group by event_date, event_type
