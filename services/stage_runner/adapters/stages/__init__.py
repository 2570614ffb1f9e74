"""The eight stages, one file each, and the table that names them."""
