select
    id as product_id,
    title,
    price,
    category,
    description,
    image,
    rating_rate,
    rating_count
from {{ source('silver', 'fakestore_products') }}
