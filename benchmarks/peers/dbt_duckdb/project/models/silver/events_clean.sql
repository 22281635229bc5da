select * exclude (broken_rules, {{ var('raw_columns') | join(', ') }})
replace ({{ token('email') }} as email)
from {{ ref('judged_events') }}
where broken_rules is null
qualify row_number() over (partition by event_id order by event_timestamp desc) = 1
order by user_id, event_type
