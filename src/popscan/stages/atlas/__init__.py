"""The stage atlas: population averages by map-reduce over the shards."""
