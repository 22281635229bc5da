select
    order_date,
    count(*) as orders,
    cast(sum(total_items) as bigint) as items,
    {{ money('sum(total_amount)') }} as revenue
from {{ partition_of(ref('fact_orders'), 'order_date') }}
group by order_date
