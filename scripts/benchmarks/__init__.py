"""What cloudfs costs, measured beside `rclone mount` over a link with a round trip time and a rate."""
