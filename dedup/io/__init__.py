"""Shards in, shards out: discovery, decoding, exchange files, atomic writes."""
