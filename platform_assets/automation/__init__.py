"""What makes the graph run by itself: arrival sensors and automation conditions."""
