{#
  The price comes from the silver table against which silver checked the line's product, so that every line finds one
  whichever of the two gold tables is built first. A line whose cart is in quarantine belongs to no order.
#}
select
    lines.cart_id as order_id,
    lines.line_number,
    lines.order_date,
    carts.user_id,
    lines.product_id,
    lines.quantity,
    products.price as unit_price,
    {{ money('lines.quantity * products.price') }} as amount
from {{ partition_of(source('silver', 'fakestore_cart_lines'), 'order_date') }} as lines
inner join {{ partition_of(source('silver', 'fakestore_carts'), 'order_date') }} as carts
    on carts.cart_id = lines.cart_id
    and carts.order_date = lines.order_date
left join {{ source('silver', 'fakestore_products') }} as products
    on products.id = lines.product_id
