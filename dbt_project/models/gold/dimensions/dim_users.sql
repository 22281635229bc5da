select
    id as user_id,
    email,
    username,
    phone,
    name_firstname,
    name_lastname,
    address_city as city,
    address_street,
    address_number,
    address_zipcode,
    address_geolocation_lat,
    address_geolocation_long
from {{ source('silver', 'fakestore_users') }}
