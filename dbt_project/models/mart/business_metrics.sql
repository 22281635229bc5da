select
    event_date,
    count(*) as daily_active_users,
    {{ money('sum(amount)') }} as daily_revenue
from {{ partition_of(ref('user_metrics'), 'event_date') }}
group by event_date
