"""One loader per data set layout; ``base`` holds what they share."""
