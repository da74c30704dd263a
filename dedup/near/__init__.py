"""Near duplicates: signatures, bands, buckets, verification, representatives (design section 6)."""
