with lines as (

    select
        order_id,
        order_date,
        count(*) as lines,
        sum(quantity) as items,
        sum(amount) as amount
    from {{ partition_of(ref('fact_order_lines'), 'order_date') }}
    group by order_id, order_date

),

carts as (

    select
        cart_id,
        user_id,
        cart_date,
        order_date,
        {{ json_text_array_length('products') }} as lines
    from {{ partition_of(source('silver', 'fakestore_carts'), 'order_date') }}

)

select
    carts.cart_id as order_id,
    carts.user_id,
    carts.cart_date as ordered_at,
    carts.order_date,
    cast(coalesce(lines.items, 0) as bigint) as total_items,
    {{ money('coalesce(lines.amount, 0)') }} as total_amount,
    carts.lines as line_count,
    carts.lines - coalesce(lines.lines, 0) as lines_quarantined
from carts
left join lines
    on lines.order_id = carts.cart_id
    and lines.order_date = carts.order_date
