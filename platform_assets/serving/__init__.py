"""What others call: the platform's own servers. They read from every room, and no room imports them."""
