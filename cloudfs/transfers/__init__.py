"""What moves between cloud and cache: listings and downloads, who waits for them and in which order."""
