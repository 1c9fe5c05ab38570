"""One loader per data set layout; ``base`` holds what they share."""

LAYOUTS = ("isp", "ludb", "qtdb")  # the loader modules
SIMULATED = "simulated_"  # how the names of simulated data sets start, and of no others
