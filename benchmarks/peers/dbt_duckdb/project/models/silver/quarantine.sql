select * replace ({{ token('email') }} as email)
from {{ ref('judged_events') }}
where broken_rules is not null
