"""From sources to shards: the mixture, the leak guard, the files. See ``chatspot.data.shards`` for what comes out."""
