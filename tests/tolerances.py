"""One table of tolerances: name = value, why."""

# Files, pictures and movies
FILE_SINGLE = 2e-7  # one float32 rounding of numbers of order 1
FILE_DOUBLE = 1e-12  # positions written with 17 digits
